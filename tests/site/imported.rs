//! Atlases whose corpus is not there: their examples have the texts of their tokens. Whoever imports an atlas writes one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use neuroscope::verify::verify;
use serde_json::Value;

use super::api::check_schemas;
use crate::support::tables::{leave_out, put_texts, tables, take_corpus, texts};
use crate::support::{
    Project, analyze_command, change_json, copy, data_command, fail, files, links, model,
    scan_command, succeed, tokenize_command,
};
use crate::verify::options;

const N_LAYERS: u32 = 3;
const D_MLP: u32 = 37;

/// Makes an atlas know no more than one that was made by another program.
fn forget(data: &Path) {
    for place in ["atlas/manifest.json", "manifest.json"] {
        change_json(&data.join(place), |manifest| {
            if let Some(files) = manifest["files"].as_array_mut() {
                files.retain(|file| !is_of_weights(file["name"].as_str().unwrap()));
            }
            let scan = &mut manifest["scan"];
            let name = scan["corpus"]["name"].take();
            scan["corpus"] = serde_json::json!({ "name": name });
            for key in ["weights_sha256", "config_sha256", "tokenizer_sha256"] {
                scan["model"].as_object_mut().unwrap().remove(key);
            }
            scan["policy"].as_object_mut().unwrap().remove("n_counted");
        });
    }
    for (name, _) in files(&data.join("atlas")) {
        if is_of_weights(&name) {
            fs::remove_file(data.join("atlas").join(name)).unwrap();
        }
    }
    let starts = [
        "sum",
        "special",
        "histogram",
        "firing",
        "above",
        "not_finite",
        "gate+",
        "gate-",
        "mean",
        "variance",
        "skewness",
        "kurtosis",
        "frequency",
        "peak_ratio",
        "logit",
        "io_cosine",
        "line_",
    ];
    let names = ["rare", "context", "duplicates"];
    for path in tables(data) {
        leave_out(&path, |name| {
            names.contains(&name) || starts.iter().any(|start| name.starts_with(start))
        });
    }
}

fn is_of_weights(name: &str) -> bool {
    ["weights.parquet", "tokens.parquet", "weights.json"]
        .iter()
        .any(|end| name.ends_with(end))
}

/// An atlas that lost its corpus, and one that never had it; both with their sites, and the site of before.
fn sites() -> [&'static Project; 3] {
    let with = Project::shared("an atlas with its corpus", |project| {
        project.scan_here("llama", 60, &["--name", "tiny"]);
        project.build(&["--neuron-json"]);
    });
    let changed = |key: &str, change: &dyn Fn(&Path)| {
        Project::shared(key, |project| {
            copy(&with.join("data"), &project.join("data"));
            change(&project.data("tiny"));
            project.build(&["--neuron-json"]);
        })
    };
    let lost = changed("an atlas that lost its corpus", &take_corpus);
    let imported = changed("an atlas that was imported", &|data| {
        take_corpus(data);
        forget(data);
    });
    [with, lost, imported]
}

fn neurons() -> impl Iterator<Item = (u32, u32)> {
    (0..N_LAYERS).flat_map(|layer| (0..D_MLP).map(move |neuron| (layer, neuron)))
}

/// The items of the plain lists of a page, without their sources.
fn plain_examples(page: &str) -> Vec<String> {
    let items = page.lines().filter(|line| line.starts_with("<li id="));
    let source = regex::Regex::new("<span class=\"source\">.*?</span> ").unwrap();
    items
        .map(|item| source.replace(item, "").into_owned())
        .collect()
}

#[test]
fn texts_are_those_of_the_corpus() {
    let [with, lost, imported] = sites();
    let mut n_pieces = 0;
    for (layer, neuron) in neurons() {
        let name = format!("tiny/{layer}/{neuron}");
        let expected = with.json(&format!("{name}.json"));
        let expected_page = plain_examples(&with.page(&format!("{name}.html")));
        assert!(!expected_page.is_empty());
        for project in [lost, imported] {
            let found = project.json(&format!("{name}.json"));
            assert_eq!(found["examples"].get("sources"), None);
            assert_eq!(found["examples"].get("source"), None);
            assert_eq!(
                found["lists"].as_object().unwrap().len(),
                expected["lists"].as_object().unwrap().len()
            );
            for column in [
                "doc", "start", "peak", "value", "scale", "text", "lengths", "values", "bytes",
            ] {
                assert_eq!(
                    found["examples"][column], expected["examples"][column],
                    "{name} {column}"
                );
            }
            let page = plain_examples(&project.page(&format!("{name}.html")));
            assert_eq!(page, expected_page, "{name}");
        }
        n_pieces += expected["examples"]["bytes"]
            .as_object()
            .map_or(0, |bytes| bytes.len());
        let found = lost.json(&format!("{name}.json"));
        for key in ["logits", "weights", "stats", "side", "lines"] {
            assert_eq!(found[key], expected[key], "{name} {key}");
        }
    }
    assert!(n_pieces > 0, "no window ends inside a character");
    // the model's own tokens have its ids
    let names = |project: &Project| -> Vec<(String, Vec<u8>)> {
        files(&project.site().join("tiny/tokens"))
    };
    assert!(!names(with).is_empty() && names(with) == names(lost));
    assert!(!imported.site().join("tiny/tokens").exists());
}

