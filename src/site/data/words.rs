//! Which neurons have a word in their examples, or in what was said of them: files that a page searches.
//!
//! A neuron's most positive and most negative examples count: a word that an example fires on, with at
//! least half of its peak, or that two examples have. Of the neurons of a word, the best are kept, so that memory and
//! files grow with the number of words, not of neurons.

use std::collections::{BinaryHeap, HashMap, HashSet};
use std::fmt::Write;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, PoisonError};

use serde_json::json;

use crate::atlas::Window;
use crate::ids::TokenId;
use crate::tokens::Vocabulary;

use crate::site::text::examples::{ExampleTokens, Examples};
use crate::site::text::fold::{fold, fold_char};
use crate::site::text::texts::{TokenTexts, json_string};
use crate::site::text::words::{self, LONGEST, UnitKind, units, words};

/// Neurons that are kept of each word.
const MOST: usize = 100;
/// Neurons of which it is said that are listed of each word.
const MOST_SAID: usize = 1000;
/// Bytes of a file, unless one word alone has more.
const FILE_BYTES: usize = 32_000;
const SCHEMA: &str = "neuroscope/words/v1";
const FILE_SCHEMA: &str = "neuroscope/word-neurons/v1";
const SHARDS: usize = 64;
/// Lists whose examples count.
const LISTS: [&str; 2] = ["top", "bottom"];

/// A polynomial of characters modulo 2⁶¹ − 1, so that the hash of a word follows from those of its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct WordHash {
    value: u64,
    /// The base to the power of the length.
    power: u64,
    n_chars: u32,
}

const MODULUS: u64 = (1 << 61) - 1;
const BASE: u64 = 0x0f1e_57a3_9c2b_4d61;

/// A product modulo 2⁶¹ − 1, of which 2⁶¹ is 1.
fn times(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    reduced((product as u64 & MODULUS) + (product >> 61) as u64)
}

/// A number below twice the modulus, modulo it.
fn reduced(value: u64) -> u64 {
    match value >= MODULUS {
        true => value - MODULUS,
        false => value,
    }
}

impl WordHash {
    const EMPTY: Self = Self {
        value: 0,
        power: 1,
        n_chars: 0,
    };

    fn of(word: &str) -> Self {
        word.chars().fold(Self::EMPTY, |hash, c| {
            hash.then(Self {
                value: u64::from(c) + 1,
                power: BASE,
                n_chars: 1,
            })
        })
    }

    fn then(self, next: Self) -> Self {
        Self {
            value: reduced(times(self.value, next.power) + next.value),
            power: times(self.power, next.power),
            n_chars: self.n_chars + next.n_chars,
        }
    }
}

/// A part of a token that belongs to one unit of words.
struct Piece {
    hash: WordHash,
    kind: UnitKind,
    /// Whether nothing is between it and the piece before, which may be in the token before.
    touches: bool,
    /// Whether it ends with the token.
    to_end: bool,
}

impl Piece {
    /// Stands for a token that folds to nothing: the pieces before and after it touch.
    const NOTHING: Self = Self {
        hash: WordHash::EMPTY,
        kind: UnitKind::Marks,
        touches: true,
        to_end: true,
    };
}

/// What words the tokens of a vocabulary are pieces of.
pub(in crate::site) struct WordPieces {
    pieces: Vec<Piece>,
    /// Where the pieces of each token end.
    ends: Vec<u32>,
}

impl WordPieces {
    pub(in crate::site) fn new(texts: &TokenTexts<'_>) -> Self {
        let vocabulary = texts.vocabulary();
        // pieces of characters are read from whole windows
        let is_whole = |id: &TokenId| is_text(vocabulary, *id) && !texts.is_partial(*id);
        let ids = (0..vocabulary.len() as u32).map(TokenId);
        Self::of(ids.map(|id| is_whole(&id).then(|| fold(&vocabulary.text(id)))))
    }

    /// The pieces of tokens by their folded texts; tokens that are not text have none.
    fn of(folded: impl Iterator<Item = Option<String>>) -> Self {
        let (mut pieces, mut ends) = (Vec::new(), Vec::new());
        for text in folded {
            let mut end = 0;
            for (kind, range) in text.iter().flat_map(|text| units(text)) {
                pieces.push(Piece {
                    hash: WordHash::of(&text.as_deref().unwrap_or_default()[range.clone()]),
                    kind,
                    touches: range.start == end,
                    to_end: text.as_ref().is_some_and(|text| range.end == text.len()),
                });
                end = range.end;
            }
            if text.is_some_and(|text| text.is_empty()) {
                pieces.push(Piece::NOTHING);
            }
            ends.push(pieces.len() as u32);
        }
        Self { pieces, ends }
    }

