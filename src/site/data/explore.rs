//! One small file with what is said of every neuron of a model, which the explore page filters and sorts.
//!
//! `explore.bin.gz`, unpacked: the length of the header (u32, little-endian), the header (JSON), the columns. A column
//! of b bytes is b planes, one byte of every neuron each, the lowest first. Numbers are what readers are shown, with
//! three digits; where neurons are ranked, those with the same number are told apart by their order.

use std::collections::HashMap;
use std::io::Write;

use flate2::{Compression, GzBuilder};
use serde_json::json;

use crate::atlas::facts::{Fact, RANKED, Unit, facts};
use crate::atlas::{AtlasNeuron, Class, NeuronWeights, Role, SignCase, Summary};
use crate::ids::TokenId;
use crate::tokens::Vocabulary;

use super::steps::{self, Codes, steps};
use crate::site::error::SiteError;
use crate::site::text::format::round;
use crate::site::text::texts::safe_in_html;

/// Name of the file, beside the model's page.
pub(in crate::site) const FILE: &str = "explore.bin.gz";

const SCHEMA: &str = "neuroscope/explore/v1";
const FLAGS: [&str; 5] = ["dead", "rare", "atypical", "note", "explanation"];
const NO_TOKEN: u32 = u32::MAX;

/// The columns of a model, as they are filled.
pub(in crate::site) struct Explore {
    /// Whether the weights were analysed.
    analysed: bool,
    known: Known,
    peak: Vec<u32>,
    /// Steps, by sign case.
    shares: Option<[Vec<i32>; SignCase::ALL.len()]>,
}

/// What is known of neurons before their examples are read, of some neurons in a row.
#[derive(Default)]
pub(in crate::site) struct Known {
    /// Steps of each column.
    numbers: Vec<Vec<i32>>,
    /// Ranks in the model of each measure of interest, 0 for none.
    ranks: Vec<Vec<u32>>,
    class: Vec<u8>,
    role: Vec<u8>,
    flags: Vec<u8>,
    promoted: Vec<u32>,
    suppressed: Vec<u32>,
}

impl Known {
    /// Takes down what is known of the neurons of a layer. `said` tells whether there are a note and an explanation.
    pub(in crate::site) fn of(
        summaries: &[Summary],
        weights: Option<&[NeuronWeights]>,
        said: impl Fn(&Summary) -> [bool; 2],
    ) -> Self {
        let weights = |at: usize| weights.map(|weights| &weights[at]);
        let numbers = facts().map(|fact| {
            let values = summaries.iter().enumerate();
            let values = values.map(|(at, summary)| summary.fact(fact, weights(at)));
            values.map(|value| as_shown(value, fact.unit)).collect()
        });
        let ranks = RANKED.map(|fact| {
            let ranks = summaries.iter().map(|s| s.ranks(fact).in_model);
            ranks.map(Option::unwrap_or_default).collect()
        });
        let mut known = Self {
            numbers: numbers.collect(),
            ranks: ranks.into(),
            ..Self::default()
        };
        let first = |tokens: &[(TokenId, f32)]| tokens.first().map_or(NO_TOKEN, |(id, _)| id.0);
        for (at, summary) in summaries.iter().enumerate() {
            let weights = weights(at);
            let class = weights.and_then(|of| of.class);
            let [note, explanation] = said(summary);
            let atypical = class.is_some_and(|class| !class.typical);
            let [dead, rare] = [summary.dead, summary.rare].map(|known| known == Some(true));
            let flags = [dead, rare, atypical, note, explanation];
            let flags = flags.iter().enumerate();
            known
                .flags
                .push(flags.map(|(bit, &set)| u8::from(set) << bit).sum());
            known.class.push(class.map_or(0, |of| of.class as u8 + 1));
            let role = weights.and_then(|of| of.role);
            known.role.push(role.map_or(0, |role| role as u8 + 1));
            known
                .promoted
                .push(weights.map_or(NO_TOKEN, |of| first(&of.top)));
            known
                .suppressed
                .push(weights.map_or(NO_TOKEN, |of| first(&of.bottom)));
        }
        known
    }

    fn extend(&mut self, next: Self) {
        append(&mut self.numbers, next.numbers);
        append(&mut self.ranks, next.ranks);
        self.class.extend(next.class);
        self.role.extend(next.role);
        self.flags.extend(next.flags);
        self.promoted.extend(next.promoted);
        self.suppressed.extend(next.suppressed);
    }
}

