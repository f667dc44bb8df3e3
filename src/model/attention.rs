//! Causal self-attention with grouped keys and values.

use candle_core::{Result, Tensor};

use super::cache::LayerCache;
use super::config::{Config, Position};
use super::cpu::{self, AttentionShape, Operands};
use super::norm::Norm;
use super::ops::{Compute, Linear, Ops, on_host, to_vec};
use super::rope::Rotation;
use super::windows::Windows;
use crate::gpu::{Causal, causal_softmax};
use crate::lanes::Isa;

/// Queries whose scores are computed together, on tensors.
pub(super) const QUERIES: usize = 256;

/// Scores that are computed together, at most about so many.
pub(super) const MOST_SCORES: usize = 1 << 27;

/// Rotations of queries and keys, computed once for the longest window.
#[derive(Clone, Debug)]
pub(super) struct Positions {
    rotation: Option<Rotation>,
    /// Rotation of the layers whose queries see a window only.
    local: Option<Rotation>,
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
        Ok(Self { rotation, local })
    }

    /// Whether windows of `n` positions are rotated by the angles of long windows.
    pub(super) fn is_long(&self, n: usize) -> bool {
        let rotations = [&self.rotation, &self.local];
        rotations.into_iter().flatten().any(|of| of.is_long(n))
    }

    fn rotation(&self, window: Option<usize>) -> Option<&Rotation> {
        match window {
            Some(_) => self.local.as_ref().or(self.rotation.as_ref()),
            None => self.rotation.as_ref(),
        }
    }
}

/// Norms of queries and keys.
#[derive(Clone, Debug)]
pub(super) enum QkNorms {
    /// Before they are cut into heads: `[d]`.
    Whole { query: Norm, key: Norm },
    /// Weights for each head: `[d_head]` for all of them, or `[heads, d_head]`.
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
    /// Prepares its weights for products.
    pub(super) fn prepared(self, ops: &Ops) -> Result<Self> {
        Ok(Self {
            query: ops.prepare(self.query, 1)?,
            key: ops.prepare(self.key, 1)?,
            value: ops.prepare(self.value, 1)?,
            out: ops.prepare(self.out, 1)?,
            ..self
        })
    }

    /// `[rows, d_model]` → `[rows, d_model]`; `extra` is added to what queries and keys are computed from. With a cache there
    /// is one window only.
    pub(super) fn forward(
        &self,
        ops: &Ops,
        x: &Tensor,
        extra: Option<&Tensor>,
        windows: &Windows,
        positions: &Positions,
        mut cache: Option<&mut LayerCache>,
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
                let kernels = (*isa, ops.operands());
                self.on_kernels(kernels, (&q, &k, v), windows, rotation, cache)?
            }
            Compute::Tensors(_) => {
                let v = heads(v, self.n_key_value_heads)?;
                let Some(buckets) = &windows.buckets else {
                    candle_core::bail!("these windows are not in buckets");
                };
                buckets.each(|bucket| {
                    let of = |y: &Tensor| {
                        let (_, heads, d_head) = y.dims3()?;
                        bucket
                            .of(y)?
                            .reshape((bucket.n, bucket.length, heads, d_head))
                    };
                    let (qkv, cache) = ((of(&q)?, of(&k)?, of(&v)?), cache.as_deref_mut());
                    let y = self.on_tensors(qkv, windows.past, rotation, cache)?;
                    y.reshape((bucket.n * bucket.length, self.n_heads * self.d_head))
                })?
            }
        };
        ops.project(&y, &self.out)
    }

    fn on_kernels(
        &self,
        (isa, operands): (Isa, Operands),
        (q, k, v): (&Tensor, &Tensor, Tensor),
        windows: &Windows,
        rotation: Option<&Rotation>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let past = windows.past;
        let (mut q, mut k) = (to_vec(q)?, to_vec(k)?);
        let (q_row, k_row) = (
            self.n_heads * self.d_head,
            self.n_key_value_heads * self.d_head,
        );
        let mut first = 0;
        for &n in windows.lengths.iter() {
            if let Some(rotation) = rotation {
                let (cos, sin) = rotation.table(past, n)?;
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
            past,
        };
        let attend = |k: &[f32], v: &Tensor| {
            on_host(v, |v| {
                cpu::attend(isa, operands, shape, q, (k, v), &windows.lengths)
            })
        };
        let y = match cache {
            Some(cache) => {
                let k = Tensor::from_vec(k, (first, k_row), &candle_core::Device::Cpu)?;
                let (k, v) = cache.append(past, (k, v), 0)?;
                on_host(&k, |k| attend(k, &v))??
            }
            None => attend(&k, &v)?,
        };
        Tensor::from_vec(y, (first, q_row), &candle_core::Device::Cpu)
    }

    /// Attends within windows of equal length, `[batch, pos, heads, d_head]`, after `past` positions.
    fn on_tensors(
        &self,
        (q, k, v): (Tensor, Tensor, Tensor),
        past: usize,
        rotation: Option<&Rotation>,
        cache: Option<&mut LayerCache>,
    ) -> Result<Tensor> {
        let (batch, n, _, _) = q.dims4()?;
        let turn = |y: Tensor| -> Result<Tensor> {
            let y = y.transpose(1, 2)?;
            rotation.map_or_else(|| y.contiguous(), |rotation| rotation.rotate(&y, past))
        };
        let (q, mut k, mut v) = (turn(q)?, turn(k)?, v.transpose(1, 2)?.contiguous()?);
        if let Some(cache) = cache {
            (k, v) = cache.append(past, (k, v), 2)?;
        }
        let sees = self.window.unwrap_or(past + n).min(past + n);
        let (heads, group) = (
            self.n_key_value_heads,
            self.n_heads / self.n_key_value_heads,
        );
        let attend = |first: usize| {
            let n_queries = QUERIES.min(n - first);
            let from = (past + first + 1).saturating_sub(sees);
            let n_keys = past + first + n_queries - from;
            // queries that share a key head are stacked: [batch, kv_heads, group * queries, d_head]
            let q = q.narrow(2, first, n_queries)?.contiguous()?;
            let q = q.reshape((batch, heads, group * n_queries, self.d_head))?;
            let (k, v) = (k.narrow(2, from, n_keys)?, v.narrow(2, from, n_keys)?);
            let causal = Causal {
                n_queries,
                first_query: past + first - from,
                sees,
                scale: self.scale as f32,
                softcap: self.softcap.map(|cap| cap as f32),
            };
            let pattern = causal_softmax(&q.matmul(&k.t()?)?, causal)?;
            let y = pattern.matmul(&v)?;
            y.reshape((batch, self.n_heads, n_queries, self.d_head))
        };
        let parts = (0..n).step_by(QUERIES).map(attend);
        let y = Tensor::cat(&parts.collect::<Result<Vec<_>>>()?, 2)?;
        y.transpose(1, 2)?.contiguous()
    }
}
