//! What a scan stores of a model: which positions count, which hooks, in which precision, with which signs.

use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use neuroscope::atlas::AtlasNeuron;
use neuroscope::load::ModelFiles;
use neuroscope::model::walk::Walk;
use neuroscope::model::{Compute, Entry, Model};
use neuroscope::tokens::store::TokenStore;

use crate::conformance::Reader;
use crate::support::weights::change_tensor;
use crate::support::{Project, copy, corpus, files, model, scan_command, succeed};

/// A copy of a model with one tensor multiplied.
fn multiplied(dir: &Path, name: &str, tensor: &str, factor: f32) -> PathBuf {
    let to = dir.join("multiplied");
    copy(&model(name), &to);
    change_tensor(&to.join("model.safetensors"), tensor, |data| {
        for value in data.chunks_exact_mut(4) {
            let x = f32::from_le_bytes(value.try_into().unwrap()) * factor;
            value.copy_from_slice(&x.to_le_bytes());
        }
    });
    to
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
        let tokens = plain.atlas(name).manifest().scan.corpus.n_tokens.unwrap();
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

#[test]
fn a_scan_may_be_in_half_precision() {
    let max = |dtype: &str| -> Vec<f32> {
        let project = Project::new().scan("llama", 12, &["--dtype", dtype]);
        let atlas = project.atlas("llama");
        assert_eq!(atlas.manifest().scan.policy.dtype, dtype);
        let neurons = atlas.layer(0).unwrap();
        neurons
            .map(|neuron| neuron.unwrap().stats.moments.max)
            .collect()
    };
    let (exact, half, brain) = (max("f32"), max("f16"), max("bf16"));
    let off = |found: &[f32]| {
        let pairs = exact.iter().zip(found);
        pairs
            .map(|(a, b)| (a - b).abs() / a.abs().max(1.0))
            .fold(0.0, f32::max)
    };
    assert!(off(&half) > 0.0 && off(&half) < 5e-3, "{}", off(&half));
    assert!(
        off(&brain) > off(&half) && off(&brain) < 5e-2,
        "{}",
        off(&brain)
    );
}

/// What is too large for a number is left out and counted as such; what comes from it as well.
#[test]
fn activations_that_overflow_are_left_out_and_counted() {
    for dtype in ["f32", "bf16", "f16"] {
        let project = Project::new();
        let tensor = "model.layers.0.mlp.up_proj.weight";
        // in f16 weights end at 65504
        let factor = if dtype == "f16" { 6e4 } else { 1e38 };
        let model = multiplied(&project, "llama", tensor, factor);
        let text = project.join("corpus.jsonl");
        corpus(&text, 20);
        succeed(scan_command(&project, &model, &text).args(["--dtype", dtype]));
        let atlas = project.atlas("multiplied");
        let n_counted = atlas.manifest().scan.policy.n_counted.unwrap();
        let mut n_left_out = 0;
        for neuron in project.neurons("multiplied") {
            let stats = &neuron.stats;
            assert_eq!(
                stats.moments.count + stats.not_finite.unwrap(),
                n_counted,
                "{}",
                neuron.id
            );
            assert_eq!(
                stats.histogram.as_ref().unwrap().total(),
                stats.moments.count
            );
            n_left_out += stats.not_finite.unwrap();
            assert!(
                neuron
                    .examples
                    .iter()
                    .all(|row| row.example.value.is_finite())
            );
        }
        assert!(n_left_out > 0 || dtype == "f16", "{dtype}");
        project.build(&[]);
        for (name, bytes) in files(&project.join("site/multiplied/0")) {
            let text = String::from_utf8(bytes).unwrap();
            assert!(!text.contains("NaN") && !text.contains("inf,"), "{name}");
        }
    }
}
