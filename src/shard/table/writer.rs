//! Writes tables as Parquet files.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::{Row, Table};
use crate::files::create_anew;
use crate::shard::error::ShardError;

/// Writes one Parquet file.
pub struct TableWriter<R> {
    path: PathBuf,
    table: Arc<Table<R>>,
    writer: ArrowWriter<File>,
}

impl<R: Row> TableWriter<R> {
    /// Begins a file.
    pub fn create(path: &Path, table: Arc<Table<R>>) -> Result<Self, ShardError> {
        let file = create_anew(path).map_err(|source| ShardError::io("write", path, source))?;
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3).unwrap_or_default()))
            .set_created_by(format!("neuroscope {}", env!("CARGO_PKG_VERSION")))
            .build();
        let writer = ArrowWriter::try_new(file, table.schema(), Some(properties));
        let writer = writer.map_err(|error| ShardError::table("write", path, error))?;
        Ok(Self {
            path: path.to_owned(),
            table,
            writer,
        })
    }

    /// Adds rows, as a row group of their own.
    pub fn write(&mut self, rows: &[R]) -> Result<(), ShardError> {
        let error =
            |error: &dyn ToString| ShardError::table("write", &self.path, error.to_string());
        let rows = self.table.write(rows).map_err(|e| error(&e))?;
        let written = self.writer.write(&rows).and_then(|()| self.writer.flush());
        written.map_err(|e| error(&e))
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
