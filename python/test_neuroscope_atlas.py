"""Tests the client against a site that is served, and what the site's files say against one another:

    python3 -m http.server --directory site 8000 &
    python3 test_neuroscope_atlas.py http://127.0.0.1:8000/ [MODEL [PACKED]]

PACKED is the address of the same atlas as a packed site, which must answer the same.
"""

import gzip
import json
import math
import random
import re
import struct
import sys
import unicodedata
import unittest
import zlib
from base64 import b64decode
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

import neuroscope_atlas
from neuroscope_atlas import Atlas, OtherBuildError, PackedFileError, cut, examples, fold, histogram

NEURONS = 50
URL, MODEL, PACKED = "http://127.0.0.1:8000/", None, None


def words(text: str) -> set[str]:
    """Words of ASCII letters in a text."""
    letters = (c if unicodedata.category(c)[0] in "LMN" else " " for c in fold(text))
    return {word for word in "".join(letters).split() if re.fullmatch("[a-z]{2,32}", word)}


class AtlasTest(unittest.TestCase):
    @classmethod
    def url(cls) -> str:
        return URL

    @classmethod
    def setUpClass(cls) -> None:
        cls.atlas = Atlas(cls.url())
        models = {model["name"]: model for model in cls.atlas.models()}
        cls.info = models[MODEL or next(iter(models))]
        cls.model = cls.info["name"]
        every = [(layer, neuron) for layer in range(cls.info["n_layers"]) for neuron in range(cls.info["d_mlp"])]
        drawn = random.Random(0).sample(every, min(NEURONS, len(every)))
        cls.records = {at: cls.atlas.neuron(cls.model, *at) for at in drawn}

    def examples(self):
        for record in self.records.values():
            for name in record["lists"]:
                for example in examples(record, name):
                    yield record, name, example

    def test_examples_are_windows_of_documents(self) -> None:
        n = 0
        index = self.atlas.model(self.model)
        if index["documents"] is None and not index.get("packing"):
            self.assertTrue(all(example["source"] is None for _, _, example in self.examples()))
            self.assertRaises(LookupError, self.atlas.document, self.model, 0)
            return
        for _, _, example in self.examples():
            document = self.atlas.document(self.model, example["doc"])
            window = slice(example["start"], example["start"] + len(example["tokens"]))
            self.assertEqual(example["token_bytes"], document["token_bytes"][window])
            self.assertEqual(example["tokens"], document["tokens"][window])
            self.assertEqual(example["source"], document["source"])
            self.assertEqual(len(document.get("ids", document["tokens"])), len(document["tokens"]))
            n += 1
        self.assertGreater(n, 0)

    def test_lengths_are_digits_of_base_36(self) -> None:
        self.assertEqual([len(token) for token in cut("a" * 194, "09yz0z1zza")], [0, 9, 34, 35, 36, 80])

    def test_values_agree_with_the_peaks_of_other_examples(self) -> None:
        n = 0
        for record in self.records.values():
            ranked = [example for name in record["lists"] if "pre" not in name for example in examples(record, name)]
            peaks = {(example["doc"], example["start"] + example["peak"]): example["value"] for example in ranked}
            for example in ranked:
                step = max(map(abs, filter(math.isfinite, example["values"]))) / 127
                for position, value in enumerate(example["values"], example["start"]):
                    peak = peaks.get((example["doc"], position), value)
                    self.assertTrue(abs(value - peak) <= 0.51 * step or math.isnan(value))
                    n += position != example["start"] + example["peak"] and (example["doc"], position) in peaks
        self.assertGreater(n, 0)

    def test_values_stand_at_their_tokens(self) -> None:
        for record, _, example in self.examples():
            values, peak = example["values"], example["peak"]
            self.assertEqual(len(values), len(example["tokens"]))
            self.assertEqual(values[peak], example["value"])
            self.assertEqual(example["hook_post"] is not None, "hook_post" in record["stats"])
        for record in self.records.values():
            top, bottom = ([example["value"] for example in examples(record, name)] for name in ("top", "bottom"))
            self.assertEqual(top, sorted(top, reverse=True))
            self.assertEqual(bottom, sorted(bottom))
            if top:
                self.assertEqual((top[0], bottom[0]), (record["stats"]["max"], record["stats"]["min"]))

    def test_hooks_make_up_the_values_of_sign_cases(self) -> None:
        n = 0
        for record, name, example in self.examples():
            hooks = example["hooks"]
            self.assertTrue(set(hooks) == {"gate", "act", "in"} if "gate_scale" in record["examples"] and name.startswith("gate") else True)
            for value, act, linear in zip(example["values"], hooks.get("act", []), hooks.get("in", [])):
                steps = [max(map(abs, filter(math.isfinite, values))) / 127 for values in (example["values"], hooks["act"], hooks["in"])]
                slack = 0.51 * (steps[0] + abs(act) * steps[2] + abs(linear) * steps[1]) + steps[1] * steps[2]
                self.assertTrue(abs(value - act * linear) <= slack or math.isnan(value))
                n += 1
        if any("gate" in record["examples"] for record in self.records.values()):
            self.assertGreater(n, 0)

    def test_the_page_has_the_same_record_as_the_file(self) -> None:
        if not self.atlas.model(self.model)["neuron_json"]:
            self.skipTest("the site was built without neuron_json")
        pages = Atlas(self.url())
        pages.json = lambda path: {**self.atlas.json(path), "neuron_json": False}
        for at, record in self.records.items():
            self.assertEqual(pages.neuron(self.model, *at), record)

    def test_histograms_count_every_token(self) -> None:
        edges = self.atlas.histogram_edges()
        self.assertEqual((len(edges), edges), (257, sorted(edges)))
        for record in self.records.values():
            bins, stats = histogram(record, edges), record["stats"]
            self.assertIn(sum(count for *_, count in bins), [stats["count"]] if stats["histogram"] else [0])
            if bins:
                self.assertLessEqual(bins[0][0], stats["min"])
                self.assertLessEqual(stats["max"], bins[-1][1])

    def test_layers_have_the_numbers_of_their_neurons(self) -> None:
        for (layer, neuron), record in self.records.items():
            columns = self.atlas.layer(self.model, layer)["columns"]
            for measure, found in record["interest"].items():
                self.assertEqual(columns[measure][neuron], found["value"])
            for name in ("min", "max"):
                value = columns[name][neuron]
                self.assertTrue(value is None or math.isclose(value, record["stats"][name], rel_tol=1e-5))

    def test_explore_has_the_numbers_of_the_layers(self) -> None:
        all_neurons = self.atlas.explore(self.model)
        for layer in range(self.info["n_layers"]):
            index = self.atlas.layer(self.model, layer)
            n = index["n_neurons"]
            here = {name: column[layer * n : (layer + 1) * n] for name, column in all_neurons.items()}
            self.assertEqual((set(here["layer"]), here["neuron"]), ({layer}, list(range(n))))
            for name, values in index["columns"].items():
                for value, found in zip(values, here.get(name, [math.nan] * n)):
                    self.assertEqual(value is None, math.isnan(found), name)
                    if value is not None:
                        # to three digits, and whole where that is more
                        close = abs(value - found) <= max(0.501 * 10 ** (math.floor(math.log10(abs(value) or 1)) - 2), 1e-12)
                        self.assertTrue(close, f"{name}: {value}, {found}")
            dead = [neuron for neuron, is_dead in enumerate(here.get("dead", [])) if is_dead]
            self.assertEqual(dead, index["dead"])
            for kind, kinds in (("class", "classes"), ("role", "roles")) if index["weights"] else ():
                names = [None if at is None else index["weights"][kinds][at] for at in index["weights"][kind]]
                self.assertEqual(here.get(kind, [None] * n), names)

    def test_tokens_are_found_by_their_text_and_have_their_neurons(self) -> None:
        if not self.info["analysed"]:
            self.skipTest("the weights were not analysed")
        for at, record in self.records.items():
            top = record["logits"]["top"]
            token, text, value = top["id"][0], top["token"][0], top["value"][0]
            self.assertIn((token, text), [tuple(found) for found in self.atlas.find_tokens(self.model, text)])
            found = self.atlas.token(self.model, token)
            self.assertEqual(found["text"], text)
            if "promoted_logit" in found:
                *_, (_, _, last) = found["promoted_logit"]
                self.assertTrue((*at, value) in found["promoted_logit"] or value <= last)
            for name in ("promoted_by", "suppressed_by", "promoted_by_v", "suppressed_by_v"):
                sizes = [abs(value) for _, _, value in found[name]]
                self.assertEqual(sizes, sorted(sizes, reverse=True))

    def test_texts_are_folded_as_the_index_is(self) -> None:
        vectors = json.loads((Path(__file__).parent / "../tests/support/search.json").read_text())
        for text, folded in vectors["folded"]:
            self.assertEqual(fold(text), folded, text)

    def test_words_are_in_the_examples_of_their_neurons(self) -> None:
        n = 0
        for at, record in list(self.records.items())[:10]:
            lists = {name: examples(record, name) for name in ("top", "bottom")}
            words_in = lambda example: words(b"".join(example["token_bytes"]).decode("utf-8", "replace"))
            texts = [words_in(example) for main in lists.values() for example in main]
            for word in sorted(set().union(*texts)):
                found = self.atlas.word(self.model, word)
                self.assertGreaterEqual(found["n_neurons"], len(found["neurons"]))
                here = [of_word for *where, _, holds, first in found["neurons"] if tuple(where) == at for of_word in [(holds, first)]]
                for n_holds, first in here:
                    self.assertEqual(n_holds, sum(word in text for text in texts), f"{at} {word}")
                    self.assertIn(word, words_in(lists["top" if first > 0 else "bottom"][abs(first) - 1]), f"{at} {word}")
                n += len(here)
        self.assertGreater(n, 0)

    def test_the_shape_of_deepdecipher_has_the_same_examples(self) -> None:
        try:
            self.atlas.read(f"api/{self.model}/all/0/0")
        except requests.HTTPError:
            self.skipTest("the site was built without deepdecipher")
        for (layer, neuron), record in self.records.items():
            found = json.loads(self.atlas.read(f"api/{self.model}/all/{layer}/{neuron}"))
            self.assertEqual((found["model"], found["layer"], found["neuron"]), (self.model, layer, neuron))
            self.assertEqual(found["metadata"]["data"]["layer_size"], self.info["d_mlp"])
            texts, top = found["neuroscope"]["data"]["texts"], examples(record, "top")
            self.assertEqual(len(texts), len(top))
            for text, example in zip(texts, top):
                peak = text["max_activating_token_index"]
                self.assertEqual((text["data_index"], peak), (example["doc"], example["peak"]))
                self.assertEqual(len(text["tokens"]), len(example["tokens"]))
                self.assertTrue(math.isclose(text["activations"][peak], example["value"], rel_tol=1e-5))
                activations = [value for value in text["activations"] if value is not None]
                self.assertEqual((text["min_activation"], text["max_activation"]), (min(activations), max(activations)))
                self.assertGreaterEqual(text["max_range"], text["max_activation"])

    def test_lines_are_those_of_the_records(self) -> None:
        for at, record in self.records.items():
            lines, side = record["lines"], record["side"]
            value, *texts = self.atlas.line(self.model, *at)
            best = examples(record, "top" if not side or side["name"] == "positive" else "bottom")[0]
            self.assertTrue(math.isclose(value, best["value"], rel_tol=1e-5))
            if lines and side and lines[side["name"]]:
                self.assertEqual(texts[4], lines[side["name"]])

    def test_what_is_not_there_is_an_error(self) -> None:
        with self.assertRaises(requests.HTTPError):
            self.atlas.layer(self.model, self.info["n_layers"])
        for at in ((0, self.info["d_mlp"]), (self.info["n_layers"], 0), (0, -1)):
            self.assertRaises(LookupError, self.atlas.neuron, self.model, *at)


