//! The corpus of an atlas, which must be the one that was scanned.

use std::path::Path;

use crate::shard::{
    CorpusManifest, MANIFEST, ScanIdentity, TOKENIZER_FILE, read_manifest, require_files,
    verify_files,
};
use crate::tokens::store::TokenStore;

use super::error::AtlasError;

/// Opens the token store that a scan was of, keeping at most `cache_tokens` unpacked tokens in memory. Any other corpus,
/// and the same one in other tokens, is refused: its text would stand under values that belong to other text.
pub fn open_corpus(
    folder: &Path,
    scan: &ScanIdentity,
    cache_tokens: usize,
) -> Result<TokenStore, AtlasError> {
    let manifest: CorpusManifest = read_manifest(folder)?;
    let differs = |what, expected: String, found: String| AtlasError::OtherCorpus {
        path: folder.join(MANIFEST),
        what,
        expected,
        found,
    };
    let same = |what, expected: &str, found: &str| match expected == found {
        true => Ok(()),
        false => Err(differs(what, short(expected), short(found))),
    };
    same("text", &scan.corpus.sha256, &manifest.corpus.sha256)?;
    let tokenizer = &scan.model.tokenizer_sha256;
    same("tokenizer", tokenizer, &manifest.tokenizer_sha256)?;
    require_files(folder, &manifest.files, [TOKENIZER_FILE.to_owned()])?;
    let file = manifest
        .files
        .iter()
        .find(|file| file.name == TOKENIZER_FILE);
    same("tokenizer", tokenizer, file.map_or("", |file| &file.sha256))?;
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
            return Err(differs(what, expected.to_string(), found.to_string()));
        }
    }
    Ok(store)
}

/// The beginning of a hash.
fn short(hash: &str) -> String {
    hash.chars().take(6).collect()
}
