//! Requests to the Hub, and files from it: taken up where they broke, checked before they count as there.

use std::fs::{self, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::environment::Environment;
use crate::files::{hash_file_while, open_unfollowed};
use crate::load::Progress;
use crate::load::error::LoadError;

/// How often a download is taken up again, and how often if that brings nothing.
const RETRIES: u64 = 5;
const FRUITLESS_RETRIES: u64 = 2;

/// How many times an answer may point elsewhere.
const REDIRECTS: usize = 5;

/// Length of an answer in JSON; one about 100,000 files takes 6 MB.
const MOST_ANSWER_BYTES: u64 = 16 << 20;

/// How long an answer may take that is not a file, however steadily it comes.
const MOST_WAIT: Duration = Duration::from_secs(120);

/// How often the user is asked whether to go on.
const TICK: Duration = Duration::from_millis(100);

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
    /// Its path in the repository.
    pub(super) file: &'t str,
    pub(super) most_bytes: u64,
    /// The folder of the contents, by what they are.
    pub(super) blobs: &'t Path,
    /// The folder of the locks.
    pub(super) locks: &'t Path,
    /// The file by its name, a link to its contents.
    pub(super) link: &'t Path,
}

/// What the Hub says of a file.
pub(super) struct Described {
    /// What the cache calls its contents: of large files the SHA-256.
    etag: String,
    size: u64,
}

pub(super) struct Client<'p> {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    progress: Progress<'p>,
}

/// What the user sees of what goes on: the file, the bytes of it that are there, and their number in all.
type Shown<'s> = (&'s str, u64, u64);

/// Before there is a file.
const NO_FILE: Shown<'_> = ("", 0, 0);

fn header<'r>(response: &'r Response<Body>, name: &str) -> Option<&'r str> {
    response.headers().get(name)?.to_str().ok()
}

/// The address of the next page in a header `Link`, such as `<https://…>; rel="next"`.
fn next_page(link: &str) -> Option<&str> {
    let mut links = link.split(',').filter_map(|link| {
        let (url, of) = link.trim().strip_prefix('<')?.split_once('>')?;
        let is_next = of.split(';').any(|part| {
            let part = part.trim();
            part == "rel=\"next\"" || part == "rel=next"
        });
        is_next.then_some(url)
    });
    links.next()
}

/// Scheme and host of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find('/').map_or(url.len(), |at| host + at);
    &url[..end]
}

/// Where an answer points to; nowhere but to an address of the web, and not from a safe one to an open one.
fn resolved(base: &str, location: &str) -> Result<String, Failure> {
    let scheme = base.split(':').next().unwrap_or_default();
    let begins = |begin: &str| {
        let start = location.get(..begin.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(begin))
    };
    match () {
        () if begins("https://") => Ok(location.to_owned()),
        () if begins("http://") && scheme == "http" => Ok(location.to_owned()),
        () if begins("//") => Ok(format!("{scheme}:{location}")),
        () if begins("/") => Ok(format!("{}{location}", origin(base))),
        () => Err(Failure::Broken(
            "it points to an address that is not followed".into(),
        )),
    }
}

