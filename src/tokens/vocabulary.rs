//! The bytes of each token, which need not be whole characters.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use crate::ids::TokenId;

use super::error::TokenizerError;

/// The bytes of every token, and which tokens are special.
#[derive(Clone, Debug)]
pub struct Vocabulary {
    bytes: Vec<Option<Box<[u8]>>>,
    special: HashSet<u32>,
}

impl Vocabulary {
    pub(super) fn of(tokenizer: &tokenizers::Tokenizer) -> Result<Self, TokenizerError> {
        let decoder = serde_json::to_string(&tokenizer.get_decoder()).unwrap_or_default();
        let spelling = if decoder.contains("\"ByteLevel\"") {
            Spelling::ByteLevel
        } else {
            Spelling::SentencePiece
        };
        let byte_of = byte_level_alphabet();
        let added = tokenizer.get_added_tokens_decoder();
        let mut bytes = Vec::new();
        for (token, id) in tokenizer.get_vocab(true) {
            let spelled = match added.contains_key(&id) {
                true => token.into_bytes(),
                false => spelling.bytes(&token, &byte_of),
            };
            let at = id as usize;
            if at >= 1 << 22 {
                return Err(TokenizerError::Syntax(format!(
                    "token id {id} is out of range"
                )));
            }
            if bytes.len() <= at {
                bytes.resize(at + 1, None);
            }
            bytes[at] = Some(spelled.into_boxed_slice());
        }
        let special = added
            .iter()
            .filter(|(_, token)| token.special)
            .map(|(&id, _)| id)
            .collect();
        Ok(Self { bytes, special })
    }

    /// A vocabulary of texts as [`Vocabulary::text`] gives them, with ids in their order, in which no token is special.
    pub fn from_texts<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Self {
        let bytes = |text: T| Some(spelled_out(text.as_ref()).into_boxed_slice());
        Self {
            bytes: texts.into_iter().map(bytes).collect(),
            special: HashSet::new(),
        }
    }

    /// Number of ids, unused ones included.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The largest id in use for which `among` is true.
    pub(super) fn largest_id(&self, among: impl Fn(u32) -> bool) -> Option<u32> {
        let used = (0u32..)
            .zip(&self.bytes)
            .filter(|(_, bytes)| bytes.is_some());
        used.map(|(id, _)| id).filter(|&id| among(id)).last()
    }

    /// Whether a token is special: BOS, EOS, padding and the like.
    pub fn is_special(&self, token: TokenId) -> bool {
        self.special.contains(&token.0)
    }

    /// The token's bytes; `None` for an id without a token.
    pub fn bytes(&self, token: TokenId) -> Option<&[u8]> {
        self.bytes.get(token.0 as usize)?.as_deref()
    }

    /// The token as text. Bytes that are not UTF-8 by themselves are written `<0xE2>`, as SentencePiece does; an id
    /// without a token is written `<unused 5000>`.
    pub fn text(&self, token: TokenId) -> Cow<'_, str> {
        let Some(bytes) = self.bytes(token) else {
            return Cow::Owned(format!("<unused {}>", token.0));
        };
        spelled(bytes)
    }

    /// Whether the token holds a piece of a UTF-8 character.
    pub fn is_partial(&self, token: TokenId) -> bool {
        self.bytes(token)
            .is_some_and(|bytes| std::str::from_utf8(bytes).is_err())
    }
}

/// Bytes as text; those that are not UTF-8 by themselves are written `<0xE2>`.
fn spelled(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("<0x{byte:02X}>"));
        }
    }
    Cow::Owned(text)
}

