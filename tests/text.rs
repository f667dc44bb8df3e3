//! Text as it comes: encodings, packings, folders, odd lines, long documents, tokens without an embedding, and the corpora
//! made of it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use neuroscope::corpus::MOST_DOCUMENT;
use neuroscope::ids::DocId;
use neuroscope::tokens::store::TokenStore;
use serde_json::{Value, json};

use crate::support::{
    Project, change_json, copy, corpus, fail, model, neuroscope, scan_command, succeed,
    tokenize_command,
};

fn tokenize(project: &Path, corpus: impl AsRef<Path>) -> Command {
    tokenize_with(project, &model("gpt2"), corpus)
}

fn tokenize_with(project: &Path, model: &Path, corpus: impl AsRef<Path>) -> Command {
    let mut command = tokenize_command(project, model, corpus.as_ref());
    command.arg("--data").arg(project.join("data"));
    command
}

fn manifest(project: &Path) -> Value {
    let path = project.join("data/corpus/manifest.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Names and ids of the documents of a store.
fn documents(project: &Path) -> Vec<(String, Vec<u32>)> {
    let store = TokenStore::open(&project.join("data/corpus"), 1).unwrap();
    let docs = (0..store.n_documents() as u32).map(DocId);
    docs.map(|doc| {
        let ids = store.tokens(doc, 0..store.len(doc)).unwrap();
        let name = store.info(doc).id.to_owned();
        (name, ids.iter().map(|id| id.0).collect())
    })
    .collect()
}

/// Tokenizes files of these bytes, one after another, and answers names and ids of all documents.
fn read(name: &str, bytes: &[u8]) -> Vec<(String, Vec<u32>)> {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    succeed(&mut tokenize(dir.path(), dir.path().join(name)));
    documents(dir.path())
}

fn refused(name: &str, bytes: &[u8], what: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(name), bytes).unwrap();
    fail(&mut tokenize(dir.path(), dir.path().join(name)), what);
}

/// Runs a program to its end; its peak memory in bytes. It is read while the program runs, since what the system says of a
/// program that has ended counts the memory of the one that started it.
#[cfg(target_os = "linux")]
fn peak_memory(command: &mut Command, code: i32) -> u64 {
    use std::process::Stdio;
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut child = child.unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) * 1024);
        if let Some(ended) = child.try_wait().unwrap() {
            assert_eq!(ended.code(), Some(code), "{command:?}");
            assert!(peak > 0);
            return peak;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

const PLAIN: [u32; 3] = [283, 262, 269]; // the text sees

#[test]
fn byte_order_marks_are_not_text() {
    for name in ["a.txt", "a.TXT"] {
        let found = read(name, "\u{feff}the text sees".as_bytes());
        assert_eq!(found, [(name.to_owned(), PLAIN.to_vec())]);
    }
    let line = "\u{feff}{\"text\": \"the text sees\", \"id\": \"a\"}\n";
    // files that were joined have marks in the middle
    let found = read("a.jsonl", line.repeat(2).as_bytes());
    assert_eq!(found, vec![("a".to_owned(), PLAIN.to_vec()); 2]);
    let packed = zstd::encode_all("\u{feff}the text sees".as_bytes(), 3).unwrap();
    assert_eq!(read("a.txt.ZST", &packed)[0].1, PLAIN);
}

#[test]
fn other_encodings_are_named() {
    let utf16 = |text: &str, big: bool| -> Vec<u8> {
        let units = text.encode_utf16();
        units
            .flat_map(|unit| {
                if big {
                    unit.to_be_bytes()
                } else {
                    unit.to_le_bytes()
                }
            })
            .collect()
    };
    for name in ["a.txt", "a.jsonl"] {
        let text = "{\"text\": \"the text sees\"}\n";
        for (bytes, what) in [
            (
                utf16(&format!("\u{feff}{text}"), false),
                "UTF-16 (little-endian), not UTF-8",
            ),
            (
                utf16(&format!("\u{feff}{text}"), true),
                "UTF-16 (big-endian), not UTF-8",
            ),
            (utf16(text, false), "UTF-16 (little-endian, without a mark)"),
            (utf16(text, true), "UTF-16 (big-endian, without a mark)"),
            (b"\xff\xfe\0\0t\0\0\0".to_vec(), "UTF-32 (little-endian)"),
            (b"\0\0\xfe\xff\0\0\0t".to_vec(), "UTF-32 (big-endian)"),
        ] {
            refused(name, &bytes, &[name, what, "hint: ", "iconv"]);
        }
    }
}

#[test]
fn large_windows_of_zstd_are_read() {
    let lines: String = (0..20)
        .map(|i| format!("{{\"text\": \"the text sees {i}\"}}\n"))
        .collect();
    let pack = |lines: &str| {
        let mut encoder = zstd::Encoder::new(Vec::new(), 3).unwrap();
        encoder.long_distance_matching(true).unwrap();
        encoder.window_log(31).unwrap();
        encoder.write_all(lines.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(read("long.jsonl.zst", &pack(&lines)).len(), 20);
    // and several frames
    let (first, second) = lines.split_at(lines.len() / 3);
    let frames = [pack(first), zstd::encode_all(second.as_bytes(), 1).unwrap()].concat();
    assert_eq!(read("frames.jsonl.zst", &frames).len(), 20);
    let cut = &frames[..frames.len() - 5];
    refused("cut.jsonl.zst", cut, &["cut.jsonl.zst"]);
}

#[cfg(target_os = "linux")]
#[test]
fn documents_without_end_are_refused_in_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    let pack = |name: &str, before: &[u8], after: &[u8]| -> PathBuf {
        let path = project.join(name);
        let mut encoder = zstd::Encoder::new(File::create(&path).unwrap(), 1).unwrap();
        let middle = io::repeat(b'a').take(MOST_DOCUMENT + (64 << 20));
        io::copy(&mut before.chain(middle).chain(after), &mut encoder).unwrap();
        encoder.finish().unwrap();
        path
    };
    let text = pack("bomb.txt.zst", b"", b"");
    let line = pack(
        "bomb.jsonl.zst",
        b"{\"text\": \"the text sees\"}\n{\"text\": \"",
        b"\"}\n{\"text\": \"the text sees\"}\n",
    );
    let most = MOST_DOCUMENT.to_string();
    fail(
        &mut tokenize(project, &text),
        &["bomb.txt.zst` is longer than", &most, "hint: "],
    );
    fail(
        &mut tokenize(project, &line),
        &["bomb.jsonl.zst` line 2 is longer than", &most],
    );
    for path in [&text, &line] {
        let peak = peak_memory(&mut tokenize(project, path), 1);
        assert!(peak < 3 * MOST_DOCUMENT, "{peak} bytes");
    }
    let mut command = tokenize(project, &line);
    let said = succeed(command.arg("--skip-invalid"));
    assert!(said.stdout.contains("2 documents"), "{}", said.stdout);
    assert!(said.stderr.contains("skipped 1 text:"), "{}", said.stderr);
}

#[test]
fn odd_fields_that_are_not_read_do_no_harm() {
    let deep = format!("{}1{}", "[{\"a\":".repeat(30_000), "}]".repeat(30_000));
    for odd in [
        "NaN",
        "[-Infinity]",
        "\"\\ud800\"",
        "1e999",
        deep.as_str(),
        "\"\u{1}\"",
    ] {
        let line = format!("{{\"odd\": {odd}, \"text\": \"the text sees\", \"more\": {odd}}}\n");
        assert_eq!(read("a.jsonl", line.as_bytes())[0].1, PLAIN, "{odd:.30}");
    }
    let latin = b"{\"author\": \"Bront\xeb\", \"text\": \"the text sees\"}";
    assert_eq!(read("a.jsonl", latin)[0].1, PLAIN);
    // names that cannot be read are none
    let names =
        "{\"text\": \"the text sees\", \"id\": \"\\ud800\", \"source\": NaN, \"license\": {}}";
    assert_eq!(read("a.jsonl", names.as_bytes())[0].0, "a.jsonl:1");
    // of two fields of one name, the last one counts
    let twice = "{\"text\": \"no\", \"text\": \"the text sees\"}";
    assert_eq!(read("a.jsonl", twice.as_bytes())[0].1, PLAIN);

    for (line, what) in [
        ("{\"text\": \"a \\ud800 b\"}", "field `text` is not valid"),
        ("{\"text\": NaN}", "field `text` is not a string"),
        ("{\"text\": [\"a\"]}", "field `text` is not a string"),
        ("{\"text\": \"a\", \"b\": nan}", "not a JSON object"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.jsonl");
        fs::write(&path, format!("{{\"text\": \"the text sees\"}}\n{line}\n")).unwrap();
        let mut command = tokenize(dir.path(), &path);
        fail(&mut command, &["a.jsonl` line 2: ", what, "--skip-invalid"]);
        let said = succeed(command.arg("--skip-invalid"));
        assert!(said.stdout.contains("1 documents"), "{}", said.stdout);
    }
}

#[test]
fn pointers_of_git_lfs_are_never_text() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";
    for name in ["a.txt", "a.jsonl", "a.jsonl.zst", "a.txt.gz"] {
        let what = [name, "is a pointer of Git LFS", "hint: ", "git lfs pull"];
        refused(name, pointer.as_bytes(), &what);
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(name), pointer).unwrap();
        fs::write(dir.path().join("b.txt"), "the text sees").unwrap();
        // it stands for text, which is not to be missed without a word
        fail(
            tokenize(dir.path(), dir.path()).arg("--skip-invalid"),
            &what[..2],
        );
    }
    // a text about them is one
    let about = "version https://git-lfs.github.com/spec/v1 is how they begin";
    assert_eq!(read("a.txt", about.as_bytes()).len(), 1);
}

#[cfg(unix)]
#[test]
fn folders_are_read_with_links_and_any_case_and_say_what_is_left_out() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let (project, corpus) = (dir.path(), dir.path().join("corpus"));
    let elsewhere = project.join("elsewhere");
    fs::create_dir_all(corpus.join("deep")).unwrap();
    fs::create_dir_all(&elsewhere).unwrap();
    let line = "{\"text\": \"the text sees\"}\n";
    for (name, text) in [
        ("PG1342.TXT", "the text sees"),
        ("b.JSONL", line),
        ("deep/c.Ndjson", line),
        ("c.json", line),
        ("d.jsonl.xz", "xz"),
        ("deep/e.rst", "the text"),
        ("f.RST", "the text"),
        ("LICENSE", "do as you like"),
    ] {
        fs::write(corpus.join(name), text).unwrap();
    }
    fs::write(elsewhere.join("z.jsonl"), line).unwrap();
    fs::write(
        corpus.join("a.jsonl.ZST"),
        zstd::encode_all(line.as_bytes(), 1).unwrap(),
    )
    .unwrap();
    symlink(elsewhere.join("z.jsonl"), corpus.join("link.jsonl")).unwrap();
    symlink(&elsewhere, corpus.join("more")).unwrap(); // holds the same file
    symlink(&corpus, corpus.join("deep/loop")).unwrap();
    symlink("nowhere", corpus.join("broken.txt")).unwrap();
    let mut command = tokenize(project, &corpus);
    let said = succeed(&mut command);
    let names: Vec<String> = documents(project).into_iter().map(|doc| doc.0).collect();
    assert_eq!(
        names,
        [
            "PG1342.TXT",
            "a.jsonl.ZST:1",
            "b.JSONL:1",
            "c.Ndjson:1",
            "link.jsonl:1"
        ]
    );
    let expected = "left out of the corpus: 2 .rst, 1 .json, 1 .jsonl.xz, 1 broken link, 1 file that was read already, 1 link in a loop, 1 without ending";
    assert!(said.stderr.contains(expected), "{}", said.stderr);
    assert_eq!(manifest(project)["left_out"][".rst"], 2);
    // a store that is there already says so as well
    let said = succeed(&mut command);
    assert!(said.stderr.contains(expected), "{}", said.stderr);

    let other = project.join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.xml"), "x").unwrap();
    fail(
        &mut tokenize(project, &other),
        &["it holds no .jsonl, .parquet, .csv, .tsv, .txt or .md file, but 1 .xml"],
    );
}

