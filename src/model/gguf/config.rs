//! The metadata of a GGUF file as Hugging Face's `config.json`.

use candle_core::DType;
use serde_json::{Map, Value, json};

use super::{Architecture, Gguf, bad};
use crate::model::error::ModelError;

type Result<T> = std::result::Result<T, ModelError>;

/// Layers of the largest Gemma 2 and Gemma 3, which alone scale q·k by the width of the stream.
const GEMMA_27B_LAYERS: [usize; 2] = [46, 62];

impl Gguf {
    /// The model's `config.json`. `files` are those that were read.
    pub fn config_json(&self, files: &[&[u8]]) -> Result<Vec<u8>> {
        let mut map = self.decoder(self.architecture()?, files)?;
        if let Some(id) = self.size("tokenizer.ggml.bos_token_id") {
            map.insert("bos_token_id".into(), id.into());
        }
        map.insert(
            "tie_word_embeddings".into(),
            (!self.has("output.weight")).into(),
        );
        Ok(Value::Object(map).to_string().into_bytes())
    }

    fn own_key(&self, key: &str) -> String {
        format!("{}.{key}", self.name)
    }

    fn own_size(&self, key: &str) -> Result<usize> {
        let key = self.own_key(key);
        let size = self.size(&key);
        size.ok_or_else(|| bad(format!("it has no whole number `{key}`")))
    }

    fn own_number(&self, key: &str) -> Option<f64> {
        self.get(&self.own_key(key))?.as_float()
    }

    fn needed_number(&self, key: &str) -> Result<f64> {
        let number = self.own_number(key);
        number.ok_or_else(|| bad(format!("it has no number `{}`", self.own_key(key))))
    }

    fn vocab_size(&self) -> Result<usize> {
        match self.shape("token_embd.weight") {
            Some([rows, _]) => Ok(*rows),
            _ => Err(bad("it has no matrix `token_embd.weight`")),
        }
    }

    /// Neurons of a layer, from the matrix: for some families the converter writes four times the width instead.
    fn d_mlp(&self) -> Result<usize> {
        match self.shape("blk.0.ffn_down.weight") {
            Some([_, d_mlp]) => Ok(*d_mlp),
            _ => self.own_size("feed_forward_length"),
        }
    }

    fn gpt2(&self) -> Result<Map<String, Value>> {
        let config = json!({
            "model_type": "gpt2",
            "n_layer": self.own_size("block_count")?,
            "n_embd": self.own_size("embedding_length")?,
            "n_inner": self.d_mlp()?,
            "n_head": self.own_size("attention.head_count")?,
            "n_positions": self.own_size("context_length")?,
            "vocab_size": self.vocab_size()?,
            "layer_norm_epsilon": self.needed_number("attention.layer_norm_epsilon")?,
            "activation_function": "gelu_new",
        });
        Ok(config.as_object().cloned().unwrap_or_default())
    }

