//! What is printed: results on standard output, progress and errors on standard error.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use neuroscope::atlas::AtlasError;
use neuroscope::load::LoadError;
use neuroscope::scan::ScanError;
use neuroscope::serve::ServeError;
use neuroscope::site::SiteError;
use serde::Serialize;

use super::interrupt;

/// How results and progress are printed.
pub(super) struct Report {
    json: bool,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json }
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
            result => Ok(result?),
        }
    }

    /// Says what is being done.
    pub(super) fn note(&self, text: &str) {
        eprintln!("{text}");
    }

    /// Begins to show how far a job is.
    pub(super) fn bar(&self, label: &str, total: u64, unit: &str) -> Bar {
        Bar::new(label, total, unit)
    }
}

/// Time between two lines where standard error is not a terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// A progress bar on a terminal, plain lines elsewhere.
pub(super) struct Bar {
    label: String,
    unit: String,
    total: u64,
    started: Instant,
    bar: Option<ProgressBar>,
    last_line: Mutex<Instant>,
}

impl Bar {
    fn new(label: &str, total: u64, unit: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = format!("{{prefix:10}} [{{bar:32}}] {{human_pos}}/{{human_len}} {unit} · {{rate}} · {{eta}} left");
            let template = match total {
                0 => format!("{{prefix:10}} {{spinner}} {{human_pos}} {unit} · {{rate}}"),
                _ => template,
            };
            let style = ProgressStyle::with_template(&template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = ProgressBar::with_draw_target(Some(total).filter(|total| *total > 0), ProgressDrawTarget::stderr_with_hz(8));
            let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = write!(out, "{:.0}/s", state.per_sec());
            };
            bar.with_style(style.with_key("rate", rate).progress_chars("█▌ ")).with_prefix(label.to_owned())
        });
        let now = Instant::now();
        Self {
            label: label.to_owned(),
            unit: unit.to_owned(),
            total,
            started: now,
            bar,
            last_line: Mutex::new(now),
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
                    eprintln!("{}", self.line(done));
                }
            }
        }
        !interrupt::asked()
    }

    fn line(&self, done: u64) -> String {
        let rate = done as f64 / self.started.elapsed().as_secs_f64().max(1e-9);
        let left = (self.total.saturating_sub(done)) as f64 / rate.max(1e-9);
        match self.total {
            0 => format!("{}: {done} {} · {rate:.0}/s", self.label, self.unit),
            total => format!(
                "{}: {done}/{total} {} · {rate:.0}/s · {left:.0} s left",
                self.label, self.unit
            ),
        }
    }

    /// Ends the bar with one line of what was done.
    pub(super) fn finish(self, done: u64) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        let seconds = self.started.elapsed().as_secs_f64();
        eprintln!(
            "{}: {done} {} in {seconds:.1} s ({:.0}/s)",
            self.label,
            self.unit,
            done as f64 / seconds.max(1e-9)
        );
    }
}

/// Prints an error with its hint; the exit code is 1, after an interrupt 130.
pub(super) fn print_error(error: &anyhow::Error) -> ExitCode {
    if let Some(error) = error.downcast_ref::<clap::Error>() {
        let _ = error.print();
        return ExitCode::from(2);
    }
    let colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let bold = |text: &str| {
        if colored {
            format!("\u{1b}[1;31m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    };
    eprintln!("{} {error}", bold("error:"));
    if let Some(hint) = hint(error) {
        eprintln!("\nhint: {hint}");
    }
    if interrupt::asked() {
        ExitCode::from(130)
    } else {
        ExitCode::FAILURE
    }
}

fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let known = error.downcast_ref::<ScanError>().and_then(ScanError::hint);
    let known = known.or_else(|| error.downcast_ref::<SiteError>().and_then(SiteError::hint));
    let known = known.or_else(|| {
        error
            .downcast_ref::<AtlasError>()
            .and_then(AtlasError::hint)
    });
    let known = known.or_else(|| {
        error
            .downcast_ref::<ServeError>()
            .and_then(ServeError::hint)
    });
    known.or_else(|| error.downcast_ref::<LoadError>().and_then(LoadError::hint))
}
