//! The tables: their columns, and neurons to and from rows. docs/format.md describes them for readers.

use std::sync::Arc;

use arrow_array::builder::{Float32Builder, Int8Builder, ListBuilder, UInt8Builder, UInt64Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, Int8Type, UInt8Type, UInt32Type, UInt64Type};
use arrow_array::{
    ArrayRef, Float32Array, Float64Array, RecordBatch, StringArray, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};

use crate::ids::{DocId, Pos};
use crate::stats::examples::{Example, ListKind, TopList};
use crate::stats::histogram::Histogram;
use crate::stats::moments::Moments;
use crate::stats::neuron::{Neuron, NeuronStats};
use crate::stats::samples::{Sample, Samples};
use crate::stats::signs::{CaseStats, QUANTITIES, SignCase};
use crate::stats::window::Window;
use crate::stats::{MlpKind, StatsOptions};

use super::checks;

/// Name of the list that holds a part's samples.
pub const SAMPLE_LIST: &str = "sample";

/// A row of an examples table.
#[derive(Clone, Debug, PartialEq)]
pub struct ExampleRow {
    /// The list.
    pub list: String,
    /// Place in the list; for samples, the rank of the position's hash.
    pub rank: u32,
    /// The peak.
    pub example: Example,
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", data_type, false)))
}

/// Prefix of columns, and how the moments in them are read and written.
type MomentsColumns = (
    &'static str,
    fn(&NeuronStats) -> Moments,
    fn(&mut NeuronStats, Moments),
);

/// The moments that are kept of a kind of neuron.
fn moments_of(kind: MlpKind) -> impl Iterator<Item = MomentsColumns> {
    let all: [MomentsColumns; 3] = [
        ("", |s| s.moments, |s, moments| s.moments = moments),
        ("special_", |s| s.special, |s, moments| s.special = moments),
        (
            "post_",
            |s| s.post.unwrap_or_default(),
            |s, moments| s.post = Some(moments),
        ),
    ];
    let n = if kind == MlpKind::Solu { 3 } else { 2 };
    all.into_iter().take(n)
}

/// The sign cases of a kind of neuron.
fn cases_of(kind: MlpKind) -> impl Iterator<Item = SignCase> {
    let gated = kind == MlpKind::Gated;
    SignCase::ALL.into_iter().filter(move |_| gated)
}

/// Columns of a statistics table.
pub(super) fn stats_schema(kind: MlpKind) -> Arc<Schema> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let mut fields = vec![field("neuron", DataType::UInt32)];
    for prefix in moments_of(kind).map(|(prefix, _, _)| prefix) {
        fields.push(field(&format!("{prefix}count"), DataType::UInt64));
        fields
            .extend((1..=4).map(|order| field(&format!("{prefix}sum{order}"), DataType::Float64)));
        fields.extend(
            ["min", "max"].map(|name| field(&format!("{prefix}{name}"), DataType::Float32)),
        );
    }
    fields.extend(["not_finite", "firing", "above_tau"].map(|name| field(name, DataType::UInt64)));
    fields.push(field("histogram_bins", list_of(DataType::UInt8)));
    fields.push(field("histogram_counts", list_of(DataType::UInt64)));
    for case in cases_of(kind) {
        fields.push(field(&format!("{}_count", case.name()), DataType::UInt64));
        for quantity in QUANTITIES {
            fields.push(field(
                &format!("{}_{quantity}_sum", case.name()),
                DataType::Float64,
            ));
            fields.push(field(
                &format!("{}_{quantity}_extreme", case.name()),
                DataType::Float32,
            ));
        }
    }
    Arc::new(Schema::new(fields))
}

/// Columns of an examples table.
pub(super) fn examples_schema(kind: MlpKind) -> Arc<Schema> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let mut fields = vec![
        field("neuron", DataType::UInt32),
        field("list", DataType::Utf8),
        field("rank", DataType::UInt32),
        field("value", DataType::Float32),
        field("doc", DataType::UInt32),
        field("pos", DataType::UInt32),
        field("context", DataType::UInt64),
        field("duplicates", list_of(DataType::Float32)),
        field("start", DataType::UInt32),
        field("scale", DataType::Float32),
        field("steps", list_of(DataType::Int8)),
    ];
    if kind == MlpKind::Solu {
        fields.push(field("post", DataType::Float32));
    }
    Arc::new(Schema::new(fields))
}

fn item(data_type: DataType) -> Arc<Field> {
    Arc::new(Field::new("item", data_type, false))
}

