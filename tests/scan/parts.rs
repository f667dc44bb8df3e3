//! From text to pages with the real program: any split gives the same atlas, the same inputs the same bytes.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use neuroscope::atlas::{AtlasNeuron, NeuronStats};
use neuroscope::load::ModelFiles;
use neuroscope::model::walk::Walk;
use neuroscope::model::{Compute, Entry, Model};
use neuroscope::tokens::store::TokenStore;

use crate::conformance::Reader;
use crate::support::{
    Project, copy, corpus, data_command, fail, files, model, scan_command, succeed,
    tokenize_command,
};

/// Everything equal, sums up to rounding.
fn assert_same(a: &[AtlasNeuron], b: &[AtlasNeuron]) {
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
    for name in ["llama", "gpt2"] {
        let project = Project::new().scan(name, 40, &[]);
        let whole = project.neurons(name);
        assert!(whole.iter().any(|neuron| neuron.examples.len() > 40));

        let mut split = Project::new();
        for part in ["2/3", "0/3", "1/3"] {
            split = split.scan(name, 40, &["--part", part, "--batch-tokens", "50"]);
        }
        let mut merge = data_command(&split, "merge", &split.data(name));
        succeed(merge.arg("--model").arg(model(name)));
        assert_same(&whole, &split.neurons(name));

        let small = Project::new().scan(name, 40, &["--batch-tokens", "1"]);
        assert_same(&whole, &small.neurons(name));
    }
}

#[test]
fn special_positions_are_counted_only_on_demand() {
    for (name, has_bos) in [("llama", true), ("gpt2", false)] {
        let plain = Project::new().scan(name, 12, &[]);
        let counted = Project::new().scan(name, 12, &["--count-special"]);
        let [without, with] = [&plain, &counted].map(|project| project.neurons(name));
        let (a, b) = (&without[0].stats, &with[0].stats);
        assert!(a.special.unwrap().count > 0 && b.special.unwrap().count == 0);
        assert_eq!(a.moments.count + a.special.unwrap().count, b.moments.count);
        assert_eq!(a.special.unwrap().max.max(a.moments.max), b.moments.max);
        let tokens = plain.atlas(name).manifest().scan.corpus.n_tokens;
        assert_eq!(
            a.moments.count,
            if has_bos {
                tokens
            } else {
                tokens - a.special.unwrap().count
            }
        );
    }
}

