//! The layout `pages`: a page for every neuron, with its record, and the documents, many to a file.

use rayon::prelude::*;

use crate::site::address;
use crate::site::data::NeuronData;
use crate::site::encode::documents;
use crate::site::encode::record::RecordWriter;
use crate::site::error::SiteError;
use crate::site::pages::neuron;
use crate::site::part::ModelPart;
use crate::site::section::Section;

/// Writes a page for every neuron, and its record if that is asked for.
pub(super) struct Pages<'a> {
    part: ModelPart<'a>,
    records: RecordWriter<'a>,
}

impl<'a> Pages<'a> {
    pub(super) fn new(part: ModelPart<'a>) -> Self {
        Self {
            part,
            records: RecordWriter::new(part.source, part.texts),
        }
    }
}

impl Section for Pages<'_> {
    fn neuron(&self, neuron: &NeuronData<'_>) -> Result<(), SiteError> {
        let (site, model) = (self.part.site, &self.part.model.name);
        let record = self.records.record(neuron);
        neuron::write(&self.part, neuron, &record)?;
        if site.options.neuron_json {
            site.write(&address::record(model, neuron.id()), &record)?;
        }
        Ok(())
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
            return Ok(()); // no document is whole
        };
        let starts = documents::starts(corpus);
        site.write(
            &address::of_model(&model.name, "docs/index.json"),
            &documents::index(corpus, &starts),
        )?;
        let n_documents = corpus.store.n_documents() as u32;
        (0..starts.len()).into_par_iter().try_for_each(|at| {
            let end = starts.get(at + 1).copied().unwrap_or(n_documents);
            let file = format!("docs/{}", documents::file_name(starts[at]));
            let bytes = documents::file(corpus, texts, starts[at]..end)?;
            site.write(&address::of_model(&model.name, &file), &bytes)
        })
    }
}
