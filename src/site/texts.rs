//! Tokens in the site's files: the text that they make together, and the length of each in bytes.
//!
//! A length is a digit of base 36; `z` (35) is continued by the next digit. Tokens need not be whole characters, so
//! lengths count the bytes of the text's UTF-8. Where a run of tokens is cut inside a character, its bytes are given
//! as well, in base64, and the text is only for reading.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ids::TokenId;
use crate::tokens::Vocabulary;

/// The tokens of a vocabulary, escaped for JSON once.
pub(super) struct TokenTexts<'a> {
    vocabulary: &'a Vocabulary,
    tokens: Vec<TokenText>,
}

struct TokenText {
    /// Inside of a JSON string; `None` where the token is not whole characters.
    json: Option<Box<str>>,
    /// Its length as digits.
    length: Box<str>,
}

impl<'a> TokenTexts<'a> {
    pub(super) fn new(vocabulary: &'a Vocabulary) -> Self {
        let text = |id: u32| {
            let bytes = bytes(vocabulary, TokenId(id));
            TokenText {
                json: std::str::from_utf8(&bytes).ok().map(json_inside),
                length: digits(bytes.len()).into(),
            }
        };
        Self {
            vocabulary,
            tokens: (0..vocabulary.len() as u32).map(text).collect(),
        }
    }

    pub(super) fn vocabulary(&self) -> &'a Vocabulary {
        self.vocabulary
    }

    /// Adds the text of some tokens, as the inside of a JSON string, and their lengths. Their bytes in base64, where
    /// they are not whole characters together.
    pub(super) fn push(
        &self,
        tokens: &[TokenId],
        json: &mut String,
        lengths: &mut String,
    ) -> Option<String> {
        let start = json.len();
        let mut whole = true;
        for token in tokens {
            match self.tokens.get(token.0 as usize) {
                Some(text) => {
                    lengths.push_str(&text.length);
                    match &text.json {
                        Some(text) => json.push_str(text),
                        None => whole = false,
                    }
                }
                None => {
                    let unused = self.vocabulary.text(*token);
                    lengths.push_str(&digits(unused.len()));
                    json.push_str(&json_inside(&unused));
                }
            }
        }
        if whole {
            return None;
        }
        json.truncate(start);
        let all = self.bytes(tokens);
        match String::from_utf8_lossy(&all) {
            Cow::Borrowed(text) => {
                json.push_str(&json_inside(text));
                None
            }
            Cow::Owned(text) => {
                json.push_str(&json_inside(&text));
                Some(STANDARD.encode(&all))
            }
        }
    }

    /// The bytes of some tokens, one after the other.
    pub(super) fn bytes(&self, tokens: &[TokenId]) -> Vec<u8> {
        let mut all = Vec::with_capacity(tokens.len() * 6);
        for token in tokens {
            all.extend_from_slice(&bytes(self.vocabulary, *token));
        }
        all
    }

    /// Whether a token is a piece of a character.
    pub(super) fn is_partial(&self, token: TokenId) -> bool {
        let text = self.tokens.get(token.0 as usize);
        text.is_some_and(|text| text.json.is_none())
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
pub(super) fn json_string(text: &str) -> String {
    safe_in_html(serde_json::to_string(text).unwrap_or_default())
}

/// Writes what HTML or JavaScript could take for markup, and what turns the direction of text, as escapes; in JSON
/// these occur in strings only.
pub(super) fn safe_in_html(json: String) -> String {
    // all but the three are in the block that begins with this byte
    let suspect = |byte: u8| matches!(byte, b'<' | b'>' | b'&' | 0xe2);
    if !json.bytes().any(suspect) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match c {
            '<'
            | '>'
            | '&'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
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