#[test]
fn scanning_and_building_again_changes_nothing() {
    let project = Project::new();
    project.scan_here("llama", 20, &["--name", "tiny"]);
    project.build(&[]);
    let (data, site) = (files(&project.join("data")), files(&project.join("site")));
    project.scan_here("llama", 20, &["--name", "tiny"]);
    let report = project.build(&["--json"]).json();
    assert_eq!(
        (&report["n_written"], &report["n_removed"]),
        (&0.into(), &0.into())
    );
    assert!(data == files(&project.join("data")));
    assert!(site == files(&project.join("site")));

    let other = Project::new();
    other.scan_here("llama", 20, &["--name", "tiny"]);
    other.build(&[]);
    let others = files(&other.site());
    assert_eq!(site.len(), others.len());
    for ((name, bytes), (other_name, other_bytes)) in site.iter().zip(others) {
        assert_eq!(*name, other_name);
        // the manifest says where the model was read from, which is the same here
        assert!(*bytes == other_bytes, "{name} differs");
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

/// The corpus is known by its content, whatever folder it lies in.
#[test]
fn a_corpus_is_tokenized_once() {
    let project = Project::new();
    let tokenize =
        |corpus: &Path| succeed(&mut tokenize_command(&project, &model("llama"), corpus)).stderr;
    let [here, there] = ["here", "there"].map(|folder| project.join(folder).join("corpus.jsonl"));
    for path in [&here, &there] {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        corpus(path, 9);
    }
    let said = tokenize(&here);
    let bytes = said
        .split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap();
    assert!(bytes > 100 && said.contains(" bytes in "), "{said}");
    let manifest = project.join("data/llama/corpus/manifest.json");
    let first = fs::read_to_string(&manifest).unwrap();
    assert_eq!(tokenize(&there), "");
    assert_eq!(fs::read_to_string(&manifest).unwrap(), first);
    corpus(&there, 10);
    assert!(tokenize(&there).contains("tokenize: "));
    assert_ne!(fs::read_to_string(&manifest).unwrap(), first);
}

#[test]
fn damaged_parts_and_atlases_are_refused_by_name() {
    let project = Project::new().scan("llama", 12, &["--name", "tiny"]);
    let data = project.data("tiny");
    let merge = || data_command(&project, "merge", &data);
    let file = data.join("parts/part-00000-of-00001/layer-001.examples.parquet");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fail(&mut merge(), &["layer-001.examples.parquet", "SHA-256"]);
    fs::write(&file, &bytes[..middle]).unwrap();
    fail(
        &mut merge(),
        &["layer-001.examples.parquet", "its length is"],
    );
    fs::remove_file(&file).unwrap();
    fail(&mut merge(), &["layer-001.examples.parquet", "missing"]);

    let manifest = data.join("atlas/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("neuroscope/atlas/v1", "neuroscope/atlas/v9"),
    )
    .unwrap();
    project.build_refused(
        &[],
        &[
            "manifest.json",
            "`neuroscope/atlas/v9`",
            "reads `neuroscope/atlas/v1`",
        ],
    );
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    project.build_refused(&[], &["manifest.json"]);
}

#[test]
fn corpora_of_all_kinds_are_read_in_a_stable_order() {
    let project = Project::new();
    let folder = project.join("texts");
    fs::create_dir_all(folder.join("inner")).unwrap();
    corpus(&folder.join("a.jsonl"), 3);
    let lines = fs::read(folder.join("a.jsonl")).unwrap();
    fs::write(
        folder.join("b.jsonl.zst"),
        zstd::encode_all(&lines[..], 3).unwrap(),
    )
    .unwrap();
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gz, b"a text file").unwrap();
    fs::write(folder.join("inner/c.txt.gz"), gz.finish().unwrap()).unwrap();
    fs::write(folder.join("inner/empty.txt"), "").unwrap();
    fs::write(folder.join("README"), "not a document").unwrap();
    let tokenize = |paths: &[&Path]| {
        let mut command = tokenize_command(&project, &model("llama"), paths[0]);
        succeed(command.args(&paths[1..]).arg("--json")).json()
    };
    let whole = tokenize(&[&folder]);
    assert_eq!(whole["n_documents"], 8);
    let files = [
        folder.join("a.jsonl"),
        folder.join("b.jsonl.zst"),
        folder.join("inner/c.txt.gz"),
        folder.join("inner/empty.txt"),
    ];
    let listed = tokenize(&files.iter().map(|f| f.as_path()).collect::<Vec<_>>());
    assert_eq!(whole["sha256"], listed["sha256"]);
    let turned = tokenize(&files.iter().rev().map(|f| f.as_path()).collect::<Vec<_>>());
    assert_ne!(whole["sha256"], turned["sha256"]);
}

/// What stands in the atlas of a SoLU model is what the model computes: `hook_mid` ranked, `hook_post` beside it.
#[test]
fn examples_of_solu_neurons_have_both_hooks() {
    let project = Project::new().scan("solu", 25, &["--top-k", "3"]);
    let opened = project.atlas("solu");
    let policy = &opened.manifest().scan.policy;
    assert_eq!((policy.hook.as_str(), policy.bos), ("hook_mid", Some(0)));

    let files = ModelFiles::open(model("solu").to_str().unwrap()).unwrap();
    let checkpoint = files.checkpoint().unwrap();
    let config = files.config().unwrap();
    let n_ctx = config.n_ctx;
    let model = Model::load(
        config,
        &checkpoint,
        n_ctx,
        DType::F32,
        Compute::on(&Device::Cpu),
    )
    .unwrap();
    let store = TokenStore::open(&project.data("solu").join("corpus"), 1 << 16).unwrap();
    let mut n = 0;
    for neuron in project.neurons("solu").iter().step_by(17) {
        for row in &neuron.examples {
            let example = &row.example;
            // the window of the peak, behind its BOS
            let capacity = n_ctx - 1;
            let first = example.pos.0 as usize / capacity * capacity;
            let end = (first + capacity).min(store.len(example.doc));
            let tokens = store.tokens(example.doc, first..end).unwrap();
            let ids: Vec<u32> = std::iter::once(0)
                .chain(tokens.iter().map(|id| id.0))
                .collect();
            let mut read = Reader::default();
            let walk = Walk::new(&model).stop_after(neuron.id.layer as usize);
            walk.visit(&[Entry::Ids(&[&ids])], &mut read).unwrap();
            let hooks = read.layers.last().unwrap();
            let at = |tensor: &Tensor| -> f32 {
                let row = tensor.get(example.pos.0 as usize - first + 1).unwrap();
                row.get(neuron.id.neuron as usize)
                    .unwrap()
                    .to_scalar()
                    .unwrap()
            };
            let near = |a: f32, b: f32| (a - b).abs() <= 1e-5 * b.abs().max(1.0);
            assert!(near(example.value, at(hooks.mid.as_ref().unwrap())));
            assert!(near(example.post.unwrap(), at(&hooks.post)));
            n += 1;
        }
    }
    assert!(n > 50);
}

/// With `--refactor-glu` every neuron has cos(w_gate, w_in) ≥ 0, and those that were turned have their values turned.
#[test]
fn refactored_neurons_have_their_signs_turned() {
    let found = |options: &[&str]| {
        let project = Project::new().scan("llama", 12, options);
        project.neurons("llama")
    };
    let (plain, turned) = (found(&[]), found(&["--refactor-glu"]));
    for (plain, turned) in plain.iter().zip(&turned) {
        let cos = |neuron: &AtlasNeuron| neuron.weights.as_ref().unwrap().cosines.gate_in.unwrap();
        assert!(cos(turned) >= 0.0 && (cos(plain).abs() - cos(turned)).abs() < 1e-6);
        let (a, b) = (&plain.stats, &turned.stats);
        match cos(plain) < 0.0 {
            true => assert_eq!(
                (a.moments.max, a.moments.min),
                (-b.moments.min, -b.moments.max)
            ),
            false => assert_eq!(a.moments, b.moments),
        }
        assert_eq!(a.n_firing, b.n_firing, "the gate is not turned");
    }
    let n_turned = plain
        .iter()
        .filter(|p| p.weights.as_ref().unwrap().cosines.gate_in.unwrap() < 0.0)
        .count();
    assert!(n_turned > 20 && n_turned < plain.len() - 20);
}
