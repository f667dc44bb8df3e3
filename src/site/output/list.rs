//! What earlier builds wrote: the list of the last one that ended, and the journal of one that did not.
//!
//! Neither is trusted. Names in them lie inside the folder or are passed over, and neither is read or written through
//! a link.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use twox_hash::XxHash3_128;

use super::Hash;
use crate::files::read_at_most;
use crate::site::error::SiteError;

const LIST: &str = ".neuroscope-build.json";
const JOURNAL: &str = ".neuroscope-build.journal";
/// What names of the builder's own files begin with.
const OWN: &str = ".neuroscope-";
const TEMPORARY: &str = ".neuroscope-new-";
/// Folder for files that had the names of pages and may be somebody's own.
const KEPT: &str = ".neuroscope-kept";
/// Bytes of the longest list or journal that is read.
const LONGEST: u64 = 1 << 30;
const SCHEMA: &str = "neuroscope/site/v1";

#[derive(Serialize, Deserialize)]
struct List {
    schema: String,
    /// For each file, its XXH3 of 128 bits in hexadecimal.
    files: BTreeMap<String, String>,
    /// What the site was made from, which counts only if nothing has happened to the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Value>,
    /// A hash of the files and of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

impl List {
    fn hash(&self) -> Option<String> {
        let json = serde_json::to_vec(&(&self.files, self.made.as_ref()?)).ok()?;
        Some(format!("{:032x}", XxHash3_128::oneshot(&json)))
    }
}

/// The files that are the site's.
#[derive(Default)]
pub(super) struct Known {
    /// Each with its hash, unless a build that did not end may have changed it.
    pub(super) files: HashMap<String, Option<Hash>>,
    /// What the last build that ended was made from.
    pub(super) made: Option<Value>,
    /// The list, if it is there and cannot be read.
    pub(super) unreadable: Option<PathBuf>,
    /// Whether a build has begun that did not end.
    pub(super) is_unfinished: bool,
}

/// Reads what earlier builds wrote into a folder.
pub(super) fn read(root: &Path) -> Result<Known, SiteError> {
    let mut known = Known::default();
    let path = root.join(LIST);
    if let Some(bytes) = read_own(&path)? {
        match serde_json::from_slice::<List>(&bytes) {
            Ok(list) if list.schema == SCHEMA => {
                if list.check == list.hash() {
                    known.made = list.made;
                }
                let hash = |hash: String| Hash::from_str_radix(&hash, 16).ok();
                let files = list.files.into_iter().map(|(name, of)| (name, hash(of)));
                known.files = files.filter(|(name, _)| is_inner(name)).collect();
            }
            _ => known.unreadable = Some(path),
        }
    }
    let journal = read_own(&root.join(JOURNAL))?;
    known.is_unfinished = journal.is_some();
    let journal = journal.unwrap_or_default();
    // a file is touched only after its whole line was written
    let lines = journal.split_inclusive(|byte| *byte == b'\n');
    let names = lines.filter_map(|line| std::str::from_utf8(line.strip_suffix(b"\n")?).ok());
    let names = names.filter(|name| is_inner(name));
    known
        .files
        .extend(names.map(|name| (name.to_owned(), None)));
    Ok(known)
}

/// Replaces the list, when a build has ended.
pub(super) fn write(
    root: &Path,
    files: impl Iterator<Item = (String, Hash)>,
    made: Option<Value>,
) -> Result<(), SiteError> {
    let path = root.join(LIST);
    let mut list = List {
        schema: SCHEMA.into(),
        files: files
            .map(|(name, hash)| (name, format!("{hash:032x}")))
            .collect(),
        made,
        check: None,
    };
    list.check = list.hash();
    let written = serde_json::to_vec(&list).map_err(io::Error::from);
    let written = written.and_then(|json| {
        if fs::read(&path).is_ok_and(|before| before == json) {
            return Ok(());
        }
        let temporary = root.join(format!("{TEMPORARY}list"));
        let mut file = File::create_new(&temporary)?;
        file.write_all(&json)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    });
    written.map_err(|source| SiteError::io("write", path, source))
}

/// Notes the files that a running build touches, before it does.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Begins one, with what a build that did not end has touched.
    pub(super) fn begin(root: &Path, known: &Known) -> Result<Self, SiteError> {
        let path = root.join(JOURNAL);
        let touched = known.files.iter().filter(|(_, hash)| hash.is_none());
        let lines: String = touched.map(|(name, _)| format!("{name}\n")).collect();
        let begin = || {
            let temporary = root.join(format!("{TEMPORARY}journal"));
            let mut file = File::create_new(&temporary)?;
            file.write_all(lines.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            Ok(file)
        };
        match begin() {
            Ok(file) => Ok(Self { path, file }),
            Err(source) => Err(SiteError::io("write", path, source)),
        }
    }

    pub(super) fn note(&mut self, name: &str) -> Result<(), SiteError> {
        let written = self.file.write_all(format!("{name}\n").as_bytes());
        written.map_err(|source| SiteError::io("write", &self.path, source))
    }

    /// Ends it, when the list says the same.
    pub(super) fn end(self) -> Result<(), SiteError> {
        let Self { path, file } = self;
        drop(file);
        fs::remove_file(&path).map_err(|source| SiteError::io("remove", path, source))
    }
}

/// Name of a file that takes another's place when it is whole.
pub(super) fn temporary(root: &Path, n: u64) -> PathBuf {
    root.join(format!("{TEMPORARY}{n}"))
}

/// Makes a folder for files that are moved out of the way.
pub(super) fn make_kept(root: &Path) -> Result<PathBuf, SiteError> {
    for n in 1.. {
        let path = match n {
            1 => root.join(KEPT),
            n => root.join(format!("{KEPT}-{n}")),
        };
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(SiteError::io("create", path, source)),
        }
    }
    unreachable!("a folder has a number")
}

