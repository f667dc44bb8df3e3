//! A model in a `.gguf` file, or in several: weights, config and tokenizer in one.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::model::ModelError;
use crate::model::gguf::{Gguf, GgufFile, Value};
use crate::tokens::{GgmlVocabulary, TokenizerError};

use super::error::LoadError;
use super::mapped::{Mapped, Releasing};
use super::split::SplitName;
use super::{folder, kind};

/// An open model.
pub(super) struct GgufModel {
    /// Its files, at least one.
    maps: Vec<Mapped>,
    gguf: Gguf,
}

impl GgufModel {
    pub(super) fn open(path: &Path) -> Result<Self, LoadError> {
        let io = |source| LoadError::Io {
            path: path.to_owned(),
            source,
        };
        if let Some(kind) = kind::of_file(path, &kind::begin(path).map_err(io)?) {
            let path = path.to_owned();
            return Err(LoadError::Kind { path, kind });
        }
        let maps = parts(path)?.into_iter().map(|path| Mapped::open(&path));
        let maps = maps.collect::<Result<Vec<_>, _>>()?;
        let files: Vec<&[u8]> = maps.iter().map(Mapped::bytes).collect();
        let gguf = Gguf::read_parts(&files).map_err(|source| LoadError::Model {
            origin: format!("`{}`", path.display()),
            source: source.into(),
        })?;
        Ok(Self { maps, gguf })
    }

    fn path(&self) -> &Path {
        self.maps[0].path()
    }

    /// Its files, in their order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.maps.iter().map(Mapped::path)
    }

    pub(super) fn len(&self) -> u64 {
        self.files().iter().map(|bytes| bytes.len() as u64).sum()
    }

    fn files(&self) -> Vec<&[u8]> {
        self.maps.iter().map(Mapped::bytes).collect()
    }

    pub(super) fn tensors(&self, name: &str) -> Result<Releasing<'_, GgufFile<'_>>, ModelError> {
        Ok(Releasing {
            maps: self.maps.iter().collect(),
            tensors: self.gguf.file(name, self.files())?,
        })
    }

    pub(super) fn config(&self) -> Result<Vec<u8>, LoadError> {
        let config = self.gguf.config_json(&self.files());
        config.map_err(|source| LoadError::Model {
            origin: format!("`{}`", self.path().display()),
            source: source.into(),
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
            && let Some(beside) = folder::read(&self.beside())?
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
        let add_bos = self.flag("add_bos_token");
        let vocabulary = self.vocabulary();
        let bos = gguf.size("tokenizer.ggml.bos_token_id");
        let bos = bos.and_then(|id| vocabulary.tokens.get(id));
        json!({ "add_bos_token": add_bos, "bos_token": bos })
            .to_string()
            .into_bytes()
    }

    /// The chat template, and the special tokens that it sees.
    pub(super) fn chat(&self) -> folder::Chat {
        let gguf = &self.gguf;
        let vocabulary = self.vocabulary();
        let keys = [
            ("bos_token", "bos"),
            ("eos_token", "eos"),
            ("unk_token", "unknown"),
            ("pad_token", "padding"),
        ];
        let token = |(name, key): (&str, &str)| {
            let id = gguf.size(&format!("tokenizer.ggml.{key}_token_id"))?;
            Some((name.to_owned(), vocabulary.tokens.get(id)?.clone()))
        };
        folder::Chat {
            template: gguf.text("tokenizer.chat_template").map(str::to_owned),
            special_tokens: keys.into_iter().filter_map(token).collect(),
        }
    }

    /// A switch of the tokenizer, which some programs store as a number.
    fn flag(&self, key: &str) -> Option<bool> {
        let value = self.gguf.get(&format!("tokenizer.ggml.{key}"))?;
        value
            .as_bool()
            .or_else(|| value.as_integer().map(|n| n != 0))
    }

    fn vocabulary(&self) -> GgmlVocabulary {
        let gguf = &self.gguf;
        let list = |key: &str| {
            let list = gguf.get(&format!("tokenizer.ggml.{key}"));
            list.and_then(Value::as_array).unwrap_or_default()
        };
        let texts = |key: &str| -> Vec<String> {
            let texts = list(key).iter();
            let texts = texts.map(|v| v.as_text().unwrap_or_default().to_owned());
            texts.collect()
        };
        let text = |key: &str| {
            gguf.text(&format!("tokenizer.ggml.{key}"))
                .map(str::to_owned)
        };
        let id = |key: &str| {
            let id = gguf.size(&format!("tokenizer.ggml.{key}_token_id"))?;
            u32::try_from(id).ok()
        };
        let kinds = list("token_type").iter();
        let scores = list("scores").iter();
        GgmlVocabulary {
            model: text("model").unwrap_or_default(),
            pre_tokenizer: text("pre"),
            tokens: texts("tokens"),
            kinds: kinds.map(kind_of).collect(),
            scores: scores.map(|v| v.as_float().unwrap_or(0.0) as f32).collect(),
            merges: texts("merges"),
            bos: id("bos"),
            unknown: id("unknown"),
            add_bos: self.flag("add_bos_token"),
            add_space_prefix: self.flag("add_space_prefix"),
        }
    }
}

/// The kind of a token; 1 is that of a plain one.
fn kind_of(value: &Value) -> i32 {
    let kind = value.as_integer().and_then(|kind| i32::try_from(kind).ok());
    kind.unwrap_or(1)
}

/// The files of the model that a file is one of, in their order.
fn parts(path: &Path) -> Result<Vec<PathBuf>, LoadError> {
    let names = SplitName::all(&path.file_name().unwrap_or_default().to_string_lossy());
    let count = names.len();
    let part = |(number, name)| {
        let path = path.with_file_name(name);
        match count == 1 || path.exists() {
            true => Ok(path),
            false => Err(LoadError::GgufPartMissing {
                path,
                number,
                count,
            }),
        }
    };
    (1..).zip(names).map(part).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::tokens::Tokenizer;

    #[test]
    fn names_of_parts() {
        let split = SplitName::parse("a-b-00002-of-00003.gguf").unwrap();
        assert_eq!((split.number, split.count), (2, 3));
        assert_eq!(split.name(1), "a-b-00001-of-00003.gguf");
        let both = ["a-00001-of-00002.gguf", "a-00002-of-00002.gguf"];
        assert_eq!(SplitName::all(both[1]), both);
        assert_eq!(SplitName::all("a.gguf"), ["a.gguf"]);
        for name in [
            "a.gguf",
            "a-00000-of-00003.gguf",
            "a-00004-of-00003.gguf",
            "a-1-of-3.gguf",
            "a-00001-of-00003.safetensors",
            "a-+0001-of-00003.gguf",
        ] {
            assert_eq!(SplitName::parse(name), None, "{name}");
        }
    }

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
