//! Models on the Hugging Face Hub, through its cache.
//!
//! A revision is resolved to its commit once, and all files are taken from that commit. Without a network, or with
//! `HF_HUB_OFFLINE`, what the cache holds of the revision is used. `HF_ENDPOINT`, `HF_HOME`, `HF_HUB_CACHE` and `HF_TOKEN`
//! are heeded.
//! Where the cache is and what things are called in it is the `hf-hub` crate's to say; its downloads are not used, since
//! they ask for compressed answers, which the Hub gives without the lengths that they need, and check nothing.

mod fetch;

use std::fs;
use std::io::Write;
use std::path::PathBuf;

use hf_hub::{Cache, Repo, RepoType};
use serde::Deserialize;
use serde_json::Value;

use crate::model::Config;

use super::error::LoadError;
use super::{Progress, folder};
use fetch::{Client, Failure};

/// Files that tell of the tokenizer; not all need to be there.
const TOKENIZER: [&str; 6] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
];

/// What a model is called on the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// `organisation/name`, or the name alone.
    repo: String,
    revision: String,
    /// A `.gguf` file in it.
    pub(super) file: Option<String>,
}

impl Id {
    /// `name`, `organisation/name` or `organisation/name/file.gguf`, each with `@revision` or without.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (path, revision) = text.split_once('@').unwrap_or((text, "main"));
        let plain = |part: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            !part.is_empty() && part.chars().all(allowed) && !part.starts_with('.')
        };
        let parts: Vec<&str> = path.split('/').collect();
        let right = !revision.is_empty() && parts.iter().copied().all(plain);
        let (repo, file) = match parts.as_slice() {
            _ if !right => return None,
            [_] | [_, _] if !path.ends_with(".gguf") => (path.to_owned(), None),
            [owner, name, file] if file.ends_with(".gguf") => {
                (format!("{owner}/{name}"), Some((*file).to_owned()))
            }
            _ => return None,
        };
        Some(Self {
            repo,
            revision: revision.to_owned(),
            file,
        })
    }

    /// The name without its organisation.
    pub(super) fn name(&self) -> &str {
        self.repo.rsplit('/').next().unwrap_or(&self.repo)
    }

    /// What it is called, without the revision.
    pub(super) fn path(&self) -> String {
        match &self.file {
            Some(file) => format!("{}/{file}", self.repo),
            None => self.repo.clone(),
        }
    }

    fn repo(&self) -> Repo {
        Repo::with_revision(self.repo.clone(), RepoType::Model, self.revision.clone())
    }
}

/// Where the files of a model lie.
pub(super) struct Fetched {
    pub(super) folder: PathBuf,
    /// The folder of its tokenizer.
    pub(super) tokenizer: PathBuf,
    /// The commit.
    pub(super) revision: String,
    /// What is to be said, if the cache had to stand in for the Hub.
    pub(super) note: Option<String>,
}

/// What the Hub says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// A commit of a repository.
struct Snapshot {
    id: Id,
    commit: String,
    /// The names of its files; those in folders are left out.
    files: Vec<String>,
    folder: PathBuf,
    /// Why what the cache lacks cannot be had, if so.
    offline: Option<String>,
}

impl Snapshot {
    fn has(&self, file: &str) -> bool {
        self.files.iter().any(|other| other == file)
    }
}

struct Hub<'p> {
    client: Client,
    cache: Cache,
    progress: Progress<'p>,
    offline: bool,
}

/// Makes sure that the files of a model are in the cache.
pub(super) fn fetch(id: &Id, progress: Progress<'_>) -> Result<Fetched, LoadError> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
    let home = Cache::from_env();
    let token = set("HF_TOKEN").or_else(|| home.token());
    let cache = set("HF_HUB_CACHE").map_or(home, |path| Cache::new(path.into()));
    let off = ["0", "false", "no", "off"];
    let offline = set("HF_HUB_OFFLINE");
    let hub = Hub {
        client: Client::new(endpoint.trim_end_matches('/').to_owned(), token),
        cache,
        progress,
        offline: offline.is_some_and(|value| !off.contains(&value.to_lowercase().as_str())),
    };
    hub.fetch_model(id)
}

