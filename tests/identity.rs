//! An atlas is joined with nothing that is not its own, and nothing outside its folder is touched for it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{corpus, fail, files, model, neuroscope, run, scan, succeed};

/// A project with an atlas of the tiny Llama.
fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    scan(dir.path(), "llama", 12, &[]);
    dir
}

/// Another corpus than that of [`project`], in documents that are shorter.
fn other_corpus(project: &Path) -> PathBuf {
    let path = project.join("other.jsonl");
    let line = |i| json!({"text": format!("net {i}"), "id": format!("doc-{i}")}).to_string();
    let lines: Vec<String> = (0..30).map(line).collect();
    fs::write(&path, lines.join("\n")).unwrap();
    path
}

/// Changes a JSON file.
fn change(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut value: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, value.to_string()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    for (name, bytes) in files(from) {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}

/// The commands that read an atlas with its corpus all refuse it for a reason.
fn all_refuse(project: &Path, what: &[&str]) {
    let data = project.join("data/llama");
    fail(neuroscope(project).arg("build"), what);
    fail(
        neuroscope(project)
            .arg("analyze")
            .arg(&data)
            .arg("--model")
            .arg(model("llama")),
        what,
    );
    fail(neuroscope(project).arg("verify").arg(&data), what);
}

#[test]
fn a_corpus_that_an_atlas_needs_is_not_replaced() {
    let dir = project();
    let (data, other) = (dir.path().join("data/llama"), other_corpus(dir.path()));
    let before = files(&data);
    for (name, more) in [("tokenize", None), ("scan", None), ("scan", Some("--plan"))] {
        let mut command = neuroscope(dir.path());
        command.arg(name).arg("--model").arg(model("llama"));
        command.arg("--corpus").arg(&other).args(more);
        fail(
            &mut command,
            &[
                "data/llama/corpus` holds the corpus that",
                "other files",
                "--name",
            ],
        );
        assert!(files(&data) == before);
    }
    // the same files read in another way are other texts
    change_field(dir.path(), &data, &before);
    // the model's other tokenizer makes other tokens of the same text
    let mut command = neuroscope(dir.path());
    command
        .arg("tokenize")
        .arg("--model")
        .arg(model("gpt2"))
        .arg("--data")
        .arg(&data);
    command.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
    fail(&mut command, &["other tokens"]);
    assert!(files(&data) == before);
    // under another name, and again, it is read
    let mut command = neuroscope(dir.path());
    command
        .arg("scan")
        .arg("--model")
        .arg(model("llama"))
        .args(["--name", "second"]);
    succeed(command.arg("--corpus").arg(&other));
    scan(dir.path(), "llama", 12, &[]);
    succeed(neuroscope(dir.path()).arg("build"));
}

/// Reads another field of the same file, which takes reading it to see that the texts are others.
fn change_field(project: &Path, data: &Path, before: &[(String, Vec<u8>)]) {
    let mut command = neuroscope(project);
    command.arg("tokenize").arg("--model").arg(model("llama"));
    command
        .args(["--text-field", "id", "--corpus"])
        .arg(project.join("corpus.jsonl"));
    fail(&mut command, &["other texts"]);
    assert!(files(data) == before);
}

#[test]
fn a_part_needs_its_corpus_too() {
    let dir = tempfile::tempdir().unwrap();
    scan(dir.path(), "llama", 12, &["--part", "0/2"]);
    let before = files(&dir.path().join("data"));
    let other = other_corpus(dir.path());
    let mut command = neuroscope(dir.path());
    command
        .arg("tokenize")
        .arg("--model")
        .arg(model("llama"))
        .arg("--corpus")
        .arg(other);
    fail(&mut command, &["parts/part-00000-of-00002` was scanned on"]);
    assert!(files(&dir.path().join("data")) == before);
}

/// A scan that takes some seconds.
fn slow_scan(project: &Path, text: &Path) -> Command {
    let mut command = neuroscope(project);
    command.arg("scan").arg("--model").arg(model("llama"));
    command.args(["--n-ctx", "8", "--batch-tokens", "1", "--corpus"]);
    command.arg(text);
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
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("corpus.jsonl");
    corpus(&text, 400);
    let other = other_corpus(dir.path());
    let data = dir.path().join("data/llama");
    let mut running = slow_scan(dir.path(), &text)
        .args(["--checkpoint-every", "0"])
        .spawn()
        .unwrap();
    wait_for(&data.join("parts/.part-00000-of-00001.checkpoint"));
    let before = files(&data.join("corpus"));
    let mut tokenize = neuroscope(dir.path());
    tokenize.arg("tokenize").arg("--model").arg(model("llama"));
    tokenize.arg("--corpus").arg(&other);
    let mut scan = slow_scan(dir.path(), &other);
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
    let (own, other) = (project(), tempfile::tempdir().unwrap());
    scan(other.path(), "llama", 20, &[]);
    let data = own.path().join("data/llama");
    let atlas = files(&data.join("atlas"));
    fs::remove_dir_all(data.join("parts")).unwrap();
    copy(&other.path().join("data/llama/parts"), &data.join("parts"));
    for more in [&[][..], &["--model", model("llama").to_str().unwrap()]] {
        let mut merge = neuroscope(own.path());
        merge.arg("merge").arg(&data).args(more);
        fail(&mut merge, &["is not of the corpus that was scanned"]);
        assert!(files(&data.join("atlas")) == atlas);
    }
}

#[test]
fn a_part_with_other_options_is_refused_before_it_is_scanned() {
    let dir = tempfile::tempdir().unwrap();
    scan(dir.path(), "llama", 12, &["--part", "0/2"]);
    let mut command = neuroscope(dir.path());
    command.arg("scan").arg("--model").arg(model("llama"));
    command.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
    command.args(["--part", "1/2", "--tau", "0.9"]);
    let what = [
        "part-00000-of-00002` has another policy",
        "could not be merged",
    ];
    fail(&mut command, &what);
    assert!(
        !dir.path()
            .join("data/llama/parts/part-00001-of-00002")
            .exists()
    );
}

#[cfg(target_os = "linux")]
#[test]
fn pipes_are_not_waited_for() {
    let dir = project();
    let data = dir.path().join("data/llama");
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
        let mut run = neuroscope(dir.path());
        match command {
            "tokenize" => {
                run.args(["tokenize", "--model"]).arg(model("llama"));
                run.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
            }
            command => {
                run.arg(command).arg(&data);
            }
        }
        fail(&mut run, &[file.rsplit('/').next().unwrap()]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, before).unwrap();
    }
}

