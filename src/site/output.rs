//! Writes the site's files: whole, only where they changed, and never over somebody's own.
//!
//! `.neuroscope-build.json` in the output folder lists the files of the last build with their hashes; what a running
//! build adds is noted in a journal beside it first. A file that is in neither is somebody's own.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::error::SiteError;

const LIST: &str = ".neuroscope-build.json";
const JOURNAL: &str = ".neuroscope-build.journal";
const TEMPORARY: &str = ".neuroscope-new-";
const SCHEMA: &str = "neuroscope/site/v1";

/// Files that the report names.
const LARGEST: usize = 5;

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OutputReport {
    /// Files of the site.
    pub n_files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were written because they are new or changed.
    pub n_written: u64,
    /// Files of the last build that were removed.
    pub n_removed: u64,
    /// The largest files with their bytes, the largest first.
    pub largest: Vec<(String, u64)>,
    /// The largest pages.
    pub largest_pages: Vec<(String, u64)>,
}

#[derive(Serialize, Deserialize)]
struct List {
    schema: String,
    /// For each file, its XXH3 of 128 bits in hexadecimal.
    files: std::collections::BTreeMap<String, String>,
}

/// The output folder during a build.
pub(super) struct Output {
    root: PathBuf,
    /// Files of the last build; the hash of one that was being written is not known.
    before: HashMap<String, Option<Hash>>,
    state: Mutex<State>,
    bytes: AtomicU64,
    n_written: AtomicU64,
    n_temporary: AtomicU64,
}

/// A file's XXH3 of 128 bits: it says whether the file changed, and need not withstand anybody.
type Hash = u128;

struct State {
    now: HashMap<String, Hash>,
    largest: Vec<(String, u64)>,
    largest_pages: Vec<(String, u64)>,
    journal: File,
}

impl State {
    /// Remembers a file, if it is one of the largest.
    fn weigh(&mut self, name: &str, bytes: u64) {
        weigh(&mut self.largest, name, bytes);
        if name.ends_with(".html") {
            weigh(&mut self.largest_pages, name, bytes);
        }
    }
}

/// Puts a file among the largest, the largest first, if it is one.
fn weigh(largest: &mut Vec<(String, u64)>, name: &str, bytes: u64) {
    let at = largest.partition_point(|(other, size)| (*size, name) >= (bytes, other.as_str()));
    if at < LARGEST {
        largest.insert(at, (name.to_owned(), bytes));
        largest.truncate(LARGEST);
    }
}

