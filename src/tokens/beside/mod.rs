//! Applies the files beside a `tokenizer.json` to it, as transformers 5 does.
//!
//! - Tokens are added from `added_tokens_decoder` in `tokenizer_config.json`; without it, from `special_tokens_map.json`
//!   and `added_tokens.json`; then the special tokens that `tokenizer_config.json` names.
//! - `add_prefix_space` counts for the classes of tokenizers that know it.
//! - `add_bos_token` and `add_eos_token` do not count: what is put around a text is in `tokenizer.json`.
//!
//! transformers builds the steps of some classes anew and forgets those of the file (SmolLM2's splitting of digits). Here
//! the steps of the file stay, since the model was trained with them; and the special tokens that a class names by itself
//! count only where the vocabulary has them.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use tokenizers::AddedToken;

use crate::mark;

use super::error::TokenizerError;
use super::json::{byte_level_json, token_name};

/// The special tokens that have names of their own, in transformers' order.
const NAMED: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// Lists of further special tokens.
const EXTRA: [&str; 2] = ["extra_special_tokens", "additional_special_tokens"];

/// The files beside a `tokenizer.json`, where they exist, and `config.json`.
#[derive(Clone, Copy, Debug, Default)]
pub struct TokenizerFiles<'a> {
    /// `tokenizer_config.json`
    pub tokenizer_config: Option<&'a [u8]>,
    /// `special_tokens_map.json`
    pub special_tokens_map: Option<&'a [u8]>,
    /// `added_tokens.json`
    pub added_tokens: Option<&'a [u8]>,
    /// `config.json`
    pub config: Option<&'a [u8]>,
}

/// A tokenizer with the changes from the files beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedTokenizer {
    /// `tokenizer.json`; its own bytes where the files change nothing.
    pub json: Vec<u8>,
    /// The rest of `tokenizer_config.json`.
    pub config: Vec<u8>,
}

