//! Models by name, from a small hub on the loopback interface that serves the fixtures, with all that can go wrong.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::hub::{Hub, Repository, STALL, TOKEN, sha256};
use crate::support::{fail, files, model, neuroscope, succeed};

/// The config that the program reads from a fixture's own folder.
fn local_config(name: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(
        neuroscope(dir.path())
            .arg("model")
            .arg(model(name))
            .arg("--json"),
    );
    said.json()["config"].clone()
}

#[test]
fn a_model_is_fetched_once_and_then_needs_no_network() {
    let hub = Hub::start();
    hub.add("test/mistral", "ab", &model("mistral"));
    let found = succeed(&mut hub.model("test/mistral")).json();
    assert_eq!(found["config"], local_config("mistral"));
    assert_eq!(
        (&found["name"], &found["source"]),
        (&json!("mistral"), &json!("test/mistral"))
    );
    assert_eq!(found["revision"], "ab".repeat(20));
    let fetched = hub.state().starts.len();
    assert_eq!(fetched, 3, "each of three shards once");

    // what is there is not fetched again
    assert_eq!(succeed(&mut hub.model("test/mistral")).json(), found);
    assert_eq!(hub.state().starts.len(), fetched);
    // without a network, or without leave to use it, what is there does
    let requests = hub.state().requests;
    let mut offline = hub.model("test/mistral");
    assert_eq!(succeed(offline.env("HF_HUB_OFFLINE", "1")).json(), found);
    assert_eq!(hub.state().requests, requests);
    let mut nowhere = hub.model("test/mistral");
    assert_eq!(
        succeed(nowhere.env("HF_ENDPOINT", "http://127.0.0.1:9")).json(),
        found
    );
    // what is not there cannot be had
    let mut other = hub.model("test/llama");
    fail(
        other.env("HF_HUB_OFFLINE", "1"),
        &["HF_HUB_OFFLINE", "hint: "],
    );
    fail(
        other
            .env_remove("HF_HUB_OFFLINE")
            .env("HF_ENDPOINT", "http://127.0.0.1:9"),
        &["cannot fetch `test/llama`"],
    );
}

#[test]
fn revisions_are_kept_apart() {
    let hub = Hub::start();
    let mut repository = hub.add("test/llama", "01", &model("llama3"));
    let first = succeed(&mut hub.model("test/llama")).json();
    // the branch moves on; the earlier commit is still to be had
    repository = Repository {
        commit: "02".repeat(20),
        files: files(&model("llama")).into_iter().collect(),
        ..repository
    };
    hub.put("test/llama", &repository);
    let second = succeed(&mut hub.model("test/llama")).json();
    assert_eq!(second["revision"], "02".repeat(20));
    assert_ne!(first["config"], second["config"]);
    let earlier = format!("test/llama@{}", "01".repeat(20));
    assert_eq!(
        succeed(&mut hub.model(&earlier)).json()["config"],
        first["config"]
    );
    fail(
        &mut hub.model("test/llama@nope"),
        &["has no `test/llama@nope`", "hint: "],
    );
    fail(&mut hub.model("test/nothing"), &["has no `test/nothing`"]);
}

#[test]
fn broken_downloads_go_on_where_they_broke() {
    let hub = Hub::start();
    hub.add("test/llama", "ab", &model("llama"));
    hub.state().breaks = 2;
    succeed(&mut hub.model("test/llama"));
    let starts = std::mem::take(&mut hub.state().starts);
    assert!(starts.iter().any(|start| *start > 0), "{starts:?}");

    // also when the program gave up in between
    let again = Hub::start();
    again.add("test/llama", "ab", &model("llama"));
    again.state().breaks = 6;
    fail(
        &mut again.model("test/llama"),
        &["cannot fetch `test/llama/", "run the command again"],
    );
    again.state().breaks = 0;
    again.state().starts.clear();
    succeed(&mut again.model("test/llama"));
    let starts = std::mem::take(&mut again.state().starts);
    assert!(starts[0] > 0, "{starts:?}");
}

