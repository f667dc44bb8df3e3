//! What neurons write, token by token: logit weights, and v, the cosines of `w_out` with the columns of `W_U`.
//!
//! Both are looked at 64 tokens at a time, while they are in the cache. Of a neuron stay its extreme tokens, power sums and
//! a histogram, of a token the neurons that promote and suppress it most.

use rayon::prelude::*;

use super::best::{Best, Shared};
use super::{ROWS, RowChunk, TOP_NEURONS, TOP_TOKENS};
use crate::lanes::{Isa, Kernel, LANES, Lanes};
use crate::model::{Columns, Rows};

/// Tokens that are looked at together.
const PANEL: usize = Columns::PANEL;

/// Bins from -1 to 1, of which those of a histogram are made.
const FINE: usize = 2048;

/// Bins of a histogram.
pub const BINS: usize = 100;

/// Mean and central moments, of the population; `None` where values do not vary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shape {
    /// Mean.
    pub mean: Option<f64>,
    /// m₂
    pub variance: Option<f64>,
    /// m₃ / m₂^1.5
    pub skewness: Option<f64>,
    /// m₄ / m₂²
    pub kurtosis: Option<f64>,
}

impl Shape {
    /// From Σ(x − pivot)…Σ(x − pivot)⁴ of `n` values.
    fn new(sums: [f64; 4], n: usize, pivot: f64) -> Self {
        let [m1, m2, m3, m4] = sums.map(|sum| sum / n as f64);
        let variance = (m2 - m1 * m1).max(0.0);
        let third = m3 - 3.0 * m1 * m2 + 2.0 * m1.powi(3);
        let fourth = m4 - 4.0 * m1 * m3 + 6.0 * m1 * m1 * m2 - 3.0 * m1.powi(4);
        let finite = |value: f64| value.is_finite().then_some(value);
        Self {
            mean: finite(pivot + m1),
            variance: finite(variance),
            skewness: finite(third / variance.powf(1.5)),
            kurtosis: finite(fourth.max(0.0) / (variance * variance)),
        }
    }
}

/// Counts of values in bins of equal width.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Where the first bin begins.
    pub low: f32,
    /// Width of a bin.
    pub step: f32,
    /// [`BINS`] counts.
    pub counts: Vec<u32>,
}

/// What a neuron writes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Written {
    /// Tokens with the largest logit weights, descending, and with the smallest, ascending.
    pub(super) top: Vec<(u32, f32)>,
    pub(super) bottom: Vec<(u32, f32)>,
    pub(super) logits: Shape,
    pub(super) v: Shape,
    pub(super) histogram: Histogram,
}

/// The neurons that write some tokens most; scores of those that suppress have their sign turned.
#[derive(Debug)]
pub(super) struct Writers {
    /// By logit weight: promote, suppress.
    pub(super) by_logit: [Best; 2],
    /// By v.
    pub(super) by_v: [Best; 2],
}

impl Writers {
    fn new(n_tokens: usize) -> Self {
        let both = || [0, 1].map(|_| Best::new(n_tokens, TOP_NEURONS));
        Self {
            by_logit: both(),
            by_v: both(),
        }
    }
}

/// The unembedding, packed, and who writes its tokens.
pub(super) struct Vocabulary {
    isa: Isa,
    d: usize,
    columns: Columns,
    /// 1 / norm of each token's column; 0 where that is 0.
    inverse_norms: Vec<f32>,
    n_without_norm: usize,
    /// Mean of the columns, each divided by its norm.
    mean_direction: Vec<f64>,
    pub(super) writers: Shared<Writers>,
}

/// 1 / norm, and 0 where there is no direction.
pub(super) fn inverse_norm(vector: &[f32]) -> f32 {
    let norm = super::classes::dot(vector, vector).sqrt();
    match norm > 0.0 && norm.is_finite() {
        true => (1.0 / norm) as f32,
        false => 0.0,
    }
}

