//! What can go wrong while a site is published.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;

use crate::hint::Hint;
use crate::site::error::SiteError;
use crate::site::hosts::Excess;

/// What can go wrong while a site is published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// There is no site, or not a whole one.
    #[error(transparent)]
    Site(#[from] SiteError),
    /// An option is wrong.
    #[error("{option} `{}` {reason}", value.escape_debug())]
    Option {
        /// The option, as the project file has it.
        option: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The host does not take a site this large.
    #[error("{host} does not take this site: {}", list(exceeded))]
    TooLarge {
        /// The host.
        host: &'static str,
        /// Its limits that the site exceeds.
        exceeded: Vec<Excess>,
    },
    /// Git cannot be run.
    #[error("cannot run `git`: {0}")]
    NoGit(io::Error),
    /// The project is not in a repository.
    #[error("`{}` is not in a git repository", .0.display())]
    NoRepository(PathBuf),
    /// The repository has no remote of this name.
    #[error("the repository has no remote `{remote}`")]
    NoRemote {
        /// The remote.
        remote: String,
        /// Those that it has.
        others: Vec<String>,
    },
    /// The remote has no branch yet, and the first one would be its default.
    #[error("`{0}` has no branch yet, and the site's would become its default branch")]
    Empty(String),
    /// The branch holds something else than a site.
    #[error("`{branch}` is {what}, whose history would be lost")]
    Protected {
        /// The branch.
        branch: String,
        /// What it is.
        what: String,
    },
    /// The remote cannot be read.
    #[error("cannot read `{remote}` ({address}): {reason}")]
    Unreachable {
        /// The remote.
        remote: String,
        /// Its address, without a password.
        address: String,
        /// What git says.
        reason: String,
    },
    /// The remote did not take the branch.
    #[error("`{remote}` ({address}) did not take the branch `{branch}`: {reason}")]
    Refused {
        /// The remote.
        remote: String,
        /// Its address, without a password.
        address: String,
        /// The branch.
        branch: String,
        /// What git says.
        reason: String,
    },
    /// Git failed at something else.
    #[error("cannot {action}: {reason}")]
    Git {
        /// What it was to do.
        action: &'static str,
        /// What it says.
        reason: String,
    },
    /// A file was changed while it was read.
    #[error("`{0}` was changed while it was being published")]
    Changed(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read`, `write`...
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The caller asked to stop.
    #[error("interrupted")]
    Interrupted,
}

fn list(exceeded: &[Excess]) -> String {
    let exceeded: Vec<String> = exceeded.iter().map(ToString::to_string).collect();
    exceeded.join("; ")
}

impl Hint for PublishError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Option { option, .. } => {
                return Some(format!("choose another with `--{option}`").into());
            }
            Self::TooLarge { .. } => {
                "leave something out (`neuroscope build` says what helps), choose another host (docs/hosting.md), or publish it all the same with `--any-size`"
            }
            Self::NoGit(_) => {
                "install git, or copy the site's folder to a host that takes files (docs/hosting.md)"
            }
            Self::NoRepository(_) => {
                "make one with `git init` and `git remote add origin URL`, or copy the site's folder to a host that takes files (docs/hosting.md)"
            }
            Self::NoRemote { others, .. } if others.is_empty() => {
                "add the repository on the host with `git remote add origin URL`"
            }
            Self::NoRemote { others, .. } => {
                let others = others.join("`, `");
                return Some(format!("choose another with `--remote`: it has `{others}`").into());
            }
            Self::Empty(_) => "push the project's own branch first, such as `git push origin main`",
            Self::Protected { .. } => {
                "choose a branch only for the site, such as `--branch gh-pages`"
            }
            Self::Unreachable { remote, .. } => {
                return Some(
                    format!("check its address and your access with `git ls-remote {remote}`")
                        .into(),
                );
            }
            Self::Refused { reason, .. } if reason.contains("stale info") => {
                "somebody else has published meanwhile; run the command again to replace that site"
            }
            Self::Refused { .. } => {
                "check that you may push there, and that the branch is not protected on the host"
            }
            Self::Changed(_) => "run the command again",
            Self::Interrupted => {
                "run the same command again; if the branch has this site already, nothing is pushed"
            }
            _ => return None,
        };
        Some(hint.into())
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Site(error) => Some(error),
            _ => None,
        }
    }
}
