//! Documents of JSON: an object a line, or one list of objects.

use std::io::{BufRead, BufReader, Read};

use serde_json::Value;

use crate::mark;

use super::input::{Input, Names};
use super::line::{self, Elements};
use super::packing::{Reader, begins};
use super::{Content, CorpusError, Document, Documents, Message};

/// The longest messages of one row as JSON, in bytes. Values in memory are larger than what is written.
pub(super) const MOST_MESSAGES: usize = 32 << 20;

/// A JSON object a line.
pub(super) struct Lines {
    input: Input,
    reader: BufReader<Reader>,
    line: u64,
    /// Whether no line with something in it was read yet.
    is_first: bool,
    is_done: bool,
}

impl Lines {
    pub(super) fn new(input: Input, reader: Reader) -> Self {
        Self {
            input,
            reader: BufReader::with_capacity(1 << 18, reader),
            line: 0,
            is_first: true,
            is_done: false,
        }
    }

    /// An error behind which nothing can be read.
    fn fail(&mut self, source: std::io::Error) -> CorpusError {
        self.is_done = true;
        self.input.io(source)
    }

    /// The next line; of one that is too long, nothing is kept.
    fn read(&mut self) -> Option<Result<Vec<u8>, CorpusError>> {
        let most = self.input.most;
        let mut bytes = Vec::new();
        let mut part = self.reader.by_ref().take(most + 1);
        match part.read_until(b'\n', &mut bytes) {
            Ok(0) => return None,
            Ok(_) => self.line += 1,
            Err(source) => return Some(Err(self.fail(source))),
        }
        if bytes.len() as u64 <= most {
            return Some(Ok(bytes));
        }
        if bytes.last() != Some(&b'\n') {
            drop(bytes);
            if let Err(source) = self.reader.skip_until(b'\n') {
                return Some(Err(self.fail(source)));
            }
        }
        Some(Err(CorpusError::LineTooLong {
            path: self.input.path.clone(),
            line: self.line,
            most,
        }))
    }
}

impl Iterator for Lines {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_done {
            let bytes = match self.read()? {
                Ok(bytes) => bytes,
                Err(error) => return Some(Err(error)),
            };
            // where files were joined, a mark stands in the middle
            let bytes = mark::without(&bytes);
            if !bytes.trim_ascii().is_empty() {
                let is_first = std::mem::take(&mut self.is_first);
                let begins = bytes.trim_ascii();
                let is_document = is_first && (begins.starts_with(b"[") || begins == b"{");
                let document = document(&self.input, bytes, self.line);
                return Some(document.map_err(|wrong| match is_document {
                    // a list or an object over several lines begins with it
                    true => CorpusError::OneDocument(self.input.path.clone()),
                    false => wrong.in_line(&self.input, self.line),
                }));
            }
        }
        None
    }
}

/// The objects of one list, which is in memory as it is written.
struct List {
    input: Input,
    bytes: Vec<u8>,
    at: usize,
    row: u64,
    is_done: bool,
}

impl Iterator for List {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        let mut elements = Elements::go_on(&self.bytes, self.at, self.row > 0);
        self.row += 1;
        let element = elements.next().and_then(|element| match element {
            None => elements.end().map(|()| None),
            element => Ok(element),
        });
        self.at = elements.at();
        match element {
            Ok(Some(element)) => {
                let document = document(&self.input, element, self.row);
                Some(document.map_err(|wrong| wrong.in_row(&self.input, self.row)))
            }
            Ok(None) => {
                self.is_done = true;
                None
            }
            // nothing says where the next one would begin
            Err(reason) => {
                self.is_done = true;
                let reason = format!("not a list of JSON objects: {reason}");
                Some(Err(self.input.row_error(self.row, reason)))
            }
        }
    }
}

