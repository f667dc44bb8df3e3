//! Atlases that lack columns: those of earlier versions, and those that were not scanned. What is not there is said to be
//! not known, and never made up.

use std::fs;
use std::path::Path;

use neuroscope::atlas::facts::MEAN_ABS;
use neuroscope::atlas::{Atlas, Moments, build, find_parts};
use neuroscope::gpu::DeviceName;
use neuroscope::verify::{VerifyOptions, verify};

use crate::support::tables::{groups, leave_out, tables};
use crate::support::{fail, files, neuroscope, record, scan, succeed};

const OPTIONS: VerifyOptions = VerifyOptions {
    neurons: 1,
    examples: 1,
    tolerance: 1e-3,
    seed: 0,
    full: false,
    device: DeviceName::Cpu,
};

fn index(project: &Path, model: &str) -> serde_json::Value {
    let path = project.join("site").join(model).join("index.json");
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn an_atlas_without_a_later_column_does_not_know_it() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    scan(project, "llama", 8, &[]);
    let data = project.join("data/llama");
    let known = Atlas::open(&data.join("atlas")).unwrap();
    let of_first = known.summaries(0).unwrap()[0].value(&MEAN_ABS);
    assert!(of_first.unwrap() > 0.0);
    succeed(neuroscope(project).arg("build"));
    assert_eq!(index(project, "llama")["missing"], serde_json::json!([]));
    let with = record(&project.join("site/llama/0/0.html"));
    assert!(with["stats"]["mean_abs"].as_f64().unwrap() > 0.0);

    for path in tables(&data).into_iter().chain(tables_of_part(&data)) {
        leave_out(&path, |name| ["sum_abs", "mean_abs"].contains(&name));
    }
    succeed(neuroscope(project).args(["verify"]).arg(&data));
    succeed(neuroscope(project).arg("build"));
    assert_eq!(
        index(project, "llama")["missing"],
        serde_json::json!(["mean_abs"])
    );
    let page = fs::read_to_string(project.join("site/llama/index.html")).unwrap();
    assert_eq!(page.matches("Not known in this atlas.").count(), 1);
    let mut without = record(&project.join("site/llama/0/0.html"));
    assert_eq!(without["stats"]["mean_abs"], serde_json::Value::Null);
    without["stats"]["mean_abs"] = with["stats"]["mean_abs"].clone();
    assert_eq!(without, with, "everything else is what it was");
}

#[test]
fn an_atlas_that_was_not_scanned_may_know_little() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    scan(project, "llama", 8, &[]);
    let data = project.join("data/llama");
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
    succeed(neuroscope(project).arg("build"));
    let stats = &record(&project.join("site/llama/1/0.html"))["stats"];
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
    succeed(neuroscope(project).arg("merge").arg(&data));
    assert!(
        Atlas::open(&data.join("atlas"))
            .unwrap()
            .layer(0)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .stats
            .histogram
            .is_some()
    );
    for path in tables_of_part(&data) {
        leave_out(&path, |name| {
            name.starts_with("histogram") || name == "sum2"
        });
    }
    fs::remove_dir_all(data.join("atlas")).unwrap();
    succeed(neuroscope(project).arg("merge").arg(&data));
    let atlas = Atlas::open(&data.join("atlas")).unwrap();
    let neuron = atlas.layer(0).unwrap().next().unwrap().unwrap();
    assert!(neuron.stats.histogram.is_none() && neuron.stats.moments.sums.is_none());
    assert_eq!(
        atlas.summaries(0).unwrap()[0].value(&neuroscope::atlas::facts::KURTOSIS),
        None
    );
    // what every table has is missed
    for path in tables(&data) {
        leave_out(&path, |name| name == "count");
    }
    fail(
        neuroscope(project).arg("build"),
        &["neurons.parquet", "column `count` is missing"],
    );
}

/// What one table lacks and others give is one problem for each column, not one for each neuron.
#[test]
fn a_column_that_the_table_of_neurons_lacks_is_reported_once() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    scan(project, "llama", 8, &[]);
    let data = project.join("data/llama");
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

/// Every column that a table may lack, in the atlas and in its parts: what is left is read, merged and verified, and no
/// other value changes. A null in one row is as good as an absent column, for that row.
#[test]
fn any_column_that_may_be_absent_may_be_absent_alone() {
    for name in ["llama", "gpt2", "solu"] {
        let dir = tempfile::tempdir().unwrap();
        scan(dir.path(), name, 6, &["--top-k", "3", "--case-k", "2"]);
        let data = dir.path().join("data").join(name);
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
                let merged = dir.path().join("merged");
                let parts = find_parts(&data.join("parts")).unwrap();
                let result = build(&parts, &merged, &|_| true);
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
    let names = crate::support::files(&part)
        .into_iter()
        .map(|(name, _)| name);
    let stats = names.filter(|name| name.ends_with("stats.parquet"));
    stats.map(|name| part.join(name)).collect()
}
