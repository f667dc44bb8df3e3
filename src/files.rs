//! Names, bounds, links and hashes: how every stage reads a stranger's file, and writes without touching anybody's.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

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

/// SHA-256 of the files of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelHashes {
    /// SHA-256 of the weights' files, by name.
    pub weights: BTreeMap<String, String>,
    /// SHA-256 of `config.json`.
    pub config: String,
    /// SHA-256 of `tokenizer.json`.
    pub tokenizer: String,
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

/// Makes sure that what was renamed in a folder stays renamed.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    let own = folder.as_os_str().is_empty();
    File::open(if own { Path::new(".") } else { folder })?.sync_all()
}