impl Vocabulary {
    /// From `[d_vocab, d_model]`.
    pub(super) fn new(isa: Isa, w_u: &[f32], d: usize) -> Self {
        let columns = Columns::new(isa, w_u, d);
        let tokens = w_u.par_chunks_exact(d);
        let inverse_norms: Vec<f32> = tokens.clone().map(inverse_norm).collect();
        let n_without_norm = inverse_norms.iter().filter(|n| **n == 0.0).count();
        let mut mean_direction = vec![0.0; d];
        for (token, inverse) in w_u.chunks_exact(d).zip(&inverse_norms) {
            for (sum, x) in mean_direction.iter_mut().zip(token) {
                *sum += f64::from(*x) * f64::from(*inverse);
            }
        }
        let n = columns.n() - n_without_norm;
        mean_direction
            .iter_mut()
            .for_each(|sum| *sum /= n.max(1) as f64);
        let writers = Shared::new(columns.n(), PANEL, Writers::new);
        Self {
            isa,
            d,
            columns,
            inverse_norms,
            n_without_norm,
            mean_direction,
            writers,
        }
    }

    /// What some neurons write.
    pub(super) fn written(&self, chunks: &[RowChunk<'_>]) -> Vec<Written> {
        let written = chunks.par_iter().map(|chunk| self.of_chunk(chunk));
        written.flatten_iter().collect()
    }

    fn of_chunk(&self, chunk: &RowChunk<'_>) -> Vec<Written> {
        let (n_tokens, n_panels) = (self.columns.n(), self.columns.n_panels());
        let begin = chunk.first_panel(n_panels);
        let rows: Rows = self.columns.rows(chunk.vectors);
        let mut states: Vec<RowState> = chunk
            .vectors
            .chunks_exact(self.d)
            .map(|row| self.begin(row))
            .collect();
        let mut tops = [0, 1].map(|_| Best::new(states.len(), TOP_TOKENS));
        let mut values = vec![0.0; ROWS.next_multiple_of(64) * PANEL];
        for (tiles, own) in rows.groups() {
            for panel in (0..n_panels).map(|panel| (begin + panel) % n_panels) {
                rows.multiply(tiles.clone(), &self.columns, panel, &mut values);
                let from = panel * PANEL;
                let n = PANEL.min(n_tokens - from);
                let writers = &mut *self.writers.part(from).lock();
                for (row, values) in own.clone().zip(values.chunks_exact(PANEL)) {
                    let values = &values[..n];
                    let mut v = [0.0; PANEL];
                    let state = &mut states[row];
                    let look = Look {
                        values,
                        v: &mut v,
                        inverse_norms: &self.inverse_norms[from..from + n],
                        row_bounds: [0, 1].map(|end| tops[end].bounds()[row]),
                        bounds: [
                            &writers.by_logit[0],
                            &writers.by_logit[1],
                            &writers.by_v[0],
                            &writers.by_v[1],
                        ]
                        .map(Best::bounds),
                        state,
                    };
                    let wanted = match n {
                        PANEL => self.isa.run(look),
                        _ => look.of_some(),
                    };
                    if wanted && state.inverse_norm > 0.0 {
                        let neuron = chunk.first + row as u32;
                        self.offer(row, neuron, from, values, &v, &mut tops, writers);
                    }
                }
            }
        }
        let n = n_tokens - self.n_without_norm;
        let finish = |(row, state): (usize, RowState)| state.finish(&tops, row, (n_tokens, n));
        states.into_iter().enumerate().map(finish).collect()
    }

    fn begin(&self, w_out: &[f32]) -> RowState {
        let inverse_norm = inverse_norm(w_out);
        let along: f64 = w_out
            .iter()
            .zip(&self.mean_direction)
            .map(|(x, m)| f64::from(*x) * m)
            .sum();
        RowState {
            inverse_norm,
            pivot: (along * f64::from(inverse_norm)) as f32,
            logit_sums: [0.0; 4],
            v_sums: [0.0; 4],
            bins: vec![0; FINE],
        }
    }

    #[cold]
    #[allow(clippy::too_many_arguments)]
    fn offer(
        &self,
        row: usize,
        neuron: u32,
        from: usize,
        values: &[f32],
        v: &[f32; PANEL],
        tops: &mut [Best; 2],
        writers: &mut Writers,
    ) {
        for (at, (&logit, &v)) in values.iter().zip(v).enumerate() {
            let token = (from + at) as u32;
            tops[0].offer(row, token, logit);
            tops[1].offer(row, token, -logit);
            writers.by_logit[0].offer(at, neuron, logit);
            writers.by_logit[1].offer(at, neuron, -logit);
            if self.inverse_norms[from + at] > 0.0 {
                writers.by_v[0].offer(at, neuron, v);
                writers.by_v[1].offer(at, neuron, -v);
            }
        }
    }
}

/// What adds up of a neuron.
struct RowState {
    inverse_norm: f32,
    /// About the mean of v: sums of powers of what is far from zero would cancel.
    pivot: f32,
    logit_sums: [f64; 4],
    v_sums: [f64; 4],
    bins: Vec<u32>,
}

impl RowState {
    /// `n_tokens` are all, and those whose column has a direction.
    fn finish(mut self, tops: &[Best; 2], row: usize, (n_tokens, n): (usize, usize)) -> Written {
        // tokens without a direction were counted as if their cosine were 0
        let n_without_norm = n_tokens - n;
        let pivot = f64::from(self.pivot);
        for (power, sum) in (1..).zip(&mut self.v_sums) {
            *sum -= n_without_norm as f64 * (-pivot).powi(power);
        }
        self.bins[FINE / 2] -= n_without_norm as u32;
        let (v, histogram) = match self.inverse_norm > 0.0 {
            true => (Shape::new(self.v_sums, n, pivot), coarse(&self.bins)),
            false => Default::default(),
        };
        let minus = |(id, score): (u32, f32)| (id, 0.0 - score);
        Written {
            top: tops[0].of(row).collect(),
            bottom: tops[1].of(row).map(minus).collect(),
            logits: Shape::new(self.logit_sums, n_tokens, 0.0),
            v,
            histogram,
        }
    }
}

/// The narrowest bins that hold everything; each is some fine ones.
fn coarse(fine: &[u32]) -> Histogram {
    let used = |at: &usize| fine[*at] > 0;
    let (first, last) = match ((0..FINE).find(used), (0..FINE).rev().find(used)) {
        (Some(first), Some(last)) => (first, last),
        _ => return Histogram::default(),
    };
    // they begin at a multiple of their width from the middle, so that 0 is an edge
    let (first, last, middle) = (first as isize, last as isize, FINE as isize / 2);
    let begin = |width: isize| middle + (first - middle).div_euclid(width) * width;
    let fits = |width: &isize| begin(*width) + BINS as isize * width > last;
    let width = (1..).find(fits).unwrap_or(FINE as isize);
    let mut counts = vec![0; BINS];
    for (at, &count) in fine.iter().enumerate().filter(|(_, count)| **count > 0) {
        counts[((at as isize - begin(width)) / width) as usize] += count;
    }
    let step = 2.0 / FINE as f32;
    Histogram {
        low: begin(width) as f32 * step - 1.0,
        step: width as f32 * step,
        counts,
    }
}

/// Looks at the products of one neuron with a panel of tokens. Writes v, and answers whether any value is good enough for a
/// list.
struct Look<'a> {
    values: &'a [f32],
    v: &'a mut [f32; PANEL],
    inverse_norms: &'a [f32],
    /// What logit weights, and their negatives, must reach to be among the neuron's.
    row_bounds: [f32; 2],
    /// The same of the tokens: by logit weight, then by v.
    bounds: [&'a [f32]; 4],
    state: &'a mut RowState,
}

impl Look<'_> {
    /// Of fewer tokens than a panel has.
    fn of_some(self) -> bool {
        let state = self.state;
        let mut wanted = false;
        for (at, &x) in self.values.iter().enumerate() {
            let y = x * state.inverse_norm * self.inverse_norms[at];
            self.v[at] = y;
            add(&mut state.logit_sums, powers(x));
            add(&mut state.v_sums, powers(y - state.pivot));
            state.bins[fine_bin(y)] += 1;
            let scores = [x, -x, y, -y];
            wanted |= scores
                .iter()
                .zip(self.bounds)
                .any(|(score, bounds)| *score >= bounds[at]);
            wanted |= x >= self.row_bounds[0] || -x >= self.row_bounds[1];
        }
        wanted
    }
}

