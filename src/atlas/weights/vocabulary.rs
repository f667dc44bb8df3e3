//! What neurons write, token by token: logit weights, and v, the cosines of `w_out` with the columns of `W_U`.
//!
//! Both are looked at 64 tokens at a time, while they are in the cache. Of a neuron stay its extreme tokens, power sums and
//! a histogram, of a token the neurons that promote and suppress it most: by the sign of what they write, and by what happens
//! when they fire, which for a neuron that speaks with its negative side is the opposite (DEFINITIONS 6).

use rayon::prelude::*;

use super::best::{Best, Shared};
use super::chunks::{RowChunk, TileValues, first_panel};
use super::directions::inverse_norm;
use super::{TOP_NEURONS, TOP_TOKENS};
use crate::atlas::sides::{Orientation, Side};
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

impl Shape {
    /// The shape of all values times a factor.
    fn scaled(self, factor: f64) -> Self {
        Self {
            mean: self.mean.map(|mean| mean * factor),
            variance: self.variance.map(|variance| variance * factor * factor),
            ..self
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

/// The sides that a neuron speaks with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sides {
    positive: bool,
    negative: bool,
}

impl Sides {
    const KINDS: usize = 4;

    pub(super) fn new(orientation: Option<Orientation>) -> Self {
        let speaks = |side| orientation.is_some_and(|of| of.speaks(side));
        Self {
            positive: speaks(Side::Positive),
            negative: speaks(Side::Negative),
        }
    }

    /// All kinds, each at its [`Sides::kind`].
    fn all() -> [Self; Self::KINDS] {
        [0, 1, 2, 3].map(|kind| Self {
            positive: kind & 1 > 0,
            negative: kind & 2 > 0,
        })
    }

    fn kind(self) -> usize {
        usize::from(self.positive) + 2 * usize::from(self.negative)
    }

    /// Whether a neuron promotes (end 0) or suppresses (end 1) a token for which it has this value, on a side that it speaks with.
    #[inline(always)]
    pub(super) fn act(self, end: usize, value: f32) -> bool {
        match (value > 0.0) == (end == 0) {
            true => self.positive,
            false => self.negative,
        }
    }
}

/// The neurons that write some tokens most, by one measure; first those that promote, then those that suppress.
#[derive(Debug)]
pub(super) struct Writers {
    /// By the value; scores of those that suppress have their sign turned.
    signed: [Best; 2],
    /// By its size, if they have the effect on a side that they speak with. An id is twice that of the neuron, plus one if the
    /// value is negative.
    firing: [Best; 2],
}

impl Writers {
    /// For a panel, of which `n` tokens exist.
    fn new(n: usize) -> Self {
        let list = || Best::of_some(PANEL, n, TOP_NEURONS);
        Self {
            signed: [list(), list()],
            firing: [list().above(0.0), list().above(0.0)],
        }
    }

    #[inline(always)]
    fn offer(&mut self, token: usize, neuron: u32, sides: Sides, value: f32) {
        self.signed[0].offer(token, neuron, value);
        self.signed[1].offer(token, neuron, -value);
        let id = 2 * neuron + u32::from(value < 0.0);
        for (end, list) in self.firing.iter_mut().enumerate() {
            if sides.act(end, value) {
                list.offer(token, id, value.abs());
            }
        }
    }

    /// What a value, and its negative, must exceed to change anything.
    fn bounds(&self) -> Bounds {
        let mut all = [[[0.0; PANEL]; 2]; Sides::KINDS];
        for (sides, bounds) in Sides::all().into_iter().zip(&mut all) {
            for ((signed, bounds), sign) in self.signed.iter().zip(bounds).zip([1.0, -1.0]) {
                bounds.copy_from_slice(signed.bounds());
                for (end, list) in self.firing.iter().enumerate() {
                    if sides.act(end, sign) {
                        lower(bounds, list.bounds());
                    }
                }
            }
        }
        all
    }

    /// The neurons with the largest values for a token, and with the smallest.
    pub(super) fn signed(&self, token: usize) -> [Vec<(u32, f32)>; 2] {
        let minus = |(neuron, score): (u32, f32)| (neuron, 0.0 - score);
        [
            self.signed[0].of(token).collect(),
            self.signed[1].of(token).map(minus).collect(),
        ]
    }

    /// The neurons that promote and suppress a token most when they fire, with the value that they have for it.
    pub(super) fn firing(&self, token: usize) -> [Vec<(u32, f32)>; 2] {
        let value = |(id, size): (u32, f32)| match id % 2 {
            0 => (id / 2, size),
            _ => (id / 2, -size),
        };
        [0, 1].map(|end| self.firing[end].of(token).map(value).collect())
    }
}

/// By kind of [`Sides`] and by sign, for each token of a panel.
type Bounds = [[[f32; PANEL]; 2]; Sides::KINDS];

fn lower(bounds: &mut [f32; PANEL], others: &[f32]) {
    for (bound, &other) in bounds.iter_mut().zip(others) {
        *bound = if other < *bound { other } else { *bound };
    }
}

/// The neurons that write some tokens most, by logit weight and by v.
pub(super) type TokenWriters = [Writers; 2];

/// The unembedding, packed, and who writes its tokens.
pub(super) struct Vocabulary<'a> {
    isa: Isa,
    d: usize,
    columns: Columns,
    /// 1 / norm of each token's column, of whole panels; 0 where that is 0, or there is no token.
    inverse_norms: Vec<f32>,
    /// Number of tokens whose column has a direction.
    n_directions: usize,
    /// Mean of the columns, each divided by its norm.
    mean_direction: Vec<f64>,
    /// The side of each neuron of the model, where it is known.
    orientations: &'a [Option<Orientation>],
    pub(super) writers: Shared<TokenWriters>,
}

impl<'a> Vocabulary<'a> {
    /// From `[d_vocab, d_model]`.
    pub(super) fn new(
        isa: Isa,
        w_u: &[f32],
        d: usize,
        orientations: &'a [Option<Orientation>],
    ) -> Self {
        let columns = Columns::new(isa, w_u, d);
        let mut inverse_norms: Vec<f32> = w_u.par_chunks_exact(d).map(inverse_norm).collect();
        let n_directions = inverse_norms.iter().filter(|n| **n > 0.0).count();
        let mut mean_direction = vec![0.0; d];
        for (token, inverse) in w_u.chunks_exact(d).zip(&inverse_norms) {
            for (sum, x) in mean_direction.iter_mut().zip(token) {
                *sum += f64::from(*x) * f64::from(*inverse);
            }
        }
        let n = n_directions.max(1) as f64;
        mean_direction.iter_mut().for_each(|sum| *sum /= n);
        inverse_norms.resize(columns.n_panels() * PANEL, 0.0);
        let writers = Shared::new(columns.n(), PANEL, |n| [0, 1].map(|_| Writers::new(n)));
        Self {
            isa,
            d,
            columns,
            inverse_norms,
            n_directions,
            mean_direction,
            orientations,
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
        let begin = first_panel(chunk.first, n_panels);
        let rows: Rows = self.columns.rows(chunk.vectors);
        let vectors = (chunk.first..).zip(chunk.vectors.chunks_exact(self.d));
        let states = vectors.map(|(neuron, row)| self.begin(neuron, row));
        let mut states: Vec<RowState> = states.collect();
        let mut tops = [0, 1].map(|_| Best::new(states.len(), TOP_TOKENS));
        let mut values = TileValues::new();
        let mut hits = Vec::new();
        for (tiles, own) in rows.groups() {
            for panel in (0..n_panels).map(|panel| (begin + panel) % n_panels) {
                let values = values.multiply(&rows, tiles.clone(), &self.columns, panel);
                let from = panel * PANEL;
                let inverse_norms = &self.inverse_norms[from..from + PANEL];
                let writers = &mut *self.writers.part(from).lock();
                let bounds = [writers[0].bounds(), writers[1].bounds()];
                hits.clear();
                self.isa.run(Look {
                    values: &values[..own.len() * PANEL],
                    inverse_norms,
                    row_bounds: [
                        &tops[0].bounds()[own.clone()],
                        &tops[1].bounds()[own.clone()],
                    ],
                    bounds: &bounds,
                    states: &mut states[own.clone()],
                    hits: &mut hits,
                });
                for hit in &hits {
                    let row = own.start + hit.row;
                    let state = &states[row];
                    if state.inverse_norm == 0.0 {
                        continue;
                    }
                    let neuron = chunk.first + row as u32;
                    for (at, above) in (hit.first..).zip(hit.above) {
                        if above > 0.0 && from + at < n_tokens {
                            let token = (from + at) as u32;
                            let logit = values[hit.row * PANEL + at];
                            tops[0].offer(row, token, logit);
                            tops[1].offer(row, token, -logit);
                            writers[0].offer(at, neuron, state.sides, logit);
                            if inverse_norms[at] > 0.0 {
                                let v = logit * state.inverse_norm * inverse_norms[at];
                                writers[1].offer(at, neuron, state.sides, v);
                            }
                        }
                    }
                }
            }
        }
        let n_looked_at = n_panels * PANEL;
        let finish = |(row, state): (usize, RowState)| {
            let n_zeros = n_looked_at - self.n_directions;
            state.finish(&tops, row, n_tokens, n_looked_at, n_zeros)
        };
        states.into_iter().enumerate().map(finish).collect()
    }

    fn begin(&self, neuron: u32, w_out: &[f32]) -> RowState {
        let inverse_norm = inverse_norm(w_out);
        let products = w_out.iter().zip(&self.mean_direction);
        let along: f64 = products.map(|(x, m)| f64::from(*x) * m).sum();
        let orientation = self.orientations.get(neuron as usize).copied();
        RowState {
            sides: Sides::new(orientation.flatten()),
            inverse_norm,
            pivot: (along * f64::from(inverse_norm)) as f32,
            sums: [[0.0; LANES]; 8],
            bins: Box::new([0; FINE]),
        }
    }
}

/// What adds up of a neuron.
struct RowState {
    sides: Sides,
    inverse_norm: f32,
    /// About the mean of v: sums of powers of what is far from zero would cancel.
    pivot: f32,
    /// Lane by lane, of the logit weights of `w_out` at length 1 and of v: Σx to Σx⁴.
    sums: [[f64; LANES]; 8],
    bins: Box<[u32; FINE]>,
}

impl RowState {
    /// `n_zeros` of the `n_looked_at` values of v are 0 only because there is no direction, or no token.
    fn finish(
        mut self,
        tops: &[Best; 2],
        row: usize,
        n_tokens: usize,
        n_looked_at: usize,
        n_zeros: usize,
    ) -> Written {
        let sum = |at: usize| self.sums[at].iter().sum::<f64>();
        let logits = [0, 1, 2, 3].map(sum);
        let pivot = f64::from(self.pivot);
        let zeros = |power: i32| n_zeros as f64 * (-pivot).powi(power);
        let v = [0, 1, 2, 3].map(|at| sum(4 + at) - zeros(at as i32 + 1));
        let of_zero = &mut self.bins[FINE / 2];
        *of_zero = of_zero.saturating_sub(n_zeros as u32);
        let norm = 1.0 / f64::from(self.inverse_norm);
        let (logits, v, histogram) = match self.inverse_norm > 0.0 {
            true => (
                Shape::new(logits, n_tokens, 0.0).scaled(norm),
                Shape::new(v, n_looked_at - n_zeros, pivot),
                coarse(&*self.bins),
            ),
            false => Default::default(),
        };
        let minus = |(id, score): (u32, f32)| (id, 0.0 - score);
        Written {
            top: tops[0].of(row).collect(),
            bottom: tops[1].of(row).map(minus).collect(),
            logits,
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

/// Where a product may be good enough for a list.
struct Hit {
    row: usize,
    /// The first of sixteen tokens.
    first: usize,
    /// By how much each of them exceeds what it must to change anything; not above 0 where none does.
    above: [f32; LANES],
}

/// Looks at the products of some neurons with a panel of tokens, and says where any may be good enough for a list.
struct Look<'a> {
    /// `[rows, PANEL]`
    values: &'a [f32],
    inverse_norms: &'a [f32],
    /// What logit weights, and their negatives, must exceed to be among the neuron's.
    row_bounds: [&'a [f32]; 2],
    /// What they must exceed to be among a token's: by logit weight, then by v.
    bounds: &'a [Bounds; 2],
    states: &'a mut [RowState],
    hits: &'a mut Vec<Hit>,
}

impl Kernel for Look<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        const { assert!(PANEL.is_multiple_of(LANES) && FINE.is_power_of_two()) };
        const MAGIC: f32 = (1 << 23) as f32; // from here on, a float's last bits are a whole number
        let n_rows = self.states.len();
        assert!(self.values.len() == n_rows * PANEL && self.inverse_norms.len() == PANEL);
        let [high, low] = self.row_bounds;
        assert!(high.len() == n_rows && low.len() == n_rows);
        let zero = L::splat(0.0);
        let half = L::splat((FINE / 2) as f32);
        let (offset, last) = (
            L::splat((FINE / 2) as f32 - 0.5),
            L::splat((FINE - 1) as f32),
        );
        let magic = L::splat(MAGIC);
        for row in 0..n_rows {
            let state = &mut self.states[row];
            let (mut s1, mut s2, mut s3, mut s4) = (zero, zero, zero, zero);
            let (mut t1, mut t2, mut t3, mut t4) = (zero, zero, zero, zero);
            let (norm, pivot) = (L::splat(state.inverse_norm), L::splat(state.pivot));
            let kind = state.sides.kind();
            let [[promote, suppress], [along, against]] =
                [&self.bounds[0][kind], &self.bounds[1][kind]];
            let (high, low) = (L::splat(high[row]), L::splat(low[row]));
            let mut places = [0f32; PANEL];
            let mut at = 0;
            while at < PANEL {
                // SAFETY: all have as many values as a panel, and `values` a panel for each row
                unsafe {
                    let x = L::load(self.values.as_ptr().add(row * PANEL + at));
                    // powers of the logit weights themselves could be too small or too large for an f32
                    let scaled = x.mul(norm);
                    let y = scaled.mul(L::load(self.inverse_norms.as_ptr().add(at)));
                    let square = scaled.mul(scaled);
                    s1 = s1.add(scaled);
                    s2 = s2.add(square);
                    s3 = square.mul_add(scaled, s3);
                    s4 = square.mul_add(square, s4);
                    let off = y.sub(pivot);
                    let square = off.mul(off);
                    t1 = t1.add(off);
                    t2 = t2.add(square);
                    t3 = square.mul_add(off, t3);
                    t4 = square.mul_add(square, t4);
                    // bins begin at multiples of their width: rounding half a bin further down
                    let place = y.mul_add(half, offset).max(zero).min(last);
                    place.add(magic).store(places.as_mut_ptr().add(at));
                    let bound = high.min(L::load(promote.as_ptr().add(at)));
                    let mut above = x.sub(bound);
                    let bound = low.min(L::load(suppress.as_ptr().add(at)));
                    above = zero.sub(x).sub(bound).max(above);
                    above = y.sub(L::load(along.as_ptr().add(at))).max(above);
                    above = zero
                        .sub(y)
                        .sub(L::load(against.as_ptr().add(at)))
                        .max(above);
                    if L::any(zero.less(above)) {
                        self.hits.push(Hit {
                            row,
                            first: at,
                            above: above.to_array(),
                        });
                    }
                }
                at += LANES;
            }
            let sums = [s1, s2, s3, s4, t1, t2, t3, t4];
            let mut at = 0;
            while at < sums.len() {
                let to = state.sums[at].as_mut_ptr();
                // SAFETY: there are sixteen sums
                unsafe { L::store_wide(L::add_wide(L::load_wide(to), sums[at].widen()), to) };
                at += 1;
            }
            for place in places {
                state.bins[place.to_bits() as usize & (FINE - 1)] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::directions::dot;
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
        // of five neurons one speaks with its positive side, two with their negative one, one with either, and one is silent
        let orientation = |neuron: usize| {
            let (side, balance) = match neuron % 5 {
                0 => (Side::Positive, 0.3),
                1 | 2 => (Side::Negative, 0.8),
                3 => (Side::Positive, 0.9),
                _ => return None,
            };
            Some(Orientation { side, balance })
        };
        let orientations: Vec<_> = (0..n).map(orientation).collect();
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let vocabulary = Vocabulary::new(isa, &w_u, D, &orientations);
            let chunks: Vec<_> = RowChunk::all(0, &w_out, D).collect();
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
                for (at, counted) in counts.iter().enumerate() {
                    let near_edge = |v: &&f64| {
                        let place = (**v - f64::from(*low)) / f64::from(*step);
                        (place - place.round()).abs() < 1e-3
                    };
                    let exact = v.iter().filter(|v| bin(**v) == at).count() as i64;
                    let doubtful = v.iter().filter(near_edge).count() as i64;
                    assert!((i64::from(*counted) - exact).abs() <= doubtful);
                }
            }
            for token in 0..n_tokens {
                let mut order: Vec<(f64, usize)> = (0..n)
                    .filter(|neuron| *neuron != 3)
                    .map(|neuron| (dot(&row(&w_out, neuron), &row(&w_u, token)), neuron))
                    .collect();
                order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
                vocabulary.writers.of(token, |[by_logit, by_v], at| {
                    let [found, _] = by_logit.signed(at);
                    assert_eq!(found.len(), TOP_NEURONS);
                    for ((_, value), (exact, _)) in found.into_iter().zip(&order) {
                        assert!((f64::from(value) - exact).abs() < 1e-4);
                    }
                    let n_by_v = if token == 70 { 0 } else { TOP_NEURONS };
                    let n = |lists: [Vec<_>; 2]| lists.map(|list| list.len());
                    assert_eq!(n(by_v.signed(at)), [n_by_v; 2]);
                    assert_eq!(n(by_v.firing(at)), [n_by_v; 2]);
                    for (effect, found) in [1.0, -1.0].into_iter().zip(by_logit.firing(at)) {
                        let on_side = |&(logit, neuron): &(f64, usize)| {
                            // the effect of the side that does more
                            let of = orientation(neuron)?;
                            let sides = Side::ALL.into_iter().filter(|side| of.speaks(*side));
                            let effects = sides.map(|side| match side {
                                Side::Positive => effect * logit,
                                Side::Negative => -effect * logit,
                            });
                            Some((effects.fold(0.0, f64::max), logit, neuron))
                        };
                        let mut expected: Vec<_> = order.iter().filter_map(on_side).collect();
                        expected.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.2.cmp(&b.2)));
                        expected.retain(|entry| entry.0 > 0.0);
                        expected.truncate(TOP_NEURONS);
                        assert_eq!(found.len(), expected.len());
                        for ((_, value), (size, ..)) in found.iter().zip(&expected) {
                            assert!((f64::from(value.abs()) - size).abs() < 1e-4);
                        }
                        for (neuron, value) in found {
                            let own = order.iter().find(|entry| entry.1 == neuron as usize);
                            assert!((f64::from(value) - own.unwrap().0).abs() < 1e-4);
                        }
                    }
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
