//! Requests to the Hub, and files from it: taken up where they broke, checked before they count as there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body};

use crate::load::error::LoadError;
use crate::load::{Progress, file_sha256};

/// How often a request or a download is taken up again.
const RETRIES: u64 = 5;

/// How many times an answer may point elsewhere.
const REDIRECTS: usize = 5;

/// Why there is no answer.
pub(super) enum Failure {
    /// The Hub says no.
    Status(u16),
    /// The connection failed.
    Broken(String),
    /// Something else.
    Load(LoadError),
}

impl Failure {
    /// Whether it may go better the next time.
    fn passes(&self) -> bool {
        matches!(self, Self::Broken(_) | Self::Status(429 | 500..))
    }
}

/// Where a file goes.
pub(super) struct Target<'t> {
    /// The file and its repository, for messages.
    pub(super) what: &'t str,
    pub(super) file: &'t str,
    /// The folder of the contents, by what they are.
    pub(super) blobs: &'t Path,
    /// The folder of the locks.
    pub(super) locks: &'t Path,
    /// The file by its name, a link to its contents.
    pub(super) link: &'t Path,
}

/// What the Hub says of a file.
struct Described {
    /// What the cache calls its contents: of large files the SHA-256.
    etag: String,
    size: u64,
}

pub(super) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
}

fn header<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}

impl Client {
    pub(super) fn new(endpoint: String, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .user_agent(concat!("neuroscope/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().into(),
            endpoint,
            token,
        }
    }

    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// One request. The token goes to the Hub only, and not where it points to.
    fn send(&self, url: &str, head: bool, start: u64) -> Result<Response<Body>, Failure> {
        let request = match head {
            true => self.agent.head(url),
            false => self.agent.get(url),
        };
        // compressed, an answer says nothing of the file's own length
        let mut request = request.header("Accept-Encoding", "identity");
        if let (Some(token), true) = (&self.token, origin(url) == origin(&self.endpoint)) {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if start > 0 {
            request = request.header("Range", format!("bytes={start}-"));
        }
        let response = request.call();
        response.map_err(|error| Failure::Broken(error.to_string()))
    }

    /// The answer to a request, wherever it is. `stop` ends the search at an answer that says enough.
    fn follow(
        &self,
        path: &str,
        head: bool,
        start: u64,
        stop: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Failure> {
        let mut url = format!("{}{path}", self.endpoint);
        for _ in 0..REDIRECTS {
            let response = self.send(&url, head, start)?;
            let status = response.status().as_u16();
            if stop(&response) || (200..300).contains(&status) {
                return Ok(response);
            }
            match header(&response, "Location") {
                Some(location) if (300..400).contains(&status) => {
                    url = match location.starts_with('/') {
                        true => format!("{}{location}", origin(&url)),
                        false => location.to_owned(),
                    };
                }
                _ => return Err(Failure::Status(status)),
            }
        }
        Err(Failure::Broken(
            "it points from one address to another".into(),
        ))
    }

    /// Tries again where it may help.
    fn persist<T>(&self, mut attempt: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
        let mut result = attempt();
        for i in 1..3 {
            match &result {
                Err(failure) if failure.passes() => {
                    thread::sleep(Duration::from_millis(200 * i));
                    result = attempt();
                }
                _ => break,
            }
        }
        result
    }

    /// An answer in JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let text = self.persist(|| {
            let mut response = self.follow(path, false, 0, |_| false)?;
            let text = response.body_mut().read_to_string();
            text.map_err(|error| Failure::Broken(error.to_string()))
        })?;
        serde_json::from_str(&text).map_err(|error| Failure::Broken(error.to_string()))
    }

