//! What a file holds, by its name or by an option.

use std::ffi::OsStr;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON object a line.
    Lines,
    /// A JSON object a line, or one list of JSON objects.
    Json,
    /// One document.
    Text,
    /// A table with commas between its fields.
    Csv,
    /// A table with tabs between its fields.
    Tsv,
    /// A Parquet file.
    Parquet,
}

/// Format of standard input and of files named one by one; overrides what their names say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// As the name says, or the first bytes of standard input
    #[default]
    Auto,
    /// JSON objects, one on each line or in one list
    Json,
    /// A JSON object on each line
    Jsonl,
    /// One document
    Text,
    /// A table with a header and commas
    Csv,
    /// A table with a header and tabs
    Tsv,
    /// A Parquet file
    Parquet,
}

impl Format {
    pub(super) fn kind(self) -> Option<Kind> {
        match self {
            Self::Auto => None,
            Self::Json => Some(Kind::Json),
            Self::Jsonl => Some(Kind::Lines),
            Self::Text => Some(Kind::Text),
            Self::Csv => Some(Kind::Csv),
            Self::Tsv => Some(Kind::Tsv),
            Self::Parquet => Some(Kind::Parquet),
        }
    }
}

fn ending(path: &Path) -> Option<String> {
    let ending = path.extension().and_then(OsStr::to_str)?;
    Some(ending.to_ascii_lowercase())
}

/// What a file holds, by its name without `.gz` and `.zst`, in upper or lower case.
pub(super) fn kind(path: &Path) -> Option<Kind> {
    let inner = match ending(path).as_deref() {
        Some("gz" | "zst") => path.file_stem().map(Path::new)?,
        _ => path,
    };
    match ending(inner).as_deref() {
        Some("jsonl" | "ndjson") => Some(Kind::Lines),
        Some("json") => Some(Kind::Json),
        Some("txt" | "md" | "markdown") => Some(Kind::Text),
        Some("csv") => Some(Kind::Csv),
        Some("tsv") => Some(Kind::Tsv),
        Some("parquet") => Some(Kind::Parquet),
        _ => None,
    }
}

/// Whether files of this name are read.
pub fn is_read(path: &Path) -> bool {
    kind(path).is_some()
}

/// What a file of a folder holds. There, `.json` is mostly not text but what describes it.
pub(super) fn kind_in_folder(path: &Path) -> Option<Kind> {
    kind(path).filter(|kind| *kind != Kind::Json)
}
