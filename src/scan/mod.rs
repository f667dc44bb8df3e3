//! Drives a model over a corpus once, and keeps of every neuron what DEFINITIONS asks for.

mod batch;
mod error;
mod part;
mod setup;
mod tokenize;

pub use error::ScanError;
pub use part::{Job, scan_part};
pub use setup::Setup;
pub use tokenize::{TOKENIZER_FILE, With, tokenize};

use serde::{Deserialize, Serialize};

use crate::stats::StatsOptions;
use crate::tokens::BosPolicy;

/// How a corpus is scanned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct ScanOptions {
    /// Tokens of a full window; the model's context length if not given.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub n_ctx: Option<u32>,
    /// Whether windows begin with a BOS.
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub bos: BosPolicy,
    /// Whether BOS, other special tokens and position 0 are counted.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub count_special: bool,
    /// Tokens that go through a layer before the next layer is begun. Does not change the result.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub batch_tokens: usize,
    /// How neurons are summarised.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub stats: StatsOptions,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            n_ctx: None,
            bos: BosPolicy::Auto,
            count_special: false,
            batch_tokens: 8192,
            stats: StatsOptions::default(),
        }
    }
}

/// Told how far a job is; answers whether to go on.
pub type Progress<'a> = &'a (dyn Fn(u64) -> bool + Sync);
