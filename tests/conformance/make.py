#!/usr/bin/env python3
"""Makes the conformance fixtures: tiny random models, and every hook as its reference computes it.

usage: make.py [NAME...]  (in this folder; needs the versions of requirements.txt)

The reference is Hugging Face transformers, for the toy models of neuroscope.io TransformerLens. For each model:
`<name>/config.json`, its weights, and `<name>/expected.safetensors` with

    ids                [pos] i64
    <layer>.<hook>     [pos, d_mlp] f32
    final_hidden       [pos, d_model] f32, behind the final norm
    logits             [pos, d_vocab] f32
    bf16.<layer>.<hook>, bf16.final_hidden    [1] f32: how far the reference in bf16 is from the reference in f32, as
                       root mean square of the difference over that of the value

`config.v4.json` is the same config as transformers 4 wrote it. For the demo, whose weights are in the repository, and
for the SmolLM2 of fetch_smollm2.py, only the hooks are made.
"""
import json
import os
import sys

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
import transformers
from transformers import AutoModelForCausalLM

torch.set_grad_enabled(False)
VOCAB = 97  # no tokenizer is needed: ids are random


# --- the models -------------------------------------------------------------------------------------------------------

def rope(theta=10000.0, **more):
    return {"rope_type": "default", "rope_theta": theta, **more}


GATED = dict(vocab_size=VOCAB, hidden_size=24, intermediate_size=37, num_hidden_layers=3, num_attention_heads=6, num_key_value_heads=2,
             max_position_embeddings=32, bos_token_id=0, eos_token_id=0, pad_token_id=None)
LLAMA3 = rope(500000.0) | dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=16)
LONG = rope(10000.0) | dict(rope_type="longrope", short_factor=[1.0, 1.5, 2.0, 2.5], long_factor=[2.0, 5.0, 9.0, 20.0])
# transformers reads the original length of LongRoPE beside the rotation's parameters, not among them
PHI3 = GATED | dict(num_hidden_layers=2, hidden_size=48, rope_parameters=LONG, original_max_position_embeddings=16, rms_norm_eps=1e-5)