impl Hub<'_> {
    fn fetch_model(&self, id: &Id) -> Result<Fetched, LoadError> {
        let snapshot = self.snapshot(id)?;
        let tokenizer = match &id.file {
            Some(file) => {
                self.get(&snapshot, file)?;
                // for a vocabulary whose pre-tokenizer is not known
                if snapshot.has(TOKENIZER[0]) {
                    self.get(&snapshot, TOKENIZER[0])?;
                }
                snapshot.folder.clone()
            }
            None => self.fetch_folder(&snapshot)?,
        };
        self.remember(&snapshot);
        let note = snapshot.offline.map(|reason| {
            let commit: String = snapshot.commit.chars().take(12).collect();
            format!(
                "using commit {commit} of `{}` from the cache: {reason}",
                id.repo
            )
        });
        Ok(Fetched {
            tokenizer,
            folder: snapshot.folder,
            revision: snapshot.commit,
            note,
        })
    }

    /// Fetches what a model's folder needs; answers the folder of its tokenizer.
    fn fetch_folder(&self, snapshot: &Snapshot) -> Result<PathBuf, LoadError> {
        let ggufs: Vec<_> = snapshot
            .files
            .iter()
            .filter(|f| f.ends_with(".gguf"))
            .collect();
        if let (false, Some(first)) = (snapshot.has("config.json"), ggufs.first()) {
            let (n, repo) = (ggufs.len(), &snapshot.id.repo);
            let reason = format!(
                "it has no `config.json` but {n} GGUF files: name one, as in `{repo}/{first}`"
            );
            return Err(self.failed(repo, reason));
        }
        let config = self.get(snapshot, "config.json")?;
        let read = |path: PathBuf| fs::read(&path).map_err(|source| LoadError::Io { path, source });
        let config = read(config)?;
        // before what is large: a model that is not known is not fetched
        Config::from_json(&config).map_err(|source| LoadError::Model {
            origin: format!("model `{}`", snapshot.id.repo),
            source,
        })?;
        let tokenizer = self.tokenizer(snapshot, &config)?;
        let index = |name: &str| read(self.get(snapshot, name)?);
        let weights = match folder::choose_weights(&snapshot.files, index)? {
            Some(weights) => weights,
            None if snapshot.offline.is_some() => return Err(self.not_cached(snapshot, "weights")),
            None => return Err(LoadError::NoWeights(PathBuf::from(&snapshot.id.repo))),
        };
        for file in weights {
            self.get(snapshot, &file)?;
        }
        Ok(tokenizer)
    }

    /// The folder of the tokenizer, which TransformerLens' models keep in another repository.
    fn tokenizer(&self, snapshot: &Snapshot, config: &[u8]) -> Result<PathBuf, LoadError> {
        let elsewhere = || {
            let config: Value = serde_json::from_slice(config).ok()?;
            if config.get("model_type").is_some() {
                return None;
            }
            let named = config.get("tokenizer_name").and_then(Value::as_str);
            // where the config does not say, these are what TransformerLens takes
            let usual = match snapshot.id.repo.contains("_old") {
                true => "EleutherAI/gpt-neox-20b",
                false => "NeelNanda/gpt-neox-tokenizer-digits",
            };
            Id::parse(named.unwrap_or(usual))
        };
        let other = match TOKENIZER.iter().any(|file| snapshot.has(file)) {
            true => None,
            false => elsewhere().map(|id| self.snapshot(&id)).transpose()?,
        };
        let own = other.is_none();
        let snapshot = other.as_ref().unwrap_or(snapshot);
        // with `tokenizer.json`, the parts that it was made of are not needed
        let wanted = match snapshot.has(TOKENIZER[0]) {
            true => &TOKENIZER[..4],
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

    fn folder(&self, id: &Id) -> PathBuf {
        self.cache.path().join(id.repo().folder_name())
    }

    /// What a revision is now; without a network, what the cache knows of it.
    fn snapshot(&self, id: &Id) -> Result<Snapshot, LoadError> {
        let found = match self.offline {
            true => {
                let reason = "HF_HUB_OFFLINE is set";
                Err(self.failed(
                    &id.repo,
                    format!("{reason}, and the cache does not have it"),
                ))
            }
            false => {
                let revision = id.revision.replace('/', "%2F");
                let path = format!("/api/models/{}/revision/{revision}", id.repo);
                let info = self.client.json::<Info>(&path);
                info.map_err(|failure| self.error(id, &id.repo, failure))
            }
        };
        let snapshots = self.folder(id).join("snapshots");
        match found {
            Ok(info) => {
                let files = info.siblings.into_iter().map(|file| file.rfilename);
                Ok(Snapshot {
                    id: id.clone(),
                    folder: snapshots.join(&info.sha),
                    commit: info.sha,
                    files: files.filter(|file| !file.contains(['/', '\\'])).collect(),
                    offline: None,
                })
            }
            Err(error @ LoadError::Hub { .. }) => {
                let commit = fs::read_to_string(self.reference(id));
                let commit = commit.unwrap_or_else(|_| id.revision.clone());
                let commit = commit.trim().to_owned();
                let folder = snapshots.join(&commit);
                let entries = match fs::read_dir(&folder) {
                    Ok(entries) if !commit.is_empty() => entries,
                    _ => return Err(error),
                };
                let names = entries.flatten().map(|entry| entry.file_name());
                let reason = match self.offline {
                    true => "HF_HUB_OFFLINE is set".to_owned(),
                    false => error.to_string(),
                };
                Ok(Snapshot {
                    id: id.clone(),
                    folder,
                    commit,
                    files: names
                        .map(|name| name.to_string_lossy().into_owned())
                        .collect(),
                    offline: Some(reason),
                })
            }
            Err(error) => Err(error),
        }
    }

    /// Where the cache notes which commit a revision is.
    fn reference(&self, id: &Id) -> PathBuf {
        self.folder(id).join("refs").join(&id.revision)
    }

    /// Notes which commit a revision is, once all is there. A cache that cannot be written needs no note.
    fn remember(&self, snapshot: &Snapshot) {
        let reference = self.reference(&snapshot.id);
        let known = fs::read_to_string(&reference).unwrap_or_default();
        let is_commit = snapshot.id.revision == snapshot.commit;
        if snapshot.offline.is_some() || is_commit || known.trim() == snapshot.commit {
            return;
        }
        let write = || {
            let parent = reference.parent()?;
            fs::create_dir_all(parent).ok()?;
            let mut file = tempfile::NamedTempFile::new_in(parent).ok()?;
            file.write_all(snapshot.commit.as_bytes()).ok()?;
            file.persist(&reference).ok()
        };
        let _ = write();
    }

    /// A file of a snapshot, fetched if the cache does not have it.
    fn get(&self, snapshot: &Snapshot, file: &str) -> Result<PathBuf, LoadError> {
        let path = snapshot.folder.join(file);
        if path.exists() {
            return Ok(path);
        }
        let what = format!("{}/{file}", snapshot.id.repo);
        if snapshot.offline.is_some() {
            return Err(self.not_cached(snapshot, file));
        }
        if !snapshot.has(file) {
            return Err(LoadError::HubMissing {
                endpoint: self.client.endpoint().to_owned(),
                what,
            });
        }
        let url = format!("/{}/resolve/{}/{file}", snapshot.id.repo, snapshot.commit);
        let target = fetch::Target {
            what: &what,
            file,
            blobs: &self.folder(&snapshot.id).join("blobs"),
            locks: &self
                .cache
                .path()
                .join(".locks")
                .join(snapshot.id.repo().folder_name()),
            link: &path,
        };
        match self.client.download(&url, &target, self.progress) {
            Ok(()) => Ok(path),
            Err(Failure::Load(error)) => Err(error),
            Err(failure) => Err(self.error(&snapshot.id, &what, failure)),
        }
    }

    fn not_cached(&self, snapshot: &Snapshot, file: &str) -> LoadError {
        let what = format!("{}/{file}", snapshot.id.repo);
        let reason = snapshot.offline.as_deref().unwrap_or_default();
        self.failed(&what, format!("the cache does not have it, and {reason}"))
    }

    fn failed(&self, what: &str, reason: String) -> LoadError {
        LoadError::Hub {
            endpoint: self.client.endpoint().to_owned(),
            what: what.to_owned(),
            reason,
        }
    }

    fn error(&self, id: &Id, what: &str, failure: Failure) -> LoadError {
        let endpoint = self.client.endpoint().to_owned();
        let revised = match id.revision.as_str() {
            "main" => id.repo.clone(),
            revision => format!("{}@{revision}", id.repo),
        };
        match failure {
            Failure::Load(error) => error,
            Failure::Status(404) => LoadError::HubMissing {
                endpoint,
                what: revised,
            },
            Failure::Status(status @ (401 | 403)) => LoadError::HubDenied {
                endpoint,
                what: revised,
                status,
            },
            Failure::Status(status) => self.failed(what, format!("HTTP status {status}")),
            Failure::Broken(reason) => self.failed(what, reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_are_told_from_paths() {
        let id = |text: &str| Id::parse(text).map(|id| (id.repo, id.revision, id.file));
        let plain = |repo: &str, revision: &str| Some((repo.to_owned(), revision.to_owned(), None));
        assert_eq!(id("gpt2"), plain("gpt2", "main"));
        assert_eq!(
            id("EleutherAI/pythia-70m@step3000"),
            plain("EleutherAI/pythia-70m", "step3000")
        );
        assert_eq!(id("a/b@refs/pr/1"), plain("a/b", "refs/pr/1"));
        let file = Some(("a/b".into(), "main".into(), Some("c.gguf".into())));
        assert_eq!(id("a/b/c.gguf"), file);
        for path in [
            "./a", "../a/b", "/a/b", "a/b/c", "a//b", "a b", "a.gguf", "~/a", "a@", "",
        ] {
            assert_eq!(id(path), None, "{path}");
        }
    }
}
