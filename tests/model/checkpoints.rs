//! The checkpoints that people have: wrapped, tied, in parts, quantised, saved by other programs, and forged.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use candle_core::DType;
use neuroscope::load::ModelFiles;
use neuroscope::model::gguf::Gguf;
use neuroscope::model::weights::TensorFile;
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::conformance::{compute, largest_error};
use crate::support::checkpoint::{
    GgufHeader, Stored, archive, change_config, copy_of, gguf_text, pickled, pytorch, tensors,
    write_safetensors,
};
use crate::support::{Said, fail, model, neuroscope, run, succeed};

const IDS: [u32; 5] = [3, 1, 4, 1, 5];

/// Everything that a model computes from some tokens.
fn computed(path: &Path) -> BTreeMap<String, Vec<f32>> {
    let files = ModelFiles::open(path.to_str().unwrap()).unwrap();
    compute(&files, &IDS, DType::F32)
}

fn fixture(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints");
    folder.join(name)
}

fn describe(path: &Path) -> Command {
    let mut command = neuroscope(path.parent().unwrap());
    command.arg("model").arg(path);
    command
}

/// The command that scans, which opens weights; little memory and time are given to it.
fn scan_of(folder: &Path, model: &Path) -> Command {
    let corpus = folder.join("corpus.txt");
    fs::write(&corpus, "a text").unwrap();
    let plain = neuroscope(folder);
    let mut command = Command::new("sh");
    command
        .args(["-c", "ulimit -v 4000000; ulimit -t 60; exec \"$0\" \"$@\""])
        .arg(plain.get_program())
        .args(plain.get_args())
        .args(["scan", "--name", "test", "--model"])
        .arg(model)
        .arg("--corpus")
        .arg(corpus);
    command
}

fn renamed(tensors: &[Stored], name: impl Fn(&str) -> String) -> Vec<Stored> {
    let renamed = tensors.iter().map(|tensor| Stored {
        name: name(&tensor.name),
        ..tensor.clone()
    });
    renamed.collect()
}

#[test]
fn what_is_put_around_a_model_is_left_out_of_its_names() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["llama", "gpt2", "phi_qk_norm"] {
        let copy = copy_of(name, dir.path());
        let (expected, file) = (computed(&copy), copy.join("model.safetensors"));
        let plain = tensors(&file);
        for prefix in [
            "_orig_mod.",
            "module.",
            "module._orig_mod.",
            "a.b.c.",
            "_forward_module.model.",
        ] {
            let wrapped = renamed(&plain, |name| format!("{prefix}{name}"));
            write_safetensors(&file, &wrapped);
            assert!(computed(&copy) == expected, "{name} with {prefix}");
        }
        succeed(&mut describe(&copy));
    }

    // compiled inside: the decoder, or each of its blocks
    let copy = copy_of("llama", dir.path());
    let (expected, file) = (computed(&copy), copy.join("model.safetensors"));
    let plain = tensors(&file);
    let inside = renamed(&plain, |name| name.replace("model.", "model._orig_mod."));
    write_safetensors(&file, &inside);
    assert!(computed(&copy) == expected);
    let blocks = renamed(&plain, |name| {
        let parts = name.split('.').map(|part| match part.parse::<u32>() {
            Ok(layer) => format!("{layer}._orig_mod"),
            Err(_) => part.to_owned(),
        });
        parts.collect::<Vec<_>>().join(".")
    });
    write_safetensors(&file, &blocks);
    assert!(computed(&copy) == expected);

    // a part of the names only is no prefix: what has no place is named as it is in the file
    let mut mixed = plain.clone();
    let head = mixed
        .iter_mut()
        .find(|tensor| tensor.name == "lm_head.weight");
    head.unwrap().name = "_wrapped.lm_head.weight".to_owned();
    write_safetensors(&file, &mixed);
    fail(&mut scan_of(dir.path(), &copy), &["lm_head.weight"]);
}

