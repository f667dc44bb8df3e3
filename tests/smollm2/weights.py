#!/usr/bin/env python3
"""Compares what `neuroscope analyze` wrote of a model's weights with ../conformance/weights.py, and prints how far they are apart.

usage: weights.py MODEL.gguf DATA   (needs numpy, pyarrow, torch, transformers, gguf, safetensors; 3 GB of memory)

Every neuron's numbers, tokens and roles are compared; neighbours of 2,000 random neurons, and 2,000 random tokens. A list
may order its entries differently where their values are equal up to 1e-5 of them, or 2e-6 of the largest value of all
that could be in it. Exits with 1 where more differs than rounding explains.
"""
import itertools
import json
import os
import pathlib
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import torch

here = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent / "conformance"))
import weights as reference  # noqa: E402

torch.set_grad_enabled(False)
LIMIT = 1e-5
CANCELLED = 2e-6
N_SAMPLED = 2000
N_SHOWN = 20  # neurons listed by name of those that differ


def load(path):
    from transformers import AutoModelForCausalLM

    folder, file = os.path.split(os.path.abspath(path))
    return reference.of_transformers(AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32))


def sample(n):
    return np.sort(np.random.default_rng(0).choice(n, min(N_SAMPLED, n), replace=False))


# --- what the atlas has -----------------------------------------------------------------------------------------------

def numbers(table, name):
    return table[name].combine_chunks().cast("float64").to_numpy(zero_copy_only=False)


def named(table, name, names):
    """Strings as their places in `names`, -1 for null."""
    return np.array([-1 if value is None else names.index(value) for value in table[name].to_pylist()])


def lists(table, name, k, id_of):
    """A column of lists as ids and values [rows, k], filled with -1 and 0. `id_of` makes ids of a struct's fields."""
    column = table[name].combine_chunks()
    length = column.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
    assert length.max(initial=0) <= k, f"`{name}` has lists of more than {k}"
    entries = column.flatten()
    field = lambda part: entries.field(part).to_numpy(zero_copy_only=False)  # noqa: E731
    there = np.arange(k) < length[:, None]
    ids, values = np.full((len(column), k), -1), np.zeros((len(column), k))
    ids[there], values[there] = id_of(field), field("value")
    return ids, values


def of_token(field):
    return field("token").astype(np.int64)


def of_neuron(n):
    return lambda field: field("layer").astype(np.int64) * n + field("neuron")


# --- comparison -------------------------------------------------------------------------------------------------------

