//! A decoder: its embedding, its blocks and its final norm.

use candle_core::{DType, Tensor};

use super::attention::{MOST_SCORES, Positions, QUERIES};
use super::block::{Attended, Block};
use super::cache::LayerCache;
use super::config::{Config, Position};
use super::ends::{Embedding, Unembedding};
use super::error::ModelError;
use super::norm::Norm;
use super::ops::{Compute, Ops};
use super::stream::{Entry, Stream, check_shape};
use super::weights::Checkpoint;
use super::windows::Windows;

/// The layers of a decoder, without its unembedding.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    embedding: Embedding,
    blocks: Vec<Block>,
    final_norm: Option<Norm>,
    positions: Positions,
    ops: Ops,
}

impl Model {
    /// Loads the layers. `n_ctx` may shorten the context, which saves memory.
    pub fn load(
        config: Config,
        checkpoint: &Checkpoint<'_>,
        n_ctx: usize,
        dtype: DType,
        compute: Compute,
    ) -> Result<Self, ModelError> {
        let n_blocks = config.n_layers;
        Self::load_first(n_blocks, config, checkpoint, n_ctx, dtype, compute)
    }

    /// Loads the first `n_blocks` blocks only: enough to time one, or as many as there is memory for, if walks load the others
    /// ([`Walk::load_from`](super::walk::Walk::load_from)).
    pub fn load_first(
        n_blocks: usize,
        mut config: Config,
        checkpoint: &Checkpoint<'_>,
        n_ctx: usize,
        dtype: DType,
        compute: Compute,
    ) -> Result<Self, ModelError> {
        config.check_length(n_ctx)?;
        checkpoint.check(&config)?;
        let ops = Ops { compute, dtype };
        let loader = checkpoint.loader(&config, dtype, ops.compute.device());
        let mut embedding = loader.embedding()?;
        embedding.project = (embedding.project.map(|p| ops.prepare(p, 1))).transpose()?;
        let block = |layer| Ok(loader.block(layer)?.prepared(&ops)?);
        let n_blocks = n_blocks.min(config.n_layers);
        let blocks = (0..n_blocks).map(block);
        let blocks = blocks.collect::<Result<_, ModelError>>()?;
        let final_norm = loader.final_norm()?;
        config.n_ctx = n_ctx;
        let positions = Positions::new(&config, &ops)?;
        Ok(Self {
            config,
            embedding,
            blocks,
            final_norm,
            positions,
            ops,
        })
    }

    /// A block, if it is loaded.
    pub(super) fn block(&self, layer: usize) -> Option<&Block> {
        self.blocks.get(layer)
    }