/// A copy of a fixture model whose tokenizer has one token more than the model.
fn with_image_token(dir: &Path, special: bool) -> PathBuf {
    let folder = dir.join("model");
    copy(&model("llama"), &folder);
    let token = json!({"id": 290, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special});
    change_json(&folder.join("tokenizer.json"), |json| {
        json["added_tokens"].as_array_mut().unwrap().push(token);
    });
    folder
}

#[test]
fn a_token_without_an_embedding_is_found_before_the_scan() {
    for special in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let project = dir.path();
        let model = with_image_token(project, special);
        let path = project.join("a.jsonl");
        let lines = "{\"text\": \"the text sees\", \"id\": \"first\"}\n{\"text\": \"an <image> here\", \"id\": \"second\"}\n{\"text\": \"the text\", \"id\": \"third\"}\n";
        fs::write(&path, lines).unwrap();
        let what = [
            "document `second` holds the token `<image>` (290), but the model has embeddings for 290 tokens only",
            "hint: ",
            "--skip-invalid",
        ];
        fail(&mut tokenize_with(project, &model, &path), &what);
        for more in [&["--plan"][..], &[]] {
            let mut scan = scan_command(project, &model, &path);
            fail(scan.args(["--name", "m"]).args(more), &what);
        }
        let mut command = tokenize_with(project, &model, &path);
        let said = succeed(command.arg("--skip-invalid"));
        assert!(said.stderr.contains("skipped 1 text:"), "{}", said.stderr);
        let names: Vec<_> = documents(project).into_iter().map(|doc| doc.0).collect();
        assert_eq!(names, ["first", "third"]);
        assert_eq!(manifest(project)["corpus"]["n_skipped"], 1);
    }
}

