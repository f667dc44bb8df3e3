//! Checkpoints: their tensor names, translated here and nowhere else, with every shape checked.

use std::collections::HashMap;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::SafeTensors;

use super::attention::{Attention, Linear};
use super::config::{Config, Family, NormKind, Position};
use super::error::ModelError;
use super::forward::Block;
use super::mlp::Mlp;
use super::norm::Norm;

/// The tensors of one or more safetensors files, still in their bytes.
pub struct Checkpoint<'a> {
    files: Vec<(String, SafeTensors<'a>)>,
    index: HashMap<String, usize>,
}

impl<'a> Checkpoint<'a> {
    /// Reads the headers of files, given as name and bytes.
    pub fn new(files: impl IntoIterator<Item = (String, &'a [u8])>) -> Result<Self, ModelError> {
        let mut checkpoint = Self {
            files: Vec::new(),
            index: HashMap::new(),
        };
        for (file, bytes) in files {
            let tensors =
                SafeTensors::deserialize(bytes).map_err(|error| ModelError::Safetensors {
                    file: file.clone(),
                    reason: error.to_string(),
                })?;
            let at = checkpoint.files.len();
            checkpoint.index.extend(
                tensors
                    .names()
                    .into_iter()
                    .map(|name| (name.to_owned(), at)),
            );
            checkpoint.files.push((file, tensors));
        }
        Ok(checkpoint)
    }

    /// Number of values in all tensors.
    pub fn n_parameters(&self) -> u64 {
        let tensors = self.files.iter().flat_map(|(_, file)| file.iter());
        tensors
            .map(|(_, tensor)| tensor.shape().iter().product::<usize>() as u64)
            .sum()
    }

    pub(super) fn loader<'c>(
        &'c self,
        config: &'c Config,
        dtype: DType,
        device: &'c Device,
    ) -> Loader<'c> {
        Loader {
            checkpoint: self,
            config,
            dtype,
            device,
        }
    }

    /// The weights that write to and read from the residual stream, for what they say without any text. In f32.
    pub fn analysis<'c>(&'c self, config: &'c Config, device: &'c Device) -> Analysis<'c> {
        Analysis {
            loader: self.loader(config, DType::F32, device),
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    /// A tensor of the expected shape, all values finite.
    fn tensor(
        &self,
        name: &str,
        shape: &[(&str, usize)],
        dtype: DType,
        device: &Device,
    ) -> Result<Tensor, ModelError> {
        let files = || {
            self.files
                .iter()
                .map(|(file, _)| file.as_str())
                .collect::<Vec<_>>()
                .join("`, `")
        };
        let missing = || ModelError::MissingTensor {
            name: name.to_owned(),
            file: files(),
        };
        let (file, tensors) = &self.files[*self.index.get(name).ok_or_else(missing)?];
        let unreadable = |error: safetensors::SafeTensorError| ModelError::Safetensors {
            file: file.clone(),
            reason: error.to_string(),
        };
        let view = tensors.tensor(name).map_err(unreadable)?;
        let expected: Vec<usize> = shape.iter().map(|(_, size)| *size).collect();
        if view.shape() != expected {
            let expected = shape
                .iter()
                .map(|(dim, size)| format!("{dim} = {size}"))
                .collect::<Vec<_>>()
                .join(", ");
            let expected = format!("[{expected}]");
            return Err(ModelError::Shape {
                name: name.to_owned(),
                found: view.shape().to_vec(),
                expected,
            });
        }
        let tensor = view.load(device)?.to_dtype(dtype)?;
        // x - x is 0 for finite x and NaN for the others, so one sum tells
        if !tensor
            .sub(&tensor)?
            .to_dtype(DType::F32)?
            .sum_all()?
            .to_scalar::<f32>()?
            .is_finite()
        {
            let values = tensor
                .to_dtype(DType::F32)?
                .flatten_all()?
                .to_vec1::<f32>()?;
            let count = values.iter().filter(|value| !value.is_finite()).count();
            return Err(ModelError::NotFinite {
                name: name.to_owned(),
                count,
            });
        }
        Ok(tensor)
    }
}

/// A norm's parameters, for folding.
#[derive(Clone, Debug)]
pub struct NormWeights {
    /// Which norm.
    pub kind: NormKind,
    /// Scale, `[d_model]`.
    pub weight: Tensor,
    /// Shift, `[d_model]`; LayerNorm only.
    pub bias: Option<Tensor>,
}

