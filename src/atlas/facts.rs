//! The catalogue of facts: every number of a neuron, once. Statistics cards, explore, rankings, records, the
//! schemas, the pages' definitions and the table in docs/definitions.md are made from it; a new number is one entry here,
//! and a place in one of the lists at the end.

use super::sides::Side;
use super::weights::NeuronWeights;
pub use crate::shard::FIRST;
use crate::stats::neuron::NeuronStats;

/// A number that every neuron has, or may have.
pub struct Fact {
    /// Name in files and records.
    pub key: &'static str,
    /// Name for readers.
    pub label: &'static str,
    /// What it is, with its formula.
    pub definition: &'static str,
    /// What it is about.
    pub group: Group,
    /// How it is written.
    pub unit: Unit,
    /// Whether only neurons with a gate have it.
    pub needs_gate: bool,
    /// Version of the program that it came with.
    pub since: &'static str,
    /// Whether it tells as much of the weaker side as of the one that dominates.
    pub of_both_sides: bool,
    /// Where it comes from.
    source: Source,
}

/// What a fact is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What a scan saw.
    Activations,
    /// What the weights say.
    Weights,
}

impl Group {
    /// Name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Activations => "activations",
            Self::Weights => "weights",
        }
    }
}

/// How a fact is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number.
    Number,
    /// A share, from 0 to 1, which readers see in percent.
    Share,
}

enum Source {
    /// Computed from statistics.
    Stats(fn(&NeuronStats) -> Option<f64>),
    /// Computed from statistics, on the side that dominates.
    Sided(fn(&NeuronStats, Side) -> Option<f64>),
    /// Computed from weights.
    Weights(fn(&NeuronWeights) -> Option<f64>),
}

/// A neuron is rare if its magnitude is above the layer's threshold of dead neurons at some counted positions, but at fewer
/// than one of so many.
pub const RARE_ONE_IN: u64 = 100_000;

const BASE: Fact = Fact {
    key: "",
    label: "",
    definition: "",
    group: Group::Activations,
    unit: Unit::Number,
    needs_gate: false,
    since: FIRST,
    of_both_sides: false,
    source: Source::Stats(|_| None),
};

/// Kurtosis of the ranking hook: the measure by which neurons are ranked unless the reader chooses another.
pub static KURTOSIS: Fact = Fact {
    key: "kurtosis",
    label: "Kurtosis",
    definition: "Non-excess kurtosis of the activation, m₄ / m₂²: 3 for a normal distribution, large where few positions stand far out.",
    source: Source::Stats(|stats| stats.moments.kurtosis()),
    ..BASE
};

/// Skewness of the ranking hook.
pub static SKEWNESS: Fact = Fact {
    key: "skewness",
    label: "Skewness",
    definition: "Skewness of the activation, m₃ / m₂^1.5: positive where the long tail is on the positive side.",
    source: Source::Stats(|stats| stats.moments.skewness()),
    ..BASE
};

/// Variance of the ranking hook.
pub static VARIANCE: Fact = Fact {
    key: "variance",
    label: "Variance",
    definition: "Population variance of the activation, Σ(x − mean)² / N.",
    of_both_sides: true,
    source: Source::Stats(|stats| stats.moments.variance()),
    ..BASE
};

/// Maximum minus minimum.
pub static RANGE: Fact = Fact {
    key: "range",
    label: "Range",
    definition: "Maximum minus minimum activation.",
    of_both_sides: true,
    source: Source::Stats(|stats| stats.moments.range()),
    ..BASE
};

/// Share of positions with `hook_pre > 0`.
pub static FREQUENCY: Fact = Fact {
    key: "frequency",
    label: "Frequency",
    definition: "Share of counted tokens with hook_pre > 0 (the gate, for gated neurons).",
    unit: Unit::Share,
    source: Source::Stats(|stats| stats.share(stats.n_firing)),
    ..BASE
};

/// Extreme over the quantile before it, on the side that dominates.
pub static PEAK_RATIO: Fact = Fact {
    key: "peak_ratio",
    label: "Peak ratio",
    definition: "On the side that dominates: maximum activation over the 99.9 % quantile, or minimum over the 0.1 % quantile; not given where that quantile is of the other sign.",
    source: Source::Sided(|stats, side| {
        let (q, extreme, sign) = match side {
            Side::Positive => (0.999, stats.moments.max, 1.0),
            Side::Negative => (0.001, stats.moments.min, -1.0),
        };
        let quantile = stats.quantile(q).filter(|quantile| quantile * sign > 0.0)?;
        Some(f64::from(extreme) / quantile)
    }),
    ..BASE
};

