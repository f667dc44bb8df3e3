//! How large a site would be, by some of its neurons.

use rayon::prelude::*;

use super::packed::files;
use crate::site::content::Content;
use crate::site::data::{ExampleTokens, LayerData, NeuronData, Population};
use crate::site::encode::record::RecordWriter;
use crate::site::error::SiteError;
use crate::site::options::SiteOptions;
use crate::site::pack::{BuildId, Effort, Quality, TextMap};
use crate::site::part::Documentation;
use crate::site::source::Source;
use crate::site::text::texts::TokenTexts;

/// Neurons of a layer that are looked at, and layers of which they are.
const SAMPLE: usize = 40;
const SAMPLE_LAYERS: usize = 6;

// How large things were, by measurement, in sites of SmolLM2 and of OLMo-7B's shape (docs/performance.md)

/// Bytes of a neuron's page beside its record, of its card, and of all else that a site of pages has of it.
const PAGE: f64 = 10_500.0;
const CARD: f64 = 9_000.0;
const BESIDE_PAGE: f64 = 900.0;
/// Bytes of a neuron as DeepDecipher's clients read it.
const DEEPDECIPHER: f64 = 20_500.0;
/// Bytes of a token in the index of a site of pages, and of a position of the corpus.
const TOKEN: f64 = 1_700.0;
const POSITION: f64 = 10.0;
/// Bytes of all else that a packed site has of a neuron: its lines, words, measures, and place in lists.
const BESIDE_PACKED: f64 = 400.0;
/// Bytes of a token in the index of a packed site, and of a position of the corpus.
const PACKED_TOKEN: f64 = 240.0;
const PACKED_POSITION: f64 = 2.25;
/// Bytes of what does not grow.
const REST: f64 = 1_500_000.0;

const fn quality(n_examples: usize, bits: u8) -> Quality {
    Quality {
        n_examples: Some(n_examples),
        ..all(bits, false)
    }
}

/// With half of each list of tokens and of neighbours, and coarse histograms.
const fn short(n_examples: usize) -> Quality {
    Quality {
        n_tokens: Some(10),
        n_neighbours: Some(5),
        exact_counts: false,
        ..quality(n_examples, 5)
    }
}

const fn all(bits: u8, hooks: bool) -> Quality {
    Quality {
        n_examples: None,
        bits,
        hooks,
        n_tokens: None,
        n_neighbours: None,
        exact_counts: true,
        effort: Effort::Most,
    }
}

/// What can be kept of a packed neuron's examples, the most first. Where all of it fits anyway, the build is quick.
pub(super) const QUALITIES: [Quality; 29] = [
    Quality {
        effort: Effort::Least,
        ..all(8, true)
    },
    all(8, true),
    all(8, false),
    all(7, false),
    all(6, false),
    quality(80, 6),
    quality(64, 6),
    quality(56, 6),
    quality(48, 6),
    quality(40, 6),
    quality(40, 5),
    short(56),
    short(52),
    short(48),
    short(44),
    short(42),
    short(40),
    short(38),
    short(36),
    short(34),
    short(32),
    short(30),
    short(28),
    short(26),
    short(24),
    short(20),
    short(16),
    short(12),
    short(8),
];

/// How large a model's part of a site would be.
pub(super) struct Estimate<'a> {
    source: &'a Source,
    texts: &'a TokenTexts<'a>,
    /// Bytes with a page for every neuron.
    pub(super) pages: f64,
    /// Whether examples have hooks beside their values.
    pub(super) has_hooks: bool,
    n_neurons: f64,
    /// What a packed site has beside the neurons.
    beside: f64,
}

