//! The files of packed sites: records by column, compressed, some to a file; described in docs/format.md.

mod columns;
mod file;
mod packing;
mod text;

pub(super) use columns::{COARSE, COSINE, SHORT};
pub(super) use file::{BuildId, PackFile, gzip};
pub(super) use packing::{Packing, PackingInfo, Quality};
pub(super) use text::{Bytes, TextMap};
