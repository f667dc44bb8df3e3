//! Windows of the corpus in batches, with a description of each row.

use std::cmp::Ordering;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ids::{DocId, Pos, TokenId};
use crate::stats::block::WindowInfo;
use crate::stats::samples::SamplePlan;
use crate::stats::starts::START_POSITIONS;
use crate::stats::{StatsOptions, hash};
use crate::tokens::store::{RoleSet, StoreError, TokenStore};
use crate::tokens::{Vocabulary, Window, Windowing};

/// The corpus, and the rules by which its rows are described.
#[derive(Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) store: &'a TokenStore,
    pub(super) vocabulary: &'a Vocabulary,
    pub(super) windowing: &'a Windowing,
    pub(super) counted_roles: Option<RoleSet>,
    pub(super) context_tokens: usize,
}

/// One window as the model sees it.
pub(super) struct BatchWindow {
    pub(super) ids: Vec<u32>,
    pub(super) info: WindowInfo,
}

impl<'a> Rows<'a> {
    /// Number of positions of a document.
    pub(super) fn n_positions(&self, doc: DocId) -> u32 {
        self.windowing.n_positions(self.store.len(doc)) as u32
    }

    /// Whether a position counts.
    pub(super) fn is_counted(&self, doc: DocId, pos: Pos) -> Result<bool, StoreError> {
        let Some(index) = self.windowing.token_at(pos) else {
            return Ok(self.counted_roles.is_none() && self.windowing.counts(0, true));
        };
        if !self
            .is_chosen(doc, index..index + 1)?
            .is_none_or(|is| is[0])
        {
            return Ok(false);
        }
        let token = self.store.tokens(doc, index..index + 1)?[0];
        let row = self.windowing.row_of(index);
        Ok(self
            .windowing
            .counts(row, self.vocabulary.is_special(token)))
    }

    /// Whether each of some tokens has a role that is counted; `None` if all tokens are.
    fn is_chosen(&self, doc: DocId, range: Range<usize>) -> Result<Option<Vec<bool>>, StoreError> {
        let roles = self.counted_roles.as_ref();
        roles
            .map(|roles| self.store.has_role(doc, range, roles))
            .transpose()
    }

    /// Counted positions of some documents, and how many of them are where windows start.
    pub(super) fn n_counted(&self, documents: Range<u32>) -> Result<[u64; 2], StoreError> {
        let mut n = [0; 2];
        let count = |rows: &[bool]| rows.iter().filter(|counted| **counted).count() as u64;
        for doc in documents.map(DocId) {
            for window in self.windowing.windows(self.store.len(doc)) {
                let info = self.window(doc, &window, &[])?;
                n[0] += count(&info.counted);
                n[1] += count(&info.counted[..info.n_start]);
            }
        }
        Ok(n)
    }

    /// The positions that can be drawn.
    pub(super) fn plan(&self, options: &StatsOptions) -> Result<SamplePlan, StoreError> {
        let lengths = (0..self.store.n_documents() as u32).map(|doc| self.n_positions(DocId(doc)));
        let n = options.samples().most_tries();
        SamplePlan::new(options.seed, n, lengths, |doc, pos| {
            self.is_counted(doc, pos)
        })
    }

