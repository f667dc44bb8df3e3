//! What the tests share: projects, the program, the small models, a corpus that is hard to show.

pub mod checkpoint;
pub mod hub;
mod project;
pub mod tables;
pub mod weights;

pub use project::Project;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use assert_cmd::cargo::CommandCargoExt;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A model of the conformance fixtures.
pub fn model(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance")
        .join(name)
}

/// The program, in a project folder.
pub fn neuroscope(project: &Path) -> Command {
    let mut command = Command::cargo_bin("neuroscope").unwrap();
    command.arg("--project").arg(project);
    command
}

/// What a finished command said.
pub struct Said {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Said {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What a command said in JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    Said::of(command.output().unwrap())
}

/// Waits for the end of a command.
pub fn wait(child: Child) -> Said {
    Said::of(child.wait_with_output().unwrap())
}

/// Runs a command that must find its options wrong, with exit code 2 and an error that names `what`.
pub fn misused(command: &mut Command, what: &[&str]) -> Said {
    let said = run(command);
    assert_eq!(said.code, Some(2), "{command:?}\n{}", said.stderr);
    assert_names(&said, what);
    said
}

fn assert_names(said: &Said, what: &[&str]) {
    let missing = what.iter().find(|what| !said.stderr.contains(**what));
    assert_eq!(missing, None, "is not in:\n{}", said.stderr);
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Said {
    let said = run(command);
    assert_eq!(
        said.code,
        Some(0),
        "{command:?}\n{}\n{}",
        said.stdout,
        said.stderr
    );
    said
}

/// Runs a command that must fail with code 1, an error that names `what`, and no trace of a panic.
pub fn fail(command: &mut Command, what: &[&str]) -> Said {
    let said = run(command);
    assert_eq!(
        said.code,
        Some(1),
        "{command:?}\n{}\n{}",
        said.stdout,
        said.stderr
    );
    assert!(said.stderr.contains("error: "), "{}", said.stderr);
    assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
    assert_names(&said, what);
    said
}

/// Texts that are hard to show: markup, quotes, control characters, right-to-left, pieces of characters.
fn hard() -> Vec<String> {
    serde_json::from_str(include_str!("hard.json")).unwrap()
}

/// Writes a corpus of `n` documents as JSON lines; every third one is long enough for several windows.
pub fn corpus(path: &Path, n: usize) {
    let (hard, mut lines) = (hard(), String::new());
    for i in 0..n {
        let mut text = format!(
            "{} {i} {}",
            hard[i % hard.len()],
            hard[(i * 5 + 3) % hard.len()]
        );
        if i % 3 == 0 {
            text = format!("{text} {}", text.chars().rev().collect::<String>());
        }
        let document = serde_json::json!({"text": text, "source": format!("source-{}", i % 4), "license": "CC0-1.0", "id": format!("doc-{i}")});
        lines.push_str(&format!("{document}\n"));
    }
    fs::write(path, lines).unwrap();
}

/// The command that scans a model over a corpus.
pub fn scan_command(project: &Path, model: &Path, corpus: &Path) -> Command {
    with_corpus(project, "scan", model, corpus)
}

/// The command that tokenizes a corpus.
pub fn tokenize_command(project: &Path, model: &Path, corpus: &Path) -> Command {
    with_corpus(project, "tokenize", model, corpus)
}

fn with_corpus(project: &Path, name: &str, model: &Path, corpus: &Path) -> Command {
    let mut command = neuroscope(project);
    command.arg(name).arg("--model").arg(model);
    command.arg("--corpus").arg(corpus);
    command
}

/// The command of this name for a data folder: `merge`, `verify`.
pub fn data_command(project: &Path, name: &str, data: &Path) -> Command {
    let mut command = neuroscope(project);
    command.arg(name).arg(data);
    command
}

/// The command that analyses an atlas with its model.
pub fn analyze_command(project: &Path, data: &Path, model: &Path) -> Command {
    let mut command = data_command(project, "analyze", data);
    command.arg("--model").arg(model);
    command
}

/// Copies what is in a folder.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in walkdir::WalkDir::new(from).min_depth(1) {
        let entry = entry.unwrap();
        let target = to.join(entry.path().strip_prefix(from).unwrap());
        match entry.file_type().is_dir() {
            true => fs::create_dir_all(target).unwrap(),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// Changes a JSON file.
pub fn change_json(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

/// Every file below a folder with its bytes, sorted by name.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let name = entry
                .path()
                .strip_prefix(folder)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            out.push((name, fs::read(entry.path()).unwrap()));
        }
    }
    out
}

/// An example of a record, decoded.
#[derive(Debug)]
pub struct Example {
    /// Document.
    pub doc: u64,
    /// Position of the first token.
    pub start: u64,
    /// Index of the peak.
    pub peak: usize,
    /// Value at the peak.
    pub value: f64,
    /// Bytes of the tokens.
    pub tokens: Vec<Vec<u8>>,
    /// Values of the tokens, the one at the peak exact.
    pub values: Vec<Option<f64>>,
}

/// The examples of a list of a record.
pub fn examples(record: &Value, list: &str) -> Vec<Example> {
    let columns = &record["examples"];
    let rows = record["lists"][list]["rows"].as_array().unwrap();
    let example = |row: &Value| {
        let row = row.as_u64().unwrap() as usize;
        let of = |name: &str| &columns[name][row];
        let (peak, value) = (
            of("peak").as_u64().unwrap() as usize,
            of("value").as_f64().unwrap(),
        );
        let steps = STANDARD.decode(of("values").as_str().unwrap()).unwrap();
        let scale = of("scale").as_f64().unwrap();
        let value_of = |(at, step): (usize, &u8)| match *step as i8 {
            _ if at == peak => Some(value),
            i8::MIN => None,
            step => Some(f64::from(step) * scale),
        };
        Example {
            doc: of("doc").as_u64().unwrap(),
            start: of("start").as_u64().unwrap(),
            peak,
            value,
            tokens: tokens(
                of("text"),
                of("lengths"),
                &columns["bytes"][row.to_string()],
            ),
            values: steps.iter().enumerate().map(value_of).collect(),
        }
    };
    rows.iter().map(example).collect()
}

/// Tokens of a text, by their lengths in bytes.
pub fn tokens(text: &Value, lengths: &Value, bytes: &Value) -> Vec<Vec<u8>> {
    let bytes = match bytes.as_str() {
        Some(bytes) => STANDARD.decode(bytes).unwrap(),
        None => text.as_str().unwrap().as_bytes().to_vec(),
    };
    let (mut tokens, mut rest, mut length) = (Vec::new(), &bytes[..], 0);
    for digit in lengths.as_str().unwrap().chars() {
        length += digit.to_digit(36).unwrap() as usize;
        if digit != 'z' {
            let (token, others) = rest.split_at(length);
            tokens.push(token.to_vec());
            (rest, length) = (others, 0);
        }
    }
    assert!(rest.is_empty() && length == 0);
    tokens
}

/// The record that a neuron's page embeds.
fn embedded_record(html: &str) -> Value {
    let (_, rest) = html
        .split_once("<script type=\"application/json\" id=\"neuron\">")
        .unwrap();
    let (json, _) = rest.split_once("</script>").unwrap();
    serde_json::from_str(json).unwrap()
}

/// Links and sources of a page, relative to it.
pub fn links(html: &str) -> Vec<String> {
    let mut out = Vec::new();
    for attribute in ["href=\"", "src=\""] {
        for (at, _) in html.match_indices(attribute) {
            let rest = &html[at + attribute.len()..];
            out.push(rest[..rest.find('"').unwrap()].to_owned());
        }
    }
    out
}
