//! Calls for a rebuild when files change.

use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::watch::Sender;

/// Changes that come within this time of one another are one.
const QUIET: Duration = Duration::from_millis(150);

/// Watches files and folders; after a change `rebuild` runs, and if the site changed, `changed` counts on. Ends when
/// the watcher is dropped.
pub(super) fn watch(
    paths: &[PathBuf],
    mut rebuild: Box<dyn FnMut() -> bool + Send>,
    changed: Sender<u64>,
) -> notify::Result<RecommendedWatcher> {
    let (sender, receiver) = mpsc::channel();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        // reading files is no change, and a build reads many
        if event.is_ok_and(|event| !matches!(event.kind, EventKind::Access(_))) {
            let _ = sender.send(());
        }
    })?;
    for path in paths.iter().filter(|path| path.exists()) {
        watcher.watch(path, RecursiveMode::Recursive)?;
    }
    thread::spawn(move || {
        while receiver.recv().is_ok() {
            while receiver.recv_timeout(QUIET).is_ok() {}
            if rebuild() {
                changed.send_modify(|version| *version += 1);
            }
        }
    });
    Ok(watcher)
}
