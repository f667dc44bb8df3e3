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
use super::observe::larger;
use super::{Block, ScanContext};

/// A neuron's statistics at some positions.
#[derive(Clone, Debug)]
pub struct Tally {
    /// Positions that are counted.
    pub count: u32,
    /// Σx, Σx², Σx³, Σx⁴ of the ranked value.
    pub powers: [f64; 4],
    /// Smallest ranked value except where windows start; `+∞` without any.
    pub min: f32,
    /// Largest ranked value except where windows start; `−∞` without any.
    pub max: f32,
    /// Moments of the ranked value where windows start, which is counted as well.
    pub starts: Moments,
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
pub struct PositionWindow<'a> {
    /// The document.
    pub doc: DocId,
    /// The position.
    pub pos: Pos,
    /// Position of the first value.
    pub start: u32,
    /// The values.
    pub values: &'a [f32],
    /// Those of [`KEPT_HOOKS`](super::KEPT_HOOKS), where they are kept.
    pub hooks: Option<[&'a [f32]; 3]>,
}

impl PositionWindow<'_> {
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
    pub fn offer(&mut self, list: usize, lane: usize, peak: &PositionWindow<'_>, context: u64) {
        let peaks = &mut self.peaks[list];
        peaks.lists[lane].insert(Example {
            value: peak.value(),
            post: None,
            doc: peak.doc,
            pos: peak.pos,
            context,
            window: peak.window(),
            hooks: (peak.hooks)
                .map(|hooks| Box::new(hooks.map(|values| Window::new(peak.start, values)))),
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
    pub fn draw(
        &mut self,
        lane: usize,
        rank: u32,
        at: &PositionWindow<'_>,
        context: &ScanContext<'_>,
    ) {
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
    pub fn add(&mut self, lane: usize, tally: &Tally, histogram: impl Iterator<Item = u32>) {
        self.count[lane] += tally.count;
        for (sums, sum) in self.sums.iter_mut().zip(tally.powers) {
            sums[lane] += sum;
        }
        for (sums, sum) in self.further.iter_mut().zip(tally.sums) {
            sums[lane] += sum;
        }
        self.max[lane] = larger(self.max[lane], tally.max);
        self.min[lane] = -larger(-self.min[lane], -tally.min);
        self.firing[lane] += tally.n_firing;
        self.above[lane] += tally.n_above_tau;
        self.not_finite[lane] += tally.not_finite;
        self.starts[lane].merge(&tally.starts);
        self.special[lane].merge(&tally.special);
        let bins = &mut self.histogram[lane * BINS..(lane + 1) * BINS];
        for (count, n) in bins.iter_mut().zip(histogram) {
            *count += n;
        }
        for (case, counted) in self.cases.iter_mut().flatten().zip(&tally.cases) {
            case.count[lane] += counted.count as u32;
            for quantity in 0..4 {
                case.sums[quantity][lane] += counted.sums[quantity];
                let extreme = &mut case.extremes[quantity][lane];
                *extreme = SignCase::larger(*extreme, counted.extremes[quantity]);
            }
        }
    }
}
