//! The positions of a corpus as a scan sees them, without a model.

use std::ops::Range;

use crate::ids::{DocId, Pos, TokenId};
use crate::stats::samples::SamplePlan;
use crate::stats::{StatsOptions, hash};
use crate::tokens::store::{RoleSet, StoreError, TokenStore};
use crate::tokens::{Vocabulary, Windowing};

use super::batch::Rows;

/// Numbers of positions and rows of some documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Counted positions.
    pub n_counted: u64,
    /// Those of them at which windows start.
    pub n_starts: u64,
    /// Rows that go through the model and do not count.
    pub n_special: u64,
    /// Documents with a counted position.
    pub n_documents: u64,
}

/// Which positions of a corpus count, and which of them can be drawn.
pub struct Positions<'a> {
    rows: Rows<'a>,
    /// The positions that can be drawn.
    pub plan: SamplePlan,
}

impl<'a> Positions<'a> {
    /// Looks at every position of a corpus. With `counted_roles`, only tokens of these roles count.
    pub fn new(
        store: &'a TokenStore,
        vocabulary: &'a Vocabulary,
        windowing: &'a Windowing,
        counted_roles: Option<RoleSet>,
        options: &StatsOptions,
    ) -> Result<Self, StoreError> {
        let rows = Rows {
            store,
            vocabulary,
            windowing,
            counted_roles,
            context_tokens: options.context_tokens,
        };
        Ok(Self {
            plan: rows.plan(options)?,
            rows,
        })
    }

    /// Counts the positions and rows of some documents.
    pub fn counts(&self, documents: Range<u32>) -> Result<Counts, StoreError> {
        let Rows {
            store, windowing, ..
        } = self.rows;
        let mut counts = Counts::default();
        for doc in documents {
            let [n_counted, n_starts] = self.rows.n_counted(doc..doc + 1)?;
            let n_rows = windowing.n_rows(store.len(DocId(doc))) as u64;
            counts.n_counted += n_counted;
            counts.n_starts += n_starts;
            counts.n_special += n_rows - n_counted;
            counts.n_documents += u64::from(n_counted > 0);
        }
        Ok(counts)
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
        Ok(hash::context(
            &self.rows.windowing.tokens(first..end, read)?,
        ))
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
