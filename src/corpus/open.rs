//! A file's text: unpacked, and known to be text.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};

use super::{CorpusError, Source};

/// What a file's text is read from.
pub(super) type Reader = Box<dyn Read + Send>;

/// Bytes that tell what a file is. Git LFS keeps its pointers shorter.
const HEAD: u64 = 1024;

/// The largest window of a zstd frame, as `zstd --long=31` writes it. Memory is used as far as the window is filled.
const MOST_WINDOW_LOG: u32 = 31;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A JSON object a line.
    Lines,
    /// One document.
    Text,
}

fn ending(path: &Path) -> Option<String> {
    let ending = path.extension().and_then(OsStr::to_str)?;
    Some(ending.to_ascii_lowercase())
}

/// What a file holds, by its name without `.gz` and `.zst`, in upper or lower case.
pub(super) fn kind(path: &Path) -> Option<Kind> {
    let inner = match ending(path).as_deref() {
        Some("gz" | "zst") => path.file_stem().map(Path::new)?,
        _ => path,
    };
    match ending(inner).as_deref() {
        Some("jsonl" | "ndjson") => Some(Kind::Lines),
        Some("txt") => Some(Kind::Text),
        _ => None,
    }
}

/// Opens a file, and fails if it is not text in UTF-8. A byte-order mark is passed over.
pub(super) fn open(source: Source) -> Result<(PathBuf, Reader), CorpusError> {
    let (path, raw): (PathBuf, Reader) = match source {
        Source::Path(path) => match File::open(&path) {
            Ok(file) => (path, Box::new(file)),
            Err(source) => return Err(CorpusError::Io { path, source }),
        },
        Source::Embedded(name, bytes) => (PathBuf::from(name), Box::new(bytes)),
    };
    let (head, raw) = match peek(raw) {
        Ok(peeked) => peeked,
        Err(source) => return Err(CorpusError::Io { path, source }),
    };
    if is_lfs_pointer(&head) {
        return Err(CorpusError::LfsPointer(path));
    }
    let unpacked = unpack(&path, raw).and_then(peek);
    let (head, mut text) = match unpacked {
        Ok(peeked) => peeked,
        Err(source) => return Err(CorpusError::Io { path, source }),
    };
    if let Some(encoding) = foreign_encoding(&head) {
        return Err(CorpusError::Encoding { path, encoding });
    }
    if head.starts_with(MARK) {
        let mut mark = [0; MARK.len()];
        if let Err(source) = text.read_exact(&mut mark) {
            return Err(CorpusError::Io { path, source });
        }
    }
    Ok((path, text))
}

/// The byte-order mark of UTF-8.
pub(super) const MARK: &[u8] = "\u{feff}".as_bytes();

/// What a reader begins with, and a reader of all.
fn peek(mut reader: Reader) -> io::Result<(Vec<u8>, Reader)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    let all = Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(all)))
}

fn unpack(path: &Path, reader: Reader) -> io::Result<Reader> {
    Ok(match ending(path).as_deref() {
        Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(reader)),
        Some("zst") => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(MOST_WINDOW_LOG)?;
            Box::new(decoder)
        }
        _ => reader,
    })
}

/// What to do about a file that only names another.
pub const LFS_HINT: &str = "fetch it: `git lfs install` once, then `git lfs pull` in the folder";

/// Whether a file only names another, which Git LFS has not fetched, by its first bytes.
pub fn is_lfs_pointer(head: &[u8]) -> bool {
    let head = head.strip_prefix(MARK).unwrap_or(head);
    head.starts_with(b"version https://git-lfs.github.com/spec/")
        && head.windows(5).any(|window| window == b"\noid ")
}

/// The encoding of a text that is not UTF-8, by its byte-order mark, or by the zeros of its Latin letters.
fn foreign_encoding(head: &[u8]) -> Option<&'static str> {
    let marks: [(&[u8], &str); 4] = [
        (b"\xff\xfe\0\0", "UTF-32 (little-endian)"),
        (b"\0\0\xfe\xff", "UTF-32 (big-endian)"),
        (b"\xff\xfe", "UTF-16 (little-endian)"),
        (b"\xfe\xff", "UTF-16 (big-endian)"),
    ];
    let marked = marks.iter().find(|(mark, _)| head.starts_with(mark));
    if let Some((_, encoding)) = marked {
        return Some(encoding);
    }
    let zeros = |at: usize| {
        let bytes = head.iter().skip(at).step_by(2);
        bytes.filter(|byte| **byte == 0).count()
    };
    let (first, second, most) = (zeros(0), zeros(1), head.len() / 4);
    match head.len() >= 4 {
        true if first == 0 && second > most => Some("UTF-16 (little-endian, without a mark)"),
        true if second == 0 && first > most => Some("UTF-16 (big-endian, without a mark)"),
        _ => None,
    }
}
