"""Llama models of random weights in any size, with the tokenizer of the conformance fixture."""

import json
import pathlib
import shutil

import numpy as np
from safetensors.numpy import save_file

FIXTURE = pathlib.Path(__file__).parents[1] / "tests/conformance/llama"


def random_llama(folder, n_layers, d_model, d_mlp, d_head, d_vocab=None, dtype=np.float32):
    """Makes a folder with a model, which ties its embeddings unless it is given a vocabulary. Returns the parameters of its blocks."""
    config = json.loads((FIXTURE / "config.json").read_text())
    n_heads, tied = d_model // d_head, d_vocab is None
    config |= dict(
        hidden_size=d_model, intermediate_size=d_mlp, num_hidden_layers=n_layers, num_attention_heads=n_heads, num_key_value_heads=n_heads,
        head_dim=d_head, vocab_size=d_vocab or config["vocab_size"], max_position_embeddings=1024, tie_word_embeddings=tied,
        attention_bias=False, mlp_bias=False,
    )
    random = np.random.default_rng(0)
    tensor = lambda *shape: (random.standard_normal(shape, np.float32) * 0.02).astype(dtype)
    ones = np.ones(d_model, dtype)
    tensors = {"model.embed_tokens.weight": tensor(config["vocab_size"], d_model), "model.norm.weight": ones}
    if not tied:
        tensors["lm_head.weight"] = tensor(d_vocab, d_model)
    for layer in range(n_layers):
        at = f"model.layers.{layer}."
        for name in ["q", "k", "v", "o"]:
            tensors[f"{at}self_attn.{name}_proj.weight"] = tensor(d_model, d_model)
        tensors |= {f"{at}mlp.{name}_proj.weight": tensor(d_mlp, d_model) for name in ["gate", "up"]}
        tensors[f"{at}mlp.down_proj.weight"] = tensor(d_model, d_mlp)
        tensors |= {f"{at}{name}_layernorm.weight": ones for name in ["input", "post_attention"]}
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copy(FIXTURE / "tokenizer.json", folder)
    save_file(tensors, folder / "model.safetensors")
    return sum(tensor.size for name, tensor in tensors.items() if ".layers." in name)
