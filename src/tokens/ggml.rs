//! `tokenizer.json` made from the vocabulary in a GGUF file.

use serde_json::{Map, Value, json};

use super::error::TokenizerError;
use super::json::{added_token, bpe, byte_level, pair, write};

/// Kinds of tokens in a GGUF file.
const UNKNOWN: i32 = 2;
const CONTROL: i32 = 3;
const USER_DEFINED: i32 = 4;

/// The longest token of a GGUF vocabulary, in bytes.
const MOST_TOKEN: usize = 4 << 10;

/// Largest sum of the squared lengths of SentencePiece's tokens; the time to find their merges is proportional to it.
const MOST_SPLIT: usize = 1 << 30;

/// Contractions, as most tokenizers after GPT-2 split them off.
const CONTRACTIONS: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)";

/// A vocabulary as a GGUF file has it (`tokenizer.ggml.*`).
#[derive(Clone, Debug, Default)]
pub struct GgmlVocabulary {
    /// `gpt2` for byte-level BPE, `llama` for SentencePiece.
    pub model: String,
    /// Name of the pre-tokenizer.
    pub pre_tokenizer: Option<String>,
    /// The tokens.
    pub tokens: Vec<String>,
    /// Their kinds.
    pub kinds: Vec<i32>,
    /// SentencePiece's scores of them.
    pub scores: Vec<f32>,
    /// Merges, best first, each two tokens with a space between.
    pub merges: Vec<String>,
    /// Id of the BOS.
    pub bos: Option<u32>,
    /// Id of the token for characters without one.
    pub unknown: Option<u32>,
    /// Whether texts begin with a BOS.
    pub add_bos: Option<bool>,
    /// Whether a space is put in front of texts.
    pub add_space_prefix: Option<bool>,
}

impl GgmlVocabulary {
    /// The tokenizer in the format of Hugging Face's file.
    pub fn tokenizer_json(&self) -> Result<Vec<u8>, TokenizerError> {
        let too_long = |token: &String| token.len() > MOST_TOKEN;
        if let Some(id) = self.tokens.iter().position(too_long) {
            let length = self.tokens[id].len();
            return Err(TokenizerError::Syntax(format!(
                "its token {id} is {length} bytes long; the most is {MOST_TOKEN}"
            )));
        }
        let (normalizer, pre_tokenizer, decoder, model) = match self.model.as_str() {
            "gpt2" => {
                if self.merges.is_empty() {
                    let what = "it has no merges (`tokenizer.ggml.merges`), which say how its tokens are made";
                    return Err(TokenizerError::Syntax(what.into()));
                }
                let (normalizer, pre_tokenizer, ignore_merges) = self.byte_level()?;
                let merges = self.merges.iter().map(|merge| pair(merge)).collect();
                let mut model = bpe(self.vocab(), merges);
                model["ignore_merges"] = ignore_merges.into();
                (normalizer, pre_tokenizer, json!(byte_level(false)), model)
            }
            "llama" => self.sentence_piece()?,
            other => {
                let what = format!("the kind `{other}` (known are `gpt2` and `llama`)");
                return Err(TokenizerError::Syntax(what));
            }
        };
        let bos = self.bos.and_then(|id| self.tokens.get(id as usize));
        let post_processor = match (self.adds_bos(), self.bos, bos) {
            (true, _, None) => {
                let what = "it puts a BOS in front of texts (`tokenizer.ggml.add_bos_token`), but `tokenizer.ggml.bos_token_id` is not the id of a token";
                return Err(TokenizerError::Syntax(what.into()));
            }
            (true, Some(id), Some(token)) => json!({
                "type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
            }),
            _ => Value::Null,
        };
        let kinds = self.kinds.iter().zip(&self.tokens).enumerate();
        let added = kinds.filter(|(_, (kind, _))| [CONTROL, USER_DEFINED].contains(kind));
        let added = added.map(|(id, (kind, token))| added_token(id, token, *kind == CONTROL));
        write(json!({
            "version": "1.0", "truncation": null, "padding": null,
            "added_tokens": added.collect::<Vec<_>>(),
            "normalizer": normalizer, "pre_tokenizer": pre_tokenizer, "post_processor": post_processor,
            "decoder": decoder, "model": model,
        }))
    }

