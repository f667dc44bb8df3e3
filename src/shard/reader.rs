//! Reads the tables of a layer, neuron by neuron.

use std::cmp::Ordering;
use std::iter::Peekable;
use std::path::Path;
use std::vec;

use super::checks;
use super::error::ShardError;
use super::examples::{
    ExampleRow, NeuronExample, PeakRow, TextRow, examples_table, peaks_table, texts_table,
};
use super::manifest::ScanIdentity;
use super::stats::{StatsRow, stats_table};
use super::table::{Row, TableReader};
use super::{examples_file, stats_file};
use crate::stats::MlpKind;
use crate::stats::neuron::NeuronStats;

/// Most documents that a corpus can have.
const MOST_DOCUMENTS: u64 = u32::MAX as u64;

/// Where the examples of a layer peak.
pub struct PeakReader {
    table: TableReader<PeakRow>,
    n_neurons: u32,
    last: u32,
}

impl PeakReader {
    /// Opens a layer's table of examples in a folder.
    pub fn open(folder: &Path, layer: u32, scan: &ScanIdentity) -> Result<Self, ShardError> {
        let path = folder.join(examples_file(layer));
        Ok(Self {
            table: TableReader::open(&path, peaks_table(), 16_384)?,
            n_neurons: scan.model.d_mlp,
            last: 0,
        })
    }

    fn checked(&mut self, mut rows: Vec<PeakRow>) -> Result<Vec<PeakRow>, ShardError> {
        for row in &rows {
            if row.neuron < self.last || row.neuron >= self.n_neurons {
                let reason = format!("examples of neuron {} are not in order", row.neuron);
                return Err(self.table.wrong(reason));
            }
            self.last = row.neuron;
        }
        rows.retain(|row| row.list.is_some());
        Ok(rows)
    }
}

impl Iterator for PeakReader {
    type Item = Result<Vec<PeakRow>, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.table.next()?;
        Some(rows.and_then(|rows| self.checked(rows)))
    }
}

/// The texts of the tokens of a layer's examples, which every example must have.
pub struct TextReader {
    table: TableReader<TextRow>,
}

impl TextReader {
    /// Opens a layer's table of examples in a folder.
    pub fn open(folder: &Path, layer: u32) -> Result<Self, ShardError> {
        let path = folder.join(examples_file(layer));
        Ok(Self {
            table: TableReader::open(&path, texts_table(), 1024)?,
        })
    }

    /// Whether no example has any.
    pub fn is_empty(&self) -> bool {
        self.table.absent().iter().any(|column| column == "tokens")
    }
}

impl Iterator for TextReader {
    type Item = Result<Vec<Vec<String>>, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self.table.next()?;
        let texts = |mut row: TextRow| {
            let tokens = row.tokens.take();
            let missing = || format!("{} has no `tokens`, and there is no corpus", row.place());
            tokens.ok_or_else(|| self.table.wrong(missing()))
        };
        Some(rows.and_then(|rows| rows.into_iter().map(texts).collect()))
    }
}

/// Reads a layer's statistics without its examples, in the order of the neurons.
pub struct StatsReader {
    table: TableReader<StatsRow>,
    ready: vec::IntoIter<StatsRow>,
    n_neurons: u32,
    next: u32,
}

impl StatsReader {
    /// Opens a layer's table of statistics in a folder; it must have all the layer's neurons.
    pub fn open(folder: &Path, layer: u32, scan: &ScanIdentity) -> Result<Self, ShardError> {
        let path = folder.join(stats_file(layer));
        Ok(Self {
            table: TableReader::open(&path, stats_table(scan.kind()), 256)?,
            ready: Vec::new().into_iter(),
            n_neurons: scan.model.d_mlp,
            next: 0,
        })
    }

    fn read_next(&mut self) -> Result<Option<NeuronStats>, ShardError> {
        loop {
            if let Some(row) = self.ready.next() {
                if row.neuron != self.next || row.neuron >= self.n_neurons {
                    let (found, next) = (row.neuron, self.next);
                    let reason = format!("neuron {found} stands where neuron {next} is expected");
                    return Err(self.table.wrong(reason));
                }
                checks::stats(&row.stats).map_err(|reason| {
                    let reason = format!("neuron {}: {reason}", row.neuron);
                    self.table.wrong(reason)
                })?;
                self.next += 1;
                return Ok(Some(row.stats));
            }
            match self.table.next().transpose()? {
                Some(rows) => self.ready = rows.into_iter(),
                None if self.next == self.n_neurons => return Ok(None),
                None => {
                    let (n, expected) = (self.next, self.n_neurons);
                    let reason = format!("it has {n} neurons; expected {expected}");
                    return Err(self.table.wrong(reason));
                }
            }
        }
    }
}

