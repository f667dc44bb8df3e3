//! Puts a built site on a branch of a remote repository, from which a host such as GitHub Pages serves it.
//!
//! The branch is replaced by a single commit without parents, so that no history grows. The commit is made in a
//! temporary repository by `git fast-import`, which takes the bytes of files as they are: attributes, filters and
//! line endings of the user's repository do not apply, and nothing in it is read but its remotes and how they are
//! reached.
//!
//! Of the commit that is replaced, the names of its files are fetched first. Then git knows what the remote already has,
//! and sends only the files that changed. For this the temporary repository has to be a shallow one, for which git
//! compares the files of commits that are no ancestors of one another.

mod error;
mod git;
mod import;

use std::cell::Cell;
use std::path::Path;
use std::process::Stdio;

use serde::{Deserialize, Serialize};

use super::hosts::Host;
use super::output::BuiltSite;
use git::{REMOTE, Repository, Running, Workshop};

pub use error::PublishError;

/// Branches on which projects keep their source.
const OF_SOURCE: [&str; 2] = ["main", "master"];
/// The file that names a site's own domain on GitHub Pages.
pub const CNAME: &str = "CNAME";
/// The branch of the temporary repository.
const BRANCH: &str = "refs/heads/site";

/// Where a site is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct PublishOptions {
    /// Remote of the project's repository to push to.
    #[cfg_attr(feature = "cli", arg(long))]
    pub remote: String,
    /// Branch to replace with the site.
    #[cfg_attr(feature = "cli", arg(long))]
    pub branch: String,
    /// Message of the commit; the default names the commit of the project.
    #[cfg_attr(feature = "cli", arg(long))]
    pub message: Option<String>,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            remote: "origin".into(),
            branch: "gh-pages".into(),
            message: None,
        }
    }
}

impl PublishOptions {
    /// Finds values that cannot be meant.
    pub fn check(&self) -> Result<(), PublishError> {
        let bad = |option, value: &str, reason| {
            Err(PublishError::Option {
                option,
                value: value.to_owned(),
                reason,
            })
        };
        if self.remote.is_empty() || self.remote.starts_with('-') {
            return bad("remote", &self.remote, "is not the name of a remote");
        }
        match self.message.as_deref() {
            Some(message) if message.trim().is_empty() || message.contains('\0') => {
                bad("message", message, "is not a message for a commit")
            }
            _ => Ok(()),
        }
    }
}

/// What was published, or would be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublishReport {
    /// The remote.
    pub remote: String,
    /// Its address, without a password.
    pub address: String,
    /// The branch.
    pub branch: String,
    /// The commit that the branch had before, if it was there.
    pub before: Option<String>,
    /// The commit that it has now, or would have.
    pub commit: String,
    /// Whether the branch holds the same files already, so that nothing was pushed.
    pub is_same: bool,
    /// Whether the branch had a file [`CNAME`] that the site lacks.
    pub loses_domain: bool,
    /// Files of the site.
    pub n_files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A branch of a remote, to be replaced by a site.
pub struct Target {
    repository: Repository,
    workshop: Workshop,
    options: PublishOptions,
    address: String,
    /// Whether the branch is there.
    is_there: bool,
}

/// How far publishing is. Both are called with what is done, and say whether to go on.
pub struct Progress<'a> {
    /// Files that were packed.
    pub packed: &'a dyn Fn(u64) -> bool,
    /// Objects that were sent, of how many.
    pub sent: &'a dyn Fn(u64, u64) -> bool,
}

/// Refuses a site that is too large for a host.
pub fn check_size(site: &BuiltSite, host: &Host) -> Result<(), PublishError> {
    let exceeded = host.excesses(&site.size());
    match exceeded.is_empty() {
        true => Ok(()),
        false => Err(PublishError::TooLarge {
            host: host.name,
            exceeded,
        }),
    }
}

impl Target {
    /// Finds the remote of the repository that a project lies in, and refuses a branch that may hold something else than
    /// a site.
    pub fn find(project: &Path, options: &PublishOptions) -> Result<Self, PublishError> {
        options.check()?;
        let PublishOptions { remote, branch, .. } = options;
        let repository = Repository::find(project)?;
        if !repository.is_branch_name(branch)? {
            return Err(PublishError::Option {
                option: "branch",
                value: branch.clone(),
                reason: "cannot be the name of a branch",
            });
        }
        let protected = |what: String| PublishError::Protected {
            branch: branch.clone(),
            what,
        };
        if repository.current_branch()?.as_ref() == Some(branch) {
            return Err(protected("the branch that is checked out".into()));
        }
        if OF_SOURCE.contains(&branch.as_str()) {
            return Err(protected("where projects keep their source".into()));
        }
        let address = repository.address(remote)?;
        let workshop = Workshop::new(&repository, &address)?;
        let listed = workshop.ask(&["ls-remote", "--symref", REMOTE, "HEAD", "refs/heads/*"])?;
        let listed = listed.map_err(|reason| unreachable(options, &address, &reason))?;
        let branches = Branches::read(&listed);
        if branches.heads.is_empty() {
            return Err(PublishError::Empty(remote.clone()));
        }
        if branches.default == Some(branch.as_str()) {
            return Err(protected(format!("the default branch of `{remote}`")));
        }
        Ok(Self {
            is_there: branches.heads.iter().any(|head| head == branch),
            repository,
            workshop,
            options: options.clone(),
            address,
        })
    }

