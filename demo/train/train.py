#!/usr/bin/env python3
"""Trains the demo model, a small Llama-style SwiGLU decoder, on the CPU and saves it in the Hugging Face layout.

usage: train.py DATA OUT [--steps N] [--sparsity C] ...

Reads DATA/{train,val}.npy and DATA/tokenizer.json. Writes OUT/checkpoint.pt as it goes and continues from it when
started again; at the end OUT/{config.json, model.safetensors, tokenizer.json, losses.csv}.
"""
import argparse
import json
import math
import os
import shutil
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

parser = argparse.ArgumentParser()
parser.add_argument("data")
parser.add_argument("out")
parser.add_argument("--steps", type=int, default=8000)
parser.add_argument("--batch", type=int, default=32, help="rows of 256 tokens a step")
parser.add_argument("--sparsity", type=float, default=0.0, help="weight of the activation penalty")
parser.add_argument("--d-model", type=int, default=192)
parser.add_argument("--d-mlp", type=int, default=640)
parser.add_argument("--layers", type=int, default=4)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--kv-heads", type=int, default=2)
parser.add_argument("--muon-lr", type=float, default=0.02)
parser.add_argument("--adam-lr", type=float, default=3e-3)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--no-compile", action="store_true")
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(0)
rows = {name: np.load(f"{args.data}/{name}.npy", mmap_mode="r") for name in ("train", "val")}
context = rows["train"].shape[1]
d_vocab = len(json.load(open(f"{args.data}/tokenizer.json"))["model"]["vocab"])
d_head = args.d_model // args.heads
ROPE_THETA, NORM_EPS = 10_000.0, 1e-5

frequencies = ROPE_THETA ** (-torch.arange(0, d_head, 2) / d_head)
angles = torch.outer(torch.arange(context), frequencies).repeat(1, 2)  # [pos, d_head]
COS, SIN = angles.cos().bfloat16(), angles.sin().bfloat16()


def rotate(x):  # [batch, head, pos, d_head]
    a, b = x.chunk(2, -1)
    return x * COS + torch.cat([-b, a], -1) * SIN


def linear(x, layer):
    return F.linear(x, layer.weight.bfloat16())


