//! The hot loop: a block of neighbouring neurons, updated from rows of activations.
//!
//! A block owns some columns of `[pos, neuron]` matrices, so that blocks can be updated side by side without sharing
//! anything. Sums are added in the order of the positions, whatever the batches are, and nothing depends on the
//! instruction set; the same rows give the same bits.
//!
//! Examples are settled when a document ends: its best peak per list is compared with the list's threshold, and only
//! then are the values around it copied. A document that goes on in the next batch leaves behind the last rows
//! before the cut (`carry`) and its best peaks so far (`pending`), so batches of any size give the same examples.

use std::ops::Range;

use crate::ids::{DocId, Pos};

use super::examples::{Example, ListKind, TopList};
use super::histogram::{BINS, Histogram, bin};
use super::moments::Moments;
use super::neuron::{Neuron, NeuronStats};
use super::samples::{Sample, SamplePlan, Samples};
use super::signs::{CaseStats, SignCase};
use super::window::Window;
use super::{MlpKind, StatsOptions};

/// What the rows of one forward window are, for all layers and neurons alike.
#[derive(Clone, Debug)]
pub struct WindowInfo {
    /// Document of the window.
    pub doc: DocId,
    /// Position in the document of the first row after the skipped ones.
    pub start: Pos,
    /// Rows at the beginning that belong to no document (a BOS that was put in front).
    pub skip: usize,
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
            counted: self.counted[rows.clone()].to_vec(),
            contexts: self.contexts[rows.clone()].to_vec(),
            ends_document: self.ends_document && rows.end == self.n_rows(),
        }
    }

    /// Position of the row after the last.
    fn end(&self) -> u32 {
        self.start.0 + (self.n_rows() - self.skip) as u32
    }
}

/// Activations of one forward window in one layer: matrices `[pos, neuron]`, row by row.
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
    /// Some values, side by side.
    #[inline(always)]
    pub fn part(self, at: Range<usize>) -> Self {
        Self {
            pre: &self.pre[at.clone()],
            ranked: &self.ranked[at.clone()],
            post: self.post.map(|post| &post[at.clone()]),
            gated: self.gated.map(|gated| GatedRows {
                pre_linear: &gated.pre_linear[at.clone()],
                act: &gated.act[at],
            }),
        }
    }

    /// Whether all hooks of a value are numbers; else the position is not counted.
    #[inline(always)]
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
        }
    }
}

/// A batch of windows in the order of the corpus, in one layer.
#[derive(Clone, Copy, Debug)]
pub struct LayerBatch<'a> {
    /// The windows.
    pub windows: &'a [WindowInfo],
    /// Their activations.
    pub rows: &'a [WindowRows<'a>],
    /// Values from a row to the next.
    pub stride: usize,
    /// The neuron of the first column.
    pub first: usize,
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
}

/// A hook whose values are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quantity {
    Ranked,
    Pre,
    PreLinear,
}

fn quantity_of(kind: ListKind) -> Quantity {
    match kind {
        ListKind::Top | ListKind::Bottom | ListKind::Case(_) => Quantity::Ranked,
        ListKind::PreTop | ListKind::PreBottom => Quantity::Pre,
        ListKind::PreLinearTop | ListKind::PreLinearBottom => Quantity::PreLinear,
    }
}

/// A peak whose window is not yet complete, or whose document has not ended.
#[derive(Clone, Debug)]
struct Pending {
    value: f32,
    post: Option<f32>,
    pos: u32,
    context: u64,
    start: u32,
    values: Vec<f32>,
}

/// The best peak of the current document for each lane of one list.
#[derive(Clone, Debug)]
struct Peaks {
    kind: ListKind,
    score: Vec<f32>,
    pos: Vec<u32>,
    pending: Vec<Option<Pending>>,
    lists: Vec<TopList>,
}

impl Peaks {
    /// Notes the scores of one row.
    #[inline(always)]
    fn update(&mut self, lanes: Range<usize>, values: &[f32], pos: u32) {
        let kind = self.kind;
        let (score, at) = (&mut self.score[lanes.clone()], &mut self.pos[lanes]);
        for ((score, at), &value) in score.iter_mut().zip(at).zip(values) {
            let new = kind.score(value);
            let better = new > *score;
            *score = if better { new } else { *score };
            *at = if better { pos } else { *at };
        }
    }

