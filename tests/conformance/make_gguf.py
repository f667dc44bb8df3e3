#!/usr/bin/env python3
"""Makes GGUF files of the conformance fixtures with llama.cpp's own converter.

usage: make_gguf.py LLAMA_CPP [NAME...]   LLAMA_CPP has convert_hf_to_gguf.py (tests/vocabularies/run fetches it)

Writes `<name>/model.gguf` in f32, whose hooks must be those of `<name>/expected.safetensors`.
"""
import json
import pathlib
import shutil
import sys
import tempfile
import unittest.mock

llama_cpp = sys.argv[1]
sys.path[:0] = [llama_cpp, f"{llama_cpp}/gguf-py"]
import transformers  # noqa: E402, F401  (looks for mistral_common, so before it is replaced)

for unused in ("mistral_common", "mistral_common.tokens", "mistral_common.tokens.tokenizers"):
    sys.modules[unused] = unittest.mock.MagicMock()
for unused in ("base", "multimodal", "tekken", "sentencepiece"):
    sys.modules[f"mistral_common.tokens.tokenizers.{unused}"] = unittest.mock.MagicMock()
import convert_hf_to_gguf as convert  # noqa: E402
import gguf  # noqa: E402

NAMES = ["llama3", "olmo", "olmo2", "qwen2_gguf", "qwen3", "gemma", "gemma2_gguf", "gemma3_gguf", "phi", "phi3_long", "stablelm", "stablelm_parallel", "gpt2", "gpt_neox"]

# through transformers 5, the converter would miss the keys of transformers 4 that it looks for
convert.ModelBase.load_hparams = staticmethod(lambda folder, *_: json.loads((folder / "config.json").read_text()))
# the fixtures have no tokenizer, and need none
convert.TextModel.set_vocab = lambda self: None
for model in vars(convert).values():
    if isinstance(model, type) and issubclass(model, convert.TextModel) and "set_vocab" in vars(model):
        model.set_vocab = lambda self: None
convert.Gemma3Model._create_vocab_sentencepiece = lambda self: ([None] * self.hparams["vocab_size"], None, None)

here = pathlib.Path(__file__).resolve().parent
for name in sys.argv[2:] or NAMES:
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for file in (here / name).iterdir():
            shutil.copy(file, folder)
        if (folder / "config.v4.json").exists():
            shutil.copy(folder / "config.v4.json", folder / "config.json")
        config = json.loads((folder / "config.json").read_text())
        if "n_positions" in config:
            config["n_ctx"] = config["n_positions"]
        if (config.get("rope_scaling") or {}).get("rope_type") == "llama3":
            # the converter looks for it outside, and would take 8192
            config["original_max_position_embeddings"] = config["rope_scaling"]["original_max_position_embeddings"]
        (folder / "config.json").write_text(json.dumps(config))
        converter = convert.ModelBase.from_model_architecture(config["architectures"][0], convert.ModelType.TEXT)
        converter(folder, gguf.LlamaFileType.ALL_F32, here / name / "model.gguf").write()
        print(name, config["architectures"][0])
