//! Git, as a program: run on a repository of our own that lies in a temporary folder, with the settings of the user's.

use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Output, Stdio};

use tempfile::TempDir;

use super::error::PublishError;

/// Variables that tell git which repository to work on, set while it runs a hook or an alias.
const OF_ANOTHER: [&str; 14] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_DIR",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Settings that say how a remote is reached: what these keys begin with.
const OF_TRANSPORT: [&str; 8] = [
    "core.askpass",
    "core.gitproxy",
    "core.sshcommand",
    "credential.",
    "http.",
    "protocol.",
    "ssh.",
    "url.",
];

/// The remote in a repository of our own; git does not take every address in place of a name.
pub(super) const REMOTE: &str = "neuroscope-host";

/// Lines of git's output that are quoted in an error.
const MOST_LINES: usize = 12;

/// A command of git in a folder.
fn command(folder: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(folder).stdin(Stdio::null());
    for name in OF_ANOTHER {
        command.env_remove(name);
    }
    // what it says is recognised in English
    command.env("LC_ALL", "C.UTF-8");
    command
}

/// What a command says on standard output, if it succeeds, and else why it failed.
fn ask(command: &mut Command) -> Result<Result<String, String>, PublishError> {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().map_err(PublishError::NoGit)?;
    Ok(match status.success() {
        true => Ok(String::from_utf8_lossy(&stdout).into_owned()),
        false => Err(reason(&String::from_utf8_lossy(&stderr))),
    })
}

/// What git says went wrong, without its progress and without what it always adds.
fn reason(said: &str) -> String {
    let is_telling = |line: &&str| {
        !line.is_empty()
            && !line.contains("% (")
            && !line.starts_with("error: failed to push some refs")
            && !["To ", "From ", "hint: ", "warning: "]
                .iter()
                .any(|start| line.starts_with(start))
            && !["Total ", "Enumerating", "Delta compression"]
                .iter()
                .any(|start| line.starts_with(start))
    };
    let lines = said.split(['\n', '\r']).map(str::trim).filter(is_telling);
    let without = |line: &str| {
        let starts = ["fatal: ", "error: ", "! "];
        let start = starts.iter().find(|start| line.starts_with(**start));
        line[start.map_or(0, |start| start.len())..].to_owned()
    };
    let lines: Vec<String> = lines.map(without).take(MOST_LINES).collect();
    match lines.is_empty() {
        true => "git does not say why".into(),
        false => lines.join("\n"),
    }
}

/// The user's repository. It is only read.
pub(super) struct Repository {
    /// The folder from which its paths are counted.
    folder: PathBuf,
}

impl Repository {
    /// Finds the repository that a folder lies in.
    pub(super) fn find(folder: &Path) -> Result<Self, PublishError> {
        let found = ask(command(folder).args(["rev-parse", "--git-dir"]))?;
        if let Err(reason) = found {
            return Err(match reason.contains("not a git repository") {
                true => PublishError::NoRepository(folder.to_owned()),
                false => PublishError::Git {
                    action: "open the repository",
                    reason,
                },
            });
        }
        // a bare one has no top, and its paths are counted from where git runs
        let top = ask(command(folder).args(["rev-parse", "--show-toplevel"]))?;
        let folder = top.map_or_else(
            |_| folder.to_owned(),
            |top| PathBuf::from(top.trim_end_matches(['\r', '\n'])),
        );
        Ok(Self { folder })
    }

    fn ask(&self, args: &[&str]) -> Result<Option<String>, PublishError> {
        let said = ask(command(&self.folder).args(args))?;
        Ok(said.ok().map(|said| said.trim_end().to_owned()))
    }

    /// The address that is pushed to.
    pub(super) fn address(&self, remote: &str) -> Result<String, PublishError> {
        if let Some(address) = self.ask(&["remote", "get-url", "--push", "--", remote])? {
            return Ok(address);
        }
        let others = self.ask(&["remote"])?.unwrap_or_default();
        Err(PublishError::NoRemote {
            remote: remote.to_owned(),
            others: others.lines().map(str::to_owned).collect(),
        })
    }

