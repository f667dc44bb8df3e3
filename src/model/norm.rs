//! LayerNorm and RMSNorm.

use candle_core::{D, DType, Result, Tensor};

use super::config::NormKind;

/// A norm with its parameters, which are kept in f32 whatever the model's type is.
#[derive(Clone, Debug)]
pub(super) struct Norm {
    pub(super) kind: NormKind,
    pub(super) weight: Tensor,       // [d], or [heads, d]
    pub(super) bias: Option<Tensor>, // [d]
    pub(super) eps: f64,
}

impl Norm {
    /// Folds the norm into weights that multiply its output, `[rows, d]`: the result multiplies its input, up to the input's length.
    pub(super) fn fold_into(&self, w: &Tensor) -> Result<Tensor> {
        let w = w.broadcast_mul(&self.weight)?;
        match self.kind {
            NormKind::Layer => w.broadcast_sub(&w.mean_keepdim(1)?),
            NormKind::Rms => Ok(w),
        }
    }

    /// Normalises over the last dimension, in f32, on tensors of any device.
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let dtype = x.dtype();
        let x = x.to_dtype(DType::F32)?;
        let y = match self.kind {
            // candle's fused norm leaves no trace for gradients
            NormKind::Rms if x.track_op() => {
                candle_nn::ops::rms_norm_slow(&x, &self.weight, self.eps as f32)?
            }
            NormKind::Rms => {
                candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32)?
            }
            // candle's own takes the variance as E[x²] - E[x]², which cancels where the mean is large
            NormKind::Layer => {
                let x = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
                let variance = x.sqr()?.mean_keepdim(D::Minus1)?;
                x.broadcast_div(&(variance + self.eps)?.sqrt()?)?
                    .broadcast_mul(&self.weight)?
            }
        };
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.to_dtype(dtype)
    }
}
