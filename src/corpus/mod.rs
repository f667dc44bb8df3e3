//! Files to documents, in a stable order.

mod folder;
mod input;
mod kind;
mod line;
mod lines;
mod message;
mod open;
mod options;
mod packing;
mod parquet;
mod read;
mod remote;
mod separated;
mod shuffle;
mod source;
mod stdin;
mod subset;

pub use folder::LeftOut;
pub use kind::{Format, is_read};
pub use message::{Content, Message};
pub use open::{LFS_HINT, is_lfs_pointer};
pub use options::CorpusOptions;
pub use read::{Corpus, MOST_DOCUMENT};
pub use remote::{RemoteError, RemoteFile};
pub use shuffle::Selection;
pub use source::Source;
pub use stdin::{STDIN, StdinCopy};
pub use subset::{Count, Share, Subset};

use std::borrow::Cow;
use std::path::PathBuf;

use crate::hint::Hint;

use serde::{Deserialize, Serialize};

/// One text or conversation with where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Document {
    /// What it says.
    pub content: Content,
    /// Where it comes from, as its author names it.
    pub source: String,
    /// Its licence.
    pub license: String,
    /// Its name: the field `id`, or file and line or row.
    pub id: String,
}

/// The documents of one file.
type Documents = Box<dyn Iterator<Item = Result<Document, CorpusError>> + Send>;

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
    /// A compressed file cannot be decompressed, or not to its end.
    #[error("`{path}` cannot be decompressed: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file of a kind that is not known.
    #[error(
        "`{0}` is not .jsonl, .json, .parquet, .csv, .tsv, .txt or .md, nor one of these with .gz or .zst"
    )]
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
    /// An object does not have the field that is to be read.
    #[error("`{path}` {place}: missing field `{field}`")]
    MissingField {
        /// The file.
        path: PathBuf,
        /// The line or row of the object.
        place: String,
        /// The field.
        field: String,
        /// The option that names it.
        option: &'static str,
    },
    /// A file that should have an object on each line is one JSON document.
    #[error("`{0}` is one JSON document; expected a JSON object on each line")]
    OneDocument(PathBuf),
    /// A row of a table, or an element of a list, is not a document.
    #[error("`{path}` row {row}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// The row, from 1; the header of a table is not counted.
        row: u64,
        /// Why.
        reason: String,
    },
    /// A table cannot be read, or not to its end.
    #[error("cannot read the table `{path}`: {reason}")]
    Table {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A Parquet file is compressed once more as a whole.
    #[error("`{0}` is a compressed Parquet file, which cannot be read without decompressing it")]
    PackedTable(PathBuf),
    /// A table does not have a column.
    #[error(
        "`{path}` has no column `{column}`; its columns are {}",
        named(columns)
    )]
    NoColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// The option that names it.
        option: &'static str,
        /// The columns that it has.
        columns: Vec<String>,
    },
    /// A column is of a type that cannot be read as what it is to hold.
    #[error("column `{column}` of `{path}` holds {found}; expected {expected}")]
    WrongColumn {
        /// The file.
        path: PathBuf,
        /// The column.
        column: String,
        /// What it holds.
        found: &'static str,
        /// What it should hold.
        expected: &'static str,
    },
    /// Conversations are to be read from a file that cannot hold them.
    #[error("`{0}` cannot hold conversations, which `--messages-field` asks for")]
    NoMessages(PathBuf),
    /// Standard input is a terminal.
    #[error("standard input is a terminal; pipe a text into it")]
    Terminal,
    /// Standard input has nothing in it.
    #[error("standard input is empty")]
    NoInput,
    /// Standard input cannot be copied.
    #[error("cannot copy standard input into `{folder}`: {source}")]
    Copy {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
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
    #[error("`{path}` is longer than {most} bytes, the most that can be read as one piece")]
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
    /// A file that is elsewhere cannot be had.
    #[error("{0}")]
    Remote(RemoteError),
    /// A row is too long.
    #[error("`{path}` row {row} is longer than {most} bytes, the most of one document")]
    RowTooLong {
        /// The file.
        path: PathBuf,
        /// The row, from 1.
        row: u64,
        /// The most bytes.
        most: u64,
    },
    /// Documents that are to be shuffled cannot be kept meanwhile.
    #[error("cannot shuffle: no temporary file in `{folder}`: {source}")]
    Spool {
        /// Where the temporary file is.
        folder: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No document was found.
    #[error("no text in {0}")]
    Empty(String),
}

/// Columns that are named in an error, at most.
const MOST_COLUMNS: usize = 40;

/// Names of columns in one line.
fn named(columns: &[String]) -> String {
    let named = columns.iter().take(MOST_COLUMNS);
    let mut named: Vec<String> = named.map(|column| format!("`{column}`")).collect();
    if columns.len() > MOST_COLUMNS {
        named.push(format!("{} more", columns.len() - MOST_COLUMNS));
    }
    named.join(", ")
}

/// How alike two names must be for one to be taken for a slip of the other.
const ALIKE: f64 = 0.6;

/// The name that is most like another.
fn most_alike<'a>(name: &str, others: &'a [String]) -> Option<&'a str> {
    let likeness = |other: &String| {
        let last = other.rsplit('.').next().unwrap_or_default();
        strsim::normalized_damerau_levenshtein(name, other)
            .max(strsim::normalized_damerau_levenshtein(name, last))
    };
    let others = others.iter().map(|other| (likeness(other), other));
    let (likeness, other) = others.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (likeness >= ALIKE).then_some(other)
}

