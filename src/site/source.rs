//! What a model's part of the site is made from.

use std::ops::Range;
use std::path::Path;

use crate::atlas::{Atlas, Regions, Window, open_corpus};
use crate::ids::{DocId, Pos, TokenId};
use crate::tokens::store::TokenStore;
use crate::tokens::{Tokenizer, Vocabulary, Windowing};

use super::error::SiteError;

/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;

/// An atlas with its corpus.
pub(super) struct Source {
    pub(super) atlas: Atlas,
    pub(super) store: TokenStore,
    /// Whether the atlas says which side of each neuron dominates.
    pub(super) has_sides: bool,
    tokenizer: Tokenizer,
    windowing: Windowing,
}

impl Source {
    pub(super) fn open(data: &Path) -> Result<Self, SiteError> {
        let atlas = Atlas::open(&data.join("atlas"))?;
        let corpus = data.join("corpus");
        let corpus = open_corpus(&corpus, &atlas.manifest().scan, CACHE_TOKENS)?;
        Ok(Self {
            windowing: atlas.windowing(),
            has_sides: atlas.has_sides()?,
            atlas,
            store: corpus.store,
            tokenizer: corpus.tokenizer,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.atlas.manifest().scan.model.name
    }

    pub(super) fn vocabulary(&self) -> &Vocabulary {
        self.tokenizer.vocabulary()
    }

    /// What chance explains of a layer's cosines.
    pub(super) fn regions(&self, layer: u32) -> Option<&Regions> {
        self.atlas.weights_info()?.layers.get(layer as usize)
    }

    /// Tokens at some positions of a document, with those BOS tokens that take up positions.
    pub(super) fn tokens(
        &self,
        doc: DocId,
        positions: Range<u32>,
    ) -> Result<Vec<TokenId>, SiteError> {
        let stored = |range| self.store.tokens(doc, range);
        Ok(self.windowing.tokens(positions, stored)?)
    }

    /// Number of positions of a document.
    pub(super) fn n_positions(&self, doc: DocId) -> u32 {
        self.windowing.n_positions(self.store.len(doc)) as u32
    }

    /// Whether a position at which a token stands counts (DEFINITIONS 2).
    pub(super) fn counts(&self, pos: Pos, token: TokenId) -> bool {
        let at = self.windowing.token_at(pos);
        let row = at.map_or(0, |at| self.windowing.row_of(at));
        let is_special = self.vocabulary().is_special(token);
        self.windowing.counts(row, is_special)
    }

    /// Indices within a window, after its first token, at which the model's context begins anew.
    pub(super) fn context_starts(&self, window: &Window) -> Vec<usize> {
        let of = |at: u32| self.windowing.window_of(Pos(window.start + at));
        let n = window.steps.len() as u32;
        if n == 0 || of(0) == of(n - 1) {
            return Vec::new();
        }
        let starts = (1..n).filter(|&at| of(at - 1) != of(at));
        starts.map(|at| at as usize).collect()
    }
}
