//! Models by name, from a small hub on the loopback interface that serves the fixtures, with all that can go wrong.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Said, fail, files, model, neuroscope, succeed};

/// A repository: its files at one commit.
#[derive(Clone, Default)]
struct Repository {
    commit: String,
    files: BTreeMap<String, Vec<u8>>,
    /// Whether a token is needed.
    gated: bool,
}

/// What the hub does and has seen.
#[derive(Default)]
struct State {
    /// By `name@revision`.
    repositories: BTreeMap<String, Repository>,
    /// Breaks the connection in the middle of so many answers with a large file.
    breaks: usize,
    /// Sends large files with one bit wrong.
    damages: bool,
    /// Answers so many requests with 503.
    fails: usize,
    /// Where answers to large files began.
    starts: Vec<u64>,
    /// Number of requests.
    requests: usize,
}

struct Hub {
    address: String,
    state: Arc<Mutex<State>>,
    cache: tempfile::TempDir,
}

const TOKEN: &str = "hf_let_me_in";

impl Hub {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State::default()));
        let (shared, own) = (state.clone(), address.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (shared, own) = (shared.clone(), own.clone());
                thread::spawn(move || answer(stream.unwrap(), &shared, &own));
            }
        });
        Self {
            address,
            state,
            cache: tempfile::tempdir().unwrap(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Serves a folder as a repository.
    fn add(&self, name: &str, commit: &str, folder: &Path) -> Repository {
        let repository = Repository {
            commit: commit.repeat(40 / commit.len()),
            files: files(folder).into_iter().collect(),
            gated: false,
        };
        self.put(name, &repository);
        repository
    }

    fn put(&self, name: &str, repository: &Repository) {
        let mut state = self.state();
        for revision in ["main", &repository.commit] {
            let key = format!("{name}@{revision}");
            state.repositories.insert(key, repository.clone());
        }
    }

    /// `neuroscope model NAME --json` with an empty or a filled cache.
    fn model(&self, name: &str) -> Command {
        let mut command = neuroscope(self.cache.path());
        command
            .args(["model", name, "--json"])
            .env("HF_ENDPOINT", format!("http://{}", self.address))
            .env("HF_HOME", self.cache.path().join("hf"))
            .env_remove("HF_TOKEN")
            .env_remove("HF_HUB_CACHE")
            .env_remove("HF_HUB_OFFLINE")
            .env("NO_PROXY", "*");
        command
    }
}

fn answer(mut stream: TcpStream, state: &Mutex<State>, address: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    let headers: BTreeMap<String, String> = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            let (name, value) = line.split_once(':')?;
            Some((name.to_lowercase(), value.trim().to_owned()))
        })
        .collect();
    let mut words = request.split(' ');
    let head = words.next() == Some("HEAD");
    let path = words.next().unwrap().to_owned();
    let mut state = state.lock().unwrap();
    state.requests += 1;
    let mut send = |status: &str, more: &str, body: &[u8], declared: usize| {
        let lines = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {declared}\r\nConnection: close\r\n{more}\r\n"
        );
        let _ = stream.write_all(lines.as_bytes());
        if !head {
            let _ = stream.write_all(body);
        }
    };
    // compressed, answers would not say how long a file is
    if headers
        .get("accept-encoding")
        .is_some_and(|accepted| accepted.contains("gzip"))
    {
        return send("500 Internal Server Error", "", b"", 0);
    }
    if state.fails > 0 {
        state.fails -= 1;
        return send("503 Service Unavailable", "", b"", 0);
    }

    // where large files are kept, by their hash and without a token
    if let Some(hash) = path.strip_prefix("/cdn/") {
        let mut all = state.repositories.values().flat_map(|r| r.files.values());
        let mut bytes = all.find(|bytes| sha256(bytes) == hash).unwrap().clone();
        if state.damages {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        let (start, end) = range(&headers, bytes.len());
        let part = &bytes[start..end];
        let more = format!(
            "Content-Range: bytes {start}-{}/{}\r\n",
            end - 1,
            bytes.len()
        );
        if !head {
            state.starts.push(start as u64);
        }
        let broken = !head && state.breaks > 0;
        if broken {
            state.breaks -= 1;
        }
        let sent = if broken { part.len() / 2 } else { part.len() };
        return match headers.contains_key("range") {
            true => send("206 Partial Content", &more, &part[..sent], part.len()),
            false => send("200 OK", "", &part[..sent], part.len()),
        };
    }

    let (name, revision, file) = match path.strip_prefix("/api/models/") {
        Some(rest) => {
            let (name, revision) = rest.split_once("/revision/").unwrap();
            (name, revision, None)
        }
        None => {
            let (name, rest) = path[1..].split_once("/resolve/").unwrap();
            let (revision, file) = rest.split_once('/').unwrap();
            (name, revision, Some(file.trim_end_matches("?cached")))
        }
    };
    let Some(repository) = state.repositories.get(&format!("{name}@{revision}")) else {
        return send("404 Not Found", "", b"", 0);
    };
    let authorised = headers.get("authorization") == Some(&format!("Bearer {TOKEN}"));
    if repository.gated && !authorised {
        return send("401 Unauthorized", "", b"", 0);
    }
    let Some(file) = file else {
        let siblings = repository
            .files
            .keys()
            .map(|name| json!({"rfilename": name}));
        let info = json!({"sha": repository.commit, "siblings": siblings.collect::<Vec<_>>()});
        let body = info.to_string();
        return send(
            "200 OK",
            "Content-Type: application/json\r\n",
            body.as_bytes(),
            body.len(),
        );
    };
    let Some(bytes) = repository.files.get(file) else {
        return send("404 Not Found", "", b"", 0);
    };
    // small files are behind another address of the same host, as on the real Hub
    if bytes.len() <= 10_000 && !path.ends_with("?cached") {
        let more = format!("Location: {path}?cached\r\n");
        return send("307 Temporary Redirect", &more, b"", 0);
    }
    let commit = format!("x-repo-commit: {}\r\n", repository.commit);
    if bytes.len() > 10_000 {
        let hash = sha256(bytes);
        // not every mirror says how long what it points to is
        let size = match file.contains("00002") {
            true => String::new(),
            false => format!("x-linked-size: {}\r\n", bytes.len()),
        };
        let more = format!(
            "{commit}{size}x-linked-etag: \"{hash}\"\r\nETag: \"elsewhere\"\r\nLocation: http://{address}/cdn/{hash}\r\n"
        );
        return send("302 Found", &more, b"", 0);
    }
    let more = format!("{commit}ETag: \"{}\"\r\n", &sha256(bytes)[..40]);
    send("200 OK", &more, bytes, bytes.len());
}

