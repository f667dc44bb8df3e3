#!/usr/bin/env python3
"""Makes the GGUF files of tests/model/checkpoints.rs with the package `gguf` (0.19), and the values that it reads from them.

usage: make.py

types.gguf          a random tensor in each quantised type that is read, called by the type
types.safetensors   their values as `gguf.quants.dequantize` has them
iq4.gguf            a random Llama of one layer, its matrices in IQ4_NL and one of them in IQ4_XS
iq4.safetensors     some of its tensors' values, under their names in the file
parts-0000?-of-00003.gguf   the same model as llama.cpp's `gguf-split --no-tensor-first-split` writes it
"""
import pathlib

import gguf
import numpy
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType as Value
from safetensors.numpy import save_file

D_MODEL, D_MLP, N_HEADS, D_VOCAB = 32, 256, 2, 24
here = pathlib.Path(__file__).resolve().parent
random = numpy.random.default_rng(15)


def quantised(type: Type, rows: int, columns: int) -> numpy.ndarray:
    """Blocks of random bits with scales of both signs and a usual size."""
    values, size = gguf.GGML_QUANT_SIZES[type]
    blocks = random.integers(0, 256, (rows, columns // values, size), dtype=numpy.uint8)
    # where a block has its scale, and its minimum or offset
    places = {
        Type.Q4_1: [0, 2],
        Type.Q5_1: [0, 2],
        Type.Q4_K: [0, 2],
        Type.Q5_K: [0, 2],
        Type.Q2_K: [size - 4, size - 2],
        Type.Q3_K: [size - 2],
        Type.Q6_K: [size - 2],
    }
    for place in places.get(type, [0]):
        # those of blocks of 256 are multiplied by scales of their parts
        scales = random.normal(0, 4e-3 if values == 32 else 4e-4, blocks.shape[:2])
        blocks[:, :, place : place + 2] = scales.astype(numpy.float16).view(numpy.uint8).reshape(*blocks.shape[:2], 2)
    return blocks.reshape(rows, -1)


norm = numpy.ones(D_MODEL, dtype=numpy.float32)
square = (Type.IQ4_NL, D_MODEL, D_MODEL)
tensors = {
    "token_embd.weight": (Type.IQ4_NL, D_VOCAB, D_MODEL),
    "blk.0.attn_norm.weight": norm,
    "blk.0.attn_q.weight": square,
    "blk.0.attn_k.weight": square,
    "blk.0.attn_v.weight": square,
    "blk.0.attn_output.weight": square,
    "blk.0.ffn_norm.weight": norm,
    "blk.0.ffn_gate.weight": (Type.IQ4_NL, D_MLP, D_MODEL),
    "blk.0.ffn_up.weight": (Type.IQ4_NL, D_MLP, D_MODEL),
    "blk.0.ffn_down.weight": (Type.IQ4_XS, D_MODEL, D_MLP),
    "output_norm.weight": norm,
    "output.weight": (Type.IQ4_NL, D_VOCAB, D_MODEL),
}
tensors = {name: (what[0], quantised(*what)) if isinstance(what, tuple) else (Type.F32, what) for name, what in tensors.items()}

expected = {}
for name in ("blk.0.ffn_down.weight", "blk.0.attn_v.weight"):
    type, blocks = tensors[name]
    expected[name] = gguf.quants.dequantize(blocks, type)
save_file(expected, here / "iq4.safetensors")

types = "Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS".split()
types = {name: (Type[name], quantised(Type[name], 2, 256)) for name in types}
save_file({name: gguf.quants.dequantize(blocks, type) for name, (type, blocks) in types.items()}, here / "types.safetensors")


def write(name: str, tensors: dict, split: tuple[int, int, int] | None = None) -> None:
    """Writes a whole model, or with `split` a part: its number, the number of parts and that of all tensors."""
    writer = gguf.GGUFWriter(here / name, "llama")
    if not (split and split[0]):
        writer.add_block_count(1)
        writer.add_context_length(16)
        writer.add_embedding_length(D_MODEL)
        writer.add_feed_forward_length(D_MLP)
        writer.add_head_count(N_HEADS)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(10_000.0)
    if split:
        writer.add_key_value("split.no", split[0], Value.UINT16)
        writer.add_key_value("split.count", split[1], Value.UINT16)
        writer.add_key_value("split.tensors.count", split[2], Value.INT32)
    for tensor, (type, blocks) in tensors.items():
        writer.add_tensor(tensor, blocks, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


write("types.gguf", types)
write("iq4.gguf", tensors)
names = list(tensors)
for number, part in enumerate(([], names[:7], names[7:])):
    write(f"parts-{number + 1:05}-of-00003.gguf", {name: tensors[name] for name in part}, (number, 3, len(names)))
