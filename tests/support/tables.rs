//! Tables that tests change, and the manifests that belong to them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::builder::{ListBuilder, StringBuilder};
use arrow_schema::{DataType, Field};
use neuroscope::atlas::{Atlas, open_corpus};
use neuroscope::files::hash_file;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::json;

use super::{change_json, files};

/// The row groups of a table.
pub fn groups(path: &Path) -> Vec<RecordBatch> {
    let open = || ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let n = open().metadata().num_row_groups();
    let group = |at: usize| {
        let rows = open().metadata().row_group(at).num_rows() as usize;
        let reader = open()
            .with_row_groups(vec![at])
            .with_batch_size(rows.max(1));
        reader.build().unwrap().next().unwrap().unwrap()
    };
    (0..n).map(group).collect()
}

/// Writes a table, each list of batches as a row group.
pub fn write(path: &Path, groups: &[Vec<RecordBatch>]) {
    let schema = groups[0][0].schema();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), schema, None).unwrap();
    for group in groups {
        for batch in group {
            writer.write(batch).unwrap();
        }
        writer.flush().unwrap();
    }
    writer.close().unwrap();
}

/// Puts the length and the checksum of a file right in its folder's manifest.
pub fn put_right(path: &Path) {
    let (bytes, sha256) = hash_file(path).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap();
    change_json(&path.with_file_name("manifest.json"), |manifest| {
        let files = manifest["files"].as_array_mut().unwrap();
        let entry = files.iter_mut().find(|file| file["name"] == name).unwrap();
        (entry["bytes"], entry["sha256"]) = (json!(bytes), json!(sha256));
    });
}

/// Puts the texts of the tokens of examples into their table, row by row.
pub fn put_texts(path: &Path, texts: &[Option<Vec<String>>]) {
    let mut texts = texts.iter();
    let groups = groups(path).into_iter().map(|batch| {
        let schema = batch.schema();
        let item = Arc::new(Field::new("item", DataType::Utf8, false));
        let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item);
        for texts in texts.by_ref().take(batch.num_rows()) {
            for text in texts.iter().flatten() {
                lists.values().append_value(text);
            }
            lists.append(texts.is_some());
        }
        let mut columns = batch.columns().to_vec();
        columns[schema.index_of("tokens").unwrap()] = Arc::new(lists.finish());
        vec![RecordBatch::try_new(schema, columns).unwrap()]
    });
    write(path, &groups.collect::<Vec<_>>());
    put_right(path);
}

/// The texts of the tokens of a layer's examples, row by row, as the corpus of a data folder has them.
pub fn texts(data: &Path, layer: u32) -> Vec<Option<Vec<String>>> {
    let atlas = Atlas::open(&data.join("atlas")).unwrap();
    let corpus = open_corpus(&data.join("corpus"), &atlas.manifest().scan, 1 << 16).unwrap();
    let (windowing, vocabulary) = (atlas.windowing(), corpus.tokenizer.vocabulary());
    let neurons = atlas.layer(layer).unwrap().map(Result::unwrap);
    let rows = neurons.flat_map(|neuron| neuron.examples);
    let texts = rows.map(|row| {
        let window = &row.example.window;
        let positions = window.start..window.start + window.steps.len() as u32;
        let stored = |range| corpus.store.tokens(row.example.doc, range);
        let ids = windowing.tokens(positions, stored).unwrap().into_iter();
        Some(ids.map(|id| vocabulary.text(id).into_owned()).collect())
    });
    texts.collect()
}

/// Puts texts into all examples of an atlas, and takes its corpus and its parts away.
pub fn take_corpus(data: &Path) {
    let atlas = Atlas::open(&data.join("atlas")).unwrap();
    for layer in 0..atlas.manifest().scan.model.n_layers {
        let path = data.join(format!("atlas/layer-00{layer}.examples.parquet"));
        put_texts(&path, &texts(data, layer));
    }
    for folder in ["corpus", "parts"] {
        fs::remove_dir_all(data.join(folder)).unwrap();
    }
}

pub fn tables(data: &Path) -> Vec<PathBuf> {
    let names = files(&data.join("atlas")).into_iter().map(|(name, _)| name);
    let tables = names.filter(|name| name.ends_with(".parquet"));
    tables.map(|name| data.join("atlas").join(name)).collect()
}

/// Leaves columns out of a table.
pub fn leave_out(path: &Path, is_out: impl Fn(&str) -> bool) {
    let groups = groups(path).into_iter().map(|batch| {
        let schema = batch.schema();
        let kept = schema.fields().iter().enumerate();
        let kept = kept.filter(|(_, field)| !is_out(field.name()));
        vec![
            batch
                .project(&kept.map(|(at, _)| at).collect::<Vec<_>>())
                .unwrap(),
        ]
    });
    write(path, &groups.collect::<Vec<_>>());
    put_right(path);
}
