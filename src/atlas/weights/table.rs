//! A layer's table: `layer-LLL.weights.parquet`.

use std::path::Path;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Float32Type, Float64Type, UInt32Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Float32Array, Float64Array, ListArray, RecordBatch, StringArray,
    StructArray, UInt32Array,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema};

use super::classes::{Class, Classed, Cosines};
use super::pairs::Relation;
use super::reads::Reads;
use super::roles::Role;
use super::vocabulary::{Histogram, Shape};
use super::{NeuronWeights, Norms, TOP_NEURONS, TOP_TOKENS};
use crate::atlas::error::AtlasError;
use crate::ids::{NeuronId, TokenId};
use crate::shard::{ScanIdentity, TableReader, TableWriter, different_columns};

/// Rows of a row group.
const ROWS: usize = 1024;

/// `list<struct<…, value: f32>>`, the other fields being numbers that say what the value is of.
fn list_type(keys: &[&str]) -> DataType {
    let keys = keys
        .iter()
        .map(|key| Field::new(*key, DataType::UInt32, false));
    let fields: Fields = keys
        .chain([Field::new("value", DataType::Float32, false)])
        .collect();
    DataType::List(Arc::new(Field::new(
        "item",
        DataType::Struct(fields),
        false,
    )))
}

/// The type of lists of tokens.
pub(super) fn token_list() -> DataType {
    list_type(&["token"])
}

/// The type of lists of neurons.
pub(super) fn neuron_list() -> DataType {
    list_type(&["layer", "neuron"])
}

fn list_array(
    data_type: &DataType,
    lengths: impl Iterator<Item = usize>,
    columns: Vec<ArrayRef>,
) -> Result<ArrayRef, ArrowError> {
    let DataType::List(item) = data_type else {
        return Err(ArrowError::SchemaError("expected a list".into()));
    };
    let DataType::Struct(fields) = item.data_type() else {
        return Err(ArrowError::SchemaError("expected structs".into()));
    };
    let items = StructArray::try_new(fields.clone(), columns, None)?;
    let offsets = OffsetBuffer::from_lengths(lengths);
    Ok(Arc::new(ListArray::try_new(
        item.clone(),
        offsets,
        Arc::new(items),
        None,
    )?))
}

/// Lists of tokens as a column.
fn token_lists(lists: &[&[(TokenId, f32)]]) -> Result<ArrayRef, ArrowError> {
    let items = || lists.iter().copied().flatten();
    let tokens: UInt32Array = items().map(|(token, _)| Some(token.0)).collect();
    let values: Float32Array = items().map(|(_, value)| Some(*value)).collect();
    let lengths = lists.iter().map(|list| list.len());
    list_array(
        &token_list(),
        lengths,
        vec![Arc::new(tokens), Arc::new(values)],
    )
}

/// Lists of neurons as a column.
pub(super) fn neuron_lists(lists: &[&[(NeuronId, f32)]]) -> Result<ArrayRef, ArrowError> {
    let items = || lists.iter().copied().flatten();
    let layers: UInt32Array = items().map(|(id, _)| Some(id.layer)).collect();
    let neurons: UInt32Array = items().map(|(id, _)| Some(id.neuron)).collect();
    let values: Float32Array = items().map(|(_, value)| Some(*value)).collect();
    let lengths = lists.iter().map(|list| list.len());
    list_array(
        &neuron_list(),
        lengths,
        vec![Arc::new(layers), Arc::new(neurons), Arc::new(values)],
    )
}

fn schema() -> Arc<Schema> {
    let required = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let optional = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let mut fields = vec![
        required("layer", DataType::UInt32),
        required("neuron", DataType::UInt32),
        required("norm_in", DataType::Float32),
        optional("norm_gate", DataType::Float32),
        required("norm_out", DataType::Float32),
    ];
    fields.extend(
        ["cos_in_out", "cos_gate_out", "cos_gate_in"].map(|name| optional(name, DataType::Float32)),
    );
    fields.push(optional("class", DataType::Utf8));
    fields.push(optional("typical", DataType::Boolean));
    fields.push(optional("role", DataType::Utf8));
    fields.push(optional("null_share", DataType::Float32));
    fields.extend(SHAPES.map(|name| optional(name, DataType::Float64)));
    fields.extend(["v_low", "v_step"].map(|name| required(name, DataType::Float32)));
    let count = Arc::new(required("item", DataType::UInt32));
    fields.push(required("v_counts", DataType::List(count)));
    fields.extend(TOKEN_LISTS.map(|name| required(name, token_list())));
    fields.extend(Relation::ALL.map(|relation| required(relation.name(), neuron_list())));
    Arc::new(Schema::new(fields))
}