/// Removes what a build left that was killed while it wrote.
pub(super) fn remove_temporary(root: &Path) -> Result<(), SiteError> {
    let entries = fs::read_dir(root).map_err(|source| SiteError::io("read", root, source))?;
    for entry in entries.flatten() {
        if entry.file_name().to_string_lossy().starts_with(TEMPORARY) {
            let path = entry.path();
            fs::remove_file(&path).map_err(|source| SiteError::io("remove", path, source))?;
        }
    }
    Ok(())
}

/// A file of the builder's own, if it is there, empty if it is too long to be one; a link is not followed.
fn read_own(path: &Path) -> Result<Option<Vec<u8>>, SiteError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => match read_at_most(path, LONGEST) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Ok(Some(Vec::new())),
            Err(source) => Err(SiteError::io("read", path, source)),
        },
        Ok(_) => Err(SiteError::InTheWay(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(SiteError::io("read", path, source)),
    }
}

/// Whether a file or folder is the builder's own, by its name.
pub(super) fn is_own(name: &str) -> bool {
    let begins = name.get(..OWN.len());
    begins.is_some_and(|begins| begins.eq_ignore_ascii_case(OWN))
}

/// Whether a name, with `/` between folders, is that of a file inside the site, and not one of the builder's own.
pub(crate) fn is_inner(name: &str) -> bool {
    let is_plain = |part: &str| {
        let mut parts = Path::new(part).components();
        let only = (parts.next(), parts.next());
        matches!(only, (Some(Component::Normal(_)), None)) && !is_own(part)
    };
    !name.contains(|c: char| c == '\\' || c.is_control()) && name.split('/').all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_inside_the_folder() {
        for name in [
            "index.html",
            "m/0/1.html",
            ".nojekyll",
            "a b/c..d",
            "ä.html",
        ] {
            assert!(is_inner(name), "{name}");
        }
        for name in [
            "",
            ".",
            "..",
            "../mine.txt",
            "m/../../mine.txt",
            "/etc/passwd",
            "m//x",
            "m/",
            "./x",
            "m\\x",
            "a\nb",
            "a\0b",
            ".neuroscope-build.json",
            ".Neuroscope-build.journal",
            "m/.neuroscope-new-1",
        ] {
            assert!(!is_inner(name), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_names_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join(LIST);
        let whole = format!(
            "{{\"schema\":\"{SCHEMA}\",\"files\":{{\"a.html\":\"0f\",\"b.html\":\"x\",\"../c\":\"00\"}}}}"
        );
        fs::write(&list, &whole).unwrap();
        let known = read(dir.path()).unwrap();
        assert_eq!(
            known.files,
            HashMap::from([("a.html".into(), Some(15)), ("b.html".into(), None)])
        );
        for end in 0..whole.len() {
            fs::write(&list, &whole[..end]).unwrap();
            let known = read(dir.path()).unwrap();
            assert!(known.files.is_empty() && known.unreadable.is_some());
        }
        // one of a later version is not understood either
        fs::write(&list, whole.replace("site/v1", "site/v2")).unwrap();
        assert!(read(dir.path()).unwrap().unreadable.is_some());
        fs::write(&list, whole).unwrap();
        // a journal cut short, and one of garbage
        fs::write(
            dir.path().join(JOURNAL),
            b"a.html\nd.html\n../e\n\xff\xfe\n\nf.ht",
        )
        .unwrap();
        let known = read(dir.path()).unwrap();
        let mut names: Vec<_> = known.files.iter().collect();
        names.sort();
        let expected = ["a.html", "b.html", "d.html"].map(str::to_owned);
        assert_eq!(
            names,
            [
                (&expected[0], &None),
                (&expected[1], &None),
                (&expected[2], &None)
            ]
        );
    }
}
