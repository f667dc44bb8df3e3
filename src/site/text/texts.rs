//! Tokens in the site's files: the text that they make together, and the length of each in bytes.
//!
//! A length is a digit of base 36; `z` (35) is continued by the next digit. Tokens need not be whole characters, so
//! lengths count the bytes of the text's UTF-8. Where a run of tokens is cut inside a character, its bytes are given
//! as well, in base64, and the text is only for reading.

use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use serde::Serialize;

use crate::ids::TokenId;
use crate::tokens::Vocabulary;

use crate::site::error::SiteError;

/// The tokens of a vocabulary, escaped for JSON once.
pub(crate) struct TokenTexts<'a> {
    vocabulary: &'a Vocabulary,
    tokens: Vec<TokenText>,
    /// Text and length of tokens that are too long to stand in the table.
    long: HashMap<u32, (Box<str>, String)>,
}

/// Bytes of escaped text in the table. With the rest of an entry they are half a cache line.
const SHORT: usize = 28;

/// A token's escaped text and the digit of its length.
#[derive(Clone, Copy)]
struct TokenText {
    text: [u8; SHORT],
    length: u8,
    digit: u8,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Short,
    Long,
    /// Not whole characters.
    Partial,
}

impl TokenText {
    fn new(bytes: &[u8]) -> Self {
        let digits = digits(bytes.len());
        let mut token = Self {
            text: [0; SHORT],
            length: 0,
            digit: digits.as_bytes()[0],
            kind: Kind::Partial,
        };
        if let Ok(text) = std::str::from_utf8(bytes) {
            let text = json_inside(text);
            token.kind = Kind::Long;
            if text.len() <= SHORT && digits.len() == 1 {
                token.text[..text.len()].copy_from_slice(text.as_bytes());
                token.length = text.len() as u8;
                token.kind = Kind::Short;
            }
        }
        token
    }
}

impl<'a> TokenTexts<'a> {
    pub(crate) fn new(vocabulary: &'a Vocabulary) -> Self {
        let bytes = |id: u32| bytes(vocabulary, TokenId(id));
        let tokens: Vec<TokenText> = (0..vocabulary.len() as u32)
            .map(|id| TokenText::new(&bytes(id)))
            .collect();
        let long = (0u32..).zip(&tokens);
        let long = long.filter(|(_, token)| token.kind == Kind::Long);
        let long = long.map(|(id, _)| {
            let text = json_inside(&String::from_utf8_lossy(&bytes(id)));
            (id, (text, digits(bytes(id).len())))
        });
        Self {
            vocabulary,
            long: long.collect(),
            tokens,
        }
    }

    pub(crate) fn vocabulary(&self) -> &'a Vocabulary {
        self.vocabulary
    }

    /// Adds the text of some tokens, as the inside of a JSON string, and their lengths. Their bytes in base64, where
    /// they are not whole characters together.
    pub(crate) fn push(
        &self,
        tokens: &[TokenId],
        json: &mut Vec<u8>,
        lengths: &mut Vec<u8>,
    ) -> Option<String> {
        let start = (json.len(), lengths.len());
        json.reserve(tokens.len() * SHORT);
        for token in tokens {
            match self.tokens.get(token.0 as usize) {
                Some(text) if text.kind == Kind::Short => {
                    // a copy of fixed length is a few instructions
                    let end = json.len() + usize::from(text.length);
                    json.extend_from_slice(&text.text);
                    json.truncate(end);
                    lengths.push(text.digit);
                }
                _ => match self.long.get(&token.0) {
                    Some((text, digits)) => {
                        json.extend_from_slice(text.as_bytes());
                        lengths.extend_from_slice(digits.as_bytes());
                    }
                    None => {
                        json.truncate(start.0);
                        lengths.truncate(start.1);
                        return self.push_any(tokens, json, lengths);
                    }
                },
            }
        }
        None
    }

    /// Writes a text in which some tokens are not whole characters, or not in the vocabulary.
    fn push_any(
        &self,
        tokens: &[TokenId],
        json: &mut Vec<u8>,
        lengths: &mut Vec<u8>,
    ) -> Option<String> {
        let mut all = Vec::with_capacity(tokens.len() * 6);
        for token in tokens {
            let bytes = bytes(self.vocabulary, *token);
            lengths.extend_from_slice(digits(bytes.len()).as_bytes());
            all.extend_from_slice(&bytes);
        }
        let text = String::from_utf8_lossy(&all);
        json.extend_from_slice(json_inside(&text).as_bytes());
        matches!(text, Cow::Owned(_)).then(|| STANDARD.encode(&all))
    }

    /// The bytes of some tokens, one after the other.
    pub(crate) fn bytes(&self, tokens: &[TokenId]) -> Vec<u8> {
        let mut all = Vec::with_capacity(tokens.len() * 6);
        for token in tokens {
            all.extend_from_slice(&bytes(self.vocabulary, *token));
        }
        all
    }

    /// Whether a token is a piece of a character.
    pub(crate) fn is_partial(&self, token: TokenId) -> bool {
        let text = self.tokens.get(token.0 as usize);
        text.is_some_and(|text| text.kind == Kind::Partial)
    }
}