impl<'a> Estimate<'a> {
    pub(super) fn new(
        source: &'a Source,
        texts: &'a TokenTexts<'a>,
        content: &Content,
        options: &SiteOptions,
    ) -> Result<Self, SiteError> {
        let scan = &source.atlas.manifest().scan;
        let records = RecordWriter::new(source, texts);
        let found = looked_at(source, |neurons| {
            let of_row = |row: &ExampleTokens<'_>| row.hooks.is_some();
            let has_hooks = |of: &NeuronData<'_>| of.examples.rows.iter().any(of_row);
            let bytes = neurons.iter().map(|neuron| records.record(neuron).len());
            Ok((bytes.sum::<usize>(), neurons.iter().any(has_hooks)))
        })?;
        let record = mean(found.iter().map(|(n, (bytes, _))| (*n, *bytes)));
        let n_neurons = scan.n_neurons() as f64;
        let n_positions = scan.corpus.n_tokens.unwrap_or_default() as f64;
        let n_tokens = match source.atlas.weights_info() {
            Some(_) => f64::from(scan.model.d_vocab),
            None => 0.0,
        };
        let json = if options.neuron_json { record } else { 0.0 };
        let card = |is_packed| {
            if options.has_cards(is_packed) {
                CARD
            } else {
                0.0
            }
        };
        let clients = match options.deepdecipher {
            true => DEEPDECIPHER,
            false => 0.0,
        };
        let page = PAGE + record + BESIDE_PAGE;
        let notes = content.notes.keys();
        let notes = notes.filter(|(model, _)| options.pages_for.notes && model == source.name());
        let n_pages = (f64::from(options.pages_for.top) + notes.count() as f64).min(n_neurons);
        Ok(Self {
            source,
            texts,
            pages: REST
                + n_neurons * (page + json + clients + card(false))
                + n_tokens * TOKEN
                + n_positions * POSITION,
            has_hooks: found.iter().any(|(_, (_, has_hooks))| *has_hooks),
            n_neurons,
            beside: REST
                + n_neurons * (BESIDE_PACKED + json + clients + card(true))
                + n_tokens * PACKED_TOKEN
                + n_positions * PACKED_POSITION
                + n_pages * page,
        })
    }

    /// Bytes of a packed neuron of this quality; none without a corpus, since it cannot be packed.
    pub(super) fn of_neuron(&self, quality: Quality) -> Result<f64, SiteError> {
        let Some(text) = TextMap::of(self.source) else {
            return Ok(0.0);
        };
        let records = RecordWriter::new(self.source, self.texts);
        let found = looked_at(self.source, |neurons| {
            let build = BuildId::NONE;
            let (file, hooks) = files(self.source, &records, &text, quality, build, neurons)?;
            Ok(file.len() + hooks.map_or(0, |hooks| hooks.len()))
        })?;
        Ok(mean(found.into_iter()))
    }

    /// Bytes with all neurons packed in this quality.
    pub(super) fn packed(&self, quality: Quality) -> Result<f64, SiteError> {
        Ok(self.beside + self.n_neurons * self.of_neuron(quality)?)
    }
}

/// Looks at some neurons of some layers of a model: the number of neurons of each layer, and what `look` answers of them.
fn looked_at<T: Send>(
    source: &Source,
    look: impl Fn(&[NeuronData<'_>]) -> Result<T, SiteError> + Sync,
) -> Result<Vec<(usize, T)>, SiteError> {
    let atlas = &source.atlas;
    let layers = atlas.manifest().scan.layers();
    let step = layers.len().div_ceil(SAMPLE_LAYERS).max(1);
    let layers: Vec<u32> = layers.into_iter().step_by(step).collect();
    let of_layer = |layer| -> Result<_, SiteError> {
        let summaries = atlas.summaries(layer)?;
        let regions = source.regions(layer);
        let data = LayerData::new(layer, &summaries, None, regions, Population::default());
        let neurons = atlas.layer(layer)?.take(SAMPLE);
        let neurons = neurons.collect::<Result<Vec<_>, _>>()?;
        let read = |neuron| NeuronData::read(source, Documentation::default(), &data, neuron);
        let neurons = neurons.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        Ok((neurons.len(), look(&neurons)?))
    };
    layers.into_par_iter().map(of_layer).collect()
}

/// Bytes of one neuron, by those of some neurons.
fn mean(sizes: impl Iterator<Item = (usize, usize)>) -> f64 {
    let (n, bytes) = sizes.fold((0, 0), |sum, (n, bytes)| (sum.0 + n, sum.1 + bytes));
    bytes as f64 / n.max(1) as f64
}
