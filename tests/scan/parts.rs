//! Any split of a scan gives the same atlas.

use std::fs;

use neuroscope::atlas::{AtlasNeuron, NeuronStats};

use crate::support::{Project, copy, data_command, fail, model, scan_command, succeed};

/// Everything equal, sums up to rounding.
pub(super) fn assert_same(a: &[AtlasNeuron], b: &[AtlasNeuron]) {
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(b) {
        assert_eq!(a.examples, b.examples, "{}", a.id);
        assert_eq!(a.stats.histogram, b.stats.histogram);
        let close = |a: f64, b: f64| (a - b).abs() <= 1e-12 * a.abs().max(1.0);
        let (m, n) = (&a.stats.moments, &b.stats.moments);
        assert_eq!((m.count, m.min, m.max), (n.count, n.min, n.max));
        assert!(
            m.sums
                .unwrap()
                .iter()
                .zip(n.sums.unwrap())
                .all(|(a, b)| close(*a, b)),
            "{}: {:?} {:?}",
            a.id,
            m.sums,
            n.sums
        );
        let post = |stats: &NeuronStats| stats.post.map(|post| (post.count, post.min, post.max));
        assert_eq!(post(&a.stats), post(&b.stats));
        assert_eq!(
            (a.stats.n_firing, a.stats.n_above_tau, a.stats.not_finite),
            (b.stats.n_firing, b.stats.n_above_tau, b.stats.not_finite)
        );
        for (c, d) in a
            .stats
            .cases
            .iter()
            .flatten()
            .zip(b.stats.cases.iter().flatten())
        {
            assert_eq!((c.count, c.extremes), (d.count, d.extremes));
            assert!(c.sums.iter().zip(d.sums).all(|(a, b)| close(*a, b)));
        }
        assert_eq!(a.weights, b.weights);
    }
}

#[test]
fn one_scan_equals_its_parts_merged_whatever_the_batches() {
    for (name, more) in [
        ("llama", &["--keep-hooks"][..]),
        ("llama", &[]),
        ("gpt2", &[]),
    ] {
        let project = Project::new().scan(name, 40, more);
        let whole = project.neurons(name);
        assert!(whole.iter().any(|neuron| neuron.examples.len() > 40));
        let mut examples = whole.iter().flat_map(|neuron| &neuron.examples);
        let has_hooks = examples.any(|row| row.example.hooks.is_some());
        assert_eq!(has_hooks, !more.is_empty());

        let mut split = Project::new();
        for part in ["2/3", "0/3", "1/3"] {
            let options = [&["--part", part, "--batch-tokens", "50"], more].concat();
            split = split.scan(name, 40, &options);
        }
        let mut merge = data_command(&split, "merge", &split.data(name));
        succeed(merge.arg("--model").arg(model(name)));
        assert_same(&whole, &split.neurons(name));

        let options = [&["--batch-tokens", "1"], more].concat();
        let small = Project::new().scan(name, 40, &options);
        assert_same(&whole, &small.neurons(name));
    }
}

#[test]
fn parts_of_different_scans_are_not_merged() {
    let project = Project::new().scan("llama", 12, &["--part", "0/2"]);
    let a = project.data("llama");
    let merge = || data_command(&project, "merge", &a);
    fail(&mut merge(), &["part 1 of 2 is missing"]);
    let mut scan = scan_command(&project, &model("llama"), &project.join("corpus.jsonl"));
    fail(
        scan.args(["--part", "0/3"]),
        &[
            "part-00000-of-00002",
            "another number of parts; this one has 3",
            "hint: ",
        ],
    );

    let other = Project::new().scan("llama", 12, &["--part", "1/2", "--tau", "0.5"]);
    let part = "parts/part-00001-of-00002";
    copy(&other.data("llama").join(part), &a.join(part));
    fail(
        &mut merge(),
        &["part-00001-of-00002", "different policy", "hint: "],
    );

    fs::remove_dir_all(a.join(part)).unwrap();
    project.scan_here("llama", 12, &["--part", "1/2"]);
    let manifest = a.join(part).join("manifest.json");
    let own = fs::read_to_string(&manifest).unwrap();
    let version = format!("\"neuroscope\": \"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(own.contains(&version));
    fs::write(
        &manifest,
        own.replace(&version, "\"neuroscope\": \"9.9.9\""),
    )
    .unwrap();
    fail(
        &mut merge(),
        &["part-00001-of-00002", "different versions", "9.9.9"],
    );
    fs::write(&manifest, own).unwrap();
    succeed(&mut merge());
    fail(
        merge().arg("--model").arg(model("gpt2")),
        &["different weights"],
    );

    copy(&a.join(part), &a.join("parts/part-copy"));
    fail(&mut merge(), &["part 1 of 2 is also in"]);
}
