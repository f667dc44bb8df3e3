use foldhash::{HashMap, HashMapExt};

use crate::atlas::{AtlasNeuron, Example, ExampleRow, Hooks, Window};
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
    /// Whether each of them has a role that is counted; `None` if all roles are.
    is_chosen: Option<Vec<bool>>,
    /// Indices of tokens where the role changes, each with the role from there on; empty where tokens have none.
    pub(crate) turns: Vec<(usize, String)>,
    /// The largest of its values.
    pub(crate) reach: Reach,
    /// The hooks beside its values, if one of its lists has them, and the largest of their values.
    pub(crate) hooks: Option<(&'a Hooks, [Reach; 3])>,
}

/// A list of examples.
pub(crate) struct List<'a> {
    pub(crate) name: &'a str,
    /// Its examples, best first.
    pub(crate) rows: Vec<usize>,
    /// How many further documents peak on the same context as each.
    pub(crate) duplicates: Vec<usize>,
}

/// The largest magnitudes of a window.
#[derive(Clone, Copy)]
pub(crate) struct Reach {
    /// At counted positions.
    pub(crate) counted: f32,
    /// At any.
    pub(crate) overall: f32,
}

impl Reach {
    /// That of a window in which one value, which counts, is known exactly.
    fn of(
        window: &Window,
        exact: Option<(Pos, f32)>,
        tokens: &[TokenId],
        is_chosen: Option<&[bool]>,
        source: &Source,
    ) -> Self {
        let sizes = || {
            let steps = (window.start..).map(Pos).zip(&window.steps);
            steps.zip(tokens).map(|((pos, &step), &token)| {
                let is_left_out =
                    step == Window::NOT_FINITE || exact.is_some_and(|(at, _)| at == pos);
                let size = if is_left_out { 0 } else { step.unsigned_abs() };
                (size, pos, token)
            })
        };
        let overall = sizes().map(|(size, ..)| size).max().unwrap_or(0);
        let counts = |&(_, pos, token): &(u8, Pos, TokenId)| {
            let at = (pos.0 - window.start) as usize;
            is_chosen.is_none_or(|is_chosen| is_chosen[at]) && source.counts(pos, token)
        };
        // the largest of all nearly always counts
        let counted = match sizes().any(|of| of.0 == overall && counts(&of)) {
            true => overall,
            false => sizes().filter(counts).map(|of| of.0).max().unwrap_or(0),
        };
        let exact = exact.map_or(0.0, |(_, value)| value.abs());
        let largest = |steps: u8| exact.max(f32::from(steps) * window.scale);
        Self {
            counted: largest(counted),
            overall: largest(overall),
        }
    }

    /// The largest magnitude at counted positions, where one at another position is larger.
    pub(crate) fn exceeded(&self) -> Option<f32> {
        (self.overall > self.counted).then_some(self.counted)
    }
}

impl<'a> ExampleTokens<'a> {
    fn read(row: &'a ExampleRow, source: &Source) -> Result<Self, SiteError> {
        let example = &row.example;
        let tokens = source.tokens(row)?;
        let exact = Some((example.pos, example.value));
        let window = &example.window;
        let positions = window.start..window.start + window.steps.len() as u32;
        let roles = source.roles(example.doc, positions)?;
        let is_chosen = roles.as_ref().and_then(|roles| source.is_chosen(roles));
        let reach = Reach::of(window, exact, &tokens, is_chosen.as_deref(), source);
        Ok(Self {
            example,
            tokens,
            is_chosen,
            turns: roles.map_or_else(Vec::new, |roles| source.turns(&roles)),
            reach,
            hooks: None,
        })
    }

    fn add_hooks(&mut self, hooks: &'a Hooks, source: &Source) {
        let is_chosen = self.is_chosen.as_deref();
        let reach = |window| Reach::of(window, None, &self.tokens, is_chosen, source);
        self.hooks = Some((hooks, hooks.each_ref().map(reach)));
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
                    rows.push(ExampleTokens::read(entry, source)?);
                    there.push(rows.len() - 1);
                    rows.len() - 1
                }
            };
            if let Some(hooks) = &example.hooks
                && rows[row].hooks.is_none()
            {
                rows[row].add_hooks(hooks, source);
            }
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
        let largest = rows.iter().map(|row| row.reach.counted);
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
