//! Where models come from: the demo in the program, a folder in the Hugging Face layout, a `.gguf` file, the Hub; and data
//! sets of the Hub.

#[cfg(feature = "hub")]
mod data_set;
mod error;
mod folder;
mod gguf;
#[cfg(feature = "hub")]
mod hub;
mod kind;
mod mapped;
mod pickle;
mod split;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::files::{ModelHashes, hash_file, hex};
use crate::model::weights::{Checkpoint, SafetensorsFile, TensorFile};
use crate::model::{Config, ModelError};
use crate::tokens::{Tokenizer, TokenizerError};

#[cfg(feature = "hub")]
pub use data_set::{Choice, DataSet, DataSetError, PREFIX, SharedProgress};
pub use error::LoadError;
pub use kind::Kind;

use mapped::{Mapped, Releasing};
use split::SplitName;

/// Reports a file that is being fetched: its name, its bytes so far and in all. Returns whether to go on. It is called
/// several times a second, also while nothing arrives, and with an empty name before there is a file.
pub type Progress<'a> = &'a dyn Fn(&str, u64, u64) -> bool;

/// A file of weights.
struct WeightsFile {
    name: String,
    data: Data,
}

enum Data {
    #[cfg(feature = "demo")]
    Static(&'static [u8]),
    Safetensors(Mapped),
    Pickle(PathBuf),
    Gguf(gguf::GgufModel),
}

/// The files of a model.
pub struct ModelFiles {
    name: String,
    origin: String,
    source: String,
    revision: Option<String>,
    note: Option<String>,
    config: Cow<'static, [u8]>,
    tokenizer: Option<Cow<'static, [u8]>>,
    tokenizer_config: Option<Vec<u8>>,
    chat: folder::Chat,
    weights: Vec<WeightsFile>,
}

impl ModelFiles {
    /// Opens a model by its name: `demo` for the one in the program, the path of a folder or of a `.gguf` file (`./demo` for a
    /// folder called `demo`), or a name on the Hugging Face Hub, with `@revision` if wanted. Weights are mapped into
    /// memory, and must not be changed while in use.
    pub fn open(model: &str) -> Result<Self, LoadError> {
        Self::open_with(model, &|_, _, _| true)
    }

    /// Opens a model like [`open`](Self::open), and reports to `progress` what it fetches.
    pub fn open_with(model: &str, progress: Progress<'_>) -> Result<Self, LoadError> {
        let path = Path::new(model);
        if model == "demo" {
            return Self::demo();
        }
        if path.is_dir() {
            return Self::folder(model, path, None);
        }
        if path.is_file() {
            return Self::gguf(model, path);
        }
        #[cfg(feature = "hub")]
        if let Some(id) = hub::Id::parse(model) {
            let fetched = hub::fetch(&id, progress)?;
            let mut files = match &id.file {
                Some(file) => Self::gguf(model, &fetched.folder.join(file))?,
                None => Self::folder(model, &fetched.folder, Some(&fetched.tokenizer))?,
            };
            if id.file.is_none() {
                files.name = id.name().to_owned();
            }
            files.source = id.path();
            files.revision = Some(fetched.revision);
            files.note = fetched.note;
            return Ok(files);
        }
        let _ = progress;
        Err(LoadError::NotThere(path.to_owned()))
    }

