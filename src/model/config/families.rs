//! What each family's `config.json` says, and what its code fixes.

use serde_json::{Map, Value};

use super::read::{MOST_SHOWN, Raw, check_quantisation};
use super::{
    Activation, Affine, AttentionConfig, Config, Family, Layout, NormConfig, NormKind, Position,
    QkNorm, Rope,
};
use crate::model::error::ModelError;

type Result<T> = std::result::Result<T, ModelError>;

/// PyTorch's own ε, where a family does not set one.
const TORCH_EPS: f64 = 1e-5;

pub(super) fn read(map: &Map<String, Value>) -> Result<Config> {
    let raw = |family| Raw {
        map,
        family,
        within: "",
    };
    let model_type = map.get("model_type").and_then(Value::as_str);
    // TransformerLens' files have no `model_type`, but keys that no other has
    let found = match model_type {
        None if map.contains_key("d_model") && map.contains_key("act_fn") => "transformer_lens",
        None => "(missing)",
        Some(found) => found,
    };
    let family = Family::ALL.into_iter().find(|(name, _)| *name == found);
    let Some((_, family)) = family else {
        let known = Family::ALL.map(|(name, _)| format!("`{name}`")).join(", ");
        return Err(ModelError::UnknownFamily {
            found: found.escape_debug().take(MOST_SHOWN).collect(),
            known,
        });
    };
    check_quantisation(map)?;
    if found == "gemma3" {
        return gemma3_inside(map);
    }
    let raw = raw(family);
    match family {
        Family::Gpt2 => raw.gpt2(),
        Family::GptNeo => raw.gpt_neo(),
        Family::GptNeox => raw.gpt_neox(),
        Family::TransformerLens => raw.transformer_lens(),
        Family::Opt => raw.opt(),
        Family::Llama => raw.llama(),
        Family::Mistral => raw.mistral(),
        Family::Olmo => raw.olmo(),
        Family::Olmo2 => raw.olmo2(),
        Family::Qwen2 => raw.qwen2(),
        Family::Qwen3 => raw.qwen3(),
        Family::Gemma => raw.gemma(),
        Family::Gemma2 => raw.gemma2(),
        Family::Gemma3 => raw.gemma3(),
        Family::Phi => raw.phi(),
        Family::Phi3 => raw.phi3(),
        Family::StableLm => raw.stablelm(),
    }
}

/// Gemma 3 with images keeps its text model in `text_config`, and writes there only what differs from transformers'
/// `Gemma3TextConfig()`; these are the values of that class.
fn gemma3_inside(map: &Map<String, Value>) -> Result<Config> {
    let outer = Raw {
        map,
        family: Family::Gemma3,
        within: "",
    };
    let text = outer.object("text_config", "text_config.")?;
    let text = text.ok_or_else(|| outer.missing("text_config"))?;
    let rope = text.get("rope_parameters").is_some();
    let unwritten = serde_json::json!({
        "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26,
        "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "max_position_embeddings": 131_072, "rms_norm_eps": 1e-6, "query_pre_attn_scalar": 256,
        "sliding_window": 4096, "bos_token_id": 2,
    });
    let mut whole = text.map.clone();
    let mut fill = |key: &str, value: Value| {
        whole.entry(key.to_owned()).or_insert(value);
    };
    for (key, value) in unwritten.as_object().into_iter().flatten() {
        fill(key, value.clone());
    }
    if !rope {
        fill("rope_theta", 1_000_000.into());
        fill("rope_local_base_freq", 10_000.into());
    }
    if text.get("layer_types").is_none() {
        fill("sliding_window_pattern", 6.into());
    }
    let raw = Raw {
        map: &whole,
        family: Family::Gemma3,
        within: "text_config.",
    };
    raw.gemma3()
}

/// The dimensions of a decoder.
struct Sizes {
    n_layers: usize,
    n_heads: usize,
    n_key_value_heads: usize,
    d_model: usize,
    d_head: usize,
    d_mlp: usize,
    d_vocab: usize,
    n_ctx: usize,
}

/// Where a file says how heads are rotated.
struct RotaryKeys<'k> {
    theta: &'k str,
    /// Keys of the share of a head that is rotated.
    share: &'k [&'k str],
    /// The share if no key is there.
    absent: Option<f64>,
}

