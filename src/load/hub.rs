//! Models on the Hugging Face Hub, through its cache.
//!
//! A revision is resolved to its commit once, and all files are taken from that commit. Without a network, or with
//! `HF_HUB_OFFLINE`, what the cache holds of the revision is used. `HF_ENDPOINT`, `HF_HOME` and `HF_TOKEN` are heeded.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use hf_hub::api::Progress as HubProgress;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use hf_hub::{Cache, Repo, RepoType};
use serde_json::Value;

use super::error::LoadError;
use super::{Progress, file_sha256, folder};

/// How often a broken download is taken up again.
const RETRIES: usize = 5;

/// Files that tell of the tokenizer; not all need to be there.
const TOKENIZER: [&str; 4] = [
    "tokenizer.json",
    "tokenizer_config.json",
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

    fn at(&self, revision: &str) -> Repo {
        Repo::with_revision(self.repo.clone(), RepoType::Model, revision.to_owned())
    }
}

/// Where the files of a model lie.
pub(super) struct Fetched {
    pub(super) folder: PathBuf,
    /// The folder of its tokenizer.
    pub(super) tokenizer: PathBuf,
    /// The commit.
    pub(super) revision: String,
}

/// A commit of a repository.
struct Snapshot {
    id: Id,
    commit: String,
    /// The names of its files; those in folders are left out.
    files: Vec<String>,
    folder: PathBuf,
    /// Whether what the cache lacks can be had.
    online: bool,
}

struct Hub<'p> {
    api: Api,
    cache: Cache,
    endpoint: String,
    progress: Progress<'p>,
}

/// Makes sure that the files of a model are in the cache.
pub(super) fn fetch(id: &Id, progress: Progress<'_>) -> Result<Fetched, LoadError> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into());
    let cache = Cache::from_env();
    let token = set("HF_TOKEN").or_else(|| cache.token());
    let builder = ApiBuilder::from_env().with_progress(false);
    let api = builder.with_retries(RETRIES).with_token(token).build();
    let hub = Hub {
        api: api.map_err(|error| unreachable(&endpoint, &id.repo, &error))?,
        cache,
        endpoint,
        progress,
    };
    let offline = set("HF_HUB_OFFLINE").is_some_and(|value| value != "0");
    hub.fetch_model(id, offline)
}

fn unreachable(endpoint: &str, what: &str, reason: &dyn ToString) -> LoadError {
    LoadError::Hub {
        endpoint: endpoint.to_owned(),
        what: what.to_owned(),
        reason: reason.to_string(),
    }
}

/// The status that the Hub answered with, if it did.
fn status(error: &ApiError) -> Option<u16> {
    match error {
        ApiError::RequestError(error) => match **error {
            ureq::Error::StatusCode(status) => Some(status),
            _ => None,
        },
        ApiError::TooManyRetries(error) => status(error),
        _ => None,
    }
}

