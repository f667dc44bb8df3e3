//! Adds to an atlas what the weights of its model say.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use super::build::lock;
use super::error::AtlasError;
use super::line::LineWriter;
use super::neurons::{self, LayerSummaries, NEURONS_FILE, Rules, Summary};
use super::read::{Atlas, OfAllLayers};
use super::sides::{Orientation, Peak, Side, is_start, orientation};
use super::weights::{self, AnalysisOptions, NeuronWeights, PeakIndex, TOKENS_FILE, layer_file};
use crate::files::ModelHashes;
use crate::ids::{DocId, NeuronId, Pos, TokenId};
use crate::model::Config;
use crate::model::weights::Checkpoint;
use crate::shard::{
    AtlasManifest, ExampleRow, FileEntry, Folder, LayerReader, PeakReader, ScanIdentity,
    StatsReader, WEIGHTS_FILE, examples_file,
};
use crate::tokens::Vocabulary;
use crate::tokens::store::TokenStore;

/// Where something is in the corpus.
type Place = (DocId, Pos);

/// The model of an atlas.
pub struct ScannedModel<'a> {
    /// Its config.
    pub config: &'a Config,
    /// Its weights.
    pub checkpoint: &'a Checkpoint<'a>,
    /// SHA-256 of its files, which must be those that were scanned.
    pub hashes: &'a ModelHashes,
    /// The corpus that it was scanned on. Without it, the examples of the atlas must have their texts.
    pub store: Option<&'a TokenStore>,
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
    let tables = scan.layers().into_iter().map(layer_file);
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
    let lines = model.store;
    let lines = lines.map(|store| LineWriter::new(store, model.vocabulary, old.windowing()));
    let lines = lines.transpose()?;
    let mut layers: Vec<Vec<Summary>> = Vec::new();
    let each = |layer: u32, found: Vec<NeuronWeights>| {
        weights::write_layer(&folder.path().join(layer_file(layer)), layer, &found)?;
        let mut summaries = summaries(&old, layer, lines.as_ref(), &found)?;
        neurons::measure(&mut summaries, &found);
        layers.push(summaries);
        Ok(())
    };
    let (orientations, peaks) = sides_and_peaks(&old, model)?;
    let checkpoint = model.checkpoint;
    let (info, mut tokens) = weights::weights(
        &config,
        checkpoint,
        &scan.layers(),
        options,
        &orientations,
        progress,
        each,
    )?;
    *tokens.peaks() = peaks;
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

/// The summaries of a layer by the rules of now, from its statistics, examples and weights. Lines that cannot be written anew
/// stay as they are.
fn summaries(
    atlas: &Atlas,
    layer: u32,
    lines: Option<&LineWriter<'_>>,
    weights: &[NeuronWeights],
) -> Result<Vec<Summary>, AtlasError> {
    let (folder, scan) = (atlas.folder(), &atlas.manifest().scan);
    let peaks = layer_peaks(atlas, layer)?;
    let mut summaries = LayerSummaries::new(Rules::Sides);
    let stats = StatsReader::open(folder, layer, scan)?;
    for ((neuron, stats), peaks) in (0..).zip(stats).zip(&peaks) {
        summaries.push(layer, neuron, &stats?, peaks);
        if let Some(lines) = lines {
            summaries.add_lines(lines, peaks, weights.get(neuron as usize))?;
        }
    }
    let mut summaries = summaries.finish();
    if lines.is_none() {
        for (row, old) in summaries.iter_mut().zip(atlas.summaries(layer)?) {
            row.lines = old.lines;
        }
    }
    Ok(summaries)
}

/// Fails unless a model is known to be the one that was scanned.
pub fn check_model(scan: &ScanIdentity, found: &ModelHashes) -> Result<(), AtlasError> {
    if let Some(what) = scan.model.unknown() {
        return Err(AtlasError::UnknownModel { what });
    }
    match scan.model.difference(found) {
        None => Ok(()),
        Some((what, expected, found)) => Err(AtlasError::OtherModel {
            what,
            expected,
            found,
        }),
    }
}

