//! A model's folder in the Hugging Face layout.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::files::{is_plain_name, read_at_most};

use crate::mark;
use crate::tokens::{MergedTokenizer, TokenizerError, TokenizerFiles, default_template};

use super::error::LoadError;
use super::kind;
use super::split::SplitName;

/// Weights in one file, and the index of weights in several.
const WEIGHTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// What tells an adapter, also where a whole model's config lies beside it.
pub(super) const ADAPTER: &str = "adapter_config.json";

/// What the files of TransformerLens' own models end in.
const LENS_WEIGHTS: &str = "final.pth";

/// Lengths of files that are read whole: of configs, of indexes, and of tokenizers. The index of a model of 100,000
/// tensors takes 10 MB.
const MOST_CONFIG_BYTES: u64 = 16 << 20;
const MOST_INDEX_BYTES: u64 = 32 << 20;
const MOST_BYTES: u64 = 256 << 20;

/// The longest file of this name that is read whole.
pub(super) fn most_bytes(name: &str) -> u64 {
    match () {
        () if name.ends_with("config.json") => MOST_CONFIG_BYTES,
        () if name.ends_with(".index.json") => MOST_INDEX_BYTES,
        () => MOST_BYTES,
    }
}

/// A file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    let read = read_at_most(path, most_bytes(&path.to_string_lossy()));
    let path = path.to_owned();
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Io { path, source }),
        Ok(bytes) => match kind::stand_in(&bytes) {
            Some(kind) => Err(LoadError::Kind { path, kind }),
            None => Ok(Some(bytes)),
        },
    }
}

/// Fails if something else stands in a file's place.
pub(super) fn check_stand_in(path: &Path) -> Result<(), LoadError> {
    let path = path.to_owned();
    match kind::begin(&path).map(|begin| kind::stand_in(&begin)) {
        Ok(None) => Ok(()),
        Ok(Some(kind)) => Err(LoadError::Kind { path, kind }),
        Err(source) => Err(LoadError::Io { path, source }),
    }
}

/// A file that must be there.
pub(super) fn read_needed(path: &Path) -> Result<Vec<u8>, LoadError> {
    read(path)?.ok_or_else(|| LoadError::Io {
        path: path.to_owned(),
        source: io::ErrorKind::NotFound.into(),
    })
}

/// Whether a name is that of a file in a folder, and leads nowhere else on any system.
pub(super) fn is_plain(name: &str) -> bool {
    is_plain_name(name) && !name.starts_with('.')
}

pub(super) fn files(folder: &Path) -> Result<Vec<String>, LoadError> {
    let io = |source| LoadError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        names.push(
            entry
                .map_err(io)?
                .file_name()
                .to_string_lossy()
                .into_owned(),
        );
    }
    names.sort();
    Ok(names)
}

/// The `.gguf` file of a model among names: the only one, or the first part of the only model in several.
pub(super) fn only_gguf(names: &[String]) -> Option<String> {
    let mut names = names.iter().filter(|name| name.ends_with(".gguf"));
    let found = names.next().map(|name| SplitName::first(name))?;
    let same = names.all(|name| SplitName::first(name) == found);
    same.then_some(found)
}

/// Why a folder or a repository is not a model.
pub(super) fn not_a_model(path: &Path, names: &[String]) -> LoadError {
    let path = path.to_owned();
    let known = match names.iter().any(|name| name == "config.json") {
        true => kind::of_weights(names),
        false => kind::of_folder(names),
    };
    match known {
        Some(kind) => LoadError::Kind { path, kind },
        None if names.iter().any(|name| name == "config.json") => LoadError::NoWeights(path),
        None => LoadError::NoConfig(path),
    }
}

/// Fails if a folder is that of an adapter.
pub(super) fn check_adapter(folder: &Path) -> Result<(), LoadError> {
    match read(&folder.join(ADAPTER))? {
        Some(json) => Err(LoadError::Kind {
            path: folder.to_owned(),
            kind: kind::adapter(&json),
        }),
        None => Ok(()),
    }
}

/// Names of the weights' files: which of `names` they are, or which an index among them names.
pub(super) fn choose_weights(
    folder: &Path,
    names: &[String],
    read_index: impl Fn(&str) -> Result<Vec<u8>, LoadError>,
) -> Result<Option<Vec<String>>, LoadError> {
    let has = |name: &str| names.iter().any(|other| other == name);
    for (single, index) in WEIGHTS {
        if has(single) {
            return Ok(Some(vec![single.to_owned()]));
        }
        if has(index) {
            return indexed(&folder.join(index), &read_index(index)?).map(Some);
        }
    }
    let mut lens = names.iter().filter(|name| name.ends_with(LENS_WEIGHTS));
    Ok(lens.next().map(|name| vec![name.clone()]))
}

