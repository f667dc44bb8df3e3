//! The forward pass, one block at a time.

use candle_core::{DType, Device, Tensor};

use super::attention::{Attention, Linear, Positions};
use super::config::{Config, Layout, Position};
use super::error::ModelError;
use super::hooks::MlpActivations;
use super::mlp::Mlp;
use super::norm::Norm;
use super::weights::Checkpoint;

/// A block. Which norms it has, and what they stand for, is its layout's.
#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) attention_norm: Option<Norm>,
    pub(super) attention: Attention,
    pub(super) attention_out_norm: Option<Norm>,
    pub(super) mlp_norm: Option<Norm>,
    pub(super) mlp: Mlp,
    pub(super) mlp_out_norm: Option<Norm>,
}

/// What turns tokens into the residual stream.
#[derive(Clone, Debug)]
pub(super) struct Embedding {
    pub(super) tokens: Tensor,            // [d_vocab, d_embed]
    pub(super) positions: Option<Tensor>, // [n_ctx, d_model]
    pub(super) project: Option<Linear>,   // d_embed → d_model
}

/// What turns the last residual stream into logits.
#[derive(Clone, Debug)]
pub struct Unembedding {
    pub(super) project: Option<Linear>, // d_model → d_embed
    pub(super) w_u: Linear,             // d_embed → d_vocab
    pub(super) softcap: Option<f64>,
}

impl Unembedding {
    /// `[batch, pos, d_model]`, after the final norm → logits `[batch, pos, d_vocab]`.
    pub fn logits(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        let x = apply(self.project.as_ref(), x, Linear::forward)?;
        let logits = self.w_u.forward(&x)?;
        Ok(match self.softcap {
            Some(cap) => ((logits / cap)?.tanh()? * cap)?,
            None => logits,
        })
    }
}

/// The layers of a decoder, without its unembedding.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    embedding: Embedding,
    blocks: Vec<Block>,
    final_norm: Option<Norm>,
    positions: Positions,
    dtype: DType,
    device: Device,
}

/// What is there is applied, what is not lets pass.
fn apply<T>(
    part: Option<&T>,
    x: &Tensor,
    forward: impl Fn(&T, &Tensor) -> candle_core::Result<Tensor>,
) -> candle_core::Result<Tensor> {
    part.map_or_else(|| Ok(x.clone()), |part| forward(part, x))
}

impl Model {
    /// Loads the layers. `n_ctx` may shorten the context, which saves memory.
    pub fn load(
        mut config: Config,
        checkpoint: &Checkpoint<'_>,
        n_ctx: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self, ModelError> {
        if n_ctx > config.n_ctx {
            return Err(ModelError::TooLong {
                found: n_ctx,
                n_ctx: config.n_ctx,
            });
        }
        checkpoint.check(&config)?;
        let loader = checkpoint.loader(&config, dtype, device);
        let embedding = loader.embedding()?;
        let blocks = (0..config.n_layers)
            .map(|layer| loader.block(layer))
            .collect::<Result<_, _>>()?;
        let final_norm = loader.final_norm()?;
        config.n_ctx = n_ctx;
        let positions = Positions::new(&config, dtype, device)?;
        Ok(Self {
            config,
            embedding,
            blocks,
            final_norm,
            positions,
            dtype,
            device: device.clone(),
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Loads the unembedding, which shares the embedding where the model ties them.
    pub fn unembedding(&self, checkpoint: &Checkpoint<'_>) -> Result<Unembedding, ModelError> {
        let loader = checkpoint.loader(&self.config, self.dtype, &self.device);
        loader.unembedding(Some(&self.embedding.tokens))
    }

    /// The residual stream before the first block: windows of equal length → `[batch, pos, d_model]`.
    pub fn embed(&self, windows: &[&[u32]]) -> Result<Tensor, ModelError> {
        let n = windows.first().map_or(0, |window| window.len());
        if n > self.config.n_ctx {
            return Err(ModelError::TooLong {
                found: n,
                n_ctx: self.config.n_ctx,
            });
        }
        let ids: Vec<u32> = windows.concat();
        if let Some(&id) = ids.iter().find(|id| **id as usize >= self.config.d_vocab) {
            return Err(ModelError::UnknownToken {
                id,
                d_vocab: self.config.d_vocab,
            });
        }
        let ids = Tensor::from_vec(ids, windows.len() * n, &self.device)?;
        let x = self.embedding.tokens.embedding(&ids)?;
        let mut x = x.reshape((windows.len(), n, self.config.d_embed))?;
        if let Some(scale) = self.config.embed_scale {
            // rounded to the model's type, as transformers does
            let scale = Tensor::new(scale as f32, &self.device)?.to_dtype(self.dtype)?;
            x = x.broadcast_mul(&scale)?;
        }
        let x = apply(self.embedding.project.as_ref(), &x, Linear::forward)?;
        Ok(match (&self.config.position, self.position_rows(n)?) {
            (Position::Learned { .. }, Some(rows)) => x.broadcast_add(&rows)?,
            _ => x,
        })
    }

    /// Learned positions of a window, `[n, d_model]`.
    fn position_rows(&self, n: usize) -> Result<Option<Tensor>, ModelError> {
        let rows = self.embedding.positions.as_ref();
        Ok(rows.map(|rows| rows.narrow(0, 0, n)).transpose()?)
    }

    /// Activations of a block's MLP, given the residual stream before the block, and the stream after it. The latter
    /// is computed only when asked for: a scan does not need it after the last block.
    pub fn block(
        &self,
        layer: usize,
        x: &Tensor,
        go_on: bool,
    ) -> Result<(MlpActivations, Option<Tensor>), ModelError> {
        let block = &self.blocks[layer];
        let norm = |norm: &Option<Norm>, x: &Tensor| apply(norm.as_ref(), x, Norm::forward);
        let extra = match self.config.position {
            Position::Shortformer => self.position_rows(x.dim(1)?)?,
            _ => None,
        };
        let read = norm(&block.attention_norm, x)?;
        let attended = block
            .attention
            .forward(&read, extra.as_ref(), &self.positions)?;
        let (stream, read) = match self.config.layout {
            Layout::PreNorm | Layout::PostNorm | Layout::Sandwich => {
                let stream = (x + norm(&block.attention_out_norm, &attended)?)?;
                let read = norm(&block.mlp_norm, &stream)?;
                (stream, read)
            }
            Layout::Parallel => ((x + attended)?, norm(&block.mlp_norm, x)?),
            Layout::ParallelSharedNorm => ((x + attended)?, read),
            Layout::ResidualNorm => {
                let stream = norm(&block.attention_out_norm, &(x + attended)?)?;
                (stream.clone(), stream)
            }
        };
        let activations = block.mlp.activations(&read)?;
        if !go_on {
            return Ok((activations, None));
        }
        let written = block.mlp.out.forward(&activations.post)?;
        let after = match self.config.layout {
            Layout::ResidualNorm => norm(&block.mlp_out_norm, &(stream + written)?)?,
            _ => (stream + norm(&block.mlp_out_norm, &written)?)?,
        };
        Ok((activations, Some(after)))
    }

    /// The last residual stream behind the final norm, from which logits are computed.
    pub fn final_hidden(&self, x: &Tensor) -> Result<Tensor, ModelError> {
        Ok(apply(self.final_norm.as_ref(), x, Norm::forward)?)
    }
}
