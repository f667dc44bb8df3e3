//! Sizes that no model and no scan has: a manifest that claims more is refused before anything is made of its size.

use crate::stats::StatsOptions;

use super::manifest::{CorpusInfo, ModelInfo, Policy, ScanIdentity};

/// Most blocks of a model.
const LAYERS: u32 = 1 << 10;

/// Most neurons of a layer.
const D_MLP: u32 = 1 << 20;

/// Most values of the residual stream.
const D_MODEL: u32 = 1 << 20;

/// Most tokens of a vocabulary.
const D_VOCAB: u32 = 1 << 22;

/// Most tokens of a window that a model sees, and of the context that near-duplicates share.
const CONTEXT: u32 = 1 << 24;

/// Most examples of a list.
const EXAMPLES: usize = 1 << 16;

/// Most values around a peak, and so in any list of a row.
pub(super) const WINDOW: u64 = 1 << 13;

/// Most counted positions: whole numbers up to here are exact in an f64, and sums of them do not overflow.
pub(super) const POSITIONS: u64 = 1 << 53;

/// Whether a size is from `least` to `most`.
fn within<N: Copy + PartialOrd + std::fmt::Display>(
    name: &str,
    found: N,
    least: N,
    most: N,
) -> Result<(), String> {
    match found >= least && found <= most {
        true => Ok(()),
        false => Err(format!(
            "`{name}` is {found}; expected a number from {least} to {most}"
        )),
    }
}

impl ScanIdentity {
    /// What of it no scan has.
    pub(super) fn check(&self) -> Result<(), String> {
        self.model.check()?;
        self.corpus.check()?;
        self.policy.check(&self.model)
    }
}

impl ModelInfo {
    fn check(&self) -> Result<(), String> {
        within("n_layers", self.n_layers, 1, LAYERS)?;
        within("d_mlp", self.d_mlp, 1, D_MLP)?;
        within("d_model", self.d_model, 1, D_MODEL)?;
        within("d_vocab", self.d_vocab, 1, D_VOCAB)
    }
}

impl CorpusInfo {
    /// What of it no corpus has.
    pub(super) fn check(&self) -> Result<(), String> {
        within("n_documents", self.n_documents, 0, u64::from(u32::MAX))?;
        within("n_tokens", self.n_tokens, 0, POSITIONS)
    }
}

impl Policy {
    fn check(&self, model: &ModelInfo) -> Result<(), String> {
        if let Some(bos) = self.bos {
            within("bos", bos, 0, model.d_vocab - 1)?;
        }
        within("n_ctx", self.n_ctx, 1 + u32::from(self.bos.is_some()), CONTEXT)?;
        within("n_counted", self.n_counted, 0, POSITIONS)?;
        self.stats.check()
    }
}

impl StatsOptions {
    fn check(&self) -> Result<(), String> {
        within("top_k", self.top_k, 0, EXAMPLES)?;
        within("case_k", self.case_k, 0, EXAMPLES)?;
        within("per_band", self.per_band, 0, EXAMPLES)?;
        within("random", self.random, 0, EXAMPLES)?;
        within("context_tokens", self.context_tokens, 0, CONTEXT as usize)?;
        let window = u64::from(self.window_before) + u64::from(self.window_after) + 1;
        within("window_before + window_after + 1", window, 1, WINDOW)?;
        within("tau", self.tau, 0.0, f32::MAX)
    }
}
