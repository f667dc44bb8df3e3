//! Whether an atlas is what it says: its files, and the examples of some neurons computed again from weights and corpus.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde::Serialize;

use crate::atlas::{Atlas, AtlasError, ExampleRow, check_model};
use crate::ids::{DocId, NeuronId, Pos};
use crate::load::{LoadError, ModelFiles};
use crate::model::{Compute, Hook, Model, ModelError};
use crate::scan::ScanDtype;
use crate::shard::{
    AtlasManifest, CorpusManifest, DataManifest, MANIFEST, ShardError, read_manifest, verify_files,
};
use crate::stats::examples::ListKind;
use crate::stats::hash;
use crate::tokens::Windowing;
use crate::tokens::store::{StoreError, TokenStore};

/// Tokens that go through the model at one go.
const BATCH_TOKENS: usize = 8192;

/// Unpacked tokens kept in memory.
const CACHE_TOKENS: usize = 1 << 20;

/// What is to be computed again.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// Neurons, drawn at random.
    pub neurons: usize,
    /// Examples of each of their lists.
    pub examples: usize,
    /// By how much a value may differ, relative to the neuron's largest.
    pub tolerance: f64,
    /// Seed of the draw.
    pub seed: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Files whose length and SHA-256 are right.
    pub n_files: usize,
    /// Parts that are there.
    pub n_parts: usize,
    /// Neurons whose rows were read.
    pub n_neurons: u64,
    /// What was computed again, if there was a model to do it.
    pub recomputed: Option<Recomputed>,
}

/// How well examples are reproduced.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recomputed {
    /// Neurons.
    pub neurons: Vec<NeuronId>,
    /// Examples.
    pub n_examples: usize,
    /// Values at peaks and around them.
    pub n_values: usize,
    /// Largest difference of a value at a peak, relative to the neuron's largest magnitude.
    pub peak_error: f64,
    /// The same of values around peaks, beyond the half step that eight bits may be off.
    pub window_error: f64,
    /// Examples that are off by more than the tolerance.
    pub off: Vec<String>,
}

/// What can go wrong while verifying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Files are wrong.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The atlas is wrong.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// The corpus is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model cannot compute.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The folder holds something that is not of the scan.
    #[error("`{path}` is of another {what} (expected {expected}, found {found})")]
    Other {
        /// Where.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As in the atlas.
        expected: String,
        /// As found.
        found: String,
    },
    /// A layer has too few or too many neurons.
    #[error("layer {layer} has {found} neurons; the model has {expected}")]
    Neurons {
        /// The layer.
        layer: u32,
        /// In the atlas.
        found: u64,
        /// In the model.
        expected: u64,
    },
}

impl VerifyError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Shard(error) => error.hint(),
            Self::Atlas(error) => error.hint(),
            Self::Load(error) => error.hint(),
            Self::Model(error) => error.hint(),
            Self::Other { .. } => Some("merge the parts again, or copy the folder again"),
            _ => None,
        }
    }
}

/// Checks a data folder: every file against its manifest, every manifest against the atlas', every layer for completeness; then,
/// with the model, computes examples again.
pub fn verify(
    data: &Path,
    model: Option<&ModelFiles>,
    options: &VerifyOptions,
) -> Result<VerifyReport, VerifyError> {
    let atlas = Atlas::open(&data.join("atlas"))?;
    let manifest = atlas.manifest();
    let scan = &manifest.scan;
    let mut report = VerifyReport {
        n_files: manifest.files.len(),
        ..Default::default()
    };
    let same = |path: PathBuf, found: &crate::shard::ScanIdentity| match scan.difference(found) {
        Some((what, expected, found)) => Err(VerifyError::Other {
            path,
            what,
            expected,
            found,
        }),
        None => Ok(()),
    };
    let summary: DataManifest = read_manifest(data)?;
    same(data.join(MANIFEST), &summary.scan)?;
    if data.join("parts").is_dir() {
        let parts = crate::atlas::find_parts(&data.join("parts"))?;
        for (path, part) in &parts {
            same(path.join(MANIFEST), &part.scan)?;
            report.n_files += part.files.len();
        }
        report.n_parts = parts.len();
    }
    let corpus_folder = data.join("corpus");
    let corpus: CorpusManifest = read_manifest(&corpus_folder)?;
    verify_files(&corpus_folder, &corpus.files)?;
    report.n_files += corpus.files.len();
    if corpus.corpus.sha256 != scan.corpus.sha256 {
        return Err(VerifyError::Other {
            path: corpus_folder.join(MANIFEST),
            what: "corpus",
            expected: scan.corpus.sha256.clone(),
            found: corpus.corpus.sha256,
        });
    }
    for layer in 0..scan.model.n_layers {
        let mut n = 0;
        for neuron in atlas.layer(layer)? {
            neuron?;
            n += 1;
        }
        if n != u64::from(scan.model.d_mlp) {
            return Err(VerifyError::Neurons {
                layer,
                found: n,
                expected: u64::from(scan.model.d_mlp),
            });
        }
        report.n_neurons += n;
    }
    if let Some(files) = model {
        let store = TokenStore::open(&corpus_folder, CACHE_TOKENS)?;
        report.recomputed = Some(recompute(&atlas, files, &store, options)?);
    }
    Ok(report)
}

