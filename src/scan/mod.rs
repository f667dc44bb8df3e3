//! Runs a corpus through a model once, and keeps the statistics and examples of every neuron that DEFINITIONS asks for.

mod batch;
mod bench;
mod chat;
mod checkpoint;
#[cfg(any(feature = "cuda", test))]
mod device;
mod engine;
mod error;
mod forward;
mod job;
mod part;
mod plan;
mod positions;
mod setup;
mod tokenize;

pub use bench::{BenchOptions, Round, bench};
pub use chat::ChatOptions;
pub use error::ScanError;
pub use job::Job;
pub use part::{Watch, check_split, scan_part};
pub use plan::{Disk, Memory, Plan, plan, resident_memory};
pub use positions::{Counts, Positions};
pub use setup::{Checked, Setup};
pub use tokenize::{Chat, CorpusSetup, Tokenized, tokenize};

use candle_core::DType;
use serde::{Deserialize, Serialize};

use crate::gpu::DeviceName;
use crate::ids::Layers;
use crate::stats::{OptionError, StatsOptions};
use crate::tokens::BosPolicy;

/// Tokens of a full window, where neither the model nor the options ask for fewer.
pub const MOST_CTX: usize = 1024;

/// Most tokens of a batch.
const MOST_BATCH: usize = 1 << 24;

/// Type of weights and activations while scanning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum ScanDtype {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, the exponent of f32.
    Bf16,
    /// 16 bits, half precision.
    F16,
}

impl ScanDtype {
    /// Name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// The type with a name.
    pub fn from_name(name: &str) -> Option<Self> {
        let all = [Self::F32, Self::Bf16, Self::F16];
        all.into_iter().find(|dtype| dtype.name() == name)
    }

    /// The type of tensors.
    pub fn candle(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }
}

/// How a corpus is scanned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct ScanOptions {
    /// Tokens of a full window; the model's context length, but at most 1024, if not given.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub n_ctx: Option<u32>,
    /// Layers to scan, counted from 0, such as 0-5,28 [default: all]. Layers after the last one are not computed
    #[cfg_attr(feature = "cli", arg(long, value_name = "LAYERS"))]
    pub layers: Option<Layers>,
    /// Type of weights and activations.
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub dtype: ScanDtype,
    /// Whether gated neurons get the signs that make cos(w_gate, w_in) positive.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub refactor_glu: bool,
    /// Whether windows begin with a BOS.
    #[cfg_attr(feature = "cli", arg(long, value_enum))]
    pub bos: BosPolicy,
    /// Text to put before every window, after the BOS. The model sees it, but its positions are not counted
    #[cfg_attr(feature = "cli", arg(long, value_name = "TEXT"))]
    pub prefix: Option<String>,
    /// Whether BOS, other special tokens and position 0 are counted.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub count_special: bool,
    /// Positions after the first of every window that are not counted, nor the first. Some neurons are enormous there in models
    /// that run without a BOS.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub skip_start: u32,
    /// Count only tokens of these roles, such as user,assistant (for conversations) [default: all tokens]
    #[cfg_attr(
        feature = "cli",
        arg(long, value_name = "ROLES", value_delimiter = ',')
    )]
    pub count_roles: Vec<String>,
    /// What it runs on: `cpu`, `cuda` or `cuda:N`.
    #[cfg_attr(feature = "cli", arg(long, value_name = "DEVICE"))]
    pub device: DeviceName,
    /// Tokens that go through a layer before the next layer is begun; 8192 on a CPU and what its memory takes on a GPU, if not
    /// given. On a CPU it does not change the result.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub batch_tokens: Option<usize>,
    /// How neurons are summarised.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub stats: StatsOptions,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            n_ctx: None,
            layers: None,
            dtype: ScanDtype::F32,
            refactor_glu: false,
            bos: BosPolicy::Auto,
            prefix: None,
            count_special: false,
            skip_start: 0,
            count_roles: Vec::new(),
            device: DeviceName::default(),
            batch_tokens: None,
            stats: StatsOptions::default(),
        }
    }
}

impl ScanOptions {
    /// The text before every window; empty if there is none.
    pub(super) fn prefix(&self) -> &str {
        self.prefix.as_deref().unwrap_or_default()
    }

    /// Whether the options make sense by themselves.
    pub fn check(&self) -> Result<(), OptionError> {
        if let Some(n_ctx) = self.n_ctx {
            OptionError::range("n_ctx", n_ctx, 1..=u32::MAX / 2)?;
        }
        if let Some(batch_tokens) = self.batch_tokens {
            OptionError::range("batch_tokens", batch_tokens, 1..=MOST_BATCH)?;
        }
        self.stats.check()
    }
}

/// Is called with the progress of a job, and returns whether to go on.
pub type Progress<'a> = &'a (dyn Fn(u64) -> bool + Sync);
