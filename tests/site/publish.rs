//! Publishing: a branch of a bare repository on disk is replaced by the site, and nothing else changes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::support::{Project, Said, fail, files, misused, neuroscope, succeed};

/// A project with a site, in a repository whose `origin` is a bare one.
struct Hosted {
    project: Project,
    remote: TempDir,
}

/// Git, without what the user of this machine tells it.
fn git(folder: &Path, args: &[&str]) -> String {
    let mut command = Command::new("git");
    let output = alone(command.arg("-C").arg(folder).args(args))
        .output()
        .unwrap();
    let (said, error) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(output.status.success(), "git {args:?}: {error}");
    said.trim_end().to_owned()
}

fn alone(command: &mut Command) -> &mut Command {
    let envs = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ];
    command.envs(envs).env_remove("EMAIL")
}

/// Makes a folder a repository with one commit on `main`.
fn init(folder: &Path) {
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    git(folder, &["config", "user.name", "Ada"]);
    git(folder, &["config", "user.email", "ada@example.org"]);
    git(
        folder,
        &["commit", "--quiet", "--allow-empty", "--message=first"],
    );
}

fn bare() -> TempDir {
    let remote = tempfile::tempdir().unwrap();
    git(
        remote.path(),
        &["init", "--quiet", "--bare", "--initial-branch=main"],
    );
    git(remote.path(), &["config", "uploadpack.allowFilter", "true"]);
    remote
}

impl Hosted {
    fn new() -> Self {
        let address = ["--base-url", "https://example.org/atlas"];
        let project = Project::copy_of("a site to publish", |project| {
            project.scan_here("gpt2", 12, &[]);
            project.build(&address);
        });
        let remote = bare();
        init(&project);
        git(
            &project,
            &["remote", "add", "origin", remote.path().to_str().unwrap()],
        );
        git(&project, &["push", "--quiet", "origin", "main"]);
        Self { project, remote }
    }

    fn command(&self, options: &[&str]) -> Command {
        let mut command = neuroscope(&self.project);
        alone(command.arg("publish").args(options));
        command
    }

    fn publish(&self, options: &[&str]) -> Said {
        succeed(&mut self.command(options))
    }

    fn refused(&self, options: &[&str], what: &[&str]) -> Said {
        let before = files(self.remote.path());
        let said = fail(&mut self.command(options), what);
        assert!(
            files(self.remote.path()) == before,
            "the remote was changed"
        );
        said
    }

    fn remote(&self, args: &[&str]) -> String {
        git(self.remote.path(), args)
    }

    /// The files of a branch with their bytes.
    fn published(&self, branch: &str) -> BTreeMap<String, Vec<u8>> {
        let bytes = |name: &str| {
            let mut command = Command::new("git");
            let command = command.arg("-C").arg(self.remote.path());
            let object = format!("{branch}:{name}");
            let output = alone(command.args(["cat-file", "blob", &object])).output();
            output.unwrap().stdout
        };
        let listed = self.remote(&["ls-tree", "-r", "-z", branch]);
        let entries = listed.split_terminator('\0').map(|entry| {
            let (about, name) = entry.split_once('\t').unwrap();
            assert!(about.starts_with("100644 blob "), "{entry}");
            (name.to_owned(), bytes(name))
        });
        entries.collect()
    }

    /// What should be published: all files except the builder's own.
    fn site(&self) -> BTreeMap<String, Vec<u8>> {
        let files = files(&self.project.site()).into_iter();
        let is_own = |name: &str| name.starts_with(".neuroscope-");
        files.filter(|(name, _)| !is_own(name)).collect()
    }
}

