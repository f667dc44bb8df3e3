//! Adding rows: a strip of lanes at once where all values are finite, else value by value.

use std::ops::Range;

use crate::lanes::LANES;

use super::super::examples::ListKind;
use super::super::histogram::{BINS, bin};
use super::super::moments::Moments;
use super::super::signs::SignCase;
use super::super::sums;
use super::document::Segment;
use super::strip::{Best, Strip, StripRows, StripState};
use super::{Block, LayerBatch, ScanContext, WIDTH, WindowInfo, WindowRows, quantity_of};

impl Block {
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
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}