#[test]
fn prefixes_in_files_of_pytorch_and_in_several_files() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("llama", dir.path());
    let (expected, file) = (computed(&copy), copy.join("model.safetensors"));
    let plain = tensors(&file);
    fs::remove_file(&file).unwrap();
    for prefix in ["", "module.", "_orig_mod."] {
        let wrapped = renamed(&plain, |name| format!("{prefix}{name}"));
        fs::write(copy.join("pytorch_model.bin"), pytorch(&wrapped)).unwrap();
        assert!(computed(&copy) == expected, "PyTorch with `{prefix}`");
    }

    let copy = copy_of("mistral", dir.path());
    let expected = computed(&copy);
    for number in 1..=3 {
        let file = copy.join(format!("model-{number:05}-of-00003.safetensors"));
        let wrapped = renamed(&tensors(&file), |name| format!("_orig_mod.{name}"));
        write_safetensors(&file, &wrapped);
    }
    assert!(computed(&copy) == expected);
    // the same tensor in two of them
    let first = copy.join("model-00001-of-00003.safetensors");
    let second = copy.join("model-00002-of-00003.safetensors");
    let both = [tensors(&second), tensors(&first)[..1].to_vec()].concat();
    write_safetensors(&second, &both);
    let twice = ["model-00001-of-00003.safetensors` and in `model-00002-of-00003"];
    fail(&mut describe(&copy), &twice);
}

/// As transformers has it: the embedding as `lm_head.weight`, and a `lm_head.bias` of its own.
#[test]
fn a_tied_unembedding_may_have_a_bias() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("phi_qk_norm", dir.path());
    let file = copy.join("model.safetensors");
    let mut all = tensors(&file);
    let embed = all
        .iter()
        .find(|tensor| tensor.name.ends_with("embed_tokens.weight"));
    let embed = embed.unwrap().bytes.clone();
    let head = |tensor: &Stored| tensor.name == "lm_head.weight";
    all.iter_mut().find(|tensor| head(tensor)).unwrap().bytes = embed;
    let bias = all
        .iter()
        .find(|tensor| tensor.name == "lm_head.bias")
        .unwrap();
    assert!(bias.bytes.iter().any(|byte| *byte != 0));
    write_safetensors(&file, &all);
    let expected = computed(&copy);

    all.retain(|tensor| !head(tensor));
    write_safetensors(&file, &all);
    change_config(&copy, |config| config["tie_word_embeddings"] = json!(true));
    assert!(computed(&copy) == expected);
    succeed(&mut describe(&copy));
    // without the bias, the logits are others
    all.retain(|tensor| tensor.name != "lm_head.bias");
    write_safetensors(&file, &all);
    assert!(computed(&copy) != expected);
}

/// The values are those of the package `gguf`, to the last bit; see `checkpoints/make.py`.
#[test]
fn gguf_values_of_four_bits_that_are_not_evenly_spaced() {
    let bytes = fs::read(fixture("iq4.gguf")).unwrap();
    let gguf = Gguf::read_parts(&[&bytes]).unwrap();
    let file = gguf.file("iq4.gguf", vec![&bytes]).unwrap();
    let expected = tensors(&fixture("iq4.safetensors"));
    let named = [
        (
            "blk.0.ffn_down.weight",
            "model.layers.0.mlp.down_proj.weight",
            "IQ4_XS",
        ),
        (
            "blk.0.attn_v.weight",
            "model.layers.0.self_attn.v_proj.weight",
            "IQ4_NL",
        ),
    ];
    for (own, name, kind) in named {
        let expected = expected.iter().find(|tensor| tensor.name == own).unwrap();
        let found = file.load(name).unwrap();
        assert_eq!(found.dims(), expected.shape);
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        let found: Vec<u8> = found.iter().flat_map(|x| x.to_le_bytes()).collect();
        assert!(found == expected.bytes, "{own}");
        let about = file.tensors().into_iter().find(|info| info.name == name);
        assert_eq!(about.unwrap().dtype, kind);
    }
    succeed(&mut describe(&fixture("iq4.gguf")));
}