/// The weights' files of a folder.
pub(super) fn weights(folder: &Path) -> Result<Vec<String>, LoadError> {
    let names = files(folder)?;
    let found = choose_weights(folder, &names, |name| read_needed(&folder.join(name)))?;
    found.ok_or_else(|| not_a_model(folder, &names))
}

/// What is read of an index.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The files that the index of a sharded checkpoint names.
fn indexed(path: &Path, bytes: &[u8]) -> Result<Vec<String>, LoadError> {
    let bad = |reason: String| LoadError::Index {
        path: path.to_owned(),
        reason,
    };
    let index: Index = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    let mut files: Vec<String> = index.weight_map.into_values().collect();
    files.sort();
    files.dedup();
    match files.iter().find(|name| !is_plain(name)) {
        Some(name) => Err(bad(format!(
            "its `weight_map` names {name:?}, which is not the name of a file beside it"
        ))),
        None if files.is_empty() => Err(bad("its `weight_map` is empty".into())),
        None => Ok(files),
    }
}

/// The tokenizer of a folder with all that its files say of it, and what is left to be said beside it. Where there is no
/// `tokenizer.json`, it is made of `vocab.json` and `merges.txt`, as the folders of GPT-2's time have them.
pub(super) fn tokenizer(
    folder: &Path,
    config: &[u8],
) -> Result<Option<MergedTokenizer>, LoadError> {
    let read = |name: &str| read(&folder.join(name));
    let tokenizer_config = read("tokenizer_config.json")?;
    let (map, added) = (read("special_tokens_map.json")?, read("added_tokens.json")?);
    let beside = TokenizerFiles {
        tokenizer_config: tokenizer_config.as_deref(),
        special_tokens_map: map.as_deref(),
        added_tokens: added.as_deref(),
        config: Some(config),
    };
    let made = match read("tokenizer.json")? {
        Some(json) => beside.apply(&json),
        None => match (read("vocab.json")?, read("merges.txt")?) {
            (Some(vocab), Some(merges)) => beside.apply_to_parts(&vocab, &merges),
            _ => return Ok(None),
        },
    };
    made.map(Some).map_err(|source| LoadError::Tokenizer {
        origin: folder.display().to_string(),
        source,
    })
}

/// The chat template of a folder and the special tokens that it sees.
pub(super) fn chat(folder: &Path) -> Result<Chat, LoadError> {
    let error = |source| LoadError::Tokenizer {
        origin: folder.display().to_string(),
        source,
    };
    let read = |name: &str| read(&folder.join(name));
    let (config, map) = (
        read("tokenizer_config.json")?,
        read("special_tokens_map.json")?,
    );
    let beside = TokenizerFiles {
        tokenizer_config: config.as_deref(),
        special_tokens_map: map.as_deref(),
        ..TokenizerFiles::default()
    };
    let own = match read("chat_template.jinja")? {
        Some(bytes) => {
            let text = String::from_utf8(bytes).map_err(|error| {
                TokenizerError::Beside("chat_template.jinja", error.utf8_error().to_string())
            });
            Some(mark::text_without(&text.map_err(error)?).to_owned())
        }
        None => beside.chat_template().map_err(error)?,
    };
    let template = match (own, read("chat_template.json")?) {
        (None, Some(json)) => {
            let json = serde_json::from_slice(mark::without(&json));
            let mut json: serde_json::Value = json.map_err(|reason| {
                error(TokenizerError::Beside(
                    "chat_template.json",
                    reason.to_string(),
                ))
            })?;
            let template = json.get_mut("chat_template").map(serde_json::Value::take);
            template.and_then(default_template)
        }
        (own, _) => own,
    };
    Ok(Chat {
        template,
        special_tokens: beside.special_tokens().map_err(error)?,
    })
}

/// A chat template, and what it sees of the tokenizer.
#[derive(Debug, Default)]
pub(super) struct Chat {
    /// Its source.
    pub(super) template: Option<String>,
    /// The special tokens by their names, such as `bos_token`.
    pub(super) special_tokens: BTreeMap<String, String>,
}
