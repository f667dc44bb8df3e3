//! One row per neuron of the model: derived statistics, measures of interest and ranks. The table for notebooks.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, UInt32Type, UInt64Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float64Array, RecordBatch, UInt32Array, UInt64Array,
};
use arrow_schema::{DataType, Field, Schema};

use crate::shard::{ScanIdentity, TableReader, TableWriter, different_columns};
use crate::stats::neuron::NeuronStats;

use super::error::AtlasError;
use super::interest::{Measure, Ranked, ranks};
use super::weights::NeuronWeights;

/// Name of the table.
pub(super) const NEURONS_FILE: &str = "neurons.parquet";

/// Share of active positions below which a neuron is called rare.
const RARE: f64 = 1e-5;

/// What is said of a neuron in one line.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// Layer.
    pub layer: u32,
    /// Index in the layer.
    pub neuron: u32,
    /// Counted positions.
    pub count: u64,
    /// Mean of the ranking hook.
    pub mean: Option<f64>,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Share of counted positions with `|hook_post| > τ`.
    pub frequency_abs: Option<f64>,
    /// Never above τ.
    pub dead: bool,
    /// Above τ in fewer than one of 100,000 positions, but not never.
    pub rare: bool,
    /// Measures of interest, in the order of [`Measure::ALL`].
    pub interest: [Ranked; Measure::ALL.len()],
}

impl Summary {
    /// Without ranks, and without what only the weights tell.
    pub(crate) fn new(layer: u32, neuron: u32, stats: &NeuronStats) -> Self {
        let moments = &stats.moments;
        let some = (moments.count > 0).then_some(moments);
        let frequency_abs = some.map(|m| stats.n_above_tau as f64 / m.count as f64);
        Self {
            layer,
            neuron,
            count: moments.count,
            mean: moments.mean(),
            min: some.map(|m| f64::from(m.min)),
            max: some.map(|m| f64::from(m.max)),
            frequency_abs,
            dead: stats.n_above_tau == 0,
            rare: stats.n_above_tau > 0 && frequency_abs.is_some_and(|share| share < RARE),
            interest: Measure::ALL.map(|measure| Ranked {
                value: measure.of_stats(stats),
                ..Ranked::default()
            }),
        }
    }

    /// A measure's value and ranks.
    pub fn ranked(&self, measure: Measure) -> Ranked {
        self.interest[measure as usize]
    }
}

/// Adds the measures that the weights tell.
pub(crate) fn measure(summaries: &mut [Summary], weights: &[NeuronWeights]) {
    for (summary, weights) in summaries.iter_mut().zip(weights) {
        for (measure, ranked) in Measure::ALL.into_iter().zip(&mut summary.interest) {
            if let Some(value) = measure.of_weights(weights) {
                ranked.value = value;
            }
        }
    }
}

/// Names of the columns in which what is said of a neuron differs.
pub(crate) fn different_summaries(a: &Summary, b: &Summary) -> Vec<String> {
    let rows = batch(&[a.clone(), b.clone()]);
    rows.map_or_else(|_| Vec::new(), |rows| different_columns(&rows))
}

/// Ranks all neurons of a model by every measure.
pub(crate) fn rank(layers: &mut [Vec<Summary>]) {
    for at in 0..Measure::ALL.len() {
        let values = |rows: &[Summary]| {
            let values = rows.iter().map(|row| row.interest[at].value);
            values.collect::<Vec<_>>()
        };
        let all: Vec<_> = layers.iter().flat_map(|rows| values(rows)).collect();
        let mut in_model = ranks(&all).into_iter();
        for rows in layers.iter_mut() {
            let in_layer = ranks(&values(rows));
            for (row, rank_in_layer) in rows.iter_mut().zip(in_layer) {
                let Ranked { value, .. } = row.interest[at];
                row.interest[at] = Ranked {
                    value,
                    rank_in_layer,
                    rank_in_model: in_model.next().flatten(),
                };
            }
        }
    }
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let mut fields = vec![
        field("layer", DataType::UInt32),
        field("neuron", DataType::UInt32),
        field("count", DataType::UInt64),
    ];
    fields.extend(
        ["mean", "min", "max", "frequency_abs"].map(|name| optional(name, DataType::Float64)),
    );
    fields.extend(["dead", "rare"].map(|name| field(name, DataType::Boolean)));
    for measure in Measure::ALL.map(Measure::name) {
        fields.push(optional(measure, DataType::Float64));
        fields.push(optional(
            &format!("{measure}_rank_in_layer"),
            DataType::UInt32,
        ));
        fields.push(optional(
            &format!("{measure}_rank_in_model"),
            DataType::UInt32,
        ));
    }
    Arc::new(Schema::new(fields))
}

/// Writes the table, a row group per layer.
pub(super) fn write(path: &Path, layers: &[Vec<Summary>]) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, schema())?;
    for rows in layers {
        writer.write(batch(rows))?;
    }
    Ok(writer.finish()?)
}

