use super::*;
use crate::hint::Hint;
use crate::tokens::Tokenizer;

const TEXT: &str = "<|im_start|>the text<tool> sees<pad>";

fn fixture(name: &str) -> Value {
    let path = format!(
        "{}/tests/conformance/{name}/tokenizer.json",
        env!("CARGO_MANIFEST_DIR")
    );
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn token(content: &str, special: bool) -> Value {
    json!({"content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": special})
}

/// The tokenizer of a folder whose files are these.
fn tokenizer(json: &Value, files: [Value; 4]) -> Tokenizer {
    let files = files.map(|file| (!file.is_null()).then(|| file.to_string()));
    let [tokenizer_config, special_tokens_map, added_tokens, config] = files
        .each_ref()
        .map(|file| file.as_deref().map(str::as_bytes));
    let beside = TokenizerFiles {
        tokenizer_config,
        special_tokens_map,
        added_tokens,
        config,
    };
    let merged = beside.apply(json.to_string().as_bytes()).unwrap();
    Tokenizer::from_json(&merged.json, Some(&merged.config)).unwrap()
}

fn ids(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    let ids = tokenizer.encode(text).unwrap();
    ids.iter().map(|id| id.0).collect()
}

// the ids are those that transformers 5.24 gives for folders with the same files

#[test]
fn tokens_are_added_from_all_files_that_can_hold_them() {
    let class = json!({"tokenizer_class": "PreTrainedTokenizerFast"});
    let with = |more: Value| {
        let mut config = class.clone();
        config
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        config
    };
    let llama = json!({"model_type": "llama"});
    let none = Value::Null;
    let decoder = |first: &str, second: &str| json!({"added_tokens_decoder": {"0": token("<|bos|>", true), first: token("<|im_start|>", true), second: token("<tool>", false)}});
    let mut named = decoder("290", "291");
    named["pad_token"] = "<pad>".into();
    let list = json!({"additional_special_tokens": ["<|im_start|>"], "image_token": "<pad>", "extra_special_tokens": []});
    let dict = json!({"extra_special_tokens": {"image_token": "<pad>", "b_token": "<tool>"}});
    let map = json!({"pad_token": "<pad>", "bos_token": token("<|bos|>", true), "additional_special_tokens": ["<|im_start|>"]});
    let start = [28, 92, 73, 77, 63, 83, 84, 65, 82, 84, 92, 30];
    let tool = [28, 84, 79, 79, 76, 30];
    let cases: [([Value; 3], Vec<u32>, &[u32]); 6] = [
        (
            [with(named), none.clone(), none.clone()],
            vec![290, 283, 262, 291, 269, 292],
            &[0, 290, 292],
        ),
        // ids follow from the order
        (
            [with(decoder("300", "295")), none.clone(), none.clone()],
            vec![291, 283, 262, 290, 269, 28, 80, 65, 68, 30],
            &[0, 291],
        ),
        (
            [class.clone(), map, json!({"<tool>": 290})],
            vec![292, 283, 262, 290, 269, 291],
            &[0, 291, 292],
        ),
        (
            [
                none.clone(),
                json!({"pad_token": "<pad>"}),
                json!({"<tool>": 291, "<|im_start|>": 290}),
            ],
            vec![290, 283, 262, 291, 269, 292],
            &[0, 292],
        ),
        (
            [with(dict), none.clone(), none.clone()],
            [&start[..], &[283, 262, 291, 269, 290]].concat(),
            &[0, 290, 291],
        ),
        (
            [with(list), none.clone(), none.clone()],
            [&[291, 283, 262], &tool[..], &[269, 290]].concat(),
            &[0, 290, 291],
        ),
    ];
    for ([config, map, added], expected, special) in cases {
        let tokenizer = tokenizer(
            &fixture("gpt2"),
            [config.clone(), map, added, llama.clone()],
        );
        let found: Vec<u32> = ids(&tokenizer, TEXT);
        assert_eq!(found, expected, "{config}");
        let added = tokenizer.added_tokens().into_iter();
        let found: Vec<u32> = added
            .filter(|token| token.2)
            .map(|token| token.0.0)
            .collect();
        assert_eq!(found, special, "{config}");
    }
}

#[test]
fn a_token_of_the_vocabulary_can_be_made_special() {
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "the"});
    let files = [
        config,
        Value::Null,
        Value::Null,
        json!({"model_type": "llama"}),
    ];
    let tokenizer = tokenizer(&fixture("gpt2"), files);
    assert_eq!(ids(&tokenizer, "see the text"), [265, 221, 283, 262]);
    assert!(tokenizer.vocabulary().is_special(crate::ids::TokenId(283)));
}