impl Iterator for StatsReader {
    type Item = Result<NeuronStats, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

/// Reads the tables of one layer, neuron by neuron.
pub struct LayerReader {
    n_neurons: Option<u32>,
    n_documents: u64,
    stats: TableReader<StatsRow>,
    examples: TableReader<NeuronExample>,
    ready_stats: vec::IntoIter<StatsRow>,
    ready_examples: Peekable<vec::IntoIter<NeuronExample>>,
    next: u32,
}

/// A neuron's index, statistics and examples.
type LayerRow = (u32, NeuronStats, Vec<ExampleRow>);

impl LayerReader {
    /// Opens the tables of a layer in a folder.
    pub fn open(folder: &Path, layer: u32, kind: MlpKind) -> Result<Self, ShardError> {
        let (stats_path, examples_path) = (
            folder.join(stats_file(layer)),
            folder.join(examples_file(layer)),
        );
        Ok(Self {
            n_neurons: None,
            n_documents: MOST_DOCUMENTS,
            stats: TableReader::open(&stats_path, stats_table(kind), 256)?,
            examples: TableReader::open(&examples_path, examples_table(kind), 4096)?,
            ready_stats: Vec::new().into_iter(),
            ready_examples: Vec::new().into_iter().peekable(),
            next: 0,
        })
    }

    /// Opens the tables of a layer of a scan, which must have all its neurons and no other documents than the corpus.
    pub fn of(folder: &Path, layer: u32, scan: &ScanIdentity) -> Result<Self, ShardError> {
        Ok(Self {
            n_neurons: Some(scan.model.d_mlp),
            n_documents: scan.corpus.n_documents.unwrap_or(MOST_DOCUMENTS),
            ..Self::open(folder, layer, scan.kind())?
        })
    }

    /// Names of the columns that the tables do not have, or that hold nothing but null.
    pub fn absent(&self) -> Vec<String> {
        [self.stats.absent(), self.examples.absent()].concat()
    }

    fn next_stats(&mut self) -> Result<Option<StatsRow>, ShardError> {
        loop {
            if let Some(next) = self.ready_stats.next() {
                return Ok(Some(next));
            }
            match self.stats.next().transpose()? {
                Some(rows) => self.ready_stats = rows.into_iter(),
                None => return Ok(None),
            }
        }
    }

    fn read_next(&mut self) -> Result<Option<LayerRow>, ShardError> {
        let Some(StatsRow { neuron, stats, .. }) = self.next_stats()? else {
            return self.end().map(|()| None);
        };
        if neuron != self.next || self.n_neurons.is_some_and(|n| neuron >= n) {
            let reason = match self.n_neurons {
                Some(n) if self.next >= n => format!("it has more than {n} neurons"),
                _ => format!(
                    "neuron {neuron} stands where neuron {} is expected",
                    self.next
                ),
            };
            return Err(self.stats.wrong(reason));
        }
        let of_neuron = |reason| format!("neuron {neuron}: {reason}");
        checks::stats(&stats).map_err(|reason| self.stats.wrong(of_neuron(reason)))?;
        self.next += 1;
        let mut rows = Vec::new();
        while let Some(owner) = self.next_owner()? {
            match owner.cmp(&neuron) {
                Ordering::Equal => rows.extend(self.ready_examples.next().map(|next| next.row)),
                Ordering::Less => {
                    let reason = format!("examples of neuron {owner} are not in order");
                    return Err(self.examples.wrong(reason));
                }
                Ordering::Greater => break,
            }
        }
        checks::examples(&rows, self.n_documents)
            .map_err(|reason| self.examples.wrong(of_neuron(reason)))?;
        Ok(Some((neuron, stats, rows)))
    }

    /// The neuron that the next example belongs to.
    fn next_owner(&mut self) -> Result<Option<u32>, ShardError> {
        loop {
            if let Some(next) = self.ready_examples.peek() {
                return Ok(Some(next.neuron));
            }
            match self.examples.next().transpose()? {
                Some(rows) => self.ready_examples = rows.into_iter().peekable(),
                None => return Ok(None),
            }
        }
    }

    /// After the last neuron.
    fn end(&mut self) -> Result<(), ShardError> {
        if let Some(n) = self.n_neurons.filter(|n| self.next < *n) {
            let reason = format!("it has {} neurons; expected {n}", self.next);
            return Err(self.stats.wrong(reason));
        }
        match self.next_owner()? {
            Some(owner) => {
                let reason = format!("it has examples of neuron {owner}, which is not there");
                Err(self.examples.wrong(reason))
            }
            None => Ok(()),
        }
    }
}

impl Iterator for LayerReader {
    type Item = Result<LayerRow, ShardError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}
