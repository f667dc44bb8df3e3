//! Builds that are killed, disturbed by others, or find a folder that is not as they left it: what they end with is
//! what an undisturbed one ends with, and nothing of anybody's is lost.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::{
    Project, fail, files, misused, model, neuroscope, run, scan_command, succeed, wait,
};

/// How many builds are killed; more than in CI, where it is given.
const ROUNDS: &str = "NEUROSCOPE_ROUNDS";
const FEW: u32 = 9;

fn rounds() -> u32 {
    std::env::var(ROUNDS).map_or(FEW, |rounds| rounds.parse().unwrap())
}

fn project() -> Project {
    Project::new().scan("llama", 12, &[])
}

fn build(project: &Path, title: &str) -> Command {
    let mut command = neuroscope(project);
    command.args(["build", "--no-analyze", "--title", title]);
    command
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
    let found = files(&project.join("site"));
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

#[test]
fn no_page_keeps_what_a_killed_build_wrote() {
    let project = project();
    let (title, taken) = undisturbed(&project, "A");
    succeed(&mut build(&project, "A"));
    let (mut share, mut n_killed, mut n_mixed) = (shares(), 0, 0);
    for round in 0..rounds() {
        // one or several that are killed, with other titles, on the way from A to A
        for other in 0..=round % 3 {
            let mut child = quiet(build(&project, &format!("B{other}")));
            std::thread::sleep(taken.mul_f64(share()));
            n_killed += u32::from(child.try_wait().unwrap().is_none());
            let _ = child.kill();
            child.wait().unwrap();
        }
        n_mixed += u32::from(files(&project.site()) != title);
        succeed(&mut build(&project, "A"));
        assert_is(&project, &title, &format!("round {round}"));
    }
    assert!(n_killed > 0 && n_mixed > 0, "{n_killed} {n_mixed}");
}

#[test]
fn a_first_build_that_is_killed_leaves_nothing_in_the_way() {
    let project = project();
    let (title, taken) = undisturbed(&project, "A");
    let mut share = shares();
    for round in 0..rounds() / 2 {
        let _ = fs::remove_dir_all(project.site());
        let mut child = quiet(build(&project, "B"));
        std::thread::sleep(taken.mul_f64(share()));
        let _ = child.kill();
        child.wait().unwrap();
        succeed(&mut build(&project, "A"));
        assert_is(&project, &title, &format!("round {round}"));
    }
}

#[test]
fn builds_at_once_do_not_spoil_each_other() {
    let project = project();
    let titles = ["A", "B", "C"];
    let (mut sites, mut taken) = (Vec::new(), Duration::ZERO);
    for title in titles {
        let (files, time) = undisturbed(&project, title);
        sites.push(files);
        taken = time;
    }
    let (mut share, mut n_refused) = (shares(), 0);
    for round in 0..rounds() / 3 {
        let mut builds = Vec::new();
        for title in titles {
            builds.push(quiet(build(&project, title)));
            std::thread::sleep(taken.mul_f64(share() / 2.0));
        }
        let mut n_built = 0;
        for child in builds {
            let said = wait(child);
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
        let found = files(&project.site());
        assert!(
            sites.contains(&found),
            "the site of round {round} is none of theirs"
        );
        succeed(&mut build(&project, "A"));
        assert_is(&project, &sites[0], &format!("round {round}"));
    }
    assert!(n_refused > 0);
}

/// Said before anything is done: the folder of the data is not even looked at.
#[test]
#[cfg(unix)]
fn a_folder_in_use_is_refused_at_once() {
    let project = Project::new();
    fs::create_dir(project.site()).unwrap();
    let folder = fs::File::open(project.site()).unwrap();
    folder.lock().unwrap();
    fail(
        neuroscope(&project).arg("build"),
        &["another build", "--out"],
    );
    assert!(!project.join("data").exists());
    assert_eq!(files(&project), []);
}

const LIST: &str = ".neuroscope-build.json";

#[test]
fn nothing_outside_the_site_is_removed_or_written() {
    let project = project();
    succeed(&mut build(&project, "A"));
    let mine = project.join("mine.txt");
    fs::write(&mine, "mine").unwrap();
    let (list, journal) = (
        project.site().join(LIST),
        project.site().join(".neuroscope-build.journal"),
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
        let said = run(&mut build(&project, "A"));
        assert_eq!(said.code, Some(0), "{}", said.stderr);
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine", "{name}");
    }
    assert!(!journal.exists());
}

#[test]
#[cfg(unix)]
fn no_link_is_followed() {
    use std::os::unix::fs::symlink;
    let project = project();
    let elsewhere = project.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("5.html"), "mine").unwrap();
    for name in [
        "llama/1",
        "llama/1/5.html",
        LIST,
        ".neuroscope-build.journal",
        ".neuroscope-new-0",
    ] {
        let _ = fs::remove_dir_all(project.site());
        let _ = fs::remove_file(project.join("site"));
        succeed(&mut build(&project, "A"));
        let path = project.site().join(name);
        let target = if name == "llama/1" {
            elsewhere.clone()
        } else {
            elsewhere.join("5.html")
        };
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        symlink(&target, &path).unwrap();
        let said = run(&mut build(&project, "B"));
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
    fs::remove_dir_all(project.site()).unwrap();
    fs::create_dir(project.join("disk")).unwrap();
    symlink(project.join("disk"), project.site()).unwrap();
    succeed(&mut build(&project, "A"));
    assert!(project.join("disk/llama/1/5.html").is_file());
}

#[test]
fn a_damaged_list_of_files_stops_no_build_and_loses_nothing() {
    let project = project();
    let (title, _) = undisturbed(&project, "A");
    for damage in [
        "",
        "{",
        "null",
        "[]",
        "{\"schema\":\"x\",\"files\":{}}",
        "\u{0}\u{0}\u{0}",
    ] {
        let _ = fs::remove_dir_all(project.site());
        succeed(&mut build(&project, "B"));
        let list = project.site().join(LIST);
        let before = fs::read(project.site().join("index.html")).unwrap();
        fs::write(project.site().join("mine.txt"), "mine").unwrap();
        fs::write(&list, damage).unwrap();
        let said = succeed(&mut build(&project, "A"));
        let (kept, mine) = (
            project.site().join(".neuroscope-kept"),
            project.site().join("mine.txt"),
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
        assert_is(&project, &title, damage);
        // and the next one has nothing to say of it
        let said = succeed(&mut build(&project, "A"));
        assert!(!said.stderr.contains(LIST), "{}", said.stderr);
    }
}

/// What is wrong with names and options is known before any work.
#[test]
fn names_that_are_one_folder_somewhere_are_refused() {
    let project = Project::new();
    let mut command = neuroscope(&project);
    command.arg("build");
    let others = ["tiny", "TINY"].map(|name| {
        let other = Project::new().scan("llama", 12, &["--name", name]);
        command.arg("--data").arg(other.data(name));
        other
    });
    fail(&mut command, &["tiny", "TINY", "--name"]);
    assert!(!project.site().exists());
    drop(others);
}

#[test]
fn addresses_and_folders_are_checked_before_the_work() {
    let project = project();
    for (url, hint) in [
        ("example.org/a b", "https://example.org/a%20b/"),
        ("atlas", "such as"),
        ("https://example.org/a b", "https://example.org/a%20b/"),
        ("https://example.org/?q=1", "https://example.org/"),
        ("https://example.org/a#b", "https://example.org/a/"),
        ("ftp://example.org/", "such as"),
    ] {
        misused(
            neuroscope(&project).args(["build", "--base-url", url]),
            &["base URL", hint],
        );
        assert!(!project.site().exists(), "{url}");
    }
    project.write("neuroscope.toml", "[site]\nbase_url = \"/atlas\"\n");
    misused(
        neuroscope(&project).arg("build"),
        &["base URL", "no scheme"],
    );
    fs::remove_file(project.join("neuroscope.toml")).unwrap();
    for out in [".", "data", "data/llama/atlas/pages", "content"] {
        let out = project.join(out);
        fail(
            neuroscope(&project).arg("build").arg("--out").arg(out),
            &["cannot be the site's folder"],
        );
    }
    assert!(!project.site().exists());
    // what lacks its scheme alone is completed
    let said = succeed(build(&project, "A").args(["--base-url", "example.org/atlas"]));
    assert!(
        said.stderr.contains("https://example.org/atlas"),
        "{}",
        said.stderr
    );
    let page = project.page("llama/0/0.html");
    assert!(
        page.contains("<link rel=\"canonical\" href=\"https://example.org/atlas/llama/0/0.html\"")
    );
    let sitemap = project.page("sitemap.xml");
    assert!(sitemap.contains("<loc>https://example.org/atlas/</loc>"));
}

#[test]
fn scanning_and_building_again_changes_nothing() {
    let project = Project::new();
    project.scan_here("llama", 20, &["--name", "tiny"]);
    project.build(&[]);
    // the list of files also says when the data was written
    let site_of = |project: &Project| {
        let mut files = files(&project.join("site"));
        files.retain(|(name, _)| !name.starts_with('.'));
        files
    };
    let (data, site) = (files(&project.join("data")), site_of(&project));
    project.scan_here("llama", 20, &["--name", "tiny"]);
    let report = project.build(&["--json"]).json();
    assert_eq!(
        (&report["n_written"], &report["n_removed"]),
        (&0.into(), &0.into())
    );
    assert!(data == files(&project.join("data")));
    assert!(site == site_of(&project));

    let other = Project::new();
    other.scan_here("llama", 20, &["--name", "tiny"]);
    other.build(&[]);
    let others = site_of(&other);
    assert_eq!(site.len(), others.len());
    for ((name, bytes), (other_name, other_bytes)) in site.iter().zip(others) {
        assert_eq!(*name, other_name);
        // the manifest says where the model was read from, which is the same here
        assert!(*bytes == other_bytes, "{name} differs");
    }
}

#[test]
fn outputs_that_cannot_be_written() {
    let project = Project::new().scan("llama", 12, &["--name", "tiny"]);

    // somebody's own page is in the way
    project.write("mine/index.html", "my own page");
    project.write("mine/thesis.tex", "years of work");
    let build = |out: &str| {
        let mut build = neuroscope(&project);
        build.args(["build", "--out"]).arg(project.join(out));
        build
    };
    fail(
        &mut build("mine"),
        &[
            "mine/index.html` was not written by neuroscope",
            "hint: choose another folder",
        ],
    );
    assert_eq!(
        fs::read_to_string(project.join("mine/index.html")).unwrap(),
        "my own page"
    );
    fs::remove_file(project.join("mine/index.html")).unwrap();
    succeed(&mut build("mine"));
    succeed(&mut build("mine"));
    assert_eq!(
        fs::read_to_string(project.join("mine/thesis.tex")).unwrap(),
        "years of work"
    );

    // a file is where the folder should be; unlike permissions, this stops the superuser as well
    project.write("file", "x");
    fail(&mut build("file/site"), &["file/site"]);
    let mut command = scan_command(&project, &model("llama"), &project.join("corpus.jsonl"));
    fail(
        command.arg("--data").arg(project.join("file/data")),
        &["file/data"],
    );
}

/// A write that fails in the middle, as on a full disk: files may not grow beyond a limit.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let options = &["--name", "tiny"];
    let project = Project::new().scan("llama", 12, options).built(&[]);
    let before = files(&project.site());
    let limited = |kilobytes: u32, command: &Command| {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(format!(
                "trap '' XFSZ; ulimit -f {}; exec \"$0\" \"$@\"",
                kilobytes * 2
            ))
            .arg(program)
            .args(command.get_args());
        shell
    };
    // a new look for all pages, of which not one can be written whole
    project.write(
        "theme/templates/base.html",
        "{% extends \"neuroscope/base.html\" %}{% block footer %}new{% endblock %}",
    );
    let mut build = neuroscope(&project);
    build.arg("build");
    fail(&mut limited(8, &build), &["cannot write `"]);
    for (name, bytes) in files(&project.site()) {
        let old = before.iter().find(|(old, _)| *old == name);
        let whole = bytes.ends_with(b"\n") || !name.ends_with(".html");
        assert!(
            old.is_some_and(|(_, old)| *old == bytes) || whole,
            "{name} is half-written"
        );
        assert!(!name.contains("neuroscope-new"), "{name} was left behind");
    }
    project.build(&[]);

    let mut scan = scan_command(&project, &model("llama"), &project.join("corpus.jsonl"));
    scan.args(["--data"]).arg(project.join("data/full"));
    fail(&mut limited(2, &scan), &["data/full"]);
    let left = if project.join("data/full").exists() {
        files(&project.join("data/full"))
    } else {
        Vec::new()
    };
    assert!(
        left.iter()
            .all(|(name, _)| name.starts_with("corpus/") || name.ends_with(".lock")),
        "{:?}",
        left.iter().map(|f| &f.0).collect::<Vec<_>>()
    );
    succeed(&mut scan);
}
