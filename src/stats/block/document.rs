//! The end of a document, or of what a batch has of it: what beats the lists is kept, with the values around it.

use serde::{Deserialize, Serialize};

use crate::ids::{DocId, Pos};

use super::super::StatsOptions;
use super::super::examples::Example;
use super::super::histogram::BINS;
use super::super::samples::{Sample, Samples};
use super::super::window::Window;
use super::{
    Block, KEPT_HOOKS, Peaks, Quantity, ScanContext, WIDTH, WindowInfo, WindowRows, quantity_of,
};

/// A peak whose window is not yet complete, or whose document has not ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Pending {
    value: f32,
    pub(super) post: Option<f32>,
    pub(super) pos: u32,
    context: u64,
    pub(super) start: u32,
    pub(super) values: Vec<f32>,
    /// By [`KEPT_HOOKS`].
    pub(super) hooks: Option<Box<[Vec<f32>; 3]>>,
}

/// The last rows of a document that goes on in the next batch, `[pos, WIDTH]` for each [`Quantity`] that is listed or kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Carry {
    pub(super) n_rows: u32,
    pub(super) rows: [Vec<f32>; 4],
}

/// The windows of one document in a batch.
pub(super) struct Segment<'a> {
    pub(super) windows: &'a [WindowInfo],
    pub(super) rows: &'a [WindowRows<'a>],
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
        self.rows[window].quantity(quantity)[row * WIDTH + lane]
    }

    /// `hook_post`, where it stands beside the ranking hook.
    fn post(&self, pos: u32, lane: usize) -> Option<f32> {
        let (window, row) = self.locate(pos);
        Some(self.rows[window].post?[row * WIDTH + lane] + 0.0)
    }

    fn is_finite(&self, pos: u32, lane: usize) -> bool {
        let (window, row) = self.locate(pos);
        self.rows[window].is_finite(row * WIDTH + lane)
    }

    fn context(&self, pos: u32) -> u64 {
        let (window, row) = self.locate(pos);
        self.windows[window].contexts[row]
    }
}

/// What can be seen of the current document: its windows in this batch and what was carried over.
struct View<'a> {
    segment: &'a Segment<'a>,
    carry: Carry,
    options: &'a StatsOptions,
}

impl View<'_> {
    fn start(&self) -> u32 {
        self.segment.start() - self.carry.n_rows
    }

    /// Calls `each` with the rows from `from` to `until`, some at a time: `[pos, WIDTH]`.
    fn for_rows(&self, quantity: Quantity, from: u32, until: u32, mut each: impl FnMut(&[f32])) {
        let carried = self.start()..self.segment.start();
        if from < until.min(carried.end) {
            let row = |pos: u32| (pos - carried.start) as usize * WIDTH;
            let rows = &self.carry.rows[quantity as usize];
            each(&rows[row(from)..row(until.min(carried.end))]);
        }
        for (info, rows) in self.segment.windows.iter().zip(self.segment.rows) {
            let (first, last) = (from.max(info.start.0), until.min(info.end()));
            if first < last {
                let row = |pos: u32| ((pos - info.start.0) as usize + info.skip) * WIDTH;
                each(&rows.quantity(quantity)[row(first)..row(last)]);
            }
        }
    }

    fn open(&self, value: f32, pos: u32, lane: usize) -> Pending {
        Pending {
            value: value + 0.0,
            post: self.segment.post(pos, lane),
            pos,
            context: self.segment.context(pos),
            start: pos.saturating_sub(self.options.window_before),
            values: self.empty_window(),
            hooks: None,
        }
    }

    fn empty_window(&self) -> Vec<f32> {
        let (before, after) = (self.options.window_before, self.options.window_after);
        Vec::with_capacity((before + after + 1) as usize)
    }

    /// Copies what there is of the values around a peak.
    fn extend(&self, pending: &mut Pending, quantity: Quantity, lane: usize) {
        let from = pending.start + pending.values.len() as u32;
        let until = (pending.pos + self.options.window_after + 1).min(self.segment.end());
        let copy = |quantity: Quantity, values: &mut Vec<f32>| {
            self.for_rows(quantity, from, until, |rows| {
                values.extend(rows[lane..].iter().step_by(WIDTH));
            });
        };
        copy(quantity, &mut pending.values);
        let hooks = pending.hooks.iter_mut().flat_map(|hooks| hooks.iter_mut());
        for (quantity, values) in KEPT_HOOKS.into_iter().zip(hooks) {
            copy(quantity, values);
        }
    }

    /// The last rows of what is listed or kept.
    fn carry(&self, peaks: &[Peaks]) -> Carry {
        let end = self.segment.end();
        let from = end.saturating_sub(self.options.window_before);
        let from = from.max(self.start());
        let mut carry = Carry {
            n_rows: end - from,
            rows: Default::default(),
        };
        for quantity in Peaks::quantities(peaks, self.options) {
            let rows = &mut carry.rows[quantity as usize];
            if rows.is_empty() {
                rows.reserve_exact((end - from) as usize * WIDTH);
                self.for_rows(quantity, from, end, |some| rows.extend_from_slice(some));
            }
        }
        carry
    }
}

