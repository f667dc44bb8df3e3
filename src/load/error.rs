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
    #[error("`{path}` is not an index of weights: {reason}")]
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
    #[error("the Hub at {endpoint} does not give out `{what}` (HTTP status {status})")]
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
    #[error("`{what}` arrived damaged: its SHA-256 is {found}, not {expected}")]
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
                "make room, or name a folder on another disk in HF_HUB_CACHE; what was fetched so far is kept",
            ),
            Self::Write { .. } => {
                Some("the Hub's cache must be writable; HF_HUB_CACHE names another folder for it")
            }
            Self::Kind { kind, .. } => Some(kind.hint()),
            Self::GgufPartMissing { .. } => {
                Some("keep all parts in one folder, under the names that they were given")
            }
            Self::HubSetting { .. } => Some(
                "correct it or unset it; docs/models.md lists what is read from the environment",
            ),
            Self::HubMissing { .. } => {
                Some("check its spelling; a folder or file of this name is not here either")
            }
            Self::HubDenied { .. } => Some(
                "check its spelling (the Hub says the same of what does not exist); if it is private or gated, ask for access on its page and give your token in HF_TOKEN or with `hf auth login`",
            ),
            Self::Hub { .. } => Some(
                "what was fetched so far is kept, so the command can be run again; what is in the cache needs no network",
            ),
            Self::HubChecksum { .. } => Some("it was not kept: run the command again"),
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
