//! Token ids and document metadata on disk, with random access to any window of any document.
//!
//! All documents' tokens follow one another in one stream, cut into blocks of [`BLOCK_TOKENS`] tokens; each block is
//! one zstd frame with a checksum, many blocks make a shard file. `index.bin` says where everything is. Its layout
//! is on the page docs/format.md.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use crate::ids::{DocId, TokenId};

/// Tokens in a block.
pub const BLOCK_TOKENS: usize = 32_768;

const MAGIC: &[u8; 8] = b"NSCTOKEN";
const VERSION: u32 = 1;
const HEADER: usize = 56;
const DIGEST: usize = 32;
const SHARD_BYTES: u64 = 1 << 30;
const ZSTD_LEVEL: i32 = 12;

/// What can go wrong with a token store.
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
    /// A document is not there, or not so long.
    #[error("`{path}` has no tokens {tokens:?} of document {doc}, which has {len}")]
    NoTokens {
        /// The index.
        path: PathBuf,
        /// The document.
        doc: u32,
        /// What was looked for.
        tokens: Range<usize>,
        /// Tokens of the document; 0 if it is not there.
        len: usize,
    },
    /// More documents, or a longer one, than positions can number.
    #[error("the corpus has more than {0}")]
    TooLarge(&'static str),
}

/// Where a document comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentInfo<'a> {
    /// Its name.
    pub id: &'a str,
    /// Where it comes from.
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

/// Writes a store, document by document.
pub struct StoreWriter {
    dir: PathBuf,
    width: usize,
    offsets: Vec<u64>,
    metadata: Vec<[u32; 3]>,
    strings: Vec<String>,
    string_ids: HashMap<String, u32>,
    blocks: Vec<(u32, u32, u64)>,
    buffer: Vec<u8>,
    shard: Option<BufWriter<File>>,
    shard_len: u64,
    compressor: zstd::bulk::Compressor<'static>,
    files: Vec<String>,
}

impl StoreWriter {
    /// Begins a store in an existing folder. `d_vocab` decides how wide an id is.
    pub fn create(dir: &Path, d_vocab: usize) -> Result<Self, StoreError> {
        let io = |source| StoreError::Io {
            action: "write",
            path: dir.to_owned(),
            source,
        };
        let mut compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(io)?;
        compressor.include_checksum(true).map_err(io)?;
        Ok(Self {
            dir: dir.to_owned(),
            width: if d_vocab <= 1 << 16 { 2 } else { 4 },
            offsets: vec![0],
            metadata: Vec::new(),
            strings: Vec::new(),
            string_ids: HashMap::new(),
            blocks: Vec::new(),
            buffer: Vec::new(),
            shard: None,
            shard_len: 0,
            compressor,
            files: Vec::new(),
        })
    }

