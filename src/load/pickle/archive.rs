//! The zip archive of a PyTorch file: which entries it has and where their bytes lie.
//!
//! PyTorch stores entries as they are, so an entry is a range of the file. One that is compressed is refused: it could be
//! of any length when it is unpacked.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use zip::read::{ArchiveOffset, Config};
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use super::Cause;

/// Bytes of the list of entries and of the headers before them; 100,000 entries of PyTorch take 20 MB.
const MOST_HEADER_BYTES: u64 = 32 << 20;

const MOST_ENTRIES: usize = 1 << 17;

pub(super) struct Archive {
    file: File,
    len: u64,
    /// Where the contents of each entry begin, and how long they are.
    entries: BTreeMap<String, (u64, u64)>,
}

/// A file with a limit on how much of it is read.
struct Budget<'f> {
    file: &'f File,
    left: u64,
}

impl Read for Budget<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buffer)?;
        match self.left.checked_sub(n as u64) {
            Some(left) => {
                self.left = left;
                Ok(n)
            }
            None => Err(io::Error::other(format!(
                "its list of entries is longer than {MOST_HEADER_BYTES} bytes"
            ))),
        }
    }
}

impl Seek for Budget<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.file.seek(to)
    }
}

fn cut_off() -> Cause {
    "it is cut off, or is not a zip archive".into()
}

fn unreadable(error: ZipError) -> Cause {
    match error {
        ZipError::Io(error) if error.kind() != io::ErrorKind::UnexpectedEof => error.into(),
        _ => cut_off(),
    }
}

impl Archive {
    pub(super) fn open(file: File) -> Result<Self, Cause> {
        let len = file.metadata()?.len();
        let budget = Budget {
            file: &file,
            left: MOST_HEADER_BYTES,
        };
        let config = Config {
            archive_offset: ArchiveOffset::Known(0),
        };
        let mut archive = ZipArchive::with_config(config, budget).map_err(unreadable)?;
        let found = archive.len();
        if found > MOST_ENTRIES {
            return Err(
                format!("it claims {found} entries; at most {MOST_ENTRIES} are read").into(),
            );
        }
        if archive.has_duplicate_names() {
            return Err("it has an entry twice".into());
        }
        let mut entries = BTreeMap::new();
        for at in 0..found {
            let entry = archive.by_index_raw(at).map_err(unreadable)?;
            let name = String::from_utf8_lossy(entry.name_raw()).into_owned();
            let is_plain = entry.compression() == CompressionMethod::Stored
                && !entry.encrypted()
                && entry.compressed_size() == entry.size();
            if !is_plain {
                return Err(
                    format!("its entry `{name}` is compressed, which PyTorch never does").into(),
                );
            }
            let start = entry.data_start().ok_or_else(cut_off)?;
            entries.insert(name, (start, entry.size()));
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

    /// Some bytes of an entry. Memory is taken once it is known that the file has them.
    pub(super) fn read(&mut self, name: &str, start: u64, n: u64) -> Result<Vec<u8>, Cause> {
        let missing = || format!("there is no `{name}` in it");
        let (contents, len) = *self.entries.get(name).ok_or_else(missing)?;
        if start.checked_add(n).is_none_or(|end| end > len) {
            return Err(format!("`{name}` is shorter than what is said of it").into());
        }
        let start = contents.saturating_add(start);
        if start.checked_add(n).is_none_or(|end| end > self.len) {
            return Err(cut_off());
        }
        self.file.seek(SeekFrom::Start(start))?;
        let mut bytes = vec![0; usize::try_from(n)?];
        match self.file.read_exact(&mut bytes) {
            Ok(()) => Ok(bytes),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_off()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    const LOCAL: &[u8] = b"PK\x03\x04";
    const ENTRY: &[u8] = b"PK\x01\x02";
    const END: &[u8] = b"PK\x05\x06";
    const END_64: &[u8] = b"PK\x06\x06";
    const END_64_AT: &[u8] = b"PK\x06\x07";

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

    /// An archive of so many entries of four bytes, as PyTorch names and aligns them.
    fn archive_of(n_entries: usize) -> Vec<u8> {
        let mut out = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Stored)
            .with_alignment(64);
        for i in 0..n_entries {
            out.start_file(format!("pytorch_model/data/{i}"), stored)
                .unwrap();
            out.write_all(b"data").unwrap();
        }
        out.finish().unwrap().into_inner()
    }

    #[test]
    fn archives_of_many_entries_and_of_too_many() {
        let mut archive = open(&archive_of(100_000)).unwrap();
        assert_eq!(archive.names().count(), 100_000);
        assert_eq!(
            archive.read("pytorch_model/data/99999", 1, 3).unwrap(),
            b"ata"
        );
        let many = open(&archive_of(MOST_ENTRIES + 1)).err().unwrap();
        assert!(many.contains("it claims 131073 entries"), "{many}");
    }

    #[test]
    fn a_list_of_entries_without_end_is_not_read() {
        let mut out = ZipWriter::new(Cursor::new(Vec::new()));
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
        for i in 0..600 {
            out.start_file(format!("{i:060000}"), stored).unwrap();
        }
        let error = open(&out.finish().unwrap().into_inner()).err().unwrap();
        assert!(error.contains("its list of entries is longer"), "{error}");
    }
}
