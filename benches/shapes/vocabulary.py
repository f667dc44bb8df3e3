"""Makes a tokenizer of more tokens: `python vocabulary.py TOKENIZER TEXT N OUT`.

TOKENIZER is a byte-level BPE in a `tokenizer.json`, TEXT a corpus of JSON lines. Its most frequent pairs of words become tokens, until
there are N. No merge makes them, so that texts are tokenized as before. OUT becomes a small
model with this tokenizer, for `neuroscope tokenize --model`.
"""

import json
import pathlib
import re
import sys
from collections import Counter

sys.path.append(str(pathlib.Path(__file__).parents[1]))

from corpus import byte_of_character
from random_llama import random_llama

tokenizer_path, text, n, out = sys.argv[1:]
tokenizer = json.loads(pathlib.Path(tokenizer_path).read_text())
vocabulary, n = tokenizer["model"]["vocab"], int(n)
pairs = Counter()
with open(text) as lines:
    for line in lines:
        words = re.findall(r"\w+|[^\w ]+", json.loads(line)["text"])
        pairs.update((a, b) for a, b in zip(words, words[1:]) if a.isalpha() and b.isalpha())
character_of = {byte: character for character, byte in byte_of_character().items()}
for pair, _ in pairs.most_common():
    if len(vocabulary) == n:
        break
    piece = "".join(character_of[byte] for byte in "".join(f" {word}" for word in pair).encode())
    vocabulary.setdefault(piece, len(vocabulary))
assert len(vocabulary) == n, f"the text has pairs for {len(vocabulary)} tokens"
# any model will do for `tokenize`
random_llama(pathlib.Path(out), 1, 16, 16, 16, n)
(pathlib.Path(out) / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
