//! The layout `packed`: many neurons to a file, without their text, and the text in files of its own.

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

use super::examples::{ExampleRecord, HookRecord, ListsRecord, PackedExamples};
use crate::ids::NeuronId;
use crate::site::address;
use crate::site::data::NeuronData;
use crate::site::encode::fields::{Detail, Fields};
use crate::site::encode::record::{RecordHead, RecordWriter};
use crate::site::error::SiteError;
use crate::site::pack::{BuildId, PackFile, Packing, Quality, TextMap};
use crate::site::pages::neuron;
use crate::site::part::{Documentation, ModelPart};
use crate::site::section::Section;
use crate::site::source::Source;
use crate::site::text::texts::json;

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

/// What is kept of a record beside its examples.
fn detail(quality: Quality) -> Detail {
    Detail {
        n_tokens: quality.n_tokens.unwrap_or(usize::MAX),
        n_neighbours: quality.n_neighbours.unwrap_or(usize::MAX),
        exact_counts: quality.exact_counts,
    }
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
            record: records.head(neuron, detail(quality)),
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
    let hooks = has_hooks.then(|| hooks_file.finish(build, quality.effort));
    Ok((file.finish(build, quality.effort)?, hooks.transpose()?))
}

/// Writes the neurons of a model, many to a file.
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
    fn neurons(&self, neurons: &[NeuronData<'_>]) -> Result<(), SiteError> {
        let Some(first) = neurons.first().map(NeuronData::id) else {
            return Ok(());
        };
        let (site, model) = (self.part.site, &self.part.model.name);
        let Packing {
            build,
            quality,
            text,
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
            let has_page = self.packing.has_page(neuron.id());
            if !has_page && !site.options.neuron_json {
                continue;
            }
            let record = self.records.record(neuron);
            if has_page {
                neuron::write(&self.part, neuron, &record)?;
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
        let Packing { text, quality, .. } = self.packing;
        self.part.write_json("text/documents.json", &text.index())?;
        (0..text.n_files()).into_par_iter().try_for_each(|at| {
            let bytes = text.file(at, corpus, texts, quality.effort)?;
            site.write(&address::text(&model.name, at), &bytes)
        })
    }
}

/// Writes what was said of the neurons of each layer, and the page that shows any of them.
pub(crate) fn write_said(part: &ModelPart<'_>, packing: &Packing) -> Result<(), SiteError> {
    let site = part.site;
    let mut said: BTreeMap<u32, BTreeMap<u32, Documentation<'_>>> = BTreeMap::new();
    for (id, of_neuron) in part.documented() {
        let of_layer = said.entry(id.layer).or_default();
        of_layer.insert(id.neuron, of_neuron);
    }
    for layer in part.scan().layers() {
        let neurons = said.remove(&layer);
        let page = neuron::render_shown(part, layer, &packing.info(), neurons.is_some())?;
        site.write(&address::shown(&part.model.name, layer), &page)?;
        if let Some(neurons) = neurons {
            let schema = "neuroscope/said/v1";
            let said = json(&SaidRecord { schema, neurons })?;
            part.write_json(&address::said(layer), &said)?;
        }
    }
    Ok(())
}
