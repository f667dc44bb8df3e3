//! `config.json`, resolved into what the forward pass needs.
//!
//! What a family needs and the file lacks is an error, never a default: candle's own Llama takes 10,000 where
//! `rope_theta` is missing, and gives wrong activations without a word.

mod families;
mod read;

use serde::Serialize;
use serde_json::Value;

use super::error::ModelError;
use super::hooks::Hook;
use crate::ids::MOST_WIDTH;
use crate::mark;

/// A family of models, by `model_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// GPT-2, DistilGPT-2.
    Gpt2,
    /// GPT-Neo, TinyStories.
    GptNeo,
    /// GPT-NeoX, Pythia.
    GptNeox,
    /// Models in TransformerLens' own layout: the toy models of neuroscope.io. Their files have no `model_type`.
    TransformerLens,
    /// OPT, Galactica.
    Opt,
    /// Llama, SmolLM2, TinyLlama and what has their shape.
    Llama,
    /// Mistral 7B.
    Mistral,
    /// OLMo 1.
    Olmo,
    /// OLMo 2.
    Olmo2,
    /// Qwen 2 and 2.5.
    Qwen2,
    /// Qwen 3, dense.
    Qwen3,
    /// Gemma 1.
    Gemma,
    /// Gemma 2.
    Gemma2,
    /// Gemma 3, its text model.
    Gemma3,
    /// Phi-1, Phi-1.5, Phi-2.
    Phi,
    /// Phi-3 and Phi-4.
    Phi3,
    /// StableLM.
    StableLm,
}

impl Family {
    /// Every family with its `model_type`; some have a second one for the same weights inside a larger model.
    const ALL: [(&'static str, Self); 18] = [
        ("gpt2", Self::Gpt2),
        ("gpt_neo", Self::GptNeo),
        ("gpt_neox", Self::GptNeox),
        ("transformer_lens", Self::TransformerLens),
        ("opt", Self::Opt),
        ("llama", Self::Llama),
        ("mistral", Self::Mistral),
        ("olmo", Self::Olmo),
        ("olmo2", Self::Olmo2),
        ("qwen2", Self::Qwen2),
        ("qwen3", Self::Qwen3),
        ("gemma", Self::Gemma),
        ("gemma2", Self::Gemma2),
        ("gemma3_text", Self::Gemma3),
        ("gemma3", Self::Gemma3),
        ("phi", Self::Phi),
        ("phi3", Self::Phi3),
        ("stablelm", Self::StableLm),
    ];

    /// `model_type` of the family.
    pub fn name(self) -> &'static str {
        let of = Self::ALL.iter().find(|(_, family)| *family == self);
        of.map_or("", |(name, _)| name)
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
    /// x·softmax(x) over the layer, followed by a LayerNorm (`solu_ln`).
    SoluLn,
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
            (Self::SoluLn, _) => "SoLU",
        }
    }
}

/// How activations are normalised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NormKind {
    /// Mean and variance.
    Layer,
    /// Root mean square.
    Rms,
}

/// What a norm's parameters do after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Affine {
    /// There are none.
    None,
    /// `· weight`
    Weight,
    /// `· (1 + weight)`, as in Gemma.
    OnePlusWeight,
    /// `· weight + bias`
    WeightBias,
}

/// The norms of a model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct NormConfig {
    /// Kind.
    pub kind: NormKind,
    /// Parameters.
    pub affine: Affine,
    /// ε
    pub eps: f64,
}

/// Where a block has its norms, and how its two halves are added to the residual stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// x += attention(norm(x)); x += mlp(norm(x))
    PreNorm,
    /// x += attention(norm(x)) + mlp(norm'(x))
    Parallel,
    /// x += attention(n) + mlp(n), n = norm(x)
    ParallelSharedNorm,
    /// x += norm(attention(x)); x += norm(mlp(x))
    PostNorm,
    /// x += norm(attention(norm(x))); x += norm(mlp(norm(x)))
    Sandwich,
    /// x = norm(x + attention(x)); x = norm(x + mlp(x))
    ResidualNorm,
}

/// Norms of queries and keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QkNorm {
    /// Over all heads at once (OLMo 2).
    Whole,
    /// Over each head, one weight for all (Qwen 3, Gemma 3, Phi).
    Head,
    /// Over each head, a weight for each (StableLM).
    EachHead,
}