    /// Whether a branch can have this name.
    pub(super) fn is_branch_name(&self, name: &str) -> Result<bool, PublishError> {
        let full = format!("refs/heads/{name}");
        let is_valid = self.ask(&["check-ref-format", &full])?.is_some();
        Ok(is_valid && !name.starts_with('-'))
    }

    /// The branch that is checked out.
    pub(super) fn current_branch(&self) -> Result<Option<String>, PublishError> {
        self.ask(&["symbolic-ref", "--quiet", "--short", "HEAD"])
    }

    /// The commit that is checked out, in short.
    pub(super) fn current_commit(&self) -> Result<Option<String>, PublishError> {
        self.ask(&["rev-parse", "--quiet", "--verify", "--short", "HEAD"])
    }

    /// The name, address and time of a commit that is made now, as git writes them; those of the program if the user
    /// has not told git any.
    pub(super) fn identity(&self) -> Result<String, PublishError> {
        let only_told = "user.useConfigOnly=true";
        let own = ["user.name=neuroscope", "user.email=neuroscope@localhost"];
        let ident = ["var", "GIT_COMMITTER_IDENT"];
        if let Some(told) = self.ask(&["-c", only_told, ident[0], ident[1]])? {
            return Ok(told);
        }
        let said = ask(command(&self.folder)
            .args(["-c", own[0], "-c", own[1]])
            .args(ident))?;
        let said = said.map_err(|reason| PublishError::Git {
            action: "name the author of a commit",
            reason,
        });
        Ok(said?.trim_end().to_owned())
    }

    /// The names of its objects: `sha1` or `sha256`.
    fn object_format(&self) -> Result<String, PublishError> {
        let format = self.ask(&["rev-parse", "--show-object-format"])?;
        Ok(format.unwrap_or_else(|| "sha1".into()))
    }

    /// How remotes are reached, as this repository and the caller say; what the user says everywhere holds anyway.
    fn settings(&self) -> Result<Vec<(String, String)>, PublishError> {
        let said = self.ask(&["config", "--list", "--null", "--show-scope"])?;
        let said = said.unwrap_or_default();
        let fields: Vec<&str> = said.split('\0').collect();
        let pairs = fields.chunks_exact(2).filter_map(|pair| {
            let is_own = matches!(pair[0], "local" | "worktree" | "command");
            // a key alone is one that is true
            let (key, value) = pair[1].split_once('\n').unwrap_or((pair[1], "true"));
            let is_transport = OF_TRANSPORT.iter().any(|start| key.starts_with(start));
            (is_own && is_transport).then(|| (key.to_owned(), value.to_owned()))
        });
        Ok(pairs.collect())
    }
}

/// A bare repository of our own, which goes with this value. Nothing in the user's is written.
pub(super) struct Workshop {
    dir: TempDir,
    /// Where commands run, so that relative paths in addresses and settings mean what they mean to the user.
    folder: PathBuf,
    settings: Vec<(String, String)>,
}

