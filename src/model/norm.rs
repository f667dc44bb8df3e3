//! LayerNorm and RMSNorm.

use candle_core::{Result, Tensor};

/// A norm with its parameters.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) weight: Tensor,       // [d_model]
    pub(super) bias: Option<Tensor>, // [d_model], LayerNorm only
    pub(super) eps: f32,
}

impl Norm {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        match &self.bias {
            Some(bias) => candle_nn::ops::layer_norm(x, &self.weight, bias, self.eps),
            None => candle_nn::ops::rms_norm(x, &self.weight, self.eps),
        }
    }
}
