//! The examples of a neuron as a packed file has them: those that are kept, with pointers into the text in place of tokens.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use crate::atlas::{QUANTITIES, Window};
use crate::ids::Pos;
use crate::site::data::{ExampleTokens, Examples, NeuronData, Reach};
use crate::site::encode::fields::{Fields, Short};
use crate::site::pack::{Bytes, Quality, TextMap};
use crate::site::source::Source;
use crate::site::text::format::round;

/// The largest step of a window with all its bits.
const LARGEST_STEP: f32 = 127.0;

/// Lists of examples by name.
pub(crate) struct ListsRecord<'a>(Vec<(&'a str, ListRecord)>);

impl Serialize for ListsRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, list)| (name, list)))
    }
}

/// A list of examples.
#[derive(Serialize)]
pub(crate) struct ListRecord {
    rows: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicates: Option<Vec<usize>>,
    /// How many examples the atlas has in it, if some are left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<usize>,
}

/// An example without its text.
#[derive(Serialize)]
pub(crate) struct ExampleRecord<'a> {
    /// Where its window begins among the positions of all documents.
    at: u64,
    peak: usize,
    value: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_post: Option<f32>,
    /// If it is not a 127th of the value's magnitude.
    #[serde(skip_serializing_if = "Option::is_none")]
    scale: Option<Short>,
    #[serde(serialize_with = "as_bytes")]
    values: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest: Option<f32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    context_starts: Vec<usize>,
    /// Whether hooks beside its values were kept.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    hooks: bool,
    #[serde(skip)]
    row: &'a ExampleTokens<'a>,
}

/// A hook beside the values of an example.
#[derive(Serialize)]
pub(crate) struct HookRecord {
    scale: Option<Short>,
    #[serde(serialize_with = "as_bytes")]
    values: Vec<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    largest: Option<f32>,
}

fn as_bytes<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    Bytes(bytes).serialize(serializer)
}

/// What is kept of a neuron's examples.
pub(crate) struct PackedExamples<'a> {
    pub(crate) lists: ListsRecord<'a>,
    pub(crate) examples: Vec<ExampleRecord<'a>>,
}

impl<'a> PackedExamples<'a> {
    pub(crate) fn new(
        data: &'a NeuronData<'a>,
        source: &Source,
        text: &TextMap,
        quality: Quality,
    ) -> Self {
        let examples = &data.examples;
        let kept = kept(data, quality.n_examples);
        let mut rows = HashMap::new();
        let mut records = Vec::new();
        let lists = examples.lists.iter().zip(&kept).map(|(list, n)| {
            let rows = list.rows[..*n].iter().map(|row| {
                *rows.entry(*row).or_insert_with(|| {
                    records.push(record(&examples.rows[*row], source, text, quality));
                    records.len() - 1
                })
            });
            let duplicates = &list.duplicates[..*n];
            let has_any = duplicates.iter().any(|n| *n > 0);
            let record = ListRecord {
                rows: rows.collect(),
                duplicates: has_any.then(|| duplicates.to_vec()),
                of: (*n < list.rows.len()).then_some(list.rows.len()),
            };
            (list.name, record)
        });
        Self {
            lists: ListsRecord(lists.collect()),
            examples: records,
        }
    }

    /// The hooks beside the values of the examples that are kept; nothing if none has any.
    pub(crate) fn hooks(&self, quality: Quality) -> Option<Vec<Option<Fields<HookRecord>>>> {
        let bits = quality.bits;
        let of = |record: &ExampleRecord<'_>| {
            if !record.hooks {
                return None;
            }
            let (hooks, reaches) = record.row.hooks?;
            let hook = |at: usize| HookRecord {
                scale: round(hooks[at].scale.into()).map(Short),
                values: steps(&hooks[at], bits),
                largest: reaches[at].exceeded(),
            };
            let names = QUANTITIES.into_iter().take(3).enumerate();
            Some(Fields(names.map(|(at, name)| (name, hook(at))).collect()))
        };
        let hooks: Vec<_> = self.examples.iter().map(of).collect();
        hooks.iter().any(Option::is_some).then_some(hooks)
    }
}

fn record<'a>(
    row: &'a ExampleTokens<'a>,
    source: &Source,
    text: &TextMap,
    quality: Quality,
) -> ExampleRecord<'a> {
    let (example, window) = (row.example, &row.example.window);
    let is_usual = window.scale == example.value.abs() / LARGEST_STEP;
    ExampleRecord {
        at: text
            .place(example.doc, Pos(window.start))
            .unwrap_or_default(),
        peak: row.peak(),
        value: example.value,
        hook_post: example.post,
        scale: (!is_usual)
            .then(|| round(window.scale.into()).map(Short))
            .flatten(),
        values: steps(window, quality.bits),
        largest: Reach::exceeded(&row.reach),
        context_starts: source.context_starts(window),
        hooks: quality.hooks && row.hooks.is_some(),
        row,
    }
}

/// A window's steps as bytes, of which so many bits are kept.
fn steps(window: &Window, bits: u8) -> Vec<u8> {
    let largest = f32::from((1u8 << (bits.clamp(2, 8) - 1)) - 1);
    let coarse = |step: &i8| match (*step, bits) {
        (Window::NOT_FINITE, _) | (_, 8..) => *step as u8,
        (step, _) => (f32::from(step) * largest / LARGEST_STEP).round() as i8 as u8,
    };
    window.steps.iter().map(coarse).collect()
}

/// How many examples of each list are kept, if so many are in all.
fn kept(data: &NeuronData<'_>, n_examples: Option<usize>) -> Vec<usize> {
    let Examples { lists, rows, .. } = &data.examples;
    let mut kept: Vec<usize> = lists.iter().map(|list| list.rows.len()).collect();
    let Some(n_examples) = n_examples.filter(|n| *n < rows.len()) else {
        return kept;
    };
    let main = data.side().list().name();
    let weight = |name: &str| match name {
        "top" | "bottom" => 1.0 + f64::from(u8::from(name == main)),
        _ if name.starts_with("gate") => 0.5,
        _ => 0.2,
    };
    // the examples in the order in which they are wanted: the better of a list, and of lists that say more, first
    let mut wanted: Vec<(f64, usize, usize)> = Vec::new();
    for (at, list) in lists.iter().enumerate() {
        let weight = weight(list.name);
        wanted.extend((0..list.rows.len()).map(|rank| ((rank as f64 + 0.5) / weight, at, rank)));
    }
    wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    kept.iter_mut().for_each(|n| *n = 0);
    let mut taken = vec![false; rows.len()];
    let mut n_taken = 0;
    for (_, at, rank) in wanted {
        let row = lists[at].rows[rank];
        if !taken[row] {
            if n_taken == n_examples {
                continue;
            }
            taken[row] = true;
            n_taken += 1;
        }
        // a list is kept from its beginning
        if kept[at] == rank {
            kept[at] = rank + 1;
        }
    }
    kept
}
