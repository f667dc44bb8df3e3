//! What a site was made from, as its list of files remembers it. Notes and explanations change often and all else
//! seldom: where only they did, a build makes what shows them, and keeps the other files.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::content::{Content, walk};
use super::error::SiteError;
use super::inputs::Inputs;
use super::layout::LayoutReport;
use super::pack::{Packing, Quality};
use super::part::Documentation;
use super::source::Source;
use crate::files::hex;
use crate::ids::NeuronId;

/// What a site was made from.
#[derive(Serialize, Deserialize)]
pub(super) struct Made {
    /// A hash of all but notes and explanations.
    inputs: String,
    models: Vec<MadeModel>,
    /// The pages that are listed for search engines.
    pub(super) listed: Vec<String>,
}

/// A layer, a neuron, whether there is a note on it, and a hash of what was said of it.
type Said = (u32, u32, bool, String);

#[derive(Serialize, Deserialize)]
struct MadeModel {
    layout: LayoutReport,
    /// How much is kept of a packed neuron, and how many there are in a file.
    packing: Option<(Quality, usize)>,
    said: Vec<Said>,
}

impl Made {
    pub(super) fn new(
        inputs: String,
        content: &Content,
        layouts: &[LayoutReport],
        packings: &[Option<Packing>],
        listed: Vec<String>,
    ) -> Self {
        let model = |(layout, packing): (&LayoutReport, &Option<Packing>)| MadeModel {
            layout: layout.clone(),
            packing: packing.as_ref().map(|of| (of.quality, of.per_file)),
            said: said(content, &layout.model),
        };
        Self {
            inputs,
            models: layouts.iter().zip(packings).map(model).collect(),
            listed,
        }
    }

    /// What the last build was made from, if these are its inputs, and if it has the pages that this one has.
    pub(super) fn of(
        made: Option<&Value>,
        inputs: &Inputs<'_>,
        hash: &str,
        content: &Content,
    ) -> Option<Self> {
        let made = Self::deserialize(made?).ok()?;
        let pages = |said: &[Said]| -> Vec<(u32, u32)> {
            let noted = said.iter().filter(|(.., has_note, _)| *has_note);
            noted.map(|&(layer, neuron, ..)| (layer, neuron)).collect()
        };
        // where only neurons with notes have pages, others link to them
        let has_same_pages = |of: &MadeModel| {
            let depends = of.packing.is_some() && inputs.options.pages_for.notes;
            !depends || pages(&of.said) == pages(&said(content, &of.layout.model))
        };
        let is_same = made.inputs == hash && made.models.iter().all(has_same_pages);
        is_same.then_some(made)
    }

    pub(super) fn as_json(&self) -> Value {
        serde_json::json!(self)
    }

    /// How the models were stored.
    pub(super) fn layouts(
        &self,
        sources: &[Source],
        inputs: &Inputs<'_>,
        content: &Content,
    ) -> Result<(Vec<Option<Packing>>, Vec<LayoutReport>), SiteError> {
        let packing = |(source, model): (&Source, &MadeModel)| {
            let packing = model.packing.map(|(quality, per_file)| {
                Packing::new(source, content, inputs.options, quality, per_file)
            });
            packing.transpose()
        };
        let packings = sources.iter().zip(&self.models).map(packing);
        let reports = self.models.iter().map(|model| model.layout.clone());
        Ok((packings.collect::<Result<_, _>>()?, reports.collect()))
    }

    /// The neurons of a model of which something else is said now.
    pub(super) fn changed(&self, model: &str, content: &Content) -> BTreeSet<NeuronId> {
        let is_it = |of: &&MadeModel| of.layout.model == model;
        let before = self.models.iter().filter(is_it).flat_map(|of| &of.said);
        let before: HashSet<_> = before.cloned().collect();
        let now = HashSet::from_iter(said(content, model));
        let changed = before.symmetric_difference(&now);
        changed
            .map(|&(layer, neuron, ..)| NeuronId { layer, neuron })
            .collect()
    }
}

/// What is said of the neurons of a model.
fn said(content: &Content, model: &str) -> Vec<Said> {
    let of = |id: NeuronId| {
        let said = Documentation::of(content, model, id);
        (id.layer, id.neuron, said.note.is_some(), said.hash())
    };
    content.documented(model).into_iter().map(of).collect()
}

/// A hash of all that a site is made from but notes, explanations and the pages of its own that show nothing else.
/// Of data and theme, and of the program, it has the size and the time of each file.
pub(super) fn hash_of(inputs: &Inputs<'_>, content: &Content) -> Result<String, SiteError> {
    let mut hash = Sha256::new();
    let mut add = |what: &dyn std::fmt::Debug| hash.update(format!("{what:?}\n"));
    add(&env!("CARGO_PKG_VERSION"));
    if let Some(stamp) = std::env::current_exe().ok().and_then(|path| stamp(&path)) {
        add(&stamp);
    }
    add(inputs.options);
    let pages = content.pages.iter();
    add(&pages
        .map(|page| (&page.slug, &page.title, page.menu))
        .collect::<Vec<_>>());
    add(&content.footer);
    add(&content.files.keys().collect::<Vec<_>>());
    for folder in inputs
        .data
        .iter()
        .map(|of| of.as_path())
        .chain(inputs.theme)
    {
        for entry in walk(folder) {
            let entry = entry.map_err(|(path, source)| SiteError::io("read", path, source))?;
            if entry.file_type().is_file() {
                let path = entry.path();
                add(&(path.strip_prefix(folder), stamp(path)));
            }
        }
    }
    Ok(hex(&hash.finalize()))
}

/// The size and the time of a file, in nanoseconds.
fn stamp(path: &Path) -> Option<(u64, u128)> {
    let metadata = path.metadata().ok()?;
    let time = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
    Some((metadata.len(), time.as_nanos()))
}
