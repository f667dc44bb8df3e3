//! The analysis of a model, layer by layer.

use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::chunks::{ROWS, RowChunk};
use super::directions::{Directions, layer_directions, values};
use super::null_space::NullSpace;
use super::pairs::{Neighbours, PackedDirections, Relation};
use super::reads::{self, Reads};
use super::roles::{self, Evidence};
use super::tokens::TokenIndex;
use super::vocabulary::{Vocabulary, Written};
use super::{AnalysisOptions, NeuronWeights, Norms, Region, Regions, WeightsInfo};
use crate::atlas::error::AtlasError;
use crate::atlas::sides::Orientation;
use crate::ids::TokenId;
use crate::lanes::Isa;
use crate::model::weights::{Analysis, Checkpoint, MlpWeights};
use crate::model::{Columns, Config, ModelError};

/// Chunks of [`ROWS`] neurons for each thread, so that no thread is long without.
const CHUNKS_PER_THREAD: usize = 8;

/// Bytes of packed layers that others are compared with; those are read again for each such batch.
const COLUMN_BYTES: usize = 2 << 30;

/// Bytes of the weights of layers that are looked at together.
const LAYER_BYTES: usize = 1 << 30;

/// Share of the layers, from the first, whose neurons get lists of the tokens that they read.
const EARLY_LAYERS: f64 = 0.25;

/// How many floating-point operations an analysis of some layers takes.
pub fn work(config: &Config, layers: &[u32]) -> u64 {
    let early = early_layers(config.n_layers) as u32;
    let n_early = layers.iter().filter(|layer| **layer < early).count();
    let [n_layers, n_early, d_mlp, d_model, d_vocab] = [
        layers.len(),
        n_early,
        config.d_mlp,
        config.d_model,
        config.d_vocab,
    ]
    .map(|n| n as u64);
    let inputs = 1 + u64::from(config.gated);
    let vocabulary = (n_layers + n_early * inputs) * d_mlp * d_vocab;
    let pairs = n_layers * (n_layers + 1) + n_layers * (n_layers - 1) / 2 * inputs;
    2 * d_model * (vocabulary + pairs * d_mlp * d_mlp)
}

pub(super) fn early_layers(n_layers: usize) -> usize {
    (n_layers as f64 * EARLY_LAYERS).ceil() as usize
}

/// Finds what the weights of some layers of a model say, which stand in order. `orientations` are the sides that dominate, neuron by
/// neuron through all layers of the model; a neuron
/// beyond their end, or whose side is unknown, is in no token's list of neurons by side. `progress` is called with the
/// floating-point operations done, of [`work`], and answers
/// whether to go on; `each` is given the neurons of each, in order.
pub fn weights(
    config: &Config,
    checkpoint: &Checkpoint<'_>,
    layers: &[u32],
    options: &AnalysisOptions,
    orientations: &[Option<Orientation>],
    progress: &dyn Fn(u64) -> bool,
    each: impl FnMut(u32, Vec<NeuronWeights>) -> Result<(), AtlasError>,
) -> Result<(WeightsInfo, TokenIndex), AtlasError> {
    options.check()?;
    let work = Work {
        config,
        layers: layers.iter().map(|layer| *layer as usize).collect(),
        analysis: checkpoint.analysis(config, &Device::Cpu),
        options,
        orientations,
        isa: Isa::best(),
        done: 0,
        progress,
    };
    work.run(each)
}

/// An analysis under way.
struct Work<'a> {
    config: &'a Config,
    layers: Vec<usize>,
    analysis: Analysis<'a>,
    options: &'a AnalysisOptions,
    orientations: &'a [Option<Orientation>],
    isa: Isa,
    done: u64,
    progress: &'a dyn Fn(u64) -> bool,
}

impl<'a> Work<'a> {
    /// Adds to what is done.
    fn did(&mut self, n_products: usize) -> Result<(), AtlasError> {
        self.done += 2 * (n_products * self.config.d_model) as u64;
        match (self.progress)(self.done) {
            true => Ok(()),
            false => Err(AtlasError::Interrupted),
        }
    }

