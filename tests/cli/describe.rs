//! What models and tokenizers are said to be.

use std::fs;
use std::path::Path;

use crate::support::{model, neuroscope, succeed};

#[test]
fn a_model_is_described_in_words_and_as_json() {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(neuroscope(dir.path()).args(["model", "demo"]));
    for line in [
        "family       llama",
        "d_mlp        640; 2,560 neurons in all",
        "MLP          SwiGLU",
        "ranked by    hook_post",
        "heads        4 of 48, 2 for keys and values",
        "position     rotary, θ = 10000",
        "unembedding  the embedding (tied)",
        "BOS          windows begin with `<|endoftext|>` (0)",
        "parameters   2,705,088",
        "stored as    2,705,088 F16; 5.4 MB",
    ] {
        assert!(
            said.stdout.contains(line),
            "`{line}` is not in:\n{}",
            said.stdout
        );
    }
    let value = succeed(neuroscope(dir.path()).args(["model", "demo", "--json"])).json();
    assert_eq!(value["n_parameters"], 2_705_088);
    assert_eq!(value["stored_as"]["F16"], 2_705_088);
    assert_eq!(value["config"]["attention"]["n_key_value_heads"], 2);
    assert_eq!(value["bos"]["token"], "<|endoftext|>");
    // every fixture can be described
    for entry in fs::read_dir(model("")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("config.json").is_file() {
            let said = succeed(neuroscope(dir.path()).arg("model").arg(&folder));
            assert!(
                said.stderr.is_empty(),
                "{}: {}",
                folder.display(),
                said.stderr
            );
        }
    }
}

#[test]
fn a_tokenizer_shows_its_special_tokens_and_the_tokens_of_a_text() {
    let dir = tempfile::tempdir().unwrap();
    let show = |name: &str, text: &str| {
        let mut command = neuroscope(dir.path());
        command.arg("tokenize").arg("--model").arg(model(name));
        succeed(command.args(["--show", text, "--json"])).json()
    };
    let llama = show("llama", "the net<|bos|>é");
    assert_eq!(llama["bos"]["auto"], serde_json::json!([0, "<|bos|>"]));
    assert_eq!(llama["added_tokens"][0]["special"], true);
    let tokens = llama["tokens"].as_array().unwrap();
    let texts: Vec<&str> = tokens
        .iter()
        .map(|pair| pair[1].as_str().unwrap())
        .collect();
    assert_eq!(texts.concat(), "the net<|bos|><0xC3><0xA9>");
    assert!(show("gpt2", "")["bos"]["auto"].is_null());
    assert_eq!(show("gpt2", "")["bos"]["always"][0], 0);
    // in words, without a text
    let mut command = neuroscope(dir.path());
    let said = succeed(
        command
            .arg("tokenize")
            .arg("--model")
            .arg(model("solu"))
            .arg("--show"),
    );
    assert!(
        said.stdout.contains("BOS          \"<|bos|>\" (0)"),
        "{}",
        said.stdout
    );
}

/// Folders of GPT-2's and OPT's time have a vocabulary and merges, and say in a config of their own that a BOS is added.
#[test]
fn a_tokenizer_is_made_of_vocabulary_and_merges() {
    let dir = tempfile::tempdir().unwrap();
    let old = dir.path().join("old");
    fs::create_dir(&old).unwrap();
    for name in ["config.json", "model.safetensors"] {
        fs::copy(model("gpt2").join(name), old.join(name)).unwrap();
    }
    let whole = fs::read(model("gpt2").join("tokenizer.json")).unwrap();
    let whole: serde_json::Value = serde_json::from_slice(&whole).unwrap();
    let merges = whole["model"]["merges"].as_array().unwrap().iter();
    let merges = merges.map(|pair| {
        format!(
            "{} {}",
            pair[0].as_str().unwrap(),
            pair[1].as_str().unwrap()
        )
    });
    let merges = format!("#version: 0.2\n{}\n", merges.collect::<Vec<_>>().join("\n"));
    fs::write(old.join("merges.txt"), merges).unwrap();
    fs::write(old.join("vocab.json"), whole["model"]["vocab"].to_string()).unwrap();
    let config = r#"{"add_bos_token": true, "bos_token": {"content": "<|bos|>"}}"#;
    fs::write(old.join("tokenizer_config.json"), config).unwrap();
    let show = |folder: &Path| {
        let mut command = neuroscope(dir.path());
        command.arg("tokenize").arg("--model").arg(folder);
        let text = "the neuron “sees” the text<|bos|>\n\n";
        succeed(command.args(["--show", text, "--json"])).json()
    };
    let (made, given) = (show(&old), show(&model("gpt2")));
    assert_eq!(made["tokens"], given["tokens"]);
    assert_eq!(made["added_tokens"], given["added_tokens"]);
    assert_eq!(made["bos"]["auto"], serde_json::json!([0, "<|bos|>"]));
}