/// One layer's MLP weights as TransformerLens has them: a neuron is a row.
#[derive(Clone, Debug)]
pub struct MlpWeights {
    /// `[d_mlp, d_model]`; gated only.
    pub w_gate: Option<Tensor>,
    /// `[d_mlp, d_model]`
    pub w_in: Tensor,
    /// `[d_mlp, d_model]`
    pub w_out: Tensor,
    /// The norm in front of the MLP.
    pub norm: NormWeights,
}

/// Access to weights for analysis.
pub struct Analysis<'c> {
    loader: Loader<'c>,
}

impl Analysis<'_> {
    /// A layer's MLP.
    pub fn mlp(&self, layer: usize) -> Result<MlpWeights, ModelError> {
        let (mlp, norm) = (self.loader.mlp(layer)?, self.loader.mlp_norm(layer)?);
        Ok(MlpWeights {
            w_gate: mlp.gate.map(|gate| gate.weight),
            w_in: mlp.input.weight,
            w_out: mlp.out.weight.t()?.contiguous()?,
            norm: self.norm(norm),
        })
    }

    /// The unembedding `[d_vocab, d_model]` and the norm in front of it.
    pub fn unembed(&self) -> Result<(Tensor, NormWeights), ModelError> {
        let (w_u, norm) = self.loader.unembed()?;
        Ok((w_u, self.norm(norm)))
    }

    fn norm(&self, norm: Norm) -> NormWeights {
        NormWeights {
            kind: self.loader.config.norm,
            weight: norm.weight,
            bias: norm.bias,
        }
    }
}

/// Loads the parts of a model from a checkpoint of its family.
pub(super) struct Loader<'c> {
    checkpoint: &'c Checkpoint<'c>,
    config: &'c Config,
    dtype: DType,
    device: &'c Device,
}

