#!/usr/bin/env python3
"""What the weights alone say of each neuron, computed in float64 by other means than this library's.

usage: weights.py [NAME...]  (in this folder; needs the versions of requirements.txt)

For each model of make.py, `<name>/weights.safetensors`. Values are f32, rounded from float64 at the very end; ids are
i64. A neuron is a row of `w_in`, `w_gate` and `w_out`, folded as DEFINITIONS 6 says; a norm after the MLP is folded into w_out
where it is said, and left out of classes and of neighbours by w_out (DEFINITIONS 7 and 8). For each layer L, n = d_mlp:

    L.norm_in, L.norm_gate, L.norm_out            [n] Euclidean norms of the folded rows, any norm after the MLP among what is folded
    L.cos_in_out, L.cos_gate_out, L.cos_gate_in   [n] as they are, before `refactor_glu`; NaN where a vector is zero
    L.cos_in_written, L.cos_gate_written          [n] the first two, with the norm after the MLP folded in; missing without one
    L.class                                       [n] 0 strengthening, 1 conditional strengthening, 2 proportional change,
                                                      3 orthogonal output, 4 weakening, 5 conditional weakening, -1 none
    L.typical                                     [n] 1 or 0, -1 none
    L.region_in_out, region_gate_out, region_gate_in          [2] the randomness region, low and high
    L.{top,bottom}_{ids,values}                   [n, 20] tokens by logit weight, largest and smallest first
    L.logit_moments                               [n, 3] variance, skewness, kurtosis of the logit weights
    L.v_moments                                   [n, 4] mean, variance, skewness, kurtosis of v = cos(w_out, w_u[t])
    L.null_share                                  [n] share of w_out in the bottom singular space of the unembedding
    L.role                                        [n] 0 none, 1 prediction, 2 suppression, 3 partition, 4 entropy
    L.role_by_others                              [n] the same by OTHER_THRESHOLDS, so that more than one occurs
    L.read_{in,gate}_{top,bottom}_{ids,values}    [n, 20] tokens by w_e @ w_in, in the first quarter of the layers

and of the whole model, N = n_layers * n, a neuron's id being layer * n + neuron; -1 and 0 where there are fewer than 10:

    alike.{ids,values}                            [N, 10] neurons by the mean of cos(w_in, w_in) and cos(w_out, w_out), if positive; by its size where gated
    {in_in,out_out}_{layer,others}.{ids,values}   [N, 10] neurons by |cosine|, of the same layer and of all others
    {down,up}stream_{in,gate}.{ids,values}        [N, 10] by |cos(w_out, w_in)| or w_gate, to later and from earlier layers
    {promoted,suppressed}_{logit,v}.{ids,values}  [d_vocab, 10] neurons by logit weight, and by v, largest and smallest first
    {promoted,suppressed}_by{,_v}.{ids,values}    [d_vocab, 10] neurons by what they do when they fire with a sign of SIDES, largest
                                                      effect first, by logit weight and by v; values are signed

What belongs to the gate is missing where there is none. ../smollm2/weights.py does the same to a real model.
"""
import json
import math
import os
import sys
from dataclasses import dataclass

import numpy as np
import torch
from safetensors.numpy import save_file

NAMES = ["gpt2", "llama", "gpt_neox", "solu", "olmo2", "gemma", "gemma2", "gemma3", "opt_350m", "gpt_neox_sequential"]
N_TOKENS = 20
N_NEIGHBOURS = 10
N_PAIRS = 100_000
BLOCK = 128  # rows at a time, so that a vocabulary of 50,000 takes 50 MB
CLASSES = ["strengthening", "conditional strengthening", "proportional change", "orthogonal output", "weakening", "conditional weakening"]
SIDES = [[1], [1], [-1], [1, -1], []]  # signs that neurons speak with, over and over: their scans are not known here
ROLES = ["none", "prediction", "suppression", "partition", "entropy"]


# --- folding ----------------------------------------------------------------------------------------------------------

