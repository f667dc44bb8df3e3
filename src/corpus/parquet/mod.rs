//! Documents of a Parquet file, row group by row group, some rows at a time.
//!
//! Only the columns that are needed are read, and of a row group only the pages that hold the next rows are unpacked.
//! Types are those of Parquet: what a program adds for itself (`ARROW:schema`, `pandas`) does not matter.

mod checks;
mod columns;
mod thrift;
mod value;

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{ParquetStatisticsPolicy, RowGroupMetaData};

use crate::guard;

use super::input::{Input, Names};
use super::lines::MOST_MESSAGES;
use super::{Content, CorpusError, Document, Message};
use columns::Columns;
use value::Cell;

/// Bytes of the rows that are read at one go, about.
const BATCH_BYTES: u64 = 4 << 20;

/// Rows that are read at one go, at most.
const BATCH_ROWS: u64 = 1024;

/// Bytes that the rows that are read at one go may become by an encoding that repeats what they begin with.
const SHARED_BYTES: u64 = 64 << 20;

/// The rows of a Parquet file.
pub(super) struct Rows {
    input: Input,
    file: File,
    metadata: ArrowReaderMetadata,
    columns: Columns,
    groups: Range<usize>,
    reader: Option<ParquetRecordBatchReader>,
    batch: Option<RecordBatch>,
    /// The next row of the batch.
    at: usize,
    /// The last row that was read, from 1.
    row: u64,
}

impl Rows {
    /// Reads the footer, and finds the columns.
    pub(super) fn open(input: Input, file: File) -> Result<Self, CorpusError> {
        let opened = guard::run(|| Self::open_unguarded(&input, &file));
        let (metadata, columns) = opened.unwrap_or_else(|| Err(not_as_it_says(&input)))?;
        Ok(Self {
            groups: 0..metadata.metadata().num_row_groups(),
            input,
            file,
            metadata,
            columns,
            reader: None,
            batch: None,
            at: 0,
            row: 0,
        })
    }

    fn open_unguarded(
        input: &Input,
        file: &File,
    ) -> Result<(ArrowReaderMetadata, Columns), CorpusError> {
        checks::footer(file).map_err(|error| input.table_error(error))?;
        let options = ArrowReaderOptions::new()
            .with_skip_arrow_metadata(true)
            .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let read = ArrowReaderMetadata::load(file, options);
        let read = read.map_err(|error| input.table_error(error))?;
        let fields = read.schema().fields();
        let columns = Columns::find(input, fields, read.parquet_schema())?;
        let schema = Arc::new(Schema::new(columns.viewed(fields)));
        let options = ArrowReaderOptions::new().with_schema(schema);
        let metadata = ArrowReaderMetadata::try_new(read.metadata().clone(), options);
        let metadata = metadata.map_err(|error| input.table_error(error))?;
        Ok((metadata, columns))
    }