/// Attention.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AttentionConfig {
    /// Attention heads.
    pub n_heads: usize,
    /// Heads of keys and values; fewer than `n_heads` in grouped-query attention.
    pub n_key_value_heads: usize,
    /// Width of a head.
    pub d_head: usize,
    /// What q·k is multiplied by.
    pub scale: f64,
    /// Whether q·k of layer i is divided by i + 1 as well.
    pub scale_by_layer: bool,
    /// Whether query, key and value have biases.
    pub qkv_bias: bool,
    /// Whether the output has a bias.
    pub out_bias: bool,
    /// Norms of queries and keys.
    pub qk_norm: Option<QkNorm>,
    /// Bound of queries, keys and values.
    pub clip_qkv: Option<f64>,
    /// s in s·tanh(q·k / s).
    pub softcap: Option<f64>,
    /// For each layer, how many positions it sees, itself included; all if not given.
    pub windows: Vec<Option<usize>>,
}

/// How positions enter.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Position {
    /// One learned vector per position, added to the embedding.
    Learned {
        /// Row of the first position.
        offset: usize,
    },
    /// One learned vector per position, added to what queries and keys are computed from.
    Shortformer,
    /// Rotation of queries and keys, first half of the rotated dimensions against the second.
    Rotary {
        /// Rotated dimensions of a head.
        n_dims: usize,
        /// Frequencies.
        rope: Rope,
        /// Frequencies of the layers that see a window only, where they have their own (Gemma 3).
        local: Option<Rope>,
    },
}

/// Frequencies of rotary positions.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rope {
    /// Base of the frequencies.
    pub theta: f64,
    /// How they are stretched.
    pub scaling: RopeScaling,
}

impl Rope {
    fn check(&self, n_dims: usize) -> Result<(), ModelError> {
        let right = match &self.scaling {
            RopeScaling::Default | RopeScaling::Linear { .. } => true,
            RopeScaling::Llama3 {
                low_freq_factor,
                high_freq_factor,
                original,
                ..
            } => high_freq_factor > low_freq_factor && *original > 0,
            RopeScaling::Yarn {
                attention_factor,
                original,
                ..
            } => attention_factor.is_finite() && *original > 0,
            RopeScaling::Long {
                short,
                long,
                attention_factor,
                original,
            } => {
                let fits = |factors: &[f64]| {
                    factors.len() == n_dims / 2 && factors.iter().all(|f| *f > 0.0)
                };
                fits(short) && fits(long) && attention_factor.is_finite() && *original > 1
            }
        };
        let reason = format!("its rotation does not fit {n_dims} dimensions or has no meaning");
        right.then_some(()).ok_or(ModelError::BadConfig(reason))
    }
}

/// How rotary frequencies are stretched for a longer context.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum RopeScaling {
    /// Not at all.
    Default,
    /// All divided by one factor.
    Linear {
        /// The factor.
        factor: f64,
    },
    /// Llama 3.1: long wavelengths divided, short ones kept, those between blended.
    Llama3 {
        /// Divisor of long wavelengths.
        factor: f64,
        /// Wavelengths beyond `original / low_freq_factor` are long.
        low_freq_factor: f64,
        /// Wavelengths below `original / high_freq_factor` are short.
        high_freq_factor: f64,
        /// Context length before stretching.
        original: usize,
    },
    /// YaRN.
    Yarn {
        /// Divisor of the low frequencies.
        factor: f64,
        /// Rotations above which a frequency is kept.
        beta_fast: f64,
        /// Rotations below which it is divided.
        beta_slow: f64,
        /// Multiplies cos and sin.
        attention_factor: f64,
        /// Whether the borders are rounded to whole dimensions.
        truncate: bool,
        /// Context length before stretching.
        original: usize,
    },
    /// LongRoPE: a divisor for each frequency.
    Long {
        /// For windows of at most `original` tokens.
        short: Vec<f64>,
        /// For longer windows.
        long: Vec<f64>,
        /// Multiplies cos and sin.
        attention_factor: f64,
        /// Context length before stretching.
        original: usize,
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
    /// Rows of the embedding.
    pub d_vocab: usize,
    /// Width of the embedding; not that of the stream in OPT-350m.
    pub d_embed: usize,
    /// Longest window.
    pub n_ctx: usize,
    /// What the embedding is multiplied by.
    pub embed_scale: Option<f64>,
    /// Positions.
    pub position: Position,
    /// Where the norms are.
    pub layout: Layout,
    /// The norms of the blocks.
    pub norm: NormConfig,
    /// The norm in front of the unembedding, if there is one.
    pub final_norm: Option<NormConfig>,
    /// Attention.
    pub attention: AttentionConfig,
    /// The MLP's activation function.
    pub act_fn: Activation,
    /// Whether the MLP is gated.
    pub gated: bool,
    /// Whether the MLP's matrices have biases.
    pub mlp_bias: bool,
    /// Whether the unembedding is the embedding.
    pub tied: bool,
    /// Whether the unembedding has a bias.
    pub unembed_bias: bool,
    /// s in s·tanh(logit / s).
    pub logit_softcap: Option<f64>,
    /// `bos_token_id`.
    pub bos_token_id: Option<u32>,
    /// Whether gated neurons are loaded with their signs turned so that cos(w_gate, w_in) ≥ 0 (DEFINITIONS 7). No
    /// file says so; it changes what is read out, not what the model computes.
    pub refactor_glu: bool,
}