fn range(headers: &BTreeMap<String, String>, len: usize) -> (usize, usize) {
    let range = headers
        .get("range")
        .and_then(|range| range.strip_prefix("bytes="));
    let (start, end) = range.unwrap_or("0-").split_once('-').unwrap();
    let start = start.parse().unwrap();
    let end = end.parse::<usize>().map_or(len, |end| (end + 1).min(len));
    (start, end)
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn json_of(said: &Said) -> Value {
    serde_json::from_str(&said.stdout).unwrap()
}

/// The config that the program reads from a fixture's own folder.
fn local_config(name: &str) -> Value {
    let dir = tempfile::tempdir().unwrap();
    let said = succeed(
        neuroscope(dir.path())
            .arg("model")
            .arg(model(name))
            .arg("--json"),
    );
    json_of(&said)["config"].clone()
}

#[test]
fn a_model_is_fetched_once_and_then_needs_no_network() {
    let hub = Hub::start();
    hub.add("test/mistral", "ab", &model("mistral"));
    let found = json_of(&succeed(&mut hub.model("test/mistral")));
    assert_eq!(found["config"], local_config("mistral"));
    assert_eq!(
        (&found["name"], &found["source"]),
        (&json!("mistral"), &json!("test/mistral"))
    );
    assert_eq!(found["revision"], "ab".repeat(20));
    let fetched = hub.state().starts.len();
    assert_eq!(fetched, 3, "each of three shards once");

    // what is there is not fetched again
    assert_eq!(json_of(&succeed(&mut hub.model("test/mistral"))), found);
    assert_eq!(hub.state().starts.len(), fetched);
    // without a network, or without leave to use it, what is there does
    let requests = hub.state().requests;
    let mut offline = hub.model("test/mistral");
    assert_eq!(json_of(&succeed(offline.env("HF_HUB_OFFLINE", "1"))), found);
    assert_eq!(hub.state().requests, requests);
    let mut nowhere = hub.model("test/mistral");
    assert_eq!(
        json_of(&succeed(nowhere.env("HF_ENDPOINT", "http://127.0.0.1:9"))),
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
    let first = json_of(&succeed(&mut hub.model("test/llama")));
    // the branch moves on; the earlier commit is still to be had
    repository = Repository {
        commit: "02".repeat(20),
        files: files(&model("llama")).into_iter().collect(),
        ..repository
    };
    hub.put("test/llama", &repository);
    let second = json_of(&succeed(&mut hub.model("test/llama")));
    assert_eq!(second["revision"], "02".repeat(20));
    assert_ne!(first["config"], second["config"]);
    let earlier = format!("test/llama@{}", "01".repeat(20));
    assert_eq!(
        json_of(&succeed(&mut hub.model(&earlier)))["config"],
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
        &["cannot fetch `test/llama/", "the command can be run again"],
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
    assert_eq!(json_of(&said)["revision"], "ab".repeat(20));
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
        &["arrived damaged: its SHA-256 is", "hint: "],
    );
    hub.state().damages = false;
    let found = json_of(&succeed(&mut hub.model("test/llama")));
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
        "does not give out `test/gated` (HTTP status 401)",
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
    let found = json_of(&succeed(&mut hub.model("test/gguf/tiny.gguf")));
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
        gated: false,
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
    let found = json_of(&succeed(&mut hub.model("test/solu")));
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
