//! Examples drawn at random, from the whole population and from bands of it (DEFINITIONS 4).
//!
//! Which positions can be drawn is settled before the scan: those of the corpus with the smallest hashes, the same
//! for every neuron. A band needs few of them, so of a narrow band at the top many positions must be tried, of a
//! wide one few. While scanning, a position is dropped only when the counts so far prove that it cannot lie in a
//! band that still wants it; counts only grow, so a part of a scan never drops what the whole would keep.

use serde::{Deserialize, Serialize};

use crate::ids::{DocId, Pos};

use super::hash;
use super::histogram::{Histogram, bin};
use super::window::Window;

/// The population bands by share of values below, from the lowest. The upper half is cut as in OpenAI's neuron viewer.
pub const BANDS: [(f64, f64); 6] = [
    (0.001, 0.01),
    (0.01, 0.1),
    (0.1, 0.5),
    (0.5, 0.9),
    (0.9, 0.99),
    (0.99, 0.999),
];

/// The bands of which a version before 0.3 drew examples; the lowest was another.
pub const FIRST_BANDS: [(f64, f64); 4] = [(0.0, 0.5), (0.5, 0.9), (0.9, 0.99), (0.99, 0.999)];

/// Name of the list of examples of the whole population.
pub const RANDOM: &str = "random";

/// Name of a band in records and files.
pub fn band_name((low, high): (f64, f64)) -> String {
    format!("band_{low}_{high}")
}

/// How many examples to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleCounts {
    /// Examples of each band.
    pub per_band: usize,
    /// Examples of the whole population.
    pub random: usize,
}

impl SampleCounts {
    /// Positions to try for a band: four times as many as are expected to be needed.
    pub fn tries(self, (low, high): (f64, f64)) -> usize {
        (4.0 * self.per_band as f64 / (high - low)).ceil() as usize
    }

    /// Positions to try for anything.
    pub fn most_tries(self) -> usize {
        BANDS
            .into_iter()
            .map(|band| self.tries(band))
            .max()
            .unwrap_or(0)
            .max(self.random)
    }
}

impl SampleCounts {
    /// How many a neuron keeps in a part that has this share of the corpus: those of which [`Samples::wants`] cannot say at its
    /// end that no band will want them.
    pub(super) fn expected(self, share: f64) -> f64 {
        let mut tries: Vec<usize> = BANDS.into_iter().map(|band| self.tries(band)).collect();
        tries.push(self.random);
        tries.sort_unstable();
        let (mut kept, mut first) = (0.0, 0);
        for until in tries {
            // the quantiles, in the part, of values that some band may want
            let own = BANDS.into_iter().filter(|&band| self.tries(band) >= until);
            let wanted = own.map(|(low, high)| {
                let low = 1.0 - (1.0 - low) / share;
                (low.max(0.0), (high / share).min(1.0))
            });
            // bands are in order, and what two of them want may overlap
            let (wanted, _) = wanted.fold((0.0, 0.0f64), |(total, end), (low, high)| {
                (total + (high - low.max(end)).max(0.0), end.max(high))
            });
            let drawn = (until - first) as f64 * share;
            kept += match until <= self.random {
                true => drawn,
                false => drawn * wanted,
            };
            first = until;
        }
        kept
    }
}

/// The positions that can be drawn, each with the rank of its hash, smallest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SamplePlan {
    by_document: Vec<(DocId, Pos, u32)>,
}

