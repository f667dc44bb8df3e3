use crate::atlas::{AtlasNeuron, Side};
use crate::ids::NeuronId;

use super::examples::{ExampleTokens, Examples};
use super::layer::LayerData;
use crate::site::error::SiteError;
use crate::site::part::Documentation;
use crate::site::source::Source;

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
        source: &Source,
        documentation: Documentation<'a>,
        layer: &'a LayerData<'a>,
        neuron: &'a AtlasNeuron,
    ) -> Result<Self, SiteError> {
        let id = neuron.id;
        Ok(Self {
            layer,
            neuron,
            examples: Examples::read(neuron, source)?,
            documentation,
            flat: id.layer * source.atlas.manifest().scan.model.d_mlp + id.neuron,
        })
    }

    pub(crate) fn id(&self) -> NeuronId {
        self.neuron.id
    }

    /// The sides on which it speaks, the dominant one first: both where they are nearly as large.
    pub(crate) fn sides(&self) -> Vec<Side> {
        let is_balanced = self
            .neuron
            .summary
            .orientation
            .is_some_and(|of| of.is_balanced());
        let side = self.side();
        match is_balanced {
            true => vec![side, side.other()],
            false => vec![side],
        }
    }

    /// The side that dominates; where that is not known, that of the value of largest magnitude.
    pub(crate) fn side(&self) -> Side {
        let moments = &self.neuron.stats.moments;
        let orientation = self.neuron.summary.orientation;
        orientation.map_or_else(
            || match moments.count > 0 && -moments.min > moments.max {
                true => Side::Negative,
                false => Side::Positive,
            },
            |of| of.side,
        )
    }

    /// The examples of the side that dominates, the strongest first.
    pub(crate) fn main(&self) -> impl Iterator<Item = &ExampleTokens<'a>> {
        self.of_side(self.side())
    }

    /// The examples of a side, the strongest first.
    pub(crate) fn of_side(&self, side: Side) -> impl Iterator<Item = &ExampleTokens<'a>> {
        self.examples.of(side.list().name())
    }
}
