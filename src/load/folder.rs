//! A model's folder in the Hugging Face layout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tokens::{Beside, Merged};

use super::error::LoadError;

/// Weights in one file, and the index of weights in several.
const WEIGHTS: [(&str, &str); 2] = [
    ("model.safetensors", "model.safetensors.index.json"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json"),
];

/// What the files of TransformerLens' own models end in.
const LENS_WEIGHTS: &str = "final.pth";

/// A file, if it is there.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(LoadError::Io {
            path: path.to_owned(),
            source,
        }),
    }
}

fn files(folder: &Path) -> Result<Vec<String>, LoadError> {
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

/// The one `.gguf` file of a folder.
pub(super) fn only_gguf(folder: &Path) -> Result<Option<PathBuf>, LoadError> {
    let mut names = files(folder)?;
    names.retain(|name| name.ends_with(".gguf"));
    match names.as_slice() {
        [name] => Ok(Some(folder.join(name))),
        _ => Ok(None),
    }
}

/// Names of the weights' files: which of `names` they are, or which an index among them names.
pub(super) fn choose_weights(
    names: &[String],
    read_index: impl Fn(&str) -> Result<Vec<u8>, LoadError>,
) -> Result<Option<Vec<String>>, LoadError> {
    let has = |name: &str| names.iter().any(|other| other == name);
    for (single, index) in WEIGHTS {
        if has(single) {
            return Ok(Some(vec![single.to_owned()]));
        }
        if has(index) {
            return indexed(Path::new(index), &read_index(index)?).map(Some);
        }
    }
    let mut lens = names.iter().filter(|name| name.ends_with(LENS_WEIGHTS));
    Ok(lens.next().map(|name| vec![name.clone()]))
}

/// The weights' files of a folder.
pub(super) fn weights(folder: &Path) -> Result<Vec<String>, LoadError> {
    let read_index = |name: &str| {
        let path = folder.join(name);
        fs::read(&path).map_err(|source| LoadError::Io { path, source })
    };
    let found = choose_weights(&files(folder)?, read_index)?;
    found.ok_or_else(|| LoadError::NoWeights(folder.to_owned()))
}

/// The files that the index of a sharded checkpoint names.
fn indexed(path: &Path, bytes: &[u8]) -> Result<Vec<String>, LoadError> {
    let bad = |reason: String| LoadError::Index {
        path: path.to_owned(),
        reason,
    };
    let index: Value = serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let files = map.into_iter().flatten();
    let mut files: Vec<String> = files
        .filter_map(|(_, file)| file.as_str().map(str::to_owned))
        .collect();
    files.sort();
    files.dedup();
    // a name that leads out of the folder is not one of its files
    let plain = |name: &String| {
        let file = Path::new(name).file_name();
        file.is_some_and(|file| file == name.as_str())
    };
    match files.is_empty() || !files.iter().all(plain) {
        true => Err(bad(
            "it has no `weight_map` from tensors to files beside it".into(),
        )),
        false => Ok(files),
    }
}

/// The tokenizer of a folder with all that its files say of it, and what is left to be said beside it. Where there is no
/// `tokenizer.json`, it is made of `vocab.json` and `merges.txt`, as the folders of GPT-2's time have them.
pub(super) fn tokenizer(folder: &Path, config: &[u8]) -> Result<Option<Merged>, LoadError> {
    let read = |name: &str| read(&folder.join(name));
    let tokenizer_config = read("tokenizer_config.json")?;
    let (map, added) = (read("special_tokens_map.json")?, read("added_tokens.json")?);
    let beside = Beside {
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
