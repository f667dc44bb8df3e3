//! What is said of every neuron in one number: the columns of a layer's index and of the explore page.

use crate::atlas::{Measure, NeuronWeights, Summary};

/// A number that every neuron has, or may have.
pub(in crate::site) struct Column {
    /// Name in files.
    pub(in crate::site) name: &'static str,
    /// Name for readers.
    pub(in crate::site) label: &'static str,
    /// What it is.
    pub(in crate::site) definition: &'static str,
    /// What it is about.
    pub(in crate::site) group: Group,
    /// Whether it is a share, which is shown in percent.
    pub(in crate::site) is_share: bool,
    value: Value,
}

/// What a column is about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::site) enum Group {
    Activations,
    Weights,
}

enum Value {
    Ranked(Measure),
    Summary(fn(&Summary) -> Option<f64>),
    Weights(fn(&NeuronWeights) -> Option<f64>),
}

impl Column {
    /// Whether it is a measure of interest.
    pub(in crate::site) fn is_ranked(&self) -> bool {
        matches!(self.value, Value::Ranked(_))
    }

    /// Whether the scan alone tells it.
    pub(in crate::site) fn is_scanned(&self) -> bool {
        matches!(self.value, Value::Summary(_))
    }

    /// The neuron's number; what only the weights tell is not known without them.
    pub(in crate::site) fn of(
        &self,
        summary: &Summary,
        weights: Option<&NeuronWeights>,
    ) -> Option<f64> {
        match self.value {
            Value::Ranked(measure) => summary.ranked(measure).value,
            Value::Summary(get) => get(summary),
            Value::Weights(get) => get(weights?),
        }
    }
}

/// Every column, those of the measures of interest first.
pub(in crate::site) fn columns() -> Vec<Column> {
    let measures = Measure::ALL.map(|measure| Column {
        name: measure.name(),
        label: measure.label(),
        definition: measure.definition(),
        group: match measure {
            Measure::LogitKurtosis | Measure::IoCosine => Group::Weights,
            _ => Group::Activations,
        },
        is_share: measure == Measure::Frequency,
        value: Value::Ranked(measure),
    });
    let mut all: Vec<Column> = measures.into();
    all.extend(STATISTICS.map(|(name, label, definition, get)| Column {
        name,
        label,
        definition,
        group: Group::Activations,
        is_share: name == "frequency_abs",
        value: Value::Summary(get),
    }));
    all.extend(WEIGHTS.map(|(name, label, definition, get)| Column {
        name,
        label,
        definition,
        group: Group::Weights,
        is_share: false,
        value: Value::Weights(get),
    }));
    all
}

type Named<T> = (
    &'static str,
    &'static str,
    &'static str,
    fn(&T) -> Option<f64>,
);

const STATISTICS: [Named<Summary>; 4] = [
    (
        "min",
        "Min",
        "Smallest activation of all counted tokens.",
        |s| s.min,
    ),
    (
        "max",
        "Max",
        "Largest activation of all counted tokens.",
        |s| s.max,
    ),
    (
        "mean",
        "Mean",
        "Mean activation over all counted tokens.",
        |s| s.mean,
    ),
    (
        "frequency_abs",
        "Active",
        "Share of counted tokens with |hook_post| > τ.",
        |s| s.frequency_abs,
    ),
];

const WEIGHTS: [Named<NeuronWeights>; 10] = [
    (
        "cos_in_out",
        "cos(w_in, w_out)",
        "Cosine of the input and the output weights, norms folded in.",
        |of| of.cosines.in_out.map(f64::from),
    ),
    (
        "cos_gate_out",
        "cos(w_gate, w_out)",
        "Cosine of the gate's and the output weights, norms folded in.",
        |of| of.cosines.gate_out.map(f64::from),
    ),
    (
        "cos_gate_in",
        "cos(w_gate, w_in)",
        "Cosine of the gate's and the input weights, norms folded in.",
        |of| of.cosines.gate_in.map(f64::from),
    ),
    (
        "norm_in",
        "‖w_in‖",
        "Length of the input weights, the norm in front folded in.",
        |of| Some(of.norms.input.into()),
    ),
    (
        "norm_gate",
        "‖w_gate‖",
        "Length of the gate's weights, the norm in front folded in.",
        |of| of.norms.gate.map(f64::from),
    ),
    (
        "norm_out",
        "‖w_out‖",
        "Length of the output weights.",
        |of| Some(of.norms.out.into()),
    ),
    (
        "null_share",
        "ρ",
        "Share of w_out's length that lies in the bottom of W_U's singular space, which hardly reaches the logits.",
        |of| of.null_share.map(f64::from),
    ),
    (
        "v_variance",
        "Variance of v",
        "Of v, the cosines of w_out with the tokens' columns of W_U: large where the neuron promotes one part of the vocabulary and suppresses the other.",
        |of| of.v.variance,
    ),
    (
        "v_skewness",
        "Skewness of v",
        "Of v: positive where few tokens are promoted, negative where few are suppressed.",
        |of| of.v.skewness,
    ),
    (
        "v_kurtosis",
        "Kurtosis of v",
        "Of v, non-excess: large where the neuron writes to few tokens.",
        |of| of.v.kurtosis,
    ),
];
