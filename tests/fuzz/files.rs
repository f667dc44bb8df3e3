//! What scans leave: tables, manifests, token stores, checkpoints.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arrow_array::{Array, ArrayRef, RecordBatch, make_array};
use arrow_buffer::Buffer;
use arrow_data::ArrayData;
use neuroscope::atlas::{Atlas, open_corpus};
use neuroscope::corpus::{CorpusOptions, Source};
use neuroscope::gpu::DeviceName;
use neuroscope::load::ModelFiles;
use neuroscope::scan::{self, Checked, CorpusSetup, ScanOptions, Setup, Watch};
use neuroscope::shard::{CorpusManifest, PartInfo, read_manifest};
use neuroscope::site::{self, Inputs, SiteOptions};
use neuroscope::verify::{VerifyOptions, verify};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::attack::{Attack, Outcome};
use crate::mutate::{self, Random};
use crate::support::tables::take_corpus;
use crate::support::{self, Project, copy, files, model};

/// How data folders are verified.
const VERIFY: VerifyOptions = VerifyOptions {
    neurons: 1,
    examples: 1,
    tolerance: 0.0,
    seed: 0,
    full: false,
    device: DeviceName::Cpu,
};

/// Bytes that reading one of the small atlases may take.
const MOST: usize = 128 << 20;

/// A data folder with parts, atlas and corpus, of a gated model.
fn data() -> &'static Path {
    static DATA: OnceLock<PathBuf> = OnceLock::new();
    let make = |project: &Project| {
        let few = [
            "--rank-pre",
            "--keep-hooks",
            "--top-k",
            "3",
            "--case-k",
            "2",
            "--per-band",
            "2",
            "--random",
            "3",
        ];
        project.scan_here("llama", 8, &few);
    };
    DATA.get_or_init(|| Project::shared("fuzz", make).data("llama"))
}

/// Puts the sizes and hashes of a folder's manifest right.
fn rehash(folder: &Path) {
    let path = folder.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    for file in manifest["files"].as_array_mut().unwrap() {
        let bytes = fs::read(folder.join(file["name"].as_str().unwrap())).unwrap();
        file["bytes"] = json!(bytes.len());
        let hash = Sha256::digest(&bytes);
        file["sha256"] = json!(hash.iter().map(|b| format!("{b:02x}")).collect::<String>());
    }
    fs::write(path, manifest.to_string()).unwrap();
}

/// Of so many inputs, a site is built for one: it takes longer than all else.
const INPUTS_PER_SITE: usize = 8;

/// Reads all of a data folder, as building a site does, and verifies it; now and then builds the site.
fn read_all(data: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let verified = verify(data, None, &VERIFY, &|_| true);
    let atlas = Atlas::open(&data.join("atlas"))?;
    let scan = atlas.manifest().scan.clone();
    let mut result: Result<(), Box<dyn std::error::Error>> = Ok(());
    let mut note = |next: Result<(), Box<dyn std::error::Error>>| {
        if let Err(error) = next {
            result = Err(error);
        }
    };
    note(match verified {
        Ok(report) if !report.is_right() => Err(report.wrong[0].what.clone().into()),
        verified => verified.map(drop).map_err(Into::into),
    });
    for layer in 0..scan.model.n_layers {
        note(atlas.summaries(layer).map(drop).map_err(Into::into));
        note(atlas.weights(layer).map(drop).map_err(Into::into));
        let neurons = atlas.layer(layer).map_err(Into::into);
        note(neurons.and_then(|mut neurons| Ok(neurons.try_for_each(|neuron| neuron.map(drop))?)));
    }
    let tokens = atlas.tokens(100).map_err(Into::into);
    note(tokens.and_then(|tokens| {
        Ok(tokens
            .into_iter()
            .flatten()
            .try_for_each(|batch| batch.map(drop))?)
    }));
    let corpus = data.join("corpus");
    if corpus.is_dir() {
        let store = open_corpus(&corpus, &scan, 1 << 16);
        note(store.map(drop).map_err(Into::into));
    }
    static READ: AtomicUsize = AtomicUsize::new(0);
    if !READ
        .fetch_add(1, Ordering::Relaxed)
        .is_multiple_of(INPUTS_PER_SITE)
    {
        return result;
    }
    let site = tempfile::tempdir()?;
    let options = SiteOptions {
        neuron_json: true,
        deepdecipher: true,
        ..SiteOptions::default()
    };
    let inputs = Inputs {
        project: site.path(),
        data: &[data.to_owned()],
        theme: None,
        content: None,
        options: &options,
    };
    note(
        site::build(&inputs, &site.path().join("site"), &|_| true)
            .map(drop)
            .map_err(Into::into),
    );
    result
}

