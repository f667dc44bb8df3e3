//! All that a scan keeps of one neuron.

use super::examples::TopList;
use super::histogram::Histogram;
use super::moments::Moments;
use super::samples::Samples;
use super::signs::CaseStats;
use super::{MlpKind, StatsOptions};

/// Statistics of one neuron over the counted positions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NeuronStats {
    /// Of the ranking hook.
    pub moments: Moments,
    /// Of the ranking hook.
    pub histogram: Histogram,
    /// Positions left out because a value was NaN or infinite.
    pub not_finite: u64,
    /// Positions with `hook_pre > 0` (gate, for gated neurons).
    pub n_firing: u64,
    /// Positions with `|hook_post| > τ`.
    pub n_above_tau: u64,
    /// Of the ranking hook at the special positions, which are not counted.
    pub special: Moments,
    /// Of `hook_post`, where that is not the ranking hook; SoLU neurons only.
    pub post: Option<Moments>,
    /// By sign case, in the order of [`super::signs::SignCase::ALL`]; gated neurons only.
    pub cases: Option<[CaseStats; 4]>,
}

impl NeuronStats {
    /// Adds the counted positions of another part.
    pub fn merge(&mut self, other: &Self) {
        self.moments.merge(&other.moments);
        self.histogram.merge(&other.histogram);
        self.not_finite += other.not_finite;
        self.n_firing += other.n_firing;
        self.n_above_tau += other.n_above_tau;
        self.special.merge(&other.special);
        if let (Some(post), Some(more)) = (&mut self.post, &other.post) {
            post.merge(more);
        }
        for (case, more) in self
            .cases
            .iter_mut()
            .flatten()
            .zip(other.cases.iter().flatten())
        {
            case.merge(more);
        }
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
        let stats = NeuronStats {
            post: (kind == MlpKind::Solu).then(Moments::default),
            cases: (kind == MlpKind::Gated).then(Default::default),
            ..Default::default()
        };
        let lists = options
            .lists(kind)
            .into_iter()
            .map(|(kind, k)| TopList::new(kind, k))
            .collect();
        Self {
            stats,
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
        self.samples
            .prune(&self.stats.histogram, options.samples(), n_total);
    }
}
