//! What the weights say about a neuron, without any text (DEFINITIONS 6 and 7).

use std::path::Path;
use std::sync::Arc;

use arrow_array::builder::{Float32Builder, ListBuilder, UInt32Builder};
use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type, UInt32Type, UInt64Type};
use arrow_array::{ArrayRef, Float32Array, Float64Array, RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use candle_core::{D, Tensor};
use rayon::prelude::*;

use crate::ids::TokenId;
use crate::model::weights::Analysis;
use crate::model::{Config, ModelError};
use crate::shard::{TableReader, TableWriter};
use crate::stats::moments::Moments;

use super::error::AtlasError;

/// Tokens kept at each end of a neuron's logit weights.
const TOP_TOKENS: usize = 10;

/// Neurons whose logit weights are held at a time.
const BLOCK: usize = 128;

/// What the weights say about a neuron.
#[derive(Clone, Debug, PartialEq)]
pub struct NeuronWeights {
    /// Tokens with the largest logit weights, descending.
    pub top: Vec<(TokenId, f32)>,
    /// Tokens with the smallest logit weights, ascending.
    pub bottom: Vec<(TokenId, f32)>,
    /// Of the logit weights over the vocabulary.
    pub logits: Moments,
    /// cos(w_in, w_out); `None` where one is zero.
    pub cos_in_out: Option<f32>,
    /// cos(w_gate, w_out), if gated.
    pub cos_gate_out: Option<f32>,
    /// cos(w_gate, w_in), if gated.
    pub cos_gate_in: Option<f32>,
}

/// Cosines of the rows of two matrices.
fn cosines(a: &Tensor, b: &Tensor) -> candle_core::Result<Vec<Option<f32>>> {
    let norm = |x: &Tensor| x.sqr()?.sum(D::Minus1)?.sqrt()?.to_vec1::<f32>();
    let dot = (a * b)?.sum(D::Minus1)?.to_vec1::<f32>()?;
    let norms = norm(a)?.into_iter().zip(norm(b)?);
    let cosine = |(dot, (a, b)): (f32, (f32, f32))| {
        (dot / (a * b))
            .is_finite()
            .then(|| (dot / (a * b)).clamp(-1.0, 1.0))
    };
    Ok(dot.into_iter().zip(norms).map(cosine).collect())
}

/// Writes a layer's table; `w_u` is [`Analysis::unembed`]'s.
pub(super) fn write_layer(
    path: &Path,
    config: &Config,
    analysis: &Analysis<'_>,
    w_u: &Tensor,
    layer: usize,
) -> Result<Vec<NeuronWeights>, AtlasError> {
    let found = layer_weights(config, analysis, w_u, layer)?;
    let mut writer = TableWriter::create(path, schema())?;
    writer.write(batch(&found))?;
    writer.finish()?;
    Ok(found)
}

fn layer_weights(
    config: &Config,
    analysis: &Analysis<'_>,
    w_u: &Tensor,
    layer: usize,
) -> Result<Vec<NeuronWeights>, ModelError> {
    let mlp = analysis.mlp(layer)?;
    let w_out = &mlp.w_out;
    let cos_in_out = cosines(&mlp.w_in, w_out)?;
    let (cos_gate_out, cos_gate_in) = match &mlp.w_gate {
        Some(w_gate) => (cosines(w_gate, w_out)?, cosines(w_gate, &mlp.w_in)?),
        None => (vec![None; config.d_mlp], vec![None; config.d_mlp]),
    };
    let mut found = Vec::with_capacity(config.d_mlp);
    for first in (0..config.d_mlp).step_by(BLOCK) {
        let block = w_out.narrow(0, first, BLOCK.min(config.d_mlp - first))?;
        let logit_weights = block.matmul(w_u)?.to_vec2::<f32>()?;
        let of = |(at, values): (usize, &Vec<f32>)| {
            let neuron = first + at;
            let mut logits = Moments::default();
            values
                .iter()
                .filter(|value| value.is_finite())
                .for_each(|&value| logits.push(value));
            NeuronWeights {
                top: extremes(values, |a, b| a > b),
                bottom: extremes(values, |a, b| a < b),
                logits,
                cos_in_out: cos_in_out[neuron],
                cos_gate_out: cos_gate_out[neuron],
                cos_gate_in: cos_gate_in[neuron],
            }
        };
        found.par_extend(logit_weights.par_iter().enumerate().map(of));
    }
    Ok(found)
}

/// The tokens with the most extreme values, ties by id.
fn extremes(values: &[f32], before: impl Fn(f32, f32) -> bool) -> Vec<(TokenId, f32)> {
    let mut best: Vec<(TokenId, f32)> = Vec::with_capacity(TOP_TOKENS + 1);
    for (id, &value) in (0..).zip(values) {
        let full = best.len() == TOP_TOKENS;
        if !value.is_finite() || (full && !before(value, best[TOP_TOKENS - 1].1)) {
            continue;
        }
        let at = best.partition_point(|&(_, known)| !before(value, known));
        best.insert(at, (TokenId(id), value + 0.0));
        best.truncate(TOP_TOKENS);
    }
    best
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", data_type, false)))
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let mut fields = vec![field("neuron", DataType::UInt32)];
    for end in ["top", "bottom"] {
        fields.push(field(&format!("{end}_ids"), list_of(DataType::UInt32)));
        fields.push(field(&format!("{end}_values"), list_of(DataType::Float32)));
    }
    fields.push(field("logit_count", DataType::UInt64));
    fields.extend((1..=4).map(|order| field(&format!("logit_sum{order}"), DataType::Float64)));
    fields.extend(["logit_min", "logit_max"].map(|name| field(name, DataType::Float32)));
    let cosines = ["cos_in_out", "cos_gate_out", "cos_gate_in"];
    fields.extend(cosines.map(|name| Field::new(name, DataType::Float32, true)));
    Arc::new(Schema::new(fields))
}

fn batch(neurons: &[NeuronWeights]) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let tokens = |get: &dyn Fn(&NeuronWeights) -> &Vec<(TokenId, f32)>| -> [ArrayRef; 2] {
        let item = |data_type| Arc::new(Field::new("item", data_type, false));
        let mut ids = ListBuilder::new(UInt32Builder::new()).with_field(item(DataType::UInt32));
        let mut values =
            ListBuilder::new(Float32Builder::new()).with_field(item(DataType::Float32));
        for neuron in neurons {
            for (token, value) in get(neuron) {
                ids.values().append_value(token.0);
                values.values().append_value(*value);
            }
            ids.append(true);
            values.append(true);
        }
        [Arc::new(ids.finish()), Arc::new(values.finish())]
    };
    let f64s = |get: &dyn Fn(&NeuronWeights) -> f64| -> ArrayRef {
        Arc::new(neurons.iter().map(get).collect::<Float64Array>())
    };
    let f32s = |get: &dyn Fn(&NeuronWeights) -> Option<f32>| -> ArrayRef {
        Arc::new(neurons.iter().map(get).collect::<Float32Array>())
    };
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new((0..neurons.len() as u32).collect::<UInt32Array>())];
    columns.extend(tokens(&|n| &n.top));
    columns.extend(tokens(&|n| &n.bottom));
    columns.push(Arc::new(
        neurons
            .iter()
            .map(|n| n.logits.count)
            .collect::<UInt64Array>(),
    ));
    columns.extend((0..4).map(|order| f64s(&|n| n.logits.sums[order])));
    columns.extend([f32s(&|n| Some(n.logits.min)), f32s(&|n| Some(n.logits.max))]);
    columns.extend([
        f32s(&|n| n.cos_in_out),
        f32s(&|n| n.cos_gate_out),
        f32s(&|n| n.cos_gate_in),
    ]);
    RecordBatch::try_new(schema(), columns)
}

