//! Multiplies many vectors with many others, panel by panel, so that the products can be read while they are in the CPU's cache.

use std::ops::Range;

use super::cpu::{self, Operands, PANEL, Packed, PackedRows};
use crate::lanes::Isa;

/// Vectors that others are multiplied with, packed.
pub struct Columns {
    packed: Packed,
    d: usize,
}

/// Vectors to be multiplied, packed.
pub struct Rows(PackedRows);

impl Columns {
    /// Vectors of a panel.
    pub const PANEL: usize = PANEL;

    /// From vectors of `d` values, one after the other.
    pub fn new(isa: Isa, vectors: &[f32], d: usize) -> Self {
        let shape = (vectors.len() / d, d);
        let value = |vector: usize, at: usize| vectors[vector * d + at];
        Self {
            packed: Packed::new(isa, Operands::F32, shape, 1, value),
            d,
        }
    }

    /// Number of vectors.
    pub fn n(&self) -> usize {
        self.packed.n_out()
    }

    /// Number of panels.
    pub fn n_panels(&self) -> usize {
        self.n().div_ceil(PANEL)
    }

    /// Vectors to be multiplied with these.
    pub fn rows(&self, vectors: &[f32]) -> Rows {
        let mut rows = self.packed.rows();
        let d = self.d;
        rows.pack_rows(vectors.len() / d, d, |row| &vectors[row * d..(row + 1) * d]);
        Rows(rows)
    }
}

impl Rows {
    /// Groups of tiles that are multiplied together, each with its vectors.
    pub fn groups(&self) -> impl Iterator<Item = (Range<usize>, Range<usize>)> + '_ {
        let groups = self.0.groups();
        groups.map(|tiles| (tiles.clone(), self.0.rows_of(&tiles)))
    }

    /// Multiplies some tiles with a panel of columns: `[rows, Columns::PANEL]`. The last panel may have fewer columns; the rest
    /// is 0.
    pub fn multiply(&self, tiles: Range<usize>, columns: &Columns, panel: usize, to: &mut [f32]) {
        cpu::multiply_neurons(&self.0, tiles, &columns.packed, panel, to);
    }
}
