//! The statistics of sixteen neighbouring neurons at consecutive positions, while their activations are in the
//! first-level cache: in a few passes, each of which keeps its sums in registers.

#![allow(clippy::needless_range_loop)] // for the reason that `crate::lanes` gives

use crate::lanes::{Kernel, LANES, Lanes};

use super::super::examples::ListKind;
use super::super::histogram::{BINS, bin};
use super::super::signs::SignCase;
use super::super::sums::{self, N_SUMS};
use super::{Case, WIDTH};

/// Values of the strip: the first row of the run, then every `WIDTH` further one row.
#[derive(Clone, Copy)]
pub(super) struct StripRows<'a> {
    pub(super) n_rows: usize,
    pub(super) ranked: &'a [f32],
    pub(super) pre: &'a [f32],
    /// `hook_post`.
    pub(super) written: &'a [f32],
    /// `hook_pre_linear` and `act_fn(hook_pre)`, if gated.
    pub(super) gated: Option<(&'a [f32], &'a [f32])>,
}

/// State of a block that goes on from run to run; of every lane, of which a strip changes its own.
pub(super) struct StripState<'a> {
    pub(super) sums: &'a mut [Vec<f64>; 4],
    pub(super) further: &'a mut [Vec<f64>; N_SUMS],
    pub(super) firing: &'a mut [u32],
    pub(super) above: &'a mut [u32],
    /// `[lane][bin]`
    pub(super) histogram: &'a mut [u32],
    pub(super) cases: Option<&'a mut [Case; 4]>,
}

/// The best scores of a run, list by list.
pub(super) struct Best {
    pub(super) top: [f32; LANES],
    pub(super) bottom: [f32; LANES],
    /// Only if asked for; else -∞.
    pub(super) pre: [[f32; LANES]; 2],
    pub(super) pre_linear: [[f32; LANES]; 2],
    /// By sign case; -∞ where the case does not occur.
    pub(super) cases: [[f32; LANES]; 4],
}

impl Best {
    /// The scores of a list.
    pub(super) fn of(&self, kind: ListKind) -> &[f32; LANES] {
        match kind {
            ListKind::Top => &self.top,
            ListKind::Bottom => &self.bottom,
            ListKind::Case(case) => &self.cases[case as usize],
            ListKind::PreTop => &self.pre[0],
            ListKind::PreBottom => &self.pre[1],
            ListKind::PreLinearTop => &self.pre_linear[0],
            ListKind::PreLinearBottom => &self.pre_linear[1],
        }
    }
}

/// Adds a run to the state of a strip, if all its values are finite; otherwise nothing is changed.
pub(super) struct Strip<'a> {
    pub(super) rows: StripRows<'a>,
    pub(super) state: StripState<'a>,
    /// The strip's first lane.
    pub(super) first: usize,
    pub(super) tau: f32,
    /// Whether the extremes of `hook_pre` and `hook_pre_linear` are wanted.
    pub(super) rank_pre: bool,
}

impl Kernel for Strip<'_> {
    type Output = Option<Best>;

    #[inline(always)]
    fn run<L: Lanes>(mut self) -> Option<Best> {
        let n = self.rows.n_rows;
        let len = match n {
            0 => 0,
            n => (n - 1) * WIDTH + LANES,
        };
        for values in [self.rows.ranked, self.rows.pre, self.rows.written] {
            assert!(values.len() >= len);
        }
        if let Some((input, act)) = self.rows.gated {
            assert!(input.len() >= len && act.len() >= len);
        }
        let first = self.first;
        assert!(first + LANES <= WIDTH);
        let mut best = moments::<L>(&self.rows, &mut self.state, first, self.tau)?;
        if self.rank_pre {
            best.pre = range::<L>(self.rows.pre, n);
            if let Some((input, _)) = self.rows.gated {
                best.pre_linear = range::<L>(input, n);
            }
        }
        let histogram = &mut self.state.histogram[first * BINS..];
        count_bins::<L>(self.rows.ranked, n, histogram);
        if let (Some(cases), Some((input, act))) = (&mut self.state.cases, self.rows.gated) {
            let values = [self.rows.pre, act, input, self.rows.ranked];
            let [pos_pos, pos_neg, neg_pos, neg_neg] = &mut **cases;
            let found = gate_sign::<L, true>(n, values, first, pos_pos, pos_neg);
            (best.cases[0], best.cases[1]) = found;
            let found = gate_sign::<L, false>(n, values, first, neg_pos, neg_neg);
            (best.cases[2], best.cases[3]) = found;
        }
        Some(best)
    }
}

/// # Safety
/// Row `row` has sixteen values.
#[inline(always)]
unsafe fn row<L: Lanes>(values: &[f32], row: usize) -> L {
    // SAFETY: the caller's
    unsafe { L::load(values.as_ptr().add(row * WIDTH)) }
}

