"""Statistics of a real layer, moved a little and brought to the length of another text, so that they still fit each other."""

import numpy as np
import pyarrow.parquet as pq

from columns import Lists, list_array, write

CASES = ["gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"]
ROWS = 1024
# Most octaves by which a neuron's values are made smaller: whole ones, so that histograms move by whole bins.
OCTAVES = 2
# Beside them, values change by so little that few of them move to another bin.
LITTLE = 2.0**-11
# Largest share of positions that are given another value when moments are moved.
SHARE = 0.02


def bin_of(x):
    """The histogram's bin of a value, as in src/stats/histogram.rs."""
    bits = np.asarray(x, np.float32).view(np.uint32)
    magnitude = np.clip((bits & 0x7FFFFFFF).astype(np.int64) // (1 << 21) - 444 + 1, 0, 127)
    return np.where((bits >> 31 == 1) & (bits != 0x80000000), 127 - magnitude, 128 + magnitude)


def bin_edges():
    """Where bins begin and end."""
    codes = (444 + np.arange(127)).astype(np.uint32) << 21
    magnitudes = np.concatenate([[0.0], codes.view(np.float32).astype(np.float64), [np.inf]])
    return np.concatenate([-magnitudes[:0:-1], magnitudes[:-1]]), np.concatenate([-magnitudes[-2::-1] + 0.0, magnitudes[1:]])


def factors(values, neurons, n, rng):
    """What to multiply the values of each of `n` neurons with, given the ranked `values` of `neurons`, which stay in their bins but for octaves."""
    little = 1.0 + rng.uniform(-LITTLE, LITTLE, n)
    for _ in range(4):
        moves = bin_of(values * little[neurons]) != bin_of(values)
        crossing = np.bincount(neurons, moves, n) > 0
        little[crossing] = 1.0 + rng.uniform(-LITTLE, LITTLE, int(crossing.sum())) / 4
    moves = bin_of(values * little[neurons]) != bin_of(values)
    little[np.bincount(neurons, moves, n) > 0] = 1.0
    return little, rng.integers(0, OCTAVES + 1, n)


class SourceStats:
    """The statistics of a layer of the source."""

    def __init__(self, path, gated):
        self.schema = pq.read_schema(path).remove_metadata()
        if not gated:
            for name in [name for name in self.schema.names if name.startswith("gate")]:
                self.schema = self.schema.remove(self.schema.get_field_index(name))
        table = pq.read_table(path, columns=self.schema.names)
        lists = ["histogram_bins", "histogram_counts"]
        self.columns = {name: table[name].to_numpy() for name in self.schema.names if name not in lists}
        bins, counts = (Lists(table[name]) for name in lists)
        self.histogram = np.zeros((len(table), 256), np.int64)
        self.histogram[np.repeat(np.arange(len(table)), bins.lengths), bins.values] = counts.values


class Stats:
    """The statistics of a layer that is made of a source layer's neurons."""

    def __init__(self, source, neurons, little, octaves, corpus, tau, rng):
        """Neuron `n` has those of neuron `neurons[n]`, its values times `little[n] / 2 ** octaves[n]`."""
        self.schema, self.factors = source.schema, little * 0.5**octaves
        n, factor = len(neurons), self.factors
        of = {name: values[neurons] for name, values in source.columns.items()}
        self.of = own = {"neuron": np.arange(n, dtype=np.uint32)}
        assert not of["not_finite"].any(), "only scans without values that are not finite are understood"
        for name in of:
            if name.endswith(("min", "max")):
                own[name] = (of[name] * factor).astype(np.float32)
        own["not_finite"] = of["not_finite"]
        sums = lambda prefix: np.array([of[f"{prefix}sum{power}"] * factor**power for power in (1, 2, 3, 4)])

        # the same shares of positions as in the source, but for some that get one other value between the extremes
        special, starts = sums("special_"), sums("start_")
        elsewhere = sums("") - starts
        special *= corpus.n_special / of["special_count"]
        starts *= corpus.n_starts / of["start_count"]
        n_elsewhere = corpus.n_counted - corpus.n_starts
        elsewhere *= n_elsewhere / (of["count"] - of["start_count"])
        longer = corpus.n_counted / of["count"]
        sum_abs = of["sum_abs"] * factor * longer
        value = sum_abs / corpus.n_counted * rng.uniform(0.5, 2, n) * rng.choice([-1, 1], n)
        value = np.clip(value, own["elsewhere_min"].astype(np.float64), own["elsewhere_max"].astype(np.float64))
        share = rng.uniform(0, SHARE, n)
        elsewhere = (1 - share) * elsewhere + share * n_elsewhere * np.array([value**power for power in (1, 2, 3, 4)])
        for prefix, count, found in [("", corpus.n_counted, starts + elsewhere), ("start_", corpus.n_starts, starts), ("special_", corpus.n_special, special)]:
            own[f"{prefix}count"] = np.full(n, count, np.uint64)
            for power in (1, 2, 3, 4):
                own[f"{prefix}sum{power}"] = found[power - 1]
        own["sum_abs"] = sum_abs + share * (n_elsewhere * np.abs(value) - (sum_abs - np.abs(starts[0])))

        self.histogram = self.moved(source.histogram, neurons, octaves, corpus.n_counted, rng)
        own["above_tau"] = self.above(tau, rng)
        few = longer.mean() / 2
        if "gate+_in+_count" in of:
            self.cases(of, longer, few, rng)
        else:
            firing = np.rint(of["firing"] * longer) + np.rint(rng.uniform(-few, few, n)) * (of["firing"] > 0)
            own["firing"] = np.minimum(firing, corpus.n_counted).astype(np.uint64)

    def moved(self, histogram, neurons, octaves, n_counted, rng):
        """Histograms of `n_counted` values some octaves smaller, a few of them in the bin beside theirs."""
        counts = np.zeros((len(neurons), 256), np.int64)
        for octave in range(OCTAVES + 1):
            own = np.flatnonzero(octaves == octave)
            found = histogram[neurons[own]]
            smaller = np.zeros_like(found)
            for magnitude in range(128):
                to = max(magnitude - 4 * octave, 0)
                smaller[:, 128 + to] += found[:, 128 + magnitude]
                smaller[:, 127 - to] += found[:, 127 - magnitude]
            counts[own] = smaller
        longer = n_counted / counts.sum(1, keepdims=True)
        counts = np.where(counts > 0, np.maximum(counts * longer, 1), 0).astype(np.int64)
        rows = np.arange(len(counts))
        counts[rows, counts.argmax(1)] += n_counted - counts.sum(1)
        few = int(longer.mean() / 2)
        for first in (0, 1):
            pairs = counts[:, first : 256 - first].reshape(len(counts), -1, 2)
            move = rng.integers(-few, few + 1, pairs.shape[:2]) * (pairs.min(2) > 3 * few)
            pairs += np.stack([move, -move], 2)
            counts[:, first : 256 - first] = pairs.reshape(len(counts), -1)
        return counts

    def above(self, tau, rng):
        """Numbers of values larger than τ that the histograms allow."""
        own, of_tau = self.of, int(bin_of(tau))
        surely = self.histogram[:, of_tau + 1 :].sum(1) + self.histogram[:, : 255 - of_tau].sum(1)
        maybe = self.histogram[:, of_tau] * (own["max"] >= tau) + self.histogram[:, 255 - of_tau] * (own["min"] <= -tau)
        return (surely + (maybe * rng.uniform(0.3, 0.7, len(maybe))).astype(np.int64)).astype(np.uint64)

    def cases(self, of, longer, few, rng):
        """Sign cases, in which the input takes part in the factor and the gate does not."""
        own, n = self.of, len(longer)
        was = np.array([of[f"{case}_count"] for case in CASES]).astype(np.int64)
        counts = (was * longer).astype(np.int64)
        left = ((of["firing"].astype(np.int64) - was[:2].sum(0)) * longer).astype(np.int64)
        rest = (was.sum(0) == of["count"]) * (self.of["count"].astype(np.int64) - counts.sum(0))
        counts[counts.argmax(0), np.arange(n)] += rest
        few = int(few)
        move = rng.integers(-few, few + 1, n) * (np.minimum(counts[0], counts[2]) > 20 * few)
        counts[0] += move
        counts[2] -= move
        own["firing"] = (counts[:2].sum(0) + left).astype(np.uint64)
        gate = 1 + rng.uniform(-0.002, 0.002, n)
        scales = {"gate": gate, "act": gate, "in": self.factors, "post": self.factors}
        for case, count, n_was in zip(CASES, counts, was):
            longer = count / np.maximum(n_was, 1)
            own[f"{case}_count"] = count.astype(np.uint64)
            for quantity, scale in scales.items():
                largest = of[f"{case}_{quantity}_extreme"]
                extreme = (largest * scale).astype(np.float32)
                # a sum of equal values must not exceed them
                ratio = np.divide(extreme, largest, where=largest != 0, out=scale.copy(), dtype=np.float64)
                own[f"{case}_{quantity}_sum"] = of[f"{case}_{quantity}_sum"] * ratio * longer
                own[f"{case}_{quantity}_extreme"] = extreme
        posts = np.array([own[f"{case}_post_sum"] for case in CASES])
        posts[np.abs(posts).argmax(0), np.arange(n)] += own["sum1"] - posts.sum(0)
        for case, post in zip(CASES, posts):
            own[f"{case}_post_sum"] = post

    def quantile(self, q):
        """A quantile of each neuron, as in src/stats/histogram.rs."""
        rank = q * self.histogram.sum(1).astype(np.float64)
        below = self.histogram.cumsum(1)
        at = ((below >= rank[:, None]) & (self.histogram > 0)).argmax(1)
        rows = np.arange(len(at))
        low, high = (edges[at] for edges in bin_edges())
        low, high = np.maximum(low, self.of["min"]), np.minimum(high, self.of["max"])
        count = self.histogram[rows, at]
        share = np.clip((rank - (below[rows, at] - count)) / count, 0, 1)
        return low + (high - low) * share

    def write(self, path):
        """Writes the table."""
        fields = {field.name: field for field in self.schema}
        rows, bins = np.nonzero(self.histogram)
        lengths = np.bincount(rows, minlength=len(self.histogram))
        lists = {"histogram_bins": bins.astype(np.uint8), "histogram_counts": self.histogram[rows, bins].astype(np.uint64)}
        columns = self.of | {name: list_array(fields[name], values, lengths) for name, values in lists.items()}
        n = len(self.histogram)
        write(path, self.schema, columns, np.minimum(ROWS, n - np.arange(0, n, ROWS)))
