//! `neuroscope analyze`

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use neuroscope::atlas::{self, AnalysisOptions, Atlas, ScannedModel};
use neuroscope::load::ModelFiles;
use neuroscope::shard::{AtlasManifest, ModelInfo, read_manifest};
use neuroscope::tokens::store::TokenStore;
use serde_json::json;

use super::flags::Flags;
use super::{Context, model, shown};

/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;

#[derive(Args)]
pub(super) struct AnalyzeArgs {
    /// Data folder with an atlas
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The model that was scanned [default: as the atlas names it, where that is `demo` or on the Hub]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    options: Flags<AnalysisOptions>,
}

pub(super) fn run(context: &Context, args: &AnalyzeArgs) -> Result<()> {
    let manifest: AtlasManifest = read_manifest(&args.data.join("atlas"))?;
    let named = args.model.clone().or_else(|| origin(&manifest.scan.model));
    let Some(named) = named else {
        bail!(
            "`{}` was scanned from `{}`, which is a folder or a file\n\nhint: say where it is with `--model`",
            shown(&args.data),
            manifest.scan.model.source
        );
    };
    let model = model::open(context, &named)?;
    let options = args.options.over(&context.project.weights)?;
    let started = std::time::Instant::now();
    let flops = analyze(context, &args.data, &model, &options)?;
    let seconds = started.elapsed().as_secs_f64();
    let words = format!(
        "what the weights say is in {}: {:.1} s, {:.0} GFLOP/s",
        shown(&args.data.join("atlas")),
        seconds,
        flops as f64 / seconds / 1e9
    );
    let value = json!({"data": args.data, "flop": flops, "seconds": seconds});
    context.report.result(&value, &words)
}

/// What opens the model again that an atlas was scanned from; a folder or a file may be anywhere.
fn origin(model: &ModelInfo) -> Option<String> {
    let revision = model.revision.as_ref();
    match model.source.as_str() {
        "demo" => Some("demo".to_owned()),
        source => revision.map(|revision| format!("{source}@{revision}")),
    }
}

/// Analyses the weights of the model of a data folder's atlas; answers the floating-point operations it took.
pub(super) fn analyze(
    context: &Context,
    data: &Path,
    model: &ModelFiles,
    options: &AnalysisOptions,
) -> Result<u64> {
    let (config, checkpoint) = (model.config()?, model.checkpoint()?);
    let tokenizer = model.tokenizer()?;
    let flops = atlas::work(
        config.n_layers as u64,
        config.d_mlp as u64,
        config.d_model as u64,
        config.d_vocab as u64,
        config.gated,
    );
    let bar = context
        .report
        .bar("weights", flops / 1_000_000_000, "GFLOP");
    let model = ScannedModel {
        config: &config,
        checkpoint: &checkpoint,
        weights_sha256: &model.weights_sha256()?,
        store: &TokenStore::open(&data.join("corpus"), CACHE_TOKENS)?,
        vocabulary: tokenizer.vocabulary(),
    };
    let progress = |flops: u64| bar.set(flops / 1_000_000_000);
    atlas::analyze(&data.join("atlas"), &model, options, &progress)?;
    bar.finish(flops / 1_000_000_000);
    Ok(flops)
}

/// Analyses the weights of an atlas where that is missing and its model can be found.
pub(super) fn complete(context: &Context, data: &Path) -> Result<()> {
    let atlas = Atlas::open(&data.join("atlas"))?;
    if atlas.weights_info().is_some() {
        return Ok(());
    }
    let info = &atlas.manifest().scan.model;
    let without = |reason: &str| {
        let data = shown(data);
        context.report.note(&format!(
            "note: the weights of {} are not analysed, {reason}: `neuroscope analyze {data} --model MODEL` does it",
            info.name
        ));
        Ok(())
    };
    let Some(named) = origin(info) else {
        return without("and it is not known where they are");
    };
    match model::open(context, &named) {
        Ok(model) => {
            analyze(context, data, &model, &context.project.weights)?;
            Ok(())
        }
        Err(error) => without(&format!("since `{named}` cannot be opened ({error})")),
    }
}
