//! Parquet files that were damaged, or made to fill the memory: an error or documents, never a panic.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, DictionaryArray, Int32Array, ListArray, RecordBatch, StringArray, StructArray,
    new_null_array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{DataType, Field, Fields};
use neuroscope::corpus::{Corpus, CorpusOptions, Source};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::{error, expected, fixtures, options};

/// Reads what can be read; only so much memory is there that no claim may be believed.
fn try_to_read(path: &Path, named: &serde_json::Value) {
    for skip_invalid in [false, true] {
        let mut options = options(named.clone());
        options.skip_invalid = skip_invalid;
        if let Ok(corpus) = Corpus::open(&[Source::Path(path.to_owned())], options) {
            corpus.take(2000).for_each(drop);
        }
    }
}

#[test]
fn damaged_parquet_is_an_error_or_documents() {
    let dir = tempfile::tempdir().unwrap();
    for (at, (name, file)) in expected().into_iter().enumerate() {
        let right = fs::read(fixtures().join(&name)).unwrap();
        let path = dir.path().join(&name);
        // each file has other places, which are spread over it
        for place in (at % 7..right.len()).step_by(7) {
            let mut bytes = right.clone();
            bytes[place] ^= [0x01, 0x80, 0xff, 0x10][(place + at) % 4];
            fs::write(&path, &bytes).unwrap();
            try_to_read(&path, &file["options"]);
        }
        for place in (0..right.len()).step_by(right.len() / 16) {
            fs::write(&path, &right[..place]).unwrap();
            try_to_read(&path, &file["options"]);
            // cut out, the rest as it was
            let rest = right.get(place + 5..).unwrap_or_default();
            fs::write(&path, [&right[..place], rest].concat()).unwrap();
            try_to_read(&path, &file["options"]);
        }
    }
}

/// A footer of one column, which is so many groups deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut schema = Vec::new();
    for _ in 0..depth {
        // 3: optional, 4: name "a", 5: one child
        schema.extend([0x35, 0x02, 0x18, 0x01, b'a', 0x15, 0x02, 0x00]);
    }
    // 1: BYTE_ARRAY, 3: optional, 4: name "a"
    schema.extend([0x15, 0x0c, 0x25, 0x02, 0x18, 0x01, b'a', 0x00]);
    let mut n = Vec::new();
    let mut left = depth + 1;
    while left >= 0x80 {
        n.push(left as u8 | 0x80);
        left >>= 7;
    }
    n.push(left as u8);
    // 1: version 1, 2: the schema, 3: no rows, 4: no row groups
    let footer = [
        &[0x15, 0x02, 0x19, 0xfc],
        &n[..],
        &schema,
        &[0x16, 0x00, 0x19, 0x0c, 0x00],
    ]
    .concat();
    let len = (footer.len() as u32).to_le_bytes();
    [b"PAR1", &footer[..], &len, b"PAR1"].concat()
}

#[test]
fn claims_are_not_believed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    fs::write(&path, nested(100_000)).unwrap();
    let said = error(&path, CorpusOptions::default());
    assert!(said.contains("nested more than"), "{said}");
    fs::write(&path, nested(3)).unwrap();
    let said = error(&path, CorpusOptions::default());
    assert!(said.contains("no column `text`"), "{said}");

    // a page that becomes thousands of times as long
    let text: ArrayRef = Arc::new(StringArray::from(vec!["a".repeat(64 << 20)]));
    write(&path, "text", text);
    let said = error(&path, CorpusOptions::default());
    assert!(said.contains("claims to hold"), "{said}");
    // one row with millions of messages that are null
    let n = 6 << 20;
    let fields = Fields::from(vec![Field::new("role", DataType::Utf8, true)]);
    let element = Arc::new(Field::new("element", DataType::Struct(fields), true));
    let values = new_null_array(element.data_type(), n);
    assert!(values.as_any().is::<StructArray>());
    let offsets = OffsetBuffer::from_lengths([n]);
    let messages = ListArray::new(element, offsets, values, None);
    write(&path, "messages", Arc::new(messages));
    let said = error(&path, options(json!({"messages_field": "messages"})));
    assert!(said.contains("values in 1 rows"), "{said}");
}

fn write(path: &Path, column: &str, values: ArrayRef) {
    let batch = RecordBatch::try_from_iter([(column, values)]).unwrap();
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .build();
    let file = File::create(path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// A text of a dictionary is in memory once, however often it is repeated: these would be 3 GB.
#[test]
fn a_text_that_is_repeated_takes_no_more_memory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.parquet");
    let keys = Int32Array::from(vec![0; 3000]);
    let text = "one long text ".repeat(70_000);
    let values = Arc::new(StringArray::from(vec![text.clone()]));
    write(
        &path,
        "text",
        Arc::new(DictionaryArray::<Int32Type>::new(keys, values)),
    );
    let corpus = Corpus::open(&[Source::Path(path)], CorpusOptions::default()).unwrap();
    for document in corpus.take(30) {
        assert!(document.unwrap().content.text() == Some(&text));
    }
}