impl Hub<'_> {
    fn fetch_model(&self, id: &Id, offline: bool) -> Result<Fetched, LoadError> {
        let snapshot = self.snapshot(id, offline)?;
        if let Some(file) = &id.file {
            self.get(&snapshot, file)?;
            return Ok(Fetched {
                tokenizer: snapshot.folder.clone(),
                folder: snapshot.folder,
                revision: snapshot.commit,
            });
        }
        let config = self.get(&snapshot, "config.json")?;
        let tokenizer = self.tokenizer(&snapshot, &config, offline)?;
        let index = |name: &str| {
            let path = self.get(&snapshot, name)?;
            fs::read(&path).map_err(|source| LoadError::Io { path, source })
        };
        let weights = folder::choose_weights(&snapshot.files, index)?;
        let weights = weights.ok_or_else(|| LoadError::NoWeights(PathBuf::from(&id.repo)))?;
        for file in weights {
            self.get(&snapshot, &file)?;
        }
        Ok(Fetched {
            tokenizer,
            folder: snapshot.folder,
            revision: snapshot.commit,
        })
    }

    /// The folder of the tokenizer, which TransformerLens' models keep in another repository.
    fn tokenizer(
        &self,
        snapshot: &Snapshot,
        config: &Path,
        offline: bool,
    ) -> Result<PathBuf, LoadError> {
        let elsewhere = || {
            let config: Value = serde_json::from_slice(&fs::read(config).ok()?).ok()?;
            if config.get("model_type").is_some() || config.get("d_model").is_none() {
                return None;
            }
            let named = config.get("tokenizer_name").and_then(Value::as_str);
            let usual = match snapshot.id.repo.contains("_old") {
                true => "EleutherAI/gpt-neox-20b",
                false => "NeelNanda/gpt-neox-tokenizer-digits",
            };
            Id::parse(named.unwrap_or(usual))
        };
        let own = snapshot
            .files
            .iter()
            .any(|file| TOKENIZER.contains(&file.as_str()));
        let other = match own {
            true => None,
            false => elsewhere(),
        };
        let other = other.map(|id| self.snapshot(&id, offline)).transpose()?;
        let snapshot = other.as_ref().unwrap_or(snapshot);
        let has_json = snapshot.files.iter().any(|file| file == TOKENIZER[0]);
        for file in snapshot
            .files
            .iter()
            .filter(|file| TOKENIZER.contains(&file.as_str()))
        {
            // with the first, the parts that it was made of are not needed
            if !has_json || TOKENIZER[..2].contains(&file.as_str()) {
                self.get(snapshot, file)?;
            }
        }
        Ok(snapshot.folder.clone())
    }

    fn folder(&self, id: &Id) -> PathBuf {
        self.cache.path().join(id.at(&id.revision).folder_name())
    }

    /// What a revision is now; without a network, what the cache knows of it.
    fn snapshot(&self, id: &Id, offline: bool) -> Result<Snapshot, LoadError> {
        let repo = id.at(&id.revision);
        let found = match offline {
            true => Err(unreachable(
                &self.endpoint,
                &id.repo,
                &"HF_HUB_OFFLINE is set, and the cache does not have it",
            )),
            false => {
                let info = self.persist(|| self.api.repo(repo.clone()).info());
                info.map_err(|error| self.error(id, &error))
            }
        };
        let snapshots = self.folder(id).join("snapshots");
        match found {
            Ok(info) => {
                let io = |source| LoadError::Io {
                    path: self.folder(id),
                    source,
                };
                self.cache.repo(repo).create_ref(&info.sha).map_err(io)?;
                let files = info.siblings.into_iter().map(|file| file.rfilename);
                Ok(Snapshot {
                    id: id.clone(),
                    folder: snapshots.join(&info.sha),
                    commit: info.sha,
                    files: files.filter(|file| !file.contains(['/', '\\'])).collect(),
                    online: true,
                })
            }
            Err(error @ LoadError::Hub { .. }) => {
                let reference = self.folder(id).join("refs").join(&id.revision);
                let commit = fs::read_to_string(reference);
                let commit = commit.unwrap_or_else(|_| id.revision.clone());
                let commit = commit.trim().to_owned();
                let folder = snapshots.join(&commit);
                let Ok(entries) = fs::read_dir(&folder) else {
                    return Err(error);
                };
                let names = entries.flatten().map(|entry| entry.file_name());
                Ok(Snapshot {
                    id: id.clone(),
                    folder,
                    commit,
                    files: names
                        .map(|name| name.to_string_lossy().into_owned())
                        .collect(),
                    online: false,
                })
            }
            Err(error) => Err(error),
        }
    }

    /// A file of a snapshot, fetched if the cache does not have it.
    fn get(&self, snapshot: &Snapshot, file: &str) -> Result<PathBuf, LoadError> {
        let path = snapshot.folder.join(file);
        if path.exists() {
            return Ok(path);
        }
        let what = format!("{}/{file}", snapshot.id.repo);
        if !snapshot.online {
            let reason = "the cache does not have it, and the Hub cannot be reached";
            return Err(unreachable(&self.endpoint, &what, &reason));
        }
        if !snapshot.files.iter().any(|other| other == file) {
            return Err(LoadError::HubMissing {
                endpoint: self.endpoint.clone(),
                what,
            });
        }
        let repo = self.api.repo(snapshot.id.at(&snapshot.commit));
        let download = || {
            let bar = Bar {
                file,
                done: 0,
                total: 0,
                progress: self.progress,
            };
            repo.download_with_progress(file, bar)
        };
        let mut fetched = self.persist(download);
        if let Err(error) = &fetched
            && (matches!(error, ApiError::InvalidResume) || status(error) == Some(416))
        {
            // what was kept of an earlier attempt is of no use
            self.forget_parts(&snapshot.id);
            fetched = self.persist(download);
        }
        let path = fetched.map_err(|error| match self.error(&snapshot.id, &error) {
            LoadError::Hub {
                endpoint, reason, ..
            } => LoadError::Hub {
                endpoint,
                what: what.clone(),
                reason,
            },
            error => error,
        })?;
        verify(&path, &what)?;
        Ok(path)
    }

    fn forget_parts(&self, id: &Id) {
        let Ok(blobs) = fs::read_dir(self.folder(id).join("blobs")) else {
            return;
        };
        let parts = blobs.flatten().map(|blob| blob.path());
        for part in parts.filter(|path| path.extension().is_some_and(|e| e == "part")) {
            let _ = fs::remove_file(part);
        }
    }

    /// Tries again where the connection broke, not where the Hub answered.
    fn persist<T>(&self, mut attempt: impl FnMut() -> Result<T, ApiError>) -> Result<T, ApiError> {
        let mut result = attempt();
        for i in 1..3u64 {
            match &result {
                Err(ApiError::RequestError(error))
                    if !matches!(**error, ureq::Error::StatusCode(_)) =>
                {
                    thread::sleep(Duration::from_millis(200 * i));
                    result = attempt();
                }
                _ => break,
            }
        }
        result
    }

    fn error(&self, id: &Id, error: &ApiError) -> LoadError {
        let endpoint = self.endpoint.clone();
        let what = match id.revision.as_str() {
            "main" => id.repo.clone(),
            revision => format!("{}@{revision}", id.repo),
        };
        match status(error) {
            Some(404) => LoadError::HubMissing { endpoint, what },
            Some(status @ (401 | 403)) => LoadError::HubDenied {
                endpoint,
                what,
                status,
            },
            _ => unreachable(&endpoint, &what, error),
        }
    }
}

/// Fails unless a file is what its name in the cache says: large files are named by their SHA-256.
fn verify(path: &Path, what: &str) -> Result<(), LoadError> {
    let Ok(blob) = fs::canonicalize(path) else {
        return Ok(());
    };
    let name = blob
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    if name.len() != 64 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let found = file_sha256(&blob)?;
    if found == name {
        return Ok(());
    }
    let _ = fs::remove_file(path);
    let _ = fs::remove_file(&blob);
    Err(LoadError::HubChecksum {
        what: what.to_owned(),
        expected: name,
        found,
    })
}

struct Bar<'a> {
    file: &'a str,
    done: u64,
    total: u64,
    progress: Progress<'a>,
}

impl HubProgress for Bar<'_> {
    fn init(&mut self, size: usize, _file: &str) {
        (self.done, self.total) = (0, size as u64);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.progress)(self.file, self.done, self.total);
    }

    fn finish(&mut self) {
        (self.progress)(self.file, self.total, self.total);
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