#[test]
fn the_flags_count_as_in_transformers() {
    let with_space = vec![260, 262, 269];
    let without = vec![283, 262, 269];
    let class = |name: &str, prefix: Value| json!({"tokenizer_class": name, "add_prefix_space": prefix, "add_bos_token": true, "add_eos_token": true, "bos_token": "<|bos|>"});
    let cases = [
        (
            "gpt2",
            "gpt2",
            json!({"add_prefix_space": true}),
            &with_space,
            None,
        ),
        (
            "gpt2",
            "llama",
            class("GPT2Tokenizer", true.into()),
            &with_space,
            None,
        ),
        (
            "gpt2",
            "phi",
            class("CodeGenTokenizer", true.into()),
            &with_space,
            None,
        ),
        (
            "gpt2",
            "gpt_neox",
            class("GPTNeoXTokenizer", true.into()),
            &with_space,
            None,
        ),
        (
            "gpt2",
            "qwen2",
            class("Qwen2TokenizerFast", true.into()),
            &with_space,
            None,
        ),
        (
            "gpt2",
            "olmo2",
            class("GPT2Tokenizer", true.into()),
            &without,
            None,
        ),
        (
            "gpt2",
            "mistral",
            class("LlamaTokenizer", true.into()),
            &without,
            None,
        ),
        (
            "gpt2",
            "llama",
            class("PreTrainedTokenizerFast", true.into()),
            &without,
            None,
        ),
        (
            "gpt2",
            "opt",
            class("GPT2Tokenizer", false.into()),
            &without,
            None,
        ),
        // what is put around a text stands in tokenizer.json
        (
            "llama",
            "gpt2",
            class("GPT2Tokenizer", Value::Null),
            &without,
            Some(0),
        ),
        (
            "llama",
            "llama",
            json!({"tokenizer_class": "LlamaTokenizerFast", "bos_token": "<|bos|>", "add_bos_token": false, "add_prefix_space": true}),
            &without,
            Some(0),
        ),
        (
            "llama",
            "gpt_neox",
            class("GPTNeoXTokenizerFast", Value::Null),
            &without,
            None,
        ),
    ];
    for (name, model_type, config, expected, bos) in cases {
        let files = [
            config.clone(),
            Value::Null,
            Value::Null,
            json!({"model_type": model_type}),
        ];
        let tokenizer = tokenizer(&fixture(name), files);
        assert_eq!(&ids(&tokenizer, "the text sees"), expected, "{config}");
        assert_eq!(tokenizer.added_bos().map(|bos| bos.0), bos, "{config}");
    }
    let mut json = fixture("gpt2");
    json["pre_tokenizer"]["add_prefix_space"] = true.into();
    for config in [Value::Null, class("GPT2Tokenizer", false.into())] {
        let files = [
            config,
            Value::Null,
            Value::Null,
            json!({"model_type": "gpt2"}),
        ];
        assert_eq!(ids(&tokenizer(&json, files), "the text sees"), without);
    }
}

#[test]
fn of_two_lists_of_special_tokens_the_one_of_the_config_counts() {
    let config = json!({"tokenizer_class": "PreTrainedTokenizerFast", "additional_special_tokens": ["<tool>"]});
    let map = json!({"additional_special_tokens": ["<|im_start|>"]});
    let files = [config, map, Value::Null, Value::Null];
    let added = tokenizer(&fixture("gpt2"), files).added_tokens();
    let names: Vec<&str> = added.iter().map(|token| token.1.as_str()).collect();
    assert_eq!(names, ["<|bos|>", "<tool>"]);
}

#[test]
fn special_tokens_that_are_to_be_split_are_refused() {
    let apply = |split: bool| {
        let config = json!({ "split_special_tokens": split }).to_string();
        let beside = TokenizerFiles {
            tokenizer_config: Some(config.as_bytes()),
            ..TokenizerFiles::default()
        };
        beside.apply(fixture("gpt2").to_string().as_bytes())
    };
    assert!(apply(false).is_ok());
    let error = apply(true).unwrap_err();
    assert!(error.to_string().contains("split_special_tokens"));
    assert!(error.hint().is_some());
}

#[test]
fn code_llama_has_the_flag_of_llama() {
    let config = json!({"tokenizer_class": "CodeLlamaTokenizer"});
    let found = class(
        config.as_object().unwrap(),
        &Map::new(),
        &json!({"pre_tokenizer": {"type": "Metaspace"}}),
    );
    assert_eq!(found, Some(Class::Llama));
}

#[test]
fn a_space_of_sentence_piece_follows_the_flag() {
    let prepend = json!({"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, {"type": "NFC"}]});
    let mut json = json!({"normalizer": prepend, "pre_tokenizer": null, "post_processor": null});
    let config = |prefix: bool| -> Map<String, Value> {
        serde_json::from_value(json!({ "add_prefix_space": prefix })).unwrap()
    };
    assert!(!set_flags(&mut json, Class::Llama, &config(true)));
    assert!(set_flags(&mut json, Class::Llama, &config(false)));
    assert_eq!(
        json["normalizer"]["normalizers"].as_array().unwrap().len(),
        1
    );
    assert!(set_flags(&mut json, Class::Llama, &config(true)));
    json["pre_tokenizer"] = json!({"type": "Metaspace", "prepend_scheme": "always"});
    assert!(set_flags(&mut json, Class::Llama, &config(false)));
    assert_eq!(json["pre_tokenizer"]["prepend_scheme"], "never");
}

#[test]
fn files_that_say_nothing_new_leave_the_bytes_and_marks_are_no_part_of_them() {
    let json = fixture("gpt2").to_string();
    let config = br#"{"bos_token": "<|bos|>", "tokenizer_class": "PreTrainedTokenizerFast"}"#;
    let marked = ["\u{feff}".as_bytes(), config].concat();
    let beside = TokenizerFiles {
        tokenizer_config: Some(&marked),
        ..TokenizerFiles::default()
    };
    let with_mark = format!("\u{feff}{json}");
    let found = beside.apply(with_mark.as_bytes()).unwrap();
    assert!(found.json == json.as_bytes());
    assert_eq!(found.config, br#"{"bos_token":"<|bos|>"}"#);
    let damaged = TokenizerFiles {
        added_tokens: Some(b"[1"),
        ..TokenizerFiles::default()
    };
    let error = damaged.apply(json.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("`added_tokens.json`"), "{error}");
}
