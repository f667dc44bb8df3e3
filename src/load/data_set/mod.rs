//! Data sets by their names on the Hub: a name to the files of a split, which are fetched when the corpus comes to them.
//!
//! Files are found by the configs of the data set's card, else by the names of files and folders, as `datasets` finds them,
//! else in the Hub's own conversion to Parquet. The list of a commit says how long files are and, of large ones, their
//! SHA-256, so that the corpus is known before a file of it is there.

mod card;
mod error;
mod glob;
mod layout;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::corpus::{RemoteError, RemoteFile, Source, is_read};
use crate::files::{hash_file, read_at_most};

use super::error::LoadError;
use super::hub::{Environment, Hub, Id, Snapshot, TreeFile};

pub use error::DataSetError;

use card::Card;
use layout::{Layout, Split};

/// What names of data sets on the Hub begin with.
pub const PREFIX: &str = "hf:";

/// Length of a data set's card.
const MOST_CARD_BYTES: u64 = 16 << 20;

const CARD: &str = "README.md";

/// The branch with the Hub's conversion to Parquet of what `main` holds.
const CONVERSION: &str = "refs/convert/parquet";

/// Reports a file that is being fetched, like [`Progress`](super::Progress), for as long as files may be fetched.
pub type SharedProgress = Arc<dyn Fn(&str, u64, u64) -> bool + Send + Sync>;

/// Which part of a data set is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Choice {
    /// The config; without one, the data set's default.
    pub config: Option<String>,
    /// The split; without one, `train`, or the only one.
    pub split: Option<String>,
}

/// A split of a data set.
#[derive(Debug)]
pub struct DataSet {
    /// Its name on the Hub.
    pub id: String,
    /// The commit of its files.
    pub revision: String,
    /// Its config; none if the data set has no configs.
    pub config: Option<String>,
    /// Its split.
    pub split: String,
    /// Whether its files are those of the Hub's conversion to Parquet.
    pub is_converted: bool,
    /// Its files, in order.
    pub files: Vec<Source>,
    /// What is to be said to the user.
    pub notes: Vec<String>,
}

/// What the files of a data set share.
struct Origin {
    environment: Environment,
    progress: SharedProgress,
    snapshot: Snapshot,
    id: String,
    license: String,
}

/// A file of a data set.
struct HubFile {
    origin: Arc<Origin>,
    name: String,
    path: String,
    bytes: u64,
    sha256: String,
}

impl fmt::Debug for HubFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl RemoteFile for HubFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn sha256(&self) -> &str {
        &self.sha256
    }

    fn source(&self) -> &str {
        &self.origin.id
    }

    fn license(&self) -> &str {
        &self.origin.license
    }

    fn fetch(&self) -> Result<PathBuf, RemoteError> {
        let origin = &self.origin;
        let hub = Hub::new(&origin.environment, &*origin.progress);
        let path = fetch(&hub, &origin.snapshot, &self.path, self.bytes)?;
        hub.remember(&origin.snapshot);
        Ok(path)
    }
}

/// Makes sure that a file of so many bytes is in the cache.
fn fetch(hub: &Hub, snapshot: &Snapshot, file: &str, bytes: u64) -> Result<PathBuf, DataSetError> {
    let path = hub.get_listed(snapshot, file, bytes);
    let path = path.map_err(|error| explain(hub, &snapshot.id, error))?;
    match path.metadata() {
        Ok(metadata) if metadata.len() == bytes => Ok(path),
        Ok(metadata) => Err(DataSetError::Length {
            file: path.display().to_string(),
            expected: bytes,
            found: metadata.len(),
        }),
        Err(source) => Err(LoadError::Io { path, source }.into()),
    }
}

