//! Whether the tokens of a corpus are those of its text.

use std::fs;
use std::path::Path;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Findings, VerifyError};
use crate::ids::{DocId, TokenId};
use crate::shard::{CorpusManifest, ShardError, TOKENIZER_FILE, hex};
use crate::tokens::store::TokenStore;
use crate::tokens::{Tokenizer, Vocabulary};

/// The tokenizer of a corpus, and whether its tokens give back the text.
pub(super) struct CorpusTokenizer {
    pub(super) tokenizer: Tokenizer,
    is_lossless: bool,
}

impl CorpusTokenizer {
    /// Reads it from the folder of the corpus.
    pub(super) fn open(folder: &Path) -> Result<Self, VerifyError> {
        let path = folder.join(TOKENIZER_FILE);
        let json = fs::read(&path).map_err(|source| ShardError::io("read", &path, source))?;
        let tokenizer = Tokenizer::from_json(&json, None);
        let tokenizer = tokenizer.map_err(|source| VerifyError::Tokenizer { path, source })?;
        let value = serde_json::from_slice(&json).unwrap_or_default();
        Ok(Self {
            is_lossless: is_lossless(&value) && has_all_bytes(tokenizer.vocabulary()),
            tokenizer,
        })
    }
}

/// Whether a tokenizer only cuts what it is given, byte by byte.
fn is_lossless(tokenizer: &Value) -> bool {
    let kind = |step: &Value| step["type"].as_str().unwrap_or_default().to_owned();
    let cuts = |step: &Value| match kind(step).as_str() {
        "ByteLevel" => step["add_prefix_space"] == false,
        "Split" => step["behavior"] != "Removed",
        "Digits" => true,
        _ => false,
    };
    let before = &tokenizer["pre_tokenizer"];
    let steps = match before["pretokenizers"].as_array() {
        Some(steps) => steps.iter().collect(),
        None => vec![before],
    };
    let added = tokenizer["added_tokens"].as_array();
    let strips = |token: &Value| token["lstrip"] == true || token["rstrip"] == true;
    tokenizer["normalizer"].is_null()
        && steps.iter().any(|step| kind(step) == "ByteLevel")
        && steps.into_iter().all(cuts)
        && !added.is_some_and(|added| added.iter().any(strips))
}

/// Whether every byte has a token, without which some texts lose something.
fn has_all_bytes(vocabulary: &Vocabulary) -> bool {
    let mut has = [false; 256];
    for token in (0..vocabulary.len() as u32).map(TokenId) {
        if let Some([byte]) = vocabulary.bytes(token) {
            has[usize::from(*byte)] = true;
        }
    }
    has.iter().all(|has| *has)
}

/// Tokens that are spelled byte by byte give the text back, perhaps with a space in front: it must have the hash of the corpus.
/// Other tokenizers change texts (spaces, capitals, forms of letters), so that nothing follows from tokens alone.
pub(super) fn check(
    store: &TokenStore,
    CorpusTokenizer {
        tokenizer,
        is_lossless,
    }: &CorpusTokenizer,
    manifest: &CorpusManifest,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let vocabulary = tokenizer.vocabulary();
    let mut hashes = [Sha256::new(), Sha256::new()];
    for doc in (0..store.n_documents() as u32).map(DocId) {
        let mut text = Vec::new();
        for token in store.tokens(doc, 0..store.len(doc))? {
            match vocabulary.bytes(token) {
                Some(bytes) if *is_lossless => text.extend_from_slice(bytes),
                Some(_) => {}
                None => {
                    let what = format!("document {}: there is no token {}", doc.0, token.0);
                    findings.add("corpus", what);
                    return Ok(());
                }
            }
        }
        let info = store.info(doc);
        let [source, license, id] = [info.source, info.license, info.id].map(str::as_bytes);
        let after_space = text.strip_prefix(b" ").unwrap_or(&text);
        for (hash, text) in hashes.iter_mut().zip([&text[..], after_space]) {
            for field in [text, source, license, id] {
                hash.update((field.len() as u64).to_le_bytes());
                hash.update(field);
            }
        }
    }
    let is_it = |hash: Sha256| hex(&hash.finalize()) == manifest.corpus.sha256;
    if *is_lossless && !hashes.into_iter().any(is_it) {
        findings.add(
            "corpus",
            "its tokens, sources and names are not those that `sha256` is of",
        );
    }
    Ok(())
}
