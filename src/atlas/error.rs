//! What can go wrong with an atlas.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::hint::Hint;
use crate::model::ModelError;
use crate::shard::ShardError;
use crate::stats::OptionError;
use crate::tokens::TokenizerError;
use crate::tokens::store::StoreError;

/// What can go wrong with an atlas.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AtlasError {
    /// The files are wrong.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The model is wrong.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The corpus is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The tokenizer of the corpus cannot be read.
    #[error("`{path}`: {source}")]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TokenizerError,
    },
    /// There is nothing to merge.
    #[error("no parts of a scan in `{0}`")]
    NoParts(PathBuf),
    /// Parts are not of one scan.
    #[error(
        "cannot merge `{path}`: scanned from different {what} (expected {expected}, found {found})"
    )]
    Differs {
        /// The part.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As in the first part.
        expected: String,
        /// As in this part.
        found: String,
    },
    /// A part is there twice.
    #[error("cannot merge `{path}`: part {index} of {of} is also in `{other}`")]
    Doubled {
        /// The part.
        path: PathBuf,
        /// The other.
        other: PathBuf,
        /// Its index.
        index: u32,
        /// Number of parts.
        of: u32,
    },
    /// A part is missing.
    #[error("part {index} of {of} is missing in `{path}`")]
    MissingPart {
        /// Where parts were looked for.
        path: PathBuf,
        /// Index of the part.
        index: u32,
        /// Number of parts.
        of: u32,
    },
    /// The model that was given is not the one that was scanned.
    #[error(
        "this is not the model that was scanned: different {what} (expected {expected}, found {found})"
    )]
    OtherModel {
        /// What differs.
        what: &'static str,
        /// As scanned.
        expected: String,
        /// As given.
        found: String,
    },
    /// The corpus that is there is not the one that was scanned.
    #[error(
        "`{path}` does not describe the corpus that was scanned: different {what} (expected {expected}, found {found})"
    )]
    OtherCorpus {
        /// Manifest of the corpus.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As scanned.
        expected: String,
        /// As found.
        found: String,
    },
    /// The atlas does not say which model it is of.
    #[error(
        "whether this is the model that was scanned is not known: the atlas has no SHA-256 of its {what}"
    )]
    UnknownModel {
        /// Of what it has none.
        what: &'static str,
    },
    /// The atlas does not say which corpus it is of.
    #[error(
        "whether `{path}` is the corpus that was scanned is not known: the atlas has no SHA-256 of its {what}"
    )]
    UnknownCorpus {
        /// The folder of the corpus.
        path: PathBuf,
        /// Of what it has none.
        what: &'static str,
    },
    /// A merge would take the place of an atlas that was not made from parts.
    #[error("`{0}` was imported, so no parts are of it")]
    Imported(PathBuf),
    /// There is no text of the examples.
    #[error("there is no corpus, and the examples in `{0}` do not have the texts of their tokens")]
    NoTexts(PathBuf),
    /// An option makes no sense.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Another process is writing it.
    #[error("`{0}` is being written by another process")]
    InWork(PathBuf),
    /// A table's rows do not fit its manifest.
    #[error("`{path}` does not fit its manifest: {reason}")]
    Rows {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Hint for AtlasError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Differs { .. } => Some(
                "merge only parts of one scan; each part's `manifest.json` says where it came from",
            ),
            Self::Doubled { .. } => Some("remove one of the two"),
            Self::MissingPart { .. } => {
                Some("scan it with `neuroscope scan --part`, or copy it here")
            }
            Self::OtherCorpus { .. } => Some(
                "bring the corpus of the scan back with `neuroscope tokenize --data`, or scan the new one under another name",
            ),
            Self::UnknownModel { .. } | Self::UnknownCorpus { .. } => Some(
                "an atlas that was imported stands alone; scan the model yourself to have what needs the model or the corpus",
            ),
            Self::Imported(_) => Some("merge the parts in a data folder of their own"),
            Self::NoTexts(_) => Some(
                "bring the corpus of the scan back with `neuroscope tokenize --data`; only examples with the column `tokens` can do without",
            ),
            Self::NoParts(_) => Some("scan first: `neuroscope scan --model MODEL --corpus FILES`"),
            _ => None,
        };
        hint.map(Cow::from)
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Shard(error) => Some(error),
            Self::Model(error) => Some(error),
            _ => None,
        }
    }
}