/// The examples of both sides of a layer's neurons, best first.
fn layer_peaks(atlas: &Atlas, layer: u32) -> Result<Vec<Vec<Peak>>, AtlasError> {
    let (windowing, scan) = (atlas.windowing(), &atlas.manifest().scan);
    let mut peaks: Vec<Vec<Peak>> = vec![Vec::new(); scan.model.d_mlp as usize];
    for rows in PeakReader::open(atlas.folder(), layer, scan)? {
        for row in rows? {
            let side = Side::ALL
                .into_iter()
                .find(|side| Some(side.list()) == row.list);
            peaks[row.neuron as usize].extend(side.map(|side| Peak {
                side,
                value: row.value,
                place: (row.doc, row.pos),
                at_start: is_start(&windowing, row.pos),
            }));
        }
    }
    Ok(peaks)
}

/// The model's tokens by their texts; of those with one text, the first.
fn ids_of(vocabulary: &Vocabulary) -> HashMap<Cow<'_, str>, TokenId> {
    let mut ids = HashMap::new();
    for id in (0..vocabulary.len() as u32).map(TokenId) {
        ids.entry(vocabulary.text(id)).or_insert(id);
    }
    ids
}

/// The tokens on which the examples of a layer's neurons peak, by the texts that stand beside their values. Texts that are none
/// of the model's tokens are left out.
fn peak_tokens(
    atlas: &Atlas,
    layer: u32,
    ids: &HashMap<Cow<'_, str>, TokenId>,
) -> Result<Vec<HashMap<Place, TokenId>>, AtlasError> {
    let mut tokens = Vec::new();
    for row in LayerReader::of(atlas.folder(), layer, &atlas.manifest().scan)? {
        let (_, _, examples) = row?;
        let mut of_neuron = HashMap::new();
        for ExampleRow {
            example,
            tokens: texts,
            ..
        } in &examples
        {
            let missing = || AtlasError::NoTexts(atlas.folder().join(examples_file(layer)));
            let texts = texts.as_ref().ok_or_else(missing)?;
            let text = &texts[(example.pos.0 - example.window.start) as usize];
            let token = ids.get(text.as_str()).copied();
            of_neuron.extend(token.map(|token| ((example.doc, example.pos), token)));
        }
        tokens.push(of_neuron);
    }
    Ok(tokens)
}

/// The sides that dominate, neuron by neuron through all layers of the model, and the tokens that examples of both sides peak on.
fn sides_and_peaks(
    atlas: &Atlas,
    model: &ScannedModel<'_>,
) -> Result<(Vec<Option<Orientation>>, PeakIndex), AtlasError> {
    let (windowing, scan) = (atlas.windowing(), &atlas.manifest().scan);
    let info = &scan.model;
    let in_store = |store: &TokenStore, (doc, pos): Place| -> Result<_, AtlasError> {
        Ok(match windowing.token_at(pos) {
            Some(at) => store.tokens(doc, at..at + 1)?.first().copied(),
            None => windowing.bos,
        })
    };
    let ids = match model.store {
        Some(_) => HashMap::new(),
        None => ids_of(model.vocabulary),
    };
    let mut orientations = OfAllLayers::new(scan);
    let mut index = PeakIndex::new(info.d_vocab as usize, info.d_mlp);
    for layer in scan.layers() {
        let in_texts = match model.store {
            Some(_) => Vec::new(),
            None => peak_tokens(atlas, layer, &ids)?,
        };
        let peaks = layer_peaks(atlas, layer)?;
        orientations.set(layer, peaks.iter().map(|peaks| orientation(peaks)));
        for (neuron, peaks) in (0..).zip(peaks) {
            for (end, side) in Side::ALL.into_iter().enumerate() {
                let own = peaks.iter().filter(|peak| peak.side == side);
                let tokens = own.map(|peak| match model.store {
                    Some(store) => in_store(store, peak.place),
                    None => Ok(in_texts[neuron as usize].get(&peak.place).copied()),
                });
                let tokens = tokens.collect::<Result<Vec<_>, _>>()?;
                let tokens = tokens.into_iter().flatten().collect();
                index.add(NeuronId { layer, neuron }, end, tokens);
            }
        }
    }
    Ok((orientations.0, index))
}