const SHAPES: [&str; 7] = [
    "logit_variance",
    "logit_skewness",
    "logit_kurtosis",
    "v_mean",
    "v_variance",
    "v_skewness",
    "v_kurtosis",
];

const TOKEN_LISTS: [&str; 6] = [
    "top",
    "bottom",
    "read_in_top",
    "read_in_bottom",
    "read_gate_top",
    "read_gate_bottom",
];

fn shapes(of: &NeuronWeights) -> [Option<f64>; SHAPES.len()] {
    let (logits, v) = (&of.logits, &of.v);
    [
        logits.variance,
        logits.skewness,
        logits.kurtosis,
        v.mean,
        v.variance,
        v.skewness,
        v.kurtosis,
    ]
}

fn token_lists_of(of: &NeuronWeights) -> [&[(TokenId, f32)]; TOKEN_LISTS.len()] {
    [
        &of.top,
        &of.bottom,
        &of.reads_in.top,
        &of.reads_in.bottom,
        &of.reads_gate.top,
        &of.reads_gate.bottom,
    ]
}

/// Writes the table of a layer.
pub(in crate::atlas) fn write_layer(
    path: &Path,
    layer: u32,
    neurons: &[NeuronWeights],
) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, schema())?;
    for (group, neurons) in neurons.chunks(ROWS).enumerate() {
        writer.write(batch(layer, (group * ROWS) as u32, neurons))?;
    }
    Ok(writer.finish()?)
}

fn batch(layer: u32, first: u32, rows: &[NeuronWeights]) -> Result<RecordBatch, ArrowError> {
    let n = rows.len() as u32;
    let f32s = |get: &dyn Fn(&NeuronWeights) -> Option<f32>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<Float32Array>())
    };
    let strings = |get: &dyn Fn(&NeuronWeights) -> Option<&'static str>| -> ArrayRef {
        Arc::new(rows.iter().map(get).collect::<StringArray>())
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(UInt32Array::from_value(layer, rows.len())),
        Arc::new((first..first + n).collect::<UInt32Array>()),
        f32s(&|row| Some(row.norms.input)),
        f32s(&|row| row.norms.gate),
        f32s(&|row| Some(row.norms.out)),
        f32s(&|row| row.cosines.in_out),
        f32s(&|row| row.cosines.gate_out),
        f32s(&|row| row.cosines.gate_in),
        strings(&|row| row.class.map(|of| of.class.name())),
        Arc::new(
            rows.iter()
                .map(|row| row.class.map(|of| of.typical))
                .collect::<BooleanArray>(),
        ),
        strings(&|row| row.role.map(Role::name)),
        f32s(&|row| row.null_share),
    ];
    for at in 0..SHAPES.len() {
        let values = rows.iter().map(|row| shapes(row)[at]);
        columns.push(Arc::new(values.collect::<Float64Array>()));
    }
    columns.push(f32s(&|row| Some(row.histogram.low)));
    columns.push(f32s(&|row| Some(row.histogram.step)));
    let counts: UInt32Array = rows
        .iter()
        .flat_map(|row| row.histogram.counts.iter().copied())
        .collect();
    let lengths = OffsetBuffer::from_lengths(rows.iter().map(|row| row.histogram.counts.len()));
    let item = Arc::new(Field::new("item", DataType::UInt32, false));
    columns.push(Arc::new(ListArray::try_new(
        item,
        lengths,
        Arc::new(counts),
        None,
    )?));
    for at in 0..TOKEN_LISTS.len() {
        let lists: Vec<_> = rows.iter().map(|row| token_lists_of(row)[at]).collect();
        columns.push(token_lists(&lists)?);
    }
    for at in 0..Relation::ALL.len() {
        let lists: Vec<_> = rows
            .iter()
            .map(|row| row.neighbours[at].as_slice())
            .collect();
        columns.push(neuron_lists(&lists)?);
    }
    RecordBatch::try_new(schema(), columns)
}

