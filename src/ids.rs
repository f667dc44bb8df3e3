//! Identifiers as newtypes, so that a document is never taken for a position.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Most layers of a model. A larger number in a file is damage: no model is near these limits.
pub const MOST_LAYERS: u32 = 1 << 12;
/// Most neurons of a layer, and largest width of a residual stream.
pub const MOST_WIDTH: u32 = 1 << 20;
/// Most tokens of a vocabulary.
pub const MOST_VOCAB: u32 = 1 << 22;

/// A neuron of a model, written `layer.neuron`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NeuronId {
    /// Layer, from 0.
    pub layer: u32,
    /// Index within the layer's `d_mlp` neurons, from 0.
    pub neuron: u32,
}

impl fmt::Display for NeuronId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.neuron)
    }
}

/// A document's index in its corpus, from 0, in the corpus's stable order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DocId(pub u32);

/// A token's id in its tokenizer's vocabulary.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TokenId(pub u32);

/// A token's position in its document, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Pos(pub u32);
