//! One line about a side of a neuron, made without a model: what it peaks on, what stands beside the peaks, what it promotes
//! and suppresses, and where (docs/definitions.md, section 6).
//!
//! `peaks on: at ×17, others ×3 · followed by: all ×12 · promotes: begin, start · mostly speeches`

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::ids::{DocId, Pos, TokenId};
use crate::tokens::Vocabulary;
use crate::tokens::Windowing;
use crate::tokens::store::{StoreError, TokenStore};

use super::sides::Side;
use super::weights::NeuronWeights;

/// Tokens that are named of each kind.
const NAMED: usize = 3;
/// How many standard deviations above the mean a token must be promoted to be named.
const STANDS_OUT: f64 = 6.0;
/// A token is named if it occurs at least once in so many tokens of the corpus: the logit weights of many neurons are large on
/// rare pieces of words.
const RARE: u64 = 1_000_000;
/// The share that is most: of the examples of one source, if it is to be named, and of pieces of words.
const MOSTLY: f64 = 0.6;
/// How many times its share of the corpus the share of a source must be, if it is to be named.
const TIMES_ITS_SHARE: f64 = 2.0;

/// Writes lines about the neurons of an atlas.
pub(crate) struct LineWriter<'a> {
    store: &'a TokenStore,
    vocabulary: &'a Vocabulary,
    windowing: Windowing,
    /// Share of the corpus's tokens, by source.
    shares: BTreeMap<&'a str, f64>,
    /// How often each token occurs in the corpus.
    counts: Vec<u64>,
}

impl<'a> LineWriter<'a> {
    pub(crate) fn new(
        store: &'a TokenStore,
        vocabulary: &'a Vocabulary,
        windowing: Windowing,
    ) -> Result<Self, StoreError> {
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        let mut counts = vec![0; vocabulary.len()];
        for doc in (0..store.n_documents() as u32).map(DocId) {
            let n_tokens = store.len(doc);
            *shares.entry(store.source(doc)).or_default() += n_tokens as f64;
            for token in store.tokens(doc, 0..n_tokens)? {
                if let Some(n) = counts.get_mut(token.0 as usize) {
                    *n += 1;
                }
            }
        }
        let total: f64 = shares.values().sum();
        shares
            .values_mut()
            .for_each(|share| *share /= total.max(1.0));
        Ok(Self {
            store,
            vocabulary,
            windowing,
            shares,
            counts,
        })
    }

    /// Whether a token occurs so seldom in the corpus that little can be said of it.
    fn is_rare(&self, token: TokenId) -> bool {
        match self.counts.get(token.0 as usize) {
            None | Some(0) => true,
            Some(n) => n.saturating_mul(RARE) < self.store.n_tokens(),
        }
    }

    /// The line about one side. `peaks` are the side's examples, best first. `None` if there is nothing to say.
    pub(crate) fn line(
        &self,
        side: Side,
        peaks: &[(DocId, Pos)],
        weights: Option<&NeuronWeights>,
    ) -> Result<Option<String>, StoreError> {
        let mut texts = Texts::default();
        for &(doc, pos) in peaks {
            self.read(doc, pos, &mut texts)?;
        }
        let mut parts = Vec::new();
        parts.extend(peaks_on(&texts.peaks));
        parts.extend(beside("preceded by", &texts.before, peaks.len()));
        parts.extend(beside("followed by", &texts.after, peaks.len()));
        for (verb, side) in [("promotes", side), ("suppresses", side.other())] {
            let tokens = weights.and_then(|weights| self.promotes(side, weights));
            parts.extend(tokens.map(|tokens| format!("{verb}: {tokens}")));
        }
        parts.extend(self.mostly(peaks));
        Ok((!parts.is_empty()).then(|| parts.join(" · ")))
    }

    /// Adds the token at a peak, and those beside it in the document.
    fn read(&self, doc: DocId, pos: Pos, texts: &mut Texts) -> Result<(), StoreError> {
        match self.windowing.token_at(pos) {
            Some(at) if at < self.store.len(doc) => {
                let from = at.saturating_sub(2);
                let ids = self
                    .store
                    .tokens(doc, from..(at + 3).min(self.store.len(doc)))?;
                let own: Vec<_> = ids.iter().map(|&id| self.vocabulary.text(id)).collect();
                let at = at - from;
                texts
                    .before
                    .extend(at.checked_sub(1).and_then(|at| Word::of(&own, at)));
                texts.peaks.extend(Word::of(&own, at));
                texts.after.extend(Word::of(&own, at + 1));
            }
            Some(_) => (), // a table that is wrong
            None => {
                let bos = self.windowing.bos.map(|bos| self.vocabulary.text(bos));
                texts.peaks.extend(Word::of(bos.as_slice(), 0));
            }
        }
        Ok(())
    }

