//! What a model's part of the site is made from.

use std::path::Path;

use crate::atlas::{Atlas, Regions, open_corpus};
use crate::tokens::Tokenizer;
use crate::tokens::store::TokenStore;

use super::error::SiteError;

/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;

/// One atlas with its corpus.
pub(super) struct Source {
    pub(super) atlas: Atlas,
    pub(super) store: TokenStore,
    pub(super) tokenizer: Tokenizer,
}

impl Source {
    pub(super) fn open(data: &Path) -> Result<Self, SiteError> {
        let atlas = Atlas::open(&data.join("atlas"))?;
        let corpus = data.join("corpus");
        let corpus = open_corpus(&corpus, &atlas.manifest().scan, CACHE_TOKENS)?;
        Ok(Self {
            atlas,
            store: corpus.store,
            tokenizer: corpus.tokenizer,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.atlas.manifest().scan.model.name
    }

    /// What chance explains of a layer's cosines.
    pub(super) fn regions(&self, layer: u32) -> Option<&Regions> {
        self.atlas.weights_info()?.layers.get(layer as usize)
    }
}
