//! Every hook of every family against its reference; the fixtures are made by `conformance/make.py`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use neuroscope::lanes::Isa;
use neuroscope::load::ModelFiles;
use neuroscope::model::walk::{Executor, LayerHooks, Visitor, Walk, Written};
use neuroscope::model::{
    Compute, Config, Entry, Hook, MlpActivations, Model, ModelError, Position, RopeScaling,
};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::support::model;

/// What a reference computed.
pub struct Expected {
    pub ids: Vec<u32>,
    values: BTreeMap<String, Vec<f32>>,
}

impl Expected {
    pub fn read(fixture: &str) -> Self {
        Self::open(&model(fixture).join("expected.safetensors"))
    }

    pub fn open(path: &Path) -> Self {
        let bytes = fs::read(path).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |data: &[u8]| {
            let chunks = data.chunks_exact(4);
            chunks
                .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
                .collect()
        };
        let ids = tensors.tensor("ids").unwrap().data().to_vec();
        let ids = ids.chunks_exact(8);
        Self {
            ids: ids
                .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32)
                .collect(),
            values: tensors
                .iter()
                .filter(|(name, _)| *name != "ids")
                .map(|(name, tensor)| (name.to_owned(), floats(tensor.data())))
                .collect(),
        }
    }

    /// Names of what was computed in f32.
    pub fn names(&self) -> Vec<&str> {
        let names = self.values.keys().map(String::as_str);
        names.filter(|name| !name.starts_with("bf16.")).collect()
    }

    pub fn of(&self, name: &str) -> &[f32] {
        &self.values[name]
    }
}

/// What a model can run on here.
fn computes() -> Vec<Compute> {
    let isas = Isa::ALL.into_iter().filter(|isa| isa.is_available());
    let kernels = isas.map(Compute::Kernels);
    kernels.chain([Compute::Tensors(Device::Cpu)]).collect()
}

/// Keeps the activations of every layer.
#[derive(Default)]
pub struct Reader {
    pub layers: Vec<MlpActivations>,
}

impl Visitor for Reader {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        let activations = hooks.activations()?;
        self.layers.extend(activations.first().cloned());
        hooks.write_activations(activations)
    }
}

/// Everything that a model computes, by the names of the fixtures.
pub fn compute(files: &ModelFiles, ids: &[u32], dtype: DType) -> BTreeMap<String, Vec<f32>> {
    let best = Compute::on(&Device::Cpu);
    compute_as(files, files.config().unwrap(), ids, dtype, best)
}

fn compute_as(
    files: &ModelFiles,
    config: Config,
    ids: &[u32],
    dtype: DType,
    compute: Compute,
) -> BTreeMap<String, Vec<f32>> {
    let n_ctx = config.n_ctx;
    let checkpoint = files.checkpoint().unwrap();
    let model = Model::load(config, &checkpoint, n_ctx, dtype, compute).unwrap();
    let values = |tensor: &Tensor| -> Vec<f32> {
        let tensor = tensor.to_dtype(DType::F32).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    };
    let mut found = BTreeMap::new();
    let mut read = Reader::default();
    let streams = Walk::new(&model).through(&[Entry::Ids(&[ids])], &mut read);
    for (layer, activations) in read.layers.iter().enumerate() {
        for hook in Hook::ALL {
            if let Some(tensor) = activations.hook(hook) {
                found.insert(format!("{layer}.{}", hook.name()), values(tensor));
            }
        }
    }
    let hidden = model.final_hidden(&streams.unwrap()[0]).unwrap();
    found.insert("final_hidden".into(), values(&hidden));
    let unembedding = model.unembedding(&checkpoint).unwrap();
    found.insert(
        "logits".into(),
        values(&model.logits(&unembedding, &hidden).unwrap()),
    );
    found
}

fn rms(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let n = values.clone().count() as f32;
    (values.map(|x| x * x).sum::<f32>() / n).sqrt()
}

/// Largest error of a value, relative to it or, where it is small, to the root mean square of all.
pub fn largest_error(found: &[f32], expected: &[f32]) -> f32 {
    let scale = rms(expected.iter().copied());
    let pairs = found.iter().zip(expected);
    let errors = pairs.map(|(f, e)| (f - e).abs() / e.abs().max(scale));
    errors.fold(0.0, |a, b| if b.is_nan() { b } else { a.max(b) })
}

/// Checks a model in f32 and, where the fixture says how far its reference is off, in bf16, on all that it can run on.
/// Answers the largest errors of the fastest.
fn check_files(files: &ModelFiles, fixture: &str) -> (f32, Option<f32>) {
    let checked = computes()
        .into_iter()
        .map(|on| check_on(files, fixture, on));
    let checked: Vec<_> = checked.collect();
    checked[checked.len() - 2]
}

