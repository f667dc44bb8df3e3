//! GGUF files: their metadata as a `config.json`, their tensors under the names and in the order of Hugging Face's.
//!
//! What the converter of llama.cpp does to a model (`convert_hf_to_gguf.py`) is undone here; sources of the format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod config;
mod tensors;

use std::io::Cursor;

use candle_core::quantized::gguf_file::{Content, Value};
use candle_core::{Device, Tensor};

use super::error::ModelError;

pub use tensors::GgufFile;

/// Kinds of models, by `general.architecture`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Architecture {
    Gpt2,
    GptNeox,
    Llama,
    Olmo,
    Olmo2,
    Qwen2,
    Qwen3,
    Gemma,
    Gemma2,
    Gemma3,
    Phi2,
    Phi3,
    StableLm,
}

impl Architecture {
    const ALL: [(&'static str, Self); 13] = [
        ("gpt2", Self::Gpt2),
        ("gptneox", Self::GptNeox),
        ("llama", Self::Llama),
        ("olmo", Self::Olmo),
        ("olmo2", Self::Olmo2),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("gemma", Self::Gemma),
        ("gemma2", Self::Gemma2),
        ("gemma3", Self::Gemma3),
        ("phi2", Self::Phi2),
        ("phi3", Self::Phi3),
        ("stablelm", Self::StableLm),
    ];
}

/// The header of a GGUF file.
pub struct Gguf {
    content: Content,
    /// `general.architecture`, which stands before the model's own keys.
    name: String,
}

fn bad(reason: impl ToString) -> ModelError {
    ModelError::Gguf(reason.to_string())
}

impl Gguf {
    /// Reads the header of a file.
    pub fn read(bytes: &[u8]) -> Result<Self, ModelError> {
        let content = Content::read(&mut Cursor::new(bytes)).map_err(bad)?;
        let name = match content.metadata.get("general.architecture") {
            Some(Value::String(name)) => name.clone(),
            _ => return Err(bad("it has no `general.architecture`")),
        };
        Ok(Self { content, name })
    }

    fn architecture(&self) -> Result<Architecture, ModelError> {
        let mut known = Architecture::ALL.into_iter();
        match known.find(|(name, _)| *name == self.name) {
            Some((_, architecture)) => Ok(architecture),
            None => {
                let known = Architecture::ALL.map(|(name, _)| format!("`{name}`"));
                let (found, known) = (&self.name, known.join(", "));
                Err(bad(format!(
                    "its architecture is `{found}`; known are {known}"
                )))
            }
        }
    }

    /// A value of the metadata, by its full key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.content.metadata.get(key)
    }

    /// A whole number of the metadata.
    pub fn size(&self, key: &str) -> Option<usize> {
        match self.get(key)? {
            Value::I8(n) => usize::try_from(*n).ok(),
            Value::I16(n) => usize::try_from(*n).ok(),
            Value::I32(n) => usize::try_from(*n).ok(),
            Value::I64(n) => usize::try_from(*n).ok(),
            Value::Bool(_) => None,
            value => value.to_u64().ok().and_then(|n| usize::try_from(n).ok()),
        }
    }

    /// A switch of the metadata.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.to_bool().ok()
    }

    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.to_string().ok().map(String::as_str)
    }

    fn has(&self, tensor: &str) -> bool {
        self.content.tensor_infos.contains_key(tensor)
    }

    fn shape(&self, tensor: &str) -> Option<&[usize]> {
        let info = self.content.tensor_infos.get(tensor)?;
        Some(info.shape.dims())
    }

    /// A tensor, dequantised unless it is plain.
    fn tensor(&self, bytes: &[u8], tensor: &str) -> Result<Tensor, ModelError> {
        let info = self.content.tensor_infos.get(tensor);
        let info = info.ok_or_else(|| bad(format!("tensor `{tensor}` is missing")))?;
        let dims = info.shape.dims().iter();
        let n_values = dims.copied().try_fold(1usize, usize::checked_mul);
        // no type has more than eight values in a byte
        if n_values.is_none_or(|n| n / 8 > bytes.len()) {
            return Err(bad(format!("tensor `{tensor}` is longer than the file")));
        }
        let mut reader = Cursor::new(bytes);
        let offset = self.content.tensor_data_offset;
        let quantised = info.read(&mut reader, offset, &Device::Cpu).map_err(bad)?;
        Ok(quantised.dequantize(&Device::Cpu)?)
    }
}
