//! A model's tokenizer, from its `tokenizer.json`.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::guard;
use crate::ids::TokenId;
use crate::mark;

use super::error::TokenizerError;
use super::json::token_name;
use super::long::{Encoded, Encoder, Sizes, Spans};
use super::vocabulary::Vocabulary;

/// Whether windows begin with a BOS token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum BosPolicy {
    /// If the model's tokenizer adds one, or its models are always run with one.
    #[default]
    Auto,
    /// Always, with the BOS that the model's files name.
    Always,
    /// Never.
    Never,
}

/// Sizes of the pieces in which long texts are encoded.
const SIZES: Sizes = Sizes {
    pre_token: 64 << 10,
    context: 2 << 10,
};

/// The BOS that a tokenizer puts in front of a text.
fn added_bos(inner: &tokenizers::Tokenizer) -> Result<Option<TokenId>, TokenizerError> {
    let encode = |special| {
        // the crate panics on a post-processor that names a token which it does not define
        let encoding = guard::run(|| inner.encode_fast("a", special));
        let encoding = encoding.ok_or_else(|| {
            TokenizerError::Syntax("its post-processor names what it does not define".into())
        })?;
        let encoding = encoding.map_err(|error| TokenizerError::Encode(error.to_string()))?;
        Ok(encoding.get_ids().to_vec())
    };
    let (with, without): (Vec<u32>, Vec<u32>) = (encode(true)?, encode(false)?);
    Ok(match with.split_first() {
        // an EOS after the text is not a BOS
        Some((first, rest)) if !without.is_empty() && rest.starts_with(&without) => {
            Some(TokenId(*first))
        }
        _ => None,
    })
}

/// The kind of a step, or those of its parts.
fn kinds(step: &impl Serialize) -> Option<String> {
    let step = serde_json::to_value(step).ok()?;
    let kind = |step: &Value| Some(step.get("type")?.as_str()?.to_owned());
    let parts = ["pretokenizers", "normalizers"];
    match parts.iter().find_map(|part| step.get(part)?.as_array()) {
        Some(parts) => Some(parts.iter().filter_map(kind).collect::<Vec<_>>().join(", ")),
        None => kind(&step),
    }
}

/// A tokenizer and its vocabulary.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    vocabulary: Vocabulary,
    /// The BOS that `tokenizer_config.json` names.
    named_bos: Option<TokenId>,
    /// The BOS that the tokenizer puts in front of a text.
    added_bos: Option<TokenId>,
    /// Where long words can be cut; computed for the first one.
    spans: OnceLock<Option<Spans>>,
}

