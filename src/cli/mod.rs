//! The command line: one file per command.

mod analyze;
mod bench;
mod build;
mod flags;
mod init;
mod interrupt;
mod merge;
mod model;
mod publish;
mod report;
mod scan;
mod serve;
mod sources;
mod tokenize;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use neuroscope::config::Project;

use report::{LogFormat, Report};

/// Make a browsable atlas of every MLP neuron of a language model.
#[derive(Parser)]
#[command(name = "neuroscope", version, max_term_width = 100)]
struct Cli {
    /// Folder of the project: neuroscope.toml, content/, theme/, data/
    #[arg(long, global = true, value_name = "DIR", default_value = ".")]
    project: PathBuf,
    /// Print the result as JSON
    #[arg(long, global = true)]
    json: bool,
    /// Format of progress and messages on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, hide_possible_values = true, value_name = "text|json")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Create the folder of a new project: options, content, a workflow for GitHub Pages
    Init(init::InitArgs),
    /// Describe a model: its sizes, norms, positions, parameters
    Model(model::ModelArgs),
    /// Tokenize a corpus with a model's tokenizer
    Tokenize(tokenize::TokenizeArgs),
    /// Run a model over a corpus once, and keep each neuron's statistics and examples
    Scan(scan::ScanArgs),
    /// Join the parts of a scan into an atlas
    Merge(merge::MergeArgs),
    /// Find what the weights say: logit weights, roles, input-output classes, neighbours, tokens
    Analyze(analyze::AnalyzeArgs),
    /// Build the website; if nothing was scanned, that of the embedded demo model
    Build(build::BuildArgs),
    /// Check an atlas: its files, and examples recomputed from weights and corpus
    Verify(verify::VerifyArgs),
    /// Measure how fast neuroscope is on this machine
    #[command(subcommand)]
    Bench(bench::BenchCommand),
    /// Preview the website, and rebuild it when theme or content change
    Serve(serve::ServeArgs),
    /// Replace the branch that GitHub Pages serves by the website, in one commit
    Publish(publish::PublishArgs),
}

/// What every command is given.
struct Context {
    folder: PathBuf,
    project: Project,
    report: Report,
}

impl Context {
    fn data(&self, name: &str) -> PathBuf {
        self.folder.join("data").join(name)
    }

    /// A folder of the project, if it is there.
    fn own(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name)).filter(|path| path.is_dir())
    }
}

pub(crate) fn main() -> ExitCode {
    let cli = Cli::parse();
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !neuroscope::guard::is_on() {
            print(panic);
        }
    }));
    let report = Report::new(cli.json, cli.log_format);
    match run(cli, report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report.error(&error),
    }
}

fn run(cli: Cli, report: Report) -> Result<()> {
    let project = Project::read(&cli.project)?;
    let context = Context {
        folder: cli.project,
        project,
        report,
    };
    interrupt::listen()?;
    match cli.command {
        Command::Init(args) => init::run(&context, &args),
        Command::Model(args) => model::run(&context, &args),
        Command::Tokenize(args) => tokenize::run(&context, &args),
        Command::Scan(args) => scan::run(&context, &args),
        Command::Merge(args) => merge::run(&context, &args),
        Command::Analyze(args) => analyze::run(&context, &args),
        Command::Build(args) => build::run(&context, &args),
        Command::Verify(args) => verify::run(&context, &args),
        Command::Bench(command) => bench::run(&context, &command),
        Command::Serve(args) => serve::run(context, &args),
        Command::Publish(args) => publish::run(&context, &args),
    }
}

/// A path as a user would type it.
fn shown(path: &Path) -> String {
    let path = path
        .strip_prefix("./")
        .or_else(|_| path.strip_prefix("."))
        .unwrap_or(path);
    if path.as_os_str().is_empty() {
        ".".into()
    } else {
        path.display().to_string()
    }
}

/// What lies in a folder, sorted by name.
pub(super) fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries =
        fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut found: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    found.sort();
    Ok(found)
}