/// Neurons of a model, drawn at random without repetition.
fn draw(manifest: &AtlasManifest, options: &VerifyOptions) -> Vec<NeuronId> {
    let model = &manifest.scan.model;
    let n = u64::from(model.n_layers) * u64::from(model.d_mlp);
    let hashed = (0..n).map(|at| {
        let (doc, pos) = (DocId((at >> 32) as u32), Pos(at as u32));
        (hash::position(options.seed, doc, pos), at)
    });
    let mut hashed: Vec<_> = hashed.collect();
    let wanted = options.neurons.min(hashed.len());
    if wanted < hashed.len() {
        hashed.select_nth_unstable(wanted);
    }
    let id = |&(_, at): &(u64, u64)| NeuronId {
        layer: (at / u64::from(model.d_mlp)) as u32,
        neuron: (at % u64::from(model.d_mlp)) as u32,
    };
    let mut drawn: Vec<_> = hashed[..wanted].iter().map(id).collect();
    drawn.sort();
    drawn
}

fn recompute(
    atlas: &Atlas,
    files: &ModelFiles,
    store: &TokenStore,
    options: &VerifyOptions,
) -> Result<Recomputed, VerifyError> {
    let scan = &atlas.manifest().scan;
    check_model(scan, &files.hashes()?)?;
    let mut config = files.config()?;
    config.refactor_glu = scan.policy.refactor_glu;
    let hook = config.ranking_hook();
    let dtype = ScanDtype::from_name(&scan.policy.dtype).map_or(DType::F32, ScanDtype::candle);
    let checkpoint = files.checkpoint()?;
    let n_ctx = scan.policy.n_ctx as usize;
    let compute = Compute::on(&Device::Cpu);
    let model = Model::load(config, &checkpoint, n_ctx, dtype, compute);
    let again = Again {
        model: model.map_err(|source| files.model_error(source))?,
        store,
        windowing: atlas.windowing(),
        hook,
    };
    let mut out = Recomputed::default();
    for id in draw(atlas.manifest(), options) {
        let neuron = atlas.layer(id.layer)?.nth(id.neuron as usize).transpose()?;
        let Some(neuron) = neuron else { continue };
        let stats = &neuron.stats.moments;
        let largest = f64::from(stats.max.abs().max(stats.min.abs()));
        let of_ranked = |row: &&ExampleRow| {
            let other = [ListKind::PreTop, ListKind::PreBottom]
                .into_iter()
                .chain([ListKind::PreLinearTop, ListKind::PreLinearBottom]);
            (row.rank as usize) < options.examples
                && other.into_iter().all(|k| k.name() != row.list)
        };
        let rows: Vec<&ExampleRow> = neuron.examples.iter().filter(of_ranked).collect();
        let values = again.values(id, &rows)?;
        for (row, values) in rows.iter().zip(values) {
            let example = &row.example;
            let at = (example.pos.0 - example.window.start) as usize;
            let difference = |stored: f32, found: f32| f64::from((stored - found).abs());
            let peak = difference(example.value, values[at]) / largest;
            let around = example.window.values().zip(&values);
            let around = around.filter_map(|(stored, found)| Some((stored?, *found)));
            let half = f64::from(example.window.scale) / 2.0;
            let around = around.map(|(s, f)| (difference(s, f) - half).max(0.0) / largest);
            let around = around.fold(0.0, f64::max);
            out.n_values += values.len();
            out.n_examples += 1;
            out.peak_error = out.peak_error.max(peak);
            out.window_error = out.window_error.max(around);
            if !(peak <= options.tolerance && around <= options.tolerance) {
                let (list, rank) = (&row.list, row.rank);
                out.off.push(format!("{id} {list} {rank}"));
            }
        }
        out.neurons.push(id);
    }
    Ok(out)
}

