//! A panel of neighbouring neurons, updated from rows of activations.
//!
//! A block owns [`WIDTH`] columns, so that blocks can be updated side by side without sharing anything. Sums are added in
//! the order of the positions, whatever the batches are, and nothing depends on the instruction set; the same rows give the
//! same bits.
//!
//! Examples are settled when a document ends: its best peak per list is compared with the list's threshold, and only
//! then are the values around it copied. A document that goes on in the next batch leaves behind the last rows
//! before the cut (`carry`) and its best peaks so far (`pending`), so batches of any size give the same examples.

mod document;
mod found;
mod saved;
mod strip;
#[cfg(test)]
mod tests;

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ids::{DocId, Pos};
use crate::lanes::{Isa, LANES};

use super::examples::{Example, Hooks, ListKind, TopList};
use super::histogram::{BINS, Histogram, bin};
use super::moments::Moments;
use super::neuron::{Neuron, NeuronStats};
use super::samples::{BANDS, Sample, SamplePlan, Samples};
use super::signs::{CaseStats, SignCase};
use super::starts::Starts;
use super::sums::{self, N_SUMS};
use super::{MlpKind, StatsOptions};
use document::{Carry, Pending, Segment};
pub use found::{PositionWindow, Tally};
pub use saved::Progress;
use strip::{Best, Strip, StripRows, StripState};

/// Neurons of a block, and values of a row.
pub const WIDTH: usize = 64;

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
    fn is_finite(&self, at: usize) -> bool {
        let gated = self
            .gated
            .is_none_or(|gated| gated.pre_linear[at].is_finite() & gated.act[at].is_finite());
        let post = self.post.is_none_or(|post| post[at].is_finite());
        self.pre[at].is_finite() & self.ranked[at].is_finite() & post & gated
    }

    fn quantity(&self, quantity: Quantity) -> &'a [f32] {
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
struct Peaks {
    kind: ListKind,
    lists: Vec<TopList>,
    /// The score that a peak must beat to be listed.
    threshold: Vec<f32>,
    score: Vec<f32>,
    pos: Vec<u32>,
    /// The lanes that have a peak, as bits.
    found: u64,
    pending: Vec<Option<Pending>>,
}

impl Peaks {
    fn new(kind: ListKind, k: usize) -> Self {
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
    fn beats(&self, lane: usize, score: f32) -> bool {
        score > self.threshold[lane] && score > self.score[lane]
    }

    /// Whether any of sixteen scores does.
    #[inline(always)]
    fn any_beats(&self, first: usize, scores: &[f32; LANES]) -> bool {
        let lanes = first..first + LANES;
        let bounds = self.threshold[lanes.clone()].iter().zip(&self.score[lanes]);
        let beats = bounds
            .zip(scores)
            .map(|((threshold, own), score)| (score > threshold) & (score > own));
        beats.fold(false, |any, beats| any | beats)
    }

    /// The quantities that are listed, or kept beside those.
    fn quantities(all: &[Self], options: &StatsOptions) -> Vec<Quantity> {
        let own = |peaks: &Self| quantities_of(peaks.kind, options);
        all.iter().flat_map(own).collect()
    }

    fn note(&mut self, lane: usize, score: f32, pos: u32) {
        self.score[lane] = score;
        self.pos[lane] = pos;
        self.found |= 1 << lane;
    }
}

/// Statistics of one sign case, by lane.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Case {
    count: Vec<u32>,
    sums: [Vec<f64>; 4],
    extremes: [Vec<f32>; 4],
}

impl Case {
    fn new() -> Self {
        Self {
            count: vec![0; WIDTH],
            sums: std::array::from_fn(|_| vec![0.0; WIDTH]),
            extremes: std::array::from_fn(|_| vec![0.0; WIDTH]),
        }
    }

