//! How files are compressed.

use std::io::{self, BufRead, BufReader, Read};

/// What a file's text is read from.
pub(super) type Reader = Box<dyn Read + Send>;

/// The largest window of a zstd frame, as `zstd --long=31` writes it. Memory is used as far as the window is filled.
const MOST_WINDOW_LOG: u32 = 31;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
}

/// How a file is compressed, by what it begins with. Its name does not count: browsers and servers decompress files without
/// renaming them.
pub(super) fn packing(head: &[u8]) -> Option<Packing> {
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

/// What a decoder reads. Its errors that are not the system's are about damaged bytes, and say so by their kind.
struct Decoded<R>(R);

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into).map_err(damaged)
    }
}

/// An error of a decoder.
fn damaged(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(_) => error,
        None => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    }
}

pub(super) fn unpack(packing: Option<Packing>, reader: Reader) -> io::Result<Reader> {
    Ok(match packing {
        Some(Packing::Gzip) => Box::new(Decoded(Gunzip {
            member: Some(flate2::bufread::GzDecoder::new(BufReader::new(reader))),
        })),
        Some(Packing::Zstd) => {
            let mut decoder = zstd::stream::read::Decoder::new(reader)?;
            decoder.window_log_max(MOST_WINDOW_LOG)?;
            Box::new(Decoded(decoder))
        }
        None => reader,
    })
}

/// Whether a file is compressed, by what it begins with.
pub(super) fn is_packed(head: &[u8]) -> bool {
    packing(head).is_some()
}

/// The first byte that is not space; space before it is passed over.
pub(super) fn begins(reader: &mut impl BufRead) -> io::Result<Option<u8>> {
    loop {
        let bytes = reader.fill_buf()?;
        let n_space = bytes
            .iter()
            .take_while(|byte| byte.is_ascii_whitespace())
            .count();
        let (first, is_end) = (bytes.get(n_space).copied(), bytes.is_empty());
        reader.consume(n_space);
        if first.is_some() || is_end {
            return Ok(first);
        }
    }
}
