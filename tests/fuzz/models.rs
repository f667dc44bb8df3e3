//! Models: weights in each format, configs, tokenizers.

use std::fs;
use std::path::Path;

use candle_core::{DType, Device};
use neuroscope::load::{LoadError, ModelFiles};
use neuroscope::model::{Compute, Model};
use neuroscope::tokens::Tokenizer;
use serde_json::{Value, json};

use crate::attack::Attack;
use crate::mutate::{self, Random};
use crate::support::checkpoint::{GgufHeader, gguf_text};
use crate::support::model;

/// Bytes that reading one of the small models may take.
const MOST: usize = 64 << 20;

/// Reads config and weights of a model: every tensor.
fn read_weights(path: &Path) -> Result<(), LoadError> {
    let files = ModelFiles::open(path.to_str().unwrap())?;
    let config = files.config()?;
    files.weights_sha256()?;
    let checkpoint = files.checkpoint()?;
    let model = Model::load(
        config,
        &checkpoint,
        1,
        DType::F32,
        Compute::on(&Device::Cpu),
    );
    let model = model.map_err(|source| files.model_error(source))?;
    let unembedding = model.unembedding(&checkpoint);
    unembedding.map_err(|source| files.model_error(source))?;
    Ok(())
}

/// Reads the tokenizer of a model, which must fit its config, and tries it.
fn read_tokenizer(path: &Path) -> Result<(), LoadError> {
    let tokenizer = ModelFiles::open(path.to_str().unwrap())?.tokenizer()?;
    let _ = tokenizer.encode("naïve 漢字 <s> text");
    Ok(())
}

/// Attacks a file of a fixture.
fn attack_file(
    reader: &str,
    fixture: &str,
    file: &str,
    damage: impl Fn(&[u8], &mut Random) -> Vec<u8>,
) {
    let dir = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(model(fixture)).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), dir.path().join(entry.file_name())).unwrap();
    }
    let path = dir.path().join(file);
    let seed = fs::read(&path).unwrap_or_else(|_| b"{}".to_vec());
    let opened = match file {
        "model.gguf" => path.clone(),
        _ => dir.path().to_owned(),
    };
    let is_of_tokenizer = file.contains("token");
    let attack = Attack {
        reader,
        most: MOST,
        right: &seed,
        refuses: true,
    };
    attack.run(
        |random| damage(&seed, random),
        |input| {
            // a mapped file must not be changed under its map, so each input is a new one
            let _ = fs::remove_file(&path);
            fs::write(&path, input).unwrap();
            match is_of_tokenizer {
                true => read_tokenizer(&opened).into(),
                false => read_weights(&opened).into(),
            }
        },
    );
}

#[test]
fn safetensors() {
    attack_file(
        "safetensors",
        "gpt2",
        "model.safetensors",
        |seed, random| {
            let len = u64::from_le_bytes(seed[..8].try_into().unwrap()) as usize;
            if random.below(2) == 0 {
                return mutate::head(seed, 8 + len, random);
            }
            // a header that is read
            let header = mutate::json(&seed[8..8 + len], random);
            [
                &(header.len() as u64).to_le_bytes(),
                &header[..],
                &seed[8 + len..],
            ]
            .concat()
        },
    );
}

#[test]
fn safetensors_index() {
    attack_file(
        "safetensors-index",
        "gpt_neox",
        "model.safetensors.index.json",
        mutate::json,
    );
}

#[test]
fn gguf() {
    for fixture in ["qwen2_gguf", "gpt2", "phi", "llama3"] {
        attack_file(
            &format!("gguf-{fixture}"),
            fixture,
            "model.gguf",
            |seed, random| mutate::head(seed, 4096, random),
        );
    }
}

#[test]
fn pickle() {
    attack_file("pickle-zip", "gpt_neo", "pytorch_model.bin", mutate::bytes);
    attack_file("pickle-zip-phi", "phi", "pytorch_model.bin", mutate::bytes);
    // the program of the archive alone, in an archive that is right
    attack_file("pickle", "gpt_neo", "pytorch_model.bin", |seed, random| {
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(seed)).unwrap();
        let mut out = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default()
            .compression_method(zip::CompressionMethod::Stored);
        for at in 0..archive.len() {
            let mut entry = archive.by_index(at).unwrap();
            let name = entry.name().unwrap().into_owned();
            let mut bytes = Vec::new();
            std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
            if name.ends_with("data.pkl") {
                bytes = mutate::bytes(&bytes, random);
            }
            out.start_file(name, stored).unwrap();
            std::io::Write::write_all(&mut out, &bytes).unwrap();
        }
        out.finish().unwrap().into_inner()
    });
}

#[test]
fn config() {
    for fixture in ["llama", "gpt2", "solu", "phi3_long", "gemma3"] {
        attack_file(
            &format!("config-{fixture}"),
            fixture,
            "config.json",
            mutate::json,
        );
    }
}