/// Kurtosis of the logit weights.
pub static LOGIT_KURTOSIS: Fact = Fact {
    key: "logit_kurtosis",
    label: "Logit kurtosis",
    definition: "Non-excess kurtosis of the logit weights W_out[n]·W_U over the vocabulary: large where the neuron writes to few tokens.",
    group: Group::Weights,
    source: Source::Weights(|weights| weights.logits.kurtosis),
    ..BASE
};

/// |cosine| of the stronger input-output relation.
pub static IO_COSINE: Fact = Fact {
    key: "io_cosine",
    label: "IO cosine",
    definition: "The larger of |cos(w_in, w_out)| and, if gated, |cos(w_gate, w_out)|, norms folded in.",
    group: Group::Weights,
    source: Source::Weights(|weights| {
        let cosines = [weights.cosines.in_out, weights.cosines.gate_out];
        let sizes = cosines.into_iter().flatten();
        sizes.map(|cos| f64::from(cos.abs())).reduce(f64::max)
    }),
    ..BASE
};

/// Minimum activation.
pub static MIN: Fact = Fact {
    key: "min",
    label: "Min",
    definition: "Minimum activation over all counted tokens.",
    source: Source::Stats(|stats| (stats.moments.count > 0).then_some(stats.moments.min.into())),
    ..BASE
};

/// Maximum activation.
pub static MAX: Fact = Fact {
    key: "max",
    label: "Max",
    definition: "Maximum activation over all counted tokens.",
    source: Source::Stats(|stats| (stats.moments.count > 0).then_some(stats.moments.max.into())),
    ..BASE
};

/// Mean activation.
pub static MEAN: Fact = Fact {
    key: "mean",
    label: "Mean",
    definition: "Mean activation over all counted tokens.",
    source: Source::Stats(|stats| stats.moments.mean()),
    ..BASE
};

/// Mean of |activation|.
pub static MEAN_ABS: Fact = Fact {
    key: "mean_abs",
    label: "Mean |value|",
    definition: "Mean of the activation's magnitude, Σ|x| / N, over all counted tokens.",
    since: "0.2",
    source: Source::Stats(|stats| {
        let n = stats.moments.count as f64;
        Some(stats.sum("sum_abs")? / n)
    }),
    ..BASE
};

/// Share of positions with `|hook_post| > τ`.
pub static FREQUENCY_ABS: Fact = Fact {
    key: "frequency_abs",
    label: "Active",
    definition: "Share of counted tokens with |hook_post| > τ.",
    unit: Unit::Share,
    source: Source::Stats(|stats| stats.share(stats.n_above_tau)),
    ..BASE
};

/// Cosine of input and output weights.
pub static COS_IN_OUT: Fact = Fact {
    key: "cos_in_out",
    label: "cos(w_in, w_out)",
    definition: "Cosine of the input and the output weights, norms folded in.",
    group: Group::Weights,
    source: Source::Weights(|of| of.cosines.in_out.map(f64::from)),
    ..BASE
};

/// Cosine of the gate's and the output weights.
pub static COS_GATE_OUT: Fact = Fact {
    key: "cos_gate_out",
    label: "cos(w_gate, w_out)",
    definition: "Cosine of the gate's and the output weights, norms folded in.",
    group: Group::Weights,
    needs_gate: true,
    source: Source::Weights(|of| of.cosines.gate_out.map(f64::from)),
    ..BASE
};

/// Cosine of the gate's and the input weights.
pub static COS_GATE_IN: Fact = Fact {
    key: "cos_gate_in",
    label: "cos(w_gate, w_in)",
    definition: "Cosine of the gate's and the input weights, norms folded in.",
    group: Group::Weights,
    needs_gate: true,
    source: Source::Weights(|of| of.cosines.gate_in.map(f64::from)),
    ..BASE
};

/// Length of the input weights.
pub static NORM_IN: Fact = Fact {
    key: "norm_in",
    label: "‖w_in‖",
    definition: "Length of the input weights, the norm before them folded in.",
    group: Group::Weights,
    source: Source::Weights(|of| Some(of.norms.input.into())),
    ..BASE
};

/// Length of the gate's weights.
pub static NORM_GATE: Fact = Fact {
    key: "norm_gate",
    label: "‖w_gate‖",
    definition: "Length of the gate's weights, the norm before them folded in.",
    group: Group::Weights,
    needs_gate: true,
    source: Source::Weights(|of| of.norms.gate.map(f64::from)),
    ..BASE
};

