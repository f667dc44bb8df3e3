//! Reads a store: any window of any document.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use memmap2::Mmap;
use sha2::{Digest, Sha256};

use super::roles::RoleSet;
use super::{
    BLOCK_TOKENS, CHAT_HEADER, DIGEST, DocumentInfo, HEADER, INDEX_FILE, MAGIC, MOST_ROLES,
    StoreError, TEXTS, VERSION, index_path, shard_name,
};
use crate::ids::{DocId, RoleId, TokenId};

/// Reads a store.
pub struct TokenStore {
    dir: PathBuf,
    index: Mmap,
    shards: Vec<Mmap>,
    layout: Layout,
    tokens: Cache<TokenId>,
    roles: Cache<RoleId>,
}

/// Offsets of the tables of the index, all checked to lie inside it.
#[derive(Clone, Copy, Debug)]
struct Layout {
    width: usize,
    n_documents: usize,
    /// Blocks of tokens.
    n_blocks: usize,
    /// Number of roles, in a store of conversations.
    n_roles: Option<usize>,
    offsets: usize,
    metadata: usize,
    blocks: usize,
    roles: usize,
    string_offsets: usize,
    strings: Span,
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: usize,
    len: usize,
}

/// An unpacked block, and when it was last used.
type Block<T> = (AtomicU64, Arc<[T]>);

/// Unpacked blocks.
struct Cache<T> {
    blocks: RwLock<HashMap<usize, Block<T>>>,
    capacity: usize,
    /// Counts the uses of blocks.
    clock: AtomicU64,
}

impl<T> Cache<T> {
    fn new(tokens: usize) -> Self {
        Self {
            blocks: RwLock::new(HashMap::new()),
            capacity: tokens.div_ceil(BLOCK_TOKENS).max(2),
            clock: AtomicU64::new(0),
        }
    }

    /// A block, unpacked if it is not there.
    fn get(
        &self,
        block: usize,
        unpack: impl FnOnce() -> Result<Arc<[T]>, StoreError>,
    ) -> Result<Arc<[T]>, StoreError> {
        let clock = self.clock.fetch_add(1, Ordering::Relaxed) + 1;
        let blocks = self.blocks.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((used, values)) = blocks.get(&block) {
            used.store(clock, Ordering::Relaxed);
            return Ok(Arc::clone(values));
        }
        drop(blocks);
        let values = unpack()?;
        let mut blocks = self.blocks.write().unwrap_or_else(PoisonError::into_inner);
        if blocks.len() >= self.capacity {
            let used = |(_, (used, _)): &(&usize, &(AtomicU64, _))| used.load(Ordering::Relaxed);
            let oldest = blocks.iter().min_by_key(used);
            let oldest = oldest.map(|(block, _)| *block);
            oldest.and_then(|oldest| blocks.remove(&oldest));
        }
        let entry = (AtomicU64::new(clock), Arc::clone(&values));
        blocks.insert(block, entry);
        Ok(values)
    }
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
        let store = Self {
            dir: dir.to_owned(),
            index,
            shards,
            layout,
            tokens: Cache::new(cache_tokens),
            roles: Cache::new(cache_tokens),
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

    /// Range of a document's tokens in the stream of all tokens; empty if there is no such document.
    pub fn range(&self, doc: DocId) -> Range<u64> {
        let at = |doc: usize| self.offset(doc.min(self.layout.n_documents));
        at(doc.0 as usize)..at(doc.0 as usize + 1)
    }

    /// Name, source and licence of a document; empty if there is no such document.
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
        self.read(doc, range, |block| self.token_block(block))
    }

    /// Roles of a document's tokens, by their indices in it; `None` in a store of texts.
    pub fn roles(
        &self,
        doc: DocId,
        range: Range<usize>,
    ) -> Result<Option<Vec<RoleId>>, StoreError> {
        match self.layout.n_roles {
            Some(_) => (self.read(doc, range, |block| self.role_block(block))).map(Some),
            None => Ok(None),
        }
    }

    /// Whether it is a store of conversations, whose tokens have roles.
    pub fn has_roles(&self) -> bool {
        self.layout.n_roles.is_some()
    }

    /// The names of the roles, in the order of their numbers.
    pub fn role_names(&self) -> Vec<&str> {
        let n_roles = self.layout.n_roles.unwrap_or(0);
        let ids = (0..n_roles).map(|role| u32_at(&self.index, self.layout.roles + role * 4));
        ids.map(|id| self.string(id)).collect()
    }

    /// The roles with some names, or the first name that no role has.
    pub fn role_set(&self, names: &[String]) -> Result<RoleSet, String> {
        let known = self.role_names();
        let role = |name: &String| match known.iter().position(|role| role == name) {
            Some(at) => Ok(RoleId(at as u8 + 1)),
            None => Err(name.clone()),
        };
        names.iter().map(role).collect()
    }

    /// Whether each of some tokens of a document has one of some roles.
    pub fn has_role(
        &self,
        doc: DocId,
        range: Range<usize>,
        roles: &RoleSet,
    ) -> Result<Vec<bool>, StoreError> {
        let n = range.len();
        Ok(match self.roles(doc, range)? {
            Some(own) => own.iter().map(|role| roles.contains(*role)).collect(),
            None => vec![false; n],
        })
    }

