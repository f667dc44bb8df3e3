//! Tests of the tables: what is written is read, and what is not there is not made up.

use std::sync::Arc;

use arrow_array::RecordBatch;
use proptest::prelude::*;

use super::examples::{ExampleRow, NeuronExample, examples_table, neuron_from_rows};
use super::stats::{StatsRow, stats_table};
use super::table::{Row, Table};
use super::{LayerReader, LayerWriter, checks};
use crate::ids::{DocId, Pos};
use crate::stats::examples::Example;
use crate::stats::histogram::Histogram;
use crate::stats::moments::Moments;
use crate::stats::neuron::NeuronStats;
use crate::stats::signs::{CaseStats, QUANTITIES};
use crate::stats::starts::Starts;
use crate::stats::sums::N_SUMS;
use crate::stats::window::Window;
use crate::stats::{MlpKind, StatsOptions};

fn moments() -> impl Strategy<Value = Moments> {
    prop::collection::vec(-1e3f32..1e3, 0..5).prop_map(|values| {
        let mut moments = Moments::default();
        values.into_iter().for_each(|x| moments.push(x));
        moments
    })
}

fn stats(kind: MlpKind) -> impl Strategy<Value = NeuronStats> {
    let case = (
        any::<u32>(),
        prop::array::uniform4(-1e3f64..1e3),
        prop::array::uniform4(-9f32..9.0),
    );
    let case = case.prop_map(|(count, sums, extremes)| CaseStats {
        count: count.into(),
        sums,
        extremes,
    });
    let counts = prop::array::uniform3(0u64..1 << 40);
    let bins = prop::collection::vec((any::<u8>(), 1u64..99), 0..6);
    (
        prop::array::uniform4(moments()),
        counts,
        bins,
        prop::array::uniform4(case),
    )
        .prop_map(
            move |(
                [moments, special, post, start],
                [not_finite, n_firing, n_above_tau],
                bins,
                cases,
            )| {
                NeuronStats {
                    moments,
                    sums: [Some(2.5); N_SUMS],
                    special: Some(special),
                    starts: Some(Starts {
                        moments: start,
                        ..Starts::default()
                    }),
                    post: (kind == MlpKind::Solu).then_some(post),
                    not_finite: Some(not_finite),
                    n_firing: Some(n_firing),
                    n_above_tau: Some(n_above_tau),
                    histogram: Some(Histogram::from_bins(bins)),
                    cases: (kind == MlpKind::Gated).then_some(cases),
                }
            },
        )
}

fn row(kind: MlpKind) -> impl Strategy<Value = ExampleRow> {
    let values = prop::collection::vec(-9f32..9.0, 0..8);
    let duplicates = prop::collection::vec(-9f32..9.0, 0..3);
    let place = (any::<u32>(), any::<u32>(), any::<u32>(), any::<u64>());
    let both = (-9f32..9.0, -9f32..9.0);
    let has_hooks = any::<bool>();
    let texts = prop::option::of(prop::collection::vec(".{0,3}", 0..8));
    let lists = (duplicates, values, texts);
    ("[a-z+_.0-9-]{1,12}", place, both, lists, has_hooks).prop_map(
        move |(list, (rank, doc, pos, context), (value, post), lists, has_hooks)| {
            let (duplicates, values, tokens) = lists;
            let window = Window::new(pos, &values);
            let hook = |factor: f32| {
                let values = values.iter().map(|value| value * factor);
                Window::new(pos, &values.collect::<Vec<_>>())
            };
            let hooks = || Box::new([2.0, -0.5, 0.0].map(hook));
            let (doc, pos) = (DocId(doc), Pos(pos));
            ExampleRow {
                list,
                rank,
                example: Example {
                    value,
                    post: (kind == MlpKind::Solu).then_some(post),
                    doc,
                    pos,
                    context,
                    window,
                    hooks: (kind == MlpKind::Gated && has_hooks).then(hooks),
                    duplicates,
                },
                knows_context: true,
                tokens,
            }
        },
    )
}

const KINDS: [MlpKind; 3] = [MlpKind::Plain, MlpKind::Gated, MlpKind::Solu];