fn bytes(vocabulary: &Vocabulary, token: TokenId) -> Cow<'_, [u8]> {
    match vocabulary.bytes(token) {
        Some(bytes) => Cow::Borrowed(bytes),
        None => Cow::Owned(vocabulary.text(token).into_owned().into_bytes()),
    }
}

fn digits(mut length: usize) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut out = String::with_capacity(1);
    while length >= 35 {
        out.push('z');
        length -= 35;
    }
    out.push(char::from(DIGITS[length]));
    out
}

/// Text as the inside of a JSON string that can stand in HTML.
fn json_inside(text: &str) -> Box<str> {
    let json = json_string(text);
    json[1..json.len() - 1].into()
}

/// A JSON string that can stand in HTML.
pub(crate) fn json_string(text: &str) -> String {
    safe_in_html(serde_json::to_string(text).unwrap_or_default())
}

/// A value as a file of the site.
pub(crate) fn json(value: &impl Serialize) -> Result<Vec<u8>, SiteError> {
    let json = serde_json::to_string(value)
        .map_err(|error| SiteError::io("write", "index.json", error.into()))?;
    Ok((safe_in_html(json) + "\n").into_bytes())
}

/// Writes what HTML or JavaScript could take for markup, and what turns the direction of text, as escapes; in JSON
/// these occur in strings only.
pub(crate) fn safe_in_html(json: String) -> String {
    // all but the three are in the blocks that begin with these bytes
    let suspect = |byte: u8| matches!(byte, b'<' | b'>' | b'&' | 0xd8 | 0xe2);
    if !json.bytes().any(suspect) {
        return json;
    }
    let is_risky = |c: char| matches!(c, '<' | '>' | '&' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut out = String::with_capacity(json.len() + 64);
    let mut rest = json.as_str();
    while let Some(at) = rest.find(is_risky) {
        let (plain, risky) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = risky.chars();
        let code = chars.next().map_or(0, u32::from);
        let _ = write!(out, "\\u{code:04x}");
        rest = chars.as_str();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_cannot_end_a_script() {
        assert_eq!(
            json_string("</script>&\u{2028}\""),
            r#""\u003c/script\u003e\u0026\u2028\"""#
        );
    }

    #[test]
    fn long_tokens_have_more_digits() {
        assert_eq!(
            [0, 9, 10, 34, 35, 36, 70, 128].map(digits),
            ["0", "9", "a", "y", "z0", "z1", "zz0", "zzzn"]
        );
    }

    proptest! {
        #[test]
        fn any_string_survives(text in any::<String>()) {
            let json = json_string(&text);
            prop_assert!(!json.contains('<'));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
