//! The keys of `config.json`, with errors that name them.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use super::{Activation, Family, Rope, RopeScaling};
use crate::ids::{MOST_LAYERS, MOST_VOCAB, MOST_WIDTH};
use crate::model::error::ModelError;

/// More than any window, and any number without a limit of its own; what is claimed beyond that would only take memory.
const MOST: u64 = 1 << 24;

/// Characters of a value that an error shows.
pub(super) const MOST_SHOWN: usize = 100;

/// An object of `config.json`.
#[derive(Clone, Copy)]
pub(super) struct Raw<'a> {
    pub(super) map: &'a Map<String, Value>,
    pub(super) family: Family,
    /// Names of the objects around it, each with a dot.
    pub(super) within: &'a str,
}

/// A value as an error shows it.
fn shown(value: &Value) -> String {
    let whole = value.to_string();
    match whole.char_indices().nth(MOST_SHOWN) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Fails if the file says that the weights are quantised: for transformers, or by MLX.
pub(super) fn check_quantisation(map: &Map<String, Value>) -> Result<(), ModelError> {
    for key in ["quantization_config", "compression_config", "quantization"] {
        let Some(Value::Object(about)) = map.get(key).filter(|about| **about != json!({})) else {
            continue;
        };
        let set = |key: &str| about.get(key) == Some(&Value::Bool(true));
        let method = match about.get("quant_method") {
            Some(method) => shown(method).trim_matches('"').to_owned(),
            None if set("load_in_4bit") || set("load_in_8bit") => "bitsandbytes".to_owned(),
            None if key == "quantization" => "MLX".to_owned(),
            None => "by a method that is not named".to_owned(),
        };
        let bits = match (set("load_in_4bit"), set("load_in_8bit")) {
            (true, _) => ", 4 bit",
            (_, true) => ", 8 bit",
            _ => "",
        };
        return Err(ModelError::Quantised {
            method: method + bits,
            sign: format!("`config.json` says so in `{key}`"),
        });
    }
    match map.get("text_config") {
        Some(Value::Object(inside)) => check_quantisation(inside),
        _ => Ok(()),
    }
}

impl<'a> Raw<'a> {
    fn path(&self, key: &str) -> String {
        format!("{}{key}", self.within)
    }

    pub(super) fn bad(&self, key: &str, expected: impl Into<String>) -> ModelError {
        ModelError::BadKey {
            key: self.path(key),
            found: self.map.get(key).map_or("missing".to_owned(), shown),
            expected: expected.into(),
        }
    }

    pub(super) fn missing(&self, key: &str) -> ModelError {
        ModelError::MissingKey {
            key: self.path(key),
            family: self.family.name().to_owned(),
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn whole_number(
        &self,
        key: &str,
        range: RangeInclusive<u64>,
    ) -> Result<Option<usize>, ModelError> {
        let number = |value: &Value| {
            let number = value.as_u64().filter(|n| range.contains(n));
            let (least, most) = (range.start(), range.end());
            let expected = || self.bad(key, format!("a whole number from {least} to {most}"));
            number.map(|n| n as usize).ok_or_else(expected)
        };
        self.get(key).map(number).transpose()
    }

    fn needed(&self, key: &str, most: u32) -> Result<usize, ModelError> {
        let number = self.whole_number(key, 1..=most.into())?;
        number.ok_or_else(|| self.missing(key))
    }

    /// A number that may be 0.
    pub(super) fn optional_count(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.whole_number(key, 0..=MOST)
    }

    pub(super) fn optional_size(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.whole_number(key, 1..=MOST)
    }

    pub(super) fn optional_width(&self, key: &str) -> Result<Option<usize>, ModelError> {
        self.whole_number(key, 1..=MOST_WIDTH.into())
    }

    /// Number of blocks.
    pub(super) fn n_layers(&self, key: &str) -> Result<usize, ModelError> {
        self.needed(key, MOST_LAYERS)
    }

    /// Number of heads or neurons, or the width of something.
    pub(super) fn width(&self, key: &str) -> Result<usize, ModelError> {
        self.needed(key, MOST_WIDTH)
    }

    /// Number of tokens.
    pub(super) fn vocabulary(&self, key: &str) -> Result<usize, ModelError> {
        self.needed(key, MOST_VOCAB)
    }

    /// How many heads share the keys and values of one.
    pub(super) fn n_key_value_heads(&self, key: &str, n_heads: usize) -> Result<usize, ModelError> {
        match self.optional_width(key)?.unwrap_or(n_heads) {
            n if n_heads.is_multiple_of(n) => Ok(n),
            _ => Err(self.bad(key, format!("a divisor of the number of heads, {n_heads}"))),
        }
    }

    pub(super) fn size(&self, key: &str) -> Result<usize, ModelError> {
        self.optional_size(key)?.ok_or_else(|| self.missing(key))
    }

    pub(super) fn optional_number(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let number = value.as_f64().filter(|n| *n > 0.0 && n.is_finite());
        number
            .map(Some)
            .ok_or_else(|| self.bad(key, "a positive number"))
    }

    pub(super) fn number(&self, key: &str) -> Result<f64, ModelError> {
        self.optional_number(key)?.ok_or_else(|| self.missing(key))
    }

    /// A switch that transformers itself defaults when it is absent.
    pub(super) fn flag(&self, key: &str, absent: bool) -> Result<bool, ModelError> {
        self.get(key).map_or(Ok(absent), |value| {
            value
                .as_bool()
                .ok_or_else(|| self.bad(key, "true or false"))
        })
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        self.get(key)
            .map(|value| value.as_str().ok_or_else(|| self.bad(key, "a name")))
            .transpose()
    }

    pub(super) fn list(&self, key: &str) -> Result<Option<&'a Vec<Value>>, ModelError> {
        self.get(key)
            .map(|value| value.as_array().ok_or_else(|| self.bad(key, "a list")))
            .transpose()
    }

    fn numbers(&self, key: &str) -> Result<Vec<f64>, ModelError> {
        let list = self.list(key)?.ok_or_else(|| self.missing(key))?;
        let numbers: Option<Vec<f64>> = list.iter().map(Value::as_f64).collect();
        numbers.ok_or_else(|| self.bad(key, "a list of numbers"))
    }

    /// An id, or the first of several.
    pub(super) fn token(&self, key: &str) -> Result<Option<u32>, ModelError> {
        let value = self.get(key).and_then(|value| match value {
            Value::Array(ids) => ids.first(),
            value => Some(value),
        });
        value
            .map(|id| {
                let id = id.as_u64().and_then(|id| u32::try_from(id).ok());
                id.ok_or_else(|| self.bad(key, "a token id"))
            })
            .transpose()
    }

    pub(super) fn d_head(
        &self,
        key: &str,
        d_model: usize,
        n_heads: usize,
    ) -> Result<usize, ModelError> {
        match self.optional_width(key)? {
            Some(d_head) => Ok(d_head),
            None if d_model.is_multiple_of(n_heads) => Ok(d_model / n_heads),
            None => Err(self.bad(
                key,
                format!("given, since {n_heads} heads do not divide d_model = {d_model}"),
            )),
        }
    }

    pub(super) fn activation(&self, key: &str) -> Result<Activation, ModelError> {
        match self.get(key).ok_or_else(|| self.missing(key))?.as_str() {
            Some("silu" | "swish") => Ok(Activation::Silu),
            Some("gelu") => Ok(Activation::Gelu),
            Some("gelu_new" | "gelu_pytorch_tanh" | "gelu_fast") => Ok(Activation::GeluTanh),
            Some("relu") => Ok(Activation::Relu),
            _ => Err(self.bad(key, "one of silu, gelu, gelu_new, gelu_pytorch_tanh, relu")),
        }
    }

    /// An object inside.
    pub(super) fn object(
        &self,
        key: &'static str,
        within: &'a str,
    ) -> Result<Option<Self>, ModelError> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        let map = value
            .as_object()
            .ok_or_else(|| self.bad(key, "an object"))?;
        Ok(Some(Self {
            map,
            within,
            ..*self
        }))
    }

    /// What describes the rotation: `rope_parameters` (transformers 5), or `rope_scaling` (earlier).
    pub(super) fn rope_object(&self) -> Result<Option<Self>, ModelError> {
        match self.object("rope_parameters", "rope_parameters.")? {
            Some(found) => Ok(Some(found)),
            None => self.object("rope_scaling", "rope_scaling."),
        }
    }

    /// `rope_theta`, in its own object or beside it.
    fn rope_theta(&self, object: Option<Self>, key: &str) -> Result<f64, ModelError> {
        if let Some(theta) = object
            .map(|o| o.optional_number("rope_theta"))
            .transpose()?
            .flatten()
        {
            return Ok(theta);
        }
        if let Some(theta) = self.optional_number(key)? {
            return Ok(theta);
        }
        match self.family {
            // 10,000 was no setting then, but in the code
            Family::Llama if self.older_than(4, 33) => Ok(10_000.0),
            _ => Err(self.missing(key)),
        }
    }

    /// Whether the file was written by a transformers before a version.
    fn older_than(&self, major: u32, minor: u32) -> bool {
        let version = self.get("transformers_version").and_then(Value::as_str);
        let numbers = version.and_then(|version| {
            let mut parts = version.split('.').map(str::parse::<u32>);
            Some((parts.next()?.ok()?, parts.next()?.ok()?))
        });
        numbers.is_some_and(|version| version < (major, minor))
    }

    /// The rotation; `object` holds its scaling, `theta_key` is where its base stands if not there.
    pub(super) fn rope(
        &self,
        object: Option<Self>,
        theta_key: &str,
        n_ctx: usize,
    ) -> Result<Rope, ModelError> {
        let theta = self.rope_theta(object, theta_key)?;
        let scaling = match object {
            Some(object) => object.rope_scaling(self, n_ctx)?,
            None => RopeScaling::Default,
        };
        Ok(Rope { theta, scaling })
    }

    fn rope_scaling(&self, outer: &Self, n_ctx: usize) -> Result<RopeScaling, ModelError> {
        let kind = match self.text("rope_type")? {
            Some(kind) => Some(kind),
            None => self.text("type")?,
        };
        // Phi-3 says it outside, and what stands there has precedence
        let original = |raw: &Self| match outer.optional_size("original_max_position_embeddings")? {
            Some(original) => Ok(original),
            None => raw.size("original_max_position_embeddings"),
        };
        match kind {
            None | Some("default") => Ok(RopeScaling::Default),
            Some("linear") => Ok(RopeScaling::Linear {
                factor: self.number("factor")?,
            }),
            // begins to work beyond `max_position_embeddings`, where no window reaches
            Some("dynamic") => Ok(RopeScaling::Default),
            Some("llama3") => Ok(RopeScaling::Llama3 {
                factor: self.number("factor")?,
                low_freq_factor: self.number("low_freq_factor")?,
                high_freq_factor: self.number("high_freq_factor")?,
                original: original(self)?,
            }),
            Some("su" | "longrope") => self.longrope(original(self)?, n_ctx),
            // Phi-3's first files call theirs so
            Some("yarn") if self.family == Family::Phi3 => self.longrope(original(self)?, n_ctx),
            Some("yarn") => self.yarn(original(self)?),
            Some(_) => Err(self.bad(
                if self.get("rope_type").is_some() {
                    "rope_type"
                } else {
                    "type"
                },
                "one of default, linear, dynamic, llama3, yarn, longrope",
            )),
        }
    }

    fn longrope(&self, original: usize, n_ctx: usize) -> Result<RopeScaling, ModelError> {
        let factor = match self.optional_number("factor")? {
            Some(factor) => factor,
            None => n_ctx as f64 / original as f64,
        };
        let attention_factor = match self.optional_number("attention_factor")? {
            Some(given) => given,
            None if factor <= 1.0 => 1.0,
            None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
        };
        Ok(RopeScaling::Long {
            short: self.numbers("short_factor")?,
            long: self.numbers("long_factor")?,
            attention_factor,
            original,
        })
    }

    fn yarn(&self, original: usize) -> Result<RopeScaling, ModelError> {
        let factor = self.number("factor")?;
        let scale = |m: f64| match factor <= 1.0 {
            true => 1.0,
            false => 0.1 * m * factor.ln() + 1.0,
        };
        let both = self
            .optional_number("mscale")?
            .zip(self.optional_number("mscale_all_dim")?);
        let attention_factor = match (self.optional_number("attention_factor")?, both) {
            (Some(given), _) => given,
            (None, Some((mscale, all))) => scale(mscale) / scale(all),
            (None, None) => scale(1.0),
        };
        Ok(RopeScaling::Yarn {
            factor,
            beta_fast: self.optional_number("beta_fast")?.unwrap_or(32.0),
            beta_slow: self.optional_number("beta_slow")?.unwrap_or(1.0),
            attention_factor,
            truncate: self.flag("truncate", true)?,
            original,
        })
    }
}