fn powers(x: f32) -> [f32; 4] {
    [x, x * x, x * x * x, x * x * (x * x)]
}

#[inline(always)]
fn add(sums: &mut [f64; 4], more: [f32; 4]) {
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += f64::from(more);
    }
}

#[inline(always)]
fn fine_bin(v: f32) -> usize {
    const HALF: f32 = (FINE / 2) as f32;
    (((v + 1.0) * HALF) as usize).min(FINE - 1)
}

impl Kernel for Look<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<L: Lanes>(self) -> bool {
        const { assert!(PANEL.is_multiple_of(LANES)) };
        assert!(self.values.len() == PANEL && self.inverse_norms.len() == PANEL);
        let [promote, suppress, along, against] = self.bounds;
        assert!(promote.len() == PANEL && suppress.len() == PANEL);
        assert!(along.len() == PANEL && against.len() == PANEL);
        let state = self.state;
        let zero = L::splat(0.0);
        let mut best = L::splat(f32::NEG_INFINITY);
        let (mut s1, mut s2, mut s3, mut s4) = (zero, zero, zero, zero);
        let (mut t1, mut t2, mut t3, mut t4) = (zero, zero, zero, zero);
        let (norm, pivot) = (L::splat(state.inverse_norm), L::splat(state.pivot));
        let (high, low) = (L::splat(self.row_bounds[0]), L::splat(self.row_bounds[1]));
        let mut at = 0;
        while at < PANEL {
            // SAFETY: all have as many values as a panel
            unsafe {
                let x = L::load(self.values.as_ptr().add(at));
                let y = x
                    .mul(norm)
                    .mul(L::load(self.inverse_norms.as_ptr().add(at)));
                y.store(self.v.as_mut_ptr().add(at));
                let square = x.mul(x);
                s1 = s1.add(x);
                s2 = s2.add(square);
                s3 = square.mul_add(x, s3);
                s4 = square.mul_add(square, s4);
                let off = y.sub(pivot);
                let square = off.mul(off);
                t1 = t1.add(off);
                t2 = t2.add(square);
                t3 = square.mul_add(off, t3);
                t4 = square.mul_add(square, t4);
                let bound = high.min(L::load(promote.as_ptr().add(at)));
                best = x.sub(bound).max(best);
                let bound = low.min(L::load(suppress.as_ptr().add(at)));
                best = zero.sub(x).sub(bound).max(best);
                best = y.sub(L::load(along.as_ptr().add(at))).max(best);
                best = zero.sub(y).sub(L::load(against.as_ptr().add(at))).max(best);
            }
            at += LANES;
        }
        add(
            &mut state.logit_sums,
            [s1.sum(), s2.sum(), s3.sum(), s4.sum()],
        );
        add(&mut state.v_sums, [t1.sum(), t2.sum(), t3.sum(), t4.sum()]);
        for v in &*self.v {
            state.bins[fine_bin(*v)] += 1;
        }
        best.largest() >= 0.0
    }
}