#[test]
fn the_branch_is_one_commit_of_the_site() {
    let hosted = Hosted::new();
    let main = hosted.remote(&["rev-parse", "main"]);
    let said = hosted.publish(&[]);
    assert!(said.stdout.contains("a new branch") && said.stdout.contains("Settings → Pages"));
    assert_eq!(hosted.published("gh-pages"), hosted.site());
    assert!(hosted.site().contains_key(".nojekyll"));
    let about = hosted.remote(&["log", "-1", "--format=%an <%ae> %s", "gh-pages"]);
    let commit = git(&hosted.project, &["rev-parse", "--short", "HEAD"]);
    let version = env!("CARGO_PKG_VERSION");
    let expected = format!("Ada <ada@example.org> Site of {commit} by neuroscope {version}");
    assert_eq!(about, expected);

    // the next one replaces it, and only what is new is sent
    let first = hosted.remote(&["rev-parse", "gh-pages"]);
    hosted.project.write("content/about.md", "# About");
    hosted
        .project
        .build(&["--base-url", "https://example.org/atlas"]);
    let said = hosted.publish(&["--json", "--message", "Second\n\nin full"]);
    let report = said.json();
    let second = hosted.remote(&["rev-parse", "gh-pages"]);
    assert_eq!(report["before"], first);
    assert_eq!(report["commit"], second);
    assert_eq!(
        (&report["is_same"], &report["dry_run"]),
        (&false.into(), &false.into())
    );
    assert_eq!(report["n_files"], hosted.site().len());
    assert_eq!(hosted.remote(&["rev-list", "--count", "gh-pages"]), "1");
    assert_eq!(
        hosted.remote(&["log", "-1", "--format=%B", "gh-pages"]),
        "Second\n\nin full"
    );
    assert_eq!(hosted.published("gh-pages"), hosted.site());
    let sent = said
        .stderr
        .lines()
        .find_map(|line| line.strip_prefix("upload: "));
    let sent: usize = sent.unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(
        sent < 20 && hosted.site().len() > 100,
        "{sent} objects were sent"
    );

    // the same files are not published again, whoever made the commit
    git(&hosted.project, &["config", "user.name", "Grace"]);
    let said = hosted.publish(&["--message", "Third"]);
    assert!(said.stdout.contains("nothing to push"), "{}", said.stdout);
    assert_eq!(hosted.remote(&["rev-parse", "gh-pages"]), second);
    assert_eq!(hosted.remote(&["rev-parse", "main"]), main);
    hosted.remote(&["fsck", "--strict"]);
}

#[test]
fn a_branch_with_a_history_is_replaced_as_well() {
    let hosted = Hosted::new();
    git(
        &hosted.project,
        &["push", "--quiet", "origin", "main:gh-pages"],
    );
    git(
        &hosted.project,
        &["commit", "--quiet", "--allow-empty", "--message=next"],
    );
    git(
        &hosted.project,
        &["push", "--quiet", "origin", "HEAD:gh-pages"],
    );
    // a remote that cannot leave files out sends them
    hosted.remote(&["config", "uploadpack.allowFilter", "false"]);
    let said = hosted.publish(&[]);
    assert!(said.stdout.contains("in place of"), "{}", said.stdout);
    assert_eq!(hosted.remote(&["rev-list", "--count", "gh-pages"]), "1");
    assert_eq!(hosted.published("gh-pages"), hosted.site());
}

#[test]
fn bytes_are_published_as_they_are() {
    let hosted = Hosted::new();
    for (key, value) in [
        ("core.autocrlf", "true"),
        ("core.safecrlf", "true"),
        ("filter.x.clean", "false"),
        ("filter.x.required", "true"),
    ] {
        git(&hosted.project, &["config", key, value]);
    }
    let attributes = "* text eol=lf ident filter=x working-tree-encoding=UTF-16\n";
    hosted.project.write(".gitattributes", attributes);
    hosted.project.write(".gitignore", "/site/\n*.json\n");
    hosted.project.write("site/.gitattributes", attributes);
    hosted
        .project
        .write("site/a \"b\" ä.txt", "1\r\n2\r\n3\n$Id$\n\0");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let path = hosted.project.site().join("index.html");
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    hosted.publish(&[]);
    assert_eq!(hosted.published("gh-pages"), hosted.site());
    assert!(hosted.site().contains_key("a \"b\" ä.txt"));
}

#[test]
fn nothing_of_the_project_is_touched() {
    let hosted = Hosted::new();
    // changes of every kind
    let project = &hosted.project;
    for name in ["changed", "staged", "removed"] {
        project.write(name, "1");
    }
    git(project, &["add", "changed", "staged", "removed"]);
    git(project, &["commit", "--quiet", "--message=files"]);
    project.write("changed", "2");
    project.write("staged", "2");
    git(project, &["add", "staged"]);
    fs::remove_file(project.join("removed")).unwrap();
    project.write("untracked", "1");
    git(project, &["branch", "gh-pages"]);
    let (here, there) = (files(project), files(hosted.remote.path()));

    let said = hosted.publish(&["--dry-run"]);
    assert!(said.stdout.starts_with("would publish"), "{}", said.stdout);
    assert!(files(project) == here, "a dry run changed the project");
    assert!(
        files(hosted.remote.path()) == there,
        "a dry run changed the remote"
    );

    hosted.publish(&[]);
    assert!(files(project) == here, "the project was changed");
    assert_eq!(hosted.remote(&["rev-list", "--count", "gh-pages"]), "1");
}

