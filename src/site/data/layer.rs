use crate::atlas::facts::{N_RANKED, RANKED};
use crate::atlas::{NeuronWeights, Regions, Summary};

/// A layer, apart from the examples of its neurons.
pub(crate) struct LayerData<'a> {
    pub(crate) layer: u32,
    pub(crate) summaries: &'a [Summary],
    /// If the weights were analysed, and are at hand.
    pub(crate) weights: Option<&'a [NeuronWeights]>,
    /// What chance explains of the cosines.
    pub(crate) regions: Option<&'a Regions>,
    pub(crate) population: Population,
}

impl<'a> LayerData<'a> {
    pub(crate) fn new(
        layer: u32,
        summaries: &'a [Summary],
        weights: Option<&'a [NeuronWeights]>,
        regions: Option<&'a Regions>,
        population: Population,
    ) -> Self {
        Self {
            layer,
            summaries,
            weights,
            regions,
            population,
        }
    }
}

/// How many neurons of the layer and of the model are ranked by each measure.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Population {
    pub(crate) layer: [u32; N_RANKED],
    pub(crate) model: [u32; N_RANKED],
}

/// How many of these neurons are ranked by each measure.
pub(crate) fn n_ranked(summaries: &[Summary]) -> [u32; N_RANKED] {
    RANKED.map(|fact| {
        let ranks = summaries.iter().map(|s| s.ranks(fact).in_layer);
        ranks.flatten().count() as u32
    })
}
