//! A model's tokenizer, from its `tokenizer.json`.

use serde::{Deserialize, Serialize};

use crate::ids::TokenId;

use super::vocabulary::Vocabulary;

/// What can be wrong with a tokenizer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The file is not a tokenizer.
    #[error("`tokenizer.json` cannot be read: {0}")]
    Syntax(String),
    /// A text could not be encoded.
    #[error("a text cannot be tokenized: {0}")]
    Encode(String),
    /// A BOS was asked for that the model does not name.
    #[error(
        "the model names no BOS token (`bos_token_id` in `config.json`), and its tokenizer adds none"
    )]
    NoBos,
    /// The tokenizer has ids for which the model has no embedding.
    #[error(
        "the tokenizer has token ids up to {largest}, but the model has embeddings for {d_vocab} tokens only"
    )]
    TooLarge {
        /// Largest id of the tokenizer.
        largest: u32,
        /// Rows of the model's embedding.
        d_vocab: usize,
    },
}

/// Whether windows begin with a BOS token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum BosPolicy {
    /// As the model's tokenizer does it.
    #[default]
    Auto,
    /// Always, with the model's `bos_token_id`.
    Always,
    /// Never.
    Never,
}

/// Text that is encoded at one go.
const PIECE_BYTES: usize = 1 << 20;

/// Where a text of a byte-level tokenizer can be cut after some bytes: between a letter and a space before a letter.
/// All pre-tokenizers of this kind separate words there, so the pieces have the tokens of the whole.
fn cut(text: &str, after: usize) -> usize {
    let bytes = text.as_bytes();
    let found = bytes
        .windows(3)
        .skip(after)
        .position(|w| w[0].is_ascii_alphabetic() && w[1] == b' ' && w[2].is_ascii_alphabetic());
    found.map_or(text.len(), |at| after + at + 1)
}

/// A tokenizer and its vocabulary.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocabulary: Vocabulary,
}

impl Tokenizer {
    /// Reads `tokenizer.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TokenizerError> {
        // read as a value first: on what is not JSON at all, the tokenizers crate panics
        let syntax = |error: serde_json::Error| TokenizerError::Syntax(error.to_string());
        let value: serde_json::Value = serde_json::from_slice(bytes).map_err(syntax)?;
        let mut inner: tokenizers::Tokenizer = serde_json::from_value(value).map_err(syntax)?;
        // a stored tokenizer may cut or pad what it encodes, which a corpus must not be
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| TokenizerError::Syntax(error.to_string()))?;
        let vocabulary = Vocabulary::of(&inner)?;
        Ok(Self { inner, vocabulary })
    }

    /// Token ids of a text, without the special tokens that the tokenizer puts around it.
    ///
    /// The tokenizers crate takes over 100 bytes of memory for each byte of text, so a long text is encoded in pieces
    /// where that gives the same tokens.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        self.encode_pieces(text, PIECE_BYTES)
    }

    fn encode_pieces(
        &self,
        text: &str,
        piece_bytes: usize,
    ) -> Result<Vec<TokenId>, TokenizerError> {
        let mut ids = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let end = match self.vocabulary.is_byte_level() {
                true => cut(rest, piece_bytes),
                false => rest.len(),
            };
            let encoding = self.inner.encode_fast(&rest[..end], false);
            let encoding = encoding.map_err(|error| TokenizerError::Encode(error.to_string()))?;
            ids.extend(encoding.get_ids().iter().map(|&id| TokenId(id)));
            rest = &rest[end..];
        }
        Ok(ids)
    }

    /// The BOS token under a policy; `bos_token_id` is the model's own.
    pub fn bos(
        &self,
        policy: BosPolicy,
        bos_token_id: Option<u32>,
    ) -> Result<Option<TokenId>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast("", true)
            .map_err(|error| TokenizerError::Encode(error.to_string()))?;
        let added = encoding.get_ids().first().copied();
        match policy {
            BosPolicy::Never => Ok(None),
            BosPolicy::Auto => Ok(added.map(TokenId)),
            BosPolicy::Always => bos_token_id
                .or(added)
                .map(TokenId)
                .map(Some)
                .ok_or(TokenizerError::NoBos),
        }
    }

    /// Bytes and kinds of the tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Fails unless every token has an embedding.
    pub fn check_fits(&self, d_vocab: usize) -> Result<(), TokenizerError> {
        match self.vocabulary.largest_id() {
            Some(largest) if largest as usize >= d_vocab => {
                Err(TokenizerError::TooLarge { largest, d_vocab })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokenizer(name: &str) -> Tokenizer {
        let path = format!(
            "{}/tests/conformance/{name}/tokenizer.json",
            env!("CARGO_MANIFEST_DIR")
        );
        Tokenizer::from_json(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn a_bos_is_added_as_the_policy_says() {
        let (with, without) = (tokenizer("llama"), tokenizer("gpt2"));
        let bos = |t: &Tokenizer, policy, id| t.bos(policy, id).ok().map(|bos| bos.map(|b| b.0));
        assert_eq!(bos(&with, BosPolicy::Auto, Some(7)), Some(Some(0)));
        assert_eq!(bos(&with, BosPolicy::Never, Some(7)), Some(None));
        assert_eq!(bos(&without, BosPolicy::Auto, Some(7)), Some(None));
        assert_eq!(bos(&without, BosPolicy::Always, Some(7)), Some(Some(7)));
        assert_eq!(bos(&without, BosPolicy::Always, None), None);
    }

    proptest! {
        #[test]
        fn pieces_have_the_tokens_of_the_whole(text in "([a-z]{1,6}|[ \n\t]{1,3}|[0-9]{1,4}|['’.,é“日]| the| n't){0,60}", piece in 0usize..40) {
            let tokenizer = tokenizer("llama");
            let whole = tokenizer.encode_pieces(&text, usize::MAX >> 1).unwrap();
            prop_assert_eq!(tokenizer.encode_pieces(&text, piece).unwrap(), whole);
        }

        #[test]
        fn tokens_spell_the_text(text in any::<String>()) {
            let tokenizer = tokenizer("gpt2");
            let ids = tokenizer.encode(&text).unwrap();
            let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.vocabulary().bytes(*id).unwrap().to_vec()).collect();
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }
}