/// # Safety
/// Sixteen values follow.
#[inline(always)]
unsafe fn wide<L: Lanes>(values: &[f64], first: usize) -> L::Wide {
    // SAFETY: the caller's
    unsafe { L::load_wide(values.as_ptr().add(first)) }
}

/// # Safety
/// Sixteen values follow.
#[inline(always)]
unsafe fn keep_wide<L: Lanes>(wide: L::Wide, values: &mut [f64], first: usize) {
    // SAFETY: the caller's
    unsafe { L::store_wide(wide, values.as_mut_ptr().add(first)) }
}

#[inline(always)]
fn add_counts<L: Lanes>(found: L, counts: &mut [u32]) {
    // a run has so few rows that f32 counts them exactly
    for (count, found) in counts.iter_mut().zip(found.to_array()) {
        *count += found as u32;
    }
}

/// Σx…Σx⁴, how often it fires and is above τ, and the extremes of the ranked value. `None`, and nothing changed, if any value
/// is not finite.
#[inline(always)]
fn moments<L: Lanes>(
    rows: &StripRows<'_>,
    state: &mut StripState<'_>,
    first: usize,
    tau: f32,
) -> Option<Best> {
    let (zero, one) = (L::splat(0.0), L::splat(1.0));
    let (tau, minus_tau) = (L::splat(tau), L::splat(-tau));
    let [s1, s2, s3, s4] = &mut *state.sums;
    // SAFETY: a strip has sixteen lanes, and the rows are as many as were asserted
    unsafe {
        let (mut w1, mut w2) = (wide::<L>(s1, first), wide::<L>(s2, first));
        let (mut w3, mut w4) = (wide::<L>(s3, first), wide::<L>(s4, first));
        let mut further = state.further.each_ref().map(|sums| wide::<L>(sums, first));
        let (mut largest, mut smallest) = (L::splat(f32::NEG_INFINITY), L::splat(f32::INFINITY));
        let (mut firing, mut above, mut broken) = (zero, zero, zero);
        for i in 0..rows.n_rows {
            let (x, pre): (L, L) = (row(rows.ranked, i), row(rows.pre, i));
            let written: L = row(rows.written, i);
            // 0 · x is NaN just where x is not finite
            broken = x.mul_add(zero, pre.mul_add(zero, written.mul_add(zero, broken)));
            if let Some((input, act)) = rows.gated {
                let (input, act): (L, L) = (row(input, i), row(act, i));
                broken = input.mul_add(zero, act.mul_add(zero, broken));
            }
            largest = x.max(largest);
            smallest = x.min(smallest);
            firing = firing.add_where(zero.less(pre), one);
            above = above.add_where(tau.less(written), one);
            above = above.add_where(written.less(minus_tau), one);
            let terms = sums::terms(x);
            for at in 0..N_SUMS {
                further[at] = L::add_wide(further[at], terms[at].widen());
            }
            let x = x.widen();
            let square = L::mul_wide(x, x);
            w1 = L::add_wide(w1, x);
            w2 = L::add_wide(w2, square);
            w3 = L::add_wide(w3, L::mul_wide(square, x));
            w4 = L::add_wide(w4, L::mul_wide(square, square));
        }
        if broken.sum().is_nan() {
            return None;
        }
        keep_wide::<L>(w1, s1, first);
        keep_wide::<L>(w2, s2, first);
        keep_wide::<L>(w3, s3, first);
        keep_wide::<L>(w4, s4, first);
        for at in 0..N_SUMS {
            keep_wide::<L>(further[at], &mut state.further[at], first);
        }
        add_counts(firing, &mut state.firing[first..]);
        add_counts(above, &mut state.above[first..]);
        Some(Best {
            top: score(largest).to_array(),
            bottom: score(zero.sub(smallest)).to_array(),
            pre: [[f32::NEG_INFINITY; LANES]; 2],
            pre_linear: [[f32::NEG_INFINITY; LANES]; 2],
            cases: [[f32::NEG_INFINITY; LANES]; 4],
        })
    }
}

/// -0.0 is 0.0 in scores, so that the two tie.
#[inline(always)]
fn score<L: Lanes>(x: L) -> L {
    x.add(L::splat(0.0))
}

/// Scores of the largest and the smallest values.
#[inline(always)]
fn range<L: Lanes>(values: &[f32], n: usize) -> [[f32; LANES]; 2] {
    let (mut largest, mut smallest) = (L::splat(f32::NEG_INFINITY), L::splat(f32::INFINITY));
    for i in 0..n {
        // SAFETY: there are so many rows
        let x: L = unsafe { row(values, i) };
        largest = x.max(largest);
        smallest = x.min(smallest);
    }
    let smallest = L::splat(0.0).sub(smallest);
    [score(largest).to_array(), score(smallest).to_array()]
}

