//! What can be wrong with a model's files.

/// What can be wrong with a model's files.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// `config.json` is not JSON.
    #[error("`config.json` is not valid JSON: {0}")]
    ConfigSyntax(serde_json::Error),
    /// A key that the family needs is missing.
    #[error("`config.json` has no `{key}`, which a {family} model needs")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// `model_type`.
        family: String,
    },
    /// A key has a value of the wrong type, or one that makes no sense.
    #[error("`config.json` says `{key}` is {found}; expected {expected}")]
    BadKey {
        /// The key.
        key: &'static str,
        /// The value found.
        found: String,
        /// What would do.
        expected: String,
    },
    /// `model_type` names a family that is not known.
    #[error("`config.json` says `model_type` is `{found}`; known are {known}")]
    UnknownFamily {
        /// The value found.
        found: String,
        /// The families known.
        known: String,
    },
    /// The weights are not a safetensors file.
    #[error("`{file}` is not a complete safetensors file: {reason}")]
    Safetensors {
        /// Name of the file.
        file: String,
        /// Why.
        reason: String,
    },
    /// A tensor is missing.
    #[error("tensor `{name}` is missing from `{file}`")]
    MissingTensor {
        /// Its name in the checkpoint.
        name: String,
        /// Name of the file.
        file: String,
    },
    /// A tensor has another shape than the config implies.
    #[error("tensor `{name}` has shape {found:?}; expected {expected}")]
    Shape {
        /// Its name in the checkpoint.
        name: String,
        /// Shape found.
        found: Vec<usize>,
        /// Shape expected, with the names of the dimensions.
        expected: String,
    },
    /// A tensor holds NaN or infinity.
    #[error("tensor `{name}` holds {count} values that are not finite numbers")]
    NotFinite {
        /// Its name in the checkpoint.
        name: String,
        /// How many.
        count: usize,
    },
    /// A window is longer than the model's context.
    #[error("a window of {found} tokens is longer than the model's context, n_ctx = {n_ctx}")]
    TooLong {
        /// Tokens in the window.
        found: usize,
        /// The model's context length.
        n_ctx: usize,
    },
    /// A token id has no row in the embedding.
    #[error("token id {id} has no embedding: d_vocab = {d_vocab}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// Rows of the embedding.
        d_vocab: usize,
    },
    /// The tensor library failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

impl ModelError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Shape { .. } | Self::MissingTensor { .. } => {
                Some("check that `config.json` and `model.safetensors` come from one checkpoint")
            }
            Self::Safetensors { .. } => {
                Some("the download may have been cut off; fetch the file again")
            }
            Self::UnknownToken { .. } => Some("check that `tokenizer.json` belongs to this model"),
            Self::NotFinite { .. } => Some("the checkpoint is damaged or its training diverged"),
            _ => None,
        }
    }
}
