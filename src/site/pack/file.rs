//! A packed file: what it is of, a checksum, and records by column, in gzip.

use libdeflater::{CompressionLvl, Compressor, Crc, Decompressor};
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::columns::{Column, Written, push_length};
use crate::files::hex;
use crate::site::error::SiteError;

/// What every packed file begins with.
const MAGIC: &[u8; 4] = b"NSPK";
/// The version of the format.
pub(super) const VERSION: u8 = 1;

/// What the packed files of one build have in common, and those of another have not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BuildId([u8; 8]);

impl BuildId {
    /// The id of files that are made only to see how large they are.
    pub(crate) const NONE: Self = Self([0; 8]);

    /// The id of a build, by all that its packed files depend on.
    pub(crate) fn of(made_of: &Value) -> Self {
        let hash = Sha256::digest(made_of.to_string());
        let mut id = [0; 8];
        id.copy_from_slice(&hash[..8]);
        Self(id)
    }

    /// In hexadecimal digits.
    pub(crate) fn hex(self) -> String {
        hex(&self.0)
    }
}

/// A packed file that is being made.
#[derive(Debug, Default)]
pub(crate) struct PackFile {
    records: Column,
}

impl PackFile {
    /// Adds a record.
    pub(crate) fn push(&mut self, record: &impl Serialize) -> Result<(), SiteError> {
        let pushed = self.records.push(record);
        pushed.map_err(|error| SiteError::Pack(error.to_string()))
    }

    /// The bytes of the file.
    pub(crate) fn finish(&self, build: BuildId) -> Result<Vec<u8>, SiteError> {
        let mut content = Vec::new();
        push_length(&mut content, self.records.len());
        self.records.write(&mut content, &mut Written::default());
        let mut crc = Crc::new();
        crc.update(&content);
        let head = [&MAGIC[..], &[VERSION], &build.0, &crc.sum().to_le_bytes()].concat();
        gzip(&[&head, &content].map(|part| part.as_slice()).concat())
    }
}

/// Bytes in gzip, as small as it gets them: they are written once and loaded often.
pub(crate) fn gzip(bytes: &[u8]) -> Result<Vec<u8>, SiteError> {
    let mut compressor = Compressor::new(CompressionLvl::best());
    let mut out = vec![0; compressor.gzip_compress_bound(bytes.len())];
    let n = compressor.gzip_compress(bytes, &mut out);
    out.truncate(n.map_err(|_| SiteError::Compress)?);
    Ok(out)
}

/// The bytes that [`gzip`] made smaller.
pub(crate) fn gunzip(packed: &[u8]) -> Result<Vec<u8>, SiteError> {
    // they end with how many there are
    let n = packed.last_chunk().copied().map(u32::from_le_bytes);
    let mut bytes = vec![0; n.unwrap_or_default() as usize];
    let unpacked = Decompressor::new().gzip_decompress(packed, &mut bytes);
    unpacked.map_err(|error| SiteError::Pack(error.to_string()))?;
    Ok(bytes)
}
