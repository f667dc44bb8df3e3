//! Finds the words of a window of tokens.

use crate::ids::TokenId;
use crate::tokens::Vocabulary;

use super::hash::WordHash;
use super::units::{UnitKind, ranges, units};
use crate::site::text::fold::{fold, fold_char};
use crate::site::text::texts::TokenTexts;

/// A part of a token that belongs to one unit of words. Small, since all are looked up often.
struct Piece {
    hash: u64,
    n_chars: u16,
    kind: UnitKind,
    /// Whether nothing is between it and the piece before, which may be in the token before.
    touches: bool,
    /// Whether it ends with the token.
    to_end: bool,
}

impl Piece {
    /// Stands for a token that folds to nothing: the pieces before and after it touch.
    const NOTHING: Self = Self {
        hash: 0,
        n_chars: 0,
        kind: UnitKind::Marks,
        touches: true,
        to_end: true,
    };
}

/// What words the tokens of a vocabulary are pieces of.
pub(super) struct WordPieces {
    pieces: Vec<Piece>,
    /// Where the pieces of each token end.
    ends: Vec<u32>,
    /// Whether each token is a piece of a character.
    partial: Vec<bool>,
}

impl WordPieces {
    pub(super) fn new(texts: &TokenTexts<'_>) -> Self {
        let vocabulary = texts.vocabulary();
        // pieces of characters are read from whole windows
        let is_whole = |id: &TokenId| is_text(vocabulary, *id) && !texts.is_partial(*id);
        let ids = || (0..vocabulary.len() as u32).map(TokenId);
        let folded = ids().map(|id| is_whole(&id).then(|| fold(&vocabulary.text(id))));
        Self {
            partial: ids().map(|id| texts.is_partial(id)).collect(),
            ..Self::of(folded)
        }
    }

    /// Whether all tokens of a window are whole characters.
    pub(super) fn are_whole(&self, tokens: &[TokenId]) -> bool {
        let is_partial = |token: &TokenId| self.partial.get(token.0 as usize) == Some(&true);
        !tokens.iter().any(is_partial)
    }

    /// The pieces of tokens by their folded texts; tokens that are not text have none.
    fn of(folded: impl Iterator<Item = Option<String>>) -> Self {
        let (mut pieces, mut ends) = (Vec::new(), Vec::new());
        for text in folded {
            let mut end = 0;
            for (kind, range) in text.iter().flat_map(|text| units(text)) {
                let hash = WordHash::of(&text.as_deref().unwrap_or_default()[range.clone()]);
                pieces.push(Piece {
                    hash: hash.value,
                    n_chars: hash.n_chars.min(u16::MAX.into()) as u16,
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
        Self {
            pieces,
            ends,
            partial: Vec::new(),
        }
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
pub(super) struct WordPlace {
    pub(super) hash: WordHash,
    pub(super) from: usize,
    pub(super) until: usize,
}

impl WordPlace {
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
    unit: WordPlace,
    kind: UnitKind,
    before: Option<WordPlace>,
}

impl Open {
    fn close(self, found: &mut impl FnMut(WordPlace)) {
        found(self.unit);
        if let Some(before) = self.before {
            found(before.then(self.unit));
        }
    }
}

/// Finds the words of a window whose tokens are whole characters.
pub(super) fn words_of_whole(
    tokens: &[TokenId],
    pieces: &WordPieces,
    mut found: impl FnMut(WordPlace),
) {
    let mut open: Option<Open> = None;
    for (at, token) in tokens.iter().enumerate() {
        let of = pieces.get(*token);
        for piece in of {
            if piece.n_chars == 0 {
                continue;
            }
            let unit = WordPlace {
                hash: WordHash {
                    value: piece.hash,
                    n_chars: piece.n_chars.into(),
                },
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
pub(super) fn words_of_any(
    tokens: &[TokenId],
    texts: &TokenTexts<'_>,
    mut found: impl FnMut(WordPlace),
) {
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
            for word in ranges(&folded) {
                found(WordPlace {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::search::units::words;
    use proptest::prelude::*;

    proptest! {
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
            for WordPlace { hash, from, until } in found {
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