    /// Adds a document.
    pub fn push(&mut self, info: DocumentInfo<'_>, tokens: &[TokenId]) -> Result<(), StoreError> {
        if tokens.len() > (u32::MAX / 2) as usize {
            return Err(StoreError::TooLarge("2,147,483,647 tokens in one document"));
        }
        if self.metadata.len() >= u32::MAX as usize {
            return Err(StoreError::TooLarge("4,294,967,295 documents"));
        }
        let metadata = [info.id, info.source, info.license].map(|text| self.string(text));
        self.metadata.push(metadata);
        self.offsets
            .push(self.offsets.last().copied().unwrap_or(0) + tokens.len() as u64);
        for token in tokens {
            self.buffer
                .extend_from_slice(&token.0.to_le_bytes()[..self.width]);
            if self.buffer.len() == BLOCK_TOKENS * self.width {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Writes the index; returns the names of the files.
    pub fn finish(mut self) -> Result<Vec<String>, StoreError> {
        if !self.buffer.is_empty() {
            self.flush()?;
        }
        self.close_shard()?;
        let mut index = Vec::new();
        index.extend_from_slice(MAGIC);
        for n in [
            VERSION,
            self.width as u32,
            BLOCK_TOKENS as u32,
            self.files.len() as u32,
        ] {
            index.extend_from_slice(&n.to_le_bytes());
        }
        let string_bytes: usize = self.strings.iter().map(String::len).sum();
        for n in [
            self.metadata.len(),
            self.blocks.len(),
            self.strings.len(),
            string_bytes,
        ] {
            index.extend_from_slice(&(n as u64).to_le_bytes());
        }
        self.offsets
            .iter()
            .for_each(|n| index.extend_from_slice(&n.to_le_bytes()));
        self.metadata
            .iter()
            .flatten()
            .for_each(|n| index.extend_from_slice(&n.to_le_bytes()));
        for (shard, len, offset) in &self.blocks {
            index.extend_from_slice(&shard.to_le_bytes());
            index.extend_from_slice(&len.to_le_bytes());
            index.extend_from_slice(&offset.to_le_bytes());
        }
        let mut at = 0u64;
        index.extend_from_slice(&at.to_le_bytes());
        for string in &self.strings {
            at += string.len() as u64;
            index.extend_from_slice(&at.to_le_bytes());
        }
        self.strings
            .iter()
            .for_each(|string| index.extend_from_slice(string.as_bytes()));
        index.extend_from_slice(&Sha256::digest(&index));
        let path = index_path(&self.dir);
        let io = |source| StoreError::Io {
            action: "write",
            path: path.clone(),
            source,
        };
        let mut file = File::create_new(&path).map_err(io)?;
        file.write_all(&index)
            .and_then(|()| file.sync_all())
            .map_err(io)?;
        self.files.push(INDEX_FILE.into());
        Ok(self.files)
    }

    fn string(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        let id = self.strings.len() as u32;
        self.strings.push(text.to_owned());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let dir = self.dir.clone();
        let io = |name: &str, source| StoreError::Io {
            action: "write",
            path: dir.join(name),
            source,
        };
        let block = self
            .compressor
            .compress(&self.buffer)
            .map_err(|source| io("tokens", source))?;
        self.buffer.clear();
        if self.shard_len >= SHARD_BYTES {
            self.close_shard()?;
        }
        let name = match &self.shard {
            Some(_) => self.files.last().cloned().unwrap_or_default(),
            None => shard_name(self.files.len() as u32),
        };
        if self.shard.is_none() {
            self.shard = Some(BufWriter::new(
                File::create_new(dir.join(&name)).map_err(|source| io(&name, source))?,
            ));
            self.shard_len = 0;
            self.files.push(name.clone());
        }
        if let Some(shard) = &mut self.shard {
            shard
                .write_all(&block)
                .map_err(|source| io(&name, source))?;
        }
        self.blocks.push((
            self.files.len() as u32 - 1,
            block.len() as u32,
            self.shard_len,
        ));
        self.shard_len += block.len() as u64;
        Ok(())
    }

    fn close_shard(&mut self) -> Result<(), StoreError> {
        let Some(shard) = self.shard.take() else {
            return Ok(());
        };
        let path = self.dir.join(self.files.last().map_or("", String::as_str));
        let file = shard.into_inner().map_err(io::IntoInnerError::into_error);
        file.and_then(|file| file.sync_all())
            .map_err(|source| StoreError::Io {
                action: "write",
                path,
                source,
            })
    }
}

/// Reads a store.
pub struct TokenStore {
    dir: PathBuf,
    index: Mmap,
    shards: Vec<Mmap>,
    layout: Layout,
    cache: RwLock<Cache>,
    /// Counts the uses of blocks.
    clock: AtomicU64,
}

/// Where the tables of the index begin, all checked to lie inside it.
#[derive(Clone, Copy, Debug)]
struct Layout {
    width: usize,
    n_documents: usize,
    n_blocks: usize,
    offsets: usize,
    metadata: usize,
    blocks: usize,
    string_offsets: usize,
    strings: Span,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

struct Cache {
    /// Unpacked blocks, and when each was last used.
    blocks: HashMap<usize, (AtomicU64, Arc<[TokenId]>)>,
    capacity: usize,
}

impl TokenStore {
    /// Opens a store, keeping at most `cache_tokens` unpacked tokens in memory. The files must not be changed while
    /// they are open.
    pub fn open(dir: &Path, cache_tokens: usize) -> Result<Self, StoreError> {
        let path = index_path(dir);
        let index = map(&path)?;
        let layout = Layout::parse(&index, &path)?;
        let n_shards = u32_at(&index, 20);
        let shards = (0..n_shards)
            .map(|shard| map(&dir.join(shard_name(shard))))
            .collect::<Result<Vec<_>, _>>()?;
        let cache = Cache {
            blocks: HashMap::new(),
            capacity: cache_tokens.div_ceil(BLOCK_TOKENS).max(2),
        };
        let store = Self {
            dir: dir.to_owned(),
            index,
            shards,
            layout,
            cache: RwLock::new(cache),
            clock: AtomicU64::new(0),
        };
        store.check()?;
        Ok(store)
    }

    /// Names of its files.
    pub fn files(&self) -> Vec<String> {
        let shards = (0..self.shards.len() as u32).map(shard_name);
        shards.chain([INDEX_FILE.to_owned()]).collect()
    }

    /// Number of documents.
    pub fn n_documents(&self) -> usize {
        self.layout.n_documents
    }

    /// Number of tokens of all documents.
    pub fn n_tokens(&self) -> u64 {
        self.offset(self.layout.n_documents)
    }

    /// Number of tokens of one document.
    pub fn len(&self, doc: DocId) -> usize {
        let range = self.range(doc);
        (range.end - range.start) as usize
    }

    /// Whether the store has no document.
    pub fn is_empty(&self) -> bool {
        self.layout.n_documents == 0
    }

    /// Where a document's tokens lie in the stream of all tokens; a document that is not there has none.
    pub fn range(&self, doc: DocId) -> Range<u64> {
        let at = |doc: usize| self.offset(doc.min(self.layout.n_documents));
        at(doc.0 as usize)..at(doc.0 as usize + 1)
    }

    /// Where a document comes from; one that is not there has no name.
    pub fn info(&self, doc: DocId) -> DocumentInfo<'_> {
        let [id, source, license] = [0, 1, 2].map(|field| self.metadata(doc, field));
        DocumentInfo {
            id,
            source,
            license,
        }
    }

    /// Name of a document's source alone.
    pub fn source(&self, doc: DocId) -> &str {
        self.metadata(doc, 1)
    }

    fn metadata(&self, doc: DocId, field: usize) -> &str {
        match doc.0 as usize {
            doc if doc < self.layout.n_documents => {
                let at = self.layout.metadata + doc * 12 + field * 4;
                self.string(u32_at(&self.index, at))
            }
            _ => "",
        }
    }

    /// Tokens of a document, by their indices in it.
    pub fn tokens(&self, doc: DocId, range: Range<usize>) -> Result<Vec<TokenId>, StoreError> {
        let (document, len) = (self.range(doc), self.len(doc));
        if range.start > range.end || range.end > len {
            return Err(StoreError::NoTokens {
                path: index_path(&self.dir),
                doc: doc.0,
                tokens: range,
                len,
            });
        }
        let (start, end) = (
            document.start + range.start as u64,
            document.start + range.end as u64,
        );
        let mut out = Vec::with_capacity(range.len());
        let mut at = start;
        while at < end {
            let block = (at / BLOCK_TOKENS as u64) as usize;
            let tokens = self.block(block)?;
            let from = (at % BLOCK_TOKENS as u64) as usize;
            let until = (from + (end - at) as usize).min(tokens.len());
            out.extend_from_slice(&tokens[from..until]);
            at += (until - from) as u64;
        }
        Ok(out)
    }

    fn offset(&self, doc: usize) -> u64 {
        u64_at(&self.index, self.layout.offsets + doc * 8)
    }

    fn string(&self, id: u32) -> &str {
        let at = self.layout.string_offsets + id as usize * 8;
        let strings = &self.index
            [self.layout.strings.start..self.layout.strings.start + self.layout.strings.len];
        let (start, end) = (
            u64_at(&self.index, at) as usize,
            u64_at(&self.index, at + 8) as usize,
        );
        std::str::from_utf8(&strings[start..end]).unwrap_or_default()
    }

    fn block_len(&self, block: usize) -> usize {
        (self.n_tokens() - block as u64 * BLOCK_TOKENS as u64).min(BLOCK_TOKENS as u64) as usize
    }

    fn block(&self, block: usize) -> Result<Arc<[TokenId]>, StoreError> {
        let clock = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let cache = self.cache.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((used, tokens)) = cache.blocks.get(&block) {
            used.store(clock, Ordering::Relaxed);
            return Ok(Arc::clone(tokens));
        }
        drop(cache);
        let tokens = self.unpack(block)?;
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.blocks.len() >= cache.capacity {
            let used = |(_, (used, _)): &(&usize, &(AtomicU64, _))| used.load(Ordering::Relaxed);
            let oldest = cache.blocks.iter().min_by_key(used);
            let oldest = oldest.map(|(block, _)| *block);
            oldest.and_then(|oldest| cache.blocks.remove(&oldest));
        }
        let entry = (AtomicU64::new(clock), Arc::clone(&tokens));
        cache.blocks.insert(block, entry);
        Ok(tokens)
    }

    fn unpack(&self, block: usize) -> Result<Arc<[TokenId]>, StoreError> {
        let (shard, bytes) = self.block_bytes(block);
        let width = self.layout.width;
        let expected = self.block_len(block) * width;
        let damaged = |reason: String| StoreError::Damaged {
            path: self.dir.join(shard_name(shard)),
            reason,
        };
        let raw = zstd::bulk::decompress(bytes, expected)
            .map_err(|error| damaged(format!("block {block}: {error}")))?;
        if raw.len() != expected {
            return Err(damaged(format!(
                "block {block} holds {} bytes; expected {expected}",
                raw.len()
            )));
        }
        let id = |bytes: &[u8]| {
            TokenId(
                bytes
                    .iter()
                    .rev()
                    .fold(0, |id, &byte| id << 8 | u32::from(byte)),
            )
        };
        Ok(raw.chunks_exact(width).map(id).collect())
    }

    fn block_bytes(&self, block: usize) -> (u32, &[u8]) {
        let at = self.layout.blocks + block * 16;
        let (shard, len) = (
            u32_at(&self.index, at),
            u32_at(&self.index, at + 4) as usize,
        );
        let offset = u64_at(&self.index, at + 8) as usize;
        (shard, &self.shards[shard as usize][offset..offset + len])
    }

    /// Checks that whatever the index points to is there, so that later reads cannot fail by index.
    fn check(&self) -> Result<(), StoreError> {
        let damaged = |reason: &str| StoreError::Damaged {
            path: index_path(&self.dir),
            reason: reason.to_owned(),
        };
        let layout = &self.layout;
        let mut last = 0;
        for doc in 0..=layout.n_documents {
            let offset = self.offset(doc);
            if offset < last || (doc == 0 && offset != 0) || offset - last > u64::from(u32::MAX / 2)
            {
                return Err(damaged("documents overlap"));
            }
            last = offset;
        }
        if last.div_ceil(BLOCK_TOKENS as u64) != layout.n_blocks as u64 {
            return Err(damaged("documents and blocks disagree"));
        }
        if layout.n_documents > u32::MAX as usize {
            return Err(damaged("it has more documents than can be numbered"));
        }
        let n_strings = (layout.strings.start - layout.string_offsets) / 8 - 1;
        let mut last = 0;
        for string in 0..=n_strings {
            let offset = u64_at(&self.index, layout.string_offsets + string * 8);
            if offset < last || offset > layout.strings.len as u64 {
                return Err(damaged("strings overlap"));
            }
            last = offset;
        }
        let strings = layout.strings.start..layout.strings.start + layout.strings.len;
        let strings = std::str::from_utf8(&self.index[strings]);
        let cut = |string: usize| {
            let offset = u64_at(&self.index, layout.string_offsets + string * 8) as usize;
            strings.is_ok_and(|strings| strings.is_char_boundary(offset))
        };
        if last != layout.strings.len as u64 || !(0..=n_strings).all(cut) {
            return Err(damaged("its strings are not text"));
        }
        for field in 0..layout.n_documents * 3 {
            if u32_at(&self.index, layout.metadata + field * 4) as usize >= n_strings {
                return Err(damaged("a document names a string that is not there"));
            }
        }
        // blocks follow one another, from the first byte of the first shard to the last of the last
        let (mut shard, mut begin) = (0, 0);
        for block in 0..layout.n_blocks {
            let at = layout.blocks + block * 16;
            let end =
                u64_at(&self.index, at + 8).checked_add(u64::from(u32_at(&self.index, at + 4)));
            let own = u32_at(&self.index, at);
            let bytes = self
                .shards
                .get(own as usize)
                .map(|shard| shard.len() as u64);
            let Some((bytes, end)) = bytes.zip(end).filter(|(bytes, end)| end <= bytes) else {
                return Err(damaged(
                    "a block lies outside its shard; was a file cut off?",
                ));
            };
            if (own, u64_at(&self.index, at + 8)) != (shard, begin) {
                return Err(damaged("blocks overlap"));
            }
            (shard, begin) = match end == bytes {
                true => (own + 1, 0),
                false => (own, end),
            };
        }
        if (shard as usize, begin) != (self.shards.len(), 0) {
            return Err(damaged("blocks do not fill their shards"));
        }
        Ok(())
    }
}

impl Layout {
    fn parse(index: &[u8], path: &Path) -> Result<Self, StoreError> {
        let damaged = |reason: &str| StoreError::Damaged {
            path: path.to_owned(),
            reason: reason.to_owned(),
        };
        if index.len() < HEADER + DIGEST || &index[..8] != MAGIC {
            return Err(damaged("it is not an index of tokens"));
        }
        let version = u32_at(index, 8);
        if version > VERSION {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found: version,
            });
        }
        let (body, digest) = index.split_at(index.len() - DIGEST);
        if Sha256::digest(body).as_slice() != digest {
            return Err(damaged("its checksum is wrong"));
        }
        let width = u32_at(index, 12) as usize;
        if !matches!(width, 2 | 4) || u32_at(index, 16) as usize != BLOCK_TOKENS {
            return Err(damaged("its header makes no sense"));
        }
        let [n_documents, n_blocks, n_strings, string_bytes] =
            [24, 32, 40, 48].map(|at| usize::try_from(u64_at(index, at)).unwrap_or(usize::MAX));
        let table = |start: Option<usize>, n: usize, size: usize| {
            n.checked_mul(size).and_then(|len| start?.checked_add(len))
        };
        let offsets = Some(HEADER);
        let metadata = table(offsets, n_documents.saturating_add(1), 8);
        let blocks = table(metadata, n_documents, 12);
        let string_offsets = table(blocks, n_blocks, 16);
        let strings = table(string_offsets, n_strings.saturating_add(1), 8);
        let end = table(strings, string_bytes, 1);
        match (metadata, blocks, string_offsets, strings, end) {
            (Some(metadata), Some(blocks), Some(string_offsets), Some(strings), Some(end))
                if end == body.len() =>
            {
                let strings = Span {
                    start: strings,
                    len: string_bytes,
                };
                Ok(Self {
                    width,
                    n_documents,
                    n_blocks,
                    offsets: HEADER,
                    metadata,
                    blocks,
                    string_offsets,
                    strings,
                })
            }
            _ => Err(damaged("its tables do not fill it")),
        }
    }
}

fn map(path: &Path) -> Result<Mmap, StoreError> {
    let io = |source| StoreError::Io {
        action: "read",
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    // SAFETY: the map is read only; that no one changes the file meanwhile is the documented condition of `open`
    unsafe { Mmap::map(&file) }.map_err(io)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .rev()
        .fold(0, |n, &byte| n << 8 | u32::from(byte))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8]
        .iter()
        .rev()
        .fold(0, |n, &byte| n << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn write(dir: &Path, documents: &[Vec<u32>], d_vocab: usize) {
        let mut writer = StoreWriter::create(dir, d_vocab).unwrap();
        for (i, document) in documents.iter().enumerate() {
            let (id, source) = (format!("doc {i}"), format!("source {}", i % 2));
            let tokens: Vec<_> = document.iter().map(|&id| TokenId(id)).collect();
            writer
                .push(
                    DocumentInfo {
                        id: &id,
                        source: &source,
                        license: "CC0-1.0",
                    },
                    &tokens,
                )
                .unwrap();
        }
        writer.finish().unwrap();
    }

    #[test]
    fn any_range_of_any_document_can_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let long: Vec<u32> = (0..BLOCK_TOKENS as u32 * 2 + 7)
            .map(|i| i * 7 % 60_000)
            .collect();
        let documents = [vec![1, 2, 3], vec![], long.clone(), vec![9]];
        write(dir.path(), &documents, 60_000);
        let store = TokenStore::open(dir.path(), 1).unwrap();
        assert_eq!(store.n_documents(), 4);
        assert_eq!(store.n_tokens(), long.len() as u64 + 4);
        for (i, document) in documents.iter().enumerate() {
            let doc = DocId(i as u32);
            let all: Vec<u32> = store
                .tokens(doc, 0..store.len(doc))
                .unwrap()
                .iter()
                .map(|id| id.0)
                .collect();
            assert_eq!(&all, document);
        }
        let middle = store.tokens(DocId(2), 32_760..32_770).unwrap();
        assert_eq!(
            middle.iter().map(|id| id.0).collect::<Vec<_>>(),
            long[32_760..32_770]
        );
        assert_eq!(
            store.info(DocId(3)),
            DocumentInfo {
                id: "doc 3",
                source: "source 1",
                license: "CC0-1.0"
            }
        );
    }

    #[test]
    fn large_vocabularies_take_wide_ids() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[vec![200_000, 5]], 250_000);
        let store = TokenStore::open(dir.path(), 1).unwrap();
        assert_eq!(
            store.tokens(DocId(0), 0..2).unwrap(),
            [TokenId(200_000), TokenId(5)]
        );
    }

    #[test]
    fn a_truncated_shard_and_a_newer_version_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[(0..5000).collect()], 60_000);
        let shard = dir.path().join(shard_name(0));
        let whole = std::fs::read(&shard).unwrap();
        std::fs::write(&shard, &whole[..whole.len() - 1]).unwrap();
        let error = TokenStore::open(dir.path(), 1).err().unwrap().to_string();
        assert!(
            error.contains("index.bin") && error.contains("cut off"),
            "{error}"
        );
        std::fs::write(&shard, &whole).unwrap();

        let path = index_path(dir.path());
        let mut index = std::fs::read(&path).unwrap();
        index[8] = 99;
        std::fs::write(&path, &index).unwrap();
        let error = TokenStore::open(dir.path(), 1).err().unwrap().to_string();
        assert!(error.contains("version 99"), "{error}");
    }

    #[test]
    fn what_is_not_there_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[vec![1, 2, 3]], 60_000);
        let store = TokenStore::open(dir.path(), 1).unwrap();
        let backwards = Range { start: 2, end: 1 };
        for (doc, range) in [
            (0, 2..4),
            (0, 7..9),
            (0, backwards),
            (1, 0..1),
            (u32::MAX, 3..9),
        ] {
            let error = store.tokens(DocId(doc), range).unwrap_err().to_string();
            assert!(error.contains("index.bin` has no tokens"), "{error}");
        }
        assert_eq!(
            (store.len(DocId(1)), store.source(DocId(u32::MAX))),
            (0, "")
        );
    }

    /// A store of one block with some values of its index changed, and the checksum put right.
    fn changed(change: impl Fn(&mut Vec<u8>)) -> Result<TokenStore, StoreError> {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), &[vec![1, 2, 3], vec![4]], 60_000);
        let path = index_path(dir.path());
        let mut index = std::fs::read(&path).unwrap();
        index.truncate(index.len() - DIGEST);
        change(&mut index);
        index.extend_from_slice(&Sha256::digest(&index));
        std::fs::write(&path, index).unwrap();
        TokenStore::open(dir.path(), 1)
    }

    #[test]
    fn an_index_of_wrong_numbers_is_damaged() {
        assert!(changed(|_| ()).is_ok());
        // the header's counts, the documents' ends, their strings, the block's shard, length and place
        for (at, size) in [
            (20, 4),
            (24, 8),
            (32, 8),
            (40, 8),
            (48, 8),
            (HEADER, 8),
            (HEADER + 8, 8),
            (HEADER + 16, 8),
            (HEADER + 24, 4),
            (HEADER + 48, 4),
            (HEADER + 52, 4),
            (HEADER + 56, 8),
        ] {
            for byte in [0x7f, 0xff] {
                let error = changed(|index| index[at..at + size].fill(byte)).err();
                let error = error.map(|error| error.to_string());
                let names_a_file = error.as_ref().is_some_and(|error| error.contains(".bin`"));
                assert!(names_a_file, "{size} bytes at {at}: {error:?}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_followed_when_a_store_is_written() {
        let dir = tempfile::tempdir().unwrap();
        let mine = dir.path().join("mine.txt");
        std::fs::write(&mine, "years of work").unwrap();
        for name in ["index.bin", "tokens-00000.bin"] {
            let store = dir.path().join(format!("store-{name}"));
            std::fs::create_dir(&store).unwrap();
            std::os::unix::fs::symlink(&mine, store.join(name)).unwrap();
            let mut writer = StoreWriter::create(&store, 10).unwrap();
            let info = DocumentInfo {
                id: "",
                source: "",
                license: "",
            };
            let written = writer
                .push(info, &[TokenId(1)])
                .and_then(|()| writer.finish());
            assert!(written.is_err());
            assert_eq!(std::fs::read(&mine).unwrap(), b"years of work");
        }
    }

    proptest! {
        #[test]
        fn corrupt_bytes_give_an_error_or_the_same_tokens(at in any::<prop::sample::Index>(), flip in 1u8..=255, fix_digest in any::<bool>(), in_index in any::<bool>()) {
            let dir = tempfile::tempdir().unwrap();
            let documents = [(0..3000).map(|i| i % 50).collect::<Vec<u32>>(), vec![4; 100]];
            write(dir.path(), &documents, 60_000);
            let path = if in_index { index_path(dir.path()) } else { dir.path().join(shard_name(0)) };
            let mut bytes = std::fs::read(&path).unwrap();
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
            if in_index && fix_digest {
                let body = bytes.len() - DIGEST;
                let digest = Sha256::digest(&bytes[..body]);
                bytes[body..].copy_from_slice(&digest);
            }
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(store) = TokenStore::open(dir.path(), 1) {
                for doc in 0..store.n_documents() as u32 {
                    store.info(DocId(doc));
                    let _ = store.tokens(DocId(doc), 0..store.len(DocId(doc)));
                }
            }
        }
    }
}