fn append<T>(columns: &mut Vec<Vec<T>>, next: Vec<Vec<T>>) {
    columns.resize_with(next.len(), Vec::new);
    for (values, next) in columns.iter_mut().zip(next) {
        values.extend(next);
    }
}

/// A number as it is shown, shares in percent.
fn as_shown(value: Option<f64>, unit: Unit) -> i32 {
    let value = value.and_then(round);
    steps(value.map(|value| match unit {
        Unit::Number => value,
        Unit::Share => value * 100.0,
    }))
}

impl Explore {
    /// For a model of so many neurons.
    pub(in crate::site) fn new(n_neurons: usize, gated: bool, analysed: bool) -> Self {
        let numbers = || vec![steps::NONE; n_neurons];
        Self {
            analysed,
            known: Known::default(),
            peak: vec![NO_TOKEN; n_neurons],
            shares: gated.then(|| std::array::from_fn(|_| numbers())),
        }
    }

    /// Adds what is known of the next layer.
    pub(in crate::site) fn add_layer(&mut self, known: Known) {
        self.known.extend(known);
    }

    /// Adds what only a neuron's statistics and examples tell; `peak` is the token of its main example's peak.
    pub(in crate::site) fn add_neuron(
        &mut self,
        flat: usize,
        neuron: &AtlasNeuron,
        peak: Option<TokenId>,
    ) {
        self.peak[flat] = peak.map_or(NO_TOKEN, |token| token.0);
        if let (Some(shares), Some(cases)) = (&mut self.shares, &neuron.stats.cases) {
            let n = neuron.stats.moments.count;
            for (share, case) in shares.iter_mut().zip(cases.iter()) {
                let value = (n > 0).then(|| case.count as f64 / n as f64);
                share[flat] = as_shown(value, Unit::Share);
            }
        }
    }

    /// The file.
    pub(in crate::site) fn file(
        &self,
        model: &str,
        [n_layers, d_mlp]: [u32; 2],
        vocabulary: &Vocabulary,
    ) -> Result<Vec<u8>, SiteError> {
        let n = self.peak.len();
        let mut planes: Vec<u8> = Vec::new();
        let mut described = Vec::new();
        for (fact, values) in facts().zip(&self.known.numbers) {
            let Fact {
                key,
                label,
                definition,
                group,
                unit,
                ..
            } = fact;
            let head = json!({"name": key, "label": label, "definition": definition, "group": group.name()});
            let ranks = fact.place_in(&RANKED);
            let ranks = ranks.map(|at| self.known.ranks[at].as_slice());
            described.extend(number(head, *unit, values, ranks, &mut planes));
        }
        for (case, values) in SignCase::ALL.iter().zip(self.shares.iter().flatten()) {
            let name = case.name();
            let definition = format!(
                "Share of counted tokens with these signs of gate and in: {}.",
                name.replace('_', ", ")
            );
            let head = json!({"name": format!("share_{name}"), "label": format!("Share of {}", name.replace('_', " ")), "definition": definition, "group": "signs"});
            described.extend(number(head, Unit::Share, values, None, &mut planes));
        }
        let classes = Class::ALL.map(Class::name).to_vec();
        let roles = Role::ALL.map(Role::name).to_vec();
        let categories = [
            ("class", "Class", classes, &self.known.class),
            ("role", "Role", roles, &self.known.role),
        ];
        let mut small = |mut head: serde_json::Value, codes: &[u8]| {
            head["bytes"] = 1.into();
            head["offset"] = planes.len().into();
            planes.extend_from_slice(codes);
            described.push(head);
        };
        for (name, label, names, codes) in categories.into_iter().filter(|_| self.analysed) {
            let head =
                json!({"name": name, "label": label, "kind": "category", "categories": names});
            small(head, codes);
        }
        let head = json!({"name": "flags", "label": "Flags", "kind": "flags", "flags": FLAGS});
        small(head, &self.known.flags);
        let mut table = TokenTable::default();
        let lists = [
            ("peak", "Token at the peak", &self.peak),
            ("promoted", "Promoted token", &self.known.promoted),
            ("suppressed", "Suppressed token", &self.known.suppressed),
        ];
        let lists: Vec<_> = lists
            .into_iter()
            .filter(|(.., tokens)| tokens.iter().any(|&token| token != NO_TOKEN))
            .map(|(name, label, tokens)| (name, label, table.codes(tokens)))
            .collect();
        for (name, label, codes) in lists {
            let mut head = json!({"name": name, "label": label, "kind": "token"});
            add_codes(&mut head, &codes, &mut planes);
            described.push(head);
        }
        let tokens = table.ids.iter().map(|&id| vocabulary.text(TokenId(id)));
        let header = json!({
            "schema": SCHEMA,
            "model": model,
            "n_layers": n_layers,
            "d_mlp": d_mlp,
            "n_neurons": n,
            "columns": described,
            "tokens": tokens.collect::<Vec<_>>(),
        });
        let header = safe_in_html(header.to_string());
        let packed = || -> std::io::Result<Vec<u8>> {
            let mut gz = GzBuilder::new().write(Vec::new(), Compression::best());
            gz.write_all(&(header.len() as u32).to_le_bytes())?;
            gz.write_all(header.as_bytes())?;
            gz.write_all(&planes)?;
            gz.finish()
        };
        packed().map_err(|source| SiteError::io("write", FILE, source))
    }
}

