//! What `verify` finds: single changes to an atlas of which all checksums are put right. Every change is drawn with a seed.
//!
//! `NEUROSCOPE_LONG=1 cargo test --test main -- verify:: --nocapture` makes 200 changes to each of several atlases and prints
//! what was found, by kind; without it some are made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{Array, RecordBatch};
use neuroscope::load::ModelFiles;
use neuroscope::verify::verify;
use serde_json::{Value, json};

use super::{found, options, project};
use crate::support::tables::{groups, put_right, tables, write};
use crate::support::{change_json, data_command, fail, files, model, succeed};

/// Numbers that look random and are always the same.
struct Draw(u64);

impl Draw {
    fn next(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) % n as u64) as usize
    }

    fn of<'a, T>(&mut self, some: &'a [T]) -> &'a T {
        &some[self.next(some.len())]
    }
}

/// Puts another row's value into a column; says where.
fn change_value(data: &Path, draw: &mut Draw) -> String {
    loop {
        let path = draw.of(&tables(data)).clone();
        let groups = groups(&path);
        let column = draw.next(groups[0].num_columns());
        let place = |mut row: usize| {
            let at = groups.iter().position(|group| {
                let here = row < group.num_rows();
                row -= if here { 0 } else { group.num_rows() };
                here
            });
            (at.unwrap(), row)
        };
        let n_rows = groups.iter().map(RecordBatch::num_rows).sum();
        let (group, row) = place(draw.next(n_rows));
        let (other_group, other) = place(draw.next(n_rows));
        let value = groups[other_group].column(column).slice(other, 1);
        if *groups[group].column(column).slice(row, 1) == *value {
            continue;
        }
        let batch = &groups[group];
        let mut columns = batch.slice(row, 1).columns().to_vec();
        columns[column] = value;
        let changed = RecordBatch::try_new(batch.schema(), columns).unwrap();
        let after = batch.slice(row + 1, batch.num_rows() - row - 1);
        let mut all: Vec<_> = groups.iter().map(|group| vec![group.clone()]).collect();
        all[group] = vec![batch.slice(0, row), changed, after];
        write(&path, &all);
        put_right(&path);
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        return format!("{name} {}", batch.schema().field(column).name());
    }
}

/// Takes a row out of a list, puts it there twice, or lets two rows change places.
fn change_list(data: &Path, draw: &mut Draw) -> String {
    let examples = tables(data)
        .into_iter()
        .filter(|path| path.to_str().unwrap().contains("examples"));
    let path = draw.of(&examples.collect::<Vec<_>>()).clone();
    let batch = groups(&path).remove(0);
    let row = draw.next(batch.num_rows() - 1);
    let one = |at: usize| batch.slice(at, 1);
    let (before, after) = (
        batch.slice(0, row),
        batch.slice(row + 2, batch.num_rows() - row - 2),
    );
    let (what, middle) = match draw.next(3) {
        0 => ("out", vec![one(row + 1)]),
        1 => ("twice", vec![one(row), one(row), one(row + 1)]),
        _ => ("places", vec![one(row + 1), one(row)]),
    };
    let mut group = vec![before];
    group.extend(middle);
    group.push(after);
    write(&path, &[group]);
    put_right(&path);
    format!("row {row} {what}")
}

/// Lets two neurons change one rank, which leaves all ranks there once.
fn change_rank(data: &Path, draw: &mut Draw) -> String {
    let path = data.join("atlas/neurons.parquet");
    loop {
        let mut groups = groups(&path);
        let group = draw.next(groups.len());
        let batch = groups[group].clone();
        let schema = batch.schema();
        let fields = schema.fields().iter().enumerate();
        let ranks = fields.filter(|(_, field)| field.name().contains("_rank_in_"));
        let ranks: Vec<usize> = ranks.map(|(at, _)| at).collect();
        let column = *draw.of(&ranks);
        let (a, b) = (draw.next(batch.num_rows()), draw.next(batch.num_rows()));
        let values = batch.column(column).as_primitive::<UInt32Type>();
        let mut values: Vec<Option<u32>> = values.iter().collect();
        if values[a] == values[b] {
            continue;
        }
        values.swap(a, b);
        let mut columns = batch.columns().to_vec();
        columns[column] = Arc::new(arrow_array::UInt32Array::from(values));
        groups[group] = RecordBatch::try_new(schema.clone(), columns).unwrap();
        let groups: Vec<_> = groups.into_iter().map(|group| vec![group]).collect();
        write(&path, &groups);
        put_right(&path);
        return format!("{} {a} {b}", schema.field(column).name());
    }
}

