//! `neuroscope merge`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use neuroscope::atlas::{self, Atlas};
use neuroscope::load::ModelFiles;
use neuroscope::shard::{AtlasManifest, DataManifest, MANIFEST, Manifest, replace_json};
use neuroscope::tokens::BosPolicy;
use serde_json::json;

use super::{Context, analyze, model, shown};

/// Unpacked tokens kept in memory.
const CACHE_TOKENS: usize = 16 << 20;

#[derive(Args)]
pub(super) struct MergeArgs {
    /// Data folder with the parts of a scan in `parts`
    #[arg(value_name = "DIR")]
    data: PathBuf,
    /// The model that was scanned, to analyse its weights as well
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
}

pub(super) fn run(context: &Context, args: &MergeArgs) -> Result<()> {
    let model = args
        .model
        .as_deref()
        .map(|name| model::open(context, name))
        .transpose()?;
    let manifest = merge(context, &args.data, model.as_ref())?;
    let words = format!(
        "merged {} parts into {}",
        manifest.n_parts,
        shown(&args.data.join("atlas"))
    );
    context.report.result(
        &json!({"data": args.data, "n_parts": manifest.n_parts}),
        &words,
    )
}

/// Merges the parts of a data folder into its atlas, and analyses the weights if there is a model.
pub(super) fn merge(
    context: &Context,
    data: &Path,
    model: Option<&ModelFiles>,
) -> Result<AtlasManifest> {
    let (parts, target) = (atlas::find_parts(&data.join("parts"))?, data.join("atlas"));
    let mut text = None;
    // what does not belong together is found before an atlas is replaced
    if let Some((_, part)) = parts.first() {
        let corpus = data.join("corpus");
        if corpus.join(MANIFEST).is_file() {
            text = Some(atlas::open_corpus(&corpus, &part.scan, CACHE_TOKENS)?);
        } else if model.is_some() {
            atlas::check_corpus(&corpus, &part.scan)?;
        }
        if let Some(model) = model {
            atlas::check_model(&part.scan, &model.hashes()?)?;
        }
    }
    let bar = context.report.bar("merge", 0, "layers");
    let progress = |layer: u32| bar.set(u64::from(layer));
    let manifest = atlas::build(&parts, text.as_ref(), &target, &progress)?;
    let summary = DataManifest {
        schema: DataManifest::SCHEMA.into(),
        neuroscope: env!("CARGO_PKG_VERSION").into(),
        scan: manifest.scan.clone(),
        n_parts: manifest.n_parts,
    };
    replace_json(&data.join(MANIFEST), &summary)?;
    bar.finish(manifest.scan.layers().len() as u64);
    let devices: BTreeSet<&str> = parts.iter().map(|(_, part)| part.device.as_str()).collect();
    if devices.len() > 1 {
        let devices = Vec::from_iter(devices).join(", ");
        context.report.note(&format!(
            "note: the parts were scanned on {devices}, which round differently"
        ));
    }
    note_starts(context, &Atlas::of(&target, manifest.clone())?, model)?;
    if let Some(model) = model {
        analyze::analyze(context, data, model, &context.project.weights)?;
    }
    Ok(manifest)
}

/// Says how many neurons fire where windows start, and what helps.
fn note_starts(context: &Context, atlas: &Atlas, model: Option<&ModelFiles>) -> Result<()> {
    let (mut n, mut total) = (0, 0);
    for layer in atlas.manifest().scan.layers() {
        let summaries = atlas.summaries(layer)?;
        let at_starts = summaries.iter().filter_map(|summary| summary.at_starts);
        n += at_starts.filter(|at_starts| at_starts.dominant).count();
        total += summaries.len();
    }
    if n == 0 {
        return Ok(());
    }
    let runs_without_bos = atlas.manifest().scan.policy.bos.is_none();
    let has_bos = match model.filter(|_| runs_without_bos) {
        Some(files) => {
            let id = files.config()?.bos_token_id;
            let bos = files.tokenizer()?.bos(BosPolicy::Always, id, false);
            bos.is_ok()
        }
        None => false,
    };
    let remedy = match has_bos {
        true => "the model has a BOS, but windows were scanned without it: `--bos always` may help",
        false => "`--skip-start 3` leaves those positions out of all statistics",
    };
    context.report.note(&format!(
        "note: {}; {remedy}",
        match n {
            1 => format!("1 of {total} neurons fires where windows start, whatever the text is, and rankings leave it out"),
            _ => format!("{n} of {total} neurons fire where windows start, whatever the text is, and rankings leave them out"),
        }
    ));
    Ok(())
}