#[cfg(test)]
mod tests {
    use super::super::classes::dot;
    use super::*;
    use crate::ids::{DocId, Pos};
    use crate::stats::hash;

    const D: usize = 24;

    fn vectors(kind: u64, n: usize) -> Vec<f32> {
        let value = |at: usize| {
            (hash::position(kind, DocId(at as u32), Pos(0)) % 2001) as f32 / 1000.0 - 1.0
        };
        (0..n * D).map(value).collect()
    }

    fn naive(values: &[f64]) -> [f64; 4] {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let central = |order| values.iter().map(|x| (x - mean).powi(order)).sum::<f64>() / n;
        [
            mean,
            central(2),
            central(3) / central(2).powf(1.5),
            central(4) / central(2).powi(2),
        ]
    }

    /// More neurons and tokens than are looked at together, and some without a direction.
    #[test]
    fn what_is_written_is_what_the_whole_products_say() {
        let (n, n_tokens) = (150, 201);
        let (mut w_out, mut w_u) = (vectors(1, n), vectors(2, n_tokens));
        w_out[3 * D..4 * D].fill(0.0);
        w_u[70 * D..71 * D].fill(0.0);
        // far from zero on the whole, where powers would cancel
        w_u.iter_mut()
            .step_by(D)
            .for_each(|x| *x += if *x == 0.0 { 0.0 } else { 8.0 });
        let row = |vectors: &[f32], at: usize| vectors[at * D..(at + 1) * D].to_vec();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let vocabulary = Vocabulary::new(isa, &w_u, D);
            let chunks: Vec<_> = (0..)
                .step_by(ROWS)
                .zip(w_out.chunks(ROWS * D))
                .map(|(first, vectors)| RowChunk { first, vectors })
                .collect();
            let written = vocabulary.written(&chunks);
            assert_eq!(written.len(), n);
            for (neuron, of) in written.iter().enumerate() {
                let own = row(&w_out, neuron);
                let logits: Vec<f64> = (0..n_tokens)
                    .map(|token| dot(&own, &row(&w_u, token)))
                    .collect();
                let mut order: Vec<usize> = (0..n_tokens).collect();
                order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
                if neuron == 3 {
                    assert_eq!(
                        (of.v, of.histogram.counts.len(), of.top.len()),
                        (Shape::default(), 0, 0)
                    );
                    continue;
                }
                for (&(id, value), &token) in of.top.iter().zip(&order) {
                    assert!(
                        (f64::from(value) - logits[token]).abs() < 1e-4,
                        "{neuron}: {id} {token}"
                    );
                }
                for (&(id, value), &token) in of.bottom.iter().zip(order.iter().rev()) {
                    assert!(
                        (f64::from(value) - logits[token]).abs() < 1e-4,
                        "{neuron}: {id} {token}"
                    );
                }
                assert_eq!((of.top.len(), of.bottom.len()), (TOP_TOKENS, TOP_TOKENS));
                let lengths = |token: usize| {
                    dot(&own, &own).sqrt() * dot(&row(&w_u, token), &row(&w_u, token)).sqrt()
                };
                let v: Vec<f64> = (0..n_tokens)
                    .filter(|token| *token != 70)
                    .map(|token| logits[token] / lengths(token))
                    .collect();
                let [mean, variance, skewness, kurtosis] = naive(&v);
                let near = |found: Option<f64>, exact: f64, least: f64| {
                    let tolerance = 1e-4 * exact.abs().max(least);
                    assert!(
                        (found.unwrap() - exact).abs() < tolerance,
                        "{isa:?} {neuron}: {found:?} {exact}"
                    );
                };
                near(of.v.mean, mean, 0.01);
                near(of.v.variance, variance, 0.0);
                near(of.v.skewness, skewness, 0.1);
                near(of.v.kurtosis, kurtosis, 0.0);
                let Histogram { low, step, counts } = &of.histogram;
                assert_eq!(counts.iter().sum::<u32>() as usize, v.len());
                let bin = |v: f64| ((v - f64::from(*low)) / f64::from(*step)) as usize;
                for at in 0..BINS {
                    let near_edge = |v: &&f64| {
                        let place = (**v - f64::from(*low)) / f64::from(*step);
                        (place - place.round()).abs() < 1e-3
                    };
                    let exact = v.iter().filter(|v| bin(**v) == at).count() as i64;
                    let doubtful = v.iter().filter(near_edge).count() as i64;
                    assert!((i64::from(counts[at]) - exact).abs() <= doubtful);
                }
            }
            for token in 0..n_tokens {
                let mut order: Vec<(f64, usize)> = (0..n)
                    .filter(|neuron| *neuron != 3)
                    .map(|neuron| (dot(&row(&w_out, neuron), &row(&w_u, token)), neuron))
                    .collect();
                order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                vocabulary.writers.of(token, |writers, at| {
                    let found: Vec<_> = writers.by_logit[0].of(at).collect();
                    assert_eq!(found.len(), TOP_NEURONS);
                    for ((_, value), (exact, _)) in found.into_iter().zip(&order) {
                        assert!((f64::from(value) - exact).abs() < 1e-4);
                    }
                    assert_eq!(
                        writers.by_v[1].of(at).count(),
                        if token == 70 { 0 } else { TOP_NEURONS }
                    );
                });
            }
        }
    }

    #[test]
    fn bins_have_zero_as_an_edge_and_hold_everything() {
        for (first, last) in [
            (1020, 1023),
            (1024, 1024),
            (0, FINE - 1),
            (3, 2000),
            (1000, 1101),
            (900, 1099),
        ] {
            let mut fine = vec![0; FINE];
            (fine[first], fine[last]) = (5, fine[last] + 7);
            let total = fine.iter().sum::<u32>();
            let found = coarse(&fine);
            assert_eq!(
                (found.counts.len(), found.counts.iter().sum::<u32>()),
                (BINS, total)
            );
            let edges = f64::from(found.low) / f64::from(found.step);
            assert_eq!(edges, edges.round(), "{found:?}");
        }
        assert_eq!(coarse(&vec![0; FINE]), Histogram::default());
    }
}
