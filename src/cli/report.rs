//! What is printed: results on standard output, progress and errors on standard error.

use std::borrow::Cow;
use std::fmt;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::bail;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use neuroscope::atlas::AtlasError;
use neuroscope::corpus::CorpusError;
use neuroscope::gpu::DeviceError;
use neuroscope::hint::Hint;
use neuroscope::ids::ModelNameError;
use neuroscope::load::{DataSetError, LoadError};
use neuroscope::model::ModelError;
use neuroscope::scan::{ScanError, resident_memory};
use neuroscope::serve::ServeError;
use neuroscope::shard::ShardError;
use neuroscope::site::publish::PublishError;
use neuroscope::site::{ContentError, SiteError};
use neuroscope::stats::OptionError;
use neuroscope::tokens::TokenizerError;
use neuroscope::verify::VerifyError;
use serde::Serialize;
use serde_json::{Value, json};

use super::interrupt;

/// How progress and messages are printed on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum LogFormat {
    /// For people: bars on a terminal, lines elsewhere.
    Text,
    /// An object on each line, for clusters.
    Json,
}

/// How results and progress are printed.
#[derive(Clone, Copy)]
pub(super) struct Report {
    json: bool,
    log: LogFormat,
}

impl Report {
    pub(super) fn new(json: bool, log: LogFormat) -> Self {
        Self { json, log }
    }

    /// Prints a result: as JSON, or in words.
    pub(super) fn result(&self, value: &impl Serialize, words: &str) -> anyhow::Result<()> {
        let text = if self.json {
            serde_json::to_string_pretty(value)?
        } else {
            words.to_owned()
        };
        // a reader that has enough closes the pipe, which is no failure
        match writeln!(std::io::stdout(), "{text}") {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            Err(error) => bail!(
                "the work is done, but its result cannot be written to standard output: {error}"
            ),
            Ok(()) => Ok(()),
        }
    }

    /// Says what is being done.
    pub(super) fn note(&self, text: &str) {
        match self.log {
            LogFormat::Text => say(text),
            LogFormat::Json => log(&json!({"event": "note", "text": text})),
        }
    }

    /// Prints an error with its hint; answers the exit code.
    pub(super) fn error(&self, error: &anyhow::Error) -> ExitCode {
        if let Some(error) = error.downcast_ref::<clap::Error>() {
            let _ = error.print();
            return ExitCode::from(2);
        }
        if self.log == LogFormat::Json {
            log(&json!({"event": "error", "text": error.to_string(), "hint": hint(error)}));
            return exit_code(error);
        }
        let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let bold = |text: &str| {
            if colored {
                format!("\u{1b}[1;31m{text}\u{1b}[0m")
            } else {
                text.to_owned()
            }
        };
        say(&format!("{} {error}", bold("error:")));
        if let Some(hint) = hint(error) {
            say(&format!("\nhint: {hint}"));
        }
        exit_code(error)
    }

    /// Begins to show how far a job is.
    pub(super) fn bar(&self, label: &str, total: u64, unit: &str) -> Bar {
        Bar::new(label, total, unit, self.log)
    }
}

/// Prints a line to standard error and ignores failures: a closed or full standard error must not stop the work.
pub(super) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Prints one line of a log, with the time.
fn log(event: &Value) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = now.map_or(0.0, |now| now.as_secs_f64());
    let mut line = json!({"time": (seconds * 1e3).round() / 1e3});
    if let (Some(line), Some(event)) = (line.as_object_mut(), event.as_object()) {
        line.extend(event.clone());
    }
    say(&line.to_string());
}

