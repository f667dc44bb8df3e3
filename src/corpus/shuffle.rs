//! Documents in a random order, in memory of a small share of them.
//!
//! They go to a temporary file first, in blocks of those whose places begin with the same bits; then the blocks of one
//! beginning after the other are read and sorted.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::vec;

use super::{Corpus, CorpusError, Document};

/// Beginnings of places.
const BUCKETS: usize = 512;

/// Bytes of a block before it is packed.
const BLOCK_BYTES: usize = 1 << 16;

/// The documents that the options of a corpus draw, in the order that they ask for.
pub struct Selection {
    corpus: Corpus,
    shuffled: Option<Shuffled>,
}

impl Selection {
    /// Reads the whole corpus if it is to be shuffled, keeping it in a temporary file in `folder`; `go_on` is asked now and then
    /// whether to. Returns nothing if it says no.
    pub fn new(
        mut corpus: Corpus,
        folder: &Path,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Option<Self>, CorpusError> {
        let subset = corpus.options().subset.clone();
        if subset.shuffle.is_none() {
            return Ok(Some(Self {
                corpus,
                shuffled: None,
            }));
        }
        let mut shuffler = Shuffler::new(folder)?;
        while let Some(document) = corpus.next().transpose()? {
            shuffler.push(subset.place(&document).unwrap_or_default(), &document)?;
            if shuffler.n.is_multiple_of(ASK_EVERY) && !go_on() {
                return Ok(None);
            }
        }
        Ok(Some(Self {
            corpus,
            shuffled: Some(shuffler.finish()?),
        }))
    }

    /// Lines and files that were skipped so far.
    pub fn skipped(&self) -> u64 {
        self.corpus.skipped()
    }
}

impl Iterator for Selection {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.shuffled {
            Some(shuffled) => shuffled.next(),
            None => self.corpus.next(),
        }
    }
}

/// Documents after which it is asked whether to go on.
const ASK_EVERY: u64 = 1000;

/// A document, with its place and its index among all.
type Placed = (u64, u64, Document);

/// Documents on their way to a random order.
pub(super) struct Shuffler {
    /// Where the temporary file is.
    folder: PathBuf,
    file: File,
    end: u64,
    buckets: Vec<Bucket>,
    n: u64,
}

#[derive(Default)]
struct Bucket {
    /// Offsets and lengths of the blocks in the file.
    blocks: Vec<(u64, usize)>,
    open: Vec<u8>,
}

impl Shuffler {
    /// Puts the temporary file into a folder. It has no name there, and is gone with the process.
    pub(super) fn new(folder: &Path) -> Result<Self, CorpusError> {
        let file = tempfile::tempfile_in(folder).map_err(|source| io_error(folder, source))?;
        Ok(Self {
            folder: folder.to_owned(),
            file,
            end: 0,
            buckets: (0..BUCKETS).map(|_| Bucket::default()).collect(),
            n: 0,
        })
    }

    /// Adds a document that has a place.
    pub(super) fn push(&mut self, place: u64, document: &Document) -> Result<(), CorpusError> {
        let at = (place >> (u64::BITS - BUCKETS.ilog2())) as usize;
        let json = serde_json::to_vec(document);
        let json = json.map_err(|source| io_error(&self.folder, source.into()))?;
        let open = &mut self.buckets[at].open;
        for number in [place, self.n, json.len() as u64] {
            open.extend(number.to_le_bytes());
        }
        open.extend(json);
        self.n += 1;
        match open.len() < BLOCK_BYTES {
            true => Ok(()),
            false => self.close(at),
        }
    }

    /// Writes the open block of a bucket.
    fn close(&mut self, at: usize) -> Result<(), CorpusError> {
        let bucket = &mut self.buckets[at];
        let packed = zstd::bulk::compress(&bucket.open, 1);
        let written = packed.and_then(|packed| self.file.write_all(&packed).map(|()| packed.len()));
        let len = written.map_err(|source| io_error(&self.folder, source))?;
        bucket.open.clear();
        bucket.blocks.push((self.end, len));
        self.end += len as u64;
        Ok(())
    }

    /// All documents, by their places; those with the same place in the order in which they came.
    pub(super) fn finish(mut self) -> Result<Shuffled, CorpusError> {
        for at in 0..BUCKETS {
            if !self.buckets[at].open.is_empty() {
                self.close(at)?;
            }
        }
        let mut blocks: Vec<_> = self.buckets.into_iter().map(|of| of.blocks).collect();
        blocks.reverse();
        Ok(Shuffled {
            folder: self.folder,
            file: self.file,
            blocks,
            next: Vec::new().into_iter(),
        })
    }
}

fn io_error(folder: &Path, source: io::Error) -> CorpusError {
    CorpusError::Spool {
        folder: folder.to_owned(),
        source,
    }
}

/// Documents in a random order.
pub(super) struct Shuffled {
    folder: PathBuf,
    file: File,
    /// Blocks of the buckets that are not yet read, the next one last.
    blocks: Vec<Vec<(u64, usize)>>,
    next: vec::IntoIter<Placed>,
}

impl Shuffled {
    fn read(&mut self, blocks: Vec<(u64, usize)>) -> io::Result<Vec<Placed>> {
        let mut documents = Vec::new();
        for (offset, len) in blocks {
            let mut packed = vec![0; len];
            self.file.seek(SeekFrom::Start(offset))?;
            self.file.read_exact(&mut packed)?;
            let bytes = zstd::stream::decode_all(packed.as_slice())?;
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                let [place, index, len] = [0; 3].map(|_: u64| take_u64(&mut rest));
                let (document, after) = rest
                    .split_at_checked(len as usize)
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                rest = after;
                documents.push((place, index, serde_json::from_slice(document)?));
            }
        }
        documents.sort_unstable_by_key(|(place, index, _)| (*place, *index));
        Ok(documents)
    }
}

fn take_u64(from: &mut &[u8]) -> u64 {
    let mut bytes = [0; 8];
    // a block that is cut off gives a length that is too large
    match from.read_exact(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        Err(_) => u64::MAX,
    }
}

impl Iterator for Shuffled {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((_, _, document)) = self.next.next() {
                return Some(Ok(document));
            }
            let blocks = self.blocks.pop()?;
            match self.read(blocks) {
                Ok(documents) => self.next = documents.into_iter(),
                Err(source) => {
                    self.blocks.clear();
                    return Some(Err(io_error(&self.folder, source)));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Content;

    #[test]
    fn documents_come_in_the_order_of_their_places() {
        let folder = tempfile::tempdir().unwrap();
        let mut shuffler = Shuffler::new(folder.path()).unwrap();
        let mut expected = Vec::new();
        let mut place = 1u64;
        for n in 0..3000u64 {
            place = place
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(n);
            let place = if n % 7 == 0 { 5 } else { place };
            let text = format!("{n} ").repeat(n as usize % 400);
            let document = Document {
                content: Content::Text(text),
                source: String::new(),
                license: String::new(),
                id: n.to_string(),
            };
            shuffler.push(place, &document).unwrap();
            expected.push((place, n, document));
        }
        expected.sort_by_key(|(place, n, _)| (*place, *n));
        let found: Result<Vec<_>, _> = shuffler.finish().unwrap().collect();
        let expected: Vec<_> = expected.into_iter().map(|of| of.2).collect();
        assert_eq!(found.unwrap(), expected);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