#[test]
fn a_corpus_that_is_lost_or_damaged_can_be_made_again() {
    let dir = project();
    let data = dir.path().join("data/llama");
    let before = files(&data);
    fs::remove_dir_all(data.join("corpus")).unwrap();
    let again = || {
        let mut command = neuroscope(dir.path());
        command.arg("tokenize").arg("--model").arg(model("llama"));
        command.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
        command
    };
    // another one does not take its place
    let mut other = neuroscope(dir.path());
    other.arg("tokenize").arg("--model").arg(model("llama"));
    fail(
        other.arg("--corpus").arg(other_corpus(dir.path())),
        &["other texts"],
    );
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
    let data = dir.path().join("data/llama");
    let other = tempfile::tempdir().unwrap();
    let mut command = neuroscope(other.path());
    command.arg("tokenize").arg("--model").arg(model("llama"));
    succeed(command.arg("--corpus").arg(other_corpus(other.path())));
    let own = other.path().join("own");
    copy(&data.join("corpus"), &own);
    fs::remove_dir_all(data.join("corpus")).unwrap();
    copy(
        &other.path().join("data/llama/corpus"),
        &data.join("corpus"),
    );
    all_refuse(dir.path(), &["corpus", "expected "]);
    assert!(!dir.path().join("site/llama").exists());

    // under the manifest of the right one
    fs::copy(own.join("manifest.json"), data.join("corpus/manifest.json")).unwrap();
    all_refuse(dir.path(), &["corpus/", "is damaged"]);

    // in other tokens
    fs::remove_dir_all(data.join("corpus")).unwrap();
    copy(&own, &data.join("corpus"));
    change(&data.join("corpus/manifest.json"), |manifest| {
        manifest["tokenizer_sha256"] = json!("0".repeat(64));
    });
    all_refuse(dir.path(), &["other tokenizer"]);
}

