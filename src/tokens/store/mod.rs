//! Token ids and document metadata on disk, with random access to any window of any document.
//!
//! All documents' tokens follow one another in one stream, cut into blocks of [`BLOCK_TOKENS`] tokens; each block is
//! one zstd frame with a checksum, many blocks make a shard file. `index.bin` says where everything is. Its layout
//! is on the page docs/format.md.
//!
//! A store of conversations (version 2) has a second stream, the role of each token, in blocks like the first one's. Each
//! stands after the block of its tokens.

mod reader;
mod roles;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

pub use reader::TokenStore;
pub use roles::RoleSet;
pub use writer::StoreWriter;

/// Tokens in a block.
pub const BLOCK_TOKENS: usize = 32_768;

const MAGIC: &[u8; 8] = b"NSCTOKEN";
/// Version of a store of texts.
const TEXTS: u32 = 1;
/// Version of a store of conversations, and the newest one.
const VERSION: u32 = 2;
const HEADER: usize = 56;
/// Bytes of the header of a store of conversations.
const CHAT_HEADER: usize = 64;
/// Most roles of a store.
const MOST_ROLES: usize = 255;
const DIGEST: usize = 32;
const SHARD_BYTES: u64 = 1 << 30;
const ZSTD_LEVEL: i32 = 12;

/// An error in a token store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is damaged.
    #[error("`{path}` is damaged: {reason}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file was written by a newer version.
    #[error("`{path}` has format version {found}; this program reads up to {VERSION}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// A document does not exist, or is too short.
    #[error("`{path}` has no tokens {tokens:?} of document {doc}, which has {len}")]
    NoTokens {
        /// The index.
        path: PathBuf,
        /// The document.
        doc: u32,
        /// The tokens that were asked for.
        tokens: Range<usize>,
        /// Tokens of the document; 0 if it does not exist.
        len: usize,
    },
    /// There are more documents, or a longer one, than positions can number.
    #[error("the corpus has more than {0}")]
    TooLarge(&'static str),
}

/// The name, source and licence of a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentInfo<'a> {
    /// Its name.
    pub id: &'a str,
    /// Its source.
    pub source: &'a str,
    /// Its licence.
    pub license: &'a str,
}

/// Adds a document to the hash of a corpus: its text and where it comes from, each after its length.
pub fn hash_document(hash: &mut Sha256, text: &[u8], info: &DocumentInfo<'_>) {
    let [source, license, id] = [info.source, info.license, info.id].map(str::as_bytes);
    for field in [text, source, license, id] {
        hash.update((field.len() as u64).to_le_bytes());
        hash.update(field);
    }
}

const INDEX_FILE: &str = "index.bin";

fn index_path(dir: &Path) -> PathBuf {
    dir.join(INDEX_FILE)
}

fn shard_name(shard: u32) -> String {
    format!("tokens-{shard:05}.bin")
}
