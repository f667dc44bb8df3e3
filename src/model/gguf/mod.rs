//! GGUF files: their metadata as a `config.json`, their tensors under the names and in the order of Hugging Face's.
//!
//! What the converter of llama.cpp does to a model (`convert_hf_to_gguf.py`) is undone here; sources of the format:
//! <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>.

mod config;
mod read;
mod tensors;
mod types;

use std::collections::{BTreeMap, HashMap};

use candle_core::Tensor;

use super::error::ModelError;

pub use read::Value;
pub use tensors::GgufFile;

use read::{Budget, Entry, Part};

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

/// The headers of a model's GGUF files. The first has the metadata.
pub struct Gguf {
    metadata: HashMap<String, Value>,
    tensors: BTreeMap<String, Entry>,
    /// `general.architecture`, which stands before the model's own keys.
    name: String,
}

fn bad(reason: impl ToString) -> ModelError {
    ModelError::Gguf(reason.to_string())
}

impl Gguf {
    /// Reads the headers of a model in several files, in their order, which must belong together.
    pub fn read_parts(files: &[&[u8]]) -> Result<Self, ModelError> {
        let mut budget = Budget::WHOLE;
        let (mut metadata, mut tensors) = (HashMap::new(), BTreeMap::new());
        for (at, bytes) in files.iter().enumerate() {
            let named = |error| match error {
                ModelError::Gguf(reason) if files.len() > 1 => {
                    bad(format!("part {}: {reason}", at + 1))
                }
                error => error,
            };
            let part = Part::read(bytes, at, &mut budget).map_err(named)?;
            check_split(&part, at, files.len())?;
            if at == 0 {
                metadata = part.metadata;
            }
            for (name, entry) in part.tensors {
                if let Some(other) = tensors.insert(name.clone(), entry) {
                    let part = other.part + 1;
                    return Err(bad(format!(
                        "tensor `{name}` is in part {part} and in a later one"
                    )));
                }
            }
        }
        if files.is_empty() {
            return Err(bad("it has no files"));
        }
        let whole = metadata.get("split.tensors.count");
        let whole = whole.and_then(Value::as_integer);
        if let Some(n) = whole.filter(|n| *n != tensors.len() as i128) {
            return Err(bad(format!(
                "`split.tensors.count` is {n}, but its parts have {} tensors; they do not belong together",
                tensors.len()
            )));
        }
        let name = match metadata.get("general.architecture") {
            Some(Value::Text(name)) => name.clone(),
            _ => return Err(bad("it has no `general.architecture`")),
        };
        Ok(Self {
            metadata,
            tensors,
            name,
        })
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
        self.metadata.get(key)
    }

    /// A whole number of the metadata.
    pub fn size(&self, key: &str) -> Option<usize> {
        usize::try_from(self.get(key)?.as_integer()?).ok()
    }

    /// A switch of the metadata.
    pub fn flag(&self, key: &str) -> Option<bool> {
        self.get(key)?.as_bool()
    }

    /// A text of the metadata.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }

    fn has(&self, tensor: &str) -> bool {
        self.tensors.contains_key(tensor)
    }

    fn shape(&self, tensor: &str) -> Option<&[usize]> {
        Some(&self.tensors.get(tensor)?.shape)
    }

    /// A tensor, dequantised unless it is plain. `files` are those that were read.
    fn tensor(&self, files: &[&[u8]], tensor: &str) -> Result<Tensor, ModelError> {
        let missing = || bad(format!("tensor `{tensor}` is missing"));
        let entry = self.tensors.get(tensor).ok_or_else(missing)?;
        let file = files.get(entry.part).ok_or_else(missing)?;
        let bytes = file.get(entry.start..entry.start + entry.len);
        entry.kind.tensor(bytes.ok_or_else(missing)?, &entry.shape)
    }
}

/// Fails unless a file says that it is this part of so many; one that says nothing is all of its model.
fn check_split(part: &Part, at: usize, n_parts: usize) -> Result<(), ModelError> {
    let number = |key: &str| part.metadata.get(key).and_then(Value::as_integer);
    let count = number("split.count")
        .filter(|count| *count > 0)
        .unwrap_or(1);
    let own = number("split.no").unwrap_or(0);
    if (own, count) == (at as i128, n_parts as i128) {
        return Ok(());
    }
    Err(bad(match n_parts {
        1 => format!(
            "it is part {} of {count}, but its name does not end in `-00001-of-{count:05}.gguf`, so that the others could be found",
            own + 1
        ),
        _ => format!(
            "part {} of {n_parts} says that it is part {} of {count}; they do not belong together",
            at + 1,
            own + 1
        ),
    }))
}
