//! Sums over the counted positions besides the powers of [`super::moments`], each one entry of [`SUMS`].
//!
//! Block, checkpoint, merge and table go through the list. A GPU computes the same terms in the same order
//! (`src/gpu/kernels.cu`, `FURTHER`).

use crate::lanes::Lanes;

use super::moments::Moments;

/// A sum over the counted positions.
pub struct Sum {
    /// Its column in the table of statistics.
    pub column: &'static str,
    /// What is summed, for docs/format.md.
    pub about: &'static str,
    /// Version of the program that the column came with.
    pub since: &'static str,
    /// Between which values it must lie, given the moments of the same positions.
    pub bounds: fn(&Moments) -> Option<[f64; 2]>,
}

/// How many sums there are.
pub const N_SUMS: usize = SUMS.len();

/// Every sum.
pub const SUMS: [Sum; 1] = [Sum {
    column: "sum_abs",
    about: "Σ\\|x\\| of the ranking hook at counted positions",
    since: "0.2",
    // |Σx| ≤ Σ|x| ≤ √(N·Σx²)
    bounds: |moments| {
        let [sum, square, ..] = moments.sums?;
        Some([sum.abs(), (moments.count as f64 * square).sqrt()])
    },
}];

/// The terms of a position, of sixteen neurons at a time: what each sum adds where the ranked value is `x`.
#[inline(always)]
pub(super) fn terms<L: Lanes>(x: L) -> [L; N_SUMS] {
    [x.max(L::splat(0.0).sub(x))]
}

/// The terms of a position.
#[inline(always)]
pub(super) fn term(x: f32) -> [f32; N_SUMS] {
    [x.abs()]
}
