//! The zip archive of a PyTorch file: which entries it has and where their bytes lie.
//!
//! PyTorch stores entries as they are, so an entry is a range of the file. One that is compressed is refused: it could be
//! of any length when it is unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::Cause;

/// Length of the list of entries; each takes at least 46 bytes.
const MOST_DIRECTORY_BYTES: u64 = 64 << 20;

const MOST_ENTRIES: u64 = 1 << 17;

/// Signatures of a local header, an entry of the directory, the end of the directory, its 64-bit twin, and what points to
/// that.
const LOCAL: &[u8] = b"PK\x03\x04";
const ENTRY: &[u8] = b"PK\x01\x02";
const END: &[u8] = b"PK\x05\x06";
const END_64: &[u8] = b"PK\x06\x06";
const END_64_AT: &[u8] = b"PK\x06\x07";

const END_BYTES: usize = 22;
const END_64_AT_BYTES: usize = 20;
const ENTRY_BYTES: usize = 46;
const LOCAL_BYTES: u64 = 30;

/// The extra field that holds what does not fit 32 bits.
const EXTRA_64: u16 = 1;

pub(super) struct Archive {
    file: File,
    len: u64,
    /// Where the local header of each entry is, and how long its contents are.
    entries: BTreeMap<String, (u64, u64)>,
}

/// Where the directory is.
struct Directory {
    start: u64,
    len: u64,
    n_entries: u64,
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn cut_off() -> Cause {
    "it is cut off, or is not a zip archive".into()
}

impl Archive {
    pub(super) fn open(mut file: File) -> Result<Self, Cause> {
        let len = file.metadata()?.len();
        let directory = find_directory(&mut file, len)?;
        let Directory {
            start,
            len: directory_len,
            n_entries,
        } = directory;
        if n_entries > MOST_ENTRIES || directory_len > MOST_DIRECTORY_BYTES {
            return Err(
                format!("it claims {n_entries} entries; at most {MOST_ENTRIES} are read").into(),
            );
        }
        let bytes = read_at(&mut file, len, start, directory_len)?;
        let (mut entries, mut rest) = (BTreeMap::new(), bytes.as_slice());
        for _ in 0..n_entries {
            let (name, place, entry_len) = entry(rest).ok_or_else(cut_off)??;
            if entries.insert(name.clone(), place).is_some() {
                return Err(format!("it has the entry `{name}` twice").into());
            }
            rest = rest.get(entry_len..).unwrap_or_default();
        }
        Ok(Self { file, len, entries })
    }

    /// Names of the entries, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Length of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Length of an entry.
    pub(super) fn len_of(&self, name: &str) -> Option<u64> {
        self.entries.get(name).map(|(_, len)| *len)
    }

    /// Some bytes of an entry.
    pub(super) fn read(&mut self, name: &str, start: u64, n: u64) -> Result<Vec<u8>, Cause> {
        let missing = || format!("there is no `{name}` in it");
        let (local, len) = *self.entries.get(name).ok_or_else(missing)?;
        if start.checked_add(n).is_none_or(|end| end > len) {
            return Err(format!("`{name}` is shorter than what is said of it").into());
        }
        let header = read_at(&mut self.file, self.len, local, LOCAL_BYTES)?;
        let lengths = u16_at(&header, 26).zip(u16_at(&header, 28));
        let (name_len, extra_len) = lengths
            .filter(|_| header.starts_with(LOCAL))
            .ok_or_else(cut_off)?;
        let contents = local + LOCAL_BYTES + u64::from(name_len) + u64::from(extra_len);
        read_at(&mut self.file, self.len, contents.saturating_add(start), n)
    }
}

/// Bytes of a file, which has them: memory is taken after that is known.
fn read_at(file: &mut File, len: u64, start: u64, n: u64) -> Result<Vec<u8>, Cause> {
    if start.checked_add(n).is_none_or(|end| end > len) {
        return Err(cut_off());
    }
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = vec![0; usize::try_from(n)?];
    match file.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_off()),
        Err(error) => Err(error.into()),
    }
}

fn find_directory(file: &mut File, len: u64) -> Result<Directory, Cause> {
    // a comment of at most 64 KiB may follow the end of the directory
    let tail_len = len.min((END_BYTES + END_64_AT_BYTES + usize::from(u16::MAX)) as u64);
    let tail = read_at(file, len, len - tail_len, tail_len)?;
    let found = tail.windows(END.len()).rposition(|bytes| bytes == END);
    let at = found.ok_or_else(cut_off)?;
    let end = &tail[at..];
    let n_entries = u16_at(end, 10).ok_or_else(cut_off)?;
    let (size, start) = u32_at(end, 12).zip(u32_at(end, 16)).ok_or_else(cut_off)?;
    let pointer = at.checked_sub(END_64_AT_BYTES).map(|at| &tail[at..]);
    match pointer.filter(|bytes| bytes.starts_with(END_64_AT)) {
        None => Ok(Directory {
            start: start.into(),
            len: size.into(),
            n_entries: n_entries.into(),
        }),
        Some(pointer) => {
            let at = u64_at(pointer, 8).ok_or_else(cut_off)?;
            let end = read_at(file, len, at, 56)?;
            let field = |at| u64_at(&end, at).ok_or_else(cut_off);
            if !end.starts_with(END_64) {
                return Err(cut_off());
            }
            Ok(Directory {
                n_entries: field(32)?,
                len: field(40)?,
                start: field(48)?,
            })
        }
    }
}