    /// The first tokens that the neuron promotes when it fires on a side, of those that stand out. Pieces of characters, tokens that
    /// the corpus hardly has, and what differs from an earlier one by case, are left out. On the other side, it suppresses them.
    fn promotes(&self, side: Side, weights: &NeuronWeights) -> Option<String> {
        let (list, sign) = match side {
            Side::Positive => (&weights.top, 1.0),
            Side::Negative => (&weights.bottom, -1.0),
        };
        let least = STANDS_OUT * weights.logits.variance?.sqrt();
        let mut named: Vec<String> = Vec::new();
        for &(token, value) in list {
            if sign * f64::from(value) < least
                || self.vocabulary.is_partial(token)
                || self.is_rare(token)
            {
                continue;
            }
            let text = in_line(&self.vocabulary.text(token));
            let is_named = |known: &String| known.to_lowercase() == text.to_lowercase();
            if named.len() < NAMED && !named.iter().any(is_named) {
                named.push(text);
            }
        }
        let listed: Vec<String> = named.iter().map(|text| in_list(text)).collect();
        (!listed.is_empty()).then(|| listed.join(", "))
    }

    /// The source of most examples, where it is far more frequent among them than in the corpus.
    fn mostly(&self, peaks: &[(DocId, Pos)]) -> Option<String> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for (doc, _) in peaks {
            *counts.entry(self.store.source(*doc)).or_default() += 1;
        }
        let (source, n) = counts.into_iter().max_by_key(|(_, n)| *n)?;
        let share = n as f64 / peaks.len() as f64;
        let of_corpus = self.shares.get(source).copied().unwrap_or(1.0);
        let is_telling = share >= MOSTLY && share >= TIMES_ITS_SHARE * of_corpus;
        (is_telling && !source.is_empty()).then(|| format!("mostly {}", in_line(source)))
    }
}

/// What stands at the peaks of a side, and beside them.
#[derive(Default)]
struct Texts {
    before: Vec<Word>,
    peaks: Vec<Word>,
    after: Vec<Word>,
}

/// A token of a text.
#[derive(Clone, Debug)]
struct Word {
    text: String,
    /// Whether the word goes on in the token before, and in the token after.
    goes_on: [bool; 2],
}

impl Word {
    /// One of the tokens of a text, if there is one at this place.
    fn of(tokens: &[Cow<'_, str>], at: usize) -> Option<Self> {
        let text = tokens.get(at)?;
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        let after = tokens.get(at + 1);
        Some(Self {
            text: in_line(text),
            goes_on: [
                before.is_some_and(|before| are_in_one_word(before, text)),
                after.is_some_and(|after| are_in_one_word(text, after)),
            ],
        })
    }

    fn is_piece(&self) -> bool {
        self.goes_on.contains(&true)
    }
}

/// Whether letters meet where two tokens do. Only letters that have a case: other scripts do not all divide words by spaces.
fn are_in_one_word(before: &str, after: &str) -> bool {
    let is_letter = |c: Option<char>| c.is_some_and(|c| c.is_lowercase() || c.is_uppercase());
    is_letter(before.chars().next_back()) && is_letter(after.chars().next())
}

/// Tokens that differ by case at most, and by spaces around them.
struct Group {
    /// The most frequent of their forms; `…` stands where the word goes on in all of them.
    name: String,
    n: usize,
    n_pieces: usize,
}

impl Group {
    fn of(words: &[&Word]) -> Self {
        let mut name = String::new();
        let mut largest = 0;
        for word in words {
            let n = words.iter().filter(|of| of.text == word.text).count();
            if n > largest {
                largest = n;
                name.clone_from(&word.text);
            }
        }
        let mark = |at: usize| match words.iter().all(|word| word.goes_on[at]) {
            true => "…",
            false => "",
        };
        Self {
            name: format!("{}{}{}", mark(0), in_list(&name), mark(1)),
            n: words.len(),
            n_pieces: words.iter().filter(|word| word.is_piece()).count(),
        }
    }
}

/// Tokens in groups, the largest first, and those of one size in the order of their first tokens.
fn groups(words: &[Word]) -> Vec<Group> {
    let mut groups: Vec<(String, Vec<&Word>)> = Vec::new();
    for word in words {
        let key = word.text.to_lowercase();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, words)) => words.push(word),
            None => groups.push((key, vec![word])),
        }
    }
    groups.sort_by_key(|(_, words)| std::cmp::Reverse(words.len()));
    groups.iter().map(|(_, words)| Group::of(words)).collect()
}

