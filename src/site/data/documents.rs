//! The documents of the corpus, some to a file, so that a page can show a whole one on demand.

use serde::Serialize;

use crate::ids::DocId;

use crate::site::error::SiteError;
use crate::site::text::examples::Corpus;

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
pub(in crate::site) fn file_name(first: u32) -> String {
    format!("{first:06}.json")
}

/// Where the documents' files begin.
pub(in crate::site) fn starts(corpus: &Corpus<'_>) -> Vec<u32> {
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
pub(in crate::site) fn index(corpus: &Corpus<'_>, starts: &[u32]) -> Vec<u8> {
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

/// The file that begins with `first` and ends before `end`.
pub(in crate::site) fn file(
    corpus: &Corpus<'_>,
    first: u32,
    end: u32,
) -> Result<Vec<u8>, SiteError> {
    let head =
        format!("{{\"schema\":\"neuroscope/document-texts/v1\",\"first\":{first},\"documents\":[");
    let mut json = head.into_bytes();
    for doc in (first..end).map(DocId) {
        if doc.0 > first {
            json.push(b',');
        }
        corpus.push_document(&mut json, doc)?;
    }
    json.extend_from_slice(b"]}\n");
    Ok(json)
}