/// Every type that is quantised, in values of the package `gguf`.
#[test]
fn gguf_values_of_every_type() {
    let bytes = fs::read(fixture("types.gguf")).unwrap();
    let gguf = Gguf::read_parts(&[&bytes]).unwrap();
    let file = gguf.file("types.gguf", vec![&bytes]).unwrap();
    let expected = tensors(&fixture("types.safetensors"));
    assert_eq!(expected.len(), 12);
    for tensor in expected {
        let found = file.load(&tensor.name).unwrap();
        let found: Vec<f32> = found.flatten_all().unwrap().to_vec1().unwrap();
        let expected = tensor.bytes.as_chunks::<4>().0.iter();
        let expected: Vec<f32> = expected.map(|b| f32::from_le_bytes(*b)).collect();
        let error = largest_error(&found, &expected);
        assert!(error < 1e-6, "{} is off by {error}", tensor.name);
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn gguf_types_that_are_not_read_are_named_with_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    let types = [
        (16, "IQ2_XXS"),
        (18, "IQ3_XXS"),
        (19, "IQ1_S"),
        (21, "IQ3_S"),
        (29, "IQ1_M"),
        (34, "TQ1_0"),
        (39, "MXFP4"),
        (99, "number 99"),
    ];
    for (code, name) in types {
        let header = GgufHeader {
            tensors: vec![("token_embd.weight", vec![256, 4], code, 0)],
            ..GgufHeader::default()
        };
        let path = dir.path().join("model.gguf");
        fs::write(&path, header.file(4096)).unwrap();
        let stored = format!("tensor `token_embd.weight` is stored as {name}, which is not read");
        fail(
            &mut describe(&path),
            &["model.gguf", &stored, "Q4_K", "IQ4_XS", "hint: "],
        );
    }
}

#[test]
fn gguf_in_parts_is_one_model_from_any_of_them() {
    let whole = computed(&fixture("iq4.gguf"));
    let part = |number: u32| format!("parts-{number:05}-of-00003.gguf");
    let about = |path: &Path| -> Value {
        serde_json::from_str(&succeed(describe(path).arg("--json")).stdout).unwrap()
    };
    let first = about(&fixture(&part(1)));
    assert_eq!(first["name"], "parts");
    for number in 1..=3 {
        assert!(
            computed(&fixture(&part(number))) == whole,
            "from part {number}"
        );
        assert_eq!(about(&fixture(&part(number)))["source"], json!(part(1)));
    }

    let dir = tempfile::tempdir().unwrap();
    let path = |number| dir.path().join(part(number));
    for number in 1..=3 {
        fs::copy(fixture(&part(number)), path(number)).unwrap();
    }
    // the folder that holds nothing else is the model as well
    assert!(computed(dir.path()) == whole);
    // a part that is missing is named, from wherever the model is opened
    fs::rename(path(2), dir.path().join("away")).unwrap();
    for number in [1, 3] {
        let said = fail(
            &mut describe(&path(number)),
            &["part 2 of 3", "is missing", "hint: "],
        );
        assert!(said.stderr.contains(&part(2)), "{}", said.stderr);
    }
    // parts that do not belong together
    fs::copy(path(3), path(2)).unwrap();
    fail(
        &mut describe(&path(1)),
        &[&part(1), "part 2 of 3 says that it is part 3 of 3"],
    );
    fs::copy(fixture("iq4.gguf"), path(2)).unwrap();
    fail(
        &mut describe(&path(1)),
        &["part 2 of 3 says that it is part 1 of 1"],
    );
    // a part under the name of a whole model
    let alone = dir.path().join("model.gguf");
    fs::copy(path(1), &alone).unwrap();
    fail(
        &mut describe(&alone),
        &["model.gguf", "it is part 1 of 3", "-00001-of-00003.gguf"],
    );
}

#[test]
fn what_a_gguf_file_claims_is_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.gguf");
    let refused = |bytes: Vec<u8>, what: &str| {
        fs::write(&path, bytes).unwrap();
        fail(&mut scan_of(dir.path(), &path), &["model.gguf", what]);
    };
    let keys = |key: &'static str, kind: u32, value: &[u8]| {
        let keys = vec![(key, kind, value.to_vec())];
        GgufHeader {
            keys,
            ..GgufHeader::default()
        }
        .file(64)
    };
    let tensor = |sizes: &[u64], kind: u32, offset: u64| {
        let tensors = vec![("token_embd.weight", sizes.to_vec(), kind, offset)];
        GgufHeader {
            tensors,
            ..GgufHeader::default()
        }
        .file(64)
    };
    let huge = (1u64 << 63).to_le_bytes();
    for alignment in [0u32, 3] {
        refused(
            keys("general.alignment", 4, &alignment.to_le_bytes()),
            "`general.alignment` is not a power of two",
        );
    }
    refused(
        keys("general.alignment", 10, &huge),
        "`general.alignment` is not a power of two",
    );
    refused(
        keys("general.alignment", 8, &gguf_text("32")),
        "`general.alignment` is not",
    );
    refused(keys("a.text", 8, &huge), "its metadata is longer");
    refused(
        keys("an.array", 9, &[&8u32.to_le_bytes()[..], &huge].concat()),
        "elements of an array",
    );
    let nested = [9u32.to_le_bytes().as_slice(), &1u64.to_le_bytes()]
        .concat()
        .repeat(100_000);
    refused(keys("an.array", 9, &nested), "an array of arrays");
    refused(keys("a.switch", 7, &[7]), "a switch that is 7");
    refused(keys("a.key", 77, &[0; 8]), "a value of unknown type 77");
    refused(
        keys("general.architecture", 8, &gguf_text("llama")),
        "the key `general.architecture` twice",
    );

    refused(tensor(&[1 << 40, 1 << 40], 0, 0), "longer than the file");
    refused(tensor(&[u64::MAX], 0, 0), "longer than the file");
    refused(tensor(&[16, 16], 0, 0), "may be cut off");
    refused(tensor(&[8], 0, u64::MAX - 31), "may be cut off");
    refused(tensor(&[8], 0, 8), "is not aligned");
    refused(tensor(&[1; 5], 0, 0), "has 5 dimensions");
    refused(tensor(&[33], 8, 0), "rows of 33 values");
    let mut counts = tensor(&[8], 0, 0);
    counts[8..16].copy_from_slice(&huge);
    refused(counts.clone(), "it claims 9223372036854775808 tensors");
    counts[8..16].copy_from_slice(&0u64.to_le_bytes());
    counts[16..24].copy_from_slice(&huge);
    refused(counts, "it claims 9223372036854775808 keys");
    let two = |offset| GgufHeader {
        tensors: vec![("a", vec![8], 0, 0), ("b", vec![8], 0, offset)],
        ..GgufHeader::default()
    };
    refused(two(0).file(64), "tensors `a` and `b` overlap");
    refused(two(32).file(64), "it has no");
    let twice = GgufHeader {
        tensors: vec![("a", vec![8], 0, 0), ("a", vec![8], 0, 32)],
        ..GgufHeader::default()
    };
    refused(twice.file(64), "it has the tensor `a` twice");
    // parts that are each within the bounds, and are not together
    for number in 0..3u64 {
        let elements = vec![1; 1_000_000];
        let array = [&[0; 4][..], &1_000_000u64.to_le_bytes(), &elements].concat();
        let part = GgufHeader {
            keys: vec![
                ("split.no", 10, number.to_le_bytes().to_vec()),
                ("split.count", 10, 3u64.to_le_bytes().to_vec()),
                ("a", 9, array),
            ],
            ..GgufHeader::default()
        };
        let name = format!("parts-{:05}-of-00003.gguf", number + 1);
        fs::write(dir.path().join(name), part.file(0)).unwrap();
    }
    fail(
        &mut describe(&dir.path().join("parts-00001-of-00003.gguf")),
        &["part 3: it claims 1000000 elements of an array; at most 97152 are read"],
    );
    refused(b"GGUF\0\0\0\x03".to_vec(), "it is big-endian");
    refused(b"GGUF\x09\0\0\0".to_vec(), "its version is 9");
    refused(b"GGUF".to_vec(), "in the middle of its metadata");
    refused(Vec::new(), "is an empty file");
}

