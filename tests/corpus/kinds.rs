//! Tables in text, JSON, Markdown: by their endings, or as an option says.

use std::fs;
use std::path::PathBuf;

use neuroscope::corpus::{Corpus, CorpusOptions, Source};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{as_json, error, fixtures, options, read};

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }
}

/// Content and id of each document.
fn contents(path: &std::path::Path, named: Value) -> Vec<Value> {
    let documents = read(path, options(named)).unwrap();
    let pair = |found: Value| json!([found["content"], found["id"]]);
    documents.iter().map(as_json).map(pair).collect()
}

const CSV: &str = "id,text,source\r\n7,\"a line\nand \"\"another\"\"\",web\r\n,plain,\r\n";

#[test]
fn tables_in_text() {
    let files = Files::new();
    let path = files.write("a.csv", CSV);
    let found: Vec<Value> = read(&path, CorpusOptions::default())
        .unwrap()
        .iter()
        .map(as_json)
        .collect();
    let expected = [
        json!({"content": "a line\nand \"another\"", "source": "web", "license": "", "id": "7"}),
        json!({"content": "plain", "source": "a.csv", "license": "", "id": "a.csv:2"}),
    ];
    assert_eq!(found, expected);
    let as_tsv = CSV.replace(',', "\t");
    let packed = zstd::encode_all(as_tsv.as_bytes(), 1).unwrap();
    let texts = |path: PathBuf| {
        contents(&path, json!({}))
            .into_iter()
            .map(|pair| pair[0].clone())
    };
    let expected: Vec<Value> = found.iter().map(|found| found["content"].clone()).collect();
    assert!(texts(files.write("a.tsv", as_tsv)).eq(expected.clone()));
    assert!(texts(files.write("a.tsv.zst", packed)).eq(expected.clone()));
    let dat = files.write("a.dat", CSV);
    let found = contents(&dat, json!({"format": "csv", "text_field": "id"}));
    assert_eq!(found[0][0], "7");

    // rows that are wrong have their number, and others follow them
    let path = files.write("b.csv", b"text\ngood\nbad,row\n\xff\nlast\n");
    let said = error(&path, CorpusOptions::default());
    assert!(
        said.contains("row 2: it has 2 fields, but the header has 1"),
        "{said}"
    );
    let found = contents(&path, json!({"skip_invalid": true}));
    assert_eq!(
        found,
        [json!(["good", "b.csv:1"]), json!(["last", "b.csv:4"])]
    );
    let said = error(&files.write("empty.csv", ""), CorpusOptions::default());
    assert!(said.contains("it is empty"), "{said}");
}

#[test]
fn what_cannot_be_read_is_said_before_anything_is() {
    let files = Files::new();
    let good = files.write("good.txt", "the text");
    let check = |name: &str, bytes: &[u8], named: Value, parts: &[&str]| {
        let path = files.write(name, bytes);
        // a text in front is read first, unless it cannot be what is asked for
        let is_text = named.get("messages_field").is_none();
        let front = is_text.then(|| Source::Path(good.clone()));
        let sources: Vec<_> = front.into_iter().chain([Source::Path(path)]).collect();
        let opened = Corpus::open(&sources, options(named)).err();
        let error = opened.unwrap_or_else(|| panic!("{name} can be opened"));
        let hint = neuroscope::hint::Hint::hint(&error).unwrap_or_default();
        let said = format!("{error}\nhint: {hint}");
        parts
            .iter()
            .for_each(|part| assert!(said.contains(part), "{part}: {said}"));
    };
    let parquet = fs::read(fixtures().join("duckdb_gzip_struct.parquet")).unwrap();
    let columns = "its columns are `doc.body.text`, `doc.body.n`, `doc.from`, `id`";
    let nearest = "did you mean `--text-field doc.body.text`?";
    check(
        "a.parquet",
        &parquet,
        json!({}),
        &["a.parquet` has no column `text`", columns, nearest],
    );
    let lacks = json!({"text_field": "doc.body.text", "source_field": "doc.fron"});
    check(
        "a.parquet",
        &parquet,
        lacks,
        &["no column `doc.fron`", "`--source-field doc.from`"],
    );
    let number = json!({"text_field": "doc.body.n"});
    check(
        "a.parquet",
        &parquet,
        number,
        &["`doc.body.n` of", "holds numbers; expected text"],
    );
    let chat = json!({"messages_field": "doc"});
    check(
        "a.parquet",
        &parquet,
        chat.clone(),
        &["holds structs; expected a list of messages"],
    );
    check(
        "a.csv",
        CSV.as_bytes(),
        json!({"text_field": "txt"}),
        &[
            "a.csv` has no column `txt`; its columns are `id`, `text`, `source`",
            "did you mean `--text-field text`?",
        ],
    );
    check(
        "a.csv",
        CSV.as_bytes(),
        chat.clone(),
        &["cannot hold conversations", ".jsonl"],
    );
    check("a.md", b"text", chat, &["cannot hold conversations"]);
    check(
        "cut.parquet",
        &parquet[..parquet.len() / 2],
        json!({}),
        &["no footer; it may have been cut off"],
    );
    check("b.parquet", b"", json!({}), &["b.parquet`: it is empty"]);
    check(
        "b.parquet",
        b"{}",
        json!({}),
        &["it does not begin like a Parquet file"],
    );
    let packed = zstd::encode_all(&parquet[..], 1).unwrap();
    check(
        "a.parquet.zst",
        &packed,
        json!({}),
        &["is a compressed Parquet file", "decompress it"],
    );
    check(
        "a.dat",
        b"text",
        json!({}),
        &["a.dat` is not .jsonl", "--format"],
    );
    check(
        "a.parquet",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
        json!({}),
        &["git lfs pull"],
    );
}

