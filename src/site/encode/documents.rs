//! The documents of the corpus, some to a file, so that a page can show a whole one on demand.

use std::ops::Range;

use serde::Serialize;

use crate::ids::DocId;

use super::examples::push_column;
use crate::site::error::SiteError;
use crate::site::source::Corpus;
use crate::site::text::texts::{TokenTexts, json_string};

/// Tokens in one file.
const FILE_TOKENS: u32 = 8192;

#[derive(Serialize)]
struct Index {
    schema: &'static str,
    n_documents: u32,
    /// First document of each file.
    starts: Vec<u32>,
}

/// Name of the file that begins with a document.
pub(crate) fn file_name(first: u32) -> String {
    format!("{first:06}.json")
}

/// Where the documents' files begin.
pub(crate) fn starts(corpus: &Corpus) -> Vec<u32> {
    let mut starts = Vec::new();
    let mut n = FILE_TOKENS;
    for doc in 0..corpus.store.n_documents() as u32 {
        if n >= FILE_TOKENS {
            starts.push(doc);
            n = 0;
        }
        n += corpus.n_positions(DocId(doc));
    }
    starts
}

/// The index of the documents' files.
pub(crate) fn index(corpus: &Corpus, starts: &[u32]) -> Vec<u8> {
    let n_documents = corpus.store.n_documents() as u32;
    let index = Index {
        schema: "neuroscope/documents/v1",
        n_documents,
        starts: starts.to_vec(),
    };
    let mut json = serde_json::to_vec(&index).unwrap_or_default();
    json.push(b'\n');
    json
}

/// The file of some documents.
pub(crate) fn file(
    corpus: &Corpus,
    texts: &TokenTexts<'_>,
    documents: Range<u32>,
) -> Result<Vec<u8>, SiteError> {
    let first = documents.start;
    let head =
        format!("{{\"schema\":\"neuroscope/document-texts/v1\",\"first\":{first},\"documents\":[");
    let mut json = head.into_bytes();
    for doc in documents.map(DocId) {
        if doc.0 > first {
            json.push(b',');
        }
        push_document(&mut json, corpus, texts, doc)?;
    }
    json.extend_from_slice(b"]}\n");
    Ok(json)
}

/// Adds a document as JSON, its tokens as those of examples, with their ids.
fn push_document(
    json: &mut Vec<u8>,
    corpus: &Corpus,
    texts: &TokenTexts<'_>,
    doc: DocId,
) -> Result<(), SiteError> {
    let info = corpus.store.info(doc);
    let [id, name, license] = [info.id, info.source, info.license].map(json_string);
    let tokens = corpus.tokens(doc, 0..corpus.n_positions(doc))?;
    let head = format!(
        "{{\"doc\":{},\"id\":{id},\"source\":{name},\"license\":{license},\"text\":\"",
        doc.0
    );
    json.extend_from_slice(head.as_bytes());
    let mut lengths = Vec::with_capacity(tokens.len());
    let bytes = texts.push(&tokens, json, &mut lengths);
    json.extend_from_slice(b"\",\"lengths\":\"");
    json.extend_from_slice(&lengths);
    json.push(b'"');
    if let Some(bytes) = bytes {
        json.extend_from_slice(format!(",\"bytes\":\"{bytes}\"").as_bytes());
    }
    let ids: Vec<usize> = tokens.iter().map(|token| token.0 as usize).collect();
    push_column(json, "ids", &ids);
    json.push(b'}');
    Ok(())
}
