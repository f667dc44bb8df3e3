//! The forward pass, one block at a time.

use candle_core::{DType, Tensor};

use super::attention::{Attention, MOST_SCORES, Positions, QUERIES};
use super::config::{Config, Layout, Position};
use super::error::ModelError;
use super::hooks::{MlpActivations, MlpProducts};
use super::mlp::Mlp;
use super::norm::Norm;
use super::ops::{Compute, Linear, Ops};
use super::panels::MlpOutput;
use super::weights::Checkpoint;
use super::windows::Windows;

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

/// The residual stream of some windows, one after the other.
#[derive(Clone, Debug)]
pub struct Stream {
    x: Tensor, // [rows, d_model]
    windows: Windows,
}

impl Stream {
    /// `[rows, d_model]`
    pub fn tensor(&self) -> &Tensor {
        &self.x
    }
}

/// A block between its halves: the residual stream that the MLP adds to, and what the MLP reads.
#[derive(Clone, Debug)]
pub struct Attended {
    stream: Stream,
    pub(super) read: Tensor, // [rows, d_model]
}

/// The layers of a decoder, without its unembedding.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
    embedding: Embedding,
    pub(super) blocks: Vec<Block>,
    final_norm: Option<Norm>,
    positions: Positions,
    pub(super) ops: Ops,
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

    /// Loads the first `n_blocks` blocks only, enough to see what one costs.
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
        let block = |layer| -> Result<Block, ModelError> {
            let block = loader.block(layer)?;
            Ok(Block {
                attention: block.attention.prepared(&ops)?,
                mlp: block.mlp.prepared(&ops)?,
                ..block
            })
        };
        let n_blocks = n_blocks.min(config.n_layers);
        let blocks = (0..n_blocks).map(block).collect::<Result<_, _>>()?;
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

    /// The model's shape.
    pub fn config(&self) -> &Config {
        &self.config
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

    /// The residual stream before the first block.
    pub fn embed(&self, windows: &[&[u32]]) -> Result<Stream, ModelError> {
        let longest = windows.iter().map(|window| window.len()).max().unwrap_or(0);
        if longest > self.config.n_ctx {
            return Err(ModelError::TooLong {
                found: longest,
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
        let lengths = windows.iter().map(|window| window.len());
        let mut windows = Windows {
            lengths: lengths.filter(|n| *n > 0).collect(),
            buckets: None,
        };
        let (device, n_rows) = (self.ops.compute.device(), ids.len());
        if let Compute::Tensors(device) = &self.ops.compute {
            let most_rows = MOST_SCORES / (self.config.attention.n_heads * QUERIES);
            windows = windows.in_buckets(most_rows, device)?;
        }
        let ids = Tensor::from_vec(ids, n_rows, device)?;
        let x = self.embedding.tokens.embedding(&ids)?;
        let mut x = x.to_dtype(self.ops.row_dtype())?;
        if let Some(scale) = self.config.embed_scale {
            // rounded to the model's type, as transformers does
            let scale = Tensor::new(scale as f32, device)?.to_dtype(self.ops.dtype)?;
            x = x.broadcast_mul(&scale.to_dtype(x.dtype())?)?;
        }
        if let Some(project) = &self.embedding.project {
            x = self.ops.project(&x, project)?;
        }
        if let Position::Learned { .. } = self.config.position
            && let Some(rows) = self.position_rows(&windows)?
        {
            x = self.ops.add(&x, &rows)?;
        }
        Ok(Stream { x, windows })
    }

    /// Learned positions, `[rows, d_model]`.
    fn position_rows(&self, windows: &Windows) -> Result<Option<Tensor>, ModelError> {
        let Some(table) = &self.embedding.positions else {
            return Ok(None);
        };
        let positions = Tensor::new(windows.positions(), self.ops.compute.device())?;
        let rows = table.embedding(&positions)?;
        Ok(Some(rows.to_dtype(self.ops.row_dtype())?))
    }

    fn norm(&self, norm: &Option<Norm>, x: &Tensor) -> candle_core::Result<Tensor> {
        match norm {
            Some(norm) => self.ops.norm(norm, x),
            None => Ok(x.clone()),
        }
    }

    /// The first half of a block.
    pub fn attend(&self, layer: usize, stream: &Stream) -> Result<Attended, ModelError> {
        let block = &self.blocks[layer];
        let Stream { x, windows } = stream;
        let extra = match self.config.position {
            Position::Shortformer => self.position_rows(windows)?,
            _ => None,
        };
        let read = self.norm(&block.attention_norm, x)?;
        let attended =
            block
                .attention
                .forward(&self.ops, &read, extra.as_ref(), windows, &self.positions)?;
        let (x, read) = match self.config.layout {
            Layout::PreNorm | Layout::PostNorm | Layout::Sandwich => {
                let attended = self.norm(&block.attention_out_norm, &attended)?;
                let x = self.ops.add(x, &attended)?;
                let read = self.norm(&block.mlp_norm, &x)?;
                (x, read)
            }
            Layout::Parallel => {
                let read = self.norm(&block.mlp_norm, x)?;
                (self.ops.add(x, &attended)?, read)
            }
            Layout::ParallelSharedNorm => (self.ops.add(x, &attended)?, read),
            Layout::ResidualNorm => {
                let x = self.ops.add(x, &attended)?;
                let x = self.norm(&block.attention_out_norm, &x)?;
                (x.clone(), x)
            }
        };
        let windows = windows.clone();
        Ok(Attended {
            stream: Stream { x, windows },
            read,
        })
    }

    /// What the products of a block's MLP leave.
    pub fn products(&self, layer: usize, attended: &Attended) -> Result<MlpProducts, ModelError> {
        let mlp = &self.blocks[layer].mlp;
        Ok(mlp.products(&self.ops, &attended.read)?)
    }

    /// Activations of a block's MLP.
    pub fn activations(
        &self,
        layer: usize,
        attended: &Attended,
    ) -> Result<MlpActivations, ModelError> {
        let mlp = &self.blocks[layer].mlp;
        Ok(mlp.activations(&self.ops, &attended.read)?)
    }

    /// The residual stream after a block, given `hook_post`.
    pub fn write(
        &self,
        layer: usize,
        attended: Attended,
        post: &Tensor,
    ) -> Result<Stream, ModelError> {
        let written = self.ops.project(post, &self.blocks[layer].mlp.out)?;
        self.add_written(layer, attended, &written)
    }

    /// The same, given what was computed panel by panel.
    pub fn write_panels(
        &self,
        layer: usize,
        attended: Attended,
        post: &MlpOutput,
    ) -> Result<Stream, ModelError> {
        let out = &self.blocks[layer].mlp.out;
        let written = post.rows().map(|rows| self.ops.linear_packed(rows, out));
        let written = written.transpose()?;
        let written = written.ok_or_else(|| candle_core::Error::msg("nothing was written"))?;
        self.add_written(layer, attended, &written)
    }

    fn add_written(
        &self,
        layer: usize,
        attended: Attended,
        written: &Tensor,
    ) -> Result<Stream, ModelError> {
        let block = &self.blocks[layer];
        let Stream { x, windows } = attended.stream;
        let x = match self.config.layout {
            Layout::ResidualNorm => {
                let x = self.ops.add(&x, written)?;
                self.norm(&block.mlp_out_norm, &x)?
            }
            _ => {
                let written = self.norm(&block.mlp_out_norm, written)?;
                self.ops.add(&x, &written)?
            }
        };
        Ok(Stream { x, windows })
    }

    /// The last residual stream behind the final norm, from which logits are computed: `[rows, d_model]`.
    pub fn final_hidden(&self, stream: &Stream) -> Result<Tensor, ModelError> {
        Ok(self.norm(&self.final_norm, &stream.x)?)
    }

    /// `[rows, d_model]`, behind the final norm → logits `[rows, d_vocab]`.
    pub fn logits(&self, unembedding: &Unembedding, hidden: &Tensor) -> Result<Tensor, ModelError> {
        let x = match &unembedding.project {
            Some(project) => self.ops.project(hidden, project)?,
            None => hidden.clone(),
        };
        let logits = self.ops.project(&x, &unembedding.w_u)?;
        Ok(match unembedding.softcap {
            Some(cap) => ((logits / cap)?.tanh()? * cap)?,
            None => logits,
        })
    }
}
