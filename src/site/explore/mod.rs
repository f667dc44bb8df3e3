//! One small file with what is said of every neuron of a model, which the explore page filters and sorts.
//!
//! `explore.bin.gz`, unpacked: the length of the header (u32, little-endian), the header (JSON), the columns. A column
//! of b bytes is b planes, one byte of every neuron each, the lowest first. Numbers are what readers are shown, with
//! three digits; where neurons are ranked, those with the same number are told apart by their order.

mod columns;
mod steps;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::atlas::facts::{Fact, RANKED, Unit, facts};
use crate::atlas::{Class, Role, Side, SignCase};
use crate::ids::TokenId;

use self::columns::{Columns, NO_TOKEN, as_shown};
use self::steps::Codes;
use super::address;
use super::data::{LayerData, NeuronData};
use super::error::SiteError;
use super::pack::gzip;
use super::part::ModelPart;
use super::section::Section;
use super::text::texts::safe_in_html;

/// Name of the file, beside the model's page.
pub(super) const FILE: &str = "explore.bin.gz";

const SCHEMA: &str = "neuroscope/explore/v1";

/// Collects the columns of a model, and writes them.
pub(super) struct Explore<'a> {
    part: ModelPart<'a>,
    layers: Mutex<BTreeMap<u32, Columns>>,
    of_examples: Mutex<OfExamples>,
}

/// What only a neuron's statistics and examples tell.
struct OfExamples {
    /// The token at the peak of the first example of the side that dominates.
    peak: Vec<u32>,
    /// Steps, by sign case.
    shares: Option<[Vec<i32>; SignCase::ALL.len()]>,
}

impl<'a> Explore<'a> {
    pub(super) fn new(part: ModelPart<'a>) -> Self {
        let n_neurons = part.n_neurons();
        let numbers = || vec![steps::NONE; n_neurons];
        Self {
            part,
            layers: Mutex::default(),
            of_examples: Mutex::new(OfExamples {
                peak: vec![NO_TOKEN; n_neurons],
                shares: (part.model.gated).then(|| std::array::from_fn(|_| numbers())),
            }),
        }
    }
}

