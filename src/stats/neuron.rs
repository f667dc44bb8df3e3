//! All that a scan keeps of one neuron.

use super::examples::TopList;
use super::histogram::Histogram;
use super::moments::Moments;
use super::samples::Samples;
use super::signs::CaseStats;
use super::starts::Starts;
use super::sums::{N_SUMS, SUMS};
use super::{MlpKind, StatsOptions};

/// Statistics of one neuron over the counted positions. What is `None` is not known, as in an atlas that was not scanned;
/// a scan knows all that its kind of neuron has.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronStats {
    /// Moments of the ranking hook.
    pub moments: Moments,
    /// Further sums, in the order of [`SUMS`](super::sums::SUMS).
    pub sums: [Option<f64>; N_SUMS],
    /// Histogram of the ranking hook.
    pub histogram: Option<Histogram>,
    /// Positions left out because a value was NaN or infinite.
    pub not_finite: Option<u64>,
    /// Positions with `hook_pre > 0` (gate, for gated neurons).
    pub n_firing: Option<u64>,
    /// Positions with `|hook_post| > τ`.
    pub n_above_tau: Option<u64>,
    /// Moments of the ranking hook at the special positions, which are not counted.
    pub special: Option<Moments>,
    /// The ranking hook where windows start, which is counted as well.
    pub starts: Option<Starts>,
    /// Moments of `hook_post`, where that is not the ranking hook; SoLU neurons only.
    pub post: Option<Moments>,
    /// By sign case, in the order of [`super::signs::SignCase::ALL`]; gated neurons only.
    pub cases: Option<[CaseStats; 4]>,
}

/// Adds to what is known what another part knows. What one of the two does not know is not known of both.
fn merge<T>(own: &mut Option<T>, other: &Option<T>, add: impl FnOnce(&mut T, &T)) {
    match (own.as_mut(), other) {
        (Some(own), Some(other)) => add(own, other),
        _ => *own = None,
    }
}

impl NeuronStats {
    /// Statistics before any position.
    pub fn new(kind: MlpKind) -> Self {
        Self {
            moments: Moments::default(),
            sums: [Some(0.0); N_SUMS],
            histogram: Some(Histogram::default()),
            not_finite: Some(0),
            n_firing: Some(0),
            n_above_tau: Some(0),
            special: Some(Moments::default()),
            starts: Some(Starts::default()),
            post: (kind == MlpKind::Solu).then(Moments::default),
            cases: (kind == MlpKind::Gated).then(Default::default),
        }
    }

    /// Statistics with every optional value unknown and no position counted.
    pub fn unknown() -> Self {
        Self {
            moments: Moments::default(),
            sums: [None; N_SUMS],
            histogram: None,
            not_finite: None,
            n_firing: None,
            n_above_tau: None,
            special: None,
            starts: None,
            post: None,
            cases: None,
        }
    }

    /// Adds the counted positions of another part.
    pub fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        for (own, other) in self.sums.iter_mut().zip(&other.sums) {
            merge(own, other, |own, other| *own += other);
        }
        merge(&mut self.histogram, &other.histogram, Histogram::merge);
        for (own, other) in [
            (&mut self.not_finite, &other.not_finite),
            (&mut self.n_firing, &other.n_firing),
            (&mut self.n_above_tau, &other.n_above_tau),
        ] {
            merge(own, other, |own, other| *own += other);
        }
        merge(&mut self.special, &other.special, Moments::merge);
        merge(&mut self.starts, &other.starts, Starts::merge);
        merge(&mut self.post, &other.post, Moments::merge);
        merge(&mut self.cases, &other.cases, |own, other| {
            own.iter_mut()
                .zip(other)
                .for_each(|(case, more)| case.merge(more));
        });
    }

    /// A further sum by its column.
    pub fn sum(&self, column: &str) -> Option<f64> {
        let at = SUMS.iter().position(|sum| sum.column == column)?;
        self.sums[at]
    }

    /// Share of the counted positions, if there are any.
    pub fn share(&self, n: Option<u64>) -> Option<f64> {
        let n = n.filter(|_| self.moments.count > 0)?;
        Some(n as f64 / self.moments.count as f64)
    }

    /// The value below which a share `q` of the counted values lies, as far as the histogram tells.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let (min, max) = (self.moments.min, self.moments.max);
        self.histogram.as_ref()?.quantile(q, min, max)
    }
}

/// Statistics, lists and samples of one neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct Neuron {
    /// Statistics.
    pub stats: NeuronStats,
    /// Lists of examples, in the order of [`StatsOptions::lists`].
    pub lists: Vec<TopList>,
    /// Samples that bands and the random list are drawn from.
    pub samples: Samples,
}

impl Neuron {
    /// Before any position.
    pub fn new(options: &StatsOptions, kind: MlpKind) -> Self {
        let lists = options
            .lists(kind)
            .into_iter()
            .map(|(kind, k)| TopList::new(kind, k))
            .collect();
        Self {
            stats: NeuronStats::new(kind),
            lists,
            samples: Samples::default(),
        }
    }

    /// Adds the documents of another part. `n_total` is the number of counted positions of the whole corpus.
    pub fn merge(&mut self, other: Self, options: &StatsOptions, n_total: u64) {
        self.stats.merge(&other.stats);
        for (list, more) in self.lists.iter_mut().zip(other.lists) {
            list.merge(more);
        }
        self.samples.merge(other.samples);
        self.prune(options, n_total);
    }

    /// Leaves out the samples that are certainly not wanted.
    pub fn prune(&mut self, options: &StatsOptions, n_total: u64) {
        if let Some(histogram) = &self.stats.histogram {
            self.samples.prune(histogram, options.samples(), n_total);
        }
    }
}
