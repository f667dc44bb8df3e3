//! Names and values of the activations that are read out (DEFINITIONS 1).

use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use super::config::Activation;
use super::error::ModelError;

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

/// What the products of one layer's MLP leave, each `[rows, d_mlp]`.
#[derive(Clone, Debug)]
pub struct MlpProducts {
    /// `hook_pre`.
    pub pre: Tensor,
    /// `hook_pre_linear`; gated MLPs only.
    pub pre_linear: Option<Tensor>,
    /// What makes `hook_post` of them.
    pub act_fn: Activation,
}

impl MlpProducts {
    /// `hook_post` in the model's type, by as few operations as tensors take.
    pub fn post(&self) -> Result<Tensor, ModelError> {
        let act = self.act_fn.forward(&self.pre)?;
        Ok(match &self.pre_linear {
            Some(pre_linear) => (act * pre_linear)?,
            None => act,
        })
    }
}

/// Activations of one layer's MLP, each `[rows, d_mlp]`, the rows of the windows one after the other.
#[derive(Clone, Debug)]
pub struct MlpActivations {
    /// `hook_pre`.
    pub pre: Tensor,
    /// `hook_pre_linear`; gated MLPs only.
    pub pre_linear: Option<Tensor>,
    /// `act_fn(hook_pre)`; gated MLPs only, where it is not `hook_post` itself.
    pub act: Option<Tensor>,
    /// `hook_mid`; SoLU MLPs only.
    pub mid: Option<Tensor>,
    /// `hook_post`.
    pub post: Tensor,
}

impl MlpActivations {
    /// The values of a hook, if the MLP has it.
    pub fn hook(&self, hook: Hook) -> Option<&Tensor> {
        match hook {
            Hook::Pre => Some(&self.pre),
            Hook::PreLinear => self.pre_linear.as_ref(),
            Hook::Mid => self.mid.as_ref(),
            Hook::Post => Some(&self.post),
        }
    }
}
