//! The files on disk: those of every version are opened forever.
//!
//! `format/v1/` was written by
//! `neuroscope scan --model tests/conformance/MODEL --corpus CORPUS --name MODEL --top-k 4 --case-k 2 --per-band 2 --random 3`,
//! CORPUS being 12 documents of `support::corpus`; the models were those of the conformance fixtures at the time. The folders
//! `*_weights`, without their parts, are of the time when `weights.json` and `tokens.parquet` came; earlier analyses are not read.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use neuroscope::atlas::facts::{KURTOSIS, MEAN_ABS};
use neuroscope::atlas::{Atlas, Relation};
use neuroscope::shard::{PartManifest, read_manifest, verify_files};
use neuroscope::tokens::store::TokenStore;
use serde_json::Value;

use crate::support::{Project, analyze_command, copy, data_command, files, model, succeed};

fn v1(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/format/v1")
        .join(name)
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
                    assert!(
                        weights.class.is_some()
                            && weights.neighbours[Relation::InInLayer as usize].len() == 10
                    );
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
            assert!(tokens[1][7].neurons.by_v[1].len() == 10);
            assert_eq!(atlas.weights_info().unwrap().layers.len(), layers as usize);
            continue;
        }
        let part: PartManifest = read_manifest(&data.join("parts/part-00000-of-00001")).unwrap();
        verify_files(&data.join("parts/part-00000-of-00001"), &part.files).unwrap();
    }
}

/// `format/v0.1/` was written by the last commit before tables could grow.
#[test]
fn what_the_program_of_version_0_1_wrote_is_read_merged_verified_and_built() {
    let project = Project::new();
    let data = project.data("llama");
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format/v0.1/llama");
    copy(&from, &data);
    let summaries = |layer| project.atlas("llama").summaries(layer).unwrap();
    let before = summaries(1);
    assert!(before.iter().all(|s| s.value(&KURTOSIS).is_some()));
    assert!(before.iter().all(|s| s.value(&MEAN_ABS).is_none()));
    let model = model("llama");
    let mut verify = data_command(&project, "verify", &data);
    succeed(verify.arg("--model").arg(&model));
    let mut verify = data_command(&project, "verify", &data);
    succeed(verify.arg("--model").arg(&model).arg("--full"));
    project.build(&[]);
    assert!(project.join("site/llama/2/36.html").is_file());
    let firing_of_token = || {
        let mut file = project.json("llama/tokens/000000.json");
        file["tokens"][9]
            .as_object_mut()
            .unwrap()
            .remove("promoted_by")
    };
    assert_eq!(firing_of_token(), None);
    let lists = || -> BTreeSet<String> {
        let layer = project.atlas("llama").layer(1).unwrap();
        let rows = layer.flat_map(|neuron| neuron.unwrap().examples);
        rows.map(|row| row.list).collect()
    };
    assert!(lists().contains("band_0_0.5"));
    assert!(before.iter().all(|s| s.orientation.is_none()));
    // analysed again, it knows the sides, but not more of the text
    succeed(&mut analyze_command(&project, &data, &model));
    project.build(&[]);
    assert_eq!(firing_of_token().unwrap().as_array().unwrap().len(), 10);
    let analysed = summaries(1);
    assert!(analysed.iter().all(|s| s.orientation.is_some()));
    assert!(analysed.iter().all(|s| s.at_starts.is_some()));
    assert!(analysed.iter().all(|s| s.lines.iter().all(Option::is_some)));
    // merged and analysed again, it knows as much; the band that is no longer drawn from is gone, those below are not there
    fs::remove_dir_all(data.join("atlas")).unwrap();
    succeed(&mut data_command(&project, "merge", &data));
    succeed(&mut analyze_command(&project, &data, &model));
    assert_eq!(summaries(1), analysed);
    let bands = lists().into_iter().filter(|list| list.starts_with("band"));
    let bands: Vec<String> = bands.collect();
    assert_eq!(bands, ["band_0.5_0.9", "band_0.99_0.999", "band_0.9_0.99"]);
    let mut verify = data_command(&project, "verify", &data);
    succeed(verify.arg("--model").arg(&model).arg("--full"));
}

// `format/packed/` has packed files of the site of tests/browser/run, with all examples and with those that a budget of 1 MB allows, and the
// records that were read from them; tests/browser/packed.test.js opens them.

