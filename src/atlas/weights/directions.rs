//! Vectors by their direction alone.

use candle_core::Tensor;
use rayon::prelude::*;

use super::{Cosines, Norms};
use crate::model::ModelError;
use crate::model::weights::MlpWeights;

/// Unit vectors of the neurons of a layer, zero where there is no direction: `[d_mlp, d_model]` each.
pub(super) struct Directions {
    pub(super) input: Vec<f32>,
    pub(super) gate: Option<Vec<f32>>,
    pub(super) out: Vec<f32>,
    /// Of w_out with the norm after the MLP folded in, if there is one.
    pub(super) normed_out: Option<Vec<f32>>,
}

impl Directions {
    /// Of what reaches the residual stream.
    pub(super) fn written(&self) -> &Vec<f32> {
        self.normed_out.as_ref().unwrap_or(&self.out)
    }

    /// The cosines between the weights of a neuron.
    pub(super) fn cosines(&self, neuron: usize, d: usize) -> Cosines {
        let cosine = |a: Option<&Vec<f32>>, b: Option<&Vec<f32>>| {
            fn row(vectors: &[f32], at: usize, d: usize) -> &[f32] {
                &vectors[at * d..(at + 1) * d]
            }
            cosine(row(a?, neuron, d), row(b?, neuron, d))
        };
        let (input, out) = (Some(&self.input), Some(&self.out));
        let (gate, normed_out) = (self.gate.as_ref(), self.normed_out.as_ref());
        Cosines {
            in_out: cosine(input, out),
            gate_out: cosine(gate, out),
            gate_in: cosine(gate, input),
            in_written: cosine(input, normed_out),
            gate_written: cosine(gate, normed_out),
        }
    }
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

/// Unit vectors of a layer, and the lengths that the vectors had; that of what reaches the residual stream is the output's.
pub(super) fn layer_directions(
    mlp: &MlpWeights,
    d: usize,
) -> Result<(Directions, Vec<Norms>), ModelError> {
    let (input, input_norms) = directions(&mlp.w_in, d)?;
    let (out, out_norms) = directions(&mlp.w_out, d)?;
    let normed_out = mlp.normed_w_out.as_ref().map(|w_out| directions(w_out, d));
    let (normed_out, normed_norms) = normed_out.transpose()?.unzip();
    let out_norms = normed_norms.unwrap_or(out_norms);
    let gate = mlp.w_gate.as_ref().map(|w_gate| directions(w_gate, d));
    let (gate, gate_norms) = gate.transpose()?.unzip();
    let norms = (0..input_norms.len()).map(|at| Norms {
        input: input_norms[at],
        gate: gate_norms.as_ref().map(|norms| norms[at]),
        out: out_norms[at],
    });
    let norms = norms.collect();
    let directions = Directions {
        input,
        gate,
        out,
        normed_out,
    };
    Ok((directions, norms))
}
