//! What was counted and found elsewhere, on another device, and is added to the neurons of a block.
//!
//! What comes here is of whole documents, so that nothing is pending and nothing carried over.

use crate::ids::{DocId, Pos};

use super::super::examples::{Example, ListKind};
use super::super::histogram::BINS;
use super::super::moments::Moments;
use super::super::samples::{Sample, Samples};
use super::super::signs::{CaseStats, SignCase};
use super::super::sums::N_SUMS;
use super::super::window::Window;
use super::{Block, ScanContext, larger};

/// Statistics of a neuron at some positions.
#[derive(Clone, Debug, Default)]
pub struct More {
    /// Moments of the ranked value.
    pub moments: Moments,
    /// Further sums.
    pub sums: [f64; N_SUMS],
    /// Positions with `hook_pre` > 0.
    pub n_firing: u32,
    /// Positions with |`hook_post`| > τ.
    pub n_above_tau: u32,
    /// Positions where a hook is not finite.
    pub not_finite: u32,
    /// Moments of the ranked value at positions that are not counted.
    pub special: Moments,
    /// By sign case; of gated neurons.
    pub cases: [CaseStats; 4],
}

/// A position and the values around it.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// The document.
    pub doc: DocId,
    /// The position.
    pub pos: Pos,
    /// Position of the first value.
    pub start: u32,
    /// The values.
    pub values: &'a [f32],
}

impl Around<'_> {
    fn value(&self) -> f32 {
        self.values[(self.pos.0 - self.start) as usize] + 0.0
    }

    fn window(&self) -> Window {
        Window::new(self.start, self.values)
    }
}

impl Block {
    /// Number of neurons.
    pub fn n_neurons(&self) -> usize {
        self.n
    }

    /// What is listed, in the order of the indices that [`Block::threshold`] and [`Block::offer`] take.
    pub fn lists(&self) -> impl ExactSizeIterator<Item = ListKind> + '_ {
        self.peaks.iter().map(|peaks| peaks.kind)
    }

    /// The score that a peak must beat to be listed.
    pub fn threshold(&self, list: usize, lane: usize) -> f32 {
        self.peaks[list].threshold[lane]
    }

    /// Offers the best peak of a whole document to a list. `context` is the hash of the tokens up to it.
    pub fn offer(&mut self, list: usize, lane: usize, peak: &Around<'_>, context: u64) {
        let peaks = &mut self.peaks[list];
        peaks.lists[lane].insert(Example {
            value: peak.value(),
            post: None,
            doc: peak.doc,
            pos: peak.pos,
            context,
            window: peak.window(),
            duplicates: Vec::new(),
        });
        peaks.threshold[lane] = peaks.lists[lane].threshold();
    }

    /// Whether a drawn position may be wanted.
    pub fn wants(&self, lane: usize, rank: u32, value: f32, context: &ScanContext<'_>) -> bool {
        let counts = &self.histogram[lane * BINS..(lane + 1) * BINS];
        let wanted = context.options.samples();
        Samples::wants(counts, wanted, context.n_total, rank, value)
    }

    /// Adds a drawn position that is wanted.
    pub fn draw(&mut self, lane: usize, rank: u32, at: &Around<'_>, context: &ScanContext<'_>) {
        let sample = Sample {
            rank,
            doc: at.doc,
            pos: at.pos,
            value: at.value(),
            post: None,
            window: at.window(),
        };
        let counts = &self.histogram[lane * BINS..(lane + 1) * BINS];
        let wanted = context.options.samples();
        self.samples[lane].push(sample, counts, wanted, context.n_total);
    }

    /// Adds statistics, and counts by bin.
    pub fn add(&mut self, lane: usize, more: &More, histogram: impl Iterator<Item = u32>) {
        let own = &more.moments;
        self.count[lane] += own.count as u32;
        for (sums, more) in self.sums.iter_mut().zip(own.sums.into_iter().flatten()) {
            sums[lane] += more;
        }
        for (sums, more) in self.further.iter_mut().zip(more.sums) {
            sums[lane] += more;
        }
        self.max[lane] = larger(self.max[lane], own.max);
        self.min[lane] = -larger(-self.min[lane], -own.min);
        self.firing[lane] += more.n_firing;
        self.above[lane] += more.n_above_tau;
        self.not_finite[lane] += more.not_finite;
        self.special[lane].merge(&more.special);
        let bins = &mut self.histogram[lane * BINS..(lane + 1) * BINS];
        for (count, more) in bins.iter_mut().zip(histogram) {
            *count += more;
        }
        for (case, more) in self.cases.iter_mut().flatten().zip(&more.cases) {
            case.count[lane] += more.count as u32;
            for quantity in 0..4 {
                case.sums[quantity][lane] += more.sums[quantity];
                let extreme = &mut case.extremes[quantity][lane];
                *extreme = SignCase::larger(*extreme, more.extremes[quantity]);
            }
        }
    }
}