/// Statistics as a table.
pub(super) fn stats_batch(
    kind: MlpKind,
    neurons: &[(u32, &NeuronStats)],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let u64s = |get: &dyn Fn(&NeuronStats) -> u64| -> ArrayRef {
        Arc::new(
            neurons
                .iter()
                .map(|(_, stats)| get(stats))
                .collect::<UInt64Array>(),
        )
    };
    let f64s = |get: &dyn Fn(&NeuronStats) -> f64| -> ArrayRef {
        Arc::new(
            neurons
                .iter()
                .map(|(_, stats)| get(stats))
                .collect::<Float64Array>(),
        )
    };
    let f32s = |get: &dyn Fn(&NeuronStats) -> f32| -> ArrayRef {
        Arc::new(
            neurons
                .iter()
                .map(|(_, stats)| get(stats))
                .collect::<Float32Array>(),
        )
    };
    let mut columns: Vec<ArrayRef> = vec![Arc::new(
        neurons
            .iter()
            .map(|(neuron, _)| *neuron)
            .collect::<UInt32Array>(),
    )];
    for (_, moments, _) in moments_of(kind) {
        columns.push(u64s(&|s| moments(s).count));
        columns.extend((0..4).map(|order| f64s(&|s| moments(s).sums[order])));
        columns.push(f32s(&|s| moments(s).min));
        columns.push(f32s(&|s| moments(s).max));
    }
    columns.extend([
        u64s(&|s| s.not_finite),
        u64s(&|s| s.n_firing),
        u64s(&|s| s.n_above_tau),
    ]);
    let mut bins = ListBuilder::new(UInt8Builder::new()).with_field(item(DataType::UInt8));
    let mut counts = ListBuilder::new(UInt64Builder::new()).with_field(item(DataType::UInt64));
    for (_, stats) in neurons {
        for (bin, count) in stats.histogram.bins() {
            bins.values().append_value(bin);
            counts.values().append_value(count);
        }
        bins.append(true);
        counts.append(true);
    }
    columns.push(Arc::new(bins.finish()));
    columns.push(Arc::new(counts.finish()));
    for case in cases_of(kind) {
        let of = move |stats: &NeuronStats| {
            stats
                .cases
                .as_ref()
                .map_or_else(CaseStats::default, |c| c[case as usize])
        };
        columns.push(u64s(&|s| of(s).count));
        for quantity in 0..QUANTITIES.len() {
            columns.push(f64s(&|s| of(s).sums[quantity]));
            columns.push(f32s(&|s| of(s).extremes[quantity]));
        }
    }
    RecordBatch::try_new(stats_schema(kind), columns)
}

/// Statistics from a table whose schema was checked. What a row cannot hold is the error, with the neuron.
pub(super) fn stats_of(
    kind: MlpKind,
    batch: &RecordBatch,
) -> Result<Vec<(u32, NeuronStats)>, String> {
    let mut at = 0;
    let mut column = || {
        at += 1;
        batch.column(at - 1)
    };
    let neurons = column().as_primitive::<UInt32Type>();
    let mut out: Vec<_> = neurons
        .values()
        .iter()
        .map(|&neuron| (neuron, NeuronStats::default()))
        .collect();
    for (_, _, set) in moments_of(kind) {
        let counts = column().as_primitive::<UInt64Type>().values();
        let sums: [_; 4] = std::array::from_fn(|_| column().as_primitive::<Float64Type>().values());
        let (min, max) = (
            column().as_primitive::<Float32Type>().values(),
            column().as_primitive::<Float32Type>().values(),
        );
        for (row, (_, stats)) in out.iter_mut().enumerate() {
            let moments = Moments {
                count: counts[row],
                sums: sums.map(|sum| sum[row]),
                min: min[row],
                max: max[row],
            };
            set(stats, moments);
        }
    }
    let [not_finite, firing, above] =
        std::array::from_fn(|_| column().as_primitive::<UInt64Type>().values());
    let (bins, counts) = (column().as_list::<i32>(), column().as_list::<i32>());
    for (row, (neuron, stats)) in out.iter_mut().enumerate() {
        (stats.not_finite, stats.n_firing, stats.n_above_tau) =
            (not_finite[row], firing[row], above[row]);
        let (bins, counts) = (bins.value(row), counts.value(row));
        let bins = bins.as_primitive::<UInt8Type>().values();
        let counts = counts.as_primitive::<UInt64Type>().values();
        checks::bins(bins, counts).map_err(|reason| format!("neuron {neuron}: {reason}"))?;
        stats.histogram = Histogram::from_bins(bins.iter().copied().zip(counts.iter().copied()));
        stats.cases = (kind == MlpKind::Gated).then(Default::default);
    }
    for case in cases_of(kind) {
        let counts = column().as_primitive::<UInt64Type>().values();
        let values: [_; 4] = std::array::from_fn(|_| {
            (
                column().as_primitive::<Float64Type>().values(),
                column().as_primitive::<Float32Type>().values(),
            )
        });
        for (row, (_, stats)) in out.iter_mut().enumerate() {
            if let Some(cases) = &mut stats.cases {
                cases[case as usize] = CaseStats {
                    count: counts[row],
                    sums: values.map(|(sums, _)| sums[row]),
                    extremes: values.map(|(_, extremes)| extremes[row]),
                };
            }
        }
    }
    Ok(out)
}

