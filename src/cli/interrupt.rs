//! Ctrl-C: jobs are asked to stop where nothing is half-written.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Signals within this time of one another are one event: when a terminal goes away, its shell and the system both say so.
const ONE_EVENT: Duration = Duration::from_millis(500);

static ASKED: AtomicBool = AtomicBool::new(false);

/// Notes interrupts from now on; a second one ends the program at once. A terminal that goes away interrupts as well,
/// unless the program was told to outlive it, as `nohup` does.
pub(super) fn listen() -> Result<(), ctrlc::Error> {
    let outlives = outlives_terminal();
    let mut first: Option<Instant> = None;
    ctrlc::set_handler(move || {
        ASKED.store(true, Ordering::SeqCst);
        let first = *first.get_or_insert_with(Instant::now);
        if first.elapsed() > ONE_EVENT {
            std::process::exit(130);
        }
    })?;
    if outlives {
        outlive_terminal();
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn outlives_terminal() -> bool {
    // SAFETY: a zeroed `sigaction` is a valid one, and the call only writes to it
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGHUP, std::ptr::null(), &mut action) == 0
            && action.sa_sigaction == libc::SIG_IGN
    }
}

#[cfg(target_os = "linux")]
fn outlive_terminal() {
    // SAFETY: ignoring a signal runs no code
    unsafe { libc::signal(libc::SIGHUP, libc::SIG_IGN) };
}

#[cfg(not(target_os = "linux"))]
fn outlives_terminal() -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn outlive_terminal() {}

/// Whether to stop.
pub(super) fn asked() -> bool {
    ASKED.load(Ordering::SeqCst)
}

/// Ends the program where a job that cannot be asked to stop has left nothing half-written.
pub(super) fn leave() -> ! {
    let _ = writeln!(std::io::stderr(), "error: interrupted");
    std::process::exit(130);
}
