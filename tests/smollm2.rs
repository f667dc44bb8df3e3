//! A real model, SmolLM2-135M-Instruct in GGUF, against transformers; `smollm2/run` fetches it and makes the reference.

use std::fs;
use std::path::PathBuf;

use neuroscope::load::ModelFiles;
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
        let found = compute(&files, &expected.ids, candle_core::DType::F32);
        let errors = expected
            .names()
            .into_iter()
            .map(|name| (largest_error(&found[name], expected.of(name)), name));
        let (error, name) = errors.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
        println!(
            "text {text}: {} tokens, largest error {error:.1e}, in {name}",
            expected.ids.len()
        );
        // transformers in f32 is itself up to 1.2e-4 from transformers in f64
        assert!(error <= 3e-4, "text {text}: {name} is off by {error}");
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
