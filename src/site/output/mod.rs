//! Writes the site's files: whole, only where they changed, and never over somebody's own.
//!
//! `.neuroscope-build.json` in the output folder lists the files of the last build with their hashes; what a running
//! build adds or changes is noted in a journal beside it first. A file that is in neither is somebody's own. What a
//! file holds is always read, so that a build is right whatever happened to the folder since the last one.

mod built;
mod list;
mod place;

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rayon::prelude::*;
use serde::Serialize;
use serde_json::Value;
use twox_hash::XxHash3_128;

use super::error::SiteError;
use super::hosts::{SiteSize, fullest_folder};
use super::text::fold::address_key;
use list::{Journal, Known};

pub use built::BuiltSite;
pub(super) use list::is_inner;
pub(super) use place::check as check_place;

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
    /// Files of the last build that the site no longer has, and that were left since somebody changed them.
    pub left: Vec<String>,
    /// The list of the last build, if it could not be read, so that it was not known which files were the site's.
    pub unreadable: Option<PathBuf>,
    /// Where files that had the names of pages were moved.
    pub kept: Option<PathBuf>,
    /// The largest files with their bytes, the largest first.
    pub largest: Vec<(String, u64)>,
    /// The largest pages.
    pub largest_pages: Vec<(String, u64)>,
    /// The folder with the most files and folders in it, and their number; the site's own folder has no name.
    pub fullest_folder: (String, u64),
}

impl OutputReport {
    /// How large the site is, for hosts.
    pub fn size(&self) -> SiteSize {
        SiteSize {
            bytes: self.bytes,
            n_files: self.n_files,
            largest_file: self.largest.first().cloned().unwrap_or_default(),
            fullest_folder: self.fullest_folder.clone(),
        }
    }
}

/// What the last build left in an output folder, which no other build changes as long as this is there.
pub(super) struct Before {
    known: Known,
    lock: Option<File>,
}

/// Files of the last build, with their hashes and bytes, as they were found.
pub(super) struct Unchanged(Vec<(String, Hash, u64)>);

impl Before {
    pub(super) fn read(root: &Path) -> Result<Self, SiteError> {
        let lock = lock(root)?;
        let known = list::read(root)?;
        Ok(Self { known, lock })
    }

    /// What the last build was made from, if it ended.
    pub(super) fn made(&self) -> Option<&Value> {
        self.known
            .made
            .as_ref()
            .filter(|_| !self.known.is_unfinished)
    }

    /// Its files with some names, if all of them are there and hold what they held.
    pub(super) fn unchanged(
        &self,
        root: &Path,
        is_meant: impl Fn(&str) -> bool + Sync,
    ) -> Option<Unchanged> {
        let files = self.known.files.par_iter();
        let found = files
            .filter(|(name, _)| is_meant(name))
            .map(|(name, hash)| {
                let path = root.join(name);
                let is_file = fs::symlink_metadata(&path).is_ok_and(|found| found.is_file());
                let bytes = is_file.then(|| fs::read(path).ok()).flatten()?;
                let found = XxHash3_128::oneshot(&bytes);
                (*hash == Some(found)).then(|| (name.clone(), found, bytes.len() as u64))
            });
        found.collect::<Option<Vec<_>>>().map(Unchanged)
    }
}

/// The output folder during a build.
pub(super) struct Output {
    root: PathBuf,
    before: Known,
    state: Mutex<State>,
    /// Folders that exist and are not links.
    folders: RwLock<HashSet<String>>,
    bytes: AtomicU64,
    n_written: AtomicU64,
    n_temporary: AtomicU64,
    _lock: Option<File>,
}

/// A file's XXH3 of 128 bits: it says whether the file changed, and need not withstand anybody.
type Hash = u128;

struct State {
    /// The files of this build by [`address_key`].
    now: HashMap<String, (String, Hash)>,
    largest: Vec<(String, u64)>,
    largest_pages: Vec<(String, u64)>,
    journal: Journal,
    /// Where files are moved to that may be somebody's own, once there are any.
    kept: Option<PathBuf>,
}

