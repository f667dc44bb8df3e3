"""Tests the client against a site that is served, and what the site's files say against one another:

    python3 -m http.server --directory site 8000 &
    python3 test_neuroscope_atlas.py http://127.0.0.1:8000/ [MODEL]
"""

import json
import math
import random
import re
import sys
import unicodedata
import unittest
from pathlib import Path

import requests

from neuroscope_atlas import Atlas, cut, examples, fold, histogram

NEURONS = 50
URL, MODEL = "http://127.0.0.1:8000/", None


def words(text: str) -> set[str]:
    """Words of ASCII letters in a text."""
    letters = (c if unicodedata.category(c)[0] in "LMN" else " " for c in fold(text))
    return {word for word in "".join(letters).split() if re.fullmatch("[a-z]{2,32}", word)}


class AtlasTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.atlas = Atlas(URL)
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
        if self.atlas.model(self.model)["documents"] is None:
            self.assertTrue(all(example["source"] is None for _, _, example in self.examples()))
            self.assertRaises(LookupError, self.atlas.document, self.model, 0)
            return
        for _, _, example in self.examples():
            document = self.atlas.document(self.model, example["doc"])
            window = slice(example["start"], example["start"] + len(example["tokens"]))
            self.assertEqual(example["token_bytes"], document["token_bytes"][window])
            self.assertEqual(example["tokens"], document["tokens"][window])
            self.assertEqual(example["source"], document["source"])
            self.assertEqual(len(document["ids"]), len(document["tokens"]))
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
        pages = Atlas(URL)
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

    def test_what_is_not_there_is_an_error(self) -> None:
        with self.assertRaises(requests.HTTPError):
            self.atlas.layer(self.model, self.info["n_layers"])


if __name__ == "__main__":
    URL = sys.argv.pop(1) if len(sys.argv) > 1 else URL
    MODEL = sys.argv.pop(1) if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else MODEL
    unittest.main()
