//! Where models come from: the demo in the program, or a folder in the Hugging Face layout.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::model::weights::Checkpoint;
use crate::model::{Config, ModelError};
use crate::tokens::{Tokenizer, TokenizerError};

/// What can go wrong when a model is loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A folder has no weights.
    #[error("`{0}` has neither `model.safetensors` nor `model.safetensors.index.json`")]
    NoWeights(PathBuf),
    /// The index of sharded weights is not what it should be.
    #[error("`{path}` is not an index of weights: {reason}")]
    Index {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The program was built without the demo.
    #[error("there is no model `{0}`, and this program was built without the demo")]
    NoDemo(String),
    /// The model's files are wrong.
    #[error("{origin}: {source}")]
    Model {
        /// Where the model was read from.
        origin: String,
        /// What is wrong.
        source: ModelError,
    },
    /// The tokenizer is wrong.
    #[error("{origin}: {source}")]
    Tokenizer {
        /// Where the model was read from.
        origin: String,
        /// What is wrong.
        source: TokenizerError,
    },
}

impl LoadError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Io { .. } | Self::NoWeights(_) => Some(
                "a model is a folder with `config.json`, `tokenizer.json` and `model.safetensors`, or `demo`",
            ),
            Self::Model { source, .. } => source.hint(),
            Self::Tokenizer {
                source: TokenizerError::TooLarge { .. },
                ..
            } => Some("check that `tokenizer.json` and `config.json` come from one checkpoint"),
            _ => None,
        }
    }
}

enum Bytes {
    #[cfg(feature = "demo")]
    Static(&'static [u8]),
    Mapped(Mmap),
}

impl Bytes {
    fn as_slice(&self) -> &[u8] {
        match self {
            #[cfg(feature = "demo")]
            Self::Static(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

/// The files of a model.
pub struct ModelFiles {
    name: String,
    origin: String,
    config: Cow<'static, [u8]>,
    tokenizer: Cow<'static, [u8]>,
    weights: BTreeMap<String, Bytes>,
}

impl ModelFiles {
    /// Opens a model: `demo` is the one in the program, anything else a folder (`./demo`, if it has that name). Weights are mapped into memory, and must not be changed while in use.
    pub fn open(model: &str) -> Result<Self, LoadError> {
        let folder = Path::new(model);
        if model == "demo" {
            return Self::demo();
        }
        let read = |name: &str| {
            let path = folder.join(name);
            fs::read(&path)
                .map(Cow::Owned)
                .map_err(|source| LoadError::Io { path, source })
        };
        let (config, tokenizer) = (read("config.json")?, read("tokenizer.json")?);
        let mut weights = BTreeMap::new();
        for name in weight_files(folder)? {
            weights.insert(name.clone(), Bytes::Mapped(map(&folder.join(&name))?));
        }
        let whole = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
        let name = whole
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        Ok(Self {
            name,
            origin: model.to_owned(),
            config,
            tokenizer,
            weights,
        })
    }

    /// The demo model.
    #[cfg(feature = "demo")]
    fn demo() -> Result<Self, LoadError> {
        use crate::demo;
        Ok(Self {
            name: demo::NAME.to_owned(),
            origin: demo::NAME.to_owned(),
            config: Cow::Borrowed(demo::CONFIG),
            tokenizer: Cow::Borrowed(demo::TOKENIZER),
            weights: BTreeMap::from([(
                "model.safetensors".to_owned(),
                Bytes::Static(demo::WEIGHTS),
            )]),
        })
    }

    #[cfg(not(feature = "demo"))]
    fn demo() -> Result<Self, LoadError> {
        Err(LoadError::NoDemo("demo".into()))
    }

    /// Name of the folder, or `demo`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `open` was given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The config.
    pub fn config(&self) -> Result<Config, LoadError> {
        Config::from_json(&self.config).map_err(|source| self.model_error(source))
    }

    /// The tokenizer, which must fit the model.
    pub fn tokenizer(&self) -> Result<Tokenizer, LoadError> {
        let error = |source| LoadError::Tokenizer {
            origin: self.origin.clone(),
            source,
        };
        let tokenizer = Tokenizer::from_json(&self.tokenizer).map_err(error)?;
        tokenizer
            .check_fits(self.config()?.d_vocab)
            .map_err(error)?;
        Ok(tokenizer)
    }

    /// `tokenizer.json`
    pub fn tokenizer_json(&self) -> &[u8] {
        &self.tokenizer
    }

    /// The weights.
    pub fn checkpoint(&self) -> Result<Checkpoint<'_>, LoadError> {
        let files = self
            .weights
            .iter()
            .map(|(name, bytes)| (name.clone(), bytes.as_slice()));
        Checkpoint::new(files).map_err(|source| self.model_error(source))
    }

    /// Adds where the model came from to an error.
    pub fn model_error(&self, source: ModelError) -> LoadError {
        LoadError::Model {
            origin: format!("model `{}`", self.origin),
            source,
        }
    }

    /// SHA-256 of `config.json`.
    pub fn config_sha256(&self) -> String {
        sha256(&self.config)
    }

    /// SHA-256 of `tokenizer.json`.
    pub fn tokenizer_sha256(&self) -> String {
        sha256(&self.tokenizer)
    }

    /// SHA-256 of the weights' files, by name.
    pub fn weights_sha256(&self) -> BTreeMap<String, String> {
        self.weights
            .iter()
            .map(|(name, bytes)| (name.clone(), sha256(bytes.as_slice())))
            .collect()
    }
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The weights' file, or the files that the index of a sharded checkpoint names.
fn weight_files(folder: &Path) -> Result<Vec<String>, LoadError> {
    if folder.join("model.safetensors").is_file() {
        return Ok(vec!["model.safetensors".to_owned()]);
    }
    let path = folder.join("model.safetensors.index.json");
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(LoadError::NoWeights(folder.to_owned()));
        }
        Err(source) => return Err(LoadError::Io { path, source }),
    };
    let index: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| LoadError::Index {
            path: path.clone(),
            reason: error.to_string(),
        })?;
    let files = index
        .get("weight_map")
        .and_then(|map| map.as_object())
        .into_iter()
        .flatten();
    let mut files: Vec<String> = files
        .filter_map(|(_, file)| file.as_str().map(str::to_owned))
        .collect();
    files.sort();
    files.dedup();
    // a name that leads out of the folder is not one of its files
    let plain = |name: &String| {
        Path::new(name)
            .file_name()
            .is_some_and(|file| file == name.as_str())
    };
    match files.is_empty() || !files.iter().all(plain) {
        true => Err(LoadError::Index {
            path,
            reason: "it has no `weight_map` from tensors to files beside it".into(),
        }),
        false => Ok(files),
    }
}

fn map(path: &Path) -> Result<Mmap, LoadError> {
    let io = |source| LoadError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    // SAFETY: the map is read only; that no one changes the file meanwhile is the documented condition of `open`
    unsafe { Mmap::map(&file) }.map_err(io)
}