impl CorpusError {
    /// An error in reading a file.
    fn read(path: PathBuf, source: std::io::Error) -> Self {
        match source.kind() {
            std::io::ErrorKind::InvalidData => Self::Damaged {
                path,
                reason: source.to_string(),
            },
            _ => Self::Io { path, source },
        }
    }

    /// Whether the reading can go on behind it.
    fn is_skippable(&self) -> bool {
        matches!(
            self,
            Self::Damaged { .. }
                | Self::Line { .. }
                | Self::MissingField { .. }
                | Self::OneDocument(_)
                | Self::Row { .. }
                | Self::RowTooLong { .. }
                | Self::Table { .. }
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
        if let Self::NoColumn {
            column,
            option,
            columns,
            ..
        } = self
        {
            return Some(match most_alike(column, columns) {
                Some(other) => format!("did you mean `{option} {other}`?").into(),
                None => format!("name another column with `{option}`").into(),
            });
        }
        if let Self::MissingField { option, .. } = self {
            let words = format!(
                "choose another field with `{option}`, or count and skip such texts with `--skip-invalid`"
            );
            return Some(words.into());
        }
        let hint: Option<&'static str> = match self {
            Self::OneDocument(_) => Some(
                "`jq -c '.[]' FILE` writes the parts of a list as lines, `jq -c . FILE` an object as one line",
            ),
            Self::Line { .. } | Self::Row { .. } | Self::NotUtf8 { .. } => {
                Some("count and skip such texts with `--skip-invalid`")
            }
            Self::Encoding { encoding, .. } if encoding.starts_with("UTF-32") => Some(
                "convert it (`iconv -f UTF-32 -t UTF-8`), or count and skip such files with `--skip-invalid`",
            ),
            Self::NotText { .. } => {
                Some("decompress or convert it, or count and skip such files with `--skip-invalid`")
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
            Self::RowTooLong { .. } => Some(
                "check that each quote is closed, cut the text into several documents, or count and skip such rows with `--skip-invalid`",
            ),
            Self::Table { .. } | Self::Damaged { .. } => {
                Some("fetch or write it again, or count and skip such files with `--skip-invalid`")
            }
            Self::PackedTable(_) => Some(
                "decompress it with `gzip -d` or `zstd -d`; Parquet files are compressed inside already",
            ),
            Self::WrongColumn { .. } => Some(
                "name another column with `--text-field`, or with `--messages-field` for conversations",
            ),
            Self::NoMessages(_) => {
                Some("conversations are read from .jsonl, .json and .parquet files")
            }
            Self::NoInput => {
                Some("pipe a text into it, such as `zcat FILE | neuroscope … --corpus -`")
            }
            Self::UnknownKind(_) => Some(
                "a .jsonl file has one JSON object per line, a .txt file is one document; set the format with `--format`",
            ),
            _ => None,
        };
        hint.map(Cow::from)
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Remote(error) => Some(error.as_ref()),
            _ => None,
        }
    }
}
