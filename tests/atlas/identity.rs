//! An atlas is joined with nothing that is not its own, and nothing outside its folder is touched for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Project, analyze_command, change_json, copy, corpus, data_command, fail, files, model,
    neuroscope, scan_command, succeed, tokenize_command,
};

/// A project with an atlas of the tiny Llama.
fn project() -> Project {
    Project::new().scan("llama", 12, &[])
}

/// Another corpus than that of [`project`], in documents that are shorter.
fn other_corpus(project: &Path) -> PathBuf {
    let path = project.join("other.jsonl");
    let line = |i| json!({"text": format!("net {i}"), "id": format!("doc-{i}")}).to_string();
    let lines: Vec<String> = (0..30).map(line).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// The commands that read an atlas with its corpus all refuse it for a reason.
fn all_refuse(project: &Path, what: &[&str]) {
    let data = project.join("data/llama");
    fail(neuroscope(project).arg("build"), what);
    fail(&mut analyze_command(project, &data, &model("llama")), what);
    fail(&mut data_command(project, "verify", &data), what);
}

#[test]
fn a_corpus_that_an_atlas_needs_is_not_replaced() {
    let dir = project();
    let (data, other) = (dir.join("data/llama"), other_corpus(&dir));
    let before = files(&data);
    for (name, more) in [("tokenize", None), ("scan", None), ("scan", Some("--plan"))] {
        let command = match name {
            "scan" => scan_command,
            _ => tokenize_command,
        };
        fail(
            command(&dir, &model("llama"), &other).args(more),
            &[
                "data/llama/corpus` holds the corpus that",
                "different files",
                "--name",
            ],
        );
        assert!(files(&data) == before);
    }
    // the same files read in another way are other texts
    change_field(&dir, &data, &before);
    // the model's other tokenizer makes other tokens of the same text
    let mut command = tokenize_command(&dir, &model("gpt2"), &dir.join("corpus.jsonl"));
    fail(command.arg("--data").arg(&data), &["different tokens"]);
    assert!(files(&data) == before);
    // under another name, and again, it is read
    let mut command = scan_command(&dir, &model("llama"), &other);
    succeed(command.args(["--name", "second"]));
    dir.scan_here("llama", 12, &[]);
    dir.build(&[]);
}

/// Reads another field of the same file, which takes reading it to see that the texts are others.
fn change_field(project: &Path, data: &Path, before: &[(String, Vec<u8>)]) {
    let mut command = tokenize_command(project, &model("llama"), &project.join("corpus.jsonl"));
    fail(command.args(["--text-field", "id"]), &["different texts"]);
    assert!(files(data) == before);
}

#[test]
fn a_part_needs_its_corpus_too() {
    let dir = Project::new().scan("llama", 12, &["--part", "0/2"]);
    let before = files(&dir.join("data"));
    let other = other_corpus(&dir);
    let mut command = tokenize_command(&dir, &model("llama"), &other);
    fail(&mut command, &["parts/part-00000-of-00002` was scanned on"]);
    assert!(files(&dir.join("data")) == before);
}

/// A scan that takes some seconds.
fn slow_scan(project: &Path, text: &Path) -> Command {
    let mut command = scan_command(project, &model("llama"), text);
    command.args(["--n-ctx", "8", "--batch-tokens", "1"]);
    command
}

/// Waits until a file is there, or a minute is over.
fn wait_for(path: &Path) {
    for _ in 0..6000 {
        if path.exists() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("{} does not come", path.display());
}

#[test]
fn a_corpus_that_a_running_or_stopped_scan_needs_is_not_replaced() {
    let dir = Project::new();
    let text = dir.join("corpus.jsonl");
    corpus(&text, 400);
    let other = other_corpus(&dir);
    let data = dir.data("llama");
    let mut running = slow_scan(&dir, &text)
        .args(["--checkpoint-every", "0"])
        .spawn()
        .unwrap();
    wait_for(&data.join("parts/.part-00000-of-00001.checkpoint"));
    let before = files(&data.join("corpus"));
    let mut tokenize = tokenize_command(&dir, &model("llama"), &other);
    let mut scan = slow_scan(&dir, &other);
    for command in [&mut tokenize, &mut scan] {
        fail(
            command,
            &["corpus` holds another corpus, which a running scan is using"],
        );
        assert!(running.try_wait().unwrap().is_none(), "it ended too soon");
    }
    running.kill().unwrap();
    running.wait().unwrap();
    for command in [&mut tokenize, &mut scan] {
        fail(
            command,
            &[".part-00000-of-00001.checkpoint` was scanned on"],
        );
    }
    assert!(files(&data.join("corpus")) == before);
}

#[test]
fn parts_of_another_corpus_do_not_replace_an_atlas() {
    let (own, other) = (project(), Project::new().scan("llama", 20, &[]));
    let data = own.data("llama");
    let atlas = files(&data.join("atlas"));
    fs::remove_dir_all(data.join("parts")).unwrap();
    copy(&other.data("llama").join("parts"), &data.join("parts"));
    for more in [&[][..], &["--model", model("llama").to_str().unwrap()]] {
        fail(
            data_command(&own, "merge", &data).args(more),
            &["does not describe the corpus that was scanned"],
        );
        assert!(files(&data.join("atlas")) == atlas);
    }
}

#[test]
fn a_part_with_other_options_is_refused_before_it_is_scanned() {
    let dir = Project::new().scan("llama", 12, &["--part", "0/2"]);
    let mut command = scan_command(&dir, &model("llama"), &dir.join("corpus.jsonl"));
    command.args(["--part", "1/2", "--tau", "0.9"]);
    let what = [
        "part-00000-of-00002` has another policy",
        "could not be merged",
    ];
    fail(&mut command, &what);
    assert!(!dir.join("data/llama/parts/part-00001-of-00002").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn pipes_are_not_waited_for() {
    let dir = project();
    let data = dir.data("llama");
    for (file, command) in [
        ("atlas/manifest.json", "verify"),
        ("corpus/manifest.json", "verify"),
        (".atlas.lock", "merge"),
        (".corpus.lock", "tokenize"),
    ] {
        let path = data.join(file);
        let before = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let mut run = match command {
            "tokenize" => tokenize_command(&dir, &model("llama"), &dir.join("corpus.jsonl")),
            command => data_command(&dir, command, &data),
        };
        fail(&mut run, &[file.rsplit('/').next().unwrap()]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, before).unwrap();
    }
}

#[test]
fn a_corpus_that_is_lost_or_damaged_can_be_made_again() {
    // in this folder, whose path the corpus names
    let dir = Project::new();
    dir.scan_here("llama", 12, &[]);
    let data = dir.data("llama");
    let before = files(&data);
    fs::remove_dir_all(data.join("corpus")).unwrap();
    let tokenize = |corpus: &Path| tokenize_command(&dir, &model("llama"), corpus);
    let again = || tokenize(&dir.join("corpus.jsonl"));
    // another one does not take its place
    fail(&mut tokenize(&other_corpus(&dir)), &["different texts"]);
    assert!(!data.join("corpus").exists());
    succeed(&mut again());
    assert!(files(&data) == before);
    fs::write(data.join("corpus/index.bin"), "damaged").unwrap();
    succeed(&mut again());
    assert!(files(&data) == before);
}

#[test]
fn text_of_another_corpus_is_not_shown() {
    let dir = project();
    let data = dir.data("llama");
    let other = Project::new();
    let text = other_corpus(&other);
    succeed(&mut tokenize_command(&other, &model("llama"), &text));
    let own = other.join("own");
    copy(&data.join("corpus"), &own);
    fs::remove_dir_all(data.join("corpus")).unwrap();
    copy(&other.data("llama").join("corpus"), &data.join("corpus"));
    all_refuse(&dir, &["corpus", "expected "]);
    assert!(!dir.join("site/llama").exists());

    // under the manifest of the right one
    fs::copy(own.join("manifest.json"), data.join("corpus/manifest.json")).unwrap();
    all_refuse(&dir, &["corpus/", "is damaged"]);

    // in other tokens
    fs::remove_dir_all(data.join("corpus")).unwrap();
    copy(&own, &data.join("corpus"));
    change_json(&data.join("corpus/manifest.json"), |manifest| {
        manifest["tokenizer_sha256"] = json!("0".repeat(64));
    });
    all_refuse(&dir, &["different tokenizer"]);
}

#[test]
fn a_name_in_a_manifest_is_one_in_its_folder() {
    let dir = project();
    let data = dir.data("llama");
    let mine = dir.join("mine.txt");
    fs::write(&mine, "mine").unwrap();
    let absolute = mine.to_str().unwrap();
    for (folder, name) in [
        ("atlas", absolute),
        ("atlas", "../../../mine.txt"),
        ("atlas", "sub/neurons.parquet"),
        ("atlas", ".."),
        ("atlas", ""),
        ("atlas", "manifest.json"),
        ("atlas", "a\\b"),
        ("atlas", "a\u{0}"),
        ("atlas", "C:mine.txt"),
        ("atlas", "neurons.parquet"),
        ("corpus", absolute),
        ("corpus", "../../../mine.txt"),
        ("parts/part-00000-of-00001", absolute),
    ] {
        let path = data.join(folder).join("manifest.json");
        let before = fs::read(&path).unwrap();
        change_json(&path, |manifest| {
            let entry = json!({"name": name, "bytes": 4, "sha256": "00"});
            manifest["files"].as_array_mut().unwrap().push(entry);
        });
        let what = [folder, "manifest.json` is not a manifest that can be read"];
        match folder.starts_with("parts") {
            true => {
                fail(&mut data_command(&dir, "merge", &data), &what);
                fail(&mut data_command(&dir, "verify", &data), &what);
            }
            false => all_refuse(&dir, &what),
        }
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
        fs::write(&path, before).unwrap();
    }
    succeed(&mut data_command(&dir, "verify", &data));
}

#[test]
fn a_manifest_names_all_its_files() {
    let dir = project();
    let data = dir.data("llama");
    for (folder, missing) in [
        ("atlas", "layer-000.stats.parquet"),
        ("atlas", "layer-001.examples.parquet"),
        ("atlas", "layer-001.weights.parquet"),
        ("atlas", "neurons.parquet"),
        ("atlas", "tokens.parquet"),
        ("corpus", "index.bin"),
        ("corpus", "tokens-00000.bin"),
        ("corpus", "tokenizer.json"),
        ("parts/part-00000-of-00001", "layer-000.examples.parquet"),
    ] {
        let path = data.join(folder).join("manifest.json");
        let before = fs::read(&path).unwrap();
        change_json(&path, |manifest| {
            let list = manifest["files"].as_array_mut().unwrap();
            list.retain(|file| file["name"] != missing);
        });
        let what = [missing, "is not listed in its manifest"];
        match folder.starts_with("parts") {
            true => drop(fail(&mut data_command(&dir, "merge", &data), &what)),
            false => all_refuse(&dir, &what),
        }
        fs::write(&path, before).unwrap();
    }
}

#[test]
fn sizes_that_no_model_has_are_refused() {
    let dir = project();
    let path = dir.join("data/llama/atlas/manifest.json");
    let before = fs::read(&path).unwrap();
    for (at, value) in [
        ("/scan/model/d_mlp", json!(4_000_000_000u32)),
        ("/scan/model/d_mlp", json!(0)),
        ("/scan/model/n_layers", json!(4_000_000_000u32)),
        ("/scan/model/n_layers", json!(0)),
        ("/scan/model/d_vocab", json!(4_000_000_000u32)),
        ("/scan/model/d_model", json!(-1)),
        ("/scan/policy/n_ctx", json!(0)),
        ("/scan/policy/stats/window_after", json!(4_294_967_295u32)),
        ("/scan/policy/stats/top_k", json!(1u64 << 60)),
        ("/scan/policy/stats/tau", Value::Null),
        ("/scan/corpus/n_documents", json!(1u64 << 60)),
        ("/files", json!({})),
    ] {
        change_json(&path, |manifest| *manifest.pointer_mut(at).unwrap() = value);
        all_refuse(&dir, &["atlas/manifest.json` is not a manifest"]);
        fs::write(&path, &before).unwrap();
    }
}

#[test]
fn parts_have_all_documents_once() {
    let dir = Project::new().scan("llama", 12, &["--part", "0/2"]);
    dir.scan_here("llama", 12, &["--part", "1/2"]);
    let data = dir.data("llama");
    let path = |part: u32| data.join(format!("parts/part-0000{part}-of-00002/manifest.json"));
    for (part, which, documents) in [
        (0, 0, json!(1)),
        (0, 1, json!(0)),
        (1, 0, json!(0)),
        (1, 1, json!(4)),
    ] {
        let before = fs::read(path(part)).unwrap();
        change_json(&path(part), |manifest| {
            manifest["documents"][which] = documents
        });
        fail(
            &mut data_command(&dir, "merge", &data),
            &["does not fit its manifest", "documents"],
        );
        fs::write(path(part), before).unwrap();
    }
    succeed(&mut data_command(&dir, "merge", &data));
}

#[cfg(unix)]
#[test]
fn what_a_link_points_to_is_not_written() {
    use std::os::unix::fs::symlink;
    let dir = Project::new();
    let mine = dir.join("mine.txt");
    fs::write(&mine, "mine").unwrap();
    let data = dir.data("llama");
    corpus(&dir.join("corpus.jsonl"), 12);
    let scan = || {
        let mut command = scan_command(&dir, &model("llama"), &dir.join("corpus.jsonl"));
        command.args(["--batch-tokens", "64", "--checkpoint-every", "0"]);
        command
    };
    fs::create_dir_all(data.join("parts")).unwrap();
    for lock in [
        ".corpus.lock",
        "parts/.part-00000-of-00001.lock",
        ".atlas.lock",
    ] {
        symlink(&mine, data.join(lock)).unwrap();
        fail(&mut scan(), &[lock, "it is a link, which is not followed"]);
        fs::remove_file(data.join(lock)).unwrap();
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    }
    // the names of temporary files are ours: a link in their place goes, its target stays
    fs::remove_dir_all(&data).unwrap();
    fs::create_dir_all(data.join("parts")).unwrap();
    for file in ["parts/.part-00000-of-00001.checkpoint-new", "manifest.new"] {
        symlink(&mine, data.join(file)).unwrap();
    }
    succeed(&mut scan());
    assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    // folders that only look like ours
    let own = data.join(".atlas-notes");
    fs::create_dir(&own).unwrap();
    succeed(&mut data_command(&dir, "merge", &data));
    assert!(own.is_dir());
}

#[test]
fn damaged_parts_and_atlases_are_refused_by_name() {
    let project = Project::new().scan("llama", 12, &["--name", "tiny"]);
    let data = project.data("tiny");
    let merge = || data_command(&project, "merge", &data);
    let file = data.join("parts/part-00000-of-00001/layer-001.examples.parquet");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, &bytes).unwrap();
    fail(&mut merge(), &["layer-001.examples.parquet", "SHA-256"]);
    fs::write(&file, &bytes[..middle]).unwrap();
    fail(
        &mut merge(),
        &["layer-001.examples.parquet", "its length is"],
    );
    fs::remove_file(&file).unwrap();
    fail(&mut merge(), &["layer-001.examples.parquet", "missing"]);

    let manifest = data.join("atlas/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("neuroscope/atlas/v1", "neuroscope/atlas/v9"),
    )
    .unwrap();
    project.build_refused(
        &[],
        &[
            "manifest.json",
            "`neuroscope/atlas/v9`",
            "reads `neuroscope/atlas/v1`",
        ],
    );
    fs::write(&manifest, &text[..text.len() / 2]).unwrap();
    project.build_refused(&[], &["manifest.json"]);
}