/// The documents of JSON that is one list, or else an object a line.
pub(super) fn json(input: Input, reader: Reader) -> Result<Documents, CorpusError> {
    let mut reader = BufReader::new(reader);
    let is_list = begins(&mut reader).map_err(|source| input.io(source))? == Some(b'[');
    if !is_list {
        return Ok(Box::new(Lines::new(input, Box::new(reader))));
    }
    let mut bytes = Vec::new();
    let read = reader.take(input.most + 1).read_to_end(&mut bytes);
    read.map_err(|source| input.io(source))?;
    if bytes.len() as u64 > input.most {
        return Err(CorpusError::FileTooLong {
            path: input.path,
            most: input.most,
        });
    }
    Ok(Box::new(List {
        input,
        at: 1,
        bytes,
        row: 0,
        is_done: false,
    }))
}

/// What is wrong with an object.
enum Wrong {
    Missing { field: String, option: &'static str },
    Other(String),
}

impl From<String> for Wrong {
    fn from(reason: String) -> Self {
        Self::Other(reason)
    }
}

impl Wrong {
    fn in_line(self, input: &Input, line: u64) -> CorpusError {
        let path = input.path.clone();
        match self {
            Self::Missing { field, option } => CorpusError::MissingField {
                path,
                place: format!("line {line}"),
                field,
                option,
            },
            Self::Other(reason) => CorpusError::Line { path, line, reason },
        }
    }

    fn in_row(self, input: &Input, row: u64) -> CorpusError {
        match self {
            Self::Missing { field, option } => CorpusError::MissingField {
                path: input.path.clone(),
                place: format!("row {row}"),
                field,
                option,
            },
            Self::Other(reason) => input.row_error(row, reason),
        }
    }
}

/// The document of an object.
fn document(input: &Input, object: &[u8], row: u64) -> Result<Document, Wrong> {
    let options = &input.options;
    let (field, option) = options.content_field();
    let fields = line::fields(object, [field, &options.source_field, "license", "id"]);
    let [value, source, license, id] =
        fields.map_err(|error| format!("not a JSON object: {error}"))?;
    let value = value.ok_or_else(|| Wrong::Missing {
        field: field.to_owned(),
        option,
    })?;
    let content = match options.messages_field {
        Some(_) => Content::Messages(messages(object, value, field)?),
        None => Content::Text(text(object, value, field)?),
    };
    let names = Names {
        source: source.and_then(name_in),
        license: license.and_then(name_in),
        id: id.and_then(name_in),
    };
    Ok(input.document(content, row, names))
}

fn text(object: &[u8], value: &[u8], field: &str) -> Result<String, String> {
    if !value.starts_with(b"\"") {
        return Err(format!("field `{field}` is not a string"));
    }
    parsed(object, value, field)
}

fn messages(object: &[u8], value: &[u8], field: &str) -> Result<Vec<Message>, String> {
    if value.len() > MOST_MESSAGES {
        return Err(format!(
            "field `{field}` is longer than {MOST_MESSAGES} bytes"
        ));
    }
    let value: Value = parsed(object, value, field)?;
    Message::list(value).map_err(|reason| format!("field `{field}` {reason}"))
}

fn parsed<'a, T: serde::Deserialize<'a>>(
    object: &[u8],
    value: &'a [u8],
    field: &str,
) -> Result<T, String> {
    let value = std::str::from_utf8(value).map_err(|error| {
        let at = line::offset(object, value) + error.valid_up_to();
        format!("not valid UTF-8: byte {at}")
    })?;
    serde_json::from_str(value).map_err(|error| {
        let error = error.to_string();
        let what = error.split(" at line").next().unwrap_or_default();
        format!("field `{field}` is not valid: {what}")
    })
}

/// What names a document: a string, or a number. Of a value that is neither, nothing is taken.
fn name_in(value: &[u8]) -> Option<String> {
    match value.starts_with(b"\"") {
        true => serde_json::from_slice(value).ok(),
        false if line::is_number(value) => {
            let number: Result<serde_json::Number, _> = serde_json::from_slice(value);
            let as_written = || String::from_utf8_lossy(value).into_owned();
            Some(number.map_or_else(|_| as_written(), |number| number.to_string()))
        }
        false => None,
    }
}
