"""Reads an atlas of neurons, a static site that `neuroscope build` made. Needs `requests` only.

    from neuroscope_atlas import Atlas, examples

    atlas = Atlas("https://example.org/atlas/")
    record = atlas.neuron("demo", 2, 208)
    for example in examples(record, "top"):
        print(example["value"], example["source"], example["tokens"][example["peak"]])

The files are described by `api/v1/openapi.json` of the site. Where neurons are packed (`build --layout packed`), the
answers are the same. Indices are kept and shared between calls: copy before you change what you are given.
"""

from __future__ import annotations

import json
import math
import re
import struct
import unicodedata
import zlib
from array import array
from base64 import b64decode, b64encode
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from html.parser import HTMLParser
from itertools import accumulate
from threading import Lock
from typing import Any, TypedDict

import requests

Json = dict[str, Any]


class Example(TypedDict):
    """A peak with the n tokens around it, which stand at start … start + n − 1 of the document."""

    doc: int  # index of the document in the corpus
    source: str | None  # None in an atlas whose corpus is not there
    start: int
    peak: int  # index of the peak in tokens
    value: float  # the ranked value there
    hook_post: float | None  # SoLU neurons only: hook_post there
    tokens: list[str]  # [n], for reading: pieces of characters are U+FFFD
    token_bytes: list[bytes]  # [n], exact
    values: list[float]  # [n], exact at the peak, else in steps of 1/127 of the largest, or, in a packed site of fewer bits, of its share; NaN where they were not finite
    hooks: dict[str, list[float]]  # gate, act and in, [n] each, in such steps; empty where they were not kept
    context_starts: list[int]  # tokens before which the model saw nothing
    turns: list[tuple[int, str]]  # of conversations: tokens where the role changes, with the role; empty for the template's own
    duplicates: int  # further documents with the same text up to the peak


class PackedFileError(ValueError):
    """A packed file that cannot be read: it is cut off, damaged or of another version."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"`{path}` {problem}")
        self.path = path


class OtherBuildError(PackedFileError):
    """A packed file of another build than its model's index: the site was built again."""


# packed files
_VERSION = 1
_HEAD = struct.Struct("<4sB8sI")  # magic, version, build, checksum of what follows
_MOST_BYTES = 1 << 30  # of a file, unpacked
_KEPT_BYTES = 1 << 24  # of the files that are kept, unpacked; as objects they take about ten times as much
_THREADS = 8  # that read files at a time
_HOOKS = ("gate", "act", "in")

