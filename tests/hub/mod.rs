//! Data sets by name, from a small hub. Which files a data set has is compared with `datasets` in src/load/data_set/layout.rs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::hub::{Hub, Repository, TOKEN, sha256};
use crate::support::{fail, misused, model, succeed};

/// Lines with the texts of a file.
fn lines(texts: &[&str]) -> String {
    let lines = texts.iter().map(|text| json!({"text": text}).to_string());
    lines.map(|line| line + "\n").collect()
}

/// Lines that are so long that the hub keeps them in Git LFS.
fn long(word: &str) -> String {
    lines(&[&format!("{word} ").repeat(200)]).repeat(40)
}

/// `neuroscope tokenize` of some corpus with the demo's tokenizer.
fn tokenize(hub: &Hub, corpus: &[&str], more: &[&str]) -> Command {
    let start = ["tokenize", "--model", "demo", "--json", "--corpus"];
    hub.command(&[&start, corpus, more].concat())
}

/// The manifest of the token store.
fn manifest(hub: &Hub) -> Value {
    let path = hub.cache.path().join("data/demo/corpus/manifest.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The paths of the files of the corpus in their data set.
fn inputs(hub: &Hub) -> Vec<String> {
    let manifest = manifest(hub);
    let inputs = manifest["inputs"].as_array().unwrap();
    let names = inputs.iter().map(|input| input["name"].as_str().unwrap());
    let paths = names.map(|name| match name.strip_prefix("hf:") {
        Some(name) => name.split('/').skip(2).collect::<Vec<_>>().join("/"),
        None => name.to_owned(),
    });
    paths.collect()
}

/// The data files that were asked for.
fn asked(hub: &Hub) -> Vec<String> {
    let mut asked = std::mem::take(&mut hub.state().asked);
    asked.retain(|name| !name.ends_with("README.md"));
    asked.dedup();
    let paths = asked.iter().map(|name| name.split('/').skip(3));
    paths
        .map(|path| path.collect::<Vec<_>>().join("/"))
        .collect()
}

fn folder(hub: &Hub, name: &str) -> PathBuf {
    let folder = format!("datasets--{}", name.replace('/', "--"));
    hub.cache.path().join("hf/hub").join(folder)
}

const CARD: &str = "---
license:
- cc0-1.0
- mit
configs:
- config_name: en
  default: true
  data_files:
  - split: train
    path: [\"en/train-*.jsonl\", en/more.jsonl]
  - split: test
    path: en/test.jsonl
  - split: nothing
    path: en/nothing-*.jsonl
- config_name: de
  data_files: de/*.jsonl
---
# Texts
";

fn put_texts(hub: &Hub) {
    let files = [
        ("README.md", CARD),
        ("en/train-0.jsonl", &lines(&["one", "two"])),
        ("en/train-1.jsonl", &lines(&["three"])),
        ("en/more.jsonl", &lines(&["four"])),
        ("en/test.jsonl", &lines(&["a test"])),
        ("de/a.jsonl", &lines(&["eins"])),
        ("de/b.jsonl", &lines(&["zwei"])),
        ("other.jsonl", &lines(&["other"])),
    ];
    hub.put_data_set("test/texts", "ab", &files);
}

#[test]
fn files_are_those_of_the_card_and_the_manifest_says_which() {
    let hub = Hub::start();
    put_texts(&hub);
    let info = succeed(&mut tokenize(&hub, &["hf:test/texts"], &[])).json();
    let commit = "ab".repeat(20);
    let split = |split: &str| json!([{"id": "test/texts", "revision": commit, "config": "en", "split": split}]);
    assert_eq!(
        (&info["name"], &info["n_documents"]),
        (&json!("test/texts"), &json!(4))
    );
    assert_eq!(info["data_sets"], split("train"));
    let sources = info["sources"].as_array().unwrap();
    let of_source = |source: &Value| (source["source"].clone(), source["license"].clone());
    let sources: Vec<_> = sources.iter().map(of_source).collect();
    assert_eq!(sources, [(json!("test/texts"), json!("cc0-1.0, mit"))]);
    let train = ["en/train-0.jsonl", "en/train-1.jsonl", "en/more.jsonl"];
    assert_eq!(inputs(&hub), train);
    let first = &manifest(&hub)["inputs"][0];
    let bytes = lines(&["one", "two"]);
    assert_eq!(
        first["name"],
        format!("hf:test/texts@{commit}/en/train-0.jsonl")
    );
    assert_eq!(first["bytes"], bytes.len());
    assert_eq!(first["sha256"], sha256(bytes.as_bytes()));

    let mut test = tokenize(&hub, &["hf:test/texts@main"], &["--split", "test"]);
    let info = succeed(&mut test).json();
    assert_eq!(
        (&info["name"], &info["data_sets"]),
        (&json!("test/texts (test)"), &split("test"))
    );
    assert_eq!(inputs(&hub), ["en/test.jsonl"]);
    let at_commit = format!("hf:test/texts@{commit}");
    let info = succeed(&mut tokenize(&hub, &[&at_commit], &["--config", "de"])).json();
    assert_eq!(info["name"], "test/texts (de)");
    assert_eq!(inputs(&hub), ["de/a.jsonl", "de/b.jsonl"]);

    let error = |more: &[&str], what: &[&str]| {
        fail(&mut tokenize(&hub, &["hf:test/texts"], more), what);
    };
    error(
        &["--config", "fr"],
        &[
            "has no config `fr`; its configs are `en`, `de`",
            "hint: choose one with `--config NAME`",
        ],
    );
    error(
        &["--split", "dev"],
        &[
            "has no split `dev`; its splits are `train`, `test`, `nothing`",
            "`--split NAME`",
        ],
    );
    error(
        &["--split", "nothing"],
        &[
            "the split `nothing`",
            "is empty: no file matches `en/nothing-*.jsonl`",
        ],
    );
}

#[test]
fn files_are_found_by_their_names() {
    let hub = Hub::start();
    let line = &lines(&["a text"]);
    type Names = &'static [&'static str];
    let layouts: [(&str, Names, Names, Names); 5] = [
        (
            "shards",
            &[
                "data/train-00000-of-00002.jsonl",
                "data/train-00001-of-00002.jsonl",
                "data/test-00000-of-00001.jsonl",
            ],
            &[],
            &[
                "data/train-00000-of-00002.jsonl",
                "data/train-00001-of-00002.jsonl",
            ],
        ),
        (
            "names",
            &["train.jsonl", "test.jsonl"],
            &["--split", "test"],
            &["test.jsonl"],
        ),
        (
            "folders",
            &["x/train/a.jsonl", "x/train/b.txt.jsonl", "x/dev/c.jsonl"],
            &[],
            &["x/train/a.jsonl", "x/train/b.txt.jsonl"],
        ),
        (
            "none",
            &["b.jsonl", "a.jsonl", "LICENSE"],
            &[],
            &["a.jsonl", "b.jsonl"],
        ),
        ("only", &["test.jsonl"], &[], &["test.jsonl"]),
    ];
    for (name, files, more, expected) in layouts {
        let files: Vec<(&str, &str)> = files.iter().map(|file| (*file, line.as_str())).collect();
        hub.put_data_set(&format!("test/{name}"), "01", &files);
        let info = succeed(&mut tokenize(&hub, &[&format!("hf:test/{name}")], more)).json();
        assert_eq!(inputs(&hub), expected, "{name}");
        assert_eq!(info["data_sets"][0]["config"], Value::Null, "{name}");
    }
    hub.put_data_set(
        "test/two",
        "01",
        &[("test.jsonl", line), ("dev.jsonl", line)],
    );
    fail(
        &mut tokenize(&hub, &["hf:test/two"], &[]),
        &["has no split `train`; its splits are `validation`, `test`"],
    );
    fail(
        &mut tokenize(&hub, &["hf:test/two"], &["--config", "x"]),
        &["has no config `x`; its configs are `default`"],
    );
}

/// A table of texts in Parquet.
fn parquet(texts: &[&str]) -> Vec<u8> {
    use std::sync::Arc;

    use arrow_array::{ArrayRef, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;

    let column: ArrayRef = Arc::new(StringArray::from(texts.to_vec()));
    let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

#[test]
fn what_is_not_read_is_taken_from_the_conversion_to_parquet() {
    let hub = Hub::start();
    let scripted = [
        ("scripted.py", "raise"),
        ("data.jsonl", &lines(&["not this"])),
    ];
    let unread = [
        ("README.md", "---\nlicense: mit\n---\n"),
        ("a.arrow", "ARROW1"),
        ("b.arrow", "ARROW1"),
    ];
    for (name, files, what) in [
        (
            "test/scripted",
            &scripted[..],
            ", but a script that makes them, which is not run",
        ),
        ("test/unread", &unread[..], ", but 2 .arrow"),
    ] {
        hub.put_data_set(name, "01", files);
        let corpus = format!("hf:{name}");
        let what = [
            "has no files that can be read",
            what,
            "the Hub's conversion to Parquet",
        ];
        fail(&mut tokenize(&hub, &[&corpus], &[]), &what);
        let mut conversion = Repository {
            commit: "02".repeat(20),
            ..Repository::default()
        };
        for path in [
            "default/partial-train/0000.parquet",
            "default/test/0000.parquet",
        ] {
            conversion.files.insert(path.into(), parquet(&["a text"]));
        }
        let key = |revision: &str| format!("datasets/{name}@{revision}");
        let commit = conversion.commit.clone();
        for revision in ["refs/convert/parquet", &commit] {
            hub.state()
                .repositories
                .insert(key(revision), conversion.clone());
        }
        let said = succeed(&mut tokenize(&hub, &[&corpus], &[]));
        let note = "note: the Hub converted only the first part of `train` of the data set";
        assert!(said.stderr.contains(note), "{}", said.stderr);
        assert_eq!(inputs(&hub), ["default/partial-train/0000.parquet"]);
        let info = json!([{"id": name, "revision": commit, "config": "default", "split": "train", "converted": true}]);
        assert_eq!(said.json()["data_sets"], info);
        fail(
            &mut tokenize(&hub, &[&corpus], &["--split", "dev"]),
            &["has no split `dev`; its splits are `train`, `test`"],
        );
        // another revision was not converted
        let other = format!("{corpus}@{}", "01".repeat(20));
        fail(
            &mut tokenize(&hub, &[&other], &[]),
            &["has no files that can be read"],
        );
    }
}

#[test]
fn files_are_fetched_when_they_are_needed_and_once() {
    let hub = Hub::start();
    let mut broken = long("one");
    broken.push_str("not a line\n");
    let (two, three) = (long("two"), long("three"));
    let shards = [
        "data/train-00000-of-00003.jsonl",
        "data/train-00001-of-00003.jsonl",
        "data/train-00002-of-00003.jsonl",
    ];
    let files = [
        (shards[0], broken.as_str()),
        (shards[1], two.as_str()),
        (shards[2], three.as_str()),
    ];
    hub.put_data_set("test/long", "01", &files);
    // reading ends in the first file
    fail(
        &mut tokenize(&hub, &["hf:test/long"], &[]),
        &["line 41: not a JSON object"],
    );
    assert_eq!(asked(&hub), [shards[0]]);
    let mut whole = tokenize(&hub, &["hf:test/long"], &["--skip-invalid"]);
    let info = succeed(&mut whole).json();
    assert_eq!(
        (&info["n_documents"], &info["n_skipped"]),
        (&json!(120), &json!(1))
    );
    assert_eq!(asked(&hub), shards[1..]);
    assert_eq!(inputs(&hub), shards);

    // the store is known again without its files
    fs::remove_dir_all(folder(&hub, "test/long").join("snapshots")).unwrap();
    fs::remove_dir_all(folder(&hub, "test/long").join("blobs")).unwrap();
    assert_eq!(succeed(&mut whole).json(), info);
    assert_eq!(asked(&hub), [""; 0]);
    // nor is the list asked for again
    let requests = hub.state().requests;
    succeed(&mut whole);
    assert_eq!(
        hub.state().requests - requests,
        2,
        "the commit, and the first file's address"
    );
}

#[test]
fn the_cache_does_without_a_network() {
    let hub = Hub::start();
    let (one, two) = (long("one"), long("two"));
    let files = [
        ("README.md", "---\nlicense: mit\n---\n"),
        ("train/0.jsonl", one.as_str()),
        ("train/1.jsonl", two.as_str()),
    ];
    hub.put_data_set("test/long", "01", &files);
    let corpus = "hf:test/long";
    let offline = |corpus: &str| {
        let mut command = tokenize(&hub, &[corpus], &[]);
        command.env("HF_HUB_OFFLINE", "1");
        command
    };
    fail(
        &mut offline(corpus),
        &["cannot fetch `test/long`", "HF_HUB_OFFLINE", "hint: "],
    );
    let info = succeed(&mut tokenize(&hub, &[corpus], &[])).json();
    let store = hub.cache.path().join("data");
    for store_is_there in [true, false] {
        if !store_is_there {
            fs::remove_dir_all(&store).unwrap();
        }
        let said = succeed(&mut offline(corpus));
        assert_eq!(said.json(), info);
        let note =
            "note: using commit 010101010101 of `test/long` from the cache: HF_HUB_OFFLINE is set";
        assert!(said.stderr.contains(note), "{}", said.stderr);
    }
    let mut nowhere = tokenize(&hub, &[corpus], &[]);
    succeed(nowhere.env("HF_ENDPOINT", "http://127.0.0.1:9"));
    // a cache of Python's libraries may have no list, and another file than is needed may be missing
    fs::remove_dir_all(folder(&hub, "test/long").join("trees")).unwrap();
    fs::remove_dir_all(&store).unwrap();
    assert_eq!(succeed(&mut offline(corpus)).json(), info);
    succeed(&mut tokenize(&hub, &[corpus], &[]));
    let snapshot = folder(&hub, "test/long")
        .join("snapshots")
        .join("01".repeat(20));
    fs::remove_file(snapshot.join("train/1.jsonl")).unwrap();
    fs::remove_dir_all(&store).unwrap();
    fail(
        &mut offline(corpus),
        &[
            "cannot fetch `test/long/train/1.jsonl`",
            "HF_HUB_OFFLINE is set",
        ],
    );
    fail(
        &mut offline("hf:test/other"),
        &["cannot fetch `test/other`"],
    );
}

#[test]
fn what_is_not_to_be_had_is_said() {
    let hub = Hub::start();
    put_texts(&hub);
    hub.add("test/llama", "ab", &model("llama"));
    let error = |corpus: &str, what: &[&str]| {
        fail(&mut tokenize(&hub, &[corpus], &[]), what);
    };
    error(
        "hf:test/nothing",
        &["has no data set `test/nothing`", "hint: check its spelling"],
    );
    error(
        "hf:test/llama",
        &[
            "has no data set `test/llama`",
            "hint: there is a model of this name",
        ],
    );
    error(
        "hf:test/texts@v2",
        &["the data set `test/texts` has no revision `v2`", "hint: "],
    );
    error(
        "hf:test/texts/en",
        &[
            "`hf:test/texts/en` does not name a data set",
            "`hf:OWNER/NAME`",
        ],
    );
    error("hf:", &["`hf:` does not name a data set"]);
    error(
        "test/texts",
        &[
            "there is no file or folder `test/texts`",
            "`--corpus hf:test/texts`",
        ],
    );
    let card = [("README.md", "---\nconfigs: [\n---\n"), ("a.jsonl", "")];
    hub.put_data_set("test/card", "01", &card);
    error(
        "hf:test/card",
        &["the card (`README.md`) of the data set `test/card` cannot be read"],
    );
    hub.put_data_set("test/empty", "01", &[(".gitattributes", "")]);
    error(
        "hf:test/empty",
        &["`test/empty` has no files that can be read", "hint: "],
    );
    hub.put_data_set(
        "test/lines",
        "01",
        &[("a.jsonl", "{\"body\": \"a text\"}\n")],
    );
    let file = format!(
        "`hf:test/lines@{}/a.jsonl` line 1: missing field `text`",
        "01".repeat(20)
    );
    error("hf:test/lines", &[&file, "--text-field"]);
    hub.put_data_set("test/blank", "01", &[("a.jsonl", "\n")]);
    error("hf:test/blank", &["no text in corpus `test/blank`"]);

    // private, or with terms that were not accepted; said before the model is fetched
    let mut secret = hub.put_data_set("test/secret", "01", &[("a.jsonl", &long("a"))]);
    for (gated, has_terms, status) in [(true, false, 401), (false, true, 403)] {
        (secret.gated, secret.has_terms) = (gated, has_terms);
        hub.put("datasets/test/secret", &secret);
        let denied = format!("denies access to the data set `test/secret` (HTTP status {status})");
        let page = format!(
            "accept its terms at http://{}/datasets/test/secret",
            hub.address
        );
        let mut scan = hub.command(&[
            "scan",
            "--model",
            "test/llama",
            "--corpus",
            "hf:test/secret",
        ]);
        fail(&mut scan, &[&denied, &page, "HF_TOKEN"]);
        assert!(!hub.folder("test/llama").exists());
        succeed(tokenize(&hub, &["hf:test/secret"], &[]).env("HF_TOKEN", TOKEN));
        fs::remove_dir_all(hub.cache.path().join("data")).unwrap();
        fs::remove_dir_all(folder(&hub, "test/secret")).unwrap();
    }

    let mut choice = tokenize(&hub, &["demo"], &["--split", "train"]);
    misused(
        &mut choice,
        &[
            "`--split` chooses a part of a data set on the Hub",
            "hf:OWNER/NAME",
        ],
    );
    misused(
        &mut tokenize(&hub, &["demo"], &["--config", "x"]),
        &["`--config` chooses"],
    );
}

#[test]
fn lists_have_pages_and_downloads_go_on_and_are_checked() {
    let hub = Hub::start();
    let long = long("a");
    let names: Vec<String> = (0..7).map(|i| format!("train/part {i}.jsonl")).collect();
    let files: Vec<(&str, &str)> = names
        .iter()
        .map(|name| (name.as_str(), long.as_str()))
        .collect();
    hub.put_data_set("test/pages", "01", &files);
    hub.state().page = 3;
    hub.state().breaks = 2;
    succeed(&mut tokenize(&hub, &["hf:test/pages"], &[]));
    assert_eq!(inputs(&hub), names);
    let starts = hub.state().starts.clone();
    assert!(starts.iter().any(|start| *start > 0), "{starts:?}");

    hub.put_data_set("test/damaged", "01", &[("a.jsonl", &self::long("b"))]);
    hub.state().damages = true;
    let damaged = [
        "`test/damaged/a.jsonl` was damaged on the way: its SHA-256 is",
        "hint: ",
    ];
    fail(
        &mut tokenize(&hub, &["hf:test/damaged"], &["--skip-invalid"]),
        &damaged,
    );
    hub.state().damages = false;
    succeed(&mut tokenize(&hub, &["hf:test/damaged"], &[]));
    // a file in the cache that is not as long as the list says
    let commit = "01".repeat(20);
    let file = folder(&hub, "test/damaged")
        .join("snapshots")
        .join(commit)
        .join("a.jsonl");
    fs::write(file, "{}").unwrap();
    fs::remove_dir_all(hub.cache.path().join("data")).unwrap();
    fail(
        &mut tokenize(&hub, &["hf:test/damaged"], &[]),
        &["a.jsonl` has 2 bytes; expected ", "hint: remove the file"],
    );
}

#[test]
fn a_scan_of_paths_and_data_sets_says_so_on_its_page() {
    let hub = Hub::start();
    put_texts(&hub);
    let own = hub.cache.path().join("own.jsonl");
    fs::write(&own, lines(&["a text of mine"])).unwrap();
    let model = model("llama");
    let model = model.to_str().unwrap();
    let scan = [
        "scan",
        "--name",
        "llama",
        "--model",
        model,
        "--corpus",
        own.to_str().unwrap(),
        "hf:test/texts",
    ];
    succeed(&mut hub.command(&scan));
    succeed(&mut hub.command(&["build"]));
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let page = read(&hub.cache.path().join("site/llama/index.html"));
    let words =
        "from the Hugging Face Hub: test&#x2F;texts (config en, split train, commit abababababab)";
    assert!(
        page.contains(words) || page.contains(&words.replace("&#x2F;", "/")),
        "{page}"
    );
    let manifest: Value =
        serde_json::from_str(&read(&hub.cache.path().join("data/llama/manifest.json"))).unwrap();
    let corpus = &manifest["scan"]["corpus"];
    assert_eq!(
        (&corpus["name"], &corpus["data_sets"][0]["id"]),
        (&json!("2 sources"), &json!("test/texts"))
    );
    let data = hub.cache.path().join("data/llama");
    succeed(&mut hub.command(&["verify", data.to_str().unwrap()]));
}
