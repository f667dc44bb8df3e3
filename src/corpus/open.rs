//! A file's text: decompressed, and known to be text.

use std::io::{self, BufRead, BufReader, Cursor, Read};

use crate::mark;

use super::kind::Kind;
use super::packing::{Reader, begins, is_packed, packing, unpack};
use super::{CorpusError, Source};

/// Bytes that tell what a file is. Git LFS keeps its pointers shorter.
const HEAD: u64 = 1024;

/// What a Parquet file begins with.
pub(super) const PARQUET: &[u8] = b"PAR1";

/// Opens a file, and fails if it is not text in UTF-8. A byte-order mark is passed over.
pub(super) fn open(source: &Source) -> Result<Reader, CorpusError> {
    let io = |error| CorpusError::read(source.path(), error);
    let (head, raw) = source.stream().and_then(peek).map_err(io)?;
    if is_lfs_pointer(&head) {
        return Err(CorpusError::LfsPointer(source.path()));
    }
    let unpacked = unpack(packing(&head), raw).and_then(peek);
    let (head, mut text) = unpacked.map_err(io)?;
    if is_lfs_pointer(&head) {
        return Err(CorpusError::LfsPointer(source.path()));
    }
    if let Some(encoding) = foreign_encoding(&head) {
        return Err(CorpusError::Encoding {
            path: source.path(),
            encoding,
        });
    }
    if let Some(what) = not_text(&head) {
        return Err(CorpusError::NotText {
            path: source.path(),
            what,
        });
    }
    let mut mark = vec![0; head.len() - mark::without(&head).len()];
    text.read_exact(&mut mark).map_err(io)?;
    Ok(text)
}

/// What a file holds, by what it begins with. What is wrong with it is found when it is read.
pub(super) fn sniff(source: &Source) -> Kind {
    let head = source.stream().and_then(peek).map(|(head, _)| head);
    if head.is_ok_and(|head| head.starts_with(PARQUET)) {
        return Kind::Parquet;
    }
    let json = |text: Reader| -> io::Result<bool> {
        let mut text = BufReader::new(text);
        match begins(&mut text)? {
            Some(b'{') => Ok(true),
            // a text may begin with a bracket, but hardly with an object in it
            Some(b'[') => {
                text.consume(1);
                Ok(begins(&mut text)? == Some(b'{'))
            }
            _ => Ok(false),
        }
    };
    match open(source).map(json) {
        Ok(Ok(true)) => Kind::Json,
        _ => Kind::Text,
    }
}

/// Fails if a file is not one that begins as Parquet files do.
pub(super) fn check_parquet(source: &Source) -> Result<(), CorpusError> {
    let io = |error| CorpusError::Io {
        path: source.path(),
        source: error,
    };
    let (head, _) = source.stream().and_then(peek).map_err(io)?;
    if is_lfs_pointer(&head) {
        return Err(CorpusError::LfsPointer(source.path()));
    }
    if is_packed(&head) {
        return Err(CorpusError::PackedTable(source.path()));
    }
    let reason = match head.starts_with(PARQUET) {
        true => return Ok(()),
        false if head.is_empty() => "it is empty",
        false => "it does not begin like a Parquet file",
    };
    Err(CorpusError::Table {
        path: source.path(),
        reason: reason.into(),
    })
}

/// What a reader begins with, and a reader of all.
fn peek(mut reader: Reader) -> io::Result<(Vec<u8>, Reader)> {
    let mut head = Vec::new();
    reader.by_ref().take(HEAD).read_to_end(&mut head)?;
    let all = Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(all)))
}

/// What a file is that is not text, by what it begins with.
fn not_text(head: &[u8]) -> Option<&'static str> {
    let kinds: [(&[u8], &str); 6] = [
        (b"PK\x03\x04", "it is a zip archive"),
        (b"\xfd7zXZ\0", "it is compressed with xz"),
        (b"7z\xbc\xaf\x27\x1c", "it is a 7z archive"),
        (b"%PDF-", "it is a PDF"),
        (b"PAR1", "it is a Parquet file"),
        (b"ARROW1\0", "it is an Arrow file"),
    ];
    let known = kinds.iter().find(|(begin, _)| head.starts_with(begin));
    match known {
        Some((_, what)) => Some(what),
        None if is_packed(head) => Some("it is compressed twice"),
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