class Report:
    def __init__(self):
        self.far, self.counts, self.roles, self.shown, self.failed = {}, {}, {}, [], False

    def near(self, name, found, expected, relative=False, limit=LIMIT):
        """Keeps the largest difference; a limit of None is for what is only printed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            far = np.abs(found - expected) / (np.abs(expected) if relative else 1)
        far = np.where((found == expected) | (np.isnan(found) & np.isnan(expected)), 0, far)
        far = float(np.where(np.isnan(far), np.inf, far).max(initial=0))
        kind = "relative" if relative else "absolute"
        self.far[name] = (max(far, self.far.get(name, (0,))[0]), kind, limit)

    def count(self, name, of, what, wrong=0, fine="", excused=0):
        """Adds up how many are wrong, and how many look so and are not: the latter are what `fine` says."""
        before = self.counts.get(name, (0, 0, 0))
        self.counts[name] = (before[0] + of, before[1] + int(wrong), before[2] + int(excused), what, fine)

    def show(self, line):
        self.shown.append(line)

    def print(self):
        for name, (far, kind, limit) in self.far.items():
            bad = limit is not None and far > limit
            self.failed |= bad
            print(f"{name:28} {far:.2e} {kind}{'' if limit is not None else ', not judged'}{'  <-- too far' if bad else ''}")
        for name, (of, wrong, excused, what, fine) in self.counts.items():
            self.failed |= wrong > 0
            print(f"{name:28} {wrong} of {of} {what}{f', {excused} {fine}' if fine else ''}{'  <-- too many' if wrong else ''}")
        print("roles expected:", ", ".join(f"{n} {name}" for name, n in self.roles.items()))
        for line in self.shown[:N_SHOWN]:
            print(line)
        if len(self.shown) > N_SHOWN:
            print(f"... and {len(self.shown) - N_SHOWN} more neurons")


def close(a, b, scores):
    # a value near zero is a sum of large ones that cancel, and is as exact as the larger values of its row
    return np.abs(a - b) <= np.maximum(LIMIT * np.maximum(np.abs(a), np.abs(b)), CANCELLED * np.abs(scores).max(1, keepdims=True))


def compare_lists(report, name, scores, keys, ids, values):
    """An entry is right if its place has the right value, and its id has that value too."""
    k = ids.shape[1]
    expected = reference.best(keys, k)
    there = ids >= 0
    inside = there & (ids < scores.shape[1])
    own = reference.taken(scores, np.where(inside, ids, -1))
    ranked = np.abs if "stream" in name or "ed_by" in name or name.startswith(("in_in", "out_out")) else lambda x: x
    right = inside & close(own, values, scores) & close(ranked(values), ranked(reference.taken(scores, expected)), scores)
    right &= np.take_along_axis(keys, np.where(inside, ids, 0), 1) > -np.inf
    for i in range(1, k):
        right[:, i] &= (ids[:, :i] != ids[:, i : i + 1]).all(1)
    right = np.where(there | (expected >= 0), right, True)
    report.count(name, right.size, "entries differ other than by ties", (~right).sum(), "by ties", (right & (ids != expected)).sum())


def excused(found, expected, decide, quantities, relative):
    """Whether what was decided otherwise would be, were one of the quantities 1e-5 larger or smaller."""
    possible = [decide(**quantities)]
    for name, value in quantities.items():
        for sign in (-1, 1):
            moved = value * (1 + sign * LIMIT) if name in relative else value + sign * LIMIT
            possible.append(decide(**(quantities | {name: moved})))
    assert (possible[0] == expected).all()
    return np.any([found == one for one in possible], 0)


def compare_decisions(report, what, layer, found, expected, excuse, quantities, names):
    """Counts what was decided otherwise, and shows it with what it was decided by."""
    off = found != expected
    near = excuse & off
    report.count(what, len(off), "neurons differ away from thresholds", (off & ~near).sum(), "within 1e-5 of one", near.sum())
    for i in np.flatnonzero(off):
        by = ", ".join(f"{name} {value[i]:.7g}" for name, value in quantities.items())
        labels = ["null" if label < 0 else names[label] for label in (found[i], expected[i])]
        report.show(f"{layer}.{i}: {what} {labels[0]}, expected {labels[1]} ({'near a threshold' if near[i] else 'away from thresholds'}: {by})")


def compare_directions(report, table, layer, regions, weights):
    w_gate = weights.w_gate[layer] if weights.w_gate else None
    expected = reference.directions(weights.w_in[layer], w_gate, weights.w_out[layer])
    cosines = [name for name in ("cos_in_out", "cos_gate_out", "cos_gate_in") if name in expected]
    for name in ("norm_in", "norm_gate", "norm_out"):
        if name in expected:
            report.near(name, numbers(table, name), expected[name], relative=True)
    for name in cosines:
        report.near(name, numbers(table, name), expected[name])
    for name in ("in_out", "gate_out", "gate_in"):
        if f"region_{name}" in expected:
            report.near(f"region {name}", np.array([regions[name]["low"], regions[name]["high"]]), expected[f"region_{name}"])
    quantities = {key: expected[name] for key, name in zip(("lo", "go", "gl"), cosines)}
    typical = table["typical"].combine_chunks().cast("int8").fill_null(-1).to_numpy(zero_copy_only=False)
    for what, found, names, part in (("class", named(table, "class", reference.CLASSES), reference.CLASSES, 0), ("typical", typical, ["no", "yes"], 1)):
        excuse = excused(found, expected[what], lambda **by: reference.classes(**by)[part], quantities, ())  # noqa: B023
        compare_decisions(report, what, layer, found, expected[what], excuse, quantities, names)


def share_near(x, sign):
    """Which share of all would be smaller, were this one 1e-5 of itself larger or smaller."""
    return np.searchsorted(np.sort(x), x * (1 + sign * LIMIT), side="left") / len(x)


def compare_roles(report, table, layer, moments, share, weights):
    n_layers, length, variance = len(weights.w_out), reference.norms(weights.w_out[layer]), moments[:, 1]
    d_model = weights.w_out[layer].shape[1]

    def decide(mean, variance, skewness, kurtosis, share, norm_share, variance_share):
        return reference.roles(layer, n_layers, d_model, np.stack([mean, variance, skewness, kurtosis], 1), share, norm_share, variance_share)

    quantities = dict(zip(("mean", "variance", "skewness", "kurtosis"), moments.T)) | {"share": share}
    quantities |= {"norm_share": reference.share_below(length), "variance_share": reference.share_below(variance)}
    expected = decide(**quantities)
    found = np.maximum(named(table, "role", reference.ROLES), 0)
    excuse = excused(found, expected, decide, quantities, ("variance", "kurtosis"))
    for sign in (-1, 1):
        for moved in ({"norm_share": share_near(length, sign)}, {"variance_share": share_near(variance, sign)}):
            excuse |= found == decide(**(quantities | moved))
    compare_decisions(report, "role", layer, found, expected, excuse, quantities, reference.ROLES)
    for i, name in enumerate(reference.ROLES[1:], 1):
        report.roles[name] = report.roles.get(name, 0) + int((expected == i).sum())


def compare_histograms(report, table, rows, v):
    low, width = (numbers(table, name)[rows] for name in ("v_low", "v_step"))
    counts = np.array(table["v_counts"].slice(rows[0], len(rows)).to_pylist())
    n_bins, moves, outside = counts.shape[1], [], 0
    for row, at, step, found in zip(v, low, width, counts):
        place = (row - at) / step
        outside += ((place < -0.01) | (place > n_bins + 0.01)).sum()
        expected = np.bincount(np.clip(place.astype(np.int64), 0, n_bins - 1), minlength=n_bins)
        # to turn one into the other, as many values cross each edge as the sums up to it differ
        moves.append(np.abs(np.cumsum(found - expected)).sum())
    report.count("histogram totals", len(rows), "neurons' histograms do not count every token once", (counts.sum(1) != v.shape[1]).sum())
    moved = "have more than 2 values in a neighbouring bin"
    report.count("histograms", v.size, "values lie outside their neuron's", outside, f"neurons {moved}", (np.array(moves) > 2).sum())
    return max(moves)


def compare_tokens(report, table, layer, space, weights):
    """What neurons write to tokens, and read from them."""
    n_layers, parts, most = len(weights.w_out), [], 0
    tokens = lambda name: lists(table, name, reference.N_TOKENS, of_token)  # noqa: E731
    written = {name: tokens(name) for name in ("top", "bottom")}
    logit_moments = np.stack([numbers(table, f"logit_{name}") for name in ("variance", "skewness", "kurtosis")], 1)
    v_moments = np.stack([numbers(table, f"v_{name}") for name in ("mean", "variance", "skewness", "kurtosis")], 1)
    for rows, logits, v in reference.on_tokens(weights.w_out[layer], weights.w_u):
        for name, keys in (("top", logits), ("bottom", -logits)):
            compare_lists(report, name, logits, keys, *(part[rows] for part in written[name]))
        for name, found, expected in zip(("variance", "skewness", "kurtosis"), logit_moments[rows].T, reference.moments(logits)[:, 1:].T):
            # logits have no scale of their own, so their variance is judged relative to itself
            report.near(f"logit {name}", found, expected, relative=name == "kurtosis", limit=None if name == "variance" else LIMIT)
            if name == "variance":
                report.near("logit variance, relative", found, expected, relative=True)
        parts.append(reference.moments(v))
        for name, found, expected in zip(("mean", "variance", "skewness", "kurtosis"), v_moments[rows].T, parts[-1].T):
            report.near(f"v {name}", found, expected, relative=name == "kurtosis")
        most = max(most, compare_histograms(report, table, rows, v))
    share = reference.null_share(weights.w_out[layer], space)
    report.near("null_share", numbers(table, "null_share"), share)
    compare_roles(report, table, layer, np.concatenate(parts), share, weights)
    for name, rows in (("in", weights.w_in), ("gate", weights.w_gate)):
        early = rows and reference.is_early(layer, n_layers)
        scores = rows[layer] @ weights.w_e.T if early else None
        for end, sign in (("top", 1), ("bottom", -1)):
            ids, values = tokens(f"read_{name}_{end}")
            if early:
                compare_lists(report, f"read_{name}_{end}", scores, sign * scores, ids, values)
            else:
                report.count("reads of later layers", ids.size, "entries are there", (ids >= 0).sum())
    return most


def main(model, data):
    report, times, started = Report(), [], time.time()

    def lap(what):
        nonlocal started
        times.append(f"{what} {time.time() - started:.0f} s")
        started = time.time()

    weights = load(model)
    n_layers, n = len(weights.w_in), len(weights.w_in[0])
    space = reference.bottom_space(weights.w_u, weights.unembed_is_centred)
    lap("loading and singular vectors")
    with open(f"{data}/atlas/weights.json") as file:
        regions = {layer["layer"]: layer for layer in json.load(file)["layers"]}
    everyone, around, most = sample(n_layers * n), {}, 0
    for layer in range(n_layers):
        table = pq.read_table(f"{data}/atlas/layer-{layer:03}.weights.parquet")
        assert (numbers(table, "layer") == layer).all() and (numbers(table, "neuron") == np.arange(n)).all()
        compare_directions(report, table, layer, regions[layer], weights)
        most = max(most, compare_tokens(report, table, layer, space, weights))
        mine = everyone[everyone // n == layer] % n
        for name in ("alike", "in_in_layer", "in_in_others", "out_out_layer", "out_out_others", "downstream_in", "upstream_in", "downstream_gate", "upstream_gate"):
            for part, found in zip(around.setdefault(name, ([], [])), lists(table, name, reference.N_NEIGHBOURS, of_neuron(n))):
                part.append(found[mine])
    lap("layers")
    around = {name: tuple(map(np.concatenate, parts)) for name, parts in around.items()}
    for name, rows, scores, keys in reference.neighbours(weights, everyone, np.float32):
        places = np.searchsorted(everyone, rows)
        compare_lists(report, name, scores, keys, *(part[places] for part in around[name]))
    lap("neighbours")
    table = pq.read_table(f"{data}/atlas/tokens.parquet")
    assert (numbers(table, "token") == np.arange(len(weights.w_u))).all()
    of_tokens, tokens = {}, sample(len(weights.w_u))
    sides = pq.read_table(f"{data}/atlas/neurons.parquet", columns=["side", "side_balance"])
    side, balance = sides["side"].to_numpy(), numbers(sides, "side_balance")
    signs = [(side == name) | (balance > np.float32(0.8)) for name in ("positive", "negative")]
    firing = reference.firing(np.concatenate(weights.w_written), weights.w_u, tokens, signs)
    for name, rows, scores, keys in itertools.chain(reference.neurons_of_tokens(weights, tokens), firing):
        if name not in of_tokens:
            of_tokens[name] = lists(table, name, reference.N_NEIGHBOURS, of_neuron(n))
        compare_lists(report, name, np.nan_to_num(scores), keys, *(part[rows] for part in of_tokens[name]))
    lap("tokens")
    report.print()
    print(f"{'histograms, most moved':28} {most} values, of one neuron")
    print("; ".join(times))
    sys.exit(report.failed)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
