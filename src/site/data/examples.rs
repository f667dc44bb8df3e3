use std::collections::HashMap;

use crate::atlas::{AtlasNeuron, Example, Hooks, Window};
use crate::ids::{DocId, Pos, TokenId};

use crate::site::error::SiteError;
use crate::site::source::Source;

/// The examples of one neuron with their tokens.
pub(crate) struct Examples<'a> {
    /// Each example once, whatever lists have it.
    pub(crate) rows: Vec<ExampleTokens<'a>>,
    /// The lists, in the order of the atlas.
    pub(crate) lists: Vec<List<'a>>,
}

/// An example and the tokens of its window.
pub(crate) struct ExampleTokens<'a> {
    pub(crate) example: &'a Example,
    pub(crate) tokens: Vec<TokenId>,
    /// The hooks beside its values, if one of its lists has them.
    pub(crate) hooks: Option<&'a Hooks>,
}

/// A list of examples.
pub(crate) struct List<'a> {
    pub(crate) name: &'a str,
    /// Its examples, best first.
    pub(crate) rows: Vec<usize>,
    /// How many further documents peak on the same context as each.
    pub(crate) duplicates: Vec<usize>,
}

impl ExampleTokens<'_> {
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
                    let window = &example.window;
                    let positions = window.start..window.start + window.steps.len() as u32;
                    let tokens = source.tokens(example.doc, positions)?;
                    let hooks = None;
                    rows.push(ExampleTokens {
                        example,
                        tokens,
                        hooks,
                    });
                    there.push(rows.len() - 1);
                    rows.len() - 1
                }
            };
            rows[row].hooks = rows[row].hooks.or(example.hooks.as_deref());
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
        Ok(Self { rows, lists })
    }

    /// The examples of a list.
    pub(crate) fn of(&self, list: &str) -> impl Iterator<Item = &ExampleTokens<'a>> {
        let list = self.lists.iter().find(|of| of.name == list);
        let rows = list.map_or(&[][..], |list| &list.rows);
        rows.iter().map(|&row| &self.rows[row])
    }

    /// The largest magnitude of all values around the peaks.
    pub(crate) fn largest(&self) -> f32 {
        let largest = |row: &ExampleTokens<'_>| {
            let Window { scale, steps, .. } = &row.example.window;
            let finite = steps.iter().filter(|step| **step != Window::NOT_FINITE);
            let most = finite.map(|step| step.unsigned_abs()).max();
            f32::from(most.unwrap_or(0)) * scale
        };
        self.rows.iter().map(largest).fold(0.0, f32::max)
    }
}