# name → (class, config, number of tokens, how the weights are saved)
MODELS = {
    "llama": ("Llama", GATED | dict(vocab_size=290, head_dim=8, rope_parameters=rope(500000.0), rms_norm_eps=1e-6, attention_bias=True, mlp_bias=True), 19, "safetensors"),
    "llama3": ("Llama", GATED | dict(head_dim=10, rope_parameters=LLAMA3, rms_norm_eps=1e-5, tie_word_embeddings=True), 32, "safetensors"),
    "llama_linear": ("Llama", GATED | dict(rope_parameters=rope() | dict(rope_type="linear", factor=4.0), rms_norm_eps=1e-5, num_key_value_heads=6), 21, "f16"),
    "mistral": ("Mistral", GATED | dict(head_dim=6, sliding_window=7, rope_parameters=rope(), rms_norm_eps=1e-5), 23, "sharded"),
    "olmo": ("Olmo", GATED | dict(clip_qkv=0.6, rope_parameters=rope()), 18, "safetensors"),
    "olmo2": ("Olmo2", GATED | dict(rope_parameters=rope(500000.0), rms_norm_eps=1e-6), 18, "safetensors"),
    "qwen2": ("Qwen2", GATED | dict(rope_parameters=rope(1e6) | dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8), rms_norm_eps=1e-6,
              use_sliding_window=True, sliding_window=5, max_window_layers=1, tie_word_embeddings=True), 22, "safetensors"),
    "qwen3": ("Qwen3", GATED | dict(head_dim=8, rope_parameters=rope(1e6), rms_norm_eps=1e-6), 20, "safetensors"),
    "gemma": ("Gemma", GATED | dict(head_dim=8, num_key_value_heads=1, rope_parameters=rope(), rms_norm_eps=1e-6), 17, "safetensors"),
    "gemma2": ("Gemma2", GATED | dict(head_dim=8, query_pre_attn_scalar=6, sliding_window=6, attn_logit_softcapping=5.0, final_logit_softcapping=3.0, rope_parameters=rope(),
               rms_norm_eps=1e-6), 20, "safetensors"),
    "gemma3": ("Gemma3", GATED | dict(head_dim=8, query_pre_attn_scalar=6, sliding_window=5, sliding_window_pattern=3, rms_norm_eps=1e-6,
               rope_parameters={"full_attention": rope(1e6) | dict(rope_type="linear", factor=8.0), "sliding_attention": rope(10000.0)}), 20, "safetensors"),
    # what a GGUF file can say: no windows in Qwen 2, Gemma's own pattern and scale
    "qwen2_gguf": ("Qwen2", GATED | dict(rope_parameters=rope(1e6) | dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=8), rms_norm_eps=1e-6), 22, "safetensors"),
    "gemma2_gguf": ("Gemma2", GATED | dict(head_dim=8, query_pre_attn_scalar=8, sliding_window=6, attn_logit_softcapping=5.0, final_logit_softcapping=3.0, rope_parameters=rope(),
                    rms_norm_eps=1e-6), 20, "safetensors"),
    "gemma3_gguf": ("Gemma3", GATED | dict(num_hidden_layers=6, head_dim=8, query_pre_attn_scalar=8, sliding_window=5, rms_norm_eps=1e-6,
                    rope_parameters={"full_attention": rope(1e6) | dict(rope_type="linear", factor=8.0), "sliding_attention": rope(10000.0)}), 20, "safetensors"),
    "phi": ("Phi", GATED | dict(num_hidden_layers=2, num_key_value_heads=6, hidden_act="gelu_new", rope_parameters=rope(partial_rotary_factor=0.5), layer_norm_eps=1e-5), 16, "pytorch"),
    "phi_qk_norm": ("Phi", GATED | dict(num_hidden_layers=2, hidden_act="gelu_new", qk_layernorm=True, rope_parameters=rope(partial_rotary_factor=0.5), layer_norm_eps=1e-5), 16, "safetensors"),
    "phi3": ("Phi3", PHI3 | dict(sliding_window=9), 15, "safetensors"),
    "phi3_long": ("Phi3", PHI3, 25, "safetensors"),
    "stablelm": ("StableLm", GATED | dict(num_hidden_layers=2, use_qkv_bias=True, rope_parameters=rope(partial_rotary_factor=0.5), layer_norm_eps=1e-5), 16, "safetensors"),
    "stablelm_parallel": ("StableLm", GATED | dict(num_hidden_layers=2, use_parallel_residual=True, qk_layernorm=True, rope_parameters=rope(partial_rotary_factor=0.5),
                          layer_norm_eps=1e-5), 16, "safetensors"),
    "gpt2": ("GPT2", dict(vocab_size=290, bos_token_id=0, eos_token_id=0, n_embd=20, n_inner=33, n_layer=2, n_head=5, n_positions=24), 24, "safetensors"),
    "gpt2_by_layer": ("GPT2", dict(vocab_size=VOCAB, n_embd=20, n_layer=3, n_head=4, n_positions=24, scale_attn_by_inverse_layer_idx=True, reorder_and_upcast_attn=True,
                      tie_word_embeddings=False), 24, "safetensors"),
    "gpt_neo": ("GPTNeo", dict(vocab_size=VOCAB, hidden_size=20, intermediate_size=33, num_layers=3, num_heads=5, max_position_embeddings=24, window_size=5,
                attention_types=[[["global", "local"], 1], [["local"], 1]], bos_token_id=0, eos_token_id=0), 22, "pytorch"),
    "gpt_neox": ("GPTNeoX", dict(vocab_size=VOCAB, hidden_size=24, intermediate_size=37, num_hidden_layers=3, num_attention_heads=4, max_position_embeddings=32,
                 rope_parameters=rope(partial_rotary_factor=0.7), bos_token_id=0, eos_token_id=0), 20, "sharded"),
    "gpt_neox_sequential": ("GPTNeoX", dict(vocab_size=VOCAB, hidden_size=24, intermediate_size=37, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=32,
                            rope_parameters=rope(partial_rotary_factor=1.0), use_parallel_residual=False, bos_token_id=0, eos_token_id=0), 20, "safetensors"),
    "opt": ("OPT", dict(vocab_size=VOCAB, hidden_size=24, ffn_dim=37, num_hidden_layers=3, num_attention_heads=6, max_position_embeddings=32, word_embed_proj_dim=24), 20, "pytorch"),
    "opt_350m": ("OPT", dict(vocab_size=VOCAB, hidden_size=24, ffn_dim=37, num_hidden_layers=2, num_attention_heads=6, max_position_embeddings=32, word_embed_proj_dim=14,
                 do_layer_norm_before=False), 20, "safetensors"),
}

