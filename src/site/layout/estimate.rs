//! How large a site would be, by some of its neurons.

use rayon::prelude::*;

use super::packed::files;
use crate::site::data::{LayerData, NeuronData, Population};
use crate::site::encode::record::RecordWriter;
use crate::site::error::SiteError;
use crate::site::options::SiteOptions;
use crate::site::pack::BuildId;
use crate::site::pack::Quality;
use crate::site::pack::TextMap;
use crate::site::part::Documentation;
use crate::site::source::Source;
use crate::site::text::texts::TokenTexts;

/// Neurons of a layer that are looked at, and layers of which they are.
const SAMPLE: usize = 40;
const SAMPLE_LAYERS: u32 = 6;

/// Bytes of a neuron's page beside its record, of its card, and of all else that a site of pages has of it.
const PAGE: f64 = 10_500.0;
const CARD: f64 = 9_000.0;
const BESIDE_PAGE: f64 = 900.0;
/// Bytes of a token in the index of a site of pages, and of a position of the corpus.
const TOKEN: f64 = 1_700.0;
const POSITION: f64 = 10.0;
/// Bytes of all else that a packed site has of a neuron: its lines, words, measures, and place in lists.
const BESIDE_PACKED: f64 = 385.0;
/// Bytes of a token in the index of a packed site, and of a position of the corpus.
const PACKED_TOKEN: f64 = 255.0;
const PACKED_POSITION: f64 = 2.35;
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
    }
}

/// What can be kept of a packed neuron's examples, the most first.
pub(super) const QUALITIES: [Quality; 21] = [
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
    quality(36, 5),
    quality(32, 5),
    short(40),
    short(36),
    short(32),
    short(28),
    short(24),
    short(20),
    short(16),
    short(12),
    short(8),
];

/// How large a model's part of a site would be.
pub(super) struct Estimate {
    /// With a page for every neuron.
    pub(super) pages: f64,
    /// Whether examples have hooks beside their values.
    pub(super) has_hooks: bool,
    /// Bytes of a packed neuron, with each quality.
    of_neuron: Vec<f64>,
    n_neurons: f64,
    /// What else a packed site has.
    beside: f64,
}

/// Bytes of some neurons.
#[derive(Default)]
struct Sizes {
    n: usize,
    records: usize,
    hooks: usize,
    packed: Vec<usize>,
}

impl Estimate {
    pub(super) fn new(
        source: &Source,
        texts: &TokenTexts<'_>,
        options: &SiteOptions,
    ) -> Result<Self, SiteError> {
        let scan = &source.atlas.manifest().scan;
        let sizes = sizes(source, texts)?;
        let n = sizes.n.max(1) as f64;
        let n_neurons = f64::from(scan.model.n_layers) * f64::from(scan.model.d_mlp);
        let n_positions = scan.corpus.n_tokens.unwrap_or_default() as f64;
        let n_tokens = match source.atlas.weights_info() {
            Some(_) => f64::from(scan.model.d_vocab),
            None => 0.0,
        };
        let record = sizes.records as f64 / n;
        let card = if options.has_cards(false) { CARD } else { 0.0 };
        let page = PAGE + record * if options.neuron_json { 2.0 } else { 1.0 } + card + BESIDE_PAGE;
        let n_pages = f64::from(options.pages_for.top).min(n_neurons);
        let packed_card = if options.has_cards(true) { CARD } else { 0.0 };
        let packed_json = if options.neuron_json { record } else { 0.0 };
        Ok(Self {
            pages: REST + n_neurons * page + n_tokens * TOKEN + n_positions * POSITION,
            has_hooks: sizes.hooks > 0,
            of_neuron: sizes.packed.iter().map(|bytes| *bytes as f64 / n).collect(),
            n_neurons,
            beside: REST
                + n_neurons * (BESIDE_PACKED + packed_card + packed_json)
                + n_tokens * PACKED_TOKEN
                + n_positions * PACKED_POSITION
                + n_pages * page,
        })
    }

    /// Bytes of a neuron, packed with one of [`QUALITIES`].
    pub(super) fn of_neuron(&self, quality: usize) -> f64 {
        self.of_neuron.get(quality).copied().unwrap_or_default()
    }

    /// Bytes with all neurons packed with one of [`QUALITIES`].
    pub(super) fn packed(&self, quality: usize) -> f64 {
        self.beside + self.n_neurons * self.of_neuron(quality)
    }
}

/// The sizes of some neurons of a model.
fn sizes(source: &Source, texts: &TokenTexts<'_>) -> Result<Sizes, SiteError> {
    let atlas = &source.atlas;
    let n_layers = atlas.manifest().scan.model.n_layers;
    let step = n_layers.div_ceil(SAMPLE_LAYERS).max(1);
    let layers: Vec<u32> = (0..n_layers).step_by(step as usize).collect();
    let text = TextMap::of(source);
    let of_layer = |layer| -> Result<Sizes, SiteError> {
        let summaries = atlas.summaries(layer)?;
        let regions = source.regions(layer);
        let data = LayerData::new(layer, &summaries, None, regions, Population::default());
        let neurons = atlas.layer(layer)?.take(SAMPLE);
        let neurons = neurons.collect::<Result<Vec<_>, _>>()?;
        let read = |neuron| NeuronData::read(source, Documentation::default(), &data, neuron);
        let neurons = neurons.iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let records = RecordWriter::new(source, texts);
        let written = neurons.iter().map(|neuron| records.record(neuron).len());
        let mut sizes = Sizes {
            n: neurons.len(),
            records: written.sum(),
            ..Sizes::default()
        };
        for quality in text.iter().flat_map(|text| QUALITIES.map(|of| (text, of))) {
            let (text, quality) = quality;
            let (file, hooks) = files(source, &records, text, quality, BuildId::NONE, &neurons)?;
            let hooks = hooks.map_or(0, |hooks| hooks.len());
            sizes.hooks = sizes.hooks.max(hooks);
            sizes.packed.push(file.len() + hooks);
        }
        Ok(sizes)
    };
    let sizes = layers.into_par_iter().map(of_layer);
    let sizes = sizes.collect::<Result<Vec<_>, SiteError>>()?;
    let add = |sum: Sizes, of: Sizes| Sizes {
        n: sum.n + of.n,
        records: sum.records + of.records,
        hooks: sum.hooks + of.hooks,
        packed: match sum.packed.is_empty() {
            true => of.packed,
            false => sum
                .packed
                .iter()
                .zip(of.packed)
                .map(|(a, b)| a + b)
                .collect(),
        },
    };
    Ok(sizes.into_iter().fold(Sizes::default(), add))
}
