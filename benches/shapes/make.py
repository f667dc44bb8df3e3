"""Makes an atlas of any shape out of a real one, so that the sizes, memory and times of a site can be measured at shapes
that take too long to scan: `python make.py SOURCE CORPUS OUT --layers 32 --d-mlp 11008 --d-vocab 50304 --d-model 4096`.

SOURCE is the data folder of a gated model that was scanned and analysed. CORPUS is a data folder whose `corpus/` was written
by `neuroscope tokenize` with the same tokenizer, or with one that only has more tokens (vocabulary.py). For figures like those
of a scan, its documents are about as long as those of the source. OUT becomes a data folder that `neuroscope build` reads; its `corpus` is a link.

Each neuron is one of the source's neurons at about the same depth, changed a little, so that no two are the same:

- Its examples keep their values around the peak, but every other step of size 3 or more becomes one larger or smaller. They move
  to places of the new text where the same token stands; what was drawn at random is where the seed draws it in the new text.
- Statistics belong to as many positions as the new text has. Values are up to two octaves smaller, moments are those of a
  mixture with another value, and histograms move a few values to the next bin. All fit each other, and ranks are those of the whole.
- Numbers of weights change by a few per cent. Lists have other neurons of the shape, drawn uniformly, and tokens near in the vocabulary.
- The lines about neurons are the source's.

`neuroscope verify` accepts all of that but the lists of neighbours and of tokens, which contradict each other, the lines, and
about one in a thousand neurons: an example at the edge of a band is in the next, two drawn windows overlap, or a number at a
threshold gives another role.
"""

import argparse
import hashlib
import json
import math
import pathlib
import time
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq

from corpus import Corpus
from examples import Examples, SourceLayer
from stats import SourceStats, Stats, factors
from summaries import source_lines, summary, write_summaries
from weights import Peaks, SourceWeights, Weights, write_tokens

# Family and kind of MLP by whether there is a gate.
KINDS = {True: ("llama", "SwiGLU"), False: ("gpt2", "GELU (tanh)")}


@dataclass
class Shape:
    """What is made."""

    n_layers: int
    d_mlp: int
    d_vocab: int
    d_model: int
    gated: bool

    @property
    def early_layers(self):
        return math.ceil(self.n_layers / 4)

    def source_layer(self, layer, n_layers):
        """The layer of the source at about the same depth; only the first is made of its first, and only the last of its last."""
        if layer in (0, self.n_layers - 1):
            return layer and n_layers - 1
        return min(max(round(layer * (n_layers - 1) / (self.n_layers - 1)), 1), n_layers - 2)


def sha256(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path, value):
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def scan_of(source, corpus, shape, name):
    """What the atlas is said to be a scan of."""
    digest = lambda what: hashlib.sha256(f"{name} {shape} {what}".encode()).hexdigest()
    family, mlp = KINDS[shape.gated]
    n_weights = (3 if shape.gated else 2) * shape.d_mlp + 4 * shape.d_model
    return {
        "model": {
            "name": name,
            "source": name,
            "family": family,
            "mlp": mlp,
            "gated": shape.gated,
            "n_layers": shape.n_layers,
            "d_model": shape.d_model,
            "d_mlp": shape.d_mlp,
            "d_vocab": shape.d_vocab,
            "n_parameters": shape.d_model * (shape.n_layers * n_weights + shape.d_vocab),
            "stored_as": ["F32"],
            "weights_sha256": {"model.safetensors": digest("weights")},
            "config_sha256": digest("config"),
            "tokenizer_sha256": corpus.manifest["tokenizer_sha256"],
        },
        "corpus": corpus.manifest["corpus"],
        "policy": source["policy"] | {"n_counted": corpus.n_counted},
    }


def weights_info(source, shape, from_layers):
    """What is said of all weights."""
    layers = []
    for layer, of in enumerate(from_layers):
        regions = source["layers"][of] | {"layer": layer}
        layers.append(regions if shape.gated else regions | {"gate_out": None, "gate_in": None})
    late = math.ceil(shape.n_layers * source["options"]["roles"]["late_layers"])
    return source | {"early_layers": shape.early_layers, "late_layers": late, "layers": layers}


