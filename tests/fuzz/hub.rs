//! Answers of a hub: what it lists, and how it sends files.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use neuroscope::load::ModelFiles;
use serde_json::json;

use crate::attack::Attack;
use crate::mutate;
use crate::support::{files, model};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Bytes that fetching one of the small models may take.
const MOST: usize = 64 << 20;

/// What is sent in place of the right answers.
#[derive(Default)]
struct Damage {
    /// The list of files.
    list: Option<Vec<u8>>,
    /// What stands before each file.
    head: Option<Vec<u8>>,
}

fn answer(mut stream: TcpStream, files: &BTreeMap<String, Vec<u8>>, damage: &Damage) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(request)) = lines.next() else {
        return;
    };
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    let mut words = request.split(' ');
    let is_head = words.next() == Some("HEAD");
    let path = words.next().unwrap_or_default();
    let (head, body) = if path.starts_with("/api/models/") {
        let body = damage.list.clone().unwrap_or_else(|| list(files));
        (format!("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len()).into_bytes(), body)
    } else {
        let name = path.rsplit('/').next().unwrap_or_default();
        match files.get(name) {
            Some(bytes) => {
                let head = damage.head.clone().unwrap_or_else(|| head(bytes.len()));
                (head, bytes.clone())
            }
            None => (
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    .to_vec(),
                Vec::new(),
            ),
        }
    };
    let _ = stream.write_all(&head);
    if !is_head {
        let _ = stream.write_all(&body);
    }
}

fn list(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let siblings: Vec<_> = files
        .keys()
        .map(|name| json!({"rfilename": name}))
        .collect();
    let info = json!({"sha": COMMIT, "id": "org/llama", "gated": false, "siblings": siblings});
    info.to_string().into_bytes()
}

fn head(len: usize) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {len}\r\nx-repo-commit: {COMMIT}\r\nx-linked-size: {len}\r\nETag: \"0123456789abcdef\"\r\nConnection: close\r\n\r\n").into_bytes()
}

#[test]
fn answers_of_the_hub() {
    let dir = tempfile::tempdir().unwrap();
    let mut served: BTreeMap<String, Vec<u8>> = files(&model("llama")).into_iter().collect();
    served.retain(|name, _| {
        ["config.json", "tokenizer.json", "model.safetensors"].contains(&name.as_str())
    });
    let served = Arc::new(served);
    let damage = Arc::new(Mutex::new(Damage::default()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let (to_serve, damaged) = (served.clone(), damage.clone());
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            answer(stream, &to_serve, &damaged.lock().unwrap());
        }
    });
    let cache = dir.path().join("hf");
    // SAFETY: readers are attacked one at a time, and no other thread reads the environment meanwhile
    unsafe {
        std::env::set_var("HF_ENDPOINT", endpoint);
        std::env::set_var("HF_HOME", &cache);
        std::env::set_var("NO_PROXY", "*");
        for name in [
            "HF_TOKEN",
            "HF_HUB_CACHE",
            "HF_HUB_OFFLINE",
            "HF_TOKEN_PATH",
        ] {
            std::env::remove_var(name);
        }
    }
    let outside = dir.path().join("outside");
    let whole = list(&served);
    let right = head(served["config.json"].len());
    let attack = Attack {
        reader: "hub",
        most: MOST,
        right: &[b"list", &whole[..]].concat(),
        refuses: true,
    };
    attack.run(
        |random| match random.below(2) {
            0 => [b"list", &mutate::json(&whole, random)[..]].concat(),
            _ => [b"head", &mutate::bytes(&right, random)[..]].concat(),
        },
        |input| {
            let (kind, bytes) = input.split_at(4);
            *damage.lock().unwrap() = match kind {
                b"list" => Damage {
                    list: Some(bytes.to_vec()),
                    head: None,
                },
                _ => Damage {
                    list: None,
                    head: Some(bytes.to_vec()),
                },
            };
            let _ = std::fs::remove_dir_all(&cache);
            let outcome = ModelFiles::open("org/llama")
                .and_then(|files| files.config())
                .into();
            let strays = std::fs::read_dir(dir.path()).unwrap().count();
            assert!(
                strays <= 1 && !outside.exists(),
                "the cache is the only folder that is written"
            );
            outcome
        },
    );
}
