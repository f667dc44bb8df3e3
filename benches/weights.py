"""What the analysis of weights costs at the size of OLMo-7B: `python weights.py NEUROSCOPE [LAYERS]`.

Makes a model of random weights with OLMo-7B's d_model, d_mlp and vocabulary, but few layers (3, if not said), scans a few words,
and runs `neuroscope bench weights` and `neuroscope analyze`. Prints the rates, the peak of memory, and what follows for 32 layers.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from random_llama import random_llama

D_MODEL, D_MLP, D_VOCAB, N_LAYERS = 4096, 11008, 50304, 32


def flop(n_layers):
    """Of a gated model, as `neuroscope::atlas::work` counts."""
    early = -(-n_layers // 4)
    vocabulary = (n_layers + 2 * early) * D_MLP * D_VOCAB
    pairs = n_layers * (n_layers + 1) + n_layers * (n_layers - 1)
    return 2 * D_MODEL * (vocabulary + pairs * D_MLP**2)


program = sys.argv[1]
n_layers = int(sys.argv[2]) if len(sys.argv) > 2 else 3
with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    random_llama(folder / "model", n_layers, D_MODEL, D_MLP, 128, D_VOCAB, np.float16)
    run = lambda *command: subprocess.run([program, "--project", folder, "--json", *command], check=True, capture_output=True, text=True)
    bench = json.loads(run("bench", "weights", "--model", folder / "model", "--rounds", "2").stdout)
    for name in ["logit_weights", "pairs"]:
        rate, bare, share = (bench[f"{name}_{end}"]["median"] for end in ["gflop_s", "bare_gflop_s", "over_bare"])
        print(f"{name}: {rate:.0f} GFLOP/s, bare {bare:.0f}, share {share:.2f}")
    (folder / "text.jsonl").write_text(json.dumps({"text": "A few words."}) + "\n")
    run("scan", "--model", folder / "model", "--corpus", folder / "text.jsonl", "--name", "few", "--part", "0/1")
    run("merge", folder / "data/few")
    command = [program, "--project", folder, "--json", "analyze", folder / "data/few", "--model", folder / "model"]
    with tempfile.TemporaryFile("w+") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        out.seek(0)
        done = json.load(out)
    rate = done["flop"] / done["seconds"]
    assert done["flop"] == flop(n_layers)
    print(f"{n_layers} layers: {done['seconds']:.0f} s, {rate / 1e9:.0f} GFLOP/s, peak of memory {usage.ru_maxrss / 1e6:.2f} GB, the mapped weights in it")
    print(f"{N_LAYERS} layers: {flop(N_LAYERS) / 1e15:.2f} PFLOP, {flop(N_LAYERS) / rate / 3600:.1f} h at this rate")