impl Workshop {
    /// Makes one with a single remote, [`REMOTE`].
    pub(super) fn new(of: &Repository, address: &str) -> Result<Self, PublishError> {
        let dir = tempfile::Builder::new()
            .prefix("neuroscope-publish-")
            .tempdir();
        let dir = dir.map_err(|source| PublishError::Io {
            action: "create a folder in",
            path: std::env::temp_dir(),
            source,
        })?;
        let workshop = Self {
            dir,
            folder: of.folder.clone(),
            settings: of.settings()?,
        };
        let mut init = vec!["init", "--quiet", "--bare", "--template="];
        let format = format!("--object-format={}", of.object_format()?);
        if !format.ends_with("=sha1") {
            init.push(&format); // older versions know no other, and not the option
        }
        workshop.run("make a temporary repository", &init)?;
        let config = workshop.path().join("config");
        let address = address.replace('\\', "\\\\").replace('"', "\\\"");
        let remote = format!("[remote \"{REMOTE}\"]\n\turl = \"{address}\"\n");
        let file = OpenOptions::new().append(true).open(&config);
        let written = file.and_then(|mut file| file.write_all(remote.as_bytes()));
        written.map_err(|source| PublishError::Io {
            action: "write",
            path: config,
            source,
        })?;
        Ok(workshop)
    }

    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A command of git on this repository.
    pub(super) fn command(&self) -> Command {
        let mut command = command(&self.folder);
        let mut git_dir = std::ffi::OsString::from("--git-dir=");
        git_dir.push(self.path());
        command.arg(git_dir);
        command.args(["-c", "gc.auto=0", "-c", "maintenance.auto=false"]);
        // what the caller says for one command is among these settings
        command.env_remove("GIT_CONFIG_PARAMETERS");
        command.env("GIT_CONFIG_COUNT", self.settings.len().to_string());
        for (at, (key, value)) in self.settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{at}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{at}"), value);
        }
        command
    }

    /// What a command says.
    pub(super) fn ask(&self, args: &[&str]) -> Result<Result<String, String>, PublishError> {
        ask(self.command().args(args))
    }

    /// What a command says that fails only if something is wrong with git.
    pub(super) fn run(&self, action: &'static str, args: &[&str]) -> Result<String, PublishError> {
        let said = self.ask(args)?;
        let said = said.map_err(|reason| PublishError::Git { action, reason })?;
        Ok(said.trim_end().to_owned())
    }

    /// Fetches one commit of a branch and the names of its files, but not the files where the remote can leave them
    /// out.
    pub(super) fn fetch_names(&self, branch: &str) -> Result<Result<(), String>, PublishError> {
        let config = self.path().join("config");
        let io = |action| {
            let path = config.clone();
            move |source| PublishError::Io {
                action,
                path,
                source,
            }
        };
        let before = fs::read(&config).map_err(io("read"))?;
        let branch = format!("refs/heads/{branch}");
        let fetch = ["fetch", "--quiet", "--no-tags", "--no-recurse-submodules"];
        let only = ["--depth=1", "--filter=blob:none", REMOTE, &branch];
        let fetched = self.ask(&[&fetch[..], &only].concat())?;
        // git has noted that it may fetch the files later, one by one; it never should
        fs::write(&config, before).map_err(io("write"))?;
        Ok(fetched.map(drop))
    }
}

/// A running command, which is ended if it is dropped.
pub(super) struct Running(Child);

impl Running {
    pub(super) fn start(command: &mut Command) -> Result<Self, PublishError> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::piped());
        Ok(Self(child.spawn().map_err(PublishError::NoGit)?))
    }

    pub(super) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.0.stdin.take()
    }

    /// Waits for its end. `heard` is called with each line that it says, and with an empty one if it failed, and says
    /// whether to go on.
    pub(super) fn finish(
        mut self,
        heard: &dyn Fn(&str) -> bool,
    ) -> Result<Result<(), String>, PublishError> {
        let mut said = String::new();
        if let Some(stderr) = self.0.stderr.take() {
            listen(stderr, &mut |line| {
                said.push_str(line);
                said.push('\n');
                heard(line)
            })?;
        }
        let status = self.0.wait().map_err(PublishError::NoGit)?;
        match status.success() {
            true => Ok(Ok(())),
            // an interrupt from the terminal goes to git as well
            false if !heard("") => Err(PublishError::Interrupted),
            false => Ok(Err(reason(&said))),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // one that has ended is no longer there
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Reads what a command says, line by line; a line of its progress ends with a return.
fn listen(stderr: ChildStderr, heard: &mut dyn FnMut(&str) -> bool) -> Result<(), PublishError> {
    let mut line = Vec::new();
    for byte in io::BufReader::new(stderr).bytes() {
        match byte {
            Ok(b'\n' | b'\r') => {
                if !heard(&String::from_utf8_lossy(&line)) {
                    return Err(PublishError::Interrupted);
                }
                line.clear();
            }
            Ok(byte) => line.push(byte),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    heard(&String::from_utf8_lossy(&line));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_git_says_is_told_without_its_progress() {
        let said = "Enumerating objects: 3, done.\nCounting objects: 100% (3/3)\rCounting objects: 100% (3/3), done.\nTo ../remote.git\nremote: no, thanks        \n ! [remote rejected] site -> gh-pages (pre-receive hook declined)\nerror: failed to push some refs to '../remote.git'\n";
        let expected =
            "remote: no, thanks\n[remote rejected] site -> gh-pages (pre-receive hook declined)";
        assert_eq!(reason(said), expected);
        assert_eq!(reason("fatal: no\n"), "no");
        assert_eq!(reason("\n"), "git does not say why");
    }
}
