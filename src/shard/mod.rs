//! The files of a scan: Parquet tables per layer, with a manifest that names and hashes them.
//!
//! A folder is written under a temporary name, synced and renamed; it is complete when its manifest is there and
//! every file has the manifest's checksum. Readers refuse what is newer, damaged or cut off, and name the file. The
//! tables are described in docs/format.md.

mod checks;
mod difference;
mod error;
mod examples;
mod files;
mod manifest;
mod reader;
mod stats;
mod table;
#[cfg(test)]
mod tests;
mod writer;

pub use difference::{Difference, differences};
pub use error::ShardError;
pub use examples::{
    ExampleRow, PeakRow, SAMPLE_LIST, different_examples, neuron_from_rows, rows_of,
};
pub use files::{FileEntry, Folder, Lock, MANIFEST, replace_json, verify_files, wrong_files};
pub use manifest::{
    AtlasManifest, ChatInfo, CorpusInfo, CorpusManifest, DataManifest, DataSetInfo, Manifest,
    ModelInfo, PartInfo, PartManifest, Policy, Prefix, ScanIdentity, SourceInfo, TOKENIZER_FILE,
    WEIGHTS_FILE, read_manifest, require_files, short_hash,
};
pub use reader::{LayerReader, PeakReader, StatsReader, TextReader};
pub use stats::different_stats;
pub use table::{Column, FIRST, Row, Table, TableReader, TableWriter};
pub use writer::LayerWriter;

use std::path::PathBuf;

use crate::stats::MlpKind;

/// The columns of the tables of statistics and of examples that a kind of neuron has, as lines of Markdown.
pub fn columns_of(kind: MlpKind) -> [Vec<String>; 2] {
    [
        stats::stats_table(kind).lines(),
        examples::examples_table(kind).lines(),
    ]
}

/// Name of a layer's table of statistics.
pub fn stats_file(layer: u32) -> String {
    format!("layer-{layer:03}.stats.parquet")
}

/// Name of a layer's table of examples.
pub fn examples_file(layer: u32) -> String {
    format!("layer-{layer:03}.examples.parquet")
}

/// Name of a part's folder.
pub fn part_folder(part: PartInfo) -> PathBuf {
    PathBuf::from(format!("part-{:05}-of-{:05}", part.index, part.of))
}