LENS = dict(n_layers=3, d_model=24, d_mlp=37, d_head=7, n_heads=3, n_ctx=20, d_vocab=VOCAB, attn_only=False)
# name → (config of the repository, whether the matrices lie as in the oldest models)
LENS_MODELS = {
    "solu": (LENS | dict(d_vocab=290, act_fn="solu_ln", normalization="LN"), False),
    "solu_old": (LENS | dict(act_fn="solu_ln", normalization_type="LN", shortformer_pos=True), True),
    "gelu_final_rms": (LENS | dict(n_layers=2, act_fn="gelu", normalization="LN", shortformer_pos=False, final_rms=True), False),
}


# --- hooks ------------------------------------------------------------------------------------------------------------

def hooks(model):
    """Records hook_pre, hook_pre_linear and hook_post of every layer while the model runs, and the final hidden state."""
    found = {}

    def keep(name, module, of_input=False, part=None):
        def hook(_, inputs, output):
            value = (inputs[0] if of_input else output).float()
            value = value.reshape(-1, value.shape[-1])  # OPT-350m runs its MLP without a batch
            found[name] = (value if part is None else value.chunk(2, -1)[part]).detach().clone().contiguous()

        module.register_forward_hook(hook)

    kind = model.config.model_type
    if kind in ("gpt2", "gpt_neo"):
        base, layers = model.transformer, [(layer.mlp.c_fc, layer.mlp.c_proj) for layer in model.transformer.h]
        keep("final_hidden", base.ln_f)
    elif kind == "gpt_neox":
        layers = [(layer.mlp.dense_h_to_4h, layer.mlp.dense_4h_to_h) for layer in model.gpt_neox.layers]
        keep("final_hidden", model.gpt_neox.final_layer_norm)
    elif kind == "opt":
        decoder = model.model.decoder
        layers = [(layer.fc1, layer.fc2) for layer in decoder.layers]
        if decoder.project_out is not None:
            keep("final_hidden", decoder.project_out, of_input=True)
        else:
            keep("final_hidden", decoder.final_layer_norm)
    elif kind == "phi":
        layers = [(layer.mlp.fc1, layer.mlp.fc2) for layer in model.model.layers]
        keep("final_hidden", model.model.final_layernorm)
    else:
        layers = None
        keep("final_hidden", model.model.norm)
        for i, layer in enumerate(model.model.layers):
            if kind == "phi3":
                keep(f"{i}.hook_pre", layer.mlp.gate_up_proj, part=0)
                keep(f"{i}.hook_pre_linear", layer.mlp.gate_up_proj, part=1)
            else:
                keep(f"{i}.hook_pre", layer.mlp.gate_proj)
                keep(f"{i}.hook_pre_linear", layer.mlp.up_proj)
            keep(f"{i}.hook_post", layer.mlp.down_proj, of_input=True)
    for i, (first, second) in enumerate(layers or []):
        keep(f"{i}.hook_pre", first)
        keep(f"{i}.hook_post", second, of_input=True)
    return found


def run(model, ids):
    found = hooks(model)
    logits = model.eval()(torch.tensor([ids])).logits[0].float()
    return {**found, "logits": logits.clone()}


