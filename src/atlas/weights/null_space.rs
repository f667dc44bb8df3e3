//! The directions of the residual stream that the unembedding hardly reads (Stolfo et al. 2024).

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, Par, Side};

use super::directions::dot;

/// An orthonormal basis of the bottom of W_U's left singular space.
pub(super) struct NullSpace {
    d: usize,
    /// `[k, d_model]`
    basis: Vec<f64>,
}

/// Tokens whose part of W_U·W_Uᵀ is added up at a time.
const TOKENS: usize = 2048;

/// Directions of the residual stream for each of the null space: 12 of GPT-2's 768, as in the paper.
const SHARE: f64 = 64.0;

/// Singular values of this share of the largest, squared, are none.
const NOTHING: f64 = 1e-12;

impl NullSpace {
    /// Finds the null space of an unembedding `[d_vocab, d_model]`: as many directions as make up 1/64 of all, or all that it does not read at all if
    /// they are more. Where nothing is written along the mean either (`is_centred`), at least one besides. `None` if it has no
    /// singular values, since it holds infinities.
    pub(super) fn new(w_u: &[f32], d: usize, is_centred: bool) -> Option<Self> {
        let mut gram = Mat::<f64>::zeros(d, d);
        for tokens in w_u.chunks(TOKENS * d) {
            let block = Mat::from_fn(tokens.len() / d, d, |token, at| {
                f64::from(tokens[token * d + at])
            });
            matmul(
                &mut gram,
                Accum::Add,
                block.transpose(),
                &block,
                1.0,
                Par::rayon(0),
            );
        }
        let eigen = gram.self_adjoint_eigen(Side::Lower).ok()?;
        // ascending
        let (values, vectors) = (eigen.S().column_vector(), eigen.U());
        let largest = values[d - 1];
        let n_nothing = (0..d).filter(|at| values[*at] <= NOTHING * largest).count();
        let least = 1 + usize::from(is_centred);
        let k = ((d as f64 / SHARE).round() as usize)
            .max(least)
            .max(n_nothing);
        let basis = (0..k.min(d)).flat_map(|k| (0..d).map(move |at| (at, k)));
        Some(Self {
            d,
            basis: basis.map(|(at, k)| vectors[(at, k)]).collect(),
        })
    }

    /// Number of directions.
    pub(super) fn dim(&self) -> usize {
        self.basis.len() / self.d
    }

    /// ρ: the length of a vector's projection, as a share of its own.
    pub(super) fn share(&self, vector: &[f32]) -> Option<f32> {
        let square: f64 = dot(vector, vector);
        let along = |direction: &[f64]| {
            let products = direction.iter().zip(vector).map(|(a, b)| a * f64::from(*b));
            products.sum::<f64>().powi(2)
        };
        let projected: f64 = self.basis.chunks_exact(self.d).map(along).sum();
        let share = (projected / square).sqrt();
        share.is_finite().then(|| share.min(1.0) as f32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_unembedding_does_not_read_is_the_null_space() {
        // four directions of which the last is hardly read
        let tokens: Vec<f32> = (0..64)
            .flat_map(|t: i32| {
                [
                    t as f32,
                    (t % 5) as f32,
                    (t % 3) as f32,
                    (t % 2) as f32 * 1e-3,
                ]
            })
            .collect();
        let space = NullSpace::new(&tokens, 4, false).unwrap();
        assert_eq!(space.dim(), 1);
        assert!(space.share(&[0.0, 0.0, 0.0, -2.0]).unwrap() > 0.9999);
        assert!(space.share(&[1.0, -1.0, 2.0, 0.0]).unwrap() < 1e-3);
        let half = space.share(&[1.0, 0.0, 0.0, 1.0]).unwrap();
        assert!((half - 0.5f32.sqrt()).abs() < 1e-3, "{half}");
        assert_eq!(space.share(&[0.0; 4]), None);
        assert_eq!(NullSpace::new(&tokens, 4, true).unwrap().dim(), 2);
    }

    #[test]
    fn all_that_is_not_read_counts() {
        // two directions of six, of 64 tokens that lie in a plane
        let tokens: Vec<f32> = (0..64)
            .flat_map(|t: i32| [t as f32, (t % 7) as f32, 0.0, 0.0, 0.0, 0.0])
            .collect();
        let space = NullSpace::new(&tokens, 6, false).unwrap();
        assert_eq!(space.dim(), 4);
        assert!((space.share(&[3.0, 0.0, 4.0, 0.0, 0.0, 0.0]).unwrap() - 0.8).abs() < 1e-6);
    }
}