/// Quantised checkpoints, by what gives them away: the config, or the names and types of the tensors.
#[test]
fn quantised_checkpoints_are_named_by_their_method() {
    let dir = tempfile::tempdir().unwrap();
    let configs = [
        (
            json!({"quant_method": "bitsandbytes", "load_in_4bit": true}),
            "bitsandbytes, 4 bit",
        ),
        (json!({"load_in_8bit": true}), "bitsandbytes, 8 bit"),
        (json!({"quant_method": "gptq", "bits": 4}), "gptq"),
        (json!({"quant_method": "awq"}), "awq"),
        (json!({"quant_method": "fp8"}), "fp8"),
        (
            json!({"quant_method": "compressed-tensors"}),
            "compressed-tensors",
        ),
        (json!({"quant_method": "mxfp4"}), "mxfp4"),
        (json!({"bits": 2}), "by a method that is not named"),
    ];
    let copy = copy_of("llama", dir.path());
    for (about, method) in configs {
        change_config(&copy, |config| config["quantization_config"] = about);
        let quantised = format!("its weights are quantised ({method}), which is not read");
        fail(
            &mut describe(&copy),
            &["llama", &quantised, "`quantization_config`", "hint: "],
        );
    }
    change_config(&copy, |config| {
        config["quantization"] = json!({"group_size": 64, "bits": 4});
        config
            .as_object_mut()
            .unwrap()
            .remove("quantization_config");
    });
    fail(&mut describe(&copy), &["quantised (MLX)"]);

    let signs: [(&str, Dtype, &str); 9] = [
        ("q_proj.qweight", Dtype::I32, "GPTQ or AWQ"),
        ("q_proj.g_idx", Dtype::I32, "GPTQ"),
        ("q_proj.SCB", Dtype::F32, "bitsandbytes, 8 bit"),
        ("q_proj.weight.absmax", Dtype::U8, "bitsandbytes, 4 bit"),
        (
            "q_proj.weight.quant_state.bitsandbytes__nf4",
            Dtype::U8,
            "bitsandbytes, 4 bit",
        ),
        ("q_proj.weight_scale_inv", Dtype::F32, "FP8"),
        (
            "q_proj.weight_scale",
            Dtype::F32,
            "FP8 or compressed-tensors",
        ),
        ("q_proj.weight_packed", Dtype::I32, "compressed-tensors"),
        ("q_proj.W_q", Dtype::U8, "HQQ"),
    ];
    let copy = copy_of("gpt2", dir.path());
    let file = copy.join("model.safetensors");
    let plain = tensors(&file);
    for (end, dtype, method) in signs {
        let sign = Stored::zeros(&format!("transformer.h.0.{end}"), dtype, &[4]);
        write_safetensors(&file, &[plain.clone(), vec![sign]].concat());
        let quantised = format!("its weights are quantised ({method})");
        fail(&mut scan_of(dir.path(), &copy), &["gpt2", &quantised, end]);
    }
    for (dtype, method) in [(Dtype::F8_E4M3, "FP8"), (Dtype::I8, "as whole numbers")] {
        let mut stored = plain.clone();
        let of = stored
            .iter_mut()
            .find(|tensor| tensor.name.ends_with("mlp.c_fc.weight"));
        let tensor = of.unwrap();
        *tensor = Stored::zeros(&tensor.name.clone(), dtype, &tensor.shape.clone());
        write_safetensors(&file, &stored);
        let quantised = format!("its weights are quantised ({method})");
        fail(
            &mut scan_of(dir.path(), &copy),
            &[&quantised, "mlp.c_fc.weight"],
        );
    }
}

