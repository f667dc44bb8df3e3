"""A corpus as `neuroscope tokenize` writes it, and where in it examples can be placed."""

import json
import struct
from functools import cached_property

import numpy as np
import pyarrow as pa

BLOCK_TOKENS = 32_768
START_POSITIONS = 3
# The bands of which examples are drawn, as in src/stats/samples.rs.
BANDS = [(0.001, 0.01), (0.01, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 0.999)]


def mix(z):
    """SplitMix64's finaliser, as in src/stats/hash.rs."""
    z = z + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def byte_of_character():
    """The bytes that the characters of a byte-level vocabulary stand for."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + at): byte for at, byte in enumerate(others)}


SPELLED = {0xDC00 + byte: f"<0x{byte:02X}>" for byte in range(128, 256)}


def spelled(text):
    """Bytes as text; those that are not UTF-8 by themselves are written `<0xE2>`."""
    return text.decode("utf-8", "surrogateescape").translate(SPELLED)


class Corpus:
    """The tokens of all documents, one after another. A position's place is its index in that stream."""

    def __init__(self, folder, policy):
        """Reads the corpus in a folder, which a scan of this policy cuts into windows."""
        assert policy["bos"] is None and not policy["count_special"], "only scans without a BOS are understood"
        self.folder, self.policy = folder, policy
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.tokenizer = json.loads((folder / "tokenizer.json").read_text())
        index = (folder / "index.bin").read_bytes()
        _, width, _, n_files = struct.unpack_from("<4I", index, 8)
        self.n_documents, n_blocks, _, _ = struct.unpack_from("<4Q", index, 24)
        self.offsets = np.frombuffer(index, "<u8", self.n_documents + 1, 56).astype(np.int64)
        self.lengths = np.diff(self.offsets)
        blocks = np.frombuffer(index, "<u4,<u4,<u8", n_blocks, 56 + 8 * (self.n_documents + 1) + 12 * self.n_documents)
        files = [(folder / f"tokens-{at:05}.bin").read_bytes() for at in range(n_files)]
        codec, left, parts = pa.Codec("zstd"), int(self.offsets[-1]), []
        for file, size, at in blocks.tolist():
            n = min(left, BLOCK_TOKENS)
            unpacked = codec.decompress(files[file][at : at + size], n * width)
            parts.append(np.frombuffer(unpacked, f"<u{width}"))
            left -= n
        self.tokens = np.concatenate(parts)
        self.documents = np.repeat(np.arange(self.n_documents, dtype=np.uint32), self.lengths)
        self.positions = (np.arange(len(self.tokens)) - self.offsets[self.documents]).astype(np.uint32)

    @cached_property
    def counted(self):
        """Which positions count: all but the first of each window and special tokens."""
        special = [token["id"] for token in self.tokenizer["added_tokens"] if token["special"]]
        return (self.positions % self.policy["n_ctx"] != 0) & ~np.isin(self.tokens, np.array(special, self.tokens.dtype))

    @cached_property
    def n_counted(self):
        return int(self.counted.sum())

    @cached_property
    def n_special(self):
        return len(self.tokens) - self.n_counted

    @cached_property
    def n_starts(self):
        rows = self.positions % self.policy["n_ctx"]
        return int((self.counted & (rows >= 1) & (rows <= START_POSITIONS)).sum())

    @cached_property
    def plan(self):
        """The places that can be drawn at random, the same for every neuron, by the rank of their hashes."""
        stats = self.policy["stats"]
        tries = [int(np.ceil(4.0 * stats["per_band"] / (high - low))) for low, high in BANDS]
        seed = mix(np.array([stats["seed"]], np.uint64))
        hashes = mix(seed ^ (self.documents.astype(np.uint64) << np.uint64(32) | self.positions))
        hashes[~self.counted] = np.iinfo(np.uint64).max
        n = max(*tries, stats["random"])
        least = np.argpartition(hashes, n)[:n]
        return least[np.argsort(hashes[least])]

    @cached_property
    def by_token(self):
        """All counted places where no window starts, in the order of their tokens, and where each token's begin."""
        places = np.flatnonzero(self.counted & (self.positions % self.policy["n_ctx"] > START_POSITIONS))
        tokens = self.tokens[places].astype(np.uint16 if self.tokens.max() < 1 << 16 else np.uint32)
        order = np.argsort(tokens, kind="stable")
        return places[order].astype(np.uint32), np.searchsorted(tokens[order], np.arange(int(self.tokens.max()) + 2))

    def draw(self, tokens, rng, least):
        """Draws a place for each token where the same token stands, or any place for those with fewer than `least`."""
        places, begins = self.by_token
        tokens = np.minimum(tokens, len(begins) - 2)
        first, n = begins[tokens], begins[tokens + 1] - begins[tokens]
        first, n = np.where(n < least, 0, first), np.where(n < least, len(places), n)
        return places[first + (rng.random(len(tokens)) * n).astype(np.int64)].astype(np.int64)

    def contexts(self, places):
        """Hashes of the tokens up to some places, by which near-duplicates are found."""
        n = np.minimum(self.positions[places].astype(np.int64) + 1, self.policy["stats"]["context_tokens"])
        hashes = mix(n.astype(np.uint64))
        for back in range(self.policy["stats"]["context_tokens"] - 1, -1, -1):
            own = n > back
            hashes[own] = mix(hashes[own] ^ self.tokens[places[own] - back].astype(np.uint64))
        return hashes

    def texts(self, n):
        """The texts of the tokens from 0 to `n`."""
        texts = [f"<unused {token}>" for token in range(n)]
        bytes_of = byte_of_character()
        for piece, token in self.tokenizer["model"]["vocab"].items():
            if token < n:
                texts[token] = spelled(bytes(bytes_of[character] for character in piece))
        for added in self.tokenizer["added_tokens"]:
            if added["id"] < n:
                texts[added["id"]] = added["content"]
        return texts
