//! The layout `packed`: neurons in files of some, without their text, and the text in files of its own.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use crate::atlas::ModelInfo;
use crate::ids::NeuronId;
use crate::site::address;
use crate::site::data::{LayerData, NeuronData, Population};
use crate::site::encode::fields::Fields;
use crate::site::encode::record::{RecordHead, RecordWriter};
use crate::site::error::SiteError;
use crate::site::pack::examples::{ExampleRecord, HookRecord, ListsRecord, PackedExamples, Quality};
use crate::site::pack::text::{TextInfo, TextMap};
use crate::site::pack::{BuildId, PackFile};
use crate::site::pages::neuron;
use crate::site::part::{Documentation, ModelPart};
use crate::site::section::Section;
use crate::site::source::Source;
use crate::site::text::texts::{TokenTexts, json};

/// Bytes of a file of neurons.
const FILE_BYTES: usize = 96_000;
/// Most files of neurons.
const MOST_FILES: usize = 8192;
/// Neurons of a layer that are packed to know their size, and layers of which they are.
const SAMPLE: usize = 32;
const SAMPLE_LAYERS: u32 = 4;

/// How the neurons of a model are packed.
pub(in crate::site) struct Packing {
    pub(in crate::site) build: BuildId,
    quality: Quality,
    /// Neurons in one file.
    pub(in crate::site) per_file: usize,
    text: TextMap,
}

/// What the model's index, and the pages that show its neurons, say of the packing.
#[derive(Clone, Debug, Serialize)]
pub(in crate::site) struct PackingInfo {
    version: u8,
    build: String,
    neurons_per_file: usize,
    n_examples: Option<usize>,
    bits: u8,
    text: TextInfo,
}

/// A neuron in a packed file.
#[derive(Serialize)]
struct NeuronRecord<'a> {
    record: RecordHead<'a>,
    lists: &'a ListsRecord<'a>,
    examples: &'a [ExampleRecord<'a>],
}

/// The hooks beside the values of a neuron's examples.
#[derive(Serialize)]
struct HooksRecord {
    layer: u32,
    neuron: u32,
    /// By example; of some there are none.
    examples: Vec<Option<Fields<HookRecord>>>,
}

impl Packing {
    /// Decides how a model's neurons are packed.
    pub(super) fn new(
        source: &Source,
        texts: &TokenTexts<'_>,
        quality: Quality,
    ) -> Result<Self, SiteError> {
        let corpus = source.corpus().ok_or(SiteError::NoCorpusToPack)?;
        let options = &source.atlas.manifest().scan.policy.stats;
        let window = u64::from(options.window_before) + u64::from(options.window_after) + 1;
        let manifest = serde_json::to_vec(source.atlas.manifest()).unwrap_or_default();
        let scan = &source.atlas.manifest().scan;
        let identity = serde_json::json!([scan.corpus, scan.model.tokenizer_sha256, scan.policy]);
        let identity = identity.to_string().into_bytes();
        let settings = serde_json::to_vec(&quality).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        let mut packing = Self {
            build: BuildId::of(&[&manifest, &settings, version]),
            quality,
            per_file: 1,
            text: TextMap::new(corpus, &identity, window),
        };
        let bytes = packing.sample(source, texts)?.max(1.0);
        let ModelInfo { n_layers, d_mlp, .. } = source.atlas.manifest().scan.model;
        let least = (n_layers as usize * d_mlp as usize).div_ceil(MOST_FILES);
        let per_file = (FILE_BYTES as f64 / bytes) as usize;
        packing.per_file = per_file.max(least).min(d_mlp as usize).max(1);
        Ok(packing)
    }

    /// Bytes of a neuron, by those of some.
    fn sample(&self, source: &Source, texts: &TokenTexts<'_>) -> Result<f64, SiteError> {
        let atlas = &source.atlas;
        let n_layers = atlas.manifest().scan.model.n_layers;
        let step = n_layers.div_ceil(SAMPLE_LAYERS).max(1);
        let layers: Vec<u32> = (0..n_layers).step_by(step as usize).collect();
        let sizes = layers.into_par_iter().map(|layer| {
            let summaries = atlas.summaries(layer)?;
            let regions = source.regions(layer);
            let data = LayerData::new(layer, &summaries, None, regions, Population::default());
            let neurons = atlas.layer(layer)?.take(SAMPLE);
            let neurons = neurons.collect::<Result<Vec<_>, _>>()?;
            let read = |neuron| NeuronData::read(source, Documentation::default(), &data, neuron);
            let neurons = neurons.iter().map(read).collect::<Result<Vec<_>, _>>()?;
            let records = RecordWriter::new(source, texts);
            let (file, _) = self.files(source, &records, &neurons)?;
            Ok((file.len(), neurons.len()))
        });
        let sizes = sizes.collect::<Result<Vec<_>, SiteError>>()?;
        let (bytes, n) = sizes.iter().fold((0, 0), |(b, n), of| (b + of.0, n + of.1));
        Ok(bytes as f64 / n.max(1) as f64)
    }

