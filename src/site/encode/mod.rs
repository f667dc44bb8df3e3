//! From data to the bytes of files that programs read and pages load.

pub(super) mod documents;
mod examples;
pub(super) mod fields;
pub(super) mod indexes;
pub(super) mod record;
pub(super) mod token_index;
mod weights;
