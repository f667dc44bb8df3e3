//! The token index: which neurons write a token, and on which it is the peak of an example: `tokens.parquet`.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::UInt32Type;
use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt32Array};
use arrow_schema::{ArrowError, DataType, Field, Schema};

use super::TOP_NEURONS;
use super::best::{Best, Shared};
use super::table::{Named, check_neurons, neuron_list, neuron_lists};
use super::vocabulary::Writers;
use crate::atlas::error::AtlasError;
use crate::ids::{NeuronId, TokenId};
use crate::shard::{ScanIdentity, TableReader, TableWriter, different_columns};
use crate::tokens::Vocabulary;

/// Name of the table.
pub(in crate::atlas) const TOKENS_FILE: &str = "tokens.parquet";

/// Neurons kept of those that peak on a token.
const TOP_PEAKS: usize = 20;

/// Rows of a row group.
const ROWS: usize = 4096;

const WRITERS: [&str; 4] = [
    "promoted_logit",
    "suppressed_logit",
    "promoted_v",
    "suppressed_v",
];
const PEAKS: [&str; 2] = ["peaks_top", "peaks_bottom"];
const N_PEAKS: [&str; 2] = ["n_peaks_top", "n_peaks_bottom"];

/// Neurons whose examples peak on a token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Peaks {
    /// How many they are.
    pub n_neurons: u32,
    /// Those with the most such examples, and how many.
    pub neurons: Vec<(NeuronId, f32)>,
}

/// What is known of a token.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenNeurons {
    /// Neurons with the largest logit weights, descending, and with the smallest, ascending.
    pub by_logit: [Vec<(NeuronId, f32)>; 2],
    /// The same by the cosine of `w_out` with the token's column of `W_U`.
    pub by_v: [Vec<(NeuronId, f32)>; 2],
    /// Neurons whose largest examples peak on it, and those whose smallest do.
    pub peaks: [Peaks; 2],
}

/// A token's text, as [`Vocabulary::text`] has it, and its neurons.
pub type TokenRow = (String, TokenNeurons);

/// On which tokens neurons peak.
pub struct PeakIndex {
    n_tokens: usize,
    d_mlp: u32,
    peaks: [Best; 2],
    n_peaks: [Vec<u32>; 2],
}

impl PeakIndex {
    /// Before any neuron.
    pub fn new(n_tokens: usize, d_mlp: u32) -> Self {
        Self {
            n_tokens,
            d_mlp,
            peaks: [0, 1].map(|_| Best::new(n_tokens, TOP_PEAKS)),
            n_peaks: [0, 1].map(|_| vec![0; n_tokens]),
        }
    }

    /// Adds the tokens that a neuron's largest (end 0) or smallest (end 1) examples peak on, in any order.
    pub fn add(&mut self, neuron: NeuronId, end: usize, mut tokens: Vec<TokenId>) {
        tokens.sort_unstable();
        let flat = neuron.layer * self.d_mlp + neuron.neuron;
        for same in tokens.chunk_by(|a, b| a == b) {
            let token = same[0].0 as usize;
            if token < self.n_tokens {
                self.n_peaks[end][token] += 1;
                self.peaks[end].offer(token, flat, same.len() as f32);
            }
        }
    }

    /// Those that peak on a token.
    pub fn of(&self, token: TokenId) -> [Peaks; 2] {
        let token = token.0 as usize;
        [0, 1].map(|end| Peaks {
            n_neurons: self.n_peaks[end][token],
            neurons: self.peaks[end]
                .of(token)
                .map(|found| named(self.d_mlp, found))
                .collect(),
        })
    }
}

fn named(d_mlp: u32, (flat, value): (u32, f32)) -> (NeuronId, f32) {
    let (layer, neuron) = (flat / d_mlp, flat % d_mlp);
    (NeuronId { layer, neuron }, value)
}

/// Which neurons write each token, and on which they peak.
pub struct TokenIndex {
    writers: Shared<Writers>,
    peaks: PeakIndex,
}

impl TokenIndex {
    pub(super) fn new(writers: Shared<Writers>, n_tokens: usize, d_mlp: u32) -> Self {
        Self {
            writers,
            peaks: PeakIndex::new(n_tokens, d_mlp),
        }
    }

    /// The tokens that the chosen neurons peak on.
    pub fn peaks(&mut self) -> &mut PeakIndex {
        &mut self.peaks
    }

    /// What is known of a token.
    pub fn of(&self, token: TokenId) -> TokenNeurons {
        let named = |found| named(self.peaks.d_mlp, found);
        let minus = |(flat, score): (u32, f32)| named((flat, 0.0 - score));
        let both = |lists: &[Best; 2], at: usize| -> [Vec<_>; 2] {
            [
                lists[0].of(at).map(named).collect(),
                lists[1].of(at).map(minus).collect(),
            ]
        };
        let (by_logit, by_v) = self.writers.of(token.0 as usize, |writers, at| {
            (both(&writers.by_logit, at), both(&writers.by_v, at))
        });
        TokenNeurons {
            by_logit,
            by_v,
            peaks: self.peaks.of(token),
        }
    }

    /// Writes the table.
    pub(in crate::atlas) fn write(
        &self,
        path: &Path,
        vocabulary: &Vocabulary,
    ) -> Result<(), AtlasError> {
        let mut writer = TableWriter::create(path, schema())?;
        let n_tokens = self.peaks.n_tokens;
        for first in (0..n_tokens).step_by(ROWS) {
            let tokens = first..(first + ROWS).min(n_tokens);
            let tokens = tokens.map(|token| TokenId(token as u32));
            let row = |token| (vocabulary.text(token).into_owned(), self.of(token));
            let rows: Vec<_> = tokens.map(row).collect();
            writer.write(batch(first as u32, &rows))?;
        }
        Ok(writer.finish()?)
    }
}

