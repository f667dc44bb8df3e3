//! Readers of tables.

use std::fs::File;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::vec;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use rayon::prelude::*;

use crate::stats::MlpKind;
use crate::stats::neuron::NeuronStats;

use super::error::ShardError;
use super::files::{FileEntry, hash_file};
use super::schema::{
    ExampleRow, PEAK_COLUMNS, PeakRow, examples_of, examples_schema, peaks_of, stats_of,
    stats_schema,
};
use super::{examples_file, stats_file};

/// Checks that files are there, with the length and checksum that their manifest says.
pub fn verify_files(folder: &Path, files: &[FileEntry]) -> Result<(), ShardError> {
    // the first that is wrong, whoever finds one first
    let found: Vec<_> = files
        .par_iter()
        .map(|file| verify_file(folder, file))
        .collect();
    found.into_iter().collect()
}

fn verify_file(folder: &Path, file: &FileEntry) -> Result<(), ShardError> {
    let path = folder.join(&file.name);
    if !path.is_file() {
        return Err(ShardError::Missing { path });
    }
    let (bytes, sha256) =
        hash_file(&path).map_err(|source| ShardError::io("read", &path, source))?;
    let differs = |what, found: String, expected: String| {
        Err(ShardError::Checksum {
            path: path.clone(),
            what,
            found,
            expected,
        })
    };
    if bytes != file.bytes {
        return differs("its length", bytes.to_string(), file.bytes.to_string());
    }
    if sha256 != file.sha256 {
        return differs("its SHA-256", sha256, file.sha256.clone());
    }
    Ok(())
}

/// Reads one Parquet file, some rows at a time.
pub struct TableReader {
    path: PathBuf,
    reader: ParquetRecordBatchReader,
}

impl TableReader {
    /// Opens a file that must have exactly these columns.
    pub fn open(path: &Path, schema: &Schema, rows: usize) -> Result<Self, ShardError> {
        guarded(path, || {
            Self::open_unguarded(path, schema, rows, None, None)
        })
    }

    /// Opens one row group of a file.
    pub fn open_group(
        path: &Path,
        schema: &Schema,
        rows: usize,
        group: usize,
    ) -> Result<Self, ShardError> {
        guarded(path, || {
            Self::open_unguarded(path, schema, rows, Some(group), None)
        })
    }

    /// Opens some columns of a file.
    pub fn open_columns(
        path: &Path,
        schema: &Schema,
        rows: usize,
        columns: &[&str],
    ) -> Result<Self, ShardError> {
        guarded(path, || {
            Self::open_unguarded(path, schema, rows, None, Some(columns))
        })
    }

    fn open_unguarded(
        path: &Path,
        schema: &Schema,
        rows: usize,
        group: Option<usize>,
        columns: Option<&[&str]>,
    ) -> Result<Self, ShardError> {
        let file = File::open(path).map_err(|source| ShardError::io("read", path, source))?;
        let error = |error: parquet::errors::ParquetError| ShardError::table("read", path, error);
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(error)?;
        let found = builder.schema();
        if found.fields() != schema.fields() {
            let different = found
                .fields()
                .iter()
                .zip(schema.fields())
                .find(|(found, expected)| found != expected);
            let reason = match different {
                Some((found, expected)) => {
                    format!(
                        "it has column `{}`: {}; expected `{}`: {}",
                        found.name(),
                        found.data_type(),
                        expected.name(),
                        expected.data_type()
                    )
                }
                None => format!(
                    "it has {} columns; expected {}",
                    found.fields().len(),
                    schema.fields().len()
                ),
            };
            return Err(ShardError::table("read", path, reason));
        }
        let builder = match group {
            Some(group) if group >= builder.metadata().num_row_groups() => {
                let reason = format!("row group {group} is missing");
                return Err(ShardError::table("read", path, reason));
            }
            Some(group) => builder.with_row_groups(vec![group]),
            None => builder,
        };
        let builder = match columns {
            Some(columns) => {
                let mask =
                    ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
                builder.with_projection(mask)
            }
            None => builder,
        };
        let reader = builder.with_batch_size(rows).build().map_err(error)?;
        Ok(Self {
            path: path.to_owned(),
            reader,
        })
    }
}

