//! Neurons in the shape that clients of DeepDecipher read: `/api/<model>/all/<layer>/<neuron>`, its services
//! `metadata` and `neuroscope`.

use serde_json::{Value, json};

use crate::atlas::ScanIdentity;
use crate::ids::NeuronId;
use crate::tokens::Vocabulary;

use super::data::{ExampleTokens, NeuronData};
use super::error::SiteError;
use super::part::ModelPart;
use super::section::Section;
use super::text::format::round;
use super::text::texts::json as json_file;

/// Services whose data is there.
const SERVICES: [&str; 2] = ["metadata", "neuroscope"];

/// Writes every neuron in this shape.
pub(super) struct DeepDecipher<'a>(pub(super) ModelPart<'a>);

impl Section for DeepDecipher<'_> {
    fn neuron(&self, data: &NeuronData<'_>) -> Result<(), SiteError> {
        let part = &self.0;
        let scan = &part.source.atlas.manifest().scan;
        let neuron = neuron(scan, data, part.texts.vocabulary());
        part.site
            .write(&address(&part.model.name, data.id()), &json_file(&neuron)?)
    }
}

/// The address of a neuron; as DeepDecipher's, it has no extension.
fn address(model: &str, NeuronId { layer, neuron }: NeuronId) -> String {
    format!("api/{model}/all/{layer}/{neuron}")
}

/// A neuron with its largest activations.
fn neuron(scan: &ScanIdentity, data: &NeuronData<'_>, vocabulary: &Vocabulary) -> Value {
    let (model, id) = (&scan.model, data.id());
    let texts = data.examples.of("top").map(|row| text(row, vocabulary));
    let mut texts: Vec<Value> = texts.collect();
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
            "num_total_neurons": scan.n_neurons(),
            "num_total_parameters": model.n_parameters,
            "available_services": SERVICES,
        }},
        "neuroscope": {"data": {
            "neuron_index": {"layer": id.layer, "neuron": id.neuron},
            "texts": texts,
        }},
    })
}

fn text(row: &ExampleTokens<'_>, vocabulary: &Vocabulary) -> Value {
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
