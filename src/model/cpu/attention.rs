//! Causal attention of one window, tile by tile of queries, over only the keys that they may see.

use super::activation::exp;
use super::matmul::{Target, multiply_band};
use super::packing::{BAND, Operands, Packed, PackedRows};
use crate::lanes::{Isa, Kernel, LANES, Lanes, for_lanes, lanes_at, map_lanes};

/// The shape of a layer's attention.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionShape {
    pub(crate) n_heads: usize,
    pub(crate) n_key_value_heads: usize,
    pub(crate) d_head: usize,
    /// Factor of q·k.
    pub(crate) scale: f32,
    /// s in s·tanh(q·k / s).
    pub(crate) softcap: Option<f32>,
    /// How many positions a query sees, its own included.
    pub(crate) window: Option<usize>,
    /// Positions before each window's first query, whose keys come before its own.
    pub(crate) past: usize,
}

/// Memory that is used again for every window.
struct Scratch {
    keys: Packed,
    values: Packed,
    queries: PackedRows,
    pattern: PackedRows,
    scores: Vec<f32>,
    out: Vec<f32>,
}

struct Attend<'a> {
    isa: Isa,
    operands: Operands,
    shape: AttentionShape,
    q: &'a mut [f32],
    k: &'a [f32],
    v: &'a [f32],
    lengths: &'a [usize],
    out: &'a mut [f32],
}

impl Kernel for Attend<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let shape = self.shape;
        let scale = L::splat(shape.scale);
        map_lanes!(L, self.q, |_, x| x.mul(scale));
        let keys = Packed::empty(self.isa, self.operands);
        let mut scratch = Scratch {
            values: keys.clone(),
            queries: keys.rows(),
            pattern: keys.rows(),
            keys,
            scores: Vec::new(),
            out: Vec::new(),
        };
        let group = shape.n_heads / shape.n_key_value_heads;
        let (q_row, k_row) = (
            shape.n_heads * shape.d_head,
            shape.n_key_value_heads * shape.d_head,
        );
        let (mut start, mut first_key) = (0, 0);
        for &n in self.lengths {
            let n_keys = shape.past + n;
            let (q, k, v) = (
                &self.q[start * q_row..(start + n) * q_row],
                &self.k[first_key * k_row..(first_key + n_keys) * k_row],
                &self.v[first_key * k_row..(first_key + n_keys) * k_row],
            );
            let out = &mut self.out[start * q_row..(start + n) * q_row];
            for head in 0..shape.n_key_value_heads {
                let first = head * shape.d_head;
                let key = |at: usize, dim: usize| k[at * k_row + first + dim];
                let value = |dim: usize, at: usize| v[at * k_row + first + dim];
                scratch.keys.pack(n_keys, shape.d_head, 1, key);
                scratch.values.pack(shape.d_head, n_keys, BAND, value);
                let in_head = |at: usize| &v[at * k_row + first..][..shape.d_head];
                let broken = (0..n_keys).any(|at| in_head(at).iter().any(|x| !x.is_finite()));
                for head in head * group..(head + 1) * group {
                    let first = head * shape.d_head;
                    scratch.queries.pack(n, shape.d_head, 1, |at| {
                        &q[at * q_row + first..at * q_row + first + shape.d_head]
                    });
                    for tile in 0..scratch.queries.n_tiles() {
                        if broken {
                            attend_apart::<L>(&shape, &mut scratch, tile, n, &in_head);
                        } else {
                            attend_tile::<L>(&shape, &mut scratch, tile, n);
                        }
                        let height = scratch.queries.height();
                        let d_padded = shape.d_head.next_multiple_of(BAND);
                        let rows = scratch.out.chunks_exact(d_padded).enumerate();
                        for (i, row) in rows.take(height.min(n - tile * height)) {
                            let at = (tile * height + i) * q_row + first;
                            out[at..at + shape.d_head].copy_from_slice(&row[..shape.d_head]);
                        }
                    }
                }
            }
            start += n;
            first_key += n_keys;
        }
    }
}

/// Where the scores of a tile of queries lie.
struct Scores {
    first_key: usize,
    n_keys: usize,
    /// Divisor of each row.
    sums: [f32; 32],
}

/// Puts exp(score) of a tile of queries into `scratch.scores`, 0 for keys that a row does not see.
#[inline(always)]
fn score_tile<L: Lanes>(
    shape: &AttentionShape,
    scratch: &mut Scratch,
    tile: usize,
    n: usize,
) -> Scores {
    let height = scratch.queries.height();
    let sees = shape.window.unwrap_or(shape.past + n).max(1);
    // positions of the tile's queries
    let rows = shape.past + tile * height..shape.past + ((tile + 1) * height).min(n);
    let first_band = (rows.start + 1).saturating_sub(sees) / BAND;
    let end_band = rows.end.div_ceil(BAND);
    let n_keys = (end_band - first_band) * BAND;
    scratch.scores.resize(height * n_keys, 0.0);
    for band in first_band..end_band {
        let target = Target {
            out: scratch.scores[(band - first_band) * BAND..].as_mut_ptr(),
            stride: n_keys,
            add: false,
        };
        // SAFETY: there are `height` rows of scores for all bands
        unsafe {
            let keys = (&scratch.keys, band, 0);
            multiply_band(&scratch.queries, tile..tile + 1, keys, target);
        }
    }
    let mut sums = [1f32; 32];
    for (row, (at, scores)) in rows
        .clone()
        .zip(scratch.scores.chunks_exact_mut(n_keys))
        .enumerate()
    {
        let seen = (at + 1).saturating_sub(sees).max(first_band * BAND)..at + 1;
        let seen = seen.start - first_band * BAND..seen.end - first_band * BAND;
        scores[..seen.start].fill(0.0);
        scores[seen.end..].fill(0.0);
        sums[row] = softmax::<L>(&mut scores[seen], shape.softcap);
    }
    scratch.scores[rows.len() * n_keys..].fill(0.0);
    Scores {
        first_key: first_band * BAND,
        n_keys,
        sums,
    }
}

