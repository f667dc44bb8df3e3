#!/usr/bin/env python3
"""What transformers makes of SmolLM2's GGUF file: every hook on five texts, and the token ids of 1 MB of mixed text.

usage: expected.py DIR   DIR has the file of `fetch`; writes DIR/<i>.safetensors, DIR/text.txt and DIR/ids.safetensors
                         (needs torch, transformers, gguf, safetensors, zstandard)
"""
import glob
import json
import os
import pathlib
import random
import sys

import torch
import zstandard
from safetensors.torch import save_file
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

torch.set_grad_enabled(False)
folder = sys.argv[1]
here = pathlib.Path(__file__).resolve().parent
file = os.path.basename(glob.glob(f"{folder}/*.gguf")[0])

TEXTS = [
    "Call me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, and nothing particular to interest me on shore",
    "def fibonacci(n: int) -> list[int]:\n    a, b = 0, 1\n    out = []\n    while len(out) < n:\n        out.append(a)\n        a, b = b, a + b\n    return out\n",
    "In 2024, 1,234,567 people (12.5 %) paid €49.99; the naïve café owner said: “C’est déjà l’été !” 😀👩‍🔬",
    "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of France is Paris.<|im_end|>",
    "the the the the the the the the the the the the the the the the",
]


def hooks(model, ids):
    found = {}

    def keep(name, module, of_input=False):
        return module.register_forward_hook(lambda _, inputs, output: found.__setitem__(name, (inputs[0] if of_input else output)[0].clone().contiguous()))

    handles = [keep("final_hidden", model.model.norm)]
    for i, layer in enumerate(model.model.layers):
        handles += [keep(f"{i}.hook_pre", layer.mlp.gate_proj), keep(f"{i}.hook_pre_linear", layer.mlp.up_proj), keep(f"{i}.hook_post", layer.mlp.down_proj, True)]
    logits = model(torch.tensor([ids])).logits[0]
    for handle in handles:
        handle.remove()
    return {name: value.float() for name, value in {**found, "logits": logits.clone()}.items()}


tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file)
# transformers does not heed the pre-tokenizer that a GGUF file names, here `smollm`; the model's own splits digits first
byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), byte_level])
model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=torch.float32, attn_implementation="eager").eval()
# the weights are dequantised in f32; computed with in f32, some hooks are 1.2e-4 off by rounding alone
model = model.double()
for i, text in enumerate(TEXTS):
    ids = tokenizer(text, add_special_tokens=False).input_ids
    save_file({"ids": torch.tensor(ids), **hooks(model, ids)}, f"{folder}/{i}.safetensors")
    print(i, len(ids), "tokens")


def mixed(n_bytes):
    """Prose and code of the demo, this library's own source, and characters of all kinds, in turns."""
    rng = random.Random(0)
    with open(here.parent.parent / "demo/corpus.jsonl.zst", "rb") as compressed:
        lines = zstandard.ZstdDecompressor().stream_reader(compressed).read().decode().splitlines()
    documents = [json.loads(line)["text"] for line in lines]
    sources = [path.read_text() for path in sorted((here.parent.parent / "src").rglob("*.rs"))]
    blocks = [(0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x5D0, 0x5EA), (0x600, 0x6FF), (0x900, 0x97F), (0x2010, 0x206F), (0x20A0, 0x20BF),
              (0x2190, 0x22FF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF)]
    spaces = [" ", "  ", "    ", "\t", "\n", "\n\n", "\r\n", " \n ", "\u00a0", "\u2003", "\u3000", "        ", "\t\t\t"]
    marks = ["<|im_start|>", "<|endoftext|>", "👩‍👩‍👧", "e\u0301", "\u200d", "\ufeff", "I'LL", "don’t", "it's", "'S", "1234567890", "3.14159e-10", "0xDEADBEEF", "½", "①", "²"]

    def piece():
        kind = rng.randrange(6)
        if kind == 0:
            document = rng.choice(documents)
            at = rng.randrange(len(document))
            return document[at : at + 400]
        if kind == 1:
            source = rng.choice(sources)
            at = rng.randrange(len(source))
            return source[at : at + 400]
        if kind == 2:
            low, high = rng.choice(blocks)
            return "".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 20)))
        if kind == 3:
            return rng.choice(spaces) * rng.randint(1, 4)
        if kind == 4:
            return str(rng.randrange(10 ** rng.randint(1, 12)))
        return rng.choice(marks)

    text, length = [], 0
    while length < n_bytes:
        text.append(piece())
        length += len(text[-1].encode())
    return "".join(text)


text = mixed(1_000_000)
with open(f"{folder}/text.txt", "w", newline="") as out:
    out.write(text)
ids = tokenizer(text, add_special_tokens=False).input_ids
save_file({"ids": torch.tensor(ids)}, f"{folder}/ids.safetensors")
print(len(text.encode()), "bytes,", len(ids), "tokens")