/// Says of a data set what the Hub says of a repository.
fn explain(hub: &Hub, id: &Id, error: LoadError) -> DataSetError {
    let is_model = || Id::parse(&id.repo).is_some_and(|model| hub.has(&model));
    match error {
        // a file that is in the list is not there
        error @ LoadError::HubMissing { .. } if hub.has(id) => error.into(),
        LoadError::HubMissing { .. } if id.revision != "main" && hub.has(&id.at("main")) => {
            DataSetError::NoRevision {
                id: id.repo.clone(),
                revision: id.revision.clone(),
            }
        }
        LoadError::HubMissing { endpoint, .. } => DataSetError::Missing {
            endpoint,
            id: id.repo.clone(),
            is_model: is_model(),
        },
        LoadError::HubDenied {
            endpoint, status, ..
        } => DataSetError::Denied {
            endpoint,
            id: id.repo.clone(),
            status,
            is_model: is_model(),
        },
        error => error.into(),
    }
}

impl DataSet {
    /// Finds the files of a data set by its name, `hf:owner/name` or `hf:owner/name@revision`. Only small files are
    /// fetched at once. `progress` is called while files are fetched, now and when the corpus comes to them.
    pub fn open(
        name: &str,
        choice: &Choice,
        progress: SharedProgress,
    ) -> Result<Self, DataSetError> {
        let id = name.strip_prefix(PREFIX).and_then(Id::parse_data_set);
        let id = id.ok_or_else(|| DataSetError::Name(name.to_owned()))?;
        let environment = Environment::of_process()?;
        let hub = Hub::new(&environment, &*progress);
        let snapshot = hub.snapshot(&id);
        let snapshot = snapshot.map_err(|error| explain(&hub, &id, error))?;
        let own = Repository::list(&hub, snapshot)?;
        let card = own.card(&hub)?;

        let found = own.split(&card, choice);
        let mut conversion = None;
        if let Err(error) = &found
            && own.may_be_converted(error, &card)
        {
            conversion = Repository::conversion(&hub, &id)?;
        }
        let (repository, found) = match &conversion {
            Some(conversion) => (conversion, conversion.converted_split(&card, choice)?),
            None => (&own, found?),
        };
        let mut notes: Vec<String> = repository.snapshot.note().into_iter().collect();
        let Found { config, split, .. } = &found;
        if found.is_partial {
            notes.push(format!(
                "the Hub converted only the first part of `{split}` of the data set `{}` to Parquet, which is read",
                id.repo
            ));
        }
        // small files are fetched below
        if let Some(first) = found.files.first()
            && first.sha256.is_some()
        {
            let checked = hub.check(&repository.snapshot, &first.path, first.bytes);
            checked.map_err(|error| explain(&hub, &id, error))?;
        }
        let revision = repository.snapshot.commit.clone();
        let mut hashes = Vec::new();
        for file in &found.files {
            hashes.push(match &file.sha256 {
                Some(sha256) => sha256.clone(),
                None => {
                    let path = fetch(&hub, &repository.snapshot, &file.path, file.bytes)?;
                    let hashed = hash_file(&path);
                    let hashed = hashed.map_err(|source| LoadError::Io { path, source })?;
                    hub.remember(&repository.snapshot);
                    hashed.1
                }
            });
        }
        let origin = Arc::new(Origin {
            snapshot: repository.snapshot.clone(),
            id: id.repo.clone(),
            license: card.license.unwrap_or_default(),
            progress: progress.clone(),
            environment,
        });
        let files = found.files.iter().zip(hashes).map(|(file, sha256)| {
            Source::Remote(Arc::new(HubFile {
                origin: origin.clone(),
                name: format!("{PREFIX}{}@{revision}/{}", id.repo, file.path),
                path: file.path.clone(),
                bytes: file.bytes,
                sha256,
            }))
        });
        Ok(Self {
            files: files.collect(),
            is_converted: conversion.is_some(),
            config: config.clone(),
            split: split.clone(),
            id: id.repo.clone(),
            revision,
            notes,
        })
    }
}

/// A commit of a data set with its files.
struct Repository {
    snapshot: Snapshot,
    files: Vec<TreeFile>,
}

