//! What people write: a corpus in each format, content, the project file, and the list that a site keeps of its files.

use std::fs;
use std::io::Write;
use std::path::Path;

use neuroscope::config;
use neuroscope::corpus::{Corpus, CorpusOptions, Source};
use neuroscope::site::{self, Inputs, SiteOptions};
use serde_json::json;

use crate::attack::{Attack, Outcome};
use crate::mutate::{self, Random};
use crate::support::{self, Project};

/// Bytes that reading a small corpus may take.
const MOST: usize = 32 << 20;

/// Bytes that building a small site may take.
const MOST_OF_SITE: usize = 256 << 20;

fn lines() -> Vec<u8> {
    let mut out = String::new();
    for i in 0..20 {
        let meta = json!({"deep": [[[{"a": null}]]], "n": 1e30, "t": "\u{1F600} é 漢"});
        let line = json!({"text": format!("text {i} \u{202e}漢字\n"), "id": i, "source": "s", "license": "CC0", "meta": meta});
        out.push_str(&format!("{line}\n"));
    }
    out.into_bytes()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(bytes).unwrap();
    out.finish().unwrap()
}

#[test]
fn corpora() {
    let dir = tempfile::tempdir().unwrap();
    let plain = lines();
    let zst = zstd::encode_all(&plain[..], 3).unwrap();
    let gz = gzip(&plain);
    let csv = b"id,text\n1,\"a text\nof two lines\"\n2,another\n".repeat(20);
    let parquet = fs::read(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/corpus/row_groups.parquet"
    ));
    let parquet = parquet.unwrap();
    for (name, seed) in [
        ("a.jsonl", &plain),
        ("a.txt", &plain),
        ("a.jsonl.zst", &zst),
        ("a.jsonl.gz", &gz),
        ("a.csv", &csv),
        ("a.parquet", &parquet),
    ] {
        let path = dir.path().join(name);
        let attack = Attack {
            reader: &format!("corpus-{name}"),
            most: MOST,
            right: seed,
            refuses: true,
        };
        attack.run(
            |random| match random.below(2) {
                // damage under the compression as well
                0 if name.ends_with("zst") => {
                    zstd::encode_all(&mutate::bytes(&plain, random)[..], 3).unwrap()
                }
                0 if name.ends_with("gz") => gzip(&mutate::bytes(&plain, random)),
                _ => mutate::bytes(seed, random),
            },
            |input| {
                // text that is not UTF-8 is an error, unless the damage hit none
                fs::write(&path, input).unwrap();
                let corpus = Corpus::open(&[Source::Path(path.clone())], CorpusOptions::default());
                match corpus {
                    Ok(mut corpus) => corpus.try_for_each(|document| document.map(drop)).into(),
                    Err(error) => Err::<(), _>(error).into(),
                }
            },
        );
    }
}

/// A project with a small atlas, `gpt2`.
fn project() -> Project {
    Project::new().scan("gpt2", 6, &["--top-k", "2", "--random", "1"])
}

fn build(project: &Path, data: &Path, content: Option<&Path>, out: &Path) -> Outcome {
    let options = SiteOptions::default();
    let inputs = Inputs {
        project,
        data: &[data.to_owned()],
        theme: None,
        content,
        options: &options,
    };
    site::build(&inputs, out, &|_| true).into()
}

const NOTE: &str = "+++
title = \"A title\"
description = \"What it is\"
date = 2026-01-01
order = 3
+++
# Heading *one*

