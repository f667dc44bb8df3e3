//! One line about a side of a neuron, made without a model: what it peaks on, what it promotes, and where.
//!
//! `peaks on: since ×12, of ×5 · promotes: begin, start · mostly speeches`

use std::collections::BTreeMap;

use crate::ids::{DocId, Pos, TokenId};
use crate::tokens::Vocabulary;
use crate::tokens::Windowing;
use crate::tokens::store::{StoreError, TokenStore};

use super::sides::Side;
use super::weights::NeuronWeights;

/// Tokens that are named of each kind.
const NAMED: usize = 3;
/// From how many standard deviations above the mean on the first token that a neuron promotes is worth naming.
const STANDS_OUT: f64 = 5.0;
/// Share of the examples that are of one source, if it is to be named, and how many times its share of the corpus.
const MOSTLY: f64 = 0.6;
const TIMES_ITS_SHARE: f64 = 2.0;

/// Writes lines about the neurons of an atlas.
pub(crate) struct LineWriter<'a> {
    store: &'a TokenStore,
    vocabulary: &'a Vocabulary,
    windowing: Windowing,
    /// Share of the corpus's tokens, by source.
    shares: BTreeMap<&'a str, f64>,
}

impl<'a> LineWriter<'a> {
    pub(crate) fn new(
        store: &'a TokenStore,
        vocabulary: &'a Vocabulary,
        windowing: Windowing,
    ) -> Self {
        let mut shares: BTreeMap<&str, f64> = BTreeMap::new();
        for doc in (0..store.n_documents() as u32).map(DocId) {
            *shares.entry(store.source(doc)).or_default() += store.len(doc) as f64;
        }
        let total: f64 = shares.values().sum();
        shares
            .values_mut()
            .for_each(|share| *share /= total.max(1.0));
        Self {
            store,
            vocabulary,
            windowing,
            shares,
        }
    }

    /// The line about one side. `peaks` are the side's examples, best first. `None` if there is nothing to say.
    pub(crate) fn line(
        &self,
        side: Side,
        peaks: &[(DocId, Pos)],
        weights: Option<&NeuronWeights>,
    ) -> Result<Option<String>, StoreError> {
        let mut parts = Vec::new();
        parts.extend(self.peaks_on(peaks)?);
        parts.extend(weights.and_then(|weights| self.promotes(side, weights)));
        parts.extend(self.mostly(peaks));
        Ok((!parts.is_empty()).then(|| parts.join(" · ")))
    }

    /// The tokens that most examples peak on, those that differ by spaces around them taken together.
    fn peaks_on(&self, peaks: &[(DocId, Pos)]) -> Result<Option<String>, StoreError> {
        // in the order of the first example of each
        let mut counts: Vec<(String, usize)> = Vec::new();
        for &(doc, pos) in peaks {
            let Some(token) = self.token(doc, pos)? else {
                continue;
            };
            let text = in_line(&self.vocabulary.text(token));
            match counts.iter_mut().find(|(known, _)| *known == text) {
                Some((_, n)) => *n += 1,
                None => counts.push((text, 1)),
            }
        }
        counts.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
        let named = counts.iter().take(NAMED).map(|(text, n)| match n {
            1 => text.clone(),
            n => format!("{text} ×{n}"),
        });
        let named: Vec<String> = named.collect();
        Ok((!named.is_empty()).then(|| format!("peaks on: {}", named.join(", "))))
    }

    fn token(&self, doc: DocId, pos: Pos) -> Result<Option<TokenId>, StoreError> {
        Ok(match self.windowing.token_at(pos) {
            Some(at) if at < self.store.len(doc) => {
                self.store.tokens(doc, at..at + 1)?.first().copied()
            }
            Some(_) => None, // a table that is wrong
            None => self.windowing.bos,
        })
    }

    /// The tokens that the neuron promotes when it fires on this side, if the first stands out.
    fn promotes(&self, side: Side, weights: &NeuronWeights) -> Option<String> {
        let (list, sign) = match side {
            Side::Positive => (&weights.top, 1.0),
            Side::Negative => (&weights.bottom, -1.0),
        };
        let first = sign * f64::from(list.first()?.1);
        if first < STANDS_OUT * weights.logits.variance?.sqrt() {
            return None;
        }
        let mut named: Vec<String> = Vec::new();
        for (token, _) in list {
            let text = in_line(&self.vocabulary.text(*token));
            if named.len() < NAMED && !named.contains(&text) {
                named.push(text);
            }
        }
        Some(format!("promotes: {}", named.join(", ")))
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