#[test]
fn the_files_beside_a_tokenizer_are_part_of_its_hash() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    let path = project.join("a.txt");
    fs::write(&path, "the text sees<tool>").unwrap();
    let model = with_image_token(project, true);
    let hash = || manifest(project)["tokenizer_sha256"].clone();
    let mut command = tokenize_with(project, &model, &path);
    succeed(&mut command);
    let (without, before) = (hash(), documents(project));
    let token = json!({"content": "<tool>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false});
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "added_tokens_decoder": {"290": token}});
    fs::write(model.join("tokenizer_config.json"), config.to_string()).unwrap();
    // it has an id, but no embedding
    fail(&mut command, &["holds the token `<tool>` (291)"]);
    fs::write(&path, "the text sees").unwrap();
    succeed(&mut command);
    assert_ne!(hash(), without);
    assert_ne!(documents(project), before);
    let stored = fs::read_to_string(project.join("data/corpus/tokenizer.json")).unwrap();
    assert!(stored.contains("<tool>"));
}

#[test]
fn many_special_tokens_are_not_all_listed() {
    let dir = tempfile::tempdir().unwrap();
    let model = with_image_token(dir.path(), true);
    let many: Vec<String> = (0..6242).map(|i| format!("<unused{i}>")).collect();
    let config = json!({"additional_special_tokens": many});
    fs::write(model.join("tokenizer_config.json"), config.to_string()).unwrap();
    let mut command = neuroscope(dir.path());
    command.args(["tokenize", "--show", "--model"]).arg(&model);
    let said = succeed(&mut command);
    assert!(said.stdout.len() < 2000, "{} bytes", said.stdout.len());
    assert!(said.stdout.contains("... and 6232 more"), "{}", said.stdout);
    let all = succeed(command.arg("--json")).json();
    assert_eq!(all["added_tokens"].as_array().unwrap().len(), 6244);
}

