//! Text to token windows, and their store on disk.

mod beside;
#[cfg(feature = "atlas")]
pub mod chat;
mod error;
mod ggml;
mod json;
mod long;
#[cfg(feature = "atlas")]
pub mod store;
mod tokenizer;
mod vocabulary;
mod windows;

pub use beside::{MergedTokenizer, TokenizerFiles, default_template};
pub use error::TokenizerError;
pub use ggml::GgmlVocabulary;
pub use long::Encoded;
pub use tokenizer::{BosPolicy, Tokenizer};
pub use vocabulary::Vocabulary;
pub use windows::{Window, Windowing};
