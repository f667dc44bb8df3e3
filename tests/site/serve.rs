//! The preview server: what it answers, to whom, and what it notices.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Project, neuroscope};

struct Preview {
    child: Child,
    address: String,
}

impl Preview {
    fn start(project: &Path) -> Self {
        let mut command = neuroscope(project);
        command
            .args(["serve", "--port", "0"])
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let address = lines.find_map(|line| {
            let line = line.unwrap();
            let rest = line.strip_prefix("serving http://")?;
            Some(rest.split('/').next().unwrap().to_owned())
        });
        // the rest is read so that the program never waits for a full pipe
        std::thread::spawn(move || lines.for_each(drop));
        Self {
            child,
            address: address.expect("the server did not start"),
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        stream
    }

    /// What is answered to a head, until the connection is closed.
    fn ask(&self, head: &str) -> String {
        let mut stream = self.connect();
        // a server that has heard enough may close it
        let _ = stream.write_all(head.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Status and body of a request whose path is sent as it is.
    fn get(&self, path: &str) -> (u16, String) {
        let text = self.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        ));
        let status = text
            .split(' ')
            .nth(1)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0);
        (
            status,
            text.split_once("\r\n\r\n")
                .map_or("", |(_, body)| body)
                .to_owned(),
        )
    }

    /// Waits until a page has a text, or has it no longer.
    fn wait(&self, path: &str, text: &str, there: bool) {
        let started = Instant::now();
        while self.get(path).1.contains(text) != there {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "`{text}` of {path}: the change was not built"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Preview {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn project() -> Project {
    Project::new().scan("llama", 12, &["--name", "tiny"])
}

#[test]
fn the_preview_rebuilds_on_change_and_stays_in_its_folder() {
    let project = project();
    project.write("content/index.md", "# First");
    let template = "theme/templates/base.html";
    let footer = |text: &str| {
        format!(
            "{{% extends \"neuroscope/base.html\" %}}{{% block footer %}}{text}{{% endblock %}}"
        )
    };
    project.write(template, footer("old foot"));
    let preview = Preview::start(&project);

    let (status, body) = preview.get("/");
    assert!(status == 200 && body.contains("First") && body.contains("reload.js"));
    assert_eq!(preview.get("/tiny/0/0.html").0, 200);
    assert_eq!(preview.get("/tiny/0").0, 301);
    let (_, script) = body.split_once("src=\"assets/base/site.").unwrap();
    let (hash, _) = script.split_once('"').unwrap();
    assert_eq!(preview.get(&format!("/assets/base/site.{hash}")).0, 200);
    let (status, body) = preview.get("/nothing/here.html");
    assert!(status == 404 && body.contains("Not found"));
    for path in [
        "/../corpus.jsonl",
        "/%2e%2e/corpus.jsonl",
        "/tiny/..%2f..%2f..%2fcorpus.jsonl",
        "/.neuroscope-build.json",
        "//etc/passwd",
    ] {
        let (status, body) = preview.get(path);
        assert!(matches!(status, 400 | 404), "{path}: {status}");
        assert!(
            !body.contains("CC0-1.0\",\"source") && !body.contains("root:"),
            "{path}"
        );
    }

    project.write("content/index.md", "# Second");
    preview.wait("/", "Second", true);
    project.write(template, footer("new foot"));
    preview.wait("/", "new foot", true);
    // a mistake does not take the site away
    project.write("content/index.md", "+++\nnonsense\n+++\n# Third");
    std::thread::sleep(Duration::from_millis(700));
    assert!(preview.get("/").1.contains("Second"));
}

#[test]
fn nobody_is_sent_to_another_host() {
    let project = project();
    let preview = Preview::start(&project);
    let location = |path: &str| {
        let host = &preview.address;
        let answer = preview.ask(&format!(
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        let location = answer
            .lines()
            .find_map(|line| line.strip_prefix("location: ").map(str::to_owned));
        (answer.split(' ').nth(1).map(str::to_owned), location)
    };
    for path in [
        "/tiny",
        "//tiny",
        "///tiny",
        "/%2Ftiny",
        "/%2f%2ftiny",
        "//tiny//",
    ] {
        let (status, location) = location(path);
        match location {
            Some(location) => assert_eq!(location, "/tiny/", "{path}"),
            None => assert_eq!(status.as_deref(), Some("200"), "{path}"),
        }
    }
    assert_eq!(
        location("//tiny/0?a=//b").1.as_deref(),
        Some("/tiny/0/?a=//b")
    );
    for path in [
        "/\\tiny",
        "/%5Ctiny",
        "/%5C%5Ctiny/0",
        "/tiny%00",
        "/%2e%2e/tiny",
        "/..%2ftiny/0",
        "/tiny/%2e%2e/%2e%2e/corpus.jsonl",
    ] {
        let (status, location) = location(path);
        assert!(
            matches!(status.as_deref(), Some("400" | "404")) && location.is_none(),
            "{path}: {status:?} {location:?}"
        );
    }
    // a page of another host whose name leads here learns nothing
    for host in ["example.org", "example.org:80", "127.0.0.1.example.org"] {
        let answer = preview.ask(&format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        ));
        assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
        let answer = preview.ask(&format!(
            "GET http://{host}/ HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            preview.address
        ));
        assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    }
}

#[test]
fn heads_are_bounded_and_slow_clients_are_in_nobodys_way() {
    let project = project();
    let preview = Preview::start(&project);
    let head = |line: &str, n: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: {}\r\n{}\r\n",
            preview.address,
            line.repeat(n)
        )
    };
    for huge in [
        head("A: b\r\n", 50_000),
        head(&format!("A: {}\r\n", "b".repeat(1 << 20)), 1),
        format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1 << 20)),
        "x".repeat(1 << 20),
    ] {
        let answer = preview.ask(&huge);
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    let slow: Vec<TcpStream> = (0..200)
        .map(|n| {
            let mut stream = preview.connect();
            stream
                .write_all(&b"GET / HTTP/1.1\r\nHost: localhost\r\nA: "[..n % 30])
                .unwrap();
            stream
        })
        .collect();
    let started = Instant::now();
    assert_eq!(preview.get("/").0, 200);
    assert!(started.elapsed() < Duration::from_secs(5));
    drop(slow);
}

#[test]
fn folders_that_are_removed_and_made_again_are_noticed() {
    let project = project();
    let write = |name: &str, text: &str| project.write(name, text);
    let footer = |text: &str| {
        write(
            "theme/templates/base.html",
            &format!(
                "{{% extends \"neuroscope/base.html\" %}}{{% block footer %}}{text}{{% endblock %}}"
            ),
        );
    };
    let preview = Preview::start(&project);
    // folders that were not there at the start
    write("content/index.md", "# First");
    preview.wait("/", "First", true);
    footer("one foot");
    preview.wait("/", "one foot", true);
    for round in ["Second", "Third"] {
        fs::remove_dir_all(project.join("content")).unwrap();
        fs::remove_dir_all(project.join("theme")).unwrap();
        preview.wait("/", "one foot", false);
        write("content/index.md", &format!("# {round}"));
        footer("one foot");
        preview.wait("/", round, true);
        preview.wait("/", "one foot", true);
    }
    // replaced as a whole, as by `git checkout`
    fs::rename(project.join("content"), project.join("aside")).unwrap();
    write("content/index.md", "# Fourth");
    preview.wait("/", "Fourth", true);
    write("neuroscope.toml", "[site]\ntitle = \"A title\"\n");
    preview.wait("/", "A title", true);
    // atlases that come and go
    project.scan_here("llama", 12, &["--name", "other"]);
    preview.wait("/", "other/", true);
    fs::remove_dir_all(project.join("data/tiny")).unwrap();
    preview.wait("/", "tiny/", false);
    project.scan_here("llama", 12, &["--name", "tiny"]);
    preview.wait("/", "tiny/", true);
}

#[test]
fn packed_neurons_are_shown_at_the_addresses_of_pages() {
    let project = project();
    let settings = "[site]\nlayout = \"packed\"\npages_for = \"none\"\nbase_url = \"https://example.org/atlas/\"\n";
    fs::write(project.join("neuroscope.toml"), settings).unwrap();
    let preview = Preview::start(&project);
    for path in ["/tiny/0/5.html", "/tiny/2/36.html"] {
        let (status, page) = preview.get(path);
        assert_eq!(status, 200, "{path}");
        assert!(page.contains("id=\"packing\""), "{path}");
    }
    // the page for what is missing names its scripts by the site's own address
    let (_, missing) = preview.get("/nothing.html");
    let (_, script) = missing.split_once("src=\"/atlas/").unwrap();
    let (script, _) = script.split_once('"').unwrap();
    assert_eq!(preview.get(&format!("/atlas/{script}")).0, 200);
    assert_eq!(preview.get("/atlas/tiny/0/5.html").0, 200);
    for path in [
        "/llama/0/x.html",
        "/llama/0/5x.html",
        "/llama/5.html",
        "/llama/9/5.html",
    ] {
        assert_eq!(preview.get(path).0, 404, "{path}");
    }
}