    /// Whether texts begin with a BOS. Where the file does not say, llama.cpp adds one for SentencePiece's vocabularies and for
    /// those of Llama 3 and Mistral's Tekken.
    fn adds_bos(&self) -> bool {
        let with_bos = ["llama3", "llama-v3", "llama-bpe", "tekken"];
        let pre_tokenizer = self.pre_tokenizer.as_deref().unwrap_or_default();
        let usual = self.model == "llama" || with_bos.contains(&pre_tokenizer);
        self.add_bos.unwrap_or(usual)
    }

    fn vocab(&self) -> Map<String, Value> {
        let tokens = self.tokens.iter().enumerate();
        tokens
            .map(|(id, token)| (token.clone(), id.into()))
            .collect()
    }

    /// Normalizer, pre-tokenizer, and whether a word that is a token stays one whatever the merges are.
    fn byte_level(&self) -> Result<(Value, Value, bool), TokenizerError> {
        let split = |pattern: String| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let by_regex = |pattern: String| json!({"type": "Sequence", "pretokenizers": [split(pattern), byte_level(false)]});
        // words, numbers of so many digits, and the rest
        let modern = |digits: &str| {
            format!(
                r"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )
        };
        // words that change from upper to lower case once
        let cased = |digits: &str, contractions: &str| {
            let (upper, lower) = (
                r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
                r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]",
            );
            let before = r"[^\r\n\p{L}\p{N}]?";
            format!(
                r"{before}{upper}*{lower}+{contractions}|{before}{upper}+{lower}*{contractions}|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            )
        };
        let optional = format!("{CONTRACTIONS}?");
        let nfc = json!({"type": "NFC"});
        Ok(match self.pre_tokenizer.as_deref().unwrap_or("default") {
            "gpt-2" | "phi-2" | "jais" => (Value::Null, json!(byte_level(true)), false),
            // these come from one tokenizer, GPT-NeoX's, which composes characters first
            "olmo" | "gpt-neox" | "mpt" => (nfc, json!(byte_level(true)), false),
            "smollm" | "starcoder" | "refact" | "codeshell" => {
                let digits = json!({"type": "Digits", "individual_digits": true});
                let both = json!({"type": "Sequence", "pretokenizers": [digits, byte_level(true)]});
                (Value::Null, both, false)
            }
            "llama3" | "llama-v3" | "llama-bpe" => {
                (Value::Null, by_regex(modern(r"\p{N}{1,3}")), true)
            }
            "dbrx" | "smaug-bpe" => (Value::Null, by_regex(modern(r"\p{N}{1,3}")), false),
            "qwen2" | "deepseek-r1-qwen" | "stablelm2" => (nfc, by_regex(modern(r"\p{N}")), false),
            "tekken" => (Value::Null, by_regex(cased(r"\p{N}", "")), true),
            "gpt-4o" => (
                Value::Null,
                by_regex(cased(r"\p{N}{1,3}", &optional)),
                false,
            ),
            other => return Err(TokenizerError::UnknownPreTokenizer(other.to_owned())),
        })
    }

    /// Normalizer, pre-tokenizer, decoder and model of a SentencePiece vocabulary: BPE whose merges are ordered by the scores of
    /// the tokens that they make.
    fn sentence_piece(&self) -> Result<(Value, Value, Value, Value), TokenizerError> {
        if self.scores.len() != self.tokens.len() {
            let (scores, tokens) = (self.scores.len(), self.tokens.len());
            return Err(TokenizerError::Syntax(format!(
                "it has {scores} scores for {tokens} tokens"
            )));
        }
        let cost: usize = self.tokens.iter().map(|token| token.len().pow(2)).sum();
        if cost > MOST_SPLIT {
            return Err(TokenizerError::Syntax(format!(
                "it has too many long tokens: the squares of their lengths add up to {cost}; the most is {MOST_SPLIT}"
            )));
        }
        let vocab = self.vocab();
        let id = |piece: &str| vocab.get(piece).and_then(Value::as_u64);
        let mut merges: Vec<(f32, usize, [u64; 2], [&str; 2])> = Vec::new();
        for (token, &score) in self.tokens.iter().zip(&self.scores) {
            for (at, _) in token.char_indices().skip(1) {
                let (left, right) = token.split_at(at);
                if let (Some(l), Some(r)) = (id(left), id(right)) {
                    merges.push((score, left.chars().count(), [l, r], [left, right]));
                }
            }
        }
        // the best first; where a token has several, that of the longer first half, as transformers sorts them
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
        let merges = merges.into_iter().map(|(_, _, _, [l, r])| json!([l, r]));
        let unknown = self.unknown.map(|id| id as usize).or_else(|| {
            let is_unknown = |kind: &i32| *kind == UNKNOWN;
            self.kinds.iter().position(is_unknown)
        });
        let mut model = bpe(vocab.clone(), merges.collect());
        model["unk_token"] = unknown.and_then(|id| self.tokens.get(id)).cloned().into();
        model["fuse_unk"] = true.into();
        model["byte_fallback"] = true.into();
        let spaces = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let prefix = json!({"type": "Prepend", "prepend": "▁"});
        let normalizers = match self.add_space_prefix.unwrap_or(true) {
            true => vec![prefix, spaces],
            false => vec![spaces],
        };
        let decoder = json!({"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
        ]});
        let normalizer = json!({"type": "Sequence", "normalizers": normalizers});
        Ok((normalizer, Value::Null, decoder, model))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(vocabulary: &GgmlVocabulary, what: &str) {
        let error = vocabulary.tokenizer_json().unwrap_err().to_string();
        assert!(error.contains(what), "{error}");
    }

    fn llama() -> GgmlVocabulary {
        let tokens: Vec<String> = ["<unk>", "<s>", "a", "b", "ab"].map(String::from).into();
        GgmlVocabulary {
            model: "llama".into(),
            scores: vec![0.0; tokens.len()],
            tokens,
            bos: Some(1),
            ..GgmlVocabulary::default()
        }
    }

    #[test]
    fn tokens_of_any_length_cost_little_time() {
        let mut vocabulary = llama();
        vocabulary.tokens[4] = "a".repeat(MOST_TOKEN);
        assert!(vocabulary.tokenizer_json().is_ok());
        vocabulary.tokens[4].push('a');
        refused(&vocabulary, "its token 4 is 4097 bytes long");
        let long = (0..80).map(|i| format!("{i}{}", "a".repeat(MOST_TOKEN - 8)));
        vocabulary.tokens = long.collect();
        vocabulary.scores = vec![0.0; 80];
        refused(&vocabulary, "too many long tokens");
    }

    #[test]
    fn byte_pairs_need_merges() {
        let vocabulary = GgmlVocabulary {
            model: "gpt2".into(),
            pre_tokenizer: Some("gpt-2".into()),
            tokens: vec!["a".into(), "b".into(), "ab".into()],
            ..GgmlVocabulary::default()
        };
        refused(&vocabulary, "no merges");
        let merges = vec!["a b".to_owned()];
        let vocabulary = GgmlVocabulary {
            merges,
            ..vocabulary
        };
        assert!(vocabulary.tokenizer_json().is_ok());
    }

    #[test]
    fn a_bos_that_is_added_must_be_a_token() {
        for bos in [None, Some(5), Some(u32::MAX)] {
            let mut vocabulary = llama();
            (vocabulary.bos, vocabulary.add_bos) = (bos, Some(true));
            refused(&vocabulary, "bos_token_id");
            vocabulary.add_bos = Some(false);
            assert!(vocabulary.tokenizer_json().is_ok());
        }
    }
}