/// The bytes that are [`spelled`] like this: where that could be characters, they are.
fn spelled_out(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some(at) = rest.find("<0x") {
        let (before, found) = rest.split_at(at);
        bytes.extend_from_slice(before.as_bytes());
        let byte = found
            .get(3..6)
            .and_then(|spelled| spelled.strip_suffix('>'))
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        let n = if byte.is_some() { 6 } else { 3 };
        match byte {
            Some(byte) => bytes.push(byte),
            None => bytes.extend_from_slice(&found.as_bytes()[..n]),
        }
        rest = &found[n..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    match spelled(&bytes) == text {
        true => bytes,
        false => text.into(),
    }
}

/// How a vocabulary spells bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spelling {
    /// GPT-2: every byte is a printable character.
    ByteLevel,
    /// `▁` is a space, `<0x0A>` is a byte.
    SentencePiece,
}

impl Spelling {
    fn bytes(self, token: &str, byte_of: &HashMap<char, u8>) -> Vec<u8> {
        match self {
            Self::ByteLevel => {
                let mut out = Vec::new();
                for c in token.chars() {
                    match byte_of.get(&c) {
                        Some(&byte) => out.push(byte),
                        None => out.extend(c.to_string().into_bytes()),
                    }
                }
                out
            }
            Self::SentencePiece => {
                let byte = token
                    .strip_prefix("<0x")
                    .and_then(|rest| rest.strip_suffix('>'));
                match byte.and_then(|hex| {
                    (hex.len() == 2)
                        .then(|| u8::from_str_radix(hex, 16).ok())
                        .flatten()
                }) {
                    Some(byte) => vec![byte],
                    None => token.replace('▁', " ").into_bytes(),
                }
            }
        }
    }
}

/// GPT-2's printable character for each byte: itself where it is printable, else one from 256 on, in order.
fn byte_level_alphabet() -> HashMap<char, u8> {
    let printable = |byte: &u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let others = (0..=255u8).filter(|byte| !printable(byte)).zip(256u32..);
    let own = (0..=255u8)
        .filter(printable)
        .map(|byte| (char::from(byte), byte));
    own.chain(others.filter_map(|(byte, code)| Some((char::from_u32(code)?, byte))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vocabulary(tokens: &[&[u8]]) -> Vocabulary {
        Vocabulary {
            bytes: tokens
                .iter()
                .map(|t| Some(t.to_vec().into_boxed_slice()))
                .collect(),
            special: HashSet::new(),
        }
    }

    #[test]
    fn the_alphabet_spells_every_byte_once() {
        let alphabet = byte_level_alphabet();
        assert_eq!(alphabet.len(), 256);
        assert_eq!(
            (alphabet[&'Ġ'], alphabet[&'Ċ'], alphabet[&'A']),
            (b' ', b'\n', b'A')
        );
    }

    proptest! {
        #[test]
        fn a_vocabulary_of_its_own_texts_is_the_same(tokens in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..20)) {
            let of_bytes: Vec<&[u8]> = tokens.iter().map(Vec::as_slice).collect();
            let own = vocabulary(&of_bytes);
            let ids = || (0..tokens.len() as u32).map(TokenId);
            let read = Vocabulary::from_texts(ids().map(|id| own.text(id)));
            for id in ids() {
                prop_assert_eq!(read.bytes(id), own.bytes(id));
            }
        }
    }

    #[test]
    fn texts_that_only_look_like_bytes_stay_texts() {
        let texts = [
            "<0x0A>",
            "<0xE2><0x80><0x9C>",
            "<0xé>",
            "a<0x",
            "<0xe2>",
            "<0x+2>",
            "<unused 7>",
        ];
        let vocabulary = Vocabulary::from_texts(texts);
        for (id, text) in (0..).map(TokenId).zip(texts) {
            assert_eq!(vocabulary.bytes(id), Some(text.as_bytes()), "{text}");
        }
        let pieces = Vocabulary::from_texts([" <0xE2><0x80>", "<0x9C>"]);
        assert_eq!(pieces.bytes(TokenId(0)), Some(&b" \xe2\x80"[..]));
        assert!(pieces.is_partial(TokenId(1)));
    }

    #[test]
    fn pieces_of_characters_are_spelled_out() {
        let vocabulary = vocabulary(&[b" caf\xc3\xa9", b" \xe2\x80", b"\x9c"]);
        let texts: Vec<_> = (0..4)
            .map(|id| vocabulary.text(TokenId(id)).into_owned())
            .collect();
        assert_eq!(texts, [" café", " <0xE2><0x80>", "<0x9C>", "<unused 3>"]);
        assert!(!vocabulary.is_partial(TokenId(0)) && vocabulary.is_partial(TokenId(1)));
    }
}