/// The places of all plain values of a document, without those of lists of files and texts.
fn leaves(path: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| {
            leaves(&format!("{path}/{}", key.replace('/', "~1")), value, out)
        }),
        Value::Array(list) => (0..)
            .zip(list)
            .for_each(|(at, value): (usize, _)| leaves(&format!("{path}/{at}"), value, out)),
        _ => out.push(path.to_owned()),
    }
}

fn other_value(value: &Value, draw: &mut Draw) -> Value {
    match value {
        Value::Bool(value) => json!(!value),
        Value::Number(value) => match value.as_u64() {
            Some(value) => json!(value + 1 + draw.next(3) as u64),
            None => json!(value.as_f64().unwrap() * 1.5 + 0.25),
        },
        Value::String(value) => {
            let mut text: Vec<char> = value.chars().collect();
            match text.first_mut() {
                Some(first) => *first = if *first == 'x' { 'y' } else { 'x' },
                None => text.push('x'),
            }
            json!(text.into_iter().collect::<String>())
        }
        _ => json!(1),
    }
}

/// Changes what a manifest says of the scan.
fn change_manifest(data: &Path, draw: &mut Draw) -> String {
    let mut folders = vec!["", "atlas", "corpus"];
    if data.join("parts").is_dir() {
        folders.push("parts/part-00000-of-00002");
    }
    let path = data.join(draw.of(&folders)).join("manifest.json");
    let mut place = String::new();
    change_json(&path, |manifest| {
        let mut all = Vec::new();
        leaves("", manifest, &mut all);
        // what was read where and by what is told nowhere else
        let told_once = ["/files/", "/inputs/", "/options/"];
        all.retain(|place| !told_once.iter().any(|start| place.starts_with(start)));
        place = draw.of(&all).clone();
        let value = manifest.pointer_mut(&place).unwrap();
        *value = other_value(value, draw);
    });
    format!("{} {place}", path.strip_prefix(data).unwrap().display())
}

/// Changes which files there are, or which are named.
fn change_files(data: &Path, draw: &mut Draw) -> String {
    let folders = ["atlas", "corpus"];
    let folder = data.join(draw.of(&folders));
    let manifest = folder.join("manifest.json");
    let what = *draw.of(&["empty", "unnamed", "another", "unlisted", "renamed"]);
    match what {
        "empty" => change_json(&manifest, |manifest| manifest["files"] = json!([])),
        "unnamed" => change_json(&manifest, |manifest| {
            let files = manifest["files"].as_array_mut().unwrap();
            files.remove(draw.next(files.len()));
        }),
        "another" => {
            fs::write(folder.join("layer-099.stats.parquet"), "another").unwrap();
            change_json(&manifest, |manifest| {
                let name = "layer-099.stats.parquet";
                let entry = json!({"name": name, "bytes": 0, "sha256": ""});
                manifest["files"].as_array_mut().unwrap().push(entry);
            });
            put_right(&folder.join("layer-099.stats.parquet"));
        }
        "unlisted" => fs::write(folder.join("notes.txt"), "not of it").unwrap(),
        _ => change_json(&manifest, |manifest| {
            let files = manifest["files"].as_array_mut().unwrap();
            let at = draw.next(files.len());
            let old = files[at]["name"].as_str().unwrap().to_owned();
            let new = format!("x{old}");
            fs::rename(folder.join(&old), folder.join(&new)).unwrap();
            files[at]["name"] = json!(new);
        }),
    }
    format!("{} {what}", folder.file_name().unwrap().to_str().unwrap())
}

