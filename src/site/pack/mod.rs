//! The files of packed sites: records by column, compressed, some to a file; described in docs/format.md.

mod columns;
mod file;
mod packing;
mod text;
mod values;

pub(super) use file::{BuildId, Effort, PackFile, gunzip, gzip};
pub(super) use packing::{Packing, PackingInfo, Quality, per_file};
pub(super) use text::TextMap;
pub(super) use values::{Bytes, Cosine, Counts, Short};
