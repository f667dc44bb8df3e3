//! The kernels, emulated, against what the same tensors give on the host.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

#[path = "../../../tests/support/weights.rs"]
mod weights;

use super::*;
use crate::corpus::{CorpusOptions, Source};
use crate::gpu::{Counting, Gpu};
use crate::load::ModelFiles;
use crate::model::Compute;
use crate::scan::batch::Cursor;
use crate::scan::engine::Engine;
use crate::scan::job::{Job, Prepared};
use crate::scan::{Checked, CorpusSetup, ScanOptions, Setup, tokenize};
use crate::stats::histogram::{BINS, bin};
use crate::stats::neuron::Neuron;
use crate::stats::neuron::NeuronStats;
use weights::change_tensor;

/// Documents of a few words or of many, some of them twice; without any that have no token.
fn texts() -> Vec<String> {
    let words = [
        "the", "neuron", "in", "the", "net", "sees", "a", "text", ",", "12", "is", "not",
    ];
    let text = |i: usize| {
        let i = if i % 7 == 3 { i - 1 } else { i };
        let n = if i % 5 == 0 { 61 } else { 1 + i % 9 };
        let word = |at: usize| words[(i * 31 + at * at * 7 + at) % words.len()];
        (0..n).map(word).collect::<Vec<_>>().join(" ")
    };
    (0..60).map(text).collect()
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conformance")
        .join(name)
}

/// A copy of a model, one weight of which is as large as can be.
fn broken(name: &str, tensor: &str, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        fs::copy(fixture(name).join(file), to.join(file)).unwrap();
    }
    change_tensor(&to.join("model.safetensors"), tensor, |data| {
        data[..4].copy_from_slice(&3e38f32.to_le_bytes());
    });
}

/// The values of a tensor, as f32.
fn values(tensor: &Tensor) -> Vec<f32> {
    let wide = tensor.to_dtype(DType::F32).unwrap();
    wide.flatten_all().unwrap().to_vec1().unwrap()
}

/// Scans on the host and on the emulated device; the model's activation function is ReLU, which is exact on both.
fn both(folder: &Path, batch_tokens: usize, options: &ScanOptions) -> [Vec<Neuron>; 2] {
    let dir = tempfile::tempdir().unwrap();
    let files = ModelFiles::open(folder.to_str().unwrap()).unwrap();
    let lines = texts()
        .into_iter()
        .map(|text| serde_json::json!({"text": text}).to_string() + "\n");
    let corpus = dir.path().join("corpus.jsonl");
    fs::write(&corpus, lines.collect::<String>()).unwrap();
    let (tokenizer, store) = (files.tokenizer().unwrap(), dir.path().join("corpus"));
    let corpus_setup = CorpusSetup {
        name: "text",
        data_sets: &[],
        options: &CorpusOptions::default(),
        tokenizer: &tokenizer,
        tokenizer_json: files.tokenizer_json().unwrap(),
        d_vocab: files.config().unwrap().d_vocab,
        chat: None,
    };
    let tokenized = tokenize(&[Source::Path(corpus)], &corpus_setup, &store, &|_| true).unwrap();
    let checked = Checked::new(&files, options).unwrap();
    let setup = Setup::new("model", checked, &tokenized.manifest, &store).unwrap();

    let mut config = files.config().unwrap();
    config.act_fn = Activation::Relu;
    let n_ctx = setup.identity().policy.n_ctx as usize;
    let compute = Compute::Tensors(Device::Cpu);
    let checkpoint = files.checkpoint().unwrap();
    let model = Model::load(config, &checkpoint, n_ctx, DType::F32, compute).unwrap();
    let job = Job {
        model: &model,
        batch_tokens,
        ..setup.job()
    };
    let prepared = Prepared::new(&job, setup.identity()).unwrap();
    let scan = |mut engine: Engine<'_>| {
        let mut layers = prepared.blocks();
        let documents = 0..job.store.n_documents() as u32;
        for batch in prepared
            .rows
            .batches(Cursor::new(documents), job.batch_tokens)
        {
            engine.scan(&batch.unwrap(), &mut layers).unwrap();
        }
        engine.settle(&mut layers).unwrap();
        let found = layers.into_iter().flatten().flat_map(Block::harvest);
        let wanted = prepared.context();
        found
            .map(|mut neuron| {
                neuron.prune(wanted.options, wanted.n_total);
                neuron
            })
            .collect()
    };
    [
        scan(Engine::new(&model, &prepared).unwrap()),
        scan(Engine::on(Gpu::Emulated, &model, &prepared).unwrap()),
    ]
}