/// Length of the output weights.
pub static NORM_OUT: Fact = Fact {
    key: "norm_out",
    label: "‖w_out‖",
    definition: "Length of the output weights.",
    group: Group::Weights,
    source: Source::Weights(|of| Some(of.norms.out.into())),
    ..BASE
};

/// Share of w_out in the bottom of W_U's singular space.
pub static NULL_SHARE: Fact = Fact {
    key: "null_share",
    label: "ρ",
    definition: "Share of w_out's length that lies in the bottom of W_U's singular space, which hardly reaches the logits.",
    group: Group::Weights,
    source: Source::Weights(|of| of.null_share.map(f64::from)),
    ..BASE
};

/// Variance of v.
pub static V_VARIANCE: Fact = Fact {
    key: "v_variance",
    label: "Variance of v",
    definition: "Variance of v, the cosines of w_out with the tokens' columns of W_U: large where the neuron promotes one part of the vocabulary and suppresses the other.",
    group: Group::Weights,
    source: Source::Weights(|of| of.v.variance),
    ..BASE
};

/// Skewness of v.
pub static V_SKEWNESS: Fact = Fact {
    key: "v_skewness",
    label: "Skewness of v",
    definition: "Skewness of v: positive where few tokens are promoted, negative where few are suppressed.",
    group: Group::Weights,
    source: Source::Weights(|of| of.v.skewness),
    ..BASE
};

/// Kurtosis of v.
pub static V_KURTOSIS: Fact = Fact {
    key: "v_kurtosis",
    label: "Kurtosis of v",
    definition: "Non-excess kurtosis of v: large where the neuron writes to few tokens.",
    group: Group::Weights,
    source: Source::Weights(|of| of.v.kurtosis),
    ..BASE
};

/// How many facts neurons are ranked by.
pub const N_RANKED: usize = 8;

/// The facts by which neurons are ranked, the largest first. The first is used unless the reader chooses another.
pub static RANKED: [&Fact; N_RANKED] = [
    &KURTOSIS,
    &SKEWNESS,
    &VARIANCE,
    &RANGE,
    &FREQUENCY,
    &PEAK_RATIO,
    &LOGIT_KURTOSIS,
    &IO_COSINE,
];

/// How many other facts a scan gives.
pub const N_SCANNED: usize = 5;

/// The other facts that a scan gives.
pub static SCANNED: [&Fact; N_SCANNED] = [&MAX, &MIN, &MEAN, &MEAN_ABS, &FREQUENCY_ABS];

/// The other facts that the weights give.
static WEIGHED: [&Fact; 10] = [
    &COS_IN_OUT,
    &COS_GATE_OUT,
    &COS_GATE_IN,
    &V_KURTOSIS,
    &V_SKEWNESS,
    &V_VARIANCE,
    &NULL_SHARE,
    &NORM_OUT,
    &NORM_IN,
    &NORM_GATE,
];

/// Every fact, those by which neurons are ranked first.
pub fn facts() -> impl Iterator<Item = &'static Fact> {
    RANKED.into_iter().chain(SCANNED).chain(WEIGHED)
}

impl Fact {
    /// Its place among some facts.
    pub fn place_in(&self, facts: &[&Self]) -> Option<usize> {
        facts.iter().position(|fact| std::ptr::eq(*fact, self))
    }

    /// Whether neurons are ranked by it.
    pub fn is_ranked(&self) -> bool {
        self.place_in(&RANKED).is_some()
    }

    /// Whether a scan gives it.
    pub fn is_scanned(&self) -> bool {
        matches!(self.source, Source::Stats(_) | Source::Sided(_))
    }

    /// The flag of the neurons that rankings by it leave out, since they fire where windows start.
    pub fn unranked(&self) -> Option<&'static str> {
        self.is_scanned().then_some(match self.of_both_sides {
            true => "at_starts_either",
            false => "at_starts",
        })
    }

    /// Whether neurons of a model can have it.
    pub fn is_of(&self, gated: bool, analysed: bool) -> bool {
        self.is_scanned() || analysed && (gated || !self.needs_gate)
    }

    /// What statistics say of it, where this side dominates.
    pub(super) fn of_stats(&self, stats: &NeuronStats, side: Side) -> Option<f64> {
        let value = match self.source {
            Source::Stats(get) => get(stats),
            Source::Sided(get) => get(stats, side),
            Source::Weights(_) => None,
        };
        value.filter(|value| value.is_finite())
    }

    /// What weights say of it, if it is theirs to say.
    pub(super) fn of_weights(&self, weights: &NeuronWeights) -> Option<Option<f64>> {
        match self.source {
            Source::Stats(_) | Source::Sided(_) => None,
            Source::Weights(get) => Some(get(weights)),
        }
    }
}
