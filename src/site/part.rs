//! The part of a site that is about one model.

use crate::ids::NeuronId;

use super::content::{Explanation, Page};
use super::source::Source;
use super::text::texts::TokenTexts;
use super::view::ModelView;
use super::writer::Site;

/// A model, and the site that its pages are written to.
#[derive(Clone, Copy)]
pub(super) struct ModelPart<'a> {
    pub(super) site: &'a Site<'a>,
    pub(super) source: &'a Source,
    pub(super) model: &'a ModelView,
    pub(super) texts: &'a TokenTexts<'a>,
}

/// What people, and programs for them, have written about a neuron.
#[derive(Clone, Copy)]
pub(super) struct Documentation<'a> {
    pub(super) note: Option<&'a Page>,
    pub(super) explanations: &'a [Explanation],
}

impl<'a> ModelPart<'a> {
    pub(super) fn documentation(&self, id: NeuronId) -> Documentation<'a> {
        let content = self.site.content;
        let key = (self.model.name.clone(), id);
        Documentation {
            note: content.notes.get(&key),
            explanations: content.explanations.get(&key).map_or(&[], Vec::as_slice),
        }
    }

    /// The notes on the model's neurons.
    pub(super) fn notes(&self) -> impl Iterator<Item = (NeuronId, &'a Page)> {
        let name = &self.model.name;
        let notes = self.site.content.notes.iter();
        let own = notes.filter(move |((model, _), _)| model == name);
        own.map(|((_, id), note)| (*id, note))
    }

    /// Number of the model's neurons.
    pub(super) fn n_neurons(&self) -> usize {
        self.model.n_layers as usize * self.model.d_mlp as usize
    }
}
