//! A packed file: what it is of, a checksum, and records by column, in gzip.

use std::cell::RefCell;

use libdeflater::{CompressionLvl, Compressor, Crc, Decompressor};
use serde::{Deserialize, Serialize};
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
    pub(crate) fn finish(&self, build: BuildId, effort: Effort) -> Result<Vec<u8>, SiteError> {
        let mut file = [&MAGIC[..], &[VERSION], &build.0].concat();
        let at = file.len();
        file.extend_from_slice(&[0; 4]);
        let content = file.len();
        push_length(&mut file, self.records.len());
        self.records.write(&mut file, &mut Written::default());
        let mut crc = Crc::new();
        crc.update(&file[content..]);
        file[at..content].copy_from_slice(&crc.sum().to_le_bytes());
        gzip(&file, effort)
    }
}

/// How much is done to make a file small.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Effort {
    /// libdeflate's level 1. Files of neurons hardly get smaller: they take 3 per cent more than with the most effort, in an
    /// eighth of the time.
    Least,
    /// Its level 6.
    Usual,
    /// Its level 12.
    Most,
}

/// Bytes in gzip.
pub(crate) fn gzip(bytes: &[u8], effort: Effort) -> Result<Vec<u8>, SiteError> {
    let level = match effort {
        Effort::Least => 1,
        Effort::Usual => 6,
        Effort::Most => 12,
    };
    let level = CompressionLvl::new(level).map_err(|_| SiteError::Compress)?;
    let mut compressor = Compressor::new(level);
    SPACE.with_borrow_mut(|space| {
        let most = compressor.gzip_compress_bound(bytes.len());
        space.resize(most.max(space.len()), 0);
        let n = compressor.gzip_compress(bytes, space);
        Ok(space[..n.map_err(|_| SiteError::Compress)?].to_vec())
    })
}

thread_local! {
    /// Where a thread compresses, so that files take no more memory than they fill.
    static SPACE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
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