/// Time between two lines where standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A progress bar on a terminal, plain lines elsewhere.
pub(super) struct Bar {
    label: String,
    unit: String,
    total: u64,
    log: LogFormat,
    started: Instant,
    /// What was done when it started, by an earlier run.
    before: AtomicU64,
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl Bar {
    fn new(label: &str, total: u64, unit: &str, log: LogFormat) -> Self {
        let shows = log == LogFormat::Text && std::io::stderr().is_terminal();
        let bar = shows.then(|| {
            let template = format!("{{prefix:10}} [{{bar:32}}] {{human_pos}}/{{human_len}} {unit} · {{rate}} · {{eta}} left{{memory}}");
            let template = match total {
                0 => format!("{{prefix:10}} {{spinner}} {{human_pos}} {unit} · {{rate}}"),
                _ => template,
            };
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(total).filter(|total| *total > 0), ProgressDrawTarget::stderr_with_hz(8));
            let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.0}/s", state.per_sec());
            };
            let memory = |_: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{}", memory_words());
            };
            bar.with_style(style.with_key("rate", rate).with_key("memory", memory).progress_chars("█▌ ")).with_prefix(label.to_owned())
        });
        let now = Instant::now();
        Self {
            label: label.to_owned(),
            unit: unit.to_owned(),
            total,
            log,
            started: now,
            before: AtomicU64::new(0),
            bar,
            last_line: Mutex::new(now),
        }
    }

    /// Takes what is done already out of the rate.
    pub(super) fn begin_at(&self, done: u64) {
        self.before.store(done, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.reset_eta();
        }
    }

    /// Shows how much is done; answers whether to go on.
    pub(super) fn set(&self, done: u64) -> bool {
        match &self.bar {
            Some(bar) => bar.set_position(done),
            None => {
                let mut last = self
                    .last_line
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                if last.elapsed() >= LINE_EVERY {
                    *last = Instant::now();
                    self.print(done);
                }
            }
        }
        !interrupt::asked()
    }

    /// How much is done in a second, and how many are left.
    fn pace(&self, done: u64) -> (f64, f64) {
        let own = done.saturating_sub(self.before.load(Ordering::Relaxed)) as f64;
        let rate = own / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = (self.total.saturating_sub(done)) as f64 / rate.max(1e-9);
        (rate, left)
    }

    fn print(&self, done: u64) {
        let (rate, left) = self.pace(done);
        let (label, unit, total) = (&self.label, &self.unit, self.total);
        match (self.log, total) {
            (LogFormat::Json, _) => log(&json!({
                "event": "progress",
                "job": label,
                "done": done,
                "total": Some(total).filter(|total| *total > 0),
                "unit": unit,
                "per_s": rate,
                "left_s": Some(left).filter(|_| total > 0),
                "memory_bytes": resident_memory(),
            })),
            (LogFormat::Text, 0) => {
                let memory = memory_words();
                say(&format!("{label}: {done} {unit} · {rate:.0}/s{memory}"));
            }
            (LogFormat::Text, total) => {
                let (left, memory) = (human_time(left), memory_words());
                say(&format!(
                    "{label}: {done}/{total} {unit} · {rate:.0}/s · {left} left{memory}"
                ));
            }
        }
    }

    /// Ends the bar without a word.
    pub(super) fn clear(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    /// Ends the bar with one line of what was done.
    pub(super) fn finish(self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        let (rate, _) = self.pace(done);
        let (label, unit) = (&self.label, &self.unit);
        match self.log {
            LogFormat::Text => say(&format!(
                "{label}: {done} {unit} in {seconds:.1} s ({rate:.0}/s)"
            )),
            LogFormat::Json => log(&json!({
                "event": "done",
                "job": label,
                "done": done,
                "unit": unit,
                "seconds": seconds,
                "per_s": rate,
                "memory_bytes": resident_memory(),
            })),
        }
    }
}

/// How much memory the program has, where the system tells.
fn memory_words() -> String {
    resident_memory().map_or_else(String::new, |bytes| {
        format!(" · {:.2} GB", bytes as f64 / 1e9)
    })
}

/// A count as people say it, such as 20.3M.
pub(super) fn human(n: f64) -> String {
    match n {
        n if n >= 1e9 => format!("{:.2}G", n / 1e9),
        n if n >= 1e6 => format!("{:.2}M", n / 1e6),
        n if n >= 1e4 => format!("{:.1}k", n / 1e3),
        n => format!("{n:.0}"),
    }
}

/// A time as people say it, such as 3 h 20 min.
pub(super) fn human_time(seconds: f64) -> String {
    let (minutes, hours) = (seconds / 60.0, seconds / 3600.0);
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{minutes:.0} min"),
        s if s < 172_800.0 => format!("{:.0} h {:.0} min", hours.floor(), minutes % 60.0),
        _ => format!("{:.1} days", hours / 24.0),
    }
}

/// 130 after an interrupt, 2 for options that make no sense, else 1.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    if interrupt::asked() {
        return ExitCode::from(130);
    }
    let of_scan = matches!(error.downcast_ref(), Some(ScanError::Option(_)));
    let of_atlas = matches!(error.downcast_ref(), Some(AtlasError::Option(_)));
    let of_site = matches!(error.downcast_ref(), Some(SiteError::BadOption { .. }));
    let of_publish = matches!(error.downcast_ref(), Some(PublishError::Option { .. }));
    match of_scan || of_atlas || of_site || of_publish || error.is::<OptionError>() {
        true => ExitCode::from(2),
        false => ExitCode::FAILURE,
    }
}

/// The first hint along the chain of causes.
fn hint(error: &anyhow::Error) -> Option<Cow<'static, str>> {
    error.chain().find_map(|cause| of_kind(cause)?.hint())
}

/// An error as one that may have a hint.
fn of_kind<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e dyn Hint> {
    macro_rules! first {
        ($($kind:ty),*) => {
            None$(.or_else(|| error.downcast_ref::<$kind>().map(|error| error as &dyn Hint)))*
        };
    }
    first!(
        Advice,
        ScanError,
        AtlasError,
        VerifyError,
        SiteError,
        PublishError,
        ServeError,
        LoadError,
        DataSetError,
        ModelNameError,
        CorpusError,
        TokenizerError,
        ModelError,
        ShardError,
        ContentError,
        DeviceError
    )
}

/// An error of a command that says what to do about it.
#[derive(Debug)]
pub(super) struct Advice {
    what: String,
    hint: String,
}

impl Advice {
    /// An error with a hint.
    pub(super) fn error(what: impl Into<String>, hint: impl Into<String>) -> anyhow::Error {
        let (what, hint) = (what.into(), hint.into());
        Self { what, hint }.into()
    }
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Advice {}

impl Hint for Advice {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        Some(self.hint.clone().into())
    }
}