impl State {
    /// Takes an address for a file.
    fn claim(&mut self, name: &str, hash: Hash) -> Result<(), SiteError> {
        match self.now.insert(address_key(name), (name.to_owned(), hash)) {
            None => Ok(()),
            Some((other, _)) if other == name => Err(SiteError::Twice(other)),
            Some((other, _)) => Err(SiteError::Alike(other, name.to_owned())),
        }
    }

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

/// Takes the lock of an output folder, which ends with the build; some network file systems have none.
pub(super) fn lock(root: &Path) -> Result<Option<File>, SiteError> {
    let Ok(folder) = File::open(root) else {
        return Ok(None);
    };
    match folder.try_lock() {
        Ok(()) => Ok(Some(folder)),
        Err(TryLockError::WouldBlock) => Err(SiteError::Busy(root.to_owned())),
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

impl Output {
    /// Opens an output folder, which is made if it is not there. It may be a link to one; no link in it is followed.
    /// `pages` are some that every site has: where nothing was built before, none of them is anybody's.
    pub(super) fn open(root: &Path, pages: &[&str], before: Before) -> Result<Self, SiteError> {
        fs::create_dir_all(root).map_err(|source| SiteError::io("create", root, source))?;
        let Before {
            known: before,
            lock: held,
        } = before;
        let lock = match held {
            Some(held) => Some(held),
            None => lock(root)?,
        };
        if before.files.is_empty() && before.unreadable.is_none() {
            let mut pages = pages.iter().map(|page| root.join(page));
            if let Some(path) = pages.find(|path| fs::symlink_metadata(path).is_ok()) {
                return Err(SiteError::Foreign(path));
            }
        }
        list::remove_temporary(root)?;
        let journal = Journal::begin(root, &before)?;
        Ok(Self {
            root: root.to_owned(),
            before,
            state: Mutex::new(State {
                now: HashMap::new(),
                largest: Vec::new(),
                largest_pages: Vec::new(),
                journal,
                kept: None,
            }),
            folders: RwLock::default(),
            bytes: AtomicU64::new(0),
            n_written: AtomicU64::new(0),
            n_temporary: AtomicU64::new(0),
            _lock: lock,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes `name`, with `/` between folders, hold `bytes`.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SiteError> {
        if !list::is_inner(name) {
            return Err(SiteError::BadAddress(name.to_owned()));
        }
        let path = self.root.join(name);
        self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        {
            let mut state = self.state();
            state.claim(name, XxHash3_128::oneshot(bytes))?;
            state.weigh(name, bytes.len() as u64);
        }
        self.make_folder(name)?;
        let is_there = match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_file() => {
                if holds(&path, &metadata, bytes)? {
                    return Ok(());
                }
                match self.before.files.contains_key(name) {
                    true => true,
                    false if self.before.unreadable.is_some() => {
                        self.set_aside(name)?;
                        false
                    }
                    false => return Err(SiteError::Foreign(path)),
                }
            }
            Ok(_) => return Err(SiteError::InTheWay(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(source) => return Err(SiteError::io("read", path, source)),
        };
        if self.before.files.get(name) != Some(&None) {
            self.state().journal.note(name)?;
        }
        let written = match is_there {
            true => self.replace(&path, bytes),
            false => create(&path, bytes),
        };
        written.map_err(|source| SiteError::io("write", path, source))?;
        self.n_written.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// What a file of the last build holds.
    pub(super) fn last(&self, name: &str) -> Result<Vec<u8>, SiteError> {
        let path = self.root.join(name);
        fs::read(&path).map_err(|source| SiteError::io("read", path, source))
    }

    /// Keeps files of the last build that this one has not written.
    pub(super) fn keep(&self, files: Unchanged) -> Result<(), SiteError> {
        let mut state = self.state();
        for (name, hash, bytes) in files.0 {
            if state
                .now
                .get(&address_key(&name))
                .is_some_and(|(now, _)| *now == name)
            {
                continue;
            }
            state.claim(&name, hash)?;
            state.weigh(&name, bytes);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Moves a file out of a page's way that may be somebody's own, since the list of the last build cannot be read.
    fn set_aside(&self, name: &str) -> Result<(), SiteError> {
        let mut state = self.state();
        let folder = match state.kept.clone() {
            Some(folder) => folder,
            None => list::make_kept(&self.root)?,
        };
        state.kept = Some(folder.clone());
        let (from, to) = (self.root.join(name), folder.join(name));
        let moved = fs::create_dir_all(to.parent().unwrap_or(&folder));
        let moved = moved.and_then(|()| fs::rename(&from, &to));
        moved.map_err(|source| SiteError::io("move", from, source))
    }

    /// Makes the folder of a file. Anything else in its place is somebody's own, unless the last build wrote it.
    fn make_folder(&self, name: &str) -> Result<(), SiteError> {
        let Some((folder, _)) = name.rsplit_once('/') else {
            return Ok(());
        };
        let folders = || self.folders.read().unwrap_or_else(PoisonError::into_inner);
        if folders().contains(folder) {
            return Ok(());
        }
        let ends = folder.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([folder.len()]) {
            let (inner, path) = (&folder[..end], self.root.join(&folder[..end]));
            if let Some(hash) = self.before.files.get(inner)
                && !is_folder(&path)
            {
                let removed = remove_file(&path, *hash);
                removed.map_err(|source| SiteError::io("remove", &path, source))?;
            }
            match fs::create_dir(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    if !is_folder(&path) {
                        return Err(SiteError::InTheWay(path));
                    }
                }
                Err(source) => return Err(SiteError::io("create", path, source)),
            }
        }
        let mut folders = self.folders.write().unwrap_or_else(PoisonError::into_inner);
        folders.insert(folder.to_owned());
        Ok(())
    }

    /// Puts a file in the place of an older one, which others may be reading.
    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let n = self.n_temporary.fetch_add(1, Ordering::Relaxed);
        let temporary = list::temporary(&self.root, n);
        let written = create(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Removes the files of the last build that this one does not have, and writes the list, with what the site was
    /// `made` from.
    pub(super) fn finish(self, made: Option<Value>) -> Result<OutputReport, SiteError> {
        let State {
            now,
            largest,
            largest_pages,
            journal,
            kept,
        } = self
            .state
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        let names = now.values().map(|(name, _)| name.as_str());
        let mut report = OutputReport {
            fullest_folder: fullest_folder(names),
            n_files: now.len() as u64,
            bytes: self.bytes.into_inner(),
            n_written: self.n_written.into_inner(),
            largest,
            largest_pages,
            unreadable: self.before.unreadable.clone(),
            kept,
            ..OutputReport::default()
        };
        for (name, hash) in &self.before.files {
            let path = self.root.join(name);
            let successor = now.get(&address_key(name)).map(|(name, _)| name);
            // where the case of letters does not count, another name may be the same file
            let lives_on = |other: &String| {
                other == name
                    || path.canonicalize().ok() == self.root.join(other).canonicalize().ok()
            };
            if successor.is_some_and(lives_on) {
                continue;
            }
            match remove(&self.root, name, *hash) {
                Ok(Removed::Yes) => report.n_removed += 1,
                Ok(Removed::WasGone) => {}
                Ok(Removed::No) => report.left.push(name.clone()),
                Err(source) => return Err(SiteError::io("remove", path, source)),
            }
        }
        report.left.sort_unstable();
        list::write(&self.root, now.into_values(), made)?;
        journal.end()?;
        Ok(report)
    }
}

/// Opens an output folder for tests.
#[cfg(test)]
pub(super) fn open(root: &Path) -> Result<Output, SiteError> {
    Output::open(root, &[], Before::read(root)?)
}

enum Removed {
    Yes,
    WasGone,
    /// It is not what was written.
    No,
}

/// Removes a file that the last build wrote, unless it was changed, and folders that are empty then.
fn remove(root: &Path, name: &str, hash: Option<Hash>) -> io::Result<Removed> {
    let path = root.join(name);
    let mut folders = path.ancestors().skip(1).take(name.matches('/').count());
    if !folders.all(|folder| is_folder(folder) || !folder.exists()) {
        return Ok(Removed::No);
    }
    let removed = remove_file(&path, hash)?;
    if matches!(removed, Removed::No) {
        return Ok(removed);
    }
    // folders that are now empty; one with somebody's file in it stays
    let is_gone = |folder: &Path| match fs::remove_dir(folder) {
        Ok(()) => true,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    };
    let mut folder = path.parent();
    while let Some(empty) = folder.filter(|folder| *folder != root && is_gone(folder)) {
        folder = empty.parent();
    }
    Ok(removed)
}

/// Removes a file that the last build wrote, unless it was changed.
fn remove_file(path: &Path, hash: Option<Hash>) -> io::Result<Removed> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => {
            if hash.is_some() && hash != Some(XxHash3_128::oneshot(&fs::read(path)?)) {
                return Ok(Removed::No);
            }
            fs::remove_file(path)?;
            Ok(Removed::Yes)
        }
        Ok(metadata) if metadata.is_dir() => Ok(Removed::WasGone),
        Ok(_) => Ok(Removed::No),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Removed::WasGone),
        Err(error) => Err(error),
    }
}

/// Whether a path is a folder, and no link to one.
fn is_folder(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

/// Whether a file holds some bytes.
fn holds(path: &Path, metadata: &fs::Metadata, bytes: &[u8]) -> Result<bool, SiteError> {
    if metadata.len() != bytes.len() as u64 {
        return Ok(false);
    }
    let found = fs::read(path).map_err(|source| SiteError::io("read", path, source))?;
    Ok(found == bytes)
}

/// Writes a new file; one that an interruption leaves cut short is in the journal.
fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    File::create_new(path)?.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build(root: &Path, files: &[(&str, &str)]) -> Result<OutputReport, SiteError> {
        let output = open(root)?;
        for (name, text) in files {
            output.write(name, text.as_bytes())?;
        }
        output.finish(None)
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
    fn a_page_that_somebody_changed_is_not_lost_to_a_folder() {
        let dir = tempfile::tempdir().unwrap();
        build(dir.path(), &[("m", "1")]).unwrap();
        build(dir.path(), &[("m/a.html", "2")]).unwrap();
        assert!(dir.path().join("m/a.html").is_file());
        build(dir.path(), &[("n", "1")]).unwrap();
        fs::write(dir.path().join("n"), "mine").unwrap();
        let error = build(dir.path(), &[("n/a.html", "2")]).unwrap_err();
        assert!(matches!(error, SiteError::InTheWay(_)), "{error}");
        assert_eq!(fs::read_to_string(dir.path().join("n")).unwrap(), "mine");
    }

    #[test]
    fn nothing_is_left_in_a_folder_that_is_somebodys_site() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("index.html"), "mine").unwrap();
        let Err(error) = Output::open(
            dir.path(),
            &["404.html", "index.html"],
            Before::read(dir.path()).unwrap(),
        ) else {
            panic!("it is opened");
        };
        assert!(matches!(error, SiteError::Foreign(_)), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
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
        let output = open(dir.path()).unwrap();
        output.write("a.html", b"1").unwrap();
        drop(output); // killed: no list was written
        fs::write(dir.path().join(".neuroscope-new-7"), "half").unwrap();
        let report = build(dir.path(), &[("a.html", "2")]).unwrap();
        assert_eq!(report.n_written, 1);
        assert_eq!(fs::read_to_string(dir.path().join("a.html")).unwrap(), "2");
        assert!(!dir.path().join(".neuroscope-new-7").exists());
    }
}