# accents, the points of Hebrew and Arabic, and characters without a form
_LEFT_OUT = re.compile(
    "[\u00ad\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u180b-\u180d\u1ab0-\u1aff\u1dc0-\u1dff\u200b\u200d\u2060\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f\ufeff\U000e0100-\U000e01ef]"
)
_WITHOUT_STROKE = {"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "æ": "ae", "œ": "oe"}


def fold(text: str) -> str:
    """A text without case, accents, ligatures and other compatible forms, as the words of the search index are."""

    def small(part: str) -> str:
        # by way of capitals, so that ß is ss, and ς and σ are one
        return "".join(_WITHOUT_STROKE.get(c.lower(), c.lower()) for c in part.lower().upper())

    def folded(c: str) -> str:
        parts = unicodedata.normalize("NFKD", c)
        if len(parts) > 1 and parts[0] == " ":  # a standalone accent is not a space
            return c
        return "".join(small(part) for part in parts if not _LEFT_OUT.match(part))

    return "".join(map(folded, text))


class Atlas:
    """An atlas at an address, such as https://example.org/atlas/."""

    def __init__(self, base_url: str, session: requests.Session | None = None) -> None:
        self.base_url = base_url.rstrip("/") + "/"
        self.session = session or requests.Session()
        self.json = lru_cache(maxsize=64)(self._json)
        self._kept = _Kept(_KEPT_BYTES)

    def read(self, path: str, past_caches: bool = False) -> bytes:
        """A file of the site; one that is not there is a `requests.HTTPError`."""
        headers = {"Cache-Control": "no-cache"} if past_caches else None
        response = self.session.get(self.base_url + path, headers=headers, timeout=60)
        response.raise_for_status()
        return response.content

    def file(self, model: str, name: str) -> Json:
        """A JSON file of a model's folder, by the name that it has where each neuron has a page, such as `words/0.json`."""
        packing = self._packing(model)
        if packing is None or re.fullmatch(r"(index|manifest|figures/.*)\.json", name):
            return self.json(f"{model}/{name}")
        if re.fullmatch(r"tokens/\d+\.json", name):
            return self._packed(f"{model}/{name[:-4]}gz", packing["build"], _only)
        return self.json(f"{model}/{name}.gz")

    def _json(self, path: str) -> Json:
        data = self.read(path)
        if not path.endswith(".gz"):
            return json.loads(data)
        try:
            return json.loads(_unpacked(path, data))
        except (UnicodeDecodeError, json.JSONDecodeError) as cause:
            raise PackedFileError(path, "is damaged or cut off") from cause

    def models(self) -> list[Json]:
        """The models, each with `name`, `n_layers`, `d_mlp` …"""
        return self.json("api/v1/models.json")["models"]

    def model(self, model: str) -> Json:
        """A model's index: its layers, what its `measures` and `statistics` are, its `top` neurons."""
        return self.json(f"{model}/index.json")

    def layer(self, model: str, layer: int) -> Json:
        """A layer's index. Its `columns` are all numbers by name, [d_mlp] each, as `pandas.DataFrame` takes them."""
        return self.file(model, f"{layer}/index.json")

    def neuron(self, model: str, layer: int, neuron: int) -> Json:
        """A neuron's record (schema/neuron.json), from a file of its own, from its page, or from packed files. One that the
        model does not have is a `LookupError`."""
        index = self.model(model)
        if not (0 <= layer < index["n_layers"] and 0 <= neuron < index["d_mlp"]):
            raise LookupError(f"{model} has no neuron {layer}.{neuron}")
        if layer not in (of["layer"] for of in index["layers"]):
            raise LookupError(f"layer {layer} of {model} was not scanned")
        if packing := self._packing(model):
            return self._packed_neuron(model, packing, layer, neuron)
        path = f"{model}/{layer}/{neuron}"
        if index["neuron_json"]:
            return self._json(f"{path}.json")
        script = _Script("neuron")
        script.feed(self.read(f"{path}.html").decode())
        return json.loads(script.text)

    def line(self, model: str, layer: int, neuron: int) -> list[Any] | None:
        """What lists say of a neuron (schema/lines.json): of its main example the value at the peak and the text before, at and
        after it; then its note or explanation and its line, if there are any. None without examples."""
        index = self.model(model)
        flat = layer * index["d_mlp"] + neuron
        row = flat % index["lines_per_file"]
        return self.file(model, f"lines/{flat - row:07}.json")["lines"][row]

    def histogram_edges(self) -> list[float]:
        """[257] Bin i of every histogram of activations goes from edge i to edge i + 1."""
        _, *edges, _ = self.json("api/v1/histogram.json")["edges"]
        return [-math.inf, *edges, math.inf]

    def document(self, model: str, doc: int) -> Json:
        """A whole document: `id`, `source`, `license`, `text`, and `ids`, `tokens`, `token_bytes`, [n] each. Packed sites do
        not have `ids`. An atlas whose corpus is not there has no documents, which is a `LookupError`."""
        if packing := self._packing(model):
            document = self._packed_document(model, packing, doc)
        elif self.model(model)["documents"] is None:
            raise LookupError(f"{model} has no documents: its corpus is not there")
        else:
            starts = self.json(f"{model}/docs/index.json")["starts"]
            first = starts[bisect_right(starts, doc) - 1]
            document = self.json(f"{model}/docs/{first:06}.json")["documents"][doc - first]
        token_bytes = cut(document["text"], document["lengths"], document.get("bytes"))
        return {**document, "tokens": readable(token_bytes), "token_bytes": token_bytes}

    def find_tokens(self, model: str, text: str) -> list[tuple[int, str]]:
        """Ids and texts of the tokens that begin with a text. Case, and spaces in front, do not count."""
        names = self.file(model, "tokens/index.json")["names"]
        sought = _key(text)
        # what is sought can be written with either sigma, ς being sorted before σ
        low, high = _utf16(sought.replace("σ", "ς")), _utf16(sought)
        first = max(0, bisect_right(names, low, key=_utf16) - 1)
        while first > 0 and _utf16(names[first]) == low:
            first -= 1
        found = []
        for file in range(first, len(names)):
            if _utf16(names[file])[: len(high)] > high:
                break
            tokens = self.file(model, f"tokens/names-{file}.json")["tokens"]
            found += [(token, name) for token, name in tokens if _key(name).startswith(sought)]
        return found

    def token(self, model: str, token: int) -> Json:
        """A token's `text`, and lists of (layer, neuron, value): `promoted_by`, `suppressed_by`, `promoted_by_v`,
        `suppressed_by_v`, by what the neuron does when it fires on its dominant side (absent in atlases analysed before 0.3);
        `promoted_logit`, `suppressed_logit`, `promoted_v`, `suppressed_v`, by the sign of the value (packed sites have them
        only where the others are absent); `peaks_top`, `peaks_bottom`, which are cut off, of `n_peaks_top` and
        `n_peaks_bottom`."""
        index = self.file(model, "tokens/index.json")
        firsts = index.get("firsts")  # of packed sites
        first = firsts[bisect_right(firsts, token) - 1] if firsts else token - token % index["tokens_per_file"]
        found = dict(self.file(model, f"tokens/{first:06}.json")["tokens"][token - first])
        for name, pairs in found.items():
            if isinstance(pairs, list):
                found[name] = [(*divmod(flat, index["d_mlp"]), value) for flat, value in pairs]
        return found

    def word(self, model: str, word: str) -> Json:
        """The neurons with a word in their examples: `n_neurons`, and the best of them, `neurons`, as (layer, neuron,
        examples that fire on it, examples that have it, the first of these: its rank in `top`, or, below zero, in
        `bottom`); `said`, those with it in a note or an explanation."""
        index = self.file(model, "words/index.json")
        d_mlp = index["d_mlp"]
        word = fold(word)
        _, n, best, said = [*(self._entry(model, "words/", index, word) or [word, 0, []]), []][:4]
        if "most_said" not in index:  # sites of before 0.3 have both in one file
            index = self.file(model, "words/said.json")
            _, said = self._entry(model, "words/said-", index, word) or (word, [])
        of_each = zip(best[::4], best[1::4], best[2::4], best[3::4])
        neurons = [(*divmod(flat, d_mlp), *of_word) for flat, *of_word in of_each]
        return {"n_neurons": n, "neurons": neurons, "said": [divmod(flat, d_mlp) for flat in said]}

    def _entry(self, model: str, files: str, index: Json, word: str) -> list[Any] | None:
        """The entry of a word in the files that an index lists."""
        file = bisect_right(index["files"], _utf16(word), key=_utf16) - 1
        entries = self.file(model, f"{files}{file}.json")["words"] if file >= 0 else []
        return next((entry for entry in entries if entry[0] == word), None)

    def explore(self, model: str) -> dict[str, list[Any]]:
        """All neurons of a model as columns, [n_layers · d_mlp] each: `layer`, `neuron`, numbers (three digits; NaN
        where there is none), `class`, `role` and tokens (None where there is none), flags (True where set)."""
        header, parts = self._columns_apart(model) if self._packing(model) else self._columns_together(model)
        n, d_mlp = header["n_neurons"], header["d_mlp"]
        columns = {"layer": [i // d_mlp for i in range(n)], "neuron": [i % d_mlp for i in range(n)]}
        for column, (planes, tokens) in zip(header["columns"], parts):
            codes = bytearray(4 * n)
            for plane in range(column["bytes"]):
                codes[plane::4] = planes[plane * n : (plane + 1) * n]
            columns.update(_decoded(column, struct.unpack(f"<{n}I", codes), tokens))
        return columns

    def _columns_together(self, model: str) -> tuple[Json, Iterable[tuple[bytes, list[str]]]]:
        """What explore.bin.gz has: the header, and of each column its planes of bytes and the texts of its tokens."""
        path = f"{model}/explore.bin.gz"
        data = _unpacked(path, self.read(path))
        body = 4 + int.from_bytes(data[:4], "little")
        header = json.loads(data[4:body])
        starts = ((body + column["offset"], column["bytes"] * header["n_neurons"]) for column in header["columns"])
        return header, ((data[start : start + length], header["tokens"]) for start, length in starts)

    def _columns_apart(self, model: str) -> tuple[Json, Iterable[tuple[bytes, list[str]]]]:
        """The same of a packed model, where each column is a file."""
        header = self.file(model, "explore/index.json")

        def part(column: Json) -> tuple[bytes, list[str]]:
            path = f"{model}/{column['file']}"
            found = self._packed(path, header["build"], _only)
            with _complete(path):
                planes, tokens = found["codes"], found.get("tokens", [])
            if len(planes) != column["bytes"] * header["n_neurons"]:
                raise PackedFileError(path, f"has {len(planes)} bytes of codes, not {column['bytes']} of {header['n_neurons']} neurons")
            return planes, tokens

        with ThreadPoolExecutor(_THREADS) as threads:
            return header, list(threads.map(part, header["columns"]))

    def _packing(self, model: str) -> Json | None:
        """How the neurons of a model are packed; None where each has a page."""
        packing = self.model(model).get("packing")
        if packing and packing["version"] != _VERSION:
            raise PackedFileError(f"{model}/index.json", _other_version(packing["version"]))
        return packing

    def _packed(self, path: str, build: str, made_of: Callable[[str, list[Any]], Any]) -> Any:
        """What is made of the records of a packed file, which must be of this build."""
        kept = self._kept.get((path, build))
        if kept is not None:
            return kept
        found, content = _content(path, self.read(path))
        if found != build:  # a copy of before, perhaps
            found, content = _content(path, self.read(path, past_caches=True))
        if found != build:
            self.json.cache_clear()  # for the next call
            raise OtherBuildError(path, f"is of build {found}, not {build}: the site was built again since its index was read, and the next call reads that anew")
        with _complete(path):
            made = made_of(path, _Columns(path, content).records())
        self._kept.put((path, build), made, len(content))
        return made

    def _texts(self, model: str, packing: Json, files: Iterable[int]) -> dict[int, _Text]:
        """Files of text, by their number."""
        build = packing["text"]["build"]
        paths = {file: f"{model}/text/{file:06}.gz" for file in sorted(set(files))}
        texts = {file: self._kept.get((path, build)) for file, path in paths.items()}
        absent = [file for file, text in texts.items() if text is None]
        if absent:
            with ThreadPoolExecutor(min(_THREADS, len(absent))) as threads:
                texts.update(zip(absent, threads.map(lambda file: self._packed(paths[file], build, _Text), absent)))
        return texts

    def _packed_neuron(self, model: str, packing: Json, layer: int, neuron: int) -> Json:
        row = neuron % packing["neurons_per_file"]
        neurons, hooks = (f"{model}/{layer}/{kind}-{neuron - row:06}.gz" for kind in ("neurons", "hooks"))
        found = _neuron_in(neurons, self._packed(neurons, packing["build"], _all), row, "record", layer, neuron)
        with _complete(neurons):
            per_file, examples = packing["text"]["positions_per_file"], found["examples"]
            texts = self._texts(model, packing, (example["at"] // per_file for example in examples))
            windows = [texts[example["at"] // per_file].window(example["at"], len(example["values"])) for example in examples]
            columns = _columns(examples, windows, packing["bits"])
            record = {**deepcopy(found["record"]), "lists": deepcopy(found["lists"]), "examples": columns}
        if any("hooks" in example for example in examples):
            found = _neuron_in(hooks, self._packed(hooks, packing["build"], _all), row, None, layer, neuron)
            with _complete(hooks):
                columns.update(_hook_columns(found["examples"], packing["bits"]))
        return record

    def _packed_document(self, model: str, packing: Json, doc: int) -> Json:
        starts = self.file(model, "text/documents.json")["starts"]
        if not 0 <= doc < len(starts):
            raise LookupError(f"{model} has no document {doc}")
        per_file, n_positions = (packing["text"][name] for name in ("positions_per_file", "n_positions"))
        at, last = starts[doc], max(0, -(-n_positions // per_file) - 1)
        file = min(at // per_file, last)  # empty documents at the end of all are in the last file
        found = self._texts(model, packing, [file])[file].document(doc)
        end = at + found["n_positions"]
        texts = self._texts(model, packing, range(file, max(file + 1, -(-end // per_file))))
        parts = [text.tokens(max(at, i * per_file), min(end, (i + 1) * per_file)) for i, text in texts.items()]
        token_bytes = [token for part in parts for token in part]
        spelled = _spelled(b"".join(token_bytes), map(len, token_bytes))
        return {"doc": doc, **{name: found[name] for name in ("id", "source", "license")}, **spelled}


def examples(record: Json, name: str = "top") -> list[Example]:
    """The examples of a list of the record, best first: `top`, `bottom`, `random`, `gate+_in-` …"""
    found = record["lists"].get(name, {"rows": []})
    duplicates = found.get("duplicates") or [0] * len(found["rows"])
    return [_example(record["examples"], row, n) for row, n in zip(found["rows"], duplicates)]


def histogram(record: Json, edges: list[float]) -> list[tuple[float, float, int]]:
    """Bins of a neuron's activations, as (from, to, count), of the edges of `Atlas.histogram_edges`; none if they are not known."""
    bins = record["stats"]["histogram"]
    if bins is None:
        return []
    first = bins["first_bin"]
    return list(zip(edges[first:], edges[first + 1 :], bins["counts"]))


def cut(text: str, lengths: str, packed: str | None = None) -> list[bytes]:
    """[n] Tokens from their text, or its bytes in base64, and their lengths: a base-36 digit each, `z` (35) being
    continued by the next."""
    data = b64decode(packed) if packed else text.encode()
    reached = accumulate(int(digit, 36) for digit in lengths)
    ends = [end for end, digit in zip(reached, lengths) if digit != "z"]
    return [data[start:end] for start, end in zip([0, *ends], ends)]


def readable(token_bytes: Iterable[bytes]) -> list[str]:
    """Tokens as text, with U+FFFD for pieces of characters."""
    return [token.decode("utf-8", "replace") for token in token_bytes]


def _values(packed: str, scale: float) -> list[float]:
    return [math.nan if step == -128 else step * scale for step in array("b", b64decode(packed))]


def _example(columns: Json, row: int, duplicates: int) -> Example:
    packed = columns.get("bytes", {}).get(str(row))
    token_bytes = cut(columns["text"][row], columns["lengths"][row], packed)
    values = _values(columns["values"][row], columns["scale"][row])
    hooks = {name: columns[name][row] for name in _HOOKS if columns.get(name)}
    peak, value = columns["peak"][row], columns["value"][row]
    values[peak] = value
    return {
        "doc": columns["doc"][row],
        "source": columns["sources"][columns["source"][row]] if "sources" in columns else None,
        "start": columns["start"][row],
        "peak": peak,
        "value": value,
        "hook_post": columns["hook_post"][row] if "hook_post" in columns else None,
        "tokens": readable(token_bytes),
        "token_bytes": token_bytes,
        "values": values,
        "hooks": {name: _values(steps, columns[f"{name}_scale"][row]) for name, steps in hooks.items() if steps is not None},
        "context_starts": columns.get("context_starts", {}).get(str(row), []),
        "turns": list(zip(*(columns.get(name, {}).get(str(row), []) for name in ("turns", "roles")))),
        "duplicates": duplicates,
    }


class _Kept:
    """What was made of files, of which the latest are kept, up to so many bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.left = most_bytes
        self.files: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self.lock = Lock()

    def get(self, key: Any) -> Any:
        with self.lock:
            if key not in self.files:
                return None
            self.files.move_to_end(key)
            return self.files[key][0]

    def put(self, key: Any, made: Any, n_bytes: int) -> None:
        with self.lock:
            if key in self.files:  # two threads read it at once
                return
            self.files[key] = made, n_bytes
            self.left -= n_bytes
            while self.left < 0 and len(self.files) > 1:
                _, (_, n_bytes) = self.files.popitem(last=False)
                self.left += n_bytes


@contextmanager
def _complete(path: str) -> Iterator[None]:
    """Makes an error of what a file does not have."""
    try:
        yield
    except (LookupError, TypeError, AttributeError) as cause:
        raise PackedFileError(path, f"does not have what it should have: {cause!r}") from cause


def _other_version(version: int) -> str:
    return f"is packed in version {version}, and this client reads version {_VERSION}; get the client of a newer neuroscope"


def _unpacked(path: str, data: bytes) -> bytes:
    """What gzip made of some bytes; the bytes themselves if a host has already unpacked them."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    stream = zlib.decompressobj(wbits=31)
    try:
        unpacked = stream.decompress(data, _MOST_BYTES)
    except zlib.error as cause:
        raise PackedFileError(path, f"is damaged: {cause}") from cause
    if stream.unconsumed_tail:
        raise PackedFileError(path, f"has more than {_MOST_BYTES} bytes")
    if not stream.eof:
        raise PackedFileError(path, "is cut off")
    if stream.unused_data:
        raise PackedFileError(path, f"is damaged: {len(stream.unused_data)} bytes follow its end")
    return unpacked


def _content(path: str, data: bytes) -> tuple[str, bytes]:
    """The build of a packed file, and what stands after its head."""
    data = _unpacked(path, data)
    if not data.startswith(b"NSPK") or len(data) < _HEAD.size:
        raise PackedFileError(path, "is not a packed file, or is cut off")
    _, version, build, checksum = _HEAD.unpack_from(data)
    if version != _VERSION:
        raise PackedFileError(path, _other_version(version))
    content = data[_HEAD.size :]
    if zlib.crc32(content) != checksum:
        raise PackedFileError(path, "is damaged or cut off")
    return build.hex(), content


_ABSENT = object()  # a field that an object does not have
_SAME = 13  # the kind of a column that names an earlier one
_HAVE_COLUMNS = (8, 9, 10)
_WORTH_NAMING = 8  # bytes
_LONGEST_VARINT = 63  # bits
_DEEPEST = 32  # columns inside one another


def _six_digits(single: float) -> float:
    """A number of six digits. Half is rounded away from zero, as elsewhere: it is made a little more than half."""
    return float(f"{single * (1 + 2**-52):.6g}")


def _single(value: float) -> float:
    """The nearest f32."""
    return array("f", [value])[0]


def _shortest(single: float) -> float:
    """The number with the fewest digits that is nearest to an f32."""
    numbers = (float(f"{single:.{digits}g}") for digits in range(1, 10))
    return next((number for number in numbers if _single(number) == single), single)


class _Columns:
    """Reads what stands in a packed file; docs/format.md describes it. Nothing is made for which the file is too short."""

    def __init__(self, path: str, data: bytes) -> None:
        self.path, self.data, self.at = path, data, 0
        self.depth = 0
        self.columns: list[list[Any]] = []  # that may be named again
        self.without_bytes = 8 * len(data)  # most rows that take no bytes

    def records(self) -> list[Any]:
        return self.column(self.unsigned())

    def damaged(self) -> PackedFileError:
        return PackedFileError(self.path, f"is damaged at byte {_HEAD.size + self.at}, unpacked")

    def take(self, n: int) -> bytes:
        if n > len(self.data) - self.at:
            raise PackedFileError(self.path, f"is cut off: {n} bytes should follow byte {_HEAD.size + self.at}, unpacked")
        self.at += n
        return self.data[self.at - n : self.at]

    def unsigned(self) -> int:
        n = shift = 0
        while True:
            byte = self.take(1)[0]
            n |= (byte & 0x7F) << shift
            if byte < 0x80:
                return n
            shift += 7
            if shift >= _LONGEST_VARINT:
                raise self.damaged()

    def unsigneds(self, n: int) -> list[int]:
        at, least = self.at, self.take(n)
        if least.isascii():  # a byte each
            return list(least)
        self.at = at
        return [self.unsigned() for _ in range(n)]

    def text(self, length: int) -> str:
        try:
            return self.take(length).decode()
        except UnicodeDecodeError as cause:
            raise self.damaged() from cause

    def column(self, n: int, of_fields: bool = False) -> list[Any]:
        """The next column, of n rows; only fields may be absent."""
        start, head = self.at, self.take(1)[0]
        if head == _SAME:
            return self.named(n, of_fields)
        kind = head & 0x7F
        if kind >= len(self._KINDS) or kind == _SAME or self.depth == _DEEPEST:
            raise self.damaged()
        self.depth += 1
        if head < 0x80:
            rows = self._KINDS[kind](self, n)
        else:
            states = self.take(n)
            absent, null, there = (states.count(state) for state in range(3))
            if absent + null + there < n or (absent and not of_fields):
                raise self.damaged()
            values = iter(self._KINDS[kind](self, there))
            rows = [next(values) if state == 2 else None if state else _ABSENT for state in states]
        self.depth -= 1
        if kind not in _HAVE_COLUMNS and self.at - start >= _WORTH_NAMING:
            self.columns.append(rows)
        return rows

    def named(self, n: int, of_fields: bool) -> list[Any]:
        """The same as an earlier column."""
        number = self.unsigned()
        rows = self.columns[number] if number < len(self.columns) else []
        if number >= len(self.columns) or len(rows) != n or (not of_fields and any(row is _ABSENT for row in rows)):
            raise self.damaged()
        return rows

    def planes(self, n: int, size: int, whole: int, code: str) -> tuple[Any, ...]:
        """Numbers of `size` bytes, byte by byte, the lowest first; below them are zeros up to `whole`."""
        planes = self.take(n * size)
        numbers = bytearray(n * whole)
        for plane in range(size):
            numbers[whole - size + plane :: whole] = planes[plane * n : (plane + 1) * n]
        return struct.unpack(f"<{n}{code}", numbers)

    def nothing(self, n: int) -> list[Any]:
        if n:
            raise self.damaged()
        return []

    def flags(self, n: int) -> list[bool]:
        return [flag == 1 for flag in self.take(n)]

    def integers(self, n: int) -> list[int]:
        return [code >> 1 ^ -(code & 1) for code in self.unsigneds(n)]

    def numbers(self, n: int) -> list[float]:
        return list(map(_six_digits, self.planes(n, 4, 4, "f")))

    def doubles(self, n: int) -> list[float]:
        return list(self.planes(n, 8, 8, "d"))

    def singles(self, n: int) -> list[float]:
        return list(map(_shortest, self.planes(n, 4, 4, "f")))

    def shorts(self, n: int) -> list[float]:
        return list(map(_six_digits, self.planes(n, 3, 4, "f")))

    def texts(self, n: int) -> list[str]:
        texts = [self.text(length) for length in self.unsigneds(self.unsigned())]
        places = self.unsigneds(n)
        if places and max(places) >= len(texts):
            raise self.damaged()
        return [texts[place] for place in places]

    def objects(self, n: int) -> list[Json]:
        fields = {}
        for _ in range(self.unsigned()):
            name = self.text(self.unsigned())
            fields[name] = self.column(n, of_fields=True)
        rows = zip(*fields.values()) if fields else self.empty(n)
        return [{name: value for name, value in zip(fields, row) if value is not _ABSENT} for row in rows]

    def lists(self, n: int) -> list[list[Any]]:
        ends = list(accumulate(self.unsigneds(n), initial=0))
        elements = self.column(ends[-1])
        return [elements[start:end] for start, end in zip(ends, ends[1:])]

    def tuples(self, n: int) -> list[list[Any]]:
        parts = [self.column(n) for _ in range(self.unsigned())]
        return list(map(list, zip(*parts) if parts else self.empty(n)))

    def empty(self, n: int) -> list[tuple[()]]:
        """Rows without fields or parts."""
        self.without_bytes -= n
        if self.without_bytes < 0:
            raise self.damaged()
        return [()] * n

    def runs(self, n: int) -> list[bytes]:
        return [self.take(length) for length in self.unsigneds(n)]

    def naturals(self, n: int) -> list[int]:
        size = self.take(1)[0]
        planes = self.take(n * size)
        numbers = bytearray(n * 8)
        if size > 8:
            raise self.damaged()
        for plane in range(size):
            numbers[plane::8] = planes[plane * n : (plane + 1) * n]
        return list(struct.unpack(f"<{n}Q", numbers))

    def cosines(self, n: int) -> list[float]:
        return [steps / 10_000 for steps in self.planes(n, 2, 2, "h")]

    def coarse(self, n: int) -> list[int]:
        """Counts of which the logarithms were kept."""
        return [round(2 ** ((code - 1) / 8)) if code else 0 for code in self.take(n)]

    # in the place of `_SAME` stands what is never called
    _KINDS = (nothing, flags, integers, numbers, doubles, singles, shorts, texts, objects, lists, tuples, runs, cosines, nothing, coarse, naturals)


def _all(path: str, records: list[Any]) -> list[Any]:
    return records


def _only(path: str, records: list[Any]) -> Any:
    return records[0]


def _neuron_in(path: str, neurons: list[Json], row: int, within: str | None, layer: int, neuron: int) -> Json:
    """A neuron of a packed file, in whose objects its layer and number are."""
    found = neurons[row] if row < len(neurons) else {}
    of = found.get(within, {}) if within else found
    if (of.get("layer"), of.get("neuron")) != (layer, neuron):
        raise PackedFileError(path, f"does not have neuron {layer}.{neuron}")
    return found


class _Text:
    """A file of text: the tokens from position `first` on, and their documents."""

    def __init__(self, path: str, records: list[Any]) -> None:
        record = records[0]
        self.path, self.first, self.text = path, record["first"], record["text"]
        self.documents = record["documents"]
        self.starts = [document["at"] for document in self.documents]
        lengths = record["lengths"]
        # [n + 1] where each token begins, and the last ends: 255 is continued
        self.ends = array("I", [0, *(end for end, length in zip(accumulate(lengths), lengths) if length != 255)])
        if not self.ends[-1] == sum(lengths) == len(self.text):
            raise PackedFileError(path, f"has {len(self.text)} bytes of text, and tokens of {sum(lengths)}")

    def _ends(self, at: int, end: int) -> array[int]:
        """[n + 1] Where the tokens of positions `at` … `end` − 1 begin, and the last ends."""
        if not self.first <= at <= end < self.first + len(self.ends):
            raise PackedFileError(self.path, f"does not have positions {at} to {end}")
        return self.ends[at - self.first : end - self.first + 1]

    def document(self, doc: int) -> Json:
        found = next((document for document in self.documents if document["doc"] == doc), None)
        if found is None:
            raise PackedFileError(self.path, f"does not have document {doc}")
        return found

    def tokens(self, at: int, end: int) -> list[bytes]:
        ends = self._ends(at, end)
        return [self.text[start:end] for start, end in zip(ends, ends[1:])]

    def window(self, at: int, n: int) -> Json:
        """What an example of n tokens has of its text."""
        ends = self._ends(at, at + n)
        before = bisect_right(self.starts, at)
        if before == 0:
            raise PackedFileError(self.path, f"does not have the document at position {at}")
        document = self.documents[before - 1]
        spelled = _spelled(self.text[ends[0] : ends[-1]], (end - start for start, end in zip(ends, ends[1:])))
        return {"doc": document["doc"], "source": document["source"], "start": at - document["at"], **spelled}


_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"


def _spelled(data: bytes, lengths: Iterable[int]) -> Json:
    """Tokens as records spell them: `cut` backwards."""
    text = data.decode("utf-8", "replace")
    digits = "".join("z" * (length // 35) + _DIGITS[length % 35] for length in lengths)
    spelled = {"text": text, "lengths": digits}
    return spelled if text.encode() == data else {**spelled, "bytes": b64encode(data).decode()}


def _steps(kept: bytes, bits: int) -> str:
    """Steps of 127 in base64, of which fewer bits may have been kept."""
    largest = 2 ** (bits - 1) - 1
    if largest < 127:
        steps = [code - 256 if code >= 128 else code for code in range(256)]
        table = bytes(step & 0xFF if step == -128 else math.floor(127 * step / largest + 0.5) & 0xFF for step in steps)
        kept = kept.translate(table)
    return b64encode(kept).decode()


def _by_row(rows: list[Json | None], name: str) -> Json:
    """A field that only some rows have."""
    return {str(row): of[name] for row, of in enumerate(rows) if of and name in of}


def _columns(examples: list[Json], windows: list[Json], bits: int) -> Json:
    """Packed examples as the columns of a record."""
    sources = list(dict.fromkeys(window["source"] for window in windows))
    usual = [_six_digits(_single(_single(abs(example["value"])) / 127)) for example in examples]
    columns = {
        "sources": sources,
        "doc": [window["doc"] for window in windows],
        "source": [sources.index(window["source"]) for window in windows],
        "start": [window["start"] for window in windows],
        "peak": [example["peak"] for example in examples],
        "value": [example["value"] for example in examples],
        "scale": [example.get("scale", scale) for example, scale in zip(examples, usual)],
        "text": [window["text"] for window in windows],
        "lengths": [window["lengths"] for window in windows],
        "values": [_steps(example["values"], bits) for example in examples],
    }
    if any("hook_post" in example for example in examples):
        columns["hook_post"] = [example.get("hook_post") for example in examples]
    some = {"bytes": _by_row(windows, "bytes"), **{name: _by_row(examples, name) for name in ("largest", "context_starts", "turns", "roles")}}
    return {**columns, **{name: rows for name, rows in some.items() if rows}}


def _hook_columns(examples: list[Json | None], bits: int) -> Json:
    """The hooks of packed examples as columns of a record; None where they were not kept."""
    columns = {}
    for name in _HOOKS:
        hooks = [example and example[name] for example in examples]
        columns[f"{name}_scale"] = [hook and hook["scale"] for hook in hooks]
        columns[name] = [hook and _steps(hook["values"], bits) for hook in hooks]
        if largest := _by_row(hooks, "largest"):
            columns[f"{name}_largest"] = largest
    return columns


def _decoded(column: Json, codes: tuple[int, ...], tokens: list[str]) -> dict[str, list[Any]]:
    """A column of what explore pages show by its name; of flags, one each by theirs."""
    if column["kind"] == "flags":
        return {flag: [bool(code >> bit & 1) for code in codes] for bit, flag in enumerate(column["flags"])}
    if column["kind"] == "number":
        values = {code: _number(column, code) for code in set(codes) - {0}}
        return {column["name"]: [values.get(code, math.nan) for code in codes]}
    names = [None, *(column["categories"] if column["kind"] == "category" else tokens)]
    return {column["name"]: [names[code] for code in codes]}


def _number(column: Json, code: int) -> float:
    """What a code of a column of numbers stands for: three digits below 1000 and from 1,000,000 on, else a whole number."""
    n = column["first"] + code - 1
    shift = 4 if column.get("unit") == "share" else 2  # shares are in per cent
    thousand = (3 - column["exponent"]) * 900 + 1
    over = abs(n) - thousand - 999_000
    if n == 0:
        digits, exponent = 0, 0
    elif abs(n) >= thousand and over < 0:
        digits, exponent = abs(n) - thousand + 1000, 2 - shift
    else:
        step, first = (over, 6) if over >= 0 else (abs(n) - 1, column["exponent"])
        digits, exponent = 100 + step % 900, first + step // 900 - shift
    return math.copysign(float(f"{digits}e{exponent}"), n)


def _key(text: str) -> str:
    """What tokens are sorted by, but with one sigma only."""
    return (text.lstrip(" ") or text).lower().replace("ς", "σ")


def _utf16(text: str) -> bytes:
    """As which texts are compared."""
    return text.encode("utf-16-be")


class _Script(HTMLParser):
    """The text of a script element by its id."""

    def __init__(self, id: str) -> None:
        super().__init__()
        self.id, self.inside, self.text = id, False, ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.inside = tag == "script" and ("id", self.id) in attributes

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.text += data
