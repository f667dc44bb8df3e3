//! What a scan will take, and how fast it is.

use serde_json::Value;

use crate::support::{Project, corpus, files, model, neuroscope, scan_command, succeed};

#[test]
fn a_plan_says_what_a_scan_will_take() {
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, 200);
    let command = |more: &[&str]| {
        let mut command = scan_command(&project, &model("llama"), &file);
        succeed(command.arg("--json").args(more))
    };
    let plan = command(&["--plan"]).json();
    assert!(
        !project.data("llama").join("parts").exists(),
        "a plan scans nothing"
    );
    let halves = ["0/2", "1/2"].map(|part| {
        let plan = command(&["--plan", "--part", part]).json();
        plan["n_tokens"].as_u64().unwrap()
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
    let part = files(&project.join("data/llama/parts/part-00000-of-00001"));
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
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, 60);
    let mut command = neuroscope(&project);
    command
        .args(["--json", "bench", "scan", "--model"])
        .arg(model("llama"));
    command
        .arg("--corpus")
        .arg(&file)
        .args(["--tokens", "200", "--rounds", "2", "--n-ctx", "16"]);
    let found = succeed(&mut command).json();
    let rounds = found["rounds"].as_array().unwrap();
    assert_eq!(rounds.len(), 2);
    for round in rounds {
        let n = round["n_tokens"].as_u64().unwrap();
        assert!((200..216).contains(&n) && n % 16 == 0, "windows are full");
        assert!(round["forward_s"].as_f64().unwrap() > 0.0);
    }
}