#[test]
fn branches_that_may_hold_something_else_are_not_replaced() {
    let hosted = Hosted::new();
    let lost = "whose history would be lost";
    let hint = "choose a branch only for the site";
    hosted.refused(
        &["--branch", "main"],
        &["`main` is the branch that is checked out", lost, hint],
    );
    hosted.refused(
        &["--branch", "master"],
        &["`master` is where projects keep", lost, hint],
    );
    git(&hosted.project, &["checkout", "--quiet", "-b", "work"]);
    hosted.refused(
        &["--branch", "work"],
        &["`work` is the branch that is checked out"],
    );
    hosted.refused(
        &["--branch", "main"],
        &["`main` is where projects keep their source"],
    );
    git(
        &hosted.project,
        &["push", "--quiet", "origin", "HEAD:trunk"],
    );
    hosted.remote(&["symbolic-ref", "HEAD", "refs/heads/trunk"]);
    hosted.refused(
        &["--branch", "trunk"],
        &["`trunk` is the default branch of `origin`", hint],
    );
    for branch in ["a..b", "-x", "a b"] {
        let option = format!("--branch={branch}");
        misused(
            &mut hosted.command(&[&option]),
            &["cannot be the name of a branch"],
        );
    }
    misused(
        &mut hosted.command(&["--message", " "]),
        &["is not a message"],
    );
    misused(
        &mut hosted.command(&["--remote", ""]),
        &["is not the name of a remote"],
    );
}

#[test]
fn a_missing_repository_or_remote_is_named() {
    let hosted = Hosted::new();
    let project = &hosted.project;
    hosted.refused(
        &["--remote", "upstream"],
        &["no remote `upstream`", "it has `origin`"],
    );
    git(
        project,
        &["remote", "add", "gone", "/nowhere/to/be/found.git"],
    );
    hosted.refused(
        &["--remote", "gone"],
        &[
            "cannot read `gone` (/nowhere/to/be/found.git)",
            "git ls-remote gone",
        ],
    );
    let empty = bare();
    git(
        project,
        &["remote", "add", "empty", empty.path().to_str().unwrap()],
    );
    hosted.refused(
        &["--remote", "empty"],
        &["`empty` has no branch yet", "git push origin main"],
    );

    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let hook = hosted.remote.path().join("hooks/pre-receive");
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::write(&hook, "#!/bin/sh\necho no, thanks\nexit 1\n").unwrap();
        fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
        let said = fail(
            &mut hosted.command(&[]),
            &[
                "did not take the branch `gh-pages`",
                "no, thanks",
                "pre-receive hook declined",
            ],
        );
        assert!(!said.stderr.contains("Writing objects"), "{}", said.stderr);
        assert_eq!(hosted.remote(&["for-each-ref", "refs/heads/gh-pages"]), "");
    }

    git(project, &["remote", "remove", "origin"]);
    git(project, &["remote", "remove", "gone"]);
    git(project, &["remote", "remove", "empty"]);
    hosted.refused(&[], &["no remote `origin`", "git remote add origin URL"]);
    fs::remove_dir_all(project.join(".git")).unwrap();
    hosted.refused(&[], &["is not in a git repository", "git init"]);
    let mut command = hosted.command(&[]);
    fail(
        command.env("PATH", ""),
        &["cannot run `git`", "install git"],
    );
}

#[test]
fn only_a_whole_site_that_fits_is_published() {
    let hosted = Hosted::new();
    let site = hosted.project.site();
    let large = fs::File::create(site.join("large.bin")).unwrap();
    large.set_len(100_000_001).unwrap();
    let too_large = [
        "GitHub Pages does not take this site",
        "`large.bin` is 100 MB",
        "--any-size",
    ];
    hosted.refused(&[], &too_large);
    hosted.refused(&["--dry-run"], &too_large);
    hosted.publish(&["--any-size", "--dry-run"]);
    large.set_len(1_000_000_001).unwrap();
    hosted.refused(&[], &["the site is 1", "of at most 1 GB"]);
    fs::remove_file(site.join("large.bin")).unwrap();

    hosted.refused(
        &["--out", "/nowhere"],
        &["`/nowhere` has no site in it", "neuroscope build"],
    );
    let folder = hosted.project.join("content");
    fs::create_dir_all(&folder).unwrap();
    hosted.refused(&["--out", folder.to_str().unwrap()], &["has no site in it"]);
    fs::remove_file(site.join("compare.html")).unwrap();
    hosted.refused(
        &[],
        &[
            "compare.html`, written by the last build, is missing",
            "run `neuroscope build` again",
        ],
    );
}

#[test]
fn a_lost_domain_and_a_missing_address_are_said() {
    let hosted = Hosted::new();
    hosted.project.write("content/CNAME", "atlas.example.org\n");
    hosted.project.build(&[]);
    let said = hosted.publish(&[]);
    assert!(
        said.stderr.contains("was built without its address"),
        "{}",
        said.stderr
    );
    assert!(hosted.published("gh-pages")["CNAME"].starts_with(b"atlas"));
    fs::remove_file(hosted.project.join("content/CNAME")).unwrap();
    hosted
        .project
        .build(&["--base-url", "https://example.org/"]);
    let said = hosted.publish(&["--dry-run"]);
    assert!(
        !said.stderr.contains("without its address"),
        "{}",
        said.stderr
    );
    assert!(
        said.stderr.contains("put it into `content/CNAME`"),
        "{}",
        said.stderr
    );
    let report = hosted.publish(&["--json"]).json();
    assert_eq!(report["loses_domain"], true);
    let report = hosted.publish(&["--json"]).json();
    assert_eq!(
        (&report["loses_domain"], &report["is_same"]),
        (&false.into(), &true.into())
    );
}

