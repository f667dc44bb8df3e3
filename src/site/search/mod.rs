//! Files in which a reader's browser searches for neurons.

mod hash;
mod lines;
mod pieces;
mod postings;
mod units;
mod words;

pub(super) use lines::{Lines, PER_FILE};
pub(super) use words::Words;