fn check_on(files: &ModelFiles, fixture: &str, on: Compute) -> (f32, Option<f32>) {
    let expected = Expected::read(fixture);
    let run = |dtype| {
        let config = files.config().unwrap();
        compute_as(files, config, &expected.ids, dtype, on.clone())
    };
    let found = run(DType::F32);
    let mut largest = 0f32;
    for name in expected.names() {
        let (found, expected) = (&found[name], &expected.values[name]);
        // of the demo only the last positions are kept
        let error = largest_error(&found[found.len() - expected.len()..], expected);
        assert!(
            error <= 1e-4,
            "{fixture} on {on:?}: {name} is off by {error}"
        );
        largest = largest.max(error);
    }
    let hooks = found.keys().filter(|name| name.contains("hook"));
    let missing: Vec<_> = hooks
        .filter(|name| !expected.values.contains_key(*name))
        .collect();
    assert!(
        missing.is_empty(),
        "{fixture}: no reference for {missing:?}"
    );

    let spreads = expected.values.iter();
    let mut spreads = spreads
        .filter_map(|(name, spread)| Some((name.strip_prefix("bf16.")?, spread[0])))
        .peekable();
    if spreads.peek().is_none() {
        return (largest, None);
    }
    // rounding is random, so one hook may come out worse than the reference's; all of them together may not
    let rough = run(DType::BF16);
    let shares = spreads.map(|(name, spread)| {
        let (found, expected) = (&rough[name], &expected.values[name]);
        let difference = found.iter().zip(expected).map(|(f, e)| f - e);
        rms(difference) / rms(expected.iter().copied()) / spread
    });
    let shares: Vec<f32> = shares.collect();
    let share = rms(shares.iter().copied());
    assert!(
        share <= 1.3,
        "{fixture} on {on:?}: in bf16, hooks are {share} times as far off as the reference's"
    );
    (largest, Some(share))
}

fn check(fixture: &str) -> (f32, Option<f32>) {
    check_files(
        &ModelFiles::open(model(fixture).to_str().unwrap()).unwrap(),
        fixture,
    )
}

