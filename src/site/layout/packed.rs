//! The layout `packed`: neurons in files of some, without their text, and the text in files of its own.

use std::collections::{BTreeMap, HashSet};

use rayon::prelude::*;
use serde::Serialize;

use crate::atlas::facts::RANKED;
use crate::atlas::{ModelInfo, Summary};
use crate::ids::NeuronId;
use crate::site::address;
use crate::site::content::Content;
use crate::site::data::{LayerData, NeuronData};
use crate::site::encode::fields::Fields;
use crate::site::encode::record::{RecordHead, RecordWriter};
use crate::site::error::SiteError;
use crate::site::options::{PagesFor, SiteOptions};
use crate::site::pack::examples::{
    ExampleRecord, HookRecord, ListsRecord, PackedExamples, Quality,
};
use crate::site::pack::text::{TextInfo, TextMap};
use crate::site::pack::{BuildId, PackFile};
use crate::site::pages::neuron;
use crate::site::part::{Documentation, ModelPart};
use crate::site::section::Section;
use crate::site::source::Source;
use crate::site::text::texts::json;

/// Bytes of a file of neurons.
const FILE_BYTES: f64 = 96_000.0;
/// Most files of neurons.
const MOST_FILES: usize = 8192;

/// How the neurons of a model are packed.
pub(in crate::site) struct Packing {
    pub(in crate::site) build: BuildId,
    quality: Quality,
    /// Neurons in one file.
    pub(in crate::site) per_file: usize,
    text: TextMap,
    /// The neurons that have pages of their own as well.
    pages: HashSet<NeuronId>,
}

/// What the model's index, and the pages that show its neurons, say of the packing.
#[derive(Clone, Debug, Serialize)]
pub(in crate::site) struct PackingInfo {
    version: u8,
    build: String,
    neurons_per_file: usize,
    /// Examples of a neuron, tokens and neighbours in a list; all without a number.
    n_examples: Option<usize>,
    n_tokens: Option<usize>,
    n_neighbours: Option<usize>,
    exact_counts: bool,
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

/// A file of neurons, and one of the hooks beside their values, if any are kept.
pub(super) fn files(
    source: &Source,
    records: &RecordWriter<'_>,
    text: &TextMap,
    quality: Quality,
    build: BuildId,
    neurons: &[NeuronData<'_>],
) -> Result<(Vec<u8>, Option<Vec<u8>>), SiteError> {
    let (mut file, mut hooks_file) = (PackFile::default(), PackFile::default());
    let mut has_hooks = false;
    for neuron in neurons {
        let examples = PackedExamples::new(neuron, source, text, quality);
        file.push(&NeuronRecord {
            record: records.head(neuron, quality.detail()),
            lists: &examples.lists,
            examples: &examples.examples,
        })?;
        let hooks = examples.hooks(quality);
        has_hooks |= hooks.is_some();
        let NeuronId { layer, neuron } = neuron.id();
        hooks_file.push(&HooksRecord {
            layer,
            neuron,
            examples: hooks.unwrap_or_default(),
        })?;
    }
    let hooks = has_hooks.then(|| hooks_file.finish(build));
    Ok((file.finish(build)?, hooks.transpose()?))
}

impl Packing {
    /// Packs a model's neurons, which take so many bytes each.
    pub(super) fn new(
        source: &Source,
        content: &Content,
        options: &SiteOptions,
        quality: Quality,
        bytes: f64,
    ) -> Result<Self, SiteError> {
        let text = TextMap::of(source).ok_or(SiteError::NoCorpusToPack)?;
        let ModelInfo {
            n_layers, d_mlp, ..
        } = source.atlas.manifest().scan.model;
        let least = (n_layers as usize * d_mlp as usize).div_ceil(MOST_FILES);
        let per_file = (FILE_BYTES / bytes.max(1.0)) as usize;
        let per_file = per_file.max(least).min(d_mlp as usize).max(1);
        let manifest = serde_json::to_vec(source.atlas.manifest()).unwrap_or_default();
        let settings = serde_json::to_vec(&(quality, per_file)).unwrap_or_default();
        let version = env!("CARGO_PKG_VERSION").as_bytes();
        Ok(Self {
            build: BuildId::of(&[&manifest, &settings, version]),
            quality,
            per_file,
            text,
            pages: pages(source, content, options.pages_for)?,
        })
    }

    /// The address of a neuron's page, from its layer's folder.
    pub(in crate::site) fn link(&self, id: NeuronId) -> String {
        match self.pages.contains(&id) {
            true => address::neuron_file(id.neuron),
            false => address::shown_link(id.neuron),
        }
    }

    pub(in crate::site) fn info(&self) -> PackingInfo {
        PackingInfo {
            version: 1,
            build: self.build.hex(),
            neurons_per_file: self.per_file,
            n_examples: self.quality.n_examples,
            n_tokens: self.quality.n_tokens,
            n_neighbours: self.quality.n_neighbours,
            exact_counts: self.quality.exact_counts,
            bits: self.quality.bits,
            text: self.text.info(),
        }
    }
}

/// The neurons of a packed model that have pages of their own.
fn pages(
    source: &Source,
    content: &Content,
    which: PagesFor,
) -> Result<HashSet<NeuronId>, SiteError> {
    let mut pages = HashSet::new();
    if which.notes {
        let notes = content.notes.keys();
        let own = notes.filter(|(model, _)| model == source.name());
        pages.extend(own.map(|(_, id)| *id));
    }
    if which.top > 0 {
        for layer in 0..source.atlas.manifest().scan.model.n_layers {
            let summaries = source.atlas.summaries(layer)?;
            let rank = |of: &Summary| of.ranks(RANKED[0]).in_model;
            let first = summaries
                .iter()
                .filter(|of| rank(of).is_some_and(|rank| rank <= which.top));
            pages.extend(first.map(|of| NeuronId {
                layer,
                neuron: of.neuron,
            }));
        }
    }
    Ok(pages)
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
        let Packing {
            build,
            quality,
            text,
            pages,
            ..
        } = self.packing;
        let (file, hooks) = files(
            self.part.source,
            &self.records,
            text,
            *quality,
            *build,
            neurons,
        )?;
        for neuron in neurons {
            let has_page = pages.contains(&neuron.id());
            if !has_page && !site.options.neuron_json {
                continue;
            }
            let record = self.records.record(neuron);
            if has_page {
                let page = neuron::render(&self.part, neuron, &record)?;
                site.write(&address::neuron(model, neuron.id()), &page)?;
            }
            if site.options.neuron_json {
                site.write(&address::record(model, neuron.id()), &record)?;
            }
        }
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
