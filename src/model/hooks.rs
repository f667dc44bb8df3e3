//! Names of the activations that are read out (DEFINITIONS 1).

use serde::{Deserialize, Serialize};

/// A place in an MLP, by TransformerLens' name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hook {
    /// `x·W_in + b_in`, or the gate `x·W_gate` of a gated MLP.
    #[serde(rename = "hook_pre")]
    Pre,
    /// `x·W_in` of a gated MLP.
    #[serde(rename = "hook_pre_linear")]
    PreLinear,
    /// `hook_pre · softmax(hook_pre)` of a SoLU MLP.
    #[serde(rename = "hook_mid")]
    Mid,
    /// What multiplies `W_out`.
    #[serde(rename = "hook_post")]
    Post,
}

impl Hook {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pre, Self::PreLinear, Self::Mid, Self::Post];

    /// Name within the MLP.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pre => "hook_pre",
            Self::PreLinear => "hook_pre_linear",
            Self::Mid => "hook_mid",
            Self::Post => "hook_post",
        }
    }
}
