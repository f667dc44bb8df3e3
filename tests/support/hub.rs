//! A small hub on the loopback interface, with all that can go wrong.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{files, neuroscope};

/// A repository: its files at one commit.
#[derive(Clone, Default)]
pub struct Repository {
    pub commit: String,
    pub files: BTreeMap<String, Vec<u8>>,
    /// Whether a token is needed.
    pub gated: bool,
    /// Whether files need a token, and what is said of them does not.
    pub has_terms: bool,
}

/// What the hub does and has seen.
#[derive(Default)]
pub struct State {
    /// By `name@revision`; those of data sets by `datasets/name@revision`.
    pub repositories: BTreeMap<String, Repository>,
    /// Breaks the connection in the middle of so many answers with a large file.
    pub breaks: usize,
    /// Sends large files with one bit wrong.
    pub damages: bool,
    /// Answers so many requests with 503.
    pub fails: usize,
    /// Sends half of so many answers with a large file and then nothing more, on an open connection.
    pub stalls: usize,
    /// Does not answer so many requests at all, on an open connection.
    pub silences: usize,
    /// Sends large files several times over.
    pub repeats: usize,
    /// What is said of large files, where it is not the truth.
    pub forged: Forged,
    /// Where answers to large files began.
    pub starts: Vec<u64>,
    /// Number of requests.
    pub requests: usize,
    /// Number of files on a page of a list; 0 stands for all.
    pub page: usize,
    /// The files that were asked for, `name/path`.
    pub asked: Vec<String>,
}

#[derive(Default)]
pub struct Forged {
    pub etag: Option<String>,
    pub size: Option<u64>,
    pub location: Option<String>,
}

pub struct Hub {
    pub address: String,
    pub state: Arc<Mutex<State>>,
    pub cache: tempfile::TempDir,
}

pub const TOKEN: &str = "hf_let_me_in";

/// How long a connection stays open on which nothing comes; longer than any test waits.
pub const STALL: Duration = Duration::from_secs(60);

impl Hub {
    pub fn start() -> Self {
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

    pub fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Serves a folder as a repository.
    pub fn add(&self, name: &str, commit: &str, folder: &Path) -> Repository {
        let repository = Repository {
            commit: commit.repeat(40 / commit.len()),
            files: files(folder).into_iter().collect(),
            ..Repository::default()
        };
        self.put(name, &repository);
        repository
    }

    pub fn put(&self, name: &str, repository: &Repository) {
        let mut state = self.state();
        for revision in ["main", &repository.commit] {
            let key = format!("{name}@{revision}");
            state.repositories.insert(key, repository.clone());
        }
    }

    /// Serves files as a data set.
    pub fn put_data_set(&self, name: &str, commit: &str, files: &[(&str, &str)]) -> Repository {
        let files = files.iter();
        let repository = Repository {
            commit: commit.repeat(40 / commit.len()),
            files: files
                .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
                .collect(),
            ..Repository::default()
        };
        self.put(&format!("datasets/{name}"), &repository);
        repository
    }

    /// `neuroscope model NAME --json` with an empty or a filled cache.
    pub fn model(&self, name: &str) -> Command {
        self.command(&["model", name, "--json"])
    }

    /// `neuroscope` with an empty or a filled cache.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = neuroscope(self.cache.path());
        command
            .args(args)
            .env("HF_ENDPOINT", format!("http://{}", self.address))
            .env("HF_HOME", self.cache.path().join("hf"))
            .env("NO_PROXY", "*");
        let others = [
            "HF_TOKEN",
            "HF_TOKEN_PATH",
            "HUGGING_FACE_HUB_TOKEN",
            "HF_HUB_CACHE",
            "HUGGINGFACE_HUB_CACHE",
            "HF_HUB_OFFLINE",
            "TRANSFORMERS_OFFLINE",
        ];
        for other in others {
            command.env_remove(other);
        }
        command
    }