impl TokenizerFiles<'_> {
    /// Applies these files to a tokenizer. The rest of its config is only the name of the BOS.
    pub fn apply(&self, json: &[u8]) -> Result<MergedTokenizer, TokenizerError> {
        let tokenizer_config = object("tokenizer_config.json", self.tokenizer_config)?;
        let bos = json!({ "bos_token": self.names(&tokenizer_config)?.get("bos_token") });
        Ok(MergedTokenizer {
            json: self.merged(json, &tokenizer_config, true)?,
            config: bos.to_string().into_bytes(),
        })
    }

    /// Makes a byte-level tokenizer from `vocab.json` and `merges.txt`, for which `add_bos_token` counts, and applies these files
    /// to it.
    pub fn apply_to_parts(
        &self,
        vocab: &[u8],
        merges: &[u8],
    ) -> Result<MergedTokenizer, TokenizerError> {
        let json = byte_level_json(vocab, merges, self.tokenizer_config)?;
        let mut config = object("tokenizer_config.json", self.tokenizer_config)?;
        let json = self.merged(&json, &config, false)?;
        if let Some(bos) = self.names(&config)?.remove("bos_token") {
            config.insert("bos_token".to_owned(), bos);
        }
        Ok(MergedTokenizer {
            json,
            config: Value::Object(config).to_string().into_bytes(),
        })
    }

    /// The special tokens that have names, as chat templates see them.
    pub fn special_tokens(&self) -> Result<BTreeMap<String, String>, TokenizerError> {
        let config = object("tokenizer_config.json", self.tokenizer_config)?;
        let names = self.names(&config)?;
        let token =
            |name: &&str| Some((name.to_string(), token_name(names.get(*name)?)?.to_owned()));
        Ok(NAMED.iter().filter_map(token).collect())
    }

    /// The chat template in `tokenizer_config.json`; of several, the one called `default`.
    pub fn chat_template(&self) -> Result<Option<String>, TokenizerError> {
        let mut config = object("tokenizer_config.json", self.tokenizer_config)?;
        Ok(config.remove("chat_template").and_then(default_template))
    }

    fn merged(
        &self,
        json: &[u8],
        tokenizer_config: &Map<String, Value>,
        has_own_file: bool,
    ) -> Result<Vec<u8>, TokenizerError> {
        let syntax = |error: serde_json::Error| TokenizerError::Syntax(error.to_string());
        if tokenizer_config.get("split_special_tokens") == Some(&Value::Bool(true)) {
            return Err(TokenizerError::SplitsSpecialTokens);
        }
        let json = mark::without(json);
        let map: Map<String, Value> = serde_json::from_slice(json).map_err(syntax)?;
        let mut value = Value::Object(map);
        // whoever reads the config says what is wrong with it
        let config = object("config.json", self.config).unwrap_or_default();
        let class = class(tokenizer_config, &config, &value);
        let tokens = self.tokens(&value, tokenizer_config, class)?;
        let mut changed = !tokens.is_empty() && add(&mut value, tokens)?;
        if let Some(class) = class.filter(|_| has_own_file) {
            changed |= set_flags(&mut value, class, tokenizer_config);
        }
        match changed {
            false => Ok(json.to_vec()),
            true => serde_json::to_vec(&value).map_err(syntax),
        }
    }

    /// The names in the files, those of the special tokens among them.
    fn names(&self, config: &Map<String, Value>) -> Result<Map<String, Value>, TokenizerError> {
        let mut names = config.clone();
        if !config.contains_key("added_tokens_decoder") {
            let map = object("special_tokens_map.json", self.special_tokens_map)?;
            // of two lists, the config's counts; of two names, the map's
            let has_list = EXTRA
                .iter()
                .any(|name| config.get(*name).is_some_and(is_filled));
            let counts = |name: &str| name != "additional_special_tokens" || !has_list;
            let known =
                |name: &str| NAMED.contains(&name) || (EXTRA.contains(&name) && counts(name));
            names.extend(map.into_iter().filter(|(name, _)| known(name)));
        }
        Ok(names)
    }

    /// The tokens that these files name, in the order in which transformers adds them.
    fn tokens(
        &self,
        tokenizer: &Value,
        config: &Map<String, Value>,
        class: Option<Class>,
    ) -> Result<Vec<AddedToken>, TokenizerError> {
        let mut names = self.names(config)?;
        for (name, token) in class.map_or(&[][..], Class::names) {
            let is_in_vocabulary = tokenizer["model"]["vocab"].get(token).is_some();
            if is_in_vocabulary && names.get(*name).is_none() {
                names.insert((*name).to_owned(), (*token).into());
            }
        }
        let own = tokenizer.get("added_tokens").and_then(Value::as_array);
        let own: Vec<AddedToken> = own
            .into_iter()
            .flatten()
            .filter_map(|token| added_token(token, false))
            .collect();
        let mut listed: BTreeMap<u64, AddedToken> = BTreeMap::new();
        if let Some(decoder) = config
            .get("added_tokens_decoder")
            .and_then(Value::as_object)
        {
            for (id, token) in decoder {
                let id = id.parse().map_err(|_| {
                    let what = format!("`{id}` in `added_tokens_decoder` is not the id of a token");
                    TokenizerError::Beside("tokenizer_config.json", what)
                })?;
                listed.extend(added_token(token, false).map(|token| (id, token)));
            }
        } else {
            let added = object("added_tokens.json", self.added_tokens)?;
            let special: Vec<String> = special(&names)
                .into_iter()
                .map(|token| token.content)
                .collect();
            for (token, id) in added {
                let Some(id) = id.as_u64() else {
                    let what = format!("the id of `{token}` is not a number");
                    return Err(TokenizerError::Beside("added_tokens.json", what));
                };
                let is_special = special.contains(&token);
                listed.insert(id, AddedToken::from(token, is_special));
            }
            // where both list an id, the tokenizer's own file has the last word
            let ids = tokenizer.get("added_tokens").and_then(Value::as_array);
            for token in ids.into_iter().flatten() {
                let id = token.get("id").and_then(Value::as_u64);
                id.and_then(|id| listed.remove(&id));
            }
        }
        let mut tokens: Vec<AddedToken> = listed.into_values().collect();
        tokens.retain(|token| !own.contains(token));
        for token in special(&names) {
            let is_it = |other: &&mut AddedToken| other.content == token.content;
            if let Some(listed) = tokens.iter_mut().find(is_it) {
                listed.special = true;
            } else if !own.iter().any(|other| other.content == token.content) {
                tokens.push(token);
            }
        }
        Ok(tokens)
    }
}

/// The chat template in a value: it is a text, or the one called `default` in a list.
pub fn default_template(value: Value) -> Option<String> {
    match value {
        Value::String(template) => Some(template),
        Value::Array(templates) => templates.into_iter().find_map(|mut named| {
            let is_default = named.get("name")? == "default";
            let template = named.get_mut("template").map(Value::take)?;
            match template {
                Value::String(template) if is_default => Some(template),
                _ => None,
            }
        }),
        _ => None,
    }
}

/// Whether a list or an object has something in it.
fn is_filled(value: &Value) -> bool {
    let is_empty =
        value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(Map::is_empty);
    !is_empty && !value.is_null()
}