#[test]
fn adapters_are_to_be_merged_first() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("adapter");
    fs::create_dir(&folder).unwrap();
    let about = json!({"peft_type": "LORA", "base_model_name_or_path": "owner/base"});
    fs::write(folder.join("adapter_config.json"), about.to_string()).unwrap();
    let lora = Stored::zeros(
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight",
        Dtype::F32,
        &[4, 24],
    );
    write_safetensors(
        &folder.join("adapter_model.safetensors"),
        std::slice::from_ref(&lora),
    );
    let what = [
        "adapter` is an adapter (LORA) of `owner/base`",
        "hint: merge it",
        "merge_and_unload",
    ];
    fail(&mut describe(&folder), &what);
    // with another method, and a config that says nothing or is no JSON
    fs::write(folder.join("adapter_config.json"), "{").unwrap();
    fail(
        &mut describe(&folder),
        &["is an adapter (PEFT), not a whole model"],
    );
    fs::remove_file(folder.join("adapter_config.json")).unwrap();
    fail(
        &mut describe(&folder),
        &["is an adapter (PEFT), not a whole model"],
    );
    // beside the files of its base, or in the weights of a model
    let copy = copy_of("llama", dir.path());
    fs::write(copy.join("adapter_config.json"), about.to_string()).unwrap();
    fail(&mut describe(&copy), &what[1..]);
    fs::remove_file(copy.join("adapter_config.json")).unwrap();
    let file = copy.join("model.safetensors");
    write_safetensors(&file, &[tensors(&file), vec![lora]].concat());
    fail(
        &mut scan_of(dir.path(), &copy),
        &["an adapter", "lora_A.weight", "hint: merge it"],
    );
}

