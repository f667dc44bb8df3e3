//! Tokens, numbers and examples as people and programs can read them.

pub(crate) mod display;
pub(crate) mod fold;
pub(crate) mod format;
pub(crate) mod texts;