/// Examples as a table.
pub(super) fn examples_batch(
    kind: MlpKind,
    rows: &[(u32, ExampleRow)],
) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let u32s = |get: &dyn Fn(&(u32, ExampleRow)) -> u32| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<UInt32Array>())
    };
    let f32s = |get: &dyn Fn(&Example) -> f32| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|(_, row)| get(&row.example))
                .collect::<Float32Array>(),
        )
    };
    let mut duplicates =
        ListBuilder::new(Float32Builder::new()).with_field(item(DataType::Float32));
    let mut steps = ListBuilder::new(Int8Builder::new()).with_field(item(DataType::Int8));
    for (_, row) in rows {
        duplicates.values().append_slice(&row.example.duplicates);
        duplicates.append(true);
        steps.values().append_slice(&row.example.window.steps);
        steps.append(true);
    }
    let mut columns: Vec<ArrayRef> = vec![
        u32s(&|row| row.0),
        Arc::new(
            rows.iter()
                .map(|(_, row)| Some(row.list.as_str()))
                .collect::<StringArray>(),
        ),
        u32s(&|row| row.1.rank),
        f32s(&|example| example.value),
        u32s(&|row| row.1.example.doc.0),
        u32s(&|row| row.1.example.pos.0),
        Arc::new(
            rows.iter()
                .map(|(_, row)| row.example.context)
                .collect::<UInt64Array>(),
        ),
        Arc::new(duplicates.finish()),
        u32s(&|row| row.1.example.window.start),
        f32s(&|example| example.window.scale),
        Arc::new(steps.finish()),
    ];
    if kind == MlpKind::Solu {
        columns.push(f32s(&|example| example.post.unwrap_or(f32::NAN)));
    }
    RecordBatch::try_new(examples_schema(kind), columns)
}

/// Examples from a table whose schema was checked.
pub(super) fn examples_of(kind: MlpKind, batch: &RecordBatch) -> Vec<(u32, ExampleRow)> {
    let u32s = |column: usize| batch.column(column).as_primitive::<UInt32Type>().values();
    let f32s = |column: usize| batch.column(column).as_primitive::<Float32Type>().values();
    let lists = batch.column(1).as_string::<i32>();
    let contexts = batch.column(6).as_primitive::<UInt64Type>().values();
    let (duplicates, steps) = (
        batch.column(7).as_list::<i32>(),
        batch.column(10).as_list::<i32>(),
    );
    let row = |row: usize| {
        let example = Example {
            value: f32s(3)[row],
            post: (kind == MlpKind::Solu).then(|| f32s(11)[row]),
            doc: DocId(u32s(4)[row]),
            pos: Pos(u32s(5)[row]),
            context: contexts[row],
            window: Window {
                start: u32s(8)[row],
                scale: f32s(9)[row],
                steps: steps
                    .value(row)
                    .as_primitive::<Int8Type>()
                    .values()
                    .iter()
                    .copied()
                    .collect(),
            },
            duplicates: duplicates
                .value(row)
                .as_primitive::<Float32Type>()
                .values()
                .to_vec(),
        };
        (
            u32s(0)[row],
            ExampleRow {
                list: lists.value(row).to_owned(),
                rank: u32s(2)[row],
                example,
            },
        )
    };
    (0..batch.num_rows()).map(row).collect()
}

/// Names of the columns in which the two rows of a table differ.
pub fn different_columns(rows: &RecordBatch) -> Vec<String> {
    let fields = rows.schema_ref().fields().iter().zip(rows.columns());
    let different = fields.filter(|(_, column)| column.slice(0, 1) != column.slice(1, 1));
    different.map(|(field, _)| field.name().clone()).collect()
}

/// Names of the columns in which statistics differ.
pub fn different_stats(kind: MlpKind, a: &NeuronStats, b: &NeuronStats) -> Vec<String> {
    stats_batch(kind, &[(0, a), (0, b)])
        .map_or_else(|_| Vec::new(), |rows| different_columns(&rows))
}

/// Names of the columns in which examples differ.
pub fn different_examples(kind: MlpKind, a: &ExampleRow, b: &ExampleRow) -> Vec<String> {
    let rows = [a, b].map(|row| (0, row.clone()));
    examples_batch(kind, &rows).map_or_else(|_| Vec::new(), |rows| different_columns(&rows))
}