    /// Some values of a document, block by block.
    fn read<T: Copy>(
        &self,
        doc: DocId,
        range: Range<usize>,
        block_of: impl Fn(usize) -> Result<Arc<[T]>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
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
            let values = block_of(block)?;
            let from = (at % BLOCK_TOKENS as u64) as usize;
            let until = (from + (end - at) as usize).min(values.len());
            out.extend_from_slice(&values[from..until]);
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

    fn token_block(&self, block: usize) -> Result<Arc<[TokenId]>, StoreError> {
        self.tokens.get(block, || {
            let width = self.layout.width;
            let raw = self.unpack(block, block * self.layout.n_streams(), width)?;
            let id = |bytes: &[u8]| {
                let bytes = bytes.iter().rev();
                TokenId(bytes.fold(0, |id, &byte| id << 8 | u32::from(byte)))
            };
            Ok(raw.chunks_exact(width).map(id).collect())
        })
    }

    fn role_block(&self, block: usize) -> Result<Arc<[RoleId]>, StoreError> {
        self.roles.get(block, || {
            let entry = block * self.layout.n_streams() + 1;
            let raw = self.unpack(block, entry, 1)?;
            let n_roles = self.layout.n_roles.unwrap_or(0);
            if let Some(&role) = raw.iter().find(|&&role| usize::from(role) > n_roles) {
                return Err(self.damaged(
                    entry,
                    format!("block {entry} has role {role}; there are {n_roles}"),
                ));
            }
            Ok(raw.into_iter().map(RoleId).collect())
        })
    }

    /// The bytes of an entry of the table of blocks, with `width` of them for each token of a block.
    fn unpack(&self, block: usize, entry: usize, width: usize) -> Result<Vec<u8>, StoreError> {
        let expected = self.block_len(block) * width;
        let raw = zstd::bulk::decompress(self.block_bytes(entry).1, expected)
            .map_err(|error| self.damaged(entry, format!("block {entry}: {error}")))?;
        if raw.len() != expected {
            return Err(self.damaged(
                entry,
                format!(
                    "block {entry} holds {} bytes; expected {expected}",
                    raw.len()
                ),
            ));
        }
        Ok(raw)
    }

    /// The error of a block that is damaged.
    fn damaged(&self, entry: usize, reason: String) -> StoreError {
        StoreError::Damaged {
            path: self.dir.join(shard_name(self.block_bytes(entry).0)),
            reason,
        }
    }

    fn block_bytes(&self, entry: usize) -> (u32, &[u8]) {
        let at = self.layout.blocks + entry * 16;
        let (shard, len) = (
            u32_at(&self.index, at),
            u32_at(&self.index, at + 4) as usize,
        );
        let offset = u64_at(&self.index, at + 8) as usize;
        (shard, &self.shards[shard as usize][offset..offset + len])
    }

    /// Checks that the index points to existing data only, so that later reads cannot fail by index.
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
        let n_roles = layout.n_roles.unwrap_or(0);
        for role in 0..n_roles {
            if u32_at(&self.index, layout.roles + role * 4) as usize >= n_strings {
                return Err(damaged("a role names a string that is not there"));
            }
        }
        let names: HashSet<&str> = self.role_names().into_iter().collect();
        if names.len() != n_roles {
            return Err(damaged("two roles have one name"));
        }
        // blocks follow one another, from the first byte of the first shard to the last of the last
        let (mut shard, mut begin) = (0, 0);
        for block in 0..layout.n_blocks * layout.n_streams() {
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
    /// Blocks of each stretch of tokens: the tokens, and their roles if there are any.
    fn n_streams(&self) -> usize {
        1 + usize::from(self.n_roles.is_some())
    }

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
        let header = if version > TEXTS { CHAT_HEADER } else { HEADER };
        if index.len() < header + DIGEST {
            return Err(damaged("it is not an index of tokens"));
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
        let n_roles =
            (version > TEXTS).then(|| usize::try_from(u64_at(index, HEADER)).unwrap_or(usize::MAX));
        if n_roles.is_some_and(|n| n > MOST_ROLES) {
            return Err(damaged("it has more roles than can be numbered"));
        }
        let n_entries = match n_roles {
            Some(_) => n_blocks.saturating_mul(2),
            None => n_blocks,
        };
        let table = |start: Option<usize>, n: usize, size: usize| {
            n.checked_mul(size).and_then(|len| start?.checked_add(len))
        };
        let offsets = Some(header);
        let metadata = table(offsets, n_documents.saturating_add(1), 8);
        let blocks = table(metadata, n_documents, 12);
        let roles = table(blocks, n_entries, 16);
        let string_offsets = table(roles, n_roles.unwrap_or(0), 4);
        let strings = table(string_offsets, n_strings.saturating_add(1), 8);
        let end = table(strings, string_bytes, 1);
        match (metadata, blocks, roles, string_offsets, strings, end) {
            (
                Some(metadata),
                Some(blocks),
                Some(roles),
                Some(string_offsets),
                Some(strings),
                Some(end),
            ) if end == body.len() => {
                let strings = Span {
                    start: strings,
                    len: string_bytes,
                };
                Ok(Self {
                    width,
                    n_documents,
                    n_blocks,
                    n_roles,
                    offsets: header,
                    metadata,
                    blocks,
                    roles,
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
