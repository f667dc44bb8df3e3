//! A layer's table: `layer-LLL.weights.parquet`.

use std::borrow::Cow;
use std::path::Path;
use std::sync::Arc;

use super::classes::{Class, Classed};
use super::pairs::Relation;
use super::roles::Role;
use super::{NeuronWeights, TOP_NEURONS, TOP_TOKENS};
use crate::atlas::error::AtlasError;
use crate::ids::NeuronId;
use crate::shard::{Column, Row, ScanIdentity, Table, TableReader, TableWriter};

/// What holds of an atlas without a column.
const UNKNOWN: &str = "not known";
/// Rows of a row group.
const ROWS: usize = 1024;

/// A neuron with its weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct WeightsRow {
    layer: u32,
    neuron: u32,
    weights: NeuronWeights,
    /// Whether its class is typical, until the class is read.
    typical: Option<bool>,
}

impl Row for WeightsRow {
    fn place(&self) -> String {
        format!("neuron {}.{}", self.layer, self.neuron)
    }
}

type W = WeightsRow;

/// A column of numbers that may be null.
macro_rules! optional {
    ($name:expr, $($field:tt)+) => {
        Column::optional($name, |w: &W| w.weights.$($field)+, |w, x| w.weights.$($field)+ = x)
    };
}

/// A column of numbers.
macro_rules! number {
    ($name:expr, $($field:tt)+) => {
        Column::number($name, |w: &W| w.weights.$($field)+, |w, x| w.weights.$($field)+ = x)
    };
}

/// A column of lists of tokens or neurons.
macro_rules! keyed {
    ($name:expr, $($field:tt)+) => {
        Column::keyed($name, |w: &W| &w.weights.$($field)+, |w, x| w.weights.$($field)+ = x)
    };
}

fn unknown(what: &str, name: &str) -> String {
    format!("there is no {what} `{name}`")
}

/// The table.
pub(crate) fn weights_table() -> Arc<Table<WeightsRow>> {
    let extreme = "logit weights, 20 each";
    let read = |extreme: &str, weights: &str| {
        format!(
            "tokens with the most {extreme} products of W_E with {weights}; empty after the early layers"
        )
    };
    let mut columns = vec![
        Column::number("layer", |w: &W| w.layer, |w, x| w.layer = x).about("layer, from 0"),
        Column::number("neuron", |w: &W| w.neuron, |w, x| w.neuron = x).about("index in the layer"),
        number!("norm_in", norms.input).about("length of the input weights"),
        optional!("norm_gate", norms.gate)
            .about("length of the gate's weights; null without a gate"),
        number!("norm_out", norms.out)
            .about("length of the output weights, with any norm after the MLP folded in"),
        optional!("cos_in_out", cosines.in_out).about("cosine of input and output weights"),
        optional!("cos_gate_out", cosines.gate_out)
            .about("cosine of the gate's and the output weights"),
        optional!("cos_gate_in", cosines.gate_in)
            .about("cosine of the gate's and the input weights"),
        optional!("cos_in_written", cosines.in_written)
            .about("`cos_in_out` with the norm after the MLP folded into the output weights; null without such a norm")
            .since("0.3", UNKNOWN),
        optional!("cos_gate_written", cosines.gate_written)
            .about("`cos_gate_out` with that norm folded in")
            .since("0.3", UNKNOWN),
        // before the class, which needs it
        Column::flag(
            "typical",
            |w: &W| w.weights.class.map(|of| of.typical),
            |w, x| w.typical = x,
        )
        .about("whether the class is typical"),
        Column::text(
            "class",
            |w: &W| w.weights.class.map(|of| of.class.name()),
            |w, name| {
                let Some(name) = name else { return Ok(()) };
                let class = Class::from_name(name).ok_or_else(|| unknown("class", name))?;
                let typical = w.typical.ok_or("`typical` is missing")?;
                w.weights.class = Some(Classed { class, typical });
                Ok(())
            },
        )
        .about("input-output class"),
        Column::text(
            "role",
            |w: &W| w.weights.role.map(Role::name),
            |w, name| {
                let Some(name) = name else { return Ok(()) };
                w.weights.role = Some(Role::from_name(name).ok_or_else(|| unknown("role", name))?);
                Ok(())
            },
        )
        .about("`prediction`, `suppression`, `partition`, `entropy`, or null"),
        optional!("null_share", null_share).about("ρ"),
        optional!("logit_variance", logits.variance)
            .about("variance of the logit weights over the vocabulary"),
        optional!("logit_skewness", logits.skewness).about("their skewness"),
        optional!("logit_kurtosis", logits.kurtosis).about("their kurtosis, non-excess"),
        optional!("v_mean", v.mean).about("mean of v"),
        optional!("v_variance", v.variance).about("variance of v"),
        optional!("v_skewness", v.skewness).about("skewness of v"),
        optional!("v_kurtosis", v.kurtosis).about("kurtosis of v, non-excess"),
        number!("v_low", histogram.low).about("where the histogram of v begins"),
        number!("v_step", histogram.step).about("width of its bins"),
        Column::list(
            "v_counts",
            |w: &W| Some(Cow::Borrowed(&w.weights.histogram.counts)),
            |w, counts: &[u32]| {
                w.weights.histogram.counts = counts.to_vec();
                Ok(())
            },
        )
        .about("bin i counts from `v_low + i · v_step` on; empty without values"),
        keyed!("top", top).about(format!("most positive {extreme}")),
        keyed!("bottom", bottom).about(format!("most negative {extreme}")),
        keyed!("read_in_top", reads_in.top).about(read("positive", "w_in")),
        keyed!("read_in_bottom", reads_in.bottom).about(read("negative", "w_in")),
        keyed!("read_gate_top", reads_gate.top).about(read("positive", "w_gate")),
        keyed!("read_gate_bottom", reads_gate.bottom).about(read("negative", "w_gate")),
    ];
    columns.extend(Relation::ALL.into_iter().enumerate().map(|(at, relation)| {
        let column = Column::keyed(
            relation.name(),
            move |w: &W| &w.weights.neighbours[at],
            move |w, x| w.weights.neighbours[at] = x,
        );
        match relation {
            Relation::Alike => column
                .about("neurons that read and write alike, up to 10")
                .since("0.3", "none"),
            _ => column.about("neighbours, up to 10"),
        }
    }));
    Arc::new(Table::new(columns))
}

