//! Corpora of any size, and documents of any length.

use std::fs;
use std::path::Path;

use neuroscope::load::ModelFiles;
use neuroscope::tokens::BosPolicy;
use serde_json::json;

use crate::support::{Project, examples, fail, model, scan_command, succeed};

fn scan_texts(project: &Path, name: &str, texts: impl Iterator<Item = String>, more: &[&str]) {
    let lines = texts.map(|text| format!("{}\n", json!({ "text": text })));
    let path = project.join("texts.jsonl");
    fs::write(&path, lines.collect::<String>()).unwrap();
    succeed(scan_command(project, &model(name), &path).args(more));
}

#[test]
fn a_hundred_thousand_tiny_documents() {
    let project = Project::new();
    let files = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    let tokenizer = files.tokenizer().unwrap();
    let bos = tokenizer.bos(BosPolicy::Auto, files.config().unwrap().bos_token_id, true);
    assert!(
        bos.unwrap().is_some(),
        "the first token of a text is counted"
    );
    let words = ["a", "b", "the", "net", "of"];
    let n_tokens: Vec<usize> = words
        .iter()
        .map(|w| tokenizer.encode(w).unwrap().len())
        .collect();
    let text = |i: usize| words[i % words.len()].to_owned();
    scan_texts(&project, "llama", (0..100_000).map(text), &["--top-k", "3"]);
    for neuron in project.neurons("llama") {
        let expected: usize = n_tokens.iter().map(|n| n * 20_000).sum();
        assert_eq!(neuron.stats.moments.count, expected as u64);
        // the same text again and again is one example with its duplicates
        let top = neuron.examples.iter().filter(|row| row.list == "top");
        let top: Vec<_> = top.collect();
        assert!(!top.is_empty() && top.len() <= 3);
        assert_eq!(
            top[0].example.doc.0 as usize / words.len(),
            0,
            "the first of equals"
        );
    }
}

/// A model without BOS counts no first token, so texts of one token leave nothing.
#[test]
fn documents_of_one_token() {
    let project = Project::new();
    project.write("texts.jsonl", "{\"text\": \"a\"}\n".repeat(50));
    let mut command = scan_command(&project, &model("gpt2"), &project.join("texts.jsonl"));
    fail(
        command.args(["--bos", "never"]),
        &[
            "50 documents",
            "not one position is counted",
            "--count-special",
        ],
    );
    command.arg("--count-special");
    succeed(&mut command);
    for neuron in project.neurons("gpt2") {
        assert_eq!(neuron.stats.moments.count, 50);
        assert_eq!(
            neuron
                .examples
                .iter()
                .filter(|row| row.list == "top")
                .count(),
            1
        );
    }
}

#[test]
fn a_document_of_a_million_tokens_and_lists_longer_than_the_corpus() {
    let project = Project::new();
    let long = "the neuron in the net sees the text ".repeat(130_000);
    let texts = [long, "a short one".to_owned()].into_iter();
    scan_texts(&project, "gpt2", texts, &["--top-k", "50", "--n-ctx", "24"]);
    for neuron in project.neurons("gpt2") {
        assert!(neuron.stats.moments.count > 1_000_000);
        let n = |list: &str| {
            neuron
                .examples
                .iter()
                .filter(|row| row.list == list)
                .count()
        };
        assert!((1..=2).contains(&n("top")) && (1..=2).contains(&n("bottom")));
        assert_eq!(n("random"), 10);
    }
}

#[test]
fn one_huge_document_is_scanned_in_windows() {
    let project = Project::new();
    project.write(
        "huge.txt",
        "the neuron in the net sees the text ".repeat(20_000),
    );
    let mut command = scan_command(&project, &model("gpt2"), &project.join("huge.txt"));
    succeed(command.args(["--name", "huge"]));
    project.build(&[]);
    let record = project.record("huge/0/0.html");
    // one document gives one example of the largest values, but as many samples as asked for
    assert_eq!(examples(&record, "top").len(), 1);
    assert_eq!(examples(&record, "random").len(), 10);
}