fn assert_close(found: &[f64], expected: &[f64], what: &str) {
    for (f, e) in found.iter().zip(expected) {
        assert!(
            (f - e).abs() <= 1e-12 * e.abs().max(1e-3),
            "{what}: {f}, not {e}"
        );
    }
}

/// Compares everything but the order in which sums were added.
fn assert_same(found: &Neuron, expected: &Neuron, what: &str) {
    let (f, e) = (&found.stats, &expected.stats);
    let sums = |stats: &NeuronStats| {
        let starts = stats.starts.unwrap().moments;
        let all = [stats.moments, stats.special.unwrap(), starts];
        let mut sums = all.map(|moments| moments.sums.unwrap()).concat();
        sums.extend(stats.sums.iter().flatten());
        sums
    };
    assert_close(&sums(f), &sums(e), what);
    let cases = f.cases.iter().flatten().zip(e.cases.iter().flatten());
    cases.for_each(|(f, e)| assert_close(&f.sums, &e.sums, what));
    let mut same = found.clone();
    same.stats.moments.sums = e.moments.sums;
    same.stats.sums = e.sums;
    same.stats.special.as_mut().unwrap().sums = e.special.unwrap().sums;
    same.stats.starts.as_mut().unwrap().moments.sums = e.starts.unwrap().moments.sums;
    let cases = same
        .stats
        .cases
        .iter_mut()
        .flatten()
        .zip(e.cases.iter().flatten());
    cases.for_each(|(f, e)| f.sums = e.sums);
    assert_eq!(same.stats, *e, "{what}");
    assert_eq!(same.lists, expected.lists, "{what}");
    assert_eq!(same.samples.kept(), expected.samples.kept(), "{what}");
}

#[test]
fn a_device_finds_what_the_host_finds() {
    let mut options = ScanOptions {
        n_ctx: Some(24),
        ..Default::default()
    };
    options.stats.top_k = 3;
    options.stats.case_k = 2;
    options.stats.window_before = 9;
    for (model, rank_pre, keep_hooks) in [
        ("llama", false, false),
        ("llama", true, true),
        ("gpt2", false, false),
        ("gpt2", true, true),
    ] {
        (options.stats.rank_pre, options.stats.keep_hooks) = (rank_pre, keep_hooks);
        // with 40, the longer documents do not fit
        for batch_tokens in [1 << 20, 300, 40] {
            let [host, device] = both(&fixture(model), batch_tokens, &options);
            assert!(host.iter().any(|neuron| neuron.stats.moments.max > 0.0));
            for (at, (found, expected)) in device.iter().zip(&host).enumerate() {
                assert_same(
                    found,
                    expected,
                    &format!("{model}, {batch_tokens}, neuron {at}"),
                );
            }
        }
    }
}

#[test]
fn what_overflows_is_counted_as_such() {
    let dir = tempfile::tempdir().unwrap();
    let (name, options) = ("model.layers.1.mlp.up_proj.weight", ScanOptions::default());
    broken("llama", name, dir.path());
    let [host, device] = both(dir.path(), 1 << 20, &options);
    assert!(host.iter().any(|neuron| neuron.stats.not_finite > Some(0)));
    assert!(host.iter().any(|neuron| neuron.stats.not_finite == Some(0)));
    for (at, (found, expected)) in device.iter().zip(&host).enumerate() {
        assert_same(found, expected, &format!("neuron {at}"));
    }
}

