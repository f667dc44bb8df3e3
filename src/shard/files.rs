//! Files and folders that appear whole or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::files::{create_anew, hash_file, open_unfollowed, sync_folder};

use super::error::ShardError;

/// Name of the file that makes a folder complete.
pub const MANIFEST: &str = "manifest.json";

/// A file, as its folder's manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Name within the folder.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, in hexadecimal.
    pub sha256: String,
}

/// The folder that something is in.
fn parent_of(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// Random characters at the end of a temporary folder's name.
const RANDOM: usize = 6;

/// A temporary folder beside `target`, named after it.
fn beside(target: &Path) -> io::Result<tempfile::TempDir> {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    tempfile::Builder::new()
        .prefix(&format!(".{name}-"))
        .rand_bytes(RANDOM)
        .tempdir_in(parent_of(target))
}

/// A folder being written, beside the place where it will appear. Dropped before it is finished, it goes without a
/// trace.
pub struct Folder {
    target: PathBuf,
    temporary: tempfile::TempDir,
}

impl Folder {
    /// Begins a folder that will be at `target`, whose parents are made.
    pub fn create(target: &Path) -> Result<Self, ShardError> {
        let parent = parent_of(target);
        fs::create_dir_all(parent).map_err(|source| ShardError::io("create", parent, source))?;
        let temporary =
            beside(target).map_err(|source| ShardError::io("write in", parent, source))?;
        Ok(Self {
            target: target.to_owned(),
            temporary,
        })
    }

    /// The temporary folders of this one: those in use, and those that killed processes left.
    pub fn unfinished(target: &Path) -> Vec<PathBuf> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{name}-");
        let is_temporary = |name: &str| {
            name.strip_prefix(&prefix).is_some_and(|rest| {
                rest.len() == RANDOM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
        };
        let entries = fs::read_dir(parent_of(target)).into_iter().flatten();
        let folders = entries.flatten().filter(|entry| {
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            is_folder && is_temporary(&entry.file_name().to_string_lossy())
        });
        folders.map(|entry| entry.path()).collect()
    }

    /// Removes what a killed process left while it was writing this folder. Nobody else may be writing it.
    pub fn remove_unfinished(target: &Path) -> Result<(), ShardError> {
        for path in Self::unfinished(target) {
            fs::remove_dir_all(&path).map_err(|source| ShardError::io("remove", &path, source))?;
        }
        Ok(())
    }

    /// Where its files are to be written meanwhile.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Hashes files that were written.
    pub fn entries(
        &self,
        names: impl IntoIterator<Item = String>,
    ) -> Result<Vec<FileEntry>, ShardError> {
        let entry = |name: String| {
            let path = self.path().join(&name);
            let (bytes, sha256) =
                hash_file(&path).map_err(|source| ShardError::io("read", &path, source))?;
            Ok(FileEntry {
                name,
                bytes,
                sha256,
            })
        };
        names.into_iter().map(entry).collect()
    }

    /// Takes over a file of the folder that this one replaces; both have it until then.
    pub fn keep(&self, name: &str) -> Result<(), ShardError> {
        let (old, new) = (self.target.join(name), self.path().join(name));
        // not every file system has links
        let copy = |_| {
            fs::copy(&old, &new)?;
            File::open(&new)?.sync_all()
        };
        let kept = fs::hard_link(&old, &new).or_else(copy);
        kept.map_err(|source| ShardError::io("copy", &old, source))
    }

    /// Writes a value as readable JSON.
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), ShardError> {
        write_json(&self.path().join(name), value)
    }

    /// Writes the manifest, and makes the folder appear in place of an older one.
    pub fn finish(self, manifest: &impl Serialize) -> Result<(), ShardError> {
        self.write_json(MANIFEST, manifest)?;
        let io = |source| ShardError::io("write", &self.target, source);
        sync_folder(self.path()).map_err(io)?;
        let parent = parent_of(&self.target);
        if !self.target.exists() {
            fs::rename(self.path(), &self.target).map_err(io)?;
            let _ = self.temporary.keep(); // it is at its target now
            return sync_folder(parent).map_err(io);
        }
        if !exchange(self.path(), &self.target) {
            // the older one goes aside whole; if the new one cannot take its place, it comes back
            let aside = beside(&self.target).map_err(io)?.path().to_owned(); // a free name
            fs::rename(&self.target, &aside).map_err(io)?;
            let swapped = fs::rename(self.path(), &self.target);
            let swapped = swapped.and_then(|()| fs::rename(&aside, self.path()));
            if let Err(source) = swapped {
                if !self.target.exists() {
                    let _ = fs::rename(&aside, &self.target);
                }
                return Err(io(source));
            }
        }
        // what is in the temporary folder now is the older one, which goes with it
        sync_folder(parent).map_err(io)
    }
}

/// Lets two folders change places at once, where the system can.
#[cfg(target_os = "linux")]
fn exchange(a: &Path, b: &Path) -> bool {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let names = [a, b].map(|path| CString::new(path.as_os_str().as_bytes()));
    let [Ok(a), Ok(b)] = names else {
        return false;
    };
    // SAFETY: both are strings that end in 0
    let exchanged = unsafe {
        libc::renameat2(
            libc::AT_FDCWD,
            a.as_ptr(),
            libc::AT_FDCWD,
            b.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    exchanged == 0
}

#[cfg(not(target_os = "linux"))]
fn exchange(_: &Path, _: &Path) -> bool {
    false
}

/// Writes a value as readable JSON and syncs it.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ShardError> {
    let io = |source| ShardError::io("write", path, source);
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| io(error.into()))?;
    bytes.push(b'\n');
    let mut file = create_anew(path).map_err(io)?;
    file.write_all(&bytes)
        .and_then(|()| file.sync_all())
        .map_err(io)
}

/// Writes a value as readable JSON so that the file appears whole, in place of an older one.
pub fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), ShardError> {
    let temporary = path.with_extension("new");
    write_json(&temporary, value)?;
    fs::rename(&temporary, path).map_err(|source| ShardError::io("write", path, source))
}

