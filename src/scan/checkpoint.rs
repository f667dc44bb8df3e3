//! How far a part is: a file beside it that holds the state of every neuron and the place in the corpus.
//!
//! ```text
//! magic        8 bytes   "NSCKPT1\n"
//! header       u32 length, JSON: what is scanned, which part of it, how far
//! blocks       layer by layer, u32 length and zstd of one block each
//! checksum     32 bytes  SHA-256 of all before
//! ```
//!
//! Numbers are little-endian. A checkpoint is read by the version that wrote it and by no other. State goes through it
//! without losing a bit, so a scan that was stopped gives what an undisturbed one gives.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::files::{create_anew, sync_folder};
use crate::shard::{PartInfo, ScanIdentity, ShardError};
use crate::stats::block::{Block, Progress};

use super::MOST_BATCH;
use super::batch::Cursor;

const MAGIC: &[u8; 8] = b"NSCKPT1\n";

/// Longest header, so that a damaged length does not ask for all memory.
const MOST_HEADER: u64 = 16 << 20;

/// What a checkpoint is of, and how far it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) neuroscope: String,
    pub(super) scan: ScanIdentity,
    pub(super) part: PartInfo,
    /// Tokens of a batch, which on a GPU depends on its memory and may change the last bits of activations.
    pub(super) batch_tokens: usize,
    /// Tokens done.
    pub(super) done: u64,
    pub(super) cursor: Cursor,
}

/// Where the checkpoint of a part is.
pub(super) fn path_of(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.checkpoint"))
}

/// What the checkpoint in a file is of, if it is one.
pub(super) fn scan_of(path: &Path) -> Option<ScanIdentity> {
    let is_one = path
        .extension()
        .is_some_and(|ending| ending == "checkpoint");
    let mut file = BufReader::new(File::open(path).ok().filter(|_| is_one)?);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).ok()?;
    let header = read_frame(&mut file, MOST_HEADER).ok()?;
    let header: Header = serde_json::from_slice(&header).ok()?;
    Some(header.scan).filter(|_| magic == *MAGIC)
}

/// Writes a checkpoint in place of an older one, which stays until the new one is complete.
pub(super) fn write(path: &Path, header: &Header, layers: &[Vec<Block>]) -> Result<(), ShardError> {
    let new = new(path);
    let written = write_file(&new, header, layers).and_then(|()| {
        fs::rename(&new, path)?;
        sync_folder(path.parent().unwrap_or(Path::new(".")))
    });
    written.map_err(|source| {
        let _ = fs::remove_file(&new);
        ShardError::io("write", path, source)
    })
}

