//! Neurons as many as a thread looks at, against one panel of others.

use std::ops::Range;

use crate::model::{Columns, Rows};

/// Neurons that a thread takes at a time: as many as are multiplied with one panel after another.
pub(super) const ROWS: usize = 126;

/// Some neurons, one vector each.
pub(super) struct RowChunk<'a> {
    /// Number of the first in the model.
    pub(super) first: u32,
    /// `[at most ROWS, d_model]`
    pub(super) vectors: &'a [f32],
}

impl<'a> RowChunk<'a> {
    /// Vectors of `d` values, some at a time; `first` is the number of the first in the model.
    pub(super) fn all(first: u32, vectors: &'a [f32], d: usize) -> impl Iterator<Item = Self> {
        let chunks = vectors.chunks(ROWS * d);
        let firsts = (first..).step_by(ROWS);
        firsts
            .zip(chunks)
            .map(|(first, vectors)| Self { first, vectors })
    }
}

/// Where the chunk of a neuron begins, of some panels that all chunks go through, so that threads do not wait for one another.
pub(super) fn first_panel(neuron: u32, n_panels: usize) -> usize {
    const STEP: usize = 37;
    neuron as usize / ROWS * STEP % n_panels.max(1)
}

/// Room for the products of some tiles of rows with one panel of columns.
pub(super) struct TileValues(Vec<f32>);

impl TileValues {
    pub(super) fn new() -> Self {
        // tiles are written whole
        Self(vec![0.0; ROWS.next_multiple_of(64) * Columns::PANEL])
    }

    /// `[rows of the tiles, Columns::PANEL]`
    pub(super) fn multiply(
        &mut self,
        rows: &Rows,
        tiles: Range<usize>,
        columns: &Columns,
        panel: usize,
    ) -> &[f32] {
        rows.multiply(tiles, columns, panel, &mut self.0);
        &self.0
    }

    /// The first `n` values.
    pub(super) fn first(&self, n: usize) -> &[f32] {
        &self.0[..n]
    }

    pub(super) fn first_mut(&mut self, n: usize) -> &mut [f32] {
        &mut self.0[..n]
    }
}
