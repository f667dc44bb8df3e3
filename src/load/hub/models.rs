//! The files that a model needs.

use std::path::PathBuf;

use serde_json::Value;

use super::environment::Environment;
use super::id::Id;
use super::{Hub, Snapshot};
use crate::load::error::LoadError;
use crate::load::split::SplitName;
use crate::load::{Progress, folder, kind};
use crate::model::Config;

/// Characters of a text of the Hub that an error shows.
const MOST_SHOWN: usize = 100;

/// Files that tell of the tokenizer; not all need to be there.
const TOKENIZER: [&str; 8] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "vocab.json",
    "merges.txt",
];

/// Where the files of a model lie.
pub(in crate::load) struct Fetched {
    pub(in crate::load) folder: PathBuf,
    /// The folder of its tokenizer.
    pub(in crate::load) tokenizer: PathBuf,
    /// The commit.
    pub(in crate::load) revision: String,
    /// What is to be said, if the cache had to stand in for the Hub.
    pub(in crate::load) note: Option<String>,
}

/// Makes sure that the files of a model are in the cache.
pub(in crate::load) fn fetch(id: &Id, progress: Progress<'_>) -> Result<Fetched, LoadError> {
    Hub::new(&Environment::of_process()?, progress).fetch_model(id)
}

impl Hub<'_> {
    fn fetch_model(&self, id: &Id) -> Result<Fetched, LoadError> {
        let snapshot = self.snapshot(id)?;
        let tokenizer = match &id.file {
            Some(file) => {
                for part in SplitName::all(file) {
                    self.get(&snapshot, &part)?;
                }
                // for a vocabulary whose pre-tokenizer is not known
                if snapshot.has(TOKENIZER[0]) {
                    self.get(&snapshot, TOKENIZER[0])?;
                }
                snapshot.folder.clone()
            }
            None => self.fetch_folder(&snapshot)?,
        };
        self.remember(&snapshot);
        Ok(Fetched {
            tokenizer,
            note: snapshot.note(),
            folder: snapshot.folder,
            revision: snapshot.commit,
        })
    }

    /// Fetches what a model's folder needs; answers the folder of its tokenizer.
    fn fetch_folder(&self, snapshot: &Snapshot) -> Result<PathBuf, LoadError> {
        let repo = &snapshot.id.repo;
        if snapshot.has(folder::ADAPTER) {
            let json = folder::read_needed(&self.get(snapshot, folder::ADAPTER)?)?;
            return Err(LoadError::Kind {
                path: PathBuf::from(repo),
                kind: kind::adapter(&json),
            });
        }
        if !snapshot.has("config.json") && snapshot.offline.is_none() {
            let first = |name: &&String| {
                let split = SplitName::parse(name);
                name.ends_with(".gguf") && split.is_none_or(|split| split.number == 1)
            };
            let ggufs: Vec<&String> = snapshot.files.iter().filter(first).collect();
            let Some(first) = ggufs.first() else {
                return Err(folder::not_a_model(repo.as_ref(), &snapshot.files));
            };
            let n = ggufs.len();
            let reason = format!(
                "it has no `config.json` but {n} GGUF models: name one, as in `{repo}/{first}`"
            );
            return Err(self.failed(repo, reason));
        }
        let config = folder::read_needed(&self.get(snapshot, "config.json")?)?;
        // before what is large: a model that is not known is not fetched
        Config::from_json(&config).map_err(|source| LoadError::Model {
            origin: format!("model `{}`", snapshot.id.repo),
            source: source.into(),
        })?;
        let tokenizer = self.tokenizer(snapshot, &config)?;
        let index = |name: &str| folder::read_needed(&self.get(snapshot, name)?);
        let weights = match folder::choose_weights(repo.as_ref(), &snapshot.files, index)? {
            Some(weights) => weights,
            None if snapshot.offline.is_some() => return Err(self.not_cached(snapshot, "weights")),
            None => return Err(folder::not_a_model(repo.as_ref(), &snapshot.files)),
        };
        for file in weights {
            self.get(snapshot, &file)?;
        }
        Ok(tokenizer)
    }

    /// The folder of the tokenizer, which TransformerLens' models keep in another repository.
    fn tokenizer(&self, snapshot: &Snapshot, config: &[u8]) -> Result<PathBuf, LoadError> {
        let other = match TOKENIZER.iter().any(|file| snapshot.has(file)) {
            true => None,
            false => self.other_tokenizer(&snapshot.id, config)?,
        };
        let other = other.map(|id| self.snapshot(&id)).transpose()?;
        let own = other.is_none();
        let snapshot = other.as_ref().unwrap_or(snapshot);
        // with `tokenizer.json`, the parts that it was made of are not needed
        let wanted = match snapshot.has(TOKENIZER[0]) {
            true => &TOKENIZER[..6],
            false => &TOKENIZER[..],
        };
        for file in wanted.iter().filter(|file| snapshot.has(file)) {
            self.get(snapshot, file)?;
        }
        if !own {
            self.remember(snapshot);
        }
        Ok(snapshot.folder.clone())
    }

    /// The repository of the tokenizer of a model in TransformerLens' layout.
    fn other_tokenizer(&self, model: &Id, config: &[u8]) -> Result<Option<Id>, LoadError> {
        let config: Value = serde_json::from_slice(config).unwrap_or_default();
        if config.get("model_type").is_some() {
            return Ok(None);
        }
        let named = config.get("tokenizer_name").and_then(Value::as_str);
        // where the config does not say, these are what TransformerLens takes
        let usual = match model.repo.contains("_old") {
            true => "EleutherAI/gpt-neox-20b",
            false => "NeelNanda/gpt-neox-tokenizer-digits",
        };
        let name = named.unwrap_or(usual);
        match Id::parse(name).filter(|id| id.file.is_none()) {
            Some(id) => Ok(Some(id)),
            None => {
                let shown: String = name.escape_debug().take(MOST_SHOWN).collect();
                let reason = format!(
                    "its `config.json` has the `tokenizer_name` `{shown}`, which is not the name of a repository"
                );
                Err(self.failed(&model.repo, reason))
            }
        }
    }
}