/// The tokens that several examples peak on, and how many examples peak on others.
fn peaks_on(peaks: &[Word]) -> Option<String> {
    let groups = groups(peaks);
    let n_named = match groups.len() <= NAMED {
        true => groups.len(),
        false => groups.iter().take(NAMED).filter(|of| of.n > 1).count(),
    };
    let (named, others) = groups.split_at(n_named);
    let names = named.iter().map(|of| match of.n {
        1 => of.name.clone(),
        n => format!("{} ×{n}", of.name),
    });
    let mut names: Vec<String> = names.collect();
    let n_others: usize = others.iter().map(|of| of.n).sum();
    if n_others > 0 {
        names.push(match named {
            [] => format!("{n_others} different tokens"),
            _ => format!("others ×{n_others}"),
        });
        let n_pieces: usize = others.iter().map(|of| of.n_pieces).sum();
        if 2 * n_others >= peaks.len() && n_pieces as f64 >= MOSTLY * n_others as f64 {
            names.push("mostly pieces of words".into());
        }
    }
    (!names.is_empty()).then(|| format!("peaks on: {}", names.join(", ")))
}

/// The token that stands beside at least half of the peaks, unless it is a mere space.
fn beside(place: &str, words: &[Word], n_peaks: usize) -> Option<String> {
    let Group { name, n, .. } = groups(words).into_iter().next()?;
    let is_telling = n > 1 && 2 * n >= n_peaks && !name.trim_matches('␣').is_empty();
    is_telling.then(|| format!("{place}: {name} ×{n}"))
}

/// A token in a list with commas: in quotes if it has a comma itself.
fn in_list(text: &str) -> String {
    match text.contains(',') {
        true => format!("“{text}”"),
        false => text.to_owned(),
    }
}

/// A text in one line: without spaces around it, and nothing in it that is drawn as nothing.
fn in_line(text: &str) -> String {
    let inner = match text.trim_matches(' ') {
        "" => text,
        inner => inner,
    };
    let sign = |c: char| match c {
        '\n' => Some('↵'),
        '\t' => Some('→'),
        ' ' if inner.trim().is_empty() => Some('␣'),
        c if c.is_control() => char::from_u32(0x2400 + c as u32).filter(|_| (c as u32) < 0x20),
        c => Some(c),
    };
    inner.chars().filter_map(sign).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tokens of a text that are written in brackets.
    fn words(text: &str) -> Vec<Word> {
        let tokens: Vec<_> = text.split('|').collect();
        let plain = tokens
            .iter()
            .map(|token| Cow::from(token.trim_matches(['[', ']'])));
        let plain: Vec<Cow<'_, str>> = plain.collect();
        let is_marked = |at: &usize| tokens[*at].starts_with('[');
        let marked = (0..tokens.len()).filter(is_marked);
        marked.filter_map(|at| Word::of(&plain, at)).collect()
    }

    #[test]
    fn peaks_are_counted_by_token() {
        let cases = [
            ("[ over]|[ Over]| the| m|[over]|[ under]", "over ×3, under"),
            // the form that is the most frequent
            ("[THE]| |[ The]| |[The]", "The ×3"),
            // what one example peaks on is not named where there is more
            ("[a]|.|[b]|.|[a]|.|[c]|.|[d]", "a ×2, others ×3"),
            ("[a]|.|[b]|.|[c]|.|[d]", "4 different tokens"),
            ("[a]|.|[b]|.|[c]", "a, b, c"),
            // pieces of words, where all are
            (" th|[ou]|.|Y|[ou]| m|[us]|t", "…ou ×2, …us…"),
            (" full|[ full]|.|[ Full]|er", "full ×2"),
            (
                "[kn]|ocks|[ app]|.|[cra]|ves|.|[enl]|arge|.|[so]|.|[so]|aks",
                "so ×2, others ×4, mostly pieces of words",
            ),
            ("[kn]|ocks|.|[cra]|.|[enl]|.|[so]", "4 different tokens"),
            ("数|[学]|家|1|[8]|9|[ ,]", "学, 8, “,”"),
        ];
        for (text, expected) in cases {
            let expected = format!("peaks on: {expected}");
            assert_eq!(peaks_on(&words(text)), Some(expected), "{text}");
        }
        assert_eq!(peaks_on(&[]), None);
    }

    #[test]
    fn what_stands_beside_half_of_the_peaks_is_named() {
        let of = |text: &str, n_peaks| beside("followed by", &words(text), n_peaks);
        let found = of("[ all]|.|[ all]|.|[ other]", 4);
        assert_eq!(found.as_deref(), Some("followed by: all ×2"));
        assert_eq!(of("[ all]|.|[ all]|.|[ other]", 5), None);
        assert_eq!(of("[ all]", 1), None);
        assert_eq!(of("[  ]|.|[  ]", 2), None);
        assert_eq!(of("[\n]|.|[\n]", 2).as_deref(), Some("followed by: ↵ ×2"));
    }

    #[test]
    fn texts_stand_in_one_line() {
        let cases = [
            (" since", "since"),
            ("\n\n", "↵↵"),
            ("  ", "␣␣"),
            ("a b", "a b"),
            ("\u{1b}[", "␛["),
            ("\u{85}", ""),
            ("", ""),
        ];
        for (text, expected) in cases {
            assert_eq!(in_line(text), expected, "{text:?}");
        }
    }
}