/// The split that is meant.
struct Found<'f> {
    config: Option<String>,
    split: String,
    files: Vec<&'f TreeFile>,
    is_partial: bool,
}

impl Repository {
    fn list(hub: &Hub, snapshot: Snapshot) -> Result<Self, DataSetError> {
        let files = hub.tree(&snapshot);
        let files = files.map_err(|error| explain(hub, &snapshot.id, error))?;
        Ok(Self { snapshot, files })
    }

    /// The Hub's conversion to Parquet, if there is one.
    fn conversion(hub: &Hub, id: &Id) -> Result<Option<Self>, DataSetError> {
        match hub.snapshot(&id.at(CONVERSION)) {
            Ok(snapshot) => Ok(Some(Self::list(hub, snapshot)?)),
            Err(LoadError::HubMissing { .. }) => Ok(None),
            // without a network, a conversion that is not in the cache is not there
            Err(LoadError::Hub { .. }) => Ok(None),
            Err(error) => Err(explain(hub, id, error)),
        }
    }

    fn id(&self) -> &str {
        &self.snapshot.id.repo
    }

    fn card(&self, hub: &Hub) -> Result<Card, DataSetError> {
        if !self.files.iter().any(|file| file.path == CARD) {
            return Ok(Card::default());
        }
        let path = hub.get_listed(&self.snapshot, CARD, MOST_CARD_BYTES);
        let path = path.map_err(|error| explain(hub, &self.snapshot.id, error))?;
        let bytes = read_at_most(&path, MOST_CARD_BYTES);
        let bytes = bytes.map_err(|source| LoadError::Io { path, source })?;
        let card = Card::parse(&String::from_utf8_lossy(&bytes));
        card.map_err(|reason| DataSetError::Card {
            id: self.id().to_owned(),
            reason,
        })
    }

    /// Whether it has a script that makes its data, which is not run.
    fn has_script(&self) -> bool {
        let name = self.id().rsplit('/').next().unwrap_or_default();
        let script = format!("{name}.py");
        self.files.iter().any(|file| file.path == script)
    }

    fn split(&self, card: &Card, choice: &Choice) -> Result<Found<'_>, DataSetError> {
        if card.configs.is_empty() && self.has_script() {
            return Err(DataSetError::NotRead {
                id: self.id().to_owned(),
                found: ", but a script that makes them, which is not run".into(),
            });
        }
        let layout = layout::own(self.id(), card, &self.files, choice.config.as_deref())?;
        self.found(layout, choice)
    }

    fn converted_split(&self, card: &Card, choice: &Choice) -> Result<Found<'_>, DataSetError> {
        let config = choice.config.as_deref();
        self.found(
            layout::converted(self.id(), card, &self.files, config)?,
            choice,
        )
    }

    fn found<'f>(&self, layout: Layout<'f>, choice: &Choice) -> Result<Found<'f>, DataSetError> {
        // where no split is read, it does not matter which one is wanted
        let data = |split: &Split<'f>| layout::data(self.id(), split.clone(), &is_read);
        let is_whole = layout.splits.iter().all(|split| split.lacks.is_none());
        let (read, unread): (Vec<_>, Vec<_>) =
            layout.splits.iter().map(data).partition(Result::is_ok);
        if let (true, true, Some(unread)) = (is_whole, read.is_empty(), unread.into_iter().next()) {
            unread?;
        }
        let split = layout::choose_split(self.id(), layout.splits, choice.split.as_deref())?;
        Ok(Found {
            config: layout.config,
            split: split.name.clone(),
            is_partial: split.is_partial,
            files: layout::data(self.id(), split, &is_read)?,
        })
    }

    /// Whether the conversion of what `main` holds may have what is not found here.
    fn may_be_converted(&self, error: &DataSetError, card: &Card) -> bool {
        let is_unread = match error {
            DataSetError::NotRead { .. } => true,
            DataSetError::NoConfig { .. } => card.configs.is_empty(),
            _ => false,
        };
        is_unread && self.snapshot.id.revision == "main"
    }
}