/// A model that computes what was scanned once more.
struct Again<'a> {
    model: Model,
    store: &'a TokenStore,
    windowing: Windowing,
    hook: Hook,
}

impl Again<'_> {
    /// The ranked values of a neuron over the windows of some examples.
    fn values(&self, id: NeuronId, rows: &[&ExampleRow]) -> Result<Vec<Vec<f32>>, VerifyError> {
        // of every window that is needed, how far: nothing behind that changes it
        let mut needed: BTreeMap<(DocId, usize), u32> = BTreeMap::new();
        let positions = |row: &ExampleRow| {
            let start = row.example.window.start;
            start..start + row.example.window.steps.len() as u32
        };
        for row in rows {
            for pos in positions(row) {
                let window = (row.example.doc, self.windowing.window_of(Pos(pos)));
                let until = needed.entry(window).or_default();
                *until = (*until).max(pos + 1);
            }
        }
        let mut ids = Vec::new();
        for (&(doc, at), &until) in &needed {
            let mut windows = self.windowing.windows(self.store.len(doc));
            let Some(window) = windows.nth(at) else {
                continue;
            };
            let own = self.store.tokens(doc, window.tokens.clone())?;
            let all: Vec<u32> = (self.windowing.bos.into_iter().chain(own))
                .map(|id| id.0)
                .collect();
            let n = (until - window.start.0) as usize + window.skip;
            ids.push(((doc, at), window, all[..n.min(all.len())].to_vec()));
        }
        let mut found: BTreeMap<(DocId, u32), f32> = BTreeMap::new();
        let mut rest = ids.as_slice();
        while !rest.is_empty() {
            let (mut n, mut n_tokens) = (0, 0);
            while n < rest.len() && (n == 0 || n_tokens + rest[n].2.len() <= BATCH_TOKENS) {
                n_tokens += rest[n].2.len();
                n += 1;
            }
            let (batch, after) = rest.split_at(n);
            rest = after;
            let windows: Vec<&[u32]> = batch.iter().map(|(_, _, ids)| ids.as_slice()).collect();
            let column = self.column(id, &windows)?;
            let mut row = 0;
            for ((doc, _), window, ids) in batch {
                let own = column[row..row + ids.len()].iter().skip(window.skip);
                for (pos, value) in (window.start.0..).zip(own) {
                    found.insert((*doc, pos), *value);
                }
                row += ids.len();
            }
        }
        let value = |row: &ExampleRow, pos| {
            found
                .get(&(row.example.doc, pos))
                .copied()
                .unwrap_or(f32::NAN)
        };
        let of_row = |row: &&ExampleRow| positions(row).map(|pos| value(row, pos)).collect();
        Ok(rows.iter().map(of_row).collect())
    }

    /// A neuron's ranked values at all rows of some windows.
    fn column(&self, id: NeuronId, windows: &[&[u32]]) -> Result<Vec<f32>, ModelError> {
        let mut stream = self.model.embed(windows)?;
        for layer in 0..id.layer as usize {
            let attended = self.model.attend(layer, &stream)?;
            let post = self.model.activations(layer, &attended)?.post;
            stream = self.model.write(layer, attended, &post)?;
        }
        let layer = id.layer as usize;
        let attended = self.model.attend(layer, &stream)?;
        let activations = self.model.activations(layer, &attended)?;
        let values: &Tensor = activations.hook(self.hook).unwrap_or(&activations.post);
        let column = values.narrow(1, id.neuron as usize, 1)?;
        Ok(column.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
    }
}