/// The special tokens that a config names.
fn special(names: &Map<String, Value>) -> Vec<AddedToken> {
    let named = NAMED.iter().filter_map(|name| names.get(*name));
    let own = names.iter().filter(|(name, value)| {
        name.ends_with("_token") && !NAMED.contains(&name.as_str()) && !value.is_boolean()
    });
    let extra = EXTRA.iter().find_map(|name| {
        let value = names.get(*name)?;
        is_filled(value).then_some(value)
    });
    let extra: Vec<&Value> = match extra {
        Some(Value::Array(tokens)) => tokens.iter().collect(),
        Some(Value::Object(tokens)) => tokens.values().collect(),
        _ => Vec::new(),
    };
    let all = named.chain(own.map(|(_, value)| value)).chain(extra);
    let all = all.filter_map(|token| added_token(token, true));
    all.filter(|token| !token.content.is_empty()).collect()
}

/// A token in a config: a string, or an object with its properties.
fn added_token(value: &Value, special: bool) -> Option<AddedToken> {
    let content = token_name(value)?;
    let flag = |name: &str| value.get(name).and_then(Value::as_bool);
    let special = special || flag("special").unwrap_or(false);
    let token = AddedToken::from(content, special)
        .single_word(flag("single_word").unwrap_or(false))
        .lstrip(flag("lstrip").unwrap_or(false))
        .rstrip(flag("rstrip").unwrap_or(false));
    Some(match flag("normalized") {
        Some(normalized) => token.normalized(normalized),
        None => token,
    })
}

/// Adds tokens to a tokenizer; returns whether that changed it. Ids follow from the order, as in transformers.
fn add(value: &mut Value, tokens: Vec<AddedToken>) -> Result<bool, TokenizerError> {
    let syntax = |error: serde_json::Error| TokenizerError::Syntax(error.to_string());
    let mut inner: tokenizers::Tokenizer = serde_json::from_value(value.clone()).map_err(syntax)?;
    let before = inner.get_added_tokens_decoder();
    inner
        .add_tokens(tokens)
        .map_err(|error| TokenizerError::Syntax(error.to_string()))?;
    let after = inner.get_added_tokens_decoder();
    if before == after {
        return Ok(false);
    }
    let mut after: Vec<_> = after.into_iter().collect();
    after.sort_by_key(|(id, _)| *id);
    let after = after.into_iter().map(|(id, token)| {
        let mut value = json!({ "id": id });
        if let (Some(object), Ok(Value::Object(token))) =
            (value.as_object_mut(), serde_json::to_value(token))
        {
            object.extend(token);
        }
        value
    });
    value["added_tokens"] = after.collect();
    Ok(true)
}

/// The token between texts of GPT-2.
const END: &str = "<|endoftext|>";

/// Classes of tokenizers whose flags count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Gpt2,
    GptNeoX,
    Qwen2,
    Llama,
}

impl Class {
    /// The special tokens that it has where no file names any.
    fn names(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Gpt2 => &[("bos_token", END), ("eos_token", END)],
            Self::GptNeoX => &[
                ("bos_token", END),
                ("eos_token", END),
                ("pad_token", "<|padding|>"),
            ],
            Self::Qwen2 => &[("eos_token", END), ("pad_token", END)],
            Self::Llama => &[
                ("bos_token", "<s>"),
                ("eos_token", "</s>"),
                ("unk_token", "<unk>"),
            ],
        }
    }
}

