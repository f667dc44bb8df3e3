//! Errors of tokenizers.

use std::borrow::Cow;

use crate::hint::Hint;

/// An error in a tokenizer's files, or in its use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenizerError {
    /// The model has no tokenizer.
    #[error("there is no tokenizer: neither `tokenizer.json` nor `vocab.json` with `merges.txt`")]
    Missing,
    /// A GGUF file names a pre-tokenizer that is not known.
    #[error("it names the pre-tokenizer `{0}`, which is not known")]
    UnknownPreTokenizer(String),
    /// The file is not a tokenizer.
    #[error("the tokenizer cannot be read: {0}")]
    Syntax(String),
    /// A file beside the tokenizer cannot be used.
    #[error("`{0}` cannot be read: {1}")]
    Beside(&'static str, String),
    /// The tokenizer splits special tokens in a text, which a `tokenizer.json` cannot express.
    #[error(
        "`tokenizer_config.json` says `\"split_special_tokens\": true`, so special tokens in a text would be split into pieces, which a `tokenizer.json` cannot express"
    )]
    SplitsSpecialTokens,
    /// A text could not be encoded.
    #[error("a text cannot be tokenized: {0}")]
    Encode(String),
    /// A BOS is wanted, but the model does not name one.
    #[error(
        "the model names no BOS token (`bos_token_id` in `config.json`, `bos_token` in `tokenizer_config.json`), and its tokenizer adds none"
    )]
    NoBos,
    /// The BOS has no embedding.
    #[error(
        "the BOS token has the id {bos}, but the model has embeddings for {d_vocab} tokens only"
    )]
    BosTooLarge {
        /// Its id.
        bos: u32,
        /// Rows of the model's embedding.
        d_vocab: usize,
    },
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

impl Hint for TokenizerError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Missing => Some(
                "in transformers, `AutoTokenizer.from_pretrained(…).save_pretrained(…)` writes a `tokenizer.json`",
            ),
            Self::UnknownPreTokenizer(_) => {
                Some("put the model's `tokenizer.json` beside the `.gguf` file")
            }
            Self::SplitsSpecialTokens => Some(
                "set it to false in `tokenizer_config.json`; then a special token in a text is one token",
            ),
            Self::BosTooLarge { .. } => Some(
                "check that the files come from one checkpoint; `--bos never` runs without a BOS",
            ),
            Self::NoBos => Some("`--bos never` runs without one"),
            Self::TooLarge { .. } => {
                Some("check that `tokenizer.json` and `config.json` come from one checkpoint")
            }
            _ => None,
        };
        hint.map(Cow::from)
    }
}
