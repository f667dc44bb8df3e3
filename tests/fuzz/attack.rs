//! Gives a reader many damaged inputs, and holds it to its bounds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, Once, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::mutate::Random;

/// How many inputs each reader gets, unless this variable says otherwise.
const COUNT: &str = "NEUROSCOPE_FUZZ";
const FEW: u64 = 40;

/// What no input takes, in seconds, however loaded the machine is.
const PATIENCE: u64 = 60;

/// Counts what is allocated.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn grow(by: usize) {
    let held = HELD.fetch_add(by, Ordering::Relaxed) + by;
    MOST.fetch_max(held, Ordering::Relaxed);
}

// SAFETY: all is passed on to the system's allocator
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as the caller has it
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        grow(layout.size());
        // SAFETY: as the caller has it
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller has it
        unsafe { System.dealloc(at, layout) }
    }
}

/// One reader at a time, since memory is counted for the whole process.
static TURN: Mutex<()> = Mutex::new(());

/// When the input in work began; 0 between inputs.
static BEGAN: AtomicU64 = AtomicU64::new(0);

/// Milliseconds since the first call.
fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_millis() as u64
}

/// Ends the process when an input takes too long.
fn watch() {
    static WATCHING: Once = Once::new();
    WATCHING.call_once(|| {
        thread::spawn(|| {
            loop {
                thread::sleep(Duration::from_millis(500));
                let (began, now) = (BEGAN.load(Ordering::Relaxed), now());
                if began > 0 && now.saturating_sub(began) > PATIENCE * 1000 {
                    let _ = writeln!(std::io::stderr(), "an input takes too long; see {KEPT}");
                    std::process::abort();
                }
            }
        });
    });
}

/// Where the input in work lies, so that one that ends the process can be looked at.
const KEPT: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/fuzz");

fn kept(reader: &str) -> PathBuf {
    fs::create_dir_all(KEPT).unwrap();
    PathBuf::from(KEPT).join(reader)
}

/// What came of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was read.
    Read,
    /// It was refused with an error.
    Refused,
}

impl<T, E: std::fmt::Display> From<Result<T, E>> for Outcome {
    fn from(result: Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Read,
            Err(error) => {
                // an error that cannot be shown would be found too late
                assert!(!error.to_string().is_empty());
                Self::Refused
            }
        }
    }
}

/// What is attacked.
pub struct Attack<'a> {
    /// Name of the reader.
    pub reader: &'a str,
    /// Bytes of memory that it may take.
    pub most: usize,
    /// An input that is right, which must be read.
    pub right: &'a [u8],
    /// Whether damage is refused; else it is passed over.
    pub refuses: bool,
}

impl Attack<'_> {
    /// Gives `read` damaged inputs made by `damage`. None may panic, hang, or take too much memory; and some must be refused, or
    /// the reader never saw the damage.
    pub fn run(
        &self,
        damage: impl Fn(&mut Random) -> Vec<u8>,
        mut read: impl FnMut(&[u8]) -> Outcome,
    ) {
        let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let Self { reader, most, .. } = *self;
        assert_eq!(
            read(self.right),
            Outcome::Read,
            "{reader}: what is right is refused"
        );
        let since = Instant::now();
        watch();
        let count = std::env::var(COUNT).map_or(FEW, |count| count.parse().unwrap());
        let kept = kept(reader);
        let (mut failures, mut refused, mut worst) = (Vec::new(), 0, 0);
        for index in 0..count {
            let input = damage(&mut Random::new(index));
            fs::write(&kept, &input).unwrap();
            let before = HELD.load(Ordering::Relaxed);
            MOST.store(before, Ordering::Relaxed);
            BEGAN.store(now() + 1, Ordering::Relaxed);
            let outcome = catch_unwind(AssertUnwindSafe(|| read(&input)));
            BEGAN.store(0, Ordering::Relaxed);
            let taken = MOST.load(Ordering::Relaxed).saturating_sub(before);
            worst = worst.max(taken);
            let failure = match outcome {
                Err(_) => Some("it panics".to_owned()),
                Ok(_) if taken > most => Some(format!("it takes {taken} bytes of memory")),
                Ok(outcome) => {
                    refused += u64::from(outcome == Outcome::Refused);
                    None
                }
            };
            if let Some(failure) = failure {
                let path = kept.with_extension(index.to_string());
                fs::write(&path, &input).unwrap();
                failures.push(format!("{}: {failure}", path.display()));
            }
        }
        let _ = fs::remove_file(&kept);
        let seconds = since.elapsed().as_secs_f64();
        println!(
            "{reader}: {count} inputs, {refused} refused, at most {:.1} MB, {seconds:.1} s",
            worst as f64 / 1e6
        );
        assert!(failures.is_empty(), "{reader}:\n{}", failures.join("\n"));
        assert_eq!(refused > 0, self.refuses, "{reader}: {refused} refused");
    }
}
