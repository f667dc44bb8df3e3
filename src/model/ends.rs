//! The two ends of a model: tokens into the residual stream, and the residual stream into logits.

use candle_core::{Result, Tensor};

use super::config::{Config, Position};
use super::ops::{Linear, Ops};
use super::windows::Windows;

/// Turns tokens into the residual stream.
#[derive(Clone, Debug)]
pub(super) struct Embedding {
    pub(super) tokens: Tensor,            // [d_vocab, d_embed]
    pub(super) positions: Option<Tensor>, // [n_ctx, d_model]
    pub(super) project: Option<Linear>,   // d_embed → d_model
}

impl Embedding {
    /// Rows of the token embedding, `[rows, d_embed]` → the residual stream before the first block, `[rows, d_model]`
    pub(super) fn stream(
        &self,
        ops: &Ops,
        config: &Config,
        rows: &Tensor,
        windows: &Windows,
    ) -> Result<Tensor> {
        let mut x = rows.to_dtype(ops.row_dtype())?;
        if let Some(scale) = config.embed_scale {
            // rounded to the model's type, as transformers does
            let scale = Tensor::new(scale as f32, ops.compute.device())?.to_dtype(ops.dtype)?;
            x = x.broadcast_mul(&scale.to_dtype(x.dtype())?)?;
        }
        if let Some(project) = &self.project {
            x = ops.project(&x, project)?;
        }
        if let Position::Learned { .. } = config.position
            && let Some(positions) = self.position_rows(ops, windows)?
        {
            x = ops.add(&x, &positions)?;
        }
        Ok(x)
    }

    /// Learned positions, `[rows, d_model]`.
    pub(super) fn position_rows(&self, ops: &Ops, windows: &Windows) -> Result<Option<Tensor>> {
        let Some(table) = &self.positions else {
            return Ok(None);
        };
        let positions = Tensor::new(windows.positions(), ops.compute.device())?;
        let rows = table.embedding(&positions)?;
        Ok(Some(rows.to_dtype(ops.row_dtype())?))
    }
}

/// Turns the last residual stream into logits.
#[derive(Clone, Debug)]
pub struct Unembedding {
    pub(super) project: Option<Linear>, // d_model → d_embed
    pub(super) w_u: Linear,             // d_embed → d_vocab
    pub(super) softcap: Option<f64>,
}

impl Unembedding {
    /// `[rows, d_model]`, after the final norm → `[rows, d_vocab]`
    pub(super) fn logits(&self, ops: &Ops, hidden: &Tensor) -> Result<Tensor> {
        let x = match &self.project {
            Some(project) => ops.project(hidden, project)?,
            None => hidden.clone(),
        };
        let logits = ops.project(&x, &self.w_u)?;
        match self.softcap {
            Some(cap) => (logits / cap)?.tanh()? * cap,
            None => Ok(logits),
        }
    }
}