# how far numbers of packed files may be from those of pages, by where they are
SHORT, COSINE = 2e-5, 5.1e-5
QUANTISED = [
    (r"\.weights\.neighbours\..*\.2", lambda _: COSINE),
    (r"\.(logits|weights\.reads\..*)\.(top|bottom)\.value\.\d+", lambda value: SHORT * abs(value)),
    (r"\.examples\.((gate|act|in)_)?scale\.\d+", lambda value: SHORT * abs(value)),
    (r"\.(promoted|suppressed)_(by|by_v|logit|v)\.\d+\.2", lambda value: SHORT * abs(value)),
]


class Altered(Atlas):
    """A site some of whose files are others; it counts what is read."""

    def __init__(self, url: str, alter: Callable[[str, bytes], bytes] = lambda path, data: data, fresh: bool = True) -> None:
        super().__init__(url)
        self.alter, self.fresh, self.n_reads, self.n_fresh = alter, fresh, Counter(), Counter()

    def read(self, path: str, past_caches: bool = False) -> bytes:
        self.n_reads[path] += 1
        self.n_fresh[path] += past_caches
        data = super().read(path, past_caches)
        return data if past_caches and self.fresh else self.alter(path, data)


class PackedTest(AtlasTest):
    """A packed site passes the tests of one with pages, and answers what that answers."""

    @classmethod
    def url(cls) -> str:
        return PACKED

    @classmethod
    def setUpClass(cls) -> None:
        if not PACKED:
            raise unittest.SkipTest("there is no packed site")
        super().setUpClass()
        cls.pages = Atlas(URL)
        cls.files = [f"{cls.model}/0/{name}-000000.gz" for name in ("neurons", "hooks")] + [f"{cls.model}/text/000000.gz"]

    def assert_same(self, found: Any, expected: Any, path: str = "") -> None:
        """Compares numbers to as many digits as are packed."""
        if isinstance(expected, dict):
            self.assertEqual(set(found), set(expected), path)
            for name, value in expected.items():
                self.assert_same(found[name], value, f"{path}.{name}")
        elif isinstance(expected, (list, tuple)):
            self.assertEqual((type(found), len(found)), (type(expected), len(expected)), path)
            for i, (one, other) in enumerate(zip(found, expected)):
                self.assert_same(one, other, f"{path}.{i}")
        elif isinstance(expected, float) and (near := [of for where, of in QUANTISED if re.fullmatch(where, path)]):
            self.assertLessEqual(abs(found - expected), near[0](expected), path)
        else:
            self.assertEqual(found, expected, path)

    def every(self):
        return ((layer, neuron) for layer in range(self.info["n_layers"]) for neuron in range(self.info["d_mlp"]))

    def test_it_is_packed(self) -> None:
        self.assertIsNone(self.pages.model(self.model).get("packing"))
        self.assertTrue(self.atlas.model(self.model)["packing"])
        self.assertTrue(any("gate" in record["examples"] for record in self.records.values()))

    def test_records_are_those_of_pages(self) -> None:
        atlas, n = Altered(PACKED), 0
        for at in self.every():
            self.assert_same(atlas.neuron(self.model, *at), self.pages.neuron(self.model, *at))
            n += 1
        self.assertEqual(n, self.info["n_layers"] * self.info["d_mlp"])
        self.assertEqual(set(atlas.n_reads.values()), {1})

    def test_few_files_are_kept(self) -> None:
        atlas = Altered(PACKED)
        atlas._kept = neuroscope_atlas._Kept(1)
        for at in [(0, 0), (0, 1), (0, 0)]:
            self.assertEqual(atlas.neuron(self.model, *at), self.atlas.neuron(self.model, *at))
        self.assertEqual(len(atlas._kept.files), 1)
        self.assertEqual(atlas.n_reads[self.files[0]], 3)

    def test_a_record_can_be_changed(self) -> None:
        before = json.dumps(self.atlas.neuron(self.model, 0, 0))
        record = self.atlas.neuron(self.model, 0, 0)
        record["stats"].clear()
        record["lists"]["top"]["rows"].clear()
        record["examples"]["values"].clear()
        self.assertEqual(json.dumps(self.atlas.neuron(self.model, 0, 0)), before)

    def test_documents_are_those_of_pages(self) -> None:
        n_documents = self.pages.json(f"{self.model}/docs/index.json")["n_documents"]
        for doc in range(n_documents):
            expected = self.pages.document(self.model, doc)
            del expected["ids"]
            self.assertEqual(self.atlas.document(self.model, doc), expected)
        for doc in (-1, n_documents):
            self.assertRaises(LookupError, self.atlas.document, self.model, doc)

    def test_indices_are_those_of_pages(self) -> None:
        for layer in range(self.info["n_layers"]):
            self.assertEqual(self.atlas.layer(self.model, layer), self.pages.layer(self.model, layer))
        self.assertEqual(repr(self.atlas.explore(self.model)), repr(self.pages.explore(self.model)))
        for at in self.every():
            self.assertEqual(self.atlas.line(self.model, *at), self.pages.line(self.model, *at))
        words = self.pages.file(self.model, "words/0.json")["words"]
        for word, *_ in words[:50]:
            self.assertEqual(self.atlas.word(self.model, word), self.pages.word(self.model, word))
        for name in ("manifest.json", "figures/roles.json"):
            self.assertEqual(self.atlas.file(self.model, name), self.pages.file(self.model, name))

    def test_tokens_are_those_of_pages(self) -> None:
        n_tokens = self.pages.file(self.model, "tokens/index.json")["n_tokens"]
        signed = ("promoted_logit", "suppressed_logit", "promoted_v", "suppressed_v")
        for token in range(n_tokens):
            expected = self.pages.token(self.model, token)
            expected = {name: value for name, value in expected.items() if name not in signed}
            self.assert_same(self.atlas.token(self.model, token), expected)
            if token % 32 == 0:
                text = expected["text"]
                self.assertEqual(self.atlas.find_tokens(self.model, text), self.pages.find_tokens(self.model, text))

    def test_hosts_may_unpack_files(self) -> None:
        unpack = lambda path, data: gzip.decompress(data) if path.endswith(".gz") else data
        atlas = Altered(PACKED, unpack)
        for at, record in list(self.records.items())[:5]:
            self.assertEqual(atlas.neuron(self.model, *at), record)
        self.assertEqual(atlas.document(self.model, 0), self.atlas.document(self.model, 0))
        self.assertEqual(atlas.token(self.model, 0), self.atlas.token(self.model, 0))
        self.assertEqual(atlas.layer(self.model, 0), self.atlas.layer(self.model, 0))

    def test_what_is_damaged_is_named(self) -> None:
        def unpacked(change: Callable[[bytearray], Any]) -> Callable[[bytes], bytes]:
            def alter(data: bytes) -> bytes:
                data = bytearray(gzip.decompress(data))
                return change(data) or bytes(data)

            return alter

        def flipped(at: int) -> Callable[[bytes], bytes]:
            return lambda data: data[: at % len(data)] + bytes([data[at % len(data)] ^ 0x10]) + data[at % len(data) + 1 :]

        damages = {
            "empty": lambda data: b"",
            "cut off": lambda data: data[: len(data) // 2],
            "cut off at the end": lambda data: data[:-1],
            "cut off unpacked": unpacked(lambda data: bytes(data[:-1])),
            "cut off in its head": unpacked(lambda data: bytes(data[:16])),
            "continued": lambda data: data + b"x",
            "another file": lambda data: b"<!doctype html>",
            "flipped unpacked": unpacked(lambda data: data.__setitem__(len(data) // 2, data[len(data) // 2] ^ 1)),
            **{f"flipped at {at}": flipped(at) for at in (0, 1, 100, -3, -200)},
        }
        for file in self.files:
            for name, damage in damages.items():
                atlas = Altered(PACKED, lambda path, data: damage(data) if path == file else data)
                with self.subTest(file=file, damage=name), self.assertRaises(PackedFileError) as raised:
                    for neuron in range(self.info["d_mlp"]):  # until one has its text in the file
                        atlas.neuron(self.model, 0, neuron)
                self.assertNotIsInstance(raised.exception, OtherBuildError)
                self.assertTrue(str(raised.exception).startswith(f"`{file}` "), raised.exception)
        for file in ("0/index.json.gz", "explore/[a-z_]+.gz", "tokens/000000.gz"):
            atlas = Altered(PACKED, lambda path, data: data if path.endswith("explore/index.json.gz") else data[:-20])
            atlas.model = self.atlas.model
            atlas.json = lambda path: self.atlas.json(path) if "tokens/index" in path else atlas._json(path)
            read = {"0": lambda: atlas.layer(self.model, 0), "e": lambda: atlas.explore(self.model), "t": lambda: atlas.token(self.model, 0)}
            with self.assertRaisesRegex(PackedFileError, f"{file}` is cut off"):
                read[file[0]]()

    def test_other_versions_are_named(self) -> None:
        newer = lambda data: data[:4] + bytes([2]) + data[5:]
        atlas = Altered(PACKED, lambda path, data: newer(gzip.decompress(data)) if "/neurons-" in path else data)
        with self.assertRaisesRegex(PackedFileError, "neurons-000000.gz` is packed in version 2"):
            atlas.neuron(self.model, 0, 0)
        atlas = Altered(PACKED)
        index = {**self.atlas.model(self.model), "packing": {**self.atlas.model(self.model)["packing"], "version": 2}}
        atlas.model = lambda model: index
        with self.assertRaisesRegex(PackedFileError, "index.json` is packed in version 2"):
            atlas.neuron(self.model, 0, 0)

    def test_another_build_is_read_again_and_then_named(self) -> None:
        other = lambda data: data[:5] + b"anything" + data[13:]
        for file in self.files:
            alter = lambda path, data: other(gzip.decompress(data)) if path == file else data
            kept_by_caches, built_again = Altered(PACKED, alter), Altered(PACKED, alter, fresh=False)
            for neuron in range(self.info["d_mlp"]):
                record = kept_by_caches.neuron(self.model, 0, neuron)
                self.assertEqual(record, self.atlas.neuron(self.model, 0, neuron))
            self.assertEqual((kept_by_caches.n_reads[file], +kept_by_caches.n_fresh), (2, {file: 1}))
            with self.assertRaisesRegex(OtherBuildError, f"{file}` is of build {b'anything'.hex()}.*built again"):
                for neuron in range(self.info["d_mlp"]):
                    built_again.neuron(self.model, 0, neuron)
            self.assertEqual((built_again.n_reads[file], +built_again.n_fresh), (2, {file: 1}))
            # the next call follows the new index
            built_again.alter = lambda path, data: data
            self.assertEqual(built_again.neuron(self.model, 0, 0), self.atlas.neuron(self.model, 0, 0))
            self.assertEqual(built_again.n_reads[f"{self.model}/index.json"], 2)

    def test_columns_of_another_build_are_named(self) -> None:
        other = lambda data: data[:5] + b"anything" + data[13:]
        alter = lambda path, data: other(gzip.decompress(data)) if path.endswith("/kurtosis.gz") else data
        atlas = Altered(PACKED, alter, fresh=False)
        with self.assertRaisesRegex(OtherBuildError, "explore/kurtosis.gz` is of build"):
            atlas.explore(self.model)
        # the next call follows the new header
        atlas.alter = lambda path, data: data
        self.assertEqual(repr(atlas.explore(self.model)), repr(self.atlas.explore(self.model)))
        self.assertEqual(atlas.n_reads[f"{self.model}/explore/index.json.gz"], 2)

    def test_any_bytes_are_records_or_an_error(self) -> None:
        drawn, n = random.Random(0), 0
        for file in self.files:
            content = gzip.decompress(self.atlas.read(file))[17:]
            for _ in range(60):
                damaged = bytearray(content)
                for _ in range(drawn.randint(1, 4)):
                    at = drawn.randrange(min(len(damaged), drawn.choice((8, 256, len(damaged)))))
                    damaged[at] = drawn.choice((0, 0xFF, 0x7F, drawn.randrange(256)))
                head = b"NSPK\1" + bytes(8) + struct.pack("<I", zlib.crc32(damaged))
                atlas = Atlas(PACKED)
                atlas.read = lambda path: head + damaged
                made_of = neuroscope_atlas._Text if "/text/" in file else neuroscope_atlas._all
                try:
                    atlas._packed(file, bytes(8).hex(), made_of)
                except PackedFileError:
                    n += 1
        self.assertGreater(n, 30)


class ColumnsTest(unittest.TestCase):
    """The columns of packed files, as docs/format.md describes them."""

    def read(self, *column: int | bytes, n: int) -> list[Any]:
        data = b"".join(part if isinstance(part, bytes) else bytes([part]) for part in column)
        reader = neuroscope_atlas._Columns("a file", data)
        rows = reader.column(n)
        self.assertEqual(reader.at, len(data))
        return rows

    def test_every_kind(self) -> None:
        planes = lambda code, *numbers: b"".join(bytes(plane) for plane in zip(*(struct.pack(f"<{code}", number) for number in numbers)))
        upper = planes("f", 1.5, -2.0)[2:]
        self.assertEqual(self.read(0, n=0), [])
        self.assertEqual(self.read(1, 0, 1, n=2), [False, True])
        self.assertEqual(self.read(2, 0, 1, 2, 0xC8, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, n=5), [0, -1, 1, 100, -(2**32)])
        self.assertEqual(self.read(3, planes("f", 0.1, -123.456), n=2), [0.1, -123.456])
        self.assertEqual(self.read(4, planes("d", 1e-300, -1 / 3), n=2), [1e-300, -1 / 3])
        self.assertEqual(self.read(5, planes("f", 0.1, 3.4028235e38, 1e-45), n=3), [0.1, 3.4028235e38, 1e-45])
        self.assertEqual(self.read(6, upper, n=2), [1.5, -2.0])
        self.assertEqual(self.read(7, 2, 1, 2, "aé".encode(), 1, 0, 1, n=3), ["é", "a", "é"])
        self.assertEqual(self.read(8, 1, 1, b"x", 0x81, 0, 1, 2, 1, n=3), [{}, {"x": None}, {"x": True}])
        self.assertEqual(self.read(8, 0, n=2), [{}, {}])
        self.assertEqual(self.read(9, 0, 2, 2, 2, 4, n=2), [[], [1, 2]])
        self.assertEqual(self.read(10, 2, 2, 0, 2, 1, 1, 0, n=2), [[0, True], [1, False]])
        self.assertEqual(self.read(11, 2, 0, b"ab", n=2), [b"ab", b""])
        self.assertEqual(self.read(12, planes("h", 10_000, -1), n=2), [1.0, -0.0001])
        self.assertEqual(self.read(0x82, 1, 2, 4, n=2), [None, 2])
        self.assertEqual(self.read(0x80, 1, 1, n=2), [None, None])

    def test_damage_is_an_error_before_anything_is_made(self) -> None:
        damaged = {
            "an unknown kind": [13],
            "rows of no kind": [0],
            "too few numbers": [4, bytes(7)],
            "a length that never ends": [2, b"\xff" * 20],
            "a text that is not there": [7, 1, 1, b"a", 1],
            "bytes that are not UTF-8": [7, 1, 1, b"\xff", 0],
            "an unknown state": [0x81, 3, 1],
            "an absent row": [0x81, 0],
            "a list that is too long": [9, b"\xff\xff\xff\xff\x0f", 2, 0],
            "objects without bytes": [9, b"\xff\xff\xff\xff\x0f", 8, 0],
            "tuples without bytes": [9, b"\xff\xff\xff\xff\x0f", 10, 0],
            "lists in lists without end": [b"\x09\x01" * 10_000],
        }
        for name, column in damaged.items():
            with self.subTest(name), self.assertRaisesRegex(PackedFileError, "^`a file` is (damaged|cut off)"):
                self.read(*column, n=1)

    def test_a_file_is_not_unpacked_without_end(self) -> None:
        packed = gzip.compress(bytes(1 << 20))
        largest, neuroscope_atlas._MOST_BYTES = neuroscope_atlas._MOST_BYTES, 1 << 16
        try:
            self.assertRaisesRegex(PackedFileError, "more than 65536 bytes", neuroscope_atlas._unpacked, "a file", packed)
        finally:
            neuroscope_atlas._MOST_BYTES = largest

    def test_fewer_bits_stand_for_steps_of_127(self) -> None:
        steps = lambda bits, *kept: struct.unpack(f"{len(kept)}b", b64decode(neuroscope_atlas._steps(struct.pack(f"{len(kept)}b", *kept), bits)))
        self.assertEqual(steps(8, -128, -127, 0, 5, 127), (-128, -127, 0, 5, 127))
        self.assertEqual(steps(4, -128, -7, -1, 0, 3, 7), (-128, -127, -18, 0, 54, 127))
        self.assertEqual(steps(2, -128, -1, 0, 1), (-128, -127, 0, 127))

    def test_lengths_of_tokens_are_continued(self) -> None:
        record = {"first": 10, "documents": [{"doc": 3, "at": 8, "source": "x"}], "text": b"a" * 300 + b"\xc3", "lengths": bytes([0, 255, 45, 1])}
        text = neuroscope_atlas._Text("a file", [record])
        self.assertEqual(list(map(len, text.tokens(10, 13))), [0, 300, 1])
        window = text.window(11, 2)
        self.assertEqual((window["doc"], window["source"], window["start"]), (3, "x", 3))
        self.assertEqual(cut(window["text"], window["lengths"], window["bytes"]), [b"a" * 300, b"\xc3"])
        for at, n in ((9, 1), (12, 2)):
            self.assertRaisesRegex(PackedFileError, "does not have positions", text.window, at, n)
        for lengths in (bytes([255, 45]), bytes([255, 46, 255])):
            self.assertRaises(PackedFileError, neuroscope_atlas._Text, "a file", [{**record, "lengths": lengths}])


if __name__ == "__main__":
    URL = sys.argv.pop(1) if len(sys.argv) > 1 else URL
    MODEL = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else MODEL
    PACKED = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else PACKED
    unittest.main()
