//! `neuroscope analyze`

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use neuroscope::atlas::{self, AnalysisOptions, ScannedModel};
use neuroscope::load::ModelFiles;
use neuroscope::shard::{AtlasManifest, ModelInfo, read_manifest};
use serde_json::json;

use super::flags::Flags;
use super::report::Advice;
use super::{Context, interrupt, model, shown};

/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;

#[derive(Args)]
pub(super) struct AnalyzeArgs {
    /// Data folder with an atlas
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The model that was scanned [default: the one that the atlas names, if it is `demo` or on the Hub]
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    #[command(flatten)]
    options: Flags<AnalysisOptions>,
}

pub(super) fn run(context: &Context, args: &AnalyzeArgs) -> Result<()> {
    let manifest: AtlasManifest = read_manifest(&args.data.join("atlas"))?;
    let named = args.model.clone().or_else(|| origin(&manifest.scan.model));
    let Some(named) = named else {
        let (data, source) = (shown(&args.data), &manifest.scan.model.source);
        return Err(Advice::error(
            format!("`{data}` was scanned from `{source}`, which is a folder or a file"),
            "give it with `--model`",
        ));
    };
    let options = args.options.over(&context.project.weights)?;
    options.check()?;
    let model = model::open(context, &named)?;
    let started = std::time::Instant::now();
    let flops = analyze(context, &args.data, &model, &options)?;
    let seconds = started.elapsed().as_secs_f64();
    let words = format!(
        "wrote what the weights say into {}: {:.1} s, {:.0} GFLOP/s",
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
    let atlas = data.join("atlas");
    let scan = read_manifest::<AtlasManifest>(&atlas)?.scan;
    let corpus = data.join("corpus");
    let corpus = match corpus.is_dir() {
        true => Some(atlas::open_corpus(&corpus, &scan, CACHE_TOKENS)?),
        false => None,
    };
    let (config, checkpoint) = (model.config()?, model.checkpoint()?);
    // that of the scan, or the model is refused
    let tokenizer = model.tokenizer()?;
    let flops = atlas::work(&config, &scan.layers());
    let bar = context
        .report
        .bar("weights", flops / 1_000_000_000, "GFLOP");
    let model = ScannedModel {
        config: &config,
        checkpoint: &checkpoint,
        hashes: &model.hashes()?,
        store: corpus.as_ref().map(|corpus| &corpus.store),
        vocabulary: tokenizer.vocabulary(),
    };
    let progress = |flops: u64| bar.set(flops / 1_000_000_000);
    atlas::analyze(&atlas, &model, options, &progress)?;
    bar.finish(flops / 1_000_000_000);
    Ok(flops)
}

/// Analyses the weights of an atlas where that is missing and its model can be found. Without it the site lacks what the weights
/// say, which is no reason to have no site.
pub(super) fn complete(context: &Context, data: &Path) -> Result<()> {
    let manifest: AtlasManifest = read_manifest(&data.join("atlas"))?;
    if manifest.has_weights() {
        return Ok(());
    }
    let info = &manifest.scan.model;
    if info.unknown().is_some() {
        return Ok(()); // no model can be told to be the one
    }
    let found = match origin(info) {
        Some(named) => model::open(context, &named)
            .and_then(|model| analyze(context, data, &model, &context.project.weights)),
        None => Err(anyhow!("since `{}` may be anywhere", info.source)),
    };
    match found {
        Err(error) if !interrupt::asked() => {
            context.report.note(&format!(
                "note: the weights of {} were not analysed ({error}); to do so, run `neuroscope analyze {} --model MODEL`",
                info.name,
                shown(data)
            ));
            Ok(())
        }
        found => found.map(|_| ()),
    }
}