#[test]
fn a_name_in_a_manifest_is_one_in_its_folder() {
    let dir = project();
    let data = dir.path().join("data/llama");
    let mine = dir.path().join("mine.txt");
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
        change(&path, |manifest| {
            let entry = json!({"name": name, "bytes": 4, "sha256": "00"});
            manifest["files"].as_array_mut().unwrap().push(entry);
        });
        let what = [folder, "manifest.json` is not a manifest that can be read"];
        match folder.starts_with("parts") {
            true => {
                fail(neuroscope(dir.path()).arg("merge").arg(&data), &what);
                fail(neuroscope(dir.path()).arg("verify").arg(&data), &what);
            }
            false => all_refuse(dir.path(), &what),
        }
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
        fs::write(&path, before).unwrap();
    }
    succeed(neuroscope(dir.path()).arg("verify").arg(&data));
}

#[test]
fn a_manifest_names_all_its_files() {
    let dir = project();
    let data = dir.path().join("data/llama");
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
        change(&path, |manifest| {
            let list = manifest["files"].as_array_mut().unwrap();
            list.retain(|file| file["name"] != missing);
        });
        let what = [missing, "is not listed in its manifest"];
        match folder.starts_with("parts") {
            true => drop(fail(neuroscope(dir.path()).arg("merge").arg(&data), &what)),
            false => all_refuse(dir.path(), &what),
        }
        fs::write(&path, before).unwrap();
    }
}

#[test]
fn sizes_that_no_model_has_are_refused() {
    let dir = project();
    let path = dir.path().join("data/llama/atlas/manifest.json");
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
        change(&path, |manifest| *manifest.pointer_mut(at).unwrap() = value);
        all_refuse(dir.path(), &["atlas/manifest.json` is not a manifest"]);
        fs::write(&path, &before).unwrap();
    }
}

#[test]
fn parts_have_all_documents_once() {
    let dir = tempfile::tempdir().unwrap();
    scan(dir.path(), "llama", 12, &["--part", "0/2"]);
    scan(dir.path(), "llama", 12, &["--part", "1/2"]);
    let data = dir.path().join("data/llama");
    let path = |part: u32| data.join(format!("parts/part-0000{part}-of-00002/manifest.json"));
    for (part, which, documents) in [
        (0, 0, json!(1)),
        (0, 1, json!(0)),
        (1, 0, json!(0)),
        (1, 1, json!(4)),
    ] {
        let before = fs::read(path(part)).unwrap();
        change(&path(part), |manifest| {
            manifest["documents"][which] = documents
        });
        fail(
            neuroscope(dir.path()).arg("merge").arg(&data),
            &["does not fit its manifest", "documents"],
        );
        fs::write(path(part), before).unwrap();
    }
    succeed(neuroscope(dir.path()).arg("merge").arg(&data));
}

#[cfg(unix)]
#[test]
fn what_a_link_points_to_is_not_written() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("mine.txt");
    fs::write(&mine, "mine").unwrap();
    let data = dir.path().join("data/llama");
    corpus(&dir.path().join("corpus.jsonl"), 12);
    let scan = || {
        let mut command = neuroscope(dir.path());
        command.arg("scan").arg("--model").arg(model("llama"));
        command.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
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
    succeed(neuroscope(dir.path()).arg("merge").arg(&data));
    assert!(own.is_dir());
}

