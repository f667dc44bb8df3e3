//! What is said of every neuron of a model by column, which the explore page filters and sorts.
//!
//! Numbers are what readers are shown, with three digits; where neurons are ranked, those with the same number are told
//! apart by their order. A column of b bytes is b planes, one byte of every neuron each, the lowest first. In a site of pages
//! `explore.bin.gz` has all columns: the length of the header (u32, little-endian), the header (JSON), the planes. Where neurons
//! are packed, the header is a file, and so is each column.

mod columns;
mod steps;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde_json::json;

use crate::atlas::facts::{Fact, RANKED, Unit, facts};
use crate::atlas::{Class, Role, Side, SignCase};
use crate::ids::TokenId;

use self::columns::{Columns, NO_TOKEN, as_shown};
use self::steps::Codes;
use super::address;
use super::data::{LayerData, NeuronData};
use super::error::SiteError;
use super::pack::{BuildId, Bytes, Effort, gunzip, gzip};
use super::part::ModelPart;
use super::section::Section;
use super::text::texts::{json as json_file, safe_in_html};

/// Names of the file with all columns, and of the header of columns that are files of their own, in the model's folder.
const FILE: &str = "explore.bin.gz";
const INDEX: &str = "explore/index.json";
/// The column of what was said.
const SAID: &str = "said";

const SCHEMA: &str = "neuroscope/explore/v1";
const INDEX_SCHEMA: &str = "neuroscope/explore-index/v1";

/// Where a reader of a model begins.
pub(super) fn first_file(part: &ModelPart<'_>) -> &'static str {
    match part.packing {
        None => FILE,
        Some(_) => INDEX,
    }
}

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
        let columns = Columns::of(layer);
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
        let mut layers = layers.unwrap_or_else(PoisonError::into_inner);
        let mut columns = Columns::default();
        for layer in 0..self.part.model.n_layers {
            let missing = || Columns::missing(self.part.model.d_mlp as usize);
            columns.extend(layers.remove(&layer).unwrap_or_else(missing));
        }
        let of_examples = self.of_examples.into_inner();
        let of_examples = of_examples.unwrap_or_else(PoisonError::into_inner);
        match self.part.packing {
            None => write_together(&self.part, &columns, &of_examples),
            Some(packing) => write_apart(&self.part, packing.build, &columns, &of_examples),
        }
    }
}

/// A column as it is written.
struct Column {
    /// What is said of it.
    head: serde_json::Value,
    /// Of tokens, their ids.
    codes: Vec<u32>,
    /// The place of each neuron among those of the same code.
    order: Option<Vec<u32>>,
    of_tokens: bool,
}

impl Column {
    fn named(&self) -> &str {
        self.head["name"].as_str().unwrap_or_default()
    }
}

/// The header, of which `more` is that of one kind of files.
fn header(
    part: &ModelPart<'_>,
    schema: &str,
    columns: Vec<serde_json::Value>,
    more: (&str, serde_json::Value),
) -> serde_json::Value {
    let mut header = json!({
        "schema": schema,
        "model": part.model.name,
        "n_layers": part.model.n_layers,
        "d_mlp": part.model.d_mlp,
        "n_neurons": part.n_neurons(),
        "columns": columns,
    });
    if part.scan().policy.layers.is_some() {
        header["layers_scanned"] = part.scan().layers().into();
    }
    header[more.0] = more.1;
    header
}

/// Writes all columns as one file.
fn write_together(
    part: &ModelPart<'_>,
    columns: &Columns,
    of_examples: &OfExamples,
) -> Result<(), SiteError> {
    let (mut planes, mut table) = (Vec::new(), TokenTable::default());
    let mut add = |head: &mut serde_json::Value, codes: &[u32]| {
        let bytes = bytes_of(codes);
        head["bytes"] = bytes.into();
        head["offset"] = planes.len().into();
        planes.extend(planes_of(codes, bytes));
    };
    let mut heads = Vec::new();
    for mut column in all_columns(part, columns, of_examples) {
        if column.of_tokens {
            column.codes = table.codes(&column.codes);
        }
        add(&mut column.head, &column.codes);
        if let Some(codes) = &column.order {
            let mut order = json!({});
            add(&mut order, codes);
            column.head["order"] = order;
        }
        heads.push(column.head);
    }
    let header = header(part, SCHEMA, heads, ("tokens", table.texts(part).into()));
    let header = safe_in_html(header.to_string());
    let length = (header.len() as u32).to_le_bytes();
    let file = gzip(
        &[&length, header.as_bytes(), &planes].concat(),
        Effort::Most,
    )?;
    part.site
        .write(&address::of_model(&part.model.name, FILE), &file)
}