/// The number that begins a file of before 1.6, pickled.
const OLD_PYTORCH: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.";

#[test]
fn files_of_other_programs_and_times() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("llama", dir.path());
    let weights = copy.join("model.safetensors");
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n";
    fs::write(&weights, pointer).unwrap();
    fail(
        &mut describe(&copy),
        &["model.safetensors` is a pointer of Git LFS", "git lfs pull"],
    );
    fs::write(&weights, "<!DOCTYPE html><html>").unwrap();
    fail(
        &mut describe(&copy),
        &["model.safetensors` is a web page", "hint: "],
    );
    fs::remove_file(&weights).unwrap();

    fs::write(copy.join("pytorch_model.bin"), OLD_PYTORCH).unwrap();
    let old = [
        "pytorch_model.bin",
        "before version 1.6",
        "hint: load it and save it again",
    ];
    let said = fail(&mut scan_of(dir.path(), &copy), &old);
    assert!(!said.stderr.contains("cut off"), "{}", said.stderr);
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    fs::write(copy.join("pytorch_model.bin"), tar).unwrap();
    fail(&mut scan_of(dir.path(), &copy), &old);
    fs::write(copy.join("pytorch_model.bin"), b"\x80\x04}.").unwrap();
    fail(
        &mut describe(&copy),
        &["pytorch_model.bin", "it is a bare pickle"],
    );
    fs::write(copy.join("pytorch_model.bin"), pointer).unwrap();
    fail(
        &mut describe(&copy),
        &["pytorch_model.bin` is a pointer of Git LFS"],
    );
    fs::remove_file(copy.join("pytorch_model.bin")).unwrap();

    let others = [
        ("flax_model.msgpack", "(Flax)"),
        ("tf_model.h5", "(TensorFlow)"),
        ("model.onnx", "ONNX"),
        ("openvino_model.xml", "OpenVINO"),
        ("model-00001-of-00002.safetensors", "no index"),
    ];
    for (name, what) in others {
        fs::write(copy.join(name), "weights").unwrap();
        fail(&mut describe(&copy), &["llama` has", what, "hint: "]);
        fs::remove_file(copy.join(name)).unwrap();
    }
    fs::write(copy.join("config.json"), pointer).unwrap();
    fail(
        &mut describe(&copy),
        &["config.json` is a pointer of Git LFS"],
    );

    // files that are given as models
    let safetensors = model("llama").join("model.safetensors");
    fail(
        &mut describe(&safetensors),
        &["is a safetensors file", "give the folder"],
    );
    let config = model("llama").join("config.json");
    fail(
        &mut describe(&config),
        &["is a JSON file", "give the folder"],
    );
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fail(&mut describe(&empty), &["is an empty folder"]);
    fs::write(empty.join("model_index.json"), "{}").unwrap();
    fail(&mut describe(&empty), &["is a pipeline of diffusers"]);
}

/// A folder whose weights are this file of PyTorch, scanned with little memory.
fn scan_of_pytorch(bytes: &[u8]) -> Said {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("llama", dir.path());
    fs::remove_file(copy.join("model.safetensors")).unwrap();
    fs::write(copy.join("pytorch_model.bin"), bytes).unwrap();
    run(&mut scan_of(dir.path(), &copy))
}