/// Names of the columns in which the weights of a neuron differ.
pub(crate) fn different_weights(a: &NeuronWeights, b: &NeuronWeights) -> Vec<String> {
    let rows = batch(0, 0, &[a.clone(), b.clone()]);
    let mut different = rows.map_or_else(|_| Vec::new(), |rows| different_columns(&rows));
    different.retain(|name| name != "neuron");
    different
}

/// Columns of a batch, by name.
pub(super) struct Named<'b>(pub(super) &'b RecordBatch);

impl Named<'_> {
    fn column(&self, name: &str) -> &ArrayRef {
        // the reader has compared the schema
        let at = self.0.schema_ref().index_of(name).unwrap_or_default();
        self.0.column(at)
    }

    /// A value of a column of numbers.
    pub(super) fn number<T: ArrowPrimitiveType>(
        &self,
        name: &str,
        row: usize,
    ) -> Option<T::Native> {
        let column = self.column(name).as_primitive::<T>();
        column.is_valid(row).then(|| column.value(row))
    }

    /// A value of a column of strings.
    pub(super) fn string(&self, name: &str, row: usize) -> Option<&str> {
        let column = self.column(name).as_string::<i32>();
        column.is_valid(row).then(|| column.value(row))
    }

    fn boolean(&self, name: &str, row: usize) -> Option<bool> {
        let column = self.column(name).as_boolean();
        column.is_valid(row).then(|| column.value(row))
    }

    fn counts(&self, name: &str, row: usize) -> Vec<u32> {
        let counts = self.column(name).as_list::<i32>().value(row);
        counts.as_primitive::<UInt32Type>().values().to_vec()
    }

    fn tokens(&self, name: &str, row: usize) -> Vec<(TokenId, f32)> {
        let items = self.column(name).as_list::<i32>().value(row);
        let items = items.as_struct();
        let tokens = items.column(0).as_primitive::<UInt32Type>().values().iter();
        let values = items.column(1).as_primitive::<Float32Type>().values();
        tokens
            .map(|token| TokenId(*token))
            .zip(values.iter().copied())
            .collect()
    }

    /// A list of neurons.
    pub(super) fn neurons(&self, name: &str, row: usize) -> Vec<(NeuronId, f32)> {
        let items = self.column(name).as_list::<i32>().value(row);
        let items = items.as_struct();
        let numbers = |at: usize| {
            items
                .column(at)
                .as_primitive::<UInt32Type>()
                .values()
                .iter()
        };
        let ids = numbers(0)
            .zip(numbers(1))
            .map(|(&layer, &neuron)| NeuronId { layer, neuron });
        let values = items.column(2).as_primitive::<Float32Type>().values();
        ids.zip(values.iter().copied()).collect()
    }
}

/// Reads a layer's table.
pub(in crate::atlas) fn read_layer(
    path: &Path,
    layer: u32,
    scan: &ScanIdentity,
) -> Result<Vec<NeuronWeights>, AtlasError> {
    let d_mlp = scan.model.d_mlp;
    let mut found = Vec::new();
    let mut reader = TableReader::open(path, &schema(), ROWS)?;
    while let Some(batch) = reader.next().transpose()? {
        let columns = Named(&batch);
        for row in 0..batch.num_rows() {
            let id = NeuronId {
                layer: columns
                    .number::<UInt32Type>("layer", row)
                    .unwrap_or_default(),
                neuron: columns
                    .number::<UInt32Type>("neuron", row)
                    .unwrap_or_default(),
            };
            let expected = NeuronId {
                layer,
                neuron: found.len() as u32,
            };
            if id != expected || id.neuron >= d_mlp {
                let reason = format!("neuron {id} stands where neuron {expected} is expected");
                return Err(reader.wrong(reason).into());
            }
            let of_neuron = |reason| reader.wrong(format!("neuron {id}: {reason}"));
            let neuron = neuron(&columns, row).map_err(of_neuron)?;
            check(&neuron, scan).map_err(of_neuron)?;
            found.push(neuron);
        }
    }
    match found.len() == d_mlp as usize {
        true => Ok(found),
        false => {
            let reason = format!("it has {} neurons; expected {d_mlp}", found.len());
            Err(reader.wrong(reason).into())
        }
    }
}

