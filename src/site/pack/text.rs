//! The text of a corpus in small files, from any of which the whole window of an example can be read.

use serde::Serialize;
use serde_json::json;

use super::file::{BuildId, Effort, PackFile};
use super::values::Bytes;
use crate::ids::{DocId, Pos};
use crate::site::error::SiteError;
use crate::site::source::{Corpus, Source};
use crate::site::text::texts::TokenTexts;

/// Positions of a file, unless there would be too many files.
const LEAST_POSITIONS: u64 = 2048;
/// Most files.
const MOST_FILES: u64 = 7168;

/// Where each document's positions are among those of all documents, one after the other.
pub(crate) struct TextMap {
    /// The first position of each document, and the number of all.
    starts: Vec<u64>,
    per_file: u64,
    /// Positions that a file has of the next: as many as a window.
    overlap: u64,
    build: BuildId,
}

/// What the index of a model says of its text.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct TextInfo {
    build: String,
    n_positions: u64,
    positions_per_file: u64,
    overlap: u64,
}

/// Some positions of the corpus.
#[derive(Serialize)]
struct TextRecord<'a> {
    first: u64,
    documents: Vec<DocumentRecord<'a>>,
    /// The bytes of the tokens, one after the other.
    text: Bytes<'a>,
    /// The number of bytes of each; 255 is continued by the next.
    lengths: Bytes<'a>,
}

/// A document of which a file has some positions.
#[derive(Serialize)]
struct DocumentRecord<'a> {
    doc: u32,
    /// Where it begins among all positions.
    at: u64,
    n_positions: u32,
    id: &'a str,
    source: &'a str,
    license: &'a str,
}

impl TextMap {
    /// Divides the corpus of an atlas, if it is there.
    pub(crate) fn of(source: &Source) -> Option<Self> {
        let corpus = source.corpus()?;
        let scan = &source.atlas.manifest().scan;
        let options = &scan.policy.stats;
        let longest_window = u64::from(options.window_before) + u64::from(options.window_after) + 1;
        let mut starts = vec![0];
        let mut n = 0;
        for doc in 0..corpus.store.n_documents() as u32 {
            n += u64::from(corpus.n_positions(DocId(doc)));
            starts.push(n);
        }
        let per_file = LEAST_POSITIONS
            .max(n.div_ceil(MOST_FILES))
            .max(longest_window);
        let (corpus, tokenizer) = (&scan.corpus, &scan.model.tokenizer_sha256);
        let made_of = json!([corpus, tokenizer, scan.policy, n, per_file, longest_window]);
        Some(Self {
            starts,
            per_file,
            overlap: longest_window,
            build: BuildId::of(&made_of),
        })
    }

    /// Where a position of a document is among all.
    pub(crate) fn place(&self, doc: DocId, pos: Pos) -> Option<u64> {
        let start = self.starts.get(doc.0 as usize)?;
        Some(start + u64::from(pos.0))
    }

    fn n_positions(&self) -> u64 {
        self.starts.last().copied().unwrap_or_default()
    }

    /// Number of files; documents without positions are in one, too.
    pub(crate) fn n_files(&self) -> u64 {
        let least = u64::from(self.starts.len() > 1);
        self.n_positions().div_ceil(self.per_file).max(least)
    }

    pub(crate) fn info(&self) -> TextInfo {
        TextInfo {
            build: self.build.hex(),
            n_positions: self.n_positions(),
            positions_per_file: self.per_file,
            overlap: self.overlap,
        }
    }

    /// Where each document begins among the positions of all.
    pub(crate) fn index(&self) -> Vec<u8> {
        let starts = self
            .starts
            .split_last()
            .map_or(&[][..], |(_, starts)| starts);
        let index = serde_json::json!({"schema": "neuroscope/text/v1", "starts": starts});
        index.to_string().into_bytes()
    }

    /// One of the files.
    pub(crate) fn file(
        &self,
        at: u64,
        corpus: &Corpus,
        texts: &TokenTexts<'_>,
        effort: Effort,
    ) -> Result<Vec<u8>, SiteError> {
        let first = at * self.per_file;
        let end = (first + self.per_file + self.overlap).min(self.n_positions());
        let (mut documents, mut text, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        // from the first document that begins or goes on here; empty ones at the end of all are in the last file
        let begins = self.starts.partition_point(|start| *start < first);
        let goes_on = self.starts.get(begins).is_none_or(|start| *start > first);
        let mut doc = begins - usize::from(goes_on);
        let is_last = end == self.n_positions();
        while doc + 1 < self.starts.len() && (self.starts[doc] < end || is_last) {
            let (start, next) = (self.starts[doc], self.starts[doc + 1]);
            let id = DocId(doc as u32);
            let own = first.max(start) - start..end.min(next) - start;
            let tokens = corpus.tokens(id, own.start as u32..own.end as u32)?;
            for token in tokens {
                let before = text.len();
                text.extend_from_slice(&texts.bytes(&[token]));
                push_token_length(&mut lengths, text.len() - before);
            }
            let info = corpus.store.info(id);
            documents.push(DocumentRecord {
                doc: id.0,
                at: start,
                n_positions: (next - start) as u32,
                id: info.id,
                source: info.source,
                license: info.license,
            });
            doc += 1;
        }
        let mut file = PackFile::default();
        file.push(&TextRecord {
            first,
            documents,
            text: Bytes(&text),
            lengths: Bytes(&lengths),
        })?;
        file.finish(self.build, effort)
    }
}

/// Adds the length of a token: 255 as often as it fits, then the rest.
fn push_token_length(lengths: &mut Vec<u8>, mut n: usize) {
    while n >= 255 {
        lengths.push(255);
        n -= 255;
    }
    lengths.push(n as u8);
}