#[test]
fn a_hub_that_fails_for_a_while_and_programs_side_by_side() {
    let hub = Hub::start();
    hub.add("test/llama", "ab", &model("llama"));
    hub.state().fails = 2;
    let mut children: Vec<_> = (0..3)
        .map(|_| {
            hub.model("test/llama")
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(hub.state().starts, [0], "three programs, one download");
    // where the branch moves on to something that cannot be had, what is there is not lost
    let mut moved = hub.add("test/llama", "cd", &model("llama3"));
    moved.files.remove("model.safetensors");
    moved.files.remove("model.gguf");
    hub.put("test/llama", &moved);
    fail(&mut hub.model("test/llama"), &["has no weights"]);
    let mut offline = hub.model("test/llama");
    let said = succeed(offline.env("HF_HUB_OFFLINE", "1"));
    assert_eq!(said.json()["revision"], "ab".repeat(20));
    assert!(
        said.stderr
            .contains("note: using commit abababababab of `test/llama` from the cache")
    );
}

#[test]
fn damaged_files_are_refused_and_forgotten() {
    let hub = Hub::start();
    hub.add("test/llama", "ab", &model("llama"));
    hub.state().damages = true;
    fail(
        &mut hub.model("test/llama"),
        &["was damaged on the way: its SHA-256 is", "hint: "],
    );
    hub.state().damages = false;
    let found = succeed(&mut hub.model("test/llama")).json();
    assert_eq!(found["config"], local_config("llama"));
}

#[test]
fn gated_models_need_a_token() {
    let hub = Hub::start();
    let repository = hub.add("test/gated", "ab", &model("llama"));
    let gated = Repository {
        gated: true,
        ..repository
    };
    hub.put("test/gated", &gated);
    let denied = [
        "denies access to `test/gated` (HTTP status 401)",
        "HF_TOKEN",
    ];
    fail(&mut hub.model("test/gated"), &denied);
    succeed(hub.model("test/gated").env("HF_TOKEN", TOKEN));
    // or the one that `hf auth login` wrote
    let other = Hub::start();
    other.put("test/gated", &gated);
    fs::create_dir_all(other.cache.path().join("hf")).unwrap();
    fs::write(other.cache.path().join("hf/token"), format!("{TOKEN}\n")).unwrap();
    succeed(&mut other.model("test/gated"));
}

#[test]
fn files_and_tokenizers_of_other_repositories() {
    let hub = Hub::start();
    // one file of a repository
    let mut gguf = Repository {
        commit: "0a".repeat(20),
        ..Repository::default()
    };
    let bytes = fs::read(model("qwen3").join("model.gguf")).unwrap();
    gguf.files.insert("tiny.gguf".into(), bytes);
    hub.put("test/gguf", &gguf);
    let found = succeed(&mut hub.model("test/gguf/tiny.gguf")).json();
    assert_eq!(
        (&found["name"], &found["config"]["family"]),
        (&json!("tiny"), &json!("qwen3"))
    );
    fail(
        &mut hub.model("test/gguf/other.gguf"),
        &["has no `test/gguf/other.gguf`"],
    );

    // TransformerLens' models name the repository of their tokenizer
    let mut solu = Repository {
        commit: "0b".repeat(20),
        files: files(&model("solu")).into_iter().collect(),
        ..Repository::default()
    };
    let tokenizer = solu.files.remove("tokenizer.json").unwrap();
    solu.files.remove("tokenizer_config.json");
    let mut config: Value = serde_json::from_slice(&solu.files["config.json"]).unwrap();
    config["tokenizer_name"] = json!("test/tokenizer");
    solu.files
        .insert("config.json".into(), config.to_string().into_bytes());
    hub.put("test/solu", &solu);
    let mut other = Repository {
        commit: "0c".repeat(20),
        ..Repository::default()
    };
    other.files.insert("tokenizer.json".into(), tokenizer);
    let named = br#"{"bos_token": "<|bos|>"}"#;
    other
        .files
        .insert("tokenizer_config.json".into(), named.to_vec());
    hub.put("test/tokenizer", &other);
    let found = succeed(&mut hub.model("test/solu")).json();
    assert_eq!(found["bos"], json!({"id": 0, "token": "<|bos|>"}));
    assert_eq!(found["ranking_hook"], "hook_mid");
}

#[test]
fn what_is_no_name_is_a_path() {
    let dir = tempfile::tempdir().unwrap();
    for path in ["./nowhere", "no/such/folder", "/nowhere", "nowhere.gguf"] {
        let said = fail(
            neuroscope(dir.path()).args(["model", path]),
            &["there is no model", "hint: "],
        );
        assert!(said.stderr.contains(path));
    }
}

/// The names of what lies in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// As `huggingface_hub` reads it; its rules are checked one by one in `src/load/hub/environment.rs`.
#[test]
fn the_environment_says_where_the_cache_and_the_token_are() {
    let hub = Hub::start();
    let repository = hub.add("test/gated", "ab", &model("llama"));
    let gated = Repository {
        gated: true,
        ..repository
    };
    hub.put("test/gated", &gated);
    let home = hub.cache.path();
    let snapshot = format!("models--test--gated/snapshots/{}", gated.commit);
    // each with a cache of its own, so that the token is needed each time
    let caches: [(&[(&str, &str)], &str); 5] = [
        (
            &[("HF_HOME", "~/a"), ("HF_TOKEN", " hf_let_me_in\r\n")],
            "a/hub",
        ),
        (
            &[
                ("HF_HOME", ""),
                ("XDG_CACHE_HOME", "~/b"),
                ("HF_TOKEN", TOKEN),
            ],
            "b/huggingface/hub",
        ),
        (
            &[
                ("HF_HUB_CACHE", "$HOME/c"),
                ("HUGGING_FACE_HUB_TOKEN", TOKEN),
            ],
            "c",
        ),
        (
            &[
                ("HUGGINGFACE_HUB_CACHE", "~/d"),
                ("HF_TOKEN_PATH", "~/token"),
            ],
            "d",
        ),
        (&[("HF_HOME", "~"), ("HF_TOKEN", "\n")], "hub"),
    ];
    fs::write(home.join("token"), format!("{TOKEN}\n\n")).unwrap();
    for (variables, cache) in caches {
        let mut command = hub.model("test/gated");
        command.env("HOME", home).envs(variables.iter().copied());
        succeed(&mut command);
        let config = home.join(cache).join(&snapshot).join("config.json");
        assert!(config.exists(), "{variables:?}");
    }
    assert!(!names(home).contains(&"~".to_owned()));

    // what cannot be meant is said, and a token is never shown
    let said = fail(
        hub.model("test/gated").env("HF_TOKEN", "hf_sec\u{e9}ret"),
        &["`HF_TOKEN` holds characters that no token has", "hint: "],
    );
    assert!(!said.stderr.contains("sec"), "{}", said.stderr);
    let mut endpoint = hub.model("test/gated");
    fail(
        endpoint.env("HF_ENDPOINT", "hf-mirror.com"),
        &["`HF_ENDPOINT`", "https://"],
    );
    let mut timeout = hub.model("test/gated");
    fail(
        timeout.env("HF_HUB_DOWNLOAD_TIMEOUT", "soon"),
        &["`HF_HUB_DOWNLOAD_TIMEOUT`"],
    );
    let mut offline = hub.model("test/other");
    fail(
        offline.env("TRANSFORMERS_OFFLINE", "yes"),
        &["TRANSFORMERS_OFFLINE is set"],
    );
}

#[test]
fn a_body_that_stalls_is_given_up_and_taken_up_later() {
    let hub = Hub::start();
    hub.add("test/llama", "ab", &model("llama"));
    // once or twice, another connection brings the rest
    hub.state().stalls = 2;
    let patient = |name: &str| {
        let mut command = hub.model(name);
        command
            .env("HF_HUB_DOWNLOAD_TIMEOUT", "1")
            .env("HF_HUB_ETAG_TIMEOUT", "1");
        command
    };
    let started = Instant::now();
    succeed(&mut patient("test/llama"));
    assert!(started.elapsed() < STALL / 2, "{:?}", started.elapsed());

    // a hub that answers nothing, or always stalls
    hub.add("test/gpt2", "cd", &model("gpt2"));
    hub.state().silences = 100;
    let started = Instant::now();
    fail(
        &mut patient("test/gpt2"),
        &["cannot fetch `test/gpt2`", "timeout"],
    );
    assert!(started.elapsed() < STALL / 2, "{:?}", started.elapsed());
    hub.state().silences = 0;
    hub.state().stalls = 100;
    fail(
        &mut patient("test/gpt2"),
        &["cannot fetch `test/gpt2/model.safetensors`", "timeout"],
    );
    hub.state().stalls = 0;
    hub.state().starts.clear();
    succeed(&mut patient("test/gpt2"));
    assert!(hub.state().starts[0] > 0, "{:?}", hub.state().starts);
}

#[cfg(unix)]
#[test]
fn an_interrupt_ends_a_download_that_stalls_and_keeps_what_came() {
    let hub = Hub::start();
    hub.add("test/llama", "ab", &model("llama"));
    hub.state().stalls = 1;
    let mut child = hub
        .model("test/llama")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let blobs = hub.folder("test/llama").join("blobs");
    let part = || {
        // the weights alone are called by their SHA-256
        let of_weights = |name: &&String| {
            let hash = name.strip_suffix(".incomplete");
            hash.is_some_and(|hash| hash.len() == 64)
        };
        names(&blobs).iter().find(of_weights).cloned()
    };
    let come = || part().is_some_and(|part| fs::metadata(blobs.join(part)).unwrap().len() > 0);
    let started = Instant::now();
    while !come() && started.elapsed() < STALL / 2 {
        thread::sleep(Duration::from_millis(20));
    }
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.unwrap().success());
    let asked = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None => assert!(asked.elapsed() < Duration::from_secs(5), "it goes on"),
        }
        thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(130));
    assert!(part().is_some());
    hub.state().starts.clear();
    succeed(&mut hub.model("test/llama"));
    assert!(hub.state().starts[0] > 0, "{:?}", hub.state().starts);
}