@dataclass
class Weights:
    """Folded weights in float64."""

    w_in: list  # a layer [d_mlp, d_model]
    w_gate: list  # the same, or nothing if the MLPs are not gated
    w_out: list  # the same, without a norm after the MLP
    w_written: list  # the same, with it
    has_norm_after: bool
    w_u: np.ndarray  # [d_vocab, d_model]
    w_e: np.ndarray  # [d_vocab, d_model]
    unembed_is_centred: bool  # whether the final norm is a LayerNorm


@dataclass
class Norm:
    scale: np.ndarray
    centres: bool  # a LayerNorm takes the mean off, an RMSNorm does not


def centred(x, axis):
    return x - x.mean(axis, keepdims=True)


def read_through(w, norm):
    """What rows that read behind a norm read before it."""
    if norm is None:
        return w
    w = w * norm.scale
    return centred(w, 1) if norm.centres else w


def folded(layers, stream_is_centred, w_u, final, w_e):
    """layers: one (w_in, w_gate, w_out, norm before, norm behind, norm inside) each, with None for what is not there."""
    is_centred = final is not None and final.centres
    has_norm_after = any(behind is not None for *_, behind, _ in layers)
    found = Weights([], [], [], [], has_norm_after, centred(read_through(w_u, final), 0), w_e, is_centred)
    for w_in, w_gate, w_out, before, behind, inside in layers:
        found.w_in.append(read_through(w_in, before))
        if w_gate is not None:
            found.w_gate.append(read_through(w_gate, before))
        if inside is not None:
            # the activations leave this LayerNorm without a mean, so a row that all neurons share writes nothing
            w_out = centred(w_out * inside.scale[:, None], 0)
        written = w_out if behind is None else w_out * behind.scale
        found.w_out.append(centred(w_out, 1) if stream_is_centred else w_out)
        found.w_written.append(centred(written, 1) if stream_is_centred else written)
    return found


def array(tensor):
    return tensor.detach().double().numpy()


def norm_of(module):
    if module is None:
        return None
    scale = array(module.weight)
    return Norm(scale + 1 if "Gemma" in type(module).__name__ else scale, isinstance(module, torch.nn.LayerNorm))


def of_transformers(model):
    kind = model.config.model_type
    head, embedding, blocks, stream = model.get_output_embeddings().weight, model.get_input_embeddings().weight, [], []
    w_u, w_e = array(head), array(embedding)
    if kind in ("gpt2", "gpt_neo"):
        final = model.transformer.ln_f
        for block in model.transformer.h:
            w_in, w_out = array(block.mlp.c_fc.weight), array(block.mlp.c_proj.weight)
            if kind == "gpt2":
                w_in = w_in.T  # its Conv1D keeps matrices as [input, output]
            else:
                w_out = w_out.T
            blocks.append((w_in, None, w_out, block.ln_2, None))
            stream += [block.ln_1, block.ln_2]
    elif kind == "gpt_neox":
        final = model.gpt_neox.final_layer_norm
        for block in model.gpt_neox.layers:
            # in parallel with attention or not, the MLP has a norm of its own
            blocks.append((array(block.mlp.dense_h_to_4h.weight), None, array(block.mlp.dense_4h_to_h.weight).T, block.post_attention_layernorm, None))
            stream += [block.input_layernorm, block.post_attention_layernorm]
    elif kind == "opt":
        decoder = model.model.decoder
        final = decoder.final_layer_norm
        if decoder.project_in is not None:
            w_e = w_e @ array(decoder.project_in.weight).T
        if decoder.project_out is not None:
            w_u = w_u @ array(decoder.project_out.weight)
        for block in decoder.layers:
            before = block.final_layer_norm if block.do_layer_norm_before else None
            blocks.append((array(block.fc1.weight), None, array(block.fc2.weight).T, before, None))
            stream += [block.self_attn_layer_norm, block.final_layer_norm]
    else:
        final = model.model.norm
        for block in model.model.layers:
            gemma = {name: "pre_feedforward_layernorm" for name in ("gemma2", "gemma3_text")}
            before = ({"olmo2": None} | gemma).get(kind, "post_attention_layernorm")
            behind = "post_feedforward_layernorm" if kind == "olmo2" or kind in gemma else None
            before, behind = (None if name is None else getattr(block, name) for name in (before, behind))
            mlp = block.mlp
            blocks.append((array(mlp.up_proj.weight), array(mlp.gate_proj.weight), array(mlp.down_proj.weight).T, before, behind))
            stream += [before] if before is not None else []
    stream += [final] if final is not None else []
    layers = [(w_in, w_gate, w_out, norm_of(before), norm_of(behind), None) for w_in, w_gate, w_out, before, behind in blocks]
    return folded(layers, all(norm_of(norm).centres for norm in stream), w_u, norm_of(final), w_e)


