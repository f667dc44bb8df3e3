//! The MLP and its hooks.

use candle_core::{DType, Result, Tensor};

use super::attention::Linear;
use super::config::Activation;
use super::hooks::MlpActivations;
use super::norm::Norm;

#[derive(Clone, Debug)]
pub(super) struct Mlp {
    pub(super) gate: Option<Linear>,   // d_model → d_mlp
    pub(super) input: Linear,          // d_model → d_mlp
    pub(super) mid_norm: Option<Norm>, // d_mlp, SoLU only
    pub(super) out: Linear,            // d_mlp → d_model
    pub(super) act_fn: Activation,
}

impl Mlp {
    /// `[batch, pos, d_model]`, normalised → hooks, each `[batch, pos, d_mlp]`
    pub(super) fn activations(&self, x: &Tensor) -> Result<MlpActivations> {
        let input = self.input.forward(x)?;
        if let Some(gate) = &self.gate {
            let pre = gate.forward(x)?;
            let act = self.act_fn.apply(&pre)?;
            return Ok(MlpActivations {
                post: (&act * &input)?,
                pre,
                pre_linear: Some(input),
                act: Some(act),
                mid: None,
            });
        }
        let acted = self.act_fn.apply(&input)?;
        let (mid, post) = match &self.mid_norm {
            Some(norm) => {
                let post = norm.forward(&acted)?;
                (Some(acted), post)
            }
            None => (None, acted),
        };
        Ok(MlpActivations {
            pre: input,
            pre_linear: None,
            act: None,
            mid,
            post,
        })
    }
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
            Self::SoluLn => {
                let share = candle_nn::ops::softmax_last_dim(&x.to_dtype(DType::F32)?)?;
                x * share.to_dtype(x.dtype())?
            }
        }
    }
}
