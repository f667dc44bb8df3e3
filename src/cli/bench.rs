//! `neuroscope bench`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use neuroscope::scan::{self, BenchOptions, Round, ScanOptions, Setup};
use serde_json::json;

use super::flags::Flags;
use super::{Context, model, tokenize};

#[derive(Subcommand)]
pub(super) enum BenchCommand {
    /// A scan beside the bare forward pass, in turns on the same text
    Scan(ScanBench),
}

#[derive(Args)]
pub(super) struct ScanBench {
    /// The model: a folder, a `.gguf` file, a name on the Hugging Face Hub (with @REVISION), or `demo`
    #[arg(long, value_name = "MODEL", default_value = "demo")]
    model: String,
    /// Text to scan, tokenized into a temporary folder
    #[arg(long, value_name = "PATH", num_args = 1.., default_value = "demo")]
    corpus: Vec<PathBuf>,
    /// Tokens of a round
    #[arg(long, value_name = "N", default_value_t = 8192)]
    tokens: u64,
    /// Rounds, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Tokens that are scanned first, so that what is timed is a scan under way
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Waits for a line of input before each round and prints the round's figures after it, so that something else can be
    /// measured in turns
    #[arg(long)]
    in_turns: bool,
    #[command(flatten)]
    options: Flags<ScanOptions>,
}

/// Prints the last round as a line of JSON.
fn say(done: &[Round]) {
    if let Some(round) = done.last() {
        println!("{}", json!(round));
    }
}

/// Waits until another program has had its turn.
fn next_turn(done: &[Round]) -> bool {
    match done {
        [] => println!("ready"),
        done => say(done),
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0)
}

pub(super) fn run(context: &Context, command: &BenchCommand) -> Result<()> {
    let BenchCommand::Scan(args) = command;
    let files = model::open(context, &args.model)?;
    let options = args.options.over(&context.project.scan)?;
    let folder = tempfile::tempdir()?;
    let corpus_options = &context.project.corpus;
    let corpus = tokenize::tokenize(context, &files, &args.corpus, corpus_options, folder.path())?;
    let store = folder.path().join("corpus");
    let setup = Setup::new(files.name(), &files, &corpus, &store, &options)?;
    let rounds = scan::bench(
        &setup.job(),
        setup.identity(),
        BenchOptions {
            tokens: args.tokens,
            rounds: args.rounds,
            after: args.after,
        },
        |done| !args.in_turns || next_turn(done),
    )?;
    if args.in_turns {
        say(&rounds);
        return Ok(());
    }
    let of = |name: &str, value: &dyn Fn(&Round) -> f64| {
        let mut values: Vec<f64> = rounds.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        let (low, median, high) = (
            at(0),
            at(values.len() / 2),
            at(values.len().saturating_sub(1)),
        );
        let line = format!("{name:22} {median:>9.2}  ({low:.2} to {high:.2})");
        (json!({"median": median, "low": low, "high": high}), line)
    };
    let forward = of("forward, tokens/s", &|r| r.n_tokens as f64 / r.forward_s);
    let scan = of("scan, tokens/s", &|r| r.n_tokens as f64 / r.scan_s);
    let cost = of("scan : forward, time", &|r| r.scan_s / r.forward_s);
    let runs_on = setup.runs_on();
    let value = json!({
        "model": files.origin(),
        "n_ctx": setup.identity().policy.n_ctx,
        "dtype": options.dtype.name(),
        "runs_on": runs_on,
        "threads": rayon::current_num_threads(),
        "rounds": rounds,
        "forward_tokens_per_s": forward.0,
        "scan_tokens_per_s": scan.0,
        "scan_over_forward_time": cost.0,
    });
    let words = format!(
        "{} in {} on {runs_on}, median of {} rounds\n{}\n{}\n{}",
        files.origin(),
        options.dtype.name(),
        rounds.len(),
        forward.1,
        scan.1,
        cost.1
    );
    context.report.result(&value, &words)
}