#[test]
fn json_is_lines_or_one_list() {
    let files = Files::new();
    let lines = "{\"text\": \"a\"}\n{\"text\": \"b\", \"id\": 3}\n";
    let list = "\n [ {\"text\": \"a\"},\n {\"text\": \"b\", \"id\": 3, \"odd\": NaN} ]\n";
    let expected = [json!(["a", "a.json:1"]), json!(["b", "3"])];
    for text in [lines, list] {
        assert_eq!(contents(&files.write("a.json", text), json!({})), expected);
    }
    assert!(contents(&files.write("a.json", "[]"), json!({})).is_empty());
    let bad = files.write(
        "b.json",
        "[{\"text\": \"a\"}, {\"txt\": 1}, {\"text\": \"c\"}",
    );
    let said = error(&bad, CorpusOptions::default());
    assert!(said.contains("row 2: missing field `text`"), "{said}");
    let found = contents(&bad, json!({"skip_invalid": true}));
    assert_eq!(found, [json!(["a", "b.json:1"]), json!(["c", "b.json:3"])]);
    // a list is not lines, where lines are meant
    let named = json!({"format": "jsonl"});
    for path in [files.write("a.jsonl", list), files.write("a.json", list)] {
        let said = error(&path, options(named.clone()));
        assert!(said.contains("jq -c"), "{said}");
    }
    // in a folder, JSON mostly describes what is beside it
    let folder = Source::Path(files.0.path().to_owned());
    files.write("note.md", "# A note");
    files.write("a.jsonl", lines);
    let corpus = Corpus::open(&[folder], CorpusOptions::default()).unwrap();
    assert_eq!(corpus.left_out().words().unwrap(), "2 .json");
    assert_eq!(corpus.count(), 3);
}

#[test]
fn fields_inside_others() {
    let files = Files::new();
    let line = r#"{"data": {"text": "inside"}, "choices": [{"text": "x"}], "meta": {"pile_set_name": "Pile-CC"}}"#;
    let path = files.write("a.jsonl", line);
    for (field, expected) in [("data.text", "inside"), ("choices.0.text", "x")] {
        let named = json!({"text_field": field, "source_field": "meta.pile_set_name"});
        let found = as_json(&read(&path, options(named)).unwrap()[0]);
        assert_eq!(
            (&found["content"], &found["source"]),
            (&json!(expected), &json!("Pile-CC"))
        );
    }
    let said = error(&path, options(json!({"text_field": "data.txt"})));
    assert!(said.contains("line 1: missing field `data.txt`"), "{said}");
}

#[test]
fn conversations_in_lines() {
    let files = Files::new();
    let lines = concat!(
        r#"{"chat": {"turns": [{"role": "user", "content": "a", "x": null}]}}"#,
        "\n",
        r#"{"chat": {"turns": "[{\"from\": \"gpt\", \"value\": \"b\"}]"}, "id": 5}"#,
        "\n",
        r#"{"chat": {"turns": [{"content": "a"}]}}"#,
        "\n",
    );
    let path = files.write("a.jsonl", lines);
    let found = contents(
        &path,
        json!({"messages_field": "chat.turns", "skip_invalid": true}),
    );
    let expected = [
        json!([[{"role": "user", "content": "a", "x": null}], "a.jsonl:1"]),
        json!([[{"role": "assistant", "content": "b"}], "5"]),
    ];
    assert_eq!(found, expected);
    let said = error(&path, options(json!({"messages_field": "chat.turns"})));
    assert!(
        said.contains("line 3: field `chat.turns` holds message 1: it has no `role`"),
        "{said}"
    );
}
