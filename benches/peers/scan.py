"""Scans beside PyTorch, in turns: `python scan.py NEUROSCOPE MODEL [--length 256] [--dtype f32] [--rounds 5]`.

In each round, over as many tokens of windows of one length:
  torch     transformers' model without its unembedding, forward only
  hooks     the same with hooks that keep each neuron's 20 largest values
  forward   neuroscope's forward pass alone
  scan      neuroscope's scan: all statistics and examples

The PyTorch model has the shape of the one that neuroscope runs, and random weights, which take as long. Only ratios within a
round mean anything; the median and the range over the rounds are printed. Models of the Llama family.
"""

import argparse
import json
import os
import statistics
import subprocess
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("neuroscope")
parser.add_argument("model")
parser.add_argument("--length", type=int, default=256)
parser.add_argument("--dtype", choices=["f32", "bf16"], default="f32")
parser.add_argument("--rounds", type=int, default=5)
parser.add_argument("--tokens", type=int, default=8192)
parser.add_argument("--after", type=int, default=0, help="tokens that neuroscope scans before the first round")
parser.add_argument("--threads", type=int, default=os.cpu_count())
args = parser.parse_args()

import torch
from transformers import LlamaConfig, LlamaModel

torch.set_num_threads(args.threads)
described = json.loads(subprocess.run([args.neuroscope, "--json", "model", args.model], check=True, capture_output=True).stdout)
c, a = described["config"], described["config"]["attention"]
config = LlamaConfig(
    vocab_size=c["d_vocab"], hidden_size=c["d_model"], intermediate_size=c["d_mlp"], num_hidden_layers=c["n_layers"],
    num_attention_heads=a["n_heads"], num_key_value_heads=a["n_key_value_heads"], head_dim=a["d_head"],
    max_position_embeddings=max(args.length, 2048), attn_implementation="sdpa",
)
torch.manual_seed(0)
dtype = {"f32": torch.float32, "bf16": torch.bfloat16}[args.dtype]
model = LlamaModel(config).to(dtype).eval()
ids = torch.randint(0, c["d_vocab"], (args.tokens // args.length, args.length))
batch = max(1, 2048 // args.length)

best = [None] * c["n_layers"]


def keep(layer):
    def hook(module, inputs):
        values = inputs[0].detach().reshape(-1, c["d_mlp"]).T.float()  # what multiplies W_out, by neuron
        top = torch.topk(values, min(20, values.shape[1]), dim=1).values
        best[layer] = top if best[layer] is None else torch.topk(torch.cat([best[layer], top], 1), 20, dim=1).values

    return hook


def torch_rate(hooked):
    handles = [block.mlp.down_proj.register_forward_pre_hook(keep(i)) for i, block in enumerate(model.layers)] if hooked else []
    with torch.inference_mode():
        start = time.perf_counter()
        for windows in ids.split(batch):
            model(windows, use_cache=False)
        seconds = time.perf_counter() - start
    for handle in handles:
        handle.remove()
    return ids.numel() / seconds


command = [
    args.neuroscope, "bench", "scan", "--model", args.model, "--n-ctx", str(args.length), "--dtype", args.dtype,
    "--rounds", str(args.rounds), "--tokens", str(args.tokens), "--after", str(args.after), "--in-turns",
]
environment = os.environ | {"RAYON_NUM_THREADS": str(args.threads)}
ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
assert ours.stdout.readline() == "ready\n", "neuroscope did not start"


def neuroscope_rates():
    ours.stdin.write("\n")
    ours.stdin.flush()
    round = json.loads(ours.stdout.readline())
    return round["n_tokens"] / round["forward_s"], round["n_tokens"] / round["scan_s"]


torch_rate(False)
rows = {"torch": [], "hooks": [], "forward": [], "scan": []}
for _ in range(args.rounds):
    rows["torch"].append(torch_rate(False))
    rows["hooks"].append(torch_rate(True))
    forward, scan = neuroscope_rates()
    rows["forward"].append(forward)
    rows["scan"].append(scan)


def line(name, values, form):
    print(f"{name:34} {statistics.median(values):{form}}  ({min(values):{form}} to {max(values):{form}})")


print(f"{args.model}, windows of {args.length}, {args.dtype}, {args.threads} threads; median of {args.rounds} rounds (range)")
ours.wait()
for name, values in rows.items():
    line(f"{name}, tokens/s", values, ".0f")
for name, other in [("scan", "torch"), ("scan", "hooks"), ("forward", "torch")]:
    line(f"{name} : {other}", [a / b for a, b in zip(rows[name], rows[other])], ".2f")
line("scan : forward, time", [a / b for a, b in zip(rows["forward"], rows["scan"])], ".2f")
