//! The MLP and its hooks.

use candle_core::{Result, Tensor};

use super::attention::Linear;
use super::config::Activation;
use super::hooks::MlpActivations;

#[derive(Clone, Debug)]
pub(super) struct Mlp {
    pub(super) gate: Option<Linear>, // d_model → d_mlp
    pub(super) input: Linear,        // d_model → d_mlp
    pub(super) out: Linear,          // d_mlp → d_model
    pub(super) act_fn: Activation,
}

impl Mlp {
    /// `[batch, pos, d_model]`, normalised → hooks, each `[batch, pos, d_mlp]`
    pub(super) fn activations(&self, x: &Tensor) -> Result<MlpActivations> {
        let input = self.input.forward(x)?;
        match &self.gate {
            Some(gate) => {
                let pre = gate.forward(x)?;
                let act = self.act_fn.apply(&pre)?;
                let post = (&act * &input)?;
                Ok(MlpActivations {
                    pre,
                    pre_linear: Some(input),
                    act: Some(act),
                    post,
                })
            }
            None => {
                let post = self.act_fn.apply(&input)?;
                Ok(MlpActivations {
                    pre: input,
                    pre_linear: None,
                    act: None,
                    post,
                })
            }
        }
    }
}

impl Activation {
    fn apply(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
            Self::Relu => x.relu(),
        }
    }
}
