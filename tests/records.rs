//! The pages and the records that they embed.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::{files, neuroscope, record, scan, succeed};

fn numbers_are_finite(value: &Value, at: &str) {
    match value {
        Value::Number(n) => assert!(n.as_f64().is_some_and(f64::is_finite), "{at}"),
        Value::Array(items) => items.iter().for_each(|item| numbers_are_finite(item, at)),
        Value::Object(fields) => fields
            .values()
            .for_each(|field| numbers_are_finite(field, at)),
        _ => {}
    }
}

fn built(name: &str, documents: usize) -> (tempfile::TempDir, std::path::PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    scan(dir.path(), name, documents, &["--name", "tiny"]);
    succeed(neuroscope(dir.path()).args([
        "build",
        "--base-url",
        "https://example.org/atlas",
        "--neuron-json",
    ]));
    let site = dir.path().join("site");
    (dir, site)
}

#[test]
fn every_record_is_valid_and_agrees_with_itself() {
    let schema: Value = serde_json::from_str(neuroscope::site::NEURON_SCHEMA_JSON).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, gated, n_layers, d_mlp) in [
        ("llama", true, 3, 37),
        ("gpt2", false, 2, 33),
        ("solu", false, 3, 37),
    ] {
        let (_dir, site) = built(name, 60);
        for layer in 0..n_layers {
            for neuron in 0..d_mlp {
                let page = site.join(format!("tiny/{layer}/{neuron}.html"));
                let record = record(&page);
                let errors: Vec<String> = validator
                    .iter_errors(&record)
                    .map(|e| format!("{}: {e}", e.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{}: {errors:?}", page.display());
                numbers_are_finite(&record, &page.display().to_string());
                let file: Value =
                    serde_json::from_slice(&fs::read(page.with_extension("json")).unwrap())
                        .unwrap();
                assert_eq!(file, record);
                check_record(&record, gated);
                // SoLU neurons are ranked before their norm, and what multiplies W_out stands beside it
                let solu = name == "solu";
                let hook = format!(
                    "blocks.{layer}.mlp.{}",
                    if solu { "hook_mid" } else { "hook_post" }
                );
                assert_eq!(record["hook"], hook.as_str());
                assert_eq!(record["stats"]["hook_post"]["count"].is_u64(), solu);
                let examples = record["examples"].as_object().unwrap().values();
                let mut examples = examples.flat_map(|list| list.as_array().unwrap());
                assert!(examples.all(|example| example["hook_post"].is_number() == solu));
            }
        }
    }
}

fn check_record(record: &Value, gated: bool) {
    let stats = &record["stats"];
    let count: u64 = stats["histogram"]["counts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c.as_u64().unwrap())
        .sum();
    assert_eq!(count, stats["count"].as_u64().unwrap());
    let edges = stats["histogram"]["edges"].as_array().unwrap();
    assert_eq!(
        edges.len(),
        stats["histogram"]["counts"].as_array().unwrap().len() + 1
    );
    assert!(
        edges
            .windows(2)
            .all(|pair| pair[0].as_f64() <= pair[1].as_f64())
    );
    assert_eq!(record.get("signs").is_some(), gated);
    let lists = record["examples"].as_object().unwrap();
    // fewer than 20 where documents peak on the same eight tokens
    for (list, n) in [("top", 10..=20), ("bottom", 10..=20), ("random", 10..=10)] {
        assert!(n.contains(&lists[list].as_array().unwrap().len()), "{list}");
    }
    assert_eq!(lists["top"][0]["value"].as_f64(), stats["max"].as_f64());
    assert_eq!(lists["bottom"][0]["value"].as_f64(), stats["min"].as_f64());
    for (list, examples) in lists {
        let examples = examples.as_array().unwrap();
        let value = |e: &Value| e["value"].as_f64().unwrap();
        let docs: std::collections::HashSet<u64> = examples
            .iter()
            .map(|e| e["doc"].as_u64().unwrap())
            .collect();
        match list.as_str() {
            "top" => assert!(examples.windows(2).all(|p| value(&p[0]) >= value(&p[1]))),
            "bottom" => assert!(examples.windows(2).all(|p| value(&p[0]) <= value(&p[1]))),
            case if case.starts_with("gate") => {
                assert!(
                    examples
                        .windows(2)
                        .all(|p| value(&p[0]).abs() >= value(&p[1]).abs())
                )
            }
            _ => continue,
        }
        assert_eq!(
            docs.len(),
            examples.len(),
            "{list}: one example per document"
        );
    }
    for example in lists.values().flat_map(|list| list.as_array().unwrap()) {
        let (tokens, peak) = (
            example["tokens"].as_array().unwrap(),
            example["peak"].as_u64().unwrap() as usize,
        );
        assert_eq!(tokens.len(), example["ids"].as_array().unwrap().len());
        assert_eq!(tokens.len(), example["values"].as_array().unwrap().len());
        assert!(tokens.len() <= 61 && peak <= 50 && peak < tokens.len());
        assert_eq!(example["values"][peak].as_f64(), example["value"].as_f64());
        assert!(peak == 50 || example["start"] == 0);
    }
}

/// Links and sources of a page, relative to it.
fn links(html: &str) -> Vec<String> {
    let mut out = Vec::new();
    for attribute in ["href=\"", "src=\""] {
        for (at, _) in html.match_indices(attribute) {
            let rest = &html[at + attribute.len()..];
            out.push(rest[..rest.find('"').unwrap()].to_owned());
        }
    }
    out
}

#[test]
fn every_link_leads_somewhere() {
    let (_dir, site) = built("llama", 30);
    let mut n = 0;
    for (name, bytes) in files(&site)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".html"))
    {
        let html = String::from_utf8(bytes).unwrap();
        let page = site.join(&name);
        for link in links(&html) {
            if link.starts_with("https://example.org/atlas/") {
                continue; // the canonical address
            }
            assert!(
                !link.contains("://"),
                "{name} points to another host: {link}"
            );
            let path = link.split('#').next().unwrap();
            if path.is_empty() {
                continue;
            }
            let target = match path.strip_prefix("/atlas/") {
                Some(absolute) => site.join(absolute), // 404.html stands at any address
                None => page.parent().unwrap().join(path),
            };
            assert!(target.is_file(), "{name}: {link}");
            n += 1;
        }
        assert!(name != "404.html" || html.contains("href=\"/atlas/assets/neuroscope.css\""));
    }
    assert!(n > 1000);
}

