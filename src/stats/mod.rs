//! What is kept of a neuron: statistics, examples and samples (DEFINITIONS 2 to 4).
//!
//! Everything here is updated position by position and merged part by part; no file and no thread is touched.
//! However a corpus is split, merging gives the same counts, histograms, examples and samples, and sums that differ
//! by rounding only.

pub mod block;
pub mod examples;
pub mod hash;
pub mod histogram;
pub mod moments;
pub mod neuron;
pub mod quantile;
pub mod samples;
pub mod signs;
pub mod starts;
pub mod sums;
pub mod window;

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use examples::ListKind;
use samples::SampleCounts;
use signs::SignCase;

/// What an MLP has besides `hook_pre` and the hook that is ranked (DEFINITIONS 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MlpKind {
    /// Nothing: `hook_post` is ranked.
    Plain,
    /// A gate: `hook_post` is ranked, `hook_pre_linear` and act(gate) stand beside it.
    Gated,
    /// A norm: `hook_mid` is ranked, `hook_post` stands beside it.
    Solu,
}

/// How neurons are summarised. Recorded with a scan, since two scans merge only if these agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct StatsOptions {
    /// Examples in each of the lists of most positive and most negative values.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub top_k: usize,
    /// Examples in the list of each sign case (gated neurons).
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub case_k: usize,
    /// Examples drawn from each population band.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub per_band: usize,
    /// Examples drawn from the whole population.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub random: usize,
    /// Positions shown before a peak.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub window_before: u32,
    /// Positions shown after a peak.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub window_after: u32,
    /// Tokens up to and including the peak that make two examples near-duplicates when equal.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub context_tokens: usize,
    /// Threshold of "active" for the share of `|hook_post| > τ`.
    #[cfg_attr(feature = "cli", arg(long))]
    pub tau: f32,
    /// Whether gate and linear input are ranked as well (GLUScope does).
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub rank_pre: bool,
    /// Whether the examples of the sign cases keep gate, act(gate) and in around their peaks as well (gated neurons).
    #[serde(skip_serializing_if = "is_false")]
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub keep_hooks: bool,
    /// Seed of the random draws.
    #[cfg_attr(feature = "cli", arg(long))]
    pub seed: u64,
}

impl Default for StatsOptions {
    fn default() -> Self {
        Self {
            top_k: 20,
            case_k: 16,
            per_band: 5,
            random: 10,
            window_before: 50,
            window_after: 10,
            context_tokens: 8,
            tau: 0.1,
            rank_pre: false,
            keep_hooks: false,
            seed: 0,
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

/// An option that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is {found}; expected {expected}")]
pub struct OptionError {
    /// The option, as the project file names it.
    pub name: &'static str,
    /// Its value.
    pub found: String,
    /// What it can be.
    pub expected: String,
}

impl OptionError {
    /// Checks that an option lies in a range.
    pub fn range<T: PartialOrd + ToString>(
        name: &'static str,
        found: T,
        range: RangeInclusive<T>,
    ) -> Result<(), Self> {
        let (first, last) = (range.start().to_string(), range.end().to_string());
        Self::unless(
            range.contains(&found),
            name,
            found,
            format!("{first} to {last}"),
        )
    }

    /// Checks that an option is a finite number.
    pub fn finite(name: &'static str, found: f64) -> Result<(), Self> {
        Self::unless(found.is_finite(), name, found, "a finite number")
    }

    /// Checks that an option is a finite number, 0 or more.
    pub fn size(name: &'static str, found: f64) -> Result<(), Self> {
        let is_size = found.is_finite() && found >= 0.0;
        Self::unless(is_size, name, found, "a finite number, 0 or more")
    }

    fn unless(
        is_right: bool,
        name: &'static str,
        found: impl ToString,
        expected: impl Into<String>,
    ) -> Result<(), Self> {
        match is_right {
            true => Ok(()),
            false => Err(Self {
                name,
                found: found.to_string(),
                expected: expected.into(),
            }),
        }
    }
}

/// Most examples of a list.
const MOST_EXAMPLES: usize = 10_000;

/// Most positions on a side of a peak, and most tokens of a context.
const MOST_POSITIONS: u32 = 10_000;

impl StatsOptions {
    /// Most values around a peak, the peak included.
    pub const MOST_WINDOW: u64 = 2 * MOST_POSITIONS as u64 + 1;

    /// Whether the options make sense.
    pub fn check(&self) -> Result<(), OptionError> {
        OptionError::range("top_k", self.top_k, 1..=MOST_EXAMPLES)?;
        for (name, n) in [
            ("case_k", self.case_k),
            ("per_band", self.per_band),
            ("random", self.random),
        ] {
            OptionError::range(name, n, 0..=MOST_EXAMPLES)?;
        }
        for (name, n) in [
            ("window_before", self.window_before),
            ("window_after", self.window_after),
        ] {
            OptionError::range(name, n, 0..=MOST_POSITIONS)?;
        }
        OptionError::range(
            "context_tokens",
            self.context_tokens,
            1..=MOST_POSITIONS as usize,
        )?;
        OptionError::size("tau", f64::from(self.tau))
    }

    /// The lists kept for a neuron, with their lengths.
    pub fn lists(&self, kind: MlpKind) -> Vec<(ListKind, usize)> {
        let mut lists = vec![(ListKind::Top, self.top_k), (ListKind::Bottom, self.top_k)];
        if kind == MlpKind::Gated {
            lists.extend(SignCase::ALL.map(|case| (ListKind::Case(case), self.case_k)));
        }
        if self.rank_pre {
            lists.extend([ListKind::PreTop, ListKind::PreBottom].map(|kind| (kind, self.top_k)));
            if kind == MlpKind::Gated {
                lists.extend(
                    [ListKind::PreLinearTop, ListKind::PreLinearBottom]
                        .map(|kind| (kind, self.top_k)),
                );
            }
        }
        lists
    }

    /// Whether the examples of a list keep [`Hooks`](examples::Hooks).
    pub fn keeps_hooks(&self, list: ListKind) -> bool {
        self.keep_hooks && matches!(list, ListKind::Case(_))
    }

    /// How many samples are drawn.
    pub fn samples(&self) -> SampleCounts {
        SampleCounts {
            per_band: self.per_band,
            random: self.random,
        }
    }
}
