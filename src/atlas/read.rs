//! Reads an atlas, neuron by neuron.

use std::path::{Path, PathBuf};
use std::vec;

use crate::ids::{NeuronId, TokenId};
use crate::shard::{
    AtlasManifest, ExampleRow, LayerReader, Policy, ScanIdentity, WEIGHTS_FILE, read_manifest,
    require_files, verify_files,
};
use crate::stats::neuron::NeuronStats;
use crate::tokens::Windowing;

use super::error::AtlasError;
use super::neurons::{self, NEURONS_FILE, Summary};
use super::sides::Orientation;
use super::weights::{self, NeuronWeights, TOKENS_FILE, TokenBatches, WeightsInfo};

/// An atlas on disk.
#[derive(Clone, Debug)]
pub struct Atlas {
    folder: PathBuf,
    manifest: AtlasManifest,
    weights: Option<WeightsInfo>,
}

/// All that an atlas says of a neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct AtlasNeuron {
    /// Which.
    pub id: NeuronId,
    /// Statistics.
    pub stats: NeuronStats,
    /// Examples of all lists, list by list.
    pub examples: Vec<ExampleRow>,
    /// What its weights say, if they were analysed.
    pub weights: Option<NeuronWeights>,
    /// Derived statistics and ranks.
    pub summary: Summary,
}

/// Names of the files that an atlas has.
pub fn atlas_files(manifest: &AtlasManifest) -> Vec<String> {
    let mut names = Vec::from_iter(manifest.scan.tables());
    names.push(NEURONS_FILE.into());
    if manifest.has_weights() {
        names.extend(manifest.scan.layers().into_iter().map(weights::layer_file));
        names.extend([TOKENS_FILE, WEIGHTS_FILE].map(str::to_owned));
    }
    names
}

impl Atlas {
    /// Opens an atlas and checks its files, which must be all that an atlas has.
    pub fn open(folder: &Path) -> Result<Self, AtlasError> {
        let manifest: AtlasManifest = read_manifest(folder)?;
        require_files(folder, &manifest.files, atlas_files(&manifest))?;
        verify_files(folder, &manifest.files)?;
        Self::of(folder, manifest)
    }

    /// An atlas whose manifest was read, and whose files are checked by the caller.
    pub fn of(folder: &Path, manifest: AtlasManifest) -> Result<Self, AtlasError> {
        Ok(Self {
            folder: folder.to_owned(),
            weights: weights::read_info(folder, &manifest)?,
            manifest,
        })
    }

    /// Reads what was scanned and how, without a look at the other files.
    pub fn read_manifest(folder: &Path) -> Result<AtlasManifest, AtlasError> {
        Ok(read_manifest(folder)?)
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What was scanned and how.
    pub fn manifest(&self) -> &AtlasManifest {
        &self.manifest
    }

    /// How the corpus was cut into windows.
    pub fn windowing(&self) -> Windowing {
        windowing(&self.manifest.scan.policy)
    }

    /// The summaries of a layer's neurons.
    pub fn summaries(&self, layer: u32) -> Result<Vec<Summary>, AtlasError> {
        neurons::read(&self.folder.join(NEURONS_FILE), layer, &self.manifest.scan)
    }

    /// Names of the columns that the table of summaries does not have, or that hold nothing but null.
    pub(crate) fn absent_from_summaries(&self) -> Result<Vec<String>, AtlasError> {
        neurons::absent(&self.folder.join(NEURONS_FILE))
    }

    /// Whether it says which side of each neuron dominates. One of before 0.3 says so once it is analysed again.
    pub fn has_sides(&self) -> Result<bool, AtlasError> {
        let absent = self.absent_from_summaries()?;
        Ok(!absent.iter().any(|column| column == "at_starts"))
    }

    /// The sides that dominate, neuron by neuron through all layers of the model.
    pub(crate) fn orientations(&self) -> Result<Vec<Option<Orientation>>, AtlasError> {
        let scan = &self.manifest.scan;
        let mut orientations = OfAllLayers::new(scan);
        for layer in scan.layers() {
            let summaries = self.summaries(layer)?.into_iter();
            orientations.set(layer, summaries.map(|summary| summary.orientation));
        }
        Ok(orientations.0)
    }

    /// What holds for the weights of all neurons, if they were analysed.
    pub fn weights_info(&self) -> Option<&WeightsInfo> {
        self.weights.as_ref()
    }

    /// What the weights of a layer say, if they were analysed.
    pub fn weights(&self, layer: u32) -> Result<Option<Vec<NeuronWeights>>, AtlasError> {
        let path = self.folder.join(weights::layer_file(layer));
        let analysed = self.weights.as_ref();
        analysed
            .map(|_| weights::read_layer(&path, layer, &self.manifest.scan))
            .transpose()
    }

    /// The token index, `rows` tokens at a time with their texts, if the weights were analysed.
    pub fn tokens(&self, rows: usize) -> Result<Option<TokenBatches>, AtlasError> {
        let path = self.folder.join(TOKENS_FILE);
        let analysed = self.weights.as_ref();
        analysed
            .map(|_| weights::read_tokens(&path, rows, &self.manifest.scan))
            .transpose()
    }

    /// The neurons of a layer.
    pub fn layer(&self, layer: u32) -> Result<LayerNeurons, AtlasError> {
        let weights = self.weights(layer)?.map(Vec::into_iter);
        Ok(LayerNeurons {
            layer,
            reader: LayerReader::of(&self.folder, layer, &self.manifest.scan)?,
            summaries: self.summaries(layer)?.into_iter(),
            weights,
        })
    }
}

/// Something that may be known of a neuron, neuron by neuron through all layers of the model; nothing of layers that were not
/// scanned.
pub(super) struct OfAllLayers<T>(pub(super) Vec<Option<T>>, usize);

impl<T: Clone> OfAllLayers<T> {
    pub(super) fn new(scan: &ScanIdentity) -> Self {
        let [n_layers, d_mlp] = [scan.model.n_layers, scan.model.d_mlp].map(|n| n as usize);
        Self(vec![None; n_layers * d_mlp], d_mlp)
    }

    /// Sets what is known of the neurons of a layer.
    pub(super) fn set(&mut self, layer: u32, of: impl IntoIterator<Item = Option<T>>) {
        let first = layer as usize * self.1;
        for (place, of) in self.0[first..].iter_mut().zip(of) {
            *place = of;
        }
    }
}

/// How a scan cut the corpus into windows.
pub(super) fn windowing(policy: &Policy) -> Windowing {
    Windowing {
        n_ctx: policy.n_ctx as usize,
        bos: policy.bos.map(TokenId),
        prefix: policy.prefix_ids(),
        bos_in_document: policy.count_special,
        skip_start: policy.skip_start as usize,
    }
}

/// The neurons of a layer, in order.
pub struct LayerNeurons {
    layer: u32,
    reader: LayerReader,
    summaries: vec::IntoIter<Summary>,
    weights: Option<vec::IntoIter<NeuronWeights>>,
}

impl Iterator for LayerNeurons {
    type Item = Result<AtlasNeuron, AtlasError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (neuron, stats, examples) = match self.reader.next()? {
            Ok(next) => next,
            Err(error) => return Some(Err(error.into())),
        };
        // there is one for each neuron that the reader lets pass
        let summary = self.summaries.next()?;
        let weights = self.weights.as_mut().and_then(Iterator::next);
        Some(Ok(AtlasNeuron {
            id: NeuronId {
                layer: self.layer,
                neuron,
            },
            stats,
            examples,
            weights,
            summary,
        }))
    }
}
