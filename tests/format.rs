//! The files on disk: those of every version are opened forever, and damaged ones give an error.
//!
//! `format/v1/` was written by
//! `neuroscope scan --model tests/conformance/MODEL --corpus CORPUS --name MODEL --top-k 4 --case-k 2 --per-band 2 --random 3`,
//! CORPUS being 12 documents of `support::corpus`; the models were those of the conformance fixtures at the time. The folders
//! `*_weights`, without their parts, are of the time when `weights.json` and `tokens.parquet` came; earlier analyses are not read.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use neuroscope::atlas::Atlas;
use neuroscope::load::ModelFiles;
use neuroscope::model::Config;
use neuroscope::model::weights::{Checkpoint, SafetensorsFile};
use neuroscope::shard::{LayerReader, PartManifest, read_manifest, verify_files};
use neuroscope::tokens::Tokenizer;
use neuroscope::tokens::store::TokenStore;
use proptest::prelude::*;

use crate::support::{files, model, neuroscope, succeed};

fn v1(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/format/v1")
        .join(name)
}

/// A copy of a folder that may be written to.
fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

#[test]
fn version_1_is_read() {
    let all = [
        ("llama", 3, 37),
        ("gpt2", 2, 33),
        ("solu", 3, 37),
        ("llama_weights", 3, 37),
        ("gpt2_weights", 2, 33),
    ];
    for (folder, layers, d_mlp) in all {
        let data = v1(folder);
        let (name, with_weights) = match folder.strip_suffix("_weights") {
            Some(name) => (name, true),
            None => (folder, false),
        };
        let atlas = Atlas::open(&data.join("atlas")).unwrap();
        let mut n = 0;
        for layer in 0..layers {
            for neuron in atlas.layer(layer).unwrap() {
                let neuron = neuron.unwrap();
                assert_eq!(
                    neuron
                        .examples
                        .iter()
                        .filter(|row| row.list == "top")
                        .count(),
                    4
                );
                assert_eq!(neuron.stats.cases.is_some(), name == "llama");
                assert_eq!(neuron.stats.post.is_some(), name == "solu");
                let with_post = neuron.examples.iter().all(|row| row.example.post.is_some());
                assert_eq!(with_post, name == "solu");
                assert_eq!(neuron.weights.is_some(), with_weights);
                if let Some(weights) = neuron.weights {
                    assert_eq!((weights.top.len(), weights.bottom.len()), (20, 20));
                    assert_eq!(weights.cosines.gate_in.is_some(), name == "llama");
                    assert!(weights.class.is_some() && weights.neighbours[0].len() == 10);
                    assert_eq!(weights.histogram.counts.iter().sum::<u32>(), 290);
                }
                n += 1;
            }
        }
        assert_eq!(n, layers * d_mlp);
        let store = TokenStore::open(&data.join("corpus"), 1 << 16).unwrap();
        assert_eq!(store.n_documents(), 12);
        assert_eq!(store.info(neuroscope::ids::DocId(3)).id, "doc-3");
        if with_weights {
            let tokens = atlas.tokens(100).unwrap().unwrap();
            let tokens: Vec<_> = tokens.map(Result::unwrap).collect();
            assert_eq!(
                tokens.iter().map(Vec::len).collect::<Vec<_>>(),
                [100, 100, 90]
            );
            assert!(tokens[1][7].1.by_v[1].len() == 10);
            assert_eq!(atlas.weights_info().unwrap().layers.len(), layers as usize);
            continue;
        }
        let part: PartManifest = read_manifest(&data.join("parts/part-00000-of-00001")).unwrap();
        verify_files(&data.join("parts/part-00000-of-00001"), &part.files).unwrap();
    }
}

#[test]
fn version_1_is_merged_and_built_as_it_always_was() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    for name in ["llama", "gpt2"] {
        let data = project.join("data").join(name);
        copy(&v1(&format!("{name}_weights")), &data);
    }
    succeed(neuroscope(project).args([
        "build",
        "--title",
        "Golden",
        "--base-url",
        "https://example.org/",
    ]));
    // the hashes in names of assets would change every page with every line of a style
    let hashes = regex::bytes::Regex::new(r"([./][\w-]+)\.[0-9a-f]{8}\.(js|css|svg)\b").unwrap();
    let plain = |bytes: &[u8]| hashes.replace_all(bytes, &b"$1.$2"[..]).into_owned();
    let site = files(&project.join("site")).into_iter();
    let site = site.map(|(name, bytes)| {
        let name = String::from_utf8(plain(name.as_bytes())).unwrap();
        let is_text = !name.ends_with(".gz");
        (name, if is_text { plain(&bytes) } else { bytes })
    });
    let site: BTreeMap<String, Vec<u8>> = site.collect();
    let list: Vec<String> = site
        .iter()
        .filter(|(name, _)| *name != ".neuroscope-build.json")
        .map(|(name, bytes)| format!("{} {name}", hash(bytes)))
        .collect();
    insta::with_settings!({ snapshot_path => "golden", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("files", list.join("\n"));
        for page in ["index.html", "llama/index.html", "llama/1/index.html", "llama/1/5.html", "gpt2/0/0.html", "llama/index.json", "llama/1/index.json"] {
            let bytes = &site[page];
            insta::assert_snapshot!(page.replace('/', "-"), std::str::from_utf8(bytes).unwrap());
        }
    });

    // merging the parts of that time gives the atlas of that time
    for name in ["llama", "gpt2"] {
        let data = project.join("data").join(name);
        fs::remove_dir_all(&data).unwrap();
        copy(&v1(name), &data);
        fs::remove_dir_all(data.join("atlas")).unwrap();
        succeed(neuroscope(project).arg("merge").arg(&data));
        let tables = |folder: &Path| -> Vec<_> {
            let atlas = Atlas::open(folder).unwrap();
            (0..2)
                .flat_map(|layer| {
                    atlas
                        .layer(layer)
                        .unwrap()
                        .map(Result::unwrap)
                        .map(|n| (n.stats, n.examples))
                })
                .collect()
        };
        assert_eq!(tables(&data.join("atlas")), tables(&v1(name).join("atlas")));
    }
}

