//! The sections of a model's part of the site, each of which fills files of its own.

use super::data::{LayerData, NeuronData};
use super::error::SiteError;

/// A section of a model's part of the site. It is shown every layer and every neuron once; layers come side by side,
/// and the neurons of a layer some at a time, in any order, after it.
pub(super) trait Section: Send + Sync {
    /// Takes a layer.
    fn layer(&self, _layer: &LayerData<'_>) -> Result<(), SiteError> {
        Ok(())
    }

    /// Takes some neurons, one after the other in their layer.
    fn neurons(&self, neurons: &[NeuronData<'_>]) -> Result<(), SiteError> {
        neurons.iter().try_for_each(|neuron| self.neuron(neuron))
    }

    /// Takes a neuron.
    fn neuron(&self, _neuron: &NeuronData<'_>) -> Result<(), SiteError> {
        Ok(())
    }

    /// Writes what needs all of them.
    fn finish(self: Box<Self>) -> Result<(), SiteError> {
        Ok(())
    }
}
