//! Causal self-attention with grouped keys and values.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use candle_core::{DType, Result, Tensor};

use super::config::{Config, Position};
use super::cpu::{self, AttentionShape, Operands};
use super::norm::Norm;
use super::ops::{Compute, Linear, Ops, Windows, on_host, to_vec};
use super::rope::Rotation;
use crate::lanes::Isa;

/// What attention needs of positions, computed once for the longest window.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    rotation: Option<Rotation>,
    /// Of the layers that see a window only.
    local: Option<Rotation>,
    /// By how far a layer sees, `[n_ctx, n_ctx]` in f32: 0 where a position may look, else -∞. Kernels need none.
    masks: BTreeMap<usize, Tensor>,
    n_ctx: usize,
}

impl Positions {
    pub(super) fn new(config: &Config, ops: &Ops) -> Result<Self> {
        let n = config.n_ctx;
        let (dtype, device) = (ops.row_dtype(), ops.compute.device());
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
        if let Compute::Tensors(device) = &ops.compute {
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
        }
        Ok(Self {
            rotation,
            local,
            masks,
            n_ctx: n,
        })
    }

    fn rotation(&self, window: Option<usize>) -> Option<&Rotation> {
        match window {
            Some(_) => self.local.as_ref().or(self.rotation.as_ref()),
            None => self.rotation.as_ref(),
        }
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
    /// Of each head: the same for all, `[d_head]`, or one after the other, `[heads, d_head]`.
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
    /// With weights as they are multiplied.
    pub(super) fn prepared(self, ops: &Ops) -> Result<Self> {
        Ok(Self {
            query: ops.prepare(self.query, 1)?,
            key: ops.prepare(self.key, 1)?,
            value: ops.prepare(self.value, 1)?,
            out: ops.prepare(self.out, 1)?,
            ..self
        })
    }

    /// `[rows, d_model]` → `[rows, d_model]`; `extra` is added to what queries and keys are computed from.
    pub(super) fn forward(
        &self,
        ops: &Ops,
        x: &Tensor,
        extra: Option<&Tensor>,
        windows: &Windows,
        positions: &Positions,
    ) -> Result<Tensor> {
        let n_rows = windows.n_rows();
        let clip = |y: Tensor| match self.clip {
            Some(bound) => y.clamp(-bound, bound),
            None => Ok(y),
        };
        let x_v = ops.operand(x, &self.value)?;
        let x_qk = extra
            .map(|extra| ops.operand(&ops.add(x, extra)?, &self.query))
            .transpose()?;
        let x_qk = x_qk.as_ref().unwrap_or(&x_v);
        let (mut q, mut k) = (
            clip(ops.linear(x_qk, &self.query)?)?,
            clip(ops.linear(x_qk, &self.key)?)?,
        );
        if let Some(QkNorms::Whole { query, key }) = &self.qk_norms {
            (q, k) = (ops.norm(query, &q)?, ops.norm(key, &k)?);
        }
        let heads = |y: Tensor, n_heads: usize| y.reshape((n_rows, n_heads, self.d_head));
        let (mut q, mut k) = (heads(q, self.n_heads)?, heads(k, self.n_key_value_heads)?);
        if let Some(QkNorms::Heads { query, key }) = &self.qk_norms {
            (q, k) = (ops.norm(query, &q)?, ops.norm(key, &k)?);
        }
        let v = clip(ops.linear(&x_v, &self.value)?)?;
        let rotation = positions.rotation(self.window);
        let y = match &ops.compute {
            Compute::Kernels(isa) => {
                let operands = ops.operands();
                self.on_kernels(*isa, operands, (&q, &k, &v), windows, rotation)?
            }
            Compute::Tensors(_) => {
                let v = heads(v, self.n_key_value_heads)?;
                let of_run = |(first, batch, n): (usize, usize, usize)| {
                    let rows = |y: &Tensor| {
                        let (_, heads, d_head) = y.dims3()?;
                        let rows = y.narrow(0, first, batch * n)?;
                        rows.reshape((batch, n, heads, d_head))
                    };
                    let mask = positions.mask(self.window, n)?;
                    let y = self.on_tensors((rows(&q)?, rows(&k)?, rows(&v)?), mask, rotation)?;
                    y.reshape((batch * n, self.n_heads * self.d_head))
                };
                let runs = windows.runs().into_iter().map(of_run);
                Tensor::cat(&runs.collect::<Result<Vec<_>>>()?, 0)?
            }
        };
        ops.project(&y, &self.out)
    }

    fn on_kernels(
        &self,
        isa: Isa,
        operands: Operands,
        (q, k, v): (&Tensor, &Tensor, &Tensor),
        windows: &Windows,
        rotation: Option<&Rotation>,
    ) -> Result<Tensor> {
        let (mut q, mut k) = (to_vec(q)?, to_vec(k)?);
        let (q_row, k_row) = (
            self.n_heads * self.d_head,
            self.n_key_value_heads * self.d_head,
        );
        let mut first = 0;
        for &n in windows.lengths.iter() {
            if let Some(rotation) = rotation {
                let (cos, sin) = rotation.table(n)?;
                on_host(&cos, |cos| {
                    on_host(&sin, |sin| {
                        let (q, k) = (&mut q[first * q_row..], &mut k[first * k_row..]);
                        let angles = (cos, sin);
                        cpu::rotate(isa, &mut q[..n * q_row], angles, self.n_heads, self.d_head);
                        let k = &mut k[..n * k_row];
                        cpu::rotate(isa, k, angles, self.n_key_value_heads, self.d_head);
                    })
                })??;
            }
            first += n;
        }
        let shape = AttentionShape {
            n_heads: self.n_heads,
            n_key_value_heads: self.n_key_value_heads,
            d_head: self.d_head,
            scale: self.scale as f32,
            softcap: self.softcap.map(|cap| cap as f32),
            window: self.window,
        };
        let y = on_host(v, |v| {
            cpu::attend(isa, operands, shape, q, (&k, v), &windows.lengths)
        })?;
        Tensor::from_vec(y, (first, q_row), &candle_core::Device::Cpu)
    }

    /// Of windows of equal length, `[batch, pos, heads, d_head]`.
    fn on_tensors(
        &self,
        (q, k, v): (Tensor, Tensor, Tensor),
        mask: Tensor,
        rotation: Option<&Rotation>,
    ) -> Result<Tensor> {
        let (batch, n, _, _) = q.dims4()?;
        let dtype = q.dtype();
        let turn = |y: Tensor| -> Result<Tensor> {
            let y = y.transpose(1, 2)?;
            rotation.map_or_else(|| y.contiguous(), |rotation| rotation.rotate(&y))
        };
        let (q, k, v) = (turn(q)?, turn(k)?, v.transpose(1, 2)?.contiguous()?);

        // queries that share a key head are stacked along the positions: [batch, kv_heads, group * pos, d_head]
        let group = self.n_heads / self.n_key_value_heads;
        let q = (q * self.scale)?;
        let q = q.reshape((batch, self.n_key_value_heads, group * n, self.d_head))?;
        let scores = q.matmul(&k.t()?)?.reshape((batch, self.n_heads, n, n))?;
        let mut scores = scores.to_dtype(DType::F32)?;
        if let Some(cap) = self.softcap {
            scores = ((scores / cap)?.tanh()? * cap)?;
        }
        let pattern = candle_nn::ops::softmax_last_dim(&scores.broadcast_add(&mask)?)?;
        let y = pattern
            .to_dtype(dtype)?
            .reshape((batch, self.n_key_value_heads, group * n, n))?
            .matmul(&v)?;
        let y = y.reshape((batch, self.n_heads, n, self.d_head))?;
        y.transpose(1, 2)?.contiguous()
    }
}
