//! The inputs that the parts of a scan share, and the preparation of a part.

use std::ops::Range;

use crate::ids::DocId;
use crate::lanes::Isa;
use crate::model::Model;
use crate::shard::{PartInfo, ScanIdentity};
use crate::stats::block::{Block, ScanContext};
use crate::stats::samples::SamplePlan;
use crate::tokens::store::{RoleSet, TokenStore};
use crate::tokens::{Vocabulary, Windowing};

use super::batch::Rows;
use super::error::ScanError;
use super::forward::BLOCK;

/// The inputs that all parts of a scan share.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The model.
    pub model: &'a Model,
    /// The corpus.
    pub store: &'a TokenStore,
    /// Its tokens.
    pub vocabulary: &'a Vocabulary,
    /// How it is cut into windows.
    pub windowing: &'a Windowing,
    /// Roles whose tokens are counted; `None` if all tokens are.
    pub counted_roles: Option<RoleSet>,
    /// Tokens in a batch.
    pub batch_tokens: usize,
}

impl<'a> Job<'a> {
    fn rows(&self, context_tokens: usize) -> Rows<'a> {
        Rows {
            store: self.store,
            vocabulary: self.vocabulary,
            windowing: self.windowing,
            counted_roles: self.counted_roles,
            context_tokens,
        }
    }

    /// Counted positions of the whole corpus.
    pub fn n_counted(&self) -> Result<u64, ScanError> {
        let n_documents = self.store.n_documents();
        match self.rows(0).n_counted(0..n_documents as u32)? {
            [0, _] => Err(ScanError::NothingCounted { n_documents }),
            [n, _] => Ok(n),
        }
    }

    /// The documents of a part: those that begin in the part's share of all tokens.
    pub(super) fn documents(&self, part: PartInfo) -> Range<u32> {
        let total = self.store.n_tokens();
        let first = |index: u32| {
            let share = u128::from(total) * u128::from(index) / u128::from(part.of);
            let (mut low, mut high) = (0, self.store.n_documents() as u32);
            while low < high {
                let middle = low + (high - low) / 2;
                match u128::from(self.store.range(DocId(middle)).start) < share {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            low
        };
        first(part.index)..if part.index + 1 == part.of {
            self.store.n_documents() as u32
        } else {
            first(part.index + 1)
        }
    }

    /// Tokens that a part will put through the model, BOS and prefix included.
    pub fn n_rows(&self, part: PartInfo) -> u64 {
        let rows = |doc| self.windowing.n_rows(self.store.len(DocId(doc))) as u64;
        self.documents(part).map(rows).sum()
    }
}

/// A job with all that its first batch needs.
pub(super) struct Prepared<'a> {
    pub(super) rows: Rows<'a>,
    plan: SamplePlan,
    pub(super) identity: &'a ScanIdentity,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(job: &Job<'a>, identity: &'a ScanIdentity) -> Result<Self, ScanError> {
        let options = &identity.policy.stats;
        let rows = job.rows(options.context_tokens);
        Ok(Self {
            plan: rows.plan(options)?,
            rows,
            identity,
        })
    }

    pub(super) fn context(&self) -> ScanContext<'_> {
        ScanContext {
            options: &self.identity.policy.stats,
            plan: &self.plan,
            n_total: self.identity.policy.n_counted.unwrap_or_default(),
            isa: Isa::best(),
        }
    }

    /// Number of blocks up to the last one that is scanned.
    pub(super) fn n_blocks(&self) -> usize {
        let last = self.identity.layers().pop();
        last.map_or(0, |last| last as usize + 1)
    }

    /// State of all neurons before any position, layer by layer; nothing of layers that are not scanned.
    pub(super) fn blocks(&self) -> Vec<Vec<Block>> {
        let (model, options) = (&self.identity.model, &self.identity.policy.stats);
        let d_mlp = model.d_mlp as usize;
        let block = |first| Block::new(BLOCK.min(d_mlp - first), self.identity.kind(), options);
        let layer = |layer| match self.identity.layer_index(layer) {
            Some(_) => (0..d_mlp).step_by(BLOCK).map(block).collect(),
            None => Vec::new(),
        };
        (0..self.n_blocks() as u32).map(layer).collect()
    }
}