    fn run(
        mut self,
        mut each: impl FnMut(u32, Vec<NeuronWeights>) -> Result<(), AtlasError>,
    ) -> Result<(WeightsInfo, TokenIndex), AtlasError> {
        let neighbours = self.neighbours()?;
        let c = self.config;
        let (n_layers, d) = (c.n_layers, c.d_model);
        let w_u = values(&self.analysis.unembed()?)?;
        let null_space = NullSpace::new(&w_u, d, self.analysis.unembed_is_centred());
        let vocabulary = Vocabulary::new(self.isa, &w_u, d, self.orientations);
        drop(w_u);
        let early = early_layers(n_layers);
        let late = (n_layers as f64 * self.options.roles.late_layers).ceil() as usize;
        let w_e = values(&self.analysis.embed()?)?;
        let mut embedding = Some(Columns::new(self.isa, &w_e, d));
        drop(w_e);
        let mut info = WeightsInfo {
            schema: WeightsInfo::SCHEMA.into(),
            neuroscope: env!("CARGO_PKG_VERSION").into(),
            options: self.options.clone(),
            null_dim: null_space.as_ref().map(NullSpace::dim),
            early_layers: early as u32,
            late_layers: late as u32,
            norm_after_mlp: Some(c.has_norm_after_mlp()),
            layers: Vec::new(),
        };
        // enough layers at a time for all threads to have work
        let wanted = ROWS * CHUNKS_PER_THREAD * rayon::current_num_threads();
        let fit = LAYER_BYTES / self.layer_bytes();
        let at_once = wanted.div_ceil(c.d_mlp).min(fit).max(1);
        let all = self.layers.clone();
        for layers in all.chunks(at_once) {
            let mlps = layers.iter().map(|layer| self.analysis.mlp(*layer));
            let mlps = mlps.collect::<Result<Vec<_>, _>>()?;
            let mut written = self.written(&vocabulary, layers, &mlps)?.into_iter();
            for (&layer, mlp) in layers.iter().zip(&mlps) {
                if layer >= early {
                    embedding = None;
                }
                let reads = self.reads(embedding.as_ref().filter(|_| layer < early), layer, mlp)?;
                let (directions, norms) = layer_directions(mlp, d)?;
                info.layers.push(self.regions(layer, &directions));
                let of_layer = LayerParts {
                    layer,
                    norms,
                    directions,
                    written: written.by_ref().take(c.d_mlp).collect(),
                    reads,
                    late: layer + late >= n_layers,
                };
                let found = self.neurons(of_layer, &neighbours, null_space.as_ref());
                each(layer as u32, found)?;
            }
        }
        Ok((
            info,
            TokenIndex::new(vocabulary.writers, c.d_vocab, c.d_mlp as u32),
        ))
    }

    /// Bytes of the weights of a layer.
    fn layer_bytes(&self) -> usize {
        let c = self.config;
        let n_matrices = 2 + usize::from(c.gated);
        n_matrices * c.d_mlp.next_multiple_of(Columns::PANEL) * c.d_model * size_of::<f32>()
    }

    fn neighbours(&mut self) -> Result<Neighbours, AtlasError> {
        let c = self.config;
        let (n_layers, d) = (c.n_layers, c.d_model);
        let neighbours = Neighbours::new(self.isa, (n_layers, c.d_mlp), d, c.gated);
        let n_matrices = 2 + usize::from(c.gated);
        let at_once = (COLUMN_BYTES / self.layer_bytes()).max(1);
        let all = self.layers.clone();
        for others in all.chunks(at_once) {
            let pack = |layer| -> Result<_, ModelError> {
                let (directions, _) = layer_directions(&self.analysis.mlp(layer)?, d)?;
                Ok((layer, PackedDirections::new(self.isa, &directions, d)))
            };
            let columns = others.iter().copied().map(pack);
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let is_before = |layer: &&usize| others.last().is_some_and(|last| *layer <= last);
            for &layer in all.iter().take_while(is_before) {
                let (rows, _) = layer_directions(&self.analysis.mlp(layer)?, d)?;
                neighbours.offer(layer, &rows, &columns);
                let later = others.iter().filter(|other| **other > layer).count();
                let own = usize::from(others.contains(&layer));
                self.did(c.d_mlp * c.d_mlp * (later * (n_matrices + 1) + own * 2))?;
            }
        }
        Ok(neighbours)
    }

    fn written(
        &mut self,
        vocabulary: &Vocabulary<'_>,
        layers: &[usize],
        mlps: &[MlpWeights],
    ) -> Result<Vec<Written>, AtlasError> {
        let c = self.config;
        let w_outs = mlps.iter().map(|mlp| values(mlp.written()));
        let w_outs = w_outs.collect::<Result<Vec<_>, _>>()?;
        let layers = layers.iter().zip(&w_outs);
        let chunks: Vec<_> = layers
            .flat_map(|(layer, w_out)| self.chunks(*layer, w_out))
            .collect();
        let written = vocabulary.written(&chunks);
        self.did(mlps.len() * c.d_mlp * c.d_vocab)?;
        Ok(written)
    }

