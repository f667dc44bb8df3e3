//! A model in a `.gguf` file: weights, config and tokenizer in one.

use std::fs;
use std::path::{Path, PathBuf};

use candle_core::quantized::gguf_file::Value;
use serde_json::json;

use crate::model::ModelError;
use crate::model::gguf::{Gguf, GgufFile};
use crate::tokens::{GgmlVocabulary, TokenizerError};

use super::error::LoadError;
use super::mapped::{Mapped, Releasing};

/// An open file.
pub(super) struct GgufModel {
    map: Mapped,
    gguf: Gguf,
}

impl GgufModel {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let map = Mapped::open(path)?;
        let gguf = Gguf::read(map.bytes()).map_err(|source| LoadError::Model {
            origin: format!("`{}`", path.display()),
            source,
        })?;
        Ok(Self { map, gguf })
    }

    pub(super) fn path(&self) -> &Path {
        self.map.path()
    }

    pub(super) fn len(&self) -> u64 {
        self.map.bytes().len() as u64
    }

    pub(super) fn tensors(&self, name: &str) -> Result<Releasing<'_, GgufFile<'_>>, ModelError> {
        let file = self.gguf.file(name, self.map.bytes())?;
        Ok(self.map.releasing(file))
    }

    pub(super) fn config(&self) -> Result<Vec<u8>, LoadError> {
        let config = self.gguf.config_json(self.map.bytes());
        config.map_err(|source| LoadError::Model {
            origin: format!("`{}`", self.path().display()),
            source,
        })
    }

    /// `tokenizer.json`, made of the file's own vocabulary; where that names a pre-tokenizer that is not known, the
    /// one that lies beside the file. A file may have no vocabulary at all.
    pub(super) fn tokenizer(&self) -> Result<Option<Vec<u8>>, LoadError> {
        if self.gguf.get("tokenizer.ggml.model").is_none() {
            return Ok(None);
        }
        let made = self.vocabulary().tokenizer_json();
        if let Err(TokenizerError::UnknownPreTokenizer(_)) = made
            && let Ok(beside) = fs::read(self.beside())
        {
            return Ok(Some(beside));
        }
        made.map(Some).map_err(|source| LoadError::Tokenizer {
            origin: format!("`{}`", self.path().display()),
            source,
        })
    }

    fn beside(&self) -> PathBuf {
        self.path().with_file_name("tokenizer.json")
    }

    /// What `tokenizer_config.json` would say.
    pub(super) fn tokenizer_config(&self) -> Vec<u8> {
        let gguf = &self.gguf;
        let add_bos = gguf.flag("tokenizer.ggml.add_bos_token");
        let vocabulary = self.vocabulary();
        let bos = gguf.size("tokenizer.ggml.bos_token_id");
        let bos = bos.and_then(|id| vocabulary.tokens.get(id));
        json!({ "add_bos_token": add_bos, "bos_token": bos })
            .to_string()
            .into_bytes()
    }

    fn vocabulary(&self) -> GgmlVocabulary {
        let gguf = &self.gguf;
        let list = |key: &str| match gguf.get(&format!("tokenizer.ggml.{key}")) {
            Some(Value::Array(values)) => values.as_slice(),
            _ => &[],
        };
        let texts = |key: &str| -> Vec<String> {
            let texts = list(key).iter();
            texts
                .map(|v| v.to_string().cloned().unwrap_or_default())
                .collect()
        };
        let text = |key: &str| {
            gguf.text(&format!("tokenizer.ggml.{key}"))
                .map(str::to_owned)
        };
        let id = |key: &str| {
            let id = gguf.size(&format!("tokenizer.ggml.{key}_token_id"))?;
            u32::try_from(id).ok()
        };
        let flag = |key: &str| gguf.flag(&format!("tokenizer.ggml.{key}"));
        let kinds = list("token_type").iter();
        let scores = list("scores").iter();
        GgmlVocabulary {
            model: text("model").unwrap_or_default(),
            pre_tokenizer: text("pre"),
            tokens: texts("tokens"),
            kinds: kinds.map(|v| v.to_i32().unwrap_or(1)).collect(),
            scores: scores.map(|v| v.to_f32().unwrap_or(0.0)).collect(),
            merges: texts("merges"),
            bos: id("bos"),
            unknown: id("unknown"),
            add_bos: flag("add_bos_token"),
            add_space_prefix: flag("add_space_prefix"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Tokenizer;

    /// llama.cpp keeps real vocabularies, with texts and the ids that Hugging Face's tokenizers give them;
    /// `tests/vocabularies/run` fetches them.
    #[test]
    #[ignore = "needs the vocabularies that `tests/vocabularies/run` fetches"]
    fn vocabularies_of_llama_cpp_give_the_ids_of_hugging_face() {
        let folder =
            std::env::var("NEUROSCOPE_VOCABULARIES").expect("the folder of the vocabularies");
        for name in [
            "gpt-2",
            "llama-bpe",
            "llama-spm",
            "phi-3",
            "qwen2",
            "starcoder",
            "refact",
        ] {
            let path = PathBuf::from(&folder).join(format!("ggml-vocab-{name}.gguf"));
            let model = GgufModel::open(&path).unwrap();
            let tokenizer =
                Tokenizer::from_json(&model.tokenizer().unwrap().unwrap(), None).unwrap();
            let texts = fs::read_to_string(path.with_extension("gguf.inp")).unwrap();
            let ids = fs::read_to_string(path.with_extension("gguf.out")).unwrap();
            let texts = texts.split("\n__ggml_vocab_test__\n");
            let mut n = 0;
            for (text, ids) in texts.zip(ids.lines()) {
                let expected: Vec<u32> = ids
                    .split_whitespace()
                    .map(|id| id.parse().unwrap())
                    .collect();
                let found: Vec<u32> = tokenizer
                    .encode(text)
                    .unwrap()
                    .iter()
                    .map(|id| id.0)
                    .collect();
                assert_eq!(found, expected, "{name}: {text:?}");
                n += 1;
            }
            let with_bos = ["llama-bpe", "llama-spm", "phi-3"].contains(&name);
            assert_eq!(tokenizer.added_bos().is_some(), with_bos, "{name}");
            println!("{name}: {n} texts");
        }
    }
}
