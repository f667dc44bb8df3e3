//! What neurons of early layers read: tokens whose embedding lies along their input weights.

use rayon::prelude::*;

use super::TOP_TOKENS;
use super::best::Best;
use super::chunks::{RowChunk, TileValues};
use crate::lanes::{Isa, Kernel, LANES, Lanes};
use crate::model::{Columns, Rows};

const PANEL: usize = Columns::PANEL;

/// Tokens by the product of their embedding with a neuron's weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reads<T> {
    /// The largest, descending.
    pub top: Vec<T>,
    /// The smallest, ascending.
    pub bottom: Vec<T>,
}

/// The tokens that some vectors read most.
pub(super) fn reads(
    isa: Isa,
    embedding: &Columns,
    chunks: &[RowChunk<'_>],
    d: usize,
) -> Vec<Reads<(u32, f32)>> {
    let read = chunks
        .par_iter()
        .map(|chunk| of_chunk(isa, embedding, chunk, d));
    read.flatten_iter().collect()
}

fn of_chunk(
    isa: Isa,
    embedding: &Columns,
    chunk: &RowChunk<'_>,
    d: usize,
) -> Vec<Reads<(u32, f32)>> {
    let n_rows = chunk.vectors.len() / d;
    let rows: Rows = embedding.rows(chunk.vectors);
    let mut tops = [0, 1].map(|_| Best::new(n_rows, TOP_TOKENS));
    let mut values = TileValues::new();
    for (tiles, own) in rows.groups() {
        for panel in 0..embedding.n_panels() {
            let values = values.multiply(&rows, tiles.clone(), embedding, panel);
            let from = panel * PANEL;
            let n = PANEL.min(embedding.n() - from);
            for (row, values) in own.clone().zip(values.chunks_exact(PANEL)) {
                let look = Look {
                    values,
                    bounds: [0, 1].map(|end| tops[end].bounds()[row]),
                };
                if n == PANEL && !isa.run(look) {
                    continue;
                }
                for (token, &value) in (from as u32..).zip(&values[..n]) {
                    tops[0].offer(row, token, value);
                    tops[1].offer(row, token, -value);
                }
            }
        }
    }
    let is_zero = |row: usize| {
        chunk.vectors[row * d..(row + 1) * d]
            .iter()
            .all(|x| *x == 0.0)
    };
    let of_row = |row| Reads {
        top: tops[0].of(row).collect(),
        bottom: tops[1]
            .of(row)
            .map(|(token, score)| (token, 0.0 - score))
            .collect(),
    };
    let found = (0..n_rows).map(|row| match is_zero(row) {
        true => Reads::default(),
        false => of_row(row),
    });
    found.collect()
}

/// Whether any product with a panel of tokens, or its negative, exceeds a bound.
struct Look<'a> {
    values: &'a [f32],
    bounds: [f32; 2],
}

impl Kernel for Look<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<L: Lanes>(self) -> bool {
        assert!(self.values.len() == PANEL);
        let zero = L::splat(0.0);
        let (high, low) = (L::splat(self.bounds[0]), L::splat(self.bounds[1]));
        let mut above = L::splat(f32::NEG_INFINITY);
        let mut at = 0;
        while at < PANEL {
            // SAFETY: there are as many values as a panel has
            let x = unsafe { L::load(self.values.as_ptr().add(at)) };
            above = x.sub(high).max(above);
            above = zero.sub(x).sub(low).max(above);
            at += LANES;
        }
        L::any(zero.less(above))
    }
}
