//! `neuroscope bench`

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use neuroscope::atlas::{self, WeightsRound};
use neuroscope::lanes::Isa;
use neuroscope::scan::{self, BenchOptions, Checked, Round, ScanOptions, Setup};
use serde_json::{Value, json};

use super::flags::Flags;
use super::sources::{self, DataSetArgs};
use super::{Context, model, tokenize};

#[derive(Subcommand)]
pub(super) enum BenchCommand {
    /// Compare a scan with the bare forward pass, in turns on the same text
    Scan(ScanBench),
    /// Compare the analysis of weights with bare products of the same sizes
    Weights(WeightsBench),
}

#[derive(Args)]
pub(super) struct WeightsBench {
    /// The model: a folder, a `.gguf` file, a name on the Hugging Face Hub (optionally with @REVISION), or `demo`
    #[arg(long, value_name = "MODEL", default_value = "demo")]
    model: String,
    /// Rounds, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
}

#[derive(Args)]
pub(super) struct ScanBench {
    /// The model: a folder, a `.gguf` file, a name on the Hugging Face Hub (optionally with @REVISION), or `demo`
    #[arg(long, value_name = "MODEL", default_value = "demo")]
    model: String,
    /// Text to scan, tokenized into a temporary folder
    #[arg(long, value_name = "PATH", num_args = 1.., default_value = "demo")]
    corpus: Vec<PathBuf>,
    /// Tokens in each round
    #[arg(long, value_name = "N", default_value_t = 8192)]
    tokens: u64,
    /// Rounds, after one to warm up
    #[arg(long, value_name = "N", default_value_t = 5)]
    rounds: usize,
    /// Tokens to scan before timing begins
    #[arg(long, value_name = "N", default_value_t = 0)]
    after: u64,
    /// Wait for a line of input before each round, and print the round's figures after it, to take turns with another program
    #[arg(long)]
    in_turns: bool,
    #[command(flatten)]
    options: Flags<ScanOptions>,
}

/// Prints the last round as a line of JSON, or `ready` before the first. Returns whether somebody reads it.
fn say(done: &[Round]) -> bool {
    let line = done
        .last()
        .map_or("ready".into(), |round| json!(round).to_string());
    writeln!(std::io::stdout(), "{line}").is_ok()
}

/// Waits until another program has had its turn.
fn next_turn(done: &[Round]) -> bool {
    let mut line = String::new();
    say(done) && std::io::stdin().read_line(&mut line).is_ok_and(|n| n > 0)
}

pub(super) fn run(context: &Context, command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Scan(args) => scan(context, args),
        BenchCommand::Weights(args) => weights(context, args),
    }
}

/// Median, smallest and largest of what rounds say, as JSON and as a line.
fn spread<R>(rounds: &[R], name: &str, value: impl Fn(&R) -> f64) -> (Value, String) {
    let mut values: Vec<f64> = rounds.iter().map(value).collect();
    values.sort_by(f64::total_cmp);
    let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
    let (low, median, high) = (
        at(0),
        at(values.len() / 2),
        at(values.len().saturating_sub(1)),
    );
    let line = format!("{name:26} {median:>9.2}  ({low:.2} to {high:.2})");
    (json!({"median": median, "low": low, "high": high}), line)
}

/// Floating-point operations of a second, in thousands of millions.
fn rate(flop: u64, seconds: f64) -> f64 {
    flop as f64 / seconds / 1e9
}

fn weights(context: &Context, args: &WeightsBench) -> Result<()> {
    let files = model::open(context, &args.model)?;
    let (config, checkpoint) = (files.config()?, files.checkpoint()?);
    let bar = context
        .report
        .bar("weights", args.rounds as u64 + 1, "rounds");
    let rounds = atlas::bench_weights(&config, &checkpoint, args.rounds, &|done| {
        bar.set(done as u64)
    })?;
    bar.finish(rounds.len() as u64 + 1);
    type Get = fn(&WeightsRound) -> f64;
    let rows: [(&str, &str, Get); 6] = [
        ("logit_weights_gflop_s", "logit weights, GFLOP/s", |r| {
            rate(r.vocabulary_flop, r.vocabulary_s)
        }),
        ("logit_weights_bare_gflop_s", "  bare matmul", |r| {
            rate(r.vocabulary_flop, r.vocabulary_bare_s)
        }),
        ("logit_weights_over_bare", "  share of the bare rate", |r| {
            r.vocabulary_bare_s / r.vocabulary_s
        }),
        ("pairs_gflop_s", "pairs of neurons, GFLOP/s", |r| {
            rate(r.pairs_flop, r.pairs_s)
        }),
        ("pairs_bare_gflop_s", "  bare matmul", |r| {
            rate(r.pairs_flop, r.pairs_bare_s)
        }),
        ("pairs_over_bare", "  share of the bare rate", |r| {
            r.pairs_bare_s / r.pairs_s
        }),
    ];
    let mut value = json!({
        "model": files.origin(),
        "threads": rayon::current_num_threads(),
        "runs_on": Isa::best().name(),
        "rounds": rounds,
    });
    let mut words = format!("{}, median of {} rounds", files.origin(), rounds.len());
    // one layer has no pairs with later ones
    let has_pairs = config.n_layers > 1;
    let rows = rows.into_iter();
    for (key, name, get) in rows.filter(|(key, ..)| has_pairs || !key.starts_with("pairs")) {
        let (spread, line) = spread(&rounds, name, get);
        value[key] = spread;
        words.push_str(&format!("\n{line}"));
    }
    context.report.result(&value, &words)
}

fn scan(context: &Context, args: &ScanBench) -> Result<()> {
    let corpus = sources::open(context, &args.corpus, &DataSetArgs::default())?;
    let files = model::open(context, &args.model)?;
    let options = args.options.over(&context.project.scan)?;
    let checked = Checked::new(&files, &options)?;
    let folder = tempfile::tempdir()?;
    let read = tokenize::ReadOptions {
        corpus: context.project.corpus.clone(),
        chat: context.project.chat.clone(),
        bos: options.bos,
    };
    let corpus = tokenize::tokenize(context, &files, &corpus, &read, folder.path())?;
    let store = folder.path().join("corpus");
    let setup = Setup::new(files.name(), checked, &corpus.manifest, &store)?;
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
    let of = |name: &str, value: fn(&Round) -> f64| spread(&rounds, name, value);
    let forward = of("forward, tokens/s", |r| r.n_tokens as f64 / r.forward_s);
    let scan = of("scan, tokens/s", |r| r.n_tokens as f64 / r.scan_s);
    let cost = of("scan : forward, time", |r| r.scan_s / r.forward_s);
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
