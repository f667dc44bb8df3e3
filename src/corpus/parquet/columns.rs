//! The columns of a Parquet file that are read, and the types that they are read as.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Fields};
use parquet::arrow::ProjectionMask;
use parquet::schema::types::SchemaDescriptor;

use crate::corpus::CorpusError;
use crate::corpus::input::Input;

/// Paths to what is read, each from a column inwards.
#[derive(Clone)]
pub(super) struct Columns {
    pub(super) content: Vec<String>,
    pub(super) source: Option<Vec<String>>,
    pub(super) license: Option<Vec<String>>,
    pub(super) id: Option<Vec<String>>,
    /// Indices of the columns of Parquet that hold it.
    leaves: Vec<usize>,
}

impl Columns {
    /// Finds the columns, and checks the types of what they hold.
    pub(super) fn find(
        input: &Input,
        fields: &Fields,
        schema: &SchemaDescriptor,
    ) -> Result<Self, CorpusError> {
        let options = &input.options;
        let missing = |name: &str, option| {
            let mut names = Vec::new();
            fields.iter().for_each(|field| list(field, "", &mut names));
            input.no_column(name, option, names)
        };
        let (name, option) = options.content_field();
        let content = path(fields, name).ok_or_else(|| missing(name, option))?;
        let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::Binary);
        let found = type_at(fields, &content);
        let (is_right, expected) = match options.messages_field {
            None => (found.is_some_and(is_text), "text"),
            Some(_) => {
                let is_list = |found: &DataType| match found {
                    DataType::List(element) => matches!(element.data_type(), DataType::Struct(_)),
                    other => is_text(other),
                };
                (found.is_some_and(is_list), "a list of messages")
            }
        };
        if !is_right {
            return Err(CorpusError::WrongColumn {
                path: input.path.clone(),
                column: name.to_owned(),
                found: found.map_or("nothing", word),
                expected,
            });
        }
        let source = path(fields, &options.source_field);
        if source.is_none() && options.needs_source() {
            return Err(missing(&options.source_field, "--source-field"));
        }
        let is_name = |path: &Vec<String>| {
            type_at(fields, path)
                .is_some_and(|found| is_text(found) || found.is_integer() || found.is_floating())
        };
        let named = |name: &str| path(fields, name).filter(is_name);
        let mut columns = Self {
            content,
            source: source.filter(is_name),
            license: named("license"),
            id: named("id"),
            leaves: Vec::new(),
        };
        let prefixes: Vec<_> = columns
            .paths()
            .map(|path| in_structs(fields, path))
            .collect();
        let is_read = |leaf: &usize| {
            let column = schema.column(*leaf);
            let parts = column.path().parts();
            prefixes.iter().any(|prefix| parts.starts_with(prefix))
        };
        columns.leaves = (0..schema.num_columns()).filter(is_read).collect();
        Ok(columns)
    }

    fn paths(&self) -> impl Iterator<Item = &[String]> {
        let names = [&self.source, &self.license, &self.id];
        let names = names.into_iter().flatten();
        std::iter::once(&self.content)
            .chain(names)
            .map(Vec::as_slice)
    }

    /// Indices of the columns of Parquet that are read.
    pub(super) fn leaves(&self) -> impl Iterator<Item = usize> + Clone {
        self.leaves.iter().copied()
    }

    pub(super) fn mask(&self, schema: &SchemaDescriptor) -> ProjectionMask {
        ProjectionMask::leaves(schema, self.leaves())
    }

    /// The fields of a file, with texts as views: these share the memory of their page, however often a text is
    /// repeated.
    pub(super) fn viewed(&self, fields: &Fields) -> Fields {
        let is_read = |field: &FieldRef| self.paths().any(|path| path[0] == *field.name());
        let field = |field: &FieldRef| match is_read(field) {
            true => viewed(field),
            false => field.clone(),
        };
        fields.iter().map(field).collect()
    }
}

fn viewed(field: &FieldRef) -> FieldRef {
    let data_type = match field.data_type() {
        DataType::Utf8 => DataType::Utf8View,
        DataType::Binary => DataType::BinaryView,
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(viewed).collect()),
        DataType::List(element) => DataType::List(viewed(element)),
        DataType::Map(entries, is_sorted) => DataType::Map(viewed(entries), *is_sorted),
        _ => return field.clone(),
    };
    Arc::new(Field::clone(field).with_data_type(data_type))
}

/// The path to a field: one step if a field has the whole name, else steps between the dots.
fn path(fields: &Fields, name: &str) -> Option<Vec<String>> {
    if fields.find(name).is_some() {
        return Some(vec![name.to_owned()]);
    }
    let (step, rest) = name.split_once('.')?;
    let (_, field) = fields.find(step)?;
    let mut steps = vec![step.to_owned()];
    steps.extend(path_inside(field.data_type(), rest)?);
    Some(steps)
}

fn path_inside(data_type: &DataType, name: &str) -> Option<Vec<String>> {
    match data_type {
        DataType::Struct(fields) => path(fields, name),
        DataType::List(element) => {
            let (step, rest) = name.split_once('.').unwrap_or((name, ""));
            step.parse::<usize>().ok()?;
            let mut steps = vec![step.to_owned()];
            if !rest.is_empty() {
                steps.extend(path_inside(element.data_type(), rest)?);
            }
            Some(steps)
        }
        _ => None,
    }
}

/// The type of what a path leads to.
fn type_at<'a>(fields: &'a Fields, path: &[String]) -> Option<&'a DataType> {
    let (first, rest) = path.split_first()?;
    let mut found = fields.find(first)?.1.data_type();
    for step in rest {
        found = match found {
            DataType::Struct(fields) => fields.find(step)?.1.data_type(),
            DataType::List(element) => element.data_type(),
            _ => return None,
        };
    }
    Some(found)
}

/// The beginning of a path that leads through structs only: Parquet's own paths begin in the same way.
fn in_structs(fields: &Fields, path: &[String]) -> Vec<String> {
    let n = (1..=path.len()).take_while(|&n| {
        n == 1 || matches!(type_at(fields, &path[..n - 1]), Some(DataType::Struct(_)))
    });
    path[..n.count()].to_vec()
}

/// Lists the names of a field, and of those inside it if it is a struct.
fn list(field: &Field, prefix: &str, names: &mut Vec<String>) {
    let name = format!("{prefix}{}", field.name());
    match field.data_type() {
        DataType::Struct(fields) => {
            let prefix = format!("{name}.");
            fields.iter().for_each(|field| list(field, &prefix, names));
        }
        _ => names.push(name),
    }
}

/// What a type is called in an error.
fn word(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Utf8 => "text",
        DataType::Binary => "bytes",
        DataType::Boolean => "true and false",
        DataType::Struct(_) => "structs",
        DataType::List(_) => "lists",
        DataType::Map(..) => "maps",
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => "times",
        found if found.is_numeric() => "numbers",
        _ => "values of another type",
    }
}