fn tables() -> impl Strategy<Value = (MlpKind, Vec<NeuronStats>, Vec<(u32, ExampleRow)>)> {
    (0..KINDS.len()).prop_flat_map(|kind| {
        let kind = KINDS[kind];
        let neurons = prop::collection::vec(stats(kind), 0..6);
        let rows = prop::collection::vec((any::<u32>(), row(kind)), 0..9);
        (Just(kind), neurons, rows)
    })
}

/// A batch without some columns.
fn without(batch: &RecordBatch, is_out: impl Fn(&str) -> bool) -> RecordBatch {
    let schema = batch.schema();
    let fields = schema.fields().iter().enumerate();
    let kept: Vec<usize> = fields
        .filter(|(_, field)| !is_out(field.name()))
        .map(|(at, _)| at)
        .collect();
    batch.project(&kept).unwrap()
}

/// Reads what a table wrote, with one more column that it does not know.
fn read_again<R: Row>(table: &Arc<Table<R>>, rows: &[R]) -> Result<Vec<R>, String> {
    let batch = table.write(rows).unwrap();
    let (schema, mut columns, _) = batch.into_parts();
    let mut fields = vec![arrow_schema::Field::new(
        "later",
        arrow_schema::DataType::UInt32,
        false,
    )];
    fields.extend(schema.fields().iter().map(|field| field.as_ref().clone()));
    let later = arrow_array::UInt32Array::from(vec![7; rows.len()]);
    columns.insert(0, Arc::new(later));
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    table.read(&RecordBatch::try_new(schema, columns).unwrap())
}

proptest! {
    #[test]
    fn what_is_written_is_read((kind, neurons, rows) in tables()) {
        let neurons = (0..).zip(neurons);
        let stats: Vec<_> = neurons.map(|(neuron, stats)| StatsRow::new(neuron, stats)).collect();
        prop_assert_eq!(read_again(&stats_table(kind), &stats).unwrap(), stats);
        let rows: Vec<_> = rows.into_iter().map(|(neuron, row)| NeuronExample::new(neuron, row)).collect();
        prop_assert_eq!(read_again(&examples_table(kind), &rows).unwrap(), rows);
    }

    #[test]
    fn what_a_table_lacks_is_not_known((kind, neurons, _) in tables()) {
        let table = stats_table(kind);
        let neurons = (0..).zip(neurons);
        let rows: Vec<_> = neurons.map(|(neuron, stats)| StatsRow::new(neuron, stats)).collect();
        let batch = table.write(&rows).unwrap();
        let lacking = without(&batch, |name| ["sum3", "firing", "special_count", "histogram_bins", "gate+_in-_act_sum"].contains(&name));
        let found = table.read(&lacking).unwrap();
        for (found, row) in found.iter().zip(&rows) {
            let expected = NeuronStats {
                moments: Moments { sums: None, ..row.stats.moments },
                n_firing: None,
                special: None,
                histogram: None,
                cases: None,
                ..row.stats.clone()
            };
            prop_assert_eq!(&found.stats, &expected);
        }
        // what one part does not know, both do not know; null and absent are the same
        for (row, found) in rows.iter().zip(&found) {
            let [mut a, mut b] = [row.stats.clone(), found.stats.clone()];
            a.merge(&found.stats);
            b.merge(&row.stats);
            prop_assert_eq!((a.n_firing, &a.histogram, a.moments.mean()), (None, &None, None));
            prop_assert_eq!((&a, a.moments.count), (&b, 2 * row.stats.moments.count));
            let merged = StatsRow::new(0, a);
            let again = table.read(&table.write(std::slice::from_ref(&merged)).unwrap()).unwrap();
            prop_assert_eq!(&again[0], &merged);
        }
    }
}

