//! What comes with size: plans, logs, checks of what was written, corpora and activations at the edge of what there is.

use std::fs;
use std::path::{Path, PathBuf};

use neuroscope::atlas::{Atlas, AtlasNeuron};
use neuroscope::load::ModelFiles;
use neuroscope::tokens::BosPolicy;
use serde_json::{Value, json};

use crate::support::weights::change_tensor;
use crate::support::{fail, files, model, neuroscope, scan, succeed};

fn atlas(data: &Path) -> Vec<AtlasNeuron> {
    let atlas = Atlas::open(&data.join("atlas")).unwrap();
    let layers = 0..atlas.manifest().scan.model.n_layers;
    let neurons = layers.flat_map(|layer| atlas.layer(layer).unwrap().map(Result::unwrap));
    neurons.collect()
}

fn scan_texts(project: &Path, name: &str, texts: impl Iterator<Item = String>, more: &[&str]) {
    let lines = texts.map(|text| format!("{}\n", json!({ "text": text })));
    let path = project.join("texts.jsonl");
    fs::write(&path, lines.collect::<String>()).unwrap();
    let mut command = neuroscope(project);
    command.arg("scan").arg("--model").arg(model(name));
    succeed(command.arg("--corpus").arg(path).args(more));
}

#[test]
fn a_hundred_thousand_tiny_documents() {
    let dir = tempfile::tempdir().unwrap();
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
    scan_texts(
        dir.path(),
        "llama",
        (0..100_000).map(text),
        &["--top-k", "3"],
    );
    for neuron in atlas(&dir.path().join("data/llama")) {
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
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("texts.jsonl");
    fs::write(&path, "{\"text\": \"a\"}\n".repeat(50)).unwrap();
    let mut command = neuroscope(dir.path());
    command
        .arg("scan")
        .arg("--model")
        .arg(model("gpt2"))
        .args(["--bos", "never"]);
    fail(
        command.arg("--corpus").arg(&path),
        &[
            "50 documents",
            "not one position is counted",
            "--count-special",
        ],
    );
    command.arg("--count-special");
    succeed(&mut command);
    for neuron in atlas(&dir.path().join("data/gpt2")) {
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
    let dir = tempfile::tempdir().unwrap();
    let long = "the neuron in the net sees the text ".repeat(130_000);
    let texts = [long, "a short one".to_owned()].into_iter();
    scan_texts(
        dir.path(),
        "gpt2",
        texts,
        &["--top-k", "50", "--n-ctx", "24"],
    );
    for neuron in atlas(&dir.path().join("data/gpt2")) {
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

/// A copy of a model with one tensor multiplied.
fn multiplied(dir: &Path, name: &str, tensor: &str, factor: f32) -> PathBuf {
    let to = dir.join("multiplied");
    fs::create_dir_all(&to).unwrap();
    for (file, bytes) in files(&model(name)) {
        fs::write(to.join(file), bytes).unwrap();
    }
    change_tensor(&to.join("model.safetensors"), tensor, |data| {
        for value in data.chunks_exact_mut(4) {
            let x = f32::from_le_bytes(value.try_into().unwrap()) * factor;
            value.copy_from_slice(&x.to_le_bytes());
        }
    });
    to
}

/// What is too large for a number is left out and counted as such; what comes from it as well.
#[test]
fn activations_that_overflow_are_left_out_and_counted() {
    for dtype in ["f32", "bf16", "f16"] {
        let dir = tempfile::tempdir().unwrap();
        let tensor = "model.layers.0.mlp.up_proj.weight";
        // in f16 weights end at 65504
        let factor = if dtype == "f16" { 6e4 } else { 1e38 };
        let model = multiplied(dir.path(), "llama", tensor, factor);
        let corpus = dir.path().join("corpus.jsonl");
        crate::support::corpus(&corpus, 20);
        let mut command = neuroscope(dir.path());
        command
            .arg("scan")
            .arg("--model")
            .arg(&model)
            .arg("--corpus")
            .arg(&corpus);
        succeed(command.args(["--dtype", dtype]));
        let data = dir.path().join("data/multiplied");
        let n_counted = Atlas::open(&data.join("atlas"))
            .unwrap()
            .manifest()
            .scan
            .policy
            .n_counted;
        let mut n_left_out = 0;
        for neuron in atlas(&data) {
            let stats = &neuron.stats;
            assert_eq!(
                stats.moments.count + stats.not_finite.unwrap(),
                n_counted,
                "{}",
                neuron.id
            );
            assert_eq!(
                stats.histogram.as_ref().unwrap().total(),
                stats.moments.count
            );
            n_left_out += stats.not_finite.unwrap();
            assert!(
                neuron
                    .examples
                    .iter()
                    .all(|row| row.example.value.is_finite())
            );
        }
        assert!(n_left_out > 0 || dtype == "f16", "{dtype}");
        succeed(neuroscope(dir.path()).arg("build"));
        for (name, bytes) in files(&dir.path().join("site/multiplied/0")) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf,"), "{name}");
        }
    }
}

#[test]
fn an_atlas_is_verified_and_its_examples_are_computed_again() {
    for (name, more) in [
        ("llama", &["--dtype", "bf16", "--refactor-glu"][..]),
        ("gpt2", &["--count-special", "--n-ctx", "16"]),
        ("solu", &["--top-k", "4"]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        scan(dir.path(), name, 25, more);
        let data = dir.path().join("data").join(name);
        let verify = || {
            let mut command = neuroscope(dir.path());
            command.arg("verify").arg(&data);
            command
        };
        let other = if name == "llama" { "gpt2" } else { "llama" };
        let said = succeed(&mut verify());
        assert!(
            said.stdout.contains("nothing was recomputed"),
            "{}",
            said.stdout
        );
        let said = succeed(verify().arg("--json").arg("--model").arg(model(name)));
        let report: Value = serde_json::from_str(&said.stdout).unwrap();
        let again = &report["recomputed"];
        assert_eq!(again["neurons"].as_array().unwrap().len(), 10);
        assert!(
            again["n_examples"].as_u64().unwrap() > 100,
            "{name}: {again}"
        );
        assert!(
            again["peak_error"].as_f64().unwrap() <= 1e-5,
            "{name}: {again}"
        );
        assert!(
            again["window_error"].as_f64().unwrap() <= 1e-5,
            "{name}: {again}"
        );

        fail(
            verify().arg("--model").arg(model(other)),
            &["other weights"],
        );
        // what claims to be of another type does not reproduce
        if name == "llama" {
            for folder in ["", "atlas/", "parts/part-00000-of-00001/"] {
                let path = data.join(format!("{folder}manifest.json"));
                let text = fs::read_to_string(&path).unwrap();
                fs::write(path, text.replace("\"bf16\"", "\"f32\"")).unwrap();
            }
            let strict = ["--tolerance", "1e-6", "--model"];
            fail(
                verify().args(strict).arg(model(name)),
                &["do not reproduce", "such as `"],
            );
        }
        let corpus = data.join("corpus/tokens-00000.bin");
        let mut bytes = fs::read(&corpus).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&corpus, bytes).unwrap();
        fail(&mut verify(), &["corpus/tokens-00000.bin`: it is damaged"]);
    }
}

#[test]
fn a_plan_says_what_a_scan_will_take() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corpus.jsonl");
    crate::support::corpus(&file, 200);
    let command = |more: &[&str]| {
        let mut command = neuroscope(dir.path());
        command
            .arg("--json")
            .arg("scan")
            .arg("--model")
            .arg(model("llama"));
        command.arg("--corpus").arg(&file).args(more);
        succeed(&mut command)
    };
    let plan: Value = serde_json::from_str(&command(&["--plan"]).stdout).unwrap();
    assert!(
        !dir.path().join("data/llama/parts").exists(),
        "a plan scans nothing"
    );
    let halves = ["0/2", "1/2"].map(|part| {
        let plan = command(&["--plan", "--part", part]);
        serde_json::from_str::<Value>(&plan.stdout).unwrap()["n_tokens"]
            .as_u64()
            .unwrap()
    });
    assert_eq!(plan["n_tokens"].as_u64().unwrap(), halves[0] + halves[1]);
    assert!(plan["tokens_per_s"].as_f64().unwrap() > 0.0);
    let memory = &plan["memory"];
    let total = ["program", "weights", "state", "batch", "tables"];
    let total = total.map(|part| memory[part].as_u64().unwrap());
    assert_eq!(memory["total"].as_u64().unwrap(), total.iter().sum::<u64>());

    let said = command(&["--log-format", "json"]);
    let done = said
        .stderr
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let done: Vec<Value> = done.filter(|line| line["event"] == "done").collect();
    let jobs: Vec<&str> = done
        .iter()
        .map(|line| line["job"].as_str().unwrap())
        .collect();
    assert_eq!(
        jobs,
        ["scan", "merge", "weights"],
        "the corpus is tokenized by then"
    );
    assert_eq!(done[0]["done"], plan["n_tokens"]);
    let part = files(&dir.path().join("data/llama/parts/part-00000-of-00001"));
    let found: usize = part
        .iter()
        .filter(|f| f.0.ends_with("parquet"))
        .map(|f| f.1.len())
        .sum();
    let expected = plan["disk"]["part"].as_f64().unwrap();
    assert!(
        (0.5..2.0).contains(&(found as f64 / expected)),
        "{found} {expected}"
    );
}

#[test]
fn a_benchmark_runs_scan_and_forward_pass_in_turns() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("corpus.jsonl");
    crate::support::corpus(&file, 60);
    let mut command = neuroscope(dir.path());
    command
        .args(["--json", "bench", "scan", "--model"])
        .arg(model("llama"));
    command
        .arg("--corpus")
        .arg(&file)
        .args(["--tokens", "200", "--rounds", "2", "--n-ctx", "16"]);
    let said = succeed(&mut command);
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    let rounds = found["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        let n = round["n_tokens"].as_u64().unwrap();
        assert!((200..216).contains(&n) && n % 16 == 0, "windows are full");
        assert!(round["forward_s"].as_f64().unwrap() > 0.0);
    }
}
