"""What `datasets` finds in made-up repositories: writes layouts.json.

    python -m venv venv && venv/bin/pip install datasets==5.2.0
    venv/bin/python tests/hub/layouts.py

src/load/data_set/layout.rs is compared with it. Files are empty: only their names count.
"""

import json
import pathlib
import tempfile

from datasets.data_files import DataFilesPatternsDict
from datasets.load import LocalDatasetModuleFactory

SHARDS = [f"data/{split}-0000{i}-of-00002.parquet" for split in ("train", "test", "extra") for i in (0, 1)]


def configs(yaml):
    return f"---\nlicense: mit\nconfigs:\n{yaml}---\n# A data set\n"


LAYOUTS = {
    "shards in data": (SHARDS, None),
    "shards and others": (SHARDS + ["data/LICENSE", "data/notes.txt", "train.jsonl"], None),
    "one file": (["pile-10k.parquet"], None),
    "shards without a split": (["data-00000-of-00002.jsonl", "data-00001-of-00002.jsonl"], None),
    "several files without a split": (["b.jsonl", "a.jsonl", "c/d.jsonl", ".hidden.jsonl", "__cache__/e.jsonl"], None),
    "splits in names": (["train.jsonl", "test.jsonl", "dev.jsonl", "latest.jsonl"], None),
    "splits in numbered names": (["train_0.jsonl", "train_1.jsonl", "my-valid.2.jsonl", "pretrain.jsonl"], None),
    "splits in names, packed": (["en-train.jsonl.gz", "en-evaluation.jsonl.gz", "de/train.jsonl.zst"], None),
    "splits in folders": (["data/train/a.jsonl", "data/train/b/c.jsonl", "data/test/a.jsonl", "other/a.jsonl"], None),
    "splits in folders and names": (["train/test.jsonl", "train/a.jsonl", "validation.jsonl"], None),
    "folders with more in their names": (["raw train/a.txt", "train-2/b.txt", "x_testing_1/c.txt", "trainer/d.txt"], None),
    "words of a split that are not separate": (["traindata.csv", "contest.csv"], None),
    "most are of one format": (["a.jsonl", "b.jsonl", "c.csv", "readme.txt", "config.json"], None),
    "as many of two formats": (["a.jsonl", "b.parquet", "c.txt"], None),
    "upper case": (["Train.jsonl", "TEST.jsonl"], None),
    "nothing": (["LICENSE", ".gitattributes"], None),
    "one config, one file": (["a.jsonl", "b.jsonl"], configs("- config_name: only\n  data_files: b.jsonl\n")),
    "several configs": (
        ["en/a.jsonl", "en/b.jsonl", "de/a.jsonl", "de/train.jsonl", "de/test.jsonl"],
        configs(
            "- config_name: en\n  data_files: en/*\n"
            "- config_name: de\n  default: true\n  data_files:\n  - split: train\n    path: de/train.jsonl\n  - split: test\n    path: ['de/t?st.jsonl', 'de/[ab].jsonl']\n"
            "- config_name: all\n  data_files: ['**/*.jsonl', 'en/a.jsonl']\n"
        ),
    ),
    "a config that is called default": (
        ["a/x.jsonl", "b/x.jsonl"],
        configs("- config_name: a\n  data_files: a/*\n- config_name: default\n  data_files: b/*\n"),
    ),
    "configs without a default": (
        ["a/x.jsonl", "b/x.jsonl"],
        configs("- config_name: a\n  data_files: a/*\n- config_name: b\n  data_files: b/*\n"),
    ),
    "configs by folder": (
        ["one/train.jsonl", "one/test.jsonl", "two/x.jsonl", "two/data/train-00000-of-00001.jsonl"],
        configs("- config_name: one\n  data_dir: one\n- config_name: two\n  data_dir: two\n"),
    ),
    "a config with splits of its own": (
        ["data/year.2001.jsonl", "data/year.2002.jsonl", "data/__special__/x.jsonl"],
        configs(
            "- config_name: years\n  data_files:\n  - split: y2001\n    path: data/*2001*\n  - split: y2002\n    path: data/**/*2002.jsonl\n"
            "  - split: special\n    path: data/__special__/*\n"
        ),
    ),
    "classes of characters": (
        ["a-1.jsonl", "a-2.jsonl", "a-x.jsonl", "b.jsonl", "c].jsonl"],
        configs(
            "- config_name: default\n  data_files:\n  - split: digits\n    path: 'a-[0-9].jsonl'\n  - split: others\n    path: 'a-[!0-9].jsonl'\n"
            "  - split: bracket\n    path: 'c[]].jsonl'\n  - split: question\n    path: '?.jsonl'\n"
        ),
    ),
    "a file that is not there": (["a.jsonl"], configs("- config_name: default\n  data_files: [a.jsonl, b.jsonl]\n")),
    "a card that repeats a file": (
        ["a.jsonl", "b.jsonl"],
        configs("- config_name: default\n  data_files: &files\n  - a.jsonl\n  - b.jsonl\n- config_name: again\n  data_files: *files\n"),
    ),
}


def resolved(files, card):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder) / "repository"
        for name in files:
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if card:
            (root / "README.md").write_text(card)
        module = LocalDatasetModuleFactory(str(root)).get_module()
        parameters = module.builder_configs_parameters
        found = {}
        for config in parameters.builder_configs:
            splits = config.data_files
            if isinstance(splits, DataFilesPatternsDict):
                try:
                    splits = splits.resolve(str(root / (config.data_dir or "")))
                except FileNotFoundError:
                    splits = {}
            # `datasets` reads a file twice if two patterns match it
            relative = lambda paths: list(dict.fromkeys(str(pathlib.Path(path).relative_to(root)) for path in paths))
            found[config.name] = {str(split): relative(paths) for split, paths in splits.items()}
        return {"default": parameters.default_config_name, "configs": found}


def main():
    layouts = []
    for name, (files, card) in LAYOUTS.items():
        try:
            found = resolved(files, card)
        except (FileNotFoundError, ValueError) as error:
            found = {"error": type(error).__name__}
        layouts.append({"name": name, "files": sorted(files), "card": card, **found})
    path = pathlib.Path(__file__).with_name("layouts.json")
    path.write_text(json.dumps(layouts, indent=1, ensure_ascii=False) + "\n")


main()