/// Fails if a number of a neuron cannot be, in a model of these sizes.
fn check(of: &NeuronWeights, scan: &ScanIdentity) -> Result<(), String> {
    let f32s = [
        ("norm_in", Some(of.norms.input)),
        ("norm_gate", of.norms.gate),
        ("norm_out", Some(of.norms.out)),
        ("cos_in_out", of.cosines.in_out),
        ("cos_gate_out", of.cosines.gate_out),
        ("cos_gate_in", of.cosines.gate_in),
        ("null_share", of.null_share),
        ("v_low", Some(of.histogram.low)),
        ("v_step", Some(of.histogram.step)),
    ];
    let f32s = f32s.map(|(name, value)| (name, value.map(f64::from)));
    let shapes = SHAPES.into_iter().zip(shapes(of));
    for (name, value) in f32s.into_iter().chain(shapes) {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(format!("`{name}` is {value}"));
        }
    }
    let n = of.histogram.counts.len();
    if !matches!(n, 0 | super::BINS) {
        return Err(format!("`v_counts` has {n} values"));
    }
    for (name, list) in TOKEN_LISTS.into_iter().zip(token_lists_of(of)) {
        if list.len() > TOP_TOKENS {
            return Err(format!("`{name}` has {} tokens", list.len()));
        }
        for (token, value) in list {
            if token.0 >= scan.model.d_vocab || !value.is_finite() {
                return Err(format!("`{name}` has token {} with {value}", token.0));
            }
        }
    }
    for (relation, list) in Relation::ALL.into_iter().zip(&of.neighbours) {
        check_neurons(relation.name(), list, TOP_NEURONS, scan)?;
    }
    Ok(())
}

/// Fails if a list has more neurons than it may, neurons that are not there, or what is not a number.
pub(super) fn check_neurons(
    name: &str,
    list: &[(NeuronId, f32)],
    most: usize,
    scan: &ScanIdentity,
) -> Result<(), String> {
    if list.len() > most {
        return Err(format!("`{name}` has {} neurons", list.len()));
    }
    for (id, value) in list {
        let is_there = id.layer < scan.model.n_layers && id.neuron < scan.model.d_mlp;
        if !is_there || !value.is_finite() {
            return Err(format!("`{name}` has neuron {id} with {value}"));
        }
    }
    Ok(())
}

/// A neuron from its row; a class or role that is not known is the error.
fn neuron(columns: &Named<'_>, row: usize) -> Result<NeuronWeights, String> {
    let f32s = |name: &str| columns.number::<Float32Type>(name, row);
    let f64s = |name: &str| columns.number::<Float64Type>(name, row);
    let tokens = |name: &str| columns.tokens(name, row);
    let unknown = |what: &str, name: &str| format!("there is no {what} `{name}`");
    let class = columns.string("class", row).map(|name| {
        let class = Class::from_name(name);
        class.ok_or_else(|| unknown("class", name))
    });
    let role = columns.string("role", row).map(|name| {
        let role = Role::from_name(name);
        role.ok_or_else(|| unknown("role", name))
    });
    let class = class.transpose()?;
    let typical = columns.boolean("typical", row).unwrap_or_default();
    Ok(NeuronWeights {
        norms: Norms {
            input: f32s("norm_in").unwrap_or_default(),
            gate: f32s("norm_gate"),
            out: f32s("norm_out").unwrap_or_default(),
        },
        cosines: Cosines {
            in_out: f32s("cos_in_out"),
            gate_out: f32s("cos_gate_out"),
            gate_in: f32s("cos_gate_in"),
        },
        class: class.map(|class| Classed { class, typical }),
        role: role.transpose()?,
        null_share: f32s("null_share"),
        logits: Shape {
            mean: None,
            variance: f64s("logit_variance"),
            skewness: f64s("logit_skewness"),
            kurtosis: f64s("logit_kurtosis"),
        },
        v: Shape {
            mean: f64s("v_mean"),
            variance: f64s("v_variance"),
            skewness: f64s("v_skewness"),
            kurtosis: f64s("v_kurtosis"),
        },
        histogram: Histogram {
            low: f32s("v_low").unwrap_or_default(),
            step: f32s("v_step").unwrap_or_default(),
            counts: columns.counts("v_counts", row),
        },
        top: tokens("top"),
        bottom: tokens("bottom"),
        reads_in: Reads {
            top: tokens("read_in_top"),
            bottom: tokens("read_in_bottom"),
        },
        reads_gate: Reads {
            top: tokens("read_gate_top"),
            bottom: tokens("read_gate_bottom"),
        },
        neighbours: Relation::ALL.map(|relation| columns.neurons(relation.name(), row)),
    })
}