impl SamplePlan {
    /// Chooses `n` of the counted positions of documents of the given lengths.
    pub fn new<E>(
        seed: u64,
        n: usize,
        lengths: impl IntoIterator<Item = u32>,
        mut is_counted: impl FnMut(DocId, Pos) -> Result<bool, E>,
    ) -> Result<Self, E> {
        let mut positions = Vec::new();
        let mut bound = u64::MAX;
        // keeps the least hashes; one document may have more positions than memory should hold
        let prune = |positions: &mut Vec<(u64, DocId, Pos)>| {
            positions.sort_unstable();
            positions.truncate(n);
            match positions.len() == n {
                true => positions.last().map_or(0, |p| p.0),
                false => u64::MAX,
            }
        };
        for (length, doc) in lengths.into_iter().zip(0..) {
            let doc = DocId(doc);
            for pos in (0..length).map(Pos) {
                let hash = hash::position(seed, doc, pos);
                if hash <= bound && is_counted(doc, pos)? {
                    positions.push((hash, doc, pos));
                    if positions.len() > 2 * n + 1024 {
                        bound = prune(&mut positions);
                    }
                }
            }
        }
        prune(&mut positions);
        let ranked = positions.into_iter().zip(0..);
        let mut by_document: Vec<_> = ranked
            .map(|((_, doc, pos), rank)| (doc, pos, rank))
            .collect();
        by_document.sort_unstable();
        Ok(Self { by_document })
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.by_document.len()
    }

    /// Whether nothing can be drawn.
    pub fn is_empty(&self) -> bool {
        self.by_document.is_empty()
    }

    /// The rank of a position; `None` if it cannot be drawn.
    pub fn rank(&self, doc: DocId, pos: Pos) -> Option<u32> {
        let of_document = self.of_document(doc);
        let at = of_document.binary_search_by_key(&pos, |planned| planned.1);
        at.ok().map(|at| of_document[at].2)
    }

    /// The positions of one document, ascending, with their ranks.
    pub fn of_document(&self, doc: DocId) -> &[(DocId, Pos, u32)] {
        let start = self.by_document.partition_point(|p| p.0 < doc);
        let end = self.by_document.partition_point(|p| p.0 <= doc);
        &self.by_document[start..end]
    }
}

/// A drawn position of one neuron.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Rank of the position's hash in the plan.
    pub rank: u32,
    /// Document of the position.
    pub doc: DocId,
    /// The position.
    pub pos: Pos,
    /// Value of the ranking hook, exact.
    pub value: f32,
    /// `hook_post`, where that is not the ranking hook; SoLU neurons only.
    pub post: Option<f32>,
    /// Values around the position.
    pub window: Window,
}

/// The drawn positions of one neuron that may still be wanted, by rank.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Samples {
    kept: Vec<Sample>,
    next_prune: usize,
}

impl Samples {
    /// From samples that were stored.
    pub fn new(mut kept: Vec<Sample>) -> Self {
        kept.sort_by_key(|sample| sample.rank);
        Self {
            kept,
            next_prune: 0,
        }
    }

    /// The samples, by rank.
    pub fn kept(&self) -> &[Sample] {
        &self.kept
    }

    /// Whether a value of this rank may be wanted: `counts` are the neuron's so far, `n_total` is the number of
    /// counted positions in the whole corpus.
    pub fn wants(
        counts: &(impl BinCounts + ?Sized),
        wanted: SampleCounts,
        n_total: u64,
        rank: u32,
        value: f32,
    ) -> bool {
        if (rank as usize) < wanted.random {
            return true;
        }
        if !BANDS
            .iter()
            .any(|&band| (rank as usize) < wanted.tries(band))
        {
            return false;
        }
        let (below, own, above) = counts.around(bin(value));
        let n = n_total as f64;
        let half = own as f64 / 2.0;
        BANDS.iter().any(|&(low, high)| {
            (rank as usize) < wanted.tries((low, high))
                && below as f64 + half <= high * n
                && above as f64 + half <= (1.0 - low) * n
        })
    }

    /// Adds a sample that [`Samples::wants`] approved.
    pub fn push(
        &mut self,
        sample: Sample,
        counts: &(impl BinCounts + ?Sized),
        wanted: SampleCounts,
        n_total: u64,
    ) {
        self.kept.push(sample);
        if self.kept.len() > self.next_prune {
            self.prune(counts, wanted, n_total);
            self.next_prune = self.kept.len() * 3 / 2 + 16;
        }
    }

    /// Adds the samples of other documents; prune afterwards.
    pub fn merge(&mut self, other: Self) {
        self.kept.extend(other.kept);
    }

