//! One row per neuron of the model: facts and ranks. The table for notebooks.

use std::path::Path;
use std::sync::Arc;

use crate::shard::{Column, FIRST, Row, ScanIdentity, Table, TableReader, TableWriter};
use crate::stats::neuron::NeuronStats;

use super::activity::{self, Activity, dead_and_rare};
use super::error::AtlasError;
use super::facts::{FREQUENCY_ABS, Fact, N_RANKED, N_SCANNED, RANKED, RARE_ONE_IN, SCANNED};
use super::interest::{Ranks, ranks};
use super::line::LineWriter;
use super::sides::{FiresAtStarts, Orientation, Peak, Side, fires_at_starts, orientation};
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
    /// Whether its largest magnitude is at most a hundredth of the layer's median, if that is known.
    pub dead: Option<bool>,
    /// Whether it is not dead, but above that at fewer than one of [`RARE_ONE_IN`] positions, if that is known.
    pub rare: Option<bool>,
    /// The side that dominates, if there is one, and it is known.
    pub orientation: Option<Orientation>,
    /// Whether it fires where windows start, if that is known.
    pub at_starts: Option<FiresAtStarts>,
    /// A line about each side, in the order of [`Side::ALL`], if the text was at hand.
    pub lines: [Option<String>; 2],
    /// Values of [`RANKED`].
    ranked: [Option<f64>; N_RANKED],
    /// Values of [`SCANNED`].
    scanned: [Option<f64>; N_SCANNED],
    /// Ranks by [`RANKED`].
    ranks: [Ranks; N_RANKED],
}

impl Summary {
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

    /// The line about the side that dominates.
    pub fn line(&self) -> Option<&str> {
        self.line_of(self.orientation?.side)
    }

    /// The line about a side.
    pub fn line_of(&self, side: Side) -> Option<&str> {
        self.lines[side as usize].as_deref()
    }

