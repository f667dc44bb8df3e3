//! Products of packed rows with packed weights.
//!
//! Every element is one chain of multiply-adds over its inputs, in stretches of [`STRETCH`], whatever the tile is.

use std::ops::Range;

use super::packing::{BAND, GROUP_ROWS, Method, PANEL, Packed, PackedRows};
use super::tile::{Tile, multiply};
use crate::lanes::{Isa, Kernel, LANES, Lanes};

/// Inputs that are summed before the sum is added to what is there.
const STRETCH: usize = 768;

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The first output of the first row.
    pub(super) out: *mut f32,
    /// Values from a row to the next.
    pub(super) stride: usize,
    /// Whether the product is added to what is there.
    pub(super) add: bool,
}

/// Multiplies some tiles with one band of weights, from the weights' input `from` on.
///
/// # Safety
/// Whole tiles of [`BAND`] outputs can be written to the target; with `add`, they are values already.
pub(super) unsafe fn multiply_band(
    rows: &PackedRows,
    tiles: Range<usize>,
    (weights, band, from): (&Packed, usize, usize),
    target: Target,
) {
    assert_eq!((rows.method, rows.isa), (weights.method, weights.isa));
    assert!(from + rows.depth <= weights.depth);
    assert!(tiles.end <= rows.n_tiles() && band * BAND < weights.n_out);
    let n_blocks = rows.depth / rows.block.max(1);
    // a stretch is some blocks, or some inputs of the only block
    let (blocks_at_once, inputs_at_once) = match n_blocks {
        1 => (1, rows.depth.div_ceil(rows.depth.div_ceil(STRETCH).max(1))),
        _ => (STRETCH / rows.block, rows.block),
    };
    let inputs_at_once = inputs_at_once.next_multiple_of(rows.method.step());
    let per_row_word = rows.method.per_row_word();
    let (words, tile_words) = (rows.words.as_slice(), rows.tile_words());
    let mut add = target.add;
    for first_block in (0..n_blocks).step_by(blocks_at_once) {
        for first_input in (0..rows.block).step_by(inputs_at_once) {
            let input = from + first_block * rows.block + first_input;
            let weight_words = weights.band(band, input);
            for (at, tile) in tiles.clone().enumerate() {
                let start = (first_block * rows.n_tiles() + tile) * tile_words;
                let task = Tile {
                    rows: words[start + first_input * rows.height / per_row_word..].as_ptr(),
                    next_block: rows.n_tiles() * tile_words,
                    n_blocks: blocks_at_once.min(n_blocks - first_block),
                    block: inputs_at_once.min(rows.block - first_input),
                    weights: weight_words.as_ptr(),
                    // SAFETY: the caller's: there are whole tiles
                    out: unsafe { target.out.add(at * rows.height * target.stride) },
                    stride: target.stride,
                    add,
                };
                // SAFETY: rows and weights have the inputs that were asserted
                unsafe { multiply_tile(rows.isa, rows.method, &task) };
            }
            add = true;
        }
    }
}

/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn multiply_tile(isa: Isa, method: Method, tile: &Tile) {
    struct Multiply<'t>(&'t Tile, bool);
    impl Kernel for Multiply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            // SAFETY: the caller's
            unsafe {
                match L::TILE {
                    (14, 2) => multiply::<L, 14, 2>(self.0, self.1),
                    (6, 1) => {
                        multiply::<L, 6, 1>(&self.0.half(0), self.1);
                        multiply::<L, 6, 1>(&self.0.half(LANES), self.1);
                    }
                    _ => {
                        multiply::<L, 4, 1>(&self.0.half(0), self.1);
                        multiply::<L, 4, 1>(&self.0.half(LANES), self.1);
                    }
                }
            }
        }
    }
    match method {
        Method::Plain => isa.run(Multiply(tile, false)),
        Method::Widened => isa.run(Multiply(tile, true)),
        // SAFETY: the method is chosen only where the CPU has it
        #[cfg(target_arch = "x86_64")]
        Method::Dot => unsafe { super::tile::multiply_dot(tile) },
        // SAFETY: likewise
        #[cfg(target_arch = "x86_64")]
        Method::Amx => unsafe { super::amx::multiply(tile) },
    }
}

/// Multiplies some tiles with the weights of a panel of neurons: whole tiles of rows of [`PANEL`], zero where there is no neuron.
pub(crate) fn multiply_neurons(
    rows: &PackedRows,
    tiles: Range<usize>,
    weights: &Packed,
    panel: usize,
    out: &mut [f32],
) {
    let n_rows = tiles.len() * rows.height;
    assert!(out.len() >= n_rows * PANEL);
    for half in 0..PANEL / BAND {
        let band = panel * PANEL / BAND + half;
        if band * BAND >= weights.n_out {
            for row in out.chunks_exact_mut(PANEL).take(n_rows) {
                row[half * BAND..].fill(0.0);
            }
            break;
        }
        let target = Target {
            out: out[half * BAND..].as_mut_ptr(),
            stride: PANEL,
            add: false,
        };
        // SAFETY: there is room for whole tiles
        unsafe { multiply_band(rows, tiles.clone(), (weights, band, 0), target) };
    }
}

/// Multiplies rows with all weights: `[n_rows, n_out]`.
pub(crate) fn linear(rows: &PackedRows, weights: &Packed) -> Vec<f32> {
    let (n_out, height) = (weights.n_out, rows.height);
    // tiles are written whole
    let len = rows.n_tiles() * height * n_out;
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let mut edge = [0f32; GROUP_ROWS * BAND];
    for tiles in rows.groups() {
        let first = tiles.start * height * n_out;
        for band in 0..n_out.div_ceil(BAND) {
            let n = BAND.min(n_out - band * BAND);
            // SAFETY: `out` and `edge` have room for whole tiles; of the last band only outputs that exist are copied
            unsafe {
                let to = out.as_mut_ptr().add(first + band * BAND);
                let target = match n == BAND {
                    true => Target {
                        out: to,
                        stride: n_out,
                        add: false,
                    },
                    false => Target {
                        out: edge.as_mut_ptr(),
                        stride: BAND,
                        add: false,
                    },
                };
                multiply_band(rows, tiles.clone(), (weights, band, 0), target);
                if n == BAND {
                    continue;
                }
                for row in 0..tiles.len() * height {
                    let from = edge.as_ptr().add(row * BAND);
                    std::ptr::copy_nonoverlapping(from, to.add(row * n_out), n);
                }
            }
        }
    }
    // SAFETY: every row of every tile has been written in every band
    unsafe { out.set_len(rows.n_rows * n_out) };
    out
}
