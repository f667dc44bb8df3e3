"""How the cost of a scan grows with its tokens and with the model: `python linear.py NEUROSCOPE OUT.svg`.

Left, the demo's corpus in one scan, round by round. Right, Llama models of random weights, from 4 to 300 million parameters
in their blocks, over the same text. The lines are proportional ones, fitted to the points; what they explain of the variance is printed.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import tempfile

import matplotlib
import numpy as np

matplotlib.use("svg")
import matplotlib.pyplot as plt

from random_llama import random_llama

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("neuroscope")
parser.add_argument("out")
args = parser.parse_args()


def rounds(model, tokens, n, after=0):
    command = [args.neuroscope, "--json", "bench", "scan", "--model", str(model), "--n-ctx", "256"]
    command += ["--tokens", str(tokens), "--rounds", str(n), "--after", str(after)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)["rounds"]


def panel(axis, x, y, labels):
    """Points and the proportional line of least squares."""
    x, y = np.array(x), np.array(y)
    slope = x @ y / (x @ x)
    unexplained = ((y - slope * x) ** 2).sum() / ((y - y.mean()) ** 2).sum()
    axis.plot([0, x.max()], [0, slope * x.max()], color="#888", linewidth=1)
    axis.plot(x, y, "o", color="#2a6fb0", markersize=4)
    axis.set_xlabel(labels[0])
    axis.set_ylabel(labels[1])
    axis.spines[["top", "right"]].set_visible(False)
    print(f"{labels[0]}: {len(x)} points from {x.min():.3g} to {x.max():.3g}, R² {1 - unexplained:.4f}")


figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
seconds, tokens = np.cumsum([[r["scan_s"], r["n_tokens"]] for r in rounds("demo", 32768, 25)], axis=0).T
panel(left, tokens / 1e3, seconds, ("thousand tokens", "seconds"))
parameters, per_token = [], []
with tempfile.TemporaryDirectory() as temporary:
    for n_layers, d_model in [(4, 256), (8, 384), (12, 512), (14, 640), (16, 768), (20, 896), (24, 1024)]:
        folder = pathlib.Path(temporary) / str(d_model)
        n = random_llama(folder, n_layers, d_model, d_model * 8 // 3 // 64 * 64, 64)
        found = rounds(folder, 4096, 5, after=8192)
        parameters.append(n / 1e6)
        per_token.append(np.median([r["scan_s"] / r["n_tokens"] for r in found]) * 1e3)
        shutil.rmtree(folder)
panel(right, parameters, per_token, ("million parameters in blocks", "milliseconds per token"))
plt.savefig(args.out, metadata={"Date": None})