    /// Replaces the branch by a commit of the site, unless it holds the same files. With `dry_run` everything is done up
    /// to the moment when the remote would change.
    pub fn publish(
        &self,
        site: &BuiltSite,
        dry_run: bool,
        progress: &Progress<'_>,
    ) -> Result<PublishReport, PublishError> {
        let branch = &self.options.branch;
        if self.is_there {
            let fetched = self.workshop.fetch_names(branch)?;
            fetched.map_err(|reason| unreachable(&self.options, &self.address, &reason))?;
        }
        self.commit(site, progress.packed)?;
        let read = |what: &str| {
            self.workshop
                .run("read the new commit", &["rev-parse", what])
        };
        let mut report = PublishReport {
            remote: self.options.remote.clone(),
            address: without_password(&self.address),
            branch: branch.clone(),
            before: None,
            commit: read(BRANCH)?,
            is_same: false,
            loses_domain: false,
            n_files: site.files().len() as u64,
            bytes: site.files().iter().map(|(_, bytes)| bytes).sum(),
        };
        if self.is_there {
            let before = read("FETCH_HEAD")?;
            report.is_same = read("FETCH_HEAD^{tree}")? == read(&format!("{BRANCH}^{{tree}}"))?;
            let domain = ["ls-tree", "--name-only", &before, CNAME];
            let domain = self.workshop.run("read the branch", &domain)?;
            report.loses_domain = !domain.is_empty() && !site.has(CNAME);
            if report.is_same {
                report.commit.clone_from(&before);
            }
            report.before = Some(before);
        }
        if !report.is_same {
            self.push(report.before.as_deref(), dry_run, progress.sent)?;
        }
        Ok(report)
    }

    /// Makes a commit of the site.
    fn commit(&self, site: &BuiltSite, packed: &dyn Fn(u64) -> bool) -> Result<(), PublishError> {
        let identity = self.repository.identity()?;
        let message = match &self.options.message {
            Some(message) => message.clone(),
            None => {
                let of = self.repository.current_commit()?;
                let of = of.map_or_else(String::new, |commit| format!("of {commit} "));
                format!("Site {of}by neuroscope {}", env!("CARGO_PKG_VERSION"))
            }
        };
        let mut command = self.workshop.command();
        command.args(["fast-import", "--quiet", "--done", "--date-format=raw"]);
        let mut import = Running::start(command.stdin(Stdio::piped()))?;
        let commit = import::Commit {
            branch: BRANCH,
            identity: &identity,
            message: &message,
            site,
        };
        let written = match import.stdin() {
            Some(stdin) => commit.write(stdin, packed),
            None => Ok(()),
        };
        if !matches!(written, Ok(()) | Err(PublishError::Git { .. })) {
            return written;
        }
        // if git did not read on, it says why
        let done = import.finish(&|_| packed(site.files().len() as u64))?;
        done.map_err(import::failed)?;
        written
    }

    /// Pushes the commit, if the branch is still where it was.
    fn push(
        &self,
        before: Option<&str>,
        dry_run: bool,
        sent: &dyn Fn(u64, u64) -> bool,
    ) -> Result<(), PublishError> {
        let branch = format!("refs/heads/{}", self.options.branch);
        let mut push = self.workshop.command();
        push.args([
            "push",
            "--progress",
            "--no-follow-tags",
            "--no-recurse-submodules",
        ]);
        push.arg(format!(
            "--force-with-lease={branch}:{}",
            before.unwrap_or_default()
        ));
        if dry_run {
            push.arg("--dry-run");
        }
        push.arg(REMOTE).arg(format!("{BRANCH}:{branch}"));
        let last = Cell::new((0, 0));
        let heard = |line: &str| {
            if let Some(now) = written(line) {
                last.set(now);
            }
            let (done, total) = last.get();
            sent(done, total)
        };
        let pushed = Running::start(&mut push)?.finish(&heard)?;
        pushed.map_err(|reason| match reason.contains("rejected] ") {
            true => PublishError::Refused {
                remote: self.options.remote.clone(),
                address: without_password(&self.address),
                branch: self.options.branch.clone(),
                reason: reason.replace(&self.address, &without_password(&self.address)),
            },
            false => unreachable(&self.options, &self.address, &reason),
        })
    }
}

