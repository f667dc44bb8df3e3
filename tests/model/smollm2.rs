//! A real model, SmolLM2-135M-Instruct in GGUF, against transformers; `smollm2/run` fetches it and makes the reference.

use std::fs;
use std::path::PathBuf;

use candle_core::{DType, Device};
use neuroscope::load::ModelFiles;
use neuroscope::model::{Compute, Model};
use safetensors::SafeTensors;

use crate::conformance::{Expected, compute, largest_error};

fn folder() -> PathBuf {
    PathBuf::from(std::env::var("NEUROSCOPE_SMOLLM2").expect("the folder that `smollm2/run` made"))
}

fn open() -> ModelFiles {
    ModelFiles::open(folder().to_str().unwrap()).unwrap()
}

#[test]
#[ignore = "needs the model that `smollm2/run` fetches"]
fn hooks_are_those_of_transformers() {
    let files = open();
    for text in 0..5 {
        let expected = Expected::open(&folder().join(format!("{text}.safetensors")));
        let found = compute(&files, &expected.ids, DType::F32);
        let errors = expected
            .names()
            .into_iter()
            .map(|name| (largest_error(&found[name], expected.of(name)), name));
        let (error, name) = errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!(
            "text {text}: {} tokens, largest error {error:.1e}, in {name}",
            expected.ids.len()
        );
        assert!(error <= 1e-4, "text {text}: {name} is off by {error}");
    }
}

#[test]
#[ignore = "needs the model that `smollm2/run` fetches"]
fn token_ids_are_those_of_transformers() {
    let text = fs::read_to_string(folder().join("text.txt")).unwrap();
    let bytes = fs::read(folder().join("ids.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let expected = expected.tensor("ids").unwrap();
    let expected = expected.data().chunks_exact(8);
    let expected: Vec<u32> = expected
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32)
        .collect();
    let tokenizer = open().tokenizer().unwrap();
    let found: Vec<u32> = tokenizer
        .encode(&text)
        .unwrap()
        .into_iter()
        .map(|id| id.0)
        .collect();
    let same = found
        .iter()
        .zip(&expected)
        .take_while(|(a, b)| a == b)
        .count();
    println!("{} bytes, {} tokens", text.len(), found.len());
    assert!(
        found == expected,
        "the ids differ from token {same} on: {:?} for {:?}",
        &found[same..found.len().min(same + 8)],
        &expected[same..expected.len().min(same + 8)]
    );
}

/// Most memory that the process has held, in bytes.
fn peak_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib * 1024
}

/// Loading holds one copy of the weights and one tensor that is being converted. To be run alone, in each type.
#[test]
#[ignore = "needs the model that `smollm2/run` fetches, and a process of its own"]
fn loading_holds_one_copy_of_the_weights() {
    let (dtype, bytes) = match std::env::var("NEUROSCOPE_DTYPE").as_deref() {
        Ok("bf16") => (DType::BF16, 2),
        _ => (DType::F32, 4),
    };
    let files = open();
    let (config, checkpoint) = (files.config().unwrap(), files.checkpoint().unwrap());
    let n_parameters: u64 = checkpoint.check(&config).unwrap().values().sum();
    let largest = (config.d_vocab * config.d_model) as u64;
    let before = peak_memory();
    let n_ctx = config.n_ctx.min(1024);
    let model = Model::load(config, &checkpoint, n_ctx, dtype, Compute::on(&Device::Cpu)).unwrap();
    let taken = peak_memory() - before;
    let weights = n_parameters * bytes;
    println!(
        "{dtype:?}: {:.0} MB more than the {:.0} MB before, for {:.0} MB of weights; the largest tensor in f32 is {:.0} MB",
        taken as f64 / 1e6,
        before as f64 / 1e6,
        weights as f64 / 1e6,
        largest as f64 * 4e-6
    );
    // the tensor as it is stored, in f32, and in the type that is wanted; then 16 MB for masks and the rest
    assert!(taken <= weights + largest * 4 + largest * 2 + 16_000_000);
    drop(model);
}