impl Output {
    /// Opens an output folder, which is made if it is not there.
    pub(super) fn open(root: &Path) -> Result<Self, SiteError> {
        fs::create_dir_all(root).map_err(|source| SiteError::io("create", root, source))?;
        let mut before = HashMap::new();
        let path = root.join(LIST);
        match fs::read(&path) {
            Ok(bytes) => {
                // a list that cannot be read says nothing of which files are the site's
                let list: List = serde_json::from_slice(&bytes)
                    .map_err(|error| SiteError::io("read", &path, error.into()))?;
                before.extend(
                    list.files
                        .into_iter()
                        .map(|(name, hash)| (name, Hash::from_str_radix(&hash, 16).ok())),
                );
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(SiteError::io("read", path, source)),
        }
        let path = root.join(JOURNAL);
        if let Ok(text) = fs::read_to_string(&path) {
            before.extend(
                text.split_inclusive('\n')
                    .filter_map(|line| line.strip_suffix('\n'))
                    .map(|name| (name.to_owned(), None)),
            );
        }
        let entries = fs::read_dir(root).map_err(|source| SiteError::io("read", root, source))?;
        for entry in entries
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(TEMPORARY))
        {
            fs::remove_file(entry.path())
                .map_err(|source| SiteError::io("remove", entry.path(), source))?;
        }
        let journal = OpenOptions::new().create(true).append(true).open(&path);
        let journal = journal.map_err(|source| SiteError::io("write", &path, source))?;
        Ok(Self {
            root: root.to_owned(),
            before,
            state: Mutex::new(State {
                now: HashMap::new(),
                largest: Vec::new(),
                largest_pages: Vec::new(),
                journal,
            }),
            bytes: AtomicU64::new(0),
            n_written: AtomicU64::new(0),
            n_temporary: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `name`, with `/` between folders, hold `bytes`.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SiteError> {
        let path = self.root.join(name);
        let hash = XxHash3_128::oneshot(bytes);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let known = self.before.get(name);
        let metadata = fs::symlink_metadata(&path);
        let there = metadata
            .as_ref()
            .is_ok_and(|m| m.is_file() && m.len() == bytes.len() as u64);
        {
            let mut state = self.state();
            if state.now.insert(name.to_owned(), hash).is_some() {
                return Err(SiteError::Twice(name.to_owned()));
            }
            state.weigh(name, bytes.len() as u64);
            if known.is_some_and(|known| known.as_ref() == Some(&hash)) && there {
                return Ok(());
            }
            if known.is_none() {
                if metadata.is_ok() {
                    return Err(SiteError::Foreign(path));
                }
                let line = format!("{name}\n");
                state
                    .journal
                    .write_all(line.as_bytes())
                    .map_err(|source| SiteError::io("write", self.root.join(JOURNAL), source))?;
            }
        }
        let written = match metadata {
            Ok(_) => self.replace(&path, bytes),
            Err(_) => create(&path, bytes),
        };
        written.map_err(|source| SiteError::io("write", path, source))?;
        self.n_written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Puts a file in the place of an older one, which others may be reading.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let n = self.n_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = self.root.join(format!("{TEMPORARY}{n}"));
        let written = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the files of the last build that this one does not have, and writes the list.
    pub(super) fn finish(self) -> Result<OutputReport, SiteError> {
        let State {
            now,
            largest,
            largest_pages,
            ..
        } = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let mut n_removed = 0;
        for name in self.before.keys().filter(|name| !now.contains_key(*name)) {
            let path = self.root.join(name);
            match fs::remove_file(&path) {
                Ok(()) => n_removed += 1,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(SiteError::io("remove", path, source)),
            }
            // folders that are now empty; one with somebody's file in it stays
            let mut folder = path.parent();
            while let Some(empty) =
                folder.filter(|folder| *folder != self.root && fs::remove_dir(folder).is_ok())
            {
                folder = empty.parent();
            }
        }
        let n_files = now.len() as u64;
        let list = List {
            schema: SCHEMA.into(),
            files: now
                .into_iter()
                .map(|(name, hash)| (name, format!("{hash:032x}")))
                .collect(),
        };
        let path = self.root.join(LIST);
        let json = serde_json::to_vec(&list)
            .map_err(|error| SiteError::io("write", &path, error.into()))?;
        if fs::read(&path).ok().as_deref() != Some(&json) {
            let temporary = self.root.join(format!("{TEMPORARY}list"));
            let written = fs::write(&temporary, &json).and_then(|()| fs::rename(&temporary, &path));
            written.map_err(|source| SiteError::io("write", &path, source))?;
        }
        let journal = self.root.join(JOURNAL);
        fs::remove_file(&journal).map_err(|source| SiteError::io("remove", journal, source))?;
        let (bytes, n_written) = (self.bytes.into_inner(), self.n_written.into_inner());
        Ok(OutputReport {
            n_files,
            bytes,
            n_written,
            n_removed,
            largest,
            largest_pages,
        })
    }
}

/// Writes a new file; one that an interruption leaves cut short is in the journal, without its hash.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let open = || File::create_new(path);
    let mut file = match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs::create_dir_all(path.parent().unwrap_or(path))?;
            open()
        }
        opened => opened,
    }?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(root: &Path, files: &[(&str, &str)]) -> Result<OutputReport, SiteError> {
        let output = Output::open(root)?;
        for (name, text) in files {
            output.write(name, text.as_bytes())?;
        }
        output.finish()
    }

    #[test]
    fn unchanged_files_are_not_rewritten_and_old_ones_go() {
        let dir = tempfile::tempdir().unwrap();
        let first = build(
            dir.path(),
            &[("a.html", "1"), ("m/0/b.html", "2"), ("m/0/c.html", "3")],
        )
        .unwrap();
        assert_eq!((first.n_files, first.n_written), (3, 3));
        let sizes = [("a.html", 1), ("m/0/b.html", 1), ("m/0/c.html", 1)];
        assert_eq!(
            first.largest,
            sizes.map(|(name, size)| (name.to_owned(), size))
        );
        let again = build(
            dir.path(),
            &[("a.html", "1"), ("m/0/b.html", "2"), ("m/0/c.html", "3")],
        )
        .unwrap();
        assert_eq!((again.n_written, again.n_removed), (0, 0));
        let less = build(dir.path(), &[("a.html", "new")]).unwrap();
        assert_eq!((less.n_written, less.n_removed), (1, 2));
        assert!(!dir.path().join("m").exists());
        assert_eq!(
            fs::read_to_string(dir.path().join("a.html")).unwrap(),
            "new"
        );
    }

    #[test]
    fn somebodys_files_are_neither_overwritten_nor_deleted() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("m")).unwrap();
        fs::write(dir.path().join("m/mine.txt"), "mine").unwrap();
        build(dir.path(), &[("m/a.html", "1")]).unwrap();
        build(dir.path(), &[]).unwrap();
        assert_eq!(
            fs::read_to_string(dir.path().join("m/mine.txt")).unwrap(),
            "mine"
        );

        fs::write(dir.path().join("index.html"), "mine").unwrap();
        let error = build(dir.path(), &[("index.html", "1")]).unwrap_err();
        assert!(matches!(error, SiteError::Foreign(_)), "{error}");
        assert_eq!(
            fs::read_to_string(dir.path().join("index.html")).unwrap(),
            "mine"
        );
    }

    #[test]
    fn two_pages_cannot_have_one_address() {
        let dir = tempfile::tempdir().unwrap();
        let error = build(dir.path(), &[("a.html", "1"), ("a.html", "2")]).unwrap_err();
        assert!(error.to_string().contains("a.html"), "{error}");
    }

    #[test]
    fn an_interrupted_build_knows_its_own_files_again() {
        let dir = tempfile::tempdir().unwrap();
        let output = Output::open(dir.path()).unwrap();
        output.write("a.html", b"1").unwrap();
        drop(output); // killed: no list was written
        fs::write(dir.path().join(".neuroscope-new-7"), "half").unwrap();
        let report = build(dir.path(), &[("a.html", "2")]).unwrap();
        assert_eq!(report.n_written, 1);
        assert_eq!(fs::read_to_string(dir.path().join("a.html")).unwrap(), "2");
        assert!(!dir.path().join(".neuroscope-new-7").exists());
    }
}