/// Adds a column of numbers, unless no neuron has one: its description, with how to read its codes.
fn number(
    mut head: serde_json::Value,
    unit: Unit,
    steps: &[i32],
    ranks: Option<&[u32]>,
    planes: &mut Vec<u8>,
) -> Option<serde_json::Value> {
    let coded = Codes::of(steps)?;
    head["kind"] = "number".into();
    if unit == Unit::Share {
        head["unit"] = "share".into();
    }
    head["exponent"] = coded.exponent.into();
    head["first"] = coded.first.into();
    add_codes(&mut head, &coded.codes, planes);
    if let Some(ranks) = ranks {
        let mut order = json!({});
        add_codes(&mut order, &order_among_equals(&coded.codes, ranks), planes);
        head["order"] = order;
    }
    Some(head)
}

/// Adds the planes of some codes, and to their description where they are.
fn add_codes(head: &mut serde_json::Value, codes: &[u32], planes: &mut Vec<u8>) {
    let most = codes.iter().max().copied().unwrap_or(0);
    let bytes = (u32::BITS - most.leading_zeros()).div_ceil(8).max(1);
    head["bytes"] = bytes.into();
    head["offset"] = planes.len().into();
    for plane in 0..bytes {
        planes.extend(codes.iter().map(|code| (code >> (8 * plane)) as u8));
    }
}

/// The place of each neuron among those of the same code, from 0, the first in rank first. Ranks are from 1, 0 is none.
fn order_among_equals(codes: &[u32], ranks: &[u32]) -> Vec<u32> {
    let mut by_rank = vec![None; codes.len() + 1];
    for (at, &rank) in ranks.iter().enumerate().filter(|(_, rank)| **rank > 0) {
        by_rank[rank as usize] = Some(at);
    }
    let mut seen = HashMap::new();
    let mut order = vec![0; codes.len()];
    for at in by_rank.into_iter().flatten().filter(|&at| codes[at] > 0) {
        let place: &mut u32 = seen.entry(codes[at]).or_default();
        order[at] = *place;
        *place += 1;
    }
    order
}

/// The tokens that columns name, each once.
#[derive(Default)]
struct TokenTable {
    ids: Vec<u32>,
    known: HashMap<u32, u32>,
}

impl TokenTable {
    /// Places in the table from 1; 0 for no token.
    fn codes(&mut self, tokens: &[u32]) -> Vec<u32> {
        let code = |&token: &u32| {
            if token == NO_TOKEN {
                return 0;
            }
            *self.known.entry(token).or_insert_with(|| {
                self.ids.push(token);
                self.ids.len() as u32
            })
        };
        tokens.iter().map(code).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_numbers_are_in_the_order_of_their_ranks() {
        let codes = [7, 9, 7, 0, 9, 7];
        let ranks = [5, 1, 3, 0, 2, 4];
        assert_eq!(order_among_equals(&codes, &ranks), [2, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn codes_take_as_many_bytes_as_they_need() {
        let (mut planes, mut head) = (Vec::new(), json!({}));
        add_codes(&mut head, &[1, 0x102, 0x01_0000], &mut planes);
        assert_eq!(head, json!({"bytes": 3, "offset": 0}));
        assert_eq!(planes, [1, 2, 0, 0, 1, 0, 0, 0, 1]);
        add_codes(&mut head, &[0, 0, 0], &mut planes);
        assert_eq!(head, json!({"bytes": 1, "offset": 9}));
    }
}
