"""What weights say of a real layer and of tokens, with other neurons and tokens of the same shape of model."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from columns import Lists, list_array, ranges, write

ROWS = 1024
TOKEN_ROWS = 4096
TOP_PEAKS = 20
# Tokens that change places among themselves: near in the vocabulary, and so about as frequent.
NEAR_TOKENS = 64
TOKENS = ["top", "bottom", "read_in_top", "read_in_bottom", "read_gate_top", "read_gate_bottom"]
NEIGHBOURS = [f"{of}_{where}" for of in ("in_in", "out_out") for where in ("layer", "others")]
NEIGHBOURS += [f"{way}_{of}" for way in ("upstream", "downstream") for of in ("in", "gate")]


def distinct(lengths, n, rng):
    """Numbers below `n` for lists of these lengths, none twice in a list; for a list, `n` may be one of many."""
    n = np.broadcast_to(n, len(lengths))
    owner = np.repeat(np.arange(len(lengths)), lengths)
    drawn = (rng.random(len(owner)) * n[owner]).astype(np.int64)
    while True:
        order = np.lexsort((drawn, owner))
        same = (owner[order][1:] == owner[order][:-1]) & (drawn[order][1:] == drawn[order][:-1])
        again = order[1:][same]
        if len(again) == 0:
            return drawn
        drawn[again] = (rng.random(len(again)) * n[owner[again]]).astype(np.int64)


def about(n, rng, by=0.01):
    return 1 + rng.uniform(-by, by, n)


class SourceWeights:
    """The table of a layer of the source."""

    def __init__(self, path):
        self.schema = pq.read_schema(path).remove_metadata()
        table = pq.read_table(path)
        is_list = lambda field: pa.types.is_list(field.type)
        self.lists = {field.name: Lists(table[field.name]) for field in self.schema if is_list(field)}
        self.columns = {field.name: table[field.name].combine_chunks() for field in self.schema if not is_list(field)}


class Weights:
    """The table of a layer that is made of a source layer's neurons."""

    def __init__(self, source, neurons, layer, shape, d_vocab, rng):
        """Neuron `n` has those of neuron `neurons[n]` of the source, whose vocabulary is of `d_vocab` tokens."""
        self.schema, self.shape, n = source.schema, shape, len(neurons)
        fields = {field.name: field for field in source.schema}
        numbers = lambda name: source.columns[name].to_numpy(zero_copy_only=False)[neurons]
        own = {name: column.take(pa.array(neurons)) for name, column in source.columns.items()}
        own |= {"layer": np.full(n, layer, np.uint32), "neuron": np.arange(n, dtype=np.uint32)}
        for name in ["norm_in", "norm_gate", "norm_out", "null_share", "logit_skewness", "logit_kurtosis"]:
            own[name] = numbers(name) * about(n, rng, 0.003)
        scale, logit_scale = about(n, rng, 0.02), about(n, rng, 0.02)
        for name, power in [("v_mean", 1), ("v_variance", 2), ("v_low", 1), ("v_step", 1)]:
            own[name] = numbers(name) * scale**power
        own["logit_variance"] = numbers("logit_variance") * logit_scale**2
        for name in ["cos_in_out", "cos_gate_out", "cos_gate_in"]:
            was = numbers(name)
            moved = was * about(n, rng)
            # none becomes aligned that was not
            own[name] = np.where((np.abs(moved) > 0.5) == (np.abs(was) > 0.5), np.clip(moved, -1, 1), was)
        if not shape.gated:
            aligned = np.sign(own["cos_in_out"]) * (np.abs(own["cos_in_out"]) > 0.5)
            own["class"] = pa.array(np.array(["weakening", "orthogonal output", "strengthening"])[aligned.astype(int) + 1])
            own["typical"] = np.ones(n, bool)
            own |= dict.fromkeys(["norm_gate", "cos_gate_out", "cos_gate_in"])
        self.own = own = {name: of_type(fields[name], values) for name, values in own.items() if values is not None}

        lists = {"v_counts": self.counts(source.lists["v_counts"], neurons)}
        for name in TOKENS:
            values, lengths = source.lists[name].take(neurons)
            if (name.startswith("read_") and layer >= shape.early_layers) or (name.startswith("read_gate") and not shape.gated):
                lists[name] = {key: found[:0] for key, found in values.items()}, np.zeros(n, np.int64)
                continue
            of = np.repeat(np.arange(n), lengths)
            swap = rng.integers(0, NEAR_TOKENS, n)
            usable = shape.d_vocab // NEAR_TOKENS * NEAR_TOKENS
            token = (values["token"].astype(np.int64) * usable // d_vocab) ^ swap[of] if usable >= d_vocab else distinct(lengths, shape.d_vocab, rng)
            by = logit_scale if name in ("top", "bottom") else about(n, rng)
            lists[name] = {"token": token, "value": values["value"] * by[of]}, lengths
        for name in NEIGHBOURS:
            lists[name] = self.neighbours(name, source.lists[name].take(neurons), layer, rng)
        self.lists = {name: list_array(fields[name], typed(fields[name], values), lengths) for name, (values, lengths) in lists.items()}

    def counts(self, counts, neurons):
        """Histograms of v over the vocabulary."""
        values, lengths = counts.take(neurons)
        has = lengths > 0
        dense = values.reshape(int(has.sum()), -1)
        dense = np.rint(dense * (self.shape.d_vocab / dense.sum(1, keepdims=True))).astype(np.int64)
        dense[np.arange(len(dense)), dense.argmax(1)] += self.shape.d_vocab - dense.sum(1)
        return dense.reshape(-1), lengths

    def neighbours(self, name, found, layer, rng):
        """Other neurons, where such can be."""
        (values, lengths), shape = found, self.shape
        n = len(lengths)
        if name.endswith("_layer"):
            layers, first = 1, layer
        elif name.startswith("upstream"):
            layers, first = layer, 0
        elif name.startswith("downstream"):
            layers, first = shape.n_layers - 1 - layer, layer + 1
        else:
            layers, first = shape.n_layers - 1, 0
        if name.endswith("_gate") and not shape.gated:
            layers = 0
        among = layers * shape.d_mlp - name.endswith("_layer")
        kept = np.minimum(lengths, among)
        at = ranges(np.cumsum(lengths) - lengths, kept)
        of = np.repeat(np.arange(n), kept)
        flat = distinct(kept, among, rng)
        if name.endswith("_layer"):
            flat += flat >= of
        layers = flat // shape.d_mlp + first
        if name.endswith("_others"):
            layers += layers >= layer
        return {"layer": layers, "neuron": flat % shape.d_mlp, "value": values["value"][at] * about(n, rng, 0.02)[of]}, kept

    def write(self, path):
        """Writes the table."""
        n = self.shape.d_mlp
        write(path, self.schema, self.own | self.lists, np.minimum(ROWS, n - np.arange(0, n, ROWS)))


def of_type(field, values):
    """A column of the type of a field; NaN stands for null."""
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(field.type)
    return pa.array(values, from_pandas=field.nullable).cast(field.type)


def typed(field, values):
    of = field.type.value_type
    if not pa.types.is_struct(of):
        return values.astype(of.to_pandas_dtype())
    return {child.name: values[child.name].astype(child.type.to_pandas_dtype()) for child in of}


class Peaks:
    """On which tokens the examples of an end peak."""

    def __init__(self, d_vocab):
        self.d_vocab, self.found = d_vocab, []

    def add(self, first, neurons, tokens):
        """Adds the examples of a layer, whose first neuron has the index `first` in the model."""
        pairs, counts = np.unique(neurons.astype(np.int64) << 32 | tokens, return_counts=True)
        self.found.append((((pairs >> 32) + first).astype(np.uint32), (pairs & 0xFFFFFFFF).astype(np.uint32), counts.astype(np.uint8)))

    def lists(self):
        """How many neurons peak on each token, and those that do so with most examples: indices, counts, and lengths of lists."""
        flat, token, count = (np.concatenate(parts) for parts in zip(*self.found))
        order = np.lexsort((flat, 255 - count, token))
        n = np.bincount(token, minlength=self.d_vocab)[: self.d_vocab]
        lengths = np.minimum(n, TOP_PEAKS)
        at = order[ranges(np.cumsum(n) - n, lengths)]
        return n, flat[at], count[at], lengths


def write_tokens(path, source, texts, peaks, shape, rng):
    """Writes the table of tokens, with the lists of a token of the source at about the same place in the vocabulary."""
    schema = pq.read_schema(source).remove_metadata()
    table = pq.read_table(source)
    fields = {field.name: field for field in schema}
    rows = np.arange(shape.d_vocab) * len(table) // shape.d_vocab
    n_neurons = shape.n_layers * shape.d_mlp
    named = lambda flat: {"layer": flat // shape.d_mlp, "neuron": flat % shape.d_mlp}
    columns = {"token": np.arange(shape.d_vocab, dtype=np.uint32), "text": pa.array(texts)}
    for name in (name for name in fields if name.startswith(("promoted", "suppressed"))):
        values, lengths = Lists(table[name]).take(rows)
        kept = np.minimum(lengths, n_neurons // 4)
        at = ranges(np.cumsum(lengths) - lengths, kept)
        value = values["value"][at] * np.repeat(about(shape.d_vocab, rng, 0.02), kept)
        lists = named(distinct(kept, n_neurons, rng)) | {"value": value}
        columns[name] = list_array(fields[name], typed(fields[name], lists), kept)
    for end, of in peaks.items():
        n, flat, count, lengths = of.lists()
        columns[f"n_peaks_{end}"] = n.astype(np.uint32)
        lists = named(flat) | {"value": count}
        columns[f"peaks_{end}"] = list_array(fields[f"peaks_{end}"], typed(fields[f"peaks_{end}"], lists), lengths)
    write(path, schema, columns, np.minimum(TOKEN_ROWS, shape.d_vocab - np.arange(0, shape.d_vocab, TOKEN_ROWS)))