/// Where one of a neuron's largest or smallest values is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeakRow {
    /// Index in the layer.
    pub neuron: u32,
    /// Whether it is one of the smallest.
    pub is_bottom: bool,
    /// Document.
    pub doc: DocId,
    /// Position in it.
    pub pos: Pos,
}

/// The columns that [`peaks_of`] needs.
pub(super) const PEAK_COLUMNS: [&str; 4] = ["neuron", "list", "doc", "pos"];

/// The peaks of the lists of largest and smallest values, from [`PEAK_COLUMNS`].
pub(super) fn peaks_of(batch: &RecordBatch) -> Vec<PeakRow> {
    let u32s = |column: usize| batch.column(column).as_primitive::<UInt32Type>().values();
    let (neurons, docs, positions) = (u32s(0), u32s(2), u32s(3));
    let lists = batch.column(1).as_string::<i32>();
    let row = |row: usize| {
        let list = ListKind::from_name(lists.value(row))?;
        matches!(list, ListKind::Top | ListKind::Bottom).then(|| PeakRow {
            neuron: neurons[row],
            is_bottom: list == ListKind::Bottom,
            doc: DocId(docs[row]),
            pos: Pos(positions[row]),
        })
    };
    (0..batch.num_rows()).filter_map(row).collect()
}

/// A neuron's lists and samples as rows.
pub fn rows_of(neuron: &Neuron) -> Vec<ExampleRow> {
    let lists = neuron.lists.iter().flat_map(|list| {
        let entries = list.entries().iter().cloned().zip(0..);
        entries.map(|(example, rank)| ExampleRow {
            list: list.kind().name().to_owned(),
            rank,
            example,
        })
    });
    let samples = neuron.samples.kept().iter().map(|sample| ExampleRow {
        list: SAMPLE_LIST.to_owned(),
        rank: sample.rank,
        example: Example {
            value: sample.value,
            post: sample.post,
            doc: sample.doc,
            pos: sample.pos,
            context: 0,
            window: sample.window.clone(),
            duplicates: Vec::new(),
        },
    });
    lists.chain(samples).collect()
}

/// A neuron from its statistics and rows; the name of a list that is not known is the error.
pub fn neuron_from_rows(
    stats: NeuronStats,
    rows: Vec<ExampleRow>,
    options: &StatsOptions,
    kind: MlpKind,
) -> Result<Neuron, String> {
    let mut lists: Vec<TopList> = options
        .lists(kind)
        .into_iter()
        .map(|(kind, k)| TopList::new(kind, k))
        .collect();
    let mut samples = Vec::new();
    for ExampleRow {
        list,
        rank,
        example,
    } in rows
    {
        if list == SAMPLE_LIST {
            let Example {
                doc,
                pos,
                value,
                post,
                window,
                ..
            } = example;
            samples.push(Sample {
                rank,
                doc,
                pos,
                value,
                post,
                window,
            });
            continue;
        }
        let kind = ListKind::from_name(&list);
        match lists.iter_mut().find(|known| Some(known.kind()) == kind) {
            Some(known) => known.insert(example),
            None => return Err(list),
        }
    }
    Ok(Neuron {
        stats,
        lists,
        samples: Samples::new(samples),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

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
            prop::array::uniform3(moments()),
            counts,
            bins,
            prop::array::uniform4(case),
        )
            .prop_map(
                move |(
                    [moments, special, post],
                    [not_finite, n_firing, n_above_tau],
                    bins,
                    cases,
                )| {
                    NeuronStats {
                        moments,
                        special,
                        post: (kind == MlpKind::Solu).then_some(post),
                        not_finite,
                        n_firing,
                        n_above_tau,
                        histogram: Histogram::from_bins(bins),
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
        ("[a-z+_.0-9-]{1,12}", place, both, duplicates, values).prop_map(
            move |(list, (rank, doc, pos, context), (value, post), duplicates, values)| {
                let window = Window::new(pos, &values);
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
                        duplicates,
                    },
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

    proptest! {
        #[test]
        fn what_is_written_is_read((kind, neurons, rows) in tables()) {
            let stats: Vec<(u32, NeuronStats)> = (0..).zip(neurons).collect();
            let borrowed: Vec<_> = stats.iter().map(|(neuron, stats)| (*neuron, stats)).collect();
            prop_assert_eq!(stats_of(kind, &stats_batch(kind, &borrowed).unwrap()).unwrap(), stats);
            prop_assert_eq!(examples_of(kind, &examples_batch(kind, &rows).unwrap()), rows);
        }
    }
}
