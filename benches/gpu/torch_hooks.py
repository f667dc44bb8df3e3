"""A decoder in PyTorch, alone and with forward hooks that keep what a script keeps of its neurons. `run` takes turns with it.

Of each neuron the hooks keep the 20 windows with the largest value of `hook_post` and the 20 with the most negative, with the place
in the window; the sums of its first four powers; and how often the gate is positive and how often the product is large. neuroscope
keeps more: the texts around, sign cases, histograms, samples (docs/definitions.md). Says `ready`, then measures a round for every
line of input: the model alone, and the model with hooks, over the same windows.
"""

import argparse
import json
import sys
import time

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--device", default="cuda")
parser.add_argument("--about", action="store_true", help="only says which PyTorch this is, and how fast its products are")
parser.add_argument("--config", help="config.json of the model, of the Llama or OLMo family")
parser.add_argument("--n-ctx", type=int, default=1024)
parser.add_argument("--batch-tokens", type=int, default=32768)
parser.add_argument("--tokens", type=int, default=65536)
parser.add_argument("--rounds", type=int, default=5)
args = parser.parse_args()

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
torch.set_grad_enabled(False)
device = torch.device(args.device)
wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None


def product_rate(n, rounds):
    """TFLOP/s of a product of random matrices in bf16, the median of some."""
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))
    seconds = []
    for _ in range(rounds + 3):
        wait()
        start = time.perf_counter()
        a @ b
        wait()
        seconds.append(time.perf_counter() - start)
    return 2 * n**3 / sorted(seconds[3:])[rounds // 2] / 1e12


if args.about:
    n = 8192 if device.type == "cuda" else 256
    about = {"version": torch.__version__, "cuda": torch.version.cuda, "product": [n, n, n], "product_bf16_tflop_s": product_rate(n, 10)}
    print(json.dumps(about))
    sys.exit()

config = json.load(open(args.config))
d_model, d_mlp, n_heads, n_key_value_heads = (
    config[key] for key in ["hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads"]
)
d_head = d_model // n_heads
has_norm_weights = config["model_type"] == "llama"


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(d_model, device=device, dtype=torch.bfloat16)) if has_norm_weights else None

    def forward(self, x):
        if self.weight is None:
            return F.layer_norm(x, (d_model,))
        return F.rms_norm(x, (d_model,), self.weight, config["rms_norm_eps"])


def linear(n_in, n_out):
    layer = nn.Linear(n_in, n_out, bias=False, device=device, dtype=torch.bfloat16)
    layer.weight.normal_(std=0.02)
    return layer


angles = torch.outer(torch.arange(args.n_ctx), config["rope_theta"] ** -(torch.arange(0, d_head, 2) / d_head))
cos, sin = (torch.cat([f(angles)] * 2, 1).to(device, torch.bfloat16) for f in (torch.cos, torch.sin))


def rotate(x):  # [window, heads, pos, d_head]
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.up, self.down = linear(d_model, d_mlp), linear(d_model, d_mlp), linear(d_mlp, d_model)

    def forward(self, x):
        return self.down(F.silu(self.gate(x)) * self.up(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.o = linear(d_model, d_model), linear(d_model, d_model)
        self.k, self.v = (linear(d_model, n_key_value_heads * d_head) for _ in range(2))
        self.norms, self.mlp = nn.ModuleList([Norm(), Norm()]), Mlp()

    def forward(self, x):  # [window, pos, d_model]
        y = self.norms[0](x)
        heads = lambda y, n: y.view(*x.shape[:2], n, d_head).transpose(1, 2)
        q, k, v = rotate(heads(self.q(y), n_heads)), rotate(heads(self.k(y), n_key_value_heads)), heads(self.v(y), n_key_value_heads)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=n_heads != n_key_value_heads)
        x = x + self.o(y.transpose(1, 2).reshape(x.shape))
        return x + self.mlp(self.norms[1](x))


embedding = nn.Embedding(config["vocab_size"], d_model, device=device, dtype=torch.bfloat16)
embedding.weight.normal_(std=0.02)
blocks = nn.ModuleList(Block() for _ in range(config["num_hidden_layers"]))
final_norm = Norm()


def forward(ids):
    x = embedding(ids)
    for block in blocks:
        x = block(x)
    return final_norm(x)


K, TAU = 20, 0.1


class Kept:
    """What is kept of a layer's neurons."""

    def __init__(self):
        zeros = lambda *shape, dtype=torch.float64: torch.zeros(*shape, device=device, dtype=dtype)
        self.sums, self.counts = zeros(4, d_mlp), zeros(2, d_mlp, dtype=torch.int64)
        self.values = torch.full((2, K, d_mlp), -torch.inf, device=device)
        self.places = zeros(2, K, d_mlp, dtype=torch.int64)
        self.n_windows = 0

    def gate(self, module, inputs, output):
        self.counts[0] += (output > 0).sum((0, 1))

    def post(self, module, inputs):
        x = inputs[0].float()  # [window, pos, d_mlp]
        square = x * x
        for at, power in enumerate([x, square, square * x, square * square]):
            self.sums[at] += power.sum((0, 1))
        self.counts[1] += (x.abs() > TAU).sum((0, 1))
        first = self.n_windows * args.n_ctx + torch.arange(x.shape[0], device=device)[:, None] * args.n_ctx
        for side, (values, at) in enumerate([x.max(1), x.min(1)]):  # of each window
            values = torch.cat([self.values[side], values if side == 0 else -values])
            places = torch.cat([self.places[side], first + at])
            self.values[side], order = torch.topk(values, K, dim=0)
            self.places[side] = places.gather(0, order)
        self.n_windows += x.shape[0]


kept = [Kept() for _ in blocks]
assert args.tokens % args.n_ctx == 0, "a round has full windows"
windows = torch.randint(0, config["vocab_size"], (args.tokens // args.n_ctx, args.n_ctx), device=device)


def seconds(hooked):
    handles = []
    if hooked:
        for block, own in zip(blocks, kept):
            handles += [block.mlp.gate.register_forward_hook(own.gate), block.mlp.down.register_forward_pre_hook(own.post)]
    wait()
    start = time.perf_counter()
    for batch in windows.split(max(1, args.batch_tokens // args.n_ctx)):
        forward(batch)
    wait()
    taken = time.perf_counter() - start
    for handle in handles:
        handle.remove()
    return taken


def measure():
    return {"torch_s": seconds(False), "hooks_s": seconds(True)}


measure()
print("ready", flush=True)
for _ in sys.stdin:
    round = measure()
    if device.type == "cuda":
        round["torch_memory_mib"] = torch.cuda.max_memory_reserved() / 2**20
    print(json.dumps(round), flush=True)
