//! Which neurons have a word in their examples: files that a page searches.
//!
//! A neuron's most positive and most negative examples count: a word that an example fires on, with at
//! least half of its peak, or that two examples have. Of the neurons of a word, the best are kept, so that memory and
//! files grow with the number of words, not of neurons.

use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::atlas::Window;

use super::files::write_files;
use super::hash::{ByHash, WordHash};
use super::pieces::{WordPieces, WordPlace, words_of_any, words_of_whole};
use super::postings::{MOST, Posting, Word};
use super::units::{LONGEST, words};
use crate::site::data::{ExampleTokens, Examples, NeuronData};
use crate::site::error::SiteError;
use crate::site::part::ModelPart;
use crate::site::section::Section;

const SCHEMA: &str = "neuroscope/words/v1";
const FILE_SCHEMA: &str = "neuroscope/word-neurons/v1";
const SHARDS: usize = 64;
/// Lists whose examples count.
const LISTS: [&str; 2] = ["top", "bottom"];

/// Collects the words of a model, and writes them.
pub(crate) struct Words<'a> {
    part: ModelPart<'a>,
    pieces: WordPieces,
    shards: Vec<Mutex<ByHash<Word>>>,
}

/// How often a neuron has a word. Small, since a neuron has many.
struct Count {
    fires: u8,
    holds: u8,
    /// The example that was counted last, and whether it fires.
    example: u8,
    fired: bool,
    /// Where the word stands in the first example that fires on it, or else has it: the example, and the tokens from
    /// the first to the one behind the last.
    row: u8,
    from: u16,
    until: u16,
}

/// A word of one neuron of several.
struct Found {
    hash: u64,
    count: Count,
    /// Which of them.
    neuron: usize,
}

/// What a thread needs while it counts; empty in between.
struct Space {
    counts: ByHash<Count>,
    /// By shard.
    found: [Vec<Found>; SHARDS],
}

thread_local! {
    static SPACE: RefCell<Space> = RefCell::new(Space {
        counts: ByHash::default(),
        found: [const { Vec::new() }; SHARDS],
    });
}

/// The examples of a neuron that count, with the place of each: its rank in `top`, or below zero in `bottom`.
struct Rows<'a>(Vec<(&'a ExampleTokens<'a>, i16)>);

impl<'a> Rows<'a> {
    fn of(examples: &'a Examples<'a>) -> Self {
        let mut rows: Vec<(&ExampleTokens<'_>, i16)> = Vec::new();
        for (list, sign) in LISTS.into_iter().zip([1, -1]) {
            for (rank, row) in (1..).zip(examples.of(list)) {
                // of a small corpus an example may be in both lists
                let is_new = !rows.iter().any(|(other, _)| std::ptr::eq(*other, row));
                if is_new && rows.len() < usize::from(u8::MAX) {
                    rows.push((row, sign * rank));
                }
            }
        }
        Self(rows)
    }
}

impl Section for Words<'_> {
    fn neurons(&self, neurons: &[NeuronData<'_>]) -> Result<(), SiteError> {
        let rows = neurons.iter().map(|neuron| Rows::of(&neuron.examples));
        let rows: Vec<Rows<'_>> = rows.collect();
        SPACE.with_borrow_mut(|Space { counts, found }| {
            for (neuron, rows) in rows.iter().enumerate() {
                self.count(rows, counts);
                for (hash, count) in counts.drain() {
                    if count.fires > 0 || count.holds > 1 {
                        let word = Found {
                            hash,
                            count,
                            neuron,
                        };
                        found[hash as usize % SHARDS].push(word);
                    }
                }
            }
            for (shard, found) in self.shards.iter().zip(found) {
                let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
                for word in found.drain(..) {
                    let flat = neurons[word.neuron].flat;
                    self.add(&mut shard, &word, flat, &rows[word.neuron]);
                }
            }
        });
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<(), SiteError> {
        self.write()
    }
}

impl<'a> Words<'a> {
    pub(crate) fn new(part: ModelPart<'a>) -> Self {
        Self {
            part,
            pieces: WordPieces::new(part.texts),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Counts the words of a neuron's examples.
    fn count(&self, rows: &Rows<'_>, counts: &mut ByHash<Count>) {
        for (example, (row, _)) in (0u8..).zip(&rows.0) {
            let window = &row.example.window;
            let half = row.example.value.abs() / 2.0 / window.scale.max(f32::MIN_POSITIVE);
            let count = |word: WordPlace| {
                if word.hash.n_chars as usize > LONGEST {
                    return;
                }
                let steps = &window.steps[word.from..word.until];
                let fires =
                    |&step: &i8| step != Window::NOT_FINITE && f32::from(step).abs() >= half;
                let fired = steps.iter().any(fires);
                let count = counts.entry(word.hash.value).or_insert(Count {
                    fires: 0,
                    holds: 0,
                    example,
                    fired: false,
                    row: example,
                    from: word.from as u16,
                    until: word.until as u16,
                });
                if count.example != example || count.holds == 0 {
                    (count.example, count.fired) = (example, false);
                    count.holds += 1;
                }
                if fired && !count.fired {
                    count.fired = true;
                    count.fires += 1;
                    if count.fires == 1 {
                        count.row = example;
                        (count.from, count.until) = (word.from as u16, word.until as u16);
                    }
                }
            };
            match self.pieces.are_whole(&row.tokens) {
                true => words_of_whole(&row.tokens, &self.pieces, count),
                false => words_of_any(&row.tokens, self.part.texts, count),
            }
        }
    }

    /// Adds a word of a neuron.
    fn add(&self, shard: &mut ByHash<Word>, found: &Found, flat: u32, rows: &Rows<'_>) {
        let Found { hash, count, .. } = found;
        let (row, place) = rows.0[usize::from(count.row)];
        let text = || {
            let tokens = &row.tokens[count.from.into()..count.until.into()];
            let bytes = self.part.texts.bytes(tokens);
            let mut words = words(&String::from_utf8_lossy(&bytes)).into_iter();
            words.find(|word| WordHash::of(word).value == *hash)
        };
        let word = shard.entry(*hash);
        let word = word.or_insert_with(|| Word::new(text().unwrap_or_default()));
        word.add(Posting::new(flat, count.fires, count.holds, place));
    }

    /// Writes the files.
    fn write(self) -> Result<(), SiteError> {
        let (part, model) = (self.part, self.part.model);
        let shards = self.shards.into_iter();
        let shards = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        let words = shards.flat_map(ByHash::into_values);
        let mut words: Vec<Word> = words.filter(|word| !word.text.is_empty()).collect();
        words.sort_unstable_by(|a, b| a.text.encode_utf16().cmp(b.text.encode_utf16()));
        let n_words = words.len();
        let entries = words.into_iter().map(|word| {
            let entry = word.json();
            (word.text, entry)
        });
        let file = |n: usize| format!("words/{n}.json");
        let firsts = write_files(part, FILE_SCHEMA, file, entries)?;
        let index = json!({
            "schema": SCHEMA,
            "model": model.name,
            "d_mlp": model.d_mlp,
            "n_words": n_words,
            "most": MOST,
            "files": firsts,
        });
        part.write_json("words/index.json", format!("{index}\n").as_bytes())
    }
}