    /// Batches of about `batch_tokens` rows, from a place on: of whole documents, if they are not longer than that.
    pub(super) fn batches(self, cursor: Cursor, batch_tokens: usize) -> Batches<'a> {
        Batches {
            rows: self,
            batch_tokens,
            cursor,
        }
    }

    /// Returns how many positions of its document come before a cursor, or `Some(None)` between documents. Returns `None`
    /// if the cursor is not in the windows of `documents`.
    pub(super) fn place(&self, cursor: &Cursor, documents: &Range<u32>) -> Option<Option<u32>> {
        let next = cursor.documents.start;
        let is_inside = cursor.documents.end == documents.end
            && (documents.start..=documents.end).contains(&next)
            && cursor.tail.len() <= self.context_tokens;
        if !is_inside {
            return None;
        }
        let Some((doc, at)) = cursor.doc else {
            return Some(None);
        };
        if doc.0 < documents.start || doc.0.checked_add(1) != Some(next) {
            return None;
        }
        let mut windows = self.windowing.windows(self.store.len(doc));
        match at.cmp(&windows.len()) {
            Ordering::Less => Some(windows.nth(at).map(|window| window.start.0)),
            Ordering::Equal => Some(None),
            Ordering::Greater => None,
        }
    }

    /// Ids and rows of one window. `before` are the document's tokens (with those BOS that have positions) before it.
    fn window(
        &self,
        doc: DocId,
        window: &Window,
        before: &[TokenId],
    ) -> Result<WindowInfo, StoreError> {
        Ok(self.batch_window(doc, window, before)?.info)
    }

    fn batch_window(
        &self,
        doc: DocId,
        window: &Window,
        before: &[TokenId],
    ) -> Result<BatchWindow, StoreError> {
        let own = self.store.tokens(doc, window.tokens.clone())?;
        let ends_document = window.tokens.end == self.store.len(doc);
        let mut next = self.window_of(doc, window, own, before, ends_document);
        if let Some(is_chosen) = self.is_chosen(doc, window.tokens.clone())? {
            let n_before = next.info.counted.len() - is_chosen.len();
            let is_chosen = std::iter::repeat_n(false, n_before).chain(is_chosen);
            for (counted, is_chosen) in next.info.counted.iter_mut().zip(is_chosen) {
                *counted &= is_chosen;
            }
        }
        Ok(next)
    }

    /// The window of some tokens.
    pub(super) fn window_of(
        &self,
        doc: DocId,
        window: &Window,
        own: Vec<TokenId>,
        before: &[TokenId],
        ends_document: bool,
    ) -> BatchWindow {
        let ids: Vec<TokenId> = self.windowing.front().chain(own).collect();
        let counted = ids.iter().enumerate();
        let counted =
            counted.map(|(row, &id)| self.windowing.counts(row, self.vocabulary.is_special(id)));
        let history: Vec<TokenId> = before.iter().chain(&ids[window.skip..]).copied().collect();
        let context = |row: usize| match row.checked_sub(window.skip) {
            Some(at) => {
                let end = before.len() + at + 1;
                hash::context(&history[end.saturating_sub(self.context_tokens)..end])
            }
            None => 0,
        };
        let info = WindowInfo {
            doc,
            start: window.start,
            skip: window.skip,
            n_start: ids.len().min(1 + START_POSITIONS),
            counted: counted.collect(),
            contexts: (0..ids.len()).map(context).collect(),
            ends_document,
        };
        BatchWindow {
            ids: ids.into_iter().map(|id| id.0).collect(),
            info,
        }
    }
}

/// A place in the windows of some documents.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Documents that are not yet begun.
    documents: Range<u32>,
    /// The document that is not yet done, and its next window.
    doc: Option<(DocId, usize)>,
    /// The last tokens of that document before the window.
    tail: Vec<TokenId>,
}

impl Cursor {
    /// Before the first window.
    pub(super) fn new(documents: Range<u32>) -> Self {
        Self {
            documents,
            doc: None,
            tail: Vec::new(),
        }
    }
}

/// The windows of some documents, in order.
pub(super) struct Batches<'a> {
    rows: Rows<'a>,
    batch_tokens: usize,
    cursor: Cursor,
}

impl Batches<'_> {
    /// After the last batch.
    pub(super) fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Rows of the document that is not yet begun.
    fn rows_of_next_document(&self) -> usize {
        let Some(doc) = self.cursor.documents.clone().next() else {
            return 0;
        };
        let len = self.rows.store.len(DocId(doc));
        self.rows.windowing.n_rows(len)
    }

    fn next_window(&mut self) -> Result<Option<BatchWindow>, StoreError> {
        loop {
            let cursor = &mut self.cursor;
            let (doc, at) = match cursor.doc {
                Some(next) => next,
                None => match cursor.documents.next() {
                    Some(doc) => (DocId(doc), 0),
                    None => return Ok(None),
                },
            };
            let Some(window) = self
                .rows
                .windowing
                .windows(self.rows.store.len(doc))
                .nth(at)
            else {
                (cursor.doc, cursor.tail) = (None, Vec::new());
                continue;
            };
            let next = self.rows.batch_window(doc, &window, &cursor.tail)?;
            let ids = next.ids[window.skip..].iter().map(|&id| TokenId(id));
            cursor.tail.extend(ids);
            let surplus = cursor.tail.len().saturating_sub(self.rows.context_tokens);
            cursor.tail.drain(..surplus);
            cursor.doc = Some((doc, at + 1));
            return Ok(Some(next));
        }
    }
}

impl Iterator for Batches<'_> {
    type Item = Result<Vec<BatchWindow>, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut batch: Vec<BatchWindow> = Vec::new();
        let mut n_rows = 0;
        while n_rows < self.batch_tokens {
            if let Some(last) = batch.last()
                && last.info.ends_document
                && n_rows + self.rows_of_next_document() > self.batch_tokens
            {
                break;
            }
            match self.next_window() {
                Ok(Some(window)) => {
                    n_rows += window.ids.len();
                    batch.push(window);
                }
                Ok(None) => break,
                Err(error) => return Some(Err(error)),
            }
        }
        (!batch.is_empty()).then_some(Ok(batch))
    }
}
