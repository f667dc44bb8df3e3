//! What can go wrong when a model is loaded.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use super::kind::{Kind, MODEL_HINT};
use crate::hint::Hint;
use crate::model::ModelError;
use crate::tokens::TokenizerError;

/// What can go wrong when a model is loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file or folder is not a model, or not what its name says.
    #[error("`{path}` {kind}")]
    Kind {
        /// The file or folder.
        path: PathBuf,
        /// What it is.
        kind: Kind,
    },
    /// A part of a model in several GGUF files is missing.
    #[error("part {number} of {count} of the model is missing: there is no `{path}`")]
    GgufPartMissing {
        /// The file that should be there.
        path: PathBuf,
        /// Its number.
        number: usize,
        /// How many parts there are.
        count: usize,
    },
    /// There is nothing of that name.
    #[error("there is no model `{0}`")]
    NotThere(PathBuf),
    /// A folder has no config.
    #[error("`{0}` has neither `config.json` nor a single `.gguf` file")]
    NoConfig(PathBuf),
    /// A folder has no weights.
    #[error(
        "`{0}` has no weights: neither `model.safetensors` nor `pytorch_model.bin`, nor an index of several"
    )]
    NoWeights(PathBuf),
    /// The index of sharded weights is not what it should be.
    #[error("`{path}` cannot be read as an index of weights: {reason}")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The Hub has no such model or file.
    #[error("the Hub at {endpoint} has no `{what}`")]
    HubMissing {
        /// Address of the Hub.
        endpoint: String,
        /// The model, its revision or a file.
        what: String,
    },
    /// The Hub does not let us have the model.
    #[error("the Hub at {endpoint} denies access to `{what}` (HTTP status {status})")]
    HubDenied {
        /// Address of the Hub.
        endpoint: String,
        /// The model.
        what: String,
        /// 401 or 403.
        status: u16,
    },
    /// The Hub cannot be reached, or broke off.
    #[error("cannot fetch `{what}` from the Hub at {endpoint}: {reason}")]
    Hub {
        /// Address of the Hub.
        endpoint: String,
        /// The model or the file.
        what: String,
        /// Why.
        reason: String,
    },
    /// What the Hub sent is not what it says it has.
    #[error("`{what}` was damaged on the way: its SHA-256 is {found}; expected {expected}")]
    HubChecksum {
        /// The file.
        what: String,
        /// What the Hub says.
        expected: String,
        /// What arrived.
        found: String,
    },
    /// A setting of the environment cannot be used; it is named, and what it holds is not shown.
    #[error("{setting} {reason}")]
    HubSetting {
        /// The environment variable, or the file.
        setting: String,
        /// What is wrong.
        reason: String,
    },
    /// The user interrupted it.
    #[error("interrupted")]
    Interrupted,
    /// The program was built without the demo.
    #[error("there is no model `{0}`, and this program was built without the demo")]
    NoDemo(String),
    /// The model's files are wrong.
    #[error("{origin}: {source}")]
    Model {
        /// Where the model was read from.
        origin: String,
        /// What is wrong.
        source: Box<ModelError>,
    },
    /// The tokenizer is wrong.
    #[error("{origin}: {source}")]
    Tokenizer {
        /// Where the model was read from.
        origin: String,
        /// What is wrong.
        source: TokenizerError,
    },
}

impl Hint for LoadError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge => None,
            Self::Io { .. } | Self::NotThere(_) | Self::NoConfig(_) | Self::NoWeights(_) => {
                Some(MODEL_HINT)
            }
            Self::Write { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(
                "free some space, or set HF_HUB_CACHE to a folder on another disk; what was fetched so far is kept",
            ),
            Self::Write { .. } => Some(
                "the Hub's cache must be writable; to use another folder for it, set HF_HUB_CACHE",
            ),
            Self::Kind { kind, .. } => Some(kind.hint()),
            Self::GgufPartMissing { .. } => {
                Some("keep all parts in one folder, under their original names")
            }
            Self::HubSetting { .. } => {
                Some("correct it or unset it; docs/models.md lists the environment variables")
            }
            Self::HubMissing { .. } => {
                Some("check its spelling; there is no folder or file of this name here either")
            }
            Self::HubDenied { .. } => Some(
                "check its spelling (the Hub also says this of what does not exist); if it is private or gated, ask for access on its page and give your token in HF_TOKEN or with `hf auth login`",
            ),
            Self::Hub { .. } => Some(
                "run the command again: what was fetched so far is kept, and files in the cache need no network",
            ),
            Self::HubChecksum { .. } => {
                Some("run the command again; the damaged file was not kept")
            }
            _ => None,
        };
        hint.map(Cow::from)
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Model { source, .. } => Some(source.as_ref()),
            Self::Tokenizer { source, .. } => Some(source),
            _ => None,
        }
    }
}
