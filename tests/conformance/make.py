#!/usr/bin/env python3
"""Makes the conformance fixtures: tiny random models, and every hook as Hugging Face transformers computes it.

usage: make.py  (in this folder; needs the versions of requirements.txt)

For each model: `<name>/config.json`, `<name>/model.safetensors`, `<name>/tokenizer.json` and `<name>/expected.safetensors` with `ids` [pos] and
`<layer>.<hook>` [pos, d_mlp] in f32. For the demo, whose weights are in the repository, only the last is made.
"""
import json
import os

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

torch.manual_seed(0)
torch.set_grad_enabled(False)


def hooks(model):
    """Records hook_pre, hook_pre_linear and hook_post of every layer while the model runs."""
    found = {}

    def keep(name, of_input):
        def hook(_, inputs, output):
            found[name] = (inputs[0] if of_input else output)[0].detach().clone().contiguous()

        return hook

    if model.config.model_type == "llama":
        for i, layer in enumerate(model.model.layers):
            layer.mlp.gate_proj.register_forward_hook(keep(f"{i}.hook_pre", False))
            layer.mlp.up_proj.register_forward_hook(keep(f"{i}.hook_pre_linear", False))
            layer.mlp.down_proj.register_forward_hook(keep(f"{i}.hook_post", True))
    else:
        for i, layer in enumerate(model.transformer.h):
            layer.mlp.c_fc.register_forward_hook(keep(f"{i}.hook_pre", False))
            layer.mlp.c_proj.register_forward_hook(keep(f"{i}.hook_post", True))
    return found


def expected(model, ids, path, keep=None):
    found = hooks(model)
    model.eval()(torch.tensor([ids]))
    rows = slice(None) if keep is None else slice(-keep, None)
    tensors = {name: value[rows].clone() for name, value in found.items()}
    save_file({"ids": torch.tensor(ids, dtype=torch.int64), **tensors}, path)


def tokenizer(path, d_vocab, bos):
    """A byte-level tokenizer with a few merges; most characters outside ASCII are several tokens."""
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=d_vocab, special_tokens=["<|bos|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    t.train_from_iterator(["the neuron in the net sees the text that the text sees\n\n<br> </script> “quoted” text"] * 4, trainer)
    if bos:
        t.post_processor = processors.TemplateProcessing(single="<|bos|> $A", special_tokens=[("<|bos|>", 0)])
    t.save(path)


def make(name, model, n):
    os.makedirs(name, exist_ok=True)
    tokenizer(f"{name}/tokenizer.json", model.config.vocab_size, bos=name == "llama")
    for parameter in model.parameters():
        # wide, so that every nonlinearity is exercised; biases and norms too, which start at 0 and 1
        parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.dim() > 1 else 0.5) + (parameter.dim() == 1))
    model.save_pretrained(name)
    os.remove(f"{name}/generation_config.json")
    expected(model, torch.randint(0, model.config.vocab_size, (n,)).tolist(), f"{name}/expected.safetensors")


make(
    "llama",
    LlamaForCausalLM(
        LlamaConfig(
            vocab_size=290, bos_token_id=0, eos_token_id=0, hidden_size=24, intermediate_size=37, num_hidden_layers=3, num_attention_heads=6,
            num_key_value_heads=2, head_dim=8, max_position_embeddings=32, rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
            rms_norm_eps=1e-6, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
        )
    ),
    19,
)
make("gpt2", GPT2LMHeadModel(GPT2Config(vocab_size=290, bos_token_id=0, eos_token_id=0, n_embd=20, n_inner=33, n_layer=2, n_head=5, n_positions=24)), 24)

demo = "../../demo/model"
if os.path.exists(f"{demo}/model.safetensors"):
    os.makedirs("demo", exist_ok=True)
    text = "CHAPTER 1. Loomings.\n\nCall me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, I thought I would sail about a little:\n\n    def __init__(self, ship=None):\n        self.ship = ship or {'name': 'Pequod'}\n"
    ids = Tokenizer.from_file(f"{demo}/tokenizer.json").encode(text).ids
    expected(AutoModelForCausalLM.from_pretrained(demo, dtype=torch.float32), ids, "demo/expected.safetensors", keep=12)

import safetensors, tokenizers, transformers  # noqa: E401, E402

versions = {"torch": torch.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__, "tokenizers": tokenizers.__version__}
with open("versions.json", "w") as file:
    json.dump(versions, file, indent=2)
    file.write("\n")

for folder, _, files in os.walk("."):
    for file in files:
        os.chmod(os.path.join(folder, file), 0o755 if file == "make.py" else 0o644)