/// Puts an edge into one value of one column of a table, however deep it lies.
fn with_odd_value(table: &Path, random: &mut Random) -> Option<Vec<u8>> {
    let file = fs::File::open(table).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let (schema, metadata) = (reader.schema().clone(), reader.metadata().clone());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    let at = random.below(batches.len().max(1));
    let batch = batches.get(at)?;
    let mut columns: Vec<ArrayRef> = batch.columns().to_vec();
    let column = random.below(columns.len());
    let changed = odd_array(&columns[column].to_data(), random)?;
    columns[column] = make_array(changed);
    let changed = RecordBatch::try_new(schema.clone(), columns).ok()?;
    let properties = parquet::file::properties::WriterProperties::builder()
        .set_key_value_metadata(metadata.file_metadata().key_value_metadata().cloned())
        .build();
    let mut out = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut out, schema, Some(properties)).unwrap();
    for (i, batch) in batches.iter().enumerate() {
        writer.write(if i == at { &changed } else { batch }).ok()?;
    }
    writer.close().ok()?;
    Some(out)
}

/// An array with a few bytes of one of its buffers changed, if that is an array.
fn odd_array(data: &ArrayData, random: &mut Random) -> Option<ArrayData> {
    let children = data.child_data();
    if !children.is_empty() && random.below(3) > 0 {
        let at = random.below(children.len());
        let mut children = children.to_vec();
        children[at] = odd_array(&children[at], random)?;
        return data
            .clone()
            .into_builder()
            .child_data(children)
            .build()
            .ok();
    }
    let mut buffers = data.buffers().to_vec();
    if buffers.is_empty() {
        return None;
    }
    let at = random.below(buffers.len());
    let mut bytes = buffers[at].to_vec();
    for _ in 0..1 + random.below(3) {
        let width = *random.of(&[1, 4, 8]);
        let from = random.below(bytes.len().max(1)) / width * width;
        let edge = *random.of(&[
            0,
            1,
            0x7F80_0000,
            0x7FC0_0000,
            0xFFFF_FFFF,
            u64::MAX,
            1 << 63,
            0x7FF8 << 48,
        ]);
        for (to, from) in bytes
            .iter_mut()
            .skip(from)
            .zip(&edge.to_le_bytes()[..width])
        {
            *to = *from;
        }
    }
    buffers[at] = Buffer::from_vec(bytes);
    data.clone().into_builder().buffers(buffers).build().ok()
}

#[test]
fn tables() {
    let dir = tempfile::tempdir().unwrap();
    copy(data(), dir.path());
    fs::remove_dir_all(dir.path().join("parts")).unwrap();
    attack_tables("tables", dir.path());
}

/// The text of the site then comes from the tables.
#[test]
fn tables_without_a_corpus() {
    let dir = tempfile::tempdir().unwrap();
    copy(data(), dir.path());
    take_corpus(dir.path());
    attack_tables("tables-with-texts", dir.path());
}

