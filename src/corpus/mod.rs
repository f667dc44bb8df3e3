//! Files to documents, in a stable order.

mod folder;
mod line;
mod message;
mod open;
mod read;

pub use folder::LeftOut;
pub use message::{Content, Message};
pub use open::{LFS_HINT, is_lfs_pointer};
pub use read::{Corpus, CorpusOptions, MOST_DOCUMENT, Source};

use std::borrow::Cow;
use std::path::PathBuf;

use crate::hint::Hint;

/// One text or conversation with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// What it says.
    pub content: Content,
    /// Where it comes from, as its author names it.
    pub source: String,
    /// Its licence.
    pub license: String,
    /// Its name: the field `id`, or file and line.
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
    /// A text file is of another encoding.
    #[error("`{path}` is {encoding}, not UTF-8")]
    Encoding {
        /// The file.
        path: PathBuf,
        /// Its encoding.
        encoding: &'static str,
    },
    /// A file is not text.
    #[error("`{path}` is not text: {what}")]
    NotText {
        /// The file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A file stands for one that Git LFS has not fetched.
    #[error("`{0}` is a pointer of Git LFS; the file itself was not fetched")]
    LfsPointer(PathBuf),
    /// A file of one document is too long.
    #[error("`{path}` is longer than {most} bytes, the most of one document")]
    FileTooLong {
        /// The file.
        path: PathBuf,
        /// The most bytes.
        most: u64,
    },
    /// A line is too long.
    #[error("`{path}` line {line} is longer than {most} bytes, the most of one document")]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// The most bytes.
        most: u64,
    },
    /// No document was found.
    #[error("no text in {0}")]
    Empty(String),
}

impl CorpusError {
    /// Whether the reading can go on behind it.
    fn is_skippable(&self) -> bool {
        matches!(
            self,
            Self::Line { .. }
                | Self::NotUtf8 { .. }
                | Self::Encoding { .. }
                | Self::NotText { .. }
                | Self::FileTooLong { .. }
                | Self::LineTooLong { .. }
        )
    }
}

impl Hint for CorpusError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Line { reason, .. } if reason.starts_with("missing field") => Some(
                "choose another field with `--text-field`, or count and skip such lines with `--skip-invalid`",
            ),
            Self::Line { reason, .. } if reason == read::ONE_DOCUMENT => Some(
                "`jq -c '.[]' FILE` writes the parts of a list as lines, `jq -c . FILE` an object as one line",
            ),
            Self::Line { .. } | Self::NotUtf8 { .. } => {
                Some("count and skip such texts with `--skip-invalid`")
            }
            Self::Encoding { encoding, .. } if encoding.starts_with("UTF-32") => Some(
                "convert it (`iconv -f UTF-32 -t UTF-8`), or count and skip such files with `--skip-invalid`",
            ),
            Self::NotText { .. } => {
                Some("unpack or convert it, or count and skip such files with `--skip-invalid`")
            }
            Self::Encoding { .. } => Some(
                "convert it (`iconv -f UTF-16 -t UTF-8`), or count and skip such files with `--skip-invalid`",
            ),
            Self::LfsPointer(_) => Some(LFS_HINT),
            Self::FileTooLong { .. } => Some(
                "cut it into several documents, or count and skip such files with `--skip-invalid`",
            ),
            Self::LineTooLong { .. } => Some(
                "cut it into several documents, or count and skip such lines with `--skip-invalid`",
            ),
            Self::UnknownKind(_) => {
                Some("a .jsonl file has one JSON object a line, a .txt file is one document")
            }
            _ => None,
        };
        hint.map(Cow::from)
    }
}
