//! Whatever is wrong with the input: an error that names it, and nothing lost or half-written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Project, copy, corpus, examples, fail, files, misused, model, neuroscope, scan_command,
    succeed, tokenize_command,
};

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
        &["e.pdf` is neither .jsonl nor .txt"],
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

#[test]
fn outputs_that_cannot_be_written() {
    let project = Project::new().scan("llama", 12, &["--name", "tiny"]);

    // somebody's own page is in the way
    project.write("mine/index.html", "my own page");
    project.write("mine/thesis.tex", "years of work");
    let build = |out: &str| {
        let mut build = neuroscope(&project);
        build.args(["build", "--out"]).arg(project.join(out));
        build
    };
    fail(
        &mut build("mine"),
        &[
            "mine/index.html` was not written by neuroscope",
            "hint: choose another folder",
        ],
    );
    assert_eq!(
        fs::read_to_string(project.join("mine/index.html")).unwrap(),
        "my own page"
    );
    fs::remove_file(project.join("mine/index.html")).unwrap();
    succeed(&mut build("mine"));
    succeed(&mut build("mine"));
    assert_eq!(
        fs::read_to_string(project.join("mine/thesis.tex")).unwrap(),
        "years of work"
    );

    // a file is where the folder should be; unlike permissions, this stops the superuser as well
    project.write("file", "x");
    fail(&mut build("file/site"), &["file/site"]);
    let mut command = scan_of(&project, &model("llama"));
    fail(
        command.arg("--data").arg(project.join("file/data")),
        &["file/data"],
    );
}

/// A write that fails in the middle, as on a full disk: files may not grow beyond a limit.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let options = &["--name", "tiny"];
    let project = Project::new().scan("llama", 12, options).built(&[]);
    let before = files(&project.site());
    let limited = |kilobytes: u32, command: &Command| {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!(
                "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
                kilobytes * 2
            ))
            .arg(program)
            .args(command.get_args());
        shell
    };
    // a new look for all pages, of which not one can be written whole
    project.write(
        "theme/templates/base.html",
        "{% extends \"neuroscope/base.html\" %}{% block footer %}new{% endblock %}",
    );
    let mut build = neuroscope(&project);
    build.arg("build");
    fail(&mut limited(8, &build), &["cannot write `"]);
    for (name, bytes) in files(&project.site()) {
        let old = before.iter().find(|(old, _)| *old == name);
        let whole = bytes.ends_with(b"\n") || !name.ends_with(".html");
        assert!(
            old.is_some_and(|(_, old)| *old == bytes) || whole,
            "{name} is half-written"
        );
        assert!(!name.contains("neuroscope-new"), "{name} was left behind");
    }
    project.build(&[]);

    let mut scan = scan_of(&project, &model("llama"));
    scan.args(["--data"]).arg(project.join("data/full"));
    fail(&mut limited(2, &scan), &["data/full"]);
    let left = if project.join("data/full").exists() {
        files(&project.join("data/full"))
    } else {
        Vec::new()
    };
    assert!(
        left.iter()
            .all(|(name, _)| name.starts_with("corpus/") || name.ends_with(".lock")),
        "{:?}",
        left.iter().map(|f| &f.0).collect::<Vec<_>>()
    );
    succeed(&mut scan);
}

#[test]
fn usage_errors_exit_with_2() {
    let project = Project::new();
    for args in [
        &["scan"][..],
        &["fly"],
        &["build", "--nonsense"],
        &[
            "scan", "--model", "demo", "--corpus", "demo", "--part", "3/3",
        ],
        &[
            "scan", "--model", "demo", "--corpus", "demo", "--device", "gpu",
        ],
    ] {
        misused(neuroscope(&project).args(args), &[]);
    }
    if cfg!(not(feature = "cuda")) {
        let args = [
            "scan", "--model", "demo", "--corpus", "demo", "--device", "cuda",
        ];
        fail(
            neuroscope(&project).args(args),
            &["built without CUDA", "hint: ", "--features cuda"],
        );
    }
    project.write("neuroscope.toml", "[site]\ntitel = \"x\"\n");
    project.build_refused(&[], &["neuroscope.toml", "unknown field `titel`"]);
}