/// Reads a data folder with one table after the other damaged.
fn attack_tables(reader: &str, data: &Path) {
    let atlas = data.join("atlas");
    let mut names: Vec<String> = files(&atlas).into_iter().map(|(name, _)| name).collect();
    names.retain(|name| name.ends_with(".parquet"));
    assert!(names.len() > 4, "{names:?}");
    let chosen = |random: &mut Random| random.of(&names).clone();
    let whole: Vec<Vec<u8>> = names
        .iter()
        .map(|name| fs::read(atlas.join(name)).unwrap())
        .collect();
    let attack = Attack {
        reader,
        most: MOST,
        right: &[names[0].as_bytes(), b"\n", &whole[0]].concat(),
        refuses: true,
    };
    attack.run(
        |random| {
            // the name of the table, then what becomes of it
            let name = chosen(random);
            let at = names.iter().position(|known| *known == name).unwrap();
            let changed = match random.below(4) {
                0 => mutate::bytes(&whole[at], random),
                1 => {
                    let foot = whole[at].len().saturating_sub(2000);
                    let (body, foot) = whole[at].split_at(foot);
                    [body, &mutate::bytes(foot, random)].concat()
                }
                _ => {
                    let mut changed = None;
                    for _ in 0..20 {
                        changed = changed.or_else(|| with_odd_value(&atlas.join(&name), random));
                    }
                    changed.unwrap_or_else(|| whole[at].clone())
                }
            };
            [format!("{name}\n").as_bytes(), &changed].concat()
        },
        |input| {
            let end = input.iter().position(|&byte| byte == b'\n').unwrap();
            let name = std::str::from_utf8(&input[..end]).unwrap();
            let path = atlas.join(name);
            let right = fs::read(&path).unwrap();
            fs::write(&path, &input[end + 1..]).unwrap();
            rehash(&atlas);
            let outcome = read_all(data).into();
            fs::write(&path, right).unwrap();
            outcome
        },
    );
}

#[test]
fn manifests() {
    let dir = tempfile::tempdir().unwrap();
    copy(data(), dir.path());
    let mut parts = fs::read_dir(dir.path().join("parts")).unwrap().flatten();
    let part = parts.find(|entry| entry.path().is_dir()).unwrap().path();
    for (reader, folder) in [
        ("manifest-atlas", dir.path().join("atlas")),
        ("manifest-corpus", dir.path().join("corpus")),
        ("manifest-part", part),
    ] {
        let path = folder.join("manifest.json");
        let right = fs::read(&path).unwrap();
        let attack = Attack {
            reader,
            most: MOST,
            right: &right,
            refuses: true,
        };
        attack.run(
            |random| mutate::json(&right, random),
            |input| {
                fs::write(&path, input).unwrap();
                read_all(dir.path()).into()
            },
        );
        fs::write(&path, right).unwrap();
    }
}

#[test]
fn token_store() {
    let dir = tempfile::tempdir().unwrap();
    copy(data(), dir.path());
    let corpus = dir.path().join("corpus");
    let index = fs::read(corpus.join("index.bin")).unwrap();
    let tokens = fs::read(corpus.join("tokens-00000.bin")).unwrap();
    let scan = Atlas::open(&dir.path().join("atlas"))
        .unwrap()
        .manifest()
        .scan
        .clone();
    let attack = Attack {
        reader: "token-store",
        most: MOST,
        right: &[b"index.bin\n", &index[..]].concat(),
        refuses: true,
    };
    attack.run(
        |random| {
            // the index with its checksum put right, or the tokens
            if random.below(4) == 0 {
                return [b"tokens-00000.bin\n", &mutate::bytes(&tokens, random)[..]].concat();
            }
            let body = mutate::head(&index[..index.len() - 32], 400, random);
            let hash = Sha256::digest(&body);
            [b"index.bin\n", &body[..], &hash[..]].concat()
        },
        |input| {
            let end = input.iter().position(|&byte| byte == b'\n').unwrap();
            let path = corpus.join(std::str::from_utf8(&input[..end]).unwrap());
            let right = fs::read(&path).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, &input[end + 1..]).unwrap();
            rehash(&corpus);
            let opened = open_corpus(&corpus, &scan, 1 << 16).map(|corpus| corpus.store);
            let outcome = match opened {
                Ok(store) => (0..store.n_documents() as u32)
                    .map(neuroscope::ids::DocId)
                    .try_for_each(|doc| {
                        store.info(doc);
                        store.tokens(doc, 0..store.len(doc)).map(drop)
                    })
                    .into(),
                Err(error) => Err::<(), _>(error).into(),
            };
            fs::remove_file(&path).unwrap();
            fs::write(&path, right).unwrap();
            outcome
        },
    );
}

