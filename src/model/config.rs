//! `config.json` of Hugging Face, resolved into what the forward pass needs.
//!
//! What a family needs and the file lacks is an error, never a default: candle's own Llama takes 10,000 where
//! `rope_theta` is missing, and gives wrong activations without a word.

use serde::Serialize;
use serde_json::{Map, Value};

use super::error::ModelError;

/// A family of models, by `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// GPT-2, DistilGPT-2.
    Gpt2,
    /// Llama and what has its shape.
    Llama,
}

impl Family {
    const ALL: [(&'static str, Self); 2] = [("gpt2", Self::Gpt2), ("llama", Self::Llama)];

    /// `model_type` of the family.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt2 => "gpt2",
            Self::Llama => "llama",
        }
    }
}

/// An MLP's activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Activation {
    /// x·σ(x)
    Silu,
    /// x·Φ(x), exact.
    Gelu,
    /// The tanh approximation of GELU (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// max(x, 0)
    Relu,
}

impl Activation {
    /// The field's name for an MLP with this function.
    pub fn mlp_name(self, gated: bool) -> &'static str {
        match (self, gated) {
            (Self::Silu, true) => "SwiGLU",
            (Self::Gelu | Self::GeluTanh, true) => "GeGLU",
            (Self::Relu, true) => "ReGLU",
            (Self::Silu, false) => "SiLU",
            (Self::Gelu, false) => "GELU",
            (Self::GeluTanh, false) => "GELU (tanh)",
            (Self::Relu, false) => "ReLU",
        }
    }
}

/// How activations are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Mean and variance, with weight and bias.
    Layer,
    /// Root mean square, with weight.
    Rms,
}

/// How positions enter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Position {
    /// One learned vector per position, added to the embedding.
    Learned,
    /// Rotation of queries and keys, first half against second half of a head.
    Rotary {
        /// Base of the frequencies.
        theta: f64,
    },
}

/// A decoder, resolved.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Config {
    /// Family, which names the tensors.
    pub family: Family,
    /// Number of blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Neurons of a layer.
    pub d_mlp: usize,
    /// Attention heads.
    pub n_heads: usize,
    /// Heads of keys and values; fewer than `n_heads` in grouped-query attention.
    pub n_key_value_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// Rows of the embedding.
    pub d_vocab: usize,
    /// Longest window.
    pub n_ctx: usize,
    /// Norm of all places.
    pub norm: NormKind,
    /// The norms' ε.
    pub norm_eps: f64,
    /// Positions.
    pub position: Position,
    /// The MLP's activation function.
    pub act_fn: Activation,
    /// Whether the MLP is gated.
    pub gated: bool,
    /// Whether query, key and value have biases.
    pub attention_bias: bool,
    /// Whether the attention's output has a bias.
    pub attention_out_bias: bool,
    /// Whether the MLP's matrices have biases.
    pub mlp_bias: bool,
    /// Whether the unembedding is the embedding.
    pub tied: bool,
    /// `bos_token_id`.
    pub bos_token_id: Option<u32>,
}

impl Config {
    /// Reads `config.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        let value: Value = serde_json::from_slice(bytes).map_err(ModelError::ConfigSyntax)?;
        let Value::Object(map) = value else {
            return Err(ModelError::BadKey {
                key: "(all)",
                found: "not an object".into(),
                expected: "an object".into(),
            });
        };
        let found = map
            .get("model_type")
            .and_then(Value::as_str)
            .unwrap_or("(missing)");
        let Some((_, family)) = Family::ALL.into_iter().find(|(name, _)| *name == found) else {
            let known = Family::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
            return Err(ModelError::UnknownFamily {
                found: found.to_owned(),
                known,
            });
        };
        let raw = Raw { map: &map, family };
        let config = match family {
            Family::Gpt2 => raw.gpt2(),
            Family::Llama => raw.llama(),
        }?;
        config.check()
    }

    fn check(self) -> Result<Self, ModelError> {
        let positive = [
            ("num_hidden_layers", self.n_layers),
            ("hidden_size", self.d_model),
            ("intermediate_size", self.d_mlp),
            ("num_attention_heads", self.n_heads),
            ("num_key_value_heads", self.n_key_value_heads),
            ("head_dim", self.d_head),
            ("vocab_size", self.d_vocab),
            ("max_position_embeddings", self.n_ctx),
        ];
        if let Some((key, _)) = positive.into_iter().find(|(_, value)| *value == 0) {
            return Err(ModelError::BadKey {
                key,
                found: "0".into(),
                expected: "at least 1".into(),
            });
        }
        if !self.n_heads.is_multiple_of(self.n_key_value_heads) {
            return Err(ModelError::BadKey {
                key: "num_key_value_heads",
                found: self.n_key_value_heads.to_string(),
                expected: format!("a divisor of num_attention_heads = {}", self.n_heads),
            });
        }
        if matches!(self.position, Position::Rotary { .. }) && !self.d_head.is_multiple_of(2) {
            return Err(ModelError::BadKey {
                key: "head_dim",
                found: self.d_head.to_string(),
                expected: "an even number".into(),
            });
        }
        Ok(self)
    }
}

