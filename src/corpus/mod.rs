//! Files to documents, in a stable order.

mod read;

pub use read::{Corpus, CorpusOptions, Source};

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// One text with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// The text.
    pub text: String,
    /// Where it comes from, as its author names it.
    #[serde(default)]
    pub source: String,
    /// Its licence.
    #[serde(default)]
    pub license: String,
    /// Its name: the field `id`, or file and line.
    #[serde(default)]
    pub id: String,
}

/// What can be wrong with a corpus.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CorpusError {
    /// A file or folder cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file of a kind that is not known.
    #[error("`{0}` is neither .jsonl nor .txt, nor one of these with .gz or .zst")]
    UnknownKind(PathBuf),
    /// A line is not a JSON object with a text.
    #[error("`{path}` line {line}: {reason}")]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// Why.
        reason: String,
    },
    /// A text file is not UTF-8.
    #[error("`{path}` is not valid UTF-8: byte {at}")]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Offset of the first bad byte.
        at: usize,
    },
    /// No document was found.
    #[error("no text in {0}")]
    Empty(String),
}

impl CorpusError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Line { reason, .. } if reason.starts_with("missing field") => Some(
                "choose another field with `--text-field`, or count and skip such lines with `--skip-invalid`",
            ),
            Self::Line { .. } | Self::NotUtf8 { .. } => {
                Some("count and skip such texts with `--skip-invalid`")
            }
            Self::UnknownKind(_) => {
                Some("a .jsonl file has one JSON object a line, a .txt file is one document")
            }
            _ => None,
        }
    }

    /// Whether the reading can go on behind it.
    fn is_skippable(&self) -> bool {
        matches!(self, Self::Line { .. } | Self::NotUtf8 { .. })
    }
}