/// Whole heads, unless the file says otherwise.
const ROTARY: RotaryKeys<'_> = RotaryKeys {
    theta: "rope_theta",
    share: &["partial_rotary_factor"],
    absent: Some(1.0),
};

impl Raw<'_> {
    /// A pre-norm decoder without biases, ungated; families change what they do otherwise.
    fn plain(
        &self,
        sizes: Sizes,
        norm: NormConfig,
        act_fn: Activation,
        position: Position,
    ) -> Result<Config> {
        Ok(Config {
            family: self.family,
            n_layers: sizes.n_layers,
            d_model: sizes.d_model,
            d_mlp: sizes.d_mlp,
            d_vocab: sizes.d_vocab,
            d_embed: sizes.d_model,
            n_ctx: sizes.n_ctx,
            embed_scale: None,
            position,
            layout: Layout::PreNorm,
            norm,
            final_norm: Some(norm),
            attention: AttentionConfig {
                n_heads: sizes.n_heads,
                n_key_value_heads: sizes.n_key_value_heads,
                d_head: sizes.d_head,
                scale: (sizes.d_head as f64).powf(-0.5),
                scale_by_layer: false,
                qkv_bias: false,
                out_bias: false,
                qk_norm: None,
                clip_qkv: None,
                softcap: None,
                windows: vec![None; sizes.n_layers],
            },
            act_fn,
            gated: false,
            mlp_bias: false,
            tied: self.flag("tie_word_embeddings", false)?,
            unembed_bias: false,
            logit_softcap: None,
            bos_token_id: self.token("bos_token_id")?,
            refactor_glu: false,
        })
    }

    /// The sizes under the keys that most families share.
    fn sizes(&self) -> Result<Sizes> {
        let n_heads = self.width("num_attention_heads")?;
        let d_model = self.width("hidden_size")?;
        let n_key_value_heads = self.n_key_value_heads("num_key_value_heads", n_heads)?;
        Ok(Sizes {
            n_layers: self.n_layers("num_hidden_layers")?,
            n_heads,
            n_key_value_heads,
            d_model,
            d_head: self.d_head("head_dim", d_model, n_heads)?,
            d_mlp: self.width("intermediate_size")?,
            d_vocab: self.vocabulary("vocab_size")?,
            n_ctx: self.size("max_position_embeddings")?,
        })
    }

    /// A gated decoder with rotary positions.
    fn decoder(&self, norm: NormConfig, keys: &RotaryKeys<'_>) -> Result<Config> {
        let sizes = self.sizes()?;
        let position = self.rotary(&sizes, keys)?;
        let act_fn = self.activation("hidden_act")?;
        let mut config = self.plain(sizes, norm, act_fn, position)?;
        config.gated = true;
        Ok(config)
    }

    /// Biases of the attention, where one key says all.
    fn attention_bias(&self, config: &mut Config, absent: bool) -> Result<()> {
        config.attention.qkv_bias = self.flag("attention_bias", absent)?;
        config.attention.out_bias = config.attention.qkv_bias;
        Ok(())
    }

    fn rms(&self) -> Result<NormConfig> {
        Ok(NormConfig {
            kind: NormKind::Rms,
            affine: Affine::Weight,
            eps: self.number("rms_norm_eps")?,
        })
    }

    fn layer_norm(&self, eps_key: &str) -> Result<NormConfig> {
        Ok(NormConfig {
            kind: NormKind::Layer,
            affine: Affine::WeightBias,
            eps: self.number(eps_key)?,
        })
    }

    fn rotary(&self, sizes: &Sizes, keys: &RotaryKeys<'_>) -> Result<Position> {
        let object = self.rope_object()?;
        let inside = object.map(|object| object.optional_number("partial_rotary_factor"));
        let mut share = inside.transpose()?.flatten();
        for key in keys.share {
            share = share.or(self.optional_number(key)?);
        }
        let share = share
            .or(keys.absent)
            .ok_or_else(|| self.missing(keys.share[0]))?;
        if share > 1.0 {
            return Err(self.bad(keys.share[0], "at most 1"));
        }
        Ok(Position::Rotary {
            n_dims: (sizes.d_head as f64 * share) as usize,
            rope: self.rope(object, keys.theta, sizes.n_ctx)?,
            local: None,
        })
    }

    /// Which layers see a window of `sliding_window` positions: those that `layer_types` says, else those of `otherwise`.
    fn windows(
        &self,
        n_layers: usize,
        otherwise: impl Fn(usize) -> bool,
    ) -> Result<Vec<Option<usize>>> {
        let slides: Vec<bool> = match self.list("layer_types")? {
            None => (0..n_layers).map(otherwise).collect(),
            Some(types) => {
                let slides = |kind: &Value| match kind.as_str() {
                    Some("sliding_attention") => Some(true),
                    Some("full_attention") => Some(false),
                    _ => None,
                };
                let slides: Option<Vec<bool>> = types.iter().map(slides).collect();
                let slides = slides.filter(|slides| slides.len() == n_layers);
                let expected = format!("{n_layers} times `full_attention` or `sliding_attention`");
                slides.ok_or_else(|| self.bad("layer_types", expected))?
            }
        };
        if !slides.contains(&true) {
            return Ok(vec![None; n_layers]);
        }
        let window = self.optional_size("sliding_window")?;
        let window = window.ok_or_else(|| self.missing("sliding_window"))?;
        Ok(slides
            .into_iter()
            .map(|slides| slides.then_some(window))
            .collect())
    }

    fn llama(&self) -> Result<Config> {
        let mut config = self.decoder(self.rms()?, &ROTARY)?;
        self.attention_bias(&mut config, false)?;
        config.mlp_bias = self.flag("mlp_bias", false)?;
        Ok(config)
    }

    fn mistral(&self) -> Result<Config> {
        let mut config = self.decoder(self.rms()?, &ROTARY)?;
        let window = self.optional_size("sliding_window")?;
        config.attention.windows = vec![window; config.n_layers];
        Ok(config)
    }

    fn olmo(&self) -> Result<Config> {
        let norm = NormConfig {
            kind: NormKind::Layer,
            affine: Affine::None,
            eps: TORCH_EPS,
        };
        let mut config = self.decoder(norm, &ROTARY)?;
        self.attention_bias(&mut config, false)?;
        config.attention.clip_qkv = self.optional_number("clip_qkv")?;
        Ok(config)
    }

    fn olmo2(&self) -> Result<Config> {
        let mut config = self.decoder(self.rms()?, &ROTARY)?;
        self.attention_bias(&mut config, false)?;
        config.layout = Layout::PostNorm;
        config.attention.qk_norm = Some(QkNorm::Whole);
        Ok(config)
    }

    fn qwen(&self) -> Result<Config> {
        let mut config = self.decoder(self.rms()?, &ROTARY)?;
        if self.flag("use_sliding_window", false)? {
            let first = self.optional_count("max_window_layers")?;
            if first.is_none() && self.get("layer_types").is_none() {
                return Err(self.missing("max_window_layers"));
            }
            let slides = |layer| first.is_some_and(|first| layer >= first);
            config.attention.windows = self.windows(config.n_layers, slides)?;
        }
        Ok(config)
    }

    fn qwen2(&self) -> Result<Config> {
        let mut config = self.qwen()?;
        config.attention.qkv_bias = true;
        Ok(config)
    }

    fn qwen3(&self) -> Result<Config> {
        let mut config = self.qwen()?;
        self.attention_bias(&mut config, false)?;
        config.attention.qk_norm = Some(QkNorm::Head);
        Ok(config)
    }

    /// What the three Gemmas share.
    fn any_gemma(&self, sizes: Sizes, act_fn: Activation, position: Position) -> Result<Config> {
        if self.get("use_bidirectional_attention") == Some(&Value::Bool(true)) {
            return Err(self.bad("use_bidirectional_attention", "false"));
        }
        let norm = NormConfig {
            affine: Affine::OnePlusWeight,
            ..self.rms()?
        };
        let mut config = self.plain(sizes, norm, act_fn, position)?;
        self.attention_bias(&mut config, false)?;
        config.gated = true;
        // transformers ties these unless the file says otherwise
        config.tied = self.flag("tie_word_embeddings", true)?;
        config.embed_scale = Some((config.d_model as f64).sqrt());
        Ok(config)
    }

    fn gemma(&self) -> Result<Config> {
        // the first files say `gelu` and mean its approximation, as transformers knows
        let act_fn = match self.text("hidden_activation")? {
            Some(_) => self.activation("hidden_activation")?,
            None => match self.activation("hidden_act")? {
                Activation::Gelu => Activation::GeluTanh,
                other => other,
            },
        };
        let sizes = self.sizes()?;
        let position = self.rotary(&sizes, &ROTARY)?;
        self.any_gemma(sizes, act_fn, position)
    }

    fn gemma2(&self) -> Result<Config> {
        let sizes = self.sizes()?;
        let position = self.rotary(&sizes, &ROTARY)?;
        let mut config = self.any_gemma(sizes, self.activation("hidden_activation")?, position)?;
        config.layout = Layout::Sandwich;
        config.attention.scale = self.number("query_pre_attn_scalar")?.powf(-0.5);
        config.attention.softcap = self.optional_number("attn_logit_softcapping")?;
        config.attention.windows =
            self.windows(config.n_layers, |layer| layer.is_multiple_of(2))?;
        config.logit_softcap = self.optional_number("final_logit_softcapping")?;
        Ok(config)
    }

    fn gemma3(&self) -> Result<Config> {
        let sizes = self.sizes()?;
        let (rope, local) = self.gemma3_ropes(sizes.n_ctx)?;
        let position = Position::Rotary {
            n_dims: sizes.d_head,
            rope,
            local: Some(local),
        };
        let mut config = self.any_gemma(sizes, self.activation("hidden_activation")?, position)?;
        config.layout = Layout::Sandwich;
        let pattern = self.optional_size("sliding_window_pattern")?;
        if self.get("layer_types").is_none() && pattern.is_none() {
            return Err(self.missing("sliding_window_pattern"));
        }
        config.attention.scale = self.number("query_pre_attn_scalar")?.powf(-0.5);
        config.attention.qk_norm = Some(QkNorm::Head);
        config.attention.windows = self.windows(config.n_layers, |layer| {
            !(layer + 1).is_multiple_of(pattern.unwrap_or(1))
        })?;
        config.logit_softcap = self.optional_number("final_logit_softcapping")?;
        Ok(config)
    }

    fn gemma3_ropes(&self, n_ctx: usize) -> Result<(Rope, Rope)> {
        if let Some(both) = self.object("rope_parameters", "rope_parameters.")? {
            let of = |key, within| {
                let object = both.object(key, within)?.ok_or_else(|| both.missing(key))?;
                object.rope(Some(object), "rope_theta", n_ctx)
            };
            return Ok((
                of("full_attention", "rope_parameters.full_attention.")?,
                of("sliding_attention", "rope_parameters.sliding_attention.")?,
            ));
        }
        let scaling = self.object("rope_scaling", "rope_scaling.")?;
        Ok((
            self.rope(scaling, "rope_theta", n_ctx)?,
            self.rope(None, "rope_local_base_freq", n_ctx)?,
        ))
    }

    fn phi(&self) -> Result<Config> {
        let keys = RotaryKeys {
            absent: None,
            ..ROTARY
        };
        let mut config = self.decoder(self.layer_norm("layer_norm_eps")?, &keys)?;
        config.layout = Layout::ParallelSharedNorm;
        config.gated = false;
        config.mlp_bias = true;
        config.unembed_bias = true;
        config.attention.qkv_bias = true;
        config.attention.out_bias = true;
        config.attention.qk_norm = self.flag("qk_layernorm", false)?.then_some(QkNorm::Head);
        Ok(config)
    }

    fn phi3(&self) -> Result<Config> {
        let mut config = self.decoder(self.rms()?, &ROTARY)?;
        let window = self.optional_size("sliding_window")?;
        config.attention.windows = vec![window; config.n_layers];
        Ok(config)
    }

    fn stablelm(&self) -> Result<Config> {
        let keys = RotaryKeys {
            share: &["partial_rotary_factor", "rope_pct"],
            absent: None,
            ..ROTARY
        };
        // the first files say `rope_pct` and `norm_eps`
        let eps = match self.get("layer_norm_eps") {
            Some(_) => "layer_norm_eps",
            None => "norm_eps",
        };
        let mut config = self.decoder(self.layer_norm(eps)?, &keys)?;
        if self.flag("use_parallel_residual", false)? {
            config.layout = Layout::ParallelSharedNorm;
        }
        config.attention.qkv_bias = self.flag("use_qkv_bias", false)?;
        config.attention.qk_norm = self
            .flag("qk_layernorm", false)?
            .then_some(QkNorm::EachHead);
        Ok(config)
    }

    fn gpt_neox(&self) -> Result<Config> {
        let keys = RotaryKeys {
            theta: "rotary_emb_base",
            share: &["rotary_pct"],
            absent: None,
        };
        let mut config = self.decoder(self.layer_norm("layer_norm_eps")?, &keys)?;
        if self.flag("use_parallel_residual", true)? {
            config.layout = Layout::Parallel;
        }
        self.attention_bias(&mut config, true)?;
        config.gated = false;
        config.mlp_bias = true;
        Ok(config)
    }

    /// An ungated decoder with learned positions and biases everywhere.
    fn older(&self, sizes: Sizes, norm: NormConfig, act_fn: Activation) -> Result<Config> {
        let mut config = self.plain(sizes, norm, act_fn, Position::Learned { offset: 0 })?;
        config.attention.qkv_bias = true;
        config.attention.out_bias = true;
        config.mlp_bias = true;
        config.tied = self.flag("tie_word_embeddings", true)?;
        Ok(config)
    }

    /// Sizes of a model without grouped keys; `keys` are those of layers, heads, width, neurons and context.
    fn older_sizes(&self, keys: [&str; 5]) -> Result<Sizes> {
        let [n_layers, n_heads, d_model, d_mlp, n_ctx] = keys;
        let (n_heads, d_model) = (self.width(n_heads)?, self.width(d_model)?);
        Ok(Sizes {
            n_layers: self.n_layers(n_layers)?,
            n_heads,
            n_key_value_heads: n_heads,
            d_model,
            d_head: self.d_head("head_dim", d_model, n_heads)?,
            d_mlp: self.optional_width(d_mlp)?.unwrap_or(4 * d_model),
            d_vocab: self.vocabulary("vocab_size")?,
            n_ctx: self.size(n_ctx)?,
        })
    }

    fn gpt2(&self) -> Result<Config> {
        let sizes = self.older_sizes(["n_layer", "n_head", "n_embd", "n_inner", "n_positions"])?;
        let act_fn = self.activation("activation_function")?;
        let mut config = self.older(sizes, self.layer_norm("layer_norm_epsilon")?, act_fn)?;
        if !self.flag("scale_attn_weights", true)? {
            config.attention.scale = 1.0;
        }
        // `reorder_and_upcast_attn` only asks for the order of operations that is used here anyway
        config.attention.scale_by_layer = self.flag("scale_attn_by_inverse_layer_idx", false)?;
        Ok(config)
    }

    fn gpt_neo(&self) -> Result<Config> {
        let context = "max_position_embeddings";
        let keys = [
            "num_layers",
            "num_heads",
            "hidden_size",
            "intermediate_size",
            context,
        ];
        let act_fn = self.activation("activation_function")?;
        let norm = self.layer_norm("layer_norm_epsilon")?;
        let mut config = self.older(self.older_sizes(keys)?, norm, act_fn)?;
        config.attention.scale = 1.0;
        config.attention.qkv_bias = false;
        config.attention.windows = self.gpt_neo_windows(config.n_layers)?;
        Ok(config)
    }

    /// `attention_types` is `[[["global", "local"], 6]]`: kinds and how often they repeat.
    fn gpt_neo_windows(&self, n_layers: usize) -> Result<Vec<Option<usize>>> {
        let bad = || {
            let expected = format!("lists of `global` and `local` that give {n_layers} layers");
            self.bad("attention_types", expected)
        };
        let types = self
            .list("attention_types")?
            .ok_or_else(|| self.missing("attention_types"))?;
        let mut kinds = Vec::new();
        for item in types {
            let (list, times) = match item.as_array().map(Vec::as_slice) {
                Some([Value::Array(list), times]) => (list, times.as_u64().ok_or_else(bad)?),
                _ => return Err(bad()),
            };
            for _ in 0..times.min(n_layers as u64) {
                kinds.extend(list.iter().map(Value::as_str));
                if kinds.len() > n_layers {
                    return Err(bad());
                }
            }
        }
        if kinds.len() != n_layers {
            return Err(bad());
        }
        let window = self.optional_size("window_size")?;
        let window = window.ok_or_else(|| self.missing("window_size"))?;
        kinds
            .into_iter()
            .map(|kind| match kind {
                Some("global") => Ok(None),
                Some("local") => Ok(Some(window)),
                _ => Err(bad()),
            })
            .collect()
    }

    fn opt(&self) -> Result<Config> {
        let affine = match self.flag("layer_norm_elementwise_affine", true)? {
            true => Affine::WeightBias,
            false => Affine::None,
        };
        let norm = NormConfig {
            kind: NormKind::Layer,
            affine,
            eps: TORCH_EPS,
        };
        let (layers, heads) = ("num_hidden_layers", "num_attention_heads");
        let keys = [
            layers,
            heads,
            "hidden_size",
            "ffn_dim",
            "max_position_embeddings",
        ];
        let act_fn = self.activation("activation_function")?;
        let mut config = self.older(self.older_sizes(keys)?, norm, act_fn)?;
        config.position = Position::Learned { offset: 2 };
        config.d_embed = self
            .optional_width("word_embed_proj_dim")?
            .unwrap_or(config.d_model);
        if !self.flag("do_layer_norm_before", true)? {
            config.layout = Layout::ResidualNorm;
            config.final_norm = None;
        }
        if self.flag("_remove_final_layer_norm", false)? {
            config.final_norm = None;
        }
        let bias = self.flag("enable_bias", true)?;
        config.attention.qkv_bias = bias;
        config.attention.out_bias = bias;
        config.mlp_bias = bias;
        Ok(config)
    }

    /// TransformerLens' own config. Its loader takes ε = 1e-5 whatever the file says.
    fn transformer_lens(&self) -> Result<Config> {
        for key in ["attn_only", "gated_mlp", "parallel_attn_mlp"] {
            if self.flag(key, false)? {
                return Err(self.bad(key, "false"));
            }
        }
        let norm = |key| -> Result<NormConfig> {
            let (kind, affine) = match self.text(key)? {
                Some("LN") => (NormKind::Layer, Affine::WeightBias),
                Some("LNPre") => (NormKind::Layer, Affine::None),
                Some("RMS") => (NormKind::Rms, Affine::Weight),
                Some("RMSPre") => (NormKind::Rms, Affine::None),
                _ => return Err(self.bad(key, "one of LN, LNPre, RMS, RMSPre")),
            };
            Ok(NormConfig {
                kind,
                affine,
                eps: TORCH_EPS,
            })
        };
        let norm = match self.get("normalization") {
            Some(_) => norm("normalization")?,
            None => norm("normalization_type")?,
        };
        let act_fn = match self.text("act_fn")? {
            Some("solu_ln") => Activation::SoluLn,
            Some("gelu") => Activation::Gelu,
            Some("gelu_new") => Activation::GeluTanh,
            Some("relu") => Activation::Relu,
            Some("silu") => Activation::Silu,
            _ => return Err(self.bad("act_fn", "one of solu_ln, gelu, gelu_new, relu, silu")),
        };
        let position = match self.text("positional_embedding_type")? {
            None if self.flag("shortformer_pos", false)? => Position::Shortformer,
            Some("shortformer") => Position::Shortformer,
            None | Some("standard") => Position::Learned { offset: 0 },
            Some(_) => {
                let expected = "`standard` or `shortformer`";
                return Err(self.bad("positional_embedding_type", expected));
            }
        };
        let final_norm = match self.flag("final_rms", false)? {
            false => norm,
            true => NormConfig {
                kind: NormKind::Rms,
                affine: match norm.affine {
                    Affine::None => Affine::None,
                    _ => Affine::Weight,
                },
                ..norm
            },
        };
        let n_heads = self.width("n_heads")?;
        let sizes = Sizes {
            n_layers: self.n_layers("n_layers")?,
            n_heads,
            n_key_value_heads: n_heads,
            d_model: self.width("d_model")?,
            d_head: self.width("d_head")?,
            d_mlp: self.width("d_mlp")?,
            d_vocab: self.vocabulary("d_vocab")?,
            n_ctx: self.size("n_ctx")?,
        };
        let mut config = self.plain(sizes, norm, act_fn, position)?;
        config.final_norm = Some(final_norm);
        config.attention.qkv_bias = true;
        config.attention.out_bias = true;
        config.mlp_bias = true;
        config.unembed_bias = true;
        Ok(config)
    }
}
