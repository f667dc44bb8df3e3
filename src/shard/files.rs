//! Files and folders that appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::ShardError;
use super::manifest::MANIFEST;

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

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and SHA-256 of a file.
pub fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 17], 0);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((bytes, hex(&hash.finalize()))),
            n => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
        }
    }
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
        let parent = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(|source| ShardError::io("create", parent, source))?;
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = tempfile::Builder::new()
            .prefix(&format!(".{name}-"))
            .tempdir_in(parent)
            .map_err(|source| ShardError::io("write in", parent, source))?;
        Ok(Self {
            target: target.to_owned(),
            temporary,
        })
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

    /// Writes the manifest, and makes the folder appear in place of an older one.
    pub fn finish(self, manifest: &impl Serialize) -> Result<(), ShardError> {
        let path = self.path().join(MANIFEST);
        write_json(&path, manifest)?;
        let io = |source| ShardError::io("write", &self.target, source);
        sync(self.path()).map_err(io)?;
        if self.target.exists() {
            // the older folder stops being complete before it stops being there
            let old = self.target.join(MANIFEST);
            if old.exists() {
                fs::remove_file(old).map_err(io)?;
            }
            fs::remove_dir_all(&self.target).map_err(io)?;
        }
        fs::rename(self.path(), &self.target).map_err(io)?;
        let _ = self.temporary.keep(); // it is at its target now
        self.target
            .parent()
            .map_or(Ok(()), |parent| {
                sync(if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                })
            })
            .map_err(io)
    }
}

/// Writes a value as readable JSON and syncs it.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ShardError> {
    let io = |source| ShardError::io("write", path, source);
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| io(error.into()))?;
    bytes.push(b'\n');
    let mut file = File::create(path).map_err(io)?;
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

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