#[test]
fn checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("corpus.jsonl");
    support::corpus(&text, 12);
    let files = ModelFiles::open(model("llama").to_str().unwrap()).unwrap();
    let options = ScanOptions {
        batch_tokens: Some(64),
        n_ctx: Some(16),
        ..ScanOptions::default()
    };
    let corpus_options = CorpusOptions::default();
    let tokenizer = files.tokenizer().unwrap();
    let corpus = dir.path().join("corpus");
    let setup = CorpusSetup {
        name: "corpus",
        data_sets: &[],
        options: &corpus_options,
        tokenizer: &tokenizer,
        tokenizer_json: files.tokenizer_json().unwrap(),
        d_vocab: files.config().unwrap().d_vocab,
        chat: None,
    };
    scan::tokenize(&[Source::Path(text)], &setup, &corpus, &|_| true).unwrap();
    let manifest: CorpusManifest = read_manifest(&corpus).unwrap();
    let checked = Checked::new(&files, &options).unwrap();
    let setup = Setup::new("llama", checked, &manifest, &corpus).unwrap();
    let target = dir.path().join("parts/part-00000-of-00001");
    fs::create_dir_all(target.parent().unwrap()).unwrap();
    let run = |go_on: &(dyn Fn(u64) -> bool + Sync), note: &(dyn Fn(&str) + Sync)| {
        let watch = Watch {
            begin: &|_| (),
            progress: go_on,
            note,
            checkpoint_every: Duration::from_secs(1000),
            restart: false,
        };
        let part = PartInfo { index: 0, of: 1 };
        scan::scan_part(&setup.job(), setup.identity(), part, &target, &watch)
    };
    // stopped in the middle of a document
    assert!(run(&|done| done < 200, &|_| ()).is_err());
    let path = dir.path().join("parts/.part-00000-of-00001.checkpoint");
    let whole = fs::read(&path).unwrap();
    let attack = Attack {
        reader: "checkpoint",
        most: MOST,
        right: &whole,
        refuses: true,
    };
    attack.run(
        |random| {
            let mut body = whole[..whole.len() - 32].to_vec();
            body = match random.below(4) {
                0 => mutate::bytes(&body, random),
                1 => with_odd_header(&body, random),
                _ => with_odd_block(&body, random),
            };
            let hash = Sha256::digest(&body);
            [&body[..], &hash[..]].concat()
        },
        |input| {
            let _ = fs::remove_dir_all(&target);
            fs::write(&path, input).unwrap();
            let refused = AtomicBool::new(false);
            let note = |said: &str| {
                if said.contains("beginning again") {
                    refused.store(true, Ordering::Relaxed);
                }
            };
            // what goes on goes on to the end; what begins again is known to end well
            let ended = run(&|_| !refused.load(Ordering::Relaxed), &note).is_ok();
            assert!(!(ended && refused.load(Ordering::Relaxed)));
            match ended {
                true => Outcome::Read,
                false => Outcome::Refused,
            }
        },
    );
}

/// Where the frames of a checkpoint begin and end, the header's first.
fn frames(body: &[u8]) -> Vec<(usize, usize)> {
    let (mut at, mut out) = (8, Vec::new());
    while at + 4 <= body.len() {
        let len = u32::from_le_bytes(body[at..at + 4].try_into().unwrap()) as usize;
        out.push((at + 4, at + 4 + len));
        at += 4 + len;
    }
    out
}

fn with_frame(body: &[u8], (start, end): (usize, usize), frame: &[u8]) -> Vec<u8> {
    let len = (frame.len() as u32).to_le_bytes();
    [&body[..start - 4], &len, frame, &body[end..]].concat()
}

fn with_odd_header(body: &[u8], random: &mut Random) -> Vec<u8> {
    let (start, end) = frames(body)[0];
    let mut header: Value = serde_json::from_slice(&body[start..end]).unwrap();
    for key in ["cursor", "done", "batch_tokens"] {
        if random.below(2) == 0 {
            let changed = mutate::json(header[key].to_string().as_bytes(), random);
            header[key] = serde_json::from_slice(&changed).unwrap_or(Value::Null);
        }
    }
    with_frame(body, (start, end), header.to_string().as_bytes())
}

fn with_odd_block(body: &[u8], random: &mut Random) -> Vec<u8> {
    let frames = frames(body);
    let (start, end) = frames[1 + random.below(frames.len() - 1)];
    let block = zstd::decode_all(&body[start..end]).unwrap();
    let changed = mutate::bytes(&block, random);
    with_frame(
        body,
        (start, end),
        &zstd::bulk::compress(&changed, 1).unwrap(),
    )
}
