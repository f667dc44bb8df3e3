//! Writers of tables.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use crate::stats::MlpKind;
use crate::stats::neuron::NeuronStats;

use super::error::ShardError;
use super::schema::{ExampleRow, examples_batch, examples_schema, stats_batch, stats_schema};
use super::{examples_file, stats_file};
use crate::files::create_anew;

/// Writes one Parquet file.
pub struct TableWriter {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl TableWriter {
    /// Begins a file.
    pub fn create(path: &Path, schema: Arc<Schema>) -> Result<Self, ShardError> {
        let file = create_anew(path).map_err(|source| ShardError::io("write", path, source))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_created_by(format!("neuroscope {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(file, schema, Some(properties));
        let writer = writer.map_err(|error| ShardError::table("write", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            writer,
        })
    }

    /// Adds rows, as a row group of their own.
    pub fn write(
        &mut self,
        rows: Result<RecordBatch, arrow_schema::ArrowError>,
    ) -> Result<(), ShardError> {
        let rows = rows.map_err(|error| ShardError::table("write", &self.path, error))?;
        let written = self.writer.write(&rows).and_then(|()| self.writer.flush());
        written.map_err(|error| ShardError::table("write", &self.path, error))
    }

    /// Ends the file and syncs it.
    pub fn finish(self) -> Result<(), ShardError> {
        let path = self.path;
        let file = self
            .writer
            .into_inner()
            .map_err(|error| ShardError::table("write", &path, error))?;
        file.sync_all()
            .map_err(|source| ShardError::io("write", &path, source))
    }
}

/// Writes the tables of one layer, neuron by neuron in ascending order.
pub struct LayerWriter {
    kind: MlpKind,
    layer: u32,
    stats: TableWriter,
    examples: TableWriter,
    waiting_stats: Vec<(u32, NeuronStats)>,
    waiting_examples: Vec<(u32, ExampleRow)>,
}

/// Rows of a row group: enough to compress well, few enough to be read piece by piece.
const STATS_ROWS: usize = 1024;
const EXAMPLE_ROWS: usize = 32 * 1024;

impl LayerWriter {
    /// Begins the tables in a folder.
    pub fn create(folder: &Path, layer: u32, kind: MlpKind) -> Result<Self, ShardError> {
        Ok(Self {
            kind,
            layer,
            stats: TableWriter::create(&folder.join(stats_file(layer)), stats_schema(kind))?,
            examples: TableWriter::create(
                &folder.join(examples_file(layer)),
                examples_schema(kind),
            )?,
            waiting_stats: Vec::new(),
            waiting_examples: Vec::new(),
        })
    }

    /// Adds the next neuron.
    pub fn push(
        &mut self,
        neuron: u32,
        stats: NeuronStats,
        rows: impl IntoIterator<Item = ExampleRow>,
    ) -> Result<(), ShardError> {
        self.waiting_stats.push((neuron, stats));
        self.waiting_examples
            .extend(rows.into_iter().map(|row| (neuron, row)));
        if self.waiting_stats.len() >= STATS_ROWS {
            self.flush_stats()?;
        }
        if self.waiting_examples.len() >= EXAMPLE_ROWS {
            self.flush_examples()?;
        }
        Ok(())
    }

    /// Ends the tables; returns their names.
    pub fn finish(mut self) -> Result<[String; 2], ShardError> {
        self.flush_stats()?;
        self.flush_examples()?;
        self.stats.finish()?;
        self.examples.finish()?;
        Ok([stats_file(self.layer), examples_file(self.layer)])
    }

    fn flush_stats(&mut self) -> Result<(), ShardError> {
        let rows: Vec<_> = self
            .waiting_stats
            .iter()
            .map(|(neuron, stats)| (*neuron, stats))
            .collect();
        self.stats.write(stats_batch(self.kind, &rows))?;
        self.waiting_stats.clear();
        Ok(())
    }

    fn flush_examples(&mut self) -> Result<(), ShardError> {
        self.examples
            .write(examples_batch(self.kind, &self.waiting_examples))?;
        self.waiting_examples.clear();
        Ok(())
    }
}
