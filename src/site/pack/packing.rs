//! How the neurons of a model are packed.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::file::{BuildId, Effort, VERSION};
use super::text::{TextInfo, TextMap};
use crate::atlas::facts::RANKED;
use crate::atlas::{ScanIdentity, Summary};
use crate::ids::NeuronId;
use crate::site::address;
use crate::site::content::Content;
use crate::site::error::SiteError;
use crate::site::options::{PagesFor, SiteOptions};
use crate::site::source::Source;

/// Bytes of a file of neurons.
const FILE_BYTES: f64 = 96_000.0;
/// Most files of neurons.
const MOST_FILES: usize = 7168;

/// How many neurons of so many bytes each one file has.
pub(crate) fn per_file(scan: &ScanIdentity, bytes: f64) -> usize {
    let d_mlp = scan.model.d_mlp as usize;
    let least = (scan.n_neurons() as usize).div_ceil(MOST_FILES);
    let fit = (FILE_BYTES / bytes.max(1.0)) as usize;
    fit.max(least).min(d_mlp).max(1)
}

/// How much is kept of a neuron's examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quality {
    /// Examples, each counted once whatever lists have it; all without a number.
    pub(crate) n_examples: Option<usize>,
    /// Bits of each value, its sign included: at most 8.
    pub(crate) bits: u8,
    /// Whether hooks beside the values are kept.
    pub(crate) hooks: bool,
    /// Tokens of each list of weights; all without a number.
    pub(crate) n_tokens: Option<usize>,
    /// Neurons of each list of neighbours; all without a number.
    pub(crate) n_neighbours: Option<usize>,
    /// Whether the counts of histograms are exact.
    pub(crate) exact_counts: bool,
    /// How much is done to make files small.
    pub(crate) effort: Effort,
}

/// How the neurons of a model are packed.
pub(crate) struct Packing {
    pub(crate) build: BuildId,
    pub(crate) quality: Quality,
    /// Neurons in one file.
    pub(crate) per_file: usize,
    pub(crate) text: TextMap,
    /// The neurons that have pages of their own as well.
    pages: HashSet<NeuronId>,
}

/// What the model's index, and the pages that show its neurons, say of the packing.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PackingInfo {
    version: u8,
    build: String,
    neurons_per_file: usize,
    /// Examples of a neuron, tokens and neighbours in a list; all without a number.
    n_examples: Option<usize>,
    n_tokens: Option<usize>,
    n_neighbours: Option<usize>,
    exact_counts: bool,
    bits: u8,
    text: TextInfo,
}

impl Packing {
    /// Packs a model's neurons, so many to a file.
    pub(crate) fn new(
        source: &Source,
        content: &Content,
        options: &SiteOptions,
        quality: Quality,
        per_file: usize,
    ) -> Result<Self, SiteError> {
        let text = TextMap::of(source).ok_or(SiteError::NoCorpusToPack)?;
        let (manifest, weights) = (source.atlas.manifest(), source.atlas.weights_info());
        let program = env!("CARGO_PKG_VERSION");
        let made_of = json!([manifest, weights, quality, per_file, program]);
        Ok(Self {
            build: BuildId::of(&made_of),
            quality,
            per_file,
            text,
            pages: pages(source, content, options.pages_for)?,
        })
    }

    /// Whether a neuron has a page of its own as well.
    pub(crate) fn has_page(&self, id: NeuronId) -> bool {
        self.pages.contains(&id)
    }

    /// The address of a neuron's page, from its layer's folder.
    pub(crate) fn link(&self, id: NeuronId) -> String {
        match self.has_page(id) {
            true => address::neuron_file(id.neuron),
            false => address::shown_link(id.neuron),
        }
    }

    pub(crate) fn info(&self) -> PackingInfo {
        PackingInfo {
            version: VERSION,
            build: self.build.hex(),
            neurons_per_file: self.per_file,
            n_examples: self.quality.n_examples,
            n_tokens: self.quality.n_tokens,
            n_neighbours: self.quality.n_neighbours,
            exact_counts: self.quality.exact_counts,
            bits: self.quality.bits,
            text: self.text.info(),
        }
    }
}

/// The neurons of a packed model that have pages of their own.
fn pages(
    source: &Source,
    content: &Content,
    which: PagesFor,
) -> Result<HashSet<NeuronId>, SiteError> {
    let mut pages = HashSet::new();
    if which.notes {
        let notes = content.notes.keys();
        let own = notes.filter(|(model, _)| model == source.name());
        pages.extend(own.map(|(_, id)| *id));
    }
    if which.top > 0 {
        for layer in source.atlas.manifest().scan.layers() {
            let summaries = source.atlas.summaries(layer)?;
            let rank = |of: &Summary| of.ranks(RANKED[0]).in_model;
            let first = summaries
                .iter()
                .filter(|of| rank(of).is_some_and(|rank| rank <= which.top));
            pages.extend(first.map(|of| NeuronId {
                layer,
                neuron: of.neuron,
            }));
        }
    }
    Ok(pages)
}
