//! Measures of interest, and ranks by them (DEFINITIONS 5).

use serde::Serialize;

use crate::stats::neuron::NeuronStats;

use super::weights::NeuronWeights;

/// A measure by which neurons are ranked, largest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Kurtosis of the ranking hook.
    Kurtosis,
    /// Skewness of the ranking hook.
    Skewness,
    /// Variance of the ranking hook.
    Variance,
    /// Maximum minus minimum.
    Range,
    /// Share of positions with `hook_pre > 0`.
    Frequency,
    /// Maximum over the 99.9 % quantile.
    PeakRatio,
    /// Kurtosis of the logit weights.
    LogitKurtosis,
    /// |cosine| of the stronger input-output relation.
    IoCosine,
}

impl Measure {
    /// Every measure, the default first.
    pub const ALL: [Self; 8] = [
        Self::Kurtosis,
        Self::Skewness,
        Self::Variance,
        Self::Range,
        Self::Frequency,
        Self::PeakRatio,
        Self::LogitKurtosis,
        Self::IoCosine,
    ];

    /// Name in records and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kurtosis => "kurtosis",
            Self::Skewness => "skewness",
            Self::Variance => "variance",
            Self::Range => "range",
            Self::Frequency => "frequency",
            Self::PeakRatio => "peak_ratio",
            Self::LogitKurtosis => "logit_kurtosis",
            Self::IoCosine => "io_cosine",
        }
    }

    /// Name for readers.
    pub fn label(self) -> &'static str {
        match self {
            Self::Kurtosis => "Kurtosis",
            Self::Skewness => "Skewness",
            Self::Variance => "Variance",
            Self::Range => "Range",
            Self::Frequency => "Frequency",
            Self::PeakRatio => "Peak ratio",
            Self::LogitKurtosis => "Logit kurtosis",
            Self::IoCosine => "IO cosine",
        }
    }

    /// What it is, with its formula.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Kurtosis => {
                "Non-excess kurtosis of the activation, m₄ / m₂²: 3 for a normal distribution, large where few positions stand far out."
            }
            Self::Skewness => {
                "Skewness of the activation, m₃ / m₂^1.5: positive where the long tail is on the positive side."
            }
            Self::Variance => "Population variance of the activation, Σ(x − mean)² / N.",
            Self::Range => "Largest minus smallest activation.",
            Self::Frequency => {
                "Share of counted tokens with hook_pre > 0 (the gate, for gated neurons)."
            }
            Self::PeakRatio => {
                "Largest activation over the 99.9 % quantile; not given where that quantile is not positive."
            }
            Self::LogitKurtosis => {
                "Non-excess kurtosis of the logit weights W_out[n]·W_U over the vocabulary: large where the neuron writes to few tokens."
            }
            Self::IoCosine => {
                "The larger of |cos(w_in, w_out)| and, if gated, |cos(w_gate, w_out)|, norms folded in."
            }
        }
    }

    /// Its value for a neuron from its activations; `None` where it is not defined, or only its weights tell.
    pub(super) fn of_stats(self, stats: &NeuronStats) -> Option<f64> {
        let moments = &stats.moments;
        let value = match self {
            Self::Kurtosis => moments.kurtosis(),
            Self::Skewness => moments.skewness(),
            Self::Variance => moments.variance(),
            Self::Range => moments.range(),
            Self::Frequency => {
                (moments.count > 0).then(|| stats.n_firing as f64 / moments.count as f64)
            }
            Self::PeakRatio => {
                let quantile = stats.histogram.quantile(0.999, moments.min, moments.max)?;
                (quantile > 0.0).then(|| f64::from(moments.max) / quantile)
            }
            Self::LogitKurtosis | Self::IoCosine => None,
        };
        value.filter(|value| value.is_finite())
    }

    /// Its value from its weights, if it is one of those that they tell.
    pub(super) fn of_weights(self, weights: &NeuronWeights) -> Option<Option<f64>> {
        match self {
            Self::LogitKurtosis => Some(weights.logits.kurtosis),
            Self::IoCosine => {
                let cosines = [weights.cosines.in_out, weights.cosines.gate_out];
                let sizes = cosines
                    .into_iter()
                    .flatten()
                    .map(|cos| f64::from(cos.abs()));
                Some(sizes.reduce(f64::max))
            }
            _ => None,
        }
    }
}

/// A measure's value and its ranks, from 1; without a value there is no rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ranked {
    /// The value.
    pub value: Option<f64>,
    /// Rank among the neurons of the layer that have a value.
    pub rank_in_layer: Option<u32>,
    /// Rank among the neurons of the model that have a value.
    pub rank_in_model: Option<u32>,
}

/// Ranks of values, largest first, from 1; equal values keep their order.
pub(super) fn ranks(values: &[Option<f64>]) -> Vec<Option<u32>> {
    let mut order: Vec<(f64, usize)> = values
        .iter()
        .enumerate()
        .filter_map(|(at, value)| Some(((*value)?, at)))
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let mut ranks = vec![None; values.len()];
    for (rank, (_, at)) in (1..).zip(order) {
        ranks[at] = Some(rank);
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_descending_and_ties_keep_their_order() {
        let values = [Some(1.0), None, Some(3.0), Some(1.0), Some(-2.0)];
        assert_eq!(ranks(&values), [Some(2), None, Some(1), Some(3), Some(4)]);
    }
}