#[inline(always)]
fn count_bins<L: Lanes>(values: &[f32], n: usize, histogram: &mut [u32]) {
    assert!(histogram.len() >= LANES * BINS);
    for i in 0..n {
        // SAFETY: there are so many rows
        let x: L = unsafe { row(values, i) };
        let x = x.to_array();
        let mut bins = [0u8; LANES];
        for lane in 0..LANES {
            bins[lane] = bin(x[lane]);
        }
        for lane in 0..LANES {
            let at = lane * BINS + usize::from(bins[lane]);
            // SAFETY: a bin is less than BINS, and there are LANES times as many counts
            unsafe { *histogram.get_unchecked_mut(at) += 1 };
        }
    }
}

/// The two sign cases of one sign of the gate: sums and extremes of gate, act(gate), in and post. `act_fn` has the sign of its
/// input or is 0, as every activation function here, so within a case each of the four has one sign.
#[inline(always)]
fn gate_sign<L: Lanes, const POSITIVE: bool>(
    n: usize,
    [gate, act, input, post]: [&[f32]; 4],
    first: usize,
    in_positive: &mut Case,
    in_negative: &mut Case,
) -> ([f32; LANES], [f32; LANES]) {
    let (zero, one) = (L::splat(0.0), L::splat(1.0));
    let (lowest, highest) = (L::splat(f32::NEG_INFINITY), L::splat(f32::INFINITY));
    // SAFETY: a strip has sixteen lanes, and the rows are as many as were asserted
    unsafe {
        let mut sums = [
            [
                wide::<L>(&in_positive.sums[0], first),
                wide::<L>(&in_positive.sums[1], first),
                wide::<L>(&in_positive.sums[2], first),
                wide::<L>(&in_positive.sums[3], first),
            ],
            [
                wide::<L>(&in_negative.sums[0], first),
                wide::<L>(&in_negative.sums[1], first),
                wide::<L>(&in_negative.sums[2], first),
                wide::<L>(&in_negative.sums[3], first),
            ],
        ];
        let mut counts = [zero; 2];
        let mut gates = [zero; 2];
        let mut acts = [zero; 2];
        let mut inputs = [zero; 2];
        // of the post, the extreme of this run: its sign is that of gate times in
        let mut posts = if POSITIVE {
            [lowest, highest]
        } else {
            [highest, lowest]
        };
        for i in 0..n {
            let (g, a): (L, L) = (row(gate, i), row(act, i));
            let (u, p): (L, L) = (row(input, i), row(post, i));
            let of_sign = if POSITIVE { zero.less(g) } else { g.less(zero) };
            let masks = [
                L::both(of_sign, zero.less(u)),
                L::both(of_sign, u.less(zero)),
            ];
            let wides = [g.widen(), a.widen(), u.widen(), p.widen()];
            for case in 0..2 {
                let mask = masks[case];
                counts[case] = counts[case].add_where(mask, one);
                for quantity in 0..4 {
                    let sum = sums[case][quantity];
                    sums[case][quantity] = L::add_wide_where(sum, mask, wides[quantity]);
                }
                if POSITIVE {
                    gates[case] = gates[case].max_where(mask, g);
                    acts[case] = acts[case].max_where(mask, a);
                } else {
                    gates[case] = gates[case].min_where(mask, g);
                    acts[case] = acts[case].min_where(mask, a);
                }
            }
            inputs[0] = inputs[0].max_where(masks[0], u);
            inputs[1] = inputs[1].min_where(masks[1], u);
            if POSITIVE {
                posts[0] = posts[0].max_where(masks[0], p);
                posts[1] = posts[1].min_where(masks[1], p);
            } else {
                posts[0] = posts[0].min_where(masks[0], p);
                posts[1] = posts[1].max_where(masks[1], p);
            }
        }
        let mut best = [[f32::NEG_INFINITY; LANES]; 2];
        for case in 0..2 {
            let lanes = if case == 0 {
                &mut *in_positive
            } else {
                &mut *in_negative
            };
            add_counts(counts[case], &mut lanes.count[first..]);
            for quantity in 0..4 {
                keep_wide::<L>(sums[case][quantity], &mut lanes.sums[quantity], first);
            }
            let found = [gates[case], acts[case], inputs[case]];
            for quantity in 0..3 {
                let found = found[quantity].to_array();
                let extremes = &mut lanes.extremes[quantity][first..first + LANES];
                for lane in 0..LANES {
                    extremes[lane] = SignCase::larger(extremes[lane], found[lane]);
                }
            }
            let found = posts[case].to_array();
            let extremes = &mut lanes.extremes[3][first..first + LANES];
            for lane in 0..LANES {
                if found[lane].is_finite() {
                    extremes[lane] = SignCase::larger(extremes[lane], found[lane]);
                    best[case][lane] = found[lane].abs();
                }
            }
        }
        (best[0], best[1])
    }
}