#[test]
fn no_more_is_fetched_than_was_announced() {
    let hub = Hub::start();
    let repository = hub.add("test/llama", "ab", &model("llama"));
    let len = repository.files["model.safetensors"].len() as u64;
    hub.state().repeats = 100;
    let more = format!("more bytes came than the {len} that were announced");
    fail(
        &mut hub.model("test/llama"),
        &["cannot fetch `", "model.safetensors", &more],
    );
    let blobs = hub.folder("test/llama").join("blobs");
    for name in names(&blobs) {
        assert!(fs::metadata(blobs.join(name)).unwrap().len() <= len);
    }
    hub.state().repeats = 0;
    for size in [1 << 50, u64::MAX] {
        hub.state().forged.size = Some(size);
        fail(
            &mut hub.model("test/llama"),
            &[&format!("it has {size} bytes; at most")],
        );
    }
    hub.state().forged.size = None;
    succeed(&mut hub.model("test/llama"));

    // answers that are not files have an end as well
    let mut endless = Repository {
        commit: "cd".repeat(20),
        ..Repository::default()
    };
    for i in 0..400_000 {
        endless.files.insert(format!("{i:060}"), Vec::new());
    }
    hub.put("test/endless", &endless);
    fail(
        &mut hub.model("test/endless"),
        &["cannot fetch", "its answer is longer than"],
    );
}

