"""Examples of a real layer, moved to other places of another text."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from columns import Lists, list_array, ranges, write
from corpus import START_POSITIONS, mix

# Examples a row group has, about.
GROUP_ROWS = 32_768
# Occurrences that a token needs for examples to be moved between them.
OCCURRENCES = 40
# Smallest step that is changed by one; smaller ones make up the long runs of small numbers, which compress best.
LEAST_CHANGED = 3


def mirrored(at, n):
    """Indices into `n` values that continue them at both ends as a mirror does."""
    period = np.maximum(2 * (n - 1), 1)
    at = at % period
    return np.minimum(at, period - at)


def step(value, scale):
    """The step that stands for a value, as in src/stats/window.rs."""
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.rint(np.clip(value / scale, -127, 127))
    return np.where(scale > 0, steps, 0).astype(np.int8)


class SourceLayer:
    """The examples of a layer of the source, each window once."""

    def __init__(self, path, corpus, gated):
        self.schema = pq.read_schema(path).remove_metadata()
        table = pq.read_table(path)
        if not gated:
            table = table.filter(pc.invert(pc.starts_with(table["list"], "gate")))
        column = lambda name: table[name].combine_chunks().to_numpy(zero_copy_only=False)
        self.before, self.after = (corpus.policy["stats"][f"window_{side}"] for side in ("before", "after"))
        names = pc.dictionary_encode(table["list"].combine_chunks())
        self.list_names, self.list = names.dictionary, names.indices.to_numpy()
        self.rank, self.neuron = column("rank"), column("neuron")
        self.duplicates = Lists(table["duplicates"])
        self.is_listed = np.array([not name.as_py().startswith(("band_", "random")) for name in self.list_names])[self.list]
        doc, pos = column("doc").astype(np.int64), column("pos").astype(np.int64)
        # a window is in several lists
        place = corpus.offsets[doc] + pos
        _, first, self.window = np.unique(self.neuron.astype(np.int64) << 32 | place, return_index=True, return_inverse=True)
        n_neurons = int(self.neuron.max()) + 1
        self.rows_of = np.bincount(self.neuron, minlength=n_neurons)
        self.windows_of = np.bincount(self.neuron[first], minlength=n_neurons)
        self.value, self.scale = column("value")[first], column("scale")[first]
        self.token, self.pos = corpus.tokens[place[first]].astype(np.int64), pos[first]
        self.is_start = (self.pos % corpus.policy["n_ctx"] <= START_POSITIONS) & (self.pos % corpus.policy["n_ctx"] > 0)
        order = np.argsort(corpus.plan)
        found = order[np.minimum(np.searchsorted(corpus.plan[order], place[first]), len(order) - 1)]
        is_drawn = np.zeros(len(self.list), bool)
        is_drawn[~self.is_listed] = True
        is_drawn = np.bincount(self.window, is_drawn, len(first)) > 0
        self.draw = np.where(is_drawn, found, -1)
        assert (corpus.plan[self.draw[is_drawn]] == place[first][is_drawn]).all(), "the samples are not those of the plan"
        # clipped windows are continued, so that all have the same width
        steps = Lists(table["steps"])
        lengths = steps.lengths[first]
        head = self.pos - column("start")[first]
        at = mirrored(np.arange(self.before + 1 + self.after) - self.before + head[:, None], lengths[:, None])
        self.steps = steps.values[steps.first[first][:, None] + at]


class Examples:
    """The examples of a layer that is made of a source layer's neurons."""

    def __init__(self, source, neurons, factors, corpus, rng):
        """Neuron `n` has the examples of neuron `neurons[n]` of the source, its values times `factors[n]`."""
        self.source, self.corpus = source, corpus
        first_window = np.cumsum(source.windows_of) - source.windows_of
        n_windows = source.windows_of[neurons]
        own_first = np.cumsum(n_windows) - n_windows
        window = ranges(first_window[neurons], n_windows)
        neuron = np.repeat(np.arange(len(neurons)), n_windows)
        place = self.places(window, neuron, rng)
        pos = corpus.positions[place].astype(np.int64)
        doc = corpus.documents[place]
        head = np.minimum(pos, source.before)
        tail = np.minimum(corpus.lengths[doc] - 1 - pos, source.after)
        value = (source.value[window] * factors[neuron]).astype(np.float32)
        scale = (source.scale[window] * factors[neuron]).astype(np.float32)
        self.steps, self.scale, self.inside = self.changed(window, value, scale, head, tail, rng)

        first_row = np.cumsum(source.rows_of) - source.rows_of
        self.n_rows = source.rows_of[neurons]
        self.row = ranges(first_row[neurons], self.n_rows)
        self.neuron = np.repeat(np.arange(len(neurons), dtype=np.uint32), self.n_rows)
        self.window = source.window[self.row] - first_window[neurons[self.neuron]] + own_first[self.neuron]
        self.place, self.pos, self.doc, self.head, self.tail = place, pos, doc, head, tail
        self.value, self.factors = value, factors

    def places(self, window, neuron, rng):
        """Draws a place for each window: what a neuron peaks on stays the same token, and what was drawn at random was drawn so here."""
        source, corpus = self.source, self.corpus
        draw, is_start = source.draw[window], source.is_start[window]
        is_fixed = draw >= 0
        is_start = is_start & ~is_fixed
        place = np.zeros(len(window), np.int64)
        place[is_fixed] = corpus.plan[draw[is_fixed]]
        long_enough = np.flatnonzero(corpus.lengths > START_POSITIONS)
        # a document, and a context, are in no list twice; here they are in no two windows of a neuron
        documents = neuron * corpus.n_documents + corpus.documents[place]
        contexts = np.empty(len(place), np.uint64)
        contexts[is_fixed] = mix(corpus.contexts(place[is_fixed]) ^ neuron[is_fixed].astype(np.uint64))
        free = np.flatnonzero(~is_fixed)
        for tries in range(40):
            own, others = free[is_start[free]], free[~is_start[free]]
            place[own] = corpus.offsets[rng.choice(long_enough, len(own))] + source.pos[window[own]] % corpus.policy["n_ctx"]
            least = OCCURRENCES if tries < 12 else np.iinfo(np.int64).max
            place[others] = corpus.draw(source.token[window[others]], rng, least)
            documents[free] = neuron[free] * corpus.n_documents + corpus.documents[place[free]]
            contexts[free] = mix(corpus.contexts(place[free]) ^ neuron[free].astype(np.uint64))
            free = np.union1d(repeated(documents, is_fixed), repeated(contexts, is_fixed))
            if len(free) == 0:
                break
        return place

    def changed(self, window, value, scale, head, tail, rng):
        """Steps that differ a little from those of the source, clipped at the document, with the scales that they need."""
        source = self.source
        steps, before = source.steps[window], source.before
        size = np.abs(steps.astype(np.int16))
        noise = rng.integers(0, 4, steps.shape, np.uint8)
        change = (noise == 1).astype(np.int8) - (noise == 2).astype(np.int8)
        is_changed = (size >= LEAST_CHANGED) & (size < 127)
        steps = np.where(is_changed, np.clip(steps + change, -126, 126), steps).astype(np.int8)
        columns = np.arange(steps.shape[1])
        inside = (columns >= (before - head)[:, None]) & (columns <= (before + tail)[:, None])
        steps[~inside] = 0
        # where the largest was clipped, another makes the scale
        others = np.abs(steps.astype(np.int16))
        clipped = np.flatnonzero((others.max(1) < 127) & (scale > 0))
        others = others[clipped]
        others[:, before] = 0
        largest = np.maximum(others.max(1) * scale[clipped], np.abs(value[clipped]))
        smaller = np.where(largest > 0, 127 * scale[clipped] / np.maximum(largest, np.finfo(np.float32).tiny), 0)
        steps[clipped] = np.clip(np.rint(steps[clipped] * smaller[:, None]), -127, 127)
        scale[clipped] = largest / np.float32(127)
        steps[:, before] = step(value, scale)
        return steps, scale, inside

    def of_side(self, name, n):
        """The values of a list, `[neuron, rank]`, NaN where there are fewer, and whether windows start at their peaks."""
        code = self.source.list_names.index(name).as_py()
        rows = np.flatnonzero(self.source.list[self.row] == code)
        at = self.neuron[rows], self.source.rank[self.row[rows]]
        values = np.full((len(self.n_rows), n), np.nan, np.float32)
        starts = np.zeros(values.shape, bool)
        windows = self.window[rows]
        values[at] = self.value[windows]
        row = self.pos[windows] % self.corpus.policy["n_ctx"]
        starts[at] = (row >= 1) & (row <= START_POSITIONS)
        return values, starts

    def peaks(self, name):
        """The neuron and the token of each example of a list."""
        code = self.source.list_names.index(name).as_py()
        rows = np.flatnonzero(self.source.list[self.row] == code)
        return self.neuron[rows], self.corpus.tokens[self.place[self.window[rows]]]

    def write(self, path):
        """Writes the table."""
        source, window = self.source, self.window
        fields = {field.name: field for field in source.schema}
        flat = self.steps[window][self.inside[window]]
        duplicates, n_duplicates = source.duplicates.take(self.row)
        duplicates = duplicates * np.repeat(self.factors[self.neuron], n_duplicates)
        contexts = np.where(source.is_listed[self.row], self.corpus.contexts(self.place)[window], np.uint64(0))
        columns = {
            "neuron": self.neuron,
            "list": source.list_names.take(pa.array(source.list[self.row])),
            "rank": source.rank[self.row],
            "value": self.value[window],
            "doc": self.doc[window],
            "pos": self.pos[window],
            "duplicates": list_array(fields["duplicates"], duplicates.astype(np.float32), n_duplicates),
            "context": contexts,
            "start": (self.pos - self.head)[window],
            "scale": self.scale[window],
            "steps": list_array(fields["steps"], flat, (self.head + 1 + self.tail)[window]),
        }
        # whole neurons in each group
        ends = np.cumsum(self.n_rows)
        groups = np.unique(ends[np.searchsorted(ends, np.arange(GROUP_ROWS, ends[-1] + GROUP_ROWS, GROUP_ROWS)).clip(max=len(ends) - 1)])
        write(path, source.schema, columns, np.diff(groups, prepend=0))


def repeated(keys, is_fixed):
    """Those that are not fixed and have the key of another: all but one of each."""
    in_order = np.sort(keys)
    double = np.unique(in_order[1:][in_order[1:] == in_order[:-1]])
    if len(double) == 0:
        return double.astype(np.int64)
    at = np.searchsorted(double, keys)
    found = np.flatnonzero(double[np.minimum(at, len(double) - 1)] == keys)
    found = found[np.lexsort((~is_fixed[found], keys[found]))]
    later = found[1:][keys[found][1:] == keys[found][:-1]]
    return later[~is_fixed[later]]
