#!/usr/bin/env python3
"""An independent check of an atlas of the demo: recomputes random neurons with Hugging Face transformers and numpy.

usage: check.py DATA [neurons] [seed]     (DATA is data/demo; needs ../conformance/requirements.txt)

From the committed weights and corpus it recomputes, for each neuron, the statistics, the histogram, the sign cases,
the lists with their near-duplicates, the bands and the random samples, by the definitions of docs/definitions.md and
without any bound on memory, and compares them with the atlas: values to 1e-4, lists identical up to ties.
"""
import io
import json
import os
import sys

import numpy as np
import pyarrow.parquet as pq
import torch
import zstandard
from tokenizers import Tokenizer
from transformers import AutoModelForCausalLM

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
DATA = sys.argv[1]
N_NEURONS = int(sys.argv[2]) if len(sys.argv) > 2 else 20
SEED = int(sys.argv[3]) if len(sys.argv) > 3 else 0
CASES = ["gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"]
torch.set_grad_enabled(False)

policy = json.load(open(f"{DATA}/atlas/manifest.json"))["scan"]["policy"]
options = policy["stats"]
model = AutoModelForCausalLM.from_pretrained(f"{ROOT}/demo/model", dtype=torch.float32).eval()
n_layers, d_mlp = model.config.num_hidden_layers, model.config.intermediate_size
rng = np.random.default_rng(SEED)
flat = np.sort(rng.choice(n_layers * d_mlp, N_NEURONS, replace=False))
chosen = {layer: [int(n) for n in flat[flat // d_mlp == layer] % d_mlp] for layer in range(n_layers)}

# every position of every document: gate, in, act and post of the chosen neurons
tokenizer = Tokenizer.from_file(f"{ROOT}/demo/model/tokenizer.json")
stream = zstandard.ZstdDecompressor().stream_reader(open(f"{ROOT}/demo/corpus.jsonl.zst", "rb"))
texts = [json.loads(line)["text"] for line in io.TextIOWrapper(stream, encoding="utf-8")]
documents = [np.array(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
special = [token_id for token_id, token in tokenizer.get_added_tokens_decoder().items() if token.special]
captured = {}
for i, layer in enumerate(model.model.layers):
    layer.mlp.gate_proj.register_forward_hook(lambda _, __, out, i=i: captured.__setitem__((i, "gate"), out[0]))
    layer.mlp.up_proj.register_forward_hook(lambda _, __, out, i=i: captured.__setitem__((i, "in"), out[0]))
    layer.mlp.down_proj.register_forward_hook(lambda _, inputs, __, i=i: captured.__setitem__((i, "post"), inputs[0][0]))
values = {layer: {q: [] for q in ("gate", "in", "post")} for layer in chosen}
bos_values = {layer: [] for layer in chosen}
capacity = policy["n_ctx"] - 1
for number, ids in enumerate(documents):
    for start in range(0, len(ids), capacity):
        model.model(torch.tensor([[policy["bos"], *ids[start : start + capacity]]]))
        for layer, neurons in chosen.items():
            for quantity in ("gate", "in", "post"):
                values[layer][quantity].append(captured[layer, quantity][1:, neurons].numpy())
            bos_values[layer].append(captured[layer, "post"][0, neurons].numpy())
    if number % 200 == 0:
        print(f"{number}/{len(documents)} documents", file=sys.stderr, flush=True)

doc = np.concatenate([np.full(len(ids), i) for i, ids in enumerate(documents)])
pos = np.concatenate([np.arange(len(ids)) for ids in documents])
tokens = np.concatenate(documents)
first = np.concatenate([[0], np.cumsum([len(ids) for ids in documents])])
counted = ~np.isin(tokens, special)
N = int(counted.sum())


def mix(z):
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


with np.errstate(over="ignore"):
    seed = mix(np.array([options["seed"]], dtype=np.uint64))
    hashes = mix(seed ^ (doc.astype(np.uint64) << np.uint64(32) | pos.astype(np.uint64)))
by_hash = np.lexsort((pos, doc, hashes))
by_hash = by_hash[counted[by_hash]]


def bins(x):
    bits = (x.astype(np.float32) + np.float32(0)).view(np.uint32).astype(np.int64)
    magnitude = np.clip(((bits & 0x7FFFFFFF) >> 21) - 444 + 1, 0, 127)
    return np.where(bits >> 31 == 1, 127 - magnitude, 128 + magnitude)


def best(score, among, k):
    """The k best contexts: (index of the peak, number of near-duplicates)."""
    order = np.lexsort((pos[among], doc[among], -score[among]))
    seen_docs, groups = set(), {}
    for at in among[order]:
        if doc[at] in seen_docs:
            continue
        seen_docs.add(doc[at])
        begin = max(first[doc[at]], at - options["context_tokens"] + 1)
        groups.setdefault(tokens[begin : at + 1].tobytes(), []).append(at)
    ranked = sorted(groups.values(), key=lambda group: (-score[group[0]], doc[group[0]]))[:k]
    threshold = score[ranked[-1][0]] if len(ranked) == k else -np.inf
    return [(group[0], sum(score[other] > threshold for other in group[1:])) for group in ranked]


worst = {}
n_lists = n_ties = 0


def close(name, found, expected, scale=None):
    error = abs(float(found) - float(expected)) / max(abs(float(expected)), scale or 0, 1e-12)
    worst[name] = max(worst.get(name, 0), error)
    assert error <= 1e-4, f"{where}: {name} is {found}; expected {expected}"


silu = lambda x: x / (1 + np.exp(-x))  # noqa: E731
for layer, neurons in chosen.items():
    if not neurons:
        continue
    quantities = {q: np.concatenate(v) for q, v in values[layer].items()}
    stats = pq.read_table(f"{DATA}/atlas/layer-{layer:03}.stats.parquet").to_pylist()
    examples = pq.read_table(f"{DATA}/atlas/layer-{layer:03}.examples.parquet").to_pylist()
    for column, neuron in enumerate(neurons):
        where = f"{layer}.{neuron}"
        gate, inp, post = (quantities[q][:, column].astype(np.float64) for q in ("gate", "in", "post"))
        found, x = stats[neuron], post[counted]
        assert found["count"] == N and found["not_finite"] == 0
        spread = x.std()
        raw = [found[f"sum{i}"] / N for i in (1, 2, 3, 4)]
        m = raw[0]
        var = raw[1] - m**2
        close("mean", m, x.mean(), spread)
        close("variance", var, x.var())
        close("skewness", (raw[2] - 3 * m * raw[1] + 2 * m**3) / var**1.5, ((x - x.mean()) ** 3).mean() / x.std() ** 3, 1)
        close("kurtosis", (raw[3] - 4 * m * raw[2] + 6 * m**2 * raw[1] - 3 * m**4) / var**2, ((x - x.mean()) ** 4).mean() / x.var() ** 2)
        close("min", found["min"], x.min())
        close("max", found["max"], x.max())
        # a value within rounding of a threshold may fall on either side of it
        near = lambda v, t: int((np.abs(v - t) < 1e-5 * np.maximum(1, np.abs(t))).sum())  # noqa: E731
        assert abs(found["firing"] - (gate[counted] > 0).sum()) <= near(gate[counted], 0), where
        assert abs(found["above_tau"] - (np.abs(x) > options["tau"]).sum()) <= near(np.abs(x), options["tau"]), where
        histogram = np.bincount(bins(x), minlength=256)
        mine = np.zeros(256, dtype=np.int64)
        mine[found["histogram_bins"]] = found["histogram_counts"]
        moved = np.abs(np.cumsum(histogram) - np.cumsum(mine)).max()
        assert mine.sum() == N and moved <= max(20, N * 1e-4), f"{where}: histograms differ by {moved}"
        bos = np.array([v[column] for v in bos_values[layer]], dtype=np.float64)
        assert found["special_count"] == len(bos) + (~counted).sum()
        close("special mean", found["special_sum1"] / found["special_count"], bos.mean(), spread)
        start = counted & (pos % capacity < 3)  # after a BOS, positions 1 to 3 of a window
        assert found["start_count"] == start.sum()
        close("mean at starts", found["start_sum1"] / start.sum(), post[start].mean(), spread)
        for name, of in (("min", np.min), ("max", np.max)):
            close(f"{name} at starts", found[f"start_{name}"], of(post[start]), spread)
            close(f"{name} elsewhere", found[f"elsewhere_{name}"], of(post[counted & ~start]), spread)
        sign = np.where((gate == 0) | (inp == 0), -1, 2 * (gate < 0) + (inp < 0))
        sign[~counted] = -1
        for number, case in enumerate(CASES):
            among = sign == number
            assert abs(found[f"{case}_count"] - among.sum()) <= near(gate, 0) + near(inp, 0), f"{where} {case}"
            for name, v in (("gate", gate), ("act", silu(gate)), ("in", inp), ("post", post)):
                close(f"sign case sum of {name}", found[f"{case}_{name}_sum"], v[among].sum(), np.abs(v).sum() * 1e-2)
                close(f"sign case extreme of {name}", found[f"{case}_{name}_extreme"], v[among][np.abs(v[among]).argmax()])

        lists = {}
        for row in examples:
            if row["neuron"] == neuron:
                lists.setdefault(row["list"], []).append(row)
        expected = {"top": (post, np.flatnonzero(counted), options["top_k"]), "bottom": (-post, np.flatnonzero(counted), options["top_k"])}
        for number, case in enumerate(CASES):
            expected[case] = (np.abs(post), np.flatnonzero(sign == number), options["case_k"])
        for name, (score, among, k) in expected.items():
            n_lists += 1
            wanted, rows = best(score, among, k), lists.get(name, [])
            assert len(rows) == len(wanted), f"{where} {name}: {len(rows)} examples; expected {len(wanted)}"
            for row, (at, duplicates) in zip(rows, wanted):
                close(f"value in {name}", row["value"], post[at])
                if (row["doc"], row["pos"]) != (doc[at], pos[at]):
                    other = first[row["doc"]] + row["pos"]
                    assert abs(score[other] - score[at]) <= 2e-5 * abs(score[at]), f"{where} {name}: other examples"
                    n_ties += 1
                    continue
                assert abs(len(row["duplicates"]) - min(duplicates, 255)) <= 1, f"{where} {name}: duplicates"
                begin = max(first[row["doc"]], at - options["window_before"])
                end = min(first[row["doc"] + 1], at + options["window_after"] + 1)
                assert row["start"] == pos[begin] and len(row["steps"]) == end - begin
                window = np.array(row["steps"]) * row["scale"]
                assert np.abs(window - post[begin:end]).max() <= row["scale"] * 0.51 + 1e-4 * np.abs(post[begin:end]).max(), f"{where} {name}: values around the peak"
                assert (row.get("gate_steps") is not None) == (options.get("keep_hooks", False) and name in CASES), f"{where} {name}: hooks"
                for hook, v in (("gate", gate), ("act", silu(gate)), ("in", inp)) if row.get("gate_steps") else ():
                    kept = np.array(row[f"{hook}_steps"]) * row[f"{hook}_scale"]
                    slack = row[f"{hook}_scale"] * 0.51 + 1e-4 * np.abs(v[begin:end]).max()
                    assert np.abs(kept - v[begin:end]).max() <= slack, f"{where} {name}: {hook} around the peak"

        below = np.concatenate([[0], np.cumsum(mine)])
        middle = (below[:-1] + mine / 2) / N
        rank = middle[bins(post)]
        for low, high in policy["bands"]:
            tries = by_hash[: int(np.ceil(4 * options["per_band"] / (high - low)))]
            wanted = [at for at in tries if low <= rank[at] < high][: options["per_band"]]
            rows = lists.get(f"band_{low}_{high}", [])
            same = [(row["doc"], row["pos"]) for row in rows] == [(doc[at], pos[at]) for at in wanted]
            if not same:  # a value next to the edge of a bin
                edge = [at for at in tries if len(set(bins(post[at] * np.array([1 - 2e-5, 1, 1 + 2e-5])))) > 1]
                assert edge, f"{where}: band {low}–{high}"
        wanted = [(doc[at], pos[at]) for at in by_hash[: options["random"]]]
        assert [(row["doc"], row["pos"]) for row in lists["random"]] == wanted, f"{where}: random"
        for row in lists["random"]:
            close("value in random", row["value"], post[first[row["doc"]] + row["pos"]], spread)

print(f"{len(flat)} neurons over {N} positions agree; {n_lists} lists, {n_ties} entries differ by ties")
for name, error in sorted(worst.items()):
    print(f"  {name}: largest relative error {error:.1e}")
