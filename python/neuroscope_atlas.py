"""Reads an atlas of neurons, a static site that `neuroscope build` made. Needs `requests` only.

    from neuroscope_atlas import Atlas, examples

    atlas = Atlas("https://example.org/atlas/")
    record = atlas.neuron("demo", 2, 208)
    for example in examples(record, "top"):
        print(example["value"], example["source"], example["tokens"][example["peak"]])

The files are described by `api/v1/openapi.json` of the site. Indices are kept and shared between calls: copy before you
change what you are given.
"""

from __future__ import annotations

import gzip
import json
import math
import re
import struct
import unicodedata
from array import array
from base64 import b64decode
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from html.parser import HTMLParser
from itertools import accumulate
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
    values: list[float]  # [n], exact at the peak, else to 1/127 of the largest; NaN where they were not finite
    hooks: dict[str, list[float]]  # gate, act and in, [n] each, to 1/127 of the largest; empty where they were not kept
    context_starts: list[int]  # tokens before which the model saw nothing
    duplicates: int  # further documents with the same text up to the peak


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

    def read(self, path: str) -> bytes:
        """A file of the site; one that is not there is a `requests.HTTPError`."""
        response = self.session.get(self.base_url + path, timeout=60)
        response.raise_for_status()
        return response.content

    def _json(self, path: str) -> Json:
        return json.loads(self.read(path))

    def models(self) -> list[Json]:
        """The models, each with `name`, `n_layers`, `d_mlp` …"""
        return self.json("api/v1/models.json")["models"]

    def model(self, model: str) -> Json:
        """A model's index: its layers, what its `measures` and `statistics` are, its `top` neurons."""
        return self.json(f"{model}/index.json")

    def layer(self, model: str, layer: int) -> Json:
        """A layer's index. Its `columns` are all numbers by name, [d_mlp] each, as `pandas.DataFrame` takes them."""
        return self.json(f"{model}/{layer}/index.json")

    def neuron(self, model: str, layer: int, neuron: int) -> Json:
        """A neuron's record (schema/neuron.json), from a file of its own or from its page."""
        path = f"{model}/{layer}/{neuron}"
        if self.model(model)["neuron_json"]:
            return self._json(f"{path}.json")
        script = _Script("neuron")
        script.feed(self.read(f"{path}.html").decode())
        return json.loads(script.text)

    def histogram_edges(self) -> list[float]:
        """[257] Bin i of every histogram of activations goes from edge i to edge i + 1."""
        _, *edges, _ = self.json("api/v1/histogram.json")["edges"]
        return [-math.inf, *edges, math.inf]

    def document(self, model: str, doc: int) -> Json:
        """A whole document: `id`, `source`, `license`, `text`, and `ids`, `tokens`, `token_bytes`, [n] each. An atlas whose
        corpus is not there has none, which is a `LookupError`."""
        if self.model(model)["documents"] is None:
            raise LookupError(f"{model} has no documents: its corpus is not there")
        starts = self.json(f"{model}/docs/index.json")["starts"]
        first = starts[bisect_right(starts, doc) - 1]
        document = self.json(f"{model}/docs/{first:06}.json")["documents"][doc - first]
        token_bytes = cut(document["text"], document["lengths"], document.get("bytes"))
        return {**document, "tokens": readable(token_bytes), "token_bytes": token_bytes}

    def find_tokens(self, model: str, text: str) -> list[tuple[int, str]]:
        """Ids and texts of the tokens that begin with a text. Case, and spaces in front, do not count."""
        names = self.json(f"{model}/tokens/index.json")["names"]
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
            tokens = self.json(f"{model}/tokens/names-{file}.json")["tokens"]
            found += [(token, name) for token, name in tokens if _key(name).startswith(sought)]
        return found

    def token(self, model: str, token: int) -> Json:
        """A token's `text`, and lists of (layer, neuron, value): `promoted_by`, `suppressed_by`, `promoted_by_v`,
        `suppressed_by_v`, by what the neuron does when it fires on its dominant side (absent in atlases analysed before 0.3);
        `promoted_logit`, `suppressed_logit`, `promoted_v`, `suppressed_v`, by the sign of the value; `peaks_top`,
        `peaks_bottom`, which are cut off, of `n_peaks_top` and `n_peaks_bottom`."""
        index = self.json(f"{model}/tokens/index.json")
        first = token - token % index["tokens_per_file"]
        found = dict(self.json(f"{model}/tokens/{first:06}.json")["tokens"][token - first])
        for name, pairs in found.items():
            if isinstance(pairs, list):
                found[name] = [(*divmod(flat, index["d_mlp"]), value) for flat, value in pairs]
        return found

    def word(self, model: str, word: str) -> Json:
        """The neurons with a word in their examples: `n_neurons`, and the best of them, `neurons`, as (layer, neuron,
        examples that fire on it, examples that have it, the first of these: its rank in `top`, or, below zero, in
        `bottom`); `said`, those with it in a note or an explanation."""
        index = self.json(f"{model}/words/index.json")
        d_mlp = index["d_mlp"]
        word = fold(word)
        file = bisect_right(index["files"], _utf16(word), key=_utf16) - 1
        entries = self.json(f"{model}/words/{file}.json")["words"] if file >= 0 else []
        _, n, best, said = next(([*entry, []][:4] for entry in entries if entry[0] == word), (word, 0, [], []))
        of_each = zip(best[::4], best[1::4], best[2::4], best[3::4])
        neurons = [(*divmod(flat, d_mlp), *of_word) for flat, *of_word in of_each]
        return {"n_neurons": n, "neurons": neurons, "said": [divmod(flat, d_mlp) for flat in said]}

    def explore(self, model: str) -> dict[str, list[Any]]:
        """All neurons of a model as columns, [n_layers · d_mlp] each: `layer`, `neuron`, numbers (three digits; NaN
        where there is none), `class`, `role` and tokens (None where there is none), flags (True where set)."""
        data = self.read(f"{model}/explore.bin.gz")
        if data.startswith(b"\x1f\x8b"):  # some hosts unpack it
            data = gzip.decompress(data)
        body = 4 + int.from_bytes(data[:4], "little")
        header = json.loads(data[4:body])
        n, d_mlp = header["n_neurons"], header["d_mlp"]
        columns = {"layer": [i // d_mlp for i in range(n)], "neuron": [i % d_mlp for i in range(n)]}
        for column in header["columns"]:
            codes = bytearray(4 * n)
            for plane in range(column["bytes"]):
                start = body + column["offset"] + plane * n
                codes[plane::4] = data[start : start + n]
            columns.update(_decoded(column, struct.unpack(f"<{n}I", codes), header["tokens"]))
        return columns


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
    hooks = {name: columns[name][row] for name in ("gate", "act", "in") if columns.get(name)}
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
        "duplicates": duplicates,
    }


def _decoded(column: Json, codes: tuple[int, ...], tokens: list[str]) -> dict[str, list[Any]]:
    """A column of explore.bin.gz by its name; of flags, one each by theirs."""
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