#[test]
fn pickles_take_no_more_than_their_length_allows() {
    let refused = |bytes: &[u8], what: &str| {
        let said = scan_of_pytorch(bytes);
        assert_eq!(said.code, Some(1), "{}", said.stderr);
        for what in ["pytorch_model.bin", what] {
            assert!(
                said.stderr.contains(what),
                "`{what}` is not in:\n{}",
                said.stderr
            );
        }
    };
    let dictionary = "it is not a dictionary of tensors";
    // tuples in tuples, half a million deep
    let deep = [b"\x80\x02)".as_slice(), &b"\x85".repeat(500_000), b"."].concat();
    refused(&pickled(deep), dictionary);
    // each tuple holds the one before it twice: 2^200,000 of the first
    let doubled = [
        b"\x80\x02)q\0".as_slice(),
        &b"h\0h\0\x86q\0".repeat(200_000),
        b".",
    ]
    .concat();
    refused(&pickled(doubled), dictionary);
    // a dictionary of such pairs, made again and again
    let pairs = [
        b"\x80\x02".as_slice(),
        b"(",
        &b"K\0K\0\x86".repeat(100_000),
        b"tq\0\x85q\x010",
    ]
    .concat();
    let again = b"ccollections\nOrderedDict\nh\x01R".repeat(1000);
    refused(&pickled([&pairs, &again[..], b"."].concat()), "pairs");
    // a list of a million things that are no pairs, a million times
    let nothing = [b"\x80\x02(".as_slice(), &b"N".repeat(1_000_000), b"lq\x000"].concat();
    let lists = [b"(".as_slice(), &b"h\0".repeat(1_000_000), b"tq\x010"].concat();
    let made = b"ccollections\nOrderedDict\nh\x01R.".to_vec();
    refused(&pickled([nothing, lists, made].concat()), "pairs");
    // a class with a name of a megabyte, again and again
    let long = [
        b"\x80\x02X\x40\x42\x0f\0".as_slice(),
        &[b'a'; 1_000_000],
        b"q\0",
    ]
    .concat();
    let classes = b"h\0h\0\x93".repeat(20_000);
    refused(&pickled([&long, &classes[..], b"."].concat()), "class");
    // lists that grow by themselves, and marks without end
    let grown = [b"\x80\x02]q\0".as_slice(), &b"h\0a".repeat(300_000), b"."].concat();
    refused(&pickled(grown), dictionary);
    refused(&pickled(b"(".repeat(3_000_000)), "steps");
    refused(&pickled(b")0".repeat(2_000_000)), "steps");
    // texts and numbers of any claimed length
    refused(&pickled(b"\x80\x02X\xff\xff\xff\x7f".to_vec()), "cut off");
    refused(
        &pickled(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\xff".to_vec()),
        "cut off",
    );
    refused(
        &pickled(b"\x80\x02\x8b\xff\xff\xff\x7f".to_vec()),
        "cut off",
    );
    refused(&pickled(b"I1\n.".to_vec()), "0x49");
    refused(&pickled(vec![b'N'; 33 << 20]), "at most 33554432");
    refused(&pickled(Vec::new()), "cut off");

    // a tensor that claims more than its storage has, or one storage for many
    let tensor = |shape: &[usize], len: usize| {
        let stored = Stored {
            shape: shape.to_vec(),
            ..Stored::zeros("a", Dtype::F32, &[len])
        };
        pytorch(&[stored])
    };
    refused(
        &tensor(&[1 << 30, 1 << 30, 16], 4),
        "tensor `a` claims more values",
    );
    refused(&tensor(&[5], 4), "tensor `a` claims more values");
    let shared = (0..200).map(|i| Stored {
        bytes: if i == 0 { vec![0; 16_000] } else { Vec::new() },
        ..Stored::zeros(&i.to_string(), Dtype::F32, &[4000])
    });
    let shared: Vec<Stored> = shared.collect();
    refused(&pytorch(&shared), "its tensors share so much");

    // archives: compressed, cut off, with an entry twice, without a pickle, with more entries than there are
    let plain = pickled(b"}.".to_vec());
    let mut packed = plain.clone();
    let directory = packed
        .windows(4)
        .rposition(|bytes| bytes == b"PK\x01\x02")
        .unwrap();
    packed[directory + 10] = 8;
    refused(&packed, "is compressed");
    refused(&plain[..plain.len() - 10], "cut off");
    let entry = |name: &str| (name.to_owned(), b"}.".to_vec());
    let mut twice = archive(&[entry("a/data.pkl"), entry("b/data.pkl")]);
    let name = twice.windows(10).rposition(|bytes| bytes == b"b/data.pkl");
    twice[name.unwrap()] = b'a';
    refused(&twice, "twice");
    refused(
        &archive(&[entry("a/data.pkl"), entry("b/data.pkl")]),
        "2 entries `data.pkl`",
    );
    refused(&archive(&[entry("a/other")]), "0 entries `data.pkl`");
    let mut many = plain;
    let end = many.len() - 22;
    many[end + 10..end + 12].copy_from_slice(&[0xff, 0xff]);
    refused(&many, "cut off");
}

#[test]
fn headers_of_safetensors_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("llama", dir.path());
    let refused = |len: u64, header: &str| {
        let bytes = [&len.to_le_bytes(), header.as_bytes(), &[0; 64][..]].concat();
        fs::write(copy.join("model.safetensors"), bytes).unwrap();
        fail(
            &mut scan_of(dir.path(), &copy),
            &["`model.safetensors` is not a complete safetensors file"],
        );
    };
    let with = |header: &str| refused(header.len() as u64, header);
    refused(u64::MAX, "{}");
    refused(1 << 40, "{}");
    with(r#"{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,4096]}}"#);
    with(r#"{"a":{"dtype":"F32","shape":[16],"data_offsets":[64,0]}}"#);
    with(r#"{"a":{"dtype":"F32","shape":[8],"data_offsets":[0,64]}}"#);
    with(r#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,64]}}"#);
    with(
        r#"{"a":{"dtype":"F32","shape":[16],"data_offsets":[0,64]},"b":{"dtype":"F32","shape":[16],"data_offsets":[0,64]}}"#,
    );
    with(r#"{"a":{"dtype":"Q7","shape":[16],"data_offsets":[0,64]}}"#);
    with(&"[".repeat(100_000));
}

#[test]
fn indexes_name_files_beside_them_only() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("llama", dir.path());
    fs::rename(
        copy.join("model.safetensors"),
        dir.path().join("outside.safetensors"),
    )
    .unwrap();
    let outside = dir.path().join("outside.safetensors");
    for name in [
        "../outside.safetensors",
        outside.to_str().unwrap(),
        "..",
        "",
        "a\\..\\b",
        ".hidden",
    ] {
        let index = json!({"weight_map": {"lm_head.weight": name}});
        fs::write(copy.join("model.safetensors.index.json"), index.to_string()).unwrap();
        fail(
            &mut describe(&copy),
            &[
                "model.safetensors.index.json",
                "which is not the name of a file beside it",
            ],
        );
    }
    for index in [
        "{}",
        "[]",
        r#"{"weight_map":{}}"#,
        r#"{"weight_map":{"a":1}}"#,
    ] {
        fs::write(copy.join("model.safetensors.index.json"), index).unwrap();
        fail(&mut describe(&copy), &["model.safetensors.index.json"]);
    }
}

#[test]
fn configs_with_sizes_that_no_model_has() {
    let dir = tempfile::tempdir().unwrap();
    let copy = copy_of("llama", dir.path());
    let original = fs::read(copy.join("config.json")).unwrap();
    let refused = |key: &str, value: Value| {
        fs::write(copy.join("config.json"), &original).unwrap();
        change_config(&copy, |config| config[key] = value.clone());
        let said = fail(&mut describe(&copy), &["llama", "`config.json`"]);
        assert!(
            said.stderr.contains(key),
            "{key} = {value}: {}",
            said.stderr
        );
    };
    let sizes = [
        "num_hidden_layers",
        "hidden_size",
        "intermediate_size",
        "num_attention_heads",
        "num_key_value_heads",
        "head_dim",
        "vocab_size",
        "max_position_embeddings",
    ];
    for key in sizes {
        for value in [
            json!(0),
            json!(-1),
            json!(1.5),
            json!("8"),
            json!([8]),
            json!(1u64 << 40),
            json!(u64::MAX),
            json!(1e300),
        ] {
            refused(key, value);
        }
    }
    for value in [
        json!(0),
        json!(0.0),
        json!(-1e-5),
        json!("NaN"),
        json!(true),
    ] {
        refused("rms_norm_eps", value);
    }
    refused("num_key_value_heads", json!(4));
    refused("num_hidden_layers", json!(100_000));
    refused("vocab_size", json!(1 << 23));
    refused("intermediate_size", json!(1 << 21));
    for text in ["", "[]", "{", "nul", "{\"model_type\": NaN}"] {
        fs::write(copy.join("config.json"), text).unwrap();
        fail(&mut describe(&copy), &["llama", "`config.json`"]);
    }
    let nested = format!("{{\"a\":{}", "[".repeat(1_000_000));
    fs::write(copy.join("config.json"), nested).unwrap();
    fail(&mut describe(&copy), &["`config.json`"]);
    fs::File::create(copy.join("config.json"))
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    fail(
        &mut describe(&copy),
        &["config.json`: it has more than 16777216 bytes"],
    );
}
