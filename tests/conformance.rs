//! Every hook against Hugging Face transformers; the fixtures are made by `conformance/make.py`.

use std::fs;

use candle_core::{DType, Device, Tensor};
use neuroscope::load::ModelFiles;
use neuroscope::model::Model;
use safetensors::SafeTensors;

use crate::support::model;

/// Largest error of a value, relative to it or, where it is small, to the hook's root mean square.
fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let rms = (expected.iter().map(|x| x * x).sum::<f32>() / expected.len() as f32).sqrt();
    found
        .iter()
        .zip(expected)
        .map(|(f, e)| (f - e).abs() / e.abs().max(rms))
        .fold(0.0, f32::max)
}

fn check(origin: &str, fixture: &str) {
    let files = ModelFiles::open(origin).unwrap();
    let config = files.config().unwrap();
    let (n_layers, n_ctx, gated) = (config.n_layers, config.n_ctx, config.gated);
    let model_ = Model::load(
        config,
        &files.checkpoint().unwrap(),
        n_ctx,
        DType::F32,
        &Device::Cpu,
    )
    .unwrap();
    let bytes = fs::read(model(fixture).join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&bytes).unwrap();
    let values = |name: &str| -> Vec<f32> {
        let bytes = expected.tensor(name).unwrap().data().to_vec();
        bytes
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    };
    let ids = expected.tensor("ids").unwrap().data().to_vec();
    let ids: Vec<u32> = ids
        .chunks_exact(8)
        .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as u32)
        .collect();

    let mut x = model_.embed(&[&ids]).unwrap();
    let mut n_hooks = 0;
    for layer in 0..n_layers {
        let (found, next) = model_.block(layer, &x, layer + 1 < n_layers).unwrap();
        let hooks = [
            ("hook_pre", Some(&found.pre)),
            ("hook_pre_linear", found.pre_linear.as_ref()),
            ("hook_post", Some(&found.post)),
        ];
        for (hook, tensor) in hooks {
            let Some(tensor) = tensor else { continue };
            let expected = values(&format!("{layer}.{hook}"));
            let found: Vec<f32> = Tensor::flatten_all(tensor).unwrap().to_vec1().unwrap();
            let error = relative_error(&found[found.len() - expected.len()..], &expected);
            assert!(error <= 1e-4, "{fixture}: {layer}.{hook} is off by {error}");
            n_hooks += 1;
        }
        match next {
            Some(next) => x = next,
            None => assert_eq!(
                layer + 1,
                n_layers,
                "the stream after the last block is not computed"
            ),
        }
    }
    assert_eq!(n_hooks, n_layers * if gated { 3 } else { 2 });
}

#[test]
fn llama() {
    check(model("llama").to_str().unwrap(), "llama");
}

#[test]
fn gpt2() {
    check(model("gpt2").to_str().unwrap(), "gpt2");
}

#[test]
fn demo() {
    check("demo", "demo");
}

#[test]
fn a_window_may_be_shorter_than_the_context() {
    let files = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    let load = |n_ctx| {
        Model::load(
            files.config().unwrap(),
            &files.checkpoint().unwrap(),
            n_ctx,
            DType::F32,
            &Device::Cpu,
        )
    };
    let (long, short) = (load(32).unwrap(), load(7).unwrap());
    let ids: Vec<u32> = (1..8).collect();
    let post = |model: &Model| -> Vec<f32> {
        let (found, _) = model
            .block(0, &model.embed(&[&ids]).unwrap(), false)
            .unwrap();
        found.post.flatten_all().unwrap().to_vec1().unwrap()
    };
    assert_eq!(post(&long), post(&short));
    assert!(load(33).is_err());
    assert!(short.embed(&[&(0..8).collect::<Vec<u32>>()]).is_err());
    assert!(short.embed(&[&[290]]).is_err());
}