    fn get(&self, token: TokenId) -> &[Piece] {
        let at = token.0 as usize;
        let Some(&end) = self.ends.get(at) else {
            return &[];
        };
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.pieces[start as usize..end as usize]
    }
}

/// A word in a window: its hash, and the tokens that it lies in.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Found {
    hash: WordHash,
    from: usize,
    until: usize,
}

impl Found {
    fn then(self, next: Self) -> Self {
        Self {
            hash: self.hash.then(next.hash),
            from: self.from,
            until: next.until,
        }
    }
}

/// A unit that may go on, and the one before it, if they are a pair.
struct Open {
    unit: Found,
    kind: UnitKind,
    before: Option<Found>,
}

impl Open {
    fn close(self, found: &mut impl FnMut(Found)) {
        found(self.unit);
        if let Some(before) = self.before {
            found(before.then(self.unit));
        }
    }
}

/// Finds the words of a window whose tokens are whole characters.
fn words_of_whole(tokens: &[TokenId], pieces: &WordPieces, mut found: impl FnMut(Found)) {
    let mut open: Option<Open> = None;
    for (at, token) in tokens.iter().enumerate() {
        let of = pieces.get(*token);
        for piece in of {
            if piece.hash == WordHash::EMPTY {
                continue;
            }
            let unit = Found {
                hash: piece.hash,
                from: at,
                until: at + 1,
            };
            let before = open.take();
            open = Some(match before {
                Some(open) if piece.touches && open.kind.goes_on_with(piece.kind) => Open {
                    unit: open.unit.then(unit),
                    ..open
                },
                before => {
                    let pairs = |open: &Open| piece.touches && open.kind.pairs_with(piece.kind);
                    let first = before
                        .as_ref()
                        .filter(|open| pairs(open))
                        .map(|open| open.unit);
                    before.into_iter().for_each(|open| open.close(&mut found));
                    Open {
                        unit,
                        kind: piece.kind,
                        before: first,
                    }
                }
            });
        }
        if of.last().is_none_or(|piece| !piece.to_end) {
            open.take()
                .into_iter()
                .for_each(|open| open.close(&mut found));
        }
    }
    open.into_iter().for_each(|open| open.close(&mut found));
}

/// Finds the words of any window.
fn words_of_any(tokens: &[TokenId], texts: &TokenTexts<'_>, mut found: impl FnMut(Found)) {
    let is_apart = |token: &TokenId| !is_text(texts.vocabulary(), *token);
    let mut first = 0;
    for run in tokens.split(is_apart) {
        // the token of each byte, of the text as it is and folded
        let (mut bytes, mut owners) = (Vec::new(), Vec::new());
        for (at, token) in run.iter().enumerate() {
            bytes.extend(texts.bytes(&[*token]));
            owners.resize(bytes.len(), first + at);
        }
        let mut start = 0;
        for chunk in bytes.utf8_chunks() {
            let (mut folded, mut places) = (String::new(), Vec::new());
            for (at, c) in chunk.valid().char_indices() {
                fold_char(c, &mut folded);
                let last = at + c.len_utf8() - 1;
                places.resize(folded.len(), (owners[start + at], owners[start + last]));
            }
            for word in words::ranges(&folded) {
                found(Found {
                    hash: WordHash::of(&folded[word.clone()]),
                    from: places[word.start].0,
                    until: places[word.end - 1].1 + 1,
                });
            }
            start += chunk.valid().len() + chunk.invalid().len();
        }
        first += run.len() + 1;
    }
}

/// Whether a token stands for text, and is not special or unused.
fn is_text(vocabulary: &Vocabulary, token: TokenId) -> bool {
    vocabulary.bytes(token).is_some() && !vocabulary.is_special(token)
}

/// Hashes that are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // the table looks at the highest bits, which 61 bits leave empty
        self.0 = value << 3;
    }
}

type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

/// How a neuron has a word. The best are the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Posting {
    /// How many of its examples do not fire on it, counted from the most possible.
    silent: u8,
    /// How many of its examples do not have it, counted likewise.
    without: u8,
    flat: u32,
    /// The first example that fires on it, or else has it: its rank in `top`, or below zero in `bottom`.
    first: i16,
}

impl Posting {
    fn new(flat: u32, fires: u8, holds: u8, first: i16) -> Self {
        Self {
            silent: u8::MAX - fires,
            without: u8::MAX - holds,
            flat,
            first,
        }
    }

    fn fires(&self) -> u8 {
        u8::MAX - self.silent
    }

    fn holds(&self) -> u8 {
        u8::MAX - self.without
    }
}

#[derive(Default)]
struct Word {
    text: String,
    n_neurons: u32,
    /// The best, the worst of them on top.
    best: BinaryHeap<Posting>,
    /// That one, if there are as many as are kept: most postings are worse and go no further.
    worst: Option<Posting>,
    /// Neurons of which something is said with this word.
    said: Vec<u32>,
}