    fn forget(&mut self) {
        self.score.fill(f32::NEG_INFINITY);
    }
}

/// State of some neighbouring neurons of a layer.
#[derive(Clone, Debug)]
pub struct Block {
    first: usize,
    n: usize,
    count: Vec<u32>,
    sums: [Vec<f64>; 4],
    min: Vec<f32>,
    max: Vec<f32>,
    firing: Vec<u32>,
    above: Vec<u32>,
    not_finite: Vec<u32>,
    histogram: Vec<u32>,
    special: Vec<Moments>,
    post: Option<Vec<Moments>>,
    cases: Option<Vec<[CaseStats; 4]>>,
    peaks: Vec<Peaks>,
    samples: Vec<Samples>,
    pending_samples: Vec<(usize, u32, Pending)>,
    carry: Carry,
    bins: Vec<u8>,
}

/// The last rows of a document that goes on in the next batch, `[pos, lane]` for each listed quantity.
#[derive(Clone, Debug, Default)]
struct Carry {
    n_rows: u32,
    rows: Vec<(Quantity, Vec<f32>)>,
}

impl Block {
    /// Most positions that a block can count.
    pub const MAX_POSITIONS: u64 = u32::MAX as u64;

    /// State of neurons `first..first + n` before any position.
    pub fn new(first: usize, n: usize, kind: MlpKind, options: &StatsOptions) -> Self {
        let peaks = options.lists(kind).into_iter().map(|(kind, k)| Peaks {
            kind,
            score: vec![f32::NEG_INFINITY; n],
            pos: vec![0; n],
            pending: vec![None; n],
            lists: vec![TopList::new(kind, k); n],
        });
        let peaks: Vec<_> = peaks.collect();
        Self {
            first,
            n,
            count: vec![0; n],
            sums: std::array::from_fn(|_| vec![0.0; n]),
            min: vec![f32::INFINITY; n],
            max: vec![f32::NEG_INFINITY; n],
            firing: vec![0; n],
            above: vec![0; n],
            not_finite: vec![0; n],
            histogram: vec![0; n * BINS],
            special: vec![Moments::default(); n],
            post: (kind == MlpKind::Solu).then(|| vec![Moments::default(); n]),
            cases: (kind == MlpKind::Gated).then(|| vec![Default::default(); n]),
            peaks,
            samples: vec![Samples::default(); n],
            pending_samples: Vec::new(),
            carry: Carry::default(),
            bins: vec![0; n],
        }
    }

    /// Adds the next windows of the corpus.
    pub fn observe(&mut self, batch: &LayerBatch<'_>, context: &ScanContext<'_>) {
        let mut start = 0;
        while start < batch.windows.len() {
            let doc = batch.windows[start].doc;
            let n = batch.windows[start..]
                .iter()
                .take_while(|w| w.doc == doc)
                .count();
            let segment = Segment {
                windows: &batch.windows[start..start + n],
                rows: &batch.rows[start..start + n],
                stride: batch.stride,
                column: self.first - batch.first,
            };
            for at in 0..n {
                self.observe_window(&segment, at, context.options.tau);
            }
            self.settle(&segment, context);
            start += n;
        }
    }

