//! One tile of a product, in registers.

use super::packing::BAND;
use crate::lanes::{LANES, Lanes};

/// One tile of a product: what is multiplied, and where the sum goes.
pub(super) struct Tile {
    /// Words of the tile's rows in the first block.
    pub(super) rows: *const u32,
    /// Words from a block to the next.
    pub(super) next_block: usize,
    pub(super) n_blocks: usize,
    /// Inputs of a block.
    pub(super) block: usize,
    pub(super) weights: *const u32,
    pub(super) out: *mut f32,
    /// Values from a row of `out` to the next.
    pub(super) stride: usize,
    /// Whether the sum is added to what is there.
    pub(super) add: bool,
}

impl Tile {
    /// The sixteen outputs from `first` on.
    ///
    /// # Safety
    /// The tile has them.
    #[inline(always)]
    pub(super) unsafe fn half(&self, first: usize) -> Self {
        // SAFETY: the caller's
        let (weights, out) = unsafe { (self.weights.add(first), self.out.add(first)) };
        Self {
            weights,
            out,
            ..*self
        }
    }
}

/// A tile of `HEIGHT` rows and `16 · VECTORS` outputs, all sums in registers.
///
/// Loops are over numbers: an iterator over vectors is a function that is not compiled for their instruction set.
///
/// # Safety
/// What the tile points to is as long as it says; `pairs` says what the words of the weights are.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(super) unsafe fn multiply<L: Lanes, const HEIGHT: usize, const VECTORS: usize>(
    tile: &Tile,
    pairs: bool,
) {
    // SAFETY: the caller's
    unsafe {
        let zero = L::splat(0.0);
        let mut sums = [[zero; VECTORS]; HEIGHT];
        let mut weights = tile.weights;
        for block in 0..tile.n_blocks {
            let mut rows = tile.rows.add(block * tile.next_block).cast::<f32>();
            if pairs {
                for _ in 0..tile.block / 2 {
                    let mut lanes = [(zero, zero); VECTORS];
                    for v in 0..VECTORS {
                        lanes[v] = L::load_pairs(weights.add(v * LANES));
                    }
                    for i in 0..HEIGHT {
                        let first = L::splat(*rows.add(i));
                        let second = L::splat(*rows.add(HEIGHT + i));
                        for v in 0..VECTORS {
                            sums[i][v] = first.mul_add(lanes[v].0, sums[i][v]);
                            sums[i][v] = second.mul_add(lanes[v].1, sums[i][v]);
                        }
                    }
                    rows = rows.add(2 * HEIGHT);
                    weights = weights.add(BAND);
                }
            } else {
                for _ in 0..tile.block {
                    let mut lanes = [zero; VECTORS];
                    for v in 0..VECTORS {
                        lanes[v] = L::load(weights.add(v * LANES).cast());
                    }
                    for i in 0..HEIGHT {
                        let x = L::splat(*rows.add(i));
                        for v in 0..VECTORS {
                            sums[i][v] = x.mul_add(lanes[v], sums[i][v]);
                        }
                    }
                    rows = rows.add(HEIGHT);
                    weights = weights.add(BAND);
                }
            }
        }
        for i in 0..HEIGHT {
            for v in 0..VECTORS {
                let out = tile.out.add(i * tile.stride + v * LANES);
                if tile.add {
                    L::load(out).add(sums[i][v]).store(out);
                } else {
                    sums[i][v].store(out);
                }
            }
        }
    }
}

/// [`multiply`] with `vdpbf16ps`.
///
/// # Safety
/// As for [`multiply`].
#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop)]
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
pub(super) unsafe fn multiply_dot(tile: &Tile) {
    use std::arch::x86_64::*;
    use std::mem::transmute;
    const HEIGHT: usize = 14;
    // SAFETY: the caller's; vectors of the same size are what they are read as
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; HEIGHT];
        let mut weights = tile.weights;
        for block in 0..tile.n_blocks {
            let mut rows = tile.rows.add(block * tile.next_block).cast::<i32>();
            for _ in 0..tile.block / 2 {
                let low = transmute::<__m512i, __m512bh>(_mm512_loadu_si512(weights.cast()));
                let high = _mm512_loadu_si512(weights.add(LANES).cast());
                let high = transmute::<__m512i, __m512bh>(high);
                for i in 0..HEIGHT {
                    let x = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*rows.add(i)));
                    sums[i][0] = _mm512_dpbf16_ps(sums[i][0], x, low);
                    sums[i][1] = _mm512_dpbf16_ps(sums[i][1], x, high);
                }
                rows = rows.add(HEIGHT);
                weights = weights.add(BAND);
            }
        }
        for i in 0..HEIGHT {
            for v in 0..2 {
                let out = tile.out.add(i * tile.stride + v * LANES);
                let sum = match tile.add {
                    true => _mm512_add_ps(_mm512_loadu_ps(out), sums[i][v]),
                    false => sums[i][v],
                };
                _mm512_storeu_ps(out, sum);
            }
        }
    }
}
