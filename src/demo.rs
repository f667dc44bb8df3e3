//! The demo, embedded: a small trained model and a corpus to scan. Where they come from: demo/README.md.

use crate::corpus::Source;

/// Name of the demo's model.
pub const NAME: &str = "demo";

/// `config.json`
pub const CONFIG: &[u8] = include_bytes!("../demo/model/config.json");

/// `tokenizer.json`
pub const TOKENIZER: &[u8] = include_bytes!("../demo/model/tokenizer.json");

/// `model.safetensors`
pub const WEIGHTS: &[u8] = include_bytes!("../demo/model/model.safetensors");

/// The corpus.
pub const CORPUS: Source =
    Source::Embedded("demo.jsonl.zst", include_bytes!("../demo/corpus.jsonl.zst"));
