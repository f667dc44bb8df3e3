//! The columns of a layer: what is known of its neurons before their examples are read.

use crate::atlas::facts::{RANKED, Unit, facts};
use crate::atlas::{NeuronWeights, Side, Summary};
use crate::ids::TokenId;

use super::steps::steps;
use crate::site::data::LayerData;
use crate::site::text::format::round;

/// Stands for no token.
pub(super) const NO_TOKEN: u32 = u32::MAX;

/// The flags of a neuron, in the order of their bits.
pub(super) const FLAGS: [&str; 6] = [
    "dead",
    "rare",
    "atypical",
    "at_starts",
    "at_starts_either",
    "both_sides",
];

/// Columns of some neurons in a row.
#[derive(Default)]
pub(super) struct Columns {
    /// Steps of each fact.
    pub(super) numbers: Vec<Vec<i32>>,
    /// Ranks in the model of each measure of interest, 0 for none.
    pub(super) ranks: Vec<Vec<u32>>,
    pub(super) class: Vec<u8>,
    /// Places in [`Side::ALL`] from 1, 0 for none.
    pub(super) side: Vec<u8>,
    pub(super) role: Vec<u8>,
    /// The flags that are set, and those that are known.
    pub(super) flags: Vec<[u8; 2]>,
    /// The tokens that a neuron most promotes and most suppresses when it fires on the side that dominates; where that is not
    /// known, when it is positive.
    pub(super) promoted: Vec<u32>,
    pub(super) suppressed: Vec<u32>,
}

impl Columns {
    pub(super) fn of(layer: &LayerData<'_>) -> Self {
        let summaries = layer.summaries;
        let weights = |at: usize| layer.weights.map(|weights| &weights[at]);
        let numbers = facts().map(|fact| {
            let values = summaries.iter().enumerate();
            let values = values.map(|(at, summary)| summary.fact(fact, weights(at)));
            values.map(|value| as_shown(value, fact.unit)).collect()
        });
        let ranks = RANKED.map(|fact| {
            let ranks = summaries.iter().map(|s| s.ranks(fact).in_model);
            ranks.map(Option::unwrap_or_default).collect()
        });
        let mut columns = Self {
            numbers: numbers.collect(),
            ranks: ranks.into(),
            ..Self::default()
        };
        for (at, summary) in summaries.iter().enumerate() {
            columns.add(summary, weights(at));
        }
        columns
    }

    /// The columns of so many neurons of which nothing is known.
    pub(super) fn missing(n: usize) -> Self {
        Self {
            numbers: facts().map(|_| vec![steps(None); n]).collect(),
            ranks: RANKED.map(|_| vec![0; n]).into(),
            class: vec![0; n],
            side: vec![0; n],
            role: vec![0; n],
            flags: vec![[0; 2]; n],
            promoted: vec![NO_TOKEN; n],
            suppressed: vec![NO_TOKEN; n],
        }
    }

    fn add(&mut self, summary: &Summary, weights: Option<&NeuronWeights>) {
        let first = |tokens: &[(TokenId, f32)]| tokens.first().map_or(NO_TOKEN, |(id, _)| id.0);
        let class = weights.and_then(|of| of.class);
        let orientation = summary.orientation;
        let flags = [
            summary.dead,
            summary.rare,
            Some(class.is_some_and(|class| !class.typical)),
            summary.at_starts.map(|of| of.dominant),
            summary.at_starts.map(|of| of.either),
            summary
                .at_starts
                .map(|_| orientation.is_some_and(|of| of.is_balanced())),
        ];
        let bits = |is: &dyn Fn(Option<bool>) -> bool| {
            let bits = flags.iter().enumerate();
            bits.map(|(bit, &flag)| u8::from(is(flag)) << bit).sum()
        };
        let [set, known] = [
            bits(&|flag| flag == Some(true)),
            bits(&|flag| flag.is_some()),
        ];
        self.flags.push([set, known]);
        self.class.push(class.map_or(0, |of| of.class as u8 + 1));
        let role = weights.and_then(|of| of.role);
        self.role.push(role.map_or(0, |role| role as u8 + 1));
        let side = orientation.map(|of| of.side);
        self.side.push(side.map_or(0, |side| side as u8 + 1));
        let ends = weights.map(|of| match side {
            Some(Side::Negative) => [&of.bottom, &of.top],
            Some(Side::Positive) | None => [&of.top, &of.bottom],
        });
        let [promoted, suppressed] = ends.map_or([NO_TOKEN; 2], |ends| ends.map(|end| first(end)));
        self.promoted.push(promoted);
        self.suppressed.push(suppressed);
    }

    /// Appends the columns of the neurons that follow.
    pub(super) fn extend(&mut self, next: Self) {
        append(&mut self.numbers, next.numbers);
        append(&mut self.ranks, next.ranks);
        self.class.extend(next.class);
        self.side.extend(next.side);
        self.role.extend(next.role);
        self.flags.extend(next.flags);
        self.promoted.extend(next.promoted);
        self.suppressed.extend(next.suppressed);
    }

    /// The names of the flags that are known of some neuron, and every neuron's, a bit each.
    pub(super) fn known_flags(&self) -> (Vec<&'static str>, Vec<u8>) {
        let known = self.flags.iter().fold(0, |all, [_, known]| all | known);
        let bits: Vec<usize> = (0..FLAGS.len())
            .filter(|bit| known >> bit & 1 == 1)
            .collect();
        let packed = |[set, _]: &[u8; 2]| {
            let bits = bits.iter().enumerate();
            bits.map(|(to, from)| (set >> from & 1) << to).sum()
        };
        let codes = self.flags.iter().map(packed).collect();
        (bits.iter().map(|&bit| FLAGS[bit]).collect(), codes)
    }
}

fn append<T>(columns: &mut Vec<Vec<T>>, next: Vec<Vec<T>>) {
    columns.resize_with(next.len(), Vec::new);
    for (values, next) in columns.iter_mut().zip(next) {
        values.extend(next);
    }
}

/// A number as it is shown, shares in percent.
pub(super) fn as_shown(value: Option<f64>, unit: Unit) -> i32 {
    let value = value.and_then(round);
    steps(value.map(|value| match unit {
        Unit::Number => value,
        Unit::Share => value * 100.0,
    }))
}
