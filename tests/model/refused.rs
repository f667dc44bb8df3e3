//! Models that are damaged or contradict themselves: an error that names what is wrong, and no part of a scan.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{copy, corpus, fail, files, model, scan_command};

/// A copy of a fixture model with one file changed.
fn changed(dir: &Path, file: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) -> PathBuf {
    let folder = dir.join("model");
    copy(&model("llama"), &folder);
    let path = folder.join(file);
    match change(fs::read(&path).unwrap()) {
        Some(bytes) => fs::write(path, bytes).unwrap(),
        None => fs::remove_file(path).unwrap(),
    }
    folder
}

fn scan_of(project: &Path, model: &Path) -> Command {
    let file = project.join("corpus.jsonl");
    corpus(&file, 5);
    let mut command = scan_command(project, model, &file);
    command.args(["--name", "bad"]);
    command
}

fn refuses(file: &str, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>, what: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let model = changed(dir.path(), file, change);
    fail(&mut scan_of(dir.path(), &model), what);
    let parts = dir.path().join("data/bad/parts");
    assert!(
        !parts.exists() || files(&parts).is_empty(),
        "a part was left behind"
    );
}

fn config(change: impl FnOnce(&mut Value)) -> impl FnOnce(Vec<u8>) -> Option<Vec<u8>> {
    |bytes| {
        let mut value: Value = serde_json::from_slice(&bytes).unwrap();
        change(&mut value);
        Some(serde_json::to_vec(&value).unwrap())
    }
}

#[test]
fn models_with_something_missing_or_cut_off() {
    refuses(
        "model.safetensors",
        |_| None,
        &["neither `model.safetensors` nor", "hint: "],
    );
    refuses(
        "config.json",
        |_| None,
        &["neither `config.json` nor", "hint: "],
    );
    refuses(
        "tokenizer.json",
        |_| None,
        &[
            "there is no tokenizer: neither `tokenizer.json`",
            "save_pretrained",
        ],
    );
    refuses(
        "model.safetensors",
        |bytes| Some(bytes[..bytes.len() - 100].to_vec()),
        &[
            "`model.safetensors` is not a complete safetensors file",
            "hint: ",
        ],
    );
    refuses(
        "model.safetensors",
        |_| Some(Vec::new()),
        &["`model.safetensors`"],
    );
    refuses(
        "config.json",
        |_| Some(b"{\"model_type\":".to_vec()),
        &["not valid JSON"],
    );
    refuses(
        "tokenizer.json",
        |_| Some(b"[]".to_vec()),
        &["the tokenizer cannot be read"],
    );
}

#[test]
fn configs_that_do_not_fit_the_weights_or_the_tokenizer() {
    refuses(
        "config.json",
        config(|c| c["intermediate_size"] = json!(38)),
        &[
            "tensor `model.layers.0.mlp.gate_proj.weight` has shape [37, 24]; expected [d_mlp = 38, d_model = 24]",
            "hint: check that `config.json` and the weights come from one checkpoint",
        ],
    );
    refuses(
        "config.json",
        config(|c| c["num_hidden_layers"] = json!(4)),
        &[
            "tensor `model.layers.3.",
            "is missing from `model.safetensors`",
        ],
    );
    // a config that leaves something out that the weights have would give other activations without a word
    refuses(
        "config.json",
        config(|c| c["attention_bias"] = json!(false)),
        &[
            "tensor `model.layers.0.self_attn.k_proj.bias` (11 others like it) has no place in a llama model",
            "hint: ",
        ],
    );
    refuses(
        "config.json",
        config(|c| c["vocab_size"] = json!(100)),
        &["token ids up to 289", "100 tokens only"],
    );
    refuses(
        "config.json",
        config(|c| c["model_type"] = json!("mamba")),
        &["`model_type` is `mamba`; known are"],
    );
    refuses(
        "config.json",
        config(|c| {
            c.as_object_mut().unwrap().remove("rope_parameters");
        }),
        &["no `rope_theta`"],
    );
}

#[test]
fn weights_that_are_not_numbers() {
    let poison = |mut bytes: Vec<u8>| {
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&f32::NAN.to_le_bytes());
        Some(bytes)
    };
    refuses(
        "model.safetensors",
        poison,
        &[
            "tensor `model.norm.weight` holds 1 values that are not finite",
            "hint: ",
        ],
    );
}
