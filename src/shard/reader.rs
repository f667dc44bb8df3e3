//! Readers of tables.

use std::cmp::Ordering;
use std::fs::File;
use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::vec;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use rayon::prelude::*;

use crate::guard;
use crate::stats::MlpKind;
use crate::stats::neuron::NeuronStats;

use super::checks::{self, WINDOW};
use super::error::ShardError;
use super::files::FileEntry;
use super::manifest::ScanIdentity;
use super::schema::{
    ExampleRow, PEAK_COLUMNS, PeakRow, examples_of, examples_schema, peaks_of, stats_of,
    stats_schema,
};
use super::{examples_file, stats_file};
use crate::files::hash_file;

/// Checks that files are there, with the length and checksum that their manifest says.
pub fn verify_files(folder: &Path, files: &[FileEntry]) -> Result<(), ShardError> {
    let wrong = wrong_files(folder, files).into_iter().next();
    wrong.map_or(Ok(()), |(_, error)| Err(error))
}

/// The files that are not there, or have another length or checksum than their manifest says.
pub fn wrong_files<'a>(folder: &Path, files: &'a [FileEntry]) -> Vec<(&'a FileEntry, ShardError)> {
    let wrong = |file| Some((file, verify_file(folder, file).err()?));
    files.par_iter().filter_map(wrong).collect()
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
        let n_groups = builder.metadata().num_row_groups();
        let builder = match group {
            Some(group) if group >= n_groups => {
                let reason = format!("row group {group} is missing");
                return Err(ShardError::table("read", path, reason));
            }
            Some(group) => builder.with_row_groups(vec![group]),
            None => builder,
        };
        let groups = group.map_or(0..n_groups, |group| group..group + 1);
        check_pages(path, groups, columns).map_err(error)?;
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

impl TableReader {
    /// An error of what the file holds.
    pub fn wrong(&self, reason: impl ToString) -> ShardError {
        ShardError::table("read", &self.path, reason)
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

/// Fails if a column holds more values than its rows can have: a page of a few bytes can unpack to billions of equal ones.
fn check_pages(
    path: &Path,
    groups: Range<usize>,
    columns: Option<&[&str]>,
) -> Result<(), ParquetError> {
    let file = SerializedFileReader::new(File::open(path)?)?;
    for group in groups {
        let group = file.get_row_group(group)?;
        let rows = u64::try_from(group.metadata().num_rows())?;
        for (at, column) in group.metadata().columns().iter().enumerate() {
            let name = &column.column_path().parts()[0];
            if columns.is_some_and(|columns| !columns.contains(&name.as_str())) {
                continue;
            }
            let most = match column.column_descr().max_rep_level() {
                0 => rows,
                _ => rows.saturating_mul(WINDOW),
            };
            let mut pages = group.get_column_page_reader(at)?;
            let mut n: u64 = 0;
            while let Some(page) = pages.peek_next_page()? {
                n += page.num_levels.unwrap_or_default() as u64;
                pages.skip_next_page()?;
            }
            if n > most {
                let reason = format!("column `{name}` has {n} values in {rows} rows");
                return Err(ParquetError::General(reason));
            }
        }
    }
    Ok(())
}

/// Reads from a table. The parquet crate panics on some damaged files whose checksum is right; that becomes an error too.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, ShardError>) -> Result<T, ShardError> {
    guard::run(read).unwrap_or_else(|| {
        let reason = "it is not what its own header says";
        Err(ShardError::table("read", path, reason))
    })
}

/// Where the examples of a layer peak.
pub struct PeakReader {
    table: TableReader,
    n_neurons: u32,
    last: u32,
}

impl PeakReader {
    /// Opens a layer's table of examples in a folder.
    pub fn open(folder: &Path, layer: u32, scan: &ScanIdentity) -> Result<Self, ShardError> {
        let path = folder.join(examples_file(layer));
        let schema = examples_schema(scan.kind());
        Ok(Self {
            table: TableReader::open_columns(&path, &schema, 16_384, &PEAK_COLUMNS)?,
            n_neurons: scan.model.d_mlp,
            last: 0,
        })
    }

    fn checked(&mut self, batch: &RecordBatch) -> Result<Vec<PeakRow>, ShardError> {
        let rows = peaks_of(batch);
        for row in &rows {
            if row.neuron < self.last || row.neuron >= self.n_neurons {
                let reason = format!("examples of neuron {} are not in order", row.neuron);
                return Err(self.table.wrong(reason));
            }
            self.last = row.neuron;
        }
        Ok(rows)
    }
}

impl Iterator for PeakReader {
    type Item = Result<Vec<PeakRow>, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = self.table.next()?;
        Some(batch.and_then(|batch| self.checked(&batch)))
    }
}

/// Reads the tables of one layer, neuron by neuron.
pub struct LayerReader {
    kind: MlpKind,
    n_neurons: Option<u32>,
    n_documents: u64,
    stats: TableReader,
    examples: TableReader,
    ready_stats: vec::IntoIter<(u32, NeuronStats)>,
    ready_examples: Peekable<vec::IntoIter<(u32, ExampleRow)>>,
    next: u32,
}

/// A neuron's index, statistics and examples.
type LayerRow = (u32, NeuronStats, Vec<ExampleRow>);

impl LayerReader {
    /// Opens the tables of a layer in a folder.
    pub fn open(folder: &Path, layer: u32, kind: MlpKind) -> Result<Self, ShardError> {
        let (stats_path, examples_path) = (
            folder.join(stats_file(layer)),
            folder.join(examples_file(layer)),
        );
        Ok(Self {
            kind,
            n_neurons: None,
            n_documents: u64::from(u32::MAX),
            stats: TableReader::open(&stats_path, &stats_schema(kind), 256)?,
            examples: TableReader::open(&examples_path, &examples_schema(kind), 4096)?,
            ready_stats: Vec::new().into_iter(),
            ready_examples: Vec::new().into_iter().peekable(),
            next: 0,
        })
    }

    /// Opens the tables of a layer of a scan, which must have all its neurons and no other documents than the corpus.
    pub fn of(folder: &Path, layer: u32, scan: &ScanIdentity) -> Result<Self, ShardError> {
        Ok(Self {
            n_neurons: Some(scan.model.d_mlp),
            n_documents: scan.corpus.n_documents,
            ..Self::open(folder, layer, scan.kind())?
        })
    }

    fn next_stats(&mut self) -> Result<Option<(u32, NeuronStats)>, ShardError> {
        loop {
            if let Some(next) = self.ready_stats.next() {
                return Ok(Some(next));
            }
            match self.stats.next().transpose()? {
                Some(batch) => {
                    let rows = stats_of(self.kind, &batch);
                    let rows = rows.map_err(|reason| self.stats.wrong(reason))?;
                    self.ready_stats = rows.into_iter();
                }
                None => return Ok(None),
            }
        }
    }

    fn read_next(&mut self) -> Result<Option<LayerRow>, ShardError> {
        let Some((neuron, stats)) = self.next_stats()? else {
            return self.end().map(|()| None);
        };
        if neuron != self.next || self.n_neurons.is_some_and(|n| neuron >= n) {
            let reason = match self.n_neurons {
                Some(n) if self.next >= n => format!("it has more than {n} neurons"),
                _ => format!(
                    "neuron {neuron} stands where neuron {} is expected",
                    self.next
                ),
            };
            return Err(self.stats.wrong(reason));
        }
        let of_neuron = |reason| format!("neuron {neuron}: {reason}");
        checks::stats(&stats).map_err(|reason| self.stats.wrong(of_neuron(reason)))?;
        self.next += 1;
        let mut rows = Vec::new();
        while let Some(owner) = self.next_owner()? {
            match owner.cmp(&neuron) {
                Ordering::Equal => rows.extend(self.ready_examples.next().map(|(_, row)| row)),
                Ordering::Less => {
                    let reason = format!("examples of neuron {owner} are not in order");
                    return Err(self.examples.wrong(reason));
                }
                Ordering::Greater => break,
            }
        }
        checks::examples(&rows, self.n_documents)
            .map_err(|reason| self.examples.wrong(of_neuron(reason)))?;
        Ok(Some((neuron, stats, rows)))
    }

    /// The neuron that the next example belongs to.
    fn next_owner(&mut self) -> Result<Option<u32>, ShardError> {
        loop {
            if let Some((owner, _)) = self.ready_examples.peek() {
                return Ok(Some(*owner));
            }
            match self.examples.next().transpose()? {
                Some(batch) => {
                    self.ready_examples = examples_of(self.kind, &batch).into_iter().peekable();
                }
                None => return Ok(None),
            }
        }
    }

    /// After the last neuron.
    fn end(&mut self) -> Result<(), ShardError> {
        if let Some(n) = self.n_neurons.filter(|n| self.next < *n) {
            let reason = format!("it has {} neurons; expected {n}", self.next);
            return Err(self.stats.wrong(reason));
        }
        match self.next_owner()? {
            Some(owner) => {
                let reason = format!("it has examples of neuron {owner}, which is not there");
                Err(self.examples.wrong(reason))
            }
            None => Ok(()),
        }
    }
}

impl Iterator for LayerReader {
    type Item = Result<LayerRow, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}