/// Writes through a hash.
struct Hashing<W> {
    to: W,
    hash: Sha256,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn write_file(path: &Path, header: &Header, layers: &[Vec<Block>]) -> io::Result<()> {
    let mut file = Hashing {
        to: BufWriter::with_capacity(1 << 20, create_anew(path)?),
        hash: Sha256::new(),
    };
    file.write_all(MAGIC)?;
    write_frame(&mut file, &serde_json::to_vec(header)?)?;
    for blocks in layers {
        let frames = blocks.par_iter().map(|block| {
            let bytes = postcard::to_allocvec(block).map_err(io::Error::other)?;
            zstd::bulk::compress(&bytes, 1)
        });
        for frame in frames.collect::<io::Result<Vec<_>>>()? {
            write_frame(&mut file, &frame)?;
        }
    }
    let hash = std::mem::take(&mut file.hash).finalize();
    file.to.write_all(&hash)?;
    let file = file
        .to
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

fn write_frame(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    to.write_all(&len.to_le_bytes())?;
    to.write_all(bytes)
}

/// Why a checkpoint is not gone on with.
pub(super) enum Unusable {
    /// Another version of the program wrote it.
    OtherVersion(String),
    /// Another scan wrote it: what is different, as it is there and as it is here.
    OtherScan {
        what: &'static str,
        found: String,
        expected: String,
    },
    /// It is damaged.
    Wrong(ShardError),
}

impl From<ShardError> for Unusable {
    fn from(error: ShardError) -> Self {
        Self::Wrong(error)
    }
}

/// What of a header every version can read.
#[derive(Deserialize)]
struct WrittenBy {
    neuroscope: String,
}

/// Reads a checkpoint, if there is one. `layers` is the state before any position, and becomes what was saved. `place`
/// returns how many positions of the current document are done, `Some(None)` between documents, or `None` if the cursor is
/// outside the part.
pub(super) fn read(
    path: &Path,
    expected: &Header,
    layers: &mut [Vec<Block>],
    place: impl FnOnce(&Header) -> Option<Option<u32>>,
) -> Result<Option<Header>, Unusable> {
    let io = |source| ShardError::io("read", path, source);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(error).into()),
    };
    check_hash(path, &file)?;
    let damaged = |reason: &str| ShardError::table("read", path, reason);
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(io)?);
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(io)?;
    if magic != *MAGIC {
        return Err(damaged("it is not a checkpoint").into());
    }
    let header = read_frame(&mut file, MOST_HEADER).map_err(io)?;
    if let Ok(WrittenBy { neuroscope }) = serde_json::from_slice(&header)
        && neuroscope != expected.neuroscope
    {
        return Err(Unusable::OtherVersion(neuroscope));
    }
    let header: Header =
        serde_json::from_slice(&header).map_err(|error| damaged(&error.to_string()))?;
    if let Some((what, found, expected)) = header.scan.difference(&expected.scan) {
        return Err(Unusable::OtherScan {
            what,
            found,
            expected,
        });
    }
    if header.part != expected.part {
        return Err(damaged("it is of another part").into());
    }
    let Some(document) = place(&header) else {
        return Err(damaged("its place is not in the part").into());
    };
    if !(1..=MOST_BATCH).contains(&header.batch_tokens) {
        return Err(damaged("its batches have a size that makes no sense").into());
    }
    let options = &expected.scan.policy.stats;
    let progress = Progress {
        options,
        rows: header.done,
        document,
    };
    let most = Block::most_bytes(expected.scan.kind(), options);
    for blocks in layers {
        let frames = blocks.iter().map(|_| read_frame(&mut file, most));
        let frames = frames.collect::<io::Result<Vec<_>>>().map_err(io)?;
        let found = frames.into_par_iter().zip(&*blocks).map(|(frame, empty)| {
            let mut bytes = Vec::new();
            zstd::Decoder::new(frame.as_slice())?
                .take(most)
                .read_to_end(&mut bytes)?;
            let block: Block = postcard::from_bytes(&bytes).map_err(io::Error::other)?;
            match block.fits(empty, &progress) {
                true => Ok(block),
                false => Err(io::Error::other(
                    "it holds a state that no scan could have saved",
                )),
            }
        });
        *blocks = found.collect::<io::Result<Vec<Block>>>().map_err(io)?;
    }
    Ok(Some(header))
}

fn check_hash(path: &Path, mut file: &File) -> Result<(), ShardError> {
    let io = |source| ShardError::io("read", path, source);
    let damaged = || ShardError::table("read", path, "it is cut off or damaged");
    let len = file.metadata().map_err(io)?.len();
    let mut left = len.checked_sub(32).ok_or_else(damaged)?;
    let (mut hash, mut buffer) = (Sha256::new(), vec![0; 1 << 20]);
    while left > 0 {
        let n = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        file.read_exact(&mut buffer[..n]).map_err(io)?;
        hash.update(&buffer[..n]);
        left -= n as u64;
    }
    let mut expected = [0; 32];
    file.read_exact(&mut expected).map_err(io)?;
    match hash.finalize().as_slice() == expected {
        true => Ok(()),
        false => Err(damaged()),
    }
}

fn read_frame(from: &mut impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut len = [0; 4];
    from.read_exact(&mut len)?;
    let len = u64::from(u32::from_le_bytes(len));
    let mut bytes = Vec::new();
    if len > most || from.take(len).read_to_end(&mut bytes)? as u64 != len {
        return Err(io::Error::other("a length makes no sense"));
    }
    Ok(bytes)
}

/// Removes a checkpoint, and what a process that was killed may have left of one.
pub(super) fn remove(path: &Path) -> Result<(), ShardError> {
    for path in [path.to_owned(), new(path)] {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(ShardError::io("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Where a checkpoint is written before it takes the place of an older one.
fn new(path: &Path) -> PathBuf {
    path.with_extension("checkpoint-new")
}
