//! A block: attention and MLP, each added to the residual stream in the way of its layout.

use candle_core::{Result, Tensor};

use super::attention::{Attention, Positions};
use super::cache::LayerCache;
use super::config::Layout;
use super::mlp::Mlp;
use super::norm::Norm;
use super::ops::Ops;
use super::panels::MlpOutput;
use super::stream::Stream;

/// A block. Its layout says which norms it has, and where they are applied.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) layout: Layout,
    pub(super) attention_norm: Option<Norm>,
    pub(super) attention: Attention,
    pub(super) attention_out_norm: Option<Norm>,
    pub(super) mlp_norm: Option<Norm>,
    pub(super) mlp: Mlp,
    pub(super) mlp_out_norm: Option<Norm>,
}

/// A block between its halves: the residual stream that the MLP adds to, and what the MLP reads.
#[derive(Clone, Debug)]
pub(super) struct Attended {
    stream: Stream,
    pub(super) read: Tensor, // [rows, d_model]
}

fn norm(ops: &Ops, norm: &Option<Norm>, x: &Tensor) -> Result<Tensor> {
    match norm {
        Some(norm) => ops.norm(norm, x),
        None => Ok(x.clone()),
    }
}

impl Block {
    /// Prepares its weights for products.
    pub(super) fn prepared(self, ops: &Ops) -> Result<Self> {
        Ok(Self {
            attention: self.attention.prepared(ops)?,
            mlp: self.mlp.prepared(ops)?,
            ..self
        })
    }

    /// The first half; `extra` is added to what queries and keys are computed from.
    pub(super) fn attend(
        &self,
        ops: &Ops,
        positions: &Positions,
        extra: Option<&Tensor>,
        stream: Stream,
        cache: Option<&mut LayerCache>,
    ) -> Result<Attended> {
        let Stream { x, windows } = stream;
        let read = norm(ops, &self.attention_norm, &x)?;
        let attended = (self.attention).forward(ops, &read, extra, &windows, positions, cache)?;
        let (x, read) = match self.layout {
            Layout::PreNorm | Layout::PostNorm | Layout::Sandwich => {
                let attended = norm(ops, &self.attention_out_norm, &attended)?;
                let x = ops.add(&x, &attended)?;
                let read = norm(ops, &self.mlp_norm, &x)?;
                (x, read)
            }
            Layout::Parallel => {
                let read = norm(ops, &self.mlp_norm, &x)?;
                (ops.add(&x, &attended)?, read)
            }
            Layout::ParallelSharedNorm => (ops.add(&x, &attended)?, read),
            Layout::ResidualNorm => {
                let x = ops.add(&x, &attended)?;
                let x = norm(ops, &self.attention_out_norm, &x)?;
                (x.clone(), x)
            }
        };
        let stream = Stream { x, windows };
        Ok(Attended { stream, read })
    }

    /// The residual stream after the block, given `hook_post`.
    pub(super) fn write(&self, ops: &Ops, attended: Attended, post: &Tensor) -> Result<Stream> {
        let written = ops.project(post, &self.mlp.out)?;
        self.add_written(ops, attended, &written)
    }

    /// The residual stream after the block, given `hook_post` as it was computed panel by panel.
    pub(super) fn write_panels(
        &self,
        ops: &Ops,
        attended: Attended,
        post: &MlpOutput,
    ) -> Result<Stream> {
        let Some(rows) = post.rows() else {
            candle_core::bail!("no panel has been computed");
        };
        let written = ops.linear_packed(rows, &self.mlp.out)?;
        self.add_written(ops, attended, &written)
    }

    fn add_written(&self, ops: &Ops, attended: Attended, written: &Tensor) -> Result<Stream> {
        let Stream { x, windows } = attended.stream;
        let x = match self.layout {
            Layout::ResidualNorm => {
                let x = ops.add(&x, written)?;
                norm(ops, &self.mlp_out_norm, &x)?
            }
            _ => {
                let written = norm(ops, &self.mlp_out_norm, written)?;
                ops.add(&x, &written)?
            }
        };
        Ok(Stream { x, windows })
    }
}
