//! Tokens, numbers and examples as people and programs can read them.

pub(in crate::site) mod display;
pub(in crate::site) mod examples;
pub(in crate::site) mod fold;
pub(in crate::site) mod format;
pub(in crate::site) mod texts;
pub(in crate::site) mod words;