    /// The folder of a repository in the cache.
    pub fn folder(&self, name: &str) -> PathBuf {
        let folder = format!("models--{}", name.replace('/', "--"));
        self.cache.path().join("hf/hub").join(folder)
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
    let path = words.next().unwrap().replace("%20", " ");
    let mut state = state.lock().unwrap();
    state.requests += 1;
    if state.silences > 0 {
        state.silences -= 1;
        drop(state);
        return thread::sleep(STALL);
    }
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
        if !head && state.stalls > 0 {
            state.stalls -= 1;
            let status = match start {
                0 => "200 OK",
                _ => "206 Partial Content",
            };
            send(status, &more, &part[..part.len() / 2], part.len());
            drop(state);
            return thread::sleep(STALL);
        }
        if !head && state.repeats > 0 {
            let all = bytes.repeat(state.repeats);
            return send("200 OK", "", &all, all.len());
        }
        let sent = if broken { part.len() / 2 } else { part.len() };
        return match headers.contains_key("range") {
            true => send("206 Partial Content", &more, &part[..sent], part.len()),
            false => send("200 OK", "", &part[..sent], part.len()),
        };
    }

    let api = path.strip_prefix("/api/models/").map(str::to_owned);
    let api = api.or_else(|| path.strip_prefix("/api/").map(str::to_owned));
    let is_tree = path.contains("/tree/");
    let (name, revision, file) = match &api {
        Some(rest) => {
            let rest = rest.split('?').next().unwrap();
            let what = if is_tree { "/tree/" } else { "/revision/" };
            let (name, revision) = rest.split_once(what).unwrap();
            (name, revision, None)
        }
        None => {
            let (name, rest) = path[1..].split_once("/resolve/").unwrap();
            let (revision, file) = rest.split_once('/').unwrap();
            (name, revision, Some(file.trim_end_matches("?cached")))
        }
    };
    let revision = revision.replace("%2F", "/");
    if let (Some(file), false) = (file, head) {
        state.asked.push(format!("{name}/{file}"));
    }
    let Some(repository) = state.repositories.get(&format!("{name}@{revision}")) else {
        return send("404 Not Found", "", b"", 0);
    };
    let authorised = headers.get("authorization") == Some(&format!("Bearer {TOKEN}"));
    if repository.gated && !authorised {
        return send("401 Unauthorized", "", b"", 0);
    }
    if repository.has_terms && file.is_some_and(|file| file != "README.md") && !authorised {
        return send("403 Forbidden", "", b"", 0);
    }
    if is_tree {
        let first: usize = path
            .split_once("cursor=")
            .map_or(0, |(_, cursor)| cursor.parse().unwrap());
        let page = if state.page == 0 {
            usize::MAX
        } else {
            state.page
        };
        let entries = repository.files.iter().skip(first).take(page);
        let entries: Vec<Value> = entries.map(|(path, bytes)| entry(path, bytes)).collect();
        let next = first.saturating_add(page);
        let more = match next < repository.files.len() {
            true => format!(
                "Link: <http://{address}/api/{name}/tree/{revision}?recursive=true&cursor={next}>; rel=\"next\"\r\n"
            ),
            false => String::new(),
        };
        let body = Value::from(entries).to_string();
        return send("200 OK", &more, body.as_bytes(), body.len());
    }
    let Some(file) = file else {
        let siblings = repository
            .files
            .keys()
            .map(|name| json!({"rfilename": name}));
        let siblings: Vec<Value> = siblings.collect();
        let info = match path.ends_with("?expand=sha") {
            true => json!({"sha": repository.commit}),
            false => json!({"sha": repository.commit, "siblings": siblings}),
        };
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
        let more = format!("Location: {}?cached\r\n", path.replace(' ', "%20"));
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
        let forged = &state.forged;
        let size = match forged.size {
            Some(size) => format!("x-linked-size: {size}\r\n"),
            None => size,
        };
        let etag = forged.etag.as_ref().unwrap_or(&hash);
        let location = format!("http://{address}/cdn/{hash}");
        let location = forged.location.as_ref().unwrap_or(&location);
        let more = format!(
            "{commit}{size}x-linked-etag: \"{etag}\"\r\nETag: \"elsewhere\"\r\nLocation: {location}\r\n"
        );
        return send("302 Found", &more, b"", 0);
    }
    let more = format!("{commit}ETag: \"{}\"\r\n", &sha256(bytes)[..40]);
    send("200 OK", &more, bytes, bytes.len());
}

/// What a list says of a file.
fn entry(path: &str, bytes: &[u8]) -> Value {
    let mut entry =
        json!({"type": "file", "path": path, "size": bytes.len(), "oid": &sha256(bytes)[..40]});
    if bytes.len() > 10_000 {
        entry["lfs"] = json!({"oid": sha256(bytes), "size": bytes.len(), "pointerSize": 130});
    }
    entry
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

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