    /// Whether rankings by a fact have it, as far as windows' starts are concerned.
    pub fn is_ranked_by(&self, fact: &Fact) -> bool {
        let at_starts = self.at_starts.unwrap_or_default();
        let is_of_starts = match fact.of_both_sides {
            true => at_starts.either,
            false => at_starts.dominant,
        };
        !(fact.is_scanned() && is_of_starts)
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

/// The rules by which summaries are made of statistics and examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rules {
    /// Before 0.3: dead and rare by τ, no sides, every neuron ranked.
    First,
    /// Since 0.3.
    Sides,
}

/// The summaries of a layer, neuron by neuron, until all are known.
pub(crate) struct LayerSummaries {
    rules: Rules,
    rows: Vec<Summary>,
    activities: Vec<Activity>,
}

impl LayerSummaries {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            rows: Vec::new(),
            activities: Vec::new(),
        }
    }

    /// Adds a neuron, without ranks and without what only the weights say. `peaks` are the examples of both sides, best first.
    pub(crate) fn push(&mut self, layer: u32, neuron: u32, stats: &NeuronStats, peaks: &[Peak]) {
        let (orientation, at_starts) = match self.rules {
            Rules::First => (None, None),
            Rules::Sides => {
                let orientation = orientation(peaks);
                let starts = stats.starts.as_ref();
                let at_starts = fires_at_starts(peaks, orientation, starts);
                (orientation, Some(at_starts))
            }
        };
        let side = orientation.map_or(Side::Positive, |of| of.side);
        let n = stats.n_above_tau;
        let share = FREQUENCY_ABS.of_stats(stats, side);
        let is_rare = |n| n > 0 && share.is_some_and(|share| share < 1.0 / RARE_ONE_IN as f64);
        self.rows.push(Summary {
            layer,
            neuron,
            count: stats.moments.count,
            dead: n.map(|n| n == 0),
            rare: n.map(is_rare),
            orientation,
            at_starts,
            lines: Default::default(),
            ranked: RANKED.map(|fact| fact.of_stats(stats, side)),
            scanned: SCANNED.map(|fact| fact.of_stats(stats, side)),
            ranks: Default::default(),
        });
        if self.rules == Rules::Sides {
            self.activities.push(Activity::of(stats));
        }
    }

    /// Adds lines about the neuron that was added last.
    pub(crate) fn add_lines(
        &mut self,
        lines: &LineWriter<'_>,
        peaks: &[Peak],
        weights: Option<&NeuronWeights>,
    ) -> Result<(), AtlasError> {
        let Some(row) = self.rows.last_mut() else {
            return Ok(());
        };
        for (line, side) in row.lines.iter_mut().zip(Side::ALL) {
            let own = peaks.iter().filter(|peak| peak.side == side);
            let places: Vec<_> = own.map(|peak| peak.place).collect();
            *line = lines.line(side, &places, weights)?;
        }
        Ok(())
    }

    /// The summaries of all neurons that were added.
    pub(crate) fn finish(mut self) -> Vec<Summary> {
        let threshold = activity::threshold(&self.activities);
        for (row, of) in self.rows.iter_mut().zip(&self.activities) {
            [row.dead, row.rare] = dead_and_rare(of, threshold);
        }
        self.rows
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

/// Ranks all neurons of a model by every fact, but for those that a scan finds only to fire where windows start.
pub(crate) fn rank(layers: &mut [Vec<Summary>]) {
    for (at, fact) in RANKED.into_iter().enumerate() {
        let value = |row: &Summary| row.ranked[at].filter(|_| row.is_ranked_by(fact));
        let values = |rows: &[Summary]| rows.iter().map(value).collect::<Vec<_>>();
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
            .about("largest magnitude at most a hundredth of the layer's median; before 0.3 never above τ"),
        Column::flag("rare", |s: &S| s.rare, |s, x| s.rare = x)
            .may_lack("not known")
            .about(format!(
                "not dead, but above that at fewer than one of {RARE_ONE_IN} counted tokens"
            )),
        Column::text(
            "side",
            |s: &S| s.orientation.map(|of| of.side.name()),
            |s, name| {
                let Some(name) = name else { return Ok(()) };
                let side = Side::from_name(name).ok_or_else(|| format!("there is no side `{name}`"))?;
                s.orientation = Some(Orientation { side, balance: 0.0 });
                Ok(())
            },
        )
        .about("`positive` or `negative`: the sign whose first ten examples have the larger median size; null for neither")
        .since("0.3", "not known"),
        Column::optional(
            "side_balance",
            |s: &S| s.orientation.map(|of| of.balance),
            |s, balance: Option<f32>| {
                if let (Some(of), Some(balance)) = (&mut s.orientation, balance) {
                    of.balance = balance;
                }
            },
        )
        .about("the other sign's median size as a share of it")
        .since("0.3", "not known"),
        Column::flag(
            "at_starts",
            |s: &S| s.at_starts.map(|of| of.dominant),
            |s, dominant| {
                s.at_starts = dominant.map(|dominant| FiresAtStarts {
                    dominant,
                    either: dominant,
                });
            },
        )
        .about("fires where windows start: by values there over three times as large as elsewhere, or by half of the first ten examples of `side`; not ranked by what a scan gives")
        .since("0.3", "not known"),
        Column::flag(
            "at_starts_either",
            |s: &S| s.at_starts.map(|of| of.either),
            |s, either| {
                if let (Some(of), Some(either)) = (&mut s.at_starts, either) {
                    of.either = either;
                }
            },
        )
        .about("the same, or by half of the first ten examples of the other sign; not ranked by variance and range")
        .since("0.3", "not known"),
    ]);
    for (at, side) in Side::ALL.into_iter().enumerate() {
        let column = Column::text(
            format!("line_{}", side.name()),
            move |s: &S| s.lines[at].as_deref(),
            move |s, line| {
                s.lines[at] = line.map(str::to_owned);
                Ok(())
            },
        );
        let about = format!(
            "what its {} examples peak on, with counts, what stands beside the peaks, what it promotes and suppresses with that sign, and where: made without a model",
            side.name()
        );
        columns.push(column.about(about).since("0.3", "not known"));
    }
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
    let d_mlp = scan.model.d_mlp;
    let group = scan.layer_index(layer).unwrap_or(usize::MAX);
    let mut rows: Vec<Summary> = Vec::new();
    let mut reader = TableReader::open_group(path, neurons_table(), 4096, group)?;
    while let Some(found) = reader.next().transpose()? {
        for summary in found {
            let expected = (layer, rows.len() as u32);
            if (summary.layer, summary.neuron) != expected || summary.neuron >= d_mlp {
                let (place, at) = (summary.place(), rows.len());
                let reason = format!("{place} stands where neuron {layer}.{at} is expected");
                return Err(reader.wrong(reason).into());
            }
            if let Some(reason) = summary.impossible(scan) {
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
    fn impossible(&self, scan: &ScanIdentity) -> Option<String> {
        let ranked = RANKED.iter().zip(self.ranked);
        for (fact, value) in SCANNED.iter().zip(self.scanned).chain(ranked) {
            if let Some(value) = value.filter(|value| !value.is_finite()) {
                return Some(format!("`{}` is {value}", fact.key));
            }
        }
        if let Some(of) = self
            .orientation
            .filter(|of| !(0.0..=1.0).contains(&of.balance))
        {
            return Some(format!("`side_balance` is {}", of.balance));
        }
        let (d_mlp, in_model) = (scan.model.d_mlp, scan.n_neurons());
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