#[cfg(target_os = "linux")]
#[test]
fn one_long_document_takes_little_memory() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    let chinese = "神经元在网络中看到文本，并且在某些词语上激活。".repeat(40) + "\n";
    let code = "fn main() {\n    let x = net.sees(\"the text\", 12_345);\n}\n\n";
    for (name, piece, n_cuts) in [
        ("chinese.txt", chinese.as_str(), None),
        ("code.txt", code, None),
        ("letter.txt", "e", Some(5_000_000 / 65_536)),
    ] {
        let path = project.join(name);
        fs::write(&path, piece.repeat(5_000_000 / piece.len())).unwrap();
        let peak = peak_memory(&mut tokenize(project, &path), 0);
        assert!(peak < 200_000_000, "{name}: {peak} bytes");
        let found = manifest(project)["corpus"].get("n_cuts").cloned();
        assert_eq!(found, n_cuts.map(Value::from), "{name}");
    }
    // what was cut is said
    let said = succeed(&mut tokenize(project, project.join("letter.txt")));
    assert!(
        said.stderr
            .contains("words of over 64 kB were cut at 76 places"),
        "{}",
        said.stderr
    );
}

/// The corpus is known by its content, whatever folder it lies in.
#[test]
fn a_corpus_is_tokenized_once() {
    let project = Project::new();
    let tokenize =
        |corpus: &Path| succeed(&mut tokenize_command(&project, &model("llama"), corpus)).stderr;
    let [here, there] = ["here", "there"].map(|folder| project.join(folder).join("corpus.jsonl"));
    for path in [&here, &there] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        corpus(path, 9);
    }
    let said = tokenize(&here);
    let bytes = said
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(bytes > 100 && said.contains(" bytes in "), "{said}");
    let manifest = project.join("data/llama/corpus/manifest.json");
    let first = fs::read_to_string(&manifest).unwrap();
    assert_eq!(tokenize(&there), "");
    assert_eq!(fs::read_to_string(&manifest).unwrap(), first);
    corpus(&there, 10);
    assert!(tokenize(&there).contains("tokenize: "));
    assert_ne!(fs::read_to_string(&manifest).unwrap(), first);
}