def spread(found, exact):
    """How far values are from the exact ones."""
    return {f"bf16.{name}": ((found[name] - exact[name]).pow(2).mean().sqrt() / exact[name].pow(2).mean().sqrt()).reshape(1) for name in exact if name != "logits"}


def randomize(model):
    for parameter in model.parameters():
        # wide, so that every nonlinearity is exercised; biases and norms too, which start at 0 and 1
        parameter.copy_(torch.randn_like(parameter) * (0.3 if parameter.dim() > 1 else 0.5) + (parameter.dim() == 1))


# --- transformers -----------------------------------------------------------------------------------------------------

def as_transformers_4(config):
    """The config as transformers 4 wrote it."""
    config = json.loads(json.dumps(config)) | {"transformers_version": "4.46.0"}
    parameters = config.pop("rope_parameters")
    if "full_attention" in parameters:
        config["rope_local_base_freq"] = parameters["sliding_attention"]["rope_theta"]
        parameters = parameters["full_attention"]
        del config["layer_types"]
        config["sliding_window_pattern"] = config.pop("_sliding_window_pattern")
    theta = parameters.pop("rope_theta")
    share = parameters.pop("partial_rotary_factor", None)
    if config["model_type"] == "gpt_neox":
        config |= {"rotary_emb_base": theta, "rotary_pct": share}
    else:
        config["rope_theta"] = theta
        if share is not None:
            config["partial_rotary_factor"] = share
    if config["model_type"] == "qwen2":
        del config["layer_types"]
    config["rope_scaling"] = None if parameters["rope_type"] == "default" else parameters
    return config


def make(name):
    torch.manual_seed(sum(map(ord, name)))
    kind, options, n, saved = MODELS[name]
    text = "Text" if kind == "Gemma3" else ""
    config = getattr(transformers, f"{kind}{text}Config")(**options, attn_implementation="eager")
    head = {"GPT2": "GPT2LMHeadModel"}.get(kind, f"{kind}ForCausalLM")
    model = getattr(transformers, head)._from_config(config, dtype=torch.float32)
    randomize(model)
    if saved == "f16":
        # not the whole model, whose rotary frequencies must stay as they are
        for parameter in model.parameters():
            parameter.data = parameter.data.half()
    os.makedirs(name, exist_ok=True)
    for file in os.listdir(name):
        os.remove(f"{name}/{file}")
    if saved == "sharded":
        model.save_pretrained(name, max_shard_size="30KB")
    else:
        model.save_pretrained(name)
    if saved == "pytorch":
        os.remove(f"{name}/model.safetensors")
        torch.save(model.state_dict(), f"{name}/pytorch_model.bin")
    if os.path.exists(f"{name}/generation_config.json"):
        os.remove(f"{name}/generation_config.json")
    if name in ("llama", "gpt2"):
        tokenizer(f"{name}/tokenizer.json", options["vocab_size"], bos=name == "llama")
    with open(f"{name}/config.json") as file:
        written = json.load(file)
    if written.get("rope_parameters"):
        with open(f"{name}/config.v4.json", "w") as file:
            json.dump(as_transformers_4(written), file, indent=2)
            file.write("\n")
    ids = torch.randint(0, options["vocab_size"], (n,)).tolist()
    load = lambda dtype: getattr(transformers, head).from_pretrained(name, dtype=dtype, attn_implementation="eager")  # noqa: E731
    exact = run(load(torch.float32), ids)
    rough = run(load(torch.bfloat16), ids)
    save_file({"ids": torch.tensor(ids, dtype=torch.int64), **exact, **spread(rough, exact)}, f"{name}/expected.safetensors")


# --- TransformerLens --------------------------------------------------------------------------------------------------

