"""The table of all neurons, computed from the other tables as src/atlas/neurons.rs does."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from columns import write
from stats import bin_edges
from weights import of_type

DECIDING = 10
DEAD_SHARE = 0.01
RARE_ONE_IN = 100_000
RANKED = ["kurtosis", "skewness", "variance", "range", "frequency", "peak_ratio", "logit_kurtosis", "io_cosine"]
OF_WEIGHTS, OF_BOTH_SIDES = ["logit_kurtosis", "io_cosine"], ["variance", "range"]


def side_size(values, starts):
    """The median of the first examples of a side, not counting those where windows start; 0 if it is of the other sign."""
    values = np.where(starts, np.nan, values)
    order = np.argsort(np.isnan(values), axis=1, kind="stable")[:, :DECIDING]
    first = np.sort(np.take_along_axis(values, order, 1), 1)
    n = (~np.isnan(first)).sum(1)
    rows = np.arange(len(first))
    upper, lower = first[rows, np.minimum(n // 2, DECIDING - 1)], first[rows, np.maximum(n // 2 - 1, 0)]
    median = np.where(n % 2 == 1, upper, lower / np.float32(2) + upper / np.float32(2))
    return np.where(n == 0, np.float32(0), np.maximum(median, np.float32(0)))


def half_at_starts(values, starts):
    n = (~np.isnan(values[:, :DECIDING])).sum(1)
    at_starts = starts[:, :DECIDING].sum(1)
    return (at_starts > 0) & (2 * at_starts >= n)


def power(values, exponent):
    """Powers as the C library has them, whose last bit may differ from numpy's."""
    return np.array([math.pow(value, exponent) for value in values])


def summary(stats, examples, weights, top_k):
    """The columns of a layer, without lines and ranks."""
    of, n = stats.of, len(stats.factors)
    count = of["count"].astype(np.float64)
    low, high = of["min"].astype(np.float64), of["max"].astype(np.float64)
    m1, m2, m3, m4 = (of[f"sum{power}"] / count for power in (1, 2, 3, 4))
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = np.where(low == high, 0, np.maximum(m2 - m1 * m1, 0))
        third = m3 - 3 * m1 * m2 + 2 * (m1 * m1 * m1)
        fourth = np.maximum(m4 - 4 * m1 * m3 + 6 * m1 * m1 * m2 - 3 * ((m1 * m1) * (m1 * m1)), 0)
        skewness, kurtosis = third / power(variance, 1.5), fourth / power(variance, 2.0)

    sides = {name: examples.of_side(name, top_k) for name in ("top", "bottom")}
    (top, top_starts), (bottom, bottom_starts) = sides["top"], sides["bottom"]
    everywhere = (top_starts | np.isnan(top)).all(1) & (bottom_starts | np.isnan(bottom)).all(1)
    positive = side_size(top, top_starts & ~everywhere[:, None])
    negative = side_size(-bottom, bottom_starts & ~everywhere[:, None])
    is_negative, stronger = negative > positive, np.maximum(positive, negative)
    with np.errstate(divide="ignore", invalid="ignore"):
        balance = np.minimum(positive, negative) / stronger
    at_starts = np.maximum(np.abs(of["start_min"]), np.abs(of["start_max"])).astype(np.float64)
    elsewhere = np.maximum(np.abs(of["elsewhere_min"]), np.abs(of["elsewhere_max"])).astype(np.float64)
    dominate = at_starts > 3 * elsewhere
    half = np.array([half_at_starts(*of_side) for of_side in sides.values()])
    dominant = dominate | ((stronger > 0) & np.where(is_negative, half[1], half[0]))

    largest = np.maximum(np.abs(low), np.abs(high))
    threshold = DEAD_SHARE * np.median(largest[largest > 0]) if (largest > 0).any() else 0.0
    begins, ends = bin_edges()
    above = stats.histogram[:, (begins >= threshold) | (-ends >= threshold)].sum(1)
    dead = largest <= threshold

    sign = np.where(is_negative, -1, 1)
    quantile = np.where(is_negative, stats.quantile(0.001), stats.quantile(0.999))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(is_negative, low, high) / quantile
    gate_out = weights.own.get("cos_gate_out")
    cosines = [weights.own["cos_in_out"]] + ([] if gate_out is None else [gate_out])
    cosines = [np.abs(cosine.to_numpy(zero_copy_only=False).astype(np.float64)) for cosine in cosines]
    return {
        "neuron": np.arange(n, dtype=np.uint32),
        "count": of["count"],
        "max": high,
        "min": low,
        "mean": m1,
        "mean_abs": of["sum_abs"] / count,
        "frequency_abs": of["above_tau"] / count,
        "dead": dead,
        "rare": ~dead & (above < count / RARE_ONE_IN),
        "side": np.where(stronger > 0, np.where(is_negative, "negative", "positive"), None),
        "side_balance": np.where(stronger > 0, balance, np.nan).astype(np.float32),
        "at_starts": dominant,
        "at_starts_either": dominant | half.any(0),
        "kurtosis": np.where((variance > 0) & np.isfinite(kurtosis), kurtosis, np.nan),
        "skewness": np.where((variance > 0) & np.isfinite(skewness), skewness, np.nan),
        "variance": variance,
        "range": high - low,
        "frequency": of["firing"] / count,
        "peak_ratio": np.where(quantile * sign > 0, ratio, np.nan),
        "logit_kurtosis": weights.own["logit_kurtosis"].to_numpy(zero_copy_only=False).astype(np.float64),
        "io_cosine": np.fmax.reduce(cosines),
    }


def ranks(values):
    """Ranks of values, largest first, from 1; NaN has none."""
    order = np.argsort(-values, kind="stable")
    found = np.empty(len(values))
    found[order] = np.arange(1, len(values) + 1)
    return np.where(np.isnan(values), np.nan, found)


def write_summaries(path, schema, layers, lines):
    """Writes the table, given the columns of each layer and its lines."""
    columns = {name: np.concatenate([layer[name] for layer in layers]) for name in layers[0]}
    lengths = [len(layer["neuron"]) for layer in layers]
    columns["layer"] = np.repeat(np.arange(len(layers), dtype=np.uint32), lengths)
    for name in RANKED:
        flag = columns["at_starts_either" if name in OF_BOTH_SIDES else "at_starts"]
        values = np.where(flag & (name not in OF_WEIGHTS), np.nan, columns[name])
        in_layers = np.split(values, np.cumsum(lengths)[:-1])
        columns[f"{name}_rank_in_layer"] = np.concatenate([ranks(own) for own in in_layers])
        columns[f"{name}_rank_in_model"] = ranks(values)
    columns |= {name: pa.concat_arrays([layer[name] for layer in lines]) for name in lines[0]}
    fields = {field.name: field for field in schema}
    write(path, schema, {name: of_type(fields[name], values) for name, values in columns.items()}, lengths)


def source_lines(path, layer):
    """The lines of a layer of the source."""
    names = ["line_positive", "line_negative"]
    table = pq.ParquetFile(path).read_row_group(layer, columns=names)
    return {name: table[name].combine_chunks() for name in names}