/// The words of a model, as they are found.
pub(in crate::site) struct Words {
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

/// Words of one neuron that there is room for from the start.
const ROOM: usize = 1024;

impl Words {
    pub(in crate::site) fn new(texts: &TokenTexts<'_>) -> Self {
        Self {
            pieces: WordPieces::new(texts),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
        }
    }

    /// Adds the words of a neuron's examples.
    pub(in crate::site) fn add_examples(
        &self,
        flat: u32,
        examples: &Examples<'_>,
        texts: &TokenTexts<'_>,
    ) {
        let mut counts: ByHash<Count> = ByHash::with_capacity_and_hasher(ROOM, Default::default());
        let mut rows: Vec<&ExampleTokens<'_>> = Vec::new();
        let mut places: Vec<i16> = Vec::new();
        for (list, sign) in LISTS.into_iter().zip([1, -1]) {
            for (rank, row) in (1..).zip(examples.of(list)) {
                // of a small corpus an example may be in both lists
                let is_new = !rows.iter().any(|other| std::ptr::eq(*other, row));
                if is_new && rows.len() < usize::from(u8::MAX) {
                    rows.push(row);
                    places.push(sign * rank);
                }
            }
        }
        for (example, row) in (0u8..).zip(&rows) {
            let window = &row.example.window;
            let half = row.example.value.abs() / 2.0 / window.scale.max(f32::MIN_POSITIVE);
            let count = |word: Found| {
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
            match row.tokens.iter().any(|token| texts.is_partial(*token)) {
                true => words_of_any(&row.tokens, texts, count),
                false => words_of_whole(&row.tokens, &self.pieces, count),
            }
        }
        for (hash, count) in counts {
            if count.fires == 0 && count.holds < 2 {
                continue;
            }
            let text = || {
                let tokens = &rows[usize::from(count.row)].tokens;
                let bytes = texts.bytes(&tokens[count.from.into()..count.until.into()]);
                let mut words = words(&String::from_utf8_lossy(&bytes)).into_iter();
                words.find(|word| WordHash::of(word).value == hash)
            };
            self.with(hash, text, |word| {
                word.n_neurons += 1;
                let first = places[usize::from(count.row)];
                let posting = Posting::new(flat, count.fires, count.holds, first);
                if word.worst.is_some_and(|worst| posting > worst) {
                    return;
                }
                word.best.push(posting);
                if word.best.len() > MOST {
                    word.best.pop();
                }
                word.worst = word
                    .best
                    .peek()
                    .copied()
                    .filter(|_| word.best.len() == MOST);
            });
        }
    }

    /// Adds the words of what is said of a neuron.
    pub(in crate::site) fn add_said(&self, flat: u32, said: &str) {
        let words = words(said).into_iter();
        let words: HashSet<String> = words
            .filter(|word| word.chars().count() <= LONGEST)
            .collect();
        for word in words {
            let hash = WordHash::of(&word).value;
            self.with(hash, || Some(word), |word| word.said.push(flat));
        }
    }

    fn with(&self, hash: u64, text: impl FnOnce() -> Option<String>, add: impl FnOnce(&mut Word)) {
        let shard = &self.shards[hash as usize % SHARDS];
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let word = shard.entry(hash).or_insert_with(|| Word {
            text: text().unwrap_or_default(),
            ..Word::default()
        });
        add(word);
    }

    /// Hands over the files: their names and bytes.
    pub(in crate::site) fn files<E>(
        self,
        model: &str,
        d_mlp: u32,
        mut write: impl FnMut(String, String) -> Result<(), E>,
    ) -> Result<(), E> {
        let shards = self.shards.into_iter();
        let shards = shards.map(|shard| shard.into_inner().unwrap_or_else(PoisonError::into_inner));
        let words = shards.flat_map(ByHash::into_values);
        let mut words: Vec<Word> = words.filter(|word| !word.text.is_empty()).collect();
        words.sort_unstable_by(|a, b| a.text.encode_utf16().cmp(b.text.encode_utf16()));
        let n_words = words.len();
        let mut firsts: Vec<String> = Vec::new();
        let mut file = String::new();
        let mut close = |file: &mut String, n: usize| {
            let bytes = format!("{{\"schema\":\"{FILE_SCHEMA}\",\"words\":[{file}]}}\n");
            file.clear();
            write(format!("words/{n}.json"), bytes)
        };
        for word in words {
            let entry = entry(&word);
            if !file.is_empty() && file.len() + entry.len() > FILE_BYTES {
                close(&mut file, firsts.len() - 1)?;
            }
            match file.is_empty() {
                true => firsts.push(word.text),
                false => file.push(','),
            }
            file.push_str(&entry);
        }
        if !file.is_empty() {
            close(&mut file, firsts.len() - 1)?;
        }
        let index = json!({
            "schema": SCHEMA,
            "model": model,
            "d_mlp": d_mlp,
            "n_words": n_words,
            "most": MOST,
            "most_said": MOST_SAID,
            "files": firsts,
        });
        write("words/index.json".into(), format!("{index}\n"))
    }
}

/// A word as JSON: itself, how many neurons have it, the best of them, and those of which it is said.
fn entry(word: &Word) -> String {
    let mut best: Vec<&Posting> = word.best.iter().collect();
    best.sort_unstable();
    let mut json = format!("[{},{},[", json_string(&word.text), word.n_neurons);
    for (at, posting) in best.into_iter().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        let (flat, fires, holds) = (posting.flat, posting.fires(), posting.holds());
        let _ = write!(json, "{comma}{flat},{fires},{holds},{}", posting.first);
    }
    json.push(']');
    if !word.said.is_empty() {
        let mut said: Vec<u32> = word.said.clone();
        said.sort_unstable();
        said.truncate(MOST_SAID);
        let said: Vec<String> = said.iter().map(u32::to_string).collect();
        let _ = write!(json, ",[{}]", said.join(","));
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_best_postings_are_kept() {
        let mut all: Vec<Posting> = (0..300)
            .map(|flat| Posting::new(flat, (flat % 7) as u8, (flat % 11) as u8, 1))
            .collect();
        let mut heap = BinaryHeap::new();
        for posting in &all {
            heap.push(*posting);
            if heap.len() > 9 {
                heap.pop();
            }
        }
        all.sort_by_key(|p| (std::cmp::Reverse((p.fires(), p.holds())), p.flat));
        assert_eq!(heap.into_sorted_vec(), all[..9]);
    }

    proptest! {
        #[test]
        fn the_hash_of_a_word_follows_from_its_pieces(word in "[a-z0-9]{0,20}", at in 0usize..20) {
            let at = at.min(word.len());
            let (left, right) = word.split_at(at);
            prop_assert_eq!(WordHash::of(left).then(WordHash::of(right)), WordHash::of(&word));
        }

        #[test]
        fn words_do_not_depend_on_how_they_are_found(ids in prop::collection::vec(0u32..500, 0..80)) {
            let tokenizer = crate::tokens::Tokenizer::from_json(TOKENIZER, None).unwrap();
            let texts = TokenTexts::new(tokenizer.vocabulary());
            let tokens = ids.into_iter().map(TokenId);
            let tokens: Vec<TokenId> = tokens.filter(|token| !texts.is_partial(*token)).collect();
            let (mut whole, mut any) = (Vec::new(), Vec::new());
            words_of_whole(&tokens, &WordPieces::new(&texts), |word| whole.push(word));
            words_of_any(&tokens, &texts, |word| any.push(word));
            prop_assert_eq!(whole, any);
        }

        #[test]
        fn words_do_not_depend_on_where_tokens_end(ids in prop::collection::vec(0..TOKENS.len(), 0..12)) {
            let pieces = WordPieces::of(TOKENS.iter().map(|text| Some(fold(text))));
            let text: String = ids.iter().map(|&id| TOKENS[id]).collect();
            let tokens: Vec<TokenId> = ids.iter().map(|&id| TokenId(id as u32)).collect();
            let mut found = Vec::new();
            words_of_whole(&tokens, &pieces, |word| found.push(word));
            let hashes: Vec<WordHash> = found.iter().map(|word| word.hash).collect();
            let expected: Vec<WordHash> = words(&text).iter().map(|word| WordHash::of(word)).collect();
            prop_assert_eq!(hashes, expected, "{:?}", text);
            // a word is in the tokens that it is said to be in
            for Found { hash, from, until } in found {
                let text: String = ids[from..until].iter().map(|&id| TOKENS[id]).collect();
                prop_assert!(words(&text).iter().any(|word| WordHash::of(word) == hash), "{:?}", text);
            }
        }
    }

    const TOKENS: [&str; 28] = [
        "a",
        "B",
        "é",
        "e\u{301}",
        "\u{301}",
        "\u{ad}",
        "",
        " ",
        " a",
        "-",
        "ﬁ",
        "ß",
        "7",
        "ab c",
        "ก",
        "\u{e34}",
        "กิน",
        "\u{e34}น",
        "日",
        "日本",
        "が",
        "か",
        "\u{3099}",
        "タ-",
        "-本",
        "\u{200b}",
        "한",
        "a日",
    ];

    const TOKENIZER: &[u8] = include_bytes!("../../../tests/conformance/llama/tokenizer.json");
}
