//! Standard input as a corpus, through the program.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::fixtures;
use crate::support::{Said, neuroscope, wait};

/// Runs a command with something on its standard input.
fn run(command: &mut Command, input: &[u8]) -> Said {
    let command = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    wait(child)
}

#[test]
fn what_is_piped_in_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let tokenize = |more: &[&str], input: &[u8]| {
        let mut command = neuroscope(dir.path());
        command.args(["--json", "tokenize", "--model", "demo", "--corpus", "-"]);
        command.args(more);
        run(&mut command, input)
    };
    let said = tokenize(&[], b"");
    assert!(
        said.code == Some(1) && said.stderr.contains("standard input is empty"),
        "{}",
        said.stderr
    );
    let lines = b"{\"text\": \"the first text\", \"id\": \"a\"}\n{\"text\": \"another\"}\n";
    let first = tokenize(&[], lines);
    assert!(first.code == Some(0), "{}", first.stderr);
    let manifest = dir.path().join("data/demo/corpus/manifest.json");
    let read = || -> Value { serde_json::from_slice(&fs::read(&manifest).unwrap()).unwrap() };
    let made = read();
    assert_eq!(made["corpus"]["n_documents"], 2);
    assert_eq!(made["corpus"]["name"], "standard input");
    assert_eq!(
        (&made["inputs"][0]["name"], &made["inputs"][0]["bytes"]),
        (&json!("-"), &json!(lines.len()))
    );
    // a store of an older version lacks the options that it did not know
    let mut old = made.clone();
    old["options"] = json!({"text_field": "text", "skip_invalid": false});
    fs::write(&manifest, old.to_string()).unwrap();
    // without input, and with the same again, it stays; nothing is left beside it
    let time = || fs::metadata(&manifest).unwrap().modified().unwrap();
    let before = time();
    for input in [&b""[..], lines] {
        let again = tokenize(&[], input);
        assert!(again.code == Some(0), "{}", again.stderr);
        assert_eq!((again.stdout, time()), (first.stdout.clone(), before));
    }
    let names = fs::read_dir(dir.path().join("data/demo")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".corpus.lock", "corpus"]);
    // read otherwise, it would be another corpus
    let said = tokenize(&["--text-field", "id"], b"");
    assert!(
        said.stderr.contains("standard input is empty"),
        "{}",
        said.stderr
    );
    // other kinds are known by what they begin with
    for (input, n_documents) in [
        (&b"one text\n{not a line}"[..], 1),
        (&b"[1] a text that begins with a bracket"[..], 1),
        (&b" [ {\"text\": \"one\"},\n {\"text\": \"two\"} ]"[..], 2),
        (
            &fs::read(fixtures().join("pandas_snappy.parquet")).unwrap(),
            9,
        ),
        (&zstd::encode_all(&lines[..], 1).unwrap(), 2),
    ] {
        let said = tokenize(&[], input);
        assert!(said.code == Some(0), "{}", said.stderr);
        assert_eq!(read()["corpus"]["n_documents"], n_documents);
    }
    let said = tokenize(&["--format", "csv"], b"text\na\nb\nc\n");
    assert!(said.code == Some(0), "{}", said.stderr);
    assert_eq!(read()["corpus"]["n_documents"], 3);
}