#[test]
fn corpora_of_all_kinds_are_read_in_a_stable_order() {
    let project = Project::new();
    let folder = project.join("texts");
    fs::create_dir_all(folder.join("inner")).unwrap();
    corpus(&folder.join("a.jsonl"), 3);
    let lines = fs::read(folder.join("a.jsonl")).unwrap();
    fs::write(
        folder.join("b.jsonl.zst"),
        zstd::encode_all(&lines[..], 3).unwrap(),
    )
    .unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, b"a text file").unwrap();
    fs::write(folder.join("inner/c.txt.gz"), gz.finish().unwrap()).unwrap();
    fs::write(folder.join("inner/empty.txt"), "").unwrap();
    fs::write(folder.join("README"), "not a document").unwrap();
    let tokenize = |paths: &[&Path]| {
        let mut command = tokenize_command(&project, &model("llama"), paths[0]);
        succeed(command.args(&paths[1..]).arg("--json")).json()
    };
    let whole = tokenize(&[&folder]);
    assert_eq!(whole["n_documents"], 8);
    let files = [
        folder.join("a.jsonl"),
        folder.join("b.jsonl.zst"),
        folder.join("inner/c.txt.gz"),
        folder.join("inner/empty.txt"),
    ];
    let listed = tokenize(&files.iter().map(|f| f.as_path()).collect::<Vec<_>>());
    assert_eq!(whole["sha256"], listed["sha256"]);
    let turned = tokenize(&files.iter().rev().map(|f| f.as_path()).collect::<Vec<_>>());
    assert_ne!(whole["sha256"], turned["sha256"]);
}

#[test]
fn corpora_that_cannot_be_read() {
    let project = Project::new();
    let tokenize = |name: &str, bytes: &[u8], more: &[&str]| {
        project.write(name, bytes);
        let mut command = tokenize_command(&project, &model("llama"), &project.join(name));
        command.args(more);
        command
    };
    fail(
        &mut tokenize("empty.jsonl", b"", &[]),
        &["no text in corpus `empty.jsonl`"],
    );
    fail(&mut tokenize("empty.txt", b"", &[]), &["no text"]);
    fail(&mut tokenize("blank.jsonl", b"\n\n  \n", &[]), &["no text"]);
    fail(
        &mut tokenize("a.jsonl", b"{\"text\":\"x\"}\nnot json\n", &[]),
        &["a.jsonl` line 2: not a JSON object", "--skip-invalid"],
    );
    fail(
        &mut tokenize("b.jsonl", b"{\"text\":\"x\"}\n{\"body\":\"y\"}\n", &[]),
        &["b.jsonl` line 2: missing field `text`", "--text-field"],
    );
    fail(
        &mut tokenize("c.jsonl", b"{\"text\":\"\xff\"}\n", &[]),
        &["c.jsonl` line 1: not valid UTF-8"],
    );
    fail(
        &mut tokenize("d.txt", b"good \xff bad", &[]),
        &["d.txt` is not valid UTF-8: byte 5"],
    );
    fail(
        &mut tokenize("e.pdf", b"x", &[]),
        &["e.pdf` is not .jsonl, .json, .parquet"],
    );
    fail(
        &mut tokenize("f.jsonl.zst", b"not zstd at all", &[]),
        &["f.jsonl.zst"],
    );
    fail(
        &mut tokenize("g.jsonl.gz", b"not gzip at all", &[]),
        &["g.jsonl.gz"],
    );
    fail(
        &mut tokenize_command(&project, &model("llama"), Path::new("nowhere.txt")),
        &["nowhere.txt"],
    );
    assert!(!project.join("data/llama/corpus").exists());

    let lines =
        b"{\"text\":\"x\"}\nnot json\n{\"text\":5}\n{\"text\":\"\xff\"}\n{\"text\":\"the text\"}\n";
    let said = succeed(&mut tokenize("a.jsonl", lines, &["--skip-invalid"]));
    assert!(said.stderr.contains("skipped 3 texts"), "{}", said.stderr);
    assert!(said.stdout.contains("2 documents"), "{}", said.stdout);
    let said = succeed(&mut tokenize(
        "b.jsonl",
        b"{\"body\":\"y y y\"}\n",
        &["--text-field", "body"],
    ));
    assert!(said.stdout.contains("1 documents"), "{}", said.stdout);
}
