//! The MLP and its hooks.

use candle_core::{D, DType, Result, Tensor};

use super::config::Activation;
use super::cpu::PANEL;
use super::error::ModelError;
use super::hooks::Hook;
use super::norm::Norm;
use super::ops::{Linear, Ops};

#[derive(Clone, Debug)]
pub(super) struct Mlp {
    pub(super) gate: Option<Linear>,   // d_model → d_mlp
    pub(super) input: Linear,          // d_model → d_mlp
    pub(super) mid_norm: Option<Norm>, // d_mlp, SoLU only
    pub(super) out: Linear,            // d_mlp → d_model
    pub(super) act_fn: Activation,
}

impl Mlp {
    /// Prepares its weights for products.
    pub(super) fn prepared(self, ops: &Ops) -> Result<Self> {
        let gate = self.gate.map(|gate| ops.prepare(gate, 1));
        Ok(Self {
            gate: gate.transpose()?,
            input: ops.prepare(self.input, 1)?,
            out: ops.prepare(self.out, PANEL)?,
            ..self
        })
    }

    /// `[rows, d_model]`, normalised → the results of the products, each `[rows, d_mlp]`
    pub(super) fn products(&self, ops: &Ops, x: &Tensor) -> Result<MlpProducts> {
        let x = ops.operand(x, &self.input)?;
        let input = ops.linear(&x, &self.input)?;
        let (pre, pre_linear) = match &self.gate {
            Some(gate) => (ops.linear(&x, gate)?, Some(input)),
            None => (input, None),
        };
        Ok(MlpProducts {
            pre,
            pre_linear,
            act_fn: self.act_fn,
        })
    }

    /// `[rows, d_model]`, normalised → `hook_post` in the model's type, in as few operations as possible: `[rows, d_mlp]`
    pub(super) fn post(&self, ops: &Ops, x: &Tensor) -> Result<Tensor> {
        match self.mid_norm {
            Some(_) => Ok(self.activations(ops, x)?.post),
            None => self.products(ops, x)?.acted(),
        }
    }

    /// `[rows, d_model]`, normalised → hooks, each `[rows, d_mlp]`. Except for SoLU, results of products are not rounded to the
    /// model's type.
    pub(super) fn activations(&self, ops: &Ops, x: &Tensor) -> Result<MlpActivations> {
        let MlpProducts {
            pre, pre_linear, ..
        } = self.products(ops, x)?;
        let pre = match self.mid_norm {
            Some(_) => pre, // rounded step by step, as the reference does
            None => pre.to_dtype(DType::F32)?,
        };
        let acted = ops.activate(self.act_fn, &pre)?;
        if let Some(input) = pre_linear {
            let input = input.to_dtype(DType::F32)?;
            return Ok(MlpActivations {
                post: (&acted * &input)?,
                pre,
                pre_linear: Some(input),
                act: Some(acted),
                mid: None,
            });
        }
        let (mid, post) = match &self.mid_norm {
            Some(norm) => {
                let post = ops.norm(norm, &acted)?;
                (Some(acted), post)
            }
            None => (None, acted),
        };
        Ok(MlpActivations {
            pre,
            pre_linear: None,
            act: None,
            mid,
            post,
        })
    }
}

/// Results of the products of one layer's MLP, each `[rows, d_mlp]`.
#[derive(Clone, Debug)]
pub struct MlpProducts {
    /// `hook_pre`.
    pub pre: Tensor,
    /// `hook_pre_linear`; gated MLPs only.
    pub pre_linear: Option<Tensor>,
    /// The activation function.
    pub act_fn: Activation,
}

impl MlpProducts {
    /// `hook_post` in the model's type, in as few operations on tensors as possible.
    pub fn post(&self) -> std::result::Result<Tensor, ModelError> {
        Ok(self.acted()?)
    }

    fn acted(&self) -> Result<Tensor> {
        let act = self.act_fn.forward(&self.pre)?;
        match &self.pre_linear {
            Some(pre_linear) => act * pre_linear,
            None => Ok(act),
        }
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

impl Activation {
    /// Applies it to a tensor on any device.
    pub(super) fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
            Self::SoluLn => {
                let wide = x.to_dtype(DType::F32)?;
                // candle's fused softmax leaves no trace for gradients
                let share = match x.track_op() {
                    true => candle_nn::ops::softmax(&wide, D::Minus1)?,
                    false => candle_nn::ops::softmax_last_dim(&wide)?,
                };
                x * share.to_dtype(x.dtype())?
            }
        }
    }
}
