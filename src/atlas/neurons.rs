//! One row per neuron of the model: facts and ranks. The table for notebooks.

use std::path::Path;
use std::sync::Arc;

use crate::shard::{Column, FIRST, Row, ScanIdentity, Table, TableReader, TableWriter};
use crate::stats::neuron::NeuronStats;

use super::error::AtlasError;
use super::facts::{FREQUENCY_ABS, Fact, N_RANKED, N_SCANNED, RANKED, RARE_ONE_IN, SCANNED};
use super::interest::{Ranks, ranks};
use super::weights::NeuronWeights;

/// Name of the table.
pub(super) const NEURONS_FILE: &str = "neurons.parquet";

/// A neuron in one line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Layer.
    pub layer: u32,
    /// Index in the layer.
    pub neuron: u32,
    /// Counted positions.
    pub count: u64,
    /// Whether it is never above τ, if that is known.
    pub dead: Option<bool>,
    /// Whether it is above τ, but at fewer than one of [`RARE_ONE_IN`] positions, if that is known.
    pub rare: Option<bool>,
    /// Values of [`RANKED`].
    ranked: [Option<f64>; N_RANKED],
    /// Values of [`SCANNED`].
    scanned: [Option<f64>; N_SCANNED],
    /// Ranks by [`RANKED`].
    ranks: [Ranks; N_RANKED],
}

impl Summary {
    /// A summary without ranks, and without what only the weights say.
    pub(crate) fn new(layer: u32, neuron: u32, stats: &NeuronStats) -> Self {
        let share = FREQUENCY_ABS.of_stats(stats);
        let n = stats.n_above_tau;
        Self {
            layer,
            neuron,
            count: stats.moments.count,
            dead: n.map(|n| n == 0),
            rare: n.map(|n| n > 0 && share.is_some_and(|share| share < 1.0 / RARE_ONE_IN as f64)),
            ranked: RANKED.map(|fact| fact.of_stats(stats)),
            scanned: SCANNED.map(|fact| fact.of_stats(stats)),
            ranks: Default::default(),
        }
    }

    /// The value of a fact that is ranked, or that a scan gives.
    pub fn value(&self, fact: &Fact) -> Option<f64> {
        match (fact.place_in(&RANKED), fact.place_in(&SCANNED)) {
            (Some(at), _) => self.ranked[at],
            (_, Some(at)) => self.scanned[at],
            _ => None,
        }
    }

    /// The value of any fact. What only the weights say is not known without them.
    pub fn fact(&self, fact: &Fact, weights: Option<&NeuronWeights>) -> Option<f64> {
        let of_weights = || fact.of_weights(weights?)?;
        self.value(fact).or_else(of_weights)
    }

    /// Its ranks by a fact; where the value is not known, a rank says nothing.
    pub fn ranks(&self, fact: &Fact) -> Ranks {
        let at = fact.place_in(&RANKED);
        let at = at.filter(|at| self.ranked[*at].is_some());
        at.map(|at| self.ranks[at]).unwrap_or_default()
    }

    /// Takes over what only the weights say from a summary made when they were analysed.
    pub(crate) fn keep_weights_of(&mut self, other: &Self) {
        for (at, fact) in RANKED.iter().enumerate() {
            if !fact.is_scanned() {
                self.ranked[at] = other.ranked[at];
            }
        }
    }
}

/// Adds what the weights say.
pub(crate) fn measure(summaries: &mut [Summary], weights: &[NeuronWeights]) {
    for (summary, weights) in summaries.iter_mut().zip(weights) {
        for (fact, value) in RANKED.iter().zip(&mut summary.ranked) {
            if let Some(found) = fact.of_weights(weights) {
                *value = found;
            }
        }
    }
}

/// Names of the columns in which two summaries differ.
pub(crate) fn different_summaries(a: &Summary, b: &Summary) -> Vec<String> {
    neurons_table().different(a, b)
}

/// Ranks all neurons of a model by every fact.
pub(crate) fn rank(layers: &mut [Vec<Summary>]) {
    for at in 0..N_RANKED {
        let values = |rows: &[Summary]| {
            let values = rows.iter().map(|row| row.ranked[at]);
            values.collect::<Vec<_>>()
        };
        let all: Vec<_> = layers.iter().flat_map(|rows| values(rows)).collect();
        let mut in_model = ranks(&all).into_iter();
        for rows in layers.iter_mut() {
            let in_layer = ranks(&values(rows));
            for (row, in_layer) in rows.iter_mut().zip(in_layer) {
                row.ranks[at] = Ranks {
                    in_layer,
                    in_model: in_model.next().flatten(),
                };
            }
        }
    }
}

impl Row for Summary {
    fn place(&self) -> String {
        format!("neuron {}.{}", self.layer, self.neuron)
    }
}

