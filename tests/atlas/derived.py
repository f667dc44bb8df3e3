#!/usr/bin/env python3
"""Recomputes what an atlas concludes from its tables, of every neuron, by numpy alone, and compares it with `neurons.parquet`.

usage: derived.py DATA CORPUS.jsonl[.zst]     (the corpus that was scanned; needs numpy, pyarrow, tokenizers, zstandard)

By docs/definitions.md: the dominant side and its balance, which neurons fire where windows start, which are dead and rare, the peak
ratio, ranks, and the lines with their counts. All must be identical; the balance and the peak ratio to a rounding.
"""
import collections
import functools
import io
import json
import re
import sys

import numpy as np
import pyarrow.parquet as pq
import zstandard
from tokenizers import Tokenizer

data, corpus = sys.argv[1:3]
scan = json.load(open(f"{data}/atlas/manifest.json"))["scan"]
policy, n_layers, d_mlp = scan["policy"], scan["model"]["n_layers"], scan["model"]["d_mlp"]
has_bos, has_bos_position = policy["bos"] is not None, policy["count_special"] and policy["bos"] is not None
capacity = max(1, policy["n_ctx"] - has_bos)

# --- the corpus: ids and source of every document ---------------------------------------------------------------------

tokenizer = Tokenizer.from_file(f"{data}/corpus/tokenizer.json")
file = open(corpus, "rb")
stream = zstandard.ZstdDecompressor().stream_reader(file) if corpus.endswith(".zst") else file
lines = [json.loads(line) for line in io.TextIOWrapper(stream, encoding="utf-8") if line.strip()]
documents = [tokenizer.encode(line["text"], add_special_tokens=False).ids for line in lines]
sources = [line.get("source") or (line.get("meta") or {}).get("source", "") for line in lines]
shares = collections.Counter()
for source, ids in zip(sources, documents):
    shares[source] += len(ids)
total = max(1, sum(shares.values()))
occur = collections.Counter(token for ids in documents for token in ids)
corpus_tokens = sum(occur.values())


def row_and_token(doc, pos):
    """The row of a position in its window, and the id that stands there."""
    if has_bos_position:
        window, offset = divmod(pos, capacity + 1)
        if offset == 0:
            return 0, policy["bos"]
        return offset, documents[doc][window * capacity + offset - 1]
    return pos % capacity + has_bos, documents[doc][pos]


# --- tokens as text, by the bytes of each ------------------------------------------------------------------------------

kept = set(range(33, 127)) | set(range(161, 173)) | set(range(174, 256))
alphabet, spare = {}, 0
for byte in range(256):
    alphabet[chr(byte) if byte in kept else chr(256 + spare)] = byte
    spare += byte not in kept
is_byte_level = "Ġ" in "".join(list(tokenizer.get_vocab())[:5000])
added = {token_id: token.content for token_id, token in tokenizer.get_added_tokens_decoder().items()}


def is_piece_of_a_character(token_id):
    token = tokenizer.id_to_token(token_id)
    if token_id in added or token is None:
        return False
    if not is_byte_level:
        return re.fullmatch("<0x[89A-F].>", token) is not None
    try:
        bytes(alphabet[c] for c in token).decode()
    except UnicodeDecodeError:
        return True
    return False


@functools.cache
def text_of(token_id):
    if token_id in added:
        return added[token_id]
    token = tokenizer.id_to_token(token_id)
    if token is None:
        return f"<unused {token_id}>"
    if not is_byte_level:
        return token.replace("▁", " ")
    out, raw = "", bytes(alphabet[c] for c in token)
    while raw:
        try:
            return out + raw.decode()
        except UnicodeDecodeError as error:
            out += raw[: error.start].decode() + "".join(f"<0x{byte:02X}>" for byte in raw[error.start : error.end])
            raw = raw[error.end :]
    return out


def in_line(text):
    inner = text.strip(" ") or text
    signs = {"\n": "↵", "\t": "→"}
    if not inner.strip():
        signs[" "] = "␣"
    control = lambda c: ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0  # noqa: E731
    return "".join(signs.get(c) or ("" if ord(c) >= 0x20 else chr(0x2400 + ord(c))) if c in signs or control(c) else c for c in inner)


def is_cased(char):
    return char.islower() or char.isupper()


def in_word(doc, at):
    """A token of a document in one line, and whether the word that it is in goes on before it and after it."""
    before, text, after = (text_of(documents[doc][i]) if 0 <= i < len(documents[doc]) else "" for i in (at - 1, at, at + 1))
    joined = [bool(a and b) and is_cased(a[-1]) and is_cased(b[0]) for a, b in ((before, text), (text, after))]
    return in_line(text), *joined


def in_list(text):
    return f"“{text}”" if "," in text else text