    fn observe_window(&mut self, segment: &Segment<'_>, at: usize, tau: f32) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
                // SAFETY: the features were just detected
                return unsafe { self.observe_window_avx512(segment, at, tau) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the feature was just detected
                return unsafe { self.observe_window_avx2(segment, at, tau) };
            }
        }
        self.observe_window_portable(segment, at, tau);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq")]
    fn observe_window_avx512(&mut self, segment: &Segment<'_>, at: usize, tau: f32) {
        self.observe_window_portable(segment, at, tau);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn observe_window_avx2(&mut self, segment: &Segment<'_>, at: usize, tau: f32) {
        self.observe_window_portable(segment, at, tau);
    }

    #[inline(always)]
    fn observe_window_portable(&mut self, segment: &Segment<'_>, at: usize, tau: f32) {
        let info = &segment.windows[at];
        for row in 0..info.n_rows() {
            let first = row * segment.stride + segment.column;
            let values = segment.rows[at].part(first..first + self.n);
            if !info.counted[row] {
                for (special, &x) in self.special.iter_mut().zip(values.ranked) {
                    if x.is_finite() {
                        special.push(x);
                    }
                }
                continue;
            }
            let pos = info.start.0 + (row - info.skip) as u32;
            if (0..self.n).fold(true, |all, j| all & values.is_finite(j)) {
                self.observe_row(0..self.n, values, pos, tau);
            } else {
                for j in 0..self.n {
                    if values.is_finite(j) {
                        self.observe_row(j..j + 1, values.part(j..j + 1), pos, tau);
                    } else {
                        self.not_finite[j] += 1;
                    }
                }
            }
        }
    }

    /// One counted position of some lanes, all values finite. `values` holds these lanes only.
    #[inline(always)]
    fn observe_row(&mut self, lanes: Range<usize>, values: WindowRows<'_>, pos: u32, tau: f32) {
        let WindowRows {
            pre,
            ranked,
            post,
            gated,
        } = values;
        let [s1, s2, s3, s4] = &mut self.sums;
        let sums = s1[lanes.clone()].iter_mut().zip(&mut s2[lanes.clone()]);
        let sums = sums.zip(s3[lanes.clone()].iter_mut().zip(&mut s4[lanes.clone()]));
        for (((s1, s2), (s3, s4)), &x) in sums.zip(ranked) {
            let wide = f64::from(x);
            let square = wide * wide;
            *s1 += wide;
            *s2 += square;
            *s3 += square * wide;
            *s4 += square * square;
        }
        let extremes = self.min[lanes.clone()]
            .iter_mut()
            .zip(&mut self.max[lanes.clone()]);
        for ((min, max), &x) in extremes.zip(ranked) {
            *min = if x < *min { x } else { *min };
            *max = if x > *max { x } else { *max };
        }
        let counts = self.count[lanes.clone()]
            .iter_mut()
            .zip(&mut self.firing[lanes.clone()]);
        let counts = counts.zip(&mut self.above[lanes.clone()]);
        let written = post.unwrap_or(ranked);
        for (((count, firing), above), (&pre, &post)) in counts.zip(pre.iter().zip(written)) {
            *count += 1;
            *firing += u32::from(pre > 0.0);
            *above += u32::from(post.abs() > tau);
        }
        for (b, &x) in self.bins[lanes.clone()].iter_mut().zip(ranked) {
            *b = bin(x);
        }
        let histogram = &mut self.histogram[lanes.start * BINS..lanes.end * BINS];
        for (counts, &b) in histogram
            .chunks_exact_mut(BINS)
            .zip(&self.bins[lanes.clone()])
        {
            counts[usize::from(b)] += 1;
        }
        for peaks in &mut self.peaks {
            match quantity_of(peaks.kind) {
                Quantity::Ranked if matches!(peaks.kind, ListKind::Case(_)) => {}
                Quantity::Ranked => peaks.update(lanes.clone(), ranked, pos),
                Quantity::Pre => peaks.update(lanes.clone(), pre, pos),
                Quantity::PreLinear => {
                    peaks.update(lanes.clone(), gated.map_or(&[], |g| g.pre_linear), pos)
                }
            }
        }
        if let (Some(moments), Some(post)) = (&mut self.post, post) {
            for (moments, &x) in moments[lanes.clone()].iter_mut().zip(post) {
                moments.push(x);
            }
        }
        if let (Some(cases), Some(gated)) = (&mut self.cases, gated) {
            let (input, act) = (gated.pre_linear, gated.act);
            // the four lists of the sign cases follow top and bottom, in the order of SignCase::ALL
            let case_peaks = &mut self.peaks[2..6];
            for (i, j) in lanes.enumerate() {
                if let Some(case) = SignCase::of(pre[i], input[i]) {
                    cases[j][case as usize].push([pre[i], act[i], input[i], ranked[i]]);
                    let peaks = &mut case_peaks[case as usize];
                    let score = peaks.kind.score(ranked[i]);
                    if score > peaks.score[j] {
                        peaks.score[j] = score;
                        peaks.pos[j] = pos;
                    }
                }
            }
        }
    }

    /// After the windows of one document in this batch: keeps what beats the lists.
    fn settle(&mut self, segment: &Segment<'_>, context: &ScanContext<'_>) {
        let options = context.options;
        let (start, end, ends_document) = (segment.start(), segment.end(), segment.ends_document());
        let view = View {
            segment,
            carry: std::mem::take(&mut self.carry),
            n: self.n,
        };
        let open = |quantity: Quantity, pos: u32, lane: usize| Pending {
            value: view.value(quantity, pos, lane) + 0.0,
            post: segment.post(pos, lane),
            pos,
            context: segment.context(pos),
            start: pos.saturating_sub(options.window_before),
            values: Vec::with_capacity((options.window_before + options.window_after + 1) as usize),
        };
        let extend = |pending: &mut Pending, quantity: Quantity, lane: usize| {
            let until = (pending.pos + options.window_after + 1).min(end);
            for pos in pending.start + pending.values.len() as u32..until {
                pending.values.push(view.value(quantity, pos, lane));
            }
        };

        for peaks in &mut self.peaks {
            let quantity = quantity_of(peaks.kind);
            for lane in 0..self.n {
                if peaks.score[lane] <= peaks.lists[lane].threshold() {
                    peaks.pending[lane] = None;
                    continue;
                }
                if peaks.pos[lane] >= start {
                    peaks.pending[lane] = Some(open(quantity, peaks.pos[lane], lane));
                }
                if let Some(pending) = &mut peaks.pending[lane] {
                    extend(pending, quantity, lane);
                }
                if ends_document && let Some(pending) = peaks.pending[lane].take() {
                    peaks.lists[lane].insert(Example {
                        value: pending.value,
                        post: pending.post,
                        doc: segment.doc(),
                        pos: Pos(pending.pos),
                        context: pending.context,
                        window: Window::new(pending.start, &pending.values),
                        duplicates: Vec::new(),
                    });
                }
            }
            if ends_document {
                peaks.forget();
            }
        }

        let wanted = options.samples();
        for &(_, Pos(pos), rank) in context.plan.of_document(segment.doc()) {
            if !(start..end).contains(&pos) {
                continue;
            }
            for lane in 0..self.n {
                let pending = open(Quantity::Ranked, pos, lane);
                let counts = &self.histogram[lane * BINS..(lane + 1) * BINS];
                if segment.is_finite(pos, lane)
                    && Samples::wants(counts, wanted, context.n_total, rank, pending.value)
                {
                    self.pending_samples.push((lane, rank, pending));
                }
            }
        }
        let mut waiting = Vec::new();
        for (lane, rank, mut pending) in std::mem::take(&mut self.pending_samples) {
            extend(&mut pending, Quantity::Ranked, lane);
            if !ends_document && end < pending.pos + options.window_after + 1 {
                waiting.push((lane, rank, pending));
                continue;
            }
            let sample = Sample {
                rank,
                doc: segment.doc(),
                pos: Pos(pending.pos),
                value: pending.value,
                post: pending.post,
                window: Window::new(pending.start, &pending.values),
            };
            let counts = &self.histogram[lane * BINS..(lane + 1) * BINS];
            self.samples[lane].push(sample, counts, wanted, context.n_total);
        }

        if !ends_document {
            self.carry = view.carry(&self.peaks, options.window_before);
        }
        self.pending_samples = waiting;
    }

    /// What was found, neuron by neuron.
    pub fn harvest(self) -> Vec<Neuron> {
        let mut lists: Vec<Vec<TopList>> = vec![Vec::new(); self.n];
        for peaks in self.peaks {
            for (lane, list) in peaks.lists.into_iter().enumerate() {
                lists[lane].push(list);
            }
        }
        let neurons =
            lists
                .into_iter()
                .zip(self.samples)
                .enumerate()
                .map(|(lane, (lists, samples))| {
                    let bins = self.histogram[lane * BINS..(lane + 1) * BINS]
                        .iter()
                        .enumerate();
                    let stats = NeuronStats {
                        moments: Moments {
                            count: u64::from(self.count[lane]),
                            sums: std::array::from_fn(|order| self.sums[order][lane]),
                            min: self.min[lane] + 0.0,
                            max: self.max[lane] + 0.0,
                        },
                        histogram: Histogram::from_bins(
                            bins.map(|(bin, &count)| (bin as u8, u64::from(count))),
                        ),
                        not_finite: u64::from(self.not_finite[lane]),
                        n_firing: u64::from(self.firing[lane]),
                        n_above_tau: u64::from(self.above[lane]),
                        special: self.special[lane],
                        post: self.post.as_ref().map(|post| post[lane]),
                        cases: self.cases.as_ref().map(|cases| cases[lane]),
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

/// What can be seen of the current document: its windows in this batch and what was carried over.
struct View<'a> {
    segment: &'a Segment<'a>,
    carry: Carry,
    n: usize,
}

impl View<'_> {
    fn start(&self) -> u32 {
        self.segment.start() - self.carry.n_rows
    }

    fn value(&self, quantity: Quantity, pos: u32, lane: usize) -> f32 {
        if pos >= self.segment.start() {
            return self.segment.value(quantity, pos, lane);
        }
        let rows = self
            .carry
            .rows
            .iter()
            .find(|(known, _)| *known == quantity)
            .map(|(_, rows)| rows);
        rows.map_or(f32::NAN, |rows| {
            rows[(pos - self.start()) as usize * self.n + lane]
        })
    }

    /// The last `n_rows` rows of the listed quantities.
    fn carry(&self, peaks: &[Peaks], n_rows: u32) -> Carry {
        let end = self.segment.end();
        let from = end.saturating_sub(n_rows).max(self.start());
        let mut carry = Carry {
            n_rows: end - from,
            rows: Vec::new(),
        };
        for quantity in peaks.iter().map(|p| quantity_of(p.kind)) {
            if carry.rows.iter().all(|(known, _)| *known != quantity) {
                let row = |pos| (0..self.n).map(move |lane| self.value(quantity, pos, lane));
                carry
                    .rows
                    .push((quantity, (from..end).flat_map(row).collect()));
            }
        }
        carry
    }
}

/// The windows of one document in a batch.
struct Segment<'a> {
    windows: &'a [WindowInfo],
    rows: &'a [WindowRows<'a>],
    stride: usize,
    /// Of the first lane.
    column: usize,
}

impl Segment<'_> {
    fn doc(&self) -> DocId {
        self.windows[0].doc
    }

    fn start(&self) -> u32 {
        self.windows[0].start.0
    }

    fn end(&self) -> u32 {
        self.windows[self.windows.len() - 1].end()
    }

    fn ends_document(&self) -> bool {
        self.windows[self.windows.len() - 1].ends_document
    }

    /// Window and row of a position.
    fn locate(&self, pos: u32) -> (usize, usize) {
        let window = self.windows.partition_point(|w| w.start.0 <= pos) - 1;
        let info = &self.windows[window];
        (window, (pos - info.start.0) as usize + info.skip)
    }

    fn value(&self, quantity: Quantity, pos: u32, lane: usize) -> f32 {
        let (window, row) = self.locate(pos);
        self.rows[window].quantity(quantity)[row * self.stride + self.column + lane]
    }

    /// `hook_post`, where it stands beside the ranking hook.
    fn post(&self, pos: u32, lane: usize) -> Option<f32> {
        let (window, row) = self.locate(pos);
        let post = self.rows[window].post?;
        Some(post[row * self.stride + self.column + lane] + 0.0)
    }

    fn is_finite(&self, pos: u32, lane: usize) -> bool {
        let (window, row) = self.locate(pos);
        self.rows[window].is_finite(row * self.stride + self.column + lane)
    }

    fn context(&self, pos: u32) -> u64 {
        let (window, row) = self.locate(pos);
        self.windows[window].contexts[row]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TokenId;
    use crate::stats::hash;
    use proptest::prelude::*;

    const N: usize = 3;
    const CONTEXT: u32 = 5;

    /// One document's activations: for each position `[pre, pre_linear, act, post]` of each neuron.
    type Document = Vec<[[f32; 4]; N]>;

    struct TestWindow {
        info: WindowInfo,
        columns: [Vec<f32>; 4],
    }

    /// Cuts documents into windows of `CONTEXT` rows, each behind one special row.
    fn windows(documents: &[Document]) -> Vec<TestWindow> {
        let mut out = Vec::new();
        for (doc, document) in documents.iter().enumerate() {
            for (at, rows) in document.chunks(CONTEXT as usize).enumerate() {
                let start = at as u32 * CONTEXT;
                let special = [[9.0; 4]; N];
                let all: Vec<_> = std::iter::once(&special).chain(rows).collect();
                out.push(TestWindow {
                    info: WindowInfo {
                        doc: DocId(doc as u32),
                        start: Pos(start),
                        skip: 1,
                        counted: (0..all.len()).map(|row| row > 0).collect(),
                        contexts: (0..all.len())
                            .map(|row| context(doc, start + row as u32 - u32::from(row > 0)))
                            .collect(),
                        ends_document: start as usize + rows.len() == document.len(),
                    },
                    columns: std::array::from_fn(|q| {
                        all.iter()
                            .flat_map(|row| row.iter().map(move |v| v[q]))
                            .collect()
                    }),
                });
            }
        }
        out
    }

    fn context(doc: usize, pos: u32) -> u64 {
        hash::context(&[TokenId(doc as u32 % 4), TokenId(pos % 3)])
    }

    fn scan(
        windows: &[TestWindow],
        batch: usize,
        options: &StatsOptions,
        plan: &SamplePlan,
        n_total: u64,
    ) -> Vec<Neuron> {
        let mut blocks = [
            Block::new(0, 2, MlpKind::Gated, options),
            Block::new(2, 1, MlpKind::Gated, options),
        ];
        for batch in windows.chunks(batch) {
            let infos: Vec<_> = batch.iter().map(|w| w.info.clone()).collect();
            let rows: Vec<_> = batch
                .iter()
                .map(|w| WindowRows {
                    pre: &w.columns[0],
                    ranked: &w.columns[3],
                    post: None,
                    gated: Some(GatedRows {
                        pre_linear: &w.columns[1],
                        act: &w.columns[2],
                    }),
                })
                .collect();
            for block in &mut blocks {
                block.observe(
                    &LayerBatch {
                        windows: &infos,
                        rows: &rows,
                        stride: N,
                        first: 0,
                    },
                    &ScanContext {
                        options,
                        plan,
                        n_total,
                    },
                );
            }
        }
        blocks.into_iter().flat_map(Block::harvest).collect()
    }

    /// The definitions, one neuron at a time over whole documents.
    fn reference(
        documents: &[Document],
        neuron: usize,
        options: &StatsOptions,
        plan: &SamplePlan,
    ) -> Neuron {
        let mut out = Neuron::new(options, MlpKind::Gated);
        let n_total: usize = documents.iter().map(Vec::len).sum();
        let mut best_samples = Vec::new();
        for (doc, document) in documents.iter().enumerate() {
            for _ in document.chunks(CONTEXT as usize) {
                out.stats.special.push(9.0);
            }
            let window = |quantity: usize, pos: usize| {
                let from = pos.saturating_sub(options.window_before as usize);
                let until = (pos + options.window_after as usize + 1).min(document.len());
                let values: Vec<f32> = document[from..until]
                    .iter()
                    .map(|row| row[neuron][quantity])
                    .collect();
                Window::new(from as u32, &values)
            };
            let mut peaks: Vec<Option<(f32, usize)>> = vec![None; out.lists.len()];
            for (pos, row) in document.iter().enumerate() {
                let [pre, input, act, post] = row[neuron];
                if ![pre, input, act, post].iter().all(|v| v.is_finite()) {
                    out.stats.not_finite += 1;
                    continue;
                }
                out.stats.moments.push(post);
                out.stats.histogram.push(post);
                out.stats.n_firing += u64::from(pre > 0.0);
                out.stats.n_above_tau += u64::from(post.abs() > options.tau);
                let case = SignCase::of(pre, input);
                if let Some(case) = case {
                    out.stats.cases.as_mut().unwrap()[case as usize].push([pre, act, input, post]);
                }
                for (list, peak) in out.lists.iter().zip(&mut peaks) {
                    let value = [post, pre, input][quantity_of(list.kind()) as usize];
                    let listed =
                        !matches!(list.kind(), ListKind::Case(listed) if Some(listed) != case);
                    let score = list.kind().score(value);
                    if listed && peak.is_none_or(|(best, _)| score > list.kind().score(best)) {
                        *peak = Some((value, pos));
                    }
                }
                let drawn = plan
                    .of_document(DocId(doc as u32))
                    .iter()
                    .find(|p| p.1.0 == pos as u32);
                if let Some(&(doc, pos, rank)) = drawn {
                    let window = window(3, pos.0 as usize);
                    best_samples.push(Sample {
                        rank,
                        doc,
                        pos,
                        value: post,
                        post: None,
                        window,
                    });
                }
            }
            for (list, peak) in out.lists.iter_mut().zip(peaks) {
                if let Some((value, pos)) = peak {
                    list.insert(Example {
                        value,
                        post: None,
                        doc: DocId(doc as u32),
                        pos: Pos(pos as u32),
                        context: context(doc, pos as u32),
                        window: window([3, 0, 1][quantity_of(list.kind()) as usize], pos),
                        duplicates: Vec::new(),
                    });
                }
            }
        }
        out.samples = Samples::new(best_samples);
        out.samples
            .prune(&out.stats.histogram, options.samples(), n_total as u64);
        out
    }

    fn value() -> impl Strategy<Value = f32> {
        prop_oneof![8 => (-40i8..40).prop_map(|v| f32::from(v) / 8.0), 1 => Just(0.0f32), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(150))]
        #[test]
        fn any_batches_equal_the_definitions(
            documents in prop::collection::vec(prop::collection::vec(prop::array::uniform3(prop::array::uniform4(value())), 1..23), 1..14),
            batch in 1usize..9,
            seed in 0u64..4,
        ) {
            let options = StatsOptions {
                top_k: 3, case_k: 2, per_band: 2, random: 3, window_before: 6, window_after: 3, rank_pre: true, seed,
                ..Default::default()
            };
            let plan = SamplePlan::new(seed, options.samples().most_tries(), documents.iter().map(|d| d.len() as u32), |_, _| {
                Ok::<_, std::convert::Infallible>(true)
            }).unwrap();
            let n_total = documents.iter().map(Vec::len).sum::<usize>() as u64;
            let found = scan(&windows(&documents), batch, &options, &plan, n_total);
            for (neuron, mut found) in found.into_iter().enumerate() {
                let expected = reference(&documents, neuron, &options, &plan);
                found.samples.prune(&found.stats.histogram, options.samples(), n_total);
                prop_assert_eq!(&found.stats, &expected.stats);
                prop_assert_eq!(&found.lists, &expected.lists);
                prop_assert_eq!(found.samples.kept(), expected.samples.kept());
            }
        }

        #[test]
        fn parts_merge_to_the_whole(
            documents in prop::collection::vec(prop::collection::vec(prop::array::uniform3(prop::array::uniform4(value())), 1..12), 2..14),
            cut in 1usize..13,
        ) {
            let options = StatsOptions { top_k: 3, case_k: 2, per_band: 2, random: 3, window_before: 6, window_after: 3, ..Default::default() };
            let cut = cut.min(documents.len() - 1);
            let plan = SamplePlan::new(0, options.samples().most_tries(), documents.iter().map(|d| d.len() as u32), |_, _| {
                Ok::<_, std::convert::Infallible>(true)
            }).unwrap();
            let n_total = documents.iter().map(Vec::len).sum::<usize>() as u64;
            let all = windows(&documents);
            let at = all.iter().position(|w| w.info.doc.0 as usize == cut).unwrap();
            let whole = scan(&all, 4, &options, &plan, n_total);
            for (a_first, (first, second)) in [(true, (&all[..at], &all[at..])), (false, (&all[at..], &all[..at]))] {
                let (first, second) = (scan(first, 3, &options, &plan, n_total), scan(second, 2, &options, &plan, n_total));
                for ((mut merged, more), whole) in first.into_iter().zip(second).zip(&whole) {
                    merged.merge(more, &options, n_total);
                    let mut whole = whole.clone();
                    whole.samples.prune(&whole.stats.histogram, options.samples(), n_total);
                    prop_assert_eq!(&merged.lists, &whole.lists, "a first: {}", a_first);
                    prop_assert_eq!(&merged.stats.histogram, &whole.stats.histogram);
                    prop_assert_eq!(merged.stats.moments.count, whole.stats.moments.count);
                    for (a, b) in merged.stats.moments.sums.iter().zip(whole.stats.moments.sums) {
                        prop_assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0));
                    }
                    for band in crate::stats::samples::BANDS {
                        let ranks = |n: &Neuron| n.samples.band(&n.stats.histogram, band, options.samples()).iter().map(|s| s.rank).collect::<Vec<_>>();
                        prop_assert_eq!(ranks(&merged), ranks(&whole));
                    }
                }
            }
        }
    }
}