/// Attends for one tile of queries of one head; leaves its rows in `scratch.out`.
#[inline(always)]
fn attend_tile<L: Lanes>(shape: &AttentionShape, scratch: &mut Scratch, tile: usize, n: usize) {
    let Scores {
        first_key,
        n_keys,
        sums,
    } = score_tile::<L>(shape, scratch, tile, n);
    let height = scratch.queries.height();
    let scores = &scratch.scores;
    scratch.pattern.pack(height, n_keys, BAND, |row| {
        &scores[row * n_keys..(row + 1) * n_keys]
    });
    let d_padded = shape.d_head.next_multiple_of(BAND);
    scratch.out.resize(height * d_padded, 0.0);
    for band in 0..d_padded / BAND {
        let target = Target {
            out: scratch.out[band * BAND..].as_mut_ptr(),
            stride: d_padded,
            add: false,
        };
        // SAFETY: there are `height` rows for all bands
        unsafe {
            let values = (&scratch.values, band, first_key);
            multiply_band(&scratch.pattern, 0..1, values, target);
        }
    }
    for (row, sum) in scratch.out.chunks_exact_mut(d_padded).zip(sums) {
        let share = L::splat(1.0 / sum);
        map_lanes!(L, row, |_, x| x.mul(share));
    }
}

/// Attends like [`attend_tile`] where some values are not finite: key by key, since 0 times NaN, from a key that a row does not
/// see, would be NaN.
#[inline(always)]
fn attend_apart<'v, L: Lanes>(
    shape: &AttentionShape,
    scratch: &mut Scratch,
    tile: usize,
    n: usize,
    value: &impl Fn(usize) -> &'v [f32],
) {
    let scores = score_tile::<L>(shape, scratch, tile, n);
    let height = scratch.queries.height();
    let d_padded = shape.d_head.next_multiple_of(BAND);
    scratch.out.clear();
    scratch.out.resize(height * d_padded, 0.0);
    let rows = scratch.out.chunks_exact_mut(d_padded).enumerate();
    for (row, out) in rows.take(height.min(n - tile * height)) {
        let at = shape.past + tile * height + row;
        let first = (at + 1).saturating_sub(shape.window.unwrap_or(at + 1).max(1));
        for key in first..=at {
            let share = scratch.scores[row * scores.n_keys + key - scores.first_key];
            for (out, x) in out.iter_mut().zip(value(key)) {
                *out += share / scores.sums[row] * x;
            }
        }
    }
}

/// Replaces every score by exp(score - largest) and returns the sum of them.
#[inline(always)]
fn softmax<L: Lanes>(scores: &mut [f32], softcap: Option<f32>) -> f32 {
    if let Some(cap) = softcap {
        // tanh u = 1 - 2 / (1 + e²ᵘ)
        let (one, two) = (L::splat(1.0), L::splat(2.0));
        map_lanes!(L, scores, |_, x| {
            let power = exp(x.mul(L::splat(2.0 / cap)));
            one.sub(two.div(one.add(power))).mul(L::splat(cap))
        });
    }
    let mut largest = L::splat(f32::NEG_INFINITY);
    for_lanes!(L, scores, f32::NEG_INFINITY, |_, x| largest =
        x.max(largest));
    let largest = L::splat(largest.largest());
    map_lanes!(L, scores, |_, x| exp(x.sub(largest)));
    let mut sum = L::splat(0.0);
    for_lanes!(L, scores, 0.0, |_, x| sum = sum.add(x));
    sum.sum()
}

/// Attention of windows of these lengths, one after the other: `q` is `[pos, n_heads, d_head]`, `k` and `v` are
/// `[past + pos, n_key_value_heads, d_head]`, positions already in them. `[pos, n_heads, d_head]`.
pub(crate) fn attend(
    isa: Isa,
    operands: Operands,
    shape: AttentionShape,
    mut q: Vec<f32>,
    (k, v): (&[f32], &[f32]),
    lengths: &[usize],
) -> Vec<f32> {
    let n_rows: usize = lengths.iter().sum();
    assert_eq!(q.len(), n_rows * shape.n_heads * shape.d_head);
    let n_keys = n_rows + lengths.len() * shape.past;
    assert_eq!(k.len(), n_keys * shape.n_key_value_heads * shape.d_head);
    assert_eq!(v.len(), k.len());
    let mut out = vec![0.0; q.len()];
    isa.run(Attend {
        isa,
        operands,
        shape,
        q: &mut q,
        k,
        v,
        lengths,
        out: &mut out,
    });
    out
}
