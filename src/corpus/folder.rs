//! The files of a folder that hold text, and what is left out of it.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use super::CorpusError;
use super::kind::{kind, kind_in_folder};

/// What was left out of folders: how many files by their ending, or by another reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeftOut(pub BTreeMap<String, u64>);

impl LeftOut {
    /// Kinds that [`LeftOut::words`] names one by one.
    const MOST_NAMED: usize = 8;

    pub(super) fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    pub(super) fn extend(&mut self, other: Self) {
        for (what, n) in other.0 {
            *self.0.entry(what).or_default() += n;
        }
    }

    /// All in one line, the most frequent first: `12 .py, 3 .json, 1 broken link`.
    pub fn words(&self) -> Option<String> {
        let mut kinds: Vec<_> = self.0.iter().collect();
        kinds.sort_by_key(|(what, n)| (std::cmp::Reverse(**n), (*what).clone()));
        let named = kinds.iter().take(Self::MOST_NAMED);
        let mut words: Vec<_> = named.map(|(what, n)| format!("{n} {what}")).collect();
        let others: u64 = kinds.iter().skip(Self::MOST_NAMED).map(|(_, n)| **n).sum();
        if others > 0 {
            words.push(format!("{others} others"));
        }
        (!words.is_empty()).then(|| words.join(", "))
    }
}

/// A file that was reached before, by another way.
pub(super) const FILE_AGAIN: &str = "file that was read already";
const FOLDER_AGAIN: &str = "folder that was read already";

/// The files of a folder and of those in it that hold text, sorted by path. Links are followed; a file or folder that is
/// reached twice is taken once, also where `places` holds it already. Hidden ones are left out.
pub(super) fn files_in(
    folder: &Path,
    places: &mut HashSet<PathBuf>,
) -> Result<(Vec<PathBuf>, LeftOut), CorpusError> {
    let mut files = Vec::new();
    let mut left_out = LeftOut::default();
    let mut walk = WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
        .into_iter();
    while let Some(entry) = walk.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.loop_ancestor().is_some() => {
                left_out.add("link in a loop");
                continue;
            }
            Err(error) if error.path().is_some_and(is_broken_link) => {
                left_out.add("broken link");
                continue;
            }
            Err(error) => {
                return Err(CorpusError::Io {
                    path: error.path().unwrap_or(folder).to_owned(),
                    source: error.into(),
                });
            }
        };
        let is_folder = entry.file_type().is_dir();
        if is_hidden(&entry) {
            if is_folder {
                walk.skip_current_dir();
            }
            left_out.add(if is_folder {
                "hidden folder"
            } else {
                "hidden file"
            });
            continue;
        }
        if !is_folder && let Some(reason) = reason(&entry) {
            left_out.add(reason);
            continue;
        }
        let place = fs::canonicalize(entry.path()).map_err(|source| CorpusError::Io {
            path: entry.path().to_owned(),
            source,
        })?;
        match (places.insert(place), is_folder) {
            (true, false) => files.push(entry.into_path()),
            (true, true) => (),
            (false, true) => {
                left_out.add(FOLDER_AGAIN);
                walk.skip_current_dir();
            }
            (false, false) => left_out.add(FILE_AGAIN),
        }
    }
    let is_again = [FILE_AGAIN, FOLDER_AGAIN].map(|what| left_out.0.contains_key(what));
    if files.is_empty() && !is_again.contains(&true) {
        let but = left_out.words();
        let but = but.map(|words| format!(", but {words}"));
        return Err(CorpusError::Empty(format!(
            "`{}`: it holds no .jsonl, .parquet, .csv, .tsv, .txt or .md file{}",
            folder.display(),
            but.unwrap_or_default()
        )));
    }
    Ok((files, left_out))
}

/// Whether an entry is hidden, or of those that macOS puts beside files. The folder that was named itself is not.
fn is_hidden(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    entry.depth() > 0 && (name.starts_with('.') || name == "__MACOSX")
}

fn is_broken_link(path: &Path) -> bool {
    path.is_symlink() && !path.exists()
}

/// Why a file is left out: its ending, mostly.
fn reason(entry: &DirEntry) -> Option<String> {
    let path = entry.path();
    if !entry.file_type().is_file() {
        return Some("special file".into());
    }
    if kind_in_folder(path).is_some() {
        return None;
    }
    let Some(ending) = path.extension().map(OsStr::to_string_lossy) else {
        return Some("without ending".into());
    };
    // `a.jsonl.xz` is left out since it is packed, not for what it holds
    let inner = path.file_stem().map(Path::new);
    let inner = inner.filter(|inner| kind(inner).is_some());
    let inner = inner.and_then(|inner| inner.extension());
    let inner = inner.map(|inner| format!(".{}", inner.to_string_lossy()));
    let ending = format!("{}.{ending}", inner.unwrap_or_default());
    Some(ending.to_lowercase())
}