fn hash(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Reads all of a layer's tables, checksums aside.
fn read_layer(folder: &Path) -> Result<usize, neuroscope::shard::ShardError> {
    let mut n = 0;
    for neuron in LayerReader::open(folder, 0, neuroscope::stats::MlpKind::Gated)? {
        n += neuron?.2.len();
    }
    Ok(n)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Behind their checksums: what a forged manifest would let through.
    #[test]
    fn damaged_tables_give_an_error(stats in any::<bool>(), at in any::<prop::sample::Index>(), flip in 1u8..=255, cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        for table in ["stats", "examples"] {
            let name = format!("layer-000.{table}.parquet");
            let mut bytes = fs::read(v1("llama").join("atlas").join(&name)).unwrap();
            if stats == (table == "stats") {
                let at = at.index(bytes.len());
                if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
            }
            fs::write(dir.path().join(name), bytes).unwrap();
        }
        let _ = read_layer(dir.path()); // an error or a number, never a panic
    }

    #[test]
    fn damaged_manifests_give_an_error(at in any::<prop::sample::Index>(), flip in 1u8..=255, cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        copy(&v1("llama").join("atlas"), dir.path());
        let path = dir.path().join("manifest.json");
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        fs::write(&path, bytes).unwrap();
        if let Ok(atlas) = Atlas::open(dir.path()) {
            let _ = atlas.layer(0).map(|neurons| neurons.map(|n| n.is_ok()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_pytorch_and_gguf_files_give_an_error(gguf in any::<bool>(), at in any::<prop::sample::Index>(), flip in 1u8..=255, cut in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let (fixture, name) = if gguf { ("llama3", "model.gguf") } else { ("phi", "pytorch_model.bin") };
        let mut bytes = fs::read(model(fixture).join(name)).unwrap();
        // the headers are what can be wrong in many ways: a GGUF's is in front, an archive's at both ends
        let len = bytes.len();
        let at = at.index(8000);
        let at = if gguf || at < 4000 { at } else { len - 8000 + at };
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        fs::write(dir.path().join(name), bytes).unwrap();
        fs::copy(model(fixture).join("config.json"), dir.path().join("config.json")).unwrap();
        let path = if gguf { dir.path().join(name) } else { dir.path().to_owned() };
        if let Ok(files) = ModelFiles::open(path.to_str().unwrap())
            && let (Ok(config), Ok(checkpoint)) = (files.config(), files.checkpoint())
        {
            let device = candle_core::Device::Cpu;
            let _ = neuroscope::model::Model::load(config, &checkpoint, 8, candle_core::DType::F32, neuroscope::model::Compute::on(&device)).is_ok();
        }
    }

    #[test]
    fn damaged_models_give_an_error(file in 0usize..3, at in any::<prop::sample::Index>(), flip in 1u8..=255, cut in any::<bool>()) {
        let name = ["config.json", "tokenizer.json", "model.safetensors"][file];
        let mut bytes = fs::read(model("llama").join(name)).unwrap();
        // the header of the weights is what can be wrong in many ways; the rest are numbers
        let len = if file == 2 { 4000 } else { bytes.len() };
        let at = at.index(len);
        if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        match file {
            0 => { let _ = Config::from_json(&bytes); }
            1 => { let _ = Tokenizer::from_json(&bytes, None).map(|t| t.encode("the text “x”").map(|ids| ids.len())); }
            _ => {
                let config = ModelFiles::open(model("llama").to_str().unwrap()).unwrap().config().unwrap();
                if let Ok(file) = SafetensorsFile::new("model.safetensors".to_owned(), &bytes)
                    && let Ok(checkpoint) = Checkpoint::new(vec![Box::new(file)])
                {
                    let device = candle_core::Device::Cpu;
                    let _ = neuroscope::model::Model::load(config, &checkpoint, 8, candle_core::DType::F32, neuroscope::model::Compute::on(&device)).is_ok();
                }
            }
        }
    }
}
