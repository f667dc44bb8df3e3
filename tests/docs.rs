//! What docs and schemas repeat from the code: tables of columns, the catalogue of facts. `NEUROSCOPE_UPDATE=1` writes it anew.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use neuroscope::atlas::facts::{FIRST, Fact, Group, RANKED, RARE_ONE_IN, SCANNED, Unit, facts};
use neuroscope::atlas::{SignCase, columns};
use neuroscope::shard::columns_of;
use neuroscope::site::hosts::{HOSTS, Host, count_words, size_words};
use neuroscope::stats::MlpKind;

/// Compares what stands between two lines of a file with what the code says, or writes it there.
fn check(file: &str, [first, last]: [&str; 2], expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let text = fs::read_to_string(&path).unwrap();
    let (before, rest) = text
        .split_once(&format!("{first}\n"))
        .unwrap_or_else(|| panic!("{file} has no line `{first}`"));
    let at = rest
        .find(&format!("{last}\n"))
        .unwrap_or_else(|| panic!("{file} has no line `{last}`"));
    let (found, after) = rest.split_at(at);
    if std::env::var_os("NEUROSCOPE_UPDATE").is_some() {
        fs::write(&path, format!("{before}{first}\n{expected}{after}")).unwrap();
        return;
    }
    assert_eq!(
        found, expected,
        "{file}, after `{first}`: NEUROSCOPE_UPDATE=1 writes it anew"
    );
}

fn check_table(file: &str, name: &str, head: &str, lines: impl IntoIterator<Item = String>) {
    let mut text = format!("{head}\n");
    lines.into_iter().for_each(|line| text += &(line + "\n"));
    let marks = [
        format!("<!-- {name} -->"),
        format!("<!-- end of {name} -->"),
    ];
    check(file, [&marks[0], &marks[1]], &text);
}

const COLUMNS: &str = "| column | type | |\n|---|---|---|";

#[test]
fn the_tables_of_columns_are_those_of_the_code() {
    let file = "docs/format.md";
    let of_kinds = [MlpKind::Plain, MlpKind::Solu, MlpKind::Gated].map(columns_of);
    // those that only some kinds of neuron have follow those that all have; one sign case stands for four
    let others = SignCase::ALL.map(SignCase::name);
    let of_another = |line: &String| others[1..].iter().any(|case| line.contains(case));
    for (at, name) in ["stats", "examples"].into_iter().enumerate() {
        let mut lines = of_kinds[0][at].clone();
        for of_kind in &of_kinds[1..] {
            let new: Vec<String> = of_kind[at]
                .iter()
                .filter(|line| !lines.contains(line))
                .cloned()
                .collect();
            lines.extend(new.into_iter().filter(|line| !of_another(line)));
        }
        check_table(file, name, COLUMNS, lines);
    }
    for (name, lines) in ["weights", "tokens", "neurons"].into_iter().zip(columns()) {
        check_table(file, name, COLUMNS, lines);
    }
}

#[test]
fn the_facts_are_those_of_the_catalogue() {
    let line = |fact: &Fact| {
        let is_ranked = if fact.is_ranked() { "yes" } else { "" };
        let group = fact.group.name();
        let definition = fact.definition.replace('|', "\\|");
        let Fact { key, label, .. } = fact;
        format!(
            "| `{key}` | {} | {group} | {is_ranked} | {definition} |",
            label.replace('|', "\\|")
        )
    };
    let head = "| key | name | from | ranked | |\n|---|---|---|---|---|";
    check_table("docs/definitions.md", "facts", head, facts().map(line));
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/definitions.md"))
            .unwrap();
    let rare = RARE_ONE_IN.to_string();
    let rare = format!("1 of {},{}", &rare[..3], &rare[3..]);
    assert!(
        text.contains(&rare),
        "docs/definitions.md says what rare is: {rare}"
    );
}

#[test]
fn the_limits_of_hosts_are_those_that_are_checked() {
    let line = |host: Host| {
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "–".into(), size_words);
        let count = |n: Option<u64>| n.map_or_else(|| "–".into(), count_words);
        format!(
            "| [{}]({}) | {} | {} | {} | {} | `{}` |",
            host.name,
            host.source,
            size(host.most_bytes),
            count(host.most_files),
            count(host.most_entries),
            size(host.most_file_bytes),
            host.command
        )
    };
    let head = "| host | a site | its files | entries of a folder | a file | to publish `site/` |\n|---|---|---|---|---|---|";
    check_table("docs/hosting.md", "hosts", head, HOSTS.map(line));
}

#[test]
fn the_schema_of_records_has_every_fact_that_is_ranked_or_scanned() {
    let mut lines = String::new();
    let of_record = RANKED
        .into_iter()
        .filter(|fact| fact.since == FIRST && fact.group == Group::Activations);
    let of_record = of_record.filter(|fact| !["range", "peak_ratio"].contains(&fact.key));
    let scanned = SCANNED
        .into_iter()
        .filter(|fact| fact.key != "frequency_abs");
    for fact in of_record.chain(scanned) {
        let kind = match fact.unit {
            Unit::Number => "number",
            Unit::Share => "share",
        };
        let definition = serde_json::Value::from(fact.definition);
        let _ = writeln!(
            lines,
            "        \"{}\": {{ \"$ref\": \"#/$defs/{kind}\", \"description\": {definition} }},",
            fact.key
        );
    }
    let marks = [
        "        \"not_finite\": { \"$ref\": \"#/$defs/perhaps_count\", \"description\": \"Positions left out because a value was NaN or infinite; null if not known.\" },",
        "        \"frequency_abs\": {",
    ];
    check("schema/neuron.json", marks, &lines);

    let schema = neuroscope::site::schema("neuron.json").unwrap();
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let ranked: Vec<&str> = RANKED.iter().map(|fact| fact.key).collect();
    assert_eq!(
        schema["properties"]["interest"]["required"],
        serde_json::json!(ranked)
    );
    let stats = &schema["properties"]["stats"]["properties"];
    let missing: Vec<&str> = facts()
        .filter(|fact| fact.is_scanned() && !fact.is_ranked() && stats.get(fact.key).is_none())
        .map(|fact| fact.key)
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