macro_rules! families {
    ($($name:ident)*) => {
        /// Every family, some in more than one form.
        pub const FAMILIES: &[&str] = &[$(stringify!($name)),*];

        $(#[test] fn $name() { check(stringify!($name)); })*

        /// Prints the table of docs/models.md: `cargo test -- conformance::table --ignored --nocapture`.
        #[test]
        #[ignore = "prints, and checks nothing that the others do not"]
        fn table() {
            for name in FAMILIES {
                let (error, share) = check(name);
                println!("{name:22} {error:.1e}  {:.2}", share.unwrap_or(f32::NAN));
            }
        }
    };
}

families! {
    llama llama3 llama_linear mistral olmo olmo2 qwen2 qwen3 gemma gemma2 gemma3 phi phi_qk_norm phi3 phi3_long stablelm
    stablelm_parallel qwen2_gguf gemma2_gguf gemma3_gguf gpt2 gpt2_by_layer gpt_neo gpt_neox gpt_neox_sequential opt opt_350m solu solu_old gelu_final_rms
}

#[test]
fn demo() {
    check_files(&ModelFiles::open("demo").unwrap(), "demo");
}

/// The GGUF files are made by llama.cpp's own converter, in f32.
#[test]
fn gguf_files_of_the_same_models() {
    let mut n = 0;
    for entry in fs::read_dir(model("")).unwrap() {
        let folder = entry.unwrap().path();
        let file = folder.join("model.gguf");
        if file.is_file() {
            let files = ModelFiles::open(file.to_str().unwrap()).unwrap();
            check_files(&files, folder.file_name().unwrap().to_str().unwrap());
            n += 1;
        }
    }
    assert!(n >= 14);
}

#[test]
fn configs_of_transformers_4_and_5_are_the_same() {
    let mut n = 0;
    for entry in fs::read_dir(model("")).unwrap() {
        let folder = entry.unwrap().path();
        if let Ok(old) = fs::read(folder.join("config.v4.json")) {
            let new = fs::read(folder.join("config.json")).unwrap();
            let (old, new) = (Config::from_json(&old), Config::from_json(&new));
            assert_eq!(old.unwrap(), new.unwrap(), "{}", folder.display());
            n += 1;
        }
    }
    assert!(n > 15);
}

/// LongRoPE has two lists of factors: those for windows of the original length, and those for longer ones.
#[test]
fn the_length_of_a_window_decides_which_factors_of_longrope_count() {
    fn factors(config: &mut Config) -> (&mut Vec<f64>, &mut Vec<f64>, usize) {
        match &mut config.position {
            Position::Rotary { rope, .. } => match &mut rope.scaling {
                RopeScaling::Long {
                    short,
                    long,
                    original,
                    ..
                } => (short, long, *original),
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        }
    }
    for (name, is_long) in [("phi3", false), ("phi3_long", true)] {
        let files = ModelFiles::open(model(name).to_str().unwrap()).unwrap();
        let expected = Expected::read(name);
        // how far the logits are off where a list of factors is another
        let error = |changes_long: bool| {
            let mut config = files.config().unwrap();
            let (short, long, original) = factors(&mut config);
            assert_eq!(expected.ids.len() > original, is_long, "{name}");
            let changed = if changes_long { long } else { short };
            changed.iter_mut().for_each(|factor| *factor *= 3.0);
            let on = Compute::on(&Device::Cpu);
            let found = compute_as(&files, config, &expected.ids, DType::F32, on);
            largest_error(&found["logits"], expected.of("logits"))
        };
        let (counts, does_not) = (error(is_long), error(!is_long));
        assert!(counts > 1e-2, "{name}: off by {counts} only");
        assert!(does_not <= 1e-4, "{name}: off by {does_not}");
    }
}

/// Turning the signs of gated neurons (DEFINITIONS 7) changes the sign of what is read out and not one bit of what is
/// computed from it.
#[test]
fn refactored_gated_neurons_write_the_same() {
    for (name, dtype) in [
        ("llama", DType::F32),
        ("stablelm", DType::F32), // a LayerNorm in front
        ("olmo2", DType::F32),    // no norm in front
        ("phi3", DType::BF16),
        ("llama", DType::BF16),
    ] {
        let files = ModelFiles::open(model(name).to_str().unwrap()).unwrap();
        let ids = Expected::read(name).ids;
        let config = files.config().unwrap();
        let turned = Config {
            refactor_glu: true,
            ..config.clone()
        };
        let on = || Compute::on(&Device::Cpu);
        let plain = compute_as(&files, config, &ids, dtype, on());
        let turned = compute_as(&files, turned, &ids, dtype, on());
        let (mut n_turned, mut n_kept) = (0, 0);
        for (key, values) in &plain {
            let other = &turned[key];
            if !key.contains("hook_pre_linear") && !key.contains("hook_post") {
                assert!(values == other, "{name}: {key} changed");
                continue;
            }
            for (a, b) in values.iter().zip(other).filter(|(a, _)| **a != 0.0) {
                assert!(
                    a.to_bits() << 1 == b.to_bits() << 1,
                    "{name}: {key} changed in more than sign"
                );
                if a == b { n_kept += 1 } else { n_turned += 1 }
            }
        }
        assert!(
            n_turned > 100 && n_kept > 100,
            "{name}: {n_turned} turned, {n_kept} not"
        );
    }
}

/// A checkpoint may hold a copy of what its config ties; if that is another matrix, it is the unembedding.
#[test]
fn a_tied_copy_counts_where_it_differs() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = fs::read(model("llama3").join("model.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let ids = Expected::read("llama3").ids;
    let logits = |change: fn(f32) -> f32| {
        let embed = tensors.tensor("model.embed_tokens.weight").unwrap();
        let values = embed.data().chunks_exact(4);
        let values = values.map(|b| change(f32::from_le_bytes(b.try_into().unwrap())));
        let values: Vec<u8> = values.flat_map(f32::to_le_bytes).collect();
        let shape = embed.shape().to_vec();
        let copy = TensorView::new(Dtype::F32, shape, &values).unwrap();
        let all = tensors.iter().chain([("lm_head.weight", copy)]);
        let file = safetensors::serialize(all, None).unwrap();
        fs::write(dir.path().join("model.safetensors"), file).unwrap();
        let config = model("llama3").join("config.json");
        fs::copy(config, dir.path().join("config.json")).unwrap();
        let files = ModelFiles::open(dir.path().to_str().unwrap()).unwrap();
        compute(&files, &ids, DType::F32)["logits"].clone()
    };
    let (same, other) = (logits(|x| x), logits(|x| 2.0 * x));
    assert!(largest_error(&same, &Expected::read("llama3").values["logits"]) <= 1e-4);
    assert!(same.iter().zip(&other).all(|(a, b)| 2.0 * a == *b));
}

#[test]
fn a_window_may_be_shorter_than_the_context() {
    let files = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    let load = |n_ctx| {
        let (config, checkpoint) = (files.config().unwrap(), files.checkpoint().unwrap());
        Model::load(
            config,
            &checkpoint,
            n_ctx,
            DType::F32,
            Compute::on(&Device::Cpu),
        )
    };
    let (long, short) = (load(32).unwrap(), load(7).unwrap());
    let post = |model: &Model, ids: &[u32]| -> Result<Vec<f32>, ModelError> {
        let mut read = Reader::default();
        let walk = Walk::new(model).stop_after(0);
        walk.visit(&[Entry::Ids(&[ids])], &mut read)?;
        Ok(read.layers[0].post.flatten_all()?.to_vec1()?)
    };
    let ids: Vec<u32> = (1..8).collect();
    assert_eq!(post(&long, &ids).unwrap(), post(&short, &ids).unwrap());
    assert!(load(33).is_err());
    assert!(post(&short, &(0..8).collect::<Vec<u32>>()).is_err());
    assert!(post(&short, &[290]).is_err());
}
