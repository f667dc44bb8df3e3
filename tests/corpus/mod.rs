//! Files of many kinds and programs, read as documents.

mod damaged;
mod kinds;
mod stdin;

use std::fs;
use std::path::{Path, PathBuf};

use neuroscope::corpus::{Content, Corpus, CorpusError, CorpusOptions, Document, Source};
use neuroscope::hint::Hint;
use serde_json::{Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The files beside this one, with what pyarrow reads in them: `make.py`.
fn expected() -> serde_json::Map<String, Value> {
    let text = fs::read_to_string(fixtures().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Options, of which only those are named that are not the default.
fn options(named: Value) -> CorpusOptions {
    serde_json::from_value(named).unwrap()
}

fn read(path: &Path, options: CorpusOptions) -> Result<Vec<Document>, CorpusError> {
    Corpus::open(&[Source::Path(path.to_owned())], options)?.collect()
}

/// The error of a file, with its hint.
fn error(path: &Path, options: CorpusOptions) -> String {
    let error = read(path, options).unwrap_err();
    format!("{error}\nhint: {}", error.hint().unwrap_or_default())
}

fn as_json(document: &Document) -> Value {
    let content = match &document.content {
        Content::Text(text) => json!(text),
        Content::Messages(messages) => json!(messages),
    };
    let Document {
        source,
        license,
        id,
        ..
    } = document;
    json!({"content": content, "source": source, "license": license, "id": id})
}

#[test]
fn parquet_is_read_as_pyarrow_reads_it() {
    let files = expected();
    assert_eq!(files.len(), 25);
    for (name, file) in files {
        let path = fixtures().join(&name);
        let mut options = options(file["options"].clone());
        options.skip_invalid = true;
        let mut corpus = Corpus::open(&[Source::Path(path.clone())], options.clone()).unwrap();
        let found: Vec<Value> = corpus
            .by_ref()
            .map(|found| as_json(&found.unwrap()))
            .collect();
        let rows = file["documents"].as_array().unwrap();
        let expected: Vec<&Value> = rows.iter().filter(|row| !row.is_null()).collect();
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{name}");
        let n_null = rows.len() - expected.len();
        assert_eq!(corpus.skipped(), n_null as u64, "{name}");
        // without --skip-invalid, the first row that is not a document ends the reading
        if let Some(first) = rows.iter().position(Value::is_null) {
            options.skip_invalid = false;
            let error = error(&path, options);
            assert!(
                error.contains(&format!("{name}` row {}: ", first + 1)),
                "{error}"
            );
            assert!(error.contains("--skip-invalid"), "{error}");
        }
    }
}
