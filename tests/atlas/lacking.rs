//! Atlases that lack columns: those of earlier versions, and those that were not scanned. What is not there is said to be
//! not known, and never made up.

use std::fs;
use std::path::Path;

use neuroscope::atlas::facts::MEAN_ABS;
use neuroscope::atlas::{Atlas, Moments, build, find_parts};
use neuroscope::gpu::DeviceName;
use neuroscope::verify::{VerifyOptions, verify};

use crate::support::tables::{groups, leave_out, put_texts, tables, texts};
use crate::support::{Project, data_command, files, succeed};

const OPTIONS: VerifyOptions = VerifyOptions {
    neurons: 1,
    examples: 1,
    tolerance: 1e-3,
    seed: 0,
    full: false,
    device: DeviceName::Cpu,
};

#[test]
fn an_atlas_without_a_later_column_does_not_know_it() {
    let project = Project::new().scan("llama", 12, &[]);
    let data = project.data("llama");
    let known = project.atlas("llama");
    let of_first = known.summaries(0).unwrap()[0].value(&MEAN_ABS);
    assert!(of_first.unwrap() > 0.0);
    project.build(&[]);
    assert_eq!(
        project.json("llama/index.json")["missing"],
        serde_json::json!([])
    );
    let with = project.record("llama/0/0.html");
    assert!(with["stats"]["mean_abs"].as_f64().unwrap() > 0.0);

    for path in tables(&data).into_iter().chain(tables_of_part(&data)) {
        leave_out(&path, |name| ["sum_abs", "mean_abs"].contains(&name));
    }
    succeed(&mut data_command(&project, "verify", &data));
    project.build(&[]);
    assert_eq!(
        project.json("llama/index.json")["missing"],
        serde_json::json!(["mean_abs"])
    );
    let page = project.page("llama/index.html");
    assert_eq!(page.matches("Not known in this atlas.").count(), 1);
    let mut without = project.record("llama/0/0.html");
    assert_eq!(without["stats"]["mean_abs"], serde_json::Value::Null);
    without["stats"]["mean_abs"] = with["stats"]["mean_abs"].clone();
    assert_eq!(without, with, "everything else is what it was");
}

#[test]
fn an_atlas_that_was_not_scanned_may_know_little() {
    let project = Project::new().scan("llama", 12, &[]);
    let data = project.data("llama");
    let is_out = |name: &str| {
        [
            "sum",
            "special",
            "histogram",
            "firing",
            "above",
            "not_finite",
            "gate",
            "mean",
            "variance",
            "skewness",
        ]
        .iter()
        .any(|start| name.starts_with(start))
            || [
                "kurtosis",
                "frequency",
                "dead",
                "rare",
                "context",
                "duplicates",
            ]
            .contains(&name)
    };
    let of_scan = |path: &&std::path::PathBuf| !path.to_str().unwrap().contains("weights");
    for path in tables(&data).iter().filter(of_scan) {
        leave_out(path, is_out);
    }
    let atlas = Atlas::open(&data.join("atlas")).unwrap();
    let neuron = atlas.layer(1).unwrap().next().unwrap().unwrap();
    assert_eq!(neuron.stats.moments.mean(), None);
    assert_eq!(
        (neuron.stats.quantile(0.5), neuron.stats.n_firing),
        (None, None)
    );
    assert!(neuron.stats.special.is_none() && neuron.stats.cases.is_none());
    assert!(neuron.stats.moments.count > 0 && neuron.stats.moments.max > neuron.stats.moments.min);
    project.build(&[]);
    let stats = &project.record("llama/1/0.html")["stats"];
    for name in ["mean", "variance", "not_finite", "special", "histogram"] {
        assert!(stats[name].is_null(), "{name}: {}", stats[name]);
    }
    assert!(
        stats["quantiles"]
            .as_object()
            .unwrap()
            .values()
            .all(serde_json::Value::is_null)
    );
    assert!(stats["max"].as_f64().unwrap() > 0.0);
    // a part that knows less makes an atlas that knows less
    fs::remove_dir_all(data.join("atlas")).unwrap();
    succeed(&mut data_command(&project, "merge", &data));
    let first = |atlas: &Atlas| atlas.layer(0).unwrap().next().unwrap().unwrap().stats;
    assert!(first(&project.atlas("llama")).histogram.is_some());
    for path in tables_of_part(&data) {
        leave_out(&path, |name| {
            name.starts_with("histogram") || name == "sum2"
        });
    }
    fs::remove_dir_all(data.join("atlas")).unwrap();
    succeed(&mut data_command(&project, "merge", &data));
    let atlas = project.atlas("llama");
    let stats = first(&atlas);
    assert!(stats.histogram.is_none() && stats.moments.sums.is_none());
    assert_eq!(
        atlas.summaries(0).unwrap()[0].value(&neuroscope::atlas::facts::KURTOSIS),
        None
    );
    // what every table has is missed
    for path in tables(&data) {
        leave_out(&path, |name| name == "count");
    }
    project.build_refused(&[], &["neurons.parquet", "column `count` is missing"]);
}

