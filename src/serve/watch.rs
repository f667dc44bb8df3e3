//! Calls for a rebuild when files change.
//!
//! What is watched is looked at again and again, rather than that the system tells of changes: that also works for
//! folders that come, go and come again, for links and on network file systems.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch::Sender as Versions;

/// Time between two looks, if one takes little.
const EVERY: Duration = Duration::from_millis(250);
/// How many times longer than a look itself the time between two is at least.
const REST: u32 = 10;

/// Watches files and folders until it is dropped.
pub(super) struct Watcher {
    _stop: Sender<()>,
}

/// Watches files and folders; after a change `rebuild` runs, and if the site changed, `changed` counts on.
pub(super) fn watch(
    paths: Box<dyn Fn() -> Vec<PathBuf> + Send>,
    mut rebuild: Box<dyn FnMut() -> bool + Send>,
    changed: Versions<u64>,
) -> Watcher {
    let (stop, stopped) = mpsc::channel::<()>();
    let mut built = state(&paths());
    thread::spawn(move || {
        let (mut seen, mut pause) = (built, EVERY);
        while stopped.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            let started = Instant::now();
            let now = state(&paths());
            pause = EVERY.max(started.elapsed() * REST);
            // whoever writes several files is given the time to
            let is_quiet = std::mem::replace(&mut seen, now) == now;
            if now == built || !is_quiet {
                continue;
            }
            // what changes while the site is built is built next
            built = now;
            if rebuild() {
                changed.send_modify(|version| *version += 1);
            }
        }
    });
    Watcher { _stop: stop }
}

/// A hash of what tells that files changed: their names, lengths, times, and which files they are.
fn state(paths: &[PathBuf]) -> u64 {
    let mut hash = DefaultHasher::new();
    for path in paths {
        let walk = walkdir::WalkDir::new(path).follow_links(true);
        let walk = walk.sort_by_file_name().into_iter();
        let walk = walk.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry.path()));
        for entry in walk {
            match entry {
                Ok(entry) => {
                    entry.path().hash(&mut hash);
                    if let Ok(metadata) = entry.metadata()
                        && metadata.is_file()
                    {
                        (metadata.len(), metadata.modified().ok()).hash(&mut hash);
                        identity(&metadata).hash(&mut hash);
                    }
                }
                Err(error) => error.path().hash(&mut hash),
            }
        }
    }
    hash.finish()
}

fn is_hidden(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with('.')
}

/// Which file it is, and when anything of it changed.
#[cfg(unix)]
fn identity(metadata: &std::fs::Metadata) -> impl Hash {
    use std::os::unix::fs::MetadataExt;
    (metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &std::fs::Metadata) {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn whatever_happens_to_a_folder_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let paths = [at("content"), at("project.toml")];
        let mut before = state(&paths);
        let mut changes = |what: &str, expected: bool| {
            let now = state(&paths);
            assert_eq!(now != before, expected, "{what}");
            before = now;
        };
        changes("nothing", false);
        fs::create_dir(at("content")).unwrap();
        changes("a folder that comes", true);
        fs::write(at("content/a.md"), "one").unwrap();
        changes("a file that comes", true);
        let _ = fs::read(at("content/a.md")).unwrap();
        changes("a file that is read", false);
        fs::write(at("content/.a.md.swp"), "x").unwrap();
        changes("an editor's own file", false);
        fs::create_dir(at("content/.git")).unwrap();
        fs::write(at("content/.git/index"), "x").unwrap();
        changes("what lies in a hidden folder", false);
        thread::sleep(Duration::from_millis(20));
        fs::write(at("content/a.md"), "two").unwrap();
        changes("another text of the same length", true);
        fs::write(at("content/b.tmp"), "six").unwrap();
        changes("a temporary file", true);
        fs::rename(at("content/b.tmp"), at("content/a.md")).unwrap();
        changes("a file replaced by renaming", true);
        fs::rename(at("content"), at("aside")).unwrap();
        changes("a folder that goes", true);
        fs::rename(at("aside"), at("content")).unwrap();
        changes("a folder that comes back", true);
        fs::write(at("project.toml"), "").unwrap();
        changes("a file of the project", true);
        #[cfg(unix)]
        {
            fs::write(at("elsewhere.md"), "one").unwrap();
            std::os::unix::fs::symlink(at("elsewhere.md"), at("content/link.md")).unwrap();
            changes("a link", true);
            thread::sleep(Duration::from_millis(20));
            fs::write(at("elsewhere.md"), "two").unwrap();
            changes("what a link leads to", true);
            std::os::unix::fs::symlink(at("content"), at("content/circle")).unwrap();
            changes("a link that leads in a circle", true);
        }
        fs::remove_dir_all(at("content")).unwrap();
        changes("a folder that goes", true);
    }
}
