//! Packed sites: which files there are, what decides on them, and what a second build writes. What is in them is tested by those who
//! read it: the scripts (tests/browser/packed.test.js) and the client in Python.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use super::api::check_schemas;
use super::records::check_links;
use crate::support::{Project, fail, files, misused, neuroscope, succeed};

const D_MLP: usize = 37;
const N_LAYERS: usize = 3;

/// A scanned model with a note.
fn scanned() -> Project {
    let project = Project::new().scan("llama", 40, &["--keep-hooks"]);
    write_note(&project, "0/5", "It fires on *text*.");
    project
}

fn write_note(project: &Project, neuron: &str, text: &str) {
    let path = project.join(format!("content/notes/llama/{neuron}.md"));
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("+++\ntitle = \"A note\"\n+++\n{text}\n")).unwrap();
}

/// Builds the site, and answers what was said of it.
fn build(project: &Project, args: &[&str]) -> Value {
    let mut command = neuroscope(project);
    command.args(["--json", "build"]).args(args);
    succeed(&mut command).json()
}

fn names(project: &Project) -> BTreeSet<String> {
    let files = files(&project.site()).into_iter();
    files.map(|(name, _)| name).collect()
}

#[test]
fn neurons_and_text_are_in_few_files() {
    let project = scanned();
    let report = build(
        &project,
        &[
            "--layout",
            "packed",
            "--pages-for",
            "notes,top:2",
            "--base-url",
            "https://example.org/",
        ],
    );
    let layout = &report["layouts"][0];
    assert_eq!(layout["layout"], "packed");
    assert_eq!(layout["bits"], 8);
    assert!(layout["n_examples"].is_null());
    let names = names(&project);
    let index = project.json("llama/index.json");
    let per_file = index["packing"]["neurons_per_file"].as_u64().unwrap() as usize;
    for layer in 0..N_LAYERS {
        for first in (0..D_MLP).step_by(per_file) {
            for kind in ["neurons", "hooks"] {
                let name = format!("llama/{layer}/{kind}-{first:06}.gz");
                assert!(names.contains(&name), "{name}");
            }
        }
        assert!(names.contains(&format!("llama/{layer}/neuron.html")));
        assert!(names.contains(&format!("llama/{layer}/list-000000.html")));
    }
    let pages: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("llama/"))
        .filter(|name| {
            let stem = name.rsplit('/').next().unwrap().strip_suffix(".html");
            stem.is_some_and(|stem| stem.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect();
    assert!(
        pages.len() <= 3 && pages.contains(&&"llama/0/5.html".to_owned()),
        "{pages:?}"
    );
    assert!(names.contains("llama/0/said.json.gz") && !names.contains("llama/1/said.json.gz"));
    assert!(
        !names
            .iter()
            .any(|name| name.contains("/docs/") || name.ends_with("card.html"))
    );
    let text = &index["packing"]["text"];
    let of = |key: &str| text[key].as_u64().unwrap();
    let n_files = of("n_positions").div_ceil(of("positions_per_file"));
    let found = names
        .iter()
        .filter(|name| name.starts_with("llama/text/0"))
        .count();
    assert_eq!(found as u64, n_files);
    let kinds = check_schemas(&project.site());
    for kind in [
        "model",
        "layer",
        "lines",
        "words",
        "word-neurons",
        "tokens",
        "said",
        "text",
    ] {
        assert!(kinds.contains_key(kind), "{kind}");
    }
    let sitemap = project.page("sitemap.xml");
    assert!(sitemap.contains("llama/0/5.html") && !sitemap.contains("neuron.html"));
}

#[test]
fn what_is_asked_for_beside_is_written() {
    let project = scanned();
    build(
        &project,
        &[
            "--layout",
            "packed",
            "--neuron-json",
            "--cards",
            "--deepdecipher",
            "--pages-for",
            "none",
        ],
    );
    let names = names(&project);
    for name in [
        "llama/2/36.json",
        "llama/2/36/card.html",
        "api/llama/all/2/36",
    ] {
        assert!(names.contains(name), "{name}");
    }
    assert!(!names.contains("llama/0/5.html"));
    check_schemas(&project.site());
}

#[test]
fn a_budget_decides_on_the_layout_and_on_what_is_kept() {
    let project = scanned();
    let layout = |args: &[&str]| {
        let report = build(&project, args);
        let index = project.json("llama/index.json");
        assert_eq!(
            index.get("packing").is_some(),
            report["layouts"][0]["layout"] == "packed"
        );
        report["layouts"][0].clone()
    };
    assert_eq!(layout(&["--budget", "0"])["layout"], "pages");
    let pages = layout(&["--budget", "1GB"])["pages_bytes"].to_string();
    let packed = layout(&["--budget", &pages]);
    assert_eq!(
        (&packed["layout"], &packed["bits"]),
        (&"packed".into(), &8.into())
    );
    let tight = layout(&["--budget", "1MB"]);
    assert_eq!(tight["bits"], 5);
    assert_eq!(tight["without_hooks"], true);
    let n_examples = tight["n_examples"].as_u64().unwrap();
    assert!((8..48).contains(&n_examples));
    let names = names(&project);
    assert!(!names.iter().any(|name| name.contains("/hooks-")));
    assert_eq!(
        layout(&["--budget", "1MB", "--layout", "pages"])["layout"],
        "pages"
    );
    let mut wrong = neuroscope(&project);
    misused(
        wrong.args(["build", "--budget", "a lot"]),
        &["`a lot` is not a size", "500MB"],
    );
    let mut wrong = neuroscope(&project);
    misused(
        wrong.args(["build", "--pages-for", "all"]),
        &["`all` names no neurons", "top:100"],
    );
}

#[test]
fn a_second_build_writes_only_what_changed() {
    let project = scanned();
    let args = ["--layout", "packed"];
    build(&project, &args);
    let before = files(&project.site());
    assert_eq!(build(&project, &args)["n_written"], 0);
    assert!(files(&project.site()) == before);
    write_note(&project, "1/7", "It is *another* one.");
    build(&project, &args);
    let after = files(&project.site());
    let changed: BTreeSet<&str> = after
        .iter()
        .filter(|file| !before.contains(file))
        .map(|(name, _)| name.as_str())
        .filter(|name| !name.contains("words/") && !name.starts_with('.'))
        .collect();
    let expected = [
        "llama/1/7.html",
        "llama/1/index.html",
        "llama/1/neuron.html",
        "llama/1/said.json.gz",
        "llama/explore/said.gz",
        "llama/index.html",
        "llama/index.json",
        "llama/lines/0000000.json.gz",
        "llama/lines/short-0.json.gz",
        "llama/1/list-000000.html",
    ];
    for name in &changed {
        assert!(expected.contains(name), "{name}");
    }
    assert!(changed.contains("llama/1/7.html") && changed.contains("llama/1/said.json.gz"));
}

#[test]
fn every_link_leads_somewhere() {
    let project = scanned();
    let address = ["--base-url", "https://example.org/atlas/"];
    let layout = [
        "--layout",
        "packed",
        "--pages-for",
        "notes,top:3",
        "--cards",
    ];
    build(&project, &[&address[..], &layout].concat());
    check_links(&project.site(), &["model.html", "random.html"]);
}

#[test]
fn a_model_without_its_corpus_cannot_be_packed() {
    let project = scanned();
    crate::support::tables::take_corpus(&project.data("llama"));
    let mut command = neuroscope(&project);
    fail(
        command.args(["build", "--no-analyze", "--layout", "packed"]),
        &["the corpus is not there", "--layout pages"],
    );
    let report = build(&project, &["--no-analyze", "--budget", "1MB"]);
    assert_eq!(report["layouts"][0]["layout"], "pages");
}
