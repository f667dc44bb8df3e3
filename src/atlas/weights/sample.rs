//! Some of what the weights say, computed again the plain way: lengths and cosines of all neurons, tokens of some neurons,
//! neurons of some tokens.

use candle_core::Device;
use rayon::prelude::*;

use super::directions::{dot, inverse_norm, layer_directions, values};
use super::reads::Reads;
use super::tokens::{FIRING, FIRING_BY_V};
use super::vocabulary::Sides;
use super::{NeuronWeights, TOP_NEURONS, TokenNeurons};
use crate::atlas::error::AtlasError;
use crate::atlas::sides::Orientation;
use crate::ids::{NeuronId, TokenId};
use crate::model::Config;
use crate::model::weights::Checkpoint;

/// Share of the largest of some numbers by which one may differ.
const TOLERANCE: f64 = 1e-3;

/// What is recomputed.
pub(crate) struct WeightsSample<'a> {
    /// Neurons whose tokens are recomputed.
    pub(crate) neurons: &'a [NeuronId],
    /// Whether classes leave out a norm after the MLP, as they have since 0.3.
    pub(crate) norm_is_apart: bool,
    /// Tokens whose neurons are recomputed, with what the atlas has.
    pub(crate) tokens: &'a [(TokenId, TokenNeurons)],
    /// The sides that dominate, neuron by neuron through all layers, if the atlas has what neurons do when they fire.
    /// The layers that were scanned.
    pub(crate) layers: Vec<u32>,
    pub(crate) orientations: Option<&'a [Option<Orientation>]>,
}

/// Compares an atlas with the weights of its model; returns what differs, with the layer if it is of one. `of_layer` are the
/// neurons of a layer.
pub(crate) fn different_from_model(
    config: &Config,
    checkpoint: &Checkpoint<'_>,
    sample: &WeightsSample<'_>,
    of_layer: impl Fn(u32) -> Result<Vec<NeuronWeights>, AtlasError>,
) -> Result<Vec<(Option<u32>, String)>, AtlasError> {
    let analysis = checkpoint.analysis(config, &Device::Cpu);
    let d = config.d_model;
    let w_u = values(&analysis.unembed()?)?;
    let w_e = values(&analysis.embed()?)?;
    let rows = |vectors: &'_ [f32], at: usize| vectors[at * d..(at + 1) * d].to_vec();
    let mut different = Vec::new();
    let mut logits: Vec<Vec<(NeuronId, f64)>> = vec![Vec::new(); sample.tokens.len()];
    let mut cosines: Vec<Vec<(NeuronId, f64)>> = vec![Vec::new(); sample.tokens.len()];
    for layer in sample.layers.iter().copied() {
        let mlp = analysis.mlp(layer as usize)?;
        let stored = of_layer(layer)?;
        let (directions, norms) = layer_directions(&mlp, d)?;
        for (neuron, of) in (0..).zip(&stored) {
            let mut found = directions.cosines(neuron, d);
            if !sample.norm_is_apart {
                found.fold_norm();
            }
            let pairs = [
                ("norm_in", Some(norms[neuron].input), Some(of.norms.input)),
                ("norm_gate", norms[neuron].gate, of.norms.gate),
                ("norm_out", Some(norms[neuron].out), Some(of.norms.out)),
                ("cos_in_out", found.in_out, of.cosines.in_out),
                ("cos_gate_out", found.gate_out, of.cosines.gate_out),
                ("cos_gate_in", found.gate_in, of.cosines.gate_in),
                ("cos_in_written", found.in_written, of.cosines.in_written),
                (
                    "cos_gate_written",
                    found.gate_written,
                    of.cosines.gate_written,
                ),
            ];
            for (name, expected, found) in pairs {
                let near = match (expected, found) {
                    (Some(a), Some(b)) => (a - b).abs() <= 1e-4 * a.abs().max(1e-2),
                    (a, b) => a == b,
                };
                if !near {
                    let what = format!(
                        "neuron {layer}.{neuron}: `{name}` differs from what was computed, {expected:?}"
                    );
                    different.push((Some(layer), what));
                }
            }
        }
        let w_out = values(mlp.written())?;
        let w_in = values(&mlp.w_in)?;
        let w_gate = mlp.w_gate.as_ref().map(values).transpose()?;
        let product = |vectors: &[f32], neuron: usize, others: &[f32]| -> Vec<(TokenId, f64)> {
            let own = rows(vectors, neuron);
            let products = others.par_chunks_exact(d).map(|other| dot(&own, other));
            let products: Vec<f64> = products.collect();
            (0..).map(TokenId).zip(products).collect()
        };
        for id in sample.neurons.iter().filter(|id| id.layer == layer) {
            let (neuron, of) = (id.neuron as usize, &stored[id.neuron as usize]);
            let written = [of.top.clone(), of.bottom.clone()];
            let reads = |of: &Reads<(TokenId, f32)>| [of.top.clone(), of.bottom.clone()];
            let all = [
                (["top", "bottom"], written, Some(&w_out), &w_u),
                (
                    ["read_in_top", "read_in_bottom"],
                    reads(&of.reads_in),
                    Some(&w_in),
                    &w_e,
                ),
                (
                    ["read_gate_top", "read_gate_bottom"],
                    reads(&of.reads_gate),
                    w_gate.as_ref(),
                    &w_e,
                ),
            ];
            for (names, lists, vectors, others) in all {
                let Some(vectors) = vectors.filter(|_| !lists[0].is_empty()) else {
                    continue;
                };
                let found = product(vectors, neuron, others);
                for (name, list) in names.into_iter().zip(lists) {
                    if !is_best(&list, &found) {
                        let what = format!("neuron {id}: `{name}` differs from what was computed");
                        different.push((Some(layer), what));
                    }
                }
            }
        }
        for (at, (token, _)) in sample.tokens.iter().enumerate() {
            let own = rows(&w_u, token.0 as usize);
            let length = f64::from(inverse_norm(&own));
            for (neuron, other) in (0..).zip(w_out.chunks_exact(d)) {
                let id = NeuronId { layer, neuron };
                let logit = dot(&own, other);
                let inverse = f64::from(inverse_norm(other));
                if inverse > 0.0 {
                    logits[at].push((id, logit));
                    cosines[at].push((id, logit * inverse * length));
                }
            }
        }
    }
    for (at, (token, of)) in sample.tokens.iter().enumerate() {
        for (name, list, found) in [
            ("promoted_logit", &of.by_logit[0], &logits[at]),
            ("suppressed_logit", &of.by_logit[1], &logits[at]),
            ("promoted_v", &of.by_v[0], &cosines[at]),
            ("suppressed_v", &of.by_v[1], &cosines[at]),
        ] {
            if !list.is_empty() && !is_best(list, found) {
                different.push((
                    None,
                    format!("token {}: `{name}` differs from what was computed", token.0),
                ));
            }
        }
        for (names, lists, found) in [
            (FIRING, &of.firing, &logits[at]),
            (FIRING_BY_V, &of.firing_by_v, &cosines[at]),
        ] {
            let Some(orientations) = sample.orientations else {
                continue;
            };
            let sides = |id: NeuronId| {
                let flat = id.layer as usize * config.d_mlp + id.neuron as usize;
                Sides::new(orientations[flat])
            };
            for (end, name) in names.into_iter().enumerate() {
                if !is_firing(&lists[end], found, |id, value| sides(id).act(end, value)) {
                    different.push((
                        None,
                        format!("token {}: `{name}` differs from what was computed", token.0),
                    ));
                }
            }
        }
    }
    Ok(different)
}

