//! A model's folder in the Hugging Face layout.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tokens::byte_level_json;

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

/// `tokenizer.json` made of `vocab.json` and `merges.txt`, as the folders of GPT-2's time have them.
pub(super) fn tokenizer_of_parts(folder: &Path) -> Result<Option<Vec<u8>>, LoadError> {
    let (vocab, merges) = (
        read(&folder.join("vocab.json"))?,
        read(&folder.join("merges.txt"))?,
    );
    let (Some(vocab), Some(merges)) = (vocab, merges) else {
        return Ok(None);
    };
    let config = read(&folder.join("tokenizer_config.json"))?;
    let json = byte_level_json(&vocab, &merges, config.as_deref());
    json.map(Some).map_err(|source| LoadError::Tokenizer {
        origin: folder.display().to_string(),
        source,
    })
}