#[test]
fn the_first_and_last_neurons_have_no_dead_ends() {
    let (_dir, site) = built("llama", 9);
    let read = |name: &str| fs::read_to_string(site.join("tiny").join(name)).unwrap();
    let rel = |html: &str, rel: &str| {
        let (_, rest) = html.split_once(&format!("<a rel=\"{rel}\" href=\""))?;
        Some(rest[..rest.find('"').unwrap()].to_owned())
    };
    assert_eq!(rel(&read("0/0.html"), "prev"), None);
    assert_eq!(rel(&read("0/0.html"), "next"), Some("1.html".into()));
    assert_eq!(rel(&read("0/36.html"), "next"), Some("../1/0.html".into()));
    assert_eq!(rel(&read("1/0.html"), "prev"), Some("../0/36.html".into()));
    assert_eq!(rel(&read("2/36.html"), "next"), None);
    assert_eq!(rel(&read("2/index.html"), "next"), None);
    assert!(read("model.html").contains("url=index.html"));
}

#[test]
fn the_indexes_agree_with_the_records() {
    let (_dir, site) = built("gpt2", 30);
    let json = |name: &str| -> Value {
        serde_json::from_slice(&fs::read(site.join("tiny").join(name)).unwrap()).unwrap()
    };
    let model = json("index.json");
    assert_eq!(
        (&model["n_layers"], &model["d_mlp"], &model["n_neurons"]),
        (&2.into(), &33.into(), &66.into())
    );
    assert_eq!(model["layers"].as_array().unwrap().len(), 2);
    for layer in 0..2 {
        let index = json(&format!("{layer}/index.json"));
        let ranking: Vec<u64> = index["ranking"]["neurons"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap())
            .collect();
        assert_eq!(ranking.len(), 33);
        for (at, neuron) in ranking.iter().enumerate() {
            let record = json(&format!("{layer}/{neuron}.json"));
            assert_eq!(record["interest"]["kurtosis"]["rank_in_layer"], at + 1);
            assert_eq!(
                record["interest"]["kurtosis"]["value"],
                index["columns"]["kurtosis"][*neuron as usize]
            );
        }
    }
    let sitemap = fs::read_to_string(site.join("sitemap.xml")).unwrap();
    assert_eq!(sitemap.matches("<loc>").count(), 1 + 1 + 1 + 2 + 66);
    assert!(sitemap.contains("<loc>https://example.org/atlas/tiny/tokens.html</loc>"));
    assert!(sitemap.contains("<loc>https://example.org/atlas/tiny/1/32.html</loc>"));
}

#[test]
fn documents_are_the_corpus() {
    let (dir, site) = built("llama", 30);
    let index: Value =
        serde_json::from_slice(&fs::read(site.join("tiny/docs/index.json")).unwrap()).unwrap();
    assert_eq!(index["n_documents"], 30);
    let corpus = fs::read_to_string(dir.path().join("corpus.jsonl")).unwrap();
    let mut texts = corpus
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    for start in index["starts"].as_array().unwrap() {
        let file = site.join(format!("tiny/docs/{:06}.json", start.as_u64().unwrap()));
        let file: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        for document in file["documents"].as_array().unwrap() {
            let mut bytes = Vec::new();
            for (at, token) in document["tokens"].as_array().unwrap().iter().enumerate() {
                match document["bytes"]
                    .get(at.to_string())
                    .and_then(Value::as_str)
                {
                    Some(hex) => bytes.extend(
                        (0..hex.len())
                            .step_by(2)
                            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()),
                    ),
                    None => bytes.extend_from_slice(token.as_str().unwrap().as_bytes()),
                }
            }
            let original = texts.next().unwrap();
            assert_eq!(
                String::from_utf8(bytes).unwrap(),
                original["text"].as_str().unwrap()
            );
            assert_eq!(document["id"], original["id"]);
        }
    }
    assert!(texts.next().is_none());
}

