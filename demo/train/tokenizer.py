#!/usr/bin/env python3
"""Trains the byte-level BPE tokenizer and encodes the documents.

usage: tokenizer.py DATA VOCAB_SIZE

Reads DATA/{train,val,scan}.jsonl; writes DATA/tokenizer.json and DATA/{train,val}.npy (uint16 token ids,
[rows, 256]). `<|endoftext|>`, id 0, serves as BOS and EOS.
"""
import json
import sys

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

DATA, VOCAB_SIZE = sys.argv[1], int(sys.argv[2])
BOS = "<|endoftext|>"


def texts(name):
    with open(f"{DATA}/{name}.jsonl", encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)["text"]


tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(
    vocab_size=VOCAB_SIZE,
    special_tokens=[BOS],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
tokenizer.train_from_iterator((t for i, t in enumerate(texts("train")) if i % 2 == 0), trainer)
tokenizer.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
tokenizer.save(f"{DATA}/tokenizer.json")

# Rows of 256 ids. A long document gives rows of `BOS` and 255 of its tokens, which is how a scan sees it; the tails
# follow one another, each behind its own `BOS`.
CONTEXT = 256
for name in ("train", "val"):
    rows, tails, n_tokens, n_bytes = [], [], 0, 0
    documents = list(texts(name))
    for start in range(0, len(documents), 1024):
        batch = documents[start : start + 1024]
        n_bytes += sum(len(text.encode()) for text in batch)
        for encoding in tokenizer.encode_batch(batch, add_special_tokens=False):
            ids = np.array(encoding.ids, dtype=np.uint16)
            n_tokens += len(ids)
            for chunk in (ids[i : i + CONTEXT - 1] for i in range(0, len(ids), CONTEXT - 1)):
                (rows if len(chunk) == CONTEXT - 1 else tails).append(np.concatenate([[np.uint16(0)], chunk]))
    tails = np.concatenate(tails)
    tails = tails[: len(tails) // CONTEXT * CONTEXT].reshape(-1, CONTEXT)
    rows = np.concatenate([np.stack(rows), tails]).astype(np.uint16)
    np.save(f"{DATA}/{name}.npy", rows)
    print(f"{name}: {len(rows)} rows, {n_tokens} tokens, {n_bytes / n_tokens:.2f} bytes a token")