/// More weights than any matrix of any model has.
const MOST_WEIGHTS: u64 = 1 << 40;

impl Config {
    /// Reads `config.json`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ModelError> {
        let value: Value =
            serde_json::from_slice(mark::without(bytes)).map_err(ModelError::ConfigSyntax)?;
        let Value::Object(map) = value else {
            return Err(ModelError::BadKey {
                key: "(all)".into(),
                found: "not an object".into(),
                expected: "an object".into(),
            });
        };
        families::read(&map)?.check()
    }

    /// The hook that neurons are ranked by (DEFINITIONS 1).
    pub fn ranking_hook(&self) -> Hook {
        match self.act_fn {
            Activation::SoluLn => Hook::Mid,
            _ => Hook::Post,
        }
    }

    /// Whether what the MLP writes goes through a norm of its own before it is added to the residual stream.
    pub fn has_norm_after_mlp(&self) -> bool {
        matches!(self.layout, Layout::PostNorm | Layout::Sandwich)
    }

    /// Whether models of this family are always run with a BOS in front, whatever their tokenizer does.
    pub fn expects_bos(&self) -> bool {
        self.family == Family::TransformerLens
    }

    /// Fails if the model cannot read windows of so many tokens.
    pub fn check_length(&self, n_tokens: usize) -> Result<(), ModelError> {
        match n_tokens <= self.n_ctx {
            true => Ok(()),
            false => Err(ModelError::TooLong {
                found: n_tokens,
                n_ctx: self.n_ctx,
            }),
        }
    }

    fn check(self) -> Result<Self, ModelError> {
        let a = &self.attention;
        if self.d_mlp > MOST_WIDTH as usize {
            let reason = format!(
                "its layers have {} neurons; at most {MOST_WIDTH} are read",
                self.d_mlp
            );
            return Err(ModelError::BadConfig(reason));
        }
        let largest = [
            ("embedding", self.d_vocab, self.d_model.max(self.d_embed)),
            ("MLP", self.d_mlp, 2 * self.d_model),
            (
                "attention",
                3 * a.n_heads.saturating_mul(a.d_head),
                self.d_model,
            ),
        ];
        for (what, rows, columns) in largest {
            let n_weights = (rows as u64).checked_mul(columns as u64);
            if n_weights.is_none_or(|n| n > MOST_WEIGHTS) {
                return Err(ModelError::BadConfig(format!(
                    "its {what} of {rows} × {columns} weights is larger than any model's"
                )));
            }
        }
        if let Position::Rotary {
            n_dims,
            rope,
            local,
        } = &self.position
        {
            for rope in [Some(rope), local.as_ref()].into_iter().flatten() {
                rope.check(*n_dims)?;
            }
        }
        if let Position::Rotary { n_dims, .. } = self.position
            && (!n_dims.is_multiple_of(2) || n_dims == 0 || n_dims > a.d_head)
        {
            return Err(ModelError::BadConfig(format!(
                "{n_dims} dimensions of each head are rotated; expected an even number of at most d_head = {}",
                a.d_head
            )));
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &str = r#"{"model_type":"llama","num_hidden_layers":2,"hidden_size":12,"intermediate_size":20,
        "num_attention_heads":3,"num_key_value_heads":1,"vocab_size":50,"max_position_embeddings":16,
        "rms_norm_eps":1e-5,"rope_theta":10000.0,"hidden_act":"silu"}"#;

    fn read(json: &str) -> Result<Config, String> {
        Config::from_json(json.as_bytes()).map_err(|error| error.to_string())
    }

    fn error(from: &str, to: &str) -> String {
        read(&LLAMA.replace(from, to)).expect_err("must fail")
    }

    fn theta(json: &str) -> Result<f64, String> {
        read(json).map(|config| match config.position {
            Position::Rotary { rope, .. } => rope.theta,
            _ => 0.0,
        })
    }

    #[test]
    fn rope_theta_is_read_in_both_places_and_never_defaulted() {
        assert_eq!(theta(LLAMA), Ok(10_000.0));
        let new = r#""rope_parameters":{"rope_theta":5e5,"rope_type":"default"}"#;
        assert_eq!(
            theta(&LLAMA.replace(r#""rope_theta":10000.0"#, new)),
            Ok(5e5)
        );
        let missing = error(r#""rope_theta":10000.0,"#, "");
        assert!(missing.contains("no `rope_theta`"), "{missing}");
        // before 4.33 it was no key, but a number in transformers' code
        let version = |v: &str| format!(r#""transformers_version":"{v}","#);
        let of = |v: &str| theta(&LLAMA.replace(r#""rope_theta":10000.0,"#, &version(v)));
        assert_eq!(of("4.31.0.dev0"), Ok(10_000.0));
        assert!(of("4.46.0").is_err());
    }

    #[test]
    fn scalings_that_are_not_known_are_refused() {
        let with = |scaling: &str| {
            error(
                r#""rope_theta""#,
                &format!(r#""rope_scaling":{scaling},"rope_theta""#),
            )
        };
        let unknown = with(r#"{"rope_type":"spiral"}"#);
        assert!(
            unknown.contains("`rope_scaling.rope_type` is \"spiral\""),
            "{unknown}"
        );
        let lacking = with(r#"{"rope_type":"linear"}"#);
        assert!(lacking.contains("no `rope_scaling.factor`"), "{lacking}");
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        assert!(error("\"llama\"", "\"mamba\"").contains("`mamba`; known are `gpt2`, `gpt_neo`"));
        assert!(error("\"silu\"", "\"tanh\"").contains("`hidden_act` is \"tanh\""));
        let heads = error("\"num_key_value_heads\":1", "\"num_key_value_heads\":2");
        assert!(
            heads.contains(
                "`num_key_value_heads` is 2; expected a divisor of the number of heads, 3"
            ),
            "{heads}"
        );
        assert!(error("\"hidden_size\":12", "\"hidden_size\":-4").contains("a whole number"));
        assert!(error("\"num_hidden_layers\":2", "\"num_hidden_layers\":0").contains("is 0"));
        assert!(error("{", "[").contains("not valid JSON"));
    }

    #[test]
    fn the_text_model_inside_gemma_3_has_the_defaults_that_its_file_leaves_out() {
        let json = r#"{"model_type":"gemma3","text_config":{"model_type":"gemma3_text","hidden_size":2560,
            "intermediate_size":10240,"num_hidden_layers":34,"sliding_window":1024,
            "rope_scaling":{"factor":8.0,"rope_type":"linear"}},"vision_config":{}}"#;
        let config = read(json).expect("a Gemma 3");
        assert_eq!(
            (config.d_vocab, config.attention.d_head, config.n_ctx),
            (262_208, 256, 131_072)
        );
        assert_eq!(config.attention.windows[4..6], [Some(1024), None]);
        let Position::Rotary { rope, local, .. } = config.position else {
            panic!("no rotation");
        };
        assert_eq!(
            (rope.theta, rope.scaling),
            (1e6, RopeScaling::Linear { factor: 8.0 })
        );
        assert_eq!(local.map(|local| local.theta), Some(10_000.0));
    }
}