    fn describe(&self, path: &str) -> Result<Described, Failure> {
        let linked = |response: &Response<Body>| header(response, "x-linked-etag").is_some();
        let response = self.persist(|| self.follow(path, true, 0, linked))?;
        let etag = header(&response, "x-linked-etag").or_else(|| header(&response, "ETag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let plain = |etag: &&str| {
            !etag.is_empty() && etag.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        let etag = etag.filter(plain).map(str::to_owned);
        let length = |response: &Response<Body>| header(response, "Content-Length")?.parse().ok();
        let linked_size = header(&response, "x-linked-size").and_then(|size| size.parse().ok());
        let size: Option<u64> = match (linked_size, linked(&response)) {
            (Some(size), _) => Some(size),
            (None, false) => length(&response),
            // an answer that points elsewhere has another length than the file
            (None, true) => length(&self.persist(|| self.follow(path, true, 0, |_| false))?),
        };
        match (etag, size) {
            (Some(etag), Some(size)) => Ok(Described { etag, size }),
            _ => Err(Failure::Broken(
                "it does not say what the file is, or how long".into(),
            )),
        }
    }

    /// Fetches a file, unless another program does or has.
    pub(super) fn download(
        &self,
        path: &str,
        target: &Target<'_>,
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        let described = self.describe(path)?;
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Failure::Load(LoadError::Io { path, source })
        };
        for folder in [target.blobs, target.locks] {
            fs::create_dir_all(folder).map_err(io(folder))?;
        }
        let lock = target.locks.join(format!("{}.lock", described.etag));
        let lock_file = File::create(&lock).map_err(io(&lock))?;
        lock_file.lock().map_err(io(&lock))?;
        let blob = target.blobs.join(&described.etag);
        if !blob.exists() {
            let part = target.blobs.join(format!("{}.incomplete", described.etag));
            self.complete(path, &part, described.size, target.file, progress)?;
            verify(&part, &described, target.what).map_err(Failure::Load)?;
            fs::rename(&part, &blob).map_err(io(&blob))?;
        }
        link(&blob, target.link).map_err(io(target.link))
    }

    /// Adds to a part of a file until it is whole.
    fn complete(
        &self,
        path: &str,
        part: &Path,
        size: u64,
        file: &str,
        progress: Progress<'_>,
    ) -> Result<(), Failure> {
        for attempt in 0..=RETRIES {
            if attempt > 0 {
                thread::sleep(Duration::from_millis(100 * attempt * attempt));
            }
            let more = self.continue_part(path, part, size, &|done| progress(file, done, size));
            match more {
                Ok(true) => return Ok(()),
                Ok(false) => (),
                Err(failure) if failure.passes() && attempt < RETRIES => (),
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Broken(
            "the connection broke again and again".into(),
        ))
    }

    /// One attempt; answers whether the file is whole.
    fn continue_part(
        &self,
        path: &str,
        part: &Path,
        size: u64,
        progress: &dyn Fn(u64),
    ) -> Result<bool, Failure> {
        let io = |source| {
            Failure::Load(LoadError::Io {
                path: part.to_owned(),
                source,
            })
        };
        let mut out = OpenOptions::new()
            .create(true)
            .append(true)
            .open(part)
            .map_err(io)?;
        let mut done = out.metadata().map_err(io)?.len();
        if done > size {
            out.set_len(0).map_err(io)?;
            done = 0;
        }
        if done == size {
            return Ok(true);
        }
        let response = self.follow(path, false, done, |_| false)?;
        // who does not heed the wish for a part sends all of it
        let begins = format!("bytes {done}-");
        let goes_on = header(&response, "Content-Range").is_some_and(|r| r.starts_with(&begins));
        if !(response.status().as_u16() == 206 && goes_on) && done > 0 {
            out.set_len(0).map_err(io)?;
            done = 0;
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let n = match body.read(&mut buffer) {
                Ok(0) => return Ok(done == size),
                Ok(n) => n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Failure::Broken(error.to_string())),
            };
            out.write_all(&buffer[..n]).map_err(io)?;
            done += n as u64;
            progress(done);
        }
    }
}

/// Fails, and forgets the file, unless it is what the Hub says it is: large files are called by their SHA-256.
fn verify(part: &Path, described: &Described, what: &str) -> Result<(), LoadError> {
    let expected = &described.etag;
    if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let found = file_sha256(part)?;
    if found == *expected {
        return Ok(());
    }
    let _ = fs::remove_file(part);
    Err(LoadError::HubChecksum {
        what: what.to_owned(),
        expected: expected.clone(),
        found,
    })
}

/// Names contents: by a link where there are links, else by a copy.
fn link(blob: &Path, link: &Path) -> io::Result<()> {
    let (Some(folder), Some(name)) = (link.parent(), blob.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(folder)?;
    // from snapshots/<commit>/ to blobs/
    let relative = PathBuf::from("../../blobs").join(name);
    #[cfg(unix)]
    let linked = std::os::unix::fs::symlink(relative, link);
    #[cfg(windows)]
    let linked = std::os::windows::fs::symlink_file(relative, link);
    #[cfg(not(any(unix, windows)))]
    let linked: io::Result<()> = Err(io::ErrorKind::Unsupported.into());
    match linked {
        Ok(()) => Ok(()),
        Err(_) if link.exists() => Ok(()),
        Err(_) => fs::hard_link(blob, link).or_else(|_| fs::copy(blob, link).map(|_| ())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_of_an_address() {
        assert_eq!(origin("https://a.b:1/c/d"), "https://a.b:1");
        assert_eq!(origin("http://a.b"), "http://a.b");
    }
}
