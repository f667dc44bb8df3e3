//! The parts of a model, from a checkpoint of its family.

use std::cell::RefCell;
use std::collections::HashSet;

use candle_core::{DType, Device, Tensor};

use super::Checkpoint;
use super::names::{MlpIn, Names, Qkv, norms};
use crate::model::attention::{Attention, QkNorms};
use crate::model::block::Block;
use crate::model::config::{
    Activation, Affine, Config, Family, Layout, NormConfig, NormKind, Position, QkNorm,
};
use crate::model::ends::{Embedding, Unembedding};
use crate::model::error::ModelError;
use crate::model::mlp::Mlp;
use crate::model::norm::Norm;
use crate::model::ops::Linear;

pub(super) type Result<T> = std::result::Result<T, ModelError>;

/// A dimension: what it is called and how long it is.
pub(super) type Dim<'n> = (&'n str, usize);

/// Loads the parts of a model; or, without any data, checks that it could.
pub(crate) struct Loader<'c> {
    checkpoint: &'c Checkpoint<'c>,
    config: &'c Config,
    names: Names,
    /// The prefix of all names that is not the family's own.
    wrapper: &'c str,
    prefix: &'static str,
    dtype: DType,
    device: Device,
    /// Names of the tensors asked for, where only that is wanted.
    checked: Option<RefCell<HashSet<String>>>,
}

impl<'c> Loader<'c> {
    pub(super) fn new(
        checkpoint: &'c Checkpoint<'c>,
        config: &'c Config,
        dtype: DType,
        device: &Device,
    ) -> Self {
        let names = Names::of(config.family);
        // what was put around the model is as little of what all names share as will do
        let shared = &checkpoint.shared;
        let dots = shared.match_indices('.').map(|(dot, _)| &shared[..=dot]);
        let wrappers = std::iter::once("").chain(dots);
        let mut places = wrappers.flat_map(|wrapper| {
            let prefixes = names.prefixes.iter();
            prefixes.map(move |prefix| (wrapper, *prefix))
        });
        let fits = |(wrapper, prefix): &(&str, &str)| {
            checkpoint.contains(&format!("{wrapper}{}", names.embedding(prefix)))
        };
        let (wrapper, prefix) = places.find(fits).unwrap_or(("", names.prefixes[0]));
        Self {
            checkpoint,
            config,
            names,
            wrapper,
            prefix,
            dtype,
            device: device.clone(),
            checked: None,
        }
    }

    pub(super) fn checking(checkpoint: &'c Checkpoint<'c>, config: &'c Config) -> Self {
        Self {
            checked: Some(RefCell::default()),
            ..Self::new(checkpoint, config, DType::F32, &Device::Cpu)
        }
    }

    /// Names of the tensors that were asked for.
    pub(super) fn used(self) -> HashSet<String> {
        self.checked.map(RefCell::into_inner).unwrap_or_default()
    }

