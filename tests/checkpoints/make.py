#!/usr/bin/env python3
"""Makes the GGUF files of tests/checkpoints.rs with the package `gguf` (0.19), and the values that it reads from them.

usage: make.py

iq4.gguf            a random Llama of one layer, its matrices in IQ4_NL and one of them in IQ4_XS
iq4.safetensors     some of its tensors as `gguf.quants.dequantize` has them, under their names in the file
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
    # what is small in IQ4_XS is multiplied by up to 32
    scales = random.normal(0, 4e-3 if type == Type.IQ4_NL else 4e-4, blocks.shape[:2])
    blocks[:, :, :2] = scales.astype(numpy.float16).view(numpy.uint8).reshape(*blocks.shape[:2], 2)
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


def write(name: str, names: list[str], number: int | None, count: int) -> None:
    writer = gguf.GGUFWriter(here / name, "llama")
    if not number:
        writer.add_block_count(1)
        writer.add_context_length(16)
        writer.add_embedding_length(D_MODEL)
        writer.add_feed_forward_length(D_MLP)
        writer.add_head_count(N_HEADS)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_rope_freq_base(10_000.0)
    if number is not None:
        writer.add_key_value("split.no", number, Value.UINT16)
        writer.add_key_value("split.count", count, Value.UINT16)
        writer.add_key_value("split.tensors.count", len(tensors), Value.INT32)
    for tensor in names:
        type, blocks = tensors[tensor]
        writer.add_tensor(tensor, blocks, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


names = list(tensors)
write("iq4.gguf", names, None, 1)
for number, part in enumerate(([], names[:7], names[7:])):
    write(f"parts-{number + 1:05}-of-00003.gguf", part, number, 3)