/// Every value of a type, its bin, and what activation functions make of it.
#[test]
fn values_are_read_and_activated_as_they_should_be() {
    let (n, d) = (512, 128);
    let bits = |i: usize| i as u16;
    let all_bf16 = (0..n * d).map(|i| half::bf16::from_bits(bits(i)));
    let all_f16 = (0..n * d).map(|i| half::f16::from_bits(bits(i)));
    let wide: Vec<f32> = all_bf16.clone().map(f32::from).collect();
    let columns = [
        Tensor::from_vec(wide, (n, d), &Device::Cpu).unwrap(),
        Tensor::from_vec(all_bf16.collect::<Vec<_>>(), (n, d), &Device::Cpu).unwrap(),
        Tensor::from_vec(all_f16.collect::<Vec<_>>(), (n, d), &Device::Cpu).unwrap(),
    ];
    for pre in &columns {
        let expected = values(pre);
        let everything: Vec<Wanted> = (0..d as u32)
            .map(|neuron| Wanted {
                neuron,
                quantity: 0,
                first_row: 0,
                n_rows: n as u32,
            })
            .collect();
        for act_fn in [ActFn::Silu, ActFn::Gelu, ActFn::GeluTanh, ActFn::Relu] {
            let hooks = HookTensors {
                pre,
                pre_linear: None,
                act_fn,
            };
            let found = Gpu::Emulated.gather(hooks, &everything).unwrap();
            for (at, found) in found.iter().enumerate() {
                let x = f64::from(expected[at % n * d + at / n]);
                let y = match act_fn {
                    ActFn::Silu => x / (1.0 + (-x).exp()),
                    ActFn::Gelu => 0.5 * x * erfc(-x / 2f64.sqrt()),
                    ActFn::GeluTanh => {
                        x / (1.0
                            + (-2.0
                                * (2.0 / std::f64::consts::PI).sqrt()
                                * (x + 0.044715 * x.powi(3)))
                            .exp())
                    }
                    ActFn::Relu => x.max(0.0),
                };
                let moderate = x.abs() < 8.0;
                let close = (f64::from(*found) - y).abs() <= 2e-5 * y.abs() + 1e-30;
                assert!(
                    !moderate || close,
                    "{:?} {act_fn:?} of {x}: {found}, not {y}",
                    pre.dtype()
                );
            }
        }
        // ReLU leaves the positive ones as they are; every neuron here has 512 values
        let mut state = LayerState::new(&Gpu::Emulated, d, false, false, 0.1).unwrap();
        let mut rows = BatchRows::new(&Gpu::Emulated, &[n], &vec![Counting::Yes; n]).unwrap();
        let hooks = HookTensors {
            pre,
            pre_linear: None,
            act_fn: ActFn::Relu,
        };
        let (post, _) = state
            .observe(hooks, &mut rows, &vec![f32::INFINITY; 2 * d])
            .unwrap();
        let post = values(&post);
        let counted = state.take().unwrap();
        let mut bins = vec![0; BINS];
        for (x, post) in expected.iter().zip(post) {
            let relu = if *x < 0.0 { 0.0 } else { *x };
            assert!(
                relu == post || relu.is_nan() && post.is_nan(),
                "{relu} is written as {post}"
            );
            if x.is_finite() {
                bins[usize::from(bin(relu))] += 1;
            }
        }
        let found: Vec<u32> = counted
            .histogram
            .chunks(d)
            .map(|bin| bin.iter().sum())
            .collect();
        assert_eq!(found, bins);
    }
}

/// By its continued fraction, or from erf's series.
fn erfc(x: f64) -> f64 {
    let series = |x: f64| {
        let (mut term, mut sum) = (x, x);
        for n in 1..200 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        1.0 - sum * 2.0 / std::f64::consts::PI.sqrt()
    };
    match x {
        x if x.abs() < 3.0 => series(x),
        x if x < 0.0 => 2.0 - erfc(-x),
        x => {
            let fraction = (1..200).rev().fold(x, |f, k| x + f64::from(k) / 2.0 / f);
            (-x * x).exp() / fraction / std::f64::consts::PI.sqrt()
        }
    }
}