/// Held while a folder is being made, so that no other process makes it as well. It ends with the process.
pub struct Lock {
    file: Option<File>,
}

impl Lock {
    /// Whether others can see it: some network file systems have no locks.
    pub fn is_held(&self) -> bool {
        self.file.is_some()
    }

    fn open(target: &Path) -> Result<File, ShardError> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.lock"));
        let opened =
            fs::create_dir_all(parent_of(&path)).and_then(|()| open_unfollowed(&path, false));
        opened.map_err(|source| ShardError::io("write", &path, source))
    }

    /// Takes the lock of a folder, or returns `None` where another process has it.
    pub fn try_take(target: &Path) -> Result<Option<Self>, ShardError> {
        let file = Self::open(target)?;
        Ok(match file.try_lock() {
            Ok(()) => Some(Self { file: Some(file) }),
            Err(TryLockError::WouldBlock) => None,
            Err(TryLockError::Error(_)) => Some(Self { file: None }),
        })
    }

    /// Takes the lock of a folder together with others that read it, once nobody writes it.
    pub fn share(target: &Path) -> Result<Self, ShardError> {
        let file = Self::open(target)?;
        let taken = file.lock_shared().is_ok();
        Ok(Self {
            file: taken.then_some(file),
        })
    }

    /// Takes the lock of a folder once nobody else has it.
    pub fn take(target: &Path) -> Result<Self, ShardError> {
        let file = Self::open(target)?;
        let taken = file.lock().is_ok();
        Ok(Self {
            file: taken.then_some(file),
        })
    }
}

/// Checks that files are there, with the length and checksum that their manifest says.
pub fn verify_files(folder: &Path, files: &[FileEntry]) -> Result<(), ShardError> {
    let wrong = wrong_files(folder, files).into_iter().next();
    wrong.map_or(Ok(()), |(_, error)| Err(error))
}

/// The files that are not there, or have another length or checksum than their manifest says.
pub fn wrong_files<'a>(folder: &Path, files: &'a [FileEntry]) -> Vec<(&'a FileEntry, ShardError)> {
    let wrong = |file| Some((file, verify_file(folder, file).err()?));
    files.par_iter().filter_map(wrong).collect()
}

fn verify_file(folder: &Path, file: &FileEntry) -> Result<(), ShardError> {
    let path = folder.join(&file.name);
    if !path.is_file() {
        return Err(ShardError::Missing { path });
    }
    let (bytes, sha256) =
        hash_file(&path).map_err(|source| ShardError::io("read", &path, source))?;
    let differs = |what, found: String, expected: String| {
        Err(ShardError::Checksum {
            path: path.clone(),
            what,
            found,
            expected,
        })
    };
    if bytes != file.bytes {
        return differs("its length", bytes.to_string(), file.bytes.to_string());
    }
    if sha256 != file.sha256 {
        return differs("its SHA-256", sha256, file.sha256.clone());
    }
    Ok(())
}
