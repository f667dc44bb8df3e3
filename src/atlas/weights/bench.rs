//! How fast weights are analysed, beside bare products of the same sizes.

use std::time::Instant;

use candle_core::{Device, Tensor};
use serde::Serialize;

use super::chunks::RowChunk;
use super::directions::{layer_directions, values};
use super::pairs::{Neighbours, PackedDirections};
use super::vocabulary::Vocabulary;
use crate::atlas::error::AtlasError;
use crate::atlas::sides::{Orientation, Side};
use crate::lanes::Isa;
use crate::model::Config;
use crate::model::weights::Checkpoint;

/// Values of a bare product that are held at a time.
const HELD: usize = 64 << 20;

/// One round: seconds, and the floating-point operations of both ways.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct WeightsRound {
    /// Operations of a layer's logit weights.
    pub vocabulary_flop: u64,
    /// Seconds of candle's matmul.
    pub vocabulary_bare_s: f64,
    /// Seconds of all that is kept of them.
    pub vocabulary_s: f64,
    /// Operations of the pairs of two layers.
    pub pairs_flop: u64,
    /// Seconds of candle's matmul.
    pub pairs_bare_s: f64,
    /// Seconds of all that is kept of them.
    pub pairs_s: f64,
}

/// Layers whose columns are packed, once for all rounds as an analysis packs them once for all rows; at most half of them.
const LAYERS: usize = 4;

/// Analyses one layer after the other, its weights multiplied once without and once with looking at the products: all tokens,
/// and the neurons of the last few layers. The first round only warms up. `turn` is called with the rounds done, and answers whether
/// to go on.
pub fn bench_weights(
    config: &Config,
    checkpoint: &Checkpoint<'_>,
    rounds: usize,
    turn: &dyn Fn(usize) -> bool,
) -> Result<Vec<WeightsRound>, AtlasError> {
    let (d, d_mlp, isa) = (config.d_model, config.d_mlp, Isa::best());
    let analysis = checkpoint.analysis(config, &Device::Cpu);
    let w_u = analysis.unembed()?;
    let tokens = values(&w_u)?;
    // a neuron that speaks with its positive side beside one that speaks with its negative side
    let sides = Side::ALL.map(|side| Some(Orientation { side, balance: 0.0 }));
    let orientations = sides.repeat((config.n_layers * d_mlp).div_ceil(2));
    let new_vocabulary = || Vocabulary::new(isa, &tokens, d, &orientations);
    let mut vocabulary = new_vocabulary();
    let w_u = w_u.t().map_err(model_error)?;
    let neighbours = || Neighbours::new(isa, (config.n_layers, d_mlp), d, config.gated);
    let n_rows = config.n_layers - LAYERS.min(config.n_layers / 2);
    let mut found = neighbours();
    let mut packed = Vec::new();
    let mut columns = Vec::new();
    for layer in n_rows..config.n_layers {
        let (directions, _) = layer_directions(&analysis.mlp(layer)?, d)?;
        packed.push((layer, PackedDirections::new(isa, &directions, d)));
        columns.push(directions);
    }
    let tensor = |vectors: &[f32]| Tensor::from_slice(vectors, (d_mlp, d), &Device::Cpu);
    let mut done = Vec::new();
    for round in 0..=rounds {
        if !turn(round) {
            return Err(AtlasError::Interrupted);
        }
        // different layers, so that lists grow as they do in an analysis
        let layer = round % n_rows;
        if layer == 0 {
            // from here on it would be the same neurons again
            vocabulary = new_vocabulary();
            found = neighbours();
        }
        let mlp = analysis.mlp(layer)?;

        let started = Instant::now();
        bare(mlp.written(), &w_u)?;
        let vocabulary_bare_s = started.elapsed().as_secs_f64();
        let w_out = values(mlp.written())?;
        let first = (layer * d_mlp) as u32;
        let started = Instant::now();
        let chunks: Vec<RowChunk<'_>> = RowChunk::all(first, &w_out, d).collect();
        let written = vocabulary.written(&chunks);
        let vocabulary_s = started.elapsed().as_secs_f64();
        assert_eq!(written.len(), d_mlp);

        let (rows, _) = layer_directions(&mlp, d)?;
        let products = columns.iter().flat_map(|columns| {
            let gate = columns.gate.as_ref();
            let others = [
                Some((&rows.input, &columns.input)),
                Some((&rows.out, &columns.out)),
                Some((rows.written(), &columns.input)),
                gate.map(|gate| (rows.written(), gate)),
            ];
            others.into_iter().flatten()
        });
        let products: Vec<_> = products.collect();
        let mut pairs_bare_s = 0.0;
        for (rows, columns) in &products {
            let rows = tensor(rows).map_err(model_error)?;
            let columns = tensor(columns).and_then(|columns| columns.t());
            let columns = columns.map_err(model_error)?;
            let started = Instant::now();
            bare(&rows, &columns)?;
            pairs_bare_s += started.elapsed().as_secs_f64();
        }
        let started = Instant::now();
        found.offer(layer, &rows, &packed);
        let pairs_s = started.elapsed().as_secs_f64();
        if round > 0 {
            done.push(WeightsRound {
                vocabulary_flop: 2 * (d_mlp * config.d_vocab * d) as u64,
                vocabulary_bare_s,
                vocabulary_s,
                pairs_flop: 2 * (d_mlp * d_mlp * d * products.len()) as u64,
                pairs_bare_s,
                pairs_s,
            });
        }
    }
    Ok(done)
}

fn model_error(error: candle_core::Error) -> AtlasError {
    AtlasError::Model(error.into())
}

/// A product of which nothing is looked at, some rows at a time.
fn bare(rows: &Tensor, columns: &Tensor) -> Result<(), AtlasError> {
    let (n, width) = (rows.dims()[0], columns.dims()[1]);
    let at_once = (HELD / width).clamp(1, n);
    for first in (0..n).step_by(at_once) {
        let rows = rows
            .narrow(0, first, at_once.min(n - first))
            .map_err(model_error)?;
        std::hint::black_box(rows.matmul(columns).map_err(model_error)?);
    }
    Ok(())
}