    fn of_lane(&self, lane: usize) -> CaseStats {
        CaseStats {
            count: u64::from(self.count[lane]),
            sums: self.sums.each_ref().map(|sums| sums[lane]),
            extremes: self.extremes.each_ref().map(|values| values[lane]),
        }
    }
}

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

    /// Adds the next windows of the corpus.
    pub fn observe(&mut self, batch: &LayerBatch<'_>, context: &ScanContext<'_>) {
        let mut start = 0;
        for windows in batch.windows.chunk_by(|a, b| a.doc == b.doc) {
            let rows = &batch.rows[start..start + windows.len()];
            start += windows.len();
            for (info, rows) in windows.iter().zip(rows) {
                self.observe_window(info, rows, context);
            }
            self.settle(&Segment { windows, rows }, context);
        }
    }

    fn observe_window(
        &mut self,
        info: &WindowInfo,
        rows: &WindowRows<'_>,
        context: &ScanContext<'_>,
    ) {
        let mut row = 0;
        for run in info.counted.chunk_by(|a, b| a == b) {
            let first = row;
            row += run.len();
            if run[0] {
                let starts = info.n_start.clamp(first, row);
                self.observe_run(info, rows, first..starts, true, context);
                self.observe_run(info, rows, starts..row, false, context);
                continue;
            }
            for row in first..row {
                for (lane, special) in self.special[..self.n].iter_mut().enumerate() {
                    let x = rows.ranked[row * WIDTH + lane];
                    if x.is_finite() {
                        special.push(x);
                    }
                }
            }
        }
    }

    /// Some consecutive positions that count, all where a window starts or none.
    fn observe_run(
        &mut self,
        info: &WindowInfo,
        rows: &WindowRows<'_>,
        run: Range<usize>,
        is_start: bool,
        context: &ScanContext<'_>,
    ) {
        if run.is_empty() {
            return;
        }
        let pos = |row: usize| info.start.0 + (row - info.skip) as u32;
        for first in (0..self.n).step_by(LANES) {
            let lanes = first..first + LANES;
            match self.observe_strip(rows, run.clone(), lanes.clone(), is_start, context) {
                Some(best) => self.note_best(rows, run.clone(), first, &best, &pos),
                None => {
                    for row in run.clone() {
                        for lane in lanes.start..lanes.end.min(self.n) {
                            let tau = context.options.tau;
                            self.observe_one(rows, row, lane, pos(row), is_start, tau);
                        }
                    }
                }
            }
        }
    }

    /// Adds a run to sixteen lanes, if all its values are finite.
    fn observe_strip(
        &mut self,
        rows: &WindowRows<'_>,
        run: Range<usize>,
        lanes: Range<usize>,
        is_start: bool,
        context: &ScanContext<'_>,
    ) -> Option<Best> {
        let from = run.start * WIDTH + lanes.start;
        let strip = StripRows {
            n_rows: run.len(),
            ranked: &rows.ranked[from..],
            pre: &rows.pre[from..],
            written: &rows.post.unwrap_or(rows.ranked)[from..],
            gated: (rows.gated).map(|gated| (&gated.pre_linear[from..], &gated.act[from..])),
        };
        let rank_pre = context.options.rank_pre;
        let state = StripState {
            sums: &mut self.sums,
            further: &mut self.further,
            firing: &mut self.firing,
            above: &mut self.above,
            histogram: &mut self.histogram,
            cases: self.cases.as_mut(),
        };
        let best = context.isa.run(Strip {
            rows: strip,
            state,
            first: lanes.start,
            tau: context.options.tau,
            rank_pre,
        })?;
        for (at, lane) in lanes.clone().enumerate() {
            self.count[lane] += run.len() as u32;
            if !is_start {
                self.max[lane] = larger(self.max[lane], best.top[at]);
                self.min[lane] = -larger(-self.min[lane], best.bottom[at]);
            }
        }
        if is_start {
            push_rows(
                &mut self.starts[lanes.clone()],
                rows.ranked,
                run.clone(),
                lanes.start,
            );
        }
        if let (Some(moments), Some(post)) = (&mut self.post, rows.post) {
            push_rows(&mut moments[lanes.clone()], post, run, lanes.start);
        }
        Some(best)
    }

    /// Looks for the positions of what would be listed.
    fn note_best(
        &mut self,
        rows: &WindowRows<'_>,
        run: Range<usize>,
        first: usize,
        best: &Best,
        pos: &impl Fn(usize) -> u32,
    ) {
        for peaks in &mut self.peaks {
            let kind = peaks.kind;
            let best = best.of(kind);
            if !peaks.any_beats(first, best) {
                continue;
            }
            let values = rows.quantity(quantity_of(kind));
            for (at, &score) in best.iter().enumerate() {
                let lane = first + at;
                if lane >= self.n || !peaks.beats(lane, score) {
                    continue;
                }
                let is_peak = |row: &usize| {
                    let at = row * WIDTH + lane;
                    kind.score(values[at]) == score
                        && match (kind, rows.gated) {
                            (ListKind::Case(case), Some(gated)) => {
                                SignCase::of(rows.pre[at], gated.pre_linear[at]) == Some(case)
                            }
                            _ => true,
                        }
                };
                if let Some(row) = run.clone().find(is_peak) {
                    peaks.note(lane, score, pos(row));
                }
            }
        }
    }

    /// One position of one lane, whose neighbours may not be finite.
    fn observe_one(
        &mut self,
        rows: &WindowRows<'_>,
        row: usize,
        lane: usize,
        pos: u32,
        is_start: bool,
        tau: f32,
    ) {
        let at = row * WIDTH + lane;
        if !rows.is_finite(at) {
            self.not_finite[lane] += 1;
            return;
        }
        let (pre, x) = (rows.pre[at], rows.ranked[at]);
        let wide = f64::from(x);
        let square = wide * wide;
        let powers = [wide, square, square * wide, square * square];
        for (sums, power) in self.sums.iter_mut().zip(powers) {
            sums[lane] += power;
        }
        for (sums, term) in self.further.iter_mut().zip(sums::term(x)) {
            sums[lane] += f64::from(term);
        }
        self.count[lane] += 1;
        match is_start {
            true => self.starts[lane].push(x + 0.0),
            false => {
                self.max[lane] = larger(self.max[lane], x);
                self.min[lane] = -larger(-self.min[lane], -x);
            }
        }
        self.firing[lane] += u32::from(pre > 0.0);
        self.above[lane] += u32::from(rows.post.unwrap_or(rows.ranked)[at].abs() > tau);
        self.histogram[lane * BINS + usize::from(bin(x))] += 1;
        if let (Some(moments), Some(post)) = (&mut self.post, rows.post) {
            moments[lane].push(post[at]);
        }
        let case = rows
            .gated
            .and_then(|gated| SignCase::of(pre, gated.pre_linear[at]));
        if let (Some(cases), Some(case), Some(gated)) = (&mut self.cases, case, rows.gated) {
            let lanes = &mut cases[case as usize];
            lanes.count[lane] += 1;
            let values = [pre, gated.act[at], gated.pre_linear[at], x];
            for (quantity, value) in values.into_iter().enumerate() {
                lanes.sums[quantity][lane] += f64::from(value);
                let extreme = &mut lanes.extremes[quantity][lane];
                *extreme = SignCase::larger(*extreme, value);
            }
        }
        for peaks in &mut self.peaks {
            if matches!(peaks.kind, ListKind::Case(listed) if Some(listed) != case) {
                continue;
            }
            let score = peaks.kind.score(rows.quantity(quantity_of(peaks.kind))[at]);
            if peaks.beats(lane, score) {
                peaks.note(lane, score, pos);
            }
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

/// What is expected of a neuron once a scan is under way, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// In memory.
    pub memory: u64,
    /// In the tables of a part, compressed.
    pub part_disk: u64,
    /// In a checkpoint, compressed.
    pub checkpoint_disk: u64,
    /// In the tables of an atlas, compressed, without its weights.
    pub atlas_disk: u64,
}

impl Block {
    /// What a neuron will take in a part that has so many documents, and this share of the corpus: lists are full as far as
    /// there are documents.
    pub fn expect(
        kind: MlpKind,
        options: &StatsOptions,
        n_documents: usize,
        share: f64,
    ) -> Expected {
        /// What the allocator adds to a piece of memory.
        const OVERHEAD: usize = 16;
        let window = (options.window_before + options.window_after + 1) as usize;
        let lists = options.lists(kind);
        let n_listed: usize = lists.iter().map(|(_, k)| (*k).min(n_documents)).sum();
        let with_hooks = lists.iter().filter(|(list, _)| options.keeps_hooks(*list));
        let n_with_hooks: usize = with_hooks.map(|(_, k)| (*k).min(n_documents)).sum();
        let n_shown = options.random + BANDS.len() * options.per_band;
        let n_kept = options.samples().expected(share).ceil() as usize;
        let lane =
            BINS * 4 + (4 + N_SUMS) * 8 + 5 * 4 + 2 * size_of::<Moments>() + size_of::<Samples>();
        let cases = match kind {
            MlpKind::Gated => 4 * size_of::<CaseStats>(),
            MlpKind::Solu => size_of::<Moments>(),
            MlpKind::Plain => 0,
        };
        let per_list = size_of::<TopList>() + 3 * 4 + size_of::<Option<Pending>>();
        let example = size_of::<Example>() + window + OVERHEAD;
        let sample = size_of::<Sample>() + window + OVERHEAD;
        let hooks = size_of::<Hooks>() + OVERHEAD + 3 * (window + OVERHEAD);
        // vectors grow by doubling, samples until they are pruned
        let memory = lane
            + cases
            + lists.len() * per_list
            + n_listed * example * 5 / 4
            + n_with_hooks * hooks
            + n_kept * sample * 5 / 4;
        // as measured on a scan of a gated model: a step compresses to two thirds of a byte, the rest of a row to 17
        let row = 17 + window * 2 / 3;
        let stats = 700;
        // gate, act and in hardly compress, since they are rarely near 0
        let hooks = n_with_hooks * 3 * (window * 9 / 10 + 3);
        let hooks_saved = n_with_hooks * 3 * (window + 5);
        Expected {
            memory: memory as u64,
            part_disk: (stats + hooks + (n_listed + n_kept) * row) as u64,
            checkpoint_disk: (stats + hooks_saved + (n_listed + n_kept) * (row + 10)) as u64,
            atlas_disk: (stats + hooks + (n_listed + n_shown) * (row - 8)) as u64,
        }
    }
}

/// Adds some rows of `[row, WIDTH]` to the moments of neighbouring lanes.
fn push_rows(moments: &mut [Moments], values: &[f32], rows: Range<usize>, first: usize) {
    for row in rows {
        for (moments, &x) in moments.iter_mut().zip(&values[row * WIDTH + first..]) {
            moments.push(x + 0.0);
        }
    }
}

/// The larger of two values, neither NaN.
#[inline(always)]
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