#[test]
fn options_are_checked_before_anything_is_done() {
    let dir = tempfile::tempdir().unwrap();
    corpus(&dir.path().join("corpus.jsonl"), 4);
    for (option, value, what) in [
        ("--tau", "nan", "`tau` is NaN"),
        ("--tau", "inf", "`tau` is inf"),
        ("--tau=-1", "", "`tau` is -1"),
        (
            "--window-after",
            "4294967295",
            "`window_after` is 4294967295",
        ),
        ("--window-before", "4294967295", "`window_before` is"),
        ("--top-k", "0", "`top_k` is 0; expected 1 to"),
        ("--top-k", "18446744073709551615", "`top_k` is"),
        ("--case-k", "18446744073709551615", "`case_k` is"),
        ("--per-band", "18446744073709551615", "`per_band` is"),
        ("--random", "18446744073709551615", "`random` is"),
        ("--context-tokens", "0", "`context_tokens` is 0"),
        ("--n-ctx", "0", "`n_ctx` is 0"),
        ("--batch-tokens", "0", "`batch_tokens` is 0"),
    ] {
        let mut command = neuroscope(dir.path());
        command.arg("scan").arg("--model").arg(model("llama"));
        command
            .arg("--corpus")
            .arg(dir.path().join("corpus.jsonl"))
            .arg(option);
        if !value.is_empty() {
            command.arg(value);
        }
        let said = run(&mut command);
        assert_eq!(said.code, Some(2), "{option} {value}: {}", said.stderr);
        assert!(said.stderr.contains(what), "{}", said.stderr);
        assert!(!dir.path().join("data").exists());
    }
    // what only the model can tell
    for (option, value, what) in [
        ("--n-ctx", "1", "has no room for text"),
        ("--n-ctx", "1000000", "1000000"),
        ("--device", "cuda:7", "cuda"),
    ] {
        let mut command = neuroscope(dir.path());
        command
            .arg("scan")
            .arg("--model")
            .arg(model("llama"))
            .args([option, value]);
        command.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
        fail(&mut command, &[what]);
        assert!(!dir.path().join("data").exists());
    }
    // and what is needed only after the scan
    for (table, what) in [
        ("kurtosis = nan", "`roles.kurtosis` is NaN"),
        (
            "null_share = 1.5",
            "`roles.null_share` is 1.5; expected 0 to 1",
        ),
    ] {
        let table = format!("[weights.roles]\n{table}\n");
        fs::write(dir.path().join("neuroscope.toml"), table).unwrap();
        let mut command = neuroscope(dir.path());
        command.arg("scan").arg("--model").arg(model("llama"));
        command.arg("--corpus").arg(dir.path().join("corpus.jsonl"));
        let said = run(&mut command);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        assert!(said.stderr.contains(what), "{}", said.stderr);
    }
    assert!(!dir.path().join("data").exists());
}

#[test]
fn names_that_no_site_can_have_are_refused_before_the_scan() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path().join("project");
    fs::create_dir(&project).unwrap();
    corpus(&project.join("corpus.jsonl"), 4);
    let scan = |name: &str| {
        let mut command = neuroscope(&project);
        command.arg("scan").arg("--model").arg(model("llama"));
        command.arg("--corpus").arg(project.join("corpus.jsonl"));
        command.arg(format!("--name={name}"));
        command
    };
    for name in [
        "a/b",
        "../outside",
        "..",
        "",
        "a b",
        "é",
        "api",
        "Assets",
        "con",
        "x.html",
        ".hidden",
        "a\\b",
    ] {
        let said = fail(&mut scan(name), &["cannot be a model's name"]);
        assert!(said.stderr.contains("--name"), "{}", said.stderr);
        assert!(!project.join("data").exists(), "{name}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "{name}");
    }
    // where the case of letters does not count, two names are one folder
    succeed(&mut scan("Tiny"));
    fail(&mut scan("tiny"), &["Tiny"]);
    assert!(!project.join("data/tiny").exists());
    succeed(&mut scan("Tiny"));
    let mut elsewhere = scan("tINY");
    elsewhere.arg("--data").arg(project.join("data/other"));
    fail(&mut elsewhere, &["Tiny"]);
}