/// The table.
pub(crate) fn neurons_table() -> Arc<Table<Summary>> {
    type S = Summary;
    let fact = |fact: &'static Fact, column: Column<S>| {
        let column = column.about(fact.definition.replace('|', "\\|"));
        match fact.since {
            FIRST => column.may_lack("not known"),
            since => column.since(since, "not known"),
        }
    };
    let mut columns = vec![
        Column::number("layer", |s: &S| s.layer, |s, x| s.layer = x).about("layer, from 0"),
        Column::number("neuron", |s: &S| s.neuron, |s, x| s.neuron = x).about("index in the layer"),
        Column::number("count", |s: &S| s.count, |s, x| s.count = x).about("counted tokens"),
    ];
    for (at, one) in SCANNED.into_iter().enumerate() {
        let column = Column::optional(
            one.key,
            move |s: &S| s.scanned[at],
            move |s, x: Option<f64>| s.scanned[at] = x,
        );
        columns.push(fact(one, column));
    }
    columns.extend([
        Column::flag("dead", |s: &S| s.dead, |s, x| s.dead = x)
            .may_lack("not known")
            .about("never above τ"),
        Column::flag("rare", |s: &S| s.rare, |s, x| s.rare = x)
            .may_lack("not known")
            .about(format!(
                "above τ, but at fewer than one of {RARE_ONE_IN} counted tokens"
            )),
    ]);
    for (at, one) in RANKED.into_iter().enumerate() {
        let key = one.key;
        let value = Column::optional(
            key,
            move |s: &S| s.ranked[at],
            move |s, x: Option<f64>| s.ranked[at] = x,
        );
        let in_layer = Column::optional(
            format!("{key}_rank_in_layer"),
            move |s: &S| s.ranks[at].in_layer,
            move |s, x: Option<u32>| s.ranks[at].in_layer = x,
        );
        let in_model = Column::optional(
            format!("{key}_rank_in_model"),
            move |s: &S| s.ranks[at].in_model,
            move |s, x: Option<u32>| s.ranks[at].in_model = x,
        );
        let [in_layer, in_model] =
            [(in_layer, "layer"), (in_model, "model")].map(|(column, place)| {
                fact(one, column).about(format!(
                    "rank by `{key}` among the neurons of the {place} that have one, from 1"
                ))
            });
        columns.extend([fact(one, value), in_layer, in_model]);
    }
    Arc::new(Table::new(columns))
}

/// Writes the table, a row group per layer.
pub(super) fn write(path: &Path, layers: &[Vec<Summary>]) -> Result<(), AtlasError> {
    let mut writer = TableWriter::create(path, neurons_table())?;
    for rows in layers {
        writer.write(rows)?;
    }
    Ok(writer.finish()?)
}

/// Names of the columns that the table does not have, or that hold nothing but null.
pub(super) fn absent(path: &Path) -> Result<Vec<String>, AtlasError> {
    let reader = TableReader::open(path, neurons_table(), 1)?;
    Ok(reader.absent().to_vec())
}

/// Reads one layer's rows.
pub(super) fn read(
    path: &Path,
    layer: u32,
    scan: &ScanIdentity,
) -> Result<Vec<Summary>, AtlasError> {
    let (n_layers, d_mlp) = (scan.model.n_layers, scan.model.d_mlp);
    let mut rows: Vec<Summary> = Vec::new();
    let mut reader = TableReader::open_group(path, neurons_table(), 4096, layer as usize)?;
    while let Some(found) = reader.next().transpose()? {
        for summary in found {
            let expected = (layer, rows.len() as u32);
            if (summary.layer, summary.neuron) != expected || summary.neuron >= d_mlp {
                let (place, at) = (summary.place(), rows.len());
                let reason = format!("{place} stands where neuron {layer}.{at} is expected");
                return Err(reader.wrong(reason).into());
            }
            if let Some(reason) = summary.impossible(n_layers, d_mlp) {
                let reason = format!("{}: {reason}", summary.place());
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
    /// A value or rank that no neuron has.
    fn impossible(&self, n_layers: u32, d_mlp: u32) -> Option<String> {
        let ranked = RANKED.iter().zip(self.ranked);
        for (fact, value) in SCANNED.iter().zip(self.scanned).chain(ranked) {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Some(format!("`{}` is {value}", fact.key));
            }
        }
        let in_model = u64::from(n_layers) * u64::from(d_mlp);
        for (fact, ranks) in RANKED.iter().zip(self.ranks) {
            for (place, rank, most) in [
                ("layer", ranks.in_layer, u64::from(d_mlp)),
                ("model", ranks.in_model, in_model),
            ] {
                if let Some(rank) = rank.filter(|rank| !(1..=most).contains(&u64::from(*rank))) {
                    return Some(format!("`{}_rank_in_{place}` is {rank}", fact.key));
                }
            }
        }
        None
    }
}