/// The neurons of each word of the search.
fn words(project: &Project) -> BTreeMap<String, Value> {
    let n = project.json("tiny/words/index.json")["files"]
        .as_array()
        .unwrap()
        .len();
    let files = (0..n).map(|file| project.json(&format!("tiny/words/{file}.json")));
    let entries = files.flat_map(|file| file["words"].as_array().unwrap().clone());
    let entries = entries.map(|entry| (entry[0].as_str().unwrap().to_owned(), entry));
    entries.collect()
}

#[test]
fn the_search_finds_the_same_words() {
    let [with, lost, imported] = sites();
    let expected = words(with);
    assert!(expected.contains_key("neuron") && expected.contains_key("cafe"));
    for project in [lost, imported] {
        assert_eq!(words(project), expected);
    }
}

#[test]
fn what_is_missing_is_said_and_not_linked() {
    let [with, lost, imported] = sites();
    let missing = |project: &Project| {
        project
            .page("tiny/index.html")
            .contains("the corpus is not there")
    };
    assert_eq!([with, lost, imported].map(missing), [false, true, true]);
    let index = imported.json("tiny/index.json");
    for key in ["documents", "n_documents", "n_counted", "tokens"] {
        assert!(index[key].is_null(), "{key}");
    }
    let page = imported.page("tiny/index.html");
    for words in [
        "number of documents not known",
        "number of positions not known",
        "imported, SHA-256 not known",
        "weights not known",
    ] {
        assert!(page.contains(words), "{words}");
    }
    assert!(lost.page("tiny/index.html").contains("60 documents"));
    for (project, has_counted) in [(lost, true), (imported, false)] {
        let site = project.site();
        assert!(!site.join("tiny/docs").exists());
        assert!(project.page("tiny/0/0.html").contains(",false]"));
        for (name, bytes) in files(&site) {
            let Ok(html) = String::from_utf8(bytes) else {
                continue;
            };
            if !name.ends_with(".html") {
                continue;
            }
            assert!(has_counted || !html.contains("tokens of corpus"), "{name}");
            for link in links(&html) {
                let path = link.split(['#', '?']).next().unwrap();
                let target = match path.strip_prefix('/') {
                    Some(absolute) => site.join(absolute),
                    None => site.join(&name).parent().unwrap().join(path),
                };
                assert!(path.is_empty() || target.is_file(), "{name}: {link}");
            }
        }
    }
    assert!(check_schemas(&imported.site())["neuron"] == 111);
}

#[test]
fn such_atlases_are_not_packed() {
    let [_, lost, imported] = sites();
    for project in [lost, imported] {
        let out = project.join("other");
        let out = out.to_str().unwrap();
        project.build_refused(
            &["--layout", "packed", "--out", out],
            &["corpus", "hint: build with `--layout pages`"],
        );
        let said = project.build(&["--budget", "1MB", "--out", out]);
        let words = "do not fit the budget, since it cannot be packed without its corpus";
        assert!(said.stdout.contains(words), "{}", said.stdout);
        let said = project.build(&["--budget", "1MB", "--out", out, "--json"]);
        let layout = &said.json()["layouts"][0];
        assert_eq!(layout["layout"], "pages");
        assert_eq!(layout["lacks_corpus"], true);
    }
}

#[test]
fn such_atlases_are_verified_as_far_as_that_goes() {
    let [_, lost, imported] = sites();
    for project in [lost, imported] {
        let data = project.data("tiny");
        let report = verify(&data, None, &options(false), &|_| true).unwrap();
        assert_eq!(report.wrong.first(), None);
        assert!(!report.has_corpus && report.n_neurons == u64::from(N_LAYERS * D_MLP));
        let said = succeed(&mut data_command(project, "verify", &data));
        assert_eq!(
            said.stdout.matches("the corpus is not there").count(),
            1,
            "{}",
            said.stdout
        );
    }
    // the weights of the first are known, and compared; nothing else is computed again
    let with_model = |project: &Project| {
        let mut command = data_command(project, "verify", &project.data("tiny"));
        command.arg("--model").arg(model("llama"));
        command
    };
    let said = succeed(with_model(lost).arg("--json")).json();
    assert!(said["recomputed"].is_null(), "{said}");
    fail(
        with_model(lost).arg("--full"),
        &["nothing can be scanned again", "corpus"],
    );
    fail(
        &mut with_model(imported),
        &[
            "whether this is the model that was scanned is not known",
            "weights",
        ],
    );
}

