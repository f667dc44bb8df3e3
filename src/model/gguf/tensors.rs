//! The tensors of a GGUF file under Hugging Face's names, and as Hugging Face has them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use super::{Architecture, Gguf};
use crate::model::error::ModelError;
use crate::model::weights::{TensorFile, TensorInfo};

/// More heads than any model has.
const MOST_HEADS: usize = 1 << 12;

/// What the converter did to a tensor, and is undone.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Nothing,
    /// It transposed the matrix (GPT-2).
    Transpose,
    /// It added 1 (norms of Gemma).
    AddedOne,
    /// It interleaved the two halves of each head's rows (Llama, OLMo 1).
    Interleaving {
        n_heads: usize,
    },
    /// It sorted rows by query, key and value, where they were by head (GPT-NeoX).
    SortedHeads {
        n_heads: usize,
    },
    /// It stacked the vectors of heads (StableLM).
    Stack {
        head: usize,
    },
}

/// The GGUF files of a model as one file of tensors.
pub struct GgufFile<'a> {
    name: String,
    gguf: &'a Gguf,
    files: Vec<&'a [u8]>,
    /// By Hugging Face's name.
    tensors: BTreeMap<String, (String, Undo)>,
}

impl Gguf {
    /// The tensors. `files` are those that were read.
    pub fn file<'a>(
        &'a self,
        name: &str,
        files: Vec<&'a [u8]>,
    ) -> Result<GgufFile<'a>, ModelError> {
        let architecture = self.architecture()?;
        let size = |key: &str| {
            let size = self.size(&format!("{}.{key}", self.name));
            size.filter(|size| *size <= MOST_HEADS).unwrap_or(0)
        };
        let n_heads = size("attention.head_count");
        let n_key_value_heads = match size("attention.head_count_kv") {
            0 => n_heads,
            n => n,
        };
        let mut tensors = BTreeMap::new();
        for tensor in self.tensors.keys() {
            // read for the config
            if tensor.starts_with("rope_f") {
                continue;
            }
            if self.is_constant(tensor) {
                continue;
            }
            let undo = self.undo(architecture, tensor, n_heads, n_key_value_heads);
            // what has no other name keeps its own, and has no place in the model
            let translated = translate(architecture, tensor).unwrap_or_else(|| tensor.clone());
            match (undo, translated.strip_suffix(".weight")) {
                (Undo::Stack { .. }, Some(module)) => {
                    let heads = match self.shape(tensor) {
                        Some([heads, _]) if *heads <= n_heads => *heads,
                        _ => {
                            return Err(super::bad(format!(
                                "tensor `{tensor}` is not for its heads"
                            )));
                        }
                    };
                    for head in 0..heads {
                        let name = format!("{module}.norms.{head}.weight");
                        tensors.insert(name, (tensor.clone(), Undo::Stack { head }));
                    }
                }
                _ => {
                    let other = tensors.insert(translated, (tensor.clone(), undo));
                    if let Some((other, _)) = other {
                        return Err(super::bad(format!(
                            "tensors `{other}` and `{tensor}` are the same one of the model"
                        )));
                    }
                }
            }
        }
        Ok(GgufFile {
            name: name.to_owned(),
            gguf: self,
            files,
            tensors,
        })
    }

    /// Constants that older converters wrote.
    fn is_constant(&self, tensor: &str) -> bool {
        tensor.ends_with(".attn_rot_embd") || tensor.ends_with(".rotary_emb.inv_freq")
    }

    fn undo(
        &self,
        architecture: Architecture,
        tensor: &str,
        n_heads: usize,
        n_key_value_heads: usize,
    ) -> Undo {
        use Architecture as A;
        let ends = |end: &str| tensor.ends_with(end);
        match architecture {
            A::Gpt2
                if tensor.starts_with("blk.")
                    && self.shape(tensor).is_some_and(|s| s.len() == 2) =>
            {
                Undo::Transpose
            }
            A::Gemma | A::Gemma2 | A::Gemma3 if ends("norm.weight") => Undo::AddedOne,
            A::Llama | A::Olmo if ends(".attn_q.weight") || ends(".attn_q.bias") => {
                Undo::Interleaving { n_heads }
            }
            A::Llama | A::Olmo if ends(".attn_k.weight") || ends(".attn_k.bias") => {
                Undo::Interleaving {
                    n_heads: n_key_value_heads,
                }
            }
            A::GptNeox if tensor.contains(".attn_qkv.") => Undo::SortedHeads { n_heads },
            A::StableLm if ends(".attn_q_norm.weight") || ends(".attn_k_norm.weight") => {
                Undo::Stack { head: 0 }
            }
            _ => Undo::Nothing,
        }
    }
}

