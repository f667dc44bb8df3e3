//! A table on disk is one list of columns: its schema, its writer, its reader and its description follow from the list.
//!
//! Tables change by growing. A column that comes later says since which version it is there, and what holds without it;
//! a reader finds columns by their names, passes over those it does not know, and leaves a row's default where a later
//! column is absent. So a file of any version is read by every later one.

mod column;
mod reader;
mod writer;

pub use column::{Column, FIRST};
pub use reader::TableReader;
pub use writer::TableWriter;

use std::sync::Arc;

use arrow_array::{Array, RecordBatch};
use arrow_schema::{ArrowError, DataType, Schema};

/// A row of a table. Its default is a row of which nothing is known.
pub trait Row: Clone + Default {
    /// What the row is about, for messages: `neuron 12`.
    fn place(&self) -> String;
}

/// The columns of a table.
pub struct Table<R> {
    columns: Vec<Column<R>>,
}

impl<R: Row> Table<R> {
    /// A table of these columns. Those that name a row come first.
    pub fn new(columns: Vec<Column<R>>) -> Self {
        Self { columns }
    }

    /// The columns as lines of a table in Markdown.
    pub fn lines(&self) -> Vec<String> {
        self.columns.iter().map(Column::line).collect()
    }

    /// The columns.
    pub fn columns(&self) -> &[Column<R>] {
        &self.columns
    }

    /// The schema of files that are written now.
    pub fn schema(&self) -> Arc<Schema> {
        Arc::new(Schema::new(
            self.columns.iter().map(Column::field).collect::<Vec<_>>(),
        ))
    }

    /// Rows as columns.
    pub fn write(&self, rows: &[R]) -> Result<RecordBatch, ArrowError> {
        let columns = self.columns.iter().map(|column| column.write(rows));
        RecordBatch::try_new(self.schema(), columns.collect())
    }

    /// Rows from columns, found by name. The error says what a row cannot hold.
    pub fn read(&self, batch: &RecordBatch) -> Result<Vec<R>, String> {
        let mut rows = vec![R::default(); batch.num_rows()];
        for column in &self.columns {
            match batch.column_by_name(column.name()) {
                Some(values) => column.read(values, &mut rows)?,
                None => column.read_absent(&mut rows)?,
            }
        }
        Ok(rows)
    }

    /// Checks that a file's columns can be read as this table.
    pub fn check(&self, found: &Schema) -> Result<(), String> {
        for column in &self.columns {
            match found.field_with_name(column.name()) {
                Ok(field) => column.check_type(field.data_type())?,
                Err(_) => column.check_absent()?,
            }
        }
        Ok(())
    }

    /// Names of the columns in which two rows differ.
    pub fn different(&self, a: &R, b: &R) -> Vec<String> {
        let rows = [a.clone(), b.clone()];
        let is_different = |column: &&Column<R>| {
            let values = column.write(&rows);
            values.slice(0, 1) != values.slice(1, 1)
        };
        let different = self.columns.iter().filter(is_different);
        different.map(|column| column.name().to_owned()).collect()
    }
}

/// The name of a type in messages and docs, such as `list of u8`.
pub(super) fn type_name(data_type: &DataType) -> String {
    match data_type {
        DataType::UInt8 => "u8".into(),
        DataType::Int8 => "i8".into(),
        DataType::UInt32 => "u32".into(),
        DataType::UInt64 => "u64".into(),
        DataType::Float32 => "f32".into(),
        DataType::Float64 => "f64".into(),
        DataType::Boolean => "bool".into(),
        DataType::Utf8 => "string".into(),
        DataType::List(item) => format!("list of {}", type_name(item.data_type())),
        DataType::Struct(fields) => {
            let field = |field: &Arc<arrow_schema::Field>| {
                format!("`{}` {}", field.name(), type_name(field.data_type()))
            };
            let fields: Vec<_> = fields.iter().map(field).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}
