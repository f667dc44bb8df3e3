//! `tokenizer.json` and its parts, made from the files of older folders.

use serde_json::{Map, Value, json};

use crate::mark;

use super::error::TokenizerError;

/// Makes a byte-level tokenizer from `vocab.json` and `merges.txt`; `tokenizer_config.json` names its special tokens.
pub(super) fn byte_level_json(
    vocab: &[u8],
    merges: &[u8],
    config: Option<&[u8]>,
) -> Result<Vec<u8>, TokenizerError> {
    let syntax = |error: serde_json::Error| TokenizerError::Syntax(error.to_string());
    let vocab: Map<String, Value> = serde_json::from_slice(mark::without(vocab)).map_err(syntax)?;
    let merges = String::from_utf8_lossy(mark::without(merges));
    let lines = merges
        .lines()
        .filter(|line| !line.starts_with("#version") && !line.is_empty());
    let merges = lines.map(pair).collect();
    let config: Value = match config {
        Some(config) => serde_json::from_slice(mark::without(config)).map_err(syntax)?,
        None => Value::Null,
    };
    let named = ["bos_token", "eos_token", "unk_token", "pad_token"];
    let named = named.iter().filter_map(|key| token_name(config.get(key)?));
    let mut added: Vec<(usize, String)> = named
        .filter_map(|token| Some((vocab.get(token)?.as_u64()? as usize, token.to_owned())))
        .collect();
    added.sort();
    added.dedup();
    let added: Vec<Value> = added
        .iter()
        .map(|(id, token)| added_token(*id, token, true))
        .collect();
    let add_space = config.get("add_prefix_space") == Some(&Value::Bool(true));
    let mut pre_tokenizer = byte_level(true);
    pre_tokenizer["add_prefix_space"] = add_space.into();
    write(json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": added, "normalizer": null,
        "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": byte_level(false),
        "model": bpe(vocab, merges),
    }))
}

/// The content of a token in a config: the value itself, or a field of an object with the token's properties.
pub(super) fn token_name(value: &Value) -> Option<&str> {
    value.as_str().or_else(|| value.get("content")?.as_str())
}

/// Writes a tokenizer as a file.
pub(super) fn write(tokenizer: Value) -> Result<Vec<u8>, TokenizerError> {
    serde_json::to_vec(&tokenizer).map_err(|error| TokenizerError::Syntax(error.to_string()))
}

/// A merge: two tokens with a space between them.
pub(super) fn pair(merge: &str) -> Value {
    // byte-level tokens have no space in them, so the first one parts the two
    let (left, right) = merge.split_once(' ').unwrap_or((merge, ""));
    json!([left, right])
}

/// A BPE model.
pub(super) fn bpe(vocab: Map<String, Value>, merges: Vec<Value>) -> Value {
    json!({
        "type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
        "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
        "vocab": vocab, "merges": merges,
    })
}

/// The byte-level pre-tokenizer and decoder.
pub(super) fn byte_level(use_regex: bool) -> Value {
    json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex})
}

/// A token that is taken out of a text before it is split.
pub(super) fn added_token(id: usize, content: &str, special: bool) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
        "special": special,
    })
}