impl Tokenizer {
    /// Reads `tokenizer.json`, and `tokenizer_config.json` if there is one. The latter names the BOS, and decides whether one is
    /// added if it says so.
    pub fn from_json(bytes: &[u8], config: Option<&[u8]>) -> Result<Self, TokenizerError> {
        // read as a value first: on what is not JSON at all, the tokenizers crate panics
        let syntax = |error: serde_json::Error| TokenizerError::Syntax(error.to_string());
        let mut value: Value = serde_json::from_slice(mark::without(bytes)).map_err(syntax)?;
        // dropout leaves out merges at random, which is for training
        if let Some(model) = value.get_mut("model").and_then(Value::as_object_mut) {
            model.remove("dropout");
        }
        let mut inner: tokenizers::Tokenizer = serde_json::from_value(value).map_err(syntax)?;
        // a stored tokenizer may cut or pad what it encodes, which a corpus must not be
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|error| TokenizerError::Syntax(error.to_string()))?;
        let vocabulary = Vocabulary::of(&inner)?;
        let config: Value = match config {
            Some(config) => serde_json::from_slice(mark::without(config)).map_err(syntax)?,
            None => Value::Null,
        };
        let named_bos = config.get("bos_token").and_then(token_name);
        let named_bos = named_bos
            .and_then(|token| inner.token_to_id(token))
            .map(TokenId);
        let added_bos = match config.get("add_bos_token").and_then(Value::as_bool) {
            Some(false) => None,
            Some(true) if named_bos.is_some() => named_bos,
            _ => added_bos(&inner)?,
        };
        Ok(Self {
            inner,
            vocabulary,
            named_bos,
            added_bos,
            spans: OnceLock::new(),
        })
    }

    /// Token ids of a text, without the special tokens that the tokenizer puts around it.
    pub fn encode(&self, text: &str) -> Result<Vec<TokenId>, TokenizerError> {
        self.encode_document(text).map(|encoded| encoded.tokens)
    }

    /// Token ids of a text of any length, in little memory, and the number of cuts inside pre-tokens.
    pub fn encode_document(&self, text: &str) -> Result<Encoded, TokenizerError> {
        self.encode_in(text, SIZES, false)
    }

    /// Token ids like those of [`encode_document`](Self::encode_document), and the places of the tokens in the text.
    pub fn encode_with_places(&self, text: &str) -> Result<Encoded, TokenizerError> {
        self.encode_in(text, SIZES, true)
    }

    fn encode_in(
        &self,
        text: &str,
        sizes: Sizes,
        with_places: bool,
    ) -> Result<Encoded, TokenizerError> {
        if text.len() <= sizes.pre_token {
            let encoding = match with_places {
                true => self.inner.encode(text, false),
                false => self.inner.encode_fast(text, false),
            };
            let encoding = encoding.map_err(|error| TokenizerError::Encode(error.to_string()))?;
            let tokens = encoding.get_ids().iter().map(|&id| TokenId(id)).collect();
            let places = encoding.get_offsets().iter();
            let places = places.map(|&(start, end)| start..end);
            return Ok(Encoded {
                tokens,
                n_cuts: 0,
                places: places.filter(|_| with_places).collect(),
            });
        }
        let spans = self.spans.get_or_init(|| Spans::of(self.inner.get_model()));
        let encoder = Encoder {
            inner: &self.inner,
            spans: spans.as_ref(),
            sizes,
            with_places,
        };
        encoder.encode(text)
    }

    /// The BOS token under a policy; `bos_token_id` is the model's own, `expected` whether its models are always run
    /// with one.
    pub fn bos(
        &self,
        policy: BosPolicy,
        bos_token_id: Option<u32>,
        expected: bool,
    ) -> Result<Option<TokenId>, TokenizerError> {
        let any = || {
            self.added_bos
                .or(bos_token_id.map(TokenId))
                .or(self.named_bos)
        };
        match policy {
            BosPolicy::Never => Ok(None),
            BosPolicy::Auto if !expected => Ok(self.added_bos),
            BosPolicy::Auto | BosPolicy::Always => any().map(Some).ok_or(TokenizerError::NoBos),
        }
    }

    /// The BOS that the tokenizer puts in front of every text.
    pub fn added_bos(&self) -> Option<TokenId> {
        self.added_bos
    }

    /// The tokens that are taken out of a text before it is split, by id, and whether they are special.
    pub fn added_tokens(&self) -> Vec<(TokenId, String, bool)> {
        let added = self.inner.get_added_tokens_decoder();
        let added = added
            .into_iter()
            .map(|(id, token)| (TokenId(id), token.content, token.special));
        let mut added: Vec<_> = added.collect();
        added.sort();
        added
    }

    /// The kinds of its normalizer, its pre-tokenizer and its model.
    pub fn kinds(&self) -> [Option<String>; 3] {
        let model = serde_json::to_value(self.inner.get_model());
        let model = model
            .ok()
            .and_then(|model| Some(model.get("type")?.as_str()?.to_owned()));
        [
            self.inner.get_normalizer().and_then(kinds),
            self.inner.get_pre_tokenizer().and_then(kinds),
            model,
        ]
    }

    /// Bytes and kinds of the tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Fails unless every token has an embedding. Added ones may lack it: Gemma 3's has one for images, which its small
    /// text models cannot read.
    pub fn check_fits(&self, d_vocab: usize) -> Result<(), TokenizerError> {
        let added = self.inner.get_added_tokens_decoder();
        match self.vocabulary.largest_id(|id| !added.contains_key(&id)) {
            Some(largest) if largest as usize >= d_vocab => {
                Err(TokenizerError::TooLarge { largest, d_vocab })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokenizer(name: &str) -> Tokenizer {
        let path = format!(
            "{}/tests/conformance/{name}/tokenizer.json",
            env!("CARGO_MANIFEST_DIR")
        );
        Tokenizer::from_json(&std::fs::read(path).unwrap(), None).unwrap()
    }

    #[test]
    fn a_bos_is_added_as_the_policy_says() {
        let (with, without) = (tokenizer("llama"), tokenizer("gpt2"));
        let bos = |t: &Tokenizer, policy, id, expected| {
            t.bos(policy, id, expected).ok().map(|bos| bos.map(|b| b.0))
        };
        assert_eq!(bos(&with, BosPolicy::Auto, Some(7), false), Some(Some(0)));
        assert_eq!(bos(&with, BosPolicy::Never, Some(7), true), Some(None));
        assert_eq!(bos(&without, BosPolicy::Auto, Some(7), false), Some(None));
        assert_eq!(bos(&without, BosPolicy::Auto, Some(7), true), Some(Some(7)));
        assert_eq!(
            bos(&without, BosPolicy::Always, Some(7), false),
            Some(Some(7))
        );
        assert_eq!(bos(&without, BosPolicy::Always, None, false), None);
    }

    #[test]
    fn added_tokens_may_lack_an_embedding() {
        let path = format!(
            "{}/tests/conformance/gpt2/tokenizer.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let mut image = json["added_tokens"][0].clone();
        (image["id"], image["content"]) = (290.into(), "<image>".into());
        json["added_tokens"].as_array_mut().unwrap().push(image);
        let tokenizer = Tokenizer::from_json(json.to_string().as_bytes(), None).unwrap();
        assert!(tokenizer.check_fits(290).is_ok());
        assert!(tokenizer.check_fits(289).is_err());
    }

    #[test]
    fn dropout_is_off() {
        let path = format!(
            "{}/tests/conformance/gpt2/tokenizer.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut json: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let text = "the text sees ".repeat(50);
        let expected = tokenizer("gpt2").encode(&text).unwrap();
        for dropout in [0.5, 1.0] {
            json["model"]["dropout"] = dropout.into();
            let found = Tokenizer::from_json(json.to_string().as_bytes(), None).unwrap();
            assert_eq!(found.encode(&text).unwrap(), expected);
        }
    }

    #[test]
    fn the_config_of_a_tokenizer_has_the_last_word_on_its_bos() {
        let read = |name: &str, config: &str| {
            let path = format!(
                "{}/tests/conformance/{name}/tokenizer.json",
                env!("CARGO_MANIFEST_DIR")
            );
            let tokenizer =
                Tokenizer::from_json(&std::fs::read(path).unwrap(), Some(config.as_bytes()));
            tokenizer.unwrap().added_bos().map(|bos| bos.0)
        };
        assert_eq!(read("llama", "{}"), Some(0));
        assert_eq!(read("llama", r#"{"add_bos_token": false}"#), None);
        assert_eq!(read("gpt2", r#"{"bos_token": "<|bos|>"}"#), None);
        let object = r#"{"add_bos_token": true, "bos_token": {"content": "<|bos|>"}}"#;
        assert_eq!(read("gpt2", object), Some(0));
    }

    proptest! {
        #[test]
        fn tokens_spell_the_text(text in any::<String>()) {
            let tokenizer = tokenizer("gpt2");
            let ids = tokenizer.encode(&text).unwrap();
            let bytes: Vec<u8> = ids.iter().flat_map(|id| tokenizer.vocabulary().bytes(*id).unwrap().to_vec()).collect();
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }
}
