//! Builds that are killed, disturbed by others, or find a folder that is not as they left it: what they end with is
//! what an undisturbed one ends with, and nothing of anybody's is lost.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Said, fail, files, neuroscope, run, scan, succeed};

/// How many builds are killed; more than in CI, where it is given.
const ROUNDS: &str = "NEUROSCOPE_ROUNDS";
const FEW: u32 = 9;

fn rounds() -> u32 {
    std::env::var(ROUNDS).map_or(FEW, |rounds| rounds.parse().unwrap())
}

fn project() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    scan(dir.path(), "llama", 9, &[]);
    dir
}

fn build(project: &Path, title: &str) -> Command {
    let mut command = neuroscope(project);
    command.args(["build", "--no-analyze", "--title", title]);
    command
}

fn site(project: &Path) -> PathBuf {
    project.join("site")
}

/// The site with a title that nobody disturbed, and how long its build took.
fn undisturbed(project: &Path, title: &str) -> (Vec<(String, Vec<u8>)>, Duration) {
    let out = tempfile::tempdir().unwrap();
    let start = Instant::now();
    succeed(build(project, title).arg("--out").arg(out.path()));
    (files(out.path()), start.elapsed())
}

/// The site is as it would be without any disturbance: no byte, no file is otherwise.
fn assert_is(project: &Path, expected: &[(String, Vec<u8>)], when: &str) {
    let found = files(&site(project));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected), "{when}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected, "{when}: {} differs", found.0);
    }
}

/// Numbers from 0 to 1, always the same.
fn shares() -> impl FnMut() -> f64 {
    let mut seed = 12_345u64;
    move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (seed >> 40) as f64 / f64::from(1 << 24)
    }
}