/// Writes the table of a layer.
pub(crate) fn write_layer(
    path: &Path,
    layer: u32,
    neurons: &[NeuronWeights],
) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, weights_table())?;
    for (group, neurons) in neurons.chunks(ROWS).enumerate() {
        let rows = (0..).zip(neurons).map(|(at, weights)| WeightsRow {
            layer,
            neuron: (group * ROWS) as u32 + at,
            weights: weights.clone(),
            typical: None,
        });
        writer.write(&rows.collect::<Vec<_>>())?;
    }
    Ok(writer.finish()?)
}

/// Names of the columns in which the weights of a neuron differ.
pub(crate) fn different_weights(a: &NeuronWeights, b: &NeuronWeights) -> Vec<String> {
    let [a, b] = [a, b].map(|weights| WeightsRow {
        weights: weights.clone(),
        ..WeightsRow::default()
    });
    weights_table().different(&a, &b)
}

/// Reads a layer's table.
pub(crate) fn read_layer(
    path: &Path,
    layer: u32,
    scan: &ScanIdentity,
) -> Result<Vec<NeuronWeights>, AtlasError> {
    let d_mlp = scan.model.d_mlp;
    let mut found: Vec<NeuronWeights> = Vec::new();
    let mut reader = TableReader::open(path, weights_table(), ROWS)?;
    while let Some(rows) = reader.next().transpose()? {
        for row in rows {
            let place = row.place();
            let WeightsRow {
                layer: of,
                neuron,
                weights,
                ..
            } = row;
            if (of, neuron) != (layer, found.len() as u32) || neuron >= d_mlp {
                let expected = found.len();
                let reason = format!("{place} stands where neuron {layer}.{expected} is expected");
                return Err(reader.wrong(reason).into());
            }
            let of_neuron = |reason| reader.wrong(format!("{place}: {reason}"));
            check(&weights, scan).map_err(of_neuron)?;
            found.push(weights);
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
        ("cos_in_written", of.cosines.in_written),
        ("cos_gate_written", of.cosines.gate_written),
        ("null_share", of.null_share),
        ("v_low", Some(of.histogram.low)),
        ("v_step", Some(of.histogram.step)),
    ];
    let f32s = f32s.map(|(name, value)| (name, value.map(f64::from)));
    let shapes = [
        ("logit_variance", of.logits.variance),
        ("logit_skewness", of.logits.skewness),
        ("logit_kurtosis", of.logits.kurtosis),
        ("v_mean", of.v.mean),
        ("v_variance", of.v.variance),
        ("v_skewness", of.v.skewness),
        ("v_kurtosis", of.v.kurtosis),
    ];
    for (name, value) in f32s.into_iter().chain(shapes) {
        if let Some(value) = value.filter(|value| !value.is_finite()) {
            return Err(format!("`{name}` is {value}"));
        }
    }
    let n = of.histogram.counts.len();
    if !matches!(n, 0 | super::BINS) {
        return Err(format!("`v_counts` has {n} values"));
    }
    for (name, list) in [
        ("top", &of.top),
        ("bottom", &of.bottom),
        ("read_in_top", &of.reads_in.top),
        ("read_in_bottom", &of.reads_in.bottom),
        ("read_gate_top", &of.reads_gate.top),
        ("read_gate_bottom", &of.reads_gate.bottom),
    ] {
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
        if !scan.has(*id) || !value.is_finite() {
            return Err(format!("`{name}` has neuron {id} with {value}"));
        }
    }
    Ok(())
}
