//! Options from the project file and from flags, checked before any work; hints.

use std::fs;

use crate::support::{
    Project, corpus, examples, fail, misused, model, neuroscope, run, scan_command, succeed,
};

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

#[test]
fn options_are_checked_before_anything_is_done() {
    let dir = Project::new();
    corpus(&dir.join("corpus.jsonl"), 4);
    let scan = || scan_command(&dir, &model("llama"), &dir.join("corpus.jsonl"));
    for (option, value, what) in [
        ("--tau", "nan", "`tau` is NaN"),
        ("--tau", "inf", "`tau` is inf"),
        ("--tau=-1", "", "`tau` is -1"),
        (
            "--window-after",
            "4294967295",
            "`window_after` is 4294967295",
        ),
        ("--window-before", "4294967295", "`window_before` is"),
        ("--top-k", "0", "`top_k` is 0; expected 1 to"),
        ("--top-k", "18446744073709551615", "`top_k` is"),
        ("--case-k", "18446744073709551615", "`case_k` is"),
        ("--per-band", "18446744073709551615", "`per_band` is"),
        ("--random", "18446744073709551615", "`random` is"),
        ("--context-tokens", "0", "`context_tokens` is 0"),
        ("--n-ctx", "0", "`n_ctx` is 0"),
        ("--batch-tokens", "0", "`batch_tokens` is 0"),
    ] {
        let value = Some(value).filter(|value| !value.is_empty());
        misused(scan().arg(option).args(value), &[what]);
        assert!(!dir.join("data").exists());
    }
    // what only the model can tell
    for (option, value, what) in [
        ("--n-ctx", "1", "has no room for text"),
        ("--n-ctx", "1000000", "1000000"),
        ("--device", "cuda:7", "cuda"),
    ] {
        fail(scan().args([option, value]), &[what]);
        assert!(!dir.join("data").exists());
    }
    // and what is needed only after the scan
    for (table, what) in [
        ("kurtosis = nan", "`roles.kurtosis` is NaN"),
        (
            "null_share = 1.5",
            "`roles.null_share` is 1.5; expected 0 to 1",
        ),
    ] {
        dir.write("neuroscope.toml", format!("[weights.roles]\n{table}\n"));
        misused(&mut scan(), &[what]);
    }
    assert!(!dir.join("data").exists());
}

#[test]
fn names_that_no_site_can_have_are_refused_before_the_scan() {
    let dir = Project::new();
    let project = dir.join("project");
    fs::create_dir(&project).unwrap();
    corpus(&project.join("corpus.jsonl"), 4);
    let scan = |name: &str| {
        let mut command = scan_command(&project, &model("llama"), &project.join("corpus.jsonl"));
        command.arg(format!("--name={name}"));
        command
    };
    for name in [
        "a/b",
        "../outside",
        "..",
        "",
        "a b",
        "é",
        "api",
        "Assets",
        "con",
        "x.html",
        ".hidden",
        "a\\b",
    ] {
        let said = fail(&mut scan(name), &["cannot be a model's name"]);
        assert!(said.stderr.contains("--name"), "{}", said.stderr);
        assert!(!project.join("data").exists(), "{name}");
        assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "{name}");
    }
    // where the case of letters does not count, two names are one folder
    succeed(&mut scan("Tiny"));
    fail(&mut scan("tiny"), &["Tiny"]);
    assert!(!project.join("data/tiny").exists());
    succeed(&mut scan("Tiny"));
    let mut elsewhere = scan("tINY");
    elsewhere.arg("--data").arg(project.join("data/other"));
    fail(&mut elsewhere, &["Tiny"]);
}
