//! Atlases that lack columns: those of earlier versions, and those that were not scanned. What is not there is said to be
//! not known, and never made up.

use std::fs;
use std::path::Path;

use neuroscope::atlas::Atlas;
use neuroscope::atlas::facts::MEAN_ABS;

use crate::support::tables::{leave_out, tables};
use crate::support::{fail, neuroscope, record, scan, succeed};

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

fn tables_of_part(data: &Path) -> Vec<std::path::PathBuf> {
    let part = data.join("parts/part-00000-of-00001");
    let names = crate::support::files(&part)
        .into_iter()
        .map(|(name, _)| name);
    let stats = names.filter(|name| name.ends_with("stats.parquet"));
    stats.map(|name| part.join(name)).collect()
}