impl Section for Explore<'_> {
    fn layer(&self, layer: &LayerData<'_>) -> Result<(), SiteError> {
        let columns = Columns::of(layer, &self.part);
        let layers = self.layers.lock();
        layers
            .unwrap_or_else(PoisonError::into_inner)
            .insert(layer.layer, columns);
        Ok(())
    }

    fn neuron(&self, data: &NeuronData<'_>) -> Result<(), SiteError> {
        let (flat, stats) = (data.flat as usize, &data.neuron.stats);
        let peak = data.main().next().map(|row| row.tokens[row.peak()].0);
        let of_examples = self.of_examples.lock();
        let mut of_examples = of_examples.unwrap_or_else(PoisonError::into_inner);
        of_examples.peak[flat] = peak.unwrap_or(NO_TOKEN);
        if let (Some(shares), Some(cases)) = (&mut of_examples.shares, &stats.cases) {
            let n = stats.moments.count;
            for (share, case) in shares.iter_mut().zip(cases.iter()) {
                let value = (n > 0).then(|| case.count as f64 / n as f64);
                share[flat] = as_shown(value, Unit::Share);
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), SiteError> {
        let layers = self.layers.into_inner();
        let layers = layers.unwrap_or_else(PoisonError::into_inner);
        let mut columns = Columns::default();
        layers.into_values().for_each(|next| columns.extend(next));
        let of_examples = self.of_examples.into_inner();
        let of_examples = of_examples.unwrap_or_else(PoisonError::into_inner);
        let file = file(&self.part, &columns, &of_examples)?;
        let name = address::of_model(&self.part.model.name, FILE);
        self.part.site.write(&name, &file)
    }
}

/// The file.
fn file(
    part: &ModelPart<'_>,
    columns: &Columns,
    of_examples: &OfExamples,
) -> Result<Vec<u8>, SiteError> {
    let (model, vocabulary) = (part.model, part.texts.vocabulary());
    let mut planes: Vec<u8> = Vec::new();
    let mut described = Vec::new();
    for (fact, values) in facts().zip(&columns.numbers) {
        let Fact {
            key,
            label,
            definition,
            group,
            unit,
            ..
        } = fact;
        let mut head =
            json!({"name": key, "label": label, "definition": definition, "group": group.name()});
        if let Some(flag) = fact.unranked().filter(|_| model.sided) {
            head["unranked"] = flag.into();
        }
        let ranks = fact.place_in(&RANKED);
        let ranks = ranks.map(|at| columns.ranks[at].as_slice());
        described.extend(number(head, *unit, values, ranks, &mut planes));
    }
    for (case, values) in SignCase::ALL
        .iter()
        .zip(of_examples.shares.iter().flatten())
    {
        let name = case.name();
        let definition = format!(
            "Share of counted tokens with these signs of gate and in: {}.",
            name.replace('_', ", ")
        );
        let mut head = json!({"name": format!("share_{name}"), "label": format!("Share of {}", name.replace('_', " ")), "definition": definition, "group": "signs"});
        if model.sided {
            head["unranked"] = "at_starts".into();
        }
        described.extend(number(head, Unit::Share, values, None, &mut planes));
    }
    let classes = Class::ALL.map(Class::name).to_vec();
    let roles = Role::ALL.map(Role::name).to_vec();
    let sides = Side::ALL.map(Side::name).to_vec();
    let categories = [
        (model.sided, "side", "Side", sides, &columns.side),
        (model.analysed, "class", "Class", classes, &columns.class),
        (model.analysed, "role", "Role", roles, &columns.role),
    ];
    let mut small = |mut head: serde_json::Value, codes: &[u8]| {
        head["bytes"] = 1.into();
        head["offset"] = planes.len().into();
        planes.extend_from_slice(codes);
        described.push(head);
    };
    for (_, name, label, names, codes) in categories.into_iter().filter(|(is_known, ..)| *is_known)
    {
        let head = json!({"name": name, "label": label, "kind": "category", "categories": names});
        small(head, codes);
    }
    let (flags, codes) = columns.known_flags();
    let head = json!({"name": "flags", "label": "Flags", "kind": "flags", "flags": flags});
    small(head, &codes);
    let mut table = TokenTable::default();
    let [promoted, suppressed] = match model.sided {
        true => ["Promoted when it fires", "Suppressed when it fires"],
        false => ["Promoted when positive", "Suppressed when positive"],
    };
    let lists = [
        ("peak", "Token at the peak", &of_examples.peak),
        ("promoted", promoted, &columns.promoted),
        ("suppressed", suppressed, &columns.suppressed),
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
        "model": model.name,
        "n_layers": model.n_layers,
        "d_mlp": model.d_mlp,
        "n_neurons": part.n_neurons(),
        "columns": described,
        "tokens": tokens.collect::<Vec<_>>(),
    });
    let header = safe_in_html(header.to_string());
    let length = (header.len() as u32).to_le_bytes();
    gzip(&[&length, header.as_bytes(), &planes].concat())
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

/// The place of each neuron among those of the same code, from 0: the first in rank first, those without a rank last. Ranks are
/// from 1, 0 is none.
fn order_among_equals(codes: &[u32], ranks: &[u32]) -> Vec<u32> {
    let mut by_rank = vec![None; codes.len() + 1];
    for (at, &rank) in ranks.iter().enumerate().filter(|(_, rank)| **rank > 0) {
        by_rank[rank as usize] = Some(at);
    }
    let mut seen = HashMap::new();
    let mut order = vec![0; codes.len()];
    let unranked = (0..codes.len()).filter(|&at| ranks[at] == 0);
    let all = by_rank.into_iter().flatten().chain(unranked);
    for at in all.filter(|&at| codes[at] > 0) {
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
        // two that rankings leave out
        assert_eq!(
            order_among_equals(&codes, &[0, 1, 2, 0, 0, 3]),
            [2, 0, 0, 0, 1, 1]
        );
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