    /// A layer's vectors, some at a time.
    fn chunks<'v>(&self, layer: usize, vectors: &'v [f32]) -> impl Iterator<Item = RowChunk<'v>> {
        let first = (layer * self.config.d_mlp) as u32;
        RowChunk::all(first, vectors, self.config.d_model)
    }

    /// What the input weights and the gate read; without an embedding, nothing.
    fn reads(
        &mut self,
        embedding: Option<&Columns>,
        layer: usize,
        mlp: &MlpWeights,
    ) -> Result<[LayerReads; 2], AtlasError> {
        let (d, d_mlp) = (self.config.d_model, self.config.d_mlp);
        let mut of = |w: Option<&Tensor>| -> Result<_, AtlasError> {
            let (Some(embedding), Some(w)) = (embedding, w) else {
                return Ok(Vec::new());
            };
            let vectors = values(w)?;
            let chunks: Vec<_> = self.chunks(layer, &vectors).collect();
            let found = reads::reads(self.isa, embedding, &chunks, d);
            self.did(d_mlp * embedding.n())?;
            Ok(found)
        };
        Ok([of(Some(&mlp.w_in))?, of(mlp.w_gate.as_ref())?])
    }

    fn regions(&self, layer: usize, of: &Directions) -> Regions {
        let (d, seed) = (self.config.d_model, self.options.seed);
        let gate = of.gate.as_ref();
        Regions {
            layer: layer as u32,
            in_out: Region::of(&of.input, &of.out, d, seed, false),
            gate_out: gate.and_then(|gate| Region::of(gate, &of.out, d, seed, false)),
            gate_in: gate.and_then(|gate| Region::of(gate, &of.input, d, seed, true)),
        }
    }

    fn neurons(
        &self,
        of: LayerParts,
        neighbours: &Neighbours,
        null_space: Option<&NullSpace>,
    ) -> Vec<NeuronWeights> {
        let d = self.config.d_model;
        let norms: Vec<f64> = of.norms.iter().map(|norms| norms.out.into()).collect();
        let variances = of
            .written
            .iter()
            .map(|written| written.v.variance.unwrap_or(f64::INFINITY));
        let norm_ranks = roles::share_below(&norms);
        let variance_ranks = roles::share_below(&variances.collect::<Vec<_>>());
        let LayerParts {
            layer,
            norms,
            directions,
            written,
            reads: [reads_in, reads_gate],
            late,
        } = of;
        let one = |(neuron, written): (usize, Written)| {
            let cosines = directions.cosines(neuron, d);
            let written_row = &directions.written()[neuron * d..(neuron + 1) * d];
            let null_share = null_space.and_then(|space| space.share(written_row));
            let role = self.options.roles.role(&Evidence {
                v: written.v,
                can_partition: self.options.roles.can_partition(d as u32),
                null_share,
                late,
                norm_rank: norm_ranks[neuron],
                variance_rank: variance_ranks[neuron],
            });
            let reads = |reads: &[Reads<(u32, f32)>]| {
                let reads = reads.get(neuron).cloned().unwrap_or_default();
                Reads {
                    top: tokens_of(reads.top),
                    bottom: tokens_of(reads.bottom),
                }
            };
            NeuronWeights {
                norms: norms[neuron],
                cosines,
                class: cosines.class(self.config.gated),
                role,
                null_share,
                logits: written.logits,
                v: written.v,
                histogram: written.histogram,
                top: tokens_of(written.top),
                bottom: tokens_of(written.bottom),
                reads_in: reads(&reads_in),
                reads_gate: reads(&reads_gate),
                neighbours: Relation::ALL.map(|relation| neighbours.of(relation, layer, neuron)),
            }
        };
        written.into_par_iter().enumerate().map(one).collect()
    }
}

/// What the neurons of a layer read; empty in layers without such lists.
type LayerReads = Vec<Reads<(u32, f32)>>;

/// What is known of a layer before it is put together.
struct LayerParts {
    layer: usize,
    norms: Vec<Norms>,
    directions: Directions,
    written: Vec<Written>,
    reads: [LayerReads; 2],
    late: bool,
}

fn tokens_of(tokens: Vec<(u32, f32)>) -> Vec<(TokenId, f32)> {
    tokens
        .into_iter()
        .map(|(id, value)| (TokenId(id), value))
        .collect()
}
