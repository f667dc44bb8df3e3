//! Which files hold the neurons, the examples and their text.

mod pages;

use super::part::ModelPart;
use super::section::Section;

/// The section that holds the neurons.
pub(super) fn of(part: ModelPart<'_>) -> Box<dyn Section + '_> {
    Box::new(pages::Pages::new(part))
}
