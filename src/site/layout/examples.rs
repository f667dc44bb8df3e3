//! The examples of a neuron as a packed file has them: those that are kept, with pointers into the text in place of tokens.

use std::collections::HashSet;

use foldhash::{HashMap, HashMapExt};
use serde::{Serialize, Serializer};

use crate::atlas::{QUANTITIES, Window};
use crate::ids::Pos;
use crate::site::data::{ExampleTokens, Examples, NeuronData, Reach};
use crate::site::encode::fields::Fields;
use crate::site::pack::{Bytes, Quality, Short, TextMap};
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
    /// Where the role of tokens changes, and the roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    turns: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    roles: Vec<&'a str>,
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
        turns: row.turns.iter().map(|(at, _)| *at).collect(),
        roles: row.turns.iter().map(|(_, role)| role.as_str()).collect(),
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
    let named: Vec<(&str, &[usize])> = lists
        .iter()
        .map(|list| (list.name, list.rows.as_slice()))
        .collect();
    match n_examples.filter(|n| *n < rows.len()) {
        None => named.iter().map(|(_, rows)| rows.len()).collect(),
        Some(n) => first_of_each(&named, data.side().list().name(), n),
    }
}

/// How much a list says of its neuron, of which `main` is the list of the dominant side: an example of rank r is wanted as much as one of
/// another list with rank r · other weight / weight.
fn weight(name: &str, main: &str) -> f64 {
    match name {
        "top" | "bottom" if name == main => 4.0,
        "top" | "bottom" => 2.5,
        _ if name.starts_with("gate") => 0.6,
        _ => 0.22,
    }
}

/// How many examples are kept of each of some lists of rows, from its beginning, if `n` different rows are in all.
fn first_of_each(lists: &[(&str, &[usize])], main: &str, n: usize) -> Vec<usize> {
    let mut wanted: Vec<(f64, usize, usize)> = Vec::new();
    for (at, (name, rows)) in lists.iter().enumerate() {
        let weight = weight(name, main);
        wanted.extend((0..rows.len()).map(|rank| ((rank as f64 + 0.5) / weight, at, rank)));
    }
    wanted.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut kept = vec![0; lists.len()];
    let mut taken = HashSet::new();
    for (_, at, rank) in wanted {
        let row = lists[at].1[rank];
        let is_there = taken.contains(&row);
        // a list ends with the first that there is no room for
        if kept[at] == rank && (is_there || taken.len() < n) {
            taken.insert(row);
            kept[at] = rank + 1;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_come_first_then_sign_cases_then_the_others() {
        let rows: Vec<usize> = (0..200).collect();
        let names = [
            "top",
            "bottom",
            "gate+_in+",
            "gate-_in-",
            "random",
            "band_0.9_0.99",
        ];
        let lists: Vec<(&str, &[usize])> = names
            .iter()
            .zip(rows.chunks(20))
            .map(|(name, rows)| (*name, rows))
            .collect();
        let kept = |n| first_of_each(&lists, "bottom", n);
        assert_eq!(kept(2), [1, 1, 0, 0, 0, 0]);
        assert_eq!(kept(8), [2, 4, 1, 1, 0, 0]);
        assert_eq!(kept(24), [7, 11, 2, 2, 1, 1]);
        assert_eq!(kept(24).iter().sum::<usize>(), 24);
        assert_eq!(kept(1_000), [20; 6]);
    }

    #[test]
    fn what_several_lists_have_is_counted_once() {
        let lists: [(&str, &[usize]); 2] = [("top", &[0, 1, 2]), ("gate+_in+", &[0, 1, 3])];
        assert_eq!(first_of_each(&lists, "top", 2), [2, 2]);
        assert_eq!(first_of_each(&lists, "top", 3), [3, 2]);
    }

    #[test]
    fn fewer_bits_are_steps_of_the_same_scale() {
        let window = Window {
            start: 0,
            scale: 1.0,
            steps: [127, -127, 64, 1, 0, Window::NOT_FINITE].into(),
        };
        let of = |bits| steps(&window, bits).into_iter().map(|step| step as i8);
        assert!(of(8).eq(window.steps.iter().copied()));
        assert!(of(5).eq([15, -15, 8, 0, 0, Window::NOT_FINITE]));
    }
}
