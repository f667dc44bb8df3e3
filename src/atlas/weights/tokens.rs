//! The token index: which neurons write a token, and on which it is the peak of an example: `tokens.parquet`.

use std::path::Path;
use std::sync::Arc;

use super::TOP_NEURONS;
use super::best::{Best, Shared};
use super::table::check_neurons;
use super::vocabulary::TokenWriters;
use crate::atlas::error::AtlasError;
use crate::ids::{NeuronId, TokenId};
use crate::shard::{Column, Row, ScanIdentity, Table, TableReader, TableWriter};
use crate::tokens::Vocabulary;

/// Name of the table.
pub(crate) const TOKENS_FILE: &str = "tokens.parquet";

/// Neurons kept of those that peak on a token.
const TOP_PEAKS: usize = 20;

/// Rows of a row group.
const ROWS: usize = 4096;

const BY_LOGIT: [&str; 2] = ["promoted_logit", "suppressed_logit"];
const BY_V: [&str; 2] = ["promoted_v", "suppressed_v"];
pub(super) const FIRING: [&str; 2] = ["promoted_by", "suppressed_by"];
pub(super) const FIRING_BY_V: [&str; 2] = ["promoted_by_v", "suppressed_by_v"];
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
    /// Neurons with the most positive and the most negative cosines of `w_out` with the token's column of `W_U`.
    pub by_v: [Vec<(NeuronId, f32)>; 2],
    /// Neurons that promote it most when they fire on a side that they speak with, and those that suppress it most, by the size of
    /// the logit weight. One that promotes it with a negative logit weight does so when it fires negatively.
    pub firing: [Vec<(NeuronId, f32)>; 2],
    /// The neurons that do so with the largest cosines of `w_out` with the token's column of `W_U`.
    pub firing_by_v: [Vec<(NeuronId, f32)>; 2],
    /// Neurons whose largest examples peak on it, and those whose smallest do.
    pub peaks: [Peaks; 2],
}

impl TokenNeurons {
    /// Makes it what a version before 0.3 wrote.
    pub(crate) fn forget_firing(&mut self) {
        self.firing = Default::default();
        self.firing_by_v = Default::default();
    }
}

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
    writers: Shared<TokenWriters>,
    peaks: PeakIndex,
}

impl TokenIndex {
    pub(super) fn new(writers: Shared<TokenWriters>, n_tokens: usize, d_mlp: u32) -> Self {
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
        let named = |lists: [Vec<(u32, f32)>; 2]| {
            lists.map(|list| {
                let list = list.into_iter();
                list.map(|found| named(self.peaks.d_mlp, found)).collect()
            })
        };
        let found = self.writers.of(token.0 as usize, |[by_logit, by_v], at| {
            let signed = [by_logit.signed(at), by_v.signed(at)];
            [signed, [by_logit.firing(at), by_v.firing(at)]]
        });
        let [[by_logit, by_v], [firing, firing_by_v]] = found.map(|both| both.map(named));
        TokenNeurons {
            by_logit,
            by_v,
            firing,
            firing_by_v,
            peaks: self.peaks.of(token),
        }
    }

    /// Writes the table.
    pub(crate) fn write(&self, path: &Path, vocabulary: &Vocabulary) -> Result<(), AtlasError> {
        let mut writer = TableWriter::create(path, tokens_table())?;
        let n_tokens = self.peaks.n_tokens;
        for first in (0..n_tokens).step_by(ROWS) {
            let tokens = first..(first + ROWS).min(n_tokens);
            let tokens = tokens.map(|token| TokenId(token as u32));
            let row = |token| TokenRow {
                token,
                text: vocabulary.text(token).into_owned(),
                neurons: self.of(token),
            };
            writer.write(&tokens.map(row).collect::<Vec<_>>())?;
        }
        Ok(writer.finish()?)
    }
}

/// A token's text, as [`Vocabulary::text`] has it, and its neurons.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TokenRow {
    /// Its id.
    pub token: TokenId,
    /// Its text.
    pub text: String,
    /// Its neurons.
    pub neurons: TokenNeurons,
}

impl Row for TokenRow {
    fn place(&self) -> String {
        format!("token {}", self.token.0)
    }
}

