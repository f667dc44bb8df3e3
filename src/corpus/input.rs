//! A file that is being read: its name, and what is to be read from it.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Content, CorpusError, CorpusOptions, Document, RemoteFile};

/// A file that is being read.
#[derive(Clone)]
pub(super) struct Input {
    /// What errors call it.
    pub(super) path: PathBuf,
    /// The file, if it was fetched.
    pub(super) remote: Option<Arc<dyn RemoteFile>>,
    /// How it is read.
    pub(super) options: Arc<CorpusOptions>,
    /// The longest document, row, line and file of one document, in bytes.
    pub(super) most: u64,
}

/// What a row says of itself, as far as it says it.
#[derive(Default)]
pub(super) struct Names {
    pub(super) source: Option<String>,
    pub(super) license: Option<String>,
    pub(super) id: Option<String>,
}

impl Input {
    /// The name that documents get from their file.
    pub(super) fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// The source of documents that do not name one.
    pub(super) fn source(&self) -> String {
        let remote = self.remote.as_ref().map(|file| file.source().to_owned());
        remote.unwrap_or_else(|| self.name())
    }

    /// The licence of documents that do not name one.
    pub(super) fn license(&self) -> String {
        let remote = self.remote.as_ref().map(|file| file.license().to_owned());
        remote.unwrap_or_default()
    }

    /// A document that is one of many in its file.
    pub(super) fn document(&self, content: Content, row: u64, names: Names) -> Document {
        Document {
            content,
            source: names.source.unwrap_or_else(|| self.source()),
            license: names.license.unwrap_or_else(|| self.license()),
            id: names.id.unwrap_or_else(|| format!("{}:{row}", self.name())),
        }
    }

    pub(super) fn io(&self, source: std::io::Error) -> CorpusError {
        CorpusError::read(self.path.clone(), source)
    }

    /// An error in a row, which others may follow.
    pub(super) fn row_error(&self, row: u64, reason: impl Into<String>) -> CorpusError {
        CorpusError::Row {
            path: self.path.clone(),
            row,
            reason: reason.into(),
        }
    }

    pub(super) fn row_too_long(&self, row: u64) -> CorpusError {
        CorpusError::RowTooLong {
            path: self.path.clone(),
            row,
            most: self.most,
        }
    }

    /// An error of a whole table.
    pub(super) fn table_error(&self, reason: impl ToString) -> CorpusError {
        CorpusError::Table {
            path: self.path.clone(),
            reason: reason.to_string(),
        }
    }

    /// An error about a column that a table with these columns does not have.
    pub(super) fn no_column(
        &self,
        column: &str,
        option: &'static str,
        columns: Vec<String>,
    ) -> CorpusError {
        CorpusError::NoColumn {
            path: self.path.clone(),
            column: column.to_owned(),
            option,
            columns,
        }
    }
}