/// The class that transformers' `AutoTokenizer` chooses, if it is one whose flags count.
fn class(
    tokenizer_config: &Map<String, Value>,
    config: &Map<String, Value>,
    tokenizer: &Value,
) -> Option<Class> {
    let text = |object: &Map<String, Value>, key: &str| {
        object.get(key).and_then(Value::as_str).map(str::to_owned)
    };
    let declared = text(tokenizer_config, "tokenizer_class");
    let declared = declared.or_else(|| text(config, "tokenizer_class"));
    let declared = declared.map(|name| name.strip_suffix("Fast").unwrap_or(&name).to_owned());
    let model_type = text(config, "model_type").unwrap_or_default();
    let registered = match model_type.as_str() {
        "gpt2" | "gpt_neo" | "gptj" | "opt" | "phi" | "codegen" => Some("GPT2Tokenizer"),
        "gpt_neox" | "olmo" | "olmoe" => Some("GPTNeoXTokenizer"),
        "qwen2" | "qwen3" | "qwen2_moe" | "qwen3_moe" => Some("Qwen2Tokenizer"),
        "gemma" | "gemma2" | "gemma3" | "gemma3_text" => Some("GemmaTokenizer"),
        "mistral" | "phi3" | "olmo2" | "olmo3" | "stablelm" => Some("TokenizersBackend"),
        _ => None,
    };
    let is_byte_level = || {
        let steps = [tokenizer.get("pre_tokenizer"), tokenizer.get("decoder")];
        let steps = steps.into_iter().flatten();
        steps
            .map(Value::to_string)
            .any(|step| step.contains("\"ByteLevel\""))
    };
    let name = match (declared.as_deref(), registered) {
        (Some("LlamaTokenizer" | "CodeLlamaTokenizer"), _) if is_byte_level() => return None,
        (Some(_), Some("TokenizersBackend")) => return None,
        (Some(_), Some(registered)) if model_type == "qwen2" => registered,
        (Some(declared), _) => declared,
        (None, registered) => registered?,
    };
    match name {
        "GPT2Tokenizer" | "CodeGenTokenizer" => Some(Class::Gpt2),
        "GPTNeoXTokenizer" => Some(Class::GptNeoX),
        "Qwen2Tokenizer" => Some(Class::Qwen2),
        "LlamaTokenizer" | "CodeLlamaTokenizer" => Some(Class::Llama),
        _ => None,
    }
}

/// Sets the flags of a tokenizer's class; returns whether that changed anything.
fn set_flags(tokenizer: &mut Value, class: Class, config: &Map<String, Value>) -> bool {
    let prefix = config.get("add_prefix_space").and_then(Value::as_bool);
    let before = (
        tokenizer["pre_tokenizer"].clone(),
        tokenizer["normalizer"].clone(),
        tokenizer["post_processor"].clone(),
    );
    match class {
        Class::Gpt2 | Class::GptNeoX | Class::Qwen2 => {
            let mut step = &mut tokenizer["pre_tokenizer"];
            // Qwen's is the last of two, which gets the words one by one
            if class == Class::Qwen2 && step["type"] == "Sequence" {
                let last = step["pretokenizers"].as_array_mut();
                match last.and_then(|steps| steps.last_mut()) {
                    Some(last) => step = last,
                    None => return false,
                }
            }
            if step["type"] == "ByteLevel" {
                step["add_prefix_space"] = prefix.unwrap_or(false).into();
            }
        }
        Class::Llama => {
            if let Some(prefix) = prefix {
                set_prefix(tokenizer, prefix);
            }
        }
    }
    // transformers builds what this class puts around a text anew, without the flags that it dropped before
    if class == Class::GptNeoX && adds_tokens(&tokenizer["post_processor"]) {
        tokenizer["post_processor"] = Value::Null;
    }
    let after = (
        &tokenizer["pre_tokenizer"],
        &tokenizer["normalizer"],
        &tokenizer["post_processor"],
    );
    (&before.0, &before.1, &before.2) != after
}

/// Whether a post-processor puts tokens around a text.
fn adds_tokens(post_processor: &Value) -> bool {
    !(post_processor.is_null() || post_processor["type"] == "ByteLevel")
}

/// Whether SentencePiece's space stands in front of a text: a step of the normalizer, or the pre-tokenizer's.
fn set_prefix(tokenizer: &mut Value, prefix: bool) {
    let is_prepend = |step: &Value| step["type"] == "Prepend";
    let is_metaspace = tokenizer["pre_tokenizer"]["type"] == "Metaspace";
    if is_metaspace {
        let step = &mut tokenizer["pre_tokenizer"];
        if (step["prepend_scheme"] != "never") != prefix {
            step["prepend_scheme"] = if prefix { "first" } else { "never" }.into();
        }
        return;
    }
    let steps = tokenizer.pointer_mut("/normalizer/normalizers");
    match steps.and_then(Value::as_array_mut) {
        Some(steps) if !prefix => steps.retain(|step| !is_prepend(step)),
        Some(steps) if !steps.iter().any(is_prepend) => {
            steps.insert(0, json!({"type": "Prepend", "prepend": "▁"}));
        }
        _ => (),
    }
}

/// Reads a file that must be a JSON object; a missing one is an empty object.
fn object(name: &'static str, bytes: Option<&[u8]>) -> Result<Map<String, Value>, TokenizerError> {
    match bytes {
        Some(bytes) => serde_json::from_slice(mark::without(bytes))
            .map_err(|error| TokenizerError::Beside(name, error.to_string())),
        None => Ok(Map::new()),
    }
}

#[cfg(test)]
mod tests;
