//! The hooked forward pass: a decoder described by its config, from bytes to activations.
//!
//! One block serves every family; what differs (norms, positions, gating, windows, biases) is data in [`Config`].
//! Checkpoint names are translated in [`weights`] and nowhere else. [`walk`] leads text through the layers, and nothing else
//! does. The module reads no file and starts no thread: callers hand it bytes, and decide what runs side by side.

mod attention;
mod block;
mod cache;
mod config;
mod cpu;
mod decoder;
mod ends;
mod error;
pub mod gguf;
mod hooks;
mod mlp;
mod norm;
mod ops;
mod panels;
mod products;
mod rope;
mod stream;
pub mod walk;
pub mod weights;
mod windows;

pub use cache::KvCache;
pub use config::{
    Activation, Affine, AttentionConfig, Config, Family, Layout, NormConfig, NormKind, Position,
    QkNorm, Rope, RopeScaling,
};
pub use decoder::Model;
pub use ends::Unembedding;
#[cfg(feature = "atlas")]
pub(crate) use error::ADAPTER_HINT;
pub use error::ModelError;
pub use hooks::Hook;
pub use mlp::{MlpActivations, MlpProducts};
pub use ops::Compute;
pub use panels::{PANEL_NEURONS, PanelValues};
pub use products::{Columns, Rows};
pub use stream::{Entry, Stream};