impl Loader<'_> {
    fn tensor(&self, name: &str, shape: &[(&str, usize)]) -> Result<Tensor, ModelError> {
        self.checkpoint.tensor(name, shape, self.dtype, self.device)
    }

    /// Some GPT-2 checkpoints were saved with the prefix `transformer.`, some without.
    fn prefix(&self) -> &'static str {
        match self.config.family {
            Family::Llama => "model.",
            Family::Gpt2 if self.checkpoint.contains("transformer.wte.weight") => "transformer.",
            Family::Gpt2 => "",
        }
    }

    fn layer_prefix(&self, layer: usize) -> String {
        match self.config.family {
            Family::Llama => format!("{}layers.{layer}.", self.prefix()),
            Family::Gpt2 => format!("{}h.{layer}.", self.prefix()),
        }
    }

    pub(super) fn embeddings(&self) -> Result<(Tensor, Option<Tensor>), ModelError> {
        let c = self.config;
        let (embed, pos_embed) = match c.family {
            Family::Llama => ("embed_tokens.weight", None),
            Family::Gpt2 => ("wte.weight", Some("wpe.weight")),
        };
        let embed = self.tensor(
            &format!("{}{embed}", self.prefix()),
            &[("d_vocab", c.d_vocab), ("d_model", c.d_model)],
        )?;
        let pos_embed = match (c.position, pos_embed) {
            (Position::Learned, Some(name)) => Some(self.tensor(
                &format!("{}{name}", self.prefix()),
                &[("n_ctx", c.n_ctx), ("d_model", c.d_model)],
            )?),
            _ => None,
        };
        Ok((embed, pos_embed))
    }

    fn unembed(&self) -> Result<(Tensor, Norm), ModelError> {
        let c = self.config;
        let w_u = match c.tied {
            true => self.embeddings()?.0,
            false => self.tensor(
                "lm_head.weight",
                &[("d_vocab", c.d_vocab), ("d_model", c.d_model)],
            )?,
        };
        let norm = match c.family {
            Family::Llama => "norm",
            Family::Gpt2 => "ln_f",
        };
        Ok((w_u, self.norm(&format!("{}{norm}", self.prefix()))?))
    }

    pub(super) fn block(&self, layer: usize) -> Result<Block, ModelError> {
        let attention_norm = match self.config.family {
            Family::Llama => "input_layernorm",
            Family::Gpt2 => "ln_1",
        };
        Ok(Block {
            attention_norm: self.norm(&(self.layer_prefix(layer) + attention_norm))?,
            attention: self.attention(layer)?,
            mlp_norm: self.mlp_norm(layer)?,
            mlp: self.mlp(layer)?,
        })
    }

    fn norm(&self, name: &str) -> Result<Norm, ModelError> {
        let d_model = [("d_model", self.config.d_model)];
        let bias = match self.config.norm {
            NormKind::Layer => Some(self.tensor(&format!("{name}.bias"), &d_model)?),
            NormKind::Rms => None,
        };
        let weight = self.tensor(&format!("{name}.weight"), &d_model)?;
        Ok(Norm {
            weight,
            bias,
            eps: self.config.norm_eps as f32,
        })
    }

    /// A matrix stored `[out, in]`, as PyTorch's `Linear` does.
    fn linear(
        &self,
        name: &str,
        out: (&str, usize),
        input: (&str, usize),
        bias: bool,
    ) -> Result<Linear, ModelError> {
        let weight = self.tensor(&format!("{name}.weight"), &[out, input])?;
        let bias = bias
            .then(|| self.tensor(&format!("{name}.bias"), &[out]))
            .transpose()?;
        Ok(Linear { weight, bias })
    }

    /// A matrix stored `[in, out]`, as GPT-2's `Conv1D` does.
    fn conv1d(
        &self,
        name: &str,
        out: (&str, usize),
        input: (&str, usize),
    ) -> Result<Linear, ModelError> {
        let weight = self
            .tensor(&format!("{name}.weight"), &[input, out])?
            .t()?
            .contiguous()?;
        Ok(Linear {
            weight,
            bias: Some(self.tensor(&format!("{name}.bias"), &[out])?),
        })
    }

    fn attention(&self, layer: usize) -> Result<Attention, ModelError> {
        let c = self.config;
        let prefix = self.layer_prefix(layer);
        let d_model = ("d_model", c.d_model);
        let heads = ("n_heads * d_head", c.n_heads * c.d_head);
        let (query, key, value, out) = match c.family {
            Family::Llama => {
                let kv_heads = ("n_key_value_heads * d_head", c.n_key_value_heads * c.d_head);
                let load = |name: &str, out| {
                    self.linear(
                        &format!("{prefix}self_attn.{name}"),
                        out,
                        d_model,
                        c.attention_bias,
                    )
                };
                let out = self.linear(
                    &format!("{prefix}self_attn.o_proj"),
                    d_model,
                    heads,
                    c.attention_out_bias,
                )?;
                (
                    load("q_proj", heads)?,
                    load("k_proj", kv_heads)?,
                    load("v_proj", kv_heads)?,
                    out,
                )
            }
            Family::Gpt2 => {
                let all = self.conv1d(
                    &format!("{prefix}attn.c_attn"),
                    ("3 * d_model", 3 * c.d_model),
                    d_model,
                )?;
                let part = |i: usize| -> Result<Linear, ModelError> {
                    let narrow =
                        |tensor: &Tensor| tensor.narrow(0, i * c.d_model, c.d_model)?.contiguous();
                    Ok(Linear {
                        weight: narrow(&all.weight)?,
                        bias: all.bias.as_ref().map(narrow).transpose()?,
                    })
                };
                let out = self.conv1d(&format!("{prefix}attn.c_proj"), d_model, heads)?;
                (part(0)?, part(1)?, part(2)?, out)
            }
        };
        let (n_heads, n_key_value_heads, d_head) = (c.n_heads, c.n_key_value_heads, c.d_head);
        Ok(Attention {
            query,
            key,
            value,
            out,
            n_heads,
            n_key_value_heads,
            d_head,
        })
    }

    fn mlp(&self, layer: usize) -> Result<Mlp, ModelError> {
        let c = self.config;
        let prefix = self.layer_prefix(layer);
        let (d_model, d_mlp) = (("d_model", c.d_model), ("d_mlp", c.d_mlp));
        let (gate, input, out) = match c.family {
            Family::Llama => {
                let load = |name: &str, out, input| {
                    self.linear(&format!("{prefix}mlp.{name}"), out, input, c.mlp_bias)
                };
                let gate = load("gate_proj", d_mlp, d_model)?;
                (
                    Some(gate),
                    load("up_proj", d_mlp, d_model)?,
                    load("down_proj", d_model, d_mlp)?,
                )
            }
            Family::Gpt2 => {
                let input = self.conv1d(&format!("{prefix}mlp.c_fc"), d_mlp, d_model)?;
                (
                    None,
                    input,
                    self.conv1d(&format!("{prefix}mlp.c_proj"), d_model, d_mlp)?,
                )
            }
        };
        Ok(Mlp {
            gate,
            input,
            out,
            act_fn: c.act_fn,
        })
    }

    fn mlp_norm(&self, layer: usize) -> Result<Norm, ModelError> {
        let name = match self.config.family {
            Family::Llama => "post_attention_layernorm",
            Family::Gpt2 => "ln_2",
        };
        self.norm(&(self.layer_prefix(layer) + name))
    }
}