    pub(super) fn config(&self) -> &'c Config {
        self.config
    }

    pub(super) fn wrapper(&self) -> &'c str {
        self.wrapper
    }

    /// What the checkpoint calls a tensor.
    fn whole(&self, name: &str) -> String {
        format!("{}{name}", self.wrapper)
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        self.checkpoint.contains(&self.whole(name))
    }

    pub(super) fn shape(&self, name: &str) -> Option<&'c [usize]> {
        self.checkpoint.shape(&self.whole(name))
    }

    pub(super) fn tensor(&self, name: &str, shape: &[Dim<'_>]) -> Result<Tensor> {
        self.typed_tensor(name, shape, self.dtype)
    }

    fn typed_tensor(&self, name: &str, shape: &[Dim<'_>], dtype: DType) -> Result<Tensor> {
        let name = self.whole(name);
        if let Some(checked) = &self.checked {
            self.checkpoint.check_tensor(&name, shape)?;
            checked.borrow_mut().insert(name);
            return self.constant(
                0.0,
                &shape.iter().map(|(_, size)| *size).collect::<Vec<_>>(),
            );
        }
        let tensor = self.checkpoint.tensor(&name, shape)?;
        Ok(tensor.to_dtype(dtype)?.to_device(&self.device)?)
    }

    /// One value everywhere, without the memory for it.
    fn constant(&self, value: f32, shape: &[usize]) -> Result<Tensor> {
        let one = Tensor::new(value, &self.device)?.to_dtype(self.dtype)?;
        Ok(one.broadcast_as(shape)?)
    }

    /// A tensor of its own, if there is data at all.
    pub(super) fn own(&self, tensor: Tensor) -> Result<Tensor> {
        match self.checked {
            Some(_) => Ok(tensor),
            None => Ok(tensor.force_contiguous()?),
        }
    }

    /// Gives the values another shape.
    pub(super) fn reshape(&self, tensor: &Tensor, shape: &[usize]) -> Result<Tensor> {
        match self.checked {
            Some(_) => self.constant(0.0, shape),
            None => Ok(tensor.reshape(shape)?),
        }
    }

    pub(super) fn block_prefix(&self, layer: usize) -> String {
        format!("{}{}{layer}.", self.prefix, self.names.layers)
    }

    pub(crate) fn embedding(&self) -> Result<Embedding> {
        let c = self.config;
        if c.family == Family::TransformerLens {
            return self.lens_embedding();
        }
        let weight = |name: &str| format!("{}{name}.weight", self.prefix);
        let (d_vocab, d_model) = (("d_vocab", c.d_vocab), ("d_model", c.d_model));
        let d_embed = ("d_embed", c.d_embed);
        let tokens = self.tensor(&weight(self.names.embed), &[d_vocab, d_embed])?;
        let positions = match c.position {
            Position::Learned { offset } => {
                let rows = ("n_ctx", c.n_ctx + offset);
                let table = self.tensor(&weight(self.names.positions), &[rows, d_model])?;
                Some(match offset {
                    0 => table,
                    _ => self.own(table.narrow(0, offset, c.n_ctx)?)?,
                })
            }
            _ => None,
        };
        let project = match c.d_embed == c.d_model {
            true => None,
            false => {
                let name = format!("{}project_in", self.prefix);
                Some(self.linear(&name, d_model, d_embed, false)?)
            }
        };
        Ok(Embedding {
            tokens,
            positions,
            project,
        })
    }

    /// `embed` is the embedding, if it is loaded already.
    pub(crate) fn unembedding(&self, embed: Option<&Tensor>) -> Result<Unembedding> {
        let c = self.config;
        if c.family == Family::TransformerLens {
            return self.lens_unembedding();
        }
        let (d_vocab, d_embed) = (("d_vocab", c.d_vocab), ("d_embed", c.d_embed));
        let w_u = match (c.tied, embed) {
            (true, _) => {
                let embed = match embed {
                    Some(embed) => embed.clone(),
                    None => self.embedding()?.tokens,
                };
                // which transformers keeps apart from the weights that it ties
                let bias = format!("{}.bias", self.names.unembed);
                let bias = (c.unembed_bias && self.contains(&bias))
                    .then(|| self.tensor(&bias, &[d_vocab]))
                    .transpose()?;
                Linear::new(self.tied_unembedding(embed)?, bias)
            }
            (false, _) => self.linear(self.names.unembed, d_vocab, d_embed, c.unembed_bias)?,
        };
        let project = match c.d_embed == c.d_model {
            true => None,
            false => {
                let name = format!("{}project_out", self.prefix);
                Some(self.linear(&name, d_embed, ("d_model", c.d_model), false)?)
            }
        };
        Ok(Unembedding {
            project,
            w_u,
            softcap: c.logit_softcap,
        })
    }

    /// The unembedding of a model that ties it to its embedding. A checkpoint may have it all the same; where it is
    /// another matrix, that is the one that counts, as in transformers 5.
    fn tied_unembedding(&self, embed: Tensor) -> Result<Tensor> {
        let name = format!("{}.weight", self.names.unembed);
        if self.checked.is_some() || !self.contains(&name) {
            return Ok(embed);
        }
        let c = self.config;
        let own = self.tensor(&name, &[("d_vocab", c.d_vocab), ("d_embed", c.d_embed)])?;
        let apart = (own.sub(&embed)?.abs()?.max_all()?).to_dtype(DType::F32)?;
        Ok(match apart.to_scalar::<f32>()? == 0.0 {
            true => embed,
            false => own,
        })
    }

    pub(crate) fn block(&self, layer: usize) -> Result<Block> {
        Ok(Block {
            layout: self.config.layout,
            attention_norm: self.attention_norm(layer)?,
            attention: self.attention(layer)?,
            attention_out_norm: self.block_norm(layer, 1, self.names.attention_out_norm)?,
            mlp_norm: self.mlp_norm(layer)?,
            mlp: self.mlp(layer)?,
            mlp_out_norm: self.mlp_out_norm(layer)?,
        })
    }

    pub(super) fn attention_norm(&self, layer: usize) -> Result<Option<Norm>> {
        self.block_norm(layer, 0, self.names.attention_norm)
    }

    pub(super) fn mlp_norm(&self, layer: usize) -> Result<Option<Norm>> {
        self.block_norm(layer, 2, self.names.mlp_norm)
    }

    pub(super) fn mlp_out_norm(&self, layer: usize) -> Result<Option<Norm>> {
        self.block_norm(layer, 3, self.names.mlp_out_norm)
    }

    pub(crate) fn final_norm(&self) -> Result<Option<Norm>> {
        let name = format!("{}{}", self.prefix, self.names.final_norm);
        let norm = |config| self.norm(&name, config, ("d_model", self.config.d_model));
        self.config.final_norm.map(norm).transpose()
    }

    /// The norm at one of the four places of a block, if its layout has it.
    fn block_norm(&self, layer: usize, place: usize, name: &str) -> Result<Option<Norm>> {
        if !norms(self.config.layout)[place] {
            return Ok(None);
        }
        let name = self.block_prefix(layer) + name;
        let norm = self.norm(&name, self.config.norm, ("d_model", self.config.d_model))?;
        Ok(Some(norm))
    }

    pub(super) fn norm(&self, name: &str, config: NormConfig, dim: Dim<'_>) -> Result<Norm> {
        let (weight, bias) = match self.config.family {
            Family::TransformerLens => (self.lens_name(name, "w"), self.lens_name(name, "b")),
            _ => (format!("{name}.weight"), format!("{name}.bias")),
        };
        let load = |name: &str| self.typed_tensor(name, &[dim], DType::F32);
        let bias = match config.affine {
            Affine::WeightBias => Some(load(&bias)?),
            _ => None,
        };
        let weight = match config.affine {
            Affine::None => Tensor::ones(dim.1, DType::F32, &self.device)?,
            Affine::OnePlusWeight => (load(&weight)? + 1.0)?,
            Affine::Weight | Affine::WeightBias => load(&weight)?,
        };
        Ok(Norm {
            kind: config.kind,
            weight,
            bias,
            eps: config.eps,
        })
    }

    /// A matrix `[out, in]` as PyTorch's `Linear` stores it, or `[in, out]` as GPT-2's `Conv1D` does.
    fn linear(&self, name: &str, out: Dim<'_>, input: Dim<'_>, bias: bool) -> Result<Linear> {
        let weight = format!("{name}.weight");
        let weight = match self.names.transposed && name != self.names.unembed {
            true => self.own(self.tensor(&weight, &[input, out])?.t()?)?,
            false => self.tensor(&weight, &[out, input])?,
        };
        let bias = bias
            .then(|| self.tensor(&format!("{name}.bias"), &[out]))
            .transpose()?;
        Ok(Linear::new(weight, bias))
    }

    /// Some rows of a matrix, as one of its own.
    fn rows(&self, all: &Linear, first: usize, n: usize) -> Result<Linear> {
        let part = |tensor: &Tensor| self.own(tensor.narrow(0, first, n)?);
        let bias = all.bias.as_ref().map(part).transpose()?;
        Ok(Linear::new(part(all.weight.tensor()?)?, bias))
    }

    fn attention(&self, layer: usize) -> Result<Attention> {
        let (c, a) = (self.config, &self.config.attention);
        let prefix = self.block_prefix(layer);
        let d_model = ("d_model", c.d_model);
        let (q_rows, kv_rows) = (a.n_heads * a.d_head, a.n_key_value_heads * a.d_head);
        let (query, key, value, out) = if c.family == Family::TransformerLens {
            self.lens_attention(&prefix)?
        } else {
            let (query, key, value) = match self.names.qkv {
                Qkv::Apart([q, k, v]) => {
                    let load = |name, dim| {
                        self.linear(&format!("{prefix}{name}"), dim, d_model, a.qkv_bias)
                    };
                    let kv_dim = ("n_key_value_heads * d_head", kv_rows);
                    (
                        load(q, ("n_heads * d_head", q_rows))?,
                        load(k, kv_dim)?,
                        load(v, kv_dim)?,
                    )
                }
                Qkv::Rows(name) => {
                    let dim = (
                        "(n_heads + 2 n_key_value_heads) * d_head",
                        q_rows + 2 * kv_rows,
                    );
                    let all = self.linear(&format!("{prefix}{name}"), dim, d_model, a.qkv_bias)?;
                    (
                        self.rows(&all, 0, q_rows)?,
                        self.rows(&all, q_rows, kv_rows)?,
                        self.rows(&all, q_rows + kv_rows, kv_rows)?,
                    )
                }
                Qkv::Heads(name) => {
                    let dim = ("3 * n_heads * d_head", 3 * q_rows);
                    let all = self.linear(&format!("{prefix}{name}"), dim, d_model, a.qkv_bias)?;
                    let part = |i: usize| -> Result<Linear> {
                        let of_heads = |tensor: &Tensor| -> Result<Tensor> {
                            let columns = &tensor.dims()[1..];
                            let shape = [&[a.n_heads, 3, a.d_head], columns].concat();
                            let heads = self.reshape(tensor, &shape)?.narrow(1, i, 1)?;
                            self.reshape(&heads, &[&[q_rows], columns].concat())
                        };
                        let bias = all.bias.as_ref().map(of_heads).transpose()?;
                        Ok(Linear::new(of_heads(all.weight.tensor()?)?, bias))
                    };
                    (part(0)?, part(1)?, part(2)?)
                }
            };
            let name = format!("{prefix}{}", self.names.attention_out);
            let out = self.linear(&name, d_model, ("n_heads * d_head", q_rows), a.out_bias)?;
            (query, key, value, out)
        };
        let by_layer = match a.scale_by_layer {
            true => (layer + 1) as f64,
            false => 1.0,
        };
        Ok(Attention {
            query,
            key,
            value,
            out,
            qk_norms: self.qk_norms(&prefix)?,
            n_heads: a.n_heads,
            n_key_value_heads: a.n_key_value_heads,
            d_head: a.d_head,
            scale: a.scale / by_layer,
            clip: a.clip_qkv,
            softcap: a.softcap,
            window: a.windows[layer],
        })
    }

    fn qk_norms(&self, prefix: &str) -> Result<Option<QkNorms>> {
        let (c, a) = (self.config, &self.config.attention);
        let Some(kind) = a.qk_norm else {
            return Ok(None);
        };
        let load = |name: &str, n_heads: usize| -> Result<Norm> {
            let name = format!("{prefix}{name}");
            let d_head = ("d_head", a.d_head);
            match kind {
                QkNorm::Whole => self.norm(&name, c.norm, ("heads * d_head", n_heads * a.d_head)),
                QkNorm::Head => self.norm(&name, c.norm, d_head),
                QkNorm::EachHead => {
                    let config = NormConfig {
                        affine: Affine::Weight,
                        ..c.norm
                    };
                    let norms = (0..n_heads)
                        .map(|head| self.norm(&format!("{name}.{head}"), config, d_head));
                    let norms: Vec<Norm> = norms.collect::<Result<_>>()?;
                    let weights: Vec<&Tensor> = norms.iter().map(|norm| &norm.weight).collect();
                    Ok(Norm {
                        kind: config.kind,
                        weight: Tensor::stack(&weights, 0)?,
                        bias: None,
                        eps: config.eps,
                    })
                }
            }
        };
        let query = load(self.names.query_norm, a.n_heads)?;
        let key = load(self.names.key_norm, a.n_key_value_heads)?;
        Ok(Some(match kind {
            QkNorm::Whole => QkNorms::Whole { query, key },
            QkNorm::Head | QkNorm::EachHead => QkNorms::Heads { query, key },
        }))
    }

    /// Gate, input and output of an MLP as they are stored.
    fn matrices(&self, layer: usize) -> Result<(Option<Linear>, Linear, Linear)> {
        let c = self.config;
        let prefix = self.block_prefix(layer);
        let (d_model, d_mlp) = (("d_model", c.d_model), ("d_mlp", c.d_mlp));
        let load = |name: &str, out, input| {
            self.linear(&format!("{prefix}{name}"), out, input, c.mlp_bias)
        };
        if c.family == Family::TransformerLens {
            let (input, out) = self.lens_mlp(&prefix)?;
            return Ok((None, input, out));
        }
        let (gate, input) = match self.names.mlp_in {
            MlpIn::Plain(name) => (None, load(name, d_mlp, d_model)?),
            MlpIn::Gated { gate, input } => (
                Some(load(gate, d_mlp, d_model)?),
                load(input, d_mlp, d_model)?,
            ),
            MlpIn::GateAndInput(name) => {
                let both = load(name, ("2 * d_mlp", 2 * c.d_mlp), d_model)?;
                let gate = self.rows(&both, 0, c.d_mlp)?;
                (Some(gate), self.rows(&both, c.d_mlp, c.d_mlp)?)
            }
        };
        Ok((gate, input, load(self.names.mlp_out, d_model, d_mlp)?))
    }

    pub(super) fn mlp(&self, layer: usize) -> Result<Mlp> {
        let c = self.config;
        let prefix = self.block_prefix(layer);
        let d_mlp = ("d_mlp", c.d_mlp);
        let (gate, input, out) = self.matrices(layer)?;
        let mid_norm = match c.act_fn {
            Activation::SoluLn => {
                // always with parameters, unless they were folded into what follows, as all of the model's then are
                let config = NormConfig {
                    kind: NormKind::Layer,
                    affine: match c.norm.affine {
                        Affine::None => Affine::None,
                        _ => Affine::WeightBias,
                    },
                    eps: c.norm.eps,
                };
                Some(self.norm(&format!("{prefix}mlp.ln"), config, d_mlp)?)
            }
            _ => None,
        };
        let mlp = Mlp {
            gate,
            input,
            mid_norm,
            out,
            act_fn: c.act_fn,
        };
        match c.refactor_glu {
            true => self.refactor_glu(mlp, layer),
            false => Ok(mlp),
        }
    }

    /// Turns the sign of w_in, b_in and w_out of the gated neurons whose cos(w_gate, w_in) is negative, norms folded
    /// in. A sign is exact, so `hook_post·w_out` stays the same to the last bit.
    fn refactor_glu(&self, mlp: Mlp, layer: usize) -> Result<Mlp> {
        let Some(gate) = &mlp.gate else {
            return Ok(mlp);
        };
        if self.checked.is_some() {
            return Ok(mlp);
        }
        let signs = match self.dtype {
            DType::F32 => self.signs(gate.weight.tensor()?, mlp.input.weight.tensor()?, layer)?,
            // of the weights as they are stored, so that they are the same in every type
            _ => {
                let exact = self
                    .checkpoint
                    .loader(self.config, DType::F32, &self.device);
                let (gate, input, _) = exact.matrices(layer)?;
                let gate = gate.ok_or_else(|| ModelError::BadConfig("it has no gate".into()))?;
                self.signs(gate.weight.tensor()?, input.weight.tensor()?, layer)?
            }
        };
        let signs = signs.to_dtype(self.dtype)?; // [d_mlp]
        let turn = |bias: Tensor| bias.broadcast_mul(&signs);
        Ok(Mlp {
            input: Linear::new(
                (mlp.input.weight.tensor()?).broadcast_mul(&signs.unsqueeze(1)?)?,
                mlp.input.bias.map(turn).transpose()?,
            ),
            out: Linear::new(
                mlp.out.weight.tensor()?.broadcast_mul(&signs)?,
                mlp.out.bias,
            ),
            ..mlp
        })
    }

    /// -1 where cos(w_gate, w_in) is negative, else 1: `[d_mlp]`.
    fn signs(&self, gate: &Tensor, input: &Tensor, layer: usize) -> Result<Tensor> {
        let products = (self.fold_in(gate, layer)? * self.fold_in(input, layer)?)?;
        let products = products.to_dtype(DType::F64)?.sum(1)?.to_vec1::<f64>()?;
        let signs = products
            .into_iter()
            .map(|x| if x < 0.0 { -1f32 } else { 1.0 });
        Ok(Tensor::from_iter(signs, &self.device)?)
    }

    /// Input weights of neurons, `[d_mlp, d_model]`, with the norm in front of the MLP folded in, in f32.
    pub(super) fn fold_in(&self, w: &Tensor, layer: usize) -> Result<Tensor> {
        let w = w.to_dtype(DType::F32)?;
        Ok(match self.norm_before_mlp(layer)? {
            Some(norm) => norm.fold_into(&w)?,
            None => w,
        })
    }

    /// The norm that the MLP reads the residual stream through, if any.
    pub(super) fn norm_before_mlp(&self, layer: usize) -> Result<Option<Norm>> {
        match self.config.layout {
            Layout::ParallelSharedNorm => self.attention_norm(layer),
            Layout::PostNorm | Layout::ResidualNorm => Ok(None),
            Layout::PreNorm | Layout::Parallel | Layout::Sandwich => self.mlp_norm(layer),
        }
    }
}
