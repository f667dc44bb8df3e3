"""Models of random weights in the shapes of real ones, a tokenizer of single letters, and text for it; all from the standard library."""

import json
import random
import statistics
import struct

SMOLLM2 = dict(
    model_type="llama", hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9, num_key_value_heads=3, vocab_size=49152,
    max_position_embeddings=8192, rope_theta=100000.0, rms_norm_eps=1e-5, tie_word_embeddings=True, hidden_act="silu", attention_bias=False, mlp_bias=False,
)
OLMO_7B = dict(
    model_type="olmo", hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32, num_key_value_heads=32, vocab_size=50304,
    max_position_embeddings=2048, rope_theta=10000.0, tie_word_embeddings=False, hidden_act="silu", attention_bias=False, clip_qkv=None,
)


def small(config):
    """A model of the same kind for a CPU."""
    n_key_value_heads = 4 * config["num_key_value_heads"] // config["num_attention_heads"]
    sizes = dict(hidden_size=64, intermediate_size=160, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=n_key_value_heads, vocab_size=128)
    return config | sizes


def tensors(config):
    """Name and shape of every tensor."""
    d_model, d_mlp, d_vocab = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    d_head = d_model // config["num_attention_heads"]
    d_keys = d_head * config["num_key_value_heads"]
    has_norms = config["model_type"] == "llama"  # OLMo's have no weights
    yield "model.embed_tokens.weight", (d_vocab, d_model)
    for layer in range(config["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        for name, n_out in [("q", d_model), ("k", d_keys), ("v", d_keys), ("o", d_model)]:
            yield f"{at}self_attn.{name}_proj.weight", (n_out, d_model)
        for name in ["gate", "up"]:
            yield f"{at}mlp.{name}_proj.weight", (d_mlp, d_model)
        yield f"{at}mlp.down_proj.weight", (d_model, d_mlp)
        if has_norms:
            for name in ["input", "post_attention"]:
                yield f"{at}{name}_layernorm.weight", (d_model,)
    if has_norms:
        yield "model.norm.weight", (d_model,)
    if not config["tie_word_embeddings"]:
        yield "lm_head.weight", (d_vocab, d_model)


def size(shape):
    return shape[0] * (shape[1] if len(shape) > 1 else 1)


def n_bytes(config):
    return sum(2 * size(shape) for _, shape in tensors(config))


def flop_per_token(config, n_ctx):
    """Of a forward pass over full windows: products of the blocks and of attention with the keys that are seen. The unembedding is left
    out, and so is the last layer's `w_out`: a scan needs neither."""
    d_model, n_layers = config["hidden_size"], config["num_hidden_layers"]
    weights = sum(size(shape) for name, shape in tensors(config) if "_proj" in name)
    weights -= config["intermediate_size"] * d_model
    keys = (n_ctx + 1) / 2
    return 2 * weights + 4 * keys * d_model * n_layers


def bf16(x):
    return struct.unpack("<I", struct.pack("<f", x))[0] >> 16


def normal_weights(n):
    """`n` numbers in bf16, of 256 values that are spread as a normal distribution of 0.02."""
    normal = statistics.NormalDist(0, 0.02)
    values = [bf16(normal.inv_cdf((i + 0.5) / 256)) for i in range(256)]
    draws = random.Random(0).randbytes(n)
    out = bytearray(2 * n)
    out[0::2] = draws.translate(bytes(v & 0xFF for v in values))
    out[1::2] = draws.translate(bytes(v >> 8 for v in values))
    return memoryview(out)


# no multiple of a row, so that rows that repeat do so elsewhere in the matrix
N_DRAWN = 33_554_393


def write_model(folder, config, goes_on=lambda: True):
    """Makes the folder of a model, as long as `goes_on`. Returns its number of parameters."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config | {"bos_token_id": 0, "eos_token_id": 0}))
    write_tokenizer(folder)
    header, offset = {}, 0
    for name, shape in tensors(config):
        end = offset + 2 * size(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    drawn = normal_weights(min(N_DRAWN, offset // 2))
    with open(folder / "model.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        at = 0
        for name, shape in tensors(config):
            if "norm" in name:
                file.write(struct.pack("<H", bf16(1.0)) * size(shape))
                continue
            left = 2 * size(shape)
            while left and goes_on():
                part = drawn[at : at + left]
                file.write(part)
                left -= len(part)
                at = (at + len(part)) % len(drawn)
    return offset // 2


def write_tokenizer(folder):
    """A tokenizer of printable ASCII, letter by letter, after a BOS: 96 tokens, which every model of the tests has."""
    vocabulary = {"<s>": 0} | {chr(code): code - 31 for code in range(32, 127)}
    special = {"id": 0, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [special], "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": r"[\s\S]"}, "behavior": "Isolated", "invert": False},
        "decoder": {"type": "Fuse"}, "model": {"type": "WordLevel", "vocab": vocabulary, "unk_token": "<s>"},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}))


def write_corpus(file, lengths):
    """Documents of so many letters each."""
    letters = random.Random(0)
    with open(file, "w") as out:
        for length in lengths:
            out.write(json.dumps({"text": "".join(letters.choices("etaoin shrdlu,.ABC129", k=length))}) + "\n")


def change_weight(file, tensor, at, factor):
    """Multiplies one weight, in f32, of a safetensors file."""
    data = bytearray(file.read_bytes())
    start = 8 + struct.unpack_from("<Q", data)[0]
    entry = json.loads(data[8:start])[tensor]
    assert entry["dtype"] == "F32", entry
    place = start + entry["data_offsets"][0] + 4 * at
    struct.pack_into("<f", data, place, struct.unpack_from("<f", data, place)[0] * factor)
    file.write_bytes(data)
