//! Text to token windows, and their store on disk.

mod json;
#[cfg(feature = "atlas")]
pub mod store;
mod tokenizer;
mod vocabulary;
mod windows;

pub use json::{GgmlVocabulary, byte_level_json};
pub use tokenizer::{BosPolicy, Tokenizer, TokenizerError};
pub use vocabulary::Vocabulary;
pub use windows::{Window, Windowing};
