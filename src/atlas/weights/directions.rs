//! Vectors by their direction alone.

use candle_core::Tensor;
use rayon::prelude::*;

use super::Norms;
use crate::model::ModelError;
use crate::model::weights::MlpWeights;

/// Unit vectors of the neurons of a layer, zero where there is no direction: `[d_mlp, d_model]` each.
pub(super) struct Directions {
    pub(super) input: Vec<f32>,
    pub(super) gate: Option<Vec<f32>>,
    pub(super) out: Vec<f32>,
}

/// The product of two vectors.
pub(super) fn dot(a: &[f32], b: &[f32]) -> f64 {
    // eight sums, which the compiler keeps in one register
    let mut sums = [0f64; 8];
    let (a, b) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f64 = a
        .remainder()
        .iter()
        .zip(b.remainder())
        .map(|(x, y)| f64::from(*x) * f64::from(*y))
        .sum();
    for (a, b) in a.zip(b) {
        for at in 0..8 {
            sums[at] += f64::from(a[at]) * f64::from(b[at]);
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// 1 / norm, and 0 where there is no direction: of zeros, and of what is too short for its inverse to be a number.
pub(super) fn inverse_norm(vector: &[f32]) -> f32 {
    let inverse = (1.0 / dot(vector, vector).sqrt()) as f32;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The cosine of vectors of length 1, or 0.
pub(super) fn cosine(a: &[f32], b: &[f32]) -> Option<f32> {
    let has_direction = |vector: &[f32]| vector.iter().any(|&x| x != 0.0);
    let cosine = dot(a, b).clamp(-1.0, 1.0) as f32;
    (has_direction(a) && has_direction(b)).then_some(cosine)
}

/// A tensor's values, row after row.
pub(super) fn values(tensor: &Tensor) -> Result<Vec<f32>, ModelError> {
    Ok(tensor.flatten_all()?.to_vec1()?)
}

/// Vectors of length 1, or 0 where there is no direction, and their lengths.
fn directions(tensor: &Tensor, d: usize) -> Result<(Vec<f32>, Vec<f32>), ModelError> {
    let mut vectors = values(tensor)?;
    let length = |vector: &mut [f32]| {
        let inverse = inverse_norm(vector);
        let norm = dot(vector, vector).sqrt() as f32;
        vector.iter_mut().for_each(|x| *x *= inverse);
        norm
    };
    let norms = vectors.par_chunks_exact_mut(d).map(length).collect();
    Ok((vectors, norms))
}

/// Unit vectors of a layer, and the lengths that the vectors had.
pub(super) fn layer_directions(
    mlp: &MlpWeights,
    d: usize,
) -> Result<(Directions, Vec<Norms>), ModelError> {
    let (input, input_norms) = directions(&mlp.w_in, d)?;
    let (out, out_norms) = directions(&mlp.w_out, d)?;
    let gate = mlp.w_gate.as_ref().map(|w_gate| directions(w_gate, d));
    let (gate, gate_norms) = gate.transpose()?.unzip();
    let norms = (0..input_norms.len()).map(|at| Norms {
        input: input_norms[at],
        gate: gate_norms.as_ref().map(|norms| norms[at]),
        out: out_norms[at],
    });
    let norms = norms.collect();
    Ok((Directions { input, gate, out }, norms))
}