/// Brings a folder back to what it was.
fn restore(data: &Path, before: &[(String, Vec<u8>)]) {
    for (name, bytes) in files(data) {
        let old = before.iter().find(|(old, _)| *old == name);
        match old {
            Some((_, old)) if *old == bytes => {}
            Some((_, old)) => fs::write(data.join(&name), old).unwrap(),
            None => fs::remove_file(data.join(&name)).unwrap(),
        }
    }
    for (name, bytes) in before {
        if !data.join(name).exists() {
            fs::write(data.join(name), bytes).unwrap();
        }
    }
}

type Change = fn(&Path, &mut Draw) -> String;

/// Kinds of changes, and how many of 200 are of each.
const CHANGES: [(&str, Change, usize); 5] = [
    ("value", change_value, 120),
    ("list", change_list, 20),
    ("rank", change_rank, 20),
    ("manifest", change_manifest, 20),
    ("files", change_files, 20),
];

#[derive(Default)]
struct Rate {
    n: usize,
    alone: usize,
    full: usize,
}

/// Changes an atlas again and again; answers how often that was found, by kind.
fn change(data: &Path, model_name: &str, share: usize, seed: u64) -> BTreeMap<&'static str, Rate> {
    let model = ModelFiles::open(model(model_name).to_str().unwrap()).unwrap();
    let before = files(data);
    assert_eq!(found(data, None), None, "{model_name}");
    assert_eq!(found(data, Some(&model)), None, "{model_name}");
    let mut draw = Draw(seed);
    let mut rates = BTreeMap::new();
    let mut missed: BTreeMap<String, usize> = BTreeMap::new();
    for (kind, change, n) in CHANGES {
        let rate: &mut Rate = rates.entry(kind).or_default();
        for _ in 0..n.div_ceil(share) {
            let place = change(data, &mut draw);
            rate.n += 1;
            match found(data, None) {
                Some(_) => (rate.alone, rate.full) = (rate.alone + 1, rate.full + 1),
                None => {
                    let full = found(data, Some(&model)).is_some();
                    rate.full += usize::from(full);
                    let with = if full { "found by a scan" } else { "not found" };
                    *missed
                        .entry(format!("{kind}: {place}: {with}"))
                        .or_default() += 1;
                }
            }
            restore(data, &before);
        }
    }
    for (what, n) in missed {
        println!("  {n} {what}");
    }
    rates
}

fn is_long() -> bool {
    std::env::var_os("NEUROSCOPE_LONG").is_some()
}

#[test]
fn single_changes_are_found() {
    let all: [(&str, bool, &[&str]); 5] = [
        ("llama", false, &[]),
        ("gpt2", true, &[]),
        (
            "llama",
            true,
            &["--rank-pre", "--dtype", "bf16", "--keep-hooks"],
        ),
        ("solu", false, &["--top-k", "5"]),
        ("gpt2", false, &["--count-special"]),
    ];
    let (share, n_atlases) = if is_long() { (1, all.len()) } else { (10, 2) };
    let mut sum: BTreeMap<&str, Rate> = BTreeMap::new();
    for (seed, (name, with_parts, more)) in (1..).zip(&all[..n_atlases]) {
        let project = project(name, *with_parts, more);
        let data = project.data(name);
        let parts = if *with_parts { "with" } else { "without" };
        println!("{name} {more:?}, {parts} its parts");
        let rates = change(&data, name, share, seed);
        let total = |get: fn(&Rate) -> usize| rates.values().map(get).sum::<usize>();
        for (kind, rate) in &rates {
            println!(
                "  {kind:8} {:3}: alone {:3}, full {:3}",
                rate.n, rate.alone, rate.full
            );
        }
        let (n, alone, full) = (total(|r| r.n), total(|r| r.alone), total(|r| r.full));
        println!("  all      {n:3}: alone {alone:3}, full {full:3}");
        assert!(alone * 100 >= n * 75, "{name}: {alone} of {n} alone");
        assert!(full * 100 >= n * 99, "{name}: {full} of {n} with a scan");
        for (kind, rate) in rates {
            let sum = sum.entry(kind).or_default();
            (sum.n, sum.alone, sum.full) =
                (sum.n + rate.n, sum.alone + rate.alone, sum.full + rate.full);
        }
    }
    for (kind, rate) in sum {
        println!(
            "{kind:8} {:4}: alone {:4}, full {:4}",
            rate.n, rate.alone, rate.full
        );
    }
}