impl Block {
    /// After the windows of one document in this batch: keeps what beats the lists.
    pub(super) fn settle(&mut self, segment: &Segment<'_>, context: &ScanContext<'_>) {
        let view = View {
            segment,
            carry: std::mem::take(&mut self.carry),
            options: context.options,
        };
        for peaks in &mut self.peaks {
            settle_peaks(peaks, &view);
        }
        self.draw_samples(&view, context);
        if !segment.ends_document() {
            self.carry = view.carry(&self.peaks);
        }
    }

    fn draw_samples(&mut self, view: &View<'_>, context: &ScanContext<'_>) {
        let (segment, wanted) = (view.segment, context.options.samples());
        let (start, end) = (segment.start(), segment.end());
        for &(_, Pos(pos), rank) in context.plan.of_document(segment.doc()) {
            if !(start..end).contains(&pos) {
                continue;
            }
            for lane in 0..self.n {
                let value = segment.value(Quantity::Ranked, pos, lane);
                let counts = &self.histogram[lane * BINS..(lane + 1) * BINS];
                if segment.is_finite(pos, lane)
                    && Samples::wants(counts, wanted, context.n_total, rank, value)
                {
                    let pending = view.open(value, pos, lane);
                    self.pending_samples.push((lane, rank, pending));
                }
            }
        }
        let mut waiting = Vec::new();
        for (lane, rank, mut pending) in std::mem::take(&mut self.pending_samples) {
            view.extend(&mut pending, Quantity::Ranked, lane);
            if !segment.ends_document() && end < pending.pos + view.options.window_after + 1 {
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
        self.pending_samples = waiting;
    }
}

fn settle_peaks(peaks: &mut Peaks, view: &View<'_>) {
    let (segment, quantity) = (view.segment, quantity_of(peaks.kind));
    let keeps_hooks = view.options.keeps_hooks(peaks.kind);
    let mut found = peaks.found;
    while found != 0 {
        let lane = found.trailing_zeros() as usize;
        found &= found - 1;
        let pos = peaks.pos[lane];
        if pos >= segment.start() {
            let value = segment.value(quantity, pos, lane);
            let mut pending = view.open(value, pos, lane);
            if keeps_hooks {
                pending.hooks = Some(Box::new(std::array::from_fn(|_| view.empty_window())));
            }
            peaks.pending[lane] = Some(pending);
        }
        let Some(pending) = &mut peaks.pending[lane] else {
            continue;
        };
        view.extend(pending, quantity, lane);
        if segment.ends_document()
            && let Some(pending) = peaks.pending[lane].take()
        {
            let window = |values: &Vec<f32>| Window::new(pending.start, values);
            peaks.lists[lane].insert(Example {
                value: pending.value,
                post: pending.post,
                doc: segment.doc(),
                pos: Pos(pending.pos),
                context: pending.context,
                window: window(&pending.values),
                hooks: (pending.hooks.as_deref())
                    .map(|hooks| Box::new(hooks.each_ref().map(window))),
                duplicates: Vec::new(),
            });
            peaks.threshold[lane] = peaks.lists[lane].threshold();
            peaks.score[lane] = f32::NEG_INFINITY;
        }
    }
    if segment.ends_document() {
        peaks.found = 0;
    }
}
