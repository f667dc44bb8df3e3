//! Writes a store, document by document.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{
    BLOCK_TOKENS, DocumentInfo, INDEX_FILE, MAGIC, MOST_ROLES, SHARD_BYTES, StoreError, TEXTS,
    VERSION, ZSTD_LEVEL, index_path, shard_name,
};
use crate::ids::{RoleId, TokenId};

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
    roles: Option<Roles>,
    shard: Option<BufWriter<File>>,
    shard_len: u64,
    compressor: zstd::bulk::Compressor<'static>,
    files: Vec<String>,
}

/// The roles of a store of conversations.
#[derive(Default)]
struct Roles {
    names: Vec<String>,
    buffer: Vec<u8>,
}

impl StoreWriter {
    /// Begins a store of conversations in an existing folder.
    pub fn create_for_chat(dir: &Path, d_vocab: usize) -> Result<Self, StoreError> {
        Ok(Self {
            roles: Some(Roles::default()),
            ..Self::create(dir, d_vocab)?
        })
    }

    /// Begins a store of texts in an existing folder. `d_vocab` decides how wide an id is.
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
            roles: None,
            shard: None,
            shard_len: 0,
            compressor,
            files: Vec::new(),
        })
    }

    /// The number of a role, for a store of conversations.
    pub fn role(&mut self, name: &str) -> Result<RoleId, StoreError> {
        let names = match &mut self.roles {
            Some(roles) => &mut roles.names,
            None => return Ok(RoleId::NONE),
        };
        let at = match names.iter().position(|known| known == name) {
            Some(at) => at,
            None if names.len() == MOST_ROLES => {
                return Err(StoreError::TooLarge("255 roles"));
            }
            None => {
                names.push(name.to_owned());
                names.len() - 1
            }
        };
        Ok(RoleId(at as u8 + 1))
    }

    /// The names of the roles so far, in the order of their numbers.
    pub fn role_names(&self) -> &[String] {
        self.roles.as_ref().map_or(&[], |roles| &roles.names)
    }

    /// Adds a document of which no token has a role.
    pub fn push(&mut self, info: DocumentInfo<'_>, tokens: &[TokenId]) -> Result<(), StoreError> {
        self.push_with_roles(info, tokens, &[])
    }

    /// Adds a document with the roles of its tokens; those after the last one have none.
    pub fn push_with_roles(
        &mut self,
        info: DocumentInfo<'_>,
        tokens: &[TokenId],
        roles: &[RoleId],
    ) -> Result<(), StoreError> {
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
        for (at, token) in tokens.iter().enumerate() {
            self.buffer
                .extend_from_slice(&token.0.to_le_bytes()[..self.width]);
            if let Some(own) = &mut self.roles {
                own.buffer
                    .push(roles.get(at).map_or(RoleId::NONE.0, |role| role.0));
            }
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
        let roles = self.roles.take().map(|roles| {
            let ids = roles.names.iter().map(|name| self.string(name));
            ids.collect::<Vec<u32>>()
        });
        let mut index = Vec::new();
        index.extend_from_slice(MAGIC);
        for n in [
            if roles.is_some() { VERSION } else { TEXTS },
            self.width as u32,
            BLOCK_TOKENS as u32,
            self.files.len() as u32,
        ] {
            index.extend_from_slice(&n.to_le_bytes());
        }
        let string_bytes: usize = self.strings.iter().map(String::len).sum();
        for n in [
            self.metadata.len(),
            self.blocks.len() / if roles.is_some() { 2 } else { 1 },
            self.strings.len(),
            string_bytes,
        ] {
            index.extend_from_slice(&(n as u64).to_le_bytes());
        }
        if let Some(roles) = &roles {
            index.extend_from_slice(&(roles.len() as u64).to_le_bytes());
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
        for role in roles.iter().flatten() {
            index.extend_from_slice(&role.to_le_bytes());
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

    /// Writes the block of tokens that is full, and the block of their roles.
    fn flush(&mut self) -> Result<(), StoreError> {
        let block = self.compressor.compress(&self.buffer);
        self.buffer.clear();
        self.write_block(block)?;
        if let Some(roles) = &mut self.roles {
            let block = self.compressor.compress(&roles.buffer);
            roles.buffer.clear();
            self.write_block(block)?;
        }
        Ok(())
    }

    fn write_block(&mut self, block: io::Result<Vec<u8>>) -> Result<(), StoreError> {
        let dir = self.dir.clone();
        let io = |name: &str, source| StoreError::Io {
            action: "write",
            path: dir.join(name),
            source,
        };
        let block = block.map_err(|source| io("tokens", source))?;
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
