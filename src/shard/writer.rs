//! Writes the tables of a layer.

use std::path::Path;

use super::error::ShardError;
use super::examples::{ExampleRow, NeuronExample, examples_table};
use super::stats::{StatsRow, stats_table};
use super::table::TableWriter;
use super::{examples_file, stats_file};
use crate::stats::MlpKind;
use crate::stats::neuron::NeuronStats;

/// Writes the tables of one layer, neuron by neuron in ascending order.
pub struct LayerWriter {
    layer: u32,
    stats: TableWriter<StatsRow>,
    examples: TableWriter<NeuronExample>,
    waiting_stats: Vec<StatsRow>,
    waiting_examples: Vec<NeuronExample>,
}

/// Rows of a row group: enough to compress well, few enough to be read piece by piece.
const STATS_ROWS: usize = 1024;
const EXAMPLE_ROWS: usize = 32 * 1024;

impl LayerWriter {
    /// Begins the tables in a folder.
    pub fn create(folder: &Path, layer: u32, kind: MlpKind) -> Result<Self, ShardError> {
        Ok(Self {
            layer,
            stats: TableWriter::create(&folder.join(stats_file(layer)), stats_table(kind))?,
            examples: TableWriter::create(
                &folder.join(examples_file(layer)),
                examples_table(kind),
            )?,
            waiting_stats: Vec::new(),
            waiting_examples: Vec::new(),
        })
    }

    /// Adds the next neuron.
    pub fn push(
        &mut self,
        neuron: u32,
        stats: NeuronStats,
        rows: impl IntoIterator<Item = ExampleRow>,
    ) -> Result<(), ShardError> {
        self.waiting_stats.push(StatsRow::new(neuron, stats));
        let rows = rows.into_iter();
        self.waiting_examples
            .extend(rows.map(|row| NeuronExample::new(neuron, row)));
        if self.waiting_stats.len() >= STATS_ROWS {
            self.flush_stats()?;
        }
        if self.waiting_examples.len() >= EXAMPLE_ROWS {
            self.flush_examples()?;
        }
        Ok(())
    }

    /// Ends the tables; returns their names.
    pub fn finish(mut self) -> Result<[String; 2], ShardError> {
        self.flush_stats()?;
        self.flush_examples()?;
        self.stats.finish()?;
        self.examples.finish()?;
        Ok([stats_file(self.layer), examples_file(self.layer)])
    }

    fn flush_stats(&mut self) -> Result<(), ShardError> {
        self.stats.write(&self.waiting_stats)?;
        self.waiting_stats.clear();
        Ok(())
    }

    fn flush_examples(&mut self) -> Result<(), ShardError> {
        self.examples.write(&self.waiting_examples)?;
        self.waiting_examples.clear();
        Ok(())
    }
}
