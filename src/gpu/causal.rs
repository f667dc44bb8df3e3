//! Causal softmax; its kernel needs no mask in memory.

use std::ops::Range;

use candle_core::{D, DType, Result, Tensor};

/// The keys that queries see, and the scale of their scores.
#[derive(Clone, Copy, Debug)]
pub struct Causal {
    /// Queries of a head; row `r` of the scores is of query `r % n_queries`.
    pub n_queries: usize,
    /// Position of the first query, keys counted from 0.
    pub first_query: usize,
    /// Positions that a query sees, itself included.
    pub sees: usize,
    /// Factor of the scores.
    pub scale: f32,
    /// Bound of the scores, by tanh.
    pub softcap: Option<f32>,
}

impl Causal {
    /// The keys that a query sees.
    fn seen(&self, query: usize) -> Range<usize> {
        let end = self.first_query + query + 1;
        end.saturating_sub(self.sees)..end
    }
}

/// Scores → pattern, both `[.., n_keys]`: every row's softmax, in f32, over the keys that its query sees; 0 elsewhere. Has
/// gradients where the scores have.
pub fn causal_softmax(scores: &Tensor, causal: Causal) -> Result<Tensor> {
    if scores.track_op() {
        return composed(scores, causal);
    }
    #[cfg(feature = "cuda")]
    if let Some(gpu) = super::Gpu::of(scores.device()) {
        return gpu.causal_softmax(scores, causal);
    }
    let n_keys = scores.dim(D::Minus1)?;
    let mut rows: Vec<f32> = scores.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
    for (row, scores) in rows.chunks_exact_mut(n_keys.max(1)).enumerate() {
        softmax(scores, row % causal.n_queries, causal);
    }
    let pattern = Tensor::from_vec(rows, scores.dims(), scores.device())?;
    pattern.to_dtype(scores.dtype())
}

/// Causal softmax by candle's own operations, all of which have gradients.
fn composed(scores: &Tensor, causal: Causal) -> Result<Tensor> {
    let (n_rows, n_keys) = (scores.dim(D::Minus2)?, scores.dim(D::Minus1)?);
    let is_seen = |at: usize| {
        let (query, key) = (at / n_keys % causal.n_queries, at % n_keys);
        u8::from(causal.seen(query).contains(&key))
    };
    let is_seen: Vec<u8> = (0..n_rows * n_keys).map(is_seen).collect();
    let is_seen = Tensor::from_vec(is_seen, (n_rows, n_keys), scores.device())?;
    let wide = (scores.to_dtype(DType::F32)? * f64::from(causal.scale))?;
    let wide = match causal.softcap.map(f64::from) {
        Some(cap) => ((wide / cap)?.tanh()? * cap)?,
        None => wide,
    };
    let unseen = Tensor::new(f32::NEG_INFINITY, scores.device())?.broadcast_as(wide.shape())?;
    // chosen and not added, since a score that is NaN would stay NaN
    let is_seen = is_seen.broadcast_as(wide.shape())?;
    let wide = is_seen.where_cond(&wide, &unseen)?;
    let pattern = candle_nn::ops::softmax(&wide, D::Minus1)?;
    pattern.to_dtype(scores.dtype())
}

fn softmax(row: &mut [f32], query: usize, causal: Causal) {
    let seen = causal.seen(query);
    row[..seen.start].fill(0.0);
    row[seen.end..].fill(0.0);
    let seen = &mut row[seen];
    for x in seen.iter_mut() {
        *x *= causal.scale;
        if let Some(cap) = causal.softcap {
            *x = cap * (*x / cap).tanh();
        }
    }
    let most = seen.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    seen.iter_mut().for_each(|x| *x = (*x - most).exp());
    let sum: f32 = seen.iter().sum();
    seen.iter_mut().for_each(|x| *x /= sum);
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Var};

    use super::*;
    use crate::gpu::Gpu;

    #[test]
    fn the_kernel_agrees_with_its_twin() {
        let noise = |i: usize| ((i * 7919 % 1009) as f32 / 504.5 - 1.0) * 9.0;
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::BF16, 4e-3), (DType::F16, 5e-4)] {
            for (first_query, sees, softcap) in [(0, 99, None), (5, 99, Some(2.5)), (5, 3, None)] {
                let (n_queries, n_keys) = (4, first_query + 4);
                let shape = (2, 3, 2 * n_queries, n_keys);
                let scores: Vec<f32> = (0..2 * 3 * 2 * n_queries * n_keys).map(noise).collect();
                let scores = Tensor::from_vec(scores, shape, &Device::Cpu).unwrap();
                let scores = scores.to_dtype(dtype).unwrap();
                let causal = Causal {
                    n_queries,
                    first_query,
                    sees,
                    scale: 0.3,
                    softcap,
                };
                let values = |pattern: Tensor| -> Vec<f32> {
                    assert_eq!(pattern.dims(), scores.dims());
                    let pattern = pattern.flatten_all().unwrap().to_dtype(DType::F32).unwrap();
                    pattern.to_vec1().unwrap()
                };
                let expected = values(causal_softmax(&scores, causal).unwrap());
                let found = values(Gpu::Emulated.causal_softmax(&scores, causal).unwrap());
                for (row, (found, expected)) in found
                    .chunks(n_keys)
                    .zip(expected.chunks(n_keys))
                    .enumerate()
                {
                    let query = first_query + row % n_queries;
                    for (key, (f, e)) in found.iter().zip(expected).enumerate() {
                        assert!(
                            (f - e).abs() <= tolerance,
                            "{dtype:?} row {row} key {key}: {f}, not {e}"
                        );
                        let seen = key <= query && key + sees > query;
                        assert_eq!(*e > 0.0, seen, "query {query} and key {key}");
                    }
                    let sum: f32 = expected.iter().sum();
                    assert!((sum - 1.0).abs() < 0.02, "a row of {dtype:?} sums to {sum}");
                }
            }
        }
    }

    #[test]
    fn what_is_not_a_number_stays_so() {
        let scores = [
            [1f32, f32::NAN, f32::NAN],
            [1.0, 1.0, f32::NAN],
            [f32::NAN, 1.0, 1.0],
        ];
        let scores = Tensor::new(&scores, &Device::Cpu).unwrap();
        let tracked = Var::from_tensor(&scores).unwrap();
        for softcap in [None, Some(2.5)] {
            let causal = Causal {
                n_queries: 3,
                first_query: 0,
                sees: 9,
                scale: 1.0,
                softcap,
            };
            for pattern in [
                causal_softmax(&scores, causal),
                causal_softmax(&tracked, causal),
                Gpu::Emulated.causal_softmax(&scores, causal),
            ] {
                let rows = pattern.unwrap().to_vec2::<f32>().unwrap();
                // a key that is not seen does not matter
                assert_eq!(rows[..2], [[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]]);
                assert!(rows[2].iter().all(|x| x.is_nan()), "{rows:?}");
            }
        }
    }
}
