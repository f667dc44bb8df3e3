//! The sides on which a neuron speaks, in words: its lines, and what it promotes.

use serde::Serialize;

use crate::atlas::{Side, Summary};

use crate::site::data::NeuronData;
use crate::site::part::ModelPart;
use crate::site::text::display::{lone_token, plain};

/// The line about a side, made without a model.
#[derive(Serialize)]
pub(crate) struct LineView {
    /// `+` or `−`
    pub(crate) side: &'static str,
    pub(crate) text: String,
}

/// Tokens that a neuron promotes.
#[derive(Serialize)]
pub(crate) struct Promotes {
    /// When it does so, such as `when it fires (−)`.
    pub(crate) when: &'static str,
    pub(crate) tokens: Vec<String>,
}

/// The sign of a side's values.
fn sign(side: Side) -> &'static str {
    match side {
        Side::Positive => "+",
        Side::Negative => "−",
    }
}

/// The lines about the sides on which a neuron speaks, if it is known which these are.
pub(crate) fn lines(data: &NeuronData<'_>) -> Vec<LineView> {
    let summary = &data.neuron.summary;
    let known = summary.orientation.map(|_| data.sides());
    let sides = known.into_iter().flatten();
    let lines = sides.filter_map(|side| {
        Some(LineView {
            side: sign(side),
            text: plain(summary.line_of(side)?),
        })
    });
    lines.collect()
}

/// The line about the side on which a neuron mostly speaks.
pub(crate) fn line(summary: &Summary) -> Option<String> {
    summary.line().map(plain)
}

/// The first `n` tokens that a neuron promotes, for each side on which it speaks; where that is not known, when it is positive.
pub(crate) fn promotes(part: &ModelPart<'_>, data: &NeuronData<'_>, n: usize) -> Vec<Promotes> {
    let Some(weights) = &data.neuron.weights else {
        return Vec::new();
    };
    let sides = match data.neuron.summary.orientation {
        Some(_) => data.sides(),
        None => vec![Side::Positive],
    };
    let promotes = sides.into_iter().map(|side| {
        let (list, when) = match side {
            Side::Positive => (&weights.top, "when it fires (+)"),
            Side::Negative => (&weights.bottom, "when it fires (−)"),
        };
        let text = |(id, _): &(_, f32)| lone_token(&part.texts.vocabulary().text(*id));
        Promotes {
            when: match data.neuron.summary.orientation {
                Some(_) => when,
                None => "when positive",
            },
            tokens: list.iter().take(n).map(text).collect(),
        }
    });
    promotes.filter(|of| !of.tokens.is_empty()).collect()
}
