//! What each family calls its tensors, and what stands around its names in a checkpoint.

use std::collections::HashMap;

use crate::model::config::{Config, Family, Layout};

/// Parts of a name that PyTorch adds when a module, or one inside it, is compiled, sharded or recomputed.
const COMPILED: [&str; 3] = [
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
];

/// Names without what compiling put into them, unless that makes one name of two.
pub(super) fn uncompiled<T>(tensors: HashMap<String, T>) -> HashMap<String, T> {
    let clean = |name: &String| {
        let parts = name.split('.').filter(|part| !COMPILED.contains(part));
        parts.collect::<Vec<_>>().join(".")
    };
    let names: std::collections::HashSet<String> = tensors.keys().map(clean).collect();
    match names.len() == tensors.len() {
        true => {
            let renamed = tensors
                .into_iter()
                .map(|(name, tensor)| (clean(&name), tensor));
            renamed.collect()
        }
        false => tensors,
    }
}

/// What all names begin with, up to and with a dot.
pub(super) fn shared_prefix<'n>(names: impl Iterator<Item = &'n String>) -> String {
    let modules = names.map(|name| &name[..name.rfind('.').map_or(0, |dot| dot + 1)]);
    let shared = modules.reduce(|a, b| {
        let parts = a.split_inclusive('.').zip(b.split_inclusive('.'));
        let same = parts.take_while(|(a, b)| a == b);
        &a[..same.map(|(part, _)| part.len()).sum()]
    });
    shared.unwrap_or_default().to_owned()
}

