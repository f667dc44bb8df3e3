//! The program's own behaviour: options from file and flags, the preview server.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::support::{neuroscope, scan, succeed};

#[test]
fn flags_go_over_the_project_file() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    fs::write(project.join("neuroscope.toml"), "[site]\ntitle = \"From the file\"\nneuron_json = true\n[scan.stats]\ntop_k = 3\ntau = 0.25\n").unwrap();
    scan(project, "llama", 12, &["--name", "tiny", "--top-k", "4"]);
    succeed(neuroscope(project).arg("build"));
    let home = fs::read_to_string(project.join("site/index.html")).unwrap();
    assert!(home.contains("From the file"));
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(project.join("site/tiny/0/0.json")).unwrap()).unwrap();
    assert_eq!(record["examples"]["top"].as_array().unwrap().len(), 4);
    assert_eq!(record["stats"]["frequency_abs"]["tau"], 0.25);
    succeed(neuroscope(project).args(["build", "--title", "From the flag", "--neuron-json=false"]));
    assert!(
        fs::read_to_string(project.join("site/index.html"))
            .unwrap()
            .contains("From the flag")
    );
    assert!(!project.join("site/tiny/0/0.json").exists());
}

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

    /// Status and body of a request whose path is sent as it is.
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            self.address
        )
        .unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
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
}

impl Drop for Preview {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_preview_rebuilds_on_change_and_stays_in_its_folder() {
    let dir = tempfile::tempdir().unwrap();
    let project = dir.path();
    scan(project, "llama", 6, &["--name", "tiny"]);
    fs::create_dir_all(project.join("content")).unwrap();
    fs::write(project.join("content/index.md"), "# First").unwrap();
    let template = project.join("theme/templates/base.html");
    let footer = |text: &str| {
        format!(
            "{{% extends \"neuroscope/base.html\" %}}{{% block footer %}}{text}{{% endblock %}}"
        )
    };
    fs::create_dir_all(template.parent().unwrap()).unwrap();
    fs::write(&template, footer("old foot")).unwrap();
    let preview = Preview::start(project);

    let (status, body) = preview.get("/");
    assert!(status == 200 && body.contains("First") && body.contains("reload.js"));
    assert_eq!(preview.get("/tiny/0/0.html").0, 200);
    assert_eq!(preview.get("/tiny/0").0, 301);
    assert_eq!(preview.get("/assets/site.js").0, 200);
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

    fs::write(project.join("content/index.md"), "# Second").unwrap();
    let wait_for = |text: &str| {
        let started = Instant::now();
        while !preview.get("/").1.contains(text) {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "the change was not built"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait_for("Second");
    fs::write(&template, footer("new foot")).unwrap();
    wait_for("new foot");
    // a mistake does not take the site away
    fs::write(
        project.join("content/index.md"),
        "+++\nnonsense\n+++\n# Third",
    )
    .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    assert!(preview.get("/").1.contains("Second"));
}