    /// Drops what cannot be wanted any more and sorts by rank.
    pub fn prune(
        &mut self,
        counts: &(impl BinCounts + ?Sized),
        wanted: SampleCounts,
        n_total: u64,
    ) {
        self.kept
            .retain(|sample| Self::wants(counts, wanted, n_total, sample.rank, sample.value));
        self.kept.sort_by_key(|sample| sample.rank);
    }

    /// The final examples of one band, given the counts of the whole corpus.
    pub fn band(
        &self,
        histogram: &Histogram,
        (low, high): (f64, f64),
        wanted: SampleCounts,
    ) -> Vec<&Sample> {
        let inside = |sample: &&Sample| {
            let middle = histogram.middle(bin(sample.value));
            (sample.rank as usize) < wanted.tries((low, high)) && low <= middle && middle < high
        };
        self.kept
            .iter()
            .filter(inside)
            .take(wanted.per_band)
            .collect()
    }

    /// The final examples of the whole population.
    pub fn random(&self, wanted: SampleCounts) -> Vec<&Sample> {
        self.kept
            .iter()
            .filter(|sample| (sample.rank as usize) < wanted.random)
            .collect()
    }
}

/// Counts by histogram bin, however they are stored.
pub trait BinCounts {
    /// Counts below, in and above a bin.
    fn around(&self, bin: u8) -> (u64, u64, u64);
}

impl BinCounts for Histogram {
    fn around(&self, bin: u8) -> (u64, u64, u64) {
        self.around(bin)
    }
}

impl BinCounts for [u32] {
    fn around(&self, bin: u8) -> (u64, u64, u64) {
        let at = usize::from(bin);
        let sum = |counts: &[u32]| counts.iter().map(|&c| u64::from(c)).sum();
        (sum(&self[..at]), u64::from(self[at]), sum(&self[at + 1..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_long_document_is_drawn_from_without_holding_it() {
        let (n, length) = (100, 300_000);
        let is_counted = |pos: u32| !pos.is_multiple_of(3);
        let mut asked = 0;
        let plan = SamplePlan::new(7, n, [length], |_, pos| {
            asked += 1;
            Ok::<_, ()>(is_counted(pos.0))
        });
        let hashed = |pos: u32| (hash::position(7, DocId(0), Pos(pos)), Pos(pos));
        let mut least: Vec<_> = (0..length)
            .filter(|&pos| is_counted(pos))
            .map(hashed)
            .collect();
        least.sort_unstable();
        let least = least.into_iter().take(n).zip(0..);
        let mut expected: Vec<_> = least
            .map(|((_, pos), rank)| (DocId(0), pos, rank))
            .collect();
        expected.sort_unstable();
        assert_eq!(plan.unwrap().by_document, expected);
        assert!(asked < length / 10, "{asked} positions were looked at");
    }

    /// Looks at values spread evenly over many bins.
    #[test]
    fn as_many_are_kept_as_expected() {
        let wanted = SampleCounts {
            per_band: 5,
            random: 10,
        };
        let value = |at: u64| (at as f32 / 50_000.0 * 31.0 - 15.5).exp2();
        for parts in [1, 2, 4, 16] {
            let n = 50_000;
            let mut histogram = Histogram::default();
            (0..n).for_each(|at| histogram.push(value(at)));
            let mut kept = 0;
            let rounds = 20;
            for round in 0..rounds {
                for rank in 0..wanted.most_tries() as u32 {
                    let drawn = hash::position(round, DocId(rank), Pos(parts));
                    let at = value((drawn >> 16) % n);
                    let n_total = n * u64::from(parts);
                    let is_here = drawn.is_multiple_of(u64::from(parts));
                    if is_here && Samples::wants(&histogram, wanted, n_total, rank, at) {
                        kept += 1;
                    }
                }
            }
            let found = f64::from(kept) / rounds as f64;
            let expected = wanted.expected(1.0 / f64::from(parts));
            let close = (found / expected - 1.0).abs() < 0.1;
            assert!(close, "{found} in one of {parts} parts, not {expected}");
        }
    }
}
