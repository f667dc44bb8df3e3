//! A file's text: unpacked, and known to be text.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use crate::mark;

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

/// Whether files of this name are read.
pub fn is_read(path: &Path) -> bool {
    kind(path).is_some()
}

/// Opens a file, and fails if it is not text in UTF-8. A byte-order mark is passed over.
pub(super) fn open(source: Source) -> Result<(PathBuf, Reader), CorpusError> {
    let (path, raw): (PathBuf, Reader) = match source {
        Source::Path(path) => match File::open(&path) {
            Ok(file) => (path, Box::new(file)),
            Err(source) => return Err(CorpusError::Io { path, source }),
        },
        Source::Embedded(name, bytes) => (PathBuf::from(name), Box::new(bytes)),
        Source::Remote(file) => {
            let path = file.fetch().map_err(CorpusError::Remote)?;
            match File::open(&path) {
                Ok(opened) => (PathBuf::from(file.name()), Box::new(opened)),
                Err(source) => return Err(CorpusError::Io { path, source }),
            }
        }
    };
    let (head, raw) = match peek(raw) {
        Ok(peeked) => peeked,
        Err(source) => return Err(CorpusError::Io { path, source }),
    };
    if is_lfs_pointer(&head) {
        return Err(CorpusError::LfsPointer(path));
    }
    let packing = packing(&head);
    let unpacked = unpack(packing, raw).and_then(peek);
    let (head, mut text) = match unpacked {
        Ok(peeked) => peeked,
        Err(source) => return Err(CorpusError::Io { path, source }),
    };
    if is_lfs_pointer(&head) {
        return Err(CorpusError::LfsPointer(path));
    }
    if let Some(encoding) = foreign_encoding(&head) {
        return Err(CorpusError::Encoding { path, encoding });
    }
    if let Some(what) = not_text(&head) {
        return Err(CorpusError::NotText { path, what });
    }
    let mut mark = vec![0; head.len() - mark::without(&head).len()];
    match text.read_exact(&mut mark) {
        Ok(()) => Ok((path, text)),
        Err(source) => Err(CorpusError::Io { path, source }),
    }
}

/// What a reader begins with, and a reader of all.
fn peek(mut reader: Reader) -> io::Result<(Vec<u8>, Reader)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    let all = Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(all)))
}

/// How a file is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    Gzip,
    Zstd,
}

/// How a file is packed, by what it begins with. Its name does not count: browsers and servers unpack files without
/// renaming them.
fn packing(head: &[u8]) -> Option<Packing> {
    match head {
        [0x1f, 0x8b, ..] => Some(Packing::Gzip),
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Packing::Zstd),
        _ => None,
    }
}

/// All members of a gzip file. Zeros may follow the last one, as on tapes; `gzip -d` passes over them too.
struct Gunzip {
    member: Option<flate2::bufread::GzDecoder<BufReader<Reader>>>,
}

impl Read for Gunzip {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let n = member.read(into)?;
            if n > 0 || into.is_empty() {
                return Ok(n);
            }
            if let Some(member) = self.member.take() {
                let mut rest = member.into_inner();
                if comes_more(&mut rest)? {
                    self.member = Some(flate2::bufread::GzDecoder::new(rest));
                }
            }
        }
        Ok(0)
    }
}

/// Passes over zeros; whether something else follows.
fn comes_more(rest: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let bytes = rest.fill_buf()?;
        let (n_zeros, len) = (
            bytes.iter().take_while(|byte| **byte == 0).count(),
            bytes.len(),
        );
        rest.consume(n_zeros);
        if n_zeros < len || len == 0 {
            return Ok(len > 0);
        }
    }
}

fn unpack(packing: Option<Packing>, reader: Reader) -> io::Result<Reader> {
    Ok(match packing {
        Some(Packing::Gzip) => Box::new(Gunzip {
            member: Some(flate2::bufread::GzDecoder::new(BufReader::new(reader))),
        }),
        Some(Packing::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(MOST_WINDOW_LOG)?;
            Box::new(decoder)
        }
        None => reader,
    })
}

/// What a file is that is not text, by what it begins with.
fn not_text(head: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "it is a zip archive"),
        (b"\xfd7zXZ\0", "it is packed by xz"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
        (b"%PDF-", "it is a PDF"),
        (b"PAR1", "it is a Parquet file"),
        (b"ARROW1\0", "it is an Arrow file"),
    ];
    let known = kinds.iter().find(|(begin, _)| head.starts_with(begin));
    match known {
        Some((_, what)) => Some(what),
        None if packing(head).is_some() => Some("it is packed twice"),
        None if head.contains(&0) => Some("it holds NUL bytes"),
        None => None,
    }
}

/// What to do about a file that only names another.
pub const LFS_HINT: &str = "fetch it: `git lfs install` once, then `git lfs pull` in the folder";

/// Whether a file only names another, which Git LFS has not fetched, by its first bytes.
pub fn is_lfs_pointer(head: &[u8]) -> bool {
    let head = mark::without(head);
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
    // a character has at most 21 bits, so that a zero stands in each group of four, and next to it nearly one
    let is_wide = |zero: usize, small: usize| {
        let mut groups = head.chunks_exact(4);
        groups.all(|group| group[zero] == 0 && group[small] <= 0x10)
    };
    if head.len() >= 8 && head.iter().any(|byte| *byte != 0) {
        if is_wide(3, 2) {
            return Some("UTF-32 (little-endian, without a mark)");
        }
        if is_wide(0, 1) {
            return Some("UTF-32 (big-endian, without a mark)");
        }
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
