//! Whether the tokens of a corpus are those of its text.

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::{Findings, VerifyError};
use crate::atlas::ScannedCorpus;
use crate::files::hex;
use crate::ids::{DocId, TokenId};
use crate::tokens::Vocabulary;
use crate::tokens::store::hash_document;

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
pub(super) fn check(corpus: &ScannedCorpus, findings: &mut Findings) -> Result<(), VerifyError> {
    let (store, vocabulary) = (&corpus.store, corpus.tokenizer.vocabulary());
    let tokenizer = serde_json::from_slice(&corpus.tokenizer_json).unwrap_or_default();
    // what conversations were is not known from the text that a template made of them
    let is_text = corpus.manifest.corpus.chat.is_none();
    let is_lossless = is_text && is_lossless(&tokenizer) && has_all_bytes(vocabulary);
    let mut hashes = [Sha256::new(), Sha256::new()];
    for doc in (0..store.n_documents() as u32).map(DocId) {
        let mut text = Vec::new();
        for token in store.tokens(doc, 0..store.len(doc))? {
            match vocabulary.bytes(token) {
                Some(bytes) if is_lossless => text.extend_from_slice(bytes),
                Some(_) => {}
                None => {
                    let what = format!("document {}: there is no token {}", doc.0, token.0);
                    findings.add("corpus", what);
                    return Ok(());
                }
            }
        }
        let info = store.info(doc);
        let after_space = text.strip_prefix(b" ").unwrap_or(&text);
        for (hash, text) in hashes.iter_mut().zip([&text[..], after_space]) {
            hash_document(hash, text, &info);
        }
    }
    let is_it = |hash: Sha256| Some(hex(&hash.finalize())) == corpus.manifest.corpus.sha256;
    if is_lossless && !hashes.into_iter().any(is_it) {
        findings.add(
            "corpus",
            "its tokens, sources and names are not those that `sha256` is of",
        );
    }
    Ok(())
}