    /// Begins a row group.
    fn begin(&self, group: usize) -> Result<ParquetRecordBatchReader, CorpusError> {
        let wrong = |error: &dyn ToString| self.input.table_error(error.to_string());
        let file = self
            .file
            .try_clone()
            .map_err(|error| self.input.io(error))?;
        let facts = self.metadata.metadata().row_group(group);
        let shared = checks::pages(&file, facts, self.columns.leaves());
        let shared = shared.map_err(|error| wrong(&error))?;
        let rows = batch_rows(facts, &self.columns, shared);
        let mask = self.columns.mask(self.metadata.parquet_schema());
        let reader =
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, self.metadata.clone())
                .with_row_groups(vec![group])
                .with_projection(mask)
                .with_batch_size(rows)
                .build();
        reader.map_err(|error| wrong(&error))
    }

    /// Reads the next rows; `None` at the end.
    fn read(&mut self) -> Result<Option<RecordBatch>, CorpusError> {
        loop {
            if let Some(reader) = &mut self.reader {
                match reader.next().transpose() {
                    Ok(Some(batch)) if batch.num_rows() > 0 => return Ok(Some(batch)),
                    Ok(_) => self.reader = None,
                    Err(error) => {
                        let reason = format!("after row {}: {error}", self.row);
                        return Err(self.input.table_error(reason));
                    }
                }
            } else {
                let Some(group) = self.groups.next() else {
                    return Ok(None);
                };
                self.reader = Some(self.begin(group)?);
            }
        }
    }

    fn document(&self, batch: &RecordBatch, at: usize) -> Result<Document, CorpusError> {
        let find = |path: &[String]| {
            let (column, rest) = path.split_first()?;
            let cell = Cell::new(batch.column_by_name(column)?, at)?;
            cell.inside(rest)
        };
        let (field, _) = self.input.options.content_field();
        let wrong = |reason: String| {
            let reason = format!("column `{field}` {reason}");
            self.input.row_error(self.row, reason)
        };
        let cell = find(&self.columns.content).ok_or_else(|| wrong("is null".into()))?;
        if (cell.bytes()).is_some_and(|bytes| bytes.len() as u64 > self.input.most) {
            return Err(self.input.row_too_long(self.row));
        }
        let content = match self.input.options.messages_field {
            Some(_)
                if cell
                    .bytes()
                    .is_some_and(|bytes| bytes.len() > MOST_MESSAGES) =>
            {
                return Err(wrong(format!("is longer than {MOST_MESSAGES} bytes")));
            }
            Some(_) => {
                let messages = cell.json().and_then(Message::list);
                Content::Messages(messages.map_err(wrong)?)
            }
            None => {
                let text = std::str::from_utf8(cell.bytes().unwrap_or_default());
                let text = text.map_err(|error| {
                    wrong(format!("is not valid UTF-8: byte {}", error.valid_up_to()))
                })?;
                Content::Text(text.to_owned())
            }
        };
        let name = |path: &Option<Vec<String>>| find(path.as_ref()?)?.name();
        let names = Names {
            source: name(&self.columns.source),
            license: name(&self.columns.license),
            id: name(&self.columns.id),
        };
        Ok(self.input.document(content, self.row, names))
    }

    fn end(&mut self) {
        (self.groups, self.reader, self.batch) = (0..0, None, None);
    }
}

impl Iterator for Rows {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self
            .batch
            .as_ref()
            .is_none_or(|batch| self.at == batch.num_rows())
        {
            self.batch = None;
            // the parquet crate panics on some damaged files
            let read = guard::run(|| self.read());
            match read.unwrap_or_else(|| Err(not_as_it_says(&self.input))) {
                Ok(Some(batch)) => (self.batch, self.at) = (Some(batch), 0),
                Ok(None) => {
                    self.end();
                    return None;
                }
                Err(error) => {
                    self.end();
                    return Some(Err(error));
                }
            }
        }
        let batch = self.batch.take()?;
        let at = self.at;
        (self.at, self.row) = (at + 1, self.row + 1);
        let document = guard::run(|| self.document(&batch, at));
        self.batch = Some(batch);
        Some(document.unwrap_or_else(|| {
            self.end();
            Err(not_as_it_says(&self.input))
        }))
    }
}

/// Rows of a group to read at one go, so that they fill little memory.
fn batch_rows(group: &RowGroupMetaData, columns: &Columns, shared: u64) -> usize {
    let sizes = columns.leaves().map(|leaf| group.column(leaf));
    let bytes: u64 = sizes
        .map(|column| column.uncompressed_size().max(0) as u64)
        .sum();
    let a_row = bytes / (group.num_rows().max(1) as u64);
    let rows = BATCH_BYTES / a_row.max(1);
    rows.min(SHARED_BYTES / shared.max(1)).clamp(1, BATCH_ROWS) as usize
}

fn not_as_it_says(input: &Input) -> CorpusError {
    input.table_error("its contents contradict its header")
}
