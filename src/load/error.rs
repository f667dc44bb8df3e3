//! What can go wrong when a model is loaded.

use std::io;
use std::path::PathBuf;

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
    /// The program was built without the demo.
    #[error("there is no model `{0}`, and this program was built without the demo")]
    NoDemo(String),
    /// The model's files are wrong.
    #[error("{origin}: {source}")]
    Model {
        /// Where the model was read from.
        origin: String,
        /// What is wrong.
        source: ModelError,
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

impl LoadError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { .. } | Self::NotThere(_) | Self::NoConfig(_) | Self::NoWeights(_) => Some(
                "a model is a folder with `config.json`, `tokenizer.json` and `model.safetensors`, a `.gguf` file, a name on the Hugging Face Hub, or `demo`",
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
            Self::Model { source, .. } => source.hint(),
            Self::Tokenizer { source, .. } => source.hint(),
            _ => None,
        }
    }
}
