//! The forward pass, one block at a time.

use candle_core::{DType, Device, Tensor};

use super::attention::{Attention, Positions};
use super::config::Config;
use super::error::ModelError;
use super::hooks::MlpActivations;
use super::mlp::Mlp;
use super::norm::Norm;
use super::weights::Checkpoint;

#[derive(Clone, Debug)]
pub(super) struct Block {
    pub(super) attention_norm: Norm,
    pub(super) attention: Attention,
    pub(super) mlp_norm: Norm,
    pub(super) mlp: Mlp,
}

/// The layers of a decoder, without its unembedding.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    embed: Tensor,             // [d_vocab, d_model]
    pos_embed: Option<Tensor>, // [n_ctx, d_model]
    blocks: Vec<Block>,
    positions: Positions,
    device: Device,
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
        let loader = checkpoint.loader(&config, dtype, device);
        let (embed, pos_embed) = loader.embeddings()?;
        let blocks = (0..config.n_layers)
            .map(|layer| loader.block(layer))
            .collect::<Result<_, _>>()?;
        config.n_ctx = n_ctx;
        let positions = Positions::new(&config, dtype, device)?;
        Ok(Self {
            config,
            embed,
            pos_embed,
            blocks,
            positions,
            device: device.clone(),
        })
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
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
        let ids = Tensor::from_vec(ids, (windows.len(), n), &self.device)?;
        let x = self.embed.embedding(&ids.flatten_all()?)?.reshape((
            windows.len(),
            n,
            self.config.d_model,
        ))?;
        Ok(match &self.pos_embed {
            Some(pos_embed) => x.broadcast_add(&pos_embed.narrow(0, 0, n)?)?,
            None => x,
        })
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
        let middle = (x + block
            .attention
            .forward(&block.attention_norm.forward(x)?, &self.positions)?)?;
        let activations = block.mlp.activations(&block.mlp_norm.forward(&middle)?)?;
        let after = go_on
            .then(|| middle + block.mlp.out.forward(&activations.post)?)
            .transpose()?;
        Ok((activations, after))
    }
}