/// How query, key and value are stored.
#[derive(Clone, Copy)]
pub(super) enum Qkv {
    /// A matrix each.
    Apart([&'static str; 3]),
    /// One matrix, queries above keys above values.
    Rows(&'static str),
    /// One matrix, for each head its queries, keys and values.
    Heads(&'static str),
}

/// How the MLP's input matrices are stored.
#[derive(Clone, Copy)]
pub(super) enum MlpIn {
    Plain(&'static str),
    Gated {
        gate: &'static str,
        input: &'static str,
    },
    /// One matrix, gates above inputs.
    GateAndInput(&'static str),
}

/// Names of a family, without `.weight` and `.bias`. Those of a block stand behind the block's own prefix.
#[derive(Clone, Copy)]
pub(super) struct Names {
    /// What stands before all but the unembedding; the first that fits.
    pub(super) prefixes: &'static [&'static str],
    /// What stands before a block's number.
    pub(super) layers: &'static str,
    /// With its parameter, if that is not `weight`.
    pub(super) embed: &'static str,
    pub(super) positions: &'static str,
    pub(super) attention_norm: &'static str,
    pub(super) attention_out_norm: &'static str,
    pub(super) mlp_norm: &'static str,
    pub(super) mlp_out_norm: &'static str,
    pub(super) final_norm: &'static str,
    pub(super) qkv: Qkv,
    pub(super) attention_out: &'static str,
    pub(super) query_norm: &'static str,
    pub(super) key_norm: &'static str,
    pub(super) mlp_in: MlpIn,
    pub(super) mlp_out: &'static str,
    pub(super) unembed: &'static str,
    /// Whether matrices are stored `[in, out]`.
    pub(super) transposed: bool,
}

const LLAMA: Names = Names {
    prefixes: &["model.", ""],
    layers: "layers.",
    embed: "embed_tokens",
    positions: "",
    attention_norm: "input_layernorm",
    attention_out_norm: "",
    mlp_norm: "post_attention_layernorm",
    mlp_out_norm: "",
    final_norm: "norm",
    qkv: Qkv::Apart(["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]),
    attention_out: "self_attn.o_proj",
    query_norm: "self_attn.q_norm",
    key_norm: "self_attn.k_norm",
    mlp_in: MlpIn::Gated {
        gate: "mlp.gate_proj",
        input: "mlp.up_proj",
    },
    mlp_out: "mlp.down_proj",
    unembed: "lm_head",
    transposed: false,
};

const OLMO2: Names = Names {
    attention_out_norm: "post_attention_layernorm",
    mlp_norm: "",
    mlp_out_norm: "post_feedforward_layernorm",
    ..LLAMA
};

const GEMMA2: Names = Names {
    attention_out_norm: "post_attention_layernorm",
    mlp_norm: "pre_feedforward_layernorm",
    mlp_out_norm: "post_feedforward_layernorm",
    ..LLAMA
};

const GEMMA3: Names = Names {
    prefixes: &[
        "model.language_model.",
        "language_model.model.",
        "model.",
        "",
    ],
    ..GEMMA2
};

const PHI: Names = Names {
    attention_out: "self_attn.dense",
    query_norm: "self_attn.q_layernorm",
    key_norm: "self_attn.k_layernorm",
    mlp_in: MlpIn::Plain("mlp.fc1"),
    mlp_out: "mlp.fc2",
    final_norm: "final_layernorm",
    ..LLAMA
};

const PHI3: Names = Names {
    qkv: Qkv::Rows("self_attn.qkv_proj"),
    mlp_in: MlpIn::GateAndInput("mlp.gate_up_proj"),
    ..LLAMA
};

const STABLELM: Names = Names {
    query_norm: "self_attn.q_layernorm.norms",
    key_norm: "self_attn.k_layernorm.norms",
    ..LLAMA
};

const GPT_NEOX: Names = Names {
    prefixes: &["gpt_neox.", ""],
    embed: "embed_in",
    final_norm: "final_layer_norm",
    qkv: Qkv::Heads("attention.query_key_value"),
    attention_out: "attention.dense",
    mlp_in: MlpIn::Plain("mlp.dense_h_to_4h"),
    mlp_out: "mlp.dense_4h_to_h",
    unembed: "embed_out",
    ..LLAMA
};

const GPT2: Names = Names {
    prefixes: &["transformer.", ""],
    layers: "h.",
    embed: "wte",
    positions: "wpe",
    attention_norm: "ln_1",
    mlp_norm: "ln_2",
    final_norm: "ln_f",
    qkv: Qkv::Rows("attn.c_attn"),
    attention_out: "attn.c_proj",
    mlp_in: MlpIn::Plain("mlp.c_fc"),
    mlp_out: "mlp.c_proj",
    transposed: true,
    ..LLAMA
};

const GPT_NEO: Names = Names {
    qkv: Qkv::Apart([
        "attn.attention.q_proj",
        "attn.attention.k_proj",
        "attn.attention.v_proj",
    ]),
    attention_out: "attn.attention.out_proj",
    transposed: false,
    ..GPT2
};

const OPT: Names = Names {
    prefixes: &["model.decoder.", "decoder.", ""],
    positions: "embed_positions",
    attention_norm: "self_attn_layer_norm",
    attention_out_norm: "self_attn_layer_norm",
    mlp_norm: "final_layer_norm",
    mlp_out_norm: "final_layer_norm",
    final_norm: "final_layer_norm",
    attention_out: "self_attn.out_proj",
    mlp_in: MlpIn::Plain("fc1"),
    mlp_out: "fc2",
    ..LLAMA
};

/// TransformerLens names single tensors; only what has the shape of the others is here.
const TRANSFORMER_LENS: Names = Names {
    prefixes: &[""],
    layers: "blocks.",
    embed: "embed.W_E",
    attention_norm: "ln1",
    mlp_norm: "ln2",
    final_norm: "ln_final",
    ..LLAMA
};

impl Names {
    /// The full name of the embedding, prefix included.
    pub(super) fn embedding(&self, prefix: &str) -> String {
        match self.embed.contains('.') {
            true => format!("{prefix}{}", self.embed),
            false => format!("{prefix}{}.weight", self.embed),
        }
    }

    pub(super) fn of(family: Family) -> Self {
        match family {
            Family::Gpt2 => GPT2,
            Family::GptNeo => GPT_NEO,
            Family::GptNeox => GPT_NEOX,
            Family::TransformerLens => TRANSFORMER_LENS,
            Family::Opt => OPT,
            Family::Olmo2 => OLMO2,
            Family::Gemma2 => GEMMA2,
            Family::Gemma3 => GEMMA3,
            Family::Phi => PHI,
            Family::Phi3 => PHI3,
            Family::StableLm => STABLELM,
            Family::Llama
            | Family::Mistral
            | Family::Olmo
            | Family::Qwen2
            | Family::Qwen3
            | Family::Gemma => LLAMA,
        }
    }
}

/// Which norms a layout has: before and behind the attention, before and behind the MLP.
pub(super) fn norms(layout: Layout) -> [bool; 4] {
    match layout {
        Layout::PreNorm | Layout::Parallel => [true, false, true, false],
        Layout::ParallelSharedNorm => [true, false, false, false],
        Layout::PostNorm | Layout::ResidualNorm => [false, true, false, true],
        Layout::Sandwich => [true; 4],
    }
}

/// Whether a tensor may be in a checkpoint though the model does not use it: constants that older versions stored,
/// a copy of tied weights, and the image half of Gemma 3.
pub(super) fn is_idle(config: &Config, name: &str) -> bool {
    const CONSTANTS: [&str; 9] = [
        ".attn.bias",
        ".attn.masked_bias",
        ".attn.attention.bias",
        ".attn.attention.masked_bias",
        ".attention.bias",
        ".attention.masked_bias",
        ".rotary_emb.inv_freq",
        ".attn.mask",
        ".attn.IGNORE",
    ];
    const IMAGES: [&str; 4] = [
        "vision_tower.",
        "multi_modal_projector.",
        "model.vision_tower.",
        "model.multi_modal_projector.",
    ];
    let unembed = Names::of(config.family).unembed;
    let tied_copy = || {
        let module = name.strip_suffix(".weight");
        module.is_some_and(|module| {
            module == unembed || module == format!("language_model.{unembed}")
        })
    };
    CONSTANTS.iter().any(|constant| name.ends_with(constant))
        || (config.tied && tied_copy())
        || (config.family == Family::Gemma3 && IMAGES.iter().any(|part| name.starts_with(part)))
}