def of_lens(config, state):
    state = {name: array(value) for name, value in state.items()}
    assert config["normalization"] == "LN" and not config.get("final_rms")
    layers = []
    for layer in range(config["n_layers"]):
        part = lambda name: state[f"blocks.{layer}.{name}"]  # noqa: B023, E731
        inside = Norm(part("mlp.ln.w"), True) if config["act_fn"] == "solu_ln" else None
        layers.append((part("mlp.W_in").T, None, part("mlp.W_out"), Norm(part("ln2.w"), True), None, inside))
    return folded(layers, True, state["unembed.W_U"].T, Norm(state["ln_final.w"], True), state["embed.W_E"])


def load(name):
    if os.path.exists(f"{name}/model_final.pth"):
        with open(f"{name}/config.json") as file:
            return of_lens(json.load(file), torch.load(f"{name}/model_final.pth"))
    from transformers import AutoModelForCausalLM

    return of_transformers(AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32))


# --- lists ------------------------------------------------------------------------------------------------------------

def best(keys, k):
    """The ids of each row's largest keys, [rows, k]: largest first, then by id; -1 where fewer than k are above -inf."""
    ids = np.full((len(keys), k), -1)
    for row, found in zip(keys, ids):
        least = np.partition(row, -k)[-k] if k < len(row) else -np.inf
        # all that tie with the last one, by id: which of them a partition puts first is chance
        candidates = np.flatnonzero((row >= least) & (row > -np.inf))
        candidates = candidates[np.argsort(-row[candidates], kind="stable")][:k]
        found[: len(candidates)] = candidates
    return ids


def taken(scores, ids):
    return np.where(ids < 0, 0, np.take_along_axis(scores, np.maximum(ids, 0), 1))


def blocks(rows):
    return (rows[i : i + BLOCK] for i in range(0, len(rows), BLOCK))


# --- one vector with another ------------------------------------------------------------------------------------------

def norms(a):
    return np.sqrt((a * a).sum(-1))


def unit(a):
    """Rows of length 1; those of zero stay."""
    length = norms(a)[:, None]
    return a / np.where(length == 0, 1, length)


def cosines(a, b):
    cos = (unit(a) * unit(b)).sum(1)
    return np.where((norms(a) == 0) | (norms(b) == 0), np.nan, cos)


def step(x):
    return (x > 0.5).astype(int) - (x < -0.5)


def classes(lo, go=None, gl=None):
    """Class and whether it is typical (DEFINITIONS 7), from the cosines."""
    if go is None:
        found = np.choose(step(lo) + 1, [4, 3, 0])
        return np.where(np.isnan(lo), -1, found), np.where(np.isnan(lo), -1, 1)
    a, b = step(lo), step(go)
    found = np.choose(np.abs(b) * 3 + a + 1, [5, 3, 1, 4, 2, 0])
    typical = (step(gl) == a * b) | ((a == 0) & (b == 0))
    undefined = np.isnan(lo) | np.isnan(go) | np.isnan(gl)
    return np.where(undefined, -1, found), np.where(undefined, -1, typical)


def refactor_glu(w_in, w_gate, w_out):
    sign = np.where((w_gate * w_in).sum(1) < 0, -1.0, 1.0)[:, None]
    return w_in * sign, w_gate, w_out * sign


