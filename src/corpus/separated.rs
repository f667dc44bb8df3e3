//! Documents of a table in text: `.csv` and `.tsv`.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use csv::ByteRecord;

use super::input::{Input, Names};
use super::packing::Reader;
use super::{Content, CorpusError, Document};

/// Bytes that are read ahead of the row that is read.
const BUFFER: u64 = 1 << 16;

/// The rows of a table.
pub(super) struct Separated {
    input: Input,
    reader: csv::Reader<Bounded>,
    left: Arc<AtomicU64>,
    ends_quoted: Arc<AtomicBool>,
    columns: Columns,
    row: u64,
    record: ByteRecord,
    is_done: bool,
}

/// Where in a row things stand.
struct Columns {
    text: usize,
    source: Option<usize>,
    license: Option<usize>,
    id: Option<usize>,
    n: usize,
}

/// A reader that fails after some bytes. A quote that is left open would make all that follows one field.
struct Bounded {
    inner: Reader,
    left: Arc<AtomicU64>,
    place: Place,
    delimiter: u8,
    /// Whether the end was reached within quotes.
    ends_quoted: Arc<AtomicBool>,
}

/// Where in a field a reader stands, by the rules of the csv crate, which does not tell.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Start,
    Plain,
    Quoted,
    /// Behind a quote that ends the field, or is the first of two.
    AfterQuote,
}

impl Place {
    fn after(self, byte: u8, delimiter: u8) -> Self {
        let is_end = byte == delimiter || matches!(byte, b'\n' | b'\r');
        match (self, byte) {
            (Self::Quoted, b'"') => Self::AfterQuote,
            (Self::Quoted, _) | (Self::Start | Self::AfterQuote, b'"') => Self::Quoted,
            _ if is_end => Self::Start,
            _ => Self::Plain,
        }
    }
}

impl Read for Bounded {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let left = self.left.load(Ordering::Relaxed);
        if left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let n = into.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let n = self.inner.read(&mut into[..n])?;
        self.left.store(left - n as u64, Ordering::Relaxed);
        let bytes = into[..n].iter();
        self.place = bytes.fold(self.place, |place, &byte| place.after(byte, self.delimiter));
        if n == 0 && self.place == Place::Quoted {
            self.ends_quoted.store(true, Ordering::Relaxed);
        }
        Ok(n)
    }
}

impl Separated {
    /// Reads the header.
    pub(super) fn open(input: Input, inner: Reader, delimiter: u8) -> Result<Self, CorpusError> {
        if input.options.messages_field.is_some() {
            return Err(CorpusError::NoMessages(input.path));
        }
        let left = Arc::new(AtomicU64::new(input.most));
        let ends_quoted = Arc::new(AtomicBool::new(false));
        let bounded = Bounded {
            inner,
            left: left.clone(),
            place: Place::Start,
            delimiter,
            ends_quoted: ends_quoted.clone(),
        };
        let mut reader = csv::ReaderBuilder::new()
            .delimiter(delimiter)
            .flexible(true)
            .buffer_capacity(BUFFER as usize)
            .from_reader(bounded);
        let header = match reader.byte_headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(error_in(&input, 0, error)),
        };
        if header.is_empty() {
            return Err(input.table_error("it is empty, but its first row should name the columns"));
        }
        let columns = Columns::find(&input, &header)?;
        Ok(Self {
            input,
            reader,
            left,
            ends_quoted,
            columns,
            row: 0,
            record: ByteRecord::new(),
            is_done: false,
        })
    }

    fn document(&self) -> Result<Document, CorpusError> {
        let (found, expected) = (self.record.len(), self.columns.n);
        if found != expected {
            let reason = format!("it has {found} fields, but the header has {expected}");
            return Err(self.input.row_error(self.row, reason));
        }
        let text = self.record.get(self.columns.text).unwrap_or_default();
        if text.len() as u64 > self.input.most {
            return Err(self.input.row_too_long(self.row));
        }
        let text = std::str::from_utf8(text).map_err(|error| {
            let (at, field) = (error.valid_up_to(), &self.input.options.text_field);
            let reason = format!("column `{field}` is not valid UTF-8: byte {at}");
            self.input.row_error(self.row, reason)
        })?;
        let name = |column: Option<usize>| {
            let name = String::from_utf8_lossy(self.record.get(column?)?);
            (!name.is_empty()).then(|| name.into_owned())
        };
        let names = Names {
            source: name(self.columns.source),
            license: name(self.columns.license),
            id: name(self.columns.id),
        };
        let content = Content::Text(text.to_owned());
        Ok(self.input.document(content, self.row, names))
    }
}

impl Columns {
    fn find(input: &Input, header: &ByteRecord) -> Result<Self, CorpusError> {
        let find = |name: &str| header.iter().position(|column| column == name.as_bytes());
        let missing = |name: &str, option| {
            let columns = header.iter();
            let columns = columns.map(|column| String::from_utf8_lossy(column).into_owned());
            input.no_column(name, option, columns.collect())
        };
        let options = &input.options;
        let text = find(&options.text_field);
        let source = find(&options.source_field);
        if source.is_none() && options.needs_source() {
            return Err(missing(&options.source_field, "--source-field"));
        }
        Ok(Self {
            text: text.ok_or_else(|| missing(&options.text_field, "--text-field"))?,
            source,
            license: find("license"),
            id: find("id"),
            n: header.len(),
        })
    }
}

fn error_in(input: &Input, row: u64, error: csv::Error) -> CorpusError {
    if !error.is_io_error() {
        return input.row_error(row, error.to_string());
    }
    let source = io::Error::from(error);
    match source.kind() {
        io::ErrorKind::FileTooLarge => input.row_too_long(row),
        _ => input.io(source),
    }
}

impl Iterator for Separated {
    type Item = Result<Document, CorpusError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_done {
            return None;
        }
        self.left
            .store(self.input.most.saturating_add(BUFFER), Ordering::Relaxed);
        self.row += 1;
        match self.reader.read_byte_record(&mut self.record) {
            // the end is not read before the last row, whose field takes all that follows the quote
            Ok(true) if self.ends_quoted.load(Ordering::Relaxed) => {
                self.is_done = true;
                let reason = "a quote that begins in it is not closed";
                Some(Err(self.input.row_error(self.row, reason)))
            }
            Ok(true) => Some(self.document()),
            Ok(false) => {
                self.is_done = true;
                None
            }
            // nothing says where the next one would begin
            Err(error) => {
                self.is_done = true;
                Some(Err(error_in(&self.input, self.row, error)))
            }
        }
    }
}
