//! The program's own behaviour: options from file and flags, what models and tokenizers are said to be.

use std::fs;
use std::path::Path;

use crate::support::{Project, examples, fail, model, neuroscope, run, succeed};

#[test]
fn flags_go_over_the_project_file() {
    let project = Project::new();
    project.write("neuroscope.toml", "[site]\ntitle = \"From the file\"\nneuron_json = true\n[scan.stats]\ntop_k = 3\ntau = 0.25\n");
    project.scan_here("llama", 12, &["--name", "tiny", "--top-k", "4"]);
    project.build(&[]);
    assert!(project.page("index.html").contains("From the file"));
    let record = project.json("tiny/0/0.json");
    assert_eq!(examples(&record, "top").len(), 4);
    assert_eq!(record["stats"]["frequency_abs"]["tau"], 0.25);
    project.build(&["--title", "From the flag", "--neuron-json=false"]);
    assert!(project.page("index.html").contains("From the flag"));
    assert!(!project.join("site/tiny/0/0.json").exists());
}

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

#[test]
fn a_scan_may_be_in_half_precision() {
    let max = |dtype: &str| -> Vec<f32> {
        let project = Project::new().scan("llama", 12, &["--dtype", dtype]);
        let atlas = project.atlas("llama");
        assert_eq!(atlas.manifest().scan.policy.dtype, dtype);
        let neurons = atlas.layer(0).unwrap();
        neurons
            .map(|neuron| neuron.unwrap().stats.moments.max)
            .collect()
    };
    let (exact, half, brain) = (max("f32"), max("f16"), max("bf16"));
    let off = |found: &[f32]| {
        let pairs = exact.iter().zip(found);
        pairs
            .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
            .fold(0.0, f32::max)
    };
    assert!(off(&half) > 0.0 && off(&half) < 5e-3, "{}", off(&half));
    assert!(
        off(&brain) > off(&half) && off(&brain) < 5e-2,
        "{}",
        off(&brain)
    );
}

/// A hint is printed below the error, and stands apart in a log for programs, wherever along the causes it comes from.
#[test]
fn hints_find_their_way() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    let scan = |more: &[&str]| {
        let mut command = neuroscope(project);
        command.args(["scan", "--corpus", "demo"]).args(more);
        command
    };
    // of the model that a scan needs, of a name, and of the command itself
    std::fs::create_dir(project.join("adapter")).unwrap();
    let config = r#"{"peft_type": "LORA", "base_model_name_or_path": "a/b"}"#;
    std::fs::write(project.join("adapter/adapter_config.json"), config).unwrap();
    let adapter = project.join("adapter");
    std::fs::create_dir_all(project.join("data/X/corpus")).unwrap();
    let cases: [(&[&str], &str); 3] = [
        (
            &["--model", adapter.to_str().unwrap()],
            "merge it into its base model first",
        ),
        (
            &["--model", "demo", "--name", "a/b"],
            "choose another with `--name`",
        ),
        (
            &["--model", "demo", "--name", "x"],
            "choose another name with `--name`",
        ),
    ];
    for (more, hint) in cases {
        let more: Vec<&str> = more.to_vec();
        let said = fail(&mut scan(&more[..]), &[hint]);
        let (error, hints) = said.stderr.split_once("\n\nhint: ").unwrap();
        assert!(
            !error.contains("hint") && hints.starts_with(hint),
            "{}",
            said.stderr
        );
        let said = run(scan(&more).args(["--log-format", "json"]));
        let line = said.stderr.lines().last().unwrap();
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["hint"].as_str().unwrap().starts_with(hint), "{event}");
        assert!(!event["text"].as_str().unwrap().contains("hint"), "{event}");
    }
}
