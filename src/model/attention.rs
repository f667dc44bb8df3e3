//! Causal self-attention with grouped keys and values.

use candle_core::{DType, Device, Result, Tensor};

use super::config::{Config, Position};

/// `x·Wᵀ + b`.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) weight: Tensor,       // [out, in]
    pub(super) bias: Option<Tensor>, // [out]
}

impl Linear {
    pub(super) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        // one flat product: a batched one would multiply small matrices one by one
        let (batch, pos, d_in) = x.dims3()?;
        let y = x.reshape((batch * pos, d_in))?.matmul(&self.weight.t()?)?;
        let y = match &self.bias {
            Some(bias) => y.broadcast_add(bias)?,
            None => y,
        };
        y.reshape((batch, pos, ()))
    }
}

/// What attention needs of positions, computed once for the longest window.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    rotary: Option<(Tensor, Tensor)>, // cos, sin: [n_ctx, d_head / 2]
    mask: Tensor,                     // [n_ctx, n_ctx]: 0 where a position may look, else -∞
}

impl Positions {
    pub(super) fn new(config: &Config, dtype: DType, device: &Device) -> Result<Self> {
        let (n, half) = (config.n_ctx, config.d_head / 2);
        let rotary = match config.position {
            Position::Learned => None,
            Position::Rotary { theta } => {
                let angle = |i: usize| {
                    let frequency =
                        (theta as f32).powf(-((2 * (i % half)) as f32) / config.d_head as f32);
                    (i / half) as f32 * frequency
                };
                let angles: Vec<f32> = (0..n * half).map(angle).collect();
                let angles = Tensor::from_vec(angles, (n, half), device)?;
                Some((
                    angles.cos()?.to_dtype(dtype)?,
                    angles.sin()?.to_dtype(dtype)?,
                ))
            }
        };
        let look = |i: usize| {
            if i % n <= i / n {
                0.0
            } else {
                f32::NEG_INFINITY
            }
        };
        let mask =
            Tensor::from_vec((0..n * n).map(look).collect(), (n, n), device)?.to_dtype(dtype)?;
        Ok(Self { rotary, mask })
    }

    fn rotate(&self, x: &Tensor) -> Result<Tensor> {
        let Some((cos, sin)) = &self.rotary else {
            return Ok(x.clone());
        };
        let n = x.dim(2)?;
        candle_nn::rotary_emb::rope(x, &cos.narrow(0, 0, n)?, &sin.narrow(0, 0, n)?)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) out: Linear,
    pub(super) n_heads: usize,
    pub(super) n_key_value_heads: usize,
    pub(super) d_head: usize,
}

impl Attention {
    /// `[batch, pos, d_model]` → `[batch, pos, d_model]`
    pub(super) fn forward(&self, x: &Tensor, positions: &Positions) -> Result<Tensor> {
        let (batch, n, _) = x.dims3()?;
        let heads = |y: Tensor, n_heads: usize| {
            y.reshape((batch, n, n_heads, self.d_head))?
                .transpose(1, 2)?
                .contiguous()
        };
        let q = positions.rotate(&heads(self.query.forward(x)?, self.n_heads)?)?;
        let k = positions.rotate(&heads(self.key.forward(x)?, self.n_key_value_heads)?)?;
        let v = heads(self.value.forward(x)?, self.n_key_value_heads)?;

        // queries that share a key head are stacked along the positions: [batch, kv_heads, group * pos, d_head]
        let group = self.n_heads / self.n_key_value_heads;
        let q = (q * (1.0 / (self.d_head as f64).sqrt()))?;
        let q = q.reshape((batch, self.n_key_value_heads, group * n, self.d_head))?;
        let scores = q.matmul(&k.t()?)?.reshape((batch, self.n_heads, n, n))?;
        let mask = positions.mask.narrow(0, 0, n)?.narrow(1, 0, n)?;
        let pattern = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&mask)?)?;
        let y = pattern
            .reshape((batch, self.n_key_value_heads, group * n, n))?
            .matmul(&v)?;
        let y = y
            .reshape((batch, self.n_heads, n, self.d_head))?
            .transpose(1, 2)?;
        self.out.forward(
            &y.reshape((batch, n, self.n_heads * self.d_head))?
                .contiguous()?,
        )
    }
}
