//! State that comes back from a checkpoint: what goes on from a state that no scan saved would point outside its tables.

use super::super::examples::{Example, TopList};
use super::super::histogram::BINS;
use super::super::window::Window;
use super::super::{MlpKind, StatsOptions};
use super::document::Pending;
use super::{Block, Peaks, WIDTH};

/// How far a saved state is.
#[derive(Clone, Copy, Debug)]
pub struct Progress<'a> {
    /// Options of the scan.
    pub options: &'a StatsOptions,
    /// Rows that went through the model.
    pub rows: u64,
    /// Positions of the current document that are done, if it goes on.
    pub document: Option<u32>,
}

impl Block {
    /// Most bytes that a saved state can take.
    pub fn most_bytes(kind: MlpKind, options: &StatsOptions) -> u64 {
        let window = u64::from(options.window_before) + u64::from(options.window_after) + 1;
        let listed: usize = options.lists(kind).iter().map(|(_, k)| k).sum();
        let lists = options.lists(kind).len() as u64;
        let drawn = options.samples().most_tries() as u64;
        let example = 64 + 4 * TopList::MAX_DUPLICATES as u64 + window;
        let pending = 64 + 4 * window;
        let with_hooks = options.lists(kind).into_iter();
        let with_hooks = with_hooks.filter(|(kind, _)| options.keeps_hooks(*kind));
        let hooks: u64 = with_hooks
            .map(|(_, k)| k as u64 * 3 * (16 + window) + 3 * (8 + 4 * window))
            .sum();
        let lane = 5 * BINS as u64
            + 1024
            + listed as u64 * example
            + drawn * (64 + window)
            + (lists + drawn) * pending
            + hooks
            + 16 * u64::from(options.window_before);
        1024 + WIDTH as u64 * lane
    }

    /// Whether a scan can have saved this state. `empty` is the state before any position.
    pub fn fits(&self, empty: &Self, progress: &Progress<'_>) -> bool {
        let counts = [&self.count, &self.firing, &self.above, &self.not_finite];
        let cases = self.cases.iter().flatten().map(|case| &case.count);
        let counts = counts.into_iter().chain([&self.histogram]).chain(cases);
        let special = self.special.iter().chain(&self.starts);
        let special = special.chain(self.post.iter().flatten());
        let has_post = self.post.is_some();
        self.shape() == empty.shape()
            && counts.flatten().all(|&n| u64::from(n) <= progress.rows)
            && special
                .map(|moments| moments.count)
                .all(|n| n <= progress.rows)
            && self
                .peaks
                .iter()
                .zip(&empty.peaks)
                .all(|(peaks, empty)| peaks.fits(empty, self.n, has_post, progress))
            && self
                .samples
                .iter()
                .flat_map(|samples| samples.kept())
                .all(|sample| {
                    sample.post.is_some() == has_post
                        && is_around(&sample.window, sample.pos.0, progress.options)
                })
            && self
                .pending_samples
                .iter()
                .all(|(lane, _, pending)| *lane < self.n && pending.fits(has_post, false, progress))
            && self.carry_fits(progress)
    }

    /// The lengths of all that has one length for good.
    fn shape(&self) -> Vec<usize> {
        let mut shape = vec![self.n, self.samples.len(), self.peaks.len()];
        shape.extend([&self.count, &self.firing, &self.above].map(Vec::len));
        shape.extend([&self.not_finite, &self.histogram].map(Vec::len));
        shape.extend([&self.min, &self.max].map(Vec::len));
        shape.extend(self.sums.iter().chain(&self.further).map(Vec::len));
        shape.extend([&self.special, &self.starts].map(Vec::len));
        shape.push(self.post.as_ref().map_or(0, Vec::len));
        for case in self.cases.iter().flatten() {
            shape.push(case.count.len());
            shape.extend(case.sums.iter().map(Vec::len));
            shape.extend(case.extremes.iter().map(Vec::len));
        }
        for peaks in &self.peaks {
            shape.extend([peaks.lists.len(), peaks.pos.len(), peaks.pending.len()]);
            shape.extend([&peaks.threshold, &peaks.score].map(Vec::len));
        }
        shape
    }

    fn carry_fits(&self, progress: &Progress<'_>) -> bool {
        let n_rows = progress.options.window_before;
        let n_rows = n_rows.min(progress.document.unwrap_or(0));
        let mut carried = [false; 4];
        for quantity in Peaks::quantities(&self.peaks, progress.options) {
            carried[quantity as usize] = true;
        }
        let rows = self.carry.rows.iter().zip(carried);
        self.carry.n_rows == n_rows
            && rows.into_iter().all(|(rows, carried)| {
                rows.len() == if carried { n_rows as usize * WIDTH } else { 0 }
            })
    }
}

impl Peaks {
    fn fits(&self, empty: &Self, n: usize, has_post: bool, progress: &Progress<'_>) -> bool {
        let keeps_hooks = progress.options.keeps_hooks(self.kind);
        let example = |example: &Example| {
            let window = &example.window;
            let mut hooks = example.hooks.iter().flat_map(|of| of.iter());
            example.post.is_some() == has_post
                && example.hooks.is_some() == keeps_hooks
                && hooks.all(|hook| {
                    (hook.start, hook.steps.len()) == (window.start, window.steps.len())
                })
                && example.duplicates.len() <= TopList::MAX_DUPLICATES
                && is_around(window, example.pos.0, progress.options)
        };
        let mut lists = self.lists.iter().zip(&empty.lists);
        let mut pending = self.pending.iter().enumerate();
        self.kind == empty.kind
            && lists.all(|(list, empty)| list.has_limits_of(empty))
            && self.lists.iter().flat_map(TopList::entries).all(example)
            && pending.all(|(lane, pending)| {
                let found = self.found >> lane & 1 == 1;
                found == pending.is_some()
                    && (!found || lane < n)
                    && pending
                        .as_ref()
                        .is_none_or(|pending| pending.fits(has_post, keeps_hooks, progress))
            })
    }
}

impl Pending {
    fn fits(&self, has_post: bool, keeps_hooks: bool, progress: &Progress<'_>) -> bool {
        let Some(done) = progress.document else {
            return false;
        };
        let (before, after) = (
            progress.options.window_before,
            progress.options.window_after,
        );
        let until = self.pos.saturating_add(after).saturating_add(1).min(done);
        self.post.is_some() == has_post
            && self.pos < done
            && self.start == self.pos.saturating_sub(before)
            && self.values.len() == (until - self.start) as usize
            && self.hooks.is_some() == keeps_hooks
            && (self.hooks.iter().flat_map(|hooks| hooks.iter()))
                .all(|values| values.len() == self.values.len())
    }
}

/// Whether a window is one around a position.
fn is_around(window: &Window, pos: u32, options: &StatsOptions) -> bool {
    let before = pos.min(options.window_before) as usize;
    let most = before + options.window_after as usize + 1;
    window.start == pos - before as u32 && (before + 1..=most).contains(&window.steps.len())
}
