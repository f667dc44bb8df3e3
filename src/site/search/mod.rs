//! Files in which a reader's browser searches for neurons.

mod files;
mod hash;
mod lines;
mod pieces;
mod postings;
pub(super) mod said;
pub(super) mod short_lines;
mod units;
mod words;

pub(super) use lines::{Lines, lines_per_file};
pub(super) use words::Words;