/// A column, or the order among equals of one, as a packed file.
#[derive(Serialize)]
struct ColumnRecord<'a> {
    codes: Bytes<'a>,
    /// What the codes of tokens stand for, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    tokens: Option<Vec<String>>,
}

/// Writes a column as a file, and adds where it is to what is said of it.
fn write_column(
    part: &ModelPart<'_>,
    head: &mut serde_json::Value,
    name: &str,
    codes: &[u32],
    tokens: Option<Vec<String>>,
) -> Result<(), SiteError> {
    let bytes = bytes_of(codes);
    let file = format!("explore/{name}");
    head["bytes"] = bytes.into();
    head["file"] = address::in_gzip(&file).into();
    let planes: Vec<u8> = planes_of(codes, bytes).collect();
    let codes = Bytes(&planes);
    part.write_record(&file, &ColumnRecord { codes, tokens })
}

/// Writes each column as a file, and what is said of them as another.
fn write_apart(
    part: &ModelPart<'_>,
    build: BuildId,
    columns: &Columns,
    of_examples: &OfExamples,
) -> Result<(), SiteError> {
    let mut heads = Vec::new();
    for mut column in all_columns(part, columns, of_examples) {
        // a host may take a plus sign for a space
        let name = column.named().replace('+', "p").replace('-', "n");
        let tokens = column.of_tokens.then(|| {
            let mut table = TokenTable::default();
            column.codes = table.codes(&column.codes);
            table.texts(part)
        });
        if column.head["kind"] == "number" {
            let some = || column.codes.iter().filter(|code| **code > 0);
            column.head["extent"] = json!([some().min(), some().max()]);
        }
        write_column(part, &mut column.head, &name, &column.codes, tokens)?;
        if let Some(codes) = &column.order {
            let mut order = json!({});
            write_column(part, &mut order, &format!("{name}-order"), codes, None)?;
            column.head["order"] = order;
        }
        heads.push(column.head);
    }
    let header = header(part, INDEX_SCHEMA, heads, ("build", build.hex().into()));
    part.write_json(INDEX, &json_file(&header)?)
}

/// All columns, each made when its turn comes.
fn all_columns<'c>(
    part: &'c ModelPart<'c>,
    columns: &'c Columns,
    of_examples: &'c OfExamples,
) -> impl Iterator<Item = Column> {
    let model = part.model;
    let measured = facts().zip(&columns.numbers).filter_map(|(fact, values)| {
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
        number(head, *unit, values, ranks)
    });
    let shares = of_examples.shares.iter().flatten();
    let shares = SignCase::ALL.iter().zip(shares).filter_map(|(case, values)| {
        let name = case.name();
        let definition = format!(
            "Share of counted tokens with these signs of gate and in: {}.",
            name.replace('_', ", ")
        );
        let mut head = json!({"name": format!("share_{name}"), "label": format!("Share of {}", name.replace('_', " ")), "definition": definition, "group": "signs"});
        if model.sided {
            head["unranked"] = "at_starts".into();
        }
        number(head, Unit::Share, values, None)
    });
    let classes = Class::ALL.map(Class::name).to_vec();
    let roles = Role::ALL.map(Role::name).to_vec();
    let sides = Side::ALL.map(Side::name).to_vec();
    let categories = [
        (model.sided, "side", "Side", sides, &columns.side),
        (model.analysed, "class", "Class", classes, &columns.class),
        (model.analysed, "role", "Role", roles, &columns.role),
    ];
    let categories = categories.into_iter().filter(|(is_known, ..)| *is_known);
    let categories = categories.map(|(_, name, label, names, codes)| {
        let head = json!({"name": name, "label": label, "kind": "category", "categories": names});
        plain(head, codes)
    });
    let flags = std::iter::once_with(|| {
        let (flags, codes) = columns.known_flags();
        let head = json!({"name": "flags", "label": "Flags", "kind": "flags", "flags": flags});
        plain(head, &codes)
    });
    let [promoted, suppressed] = match model.sided {
        true => ["Promoted when it fires", "Suppressed when it fires"],
        false => ["Promoted when positive", "Suppressed when positive"],
    };
    let tokens = [
        ("peak", "Token at the peak", &of_examples.peak),
        ("promoted", promoted, &columns.promoted),
        ("suppressed", suppressed, &columns.suppressed),
    ];
    let tokens = tokens
        .into_iter()
        .filter(|(.., tokens)| tokens.iter().any(|&token| token != NO_TOKEN));
    let tokens = tokens.map(|(name, label, tokens)| Column {
        head: json!({"name": name, "label": label, "kind": "token"}),
        codes: tokens.clone(),
        order: None,
        of_tokens: true,
    });
    let others = categories.chain(flags).chain(tokens);
    let said = std::iter::once_with(|| said(part));
    measured.chain(shares).chain(others).chain(said)
}