/// Puts a value that no row has into a row of a table.
fn put(path: &Path, column: &str, row: usize, value: arrow_array::ArrayRef) {
    let mut all: Vec<_> = groups(path).into_iter().map(|group| vec![group]).collect();
    let batch = all[0][0].clone();
    let at = batch.schema().index_of(column).unwrap();
    let mut columns = batch.slice(row, 1).columns().to_vec();
    columns[at] = value;
    let changed = RecordBatch::try_new(batch.schema(), columns).unwrap();
    let after = batch.slice(row + 1, batch.num_rows() - row - 1);
    all[0] = vec![batch.slice(0, row), changed, after];
    write(path, &all);
    put_right(path);
}

/// Values that would lead out of what they point into, or of which nothing can be made.
#[test]
fn values_that_no_row_has_are_refused_by_name() {
    use arrow_array::builder::{Float32Builder, Int8Builder, ListBuilder, UInt64Builder};
    use arrow_array::{Float32Array, Float64Array, StringArray, UInt32Array, UInt64Array};
    use arrow_schema::{DataType, Field};

    let project = project("llama", true, &[]);
    let data = project.data("llama");
    let before = files(&data);
    let item = |data_type| Field::new("item", data_type, false);
    let steps = |values: &[i8]| -> arrow_array::ArrayRef {
        let mut list = ListBuilder::new(Int8Builder::new()).with_field(item(DataType::Int8));
        list.append_value(values.iter().copied().map(Some));
        Arc::new(list.finish())
    };
    let floats = |values: &[f32]| -> arrow_array::ArrayRef {
        let mut list = ListBuilder::new(Float32Builder::new()).with_field(item(DataType::Float32));
        list.append_value(values.iter().copied().map(Some));
        Arc::new(list.finish())
    };
    let counts = |values: &[u64]| -> arrow_array::ArrayRef {
        let mut list = ListBuilder::new(UInt64Builder::new()).with_field(item(DataType::UInt64));
        list.append_value(values.iter().copied().map(Some));
        Arc::new(list.finish())
    };
    let u32s = |value: u32| -> arrow_array::ArrayRef { Arc::new(UInt32Array::from(vec![value])) };
    let f32s = |value: f32| -> arrow_array::ArrayRef { Arc::new(Float32Array::from(vec![value])) };
    let f64s = |value: f64| -> arrow_array::ArrayRef { Arc::new(Float64Array::from(vec![value])) };
    let u64s = |value: u64| -> arrow_array::ArrayRef { Arc::new(UInt64Array::from(vec![value])) };
    let text = |value: &str| -> arrow_array::ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let examples = "layer-001.examples.parquet";
    let stats = "layer-000.stats.parquet";
    let weights = "layer-001.weights.parquet";
    for (table, column, value) in [
        (examples, "doc", u32s(40)),
        (examples, "doc", u32s(u32::MAX)),
        (examples, "pos", u32s(u32::MAX)),
        (examples, "start", u32s(u32::MAX)),
        (examples, "start", u32s(1 << 20)),
        (examples, "steps", steps(&[])),
        (examples, "steps", steps(&[1; 30_000])),
        (examples, "value", f32s(f32::NAN)),
        (examples, "scale", f32s(f32::INFINITY)),
        (examples, "scale", f32s(-1.0)),
        (examples, "duplicates", floats(&[f32::NAN])),
        (examples, "duplicates", floats(&[0.0; 300])),
        (examples, "neuron", u32s(u32::MAX)),
        (examples, "list", text("unknown")),
        (examples, "rank", u32s(u32::MAX)),
        (stats, "neuron", u32s(u32::MAX)),
        (stats, "neuron", u32s(0)),
        (stats, "sum1", f64s(f64::NAN)),
        (stats, "max", f32s(f32::NEG_INFINITY)),
        (stats, "count", u64s(u64::MAX)),
        (stats, "firing", u64s(u64::MAX)),
        (stats, "histogram_counts", counts(&[])),
        (stats, "histogram_counts", counts(&[u64::MAX; 3])),
        (stats, "gate+_in+_act_sum", f64s(f64::INFINITY)),
        ("neurons.parquet", "neuron", u32s(u32::MAX)),
        ("neurons.parquet", "layer", u32s(7)),
        ("neurons.parquet", "kurtosis", f64s(f64::NAN)),
        ("neurons.parquet", "kurtosis_rank_in_layer", u32s(u32::MAX)),
        ("neurons.parquet", "range_rank_in_model", u32s(0)),
        (weights, "layer", u32s(u32::MAX)),
        (weights, "neuron", u32s(u32::MAX)),
        (weights, "norm_out", f32s(f32::NAN)),
        (weights, "class", text("unknown")),
        (weights, "role", text("unknown")),
        (weights, "v_variance", f64s(f64::INFINITY)),
        ("tokens.parquet", "token", u32s(u32::MAX)),
        ("tokens.parquet", "n_peaks_top", u32s(u32::MAX)),
    ] {
        let path = data.join("atlas").join(table);
        put(&path, column, 1, value);
        // what a table does not say with the name of its column, it says with what it is
        let what = match column {
            "layer" => "neuron",
            "neuron" | "token" | "list" | "class" | "role" | "rank" => column,
            "start" => "`pos`",
            column => &format!("`{column}`"),
        };
        let what = [table, what.trim_end_matches('s')];
        project.build_refused(&[], &what);
        fail(&mut data_command(&project, "verify", &data), &what);
        restore(&data, &before);
    }
    // one row group where there is one for each layer
    let path = data.join("atlas/neurons.parquet");
    let all = groups(&path);
    write(&path, &[all]);
    put_right(&path);
    project.build_refused(&[], &["neurons.parquet"]);
    restore(&data, &before);
    // fewer rows than neurons
    for table in [stats, weights, "neurons.parquet", "tokens.parquet"] {
        let path = data.join("atlas").join(table);
        let mut all: Vec<_> = groups(&path).into_iter().map(|group| vec![group]).collect();
        let last = all.last_mut().unwrap();
        last[0] = last[0].slice(0, last[0].num_rows() - 1);
        write(&path, &all);
        put_right(&path);
        project.build_refused(&[], &[table, "expected"]);
        restore(&data, &before);
    }
    // a part is read by the same rules
    let path = data.join("parts/part-00001-of-00002").join(examples);
    put(&path, "doc", 1, u32s(0));
    let mut verify = data_command(&project, "verify", &data);
    fail(&mut verify, &["`doc` is 0"]);
    restore(&data, &before);
    succeed(&mut verify);
}