/// What one table lacks and others give is one problem for each column, not one for each neuron.
#[test]
fn a_column_that_the_table_of_neurons_lacks_is_reported_once() {
    let project = Project::new().scan("llama", 12, &[]);
    let data = project.data("llama");
    leave_out(&data.join("atlas/neurons.parquet"), |name| {
        ["mean_abs", "skewness_rank_in_model"].contains(&name)
    });
    let report = verify(&data, None, &OPTIONS, &|_| true).unwrap();
    let wrong = report.wrong.iter();
    let wrong: Vec<_> = wrong
        .map(|one| format!("{}: {}", one.file, one.what))
        .collect();
    let lacks =
        |column| format!("atlas/neurons.parquet: it lacks `{column}`, which the other tables give");
    assert_eq!(wrong, ["mean_abs", "skewness_rank_in_model"].map(lacks));
}

/// An atlas may have the texts of its tokens; where there is a corpus too, they are those of the corpus.
#[test]
fn texts_of_tokens_are_compared_with_the_corpus() {
    let project = Project::new().scan("llama", 12, &[]);
    let data = project.data("llama");
    fs::remove_dir_all(data.join("parts")).unwrap();
    let path = data.join("atlas/layer-001.examples.parquet");
    let atlas = project.atlas("llama");
    let neurons = atlas.layer(1).unwrap().map(Result::unwrap);
    let rows: Vec<_> = neurons.flat_map(|neuron| neuron.examples).collect();
    assert!(rows.iter().all(|row| row.tokens.is_none()));
    let mut texts = texts(&data, 1);
    put_texts(&path, &texts);
    let report = || verify(&data, None, &OPTIONS, &|_| true).unwrap();
    assert_eq!(report().wrong.first().map(|one| &one.what), None);
    let atlas = project.atlas("llama");
    let neuron = atlas.layer(1).unwrap().next().unwrap().unwrap();
    assert_eq!(neuron.examples[0].tokens, texts[0]);

    texts[0].as_mut().unwrap()[1].push('!');
    put_texts(&path, &texts);
    let report = report();
    assert_eq!(report.n_wrong, 1);
    let pos = rows[0].example.window.start + 1;
    let expected = format!("`tokens` has another text for position {pos}");
    let what = &report.wrong[0].what;
    assert!(what.ends_with(&expected), "{what}");
}