#[test]
fn a_project_may_be_anywhere_in_a_repository_and_its_site_outside() {
    let hosted = Hosted::new();
    // a project in a folder of a work tree beside the repository, whose remote has a relative address
    let around = tempfile::tempdir().unwrap();
    let tree = around.path().join("tree");
    git(
        &hosted.project,
        &[
            "worktree",
            "add",
            "--quiet",
            tree.to_str().unwrap(),
            "-b",
            "side",
        ],
    );
    let inner = tree.join("atlases/one");
    fs::create_dir_all(&inner).unwrap();
    let options =
        "[publish]\nremote = \"near\"\nbranch = \"pages/one\"\nmessage = \"From the file\"\n";
    fs::write(inner.join("neuroscope.toml"), options).unwrap();
    let moved: PathBuf = around.path().join("remote.git");
    git(
        around.path(),
        &[
            "clone",
            "--quiet",
            "--bare",
            hosted.remote.path().to_str().unwrap(),
            "remote.git",
        ],
    );
    git(&hosted.project, &["remote", "add", "near", "../remote.git"]);
    let mut command = neuroscope(&inner);
    alone(
        command
            .arg("publish")
            .arg("--out")
            .arg(hosted.project.site()),
    );
    // as it is while git runs a hook
    command
        .env("GIT_DIR", "/nowhere")
        .env("GIT_INDEX_FILE", "/nowhere");
    succeed(command.env("GIT_WORK_TREE", "/nowhere"));
    let log = ["log", "--format=%s", "pages/one"];
    assert_eq!(git(&moved, &log), "From the file");
    succeed(command.args(["--branch", "pages/two", "--message", "From the flag"]));
    assert_eq!(
        git(&moved, &["log", "--format=%s", "pages/two"]),
        "From the flag"
    );
}

/// The remote is reached as the user's repository says, and a commit needs no name.
#[cfg(unix)]
#[test]
fn settings_of_the_repository_hold() {
    use std::os::unix::fs::PermissionsExt;
    let hosted = Hosted::new();
    let project = &hosted.project;
    // in place of ssh: a command on this machine
    let script = project.join("reach");
    let reach = |first: &str| {
        let lines =
            format!("#!/bin/sh\nwhile [ $# -gt 1 ]; do shift; done\n{first}\nexec sh -c \"$1\"\n");
        fs::write(&script, lines).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    };
    reach("");
    git(project, &["config", "core.sshCommand", "./reach"]);
    let address = format!(
        "ssh://me:secret@example.invalid{}",
        hosted.remote.path().display()
    );
    git(project, &["remote", "set-url", "origin", &address]);
    git(project, &["config", "--unset", "user.name"]);
    git(project, &["config", "--unset", "user.email"]);
    // a setting for one command, as continuous integration makes them
    let mut command = hosted.command(&[]);
    command.env("GIT_CONFIG_COUNT", "1");
    command.env("GIT_CONFIG_KEY_0", "ssh.variant");
    let said = succeed(command.env("GIT_CONFIG_VALUE_0", "simple"));
    git(project, &["config", "ssh.variant", "simple"]);
    assert!(
        said.stdout.contains("ssh://example.invalid/"),
        "{}",
        said.stdout
    );
    assert!(!said.stdout.contains("secret") && !said.stderr.contains("secret"));
    let author = hosted.remote(&["log", "-1", "--format=%an <%ae>", "gh-pages"]);
    assert_eq!(author, "neuroscope <neuroscope@localhost>");
    // somebody else is faster, after the branch was read
    let path = hosted.remote.path().display();
    reach(&format!(
        "case \"$1\" in *receive-pack*) git --git-dir={path} update-ref refs/heads/gh-pages main;; esac"
    ));
    project.build(&["--base-url", "https://example.org/"]);
    let command = &mut hosted.command(&[]);
    fail(
        command,
        &[
            "did not take the branch `gh-pages`",
            "stale info",
            "run the command again",
        ],
    );
    let [main, pages] = ["main", "gh-pages"].map(|branch| hosted.remote(&["rev-parse", branch]));
    assert_eq!(main, pages);

    git(project, &["config", "core.sshCommand", "false"]);
    let said = hosted.refused(&[], &["cannot read `origin` (ssh://example.invalid/"]);
    assert!(!said.stderr.contains("secret"), "{}", said.stderr);
}
