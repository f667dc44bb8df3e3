//! Causal self-attention with grouped keys and values.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candle_core::{DType, Device, Result, Tensor};

use super::config::{Config, Position};
use super::norm::Norm;
use super::rope::Rotation;

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
    rotation: Option<Rotation>,
    /// Of the layers that see a window only.
    local: Option<Rotation>,
    /// By how far a layer sees, `[n_ctx, n_ctx]` in f32: 0 where a position may look, else -∞.
    masks: BTreeMap<usize, Tensor>,
    n_ctx: usize,
}

impl Positions {
    pub(super) fn new(config: &Config, dtype: DType, device: &Device) -> Result<Self> {
        let n = config.n_ctx;
        let (rotation, local) = match &config.position {
            Position::Rotary {
                n_dims,
                rope,
                local,
            } => {
                let rotation = |rope| Rotation::new(rope, *n_dims, n, dtype, device);
                (
                    Some(rotation(rope)?),
                    local.as_ref().map(rotation).transpose()?,
                )
            }
            Position::Learned { .. } | Position::Shortformer => (None, None),
        };
        let mut masks = BTreeMap::new();
        for window in &config.attention.windows {
            let sees = window.unwrap_or(n).min(n);
            if let Entry::Vacant(entry) = masks.entry(sees) {
                let look = |at: usize| match (at / n).checked_sub(at % n) {
                    Some(back) if back < sees => 0.0,
                    _ => f32::NEG_INFINITY,
                };
                let mask = (0..n * n).map(look).collect();
                entry.insert(Tensor::from_vec(mask, (n, n), device)?);
            }
        }
        Ok(Self {
            rotation,
            local,
            masks,
            n_ctx: n,
        })
    }

    fn rotate(&self, x: &Tensor, window: Option<usize>) -> Result<Tensor> {
        let rotation = match window {
            Some(_) => self.local.as_ref().or(self.rotation.as_ref()),
            None => self.rotation.as_ref(),
        };
        rotation.map_or_else(|| x.contiguous(), |rotation| rotation.rotate(x))
    }

    /// `[n, n]`
    fn mask(&self, window: Option<usize>, n: usize) -> Result<Tensor> {
        let sees = window.unwrap_or(self.n_ctx).min(self.n_ctx);
        self.masks[&sees].narrow(0, 0, n)?.narrow(1, 0, n)
    }
}

/// Norms of queries and keys.
#[derive(Clone, Debug)]
pub(super) enum QkNorms {
    /// Before they are cut into heads: `[d]`.
    Whole { query: Norm, key: Norm },
    /// Of each head: the same for all, `[d_head]`, or one after the other, `[heads, 1, d_head]`.
    Heads { query: Norm, key: Norm },
}

#[derive(Clone, Debug)]
pub(super) struct Attention {
    pub(super) query: Linear,
    pub(super) key: Linear,
    pub(super) value: Linear,
    pub(super) out: Linear,
    pub(super) qk_norms: Option<QkNorms>,
    pub(super) n_heads: usize,
    pub(super) n_key_value_heads: usize,
    pub(super) d_head: usize,
    pub(super) scale: f64,
    pub(super) clip: Option<f64>,
    pub(super) softcap: Option<f64>,
    pub(super) window: Option<usize>,
}

impl Attention {
    /// `[batch, pos, d_model]` → `[batch, pos, d_model]`; `extra` is added to what queries and keys are computed from.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        extra: Option<&Tensor>,
        positions: &Positions,
    ) -> Result<Tensor> {
        let (batch, n, _) = x.dims3()?;
        let heads = |y: Tensor, n_heads: usize| {
            y.reshape((batch, n, n_heads, self.d_head))?.transpose(1, 2)
        };
        let clip = |y: Tensor| match self.clip {
            Some(bound) => y.clamp(-bound, bound),
            None => Ok(y),
        };
        let x_qk = match extra {
            Some(extra) => x.broadcast_add(extra)?,
            None => x.clone(),
        };
        let (mut q, mut k) = (
            clip(self.query.forward(&x_qk)?)?,
            clip(self.key.forward(&x_qk)?)?,
        );
        if let Some(QkNorms::Whole { query, key }) = &self.qk_norms {
            (q, k) = (query.forward(&q)?, key.forward(&k)?);
        }
        let (mut q, mut k) = (heads(q, self.n_heads)?, heads(k, self.n_key_value_heads)?);
        if let Some(QkNorms::Heads { query, key }) = &self.qk_norms {
            (q, k) = (query.forward(&q)?, key.forward(&k)?);
        }
        let q = positions.rotate(&q, self.window)?;
        let k = positions.rotate(&k, self.window)?;
        let v = clip(self.value.forward(x)?)?;
        let v = heads(v, self.n_key_value_heads)?.contiguous()?;

        // queries that share a key head are stacked along the positions: [batch, kv_heads, group * pos, d_head]
        let group = self.n_heads / self.n_key_value_heads;
        let q = (q * self.scale)?;
        let q = q.reshape((batch, self.n_key_value_heads, group * n, self.d_head))?;
        let scores = q.matmul(&k.t()?)?.reshape((batch, self.n_heads, n, n))?;
        let mut scores = scores.to_dtype(DType::F32)?;
        if let Some(cap) = self.softcap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let mask = positions.mask(self.window, n)?;
        let pattern = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&mask)?)?;
        let y = pattern
            .to_dtype(x.dtype())?
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