/// Hugging Face's name of a tensor.
fn translate(a: Architecture, tensor: &str) -> Option<String> {
    use Architecture as A;
    let (module, parameter) = tensor.rsplit_once('.')?;
    if let Some(rest) = module.strip_prefix("blk.") {
        let (layer, part) = rest.split_once('.')?;
        let part = match a {
            A::Gpt2 => match part {
                "attn_norm" => "ln_1",
                "attn_qkv" => "attn.c_attn",
                "attn_output" => "attn.c_proj",
                "ffn_norm" => "ln_2",
                "ffn_up" => "mlp.c_fc",
                "ffn_down" => "mlp.c_proj",
                _ => return None,
            },
            A::GptNeox => match part {
                "attn_norm" => "input_layernorm",
                "attn_qkv" => "attention.query_key_value",
                "attn_output" => "attention.dense",
                "ffn_norm" => "post_attention_layernorm",
                "ffn_up" => "mlp.dense_h_to_4h",
                "ffn_down" => "mlp.dense_4h_to_h",
                _ => return None,
            },
            _ => match (part, a) {
                ("attn_norm", _) => "input_layernorm",
                ("attn_q", _) => "self_attn.q_proj",
                ("attn_k", _) => "self_attn.k_proj",
                ("attn_v", _) => "self_attn.v_proj",
                ("attn_qkv", _) => "self_attn.qkv_proj",
                ("attn_output", A::Phi2) => "self_attn.dense",
                ("attn_output", _) => "self_attn.o_proj",
                ("attn_q_norm", A::StableLm) => "self_attn.q_layernorm",
                ("attn_k_norm", A::StableLm) => "self_attn.k_layernorm",
                ("attn_q_norm", _) => "self_attn.q_norm",
                ("attn_k_norm", _) => "self_attn.k_norm",
                ("ffn_norm", A::Gemma2 | A::Gemma3) => "pre_feedforward_layernorm",
                ("ffn_norm", _) => "post_attention_layernorm",
                ("post_attention_norm", _) => "post_attention_layernorm",
                ("post_ffw_norm", _) => "post_feedforward_layernorm",
                ("ffn_gate", _) => "mlp.gate_proj",
                ("ffn_up", A::Phi2) => "mlp.fc1",
                ("ffn_down", A::Phi2) => "mlp.fc2",
                ("ffn_up", A::Phi3) => "mlp.gate_up_proj",
                ("ffn_up", _) => "mlp.up_proj",
                ("ffn_down", _) => "mlp.down_proj",
                _ => return None,
            },
        };
        let layers = match a {
            A::Gpt2 => "transformer.h.",
            A::GptNeox => "gpt_neox.layers.",
            _ => "model.layers.",
        };
        return Some(format!("{layers}{layer}.{part}.{parameter}"));
    }
    let module = match (module, a) {
        ("token_embd", A::Gpt2) => "transformer.wte",
        ("token_embd", A::GptNeox) => "gpt_neox.embed_in",
        ("token_embd", _) => "model.embed_tokens",
        ("position_embd", A::Gpt2) => "transformer.wpe",
        ("output_norm", A::Gpt2) => "transformer.ln_f",
        ("output_norm", A::GptNeox) => "gpt_neox.final_layer_norm",
        ("output_norm", A::Phi2) => "model.final_layernorm",
        ("output_norm", _) => "model.norm",
        ("output", A::GptNeox) => "embed_out",
        ("output", _) => "lm_head",
        _ => return None,
    };
    Some(format!("{module}.{parameter}"))
}

impl TensorFile for GgufFile<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        let entries = &self.gguf.tensors;
        let info = |(name, (tensor, undo)): (&String, &(String, Undo))| {
            let entry = &entries[tensor];
            let mut shape = entry.shape.clone();
            match undo {
                Undo::Transpose => shape.reverse(),
                Undo::Stack { .. } => {
                    shape.remove(0);
                }
                _ => (),
            }
            TensorInfo {
                name: name.clone(),
                shape,
                dtype: entry.kind.label(),
            }
        };
        self.tensors.iter().map(info).collect()
    }

    fn load(&self, tensor: &str) -> Result<Tensor, ModelError> {
        let Some((own, undo)) = self.tensors.get(tensor) else {
            return Err(super::bad(format!("tensor `{tensor}` is missing")));
        };
        let found = self.gguf.tensor(&self.files, own)?;
        let (rows, columns) = (found.dim(0)?, &found.dims()[1..]);
        let cut = |n_heads: usize| match n_heads {
            0 => Err(super::bad("it has no number of heads")),
            n if rows.is_multiple_of(2 * n) || rows.is_multiple_of(3 * n) => Ok(()),
            n => Err(super::bad(format!(
                "tensor `{own}` has {rows} rows for {n} heads"
            ))),
        };
        Ok(match *undo {
            Undo::Nothing => found,
            Undo::Transpose => found.t()?.contiguous()?,
            Undo::AddedOne => (found - 1.0)?,
            Undo::Interleaving { n_heads } => {
                cut(n_heads)?;
                let pairs = [&[n_heads, rows / n_heads / 2, 2], columns].concat();
                let halves = found.reshape(pairs)?.transpose(1, 2)?.contiguous()?;
                halves.reshape(found.dims())?
            }
            Undo::SortedHeads { n_heads } => {
                cut(n_heads)?;
                let sorted = [&[3, n_heads, rows / n_heads / 3], columns].concat();
                let heads = found.reshape(sorted)?.transpose(0, 1)?.contiguous()?;
                heads.reshape(found.dims())?
            }
            Undo::Stack { head } => found.get(head)?,
        })
    }
}
