//! The positions of a corpus as a scan sees them, without a model.

use crate::ids::{DocId, Pos, TokenId};
use crate::stats::samples::SamplePlan;
use crate::stats::{StatsOptions, hash};
use crate::tokens::store::{StoreError, TokenStore};
use crate::tokens::{Vocabulary, Windowing};

use super::batch::Rows;

/// Which positions of a corpus count, and which of them can be drawn.
pub struct Positions<'a> {
    rows: Rows<'a>,
    /// Counted positions.
    pub n_counted: u64,
    /// Rows that go through the model and do not count.
    pub n_special: u64,
    /// Documents with a counted position.
    pub n_documents: u64,
    /// The positions that can be drawn.
    pub plan: SamplePlan,
}

impl<'a> Positions<'a> {
    /// Looks at every position of a corpus.
    pub fn new(
        store: &'a TokenStore,
        vocabulary: &'a Vocabulary,
        windowing: Windowing,
        options: &StatsOptions,
    ) -> Result<Self, StoreError> {
        let rows = Rows {
            store,
            vocabulary,
            windowing,
            context_tokens: options.context_tokens,
        };
        let documents = 0..store.n_documents() as u32;
        let (mut n_rows, mut n_counted, mut n_documents) = (0, 0, 0);
        for doc in documents.clone() {
            n_rows += windowing.n_rows(store.len(DocId(doc))) as u64;
            let n = rows.n_counted(doc..doc + 1)?;
            n_counted += n;
            n_documents += u64::from(n > 0);
        }
        Ok(Self {
            plan: rows.plan(options)?,
            rows,
            n_counted,
            n_special: n_rows - n_counted,
            n_documents,
        })
    }

    /// Number of positions of a document.
    pub fn n_positions(&self, doc: DocId) -> u32 {
        self.rows.n_positions(doc)
    }

    /// Whether a position counts.
    pub fn is_counted(&self, doc: DocId, pos: Pos) -> Result<bool, StoreError> {
        self.rows.is_counted(doc, pos)
    }

    /// The hash of the tokens up to a position, by which near-duplicates are found.
    pub fn context(&self, doc: DocId, pos: Pos) -> Result<u64, StoreError> {
        let end = pos.0 + 1;
        let first = end.saturating_sub(self.rows.context_tokens as u32);
        let read = |range| self.rows.store.tokens(doc, range);
        Ok(hash::context(&self.rows.windowing.tokens(first..end, read)?))
    }

    /// The token at a position.
    pub fn token(&self, doc: DocId, pos: Pos) -> Result<Option<TokenId>, StoreError> {
        let windowing = &self.rows.windowing;
        Ok(match windowing.token_at(pos) {
            Some(at) => self.rows.store.tokens(doc, at..at + 1)?.first().copied(),
            None => windowing.bos,
        })
    }
}
