//! What a block is updated from: rows of activations, and what they are.

use std::ops::Range;

use crate::ids::{DocId, Pos};
use crate::lanes::Isa;

use super::super::StatsOptions;
use super::super::samples::SamplePlan;
use super::Quantity;

/// What the rows of one forward window are, for all layers and neurons alike.
#[derive(Clone, Debug)]
pub struct WindowInfo {
    /// Document of the window.
    pub doc: DocId,
    /// Position in the document of the first row after the skipped ones.
    pub start: Pos,
    /// Rows at the beginning that belong to no document (a BOS that was put in front).
    pub skip: usize,
    /// Rows at the beginning that are the window's first, and those at which it starts
    /// ([`START_POSITIONS`](super::starts::START_POSITIONS)).
    pub n_start: usize,
    /// For each row, whether it counts (DEFINITIONS 2).
    pub counted: Vec<bool>,
    /// For each row, the hash of the tokens up to it by which near-duplicates are found.
    pub contexts: Vec<u64>,
    /// Whether no window of the document follows.
    pub ends_document: bool,
}

impl WindowInfo {
    /// Number of rows.
    pub fn n_rows(&self) -> usize {
        self.counted.len()
    }

    /// Some of the rows, as a window of its own.
    pub fn piece(&self, rows: Range<usize>) -> Self {
        let before = rows.start.saturating_sub(self.skip) as u32;
        Self {
            doc: self.doc,
            start: Pos(self.start.0 + before),
            skip: self.skip.saturating_sub(rows.start).min(rows.len()),
            n_start: self.n_start.saturating_sub(rows.start).min(rows.len()),
            counted: self.counted[rows.clone()].to_vec(),
            contexts: self.contexts[rows.clone()].to_vec(),
            ends_document: self.ends_document && rows.end == self.n_rows(),
        }
    }

    /// Position of the row after the last.
    pub fn end(&self) -> u32 {
        self.start.0 + (self.n_rows() - self.skip) as u32
    }
}

/// Activations of one forward window in one block: matrices `[pos, WIDTH]`, row by row. What stands in columns of neurons that
/// do not exist is a finite number.
#[derive(Clone, Copy, Debug)]
pub struct WindowRows<'a> {
    /// `hook_pre` (the gate, if gated).
    pub pre: &'a [f32],
    /// The hook that is ranked: `hook_post`, of SoLU neurons `hook_mid`.
    pub ranked: &'a [f32],
    /// `hook_post` of SoLU neurons.
    pub post: Option<&'a [f32]>,
    /// What gated neurons have besides.
    pub gated: Option<GatedRows<'a>>,
}

/// What gated neurons have besides `hook_pre` and `hook_post`.
#[derive(Clone, Copy, Debug)]
pub struct GatedRows<'a> {
    /// `hook_pre_linear`, the linear input.
    pub pre_linear: &'a [f32],
    /// `act_fn(hook_pre)`.
    pub act: &'a [f32],
}

impl<'a> WindowRows<'a> {
    /// Whether all hooks of a value are numbers; else the position is not counted.
    pub(super) fn is_finite(&self, at: usize) -> bool {
        let gated = self
            .gated
            .is_none_or(|gated| gated.pre_linear[at].is_finite() & gated.act[at].is_finite());
        let post = self.post.is_none_or(|post| post[at].is_finite());
        self.pre[at].is_finite() & self.ranked[at].is_finite() & post & gated
    }

    pub(super) fn quantity(&self, quantity: Quantity) -> &'a [f32] {
        match quantity {
            Quantity::Ranked => self.ranked,
            Quantity::Pre => self.pre,
            Quantity::PreLinear => self.gated.map_or(&[], |gated| gated.pre_linear),
            Quantity::Act => self.gated.map_or(&[], |gated| gated.act),
        }
    }
}

/// A batch of windows in the order of the corpus, in one block.
#[derive(Clone, Copy, Debug)]
pub struct LayerBatch<'a> {
    /// The windows.
    pub windows: &'a [WindowInfo],
    /// Their activations.
    pub rows: &'a [WindowRows<'a>],
}

/// What is the same for all blocks of a scan.
#[derive(Clone, Copy, Debug)]
pub struct ScanContext<'a> {
    /// Options of the scan.
    pub options: &'a StatsOptions,
    /// Positions that can be drawn.
    pub plan: &'a SamplePlan,
    /// Counted positions in the whole corpus.
    pub n_total: u64,
    /// The instruction set to use.
    pub isa: Isa,
}