#[test]
fn hard_texts_cannot_become_markup() {
    let (_dir, site) = built("llama", 30);
    for (name, bytes) in files(&site.join("tiny"))
        .into_iter()
        .filter(|(name, _)| name.ends_with(".html"))
    {
        let html = String::from_utf8(bytes).unwrap();
        for forbidden in [
            "<br>",
            "<script>",
            "alert(1)</script",
            "<!-- comment",
            "\u{0}",
            "\u{202e}",
            "\u{2028}",
            "\u{1b}",
        ] {
            assert!(!html.contains(forbidden), "{name} has {forbidden:?}");
        }
        // scripts: mode, site, models, and at most a page's own and its record
        assert!(html.matches("<script").count() <= 5, "{name}");
        assert_eq!(
            html.matches("<script").count(),
            html.matches("</script>").count(),
            "{name}"
        );
        assert!(
            !html.contains("style=\"") && !html.contains(" onclick"),
            "{name} would break a strict content policy"
        );
    }
}

#[test]
fn a_theme_overrides_blocks_and_notes_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    scan(project, "llama", 9, &["--name", "tiny"]);
    let write = |name: &str, text: &str| {
        let path = project.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write(
        "theme/templates/base.html",
        "{% extends \"neuroscope/base.html\" %}{% block footer %}<p>our own footer</p>{% endblock %}",
    );
    write(
        "theme/templates/neuron.html",
        "{% extends \"neuroscope/neuron.html\" %}{% block cards %}<p>no cards for {{ layer }}.{{ neuron }}</p>{% endblock %}",
    );
    write("theme/assets/neuroscope.css", "body { color: teal }");
    write("content/index.md", "# Our atlas\n\nWelcome.");
    write(
        "content/about.md",
        "+++\ntitle = \"About\"\nmenu = 1\n+++\nWho <script>alert(1)</script> we are.",
    );
    write(
        "content/notes/tiny/1/5.md",
        "+++\ntitle = \"A note\"\nauthor = \"R. Reader\"\n+++\nIt fires on **text**.",
    );
    write("content/notes/tiny/9/5.md", "No such layer.");
    let said = succeed(neuroscope(project).arg("build"));
    assert!(said.stderr.contains("notes/tiny/9/5.md"), "{}", said.stderr);
    let read = |name: &str| fs::read_to_string(project.join("site").join(name)).unwrap();
    let page = read("tiny/1/5.html");
    assert!(page.contains("no cards for 1.5") && !page.contains("class=\"cards\""));
    assert!(page.contains("our own footer") && page.contains("id=\"neuron\""));
    assert!(page.contains("It fires on <strong>text</strong>") && page.contains("R. Reader"));
    assert!(read("tiny/index.html").contains("<a href=\"1/5.html\">1.5</a> A note"));
    assert!(
        read("index.html").contains("Our atlas")
            && read("index.html").contains("<a href=\"about.html\">About</a>")
    );
    assert!(!read("about.html").contains("alert(1)</script>"));
    assert_eq!(read("assets/neuroscope.css"), "body { color: teal }");

    write(
        "theme/templates/neuron.html",
        "{% extends \"neuroscope/neuron.html\" %}{% block cards %}{{ nothing.at.all }}{% endblock %}",
    );
    let before = files(&project.join("site"));
    crate::support::fail(neuroscope(project).arg("build"), &["neuron.html"]);
    assert!(before.iter().all(|(name, bytes)| {
        fs::read(project.join("site").join(name)).is_ok_and(|now| now == *bytes)
    }));
}

#[test]
fn the_site_of_two_models_is_complete() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    scan(project, "llama", 9, &[]);
    scan(project, "gpt2", 9, &[]);
    succeed(neuroscope(project).arg("build"));
    let home = fs::read_to_string(project.join("site/index.html")).unwrap();
    assert!(home.contains("llama/index.html") && home.contains("gpt2/index.html"));
    for file in [
        "llama/0/0.html",
        "gpt2/0/0.html",
        "gpt2/random.html",
        "llama/2/random.html",
        ".nojekyll",
        "schema/neuron.v1.json",
    ] {
        assert!(
            project.join("site").join(Path::new(file)).is_file(),
            "{file}"
        );
    }
    let data = project.join("data/llama");
    let twice = [
        "build",
        "--data",
        data.to_str().unwrap(),
        "--data",
        data.to_str().unwrap(),
    ];
    crate::support::fail(
        neuroscope(project).args(twice),
        &["two atlases are named `llama`"],
    );
}