class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(args.d_model))

    def forward(self, x):
        return F.rms_norm(x.float(), (args.d_model,), self.weight, NORM_EPS).bfloat16()


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(args.d_model, args.heads * d_head, bias=False)
        self.k_proj = nn.Linear(args.d_model, args.kv_heads * d_head, bias=False)
        self.v_proj = nn.Linear(args.d_model, args.kv_heads * d_head, bias=False)
        self.o_proj = nn.Linear(args.heads * d_head, args.d_model, bias=False)

    def forward(self, x):  # [batch, pos, d_model]
        batch = x.shape[0]
        split = lambda y, n: y.view(batch, context, n, d_head).transpose(1, 2)  # noqa: E731
        q = rotate(split(linear(x, self.q_proj), args.heads))
        k = rotate(split(linear(x, self.k_proj), args.kv_heads))
        v = split(linear(x, self.v_proj), args.kv_heads)
        k, v = (y.repeat_interleave(args.heads // args.kv_heads, 1) for y in (k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return linear(y.transpose(1, 2).reshape(batch, context, -1), self.o_proj)


class Mlp(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(args.d_model, args.d_mlp, bias=False)
        self.up_proj = nn.Linear(args.d_model, args.d_mlp, bias=False)
        self.down_proj = nn.Linear(args.d_mlp, args.d_model, bias=False)

    def forward(self, x):
        post = F.silu(linear(x, self.gate_proj)) * linear(x, self.up_proj)  # [batch, pos, d_mlp]
        return linear(post, self.down_proj), post


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
        self.self_attn, self.mlp = Attention(), Mlp()

    def forward(self, x):
        x = x + self.self_attn(self.input_layernorm(x))
        y, post = self.mlp(self.post_attention_layernorm(x))
        return x + y, post


class Model(nn.Module):
    """Names are those of Hugging Face's Llama, so that `state_dict` is the checkpoint."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(d_vocab, args.d_model)
        self.layers = nn.ModuleList(Layer() for _ in range(args.layers))
        self.norm = Norm()
        for name, p in self.named_parameters():
            if p.dim() == 2:
                out = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * args.layers) if out else 1))

    def forward(self, ids):
        """Loss of the next token, and the activations' penalty: the mean over positions of
        the sum of |activation| times the norm of its output row, over the norm of the residual stream."""
        x = F.embedding(ids, self.embed_tokens.weight).bfloat16()
        penalty = 0.0
        for layer in self.layers:
            residual = x.float().norm(dim=-1) + 1e-6
            x, post = layer(x)
            norms = layer.mlp.down_proj.weight.norm(dim=0).bfloat16()
            penalty = penalty + ((post.abs() * norms).sum(-1).float() / residual).mean()
        logits = F.linear(self.norm(x), self.embed_tokens.weight.bfloat16())
        loss = F.cross_entropy(logits[:, :-1].reshape(-1, d_vocab).float(), ids[:, 1:].reshape(-1))
        return loss, penalty


class Muon(torch.optim.Optimizer):
    """Momentum, orthogonalised by five Newton-Schulz steps (Jordan et al. 2024), for the hidden matrices."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.01):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                buffer = self.state[p].setdefault("momentum", torch.zeros_like(p))
                buffer.lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(buffer, group["momentum"]).bfloat16()
                tall = update.shape[0] > update.shape[1]
                update = update.T if tall else update
                update = update / (update.norm() + 1e-7)
                for _ in range(5):
                    gram = update @ update.T
                    update = 3.4445 * update + (-4.7750 * gram + 2.0315 * gram @ gram) @ update
                update = update.T if tall else update
                scale = max(1, p.shape[0] / p.shape[1]) ** 0.5
                p.mul_(1 - group["lr"] * group["weight_decay"]).add_(update.float(), alpha=-group["lr"] * scale)


def export(model, losses):
    tensors = {f"model.{k}": v.detach().half().contiguous() for k, v in model.state_dict().items()}
    save_file(tensors, f"{args.out}/model.safetensors", metadata={"format": "pt"})
    config = dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=d_vocab, hidden_size=args.d_model,
        intermediate_size=args.d_mlp, num_hidden_layers=args.layers, num_attention_heads=args.heads,
        num_key_value_heads=args.kv_heads, head_dim=d_head, hidden_act="silu", max_position_embeddings=context,
        rms_norm_eps=NORM_EPS, rope_theta=ROPE_THETA, tie_word_embeddings=True, attention_bias=False, mlp_bias=False,
        bos_token_id=0, eos_token_id=0, torch_dtype="float16",
    )  # fmt: skip
    with open(f"{args.out}/config.json", "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    shutil.copy(f"{args.data}/tokenizer.json", args.out)
    with open(f"{args.out}/losses.csv", "w") as file:
        file.write("step,tokens,train_loss,val_loss\n")
        file.writelines(f"{s},{s * args.batch * context},{t:.4f},{v:.4f}\n" for s, t, v in losses)


def main():
    os.makedirs(args.out, exist_ok=True)
    model = Model()
    hidden = [p for n, p in model.named_parameters() if p.dim() == 2 and "embed" not in n]
    other = [p for n, p in model.named_parameters() if not (p.dim() == 2 and "embed" not in n)]
    optimizers = [
        Muon(hidden, args.muon_lr),
        torch.optim.AdamW(other, lr=args.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True),
    ]
    base_lr = [group["lr"] for o in optimizers for group in o.param_groups]
    step, losses, average = 0, [], None
    checkpoint = f"{args.out}/checkpoint.pt"
    if os.path.exists(checkpoint):
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        for optimizer, state in zip(optimizers, saved["optimizers"]):
            optimizer.load_state_dict(state)
        step, losses, average = saved["step"], saved["losses"], saved["average"]
    print(f"{sum(p.numel() for p in model.parameters())} parameters, from step {step}", flush=True)
    compute = model if args.no_compile else torch.compile(model)

    per_epoch = len(rows["train"]) // args.batch

    def batch(step):
        """Every row once an epoch, in an order that depends on the epoch alone, so that a resumed run sees the same."""
        order = np.random.default_rng(step // per_epoch).permutation(len(rows["train"]))
        at = step % per_epoch * args.batch
        return torch.from_numpy(rows["train"][np.sort(order[at : at + args.batch])].astype(np.int64))

    @torch.no_grad()
    def validate():
        n = len(rows["val"]) // args.batch
        parts = [torch.from_numpy(rows["val"][i * args.batch : (i + 1) * args.batch].astype(np.int64)) for i in range(n)]
        return float(np.mean([compute(part)[0].item() for part in parts]))

    started, first = time.time(), step
    while step < args.steps:
        done = step / args.steps
        scale = min(1, (step + 1) / 100) * (1 if done < 0.6 else max(0.01, (1 - done) / 0.4))
        for group, lr in zip((g for o in optimizers for g in o.param_groups), base_lr):
            group["lr"] = lr * scale
        loss, penalty = compute(batch(step))
        (loss + args.sparsity * min(1, done / 0.15) * penalty).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        average = loss.item() if average is None else 0.98 * average + 0.02 * loss.item()
        step += 1
        if step % 50 == 0:
            rate = (step - first) * args.batch * context / (time.time() - started)
            print(f"step {step} loss {average:.3f} penalty {penalty.item():.2f} {rate:.0f} tokens/s", flush=True)
        if step % 500 == 0 or step == args.steps:
            losses.append((step, average, validate()))
            print(f"step {step} val {losses[-1][2]:.4f}", flush=True)
            state = dict(model=model.state_dict(), optimizers=[o.state_dict() for o in optimizers], step=step, losses=losses, average=average)
            torch.save(state, checkpoint + ".new")
            os.replace(checkpoint + ".new", checkpoint)
    export(model, losses)


if __name__ == "__main__":
    main()
