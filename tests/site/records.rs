//! The pages and the records that they embed.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use neuroscope::atlas::Side;
use serde_json::Value;

use crate::support::{Example, Project, examples, files, links, tokens};

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

#[test]
fn every_record_is_valid_and_agrees_with_itself() {
    let schema = neuroscope::site::schema("neuron.json").unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for (name, gated, n_layers, d_mlp) in [
        ("llama", true, 3, 37),
        ("gpt2", false, 2, 33),
        ("solu", false, 3, 37),
    ] {
        let project = Project::tiny(name);
        for layer in 0..n_layers {
            for neuron in 0..d_mlp {
                let page = format!("tiny/{layer}/{neuron}");
                let record = project.record(&format!("{page}.html"));
                let errors: Vec<String> = validator
                    .iter_errors(&record)
                    .map(|e| format!("{}: {e}", e.instance_path()))
                    .collect();
                assert!(errors.is_empty(), "{page}: {errors:?}");
                numbers_are_finite(&record, &page);
                assert_eq!(project.json(&format!("{page}.json")), record);
                check_record(&record, gated);
                // SoLU neurons are ranked before their norm, and what multiplies W_out stands beside it
                let solu = name == "solu";
                let hook = format!(
                    "blocks.{layer}.mlp.{}",
                    if solu { "hook_mid" } else { "hook_post" }
                );
                assert_eq!(record["hook"], hook.as_str());
                assert_eq!(record["stats"]["hook_post"]["count"].is_u64(), solu);
                let posts = record["examples"]["hook_post"].as_array();
                assert_eq!(posts.is_some(), solu);
                let n = record["examples"]["value"].as_array().unwrap().len();
                assert!(posts.is_none_or(|posts| posts.len() == n));
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
    let first = stats["histogram"]["first_bin"].as_u64().unwrap() as usize;
    let n_bins = stats["histogram"]["counts"].as_array().unwrap().len();
    let last = first + n_bins - 1;
    assert!(last < 256);
    for (bin, end) in [(first, "min"), (last, "max")] {
        let value = stats[end].as_f64().unwrap();
        let (from, until) = neuroscope::atlas::histogram::edges(bin);
        assert!(from <= value && value <= until, "{end}: {value}");
    }
    assert_eq!(record.get("signs").is_some(), gated);
    let lists = record["lists"].as_object().unwrap();
    // fewer than 20 where documents peak on the same eight tokens
    for (list, n) in [("top", 10..=20), ("bottom", 10..=20), ("random", 10..=10)] {
        assert!(n.contains(&examples(record, list).len()), "{list}");
    }
    let first = |list| Some(examples(record, list)[0].value);
    assert_eq!(first("top"), stats["max"].as_f64());
    assert_eq!(first("bottom"), stats["min"].as_f64());
    let mut seen = HashSet::new();
    for (list, of) in lists {
        let examples = examples(record, list);
        for example in &examples {
            assert_eq!(example.tokens.len(), example.values.len());
            assert!(example.tokens.len() <= 61 && example.peak <= 50);
            assert_eq!(example.values[example.peak], Some(example.value));
            assert!(example.peak == 50 || example.start == 0);
        }
        let rows = of["rows"].as_array().unwrap();
        seen.extend(rows.iter().map(|row| row.as_u64().unwrap()));
        if let Some(duplicates) = of["duplicates"].as_array() {
            assert_eq!(duplicates.len(), rows.len());
            assert!(duplicates.iter().any(|n| *n != 0), "left out if all are 0");
        }
        let ordered = |before: fn(&Example) -> f64| {
            let mut pairs = examples.windows(2);
            assert!(
                pairs.all(|pair| before(&pair[0]) >= before(&pair[1])),
                "{list}"
            );
        };
        match list.as_str() {
            "top" => ordered(|example| example.value),
            "bottom" => ordered(|example| -example.value),
            case if case.starts_with("gate") => ordered(|example| example.value.abs()),
            _ => continue,
        }
        let docs: HashSet<u64> = examples.iter().map(|example| example.doc).collect();
        assert_eq!(
            docs.len(),
            examples.len(),
            "{list}: one example per document"
        );
    }
    // each example is there once, and for a list
    let n = record["examples"]["value"].as_array().unwrap().len();
    assert_eq!(seen.len(), n);
    let row = |at: usize| {
        let of = |name: &str| record["examples"][name][at].to_string();
        ["doc", "start", "peak", "value", "values"].map(of)
    };
    assert_eq!((0..n).map(row).collect::<HashSet<_>>().len(), n);
}

/// Where the scan kept them, gate, act(gate) and in stand beside the values of sign cases, and make them up.
#[test]
fn hooks_stand_beside_the_examples_of_sign_cases() {
    let schema = neuroscope::site::schema("neuron.json").unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let options = [
        "--keep-hooks",
        "--n-ctx",
        "16",
        "--skip-start",
        "2",
        "--bos",
        "never",
    ];
    let project = Project::new().scan("llama", 40, &options).built(&[]);
    let info = project.json("llama/manifest.json");
    assert_eq!(info["scan"]["policy"]["stats"]["keep_hooks"], true);
    let record = project.record("llama/1/5.html");
    assert!(validator.is_valid(&record));
    let columns = &record["examples"];
    let n = columns["value"].as_array().unwrap().len();
    let (mut of_cases, mut n_values, mut n_exceeded) = (HashSet::new(), 0, 0);
    for (list, of) in record["lists"].as_object().unwrap() {
        if list.starts_with("gate") {
            let rows = of["rows"].as_array().unwrap();
            of_cases.extend(rows.iter().map(|row| row.as_u64().unwrap() as usize));
        }
    }
    assert!(!of_cases.is_empty() && of_cases.len() < n);
    for row in 0..n {
        let has = |name: &str| !columns[name][row].is_null();
        for name in ["gate", "gate_scale", "act", "act_scale", "in", "in_scale"] {
            assert_eq!(has(name), of_cases.contains(&row), "{name} of {row}");
        }
        if !of_cases.contains(&row) {
            continue;
        }
        let of = |name: &str, scale: &str| decoded(&columns[name][row], &columns[scale][row]);
        let [post, act, input] = [
            ("values", "scale"),
            ("act", "act_scale"),
            ("in", "in_scale"),
        ]
        .map(|(n, s)| of(n, s));
        let gate = of("gate", "gate_scale");
        assert_eq!(gate.1.len(), post.1.len());
        // what colours reach, if a value that is not counted is larger
        let start = columns["start"][row].as_u64().unwrap();
        for (name, (scale, values)) in [("gate", &gate), ("act", &act), ("in", &input)] {
            let of = |counted: bool| {
                let values = (start..).zip(values);
                let own = values.filter(|(pos, _)| (pos % 16 > 2) == counted);
                own.map(|(_, value)| value.abs()).fold(0.0, f64::max)
            };
            let known = columns[format!("{name}_largest")][row.to_string()].as_f64();
            assert_eq!(known.is_some(), of(false) > of(true), "{name} of {row}");
            assert!(known.is_none_or(|known| (known - of(true)).abs() < scale / 100.0));
            n_exceeded += usize::from(known.is_some());
        }
        for ((p, a), i) in post.1.iter().zip(&act.1).zip(&input.1) {
            let slack = 0.51 * (post.0 + a.abs() * input.0 + i.abs() * act.0) + act.0 * input.0;
            assert!((p - a * i).abs() <= slack, "{p} is not {a} · {i}");
            n_values += 1;
        }
    }
    assert!(n_values > 100 && n_exceeded > 0);
    let without = Project::tiny("llama").record("tiny/1/5.html");
    assert!(without["examples"].get("gate").is_none());
}

/// The scale of a window, and its values.
fn decoded(steps: &Value, scale: &Value) -> (f64, Vec<f64>) {
    let scale = scale.as_f64().unwrap();
    let steps = STANDARD.decode(steps.as_str().unwrap()).unwrap();
    let value = |step: &u8| f64::from(*step as i8) * scale;
    (scale, steps.iter().map(value).collect())
}

#[test]
fn every_link_leads_somewhere() {
    check_links(
        &Project::tiny("llama").site(),
        &["model.html", "random.html"],
    );
}

/// Checks that every link of a site for `https://example.org/atlas/` leads to a file of it, and which pages search engines are to leave out.
pub fn check_links(site: &Path, unlisted_pages: &[&str]) {
    let mut n = 0;
    for (name, bytes) in files(site)
        .into_iter()
        .filter(|(name, _)| name.ends_with(".html"))
    {
        let html = String::from_utf8(bytes).unwrap();
        let page = site.join(&name);
        let unlisted = html.contains("<meta name=\"robots\" content=\"noindex\">");
        assert_eq!(
            unlisted,
            unlisted_pages
                .iter()
                .any(|page| format!("/{name}").ends_with(&format!("/{page}"))),
            "{name}"
        );
        assert!(
            unlisted || html.contains("<meta name=\"description\" content=\""),
            "{name}"
        );
        for link in links(&html) {
            if let Some(canonical) = link.strip_prefix("https://example.org/atlas/") {
                let of_neuron = name.strip_suffix("/card.html");
                let shown = of_neuron.map_or(name.clone(), |neuron| format!("{neuron}.html"));
                assert_eq!(
                    canonical,
                    shown.strip_suffix("index.html").unwrap_or(&shown)
                );
                continue;
            }
            assert!(
                !link.contains("://"),
                "{name} points to another host: {link}"
            );
            let path = link.split(['#', '?']).next().unwrap();
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
        assert!(name != "404.html" || html.contains("href=\"/atlas/assets/base/base."));
    }
    assert!(n > 1000);
}

#[test]
fn the_first_and_last_neurons_have_no_dead_ends() {
    let project = Project::tiny("llama");
    let read = |name: &str| project.page(&format!("tiny/{name}"));
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
    let project = Project::tiny("gpt2");
    let json = |name: &str| project.json(&format!("tiny/{name}"));
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
            // those that fire at starts come last, without a rank
            let rank = match record["at_starts"] == true {
                true => Value::Null,
                false => (at + 1).into(),
            };
            assert_eq!(record["interest"]["kurtosis"]["rank_in_layer"], rank);
            assert_eq!(
                record["interest"]["kurtosis"]["value"],
                index["columns"]["kurtosis"][*neuron as usize]
            );
        }
    }
}

/// What is known of a neuron's sides is the same in its record, on its layer's page and in the files for lists.
#[test]
fn sides_starts_and_lines_are_those_of_the_atlas() {
    let project = Project::tiny("llama");
    let atlas = project.atlas("tiny");
    let mut n_starts = 0;
    for layer in 0..3 {
        let index = project.json(&format!("tiny/{layer}/index.json"));
        let page = project.page(&format!("tiny/{layer}/index.html"));
        let lists = |name: &str, neuron: u32| {
            let list = index[name].as_array().unwrap();
            list.contains(&neuron.into())
        };
        for summary in atlas.summaries(layer).unwrap() {
            let (neuron, at) = (summary.neuron, summary.neuron as usize);
            let address = format!("tiny/{layer}/{neuron}");
            let record = project.record(&format!("{address}.html"));
            let of = summary.orientation.unwrap();
            assert_eq!(record["side"]["name"], of.side.name());
            assert_eq!(record["side"]["both"], of.is_balanced());
            let balance = record["side"]["balance"].as_f64().unwrap();
            assert!((balance - f64::from(of.balance)).abs() < 1e-6);
            assert_eq!(index["sides"][at], of.side.name());
            for side in Side::ALL {
                assert_eq!(
                    record["lines"][side.name()],
                    Value::from(summary.line_of(side))
                );
            }
            assert_eq!(index["lines"][at], Value::from(summary.line()));
            let starts = summary.at_starts.unwrap();
            assert_eq!(record["at_starts"], starts.dominant);
            assert_eq!(record["at_starts_either"], starts.either);
            assert_eq!(lists("at_starts", neuron), starts.dominant);
            assert_eq!(lists("at_starts_either", neuron), starts.either);
            let row = format!("<a href=\"{neuron}.html\">{layer}.{neuron}</a></th>");
            assert_eq!(page.contains(&row), !starts.dominant, "{address}");
            let html = project.page(&format!("{address}.html"));
            let tag = "<a class=\"tag\" href=\"../index.html#at_starts\">fires at starts</a>";
            assert_eq!(html.contains(tag), starts.dominant, "{address}");
            n_starts += usize::from(starts.dominant);
        }
    }
    assert!(n_starts > 0);
    let model = project.json("tiny/index.json");
    let layers = model["layers"].as_array().unwrap().iter();
    let counts = layers.map(|layer| layer["at_starts"].as_u64().unwrap());
    assert_eq!(counts.sum::<u64>(), n_starts as u64);
    for neuron in model["top"]["neurons"].as_array().unwrap() {
        let page = neuron["page"].as_str().unwrap();
        assert_eq!(project.record(&format!("tiny/{page}"))["at_starts"], false);
    }
    let page = project.page("tiny/index.html");
    for id in ["side", "at_starts", "dead", "rare", "lines"] {
        assert!(page.contains(&format!("<dt id=\"{id}\">")), "{id}");
    }
    assert!(page.contains("within 0.1–1 %, 1–10 %, 10–50 %, 50–90 %, 90–99 %, 99–99.9 %</dd>"));
}

/// Positions that are not counted may have any value: they do not move the scale of colours.
#[test]
fn colours_reach_the_largest_value_that_counts() {
    let options = ["--n-ctx", "16", "--skip-start", "2"];
    let project = Project::new().scan("gpt2", 12, &options).built(&[]);
    let n_exceeded = (0..33).map(|neuron| {
        let record = project.record(&format!("gpt2/1/{neuron}.html"));
        let (lists, columns) = (record["lists"].as_object().unwrap(), &record["examples"]);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-5 * a.abs();
        let (mut largest, mut n_exceeded) = (0.0, 0);
        for (list, of) in lists {
            for (example, row) in examples(&record, list)
                .iter()
                .zip(of["rows"].as_array().unwrap())
            {
                let values = (example.start..).zip(&example.values);
                let values = values.map(|(pos, value)| (pos % 16 > 2, value.unwrap().abs()));
                let values: Vec<(bool, f64)> = values.collect();
                let most = |counted: bool| {
                    let own = values
                        .iter()
                        .filter(|(is_counted, _)| *is_counted == counted);
                    own.map(|(_, value)| *value).fold(0.0, f64::max)
                };
                let known = columns["largest"][row.to_string()].as_f64();
                // the scale of steps is rounded in the record
                if !close(most(false), most(true)) {
                    assert_eq!(known.is_some(), most(false) > most(true), "{list}");
                }
                assert!(known.is_none_or(|known| close(known, most(true))));
                largest = most(true).max(largest);
                n_exceeded += usize::from(known.is_some());
            }
        }
        assert!(close(record["scale_max"].as_f64().unwrap(), largest));
        n_exceeded
    });
    assert!(n_exceeded.sum::<usize>() > 0);
    let page = project.page("gpt2/index.html");
    assert!(page.contains("the first of each window and the 2 after it are not counted"));
}

/// Pages say themselves whether they are listed, so none is forgotten.
#[test]
fn the_sitemap_has_every_page_but_those_that_lead_elsewhere() {
    let project = Project::tiny("gpt2");
    let sitemap = project.page("sitemap.xml");
    let listed = sitemap.split("<loc>https://example.org/atlas/").skip(1);
    let listed: Vec<&str> = listed
        .map(|rest| rest.split_once("</loc>").unwrap().0)
        .collect();
    let is_listed = |name: &String| {
        let file = name.rsplit('/').next().unwrap();
        name.ends_with(".html")
            && !["404.html", "random.html", "model.html", "card.html"].contains(&file)
    };
    let pages = files(&project.site())
        .into_iter()
        .map(|(name, _)| name)
        .filter(is_listed);
    let pages = pages.map(|name| name.strip_suffix("index.html").unwrap_or(&name).to_owned());
    let [own, found]: [BTreeSet<String>; 2] = [
        pages.collect(),
        listed.iter().map(|page| (*page).to_owned()).collect(),
    ];
    assert_eq!(found, own);
    assert_eq!(found.len(), listed.len(), "each once");
    for page in [
        "",
        "compare.html",
        "tiny/search.html",
        "tiny/1/explore.html",
    ] {
        assert!(listed.contains(&page), "{page}");
    }
    let place = |page: &str| listed.iter().position(|one| *one == page).unwrap();
    assert!(place("tiny/0/9.html") < place("tiny/0/10.html"));
}

#[test]
fn documents_are_the_corpus() {
    let project = Project::tiny("llama");
    let index = project.json("tiny/docs/index.json");
    assert_eq!(index["n_documents"], 60);
    let corpus = fs::read_to_string(project.join("corpus.jsonl")).unwrap();
    let mut texts = corpus
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    for start in index["starts"].as_array().unwrap() {
        let file = project.json(&format!("tiny/docs/{:06}.json", start.as_u64().unwrap()));
        for document in file["documents"].as_array().unwrap() {
            let tokens = tokens(&document["text"], &document["lengths"], &document["bytes"]);
            assert_eq!(tokens.len(), document["ids"].as_array().unwrap().len());
            let bytes = tokens.concat();
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
    let site = Project::tiny("llama").site();
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
    let project = Project::new().scan("llama", 12, &["--name", "tiny"]);
    let write = |name: &str, text: &str| project.write(name, text);
    write(
        "theme/templates/base.html",
        "{% extends \"neuroscope/base.html\" %}{% block footer %}<p>our own footer</p>{% endblock %}",
    );
    write(
        "theme/templates/neuron.html",
        "{% extends \"neuroscope/neuron.html\" %}{% block cards %}<p>no cards for {{ layer }}.{{ neuron }}</p>{% endblock %}",
    );
    write("theme/assets/base/base.css", "body { color: teal }");
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
    let said = project.build(&[]);
    assert!(said.stderr.contains("notes/tiny/9/5.md"), "{}", said.stderr);
    let read = |name: &str| project.page(name);
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
    let (_, style) = page.split_once("rel=\"stylesheet\" href=\"../../").unwrap();
    let (style, _) = style.split_once('"').unwrap();
    assert_eq!(read(style), "body { color: teal }");

    write(
        "theme/templates/neuron.html",
        "{% extends \"neuroscope/neuron.html\" %}{% block cards %}{{ nothing.at.all }}{% endblock %}",
    );
    let before = files(&project.site());
    project.build_refused(&[], &["neuron.html"]);
    assert!(before.iter().all(|(name, bytes)| {
        fs::read(project.site().join(name)).is_ok_and(|now| now == *bytes)
    }));
}

#[test]
fn the_site_of_two_models_is_complete() {
    let project = Project::new().scan("llama", 12, &[]);
    let project = project.scan("gpt2", 12, &[]).built(&[]);
    let home = project.page("index.html");
    assert!(home.contains("llama/index.html") && home.contains("gpt2/index.html"));
    for file in [
        "llama/0/0.html",
        "gpt2/0/0.html",
        "gpt2/random.html",
        "llama/2/random.html",
        ".nojekyll",
        "api/v1/schema/neuron.json",
        "llama/0/0/card.html",
    ] {
        assert!(project.site().join(file).is_file(), "{file}");
    }
    let data = project.data("llama");
    let twice = ["--data", data.to_str().unwrap()].repeat(2);
    project.build_refused(&twice, &["two atlases are named `llama`"]);
}
