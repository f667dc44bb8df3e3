//! What neurons do to the logits (DEFINITIONS 6; Gurnee et al. 2024, Stolfo et al. 2024).

use serde::{Deserialize, Serialize};

use super::vocabulary::Shape;
use crate::stats::OptionError;

/// What a neuron does to the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Promotes few tokens.
    Prediction,
    /// Suppresses few tokens.
    Suppression,
    /// Promotes one half of the vocabulary and suppresses the other.
    Partition,
    /// Changes the norm of the residual stream, and with it how sure the model is.
    Entropy,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Prediction,
        Self::Suppression,
        Self::Partition,
        Self::Entropy,
    ];

    /// Name in files and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Prediction => "prediction",
            Self::Suppression => "suppression",
            Self::Partition => "partition",
            Self::Entropy => "entropy",
        }
    }

    /// The role of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

/// From where on a neuron has a role. v are the cosines of `w_out` with the columns of `W_U`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct RoleThresholds {
    /// Kurtosis of v above which a neuron predicts or suppresses, depending on the sign of v's skewness.
    #[cfg_attr(feature = "cli", arg(long = "role-kurtosis", value_name = "X"))]
    pub kurtosis: f64,
    /// Variance of v above which a neuron is a partition neuron.
    #[cfg_attr(feature = "cli", arg(long = "role-variance", value_name = "X"))]
    pub variance: f64,
    /// Share ρ of w_out in the bottom of W_U's singular space above which a neuron can be an entropy neuron.
    #[cfg_attr(feature = "cli", arg(long = "role-null-share", value_name = "SHARE"))]
    pub null_share: f64,
    /// Share of the layers, counted from the last, that can have entropy neurons.
    #[cfg_attr(feature = "cli", arg(long = "role-late-layers", value_name = "SHARE"))]
    pub late_layers: f64,
    /// Share of the layer's neurons that must have a shorter w_out than an entropy neuron.
    #[cfg_attr(feature = "cli", arg(long = "role-norm-rank", value_name = "SHARE"))]
    pub norm_rank: f64,
    /// Share of the layer's neurons whose v may vary less than that of an entropy neuron.
    #[cfg_attr(
        feature = "cli",
        arg(long = "role-variance-rank", value_name = "SHARE")
    )]
    pub variance_rank: f64,
}

impl Default for RoleThresholds {
    fn default() -> Self {
        Self {
            kurtosis: 10.0,
            variance: 0.005,
            null_share: 0.4,
            late_layers: 0.25,
            norm_rank: 0.9,
            variance_rank: 0.1,
        }
    }
}

/// How many times the variance of chance the threshold of partition neurons must be.
const LEAST_OVER_CHANCE: f64 = 1.5;

/// What decides about a neuron's role.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence {
    pub(super) v: Shape,
    /// Whether the threshold of v's variance is far enough above what random directions have.
    pub(super) can_partition: bool,
    /// ρ
    pub(super) null_share: Option<f32>,
    /// Whether its layer is late.
    pub(super) late: bool,
    /// Shares of the layer's neurons with a shorter `w_out`, and with a smaller variance of v.
    pub(super) norm_rank: f64,
    pub(super) variance_rank: f64,
}

impl RoleThresholds {
    /// Whether the thresholds can be compared with something.
    pub(super) fn check(&self) -> Result<(), OptionError> {
        for (name, value) in [
            ("roles.kurtosis", self.kurtosis),
            ("roles.variance", self.variance),
        ] {
            OptionError::finite(name, value)?;
        }
        for (name, share) in [
            ("roles.null_share", self.null_share),
            ("roles.late_layers", self.late_layers),
            ("roles.norm_rank", self.norm_rank),
            ("roles.variance_rank", self.variance_rank),
        ] {
            OptionError::range(name, share, 0.0..=1.0)?;
        }
        Ok(())
    }

    /// Whether neurons of a model can be told to partition: v of random directions has a variance of 1 / d_model, and where the
    /// threshold is not well above it, chance alone would pass.
    pub fn can_partition(&self, d_model: u32) -> bool {
        self.variance >= LEAST_OVER_CHANCE / f64::from(d_model.max(1))
    }

    /// The role, if there is one. Entropy comes last: its neurons write what no token reads.
    pub(super) fn role(&self, evidence: &Evidence) -> Option<Role> {
        let v = &evidence.v;
        let skewness = v.skewness.filter(|skewness| *skewness != 0.0);
        let peaked = v.kurtosis.is_some_and(|kurtosis| kurtosis > self.kurtosis);
        let entropy = evidence.late
            && evidence
                .null_share
                .is_some_and(|share| f64::from(share) > self.null_share)
            && evidence.norm_rank >= self.norm_rank
            && evidence.variance_rank <= self.variance_rank;
        match skewness.filter(|_| peaked) {
            Some(skewness) if skewness > 0.0 => Some(Role::Prediction),
            Some(_) => Some(Role::Suppression),
            None if evidence.can_partition
                && v.variance.is_some_and(|variance| variance > self.variance) =>
            {
                Some(Role::Partition)
            }
            None => entropy.then_some(Role::Entropy),
        }
    }
}

/// For each value, the share of all that are smaller.
pub(super) fn share_below(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let below = |value: &f64| sorted.partition_point(|other| other < value);
    values
        .iter()
        .map(|value| below(value) as f64 / values.len() as f64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evidence(kurtosis: f64, skewness: f64, variance: f64) -> Evidence {
        Evidence {
            v: Shape {
                mean: Some(0.0),
                variance: Some(variance),
                skewness: Some(skewness),
                kurtosis: Some(kurtosis),
            },
            can_partition: true,
            null_share: Some(0.5),
            late: false,
            norm_rank: 0.95,
            variance_rank: 0.05,
        }
    }

    #[test]
    fn roles_begin_beyond_their_thresholds() {
        let of = |evidence: &Evidence| RoleThresholds::default().role(evidence);
        assert_eq!(of(&evidence(10.5, 0.1, 0.1)), Some(Role::Prediction));
        assert_eq!(of(&evidence(10.5, -0.1, 0.1)), Some(Role::Suppression));
        assert_eq!(of(&evidence(10.0, 3.0, 0.006)), Some(Role::Partition));
        assert_eq!(of(&evidence(3.0, 0.0, 0.005)), None);
        let near_chance = Evidence {
            can_partition: false,
            ..evidence(3.0, 0.0, 0.1)
        };
        assert_eq!(of(&near_chance), None);
        let thresholds = RoleThresholds::default();
        assert!(!thresholds.can_partition(299) && thresholds.can_partition(300));
        let late = Evidence {
            late: true,
            ..evidence(3.0, 0.0, 0.001)
        };
        assert_eq!(of(&late), Some(Role::Entropy));
        for other in [
            Evidence {
                null_share: None,
                ..late
            },
            Evidence {
                norm_rank: 0.8,
                ..late
            },
            Evidence {
                variance_rank: 0.2,
                ..late
            },
        ] {
            assert_eq!(of(&other), None);
        }
    }

    #[test]
    fn equal_values_have_the_same_share_below() {
        assert_eq!(share_below(&[3.0, 1.0, 3.0, 2.0]), [0.5, 0.0, 0.5, 0.25]);
    }
}