fn unreachable(options: &PublishOptions, address: &str, reason: &str) -> PublishError {
    let shown = without_password(address);
    PublishError::Unreachable {
        remote: options.remote.clone(),
        reason: reason.replace(address, &shown),
        address: shown,
    }
}

/// Objects that are written to a remote, and of how many, as git says it: `Writing objects:  45% (123/456), 12 MiB`.
fn written(line: &str) -> Option<(u64, u64)> {
    let (_, counts) = line.strip_prefix("Writing objects:")?.split_once('(')?;
    let (done, total) = counts.split_once(')')?.0.split_once('/')?;
    Some((done.parse().ok()?, total.parse().ok()?))
}

/// The branches of a remote, as `git ls-remote --symref` lists them.
struct Branches<'a> {
    /// The branch that one gets without naming one.
    default: Option<&'a str>,
    heads: Vec<&'a str>,
}

impl<'a> Branches<'a> {
    fn read(listed: &'a str) -> Self {
        let (mut default, mut heads) = (None, Vec::new());
        for (value, name) in listed.lines().filter_map(|line| line.split_once('\t')) {
            match value.strip_prefix("ref: refs/heads/") {
                Some(branch) if name == "HEAD" => default = Some(branch),
                _ => heads.extend(name.strip_prefix("refs/heads/")),
            }
        }
        Self { default, heads }
    }
}

/// An address without the name and password that may be in it.
fn without_password(address: &str) -> String {
    let Some((scheme, rest)) = address.split_once("://") else {
        return address.to_owned();
    };
    let host = rest.split('/').next().unwrap_or_default();
    match host.rsplit_once('@') {
        Some((user, _)) if scheme != "ssh" || user.contains(':') => {
            format!("{scheme}://{}", &rest[user.len() + 1..])
        }
        _ => address.to_owned(),
    }
}

/// Where GitHub Pages serves the site of a repository, unless it has a domain of its own.
pub fn github_address(remote: &str) -> Option<String> {
    let remote = without_password(remote);
    let starts = [
        "https://github.com/",
        "ssh://git@github.com/",
        "git@github.com:",
    ];
    let path = starts.iter().find_map(|start| remote.strip_prefix(start))?;
    let path = path.trim_end_matches('/');
    let (user, name) = path.strip_suffix(".git").unwrap_or(path).split_once('/')?;
    let host = format!("{}.github.io", user.to_ascii_lowercase());
    match name.eq_ignore_ascii_case(&host) {
        true => Some(format!("https://{host}/")),
        false => Some(format!("https://{host}/{name}/")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_not_shown() {
        for (given, shown) in [
            (
                "https://me:secret@github.com/a/b.git",
                "https://github.com/a/b.git",
            ),
            ("https://secret@github.com/a/b", "https://github.com/a/b"),
            ("https://github.com/a/b@c", "https://github.com/a/b@c"),
            ("ssh://git@github.com/a/b", "ssh://git@github.com/a/b"),
            ("git@github.com:a/b.git", "git@github.com:a/b.git"),
            ("../remote.git", "../remote.git"),
        ] {
            assert_eq!(without_password(given), shown);
        }
    }

    #[test]
    fn the_address_of_a_site_follows_from_that_of_its_repository() {
        for (remote, address) in [
            (
                "https://github.com/Me/Atlas.git",
                Some("https://me.github.io/Atlas/"),
            ),
            (
                "https://x:token@github.com/me/atlas/",
                Some("https://me.github.io/atlas/"),
            ),
            (
                "git@github.com:me/me.github.io.git",
                Some("https://me.github.io/"),
            ),
            (
                "ssh://git@github.com/me/atlas",
                Some("https://me.github.io/atlas/"),
            ),
            ("https://example.org/me/atlas.git", None),
            ("/srv/git/atlas.git", None),
        ] {
            assert_eq!(github_address(remote).as_deref(), address, "{remote}");
        }
    }

    #[test]
    fn what_git_says_is_understood() {
        let listed =
            "ref: refs/heads/main\tHEAD\n0a\tHEAD\n0a\trefs/heads/main\n0b\trefs/heads/x/y\n";
        let branches = Branches::read(listed);
        assert_eq!(branches.default, Some("main"));
        assert_eq!(branches.heads, ["main", "x/y"]);
        assert_eq!(
            written("Writing objects:  45% (123/456), 12 MiB"),
            Some((123, 456))
        );
        assert_eq!(written("Counting objects:  45% (123/456)"), None);
    }
}
