//! What a list shows and keeps, and the best of a document for it.

use serde::{Deserialize, Serialize};

use crate::lanes::LANES;

use super::super::StatsOptions;
use super::super::examples::{ListKind, TopList};
use super::WIDTH;
use super::document::Pending;

/// A hook whose values are listed or kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// The hook that is ranked.
    Ranked,
    /// `hook_pre`.
    Pre,
    /// `hook_pre_linear`.
    PreLinear,
    /// act(gate).
    Act,
}

/// The hooks of an example's [`Hooks`](super::examples::Hooks), in their order.
pub const KEPT_HOOKS: [Quantity; 3] = [Quantity::Pre, Quantity::Act, Quantity::PreLinear];

/// The hook whose values a list shows.
pub fn quantity_of(kind: ListKind) -> Quantity {
    match kind {
        ListKind::Top | ListKind::Bottom | ListKind::Case(_) => Quantity::Ranked,
        ListKind::PreTop | ListKind::PreBottom => Quantity::Pre,
        ListKind::PreLinearTop | ListKind::PreLinearBottom => Quantity::PreLinear,
    }
}

/// The hook whose values a list shows, and those that it keeps.
pub fn quantities_of(
    kind: ListKind,
    options: &StatsOptions,
) -> impl Iterator<Item = Quantity> + use<> {
    let hooks: &[Quantity] = match options.keeps_hooks(kind) {
        true => &KEPT_HOOKS,
        false => &[],
    };
    std::iter::once(quantity_of(kind)).chain(hooks.iter().copied())
}

/// The best peaks of the current document for one list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Peaks {
    pub(super) kind: ListKind,
    pub(super) lists: Vec<TopList>,
    /// The score that a peak must beat to be listed.
    pub(super) threshold: Vec<f32>,
    pub(super) score: Vec<f32>,
    pub(super) pos: Vec<u32>,
    /// The lanes that have a peak, as bits.
    pub(super) found: u64,
    pub(super) pending: Vec<Option<Pending>>,
}

impl Peaks {
    pub(super) fn new(kind: ListKind, k: usize) -> Self {
        let list = TopList::new(kind, k);
        Self {
            kind,
            threshold: vec![list.threshold(); WIDTH],
            lists: vec![list; WIDTH],
            score: vec![f32::NEG_INFINITY; WIDTH],
            pos: vec![0; WIDTH],
            found: 0,
            pending: vec![None; WIDTH],
        }
    }

    /// Whether a score is the document's best so far and would be listed.
    #[inline(always)]
    pub(super) fn beats(&self, lane: usize, score: f32) -> bool {
        score > self.threshold[lane] && score > self.score[lane]
    }

    /// Whether any of sixteen scores does.
    #[inline(always)]
    pub(super) fn any_beats(&self, first: usize, scores: &[f32; LANES]) -> bool {
        let lanes = first..first + LANES;
        let bounds = self.threshold[lanes.clone()].iter().zip(&self.score[lanes]);
        let beats = bounds
            .zip(scores)
            .map(|((threshold, own), score)| (score > threshold) & (score > own));
        beats.fold(false, |any, beats| any | beats)
    }

    /// The quantities that are listed, or kept beside those.
    pub(super) fn quantities(all: &[Self], options: &StatsOptions) -> Vec<Quantity> {
        let own = |peaks: &Self| quantities_of(peaks.kind, options);
        all.iter().flat_map(own).collect()
    }

    pub(super) fn note(&mut self, lane: usize, score: f32, pos: u32) {
        self.score[lane] = score;
        self.pos[lane] = pos;
        self.found |= 1 << lane;
    }
}