def common_of(tokens):
    """Groups of tokens that differ by case at most, the largest first, as `(text, count, pieces)`."""
    groups = {}
    for token in tokens:
        groups.setdefault(token[0].lower(), []).append(token)
    named = []
    for group in sorted(groups.values(), key=lambda group: -len(group)):
        text = collections.Counter(token[0] for token in group).most_common(1)[0][0]
        goes_on = [all(token[i] for token in group) for i in (1, 2)]
        named.append(("…" * goes_on[0] + in_list(text) + "…" * goes_on[1], len(group), sum(token[1] or token[2] for token in group)))
    return named


def line_of(side, peaks, weights):
    """What a line says of a side; `peaks` are (doc, pos), best first."""
    parts, at_peak, before, after = [], [], [], []
    for doc, pos in peaks:
        if has_bos_position and pos % (capacity + 1) == 0:
            at_peak.append((in_line(text_of(policy["bos"])), False, False))
            continue
        at = pos - pos // (capacity + 1) - 1 if has_bos_position else pos
        at_peak.append(in_word(doc, at))
        before += [in_word(doc, at - 1)] if at else []
        after += [in_word(doc, at + 1)] if at + 1 < len(documents[doc]) else []
    groups = common_of(at_peak)
    several = [group for group in groups if group[1] > 1][:3] if len(groups) > 3 else groups
    others = groups[len(several) :]
    texts = [text if n == 1 else f"{text} ×{n}" for text, n, _ in several]
    if others:
        n_others, n_pieces = (sum(group[i] for group in others) for i in (1, 2))
        texts.append(f"others ×{n_others}" if several else f"{n_others} different tokens")
        if 2 * n_others >= len(peaks) and n_pieces >= 0.6 * n_others:
            texts.append("mostly pieces of words")
    if texts:
        parts.append("peaks on: " + ", ".join(texts))
    for name, tokens in (("preceded by", before), ("followed by", after)):
        text, n, _ = common_of(tokens)[0] if tokens else ("", 0, 0)
        if n > 1 and 2 * n >= len(peaks) and text.strip("␣"):
            parts.append(f"{name}: {text} ×{n}")
    if weights is not None and weights["logit_variance"] is not None:
        ends = [(weights["top"], 1), (weights["bottom"], -1)]
        for verb, (tokens, sign) in zip(("promotes", "suppresses"), ends if side == "positive" else ends[::-1]):
            far = [entry["token"] for entry in tokens if sign * entry["value"] >= 6 * weights["logit_variance"] ** 0.5]
            names = {}
            for text in (text_of(token) for token in far if not is_piece_of_a_character(token) and occur[token] >= max(1, corpus_tokens / 1_000_000)):
                names.setdefault(in_line(text).lower(), in_line(text))
            if names:
                parts.append(f"{verb}: " + ", ".join(in_list(text) for text in list(names.values())[:3]))
    of = collections.Counter(sources[doc] for doc, _ in peaks)
    if of:
        most = max(of.values())
        source = max(source for source, n in of.items() if n == most)
        share = most / len(peaks)
        if source and share >= 0.6 and share >= 2 * shares[source] / total:
            parts.append("mostly " + in_line(source))
    return " · ".join(parts) or None


# --- neuron by neuron ----------------------------------------------------------------------------------------------------

def magnitude_edge(m):
    if m in (0, 128):
        return 0.0 if m == 0 else np.inf
    return float(np.array([(111 * 4 + m - 1) << 21], dtype=np.uint32).view(np.float32)[0])


LOW = np.array([magnitude_edge(b - 128) if b >= 128 else -magnitude_edge(128 - b) for b in range(256)])
HIGH = np.array([magnitude_edge(b - 127) if b >= 128 else -magnitude_edge(127 - b) for b in range(256)])


def quantile(bins, counts, q, low, high):
    below = np.cumsum(counts)
    rank = q * below[-1]
    at = int(np.searchsorted(below, rank, side="left"))
    start, end = max(LOW[bins[at]], low), min(HIGH[bins[at]], high)
    share = np.clip((rank - (below[at] - counts[at])) / counts[at], 0, 1)
    return start + (end - start) * share


def f32(x):
    return np.float32(x)


wrong, checked = [], collections.Counter()
# first promoted tokens, and those that the corpus lacks, by half standard deviations
firsts, absent = collections.Counter(), collections.Counter()


def same(where, name, found, expected, near=False):
    checked[name] += 1
    is_same = found == expected or (near and None not in (found, expected) and abs(found - expected) <= 1e-6 * abs(expected))
    if not is_same:
        wrong.append(f"{where}: {name} is {found!r}; expected {expected!r}")