#[test]
fn tokenizer() {
    for fixture in ["gpt2", "llama"] {
        let reader = format!("tokenizer-{fixture}");
        attack_file(&reader, fixture, "tokenizer.json", mutate::json);
    }
    // tokenizers cut as others cut, of a small vocabulary
    let parts: Vec<(&str, Value)> = vec![
        (
            "normalizer",
            json!({"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": " +"}, "content": " "}, {"type": "Prepend", "prepend": "x"}]}),
        ),
        (
            "pre_tokenizer",
            json!({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\s+|\\w+"}, "behavior": "Isolated", "invert": false}, {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}),
        ),
        (
            "post_processor",
            json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}),
        ),
    ];
    attack_file(
        "tokenizer-parts",
        "gpt2",
        "tokenizer.json",
        |seed, random| {
            let mut json: Value = serde_json::from_slice(seed).unwrap();
            for (name, part) in &parts {
                json[*name] = part.clone();
            }
            // the vocabulary is most of the file, and seldom what matters
            let (model, mut rest) = (json["model"].take(), json);
            rest = serde_json::from_slice(&mutate::json(rest.to_string().as_bytes(), random))
                .unwrap_or(Value::Null);
            if rest.is_object() {
                rest["model"] = model;
            }
            rest.to_string().into_bytes()
        },
    );
}

/// A GGUF file of a tokenizer alone: an array of texts is of type 9 and holds texts, of type 8.
fn gguf_tokenizer(kind: &str) -> Vec<u8> {
    let texts = |texts: &[String]| {
        let head = [
            8u32.to_le_bytes().to_vec(),
            (texts.len() as u64).to_le_bytes().to_vec(),
        ];
        [
            head.concat(),
            texts.iter().flat_map(|text| gguf_text(text)).collect(),
        ]
        .concat()
    };
    let numbers = |kind: u32, n: usize| {
        let head = [
            kind.to_le_bytes().to_vec(),
            (n as u64).to_le_bytes().to_vec(),
        ];
        [head.concat(), 1u32.to_le_bytes().repeat(n)].concat()
    };
    let mut tokens: Vec<String> = vec!["<unk>".into(), "<s>".into(), "▁a".into(), "Ġa".into()];
    tokens.extend(["ab", "!a"].map(String::from));
    tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
    tokens.extend(('!'..='~').map(String::from));
    let n = tokens.len();
    let number = |key, n: u32| (key, 4, n.to_le_bytes().to_vec());
    let merges = texts(&["a b".into(), "! a".into()]);
    let keys = vec![
        number("llama.attention.head_count", 1),
        number("llama.block_count", 1),
        number("llama.context_length", 8),
        number("llama.embedding_length", 4),
        number("llama.feed_forward_length", 4),
        number("llama.vocab_size", n as u32),
        (
            "llama.attention.layer_norm_rms_epsilon",
            6,
            1e-5f32.to_le_bytes().to_vec(),
        ),
        ("tokenizer.ggml.model", 8, gguf_text(kind)),
        ("tokenizer.ggml.pre", 8, gguf_text("gpt-2")),
        ("tokenizer.ggml.tokens", 9, texts(&tokens)),
        ("tokenizer.ggml.token_type", 9, numbers(5, n)),
        ("tokenizer.ggml.scores", 9, numbers(6, n)),
        ("tokenizer.ggml.merges", 9, merges),
        number("tokenizer.ggml.bos_token_id", 1),
        number("tokenizer.ggml.unknown_token_id", 0),
        ("tokenizer.ggml.add_bos_token", 7, vec![1]),
    ];
    let embedding = ("token_embd.weight", vec![4, n as u64], 0, 0);
    GgufHeader {
        keys,
        tensors: vec![embedding],
    }
    .file(16 * n)
}

#[test]
fn tokenizers_in_gguf() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    for kind in ["gpt2", "llama"] {
        let seed = gguf_tokenizer(kind);
        let tokenizer = |input: &[u8]| -> Result<(), Box<dyn std::error::Error>> {
            let _ = fs::remove_file(&path);
            fs::write(&path, input)?;
            let json = ModelFiles::open(path.to_str().unwrap())?
                .tokenizer_json()?
                .to_vec();
            let _ = Tokenizer::from_json(&json, None)?.encode("naïve 漢字 <s> text");
            Ok(())
        };
        let attack = Attack {
            reader: &format!("gguf-tokenizer-{kind}"),
            most: MOST,
            right: &seed,
            refuses: true,
        };
        attack.run(
            |random| mutate::bytes(&seed, random),
            |input| tokenizer(input).into(),
        );
    }
}

#[test]
fn files_beside_the_tokenizer() {
    let files = [
        (
            "tokenizer_config.json",
            json!({"add_bos_token": true, "add_prefix_space": false, "bos_token": "<s>", "eos_token": {"content": "</s>", "special": true}, "added_tokens_decoder": {"3": {"content": "<pad>", "special": true, "normalized": false, "lstrip": false, "rstrip": false, "single_word": false}}, "additional_special_tokens": ["<x>"], "model_max_length": 1000, "tokenizer_class": "LlamaTokenizer"}),
        ),
        (
            "special_tokens_map.json",
            json!({"bos_token": {"content": "<s>", "lstrip": false, "normalized": false, "rstrip": false, "single_word": false}, "additional_special_tokens": ["<x>", {"content": "<y>"}]}),
        ),
        ("added_tokens.json", json!({"<x>": 5, "<y>": 6})),
    ];
    for (file, seed) in files {
        let seed = seed.to_string();
        attack_file(file, "llama", file, |_, random| {
            mutate::json(seed.as_bytes(), random)
        });
    }
}