/// The model is known by its hashes, and the tokens that examples peak on by their texts.
#[test]
fn weights_are_analysed_without_the_corpus() {
    let [_, lost, _] = sites();
    let project = Project::new();
    copy(&lost.join("data"), &project.join("data"));
    let data = project.data("tiny");
    let tables = || {
        let mut files = files(&data.join("atlas"));
        files.retain(|(name, _)| name != "manifest.json"); // which the tests have rewritten
        files
    };
    let before = tables();
    succeed(&mut analyze_command(&project, &data, &model("llama")));
    for ((name, before), (other, after)) in before.iter().zip(&tables()) {
        assert!(name == other && before == after, "{name}");
    }
    succeed(&mut data_command(&project, "verify", &data));
}

#[test]
fn an_imported_atlas_is_joined_with_nothing() {
    let [with, _, imported] = sites();
    let project = Project::new();
    copy(&imported.join("data"), &project.join("data"));
    let data = project.data("tiny");
    let before = files(&data);
    let is_not_known = ["is not known", "has no SHA-256 of its"];
    fail(
        &mut analyze_command(&project, &data, &model("llama")),
        &is_not_known,
    );
    let mut scan = scan_command(&project, &model("llama"), &with.join("corpus.jsonl"));
    fail(scan.args(["--name", "tiny"]), &is_not_known);
    assert!(files(&data.join("atlas")) == files(&imported.data("tiny").join("atlas")));
    // a corpus that somebody puts there
    copy(&with.data("tiny").join("corpus"), &data.join("corpus"));
    for command in ["verify", "analyze"] {
        let mut command = data_command(&project, command, &data);
        fail(command.arg("--model").arg(model("llama")), &is_not_known);
    }
    project.build_refused(&[], &is_not_known);
    // and parts
    copy(&with.data("tiny").join("parts"), &data.join("parts"));
    fail(
        &mut data_command(&project, "merge", &data),
        &["atlas` was imported"],
    );
    for folder in ["corpus", "parts"] {
        fs::remove_dir_all(data.join(folder)).unwrap();
    }
    let is_lock = |name: &str| name.starts_with('.');
    let mut after = files(&data);
    after.retain(|(name, _)| !is_lock(name) || before.iter().any(|(known, _)| known == name));
    assert!(after == before);
    // parts that do not say what they are of
    let parts = with.data("tiny").join("parts");
    copy(&parts, &data.join("parts"));
    change_json(
        &data.join("parts/part-00000-of-00001/manifest.json"),
        |manifest| {
            manifest["scan"]["corpus"]
                .as_object_mut()
                .unwrap()
                .remove("sha256");
        },
    );
    fs::remove_dir_all(data.join("atlas")).unwrap();
    fail(
        &mut data_command(&project, "merge", &data),
        &["manifest.json", "`sha256`"],
    );
}

#[test]
fn an_atlas_without_any_text_is_refused() {
    let [with, lost, _] = sites();
    let project = Project::new();
    copy(&lost.join("data"), &project.join("data"));
    let data = project.data("tiny");
    let path = data.join("atlas/layer-001.examples.parquet");
    let all = texts(&with.data("tiny"), 1);
    let mut one = all.clone();
    one[1] = None;
    put_texts(&path, &one);
    let row = [
        "layer-001.examples.parquet",
        "neuron 0: list `top`, rank 1 has no `tokens`",
    ];
    project.build_refused(&[], &row);
    fail(&mut data_command(&project, "verify", &data), &row);
    put_texts(&path, &vec![None; all.len()]);
    let none = [
        "there is no corpus",
        "layer-001.examples.parquet",
        "hint: bring the corpus",
    ];
    project.build_refused(&[], &none);
    fail(&mut data_command(&project, "verify", &data), &none);
    put_texts(&path, &all);
    // the corpus of this one is known, so that it can come back
    let mut again = tokenize_command(&project, &model("llama"), &with.join("corpus.jsonl"));
    succeed(again.arg("--data").arg(&data));
    succeed(&mut data_command(&project, "verify", &data));
    project.build(&[]);
    assert!(project.site().join("tiny/docs/index.json").is_file());
}
