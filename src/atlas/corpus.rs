//! The corpus of an atlas, which must be the one that was scanned.

use std::path::Path;

use crate::files::read_at_most;
use crate::shard::{
    CorpusInfo, CorpusManifest, MANIFEST, ScanIdentity, ShardError, TOKENIZER_FILE, read_manifest,
    require_files, short_hash, verify_files,
};
use crate::tokens::Tokenizer;
use crate::tokens::store::{RoleSet, TokenStore};

use super::error::AtlasError;

/// Most bytes of a tokenizer's file.
const MOST_TOKENIZER_BYTES: u64 = 256 << 20;

/// The corpus of a scan.
pub struct ScannedCorpus {
    /// What it is.
    pub manifest: CorpusManifest,
    /// Its tokens.
    pub store: TokenStore,
    /// What made them.
    pub tokenizer: Tokenizer,
    /// The tokenizer's file.
    pub tokenizer_json: Vec<u8>,
    /// Roles whose tokens were counted; `None` if all tokens were.
    pub counted_roles: Option<RoleSet>,
}

/// Reads what the corpus in a folder is, which must be what a scan was of. Any other, the same one in other tokens, and one
/// that cannot be told to be it, are refused: their text would stand under values that belong to other text.
pub fn check_corpus(folder: &Path, scan: &ScanIdentity) -> Result<CorpusManifest, AtlasError> {
    let unknown = |what| AtlasError::UnknownCorpus {
        path: folder.to_owned(),
        what,
    };
    let text = (scan.corpus.sha256.as_ref()).ok_or_else(|| unknown("text"))?;
    let tokenizer = (scan.model.tokenizer_sha256.as_ref()).ok_or_else(|| unknown("tokenizer"))?;
    let manifest: CorpusManifest = read_manifest(folder)?;
    let found = manifest.corpus.sha256.as_deref().unwrap_or_default();
    let pairs = [
        ("text", text, found),
        ("tokenizer", tokenizer, &manifest.tokenizer_sha256),
    ];
    if scan.corpus.chat != manifest.corpus.chat {
        let template = |info: &CorpusInfo| match &info.chat {
            Some(chat) => short_hash(&chat.template_sha256),
            None => "none".to_owned(),
        };
        let (expected, found) = (template(&scan.corpus), template(&manifest.corpus));
        return Err(differs(folder, "chat template", expected, found));
    }
    match pairs.iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(differs(
            folder,
            what,
            short_hash(expected),
            short_hash(found),
        )),
        None => Ok(manifest),
    }
}

fn differs(folder: &Path, what: &'static str, expected: String, found: String) -> AtlasError {
    AtlasError::OtherCorpus {
        path: folder.join(MANIFEST),
        what,
        expected,
        found,
    }
}

/// Opens the corpus that a scan was of, keeping at most `cache_tokens` unpacked tokens in memory.
pub fn open_corpus(
    folder: &Path,
    scan: &ScanIdentity,
    cache_tokens: usize,
) -> Result<ScannedCorpus, AtlasError> {
    let manifest = check_corpus(folder, scan)?;
    require_files(folder, &manifest.files, [TOKENIZER_FILE.to_owned()])?;
    let file = manifest
        .files
        .iter()
        .find(|file| file.name == TOKENIZER_FILE);
    let (expected, found) = (
        &manifest.tokenizer_sha256,
        file.map_or("", |file| &file.sha256),
    );
    if expected != found {
        return Err(differs(
            folder,
            "tokenizer",
            short_hash(expected),
            short_hash(found),
        ));
    }
    verify_files(folder, &manifest.files)?;
    let store = TokenStore::open(folder, cache_tokens)?;
    require_files(folder, &manifest.files, store.files())?;
    for (what, expected, found) in [
        (
            "number of documents",
            scan.corpus.n_documents,
            store.n_documents() as u64,
        ),
        ("number of tokens", scan.corpus.n_tokens, store.n_tokens()),
    ] {
        if let Some(expected) = expected
            && expected != found
        {
            let (expected, found) = (expected.to_string(), found.to_string());
            return Err(differs(folder, what, expected, found));
        }
    }
    let names = &scan.policy.count_roles;
    let counted_roles = match names.is_empty() {
        true => None,
        false => {
            let unknown = |role: String| {
                let known = store.role_names().join(", ");
                differs(folder, "roles", role, known)
            };
            Some(store.role_set(names).map_err(unknown)?)
        }
    };
    let path = folder.join(TOKENIZER_FILE);
    let tokenizer_json = read_at_most(&path, MOST_TOKENIZER_BYTES)
        .map_err(|source| ShardError::io("read", &path, source))?;
    let tokenizer = Tokenizer::from_json(&tokenizer_json, None)
        .map_err(|source| AtlasError::Tokenizer { path, source })?;
    Ok(ScannedCorpus {
        manifest,
        store,
        tokenizer,
        tokenizer_json,
        counted_roles,
    })
}