def make_lens(name):
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    torch.manual_seed(sum(map(ord, name)))
    repository, old = LENS_MODELS[name]
    config = {key: value for key, value in repository.items() if key not in ("normalization", "normalization_type", "shortformer_pos")}
    config["normalization_type"] = repository.get("normalization", repository.get("normalization_type"))
    config["positional_embedding_type"] = "shortformer" if repository.get("shortformer_pos") else "standard"
    model = HookedTransformer(HookedTransformerConfig(**config, device="cpu", seed=0))
    randomize(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    if old:
        # as the oldest repositories have it: names with `norm`, matrices the other way round, no bias of the unembedding
        model.unembed.b_U.zero_()
        del state["unembed.b_U"]
        state = {key: value.transpose(-2, -1).contiguous() if "W_" in key else value for key, value in state.items()}
        state = {key.replace("ln_final", "norm").replace("ln", "norm"): value for key, value in state.items()}
    os.makedirs(name, exist_ok=True)
    with open(f"{name}/config.json", "w") as file:
        json.dump(repository, file, indent=2)
        file.write("\n")
    torch.save(state, f"{name}/model_final.pth")

    def run_lens(model, ids):
        logits, cache = model.run_with_cache(torch.tensor([ids]), prepend_bos=False)
        found = {}
        for layer in range(model.cfg.n_layers):
            for hook in ("hook_pre", "hook_mid", "hook_post"):
                key = f"blocks.{layer}.mlp.{hook}"
                if key in cache:
                    found[f"{layer}.{hook}"] = cache[key][0].float().clone()
        # TransformerLens scales after this hook's name and before the weights; what the unembedding gets is computed from it
        found["final_hidden"] = model.ln_final(cache[f"blocks.{model.cfg.n_layers - 1}.hook_resid_post"])[0].float().clone()
        found["logits"] = logits[0].float().clone()
        return found

    if name == "solu":
        tokenizer(f"{name}/tokenizer.json", repository["d_vocab"], bos=False)
        with open(f"{name}/tokenizer_config.json", "w") as file:
            json.dump({"bos_token": "<|bos|>"}, file)
            file.write("\n")
    ids = torch.randint(0, repository["d_vocab"], (18,)).tolist()
    exact = run_lens(model, ids)
    rough = run_lens(model.to(torch.bfloat16), ids)
    save_file({"ids": torch.tensor(ids, dtype=torch.int64), **exact, **spread(rough, exact)}, f"{name}/expected.safetensors")


# --- the rest ---------------------------------------------------------------------------------------------------------

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


def make_demo(name):
    demo = "../../demo/model"
    os.makedirs("demo", exist_ok=True)
    text = "CHAPTER 1. Loomings.\n\nCall me Ishmael. Some years ago—never mind how long precisely—having little or no money in my purse, I thought I would sail about a little:\n\n    def __init__(self, ship=None):\n        self.ship = ship or {'name': 'Pequod'}\n"
    ids = Tokenizer.from_file(f"{demo}/tokenizer.json").encode(text).ids
    found = run(AutoModelForCausalLM.from_pretrained(demo, dtype=torch.float32, attn_implementation="eager"), ids)
    del found["logits"]
    last = {key: value[-12:].clone() for key, value in found.items()}
    save_file({"ids": torch.tensor(ids, dtype=torch.int64), **last}, "demo/expected.safetensors")


names = sys.argv[1:] or [*MODELS, *LENS_MODELS, "demo"]
for name in names:
    (make if name in MODELS else make_lens if name in LENS_MODELS else make_demo)(name)

import safetensors, tokenizers  # noqa: E401, E402

versions = {"torch": torch.__version__, "transformers": transformers.__version__, "safetensors": safetensors.__version__, "tokenizers": tokenizers.__version__}
try:
    from importlib.metadata import version

    versions["transformer-lens"] = version("transformer-lens")
except Exception:  # not needed for the others
    pass
with open("versions.json", "w") as file:
    json.dump(versions, file, indent=2)
    file.write("\n")

for folder, _, files in os.walk("."):
    for file in files:
        os.chmod(os.path.join(folder, file), 0o755 if file.endswith(".py") else 0o644)
