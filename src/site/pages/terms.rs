//! What classes and roles are, in words, with the thresholds of the analysis (DEFINITIONS 6 and 7).

use serde::Serialize;

use crate::atlas::{ALIGNED, Class, Role, WeightsInfo};

use super::classes::{class_id, role_id};
use crate::site::text::format::number;

/// Definitions for the model's page.
#[derive(Serialize)]
pub(crate) struct Terms {
    pub(crate) classes: Vec<Term>,
    pub(crate) roles: Vec<Term>,
    /// From which size on a cosine counts.
    pub(crate) aligned: String,
    /// Layers whose neurons' tokens read are shown.
    pub(crate) early_layers: u32,
    /// Directions of the bottom of W_U's singular space.
    pub(crate) null_dim: Option<usize>,
    pub(crate) gated: bool,
    /// Which norms are folded into which weights.
    pub(crate) norms: &'static str,
}

/// A class or a role.
#[derive(Serialize)]
pub(crate) struct Term {
    pub(crate) id: String,
    pub(crate) name: &'static str,
    pub(crate) definition: String,
}

impl Terms {
    pub(crate) fn new(info: &WeightsInfo, gated: bool, d_model: u32) -> Self {
        let aligned = ALIGNED.to_string();
        let classes = Class::ALL
            .into_iter()
            .filter(|class| gated || is_ungated(*class));
        let classes = classes.map(|class| Term {
            id: class_id(class),
            name: class.name(),
            definition: class_words(class, gated).replace("½", &aligned),
        });
        let roles = Role::ALL.map(|role| Term {
            id: role_id(role),
            name: role.name(),
            definition: role_words(role, info, d_model),
        });
        Self {
            classes: classes.collect(),
            roles: roles.into(),
            aligned,
            early_layers: info.early_layers,
            null_dim: info.null_dim,
            gated,
            norms: norm_words(info.norm_after_mlp),
        }
    }
}

fn norm_words(norm_after_mlp: Option<bool>) -> &'static str {
    match norm_after_mlp {
        Some(false) => {
            "The norm before the MLP is folded into the input weights, the last norm into the unembedding."
        }
        Some(true) => {
            "The norm before the MLP is folded into the input weights, the last norm into the unembedding. The norm after the MLP is left out of the classes, the cosines and the neighbours that write alike, as in TransformerLens and in the paper’s code, since a few of its coordinates would decide every cosine; it is folded into w_out for logit weights, roles, and who feeds whom."
        }
        None => {
            "All norms are folded into the weights beside them. If a norm stands after this model’s MLP, classes differ from the published ones: analyse the atlas again to leave that norm out."
        }
    }
}

/// Whether a neuron without a gate can be of a class.
fn is_ungated(class: Class) -> bool {
    matches!(
        class,
        Class::Strengthening | Class::OrthogonalOutput | Class::Weakening
    )
}

fn class_words(class: Class, gated: bool) -> &'static str {
    match (class, gated) {
        (Class::Strengthening, true) => {
            "Writes the direction that it reads, and its gate reads the same: cos(w_in, w_out) > ½ and |cos(w_gate, w_out)| > ½. Formerly enrichment."
        }
        (Class::Strengthening, false) => {
            "Writes the direction that it reads: cos(w_in, w_out) > ½."
        }
        (Class::ConditionalStrengthening, _) => {
            "Writes the direction that it reads, if its gate finds another: cos(w_in, w_out) > ½, |cos(w_gate, w_out)| ≤ ½."
        }
        (Class::ProportionalChange, _) => {
            "Writes the direction of its gate, in proportion to another that it reads: |cos(w_in, w_out)| ≤ ½, |cos(w_gate, w_out)| > ½."
        }
        (Class::OrthogonalOutput, true) => {
            "Writes a direction that neither it nor its gate reads: |cos(w_in, w_out)| ≤ ½ and |cos(w_gate, w_out)| ≤ ½."
        }
        (Class::OrthogonalOutput, false) => {
            "Writes a direction that it does not read: |cos(w_in, w_out)| ≤ ½."
        }
        (Class::Weakening, true) => {
            "Takes away the direction that it reads, and its gate reads the same: cos(w_in, w_out) < −½, |cos(w_gate, w_out)| > ½. Also called depletion."
        }
        (Class::Weakening, false) => {
            "Takes away the direction that it reads: cos(w_in, w_out) < −½. Also called depletion."
        }
        (Class::ConditionalWeakening, _) => {
            "Takes away the direction that it reads, if its gate finds another: cos(w_in, w_out) < −½, |cos(w_gate, w_out)| ≤ ½."
        }
    }
}

fn role_words(role: Role, info: &WeightsInfo, d_model: u32) -> String {
    let t = &info.options.roles;
    let last = match info.late_layers {
        1 => "the last layer".to_owned(),
        n => format!("the last {n} layers"),
    };
    match role {
        Role::Prediction => format!(
            "Promotes few tokens: kurtosis of v above {} and skewness positive.",
            t.kurtosis
        ),
        Role::Suppression => format!(
            "Suppresses few tokens: kurtosis of v above {} and skewness negative.",
            t.kurtosis
        ),
        Role::Partition => format!(
            "Promotes one part of the vocabulary and suppresses the other: variance of v above {}. Random directions have about 1 / d_model = {}{}.",
            t.variance,
            number(Some(1.0 / f64::from(d_model.max(1)))),
            match info.can_partition(d_model) {
                true => "",
                false =>
                    ", which is too near to the threshold: no neuron of this model is called one",
            }
        ),
        Role::Entropy => format!(
            "Writes what the unembedding hardly reads, and so changes how sure the model is through the last norm: in {last}, ρ above {}, w_out longer than that of at least {} of the layer's neurons, and v of at most {} of them varying less.",
            t.null_share,
            short_percent(t.norm_rank),
            short_percent(t.variance_rank)
        ),
    }
}

fn short_percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 100.0)
}