    /// Opens a model's folder. `tokenizer` is the folder of the tokenizer, if that is another one.
    fn folder(model: &str, folder: &Path, tokenizer: Option<&Path>) -> Result<Self, LoadError> {
        folder::check_adapter(folder)?;
        let Some(config) = folder::read(&folder.join("config.json"))? else {
            let names = folder::files(folder)?;
            return match folder::only_gguf(&names) {
                Some(name) => Self::gguf(model, &folder.join(name)),
                None => Err(folder::not_a_model(folder, &names)),
            };
        };
        let weights = folder::weights(folder)?.into_iter().map(|name| {
            let path = folder.join(&name);
            let data = match name.ends_with(".safetensors") {
                true => Data::Safetensors(Mapped::open(&path)?),
                false => {
                    folder::check_stand_in(&path)?;
                    Data::Pickle(path)
                }
            };
            Ok(WeightsFile { name, data })
        });
        let weights = weights.collect::<Result<_, LoadError>>()?;
        let tokenizer = tokenizer.unwrap_or(folder);
        let chat = folder::chat(tokenizer)?;
        let (tokenizer, tokenizer_config) = match folder::tokenizer(tokenizer, &config)? {
            Some(merged) => (Some(merged.json), Some(merged.config)),
            None => (None, None),
        };
        let name = file_name(folder);
        Ok(Self {
            source: name.clone(),
            name,
            origin: model.to_owned(),
            revision: None,
            note: None,
            config: Cow::Owned(config),
            tokenizer: tokenizer.map(Cow::Owned),
            tokenizer_config,
            chat,
            weights,
        })
    }

    fn gguf(model: &str, path: &Path) -> Result<Self, LoadError> {
        let file = gguf::GgufModel::open(path)?;
        let name = SplitName::first(&file_name(path));
        let stem = SplitName::parse(&name).map(|split| split.stem);
        let stem = stem.unwrap_or_else(|| name.trim_end_matches(".gguf").to_owned());
        Ok(Self {
            name: stem,
            origin: model.to_owned(),
            source: name.clone(),
            revision: None,
            note: None,
            config: Cow::Owned(file.config()?),
            tokenizer: file.tokenizer()?.map(Cow::Owned),
            tokenizer_config: Some(file.tokenizer_config()),
            chat: file.chat(),
            weights: vec![WeightsFile {
                name,
                data: Data::Gguf(file),
            }],
        })
    }

    /// The demo model.
    #[cfg(feature = "demo")]
    fn demo() -> Result<Self, LoadError> {
        use crate::demo;
        Ok(Self {
            name: demo::NAME.to_owned(),
            origin: demo::NAME.to_owned(),
            source: demo::NAME.to_owned(),
            revision: None,
            note: None,
            config: Cow::Borrowed(demo::CONFIG),
            tokenizer: Some(Cow::Borrowed(demo::TOKENIZER)),
            tokenizer_config: None,
            chat: folder::Chat::default(),
            weights: vec![WeightsFile {
                name: "model.safetensors".to_owned(),
                data: Data::Static(demo::WEIGHTS),
            }],
        })
    }

    #[cfg(not(feature = "demo"))]
    fn demo() -> Result<Self, LoadError> {
        Err(LoadError::NoDemo("demo".into()))
    }

    /// Name of the folder, the file or the repository, or `demo`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What `open` was given.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The model's public origin: its path on the Hub, or the name of the folder or file.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The commit, if the model comes from the Hub.
    pub fn revision(&self) -> Option<&str> {
        self.revision.as_deref()
    }

    /// A note for the user: that the model comes from the cache because the Hub could not be reached.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
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
        let json = self.tokenizer_json()?;
        let tokenizer = Tokenizer::from_json(json, self.tokenizer_config.as_deref());
        let tokenizer = tokenizer.map_err(error)?;
        tokenizer
            .check_fits(self.config()?.d_vocab)
            .map_err(error)?;
        Ok(tokenizer)
    }

    /// `tokenizer.json`, with the changes from the files beside it.
    pub fn tokenizer_json(&self) -> Result<&[u8], LoadError> {
        let json = self.tokenizer.as_deref();
        json.ok_or_else(|| LoadError::Tokenizer {
            origin: self.origin.clone(),
            source: TokenizerError::Missing,
        })
    }

    /// The source of the chat template, if the model has one.
    pub fn chat_template(&self) -> Option<&str> {
        self.chat.template.as_deref()
    }

    /// The special tokens that a chat template sees, by their names, such as `bos_token`.
    pub fn special_tokens(&self) -> &BTreeMap<String, String> {
        &self.chat.special_tokens
    }