    fn decoder(&self, architecture: Architecture, files: &[&[u8]]) -> Result<Map<String, Value>> {
        use Architecture as A;
        let n_heads = self.own_size("attention.head_count")?;
        if n_heads == 0 {
            return Err(bad("it has no heads"));
        }
        let d_model = self.own_size("embedding_length")?;
        let d_head = match self.own_size("attention.key_length") {
            Ok(d_head) => d_head,
            Err(_) if d_model.is_multiple_of(n_heads) => d_model / n_heads,
            Err(error) => return Err(error),
        };
        let n_layers = self.own_size("block_count")?;
        let (model_type, act_fn) = match architecture {
            A::Gpt2 => return self.gpt2(),
            A::GptNeox => ("gpt_neox", "gelu"),
            A::Llama => ("llama", "silu"),
            A::Olmo => ("olmo", "silu"),
            A::Olmo2 => ("olmo2", "silu"),
            A::Qwen2 => ("qwen2", "silu"),
            A::Qwen3 => ("qwen3", "silu"),
            A::Gemma => ("gemma", "gelu_pytorch_tanh"),
            A::Gemma2 => ("gemma2", "gelu_pytorch_tanh"),
            A::Gemma3 => ("gemma3_text", "gelu_pytorch_tanh"),
            A::Phi2 => ("phi", "gelu_new"),
            A::Phi3 => ("phi3", "silu"),
            A::StableLm => ("stablelm", "silu"),
        };
        let mut map = Map::new();
        let mut set = |key: &str, value: Value| {
            map.insert(key.to_owned(), value);
        };
        set("model_type", model_type.into());
        set("num_hidden_layers", n_layers.into());
        set("hidden_size", d_model.into());
        set("intermediate_size", self.d_mlp()?.into());
        set("num_attention_heads", n_heads.into());
        let n_key_value_heads = self.own_size("attention.head_count_kv").unwrap_or(n_heads);
        set("num_key_value_heads", n_key_value_heads.into());
        set("head_dim", d_head.into());
        set(
            "max_position_embeddings",
            self.own_size("context_length")?.into(),
        );
        set("vocab_size", self.vocab_size()?.into());
        let (hidden_act, eps) = ("hidden_act", "layer_norm_eps");
        match architecture {
            A::GptNeox | A::Phi2 | A::StableLm => {
                set(
                    eps,
                    self.needed_number("attention.layer_norm_epsilon")?.into(),
                );
            }
            A::Olmo => (),
            _ => set(
                "rms_norm_eps",
                self.needed_number("attention.layer_norm_rms_epsilon")?
                    .into(),
            ),
        }
        match architecture {
            A::Gemma2 | A::Gemma3 => set("hidden_activation", act_fn.into()),
            _ => set(hidden_act, act_fn.into()),
        }

        // where the converter writes no base, every reader takes this one
        let theta = match (self.own_number("rope.freq_base"), architecture) {
            (Some(theta), _) => theta,
            (None, A::Olmo2 | A::Qwen2 | A::Qwen3 | A::Gemma3 | A::Phi3) => {
                self.needed_number("rope.freq_base")?
            }
            (None, _) => 10_000.0,
        };
        let theta_key = match architecture {
            A::GptNeox => "rotary_emb_base",
            _ => "rope_theta",
        };
        set(theta_key, theta.into());
        let rotated = self.own_size("rope.dimension_count").unwrap_or(d_head);
        // a share that gives just this number of dimensions when it is multiplied and rounded down
        let share = (rotated as f64 + 1e-6) / d_head as f64;
        match architecture {
            A::GptNeox => set("rotary_pct", share.into()),
            A::Phi2 | A::StableLm => set("partial_rotary_factor", share.min(1.0).into()),
            A::Phi3 if rotated < d_head => set("partial_rotary_factor", share.into()),
            _ => (),
        }
        if let Some(scaling) = self.rope_scaling(files)? {
            set("rope_scaling", scaling);
        }

        let bias = |name: &str| self.has(&format!("blk.0.{name}.bias"));
        let window = self.own_size("attention.sliding_window").ok();
        if architecture == A::Olmo2 && window.is_some_and(|window| window > 0) {
            return Err(bad(
                "it is an OLMo 3; its sliding-window layers are not supported",
            ));
        }
        match architecture {
            A::GptNeox => set("attention_bias", bias("attn_qkv").into()),
            A::StableLm => {
                set("use_qkv_bias", bias("attn_q").into());
                set("qk_layernorm", self.has("blk.0.attn_q_norm.weight").into());
            }
            A::Qwen2 | A::Phi2 | A::Phi3 => (),
            _ => set("attention_bias", bias("attn_q").into()),
        }
        match architecture {
            A::Llama => set("mlp_bias", bias("ffn_down").into()),
            // the flag is not heeded by llama.cpp, and not always right
            A::StableLm => {
                let parallel = !self.has("blk.0.ffn_norm.weight");
                set("use_parallel_residual", parallel.into());
            }
            A::GptNeox => {
                let parallel = self.flag(&self.own_key("use_parallel_residual"));
                set("use_parallel_residual", parallel.unwrap_or(true).into());
            }
            A::Olmo => {
                if let Some(bound) = self.own_number("attention.clamp_kqv") {
                    set("clip_qkv", bound.into());
                }
            }
            A::Phi3 => {
                if let Some(window) = window.filter(|window| *window > 0) {
                    set("sliding_window", window.into());
                }
            }
            A::Gemma2 | A::Gemma3 => {
                let window = self.own_size("attention.sliding_window")?;
                let scalar = match GEMMA_27B_LAYERS.contains(&n_layers) {
                    true => d_model / n_heads,
                    false => d_head,
                };
                set("sliding_window", window.into());
                set("query_pre_attn_scalar", scalar.into());
                for key in ["attn_logit_softcapping", "final_logit_softcapping"] {
                    if let Some(cap) = self.own_number(key) {
                        set(key, cap.into());
                    }
                }
                if architecture == A::Gemma3 {
                    set("sliding_window_pattern", 6.into());
                    set("rope_local_base_freq", 10_000.into());
                }
            }
            _ => (),
        }
        Ok(map)
    }

    /// How the frequencies are stretched: from the metadata, or from tensors that hold a divisor for each.
    fn rope_scaling(&self, files: &[&[u8]]) -> Result<Option<Value>> {
        let n_ctx = self.own_size("context_length")?;
        let factors = |name: &str| -> Result<Option<Vec<f64>>> {
            if !self.has(name) {
                return Ok(None);
            }
            let values = self
                .tensor(files, name)?
                .flatten_all()?
                .to_dtype(DType::F32)?
                .to_vec1::<f32>()?;
            Ok(Some(values.into_iter().map(f64::from).collect()))
        };
        if let Some(divisors) = factors("rope_freqs.weight")? {
            return Ok(Some(json!({
                "rope_type": "longrope", "short_factor": divisors, "long_factor": divisors,
                "attention_factor": 1.0, "original_max_position_embeddings": n_ctx,
            })));
        }
        let original = self.own_size("rope.scaling.original_context_length");
        let both = factors("rope_factors_short.weight")?.zip(factors("rope_factors_long.weight")?);
        if let Some((short, long)) = both {
            return Ok(Some(json!({
                "rope_type": "longrope", "short_factor": short, "long_factor": long,
                "attention_factor": self.own_number("rope.scaling.attn_factor"),
                "original_max_position_embeddings": original?,
            })));
        }
        let kind = self.text(&self.own_key("rope.scaling.type"));
        match kind {
            None | Some("none") => Ok(None),
            Some(kind) => Ok(Some(json!({
                "rope_type": kind,
                "factor": self.needed_number("rope.scaling.factor")?,
                "original_max_position_embeddings": original.ok(),
            }))),
        }
    }
}
