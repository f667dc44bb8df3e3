//! Adds to an atlas what the weights of its model say.

use std::path::Path;

use super::build::lock;
use super::error::AtlasError;
use super::neurons::{self, NEURONS_FILE, Summary};
use super::read::Atlas;
use super::weights::{self, AnalysisOptions, NeuronWeights, TOKENS_FILE, TokenIndex, layer_file};
use crate::files::ModelHashes;
use crate::ids::{NeuronId, TokenId};
use crate::model::Config;
use crate::model::weights::Checkpoint;
use crate::shard::{
    AtlasManifest, FileEntry, Folder, PeakReader, PeakRow, ScanIdentity, WEIGHTS_FILE,
};
use crate::stats::examples::ListKind;
use crate::tokens::Vocabulary;
use crate::tokens::store::TokenStore;

/// The model of an atlas.
pub struct ScannedModel<'a> {
    /// Its config.
    pub config: &'a Config,
    /// Its weights.
    pub checkpoint: &'a Checkpoint<'a>,
    /// SHA-256 of its files, which must be those that were scanned.
    pub hashes: &'a ModelHashes,
    /// The corpus that it was scanned on.
    pub store: &'a TokenStore,
    /// Its tokens.
    pub vocabulary: &'a Vocabulary,
}

/// Analyses the weights of the model of an atlas, in place of an earlier analysis. `progress` is called with the floating-point
/// operations done, of [`super::work`]. Until it is done the atlas stays as it was.
pub fn analyze(
    atlas: &Path,
    model: &ScannedModel<'_>,
    options: &AnalysisOptions,
    progress: &dyn Fn(u64) -> bool,
) -> Result<AtlasManifest, AtlasError> {
    let lock = lock(atlas)?;
    let old = Atlas::open(atlas)?;
    let scan = &old.manifest().scan;
    check_model(scan, model.hashes)?;
    let folder = Folder::create(atlas)?;
    let tables = (0..scan.model.n_layers).map(layer_file);
    let others = [TOKENS_FILE, WEIGHTS_FILE, NEURONS_FILE].map(str::to_owned);
    let new: Vec<String> = tables.chain(others).collect();
    let is_kept = |file: &&FileEntry| !new.contains(&file.name);
    let mut files: Vec<FileEntry> = old
        .manifest()
        .files
        .iter()
        .filter(is_kept)
        .cloned()
        .collect();
    files.iter().try_for_each(|file| folder.keep(&file.name))?;

    // the weights are looked at as they were scanned
    let config = Config {
        refactor_glu: scan.policy.refactor_glu,
        ..model.config.clone()
    };
    let mut layers: Vec<Vec<Summary>> = Vec::new();
    let each = |layer: u32, found: Vec<NeuronWeights>| {
        weights::write_layer(&folder.path().join(layer_file(layer)), layer, &found)?;
        let mut summaries = old.summaries(layer)?;
        neurons::measure(&mut summaries, &found);
        layers.push(summaries);
        Ok(())
    };
    let (info, mut tokens) = weights::weights(&config, model.checkpoint, options, progress, each)?;
    add_peaks(&mut tokens, folder.path(), &old, model.store)?;
    tokens.write(&folder.path().join(TOKENS_FILE), model.vocabulary)?;
    folder.write_json(WEIGHTS_FILE, &info)?;
    neurons::rank(&mut layers);
    neurons::write(&folder.path().join(NEURONS_FILE), &layers)?;

    files.extend(folder.entries(new)?);
    let manifest = AtlasManifest {
        files,
        ..old.manifest().clone()
    };
    folder.finish(&manifest)?;
    drop(lock);
    Ok(manifest)
}

/// Fails unless a model is the one that was scanned.
pub fn check_model(scan: &ScanIdentity, found: &ModelHashes) -> Result<(), AtlasError> {
    match scan.model.difference(found) {
        None => Ok(()),
        Some((what, expected, found)) => Err(AtlasError::OtherModel {
            what,
            expected,
            found,
        }),
    }
}

/// Adds the tokens that the extreme examples of all neurons peak on.
fn add_peaks(
    tokens: &mut TokenIndex,
    folder: &Path,
    atlas: &Atlas,
    store: &TokenStore,
) -> Result<(), AtlasError> {
    let (windowing, scan) = (atlas.windowing(), &atlas.manifest().scan);
    let token_at = |peak: &PeakRow| -> Result<Option<TokenId>, AtlasError> {
        Ok(match windowing.token_at(peak.pos) {
            Some(at) => store.tokens(peak.doc, at..at + 1)?.first().copied(),
            None => windowing.bos,
        })
    };
    for layer in 0..scan.model.n_layers {
        let mut rows: Vec<PeakRow> = Vec::new();
        for batch in PeakReader::open(folder, layer, scan)? {
            rows.extend(batch?);
        }
        for of_neuron in rows.chunk_by(|a, b| a.neuron == b.neuron) {
            let id = NeuronId {
                layer,
                neuron: of_neuron[0].neuron,
            };
            for (end, list) in [(0, ListKind::Top), (1, ListKind::Bottom)] {
                let peaks = of_neuron.iter().filter(|peak| peak.list == Some(list));
                let found = peaks.map(token_at).collect::<Result<Vec<_>, _>>()?;
                tokens
                    .peaks()
                    .add(id, end, found.into_iter().flatten().collect());
            }
        }
    }
    Ok(())
}