fn quiet(mut command: Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn said(child: Child) -> Said {
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

#[test]
fn no_page_keeps_what_a_killed_build_wrote() {
    let dir = project();
    let (title, taken) = undisturbed(dir.path(), "A");
    succeed(&mut build(dir.path(), "A"));
    let (mut share, mut n_killed, mut n_mixed) = (shares(), 0, 0);
    for round in 0..rounds() {
        // one or several that are killed, with other titles, on the way from A to A
        for other in 0..=round % 3 {
            let mut child = quiet(build(dir.path(), &format!("B{other}")));
            std::thread::sleep(taken.mul_f64(share()));
            n_killed += u32::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
            child.wait().unwrap();
        }
        n_mixed += u32::from(files(&site(dir.path())) != title);
        succeed(&mut build(dir.path(), "A"));
        assert_is(dir.path(), &title, &format!("round {round}"));
    }
    assert!(n_killed > 0 && n_mixed > 0, "{n_killed} {n_mixed}");
}

#[test]
fn a_first_build_that_is_killed_leaves_nothing_in_the_way() {
    let dir = project();
    let (title, taken) = undisturbed(dir.path(), "A");
    let mut share = shares();
    for round in 0..rounds() / 2 {
        let _ = fs::remove_dir_all(site(dir.path()));
        let mut child = quiet(build(dir.path(), "B"));
        std::thread::sleep(taken.mul_f64(share()));
        let _ = child.kill();
        child.wait().unwrap();
        succeed(&mut build(dir.path(), "A"));
        assert_is(dir.path(), &title, &format!("round {round}"));
    }
}

#[test]
fn builds_at_once_do_not_spoil_each_other() {
    let dir = project();
    let titles = ["A", "B", "C"];
    let (mut sites, mut taken) = (Vec::new(), Duration::ZERO);
    for title in titles {
        let (files, time) = undisturbed(dir.path(), title);
        sites.push(files);
        taken = time;
    }
    let (mut share, mut n_refused) = (shares(), 0);
    for round in 0..rounds() / 3 {
        let mut builds = Vec::new();
        for title in titles {
            builds.push(quiet(build(dir.path(), title)));
            std::thread::sleep(taken.mul_f64(share() / 2.0));
        }
        let mut n_built = 0;
        for child in builds {
            let said = said(child);
            match said.code {
                Some(0) => n_built += 1,
                code => {
                    assert_eq!(code, Some(1), "{}", said.stderr);
                    assert!(said.stderr.contains("another build"), "{}", said.stderr);
                    n_refused += 1;
                }
            }
        }
        assert!(n_built > 0);
        let found = files(&site(dir.path()));
        assert!(
            sites.contains(&found),
            "the site of round {round} is none of theirs"
        );
        succeed(&mut build(dir.path(), "A"));
        assert_is(dir.path(), &sites[0], &format!("round {round}"));
    }
    assert!(n_refused > 0);
}

/// Said before anything is done: the folder of the data is not even looked at.
#[test]
#[cfg(unix)]
fn a_folder_in_use_is_refused_at_once() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(site(dir.path())).unwrap();
    let folder = fs::File::open(site(dir.path())).unwrap();
    folder.lock().unwrap();
    fail(
        neuroscope(dir.path()).arg("build"),
        &["another build", "--out"],
    );
    assert!(!dir.path().join("data").exists());
    assert_eq!(files(dir.path()), []);
}

const LIST: &str = ".neuroscope-build.json";

#[test]
fn nothing_outside_the_site_is_removed_or_written() {
    let dir = project();
    succeed(&mut build(dir.path(), "A"));
    let mine = dir.path().join("mine.txt");
    fs::write(&mine, "mine").unwrap();
    let (list, journal) = (
        site(dir.path()).join(LIST),
        site(dir.path()).join(".neuroscope-build.journal"),
    );
    let whole = fs::read_to_string(&list).unwrap();
    // XXH3 of `mine` need not be known: a name with no hash is removed without a look
    let names = [
        "../mine.txt",
        mine.to_str().unwrap(),
        "llama/../../mine.txt",
        "./../mine.txt",
        "..\\mine.txt",
    ];
    for name in names {
        let entry = format!("\"files\":{{{}:\"\",", serde_json::json!(name));
        fs::write(&list, whole.replace("\"files\":{", &entry)).unwrap();
        fs::write(&journal, format!("{name}\n")).unwrap();
        let said = run(&mut build(dir.path(), "A"));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine", "{name}");
    }
    assert!(!journal.exists());
}

#[test]
#[cfg(unix)]
fn no_link_is_followed() {
    use std::os::unix::fs::symlink;
    let dir = project();
    let elsewhere = dir.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("5.html"), "mine").unwrap();
    for name in [
        "llama/1",
        "llama/1/5.html",
        LIST,
        ".neuroscope-build.journal",
        ".neuroscope-new-0",
    ] {
        let _ = fs::remove_dir_all(site(dir.path()));
        let _ = fs::remove_file(dir.path().join("site"));
        succeed(&mut build(dir.path(), "A"));
        let path = site(dir.path()).join(name);
        let target = if name == "llama/1" {
            elsewhere.clone()
        } else {
            elsewhere.join("5.html")
        };
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        symlink(&target, &path).unwrap();
        let said = run(&mut build(dir.path(), "B"));
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        // a link in the place of a temporary file is removed, others are named
        if said.code != Some(0) {
            assert!(said.stderr.contains("is a link"), "{name}: {}", said.stderr);
            assert!(said.stderr.contains(name), "{name}: {}", said.stderr);
        }
        let found = files(&elsewhere);
        assert_eq!(found, [("5.html".to_owned(), b"mine".to_vec())], "{name}");
    }
    // the folder itself may be a link
    fs::remove_dir_all(site(dir.path())).unwrap();
    fs::create_dir(dir.path().join("disk")).unwrap();
    symlink(dir.path().join("disk"), site(dir.path())).unwrap();
    succeed(&mut build(dir.path(), "A"));
    assert!(dir.path().join("disk/llama/1/5.html").is_file());
}