    /// A file of neurons, and one of the hooks beside their values, if there are any.
    fn files(
        &self,
        source: &Source,
        records: &RecordWriter<'_>,
        neurons: &[NeuronData<'_>],
    ) -> Result<(Vec<u8>, Option<Vec<u8>>), SiteError> {
        let (mut file, mut hooks_file) = (PackFile::default(), PackFile::default());
        let mut has_hooks = false;
        for neuron in neurons {
            let examples = PackedExamples::new(neuron, source, &self.text, self.quality);
            let NeuronId { layer, neuron: n } = neuron.id();
            file.push(&NeuronRecord {
                record: records.head(neuron),
                lists: &examples.lists,
                examples: &examples.examples,
            })?;
            let hooks = examples.hooks(self.quality.bits);
            has_hooks |= hooks.is_some();
            hooks_file.push(&HooksRecord {
                layer,
                neuron: n,
                examples: hooks.unwrap_or_default(),
            })?;
        }
        let hooks = has_hooks.then(|| hooks_file.finish(self.build));
        Ok((file.finish(self.build)?, hooks.transpose()?))
    }

    pub(in crate::site) fn info(&self) -> PackingInfo {
        PackingInfo {
            version: 1,
            build: self.build.hex(),
            neurons_per_file: self.per_file,
            n_examples: self.quality.n_examples,
            bits: self.quality.bits,
            text: self.text.info(),
        }
    }
}

/// Writes the neurons of a model in files of some.
pub(super) struct Packed<'a> {
    part: ModelPart<'a>,
    packing: &'a Packing,
    records: RecordWriter<'a>,
}

impl<'a> Packed<'a> {
    pub(super) fn new(part: ModelPart<'a>, packing: &'a Packing) -> Self {
        Self {
            part,
            packing,
            records: RecordWriter::new(part.source, part.texts),
        }
    }
}

/// What was said of some neurons of a layer, by neuron.
#[derive(Serialize)]
struct SaidRecord<'a> {
    schema: &'static str,
    neurons: BTreeMap<u32, Documentation<'a>>,
}

impl Section for Packed<'_> {
    fn layer(&self, layer: &LayerData<'_>) -> Result<(), SiteError> {
        let (part, layer) = (&self.part, layer.layer);
        let neurons = 0..part.model.d_mlp;
        let said = neurons.map(|neuron| (neuron, part.documentation(NeuronId { layer, neuron })));
        let neurons: BTreeMap<_, _> = said.filter(|(_, said)| !said.is_empty()).collect();
        let name = &part.model.name;
        let page = neuron::render_shown(part, layer, &self.packing.info(), !neurons.is_empty())?;
        part.site.write(&address::shown(name, layer), &page)?;
        if neurons.is_empty() {
            return Ok(());
        }
        let schema = "neuroscope/said/v1";
        let said = json(&SaidRecord { schema, neurons })?;
        part.write_json(&format!("{layer}/said.json"), &said)
    }

    fn neurons(&self, neurons: &[NeuronData<'_>]) -> Result<(), SiteError> {
        let Some(first) = neurons.first().map(NeuronData::id) else {
            return Ok(());
        };
        let (site, model) = (self.part.site, &self.part.model.name);
        let (file, hooks) = self.packing.files(self.part.source, &self.records, neurons)?;
        if let Some(hooks) = hooks {
            site.write(&address::hooks(model, first), &hooks)?;
        }
        site.write(&address::neurons(model, first), &file)
    }

    fn finish(self: Box<Self>) -> Result<(), SiteError> {
        let ModelPart {
            site,
            source,
            model,
            texts,
            ..
        } = self.part;
        let Some(corpus) = source.corpus() else {
            return Ok(());
        };
        let text = &self.packing.text;
        self.part.write_json("text/documents.json", &text.index())?;
        (0..text.n_files()).into_par_iter().try_for_each(|at| {
            let bytes = text.file(at, corpus, texts)?;
            site.write(&address::text(&model.name, at), &bytes)
        })
    }
}
