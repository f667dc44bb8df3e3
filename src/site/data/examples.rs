use std::collections::HashMap;

use crate::atlas::{AtlasNeuron, Example, Window};
use crate::ids::{DocId, Pos, TokenId};

use crate::site::error::SiteError;
use crate::site::source::Source;

/// The examples of one neuron with their tokens.
pub(crate) struct Examples<'a> {
    /// Each example once, whatever lists have it.
    pub(crate) rows: Vec<ExampleTokens<'a>>,
    /// The lists, in the order of the atlas.
    pub(crate) lists: Vec<List<'a>>,
    /// The largest magnitude at their counted positions, which colours reach.
    pub(crate) scale_max: f32,
}

/// An example and the tokens of its window.
pub(crate) struct ExampleTokens<'a> {
    pub(crate) example: &'a Example,
    pub(crate) tokens: Vec<TokenId>,
    /// The largest magnitude at the counted positions of its window.
    pub(crate) largest: f32,
    /// Whether a value at another position is larger.
    pub(crate) is_exceeded: bool,
}

/// A list of examples.
pub(crate) struct List<'a> {
    pub(crate) name: &'a str,
    /// Its examples, best first.
    pub(crate) rows: Vec<usize>,
    /// How many further documents peak on the same context as each.
    pub(crate) duplicates: Vec<usize>,
}

impl<'a> ExampleTokens<'a> {
    fn read(example: &'a Example, source: &Source) -> Result<Self, SiteError> {
        let Window {
            start,
            steps,
            scale,
        } = &example.window;
        let tokens = source.tokens(example.doc, *start..start + steps.len() as u32)?;
        let peak = (example.pos.0 - start) as usize;
        let (mut counted, mut any) = (0, 0);
        for (at, (&step, &token)) in steps.iter().zip(&tokens).enumerate() {
            if at == peak || step == Window::NOT_FINITE {
                continue;
            }
            let size = step.unsigned_abs();
            any = size.max(any);
            if size > counted && source.counts(Pos(start + at as u32), token) {
                counted = size;
            }
        }
        // the peak counts, and its value is exact
        let largest = example.value.abs().max(f32::from(counted) * scale);
        Ok(Self {
            example,
            tokens,
            largest,
            is_exceeded: f32::from(any) * scale > largest,
        })
    }

    /// Index of the peak within the window.
    pub(crate) fn peak(&self) -> usize {
        (self.example.pos.0 - self.example.window.start) as usize
    }
}

impl<'a> Examples<'a> {
    /// Reads the text of a neuron's examples.
    pub(crate) fn read(neuron: &'a AtlasNeuron, source: &Source) -> Result<Self, SiteError> {
        let mut rows: Vec<ExampleTokens<'a>> = Vec::with_capacity(neuron.examples.len());
        let mut lists: Vec<List<'a>> = Vec::new();
        let mut known: HashMap<(DocId, Pos), Vec<usize>> = HashMap::new();
        for entry in &neuron.examples {
            let example = &entry.example;
            // lists of other hooks can peak at the same place, with other values
            let same = |row: &&usize| {
                let known = rows[**row].example;
                known.value == example.value
                    && known.post == example.post
                    && known.window == example.window
            };
            let there = known.entry((example.doc, example.pos)).or_default();
            let row = match there.iter().find(same) {
                Some(&row) => row,
                None => {
                    rows.push(ExampleTokens::read(example, source)?);
                    there.push(rows.len() - 1);
                    rows.len() - 1
                }
            };
            if lists.last().is_none_or(|list| list.name != entry.list) {
                lists.push(List {
                    name: &entry.list,
                    rows: Vec::new(),
                    duplicates: Vec::new(),
                });
            }
            if let Some(list) = lists.last_mut() {
                list.rows.push(row);
                list.duplicates.push(example.duplicates.len());
            }
        }
        let largest = rows.iter().map(|row| row.largest);
        Ok(Self {
            scale_max: largest.fold(0.0, f32::max),
            rows,
            lists,
        })
    }

    /// The examples of a list.
    pub(crate) fn of(&self, list: &str) -> impl Iterator<Item = &ExampleTokens<'a>> {
        let list = self.lists.iter().find(|of| of.name == list);
        let rows = list.map_or(&[][..], |list| &list.rows);
        rows.iter().map(|&row| &self.rows[row])
    }
}
