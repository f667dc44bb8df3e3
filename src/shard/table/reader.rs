//! Reads tables, some rows at a time.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Compression;
use parquet::column::page::PageReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::serialized_reader::SerializedPageReader;

use super::{Column, Row, Table};
use crate::guard;
use crate::shard::error::ShardError;
use crate::stats::StatsOptions;

/// Reads one Parquet file, some rows at a time.
pub struct TableReader<R> {
    path: PathBuf,
    table: Arc<Table<R>>,
    reader: ParquetRecordBatchReader,
    absent: Vec<String>,
}

impl<R: Row> TableReader<R> {
    /// Opens a file.
    pub fn open(path: &Path, table: Arc<Table<R>>, rows: usize) -> Result<Self, ShardError> {
        guarded(path, || Self::open_unguarded(path, table, rows, None))
    }

    /// Opens one row group of a file.
    pub fn open_group(
        path: &Path,
        table: Arc<Table<R>>,
        rows: usize,
        group: usize,
    ) -> Result<Self, ShardError> {
        guarded(path, || {
            Self::open_unguarded(path, table, rows, Some(group))
        })
    }

    fn open_unguarded(
        path: &Path,
        table: Arc<Table<R>>,
        rows: usize,
        group: Option<usize>,
    ) -> Result<Self, ShardError> {
        let file = File::open(path).map_err(|source| ShardError::io("read", path, source))?;
        let error = |error: ParquetError| ShardError::table("read", path, error);
        // types as Parquet has them: what a program adds for itself does not matter
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(file, options);
        let builder = builder.map_err(error)?;
        let checked = table.check(builder.schema());
        checked.map_err(|reason| ShardError::table("read", path, reason))?;
        let n_groups = builder.metadata().num_row_groups();
        let builder = match group {
            Some(group) if group >= n_groups => {
                let reason = format!("row group {group} is missing");
                return Err(ShardError::table("read", path, reason));
            }
            Some(group) => builder.with_row_groups(vec![group]),
            None => builder,
        };
        let absent = absent(builder.metadata(), table.columns());
        let names: Vec<&str> = table.columns().iter().map(|column| column.name()).collect();
        let groups = group.map_or(0..n_groups, |group| group..group + 1);
        check_pages(path, builder.metadata(), groups, &names).map_err(error)?;
        let mask = ProjectionMask::columns(builder.parquet_schema(), names);
        let builder = builder.with_projection(mask).with_batch_size(rows);
        Ok(Self {
            path: path.to_owned(),
            reader: builder.build().map_err(error)?,
            table,
            absent,
        })
    }

    /// Names of the columns that the file does not have, or that hold nothing but null.
    pub fn absent(&self) -> &[String] {
        &self.absent
    }

    /// An error about what the file holds.
    pub fn wrong(&self, reason: impl ToString) -> ShardError {
        ShardError::table("read", &self.path, reason)
    }
}

impl<R: Row> Iterator for TableReader<R> {
    type Item = Result<Vec<R>, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Self {
            path,
            table,
            reader,
            ..
        } = self;
        guarded(path, || {
            let batch = reader.next().transpose();
            let batch = batch.map_err(|error| ShardError::table("read", path, error))?;
            let rows = batch.map(|batch| table.read(&batch)).transpose();
            rows.map_err(|reason| ShardError::table("read", path, reason))
        })
        .transpose()
    }
}

/// Names of the columns that a file does not have, or that hold nothing but null.
fn absent<R: Row>(file: &ParquetMetaData, columns: &[Column<R>]) -> Vec<String> {
    let has_value = |column: &Column<R>| {
        file.row_groups().iter().any(|group| {
            let own = group.columns().iter();
            let mut own = own.filter(|chunk| chunk.column_path().parts()[0] == column.name());
            own.any(|chunk| {
                let nulls = chunk.statistics().and_then(|found| found.null_count_opt());
                nulls.is_none_or(|nulls| (nulls as i64) < chunk.num_values())
            })
        })
    };
    let is_empty = file.file_metadata().num_rows() == 0;
    let absent = columns
        .iter()
        .filter(|column| !is_empty && !has_value(column));
    absent.map(|column| column.name().to_owned()).collect()
}

/// Fails if a column holds more values than its rows can have: a page of a few bytes can unpack to billions of equal ones.
fn check_pages(
    path: &Path,
    metadata: &ParquetMetaData,
    groups: Range<usize>,
    columns: &[&str],
) -> Result<(), ParquetError> {
    let file = Arc::new(File::open(path)?);
    for group in groups {
        let group = metadata.row_group(group);
        let rows = u64::try_from(group.num_rows())?;
        for column in group.columns() {
            let name = &column.column_path().parts()[0];
            if !columns.contains(&name.as_str()) {
                continue;
            }
            let most = match column.column_descr().max_rep_level() {
                0 => rows,
                _ => rows.saturating_mul(StatsOptions::MOST_WINDOW),
            };
            // pages are not unpacked, so nothing is made that could
            let column = column.clone().into_builder();
            let column = column.set_compression(Compression::UNCOMPRESSED).build()?;
            let mut pages = SerializedPageReader::new(file.clone(), &column, rows as usize, None)?;
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
