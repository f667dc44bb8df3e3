//! Errors in a model's files, and in walks through its layers.

use std::borrow::Cow;

use crate::hint::Hint;

/// An error in a model's files, or in a walk through its layers.
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
        key: String,
        /// `model_type`.
        family: String,
    },
    /// A key has a value of the wrong type, or one that makes no sense.
    #[error("`config.json` says `{key}` is {found}; expected {expected}")]
    BadKey {
        /// The key.
        key: String,
        /// The value found.
        found: String,
        /// What is expected.
        expected: String,
    },
    /// The config contradicts itself, or a size in it is out of range.
    #[error("`config.json` does not describe a model: {0}")]
    BadConfig(String),
    /// `model_type` names a family that is not known.
    #[error("`config.json` says `model_type` is `{found}`; known are {known}")]
    UnknownFamily {
        /// The value found.
        found: String,
        /// The families known.
        known: String,
    },
    /// A file of weights cannot be read.
    #[error("`{file}` is not a complete {format} file: {reason}")]
    Weights {
        /// Name of the file.
        file: String,
        /// Format that it should have.
        format: &'static str,
        /// Why.
        reason: String,
    },
    /// A PyTorch file has the format of versions before 1.6.
    #[error("`{file}` has the format of PyTorch before version 1.6, which is not read")]
    OldPytorch {
        /// Name of the file.
        file: String,
    },
    /// A GGUF file cannot be read, or describes a model of an unknown kind.
    #[error("the GGUF file cannot be used: {0}")]
    Gguf(String),
    /// A tensor of a GGUF file is stored in a type that is not read.
    #[error("tensor `{tensor}` is stored as {found}, which is not read; {read} are")]
    GgufType {
        /// Its name in the file.
        tensor: String,
        /// The type.
        found: String,
        /// The types that are read.
        read: String,
    },
    /// The weights are quantised in a way that is not read.
    #[error("its weights are quantised ({method}), which is not read: {sign}")]
    Quantised {
        /// The method.
        method: String,
        /// What in the files shows it.
        sign: String,
    },
    /// The weights are those of an adapter.
    #[error(
        "its weights are those of an adapter such as LoRA, not of a whole model: it has tensor `{tensor}`"
    )]
    Adapter {
        /// A tensor that no whole model has.
        tensor: String,
    },
    /// Two files hold the same tensor.
    #[error("tensor `{name}` is in `{}` and in `{}`", files[0], files[1])]
    TensorTwice {
        /// Its name in both.
        name: String,
        /// The files.
        files: [String; 2],
    },
    /// The checkpoint holds tensors that the config has no place for.
    #[error(
        "tensor `{first}` ({others} others like it) has no place in a {family} model of this config"
    )]
    ExtraTensors {
        /// The first of them, by name.
        first: String,
        /// How many more there are.
        others: usize,
        /// `model_type`.
        family: &'static str,
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
    /// A walk was cancelled between two layers.
    #[error("cancelled before layer {layer}")]
    Cancelled {
        /// The layer that was not begun.
        layer: usize,
    },
    /// A walk reached a layer that the model does not hold, and has no checkpoint to load it from.
    #[error("layer {layer} is not loaded")]
    NotLoaded {
        /// The layer.
        layer: usize,
    },
    /// An entry of a walk has no tokens.
    #[error("an entry of the walk has no tokens")]
    NoTokens,
    /// A visitor wrote `hook_post` for fewer or more entries than the walk has.
    #[error("`hook_post` was written for {found} entries; expected {expected}")]
    OtherEntries {
        /// Entries that the visitor wrote.
        found: usize,
        /// Entries of the walk.
        expected: usize,
    },
    /// A walk that continues a cache has more than one window.
    #[error("a cache holds the keys and values of one window; the walk has {found}")]
    OneWindow {
        /// Number of windows with tokens.
        found: usize,
    },
    /// A cache was filled by a walk that stopped after fewer layers.
    #[error("the cache holds the keys and values of {found} layers; expected {expected}")]
    FewerLayers {
        /// Layers in the cache.
        found: usize,
        /// Layers that the walk goes through.
        expected: usize,
    },
    /// A window has grown past the original length of LongRoPE, or shrunk below it, so cached keys have the wrong angles.
    #[error(
        "the keys in the cache cannot be used in a window of {n_positions} positions: LongRoPE rotates that length by other angles"
    )]
    OtherAngles {
        /// Positions in the cache and new ones.
        n_positions: usize,
    },
    /// The tensor library failed.
    #[error("tensor operation failed: {0}")]
    Tensor(#[from] candle_core::Error),
}

/// Hint for the weights of an adapter.
pub(crate) const ADAPTER_HINT: &str = "merge it into its base model first: `AutoPeftModelForCausalLM.from_pretrained(adapter).merge_and_unload().save_pretrained(folder)`";

impl Hint for ModelError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Shape { .. } | Self::MissingTensor { .. } | Self::ExtraTensors { .. } => {
                Some("check that `config.json` and the weights come from one checkpoint")
            }
            Self::Weights { .. } => {
                Some("the download may have been cut off; fetch the file again")
            }
            Self::OldPytorch { .. } => Some(
                "load it and save it again with a current PyTorch: `torch.save(torch.load(file, weights_only=True), file)`",
            ),
            Self::GgufType { .. } => Some(
                "use another quantisation of this model, or make one with llama.cpp's `llama-quantize --allow-requantize`",
            ),
            Self::Quantised { .. } => Some(
                "use the model that it was made from, or a GGUF file of it; if transformers can load it, `model.dequantize().save_pretrained(folder)` writes a model that is read",
            ),
            Self::Adapter { .. } => Some(ADAPTER_HINT),
            Self::TensorTwice { .. } => Some(
                "keep only the files of one checkpoint in the folder, and the index that belongs to them",
            ),
            Self::NotLoaded { .. } => Some(
                "load all layers with `Model::load`, or give the walk the checkpoint with `Walk::load_from`",
            ),
            Self::OtherAngles { .. } | Self::FewerLayers { .. } => {
                Some("start again with an empty cache, and walk through the whole window")
            }
            Self::UnknownToken { .. } => Some("check that `tokenizer.json` belongs to this model"),
            Self::NotFinite { .. } => Some("the checkpoint is damaged or its training diverged"),
            _ => None,
        };
        hint.map(Cow::from)
    }
}