#[test]
fn a_damaged_list_of_files_stops_no_build_and_loses_nothing() {
    let dir = project();
    let (title, _) = undisturbed(dir.path(), "A");
    for damage in [
        "",
        "{",
        "null",
        "[]",
        "{\"schema\":\"x\",\"files\":{}}",
        "\u{0}\u{0}\u{0}",
    ] {
        let _ = fs::remove_dir_all(site(dir.path()));
        succeed(&mut build(dir.path(), "B"));
        let list = site(dir.path()).join(LIST);
        let before = fs::read(site(dir.path()).join("index.html")).unwrap();
        fs::write(site(dir.path()).join("mine.txt"), "mine").unwrap();
        fs::write(&list, damage).unwrap();
        let said = succeed(&mut build(dir.path(), "A"));
        let (kept, mine) = (
            site(dir.path()).join(".neuroscope-kept"),
            site(dir.path()).join("mine.txt"),
        );
        for what in [LIST, "cannot be read", ".neuroscope-kept"] {
            assert!(said.stderr.contains(what), "{damage}: {}", said.stderr);
        }
        assert_eq!(
            fs::read(kept.join("index.html")).unwrap(),
            before,
            "what may be somebody's is kept"
        );
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
        fs::remove_dir_all(kept).unwrap();
        fs::remove_file(mine).unwrap();
        assert_is(dir.path(), &title, damage);
        // and the next one has nothing to say of it
        let said = succeed(&mut build(dir.path(), "A"));
        assert!(!said.stderr.contains(LIST), "{}", said.stderr);
    }
}

/// What is wrong with names and options is known before any work.
#[test]
fn names_that_are_one_folder_somewhere_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, name) in [("one", "tiny"), ("two", "TINY")] {
        fs::create_dir(dir.path().join(folder)).unwrap();
        scan(&dir.path().join(folder), "llama", 9, &["--name", name]);
    }
    let mut command = neuroscope(dir.path());
    command.arg("build");
    for data in ["one/data/tiny", "two/data/TINY"] {
        command.arg("--data").arg(dir.path().join(data));
    }
    fail(&mut command, &["tiny", "TINY", "--name"]);
    assert!(!site(dir.path()).exists());
}

#[test]
fn addresses_and_folders_are_checked_before_the_work() {
    let dir = project();
    let refused = |command: &mut Command, what: &[&str]| {
        let said = run(command);
        assert_eq!(said.code, Some(2), "{}", said.stderr);
        let misses = what.iter().find(|what| !said.stderr.contains(**what));
        assert_eq!(misses, None, "{}", said.stderr);
    };
    for (url, hint) in [
        ("example.org/a b", "https://example.org/a%20b/"),
        ("atlas", "such as"),
        ("https://example.org/a b", "https://example.org/a%20b/"),
        ("https://example.org/?q=1", "https://example.org/"),
        ("https://example.org/a#b", "https://example.org/a/"),
        ("ftp://example.org/", "such as"),
    ] {
        refused(
            neuroscope(dir.path()).args(["build", "--base-url", url]),
            &["base URL", hint],
        );
        assert!(!site(dir.path()).exists(), "{url}");
    }
    fs::write(
        dir.path().join("neuroscope.toml"),
        "[site]\nbase_url = \"/atlas\"\n",
    )
    .unwrap();
    refused(
        neuroscope(dir.path()).arg("build"),
        &["base URL", "no scheme"],
    );
    fs::remove_file(dir.path().join("neuroscope.toml")).unwrap();
    for out in [".", "data", "data/llama/atlas/pages", "content"] {
        let out = dir.path().join(out);
        fail(
            neuroscope(dir.path()).arg("build").arg("--out").arg(out),
            &["cannot be the site's folder"],
        );
    }
    assert!(!site(dir.path()).exists());
    // what lacks its scheme alone is completed
    let said = succeed(build(dir.path(), "A").args(["--base-url", "example.org/atlas"]));
    assert!(
        said.stderr.contains("https://example.org/atlas"),
        "{}",
        said.stderr
    );
    let page = fs::read_to_string(site(dir.path()).join("llama/0/0.html")).unwrap();
    assert!(
        page.contains("<link rel=\"canonical\" href=\"https://example.org/atlas/llama/0/0.html\"")
    );
    let sitemap = fs::read_to_string(site(dir.path()).join("sitemap.xml")).unwrap();
    assert!(sitemap.contains("<loc>https://example.org/atlas/</loc>"));
}