    /// Loads a block that the model does not hold.
    pub(super) fn load_block(
        &self,
        layer: usize,
        checkpoint: &Checkpoint<'_>,
    ) -> Result<Block, ModelError> {
        let loader = checkpoint.loader(&self.config, self.ops.dtype, self.ops.compute.device());
        Ok(loader.block(layer)?.prepared(&self.ops)?)
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn ops(&self) -> &Ops {
        &self.ops
    }

    /// What it runs on.
    pub fn compute(&self) -> &Compute {
        &self.ops.compute
    }

    /// Bytes that a row of a batch needs between the operations of a layer, on tensors.
    pub fn bytes_per_row(&self) -> usize {
        let (c, a) = (&self.config, &self.config.attention);
        let heads = (a.n_heads + 2 * a.n_key_value_heads) * a.d_head;
        // the stream, what is read of it and what is added, and norms in f32; queries, keys and values, put side by side and
        // turned; the MLP's products and what it writes
        let values = 4 * c.d_model + 3 * heads + 4 * c.d_mlp;
        values * self.ops.dtype.size_in_bytes() + 2 * 4 * c.d_model
    }

    /// Bytes that the scores of attention and their pattern take, on tensors.
    pub fn bytes_of_scores(&self) -> usize {
        2 * MOST_SCORES * self.ops.dtype.size_in_bytes()
    }

    /// Loads the unembedding, which shares the embedding where the model ties them and nothing is packed.
    pub fn unembedding(&self, checkpoint: &Checkpoint<'_>) -> Result<Unembedding, ModelError> {
        let device = self.ops.compute.device();
        let loader = checkpoint.loader(&self.config, self.ops.dtype, device);
        let unembedding = loader.unembedding(Some(&self.embedding.tokens))?;
        let project = unembedding.project.map(|p| self.ops.prepare(p, 1));
        Ok(Unembedding {
            project: project.transpose()?,
            w_u: self.ops.prepare(unembedding.w_u, 1)?,
            ..unembedding
        })
    }

    /// The token embedding, `[d_vocab, d_embed]`.
    pub fn w_e(&self) -> &Tensor {
        &self.embedding.tokens
    }

    /// Whether windows of `n_positions` positions are rotated by the angles of long windows (LongRoPE).
    pub(super) fn is_long(&self, n_positions: usize) -> bool {
        self.positions.is_long(n_positions)
    }

    /// The residual stream before the first block, of windows that continue `past` positions.
    pub(super) fn enter(&self, entry: &Entry<'_>, past: usize) -> Result<Stream, ModelError> {
        let lengths = entry.lengths();
        let longest = past + lengths.iter().copied().max().unwrap_or(0);
        if longest > self.config.n_ctx {
            return Err(ModelError::TooLong {
                found: longest,
                n_ctx: self.config.n_ctx,
            });
        }
        if longest == past {
            return Err(ModelError::NoTokens);
        }
        let rows = match entry {
            Entry::Ids(windows) => self.token_rows(windows.concat())?,
            Entry::Embeddings(rows, _) => {
                check_shape(rows, &[lengths.iter().sum(), self.config.d_embed])?;
                rows.contiguous()?
            }
        };
        let mut windows = Windows::new(&lengths, past);
        if let Compute::Tensors(device) = &self.ops.compute {
            let most_rows = MOST_SCORES / (self.config.attention.n_heads * QUERIES);
            // with LongRoPE, the length of a window decides its angles
            windows = windows.in_buckets(most_rows, device, |n| self.is_long(past + n))?;
        }
        let x = (self.embedding).stream(&self.ops, &self.config, &rows, &windows)?;
        Ok(Stream { x, windows })
    }

    /// `[rows, d_embed]`
    fn token_rows(&self, ids: Vec<u32>) -> Result<Tensor, ModelError> {
        let d_vocab = self.config.d_vocab;
        if let Some(&id) = ids.iter().find(|id| **id as usize >= d_vocab) {
            return Err(ModelError::UnknownToken { id, d_vocab });
        }
        let n_rows = ids.len();
        let ids = Tensor::from_vec(ids, n_rows, self.ops.compute.device())?;
        Ok(self.embedding.tokens.embedding(&ids)?)
    }

    /// The first half of a block.
    pub(super) fn attend(
        &self,
        block: &Block,
        stream: Stream,
        cache: Option<&mut LayerCache>,
    ) -> Result<Attended, ModelError> {
        let extra = match self.config.position {
            Position::Shortformer => self.embedding.position_rows(&self.ops, &stream.windows)?,
            _ => None,
        };
        Ok(block.attend(&self.ops, &self.positions, extra.as_ref(), stream, cache)?)
    }

    /// The last residual stream after the final norm, from which logits are computed: `[rows, d_model]`.
    pub fn final_hidden(&self, stream: &Stream) -> Result<Tensor, ModelError> {
        Ok(match &self.final_norm {
            Some(norm) => self.ops.norm(norm, &stream.x)?,
            None => stream.x.clone(),
        })
    }

    /// `[rows, d_model]`, after the final norm → logits `[rows, d_vocab]`.
    pub fn logits(&self, unembedding: &Unembedding, hidden: &Tensor) -> Result<Tensor, ModelError> {
        Ok(unembedding.logits(&self.ops, hidden)?)
    }
}