/// The keys of `config.json`, with errors that name them.
struct Raw<'a> {
    map: &'a Map<String, Value>,
    family: Family,
}

impl Raw<'_> {
    fn llama(&self) -> Result<Config, ModelError> {
        self.refuse_rope_scaling()?;
        let n_heads = self.size("num_attention_heads")?;
        let d_model = self.size("hidden_size")?;
        let attention_bias = self.flag("attention_bias", false)?;
        Ok(Config {
            family: self.family,
            n_layers: self.size("num_hidden_layers")?,
            d_model,
            d_mlp: self.size("intermediate_size")?,
            n_heads,
            n_key_value_heads: self
                .optional_size("num_key_value_heads")?
                .unwrap_or(n_heads),
            d_head: self.d_head("head_dim", d_model, n_heads)?,
            d_vocab: self.size("vocab_size")?,
            n_ctx: self.size("max_position_embeddings")?,
            norm: NormKind::Rms,
            norm_eps: self.number("rms_norm_eps")?,
            position: Position::Rotary {
                theta: self.rope_theta()?,
            },
            act_fn: self.activation("hidden_act")?,
            gated: true,
            attention_bias,
            attention_out_bias: attention_bias,
            mlp_bias: self.flag("mlp_bias", false)?,
            tied: self.flag("tie_word_embeddings", false)?,
            bos_token_id: self.token("bos_token_id")?,
        })
    }

    fn gpt2(&self) -> Result<Config, ModelError> {
        // what changes the attention's arithmetic and is not computed here
        for (key, only) in [
            ("scale_attn_weights", true),
            ("scale_attn_by_inverse_layer_idx", false),
            ("reorder_and_upcast_attn", false),
        ] {
            if self.flag(key, only)? != only {
                return Err(self.bad(key, only.to_string()));
            }
        }
        let (n_heads, d_model) = (self.size("n_head")?, self.size("n_embd")?);
        Ok(Config {
            family: self.family,
            n_layers: self.size("n_layer")?,
            d_model,
            d_mlp: self.optional_size("n_inner")?.unwrap_or(4 * d_model),
            n_heads,
            n_key_value_heads: n_heads,
            d_head: self.d_head("head_dim", d_model, n_heads)?,
            d_vocab: self.size("vocab_size")?,
            n_ctx: self.size("n_positions")?,
            norm: NormKind::Layer,
            norm_eps: self.number("layer_norm_epsilon")?,
            position: Position::Learned,
            act_fn: self.activation("activation_function")?,
            gated: false,
            attention_bias: true,
            attention_out_bias: true,
            mlp_bias: true,
            tied: self.flag("tie_word_embeddings", true)?,
            bos_token_id: self.token("bos_token_id")?,
        })
    }

    fn bad(&self, key: &'static str, expected: impl Into<String>) -> ModelError {
        let found = self
            .map
            .get(key)
            .map_or_else(|| "missing".to_owned(), Value::to_string);
        ModelError::BadKey {
            key,
            found,
            expected: expected.into(),
        }
    }

    fn missing(&self, key: &'static str) -> ModelError {
        ModelError::MissingKey {
            key,
            family: self.family.name().to_owned(),
        }
    }

    fn get(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn optional_size(&self, key: &'static str) -> Result<Option<usize>, ModelError> {
        let number = |value: &Value| {
            value
                .as_u64()
                .filter(|&n| n <= u64::from(u32::MAX))
                .map(|n| n as usize)
        };
        self.get(key)
            .map(|value| number(value).ok_or_else(|| self.bad(key, "a whole number")))
            .transpose()
    }

    fn size(&self, key: &'static str) -> Result<usize, ModelError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    fn number(&self, key: &'static str) -> Result<f64, ModelError> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        value
            .as_f64()
            .filter(|n| *n > 0.0)
            .ok_or_else(|| self.bad(key, "a positive number"))
    }

    /// A switch that transformers itself defaults when it is absent.
    fn flag(&self, key: &'static str, absent: bool) -> Result<bool, ModelError> {
        self.get(key).map_or(Ok(absent), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.bad(key, "true or false"))
        })
    }

    fn token(&self, key: &'static str) -> Result<Option<u32>, ModelError> {
        Ok(self.optional_size(key)?.map(|id| id as u32))
    }

    fn d_head(
        &self,
        key: &'static str,
        d_model: usize,
        n_heads: usize,
    ) -> Result<usize, ModelError> {
        match self.optional_size(key)? {
            Some(d_head) => Ok(d_head),
            None if n_heads > 0 && d_model.is_multiple_of(n_heads) => Ok(d_model / n_heads),
            None => Err(self.bad(
                key,
                format!("given, since {n_heads} heads do not divide d_model = {d_model}"),
            )),
        }
    }

    /// `rope_parameters.rope_theta` (transformers 5) or `rope_theta` (earlier).
    fn rope_theta(&self) -> Result<f64, ModelError> {
        let parameters = self
            .get("rope_parameters")
            .and_then(|p| p.get("rope_theta"));
        let value = parameters
            .or_else(|| self.get("rope_theta"))
            .ok_or_else(|| self.missing("rope_theta"))?;
        value
            .as_f64()
            .filter(|theta| *theta > 0.0)
            .ok_or_else(|| self.bad("rope_theta", "a positive number"))
    }

    fn refuse_rope_scaling(&self) -> Result<(), ModelError> {
        for key in ["rope_scaling", "rope_parameters"] {
            let scaling = self
                .get(key)
                .and_then(|s| s.get("rope_type").or_else(|| s.get("type")))
                .and_then(Value::as_str);
            if scaling.is_some_and(|kind| kind != "default") {
                return Err(self.bad(key, "rope without scaling (`default`)"));
            }
        }
        Ok(())
    }

    fn activation(&self, key: &'static str) -> Result<Activation, ModelError> {
        match self.get(key).ok_or_else(|| self.missing(key))?.as_str() {
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            Some("gelu_new" | "gelu_pytorch_tanh") => Ok(Activation::GeluTanh),
            Some("relu") => Ok(Activation::Relu),
            _ => Err(self.bad(key, "one of silu, gelu, gelu_new, gelu_pytorch_tanh, relu")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#"{"model_type":"llama","num_hidden_layers":2,"hidden_size":12,"intermediate_size":20,
        "num_attention_heads":3,"num_key_value_heads":1,"vocab_size":50,"max_position_embeddings":16,
        "rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu"}"#;

    fn error(from: &str, to: &str) -> String {
        Config::from_json(LLAMA.replace(from, to).as_bytes())
            .expect_err("must fail")
            .to_string()
    }

    #[test]
    fn rope_theta_is_read_in_both_places_and_never_defaulted() {
        let theta = |json: &str| Config::from_json(json.as_bytes()).map(|c| c.position);
        assert_eq!(theta(LLAMA).unwrap(), Position::Rotary { theta: 10000.0 });
        let new = LLAMA.replace(
            "\"rope_theta\":10000.0",
            r#""rope_parameters":{"rope_theta":5e5,"rope_type":"default"}"#,
        );
        assert_eq!(theta(&new).unwrap(), Position::Rotary { theta: 5e5 });
        assert!(error("\"rope_theta\":10000.0,", "").contains("no `rope_theta`"));
        assert!(
            error(
                "\"rope_theta\"",
                r#""rope_scaling":{"rope_type":"llama3"},"rope_theta""#
            )
            .contains("`rope_scaling`")
        );
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        assert!(error("\"llama\"", "\"mamba\"").contains("`mamba`; known are `gpt2`, `llama`"));
        assert!(error("\"silu\"", "\"tanh\"").contains("`hidden_act` is \"tanh\""));
        assert!(
            error("\"num_key_value_heads\":1", "\"num_key_value_heads\":2")
                .contains("a divisor of num_attention_heads = 3")
        );
        assert!(error("\"hidden_size\":12", "\"hidden_size\":-4").contains("a whole number"));
        assert!(error("\"num_hidden_layers\":2", "\"num_hidden_layers\":0").contains("at least 1"));
        assert!(error("{", "[").contains("not valid JSON"));
    }
}
