//! Ctrl-C: jobs are asked to stop where nothing is half-written.

use std::sync::atomic::{AtomicBool, Ordering};

static ASKED: AtomicBool = AtomicBool::new(false);

/// Notes interrupts from now on; a second one ends the program at once.
pub(super) fn listen() -> Result<(), ctrlc::Error> {
    ctrlc::set_handler(|| {
        if ASKED.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
    })
}

/// Whether to stop.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Ends the program where a job that cannot be asked to stop has left nothing half-written.
pub(super) fn leave() -> ! {
    eprintln!("error: interrupted");
    std::process::exit(130);
}
