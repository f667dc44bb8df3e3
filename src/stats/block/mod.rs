//! A panel of neighbouring neurons, updated from rows of activations.
//!
//! A block owns [`WIDTH`] columns, so that blocks can be updated side by side without sharing anything. Sums are added in
//! the order of the positions, whatever the batches are, and nothing depends on the instruction set; the same rows give the
//! same bits.
//!
//! Examples are settled when a document ends: its best peak per list is compared with the list's threshold, and only
//! then are the values around it copied. A document that goes on in the next batch leaves behind the last rows
//! before the cut (`carry`) and its best peaks so far (`pending`), so batches of any size give the same examples.

mod cases;
mod document;
mod expected;
mod found;
mod input;
mod observe;
mod peaks;
mod saved;
mod strip;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::examples::TopList;
use super::histogram::{BINS, Histogram};
use super::moments::Moments;
use super::neuron::{Neuron, NeuronStats};
use super::samples::Samples;
use super::starts::Starts;
use super::sums::N_SUMS;
use super::{MlpKind, StatsOptions};
use cases::Case;
use document::{Carry, Pending};
pub use expected::Expected;
pub use found::{PositionWindow, Tally};
pub use input::{GatedRows, LayerBatch, ScanContext, WindowInfo, WindowRows};
use peaks::Peaks;
pub use peaks::{KEPT_HOOKS, Quantity, quantities_of, quantity_of};
pub use saved::Progress;

/// Neurons of a block, and values of a row.
pub const WIDTH: usize = 64;

/// State of some neighbouring neurons of a layer. Everything is kept for [`WIDTH`] lanes, whether they are neurons or not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Block {
    n: usize,
    count: Vec<u32>,
    sums: [Vec<f64>; 4],
    further: [Vec<f64>; N_SUMS],
    /// Extremes at counted positions other than those where windows start.
    min: Vec<f32>,
    max: Vec<f32>,
    starts: Vec<Moments>,
    firing: Vec<u32>,
    above: Vec<u32>,
    not_finite: Vec<u32>,
    histogram: Vec<u32>,
    special: Vec<Moments>,
    post: Option<Vec<Moments>>,
    cases: Option<[Case; 4]>,
    peaks: Vec<Peaks>,
    samples: Vec<Samples>,
    pending_samples: Vec<(usize, u32, Pending)>,
    carry: Carry,
}

impl Block {
    /// Most positions that a block can count.
    pub const MAX_POSITIONS: u64 = u32::MAX as u64;

    /// State of `n` neurons before any position.
    pub fn new(n: usize, kind: MlpKind, options: &StatsOptions) -> Self {
        assert!(n <= WIDTH);
        let peaks = options.lists(kind).into_iter();
        Self {
            n,
            count: vec![0; WIDTH],
            sums: std::array::from_fn(|_| vec![0.0; WIDTH]),
            further: std::array::from_fn(|_| vec![0.0; WIDTH]),
            min: vec![f32::INFINITY; WIDTH],
            max: vec![f32::NEG_INFINITY; WIDTH],
            starts: vec![Moments::default(); WIDTH],
            firing: vec![0; WIDTH],
            above: vec![0; WIDTH],
            not_finite: vec![0; WIDTH],
            histogram: vec![0; WIDTH * BINS],
            special: vec![Moments::default(); WIDTH],
            post: (kind == MlpKind::Solu).then(|| vec![Moments::default(); WIDTH]),
            cases: (kind == MlpKind::Gated).then(|| std::array::from_fn(|_| Case::new())),
            peaks: peaks.map(|(kind, k)| Peaks::new(kind, k)).collect(),
            samples: vec![Samples::default(); n],
            pending_samples: Vec::new(),
            carry: Carry::default(),
        }
    }

    /// What was found, neuron by neuron.
    pub fn harvest(self) -> Vec<Neuron> {
        let mut lists: Vec<Vec<TopList>> = vec![Vec::new(); self.n];
        for peaks in self.peaks {
            for (lists, list) in lists.iter_mut().zip(peaks.lists) {
                lists.push(list);
            }
        }
        let neurons = lists.into_iter().zip(self.samples).enumerate();
        let neurons = neurons.map(|(lane, (lists, samples))| {
            let bins = &self.histogram[lane * BINS..(lane + 1) * BINS];
            let bins = bins.iter().enumerate();
            let starts = Starts {
                moments: self.starts[lane],
                elsewhere_min: self.min[lane] + 0.0,
                elsewhere_max: self.max[lane] + 0.0,
            };
            let stats = NeuronStats {
                moments: Moments {
                    count: u64::from(self.count[lane]),
                    sums: Some(self.sums.each_ref().map(|sums| sums[lane])),
                    min: starts.elsewhere_min.min(starts.moments.min),
                    max: starts.elsewhere_max.max(starts.moments.max),
                },
                starts: Some(starts),
                sums: self.further.each_ref().map(|sums| Some(sums[lane])),
                histogram: Some(Histogram::from_bins(
                    bins.map(|(bin, &count)| (bin as u8, u64::from(count))),
                )),
                not_finite: Some(self.not_finite[lane].into()),
                n_firing: Some(self.firing[lane].into()),
                n_above_tau: Some(self.above[lane].into()),
                special: Some(self.special[lane]),
                post: self.post.as_ref().map(|post| post[lane]),
                cases: (self.cases.as_ref())
                    .map(|cases| cases.each_ref().map(|case| case.of_lane(lane))),
            };
            Neuron {
                stats,
                lists,
                samples,
            }
        });
        neurons.collect()
    }
}