impl<'p> Client<'p> {
    pub(super) fn new(environment: &Environment, progress: Progress<'p>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(environment.answer_timeout))
            .timeout_per_read(Some(environment.idle_timeout))
            .user_agent(concat!("neuroscope/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().into(),
            endpoint: environment.endpoint.clone(),
            token: environment.token.clone(),
            progress,
        }
    }

    /// Address of the Hub, without the password that it may hold.
    pub(super) fn endpoint(&self) -> String {
        let host = origin(&self.endpoint);
        match (host.split_once("://"), host.rsplit_once('@')) {
            (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
            _ => self.endpoint.clone(),
        }
    }

    /// Fails if the user has interrupted it.
    fn go_on(&self, (file, done, size): Shown<'_>) -> Result<(), Failure> {
        match (self.progress)(file, done, size) {
            true => Ok(()),
            false => Err(Failure::Load(LoadError::Interrupted)),
        }
    }

    fn pause(&self, time: Duration, shown: Shown<'_>) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.go_on(shown)?;
            thread::sleep(TICK.min(time));
        }
        Ok(())
    }

    /// The next of what another thread does, which may wait for the network.
    fn next<T>(&self, receiver: &Receiver<T>, shown: Shown<'_>) -> Result<T, Failure> {
        loop {
            match receiver.recv_timeout(TICK) {
                Ok(next) => return Ok(next),
                Err(RecvTimeoutError::Timeout) => self.go_on(shown)?,
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(Failure::Broken("the connection ended".into()));
                }
            }
        }
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
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // who asked may have been interrupted
            let _ = sender.send(request.call());
        });
        let response = self.next(&receiver, NO_FILE)?;
        response.map_err(|error| Failure::Broken(error.to_string()))
    }

    /// The answer to a request, wherever it is. `stop` ends the search at an answer that says enough.
    fn follow(
        &self,
        url: &str,
        head: bool,
        start: u64,
        stop: impl Fn(&Response<Body>) -> bool,
    ) -> Result<Response<Body>, Failure> {
        let mut url = url.to_owned();
        for _ in 0..REDIRECTS {
            let response = self.send(&url, head, start)?;
            let status = response.status().as_u16();
            if stop(&response) || (200..300).contains(&status) {
                return Ok(response);
            }
            match header(&response, "Location") {
                Some(location) if (300..400).contains(&status) => {
                    url = resolved(&url, location)?;
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
                    self.pause(Duration::from_millis(200 * i), NO_FILE)?;
                    result = attempt();
                }
                _ => break,
            }
        }
        result
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.endpoint)
    }

    /// An answer in JSON.
    pub(super) fn json<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let (answer, _) = self.page(&self.url(path))?;
        Ok(answer)
    }

    /// All pages of a list in JSON, at most so many.
    pub(super) fn pages<T: DeserializeOwned>(
        &self,
        path: &str,
        most: usize,
    ) -> Result<Vec<T>, Failure> {
        let mut pages = Vec::new();
        let mut next = Some(self.url(path));
        while let Some(url) = next {
            if pages.len() == most {
                return Err(Failure::Broken(format!("its list has over {most} pages")));
            }
            let page;
            (page, next) = self.page(&url)?;
            pages.push(page);
        }
        Ok(pages)
    }

    /// A page in JSON, and the address of the next one.
    fn page<T: DeserializeOwned>(&self, url: &str) -> Result<(T, Option<String>), Failure> {
        let (bytes, next) = self.persist(|| {
            let response = self.follow(url, false, 0, |_| false)?;
            let next = header(&response, "Link").and_then(next_page);
            let next = next.map(|next| resolved(url, next)).transpose()?;
            let (pieces, started) = (pieces(response.into_body()), Instant::now());
            let mut bytes = Vec::new();
            loop {
                match self.next(&pieces, NO_FILE)? {
                    Ok(piece) if piece.is_empty() => return Ok((bytes, next)),
                    Ok(piece) => bytes.extend(piece),
                    Err(error) => return Err(Failure::Broken(error.to_string())),
                }
                if bytes.len() as u64 > MOST_ANSWER_BYTES || started.elapsed() > MOST_WAIT {
                    let most = MOST_ANSWER_BYTES;
                    return Err(Failure::Load(LoadError::Hub {
                        endpoint: self.endpoint(),
                        what: url.to_owned(),
                        reason: format!("its answer is longer than {most} bytes or does not end"),
                    }));
                }
            }
        })?;
        match serde_json::from_slice(&bytes) {
            Ok(page) => Ok((page, next)),
            Err(error) => Err(Failure::Broken(error.to_string())),
        }
    }

    /// What the Hub says of a file, of which at most so many bytes would be fetched.
    pub(super) fn describe(&self, path: &str, most: u64) -> Result<Described, Failure> {
        let path = &self.url(path);
        let linked = |response: &Response<Body>| header(response, "x-linked-etag").is_some();
        let response = self.persist(|| self.follow(path, true, 0, linked))?;
        let etag = header(&response, "x-linked-etag").or_else(|| header(&response, "ETag"));
        let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
        let plain = |etag: &&str| {
            let right = |c: char| c.is_ascii_alphanumeric() || c == '-';
            (1..=128).contains(&etag.len()) && etag.chars().all(right)
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
            (Some(_), Some(size)) if size > most => Err(Failure::Broken(format!(
                "it has {size} bytes; at most {most} are fetched of such a file"
            ))),
            (Some(etag), Some(size)) => Ok(Described { etag, size }),
            _ => Err(Failure::Broken(
                "it does not say what the file is, or how long".into(),
            )),
        }
    }

    /// Fetches a file, unless another program does or has.
    pub(super) fn download(&self, path: &str, target: &Target<'_>) -> Result<(), Failure> {
        let described = self.describe(path, target.most_bytes)?;
        let shown = (target.file, 0, described.size);
        for folder in [target.blobs, target.locks] {
            fs::create_dir_all(folder).map_err(cannot_write(folder))?;
        }
        let lock = target.locks.join(format!("{}.lock", described.etag));
        let lock_file = open_unfollowed(&lock, true).map_err(cannot_write(&lock))?;
        loop {
            match lock_file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) => self.pause(TICK, shown)?,
                Err(TryLockError::Error(source)) => return Err(cannot_write(&lock)(source)),
            }
        }
        let blob = target.blobs.join(&described.etag);
        if !blob.exists() {
            let part = target.blobs.join(format!("{}.incomplete", described.etag));
            self.complete(&self.url(path), &part, described.size, target.file)?;
            let go_on = || (self.progress)(target.file, described.size, described.size);
            verify(&part, &described, target.what, &go_on).map_err(Failure::Load)?;
            fs::rename(&part, &blob).map_err(cannot_write(&blob))?;
        }
        link(&blob, target).map_err(cannot_write(target.link))
    }

    /// Adds to a part of a file until it is whole.
    fn complete(&self, url: &str, part: &Path, size: u64, file: &str) -> Result<(), Failure> {
        let length = || fs::metadata(part).map_or(0, |metadata| metadata.len());
        let mut fruitless = 0;
        for attempt in 0..=RETRIES {
            let before = length();
            let pause = Duration::from_millis(100 * attempt * attempt);
            self.pause(pause, (file, before, size))?;
            let failure = match self.continue_part(url, part, size, file) {
                Ok(true) => return Ok(()),
                Ok(false) => Failure::Broken("the connection broke again and again".into()),
                Err(failure) => failure,
            };
            if length() <= before {
                fruitless += 1;
            }
            if !failure.passes() || attempt == RETRIES || fruitless > FRUITLESS_RETRIES {
                return Err(failure);
            }
        }
        Ok(())
    }

    /// One attempt; answers whether the file is whole.
    fn continue_part(
        &self,
        url: &str,
        part: &Path,
        size: u64,
        file: &str,
    ) -> Result<bool, Failure> {
        let io = cannot_write(part);
        let mut out = open_unfollowed(part, true).map_err(&io)?;
        let mut done = out.metadata().map_err(&io)?.len();
        if done > size {
            out.set_len(0).map_err(&io)?;
            done = 0;
        }
        if done == size {
            return Ok(true);
        }
        let response = self.follow(url, false, done, |_| false)?;
        // a server that does not send parts sends all of it
        let begins = format!("bytes {done}-");
        let goes_on = header(&response, "Content-Range").is_some_and(|r| r.starts_with(&begins));
        if !(response.status().as_u16() == 206 && goes_on) && done > 0 {
            out.set_len(0).map_err(&io)?;
            done = 0;
        }
        let pieces = pieces(response.into_body());
        loop {
            let piece = match self.next(&pieces, (file, done, size))? {
                Ok(piece) => piece,
                Err(error) => return Err(Failure::Broken(error.to_string())),
            };
            if piece.is_empty() {
                return Ok(done == size);
            }
            if piece.len() as u64 > size - done {
                // it cannot be the file that was announced
                let _ = fs::remove_file(part);
                return Err(Failure::Load(LoadError::Hub {
                    endpoint: self.endpoint(),
                    what: file.to_owned(),
                    reason: format!("more bytes came than the {size} that were announced"),
                }));
            }
            out.write_all(&piece).map_err(&io)?;
            done += piece.len() as u64;
            self.go_on((file, done, size))?;
        }
    }
}

