//! What a Parquet file claims, checked before any of it is unpacked: a few bytes can claim billions of values.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};

use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, RowGroupMetaData};

use super::thrift::{I32, LIST, STRUCT, Thrift};

/// The longest footer, in bytes.
const MOST_FOOTER: u64 = 64 << 20;

/// Groups of columns inside one another, at most.
const MOST_DEPTH: usize = 32;

/// Bytes of a page, unpacked, for which nothing has to be shown.
const FREE_PAGE: u64 = 16 << 20;

/// Bytes that one packed byte may become beyond that.
const MOST_RATIO: u64 = 4096;

/// Values of a dictionary, and of a page whose encoding is unpacked at once, at most.
const MOST_AT_ONCE: u64 = 1 << 24;

/// Values of lists in a row group for which nothing has to be shown.
const FREE_LIST: u64 = 4 << 20;

/// Values of lists that one byte of the row group may stand for beyond that.
const MOST_LIST_RATIO: u64 = 64;

/// Checks the footer: its length, and how deep columns are nested, which the parquet crate follows by recursion.
pub(super) fn footer(file: &File) -> io::Result<()> {
    let mut file = file;
    let len = file.seek(SeekFrom::End(0))?;
    let Some(end) = len.checked_sub(8) else {
        return Err(bad("it is too short"));
    };
    file.seek(SeekFrom::Start(end))?;
    let mut tail = [0; 8];
    file.read_exact(&mut tail)?;
    let [a, b, c, d, magic @ ..] = tail;
    match &magic {
        b"PAR1" => (),
        b"PARE" => return Err(bad("it is encrypted")),
        _ => return Err(bad("it has no footer; it may have been cut off")),
    }
    let n = u64::from(u32::from_le_bytes([a, b, c, d]));
    if n > end || n > MOST_FOOTER {
        return Err(bad(&format!(
            "its footer has {n} bytes; expected at most {}",
            end.min(MOST_FOOTER)
        )));
    }
    file.seek(SeekFrom::Start(end - n))?;
    let mut thrift = Thrift::new(BufReader::new(file.take(n)));
    thrift.structure(|thrift, id, kind| match (id, kind) {
        (2, LIST) => depth(thrift).map(|()| true),
        _ => Ok(false),
    })
}