type Place = (u64, u64);

/// The first entry of the directory: its name, its place, and how long it is itself.
fn entry(bytes: &[u8]) -> Option<Result<(String, Place, usize), Cause>> {
    if !bytes.starts_with(ENTRY) {
        return None;
    }
    let (flags, method) = (u16_at(bytes, 8)?, u16_at(bytes, 10)?);
    let lengths = [28, 30, 32].map(|at| u16_at(bytes, at).map(usize::from));
    let [Some(name_len), Some(extra_len), Some(comment_len)] = lengths else {
        return None;
    };
    let extra_at = ENTRY_BYTES + name_len;
    let name = String::from_utf8_lossy(bytes.get(ENTRY_BYTES..extra_at)?).into_owned();
    let extra = bytes.get(extra_at..extra_at + extra_len)?;
    let mut wide = wide_fields(extra);
    // what does not fit is in the extra field, in this order
    let mut field = |at: usize| match u32_at(bytes, at)? {
        u32::MAX => {
            let (first, rest) = wide.split_first_chunk::<8>()?;
            wide = rest;
            Some(u64::from_le_bytes(*first))
        }
        n => Some(n.into()),
    };
    let (len, packed) = (field(24)?, field(20)?);
    let local = field(42)?;
    let encrypted = flags & 1 != 0;
    if method != 0 || encrypted || packed != len {
        let error = format!("its entry `{name}` is compressed, which PyTorch never does");
        return Some(Err(error.into()));
    }
    let whole = extra_at + extra_len + comment_len;
    Some(Ok((name, (local, len), whole)))
}

/// The contents of the extra field of 64-bit numbers.
fn wide_fields(mut extra: &[u8]) -> &[u8] {
    while let (Some(id), Some(len)) = (u16_at(extra, 0), u16_at(extra, 2)) {
        let Some(contents) = extra.get(4..4 + usize::from(len)) else {
            break;
        };
        if id == EXTRA_64 {
            return contents;
        }
        extra = &extra[4 + usize::from(len)..];
    }
    &[]
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// An archive of one entry whose sizes and places do not fit 32 bits, or need not.
    fn archive_64() -> Vec<u8> {
        let about = [&[45, 0, 0, 0, 0, 0][..], &[0; 8], &[0xff; 8], &[1, 0]].concat();
        let wide = |numbers: &[u64]| numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut out = [LOCAL, &about[..], &[0, 0], b"a", b"contents"].concat();
        let directory_at = out.len() as u64;
        let numbers: Vec<u8> = wide(&[8, 8, 0]);
        let extra = [&[7, 7, 2, 0, 0, 0, 1, 0, 24, 0][..], &numbers].concat();
        out.extend(
            [
                ENTRY,
                &[45, 0],
                &about[..],
                &[34, 0],
                &[0; 10],
                &[0xff; 4],
                b"a",
                &extra,
            ]
            .concat(),
        );
        let end_at = out.len() as u64;
        let numbers: Vec<u8> = wide(&[1, 1, end_at - directory_at, directory_at]);
        out.extend(
            [
                END_64,
                &44u64.to_le_bytes()[..],
                &[45, 0, 45, 0],
                &[0; 8],
                &numbers,
            ]
            .concat(),
        );
        out.extend([END_64_AT, &[0; 4], &end_at.to_le_bytes()[..], &[1, 0, 0, 0]].concat());
        out.extend([END, &[0; 4], &[0xff; 12][..], &[2, 0], b"ok"].concat());
        out
    }

    fn open(bytes: &[u8]) -> Result<Archive, String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        Archive::open(file).map_err(|error| error.to_string())
    }

    #[test]
    fn archives_of_more_than_32_bits() {
        let mut archive = open(&archive_64()).unwrap();
        assert_eq!(archive.names().collect::<Vec<_>>(), ["a"]);
        assert_eq!(archive.len_of("a"), Some(8));
        assert_eq!(archive.read("a", 3, 5).unwrap(), b"tents");
        for (start, n) in [(0, 9), (9, 0), (4, u64::MAX)] {
            assert!(archive.read("a", start, n).is_err());
        }
    }

    #[test]
    fn an_archive_that_is_cut_off_or_changed_anywhere_gives_an_error_or_less() {
        let whole = archive_64();
        for at in 0..whole.len() {
            assert!(open(&whole[..at]).is_err() || at >= whole.len() - 4, "{at}");
            for value in [0, 1, 0x7f, 0xff] {
                let mut changed = whole.clone();
                changed[at] = value;
                if let Ok(mut archive) = open(&changed) {
                    let len = archive.len_of("a").unwrap_or(0);
                    assert!(
                        archive.read("a", 0, len).map_or(0, |bytes| bytes.len()) <= whole.len()
                    );
                }
            }
        }
    }
}