/// The column of what was said. It is the last, of one byte a neuron, so that it can take the place of that of the last build.
fn said(part: &ModelPart<'_>) -> Column {
    let mut codes = vec![0; part.n_neurons()];
    for (id, said) in part.documented() {
        let flat = (id.layer * part.model.d_mlp + id.neuron) as usize;
        codes[flat] = u8::from(said.note.is_some()) | u8::from(!said.explanations.is_empty()) << 1;
    }
    let head = json!({"name": SAID, "label": "What was said", "kind": "flags", "flags": ["note", "explanation"]});
    plain(head, &codes)
}

/// Writes what was said again, where all else is as it was at the last build.
pub(super) fn rewrite_said(part: &ModelPart<'_>) -> Result<(), SiteError> {
    let mut column = said(part);
    if part.packing.is_some() {
        return write_column(part, &mut column.head, SAID, &column.codes, None);
    }
    let name = address::of_model(&part.model.name, FILE);
    let last = gunzip(&part.site.output.last(&name)?)?;
    let others = last.len().saturating_sub(column.codes.len());
    let planes: Vec<u8> = planes_of(&column.codes, 1).collect();
    match last[others..] == planes {
        true => Ok(()),
        false => part.site.write(
            &name,
            &gzip(&[&last[..others], &planes].concat(), Effort::Most)?,
        ),
    }
}

/// A column of numbers with how to read its codes, unless no neuron has one.
fn number(
    mut head: serde_json::Value,
    unit: Unit,
    steps: &[i32],
    ranks: Option<&[u32]>,
) -> Option<Column> {
    let coded = Codes::of(steps)?;
    head["kind"] = "number".into();
    if unit == Unit::Share {
        head["unit"] = "share".into();
    }
    head["exponent"] = coded.exponent.into();
    head["first"] = coded.first.into();
    let order = ranks.map(|ranks| order_among_equals(&coded.codes, ranks));
    Some(Column {
        head,
        codes: coded.codes,
        order,
        of_tokens: false,
    })
}

/// A column of codes of one byte.
fn plain(head: serde_json::Value, codes: &[u8]) -> Column {
    Column {
        head,
        codes: codes.iter().copied().map(u32::from).collect(),
        order: None,
        of_tokens: false,
    }
}

/// Bytes that each of some codes needs.
fn bytes_of(codes: &[u32]) -> u32 {
    let most = codes.iter().max().copied().unwrap_or(0);
    (u32::BITS - most.leading_zeros()).div_ceil(8).max(1)
}

/// The planes of codes of so many bytes.
fn planes_of(codes: &[u32], bytes: u32) -> impl Iterator<Item = u8> {
    (0..bytes).flat_map(move |plane| codes.iter().map(move |code| (code >> (8 * plane)) as u8))
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

    fn texts(&self, part: &ModelPart<'_>) -> Vec<String> {
        let vocabulary = part.texts.vocabulary();
        let texts = self.ids.iter().map(|&id| vocabulary.text(TokenId(id)));
        texts.map(String::from).collect()
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
        let codes = [1, 0x102, 0x01_0000];
        assert_eq!(bytes_of(&codes), 3);
        let planes: Vec<u8> = planes_of(&codes, 3).collect();
        assert_eq!(planes, [1, 2, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!([&[0, 0][..], &[255], &[256]].map(bytes_of), [1, 1, 2]);
    }
}