/// Whether a list has the values of the largest size among those that act, as far as rounding lets them be told apart.
fn is_firing(
    list: &[(NeuronId, f32)],
    all: &[(NeuronId, f64)],
    acts: impl Fn(NeuronId, f32) -> bool,
) -> bool {
    let effect = |&(id, value): &(NeuronId, f64)| match acts(id, value as f32) {
        true => (id, value.abs()),
        false => (id, -value.abs()),
    };
    let effects: Vec<_> = all.iter().map(effect).collect();
    let sizes: Vec<_> = list.iter().map(|(id, value)| (*id, value.abs())).collect();
    let largest = effects.iter().fold(0f64, |most, of| most.max(of.1.abs()));
    let clear = effects.iter().filter(|of| of.1 > TOLERANCE * largest);
    list.iter().all(|(id, value)| acts(*id, *value))
        && list.len() >= clear.count().min(TOP_NEURONS)
        && is_best(&sizes, &effects)
}

/// Whether a list has the largest, or the smallest, of all values, as far as rounding lets them be told apart.
fn is_best<I: Copy + PartialEq>(list: &[(I, f32)], all: &[(I, f64)]) -> bool {
    let ascends = list.len() > 1 && list[0].1 < list[list.len() - 1].1;
    let score = |value: f64| if ascends { -value } else { value };
    let mut sorted: Vec<f64> = all.iter().map(|entry| score(entry.1)).collect();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let largest = all.iter().fold(0f64, |most, entry| most.max(entry.1.abs()));
    let near = |a: f64, b: f64| (a - b).abs() <= TOLERANCE * largest;
    let own = |id: I| all.iter().find(|entry| entry.0 == id).map(|entry| entry.1);
    let fits = |(at, &(id, value)): (usize, &(I, f32))| {
        let value = f64::from(value);
        own(id).is_some_and(|own| near(own, value)) && near(score(value), sorted[at])
    };
    list.len() <= sorted.len() && list.iter().enumerate().all(fits)
}
