//! Tables that tests change, and the manifests that belong to them.

use std::fs::File;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
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