/// Reads a layer's table.
pub(super) fn read_layer(path: &Path) -> Result<Vec<NeuronWeights>, AtlasError> {
    let mut found = Vec::new();
    for batch in TableReader::open(path, &schema(), 4096)? {
        let batch = batch?;
        let lists = |column: usize, row: usize| -> Vec<(TokenId, f32)> {
            let ids = batch.column(column).as_list::<i32>().value(row);
            let values = batch.column(column + 1).as_list::<i32>().value(row);
            let ids = ids
                .as_primitive::<UInt32Type>()
                .values()
                .iter()
                .map(|&id| TokenId(id))
                .collect::<Vec<_>>();
            ids.into_iter()
                .zip(
                    values
                        .as_primitive::<Float32Type>()
                        .values()
                        .iter()
                        .copied(),
                )
                .collect()
        };
        let f64s = |column: usize, row: usize| {
            batch
                .column(column)
                .as_primitive::<Float64Type>()
                .value(row)
        };
        let f32s = |column: usize, row: usize| {
            batch
                .column(column)
                .as_primitive::<Float32Type>()
                .iter()
                .nth(row)
                .flatten()
        };
        for row in 0..batch.num_rows() {
            found.push(NeuronWeights {
                top: lists(1, row),
                bottom: lists(3, row),
                logits: Moments {
                    count: batch.column(5).as_primitive::<UInt64Type>().value(row),
                    sums: std::array::from_fn(|order| f64s(6 + order, row)),
                    min: f32s(10, row).unwrap_or_default(),
                    max: f32s(11, row).unwrap_or_default(),
                },
                cos_in_out: f32s(12, row),
                cos_gate_out: f32s(13, row),
                cos_gate_in: f32s(14, row),
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn extremes_are_sorted_and_ties_go_by_id() {
        let mut values: Vec<f32> = (0..30).map(|i| (i % 15) as f32).collect();
        values[3] = f32::NAN;
        let ids: Vec<u32> = extremes(&values, |a, b| a > b)
            .iter()
            .map(|(token, _)| token.0)
            .collect();
        assert_eq!(ids, [14, 29, 13, 28, 12, 27, 11, 26, 10, 25]);
        let ids: Vec<u32> = extremes(&values, |a, b| a < b)
            .iter()
            .map(|(token, _)| token.0)
            .collect();
        assert_eq!(ids, [0, 15, 1, 16, 2, 17, 18, 4, 19, 5]);
    }

    #[test]
    fn the_cosine_of_a_zero_row_is_not_given() {
        let rows = |values: &[f32]| Tensor::from_slice(values, (2, 2), &Device::Cpu).unwrap();
        let found = cosines(&rows(&[1.0, 0.0, 0.0, 0.0]), &rows(&[1.0, 1.0, 1.0, 0.0])).unwrap();
        assert!((found[0].unwrap() - 0.5f32.sqrt()).abs() < 1e-6);
        assert_eq!(found[1], None);
    }
}