#[test]
fn version_1_is_merged_and_built_as_it_always_was() {
    let project = Project::new();
    for name in ["llama", "gpt2"] {
        copy(&v1(&format!("{name}_weights")), &project.data(name));
    }
    project.build(&["--title", "Golden", "--base-url", "https://example.org/"]);
    // the hashes in names of assets would change every page with every line of a style
    let hashes = regex::bytes::Regex::new(r"([./][\w-]+)\.[0-9a-f]{8}\.(js|css|svg)\b").unwrap();
    let plain = |bytes: &[u8]| hashes.replace_all(bytes, &b"$1.$2"[..]).into_owned();
    let site = files(&project.site()).into_iter();
    let site = site.map(|(name, bytes)| {
        let name = String::from_utf8(plain(name.as_bytes())).unwrap();
        let is_text = !name.ends_with(".gz");
        (name, if is_text { plain(&bytes) } else { bytes })
    });
    let site: BTreeMap<String, Vec<u8>> = site.collect();
    let list: Vec<String> = site
        .iter()
        .filter(|(name, _)| *name != ".neuroscope-build.json")
        .map(|(name, bytes)| format!("{} {:>7} {name}", hash(bytes), bytes.len()))
        .collect();
    insta::with_settings!({ snapshot_path => "../golden", prepend_module_to_snapshot => false }, {
        insta::assert_snapshot!("outlines", outlines(&site));
        insta::assert_snapshot!("files", list.join("\n"));
        for page in ["index.html", "llama/index.html", "llama/1/index.html", "llama/1/5.html", "gpt2/0/0.html", "llama/index.json", "llama/1/index.json"] {
            let bytes = &site[page];
            insta::assert_snapshot!(page.replace('/', "-"), std::str::from_utf8(bytes).unwrap());
        }
    });

    // merging the parts of that time gives the atlas of that time, but for the band that is no longer drawn from
    for name in ["llama", "gpt2"] {
        let data = project.data(name);
        fs::remove_dir_all(&data).unwrap();
        copy(&v1(name), &data);
        fs::remove_dir_all(data.join("atlas")).unwrap();
        succeed(&mut data_command(&project, "merge", &data));
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
        let mut expected = tables(&v1(name).join("atlas"));
        for (_, examples) in &mut expected {
            examples.retain(|row| row.list != "band_0_0.5");
        }
        assert!(tables(&data.join("atlas")) == expected, "{name}");
    }
}

/// What is in the first file of each kind, so that a change of many files can be read off one of them. Files are of a kind if
/// their names differ in numbers only. The description and the schemas are in `schema/` as they are.
fn outlines(site: &BTreeMap<String, Vec<u8>>) -> String {
    let number = regex::Regex::new(r"[0-9]+").unwrap();
    let mut kinds = BTreeSet::new();
    let mut out = String::new();
    for (name, bytes) in site {
        let is_new = kinds.insert(number.replace_all(name, "0").into_owned());
        if !is_new || name.starts_with("api/v1/schema/") || name.ends_with("openapi.json") {
            continue;
        }
        let lines = match name.rsplit('.').next().unwrap() {
            "html" => outline_of_html(std::str::from_utf8(bytes).unwrap()),
            "json" if !name.starts_with('.') => outline_of_json(bytes),
            "gz" => {
                let mut unpacked = Vec::new();
                let mut packed = flate2::read::GzDecoder::new(&bytes[..]);
                packed.read_to_end(&mut unpacked).unwrap();
                let length = u32::from_le_bytes(unpacked[..4].try_into().unwrap()) as usize;
                let mut lines = outline_of_json(&unpacked[4..4 + length]);
                lines.push(format!("{} bytes", unpacked.len() - 4 - length));
                lines
            }
            "csv" => {
                let text = std::str::from_utf8(bytes).unwrap();
                let mut lines: Vec<String> = text.lines().take(3).map(str::to_owned).collect();
                lines.push(format!("{} lines", text.lines().count()));
                lines
            }
            _ => continue,
        };
        out += &format!("{name}\n");
        lines
            .iter()
            .for_each(|line| out += &format!("    {line}\n"));
    }
    out
}

/// The title, the headings, and how many elements of each name there are.
fn outline_of_html(html: &str) -> Vec<String> {
    let heading = regex::Regex::new(r"(?s)<(title|h[1-6])\b[^>]*>(.*?)</").unwrap();
    let lines = heading.captures_iter(html).map(|found| {
        let text: Vec<&str> = found[2].split_whitespace().collect();
        format!("{}: {}", &found[1], text.join(" "))
    });
    let mut lines: Vec<String> = lines.collect();
    let mut elements: BTreeMap<&str, usize> = BTreeMap::new();
    for element in regex::Regex::new(r"<([a-z][a-z0-9]*)")
        .unwrap()
        .captures_iter(html)
    {
        *elements
            .entry(element.get(1).unwrap().as_str())
            .or_default() += 1;
    }
    let elements = elements.iter().map(|(name, n)| format!("{n} {name}"));
    lines.push(elements.collect::<Vec<_>>().join(", "));
    lines
}

/// Every field; of lists their length and first item.
fn outline_of_json(bytes: &[u8]) -> Vec<String> {
    fn add(place: &str, value: &Value, out: &mut Vec<String>) {
        match value {
            Value::Object(fields) if fields.len() <= 40 => {
                for (name, value) in fields {
                    add(&format!("{place}.{name}"), value, out);
                }
            }
            Value::Object(fields) => out.push(format!("{place}: {} fields", fields.len())),
            Value::Array(items) => {
                out.push(format!("{place}: {} items", items.len()));
                if let Some(first) = items.first() {
                    add(&format!("{place}[0]"), first, out);
                }
            }
            other => {
                let text: String = other.to_string().chars().take(100).collect();
                out.push(format!("{place}: {text}"));
            }
        }
    }
    let mut out = Vec::new();
    add("", &serde_json::from_slice(bytes).unwrap(), &mut out);
    out
}

fn hash(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
