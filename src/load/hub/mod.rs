//! Models on the Hugging Face Hub, through its cache.
//!
//! A revision is resolved to its commit once, and all files are taken from that commit. Without a network, or where the
//! environment forbids it, what the cache holds of the revision is used. The cache is the one of Python's
//! `huggingface_hub`: `models--owner--name/{refs,snapshots,blobs}`. No name in an answer is used as a path before it is
//! known to be a plain one.

mod environment;
mod fetch;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use hf_hub::Repo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::Value;

use crate::files::read_at_most;
use crate::model::Config;

use super::error::LoadError;
use super::kind;
use super::split::SplitName;
use super::{Progress, folder};
use environment::Environment;
use fetch::{Client, Failure};

/// What stands for itself in an address.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// Whether a text is the name of a commit.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Length of a note of the cache: a commit has 40 digits.
const MOST_REFERENCE_BYTES: u64 = 64;

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

/// What a model is called on the Hub.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Id {
    /// `organisation/name`, or the name alone.
    repo: String,
    revision: String,
    /// A `.gguf` file in it, the first where a model has several.
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
        // as git allows it, so that it is a plain path in the cache
        let part_of_revision = |part: &str| {
            let foreign =
                |c: char| c.is_control() || c.is_whitespace() || "\\:?*[]~^\"<>|".contains(c);
            !part.is_empty() && !part.starts_with('.') && !part.contains(foreign)
        };
        let parts: Vec<&str> = path.split('/').collect();
        let right = revision.split('/').all(part_of_revision)
            && !revision.contains("..")
            && !path.contains("--")
            && parts.iter().copied().all(plain);
        let (repo, file) = match parts.as_slice() {
            _ if !right => return None,
            [_] | [_, _] if !path.ends_with(".gguf") => (path.to_owned(), None),
            [owner, name, file] if file.ends_with(".gguf") => {
                (format!("{owner}/{name}"), Some(SplitName::first(file)))
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

    /// What the cache calls its folder.
    fn folder_name(&self) -> String {
        Repo::model(self.repo.clone()).folder_name()
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
    /// The names of its files and folders.
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
    client: Client<'p>,
    cache: PathBuf,
    /// The variable that forbids the network.
    offline: Option<&'static str>,
}

/// Makes sure that the files of a model are in the cache.
pub(super) fn fetch(id: &Id, progress: Progress<'_>) -> Result<Fetched, LoadError> {
    let environment = Environment::read(&|name| std::env::var_os(name))?;
    let hub = Hub {
        client: Client::new(&environment, progress),
        cache: environment.cache,
        offline: environment.offline,
    };
    hub.fetch_model(id)
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

    fn folder(&self, id: &Id) -> PathBuf {
        self.cache.join(id.folder_name())
    }

    /// What a revision is now; without a network, what the cache knows of it.
    fn snapshot(&self, id: &Id) -> Result<Snapshot, LoadError> {
        let found = match self.offline {
            Some(variable) => Err(self.failed(
                &id.repo,
                format!("{variable} is set, and the cache does not have it"),
            )),
            None => self.ask(id),
        };
        let snapshots = self.folder(id).join("snapshots");
        match found {
            Ok(info) => {
                let first = |name: &str| name.split('/').next().unwrap_or(name).to_owned();
                let files = info.siblings.iter().map(|file| first(&file.rfilename));
                let files: BTreeSet<String> = files.filter(|file| folder::is_plain(file)).collect();
                Ok(Snapshot {
                    id: id.clone(),
                    folder: snapshots.join(&info.sha),
                    commit: info.sha,
                    files: files.into_iter().collect(),
                    offline: None,
                })
            }
            Err(error @ LoadError::Hub { .. }) => {
                let known = known_commit(&self.reference(id));
                let commit = known.as_deref().unwrap_or(&id.revision).trim().to_owned();
                let folder = snapshots.join(&commit);
                let entries = match fs::read_dir(&folder) {
                    Ok(entries) if is_commit(&commit) => entries,
                    _ => return Err(error),
                };
                let names = entries.flatten().map(|entry| entry.file_name());
                let reason = match self.offline {
                    Some(variable) => format!("{variable} is set"),
                    None => error.to_string(),
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

    /// What the Hub says of a revision.
    fn ask(&self, id: &Id) -> Result<Info, LoadError> {
        let path = format!("/api/models/{}/revision/{}", id.repo, encoded(&id.revision));
        let info = self.client.json::<Info>(&path);
        let info = info.map_err(|failure| self.error(id, &id.repo, failure))?;
        let asked_for = is_commit(&id.revision).then(|| id.revision.to_lowercase());
        match is_commit(&info.sha) {
            false => Err(self.failed(&id.repo, "its answer names no commit".into())),
            true if asked_for.is_some_and(|commit| commit != info.sha.to_lowercase()) => {
                Err(self.failed(&id.repo, "its answer is about another commit".into()))
            }
            true => Ok(info),
        }
    }

    /// Where the cache notes which commit a revision is.
    fn reference(&self, id: &Id) -> PathBuf {
        self.folder(id).join("refs").join(&id.revision)
    }

    /// Notes which commit a revision is, once all is there. A cache that cannot be written needs no note.
    fn remember(&self, snapshot: &Snapshot) {
        let reference = self.reference(&snapshot.id);
        let known = known_commit(&reference).unwrap_or_default();
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
                endpoint: self.client.endpoint(),
                what,
            });
        }
        let (repo, commit) = (&snapshot.id.repo, &snapshot.commit);
        let url = format!("/{repo}/resolve/{commit}/{}", encoded(file));
        let target = fetch::Target {
            what: &what,
            file,
            blobs: &self.folder(&snapshot.id).join("blobs"),
            locks: &self.cache.join(".locks").join(snapshot.id.folder_name()),
            link: &path,
        };
        match self.client.download(&url, &target) {
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
            endpoint: self.client.endpoint(),
            what: what.to_owned(),
            reason,
        }
    }

    fn error(&self, id: &Id, what: &str, failure: Failure) -> LoadError {
        let endpoint = self.client.endpoint();
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

/// What the cache notes of a revision.
fn known_commit(reference: &Path) -> Option<String> {
    let bytes = read_at_most(reference, MOST_REFERENCE_BYTES).ok()?;
    String::from_utf8(bytes).ok()
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
        let file = |name: &str| Some(("a/b".into(), "main".into(), Some(name.into())));
        assert_eq!(id("a/b/c.gguf"), file("c.gguf"));
        let first = "c-00001-of-00003.gguf";
        assert_eq!(id("a/b/c-00002-of-00003.gguf"), file(first));
        for path in [
            "./a",
            "../a/b",
            "/a/b",
            "a/b/c",
            "a//b",
            "a b",
            "a.gguf",
            "~/a",
            "a@",
            "",
            "a/..",
            "a--b",
            "a@..",
            "a@../x",
            "a@x/../../y",
            "a@/x",
            "a@x//y",
            "a@x/",
            "a@.x",
            "a@x\\y",
            "a@x\0",
            "a@C:x",
        ] {
            assert_eq!(id(path), None, "{path}");
        }
    }
}
