//! Parquet files that were damaged, or made to fill the memory: an error or documents, never a panic.

use std::fs;

use neuroscope::corpus::{Corpus, CorpusOptions, Source};

use super::{error, expected, fixtures, options};

/// Reads what can be read; only so much memory is there that no claim may be believed.
fn try_to_read(path: &std::path::Path, named: &serde_json::Value) {
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
}