> quoted\n> > twice <script>alert(1)</script> ![picture](https://example.org/a.png) [link](../other.md#part)

| a | b |
|---|---|
| `c` | $x^2$ |

- one
  - two [^1]

[^1]: A footnote &amp; \u{202e}reversed <b onclick=\"x()\">bold</b> [x](javascript:alert(1))
";

#[test]
fn content() {
    let dir = project();
    let data = dir.data("gpt2");
    let content = dir.join("content");
    let explanation = "{\"layer\": 0, \"neuron\": 1, \"text\": \"speaks of \u{202e}rivers\", \"score\": 0.5, \"url\": \"https://example.org/\"}\n";
    for (file, seed) in [
        ("about.md", NOTE),
        ("notes/gpt2/0/1.md", NOTE),
        ("explanations/gpt2.jsonl", explanation),
    ] {
        let path = content.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let attack = Attack {
            reader: &format!("content-{}", file.replace('/', "-")),
            most: MOST_OF_SITE,
            right: seed.as_bytes(),
            refuses: true,
        };
        attack.run(
            |random| match random.below(8) {
                0 => nested(random),
                _ => mutate::bytes(seed.as_bytes(), random),
            },
            |input| {
                fs::write(&path, input).unwrap();
                let site = dir.join("site");
                build(&dir, &data, Some(&content), &site)
            },
        );
        fs::remove_file(&path).unwrap();
    }
}

/// What takes long to read for its depth.
fn nested(random: &mut Random) -> Vec<u8> {
    let piece = *random.of(&[
        ">", "- ", "[", "![", "*", "**a", "`", "<b>", "| a ", "(", "1. ", "&#x", "[^a]", "\t",
    ]);
    piece.repeat(1 + random.below(20_000)).into_bytes()
}

#[test]
fn project_file() {
    let dir = tempfile::tempdir().unwrap();
    let seed = "[corpus]\ntext_field = \"text\"\n[scan]\nn_ctx = 64\n[scan.stats]\ntop_k = 20\ntau = 0.1\nseed = 3\n[weights]\n[site]\ntitle = \"A \\u0041\"\nbase_url = \"https://example.org/a/\"\nmenu = [{label = \"x\", href = \"y.html\"}]\n";
    let attack = Attack {
        reader: "project-file",
        most: MOST,
        right: seed.as_bytes(),
        refuses: true,
    };
    attack.run(
        |random| mutate::bytes(seed.as_bytes(), random),
        |input| {
            fs::write(dir.path().join("neuroscope.toml"), input).unwrap();
            config::Project::read(dir.path()).into()
        },
    );
}

#[test]
fn list_of_a_sites_files() {
    let dir = project();
    let data = dir.data("gpt2");
    let site = dir.join("out/site");
    assert_eq!(build(&dir, &data, None, &site), Outcome::Read);
    let beside = dir.join("out/mine.txt");
    fs::write(&beside, "mine").unwrap();
    let built = support::files(&site);
    let list = ".neuroscope-build.json";
    let (_, seed) = built.iter().find(|(name, _)| name == list).unwrap();
    let attack = Attack {
        reader: "site-list",
        most: MOST_OF_SITE,
        right: seed,
        refuses: false,
    };
    attack.run(
        |random| {
            let mut text = String::from_utf8(mutate::json(seed, random)).unwrap_or_default();
            if random.below(3) == 0 {
                let odd = *random.of(&[
                    "../mine.txt",
                    "/../mine.txt",
                    "a/../../mine.txt",
                    "./x",
                    "a//b",
                    "..\\\\mine.txt",
                ]);
                text = text.replacen("index.html", odd, 1 + random.below(3));
            }
            text.into_bytes()
        },
        |input| {
            fs::write(site.join(list), input).unwrap();
            let outcome = build(&dir, &data, None, &site);
            // a list that can be read, but does not name what is there, makes that somebody else's
            let is_list = serde_json::from_slice::<serde_json::Value>(input).is_ok();
            assert!(
                outcome == Outcome::Read || is_list,
                "a list that cannot be read stops no build"
            );
            assert!(beside.exists(), "a build touches its own folder only");
            if outcome == Outcome::Refused {
                // it leaves its journal for the next, and the list as it was found
                fs::remove_file(site.join(".neuroscope-build.journal")).unwrap_or_default();
                fs::write(site.join(list), seed).unwrap();
            }
            assert!(support::files(&site) == built, "the site is what it was");
            // and so it stops nothing for good
            Outcome::Read
        },
    );
}