/// Neurons listed for the opposite of what they do when they fire are found, and so is a table that does not say what they do.
#[test]
fn neurons_listed_by_the_wrong_side_are_found() {
    let project = project("llama", false, &[]);
    let data = project.data("llama");
    let path = data.join("atlas/tokens.parquet");
    let before = groups(&path);
    let put = |change: &dyn Fn(&RecordBatch) -> RecordBatch| {
        let changed: Vec<_> = before.iter().map(|batch| vec![change(batch)]).collect();
        write(&path, &changed);
        put_right(&path);
    };
    put(&|batch| {
        let [promoted, suppressed] =
            ["promoted_by", "suppressed_by"].map(|name| batch.schema().index_of(name).unwrap());
        let mut columns = batch.columns().to_vec();
        columns.swap(promoted, suppressed);
        RecordBatch::try_new(batch.schema(), columns).unwrap()
    });
    let mut verify = data_command(&project, "verify", &data);
    fail(
        &mut verify,
        &["ed_by` contradicts the tokens of neuron 0.0"],
    );
    put(&|batch| {
        let schema = batch.schema();
        let kept = (0..batch.num_columns()).filter(|at| !schema.field(*at).name().contains("_by"));
        batch.project(&kept.collect::<Vec<_>>()).unwrap()
    });
    fail(&mut verify, &["it lacks `promoted_by`"]);
    put(&RecordBatch::clone);
    succeed(&mut verify);
}