impl Iterator for TableReader {
    type Item = Result<RecordBatch, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self { path, reader } = self;
        guarded(path, || {
            reader
                .next()
                .transpose()
                .map_err(|error| ShardError::table("read", path, error))
        })
        .transpose()
    }
}

/// The parquet crate panics on some files that are damaged behind their checksum; here that is an error as well.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ShardError>) -> Result<T, ShardError> {
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(read));
    read.unwrap_or_else(|_| {
        Err(ShardError::table(
            "read",
            path,
            "it is not what its own header says",
        ))
    })
}

/// Where the examples of a layer peak.
pub struct PeakReader(TableReader);

impl PeakReader {
    /// Opens a layer's table of examples in a folder.
    pub fn open(folder: &Path, layer: u32, kind: MlpKind) -> Result<Self, ShardError> {
        let path = folder.join(examples_file(layer));
        let reader =
            TableReader::open_columns(&path, &examples_schema(kind), 16_384, &PEAK_COLUMNS)?;
        Ok(Self(reader))
    }
}

impl Iterator for PeakReader {
    type Item = Result<Vec<PeakRow>, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.0.next()?.map(|batch| peaks_of(&batch)))
    }
}

/// Reads the tables of one layer, neuron by neuron.
pub struct LayerReader {
    kind: MlpKind,
    stats_path: PathBuf,
    examples_path: PathBuf,
    stats: TableReader,
    examples: TableReader,
    ready_stats: vec::IntoIter<(u32, NeuronStats)>,
    ready_examples: Peekable<vec::IntoIter<(u32, ExampleRow)>>,
    next: u32,
}

impl LayerReader {
    /// Opens the tables of a layer in a folder.
    pub fn open(folder: &Path, layer: u32, kind: MlpKind) -> Result<Self, ShardError> {
        let (stats_path, examples_path) = (
            folder.join(stats_file(layer)),
            folder.join(examples_file(layer)),
        );
        Ok(Self {
            kind,
            stats: TableReader::open(&stats_path, &stats_schema(kind), 256)?,
            examples: TableReader::open(&examples_path, &examples_schema(kind), 4096)?,
            stats_path,
            examples_path,
            ready_stats: Vec::new().into_iter(),
            ready_examples: Vec::new().into_iter().peekable(),
            next: 0,
        })
    }

    fn read_next(&mut self) -> Result<Option<(u32, NeuronStats, Vec<ExampleRow>)>, ShardError> {
        let (neuron, stats) = loop {
            if let Some(next) = self.ready_stats.next() {
                break next;
            }
            match self.stats.next().transpose()? {
                Some(batch) => self.ready_stats = stats_of(self.kind, &batch).into_iter(),
                None => return Ok(None),
            }
        };
        if neuron != self.next {
            let reason = format!(
                "neuron {neuron} stands where neuron {} is expected",
                self.next
            );
            return Err(ShardError::table("read", &self.stats_path, reason));
        }
        self.next += 1;
        let mut rows = Vec::new();
        loop {
            match self.ready_examples.peek() {
                Some((owner, _)) if *owner == neuron => {
                    rows.extend(self.ready_examples.next().map(|(_, row)| row))
                }
                Some((owner, _)) if *owner < neuron => {
                    let reason = format!("examples of neuron {owner} are not in order");
                    return Err(ShardError::table("read", &self.examples_path, reason));
                }
                Some(_) => break,
                None => match self.examples.next().transpose()? {
                    Some(batch) => {
                        self.ready_examples = examples_of(self.kind, &batch).into_iter().peekable()
                    }
                    None => break,
                },
            }
        }
        Ok(Some((neuron, stats, rows)))
    }
}

impl Iterator for LayerReader {
    type Item = Result<(u32, NeuronStats, Vec<ExampleRow>), ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}
