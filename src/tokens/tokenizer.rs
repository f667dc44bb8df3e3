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
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        let encoding = self
            .inner
            .encode_fast(text, false)
            .map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().iter().map(|&id| TokenId(id)).collect())
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