def make(args):
    started = time.monotonic()
    source, out = args.source / "atlas", args.out / "atlas"
    manifest = json.loads((source / "manifest.json").read_text())
    model, policy = manifest["scan"]["model"], manifest["scan"]["policy"]
    assert model["gated"], "the source must be gated"
    shape = Shape(args.layers, args.d_mlp, args.d_vocab, args.d_model, not args.ungated)
    source_corpus, corpus = (Corpus(data / "corpus", policy) for data in (args.source, args.corpus))
    out.mkdir(parents=True)
    (args.out / "corpus").symlink_to((args.corpus / "corpus").resolve())
    from_layers = [shape.source_layer(layer, model["n_layers"]) for layer in range(shape.n_layers)]
    peaks = {end: Peaks(shape.d_vocab) for end in ("top", "bottom")}
    layers, lines = [], []
    for layer, of in enumerate(from_layers):
        rng = np.random.default_rng([args.seed, layer])
        # the same neuron comes again as late as possible
        neurons = np.resize(rng.permutation(model["d_mlp"]), shape.d_mlp)
        found = SourceLayer(source / f"layer-{of:03}.examples.parquet", source_corpus, shape.gated)
        of_windows = np.repeat(np.arange(model["d_mlp"]), found.windows_of)
        little, octaves = np.ones(shape.d_mlp), np.zeros(shape.d_mlp, int)
        for first in range(0, shape.d_mlp, model["d_mlp"]):
            part = slice(first, min(first + model["d_mlp"], shape.d_mlp))
            own_little, own_octaves = factors(found.value, of_windows, model["d_mlp"], rng)
            little[part], octaves[part] = own_little[neurons[part]], own_octaves[neurons[part]]
        stats = Stats(SourceStats(source / f"layer-{of:03}.stats.parquet", shape.gated), neurons, little, octaves, corpus, policy["stats"]["tau"], rng)
        stats.write(out / f"layer-{layer:03}.stats.parquet")
        examples = Examples(found, neurons, stats.factors, corpus, rng)
        examples.write(out / f"layer-{layer:03}.examples.parquet")
        weights = Weights(SourceWeights(source / f"layer-{of:03}.weights.parquet"), neurons, layer, shape, model["d_vocab"], rng)
        weights.write(out / f"layer-{layer:03}.weights.parquet")
        for end, own in peaks.items():
            own.add(layer * shape.d_mlp, *examples.peaks(end))
        layers.append(summary(stats, examples, weights, policy["stats"]["top_k"]))
        lines.append({name: found.take(neurons) for name, found in source_lines(source / "neurons.parquet", of).items()})
        print(f"layer {layer}: {len(examples.row):,} examples, {time.monotonic() - started:.0f} s", flush=True)
    schema = pq.read_schema(source / "neurons.parquet").remove_metadata()
    write_summaries(out / "neurons.parquet", schema, layers, lines)
    rng = np.random.default_rng([args.seed, shape.n_layers])
    write_tokens(out / "tokens.parquet", source / "tokens.parquet", corpus.texts(shape.d_vocab), peaks, shape, rng)
    write_json(out / "weights.json", weights_info(json.loads((source / "weights.json").read_text()), shape, from_layers))

    scan = scan_of(manifest["scan"], corpus, shape, args.name or args.out.name)
    kinds = ("stats", "examples", "weights")
    names = [f"layer-{layer:03}.{kind}.parquet" for kind in kinds for layer in range(shape.n_layers)]
    names += ["neurons.parquet", "tokens.parquet", "weights.json"]
    files = [{"name": name, "bytes": (out / name).stat().st_size, "sha256": sha256(out / name)} for name in names]
    common = {"neuroscope": manifest["neuroscope"], "scan": scan, "n_parts": 1}
    write_json(out / "manifest.json", {"schema": manifest["schema"]} | common | {"files": files})
    write_json(args.out / "manifest.json", {"schema": "neuroscope/data/v1"} | common)
    size = sum(file["bytes"] for file in files)
    print(f"{shape.n_layers * shape.d_mlp:,} neurons, {size / 1e9:.2f} GB, {time.monotonic() - started:.0f} s")


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source", type=pathlib.Path)
parser.add_argument("corpus", type=pathlib.Path)
parser.add_argument("out", type=pathlib.Path)
for size in ("layers", "d-mlp", "d-vocab", "d-model"):
    parser.add_argument(f"--{size}", type=int, required=True)
parser.add_argument("--ungated", action="store_true", help="leave out what only gated neurons have")
parser.add_argument("--name", help="name of the model; that of OUT if not given")
parser.add_argument("--seed", type=int, default=1)
if __name__ == "__main__":
    make(parser.parse_args())
