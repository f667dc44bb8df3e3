//! Neurons in the shape that clients of DeepDecipher read: `/api/<model>/all/<layer>/<neuron>`, its services
//! `metadata` and `neuroscope`.

use serde_json::{Value, json};

use crate::atlas::{AtlasNeuron, ScanIdentity};

use crate::site::text::examples::{Corpus, ExampleTokens, Examples};
use crate::site::text::format::round;

/// Services whose data is there.
const SERVICES: [&str; 2] = ["metadata", "neuroscope"];

/// The address of a neuron; as DeepDecipher's, it has no extension.
pub(in crate::site) fn address(scan: &ScanIdentity, neuron: &AtlasNeuron) -> String {
    let (model, id) = (&scan.model.name, neuron.id);
    format!("api/{model}/all/{}/{}", id.layer, id.neuron)
}

/// A neuron with its largest activations.
pub(in crate::site) fn neuron(
    scan: &ScanIdentity,
    neuron: &AtlasNeuron,
    examples: &Examples<'_>,
    corpus: &Corpus<'_>,
) -> Value {
    let (model, id) = (&scan.model, neuron.id);
    let mut texts: Vec<Value> = examples.of("top").map(|row| text(row, corpus)).collect();
    // as on neuroscope.io, the range is symmetric and that of all texts
    let ends = ["min_activation", "max_activation"];
    let ends = texts
        .iter()
        .flat_map(|text| ends.map(|end| text[end].as_f64()));
    let range = ends.flatten().map(f64::abs).fold(0.0, f64::max);
    for text in &mut texts {
        text["min_range"] = json!(0.0 - range);
        text["max_range"] = json!(range);
    }
    json!({
        "model": model.name,
        "available": SERVICES,
        "layer": id.layer,
        "neuron": id.neuron,
        "metadata": {"data": {
            "name": model.name,
            "activation_function": model.mlp,
            "dataset": scan.corpus.name,
            "num_layers": model.n_layers,
            "layer_size": model.d_mlp,
            "num_total_neurons": u64::from(model.n_layers) * u64::from(model.d_mlp),
            "num_total_parameters": model.n_parameters,
            "available_services": SERVICES,
        }},
        "neuroscope": {"data": {
            "neuron_index": {"layer": id.layer, "neuron": id.neuron},
            "texts": texts,
        }},
    })
}

fn text(row: &ExampleTokens<'_>, corpus: &Corpus<'_>) -> Value {
    let vocabulary = corpus.texts.vocabulary();
    let tokens = row.tokens.iter().map(|token| vocabulary.text(*token));
    let mut values: Vec<Option<f32>> = row.example.window.values().collect();
    values[row.peak()] = Some(row.example.value);
    let activations = values.iter().map(|value| round(f64::from((*value)?)));
    let activations: Vec<Option<f64>> = activations.collect();
    let finite = || activations.iter().copied().flatten();
    json!({
        "min_activation": finite().reduce(f64::min),
        "max_activation": finite().reduce(f64::max),
        "data_index": row.example.doc.0,
        "max_activating_token_index": row.peak(),
        "tokens": tokens.collect::<Vec<_>>(),
        "activations": activations,
    })
}
