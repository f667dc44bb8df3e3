//! The part of a site that is about one model.

use crate::site::source::Source;
use crate::site::view::ModelView;
use crate::site::writer::Site;

/// A model, and the site that its pages are written to.
#[derive(Clone, Copy)]
pub(in crate::site) struct ModelPart<'a> {
    pub(in crate::site) site: &'a Site<'a>,
    pub(in crate::site) source: &'a Source,
    pub(in crate::site) model: &'a ModelView,
}