/// The table.
pub(crate) fn tokens_table() -> Arc<Table<TokenRow>> {
    type T = TokenRow;
    let mut columns = vec![
        Column::number("token", |t: &T| t.token.0, |t, x| t.token = TokenId(x)).about("id"),
        Column::text(
            "text",
            |t: &T| Some(&t.text),
            |t, text| {
                t.text = text.unwrap_or_default().to_owned();
                Ok(())
            },
        )
        .required()
        .about("text"),
    ];
    let writers = ["that promote it most", "that suppress it most"];
    for end in 0..2 {
        let about = format!("neurons {}, by logit weights", writers[end]);
        let column = Column::keyed(
            BY_LOGIT[end],
            move |t: &T| &t.neurons.by_logit[end],
            move |t, x| t.neurons.by_logit[end] = x,
        );
        columns.push(column.about(about));
    }
    for end in 0..2 {
        let about = format!("neurons {}, by v", writers[end]);
        let column = Column::keyed(
            BY_V[end],
            move |t: &T| &t.neurons.by_v[end],
            move |t, x| t.neurons.by_v[end] = x,
        );
        columns.push(column.about(about));
    }
    let extremes = ["positive", "negative"];
    for end in 0..2 {
        let get = move |t: &T| t.neurons.peaks[end].n_neurons;
        let set = move |t: &mut T, x| t.neurons.peaks[end].n_neurons = x;
        let extreme = extremes[end];
        let about =
            format!("how many neurons have one of their most {extreme} examples peak on it");
        columns.push(Column::number(N_PEAKS[end], get, set).about(about));
    }
    for (end, name) in PEAKS.into_iter().enumerate() {
        let column = Column::keyed(
            name,
            move |t: &T| &t.neurons.peaks[end].neurons,
            move |t, x| t.neurons.peaks[end].neurons = x,
        );
        columns.push(column.about("those with the most such examples; `value` is how many"));
    }
    let effects = [("promote", "negative"), ("suppress", "positive")];
    for (end, (effect, sign)) in effects.into_iter().enumerate() {
        let logit = Column::keyed(
            FIRING[end],
            move |t: &T| &t.neurons.firing[end],
            move |t, x| t.neurons.firing[end] = x,
        );
        let about = format!(
            "neurons that {effect} it most when they fire on the side that dominates, or on either where both are nearly as large, by the size of the logit weight; one with a {sign} `value` does so with its negative side"
        );
        let v = Column::keyed(
            FIRING_BY_V[end],
            move |t: &T| &t.neurons.firing_by_v[end],
            move |t, x| t.neurons.firing_by_v[end] = x,
        );
        columns.extend([
            logit.about(about).since("0.3", "not known"),
            v.about("the same, by v").since("0.3", "not known"),
        ]);
    }
    Arc::new(Table::new(columns))
}

/// Names of the columns in which what is known of a token differs.
pub(crate) fn different_tokens(a: &TokenRow, b: &TokenRow) -> Vec<String> {
    tokens_table().different(a, b)
}

/// The tokens of an atlas, some at a time.
pub struct TokenBatches {
    reader: TableReader<TokenRow>,
    scan: ScanIdentity,
    next: u32,
}

/// Reads the table.
pub(crate) fn read(
    path: &Path,
    rows: usize,
    scan: &ScanIdentity,
) -> Result<TokenBatches, AtlasError> {
    Ok(TokenBatches {
        reader: TableReader::open(path, tokens_table(), rows)?,
        scan: scan.clone(),
        next: 0,
    })
}

impl TokenBatches {
    /// Whether they say which neurons promote and suppress a token when they fire. Those of before 0.3 do once the atlas is
    /// analysed again.
    pub fn have_firing(&self) -> bool {
        let absent = self.reader.absent();
        let is_known = |name: &&str| !absent.iter().any(|other| other == name);
        FIRING.iter().any(is_known)
    }

    fn read_next(&mut self) -> Result<Option<Vec<TokenRow>>, AtlasError> {
        let n_tokens = self.scan.model.d_vocab;
        let Some(rows) = self.reader.next().transpose()? else {
            return match self.next == n_tokens {
                true => Ok(None),
                false => {
                    let reason = format!("it has {} tokens; expected {n_tokens}", self.next);
                    self.next = n_tokens;
                    Err(self.reader.wrong(reason).into())
                }
            };
        };
        for row in &rows {
            if row.token.0 != self.next || self.next >= n_tokens {
                let (place, next) = (row.place(), self.next);
                let reason = format!("{place} stands where token {next} is expected");
                return Err(self.reader.wrong(reason).into());
            }
            check(&row.neurons, &self.scan).map_err(|reason| {
                let reason = format!("{}: {reason}", row.place());
                self.reader.wrong(reason)
            })?;
            self.next += 1;
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
    for (names, lists) in [
        (BY_LOGIT, &of.by_logit),
        (BY_V, &of.by_v),
        (FIRING, &of.firing),
        (FIRING_BY_V, &of.firing_by_v),
    ] {
        for (name, list) in names.into_iter().zip(lists) {
            check_neurons(name, list, TOP_NEURONS, scan)?;
        }
    }
    let n_neurons = scan.n_neurons();
    for (end, peaks) in of.peaks.iter().enumerate() {
        check_neurons(PEAKS[end], &peaks.neurons, TOP_PEAKS, scan)?;
        if u64::from(peaks.n_neurons) > n_neurons {
            return Err(format!("`{}` is {}", N_PEAKS[end], peaks.n_neurons));
        }
    }
    Ok(())
}
