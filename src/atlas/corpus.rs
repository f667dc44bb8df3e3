//! The corpus of an atlas, which must be the one that was scanned.

use std::path::Path;

use crate::shard::{
    CorpusManifest, MANIFEST, ScanIdentity, TOKENIZER_FILE, read_manifest, require_files,
    verify_files,
};
use crate::tokens::store::TokenStore;

use super::error::AtlasError;

/// Reads what the corpus in a folder is, which must be what a scan was of. Any other, and the same one in other tokens, is
/// refused: its text would stand under values that belong to other text.
pub fn check_corpus(folder: &Path, scan: &ScanIdentity) -> Result<CorpusManifest, AtlasError> {
    let manifest: CorpusManifest = read_manifest(folder)?;
    let pairs = [
        ("text", &scan.corpus.sha256, &manifest.corpus.sha256),
        (
            "tokenizer",
            &scan.model.tokenizer_sha256,
            &manifest.tokenizer_sha256,
        ),
    ];
    match pairs.iter().find(|(_, expected, found)| expected != found) {
        Some((what, expected, found)) => Err(differs(folder, what, short(expected), short(found))),
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

/// Opens the token store that a scan was of, keeping at most `cache_tokens` unpacked tokens in memory.
pub fn open_corpus(
    folder: &Path,
    scan: &ScanIdentity,
    cache_tokens: usize,
) -> Result<TokenStore, AtlasError> {
    let manifest = check_corpus(folder, scan)?;
    require_files(folder, &manifest.files, [TOKENIZER_FILE.to_owned()])?;
    let file = manifest
        .files
        .iter()
        .find(|file| file.name == TOKENIZER_FILE);
    let (expected, found) = (
        &scan.model.tokenizer_sha256,
        file.map_or("", |file| &file.sha256),
    );
    if expected != found {
        return Err(differs(folder, "tokenizer", short(expected), short(found)));
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
        if expected != found {
            let (expected, found) = (expected.to_string(), found.to_string());
            return Err(differs(folder, what, expected, found));
        }
    }
    Ok(store)
}

/// The beginning of a hash.
fn short(hash: &str) -> String {
    hash.chars().take(6).collect()
}