/// An atlas that comes from elsewhere has the texts of tokens in the table, and its files are read like any other's.
#[test]
fn texts_of_tokens_stand_in_the_table_and_fit_their_values() {
    let texts = |n: usize| {
        (0..n)
            .map(|at| format!("t\u{e9}xt {at}"))
            .collect::<Vec<_>>()
    };
    let example = Example {
        value: 3.0,
        post: None,
        doc: DocId(0),
        pos: Pos(1),
        context: 0,
        window: Window::new(0, &[1.0, 3.0, 2.0]),
        hooks: None,
        duplicates: Vec::new(),
    };
    let row = |tokens| ExampleRow {
        list: "top".into(),
        rank: 0,
        example: example.clone(),
        knows_context: true,
        tokens,
    };
    let write = |folder: &std::path::Path, tokens| {
        let mut stats = NeuronStats::new(MlpKind::Plain);
        for x in [1.0, 3.0, 2.0] {
            stats.moments.push(x);
        }
        let mut writer = LayerWriter::create(folder, 0, MlpKind::Plain).unwrap();
        writer.push(0, stats, [row(tokens)]).unwrap();
        writer.finish().unwrap();
        let mut reader = LayerReader::open(folder, 0, MlpKind::Plain).unwrap();
        let absent = reader.absent();
        let read = reader.next().unwrap();
        (absent, read.map(|(_, _, rows)| rows))
    };
    for tokens in [Some(texts(3)), None] {
        let folder = tempfile::tempdir().unwrap();
        let (absent, rows) = write(folder.path(), tokens.clone());
        assert_eq!(rows.unwrap(), [row(tokens.clone())]);
        assert_eq!(absent.contains(&"tokens".to_owned()), tokens.is_none());
    }
    let folder = tempfile::tempdir().unwrap();
    let error = write(folder.path(), Some(texts(2))).1.unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("neuron 0: list `top`, rank 0: `tokens` has 2 texts and `steps` 3 values"),
        "{error}"
    );
    // the lists of parts are merged by their contexts, and their texts have no place there
    let stats = NeuronStats::new(MlpKind::Plain);
    let options = StatsOptions::default();
    let merged = neuron_from_rows(stats, vec![row(Some(texts(3)))], &options, MlpKind::Plain);
    let error = merged.unwrap_err();
    assert_eq!(error, "list `top` has `tokens`, which a merge would lose");
}

/// Hooks are there in full or not at all, and are as long as the values that they stand beside.
#[test]
fn hooks_are_complete_and_fit_their_values() {
    let table = examples_table(MlpKind::Gated);
    let windows = |n: usize| Box::new([1.0, -2.0, 0.0].map(|x| Window::new(0, &vec![x; n])));
    let row = |n: usize| {
        let mut row = NeuronExample::default();
        row.row.list = "gate+_in-".into();
        row.row.example.window = Window::new(0, &[1.0, 3.0]);
        row.row.example.hooks = Some(windows(n));
        row
    };
    let batch = table.write(&[row(2)]).unwrap();
    assert_eq!(
        table.read(&batch).unwrap()[0].row.example.hooks,
        Some(windows(2))
    );
    for name in QUANTITIES[..3].iter() {
        for column in [format!("{name}_steps"), format!("{name}_scale")] {
            let lacking = without(&batch, |one| one == column);
            assert_eq!(table.read(&lacking).unwrap()[0].row.example.hooks, None);
        }
    }
    let check = |row: NeuronExample| checks::examples(&[row.row], 1);
    assert_eq!(check(row(2)), Ok(()));
    let error = check(row(3)).unwrap_err();
    assert!(
        error.contains("`gate_steps` has 3 values and `steps` 2"),
        "{error}"
    );
    for scale in [f32::NAN, -1.0] {
        let mut row = row(2);
        row.row.example.hooks.as_mut().unwrap()[1].scale = scale;
        let error = check(row).unwrap_err();
        assert!(
            error.contains(&format!("`act_scale` is {scale}")),
            "{error}"
        );
    }
}

#[test]
fn a_column_that_every_table_has_is_not_left_out() {
    let table = stats_table(MlpKind::Plain);
    let rows = [StatsRow::new(0, NeuronStats::new(MlpKind::Plain))];
    let batch = table.write(&rows).unwrap();
    for name in ["neuron", "count", "min", "max"] {
        let error = table.read(&without(&batch, |one| one == name)).unwrap_err();
        assert_eq!(error, format!("column `{name}` is missing"));
    }
}
