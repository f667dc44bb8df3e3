//! `neuroscope merge`

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::Args;
use neuroscope::atlas;
use neuroscope::load::ModelFiles;
use neuroscope::shard::{AtlasManifest, DataManifest, MANIFEST, Manifest, replace_json};
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
    bar.finish(u64::from(manifest.scan.model.n_layers));
    let devices: BTreeSet<&str> = parts.iter().map(|(_, part)| part.device.as_str()).collect();
    if devices.len() > 1 {
        let devices = Vec::from_iter(devices).join(", ");
        context.report.note(&format!(
            "note: the parts were scanned on {devices}, which round differently"
        ));
    }
    if let Some(model) = model {
        analyze::analyze(context, data, model, &context.project.weights)?;
    }
    Ok(manifest)
}