#[test]
fn names_from_the_hub_lead_nowhere_outside_the_cache() {
    let hub = Hub::start();
    let outside = hub.cache.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("mine"), "mine").unwrap();
    let mut repository = hub.add("test/llama", "ab", &model("llama"));
    let outside_text = outside.display().to_string();
    let good = repository.commit.clone();
    let commits = [
        "../../../../outside",
        &outside_text,
        "..",
        "main",
        "",
        &good[1..],
        &"zz".repeat(20),
    ];
    for commit in commits {
        repository.commit = commit.to_owned();
        hub.state()
            .repositories
            .insert("test/llama@main".into(), repository.clone());
        fail(
            &mut hub.model("test/llama"),
            &["cannot fetch `test/llama`", "names no commit"],
        );
    }
    // of another commit than was asked for
    repository.commit = "cd".repeat(20);
    let asked = format!("test/llama@{good}");
    hub.state()
        .repositories
        .insert(asked.clone(), repository.clone());
    fail(
        &mut hub.model(&asked),
        &["its answer is about another commit"],
    );
    repository.commit = good;
    hub.put("test/llama", &repository);

    for etag in [
        "../../../../outside/mine",
        &outside_text,
        "..",
        "",
        "a/b",
        &"a".repeat(200),
    ] {
        hub.state().forged.etag = Some(etag.to_owned());
        fail(
            &mut hub.model("test/llama"),
            &["it does not say what the file is"],
        );
    }
    hub.state().forged.etag = None;
    for location in ["file:///etc/passwd", "ftp://127.0.0.1/x", "javascript:x"] {
        hub.state().forged.location = Some(location.to_owned());
        fail(
            &mut hub.model("test/llama"),
            &["an address that is not followed"],
        );
    }
    hub.state().forged.location = None;

    // names of files, in the list or in an index
    let mut forged = repository.clone();
    for name in [
        "../../../../outside/new",
        "..",
        &format!("{outside_text}/new"),
    ] {
        forged.files.insert(name.to_owned(), b"new".to_vec());
    }
    forged.files.remove("model.safetensors");
    let index = json!({"weight_map": {"a": "../../../../outside/new"}});
    forged.files.insert(
        "model.safetensors.index.json".into(),
        index.to_string().into_bytes(),
    );
    hub.put("test/forged", &forged);
    fail(
        &mut hub.model("test/forged"),
        &[
            "model.safetensors.index.json",
            "not the name of a file beside it",
        ],
    );

    // where the tokenizer of a model of TransformerLens is
    let mut solu = Repository {
        commit: "0b".repeat(20),
        files: files(&model("solu")).into_iter().collect(),
        ..Repository::default()
    };
    solu.files.retain(|name, _| !name.starts_with("tokenizer"));
    let config: Value = serde_json::from_slice(&solu.files["config.json"]).unwrap();
    for name in [
        "a/b@../../../outside",
        "../outside",
        "a/b@/outside",
        &outside_text,
        "a/b/c",
    ] {
        let mut config = config.clone();
        config["tokenizer_name"] = json!(name);
        solu.files
            .insert("config.json".into(), config.to_string().into_bytes());
        solu.commit = sha256(name.as_bytes())[..40].to_owned();
        hub.put("test/solu", &solu);
        fail(
            &mut hub.model("test/solu"),
            &["`tokenizer_name`", "not the name of a repository"],
        );
    }
    assert_eq!(names(&outside), ["mine"]);
    assert_eq!(fs::read_to_string(outside.join("mine")).unwrap(), "mine");
    let mut here = names(hub.cache.path());
    here.sort();
    assert_eq!(here, ["hf", "outside"]);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_where_the_cache_is_written() {
    use std::os::unix::fs::symlink;

    let hub = Hub::start();
    let repository = hub.add("test/llama", "ab", &model("llama"));
    let hash = sha256(&repository.files["model.safetensors"]);
    let mine = hub.cache.path().join("mine");
    let unchanged = || assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
    fs::write(&mine, "mine").unwrap();
    let folder = hub.folder("test/llama");
    let locks = hub.cache.path().join("hf/hub/.locks/models--test--llama");
    for folder in [folder.join("blobs"), folder.join("refs"), locks.clone()] {
        fs::create_dir_all(folder).unwrap();
    }
    for link in [
        folder.join(format!("blobs/{hash}.incomplete")),
        locks.join(format!("{hash}.lock")),
    ] {
        let _ = fs::remove_file(&link);
        symlink(&mine, &link).unwrap();
        fail(
            &mut hub.model("test/llama"),
            &[link.file_name().unwrap().to_str().unwrap(), "it is a link"],
        );
        unchanged();
        fs::remove_file(&link).unwrap();
    }
    // a note is replaced, with what it is a link to left as it is
    symlink(&mine, folder.join("refs/main")).unwrap();
    succeed(&mut hub.model("test/llama"));
    unchanged();
    assert_eq!(
        fs::read_to_string(folder.join("refs/main")).unwrap(),
        repository.commit
    );
}

