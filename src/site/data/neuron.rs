use crate::atlas::AtlasNeuron;
use crate::ids::NeuronId;

use super::examples::{ExampleTokens, Examples};
use super::layer::LayerData;
use crate::site::error::SiteError;
use crate::site::part::{Documentation, ModelPart};

/// A neuron with the tokens of its examples and what was written about it.
pub(crate) struct NeuronData<'a> {
    pub(crate) layer: &'a LayerData<'a>,
    /// Statistics, weights, and examples by list.
    pub(crate) neuron: &'a AtlasNeuron,
    pub(crate) examples: Examples<'a>,
    pub(crate) documentation: Documentation<'a>,
    /// `layer · d_mlp + neuron`
    pub(crate) flat: u32,
}

impl<'a> NeuronData<'a> {
    /// Reads the tokens of a neuron's examples.
    pub(crate) fn read(
        part: &ModelPart<'a>,
        layer: &'a LayerData<'a>,
        neuron: &'a AtlasNeuron,
    ) -> Result<Self, SiteError> {
        let id = neuron.id;
        Ok(Self {
            layer,
            neuron,
            examples: Examples::read(neuron, part.source)?,
            documentation: part.documentation(id),
            flat: id.layer * part.model.d_mlp + id.neuron,
        })
    }

    pub(crate) fn id(&self) -> NeuronId {
        self.neuron.id
    }

    /// The list of the stronger side: `bottom` if the smallest value is farther from zero than the largest, else `top`.
    pub(crate) fn main_list(&self) -> &'static str {
        let moments = &self.neuron.stats.moments;
        match moments.count > 0 && -moments.min > moments.max {
            true => "bottom",
            false => "top",
        }
    }

    /// The examples of the stronger side, the strongest first.
    pub(crate) fn main(&self) -> impl Iterator<Item = &ExampleTokens<'a>> {
        self.examples.of(self.main_list())
    }
}