fn schema() -> Arc<Schema> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, false);
    let mut fields = vec![
        field("token", DataType::UInt32),
        field("text", DataType::Utf8),
    ];
    fields.extend(WRITERS.map(|name| field(name, neuron_list())));
    fields.extend(N_PEAKS.map(|name| field(name, DataType::UInt32)));
    fields.extend(PEAKS.map(|name| field(name, neuron_list())));
    Arc::new(Schema::new(fields))
}

fn batch(first: u32, rows: &[TokenRow]) -> Result<RecordBatch, ArrowError> {
    let neurons = |get: &dyn Fn(&TokenNeurons) -> &Vec<(NeuronId, f32)>| {
        let lists: Vec<_> = rows.iter().map(|(_, row)| get(row).as_slice()).collect();
        neuron_lists(&lists)
    };
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new((first..first + rows.len() as u32).collect::<UInt32Array>()),
        Arc::new(
            rows.iter()
                .map(|(text, _)| Some(text.as_str()))
                .collect::<StringArray>(),
        ),
        neurons(&|row| &row.by_logit[0])?,
        neurons(&|row| &row.by_logit[1])?,
        neurons(&|row| &row.by_v[0])?,
        neurons(&|row| &row.by_v[1])?,
    ];
    for end in 0..2 {
        let counts = rows.iter().map(|(_, row)| row.peaks[end].n_neurons);
        columns.push(Arc::new(counts.collect::<UInt32Array>()));
    }
    for end in 0..2 {
        columns.push(neurons(&|row| &row.peaks[end].neurons)?);
    }
    RecordBatch::try_new(schema(), columns)
}

/// Names of the columns in which what is known of a token differs.
pub(crate) fn different_tokens(a: &TokenRow, b: &TokenRow) -> Vec<String> {
    let rows = batch(0, &[a.clone(), b.clone()]);
    let mut different = rows.map_or_else(|_| Vec::new(), |rows| different_columns(&rows));
    different.retain(|name| name != "token");
    different
}

/// The tokens of an atlas, some at a time.
pub struct TokenBatches {
    reader: TableReader,
    scan: ScanIdentity,
    next: u32,
}

/// Reads the table.
pub(in crate::atlas) fn read(
    path: &Path,
    rows: usize,
    scan: &ScanIdentity,
) -> Result<TokenBatches, AtlasError> {
    Ok(TokenBatches {
        reader: TableReader::open(path, &schema(), rows)?,
        scan: scan.clone(),
        next: 0,
    })
}

impl TokenBatches {
    fn read_next(&mut self) -> Result<Option<Vec<TokenRow>>, AtlasError> {
        let n_tokens = self.scan.model.d_vocab;
        let Some(batch) = self.reader.next().transpose()? else {
            return match self.next == n_tokens {
                true => Ok(None),
                false => {
                    let reason = format!("it has {} tokens; expected {n_tokens}", self.next);
                    self.next = n_tokens;
                    Err(self.reader.wrong(reason).into())
                }
            };
        };
        let columns = Named(&batch);
        let mut rows = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let id = columns.number::<UInt32Type>("token", row);
            if id != Some(self.next) || self.next >= n_tokens {
                let id = id.unwrap_or_default();
                let reason = format!("token {id} stands where token {} is expected", self.next);
                return Err(self.reader.wrong(reason).into());
            }
            let found = token(&columns, row);
            check(&found.1, &self.scan).map_err(|reason| {
                let reason = format!("token {}: {reason}", self.next);
                self.reader.wrong(reason)
            })?;
            self.next += 1;
            rows.push(found);
        }
        Ok(Some(rows))
    }
}

impl Iterator for TokenBatches {
    type Item = Result<Vec<TokenRow>, AtlasError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

/// Fails if a number of a token cannot be, in a model of these sizes.
fn check(of: &TokenNeurons, scan: &ScanIdentity) -> Result<(), String> {
    let writers = of.by_logit.iter().chain(&of.by_v);
    for (name, list) in WRITERS.into_iter().zip(writers) {
        check_neurons(name, list, TOP_NEURONS, scan)?;
    }
    let n_neurons = u64::from(scan.model.n_layers) * u64::from(scan.model.d_mlp);
    for (end, peaks) in of.peaks.iter().enumerate() {
        check_neurons(PEAKS[end], &peaks.neurons, TOP_PEAKS, scan)?;
        if u64::from(peaks.n_neurons) > n_neurons {
            return Err(format!("`{}` is {}", N_PEAKS[end], peaks.n_neurons));
        }
    }
    Ok(())
}

fn token(columns: &Named<'_>, row: usize) -> TokenRow {
    let neurons = |name: &str| columns.neurons(name, row);
    let peaks = |end: usize| Peaks {
        n_neurons: columns
            .number::<UInt32Type>(N_PEAKS[end], row)
            .unwrap_or_default(),
        neurons: neurons(PEAKS[end]),
    };
    let text = columns.string("text", row).unwrap_or_default();
    let neurons = TokenNeurons {
        by_logit: [neurons(WRITERS[0]), neurons(WRITERS[1])],
        by_v: [neurons(WRITERS[2]), neurons(WRITERS[3])],
        peaks: [peaks(0), peaks(1)],
    };
    (text.to_owned(), neurons)
}