rows = pq.read_table(f"{data}/atlas/neurons.parquet").to_pylist()
by_measure = {}
for layer in range(n_layers):
    stats = pq.read_table(f"{data}/atlas/layer-{layer:03}.stats.parquet").to_pylist()
    table = pq.read_table(f"{data}/atlas/layer-{layer:03}.examples.parquet", columns=["neuron", "list", "doc", "pos", "value"]).to_pylist()
    try:
        weights = pq.read_table(f"{data}/atlas/layer-{layer:03}.weights.parquet", columns=["top", "bottom", "logit_variance"]).to_pylist()
    except FileNotFoundError:
        weights = [None] * d_mlp
    examples = [{"positive": [], "negative": []} for _ in range(d_mlp)]
    for row in table:
        side = {"top": "positive", "bottom": "negative"}.get(row["list"])
        if side:
            examples[row["neuron"]][side].append(row)
    largest = np.array([max(abs(of["min"]), abs(of["max"])) for of in stats])
    alive = np.sort(largest[largest > 0])
    threshold = 0.01 * float(np.median(alive)) if len(alive) else 0.0
    for neuron, of in enumerate(stats):
        where, found = f"{layer}.{neuron}", rows[layer * d_mlp + neuron]
        peaks = {side: [(row["doc"], row["pos"], row["value"], 1 <= row_and_token(row["doc"], row["pos"])[0] <= 3) for row in own] for side, own in examples[neuron].items()}
        only_starts = all(peak[3] for own in peaks.values() for peak in own)
        size = {}
        for side, sign in (("positive", 1), ("negative", -1)):
            first = [f32(sign * peak[2]) for peak in peaks[side] if only_starts or not peak[3]][:10]
            size[side] = max(f32(np.median(np.array(first, dtype=np.float32))) if first else f32(0), f32(0))
        side = "negative" if size["negative"] > size["positive"] else "positive"
        other = "positive" if side == "negative" else "negative"
        same(where, "side", found["side"], side if size[side] > 0 else None)
        same(where, "side_balance", found["side_balance"], float(size[other] / size[side]) if size[side] > 0 else None, near=True)
        elsewhere = [abs(v) for v in (of["elsewhere_min"], of["elsewhere_max"]) if np.isfinite(v)]
        at_start = max(abs(of["start_min"]), abs(of["start_max"])) if of["start_count"] else 0.0
        half = {s: 2 * sum(peak[3] for peak in own[:10]) >= len(own[:10]) and any(peak[3] for peak in own[:10]) for s, own in peaks.items()}
        dominant = at_start > 3 * max(elsewhere, default=0.0) or (size[side] > 0 and half[side])
        same(where, "at_starts", found["at_starts"], bool(dominant))
        same(where, "at_starts_either", found["at_starts_either"], bool(dominant or any(half.values())))
        dead = bool(largest[neuron] <= threshold)
        same(where, "dead", found["dead"], dead)
        bins, counts = np.array(of["histogram_bins"]), np.array(of["histogram_counts"])
        above = counts[(LOW[bins] >= threshold) | (-HIGH[bins] >= threshold)].sum()
        same(where, "rare", found["rare"], bool(not dead and above < counts.sum() / 100_000))
        q, extreme, sign = (0.999, of["max"], 1) if side == "positive" or not size[side] > 0 else (0.001, of["min"], -1)
        value = quantile(bins, counts, q, of["min"], of["max"])
        same(where, "peak_ratio", found["peak_ratio"], extreme / value if value * sign > 0 else None, near=True)
        if weights[neuron] and weights[neuron]["logit_variance"]:
            first = weights[neuron]["top" if side == "positive" else "bottom"][0]
            deviations = min(abs(first["value"]) / weights[neuron]["logit_variance"] ** 0.5 // 0.5 / 2, 10)
            firsts[deviations] += 1
            absent[deviations] += first["token"] not in occur
        for s in peaks:
            same(where, f"line_{s}", found[f"line_{s}"], line_of(s, [peak[:2] for peak in peaks[s]], weights[neuron]))

for measure in ("kurtosis", "skewness", "variance", "range", "frequency", "peak_ratio", "logit_kurtosis", "io_cosine"):
    left_out = {"variance": "at_starts_either", "range": "at_starts_either", "logit_kurtosis": None, "io_cosine": None}.get(measure, "at_starts")
    ranked = [row for row in rows if row[measure] is not None and not (left_out and row[left_out])]
    ranked.sort(key=lambda row: -row[measure])
    ranks = {(row["layer"], row["neuron"]): at for at, row in enumerate(ranked, 1)}
    for row in rows:
        same(f"{row['layer']}.{row['neuron']}", f"{measure}_rank_in_model", row[f"{measure}_rank_in_model"], ranks.get((row["layer"], row["neuron"])))

print(f"{len(rows)} neurons: " + ", ".join(f"{name} {n}" for name, n in checked.items()))
sides = collections.Counter(row["side"] for row in rows)
print(f"sides {dict(sides)}; at starts {sum(row['at_starts'] for row in rows)}, on either side {sum(row['at_starts_either'] for row in rows)}; dead {sum(row['dead'] for row in rows)}, rare {sum(row['rare'] for row in rows)}")
if firsts:
    shares = ", ".join(f"{at}: {firsts[at]}, {absent[at] / firsts[at]:.0%}" for at in sorted(firsts))
    print(f"first promoted tokens by standard deviations from the mean, and how many of them the corpus lacks: {shares}; of the vocabulary {1 - len(occur) / scan['model']['d_vocab']:.0%}")
for line in wrong[:20]:
    print(line)
print(f"{len(wrong)} differ")
sys.exit(bool(wrong))
