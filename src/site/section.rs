//! The sections of a model's part of the site, each of which fills files of its own.

use super::data::{LayerData, NeuronData};
use super::error::SiteError;

/// A section of a model's part of the site. It is shown every layer and every neuron once; layers come side by side,
/// and the neurons of a layer in any order, after it.
pub(super) trait Section: Send + Sync {
    /// Takes a layer.
    fn layer(&self, _layer: &LayerData<'_>) -> Result<(), SiteError> {
        Ok(())
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