    /// The weights.
    pub fn checkpoint(&self) -> Result<Checkpoint<'_>, LoadError> {
        let in_memory = |name: &str, bytes| {
            let file = SafetensorsFile::new(name.to_owned(), bytes);
            file.map_err(|source| self.model_error(source))
        };
        let files = self.weights.iter().map(|file| {
            Ok(match &file.data {
                #[cfg(feature = "demo")]
                Data::Static(bytes) => {
                    Box::new(in_memory(&file.name, bytes)?) as Box<dyn TensorFile>
                }
                Data::Safetensors(map) => Box::new(Releasing {
                    maps: vec![map],
                    tensors: in_memory(&file.name, map.bytes())?,
                }),
                Data::Pickle(path) => {
                    let pickle = pickle::PickleFile::open(&file.name, path);
                    Box::new(pickle.map_err(|source| self.model_error(source))?)
                }
                Data::Gguf(model) => {
                    let tensors = model.tensors(&file.name);
                    Box::new(tensors.map_err(|source| self.model_error(source))?)
                }
            })
        });
        let checkpoint = Checkpoint::new(files.collect::<Result<_, LoadError>>()?);
        checkpoint.map_err(|source| self.model_error(source))
    }

    /// Adds where the model came from to an error.
    pub fn model_error(&self, source: ModelError) -> LoadError {
        LoadError::Model {
            origin: format!("model `{}`", self.origin),
            source: source.into(),
        }
    }

    /// Length of the weights' files in all.
    pub fn weights_bytes(&self) -> Result<u64, LoadError> {
        let lengths = self.weights.iter().map(|file| match &file.data {
            #[cfg(feature = "demo")]
            Data::Static(bytes) => Ok(bytes.len() as u64),
            Data::Safetensors(map) => Ok(map.bytes().len() as u64),
            Data::Gguf(model) => Ok(model.len()),
            Data::Pickle(path) => match fs::metadata(path) {
                Ok(metadata) => Ok(metadata.len()),
                Err(source) => Err(LoadError::Io {
                    path: path.clone(),
                    source,
                }),
            },
        });
        lengths.sum()
    }

    /// SHA-256 of all its files.
    pub fn hashes(&self) -> Result<ModelHashes, LoadError> {
        Ok(ModelHashes {
            weights: self.weights_sha256()?,
            config: self.config_sha256(),
            tokenizer: self.tokenizer_sha256()?,
        })
    }

    /// SHA-256 of the config.
    pub fn config_sha256(&self) -> String {
        hex(&Sha256::digest(&self.config))
    }

    /// SHA-256 of the tokenizer.
    pub fn tokenizer_sha256(&self) -> Result<String, LoadError> {
        Ok(hex(&Sha256::digest(self.tokenizer_json()?)))
    }

    /// SHA-256 of the weights' files, by name.
    pub fn weights_sha256(&self) -> Result<BTreeMap<String, String>, LoadError> {
        let mut hashes = BTreeMap::new();
        for file in &self.weights {
            let mut add = |name: String, path: &Path| -> Result<(), LoadError> {
                // read and not mapped, so that its pages do not count as the program's memory
                let hashed = hash_file(path).map_err(|source| LoadError::Io {
                    path: path.to_owned(),
                    source,
                });
                hashes.insert(name, hashed?.1);
                Ok(())
            };
            let name = file.name.clone();
            match &file.data {
                #[cfg(feature = "demo")]
                Data::Static(bytes) => {
                    hashes.insert(name, hex(&Sha256::digest(bytes)));
                }
                Data::Safetensors(map) => add(name, map.path())?,
                Data::Pickle(path) => add(name, path)?,
                Data::Gguf(model) => {
                    for path in model.paths() {
                        add(file_name(path), path)?;
                    }
                }
            }
        }
        Ok(hashes)
    }
}

/// The last component of a path, even if it ends in `..`.
fn file_name(path: &Path) -> String {
    let whole = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    // a file of the Hub's cache is a link to one that is named by its hash
    let named = if path.is_file() { path } else { &whole };
    let name = named.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