def mix(z):
    mask = 2**64 - 1
    z = (z + 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def shifts(n):
    """By how much the neurons of a layer are shifted against each other to make mismatched pairs."""
    order = sorted(range(1, n), key=lambda shift: mix(mix(0) ^ (n << 32 | shift)))
    return order[: -(-N_PAIRS // n)]


def mismatched(a, b):
    a, b = unit(a), unit(b)
    return np.concatenate([(a * np.roll(b, -shift, 0)).sum(1) for shift in shifts(len(a))])


def regions(w_in, w_gate, w_out):
    found = {"in_out": np.quantile(mismatched(w_in, w_out), [0.025, 0.975])}
    if w_gate is not None:
        found["gate_out"] = np.quantile(mismatched(w_gate, w_out), [0.025, 0.975])
        q = np.quantile(np.abs(mismatched(w_gate, w_in)), 0.95)
        found["gate_in"] = np.array([-q, q])
    return found


def directions(w_in, w_gate, w_out, written=None):
    """Norms, cosines, class and region of one layer; `written` is w_out with the norm after the MLP."""
    found = {"norm_in": norms(w_in), "norm_out": norms(w_out if written is None else written), "cos_in_out": cosines(w_in, w_out)}
    if written is not None:
        found["cos_in_written"] = cosines(w_in, written)
        if w_gate is not None:
            found["cos_gate_written"] = cosines(w_gate, written)
    if w_gate is None:
        found["class"], found["typical"] = classes(found["cos_in_out"])
    else:
        found |= {"norm_gate": norms(w_gate), "cos_gate_out": cosines(w_gate, w_out), "cos_gate_in": cosines(w_gate, w_in)}
        as_is = classes(found["cos_in_out"], found["cos_gate_out"], found["cos_gate_in"])
        i, g, o = refactor_glu(w_in, w_gate, w_out)
        found["class"], found["typical"] = classes(cosines(i, o), cosines(g, o), cosines(g, i))
        # the sign of a neuron is arbitrary, and its class must not depend on it
        assert (as_is[0] == found["class"]).all() and (as_is[1] == found["typical"]).all()
    return found | {f"region_{name}": region for name, region in regions(w_in, w_gate, w_out).items()}


# --- neurons and tokens -----------------------------------------------------------------------------------------------

def moments(x):
    """Mean, variance, skewness, non-excess kurtosis of each row, [rows, 4]; the last two NaN where all values are equal."""
    mean = x.mean(1)
    x = x - mean[:, None]
    squared = x * x
    variance = squared.mean(1)
    third, fourth = (np.einsum("ij,ij->i", squared, other) / x.shape[1] for other in (x, squared))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.stack([mean, variance, third / variance**1.5, fourth / variance**2], 1)


def on_tokens(w_out, w_u):
    """For blocks of the layer's neurons: which, their logit weights [rows, d_vocab] and v [rows, tokens of non-zero w_u]."""
    lengths = norms(w_u)
    used = lengths > 0
    used = slice(None) if used.all() else used
    for rows in blocks(np.arange(len(w_out))):
        logits = w_out[rows] @ w_u.T
        length = norms(w_out[rows])
        length = np.where(length == 0, np.nan, length)
        yield rows, logits, logits[:, used] / length[:, None] / lengths[used]


def bottom_space(w_u, is_centred=False):
    """Columns that span what the unembedding reads least of, [d_model, k]. Behind a LayerNorm it reads nothing of the mean, and
    nothing is written there: then at least one direction besides."""
    d_model = w_u.shape[1]
    # the unembedding [d_model, d_vocab] has w_u's right singular vectors on its left, and so has the triangle of its QR
    _, values, vectors = np.linalg.svd(np.linalg.qr(w_u, mode="r"), full_matrices=True)
    values = np.concatenate([values, np.zeros(d_model - len(values))])
    k = max(1 + is_centred, int(d_model / 64 + 0.5), int((values <= 1e-6 * values[0]).sum()))
    return vectors[d_model - k :].T


def null_share(w_out, space):
    length = norms(w_out)
    return norms(w_out @ space) / np.where(length == 0, np.nan, length)


def share_below(x):
    """For each value the share of all that are smaller."""
    return np.searchsorted(np.sort(x), x, side="left") / len(x)


# kurtosis, variance, share of the null space, share of the layers, share of shorter neurons, share of neurons of smaller variance
THRESHOLDS = (10, 0.005, 0.4, 0.25, 0.9, 0.1)
OTHER_THRESHOLDS = (3.1, 0.065, 0.1, 0.5, 0.3, 0.7)


def roles(layer, n_layers, d_model, v_moments, share, norm_share, variance_share, thresholds=THRESHOLDS):
    """DEFINITIONS 6; `norm_share` and `variance_share` are the shares of the layer's neurons below this one."""
    most_peaked, most_variance, least_share, late, least_norm, most_variance_rank = thresholds
    _, variance, skewness, kurtosis = v_moments.T
    entropy = is_late(layer, n_layers, late) & (share > least_share) & (norm_share >= least_norm) & (variance_share <= most_variance_rank)
    peaked = kurtosis > most_peaked
    partition = (variance > most_variance) & (most_variance >= 1.5 / d_model)
    return np.select([peaked & (skewness > 0), peaked & (skewness < 0), partition, entropy], [1, 2, 3, 4], 0)


def is_early(layer, n_layers):
    return layer < -(-n_layers // 4)


def is_late(layer, n_layers, share=0.25):
    return layer >= n_layers - math.ceil(n_layers * share)


def lists_of(scores, prefix=""):
    ids = {"top": best(scores, N_TOKENS), "bottom": best(-scores, N_TOKENS)}
    return {f"{prefix}{end}_ids": found for end, found in ids.items()} | {f"{prefix}{end}_values": taken(scores, found) for end, found in ids.items()}


def layer_of_tokens(weights, layer, space):
    """What one layer's neurons write to tokens and read from them."""
    parts = []
    for _, logits, v in on_tokens(weights.w_written[layer], weights.w_u):
        parts.append(lists_of(logits) | {"logit_moments": moments(logits)[:, 1:], "v_moments": moments(v)})
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    w_out, n_layers = weights.w_written[layer], len(weights.w_written)
    found["null_share"] = null_share(w_out, space)
    variance = found["v_moments"][:, 1]
    for name, thresholds in (("role", THRESHOLDS), ("role_by_others", OTHER_THRESHOLDS)):
        ranks = share_below(norms(w_out)), share_below(variance)
        found[name] = roles(layer, n_layers, w_out.shape[1], found["v_moments"], found["null_share"], *ranks, thresholds)
    if is_early(layer, n_layers):
        for name, rows in (("in", weights.w_in), ("gate", weights.w_gate)):
            if rows:
                found |= lists_of(rows[layer] @ weights.w_e.T, f"read_{name}_")
    return found


def neurons_of_tokens(weights, tokens):
    """For blocks of tokens: name of the list, which tokens, all neurons' scores [rows, N], the keys to rank by."""
    w_out = np.concatenate(weights.w_written)
    length = norms(w_out)
    for rows in blocks(tokens):
        logits = weights.w_u[rows] @ w_out.T
        scale = norms(weights.w_u[rows])[:, None] * length
        v = np.divide(logits, scale, out=np.full_like(logits, np.nan), where=scale > 0)
        for name, scores in (("logit", logits), ("v", v)):
            for end, sign in (("promoted", 1), ("suppressed", -1)):
                yield f"{end}_{name}", rows, scores, np.where(np.isnan(scores), -np.inf, sign * scores)


def firing(w_out, w_u, tokens, signs):
    """As `neurons_of_tokens`, but by what neurons do to the tokens' logits when they fire; `signs` are two rows of truth values,
    whether each neuron speaks with its positive and with its negative values."""
    length = norms(w_out)
    for rows in blocks(tokens):
        logits = w_u[rows] @ w_out.T
        scale = norms(w_u[rows])[:, None] * length
        v = np.divide(logits, scale, out=np.full_like(logits, np.nan), where=scale > 0)
        for name, scores in (("by", logits), ("by_v", v)):
            for end, sign in (("promoted", 1), ("suppressed", -1)):
                effects = [np.where(speaks, sign * side * scores, -np.inf) for speaks, side in zip(signs, (1, -1))]
                effect = np.nan_to_num(np.maximum(*effects), nan=-np.inf)
                yield f"{end}_{name}", rows, scores, np.where((effect > 0) & (length > 0), effect, -np.inf)


# --- neurons and neurons ----------------------------------------------------------------------------------------------

def neighbours(weights, neurons, dtype=np.float64):
    """For blocks of neurons: name of the list, which neurons, all neurons' cosines [rows, N], the keys to rank by."""
    n = len(weights.w_in[0])
    named = ("in", weights.w_in), ("gate", weights.w_gate), ("out", weights.w_out), ("written", weights.w_written)
    units = {name: unit(np.concatenate(rows)).astype(dtype) for name, rows in named if rows}
    everyone = np.arange(n * len(weights.w_in))
    reads = [name for name in ("in", "gate") if name in units]
    pairs = [("in", "in"), ("out", "out")] + [pair for name in reads for pair in (("written", name), (name, "written"))]
    for rows in blocks(neurons):
        mine, theirs = rows[:, None] // n, everyone // n
        mean = (units["in"][rows] @ units["in"].T + units["out"][rows] @ units["out"].T) / 2
        both = (np.abs(units["in"]).max(axis=1) > 0) & (np.abs(units["out"]).max(axis=1) > 0)
        if "gate" in units:  # turning both signs leaves a gated neuron as it is
            mean = np.abs(mean)
        allowed = (rows[:, None] != everyone) & both[rows][:, None] & both & (mean > 0)
        yield "alike", rows, mean, np.where(allowed, mean, -np.inf)
        for a, b in pairs:
            cos = units[a][rows] @ units[b].T
            if a == b:
                lists = {f"{a}_{a}_layer": (mine == theirs) & (rows[:, None] != everyone), f"{a}_{a}_others": mine != theirs}
            else:
                lists = {f"downstream_{b}": theirs > mine} if a == "written" else {f"upstream_{a}": theirs < mine}
            for name, allowed in lists.items():
                yield name, rows, cos, np.where(allowed, np.abs(cos), -np.inf)


# --- the files --------------------------------------------------------------------------------------------------------

def make(name):
    weights = load(name)
    space = bottom_space(weights.w_u, weights.unembed_is_centred)
    n_layers, n = len(weights.w_in), len(weights.w_in[0])
    found = {}
    for layer in range(n_layers):
        w_gate = weights.w_gate[layer] if weights.w_gate else None
        written = weights.w_written[layer] if weights.has_norm_after else None
        parts = directions(weights.w_in[layer], w_gate, weights.w_out[layer], written) | layer_of_tokens(weights, layer, space)
        found |= {f"{layer}.{part}": value for part, value in parts.items()}
    everyone, vocabulary = np.arange(n_layers * n), np.arange(len(weights.w_u))
    signs = [np.array([sign in SIDES[neuron % len(SIDES)] for neuron in everyone]) for sign in (1, -1)]
    of_tokens = *neurons_of_tokens(weights, vocabulary), *firing(np.concatenate(weights.w_written), weights.w_u, vocabulary, signs)
    for part, _, scores, keys in [*neighbours(weights, everyone), *of_tokens]:
        ids = best(keys, N_NEIGHBOURS)
        found.setdefault(f"{part}.ids", []).append(ids)
        found.setdefault(f"{part}.values", []).append(taken(scores, ids))
    found = {part: np.concatenate(value) if isinstance(value, list) else value for part, value in found.items()}
    found = {part: np.ascontiguousarray(value, np.int64 if value.dtype.kind in "ib" else np.float32) for part, value in found.items()}
    save_file(found, f"{name}/weights.safetensors")
    os.chmod(f"{name}/weights.safetensors", 0o644)


if __name__ == "__main__":
    for name in sys.argv[1:] or NAMES:
        make(name)