/// Every column that a table may lack, in the atlas and in its parts: what is left is read, merged and verified, and no
/// other value changes. A null in one row is as good as an absent column, for that row.
#[test]
fn any_column_that_may_be_absent_may_be_absent_alone() {
    for name in ["llama", "gpt2", "solu"] {
        let project = Project::new().scan(name, 6, &["--top-k", "3", "--case-k", "2"]);
        let data = project.data(name);
        let part = data.join("parts/part-00000-of-00001");
        let whole: Vec<_> = files(&data);
        let restore = || {
            for (name, bytes) in &whole {
                fs::write(data.join(name), bytes).unwrap();
            }
        };
        let before = Atlas::open(&data.join("atlas")).unwrap();
        let before: Vec<_> = before.layer(0).unwrap().map(Result::unwrap).collect();
        for table in ["layer-000.stats.parquet", "layer-000.examples.parquet"] {
            let schema = groups(&part.join(table))[0].schema();
            let optional = schema.fields().iter().filter(|field| field.is_nullable());
            let columns: Vec<String> = optional.map(|field| field.name().clone()).collect();
            assert!(columns.len() > 1, "{columns:?}");
            for column in &columns {
                let what = format!("{name}: {table} without {column}");
                // in both, so that nothing contradicts anything
                for folder in [&data.join("atlas"), &part] {
                    leave_out(&folder.join(table), |one| one == column);
                }
                let atlas = Atlas::open(&data.join("atlas")).unwrap();
                let found: Vec<_> = atlas.layer(0).unwrap().map(Result::unwrap).collect();
                for (found, before) in found.iter().zip(&before) {
                    let (stats, was) = (&found.stats, &before.stats);
                    assert_eq!(
                        (stats.moments.max, stats.moments.count),
                        (was.moments.max, was.moments.count),
                        "{what}"
                    );
                    for (a, b) in [
                        (stats.n_firing, was.n_firing),
                        (stats.n_above_tau, was.n_above_tau),
                        (stats.not_finite, was.not_finite),
                    ] {
                        assert!(a.is_none() || a == b, "{what}");
                    }
                    assert!(is_less(stats.special, was.special), "{what}");
                    assert!(is_less(stats.post, was.post), "{what}");
                    assert!(stats.cases.is_none() || stats.cases == was.cases, "{what}");
                    assert!(
                        stats.histogram.is_none() || stats.histogram == was.histogram,
                        "{what}"
                    );
                    for (row, was) in found.examples.iter().zip(&before.examples) {
                        assert_eq!(
                            (row.example.doc, row.example.value),
                            (was.example.doc, was.example.value),
                            "{what}"
                        );
                    }
                }
                let merged = project.join("merged");
                let parts = find_parts(&data.join("parts")).unwrap();
                let result = build(&parts, None, &merged, &|_| true);
                match ["context", "duplicates"].contains(&column.as_str()) {
                    true => assert!(
                        result.unwrap_err().to_string().contains("near-duplicates"),
                        "{what}"
                    ),
                    false => {
                        result.unwrap();
                        let report = verify(&data, None, &OPTIONS, &|_| true).unwrap();
                        let derived = report
                            .wrong
                            .iter()
                            .filter(|wrong| !wrong.file.contains("neurons.parquet"));
                        // without a histogram a merge draws no bands, which this atlas has
                        let is_drawn = column.starts_with("histogram");
                        let n = derived.count();
                        assert!(n == 0 || is_drawn, "{what}: {:?}", report.wrong.first());
                        fs::remove_dir_all(&merged).unwrap();
                    }
                }
                restore();
            }
        }
    }
}

/// Whether moments are those of before, as far as they are known.
fn is_less(found: Option<Moments>, before: Option<Moments>) -> bool {
    match (found, before) {
        (Some(found), Some(before)) => {
            let sums = found.sums.or(before.sums);
            Moments { sums, ..found } == before
        }
        (None, _) => true,
        _ => false,
    }
}

fn tables_of_part(data: &Path) -> Vec<std::path::PathBuf> {
    let part = data.join("parts/part-00000-of-00001");
    let names = files(&part).into_iter().map(|(name, _)| name);
    let stats = names.filter(|name| name.ends_with("stats.parquet"));
    stats.map(|name| part.join(name)).collect()
}
