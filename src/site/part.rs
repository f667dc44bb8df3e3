//! The part of a site that is about one model.

use serde::Serialize;
use twox_hash::XxHash3_128;

use crate::atlas::ScanIdentity;
use crate::ids::NeuronId;

use super::address;
use super::content::{Content, Explanation, Page};
use super::error::SiteError;
use super::pack::{Effort, PackFile, Packing, gzip};
use super::source::Source;
use super::text::texts::{TokenTexts, json};
use super::view::ModelView;
use super::writer::Site;

/// A model, and the site that its pages are written to.
#[derive(Clone, Copy)]
pub(super) struct ModelPart<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) source: &'a Source,
    pub(super) model: &'a ModelView,
    pub(super) texts: &'a TokenTexts<'a>,
    /// How its neurons are packed, if they are.
    pub(super) packing: Option<&'a Packing>,
}

/// What people, and programs for them, have written about a neuron.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct Documentation<'a> {
    pub(super) note: Option<&'a Page>,
    pub(super) explanations: &'a [Explanation],
}

impl<'a> Documentation<'a> {
    pub(super) fn of(content: &'a Content, model: &str, id: NeuronId) -> Self {
        let key = (model.to_owned(), id);
        Self {
            note: content.notes.get(&key),
            explanations: content.explanations.get(&key).map_or(&[], Vec::as_slice),
        }
    }

    /// What was said in one line: the title of the note, or else the first explanation.
    pub(super) fn title(&self) -> Option<&'a str> {
        let explanation = || self.explanations.first().map(|one| one.text.as_str());
        self.note
            .map(|note| note.title.as_str())
            .or_else(explanation)
    }

    /// A hash that says whether something else is said.
    pub(super) fn hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        format!("{:032x}", XxHash3_128::oneshot(&json))
    }
}

impl<'a> ModelPart<'a> {
    pub(super) fn documentation(&self, id: NeuronId) -> Documentation<'a> {
        Documentation::of(self.site.content, &self.model.name, id)
    }

    /// What was said of the model's neurons, in their order.
    pub(super) fn documented(&self) -> impl Iterator<Item = (NeuronId, Documentation<'a>)> {
        let (content, scan) = (self.site.content, self.scan());
        let ids = content.documented(&self.model.name).into_iter();
        ids.filter(|id| scan.has(*id))
            .map(|id| (id, self.documentation(id)))
    }

    /// The notes on the model's neurons.
    pub(super) fn notes(&self) -> impl Iterator<Item = (NeuronId, &'a Page)> {
        self.documented()
            .filter_map(|(id, said)| Some((id, said.note?)))
    }

    /// Makes a file of the model hold JSON; where neurons are packed, in gzip.
    pub(super) fn write_json(&self, file: &str, json: &[u8]) -> Result<(), SiteError> {
        let name = address::of_model(&self.model.name, file);
        match self.packing {
            None => self.site.write(&name, json),
            Some(Packing { quality, .. }) => {
                let packed = gzip(json, quality.effort.max(Effort::Usual))?;
                self.site.write(&address::in_gzip(&name), &packed)
            }
        }
    }

    /// Makes a file of the model hold a record: as JSON, or packed where neurons are. The name is without its ending.
    pub(super) fn write_record(
        &self,
        file: &str,
        record: &impl Serialize,
    ) -> Result<(), SiteError> {
        let Some(packing) = self.packing else {
            return self.write_json(&format!("{file}.json"), &json(record)?);
        };
        let mut packed = PackFile::default();
        packed.push(record)?;
        let name = address::of_model(&self.model.name, file);
        let effort = packing.quality.effort.max(Effort::Usual);
        let packed = packed.finish(packing.build, effort)?;
        self.site.write(&address::in_gzip(&name), &packed)
    }

    /// The address of a neuron's page, from its layer's folder.
    pub(super) fn neuron_link(&self, id: NeuronId) -> String {
        let own = || address::neuron_file(id.neuron);
        self.packing.map_or_else(own, |packing| packing.link(id))
    }

    /// The address of the page of a neuron of another layer, from a layer's folder.
    pub(super) fn link_to_other_layer(&self, id: NeuronId) -> String {
        address::in_other_layer(id.layer, &self.neuron_link(id))
    }

    /// Whether a neuron has a page of its own.
    pub(super) fn has_page(&self, id: NeuronId) -> bool {
        self.packing.is_none_or(|packing| packing.has_page(id))
    }

    /// What was scanned, and how.
    pub(super) fn scan(&self) -> &'a ScanIdentity {
        &self.source.atlas.manifest().scan
    }

    /// Number of the model's neurons, those included that were not scanned.
    pub(super) fn n_neurons(&self) -> usize {
        self.model.n_layers as usize * self.model.d_mlp as usize
    }
}
