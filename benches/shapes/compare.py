"""How well the windows of examples compress in two atlases: `python compare.py DATA DATA`.

For chunks of 64 neurons of layers at the same depths: bytes a window, each once, of their steps after gzip at level 6, by itself and with the
values and the scales; how many windows a neuron has, and in how many documents.
"""

import pathlib
import sys
import zlib

import numpy as np
import pyarrow.parquet as pq

from columns import Lists

NEURONS, CHUNKS, DEPTHS = 64, 6, 5


def measure(atlas):
    layers = sorted(atlas.glob("layer-*.examples.parquet"))
    found = []
    for layer in np.linspace(0, len(layers) - 1, DEPTHS).round().astype(int):
        file = pq.ParquetFile(layers[layer])
        groups = np.linspace(0, file.num_row_groups - 1, min(CHUNKS, file.num_row_groups)).round().astype(int)
        for group in groups:
            table = file.read_row_group(group, columns=["neuron", "doc", "pos", "value", "scale", "steps"])
            table = table.combine_chunks()
            neuron, doc, pos = (table[name].to_numpy().astype(np.int64) for name in ("neuron", "doc", "pos"))
            chunk = np.flatnonzero(neuron < neuron[0] + NEURONS)
            _, first = np.unique(np.array([neuron, doc, pos])[:, chunk], axis=1, return_index=True)
            rows = chunk[np.sort(first)]
            steps, lengths = Lists(table["steps"]).take(rows)
            numbers = b"".join(table[name].to_numpy()[rows].tobytes() for name in ("value", "scale"))
            packed = [len(zlib.compress(what, 6)) for what in (steps.tobytes(), steps.tobytes() + numbers)]
            documents = np.unique(neuron[rows] << 32 | doc[rows])
            n = len(np.unique(neuron[rows]))
            found.append([*(size / len(rows) for size in packed), lengths.mean(), len(rows) / n, len(documents) / n])
    return np.mean(found, 0)


for data in sys.argv[1:]:
    steps, all_numbers, length, windows, documents = measure(pathlib.Path(data) / "atlas")
    print(f"{data}: {steps:.2f} bytes a window of {length:.1f} values, {all_numbers:.2f} with numbers; {windows:.1f} windows a neuron in {documents:.1f} documents")
