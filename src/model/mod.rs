//! The hooked forward pass: a decoder described by its config, from bytes to activations.
//!
//! One block serves every family; what differs (norms, positions, gating, windows, biases) is data in [`Config`].
//! Checkpoint names are translated in [`weights`] and nowhere else. The module reads no file and starts no thread: callers hand
//! it bytes and drive it layer by layer, and so decide what runs side by side.

mod attention;
mod config;
mod cpu;
mod error;
mod forward;
pub mod gguf;
mod hooks;
mod mlp;
mod norm;
mod ops;
mod panels;
mod products;
mod rope;
pub mod weights;
mod windows;

pub use config::{
    Activation, Affine, AttentionConfig, Config, Family, Layout, NormConfig, NormKind, Position,
    QkNorm, Rope, RopeScaling,
};
#[cfg(feature = "atlas")]
pub(crate) use error::ADAPTER_HINT;
pub use error::ModelError;
pub use forward::{Attended, Model, Stream, Unembedding};
pub use hooks::{Hook, MlpActivations, MlpProducts};
pub use ops::Compute;
pub use panels::{MlpInput, MlpOutput, Neurons, PanelOutput, PanelValues};
pub use products::{Columns, Rows};