/// Checks how deep columns are nested: they are listed with the number of their children, each before these.
fn depth<R: Read>(thrift: &mut Thrift<R>) -> io::Result<()> {
    let (n, kind) = thrift.list()?;
    if kind != STRUCT {
        return Err(bad("its schema is not a list of columns"));
    }
    let mut open: Vec<i64> = Vec::new(); // children that are still to come, of each group around
    for _ in 0..n {
        let mut n_children = 0;
        thrift.structure(|thrift, id, kind| {
            if (id, kind) == (5, I32) {
                n_children = thrift.integer()?;
                return Ok(true);
            }
            Ok(false)
        })?;
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        if n_children > 0 {
            open.push(n_children);
        }
        if open.len() > MOST_DEPTH {
            return Err(bad(&format!(
                "its columns are nested more than {MOST_DEPTH} levels deep"
            )));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    Ok(())
}

/// What the header of a page claims.
#[derive(Default)]
struct Page {
    unpacked: i64,
    packed: i64,
    n_values: i64,
    encoding: i64,
    is_dictionary: bool,
    /// Bytes at the beginning that are not packed.
    n_plain: i64,
    is_plain: bool,
}

impl Page {
    fn read<R: Read>(thrift: &mut Thrift<R>) -> io::Result<Self> {
        let mut page = Self::default();
        thrift.structure(|thrift, id, kind| {
            match (id, kind) {
                (2, I32) => page.unpacked = thrift.integer()?,
                (3, I32) => page.packed = thrift.integer()?,
                (5 | 7 | 8, STRUCT) => {
                    page.is_dictionary |= id == 7;
                    let is_second = id == 8;
                    thrift.structure(|thrift, id, kind| {
                        match (id, kind) {
                            (1, I32) => page.n_values = thrift.integer()?,
                            (2, I32) if !is_second => page.encoding = thrift.integer()?,
                            (4, I32) if is_second => page.encoding = thrift.integer()?,
                            (5 | 6, I32) if is_second => {
                                page.n_plain = page.n_plain.saturating_add(thrift.integer()?);
                            }
                            (7, 2) if is_second => {
                                page.is_plain = true;
                                return Ok(false);
                            }
                            _ => return Ok(false),
                        }
                        Ok(true)
                    })?;
                }
                _ => return Ok(false),
            }
            Ok(true)
        })?;
        Ok(page)
    }
}

/// Checks the pages of some columns of a row group. Returns how many bytes a value may become by the encoding that lets
/// it begin as the one before it does, if there is such a page.
pub(super) fn pages(
    file: &File,
    group: &RowGroupMetaData,
    columns: impl Iterator<Item = usize> + Clone,
) -> io::Result<u64> {
    let columns = columns.map(|column| group.column(column));
    let packed: u64 = (columns.clone())
        .map(|column| column.compressed_size().max(0) as u64)
        .sum();
    let rows = group.num_rows().max(0) as u64;
    let mut most_shared = 0;
    for column in columns {
        let most_values = match column.column_descr().max_rep_level() {
            0 => rows,
            _ => FREE_LIST.saturating_add(packed.saturating_mul(MOST_LIST_RATIO)),
        };
        most_shared = most_shared.max(pages_of(file, column, rows, most_values)?);
    }
    Ok(most_shared)
}

fn pages_of(
    file: &File,
    column: &ColumnChunkMetaData,
    rows: u64,
    most_values: u64,
) -> io::Result<u64> {
    let name = column.column_path().string();
    let wrong = |what: String| bad(&format!("column `{name}`: {what}"));
    let first = column.dictionary_page_offset();
    let first = first.unwrap_or(column.data_page_offset());
    let (Ok(mut at), Ok(len)) = (
        u64::try_from(first),
        u64::try_from(column.compressed_size()),
    ) else {
        return Err(wrong("its place is negative".into()));
    };
    let end = at.saturating_add(len);
    let mut file = file;
    let (mut n_values, mut most_shared) = (0u64, 0);
    while at < end {
        file.seek(SeekFrom::Start(at))?;
        let mut thrift = Thrift::new(BufReader::with_capacity(1 << 12, file));
        let page = Page::read(&mut thrift)?;
        at += thrift.n;
        let sizes = [page.unpacked, page.packed, page.n_values, page.n_plain];
        let [Ok(unpacked), Ok(packed), Ok(n), Ok(n_plain)] = sizes.map(u64::try_from) else {
            return Err(wrong("a page has a negative length".into()));
        };
        if at.saturating_add(packed) > end {
            return Err(wrong("a page ends after its column".into()));
        }
        if unpacked > FREE_PAGE + packed.saturating_mul(MOST_RATIO) {
            return Err(wrong(format!(
                "a page of {packed} bytes claims to hold {unpacked}"
            )));
        }
        let is_at_once = page.is_dictionary || (5..=7).contains(&page.encoding);
        if is_at_once && n > MOST_AT_ONCE.min(FREE_LIST.max(unpacked.saturating_mul(8))) {
            return Err(wrong(format!("a page claims {n} values at once")));
        }
        if page.encoding == 7 {
            most_shared = most_shared.max(unpacked);
        }
        if !page.is_plain {
            file.seek(SeekFrom::Start(at + n_plain.min(packed)))?;
            let packed = file.take(packed.saturating_sub(n_plain));
            let expected = unpacked.saturating_sub(n_plain);
            if !is_as_long(packed, column.compression(), expected)? {
                return Err(wrong("a page is longer than it claims".into()));
            }
        }
        if !page.is_dictionary {
            n_values = n_values.saturating_add(n);
        }
        at += packed;
    }
    match n_values > most_values {
        true => Err(wrong(format!("it claims {n_values} values in {rows} rows"))),
        false => Ok(most_shared),
    }
}

/// Whether a page is no longer than it claims; of codecs that know their bounds nothing is read.
fn is_as_long(packed: impl Read, codec: Compression, most: u64) -> io::Result<bool> {
    let packed = BufReader::new(packed);
    let mut unpacked: Box<dyn Read + '_> = match codec {
        Compression::GZIP(_) => Box::new(flate2::bufread::MultiGzDecoder::new(packed)),
        Compression::BROTLI(_) => Box::new(brotli::Decompressor::new(packed, 1 << 14)),
        _ => return Ok(true),
    };
    if most == 0 {
        return Ok(true); // such a page is not unpacked
    }
    let n = io::copy(&mut unpacked.by_ref().take(most + 1), &mut io::sink())?;
    Ok(n <= most)
}

fn bad(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    use parquet::basic::{BrotliLevel, GzipLevel};
    use std::io::Write;

    #[test]
    fn a_page_is_not_longer_than_it_claims() {
        let zeros = vec![0; 1 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).unwrap();
        let mut brotli = brotli::CompressorWriter::new(Vec::new(), 4096, 5, 20);
        brotli.write_all(&zeros).unwrap();
        let packed = [
            (
                Compression::GZIP(GzipLevel::default()),
                gzip.finish().unwrap(),
            ),
            (
                Compression::BROTLI(BrotliLevel::default()),
                brotli.into_inner(),
            ),
        ];
        for (codec, bytes) in packed {
            assert!(bytes.len() < 4096);
            assert!(is_as_long(&bytes[..], codec, 1 << 20).unwrap());
            assert!(!is_as_long(&bytes[..], codec, (1 << 20) - 1).unwrap());
        }
    }
}