#[test]
fn gguf_in_parts_and_what_is_not_a_model_are_told_before_they_are_fetched() {
    let hub = Hub::start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/checkpoints");
    let mut parts = Repository {
        commit: "0a".repeat(20),
        files: files(&folder).into_iter().collect(),
        ..Repository::default()
    };
    parts.files.retain(|name, _| name.starts_with("parts-"));
    hub.put("test/parts", &parts);
    for number in [1, 3] {
        let name = format!("test/parts/parts-{number:05}-of-00003.gguf");
        let found = succeed(&mut hub.model(&name)).json();
        assert_eq!(
            (&found["name"], &found["config"]["d_mlp"]),
            (&json!("parts"), &json!(256))
        );
        assert_eq!(found["source"], "test/parts/parts-00001-of-00003.gguf");
    }
    fail(
        &mut hub.model("test/parts"),
        &["1 GGUF model", "test/parts/parts-00001-of-00003.gguf"],
    );
    parts.files.remove("parts-00002-of-00003.gguf");
    parts.commit = "0b".repeat(20);
    hub.put("test/fewer", &parts);
    let part = "test/fewer/parts-00001-of-00003.gguf";
    fail(
        &mut hub.model(part),
        &["has no `test/fewer/parts-00002-of-00003.gguf`"],
    );

    let mut adapter = Repository {
        commit: "0c".repeat(20),
        ..Repository::default()
    };
    adapter.files.insert(
        "adapter_config.json".into(),
        br#"{"peft_type":"LORA"}"#.to_vec(),
    );
    adapter
        .files
        .insert("adapter_model.safetensors".into(), vec![0; 100_000]);
    hub.put("test/adapter", &adapter);
    fail(
        &mut hub.model("test/adapter"),
        &["`test/adapter` is an adapter (LORA)", "hint: merge it"],
    );
    let mut quantised = hub.add("test/quantised", "0d", &model("llama"));
    let mut config: Value = serde_json::from_slice(&quantised.files["config.json"]).unwrap();
    config["quantization_config"] = json!({"quant_method": "awq"});
    quantised
        .files
        .insert("config.json".into(), config.to_string().into_bytes());
    hub.put("test/quantised", &quantised);
    fail(
        &mut hub.model("test/quantised"),
        &["quantised (awq)", "hint: "],
    );
    assert!(
        !names(&hub.folder("test/quantised").join("blobs"))
            .iter()
            .any(|name| name.len() == 64)
    );
}
