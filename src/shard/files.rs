//! Files and folders that appear whole or not at all.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Component, Path, PathBuf};

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

/// Whether a name that was read from a file is that of a file inside its folder: one plain component on every system.
pub fn is_plain_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    let is_one = matches!(components.next(), Some(Component::Normal(only)) if only == name)
        && components.next().is_none();
    is_one && name.len() <= 255 && !name.contains(|c: char| c.is_control() || r#"/\:"#.contains(c))
}

/// Reads a file of at most so many bytes.
pub fn read_at_most(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let file = regular(OpenOptions::new().read(true), path)?;
    let mut bytes = Vec::new();
    let mut is_longer = file.metadata()?.len() > most;
    if !is_longer {
        file.take(most + 1).read_to_end(&mut bytes)?;
        is_longer = bytes.len() as u64 > most;
    }
    if is_longer {
        let reason = format!("it has more than {most} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    Ok(bytes)
}

/// Opens a file for writing, or for adding to it. It is made if it is not there and left as it is if it is. A link is
/// refused: what it points to may be anybody's.
pub fn open_unfollowed(path: &Path, append: bool) -> io::Result<File> {
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return Err(io::Error::other("it is a link, which is not followed"));
    }
    let mut options = OpenOptions::new();
    match append {
        true => options.append(true),
        false => options.write(true).truncate(false),
    };
    options.create(true);
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(
        &mut options,
        libc::O_NOFOLLOW | libc::O_NONBLOCK,
    );
    is_regular(options.open(path)?)
}

/// Opens a file, but no pipe, which would be waited for.
fn regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    #[cfg(target_os = "linux")]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, libc::O_NONBLOCK);
    is_regular(options.open(path)?)
}

fn is_regular(file: File) -> io::Result<File> {
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// Begins a new file in place of whatever has its name; a link is removed, not followed.
pub fn create_anew(path: &Path) -> io::Result<File> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => File::create_new(path),
    }
}

/// Bytes in hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and SHA-256 of a file.
pub fn hash_file(path: &Path) -> io::Result<(u64, String)> {
    hash_file_while(path, &|| true)
}

/// Length and SHA-256 of a file. `go_on` is asked now and then; if it says no, the error is
/// [`io::ErrorKind::Interrupted`].
pub fn hash_file_while(path: &Path, go_on: &dyn Fn() -> bool) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 1 << 17], 0);
    while go_on() {
        match file.read(&mut buffer) {
            Ok(0) => return Ok((bytes, hex(&hash.finalize()))),
            Ok(n) => {
                hash.update(&buffer[..n]);
                bytes += n as u64;
            }
            // a signal, after which reading goes on
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::Interrupted.into())
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

    /// The temporary folders of this one: those in work, and what processes left behind that were killed.
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

    /// Removes what a process left behind that was killed while it wrote this folder. Nobody else must be writing it.
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

/// Makes sure that what was renamed in a folder stays renamed.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let own = folder.as_os_str().is_empty();
    File::open(if own { Path::new(".") } else { folder })?.sync_all()
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