/// The pieces of a body as they arrive, the last of them empty.
fn pieces(body: Body) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::sync_channel(4);
    thread::spawn(move || {
        let mut body = body.into_reader();
        let mut buffer = vec![0; 1 << 18];
        loop {
            let piece = match body.read(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read.map(|n| buffer[..n].to_vec()),
            };
            let last = piece.as_ref().map_or(true, Vec::is_empty);
            if sender.send(piece).is_err() || last {
                return;
            }
        }
    });
    receiver
}

fn cannot_write(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| {
        let path = path.clone();
        Failure::Load(LoadError::Write { path, source })
    }
}

/// Fails, and forgets the file, unless it is what the Hub says it is: large files are called by their SHA-256.
fn verify(
    part: &Path,
    described: &Described,
    what: &str,
    go_on: &dyn Fn() -> bool,
) -> Result<(), LoadError> {
    let expected = &described.etag;
    if expected.len() != 64 || !expected.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    let found = match hash_file_while(part, go_on) {
        Ok((_, sha256)) => sha256,
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            return Err(LoadError::Interrupted);
        }
        Err(source) => {
            let path = part.to_owned();
            return Err(LoadError::Io { path, source });
        }
    };
    if found.eq_ignore_ascii_case(expected) {
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
fn link(blob: &Path, target: &Target<'_>) -> io::Result<()> {
    let link = target.link;
    let (Some(folder), Some(name)) = (link.parent(), blob.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    fs::create_dir_all(folder)?;
    if link.is_symlink() && !link.exists() {
        fs::remove_file(link)?;
    }
    // from snapshots/<commit>/, or a folder in it, to blobs/
    let up = "../".repeat(2 + target.file.matches('/').count());
    let relative = PathBuf::from(up).join("blobs").join(name);
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

    #[test]
    fn the_next_page_is_found_in_a_header() {
        let link = r#"<https://a/b?cursor=c%2C>; rel="next""#;
        assert_eq!(next_page(link), Some("https://a/b?cursor=c%2C"));
        assert_eq!(next_page(r#"<x>; rel="prev", <y>; rel="next""#), Some("y"));
        assert_eq!(next_page(r#"<x>; rel="prev""#), None);
        assert_eq!(next_page("rel=next"), None);
    }

    #[test]
    fn answers_point_to_addresses_of_the_web_only() {
        let to = |base, location| resolved(base, location).ok();
        let some = |url: &str| Some(url.to_owned());
        assert_eq!(to("https://a/b/c", "/d"), some("https://a/d"));
        assert_eq!(to("https://a/b", "//e/d"), some("https://e/d"));
        assert_eq!(to("http://a/b", "HTTPS://e/d"), some("HTTPS://e/d"));
        assert_eq!(to("http://a/b", "http://e/d"), some("http://e/d"));
        for location in [
            "http://e/d",
            "file:///etc/passwd",
            "ftp://e/d",
            "d",
            "",
            "javascript:x",
        ] {
            assert_eq!(to("https://a/b", location), None, "{location}");
        }
    }
}