/// A position near the last number, and a window that ends there, which a row may have as far as the row itself tells.
#[test]
fn a_position_past_its_document_is_found() {
    let project = project("llama", false, &[]);
    let data = project.data("llama");
    let path = data.join("atlas/layer-000.examples.parquet");
    let n = u32::try_from(
        groups(&path)[0]
            .column_by_name("steps")
            .unwrap()
            .as_list::<i32>()
            .value(1)
            .len(),
    );
    let start = u32::MAX - n.unwrap();
    for (column, value) in [("start", start), ("pos", u32::MAX - 1)] {
        let value = arrow_array::UInt32Array::from(vec![value]);
        put(&path, column, 1, Arc::new(value));
    }
    let found = found(&data, None).unwrap();
    assert!(found.contains("`pos` is 4294967294; document"), "{found}");
}

#[test]
fn every_damaged_file_is_listed() {
    let project = project("llama", true, &[]);
    let data = project.data("llama");
    let damaged = [
        "atlas/layer-000.stats.parquet",
        "corpus/index.bin",
        "parts/part-00001-of-00002/layer-001.examples.parquet",
    ];
    for name in damaged {
        fs::write(data.join(name), "damaged").unwrap();
    }
    fs::remove_file(data.join("atlas/neurons.parquet")).unwrap();
    let report = verify(&data, None, &options(false), &|_| true).unwrap();
    let mut told: Vec<&str> = report
        .wrong
        .iter()
        .map(|wrong| wrong.file.as_str())
        .collect();
    told.sort_unstable();
    let mut expected = damaged.to_vec();
    expected.push("atlas/neurons.parquet");
    expected.sort_unstable();
    assert_eq!((told, report.n_wrong), (expected, 4));
    fail(
        &mut data_command(&project, "verify", &data),
        &["has 4 problems", "damaged: its length is 7"],
    );
}

/// Gate, act(gate) and in make up the values that they stand beside, and have the signs of their list.
#[test]
fn hooks_that_do_not_belong_to_their_example_are_found() {
    let project = project("llama", false, &["--keep-hooks"]);
    let data = project.data("llama");
    let path = data.join("atlas/layer-001.examples.parquet");
    let before = files(&data);
    assert_eq!(found(&data, None), None);
    let mut all: Vec<_> = groups(&path).into_iter().map(|group| vec![group]).collect();
    let batch = all[0].remove(0);
    let lists = batch.column_by_name("list").unwrap().as_string::<i32>();
    let steps = batch.column_by_name("steps").unwrap().as_list::<i32>();
    let [pos, start] = ["pos", "start"].map(|name| {
        let column = batch.column_by_name(name).unwrap();
        column.as_primitive::<UInt32Type>()
    });
    let shape = |row: usize| (steps.value_length(row), pos.value(row) - start.value(row));
    let of = |list: &'static str| {
        let rows = (0..batch.num_rows()).filter(move |row| lists.value(*row) == list);
        rows.collect::<Vec<_>>()
    };
    // an example, and others that are equally long on both sides of the peak
    let (own, opposite, random) = (of("gate-_in+"), of("gate+_in-"), of("random"));
    let alike = |rows: &[usize], row: usize| {
        let is_alike = |at: &&usize| shape(**at) == shape(row);
        rows.iter().filter(is_alike).find(|at| **at != row).copied()
    };
    let chosen = own.iter().find_map(|&row| {
        let others = (alike(&own, row)?, alike(&opposite, row)?);
        Some((row, others))
    });
    let (row, (other, opposite)) = chosen.unwrap();
    for (columns, from, what) in [
        (&["act_steps", "act_scale"][..], other, "act(gate) · in"),
        (&["in_steps", "in_scale"], other, "act(gate) · in"),
        (&["gate_steps", "gate_scale"], opposite, "other signs"),
        (&["in_steps"], opposite, "other signs"),
        (&["act_scale"], random[0], "gate, act and in are missing"),
    ] {
        let mut changed = batch.slice(row, 1).columns().to_vec();
        for name in columns {
            let at = batch.schema().index_of(name).unwrap();
            changed[at] = batch.column(at).slice(from, 1);
        }
        let changed = RecordBatch::try_new(batch.schema(), changed).unwrap();
        let after = batch.slice(row + 1, batch.num_rows() - row - 1);
        all[0] = vec![batch.slice(0, row), changed, after];
        write(&path, &all);
        put_right(&path);
        let said = found(&data, None).unwrap_or_default();
        assert!(said.contains(what), "{columns:?}: {said}");
        restore(&data, &before);
    }
}