fn batch(rows: &[Summary]) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let f64s = |get: &dyn Fn(&Summary) -> Option<f64>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<Float64Array>())
    };
    let u32s = |get: &dyn Fn(&Summary) -> Option<u32>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<UInt32Array>())
    };
    let bools = |get: &dyn Fn(&Summary) -> bool| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| Some(get(row)))
                .collect::<BooleanArray>(),
        )
    };
    let mut columns: Vec<ArrayRef> = vec![
        u32s(&|row| Some(row.layer)),
        u32s(&|row| Some(row.neuron)),
        Arc::new(rows.iter().map(|row| row.count).collect::<UInt64Array>()),
        f64s(&|row| row.mean),
        f64s(&|row| row.min),
        f64s(&|row| row.max),
        f64s(&|row| row.frequency_abs),
        bools(&|row| row.dead),
        bools(&|row| row.rare),
    ];
    for measure in Measure::ALL {
        columns.push(f64s(&|row| row.ranked(measure).value));
        columns.push(u32s(&|row| row.ranked(measure).rank_in_layer));
        columns.push(u32s(&|row| row.ranked(measure).rank_in_model));
    }
    RecordBatch::try_new(schema(), columns)
}

/// Reads one layer's rows.
pub(super) fn read(
    path: &Path,
    layer: u32,
    scan: &ScanIdentity,
) -> Result<Vec<Summary>, AtlasError> {
    let (n_layers, d_mlp) = (scan.model.n_layers, scan.model.d_mlp);
    let mut rows = Vec::new();
    let mut reader = TableReader::open_group(path, &schema(), 4096, layer as usize)?;
    while let Some(batch) = reader.next().transpose()? {
        for row in 0..batch.num_rows() {
            let summary = summary(&batch, row);
            let found = (summary.layer, summary.neuron);
            if found != (layer, rows.len() as u32) || summary.neuron >= d_mlp {
                let (layer_found, neuron) = found;
                let reason = format!(
                    "neuron {layer_found}.{neuron} stands where neuron {layer}.{} is expected",
                    rows.len()
                );
                return Err(reader.wrong(reason).into());
            }
            if let Some(reason) = summary.impossible(n_layers, d_mlp) {
                return Err(reader.wrong(reason).into());
            }
            rows.push(summary);
        }
    }
    match rows.len() == d_mlp as usize {
        true => Ok(rows),
        false => {
            let reason = format!("layer {layer} has {} neurons; expected {d_mlp}", rows.len());
            Err(reader.wrong(reason).into())
        }
    }
}

impl Summary {
    /// What of it no neuron has.
    fn impossible(&self, n_layers: u32, d_mlp: u32) -> Option<String> {
        let Self { layer, neuron, .. } = self;
        let wrong = |name: &str, value: &dyn std::fmt::Display| {
            Some(format!("neuron {layer}.{neuron}: `{name}` is {value}"))
        };
        let values = [
            ("mean", self.mean),
            ("min", self.min),
            ("max", self.max),
            ("frequency_abs", self.frequency_abs),
        ];
        let measures = Measure::ALL.map(|measure| (measure.name(), self.ranked(measure).value));
        for (name, value) in values.into_iter().chain(measures) {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return wrong(name, &value);
            }
        }
        for measure in Measure::ALL {
            let ranked = self.ranked(measure);
            for (place, rank, most) in [
                ("layer", ranked.rank_in_layer, u64::from(d_mlp)),
                (
                    "model",
                    ranked.rank_in_model,
                    u64::from(n_layers) * u64::from(d_mlp),
                ),
            ] {
                if let Some(rank) = rank.filter(|rank| !(1..=most).contains(&u64::from(*rank))) {
                    return wrong(&format!("{}_rank_in_{place}", measure.name()), &rank);
                }
            }
        }
        None
    }
}

fn summary(batch: &RecordBatch, row: usize) -> Summary {
    let f64s = |column: usize| {
        let column = batch.column(column).as_primitive::<Float64Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    let u32s = |column: usize| {
        let column = batch.column(column).as_primitive::<UInt32Type>();
        column.is_valid(row).then(|| column.value(row))
    };
    Summary {
        layer: u32s(0).unwrap_or_default(),
        neuron: u32s(1).unwrap_or_default(),
        count: batch.column(2).as_primitive::<UInt64Type>().value(row),
        mean: f64s(3),
        min: f64s(4),
        max: f64s(5),
        frequency_abs: f64s(6),
        dead: batch.column(7).as_boolean().value(row),
        rare: batch.column(8).as_boolean().value(row),
        interest: std::array::from_fn(|at| Ranked {
            value: f64s(9 + 3 * at),
            rank_in_layer: u32s(10 + 3 * at),
            rank_in_model: u32s(11 + 3 * at),
        }),
    }
}
