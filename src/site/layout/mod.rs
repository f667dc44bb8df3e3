//! Which files hold the neurons, the examples and their text.

mod packed;
mod pages;

use super::error::SiteError;
use super::options::{LayoutOption, SiteOptions};
use super::pack::examples::Quality;
use super::part::ModelPart;
use super::section::Section;
use super::source::Source;
use super::text::texts::TokenTexts;
pub(super) use packed::{Packing, PackingInfo};

/// Neurons that are read at a time, if each has a file of its own.
const PAGES: usize = 32;

/// Decides how the neurons of a model are packed; not at all if each has a page.
pub(super) fn choose(
    source: &Source,
    texts: &TokenTexts<'_>,
    options: &SiteOptions,
) -> Result<Option<Packing>, SiteError> {
    let all = Quality {
        n_examples: None,
        bits: 8,
    };
    match options.layout {
        LayoutOption::Pages => Ok(None),
        LayoutOption::Packed => Packing::new(source, texts, all).map(Some),
    }
}

/// Neurons that are shown to sections at a time.
pub(super) fn n_at_once(part: &ModelPart<'_>) -> usize {
    part.packing.map_or(PAGES, |packing| packing.per_file)
}

/// The section that holds the neurons.
pub(super) fn section(part: ModelPart<'_>) -> Box<dyn Section + '_> {
    match part.packing {
        None => Box::new(pages::Pages::new(part)),
        Some(packing) => Box::new(packed::Packed::new(part, packing)),
    }
}
