//! What can be wrong with a scan's files.

use std::borrow::Cow;
use std::io;

use crate::hint::Hint;
use std::path::{Path, PathBuf};

/// What can be wrong with a scan's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read`, `write`...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A manifest is not what it should be.
    #[error("`{path}` is not a manifest that can be read: {reason}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A manifest or table was written by a newer version.
    #[error("`{path}` has schema `{found}`; this program reads `{expected}`")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema found.
        found: String,
        /// The schema that is read.
        expected: String,
    },
    /// A file is not there.
    #[error("`{path}` is listed in its manifest, but missing")]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file is needed that its manifest does not name.
    #[error("`{path}` is not listed in its manifest, but must be")]
    Unlisted {
        /// The file.
        path: PathBuf,
    },
    /// A file has another checksum or length than its manifest says.
    #[error("`{path}` is damaged: {what} is {found}; its manifest says {expected}")]
    Checksum {
        /// The file.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As found.
        found: String,
        /// As written in the manifest.
        expected: String,
    },
    /// A table cannot be read or written.
    #[error("cannot {action} table `{path}`: {reason}")]
    Table {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl ShardError {
    /// An error of reading or writing a file.
    pub fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    pub(crate) fn table(action: &'static str, path: &Path, reason: impl ToString) -> Self {
        Self::Table {
            action,
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }
}

impl Hint for ShardError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Checksum { .. } | Self::Missing { .. } | Self::Unlisted { .. } => {
                Some("copy the folder again, or scan this part again")
            }
            Self::Schema { .. } => {
                Some("use the version of neuroscope that wrote it, or a newer one")
            }
            Self::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space and run the same command again; no half-written file is left")
            }
            _ => None,
        };
        hint.map(Cow::from)
    }
}
