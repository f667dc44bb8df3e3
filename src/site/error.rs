//! What can go wrong while a site is built.

use std::io;
use std::path::PathBuf;

use crate::atlas::AtlasError;
use crate::tokens::TokenizerError;
use crate::tokens::store::StoreError;

use super::content::ContentError;

/// What can go wrong while a site is built.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SiteError {
    /// An atlas cannot be read.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// A corpus cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A tokenizer cannot be read.
    #[error("`{path}`: {source}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TokenizerError,
    },
    /// The content is wrong.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A template is wrong.
    #[error("template `{template}`: {reason}")]
    Template {
        /// The template.
        template: String,
        /// Why.
        reason: String,
    },
    /// An asset refers to itself by way of others.
    #[error(
        "asset `{0}` refers to itself by way of others, so that none can be named by its bytes"
    )]
    AssetCircle(String),
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
    /// A file of the site would take the place of somebody's own.
    #[error("`{0}` was not written by neuroscope, and is in the place of a page")]
    Foreign(PathBuf),
    /// Two of the site's files would have one address.
    #[error("`{0}` would be two pages at once")]
    Twice(String),
    /// Two models have one name.
    #[error("two atlases are named `{0}`")]
    SameName(String),
    /// A model's name cannot be part of an address.
    #[error(
        "`{0}` cannot be a model's name: use letters, digits, `-`, `_` and `.`, and not the name of a folder of the site"
    )]
    BadName(String),
    /// A file of the content would be among a model's files.
    #[error("`{0}` would be among the files of a model, or of the site itself")]
    BadFolder(PathBuf),
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl SiteError {
    /// An error of reading or writing a file.
    pub(super) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.into(),
            source,
        }
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Atlas(error) => error.hint(),
            Self::Foreign(_) => Some(
                "choose another folder with `--out`; files that are not the site's are never overwritten or deleted",
            ),
            Self::Interrupted => {
                Some("pages that were written are whole; run the same command to go on")
            }
            Self::Twice(_) => Some("give the page in `content/` another name"),
            Self::BadFolder(_) => Some("choose another folder in `content/`"),
            Self::SameName(_) | Self::BadName(_) => Some("scan with another `--name`"),
            _ => None,
        }
    }
}
