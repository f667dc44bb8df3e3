//! What the site shows of models, layers and neurons, as plain data: numbers are not in words yet, and tokens are ids.

mod examples;
mod layer;
mod model;
mod neuron;

pub(super) use examples::{ExampleTokens, Examples, List, Reach};
pub(super) use layer::{LayerData, Population, n_ranked};
pub(super) use model::{LayerOverview, ModelData, TopNeuron, count_known};
pub(super) use neuron::NeuronData;
