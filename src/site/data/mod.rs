//! What programs read of the site, and what its pages load: records, columns, search.

pub(in crate::site) mod deepdecipher;
pub(in crate::site) mod documents;
pub(in crate::site) mod explore;
mod fields;
pub(in crate::site) mod lines;
pub(in crate::site) mod record;
mod steps;
pub(in crate::site) mod token_index;
pub(in crate::site) mod weights;
pub(in crate::site) mod words;
