//! `--layers`: a scan of some layers of a model.

use neuroscope::ids::NeuronId;

use super::parts::assert_same;
use crate::support::weights::change_tensor;
use crate::support::{
    Project, copy, corpus, data_command, fail, files, misused, model, scan_command, succeed,
};

/// What is known of the layers that were scanned is what a scan of all layers finds.
#[test]
fn layers_that_are_scanned_are_as_in_a_scan_of_all() {
    for (name, layers, left_out) in [("llama", "0,2", 1), ("llama", "1-2", 0), ("gpt2", "0", 1)] {
        let all = Project::new().scan(name, 20, &[]);
        let some = Project::new().scan(name, 20, &["--layers", layers]);
        let (mut expected, mut found) = (all.neurons(name), some.neurons(name));
        let scanned = some.atlas(name).manifest().scan.layers();
        assert!(!scanned.contains(&left_out));
        expected.retain(|neuron| scanned.contains(&neuron.id.layer));
        let is_scanned = |(id, _): &(NeuronId, f32)| scanned.contains(&id.layer);
        for (a, b) in expected.iter().zip(&found) {
            assert_eq!(a.id, b.id);
            let (a, b) = (a.weights.as_ref().unwrap(), b.weights.as_ref().unwrap());
            assert_eq!(
                (&a.cosines, &a.logits, &a.top),
                (&b.cosines, &b.logits, &b.top)
            );
            for (a, b) in a.neighbours.iter().zip(&b.neighbours) {
                assert!(b.iter().all(is_scanned));
                let known: Vec<_> = a.iter().filter(|of| is_scanned(of)).collect();
                assert!(known.iter().zip(b).all(|(a, b)| **a == *b));
            }
        }
        // neighbours may be of layers that were not scanned
        for neuron in expected.iter_mut().chain(&mut found) {
            neuron.weights = None;
        }
        assert_same(&expected, &found);
        let tables = files(&some.data(name).join("atlas"));
        assert!(
            !tables
                .iter()
                .any(|(file, _)| file.starts_with(&format!("layer-00{left_out}")))
        );
        let mut verify = data_command(&some, "verify", &some.data(name));
        succeed(verify.arg("--full").arg("--model").arg(model(name)));
    }
}

/// Nothing is computed after the last layer, so it does not matter what its weights are.
#[test]
fn what_comes_after_the_last_layer_is_not_computed() {
    let project = Project::new();
    let (file, broken) = (project.join("corpus.jsonl"), project.join("broken"));
    corpus(&file, 12);
    copy(&model("llama"), &broken);
    for tensor in ["self_attn.q_proj", "mlp.gate_proj"] {
        let tensor = format!("model.layers.2.{tensor}.weight");
        change_tensor(&broken.join("model.safetensors"), &tensor, |data| {
            for value in data.chunks_exact_mut(4) {
                value.copy_from_slice(&f32::NAN.to_le_bytes());
            }
        });
    }
    let scan = |name: &str, model: &std::path::Path| {
        let mut command = scan_command(&project, model, &file);
        succeed(command.args(["--layers", "0-1", "--part", "0/1", "--name", name]));
        let parts = files(&project.data(name).join("parts/part-00000-of-00001"));
        let tables = parts
            .into_iter()
            .filter(|(file, _)| file != "manifest.json");
        tables.collect::<Vec<_>>()
    };
    let (right, wrong) = (scan("right", &model("llama")), scan("wrong", &broken));
    assert!(right.len() == 4 && right == wrong);
}

#[test]
fn layers_belong_to_the_identity_of_a_scan() {
    let project = Project::new();
    let file = project.join("corpus.jsonl");
    corpus(&file, 12);
    let scan = |layers: &str, part: &str| {
        let mut command = scan_command(&project, &model("llama"), &file);
        command.args(["--layers", layers, "--part", part]);
        command
    };
    succeed(&mut scan("0-1", "0/2"));
    fail(&mut scan("0,2", "1/2"), &["layers"]);
    fail(&mut scan("3", "1/2"), &["layers 0 to 2", "names layer 3"]);
    misused(&mut scan("1-0", "1/2"), &["`1-0` is not a range of layers"]);
    succeed(&mut scan("1,0", "1/2"));
    succeed(&mut data_command(&project, "merge", &project.data("llama")));
    // all layers are all layers, whether they are named or not
    let named = Project::new().scan("llama", 12, &["--layers", "0-2"]);
    assert_eq!(named.atlas("llama").manifest().scan.policy.layers, None);
}
