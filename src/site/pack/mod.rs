//! The files of the layout `packed`: records by column, compressed, some to a file; described in docs/format.md.

mod columns;
pub(super) mod examples;
mod file;
pub(super) mod text;

pub(super) use file::{BuildId, PackFile, gzip};
