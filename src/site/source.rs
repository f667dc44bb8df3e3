//! What a model's part of the site is made from.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use crate::atlas::{
    Atlas, AtlasError, Example, ExampleRow, ExampleTexts, Regions, Window, open_corpus,
};
use crate::ids::{DocId, Pos, RoleId, TokenId};
use crate::tokens::store::{RoleSet, TokenStore};
use crate::tokens::{Tokenizer, Vocabulary, Windowing};

use super::error::SiteError;

/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;

/// An atlas with its text.
pub(super) struct Source {
    pub(super) atlas: Atlas,
    /// Whether the atlas says which side of each neuron dominates.
    pub(super) has_sides: bool,
    text: Text,
}

/// Where the text of an atlas is.
enum Text {
    /// In its corpus.
    Corpus(Box<Corpus>),
    /// In the table of examples, since the corpus is not there. Ids stand for texts.
    Examples(ExampleTexts),
}

/// The corpus of an atlas.
pub(super) struct Corpus {
    pub(super) store: TokenStore,
    tokenizer: Tokenizer,
    windowing: Windowing,
    /// Roles whose tokens are counted; `None` if all tokens are.
    counted_roles: Option<RoleSet>,
}

impl Source {
    pub(super) fn open(data: &Path) -> Result<Self, SiteError> {
        let atlas = Atlas::open(&data.join("atlas"))?;
        let corpus = data.join("corpus");
        let text = match corpus.is_dir() {
            true => {
                let corpus = open_corpus(&corpus, &atlas.manifest().scan, CACHE_TOKENS)?;
                Text::Corpus(Box::new(Corpus {
                    counted_roles: corpus.counted_roles,
                    store: corpus.store,
                    tokenizer: corpus.tokenizer,
                    windowing: atlas.windowing(),
                }))
            }
            false => Text::Examples(ExampleTexts::read(&atlas)?),
        };
        Ok(Self {
            has_sides: atlas.has_sides()?,
            atlas,
            text,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.atlas.manifest().scan.model.name
    }

    /// The corpus, if it is there.
    pub(super) fn corpus(&self) -> Option<&Corpus> {
        match &self.text {
            Text::Corpus(corpus) => Some(corpus),
            Text::Examples(_) => None,
        }
    }

    /// The tokens of examples, and of the model wherever the atlas names any.
    pub(super) fn vocabulary(&self) -> &Vocabulary {
        match &self.text {
            Text::Corpus(corpus) => corpus.tokenizer.vocabulary(),
            Text::Examples(texts) => texts.vocabulary(),
        }
    }

    /// The token that is put in front of every window, if there is one.
    pub(super) fn bos(&self) -> Option<Cow<'_, str>> {
        let bos = self.atlas.manifest().scan.policy.bos.map(TokenId)?;
        Some(match &self.text {
            Text::Examples(texts) if !texts.knows(bos) => format!("token {}", bos.0).into(),
            _ => self.vocabulary().text(bos),
        })
    }

    /// What chance explains of a layer's cosines.
    pub(super) fn regions(&self, layer: u32) -> Option<&Regions> {
        let at = self.atlas.manifest().scan.layer_index(layer)?;
        self.atlas.weights_info()?.layers.get(at)
    }

    /// Tokens of an example's window, with those BOS tokens that take up positions.
    pub(super) fn tokens(&self, row: &ExampleRow) -> Result<Vec<TokenId>, SiteError> {
        let Example { doc, window, .. } = &row.example;
        match &self.text {
            Text::Corpus(corpus) => {
                corpus.tokens(*doc, window.start..window.start + window.steps.len() as u32)
            }
            Text::Examples(texts) => {
                let missing = || AtlasError::NoTexts(self.atlas.folder().to_owned());
                Ok(texts.tokens(row).ok_or_else(missing)?)
            }
        }
    }

    /// Where a document comes from, if that is known.
    pub(super) fn source_of(&self, doc: DocId) -> Option<&str> {
        Some(self.corpus()?.store.source(doc))
    }

    /// Whether a position at which a token stands counts (DEFINITIONS 2), whatever its role. Without a corpus all do, as far
    /// as is known.
    pub(super) fn counts(&self, pos: Pos, token: TokenId) -> bool {
        let Some(Corpus {
            tokenizer,
            windowing,
            ..
        }) = self.corpus()
        else {
            return true;
        };
        let at = windowing.token_at(pos);
        let row = at.map_or(0, |at| windowing.row_of(at));
        windowing.counts(row, tokenizer.vocabulary().is_special(token))
    }

    /// The roles of the tokens at some positions of a document; `None` if no token of the corpus has a role.
    pub(super) fn roles(
        &self,
        doc: DocId,
        positions: Range<u32>,
    ) -> Result<Option<Vec<RoleId>>, SiteError> {
        let Some(corpus) = self.corpus().filter(|corpus| corpus.store.has_roles()) else {
            return Ok(None);
        };
        let stored = |range| Ok(corpus.store.roles(doc, range)?.unwrap_or_default());
        let roles = corpus.windowing.at(positions, RoleId::NONE, stored);
        roles.map(Some)
    }

    /// Whether each of some roles is counted; `None` if all are.
    pub(super) fn is_chosen(&self, roles: &[RoleId]) -> Option<Vec<bool>> {
        let counted = self.corpus()?.counted_roles.as_ref()?;
        let is_counted = roles.iter().map(|role| counted.contains(*role));
        Some(is_counted.collect())
    }

    /// Where the role changes among those of consecutive tokens, the first included, with its name from there on: empty where
    /// tokens have none.
    pub(super) fn turns(&self, roles: &[RoleId]) -> Vec<(usize, String)> {
        let Some(corpus) = self.corpus() else {
            return Vec::new();
        };
        let names = corpus.store.role_names();
        let name = |role: RoleId| match role.0.checked_sub(1) {
            Some(at) => names[usize::from(at)].to_owned(),
            None => String::new(),
        };
        let changes = (0..roles.len()).filter(|&at| at == 0 || roles[at] != roles[at - 1]);
        changes.map(|at| (at, name(roles[at]))).collect()
    }

    /// Indices within a window, after its first token, at which the model's context begins anew; none if that is not known.
    pub(super) fn context_starts(&self, window: &Window) -> Vec<usize> {
        let n = window.steps.len() as u32;
        let Some(Corpus { windowing, .. }) = self.corpus() else {
            return Vec::new();
        };
        let of = |at: u32| windowing.window_of(Pos(window.start + at));
        if n == 0 || of(0) == of(n - 1) {
            return Vec::new();
        }
        let starts = (1..n).filter(|&at| of(at - 1) != of(at));
        starts.map(|at| at as usize).collect()
    }
}

impl Corpus {
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
}
