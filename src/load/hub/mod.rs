//! Models and data sets on the Hugging Face Hub, through its cache.
//!
//! A revision is resolved to its commit once, and all files are taken from that commit. Without a network, or where the
//! environment forbids it, what the cache holds of the revision is used. The cache is the one of Python's
//! `huggingface_hub`: `models--owner--name/{refs,snapshots,blobs}`, and for data sets `datasets--owner--name` with `trees` as well. No name in an answer is used as a path before it is
//! known to be a plain one.

mod environment;
mod fetch;
mod id;
mod models;
mod tree;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use crate::files::read_at_most;

use super::error::LoadError;
use super::{Progress, folder};
use fetch::{Client, Failure};

pub(super) use environment::Environment;
pub(super) use id::{Id, RepoKind};
pub(super) use models::fetch;
pub(super) use tree::TreeFile;

/// What stands for itself in an address.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, UNRESERVED).to_string()
}

/// A path in an address.
fn encoded_path(path: &str) -> String {
    let names = path.split('/').map(encoded);
    names.collect::<Vec<_>>().join("/")
}

/// Whether a text is the name of a commit.
fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Length of a note of the cache: a commit has 40 digits.
const MOST_REFERENCE_BYTES: u64 = 64;

/// Length of a file of weights.
const MOST_WEIGHTS_BYTES: u64 = 1 << 40;

/// What names of files of weights end in.
const WEIGHTS: [&str; 4] = [".safetensors", ".bin", ".pth", ".gguf"];

/// Length of a file of a model.
fn most_bytes(file: &str) -> u64 {
    match WEIGHTS.iter().any(|end| file.ends_with(end)) {
        true => MOST_WEIGHTS_BYTES,
        false => folder::most_bytes(file),
    }
}

/// What the Hub says of a repository.
#[derive(Deserialize)]
struct Info {
    sha: String,
    #[serde(default)]
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// A commit of a repository.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) id: Id,
    pub(super) commit: String,
    /// The names of a model's files and folders.
    files: Vec<String>,
    folder: PathBuf,
    /// Why what the cache lacks cannot be had, if so.
    offline: Option<String>,
}

impl Snapshot {
    fn has(&self, file: &str) -> bool {
        self.files.iter().any(|other| other == file)
    }

    /// What is to be said, if the cache has to stand in for the Hub.
    pub(super) fn note(&self) -> Option<String> {
        let reason = self.offline.as_ref()?;
        let commit: String = self.commit.chars().take(12).collect();
        let repo = &self.id.repo;
        Some(format!(
            "using commit {commit} of `{repo}` from the cache: {reason}"
        ))
    }
}

pub(super) struct Hub<'p> {
    client: Client<'p>,
    cache: PathBuf,
    /// The variable that forbids the network.
    offline: Option<&'static str>,
}

impl<'p> Hub<'p> {
    pub(super) fn new(environment: &Environment, progress: Progress<'p>) -> Self {
        Self {
            client: Client::new(environment, progress),
            cache: environment.cache.clone(),
            offline: environment.offline,
        }
    }

    fn folder(&self, id: &Id) -> PathBuf {
        self.cache.join(id.folder_name())
    }

    /// What a revision is now; without a network, what the cache knows of it.
    pub(super) fn snapshot(&self, id: &Id) -> Result<Snapshot, LoadError> {
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
        let info = self.client.json::<Info>(&match id.kind {
            RepoKind::Model => address(id),
            // there may be many files, which are asked for page by page
            RepoKind::DataSet => address(id) + "?expand=sha",
        });
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

    /// Whether the Hub has a repository, and shows it.
    pub(super) fn has(&self, id: &Id) -> bool {
        self.offline.is_none() && self.ask(id).is_ok()
    }

    /// Where the cache notes which commit a revision is.
    fn reference(&self, id: &Id) -> PathBuf {
        self.folder(id).join("refs").join(&id.revision)
    }

    /// Notes which commit a revision is, once all is there. A cache that cannot be written needs no note.
    pub(super) fn remember(&self, snapshot: &Snapshot) {
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

    /// A file of a model, fetched if the cache does not have it.
    fn get(&self, snapshot: &Snapshot, file: &str) -> Result<PathBuf, LoadError> {
        let path = snapshot.folder.join(file);
        if !path.exists() && snapshot.offline.is_none() && !snapshot.has(file) {
            return Err(LoadError::HubMissing {
                endpoint: self.client.endpoint(),
                what: format!("{}/{file}", snapshot.id.repo),
            });
        }
        self.get_listed(snapshot, file, most_bytes(file))
    }

    /// A file that a commit has, of at most so many bytes, fetched if the cache does not have it.
    pub(super) fn get_listed(
        &self,
        snapshot: &Snapshot,
        file: &str,
        most_bytes: u64,
    ) -> Result<PathBuf, LoadError> {
        let path = snapshot.folder.join(file);
        if path.exists() {
            return Ok(path);
        }
        let what = format!("{}/{file}", snapshot.id.repo);
        if snapshot.offline.is_some() {
            return Err(self.not_cached(snapshot, file));
        }
        let target = fetch::Target {
            what: &what,
            file,
            most_bytes,
            blobs: &self.folder(&snapshot.id).join("blobs"),
            locks: &self.cache.join(".locks").join(snapshot.id.folder_name()),
            link: &path,
        };
        match self.client.download(&file_address(snapshot, file), &target) {
            Ok(()) => Ok(path),
            Err(Failure::Load(error)) => Err(error),
            Err(failure) => Err(self.error(&snapshot.id, &what, failure)),
        }
    }

    /// Fails if a file is neither in the cache nor to be had, without fetching it.
    pub(super) fn check(
        &self,
        snapshot: &Snapshot,
        file: &str,
        most_bytes: u64,
    ) -> Result<(), LoadError> {
        if snapshot.folder.join(file).exists() {
            return Ok(());
        }
        if snapshot.offline.is_some() {
            return Err(self.not_cached(snapshot, file));
        }
        let address = file_address(snapshot, file);
        let described = self.client.describe(&address, most_bytes);
        let what = format!("{}/{file}", snapshot.id.repo);
        let described = described.map_err(|failure| self.error(&snapshot.id, &what, failure));
        described.map(|_| ())
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

/// Where the Hub describes a revision.
fn address(id: &Id) -> String {
    let (api, repo, revision) = (id.kind.api(), &id.repo, encoded(&id.revision));
    format!("{api}{repo}/revision/{revision}")
}

/// Where the Hub has a file.
fn file_address(snapshot: &Snapshot, file: &str) -> String {
    let (Id { kind, repo, .. }, commit) = (&snapshot.id, &snapshot.commit);
    let (pages, file) = (kind.pages(), encoded_path(file));
    format!("{pages}{repo}/resolve/{commit}/{file}")
}

/// What the cache notes of a revision.
fn known_commit(reference: &Path) -> Option<String> {
    let bytes = read_at_most(reference, MOST_REFERENCE_BYTES).ok()?;
    String::from_utf8(bytes).ok()
}
