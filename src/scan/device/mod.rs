//! Scans batches with a model on a GPU: statistics add up there, and the host fetches only the activations that it lists.
//!
//! For each layer, the device reports the documents with peaks that beat a list ([`LayerState::observe`]); the host picks the
//! best of each document and fetches the values around it. This needs whole documents. A batch with only a piece of a document,
//! which is longer than a batch, is observed on the host like a batch on the CPU.

#[cfg(test)]
mod tests;

use std::ops::Range;

use rayon::prelude::*;

use crate::gpu::{
    ActFn, BatchRows, Counted, Counting, FURTHER, Gpu, HookTensors, LayerState, PeakCandidate,
    RowsCounted, Wanted,
};
use crate::ids::Pos;
use crate::model::walk::{Executor, LayerHooks, Visitor, Walk, Written};
use crate::model::{Activation, Entry, MlpProducts, Model, ModelError};
use crate::stats::block::{Block, PositionWindow, Quantity, ScanContext, Tally, quantities_of};
use crate::stats::examples::ListKind;
use crate::stats::moments::Moments;
use crate::stats::signs::CaseStats;
use crate::stats::sums::N_SUMS;
use crate::stats::{MlpKind, StatsOptions};

use crate::shard::ScanIdentity;

use super::batch::BatchWindow;
use super::error::ScanError;
use super::forward::BLOCK;

/// The kernels add up the sums that [`crate::stats::sums`] names.
const _: () = assert!(FURTHER == N_SUMS);

/// Most values that are fetched together.
const FETCHED: usize = 1 << 25;

/// Rows that are searched together for positions to draw.
const DRAWN: usize = 256;

/// Windows that are observed together at least, however short they are; also at the beginning, when nearly all are listed.
const FEWEST_WINDOWS: usize = 64;

/// Bytes on the device for fetched values, and in reserve.
#[cfg(feature = "cuda")]
const RESERVED: usize = 1 << 29;

/// Bounds of the number of tokens in a batch.
#[cfg(feature = "cuda")]
const FEWEST_TOKENS: usize = 1024;
#[cfg(feature = "cuda")]
const MOST_TOKENS: usize = 1 << 16;

/// The statistics of a scan on a device.
pub(super) struct OnDevice {
    gpu: Gpu,
    /// One state for each layer up to the last one that is scanned; `None` for those that are not.
    layers: Vec<Option<LayerState>>,
    n_windows: usize,
    /// Tokens so far, and the number of tokens at which the statistics are taken next: they bound what is drawn at random.
    n_tokens: u64,
    take_at: u64,
}

impl OnDevice {
    /// Observes a model that is on the device, if its neurons can be observed there.
    pub(super) fn new(
        gpu: Gpu,
        model: &Model,
        identity: &ScanIdentity,
        options: &StatsOptions,
    ) -> Result<Option<Self>, ScanError> {
        let kind = identity.kind();
        if kind == MlpKind::Solu {
            return Ok(None);
        }
        let config = model.config();
        let layer = |layer: u32| {
            let gated = kind == MlpKind::Gated;
            let state =
                || LayerState::new(&gpu, config.d_mlp, gated, options.rank_pre, options.tau);
            identity.layer_index(layer).map(|_| state()).transpose()
        };
        let n_blocks = identity.layers().pop().map_or(0, |last| last + 1);
        let layers = (0..n_blocks).map(layer).collect::<Result<_, _>>();
        Ok(Some(Self {
            layers: layers.map_err(ModelError::from)?,
            gpu,
            n_windows: 0,
            n_tokens: 0,
            take_at: 0,
        }))
    }

    /// Runs a batch of whole documents.
    pub(super) fn observe(
        &mut self,
        model: &Model,
        batch: &[BatchWindow],
        blocks: &mut [Vec<Block>],
        context: &ScanContext<'_>,
    ) -> Result<(), ScanError> {
        let n_rows = batch.iter().map(|window| window.ids.len()).sum::<usize>();
        let mut rest = batch;
        while !rest.is_empty() {
            // many short windows take more memory than their rows; so do the first ones, all of which are listed
            let most = (n_rows / LayerState::WINDOW_ROWS).min(self.n_windows);
            let most = most.max(FEWEST_WINDOWS);
            let mut n = 0;
            for document in rest.chunk_by(|a, b| a.info.doc == b.info.doc) {
                if n > 0 && n + document.len() > most {
                    break;
                }
                n += document.len();
            }
            let (own, more) = rest.split_at(n);
            self.run(model, own, blocks, context)?;
            rest = more;
        }
        Ok(())
    }

    fn run(
        &mut self,
        model: &Model,
        batch: &[BatchWindow],
        blocks: &mut [Vec<Block>],
        context: &ScanContext<'_>,
    ) -> Result<(), ModelError> {
        let rows = BatchIndex::of(batch);
        let lengths: Vec<usize> = batch.iter().map(|window| window.ids.len()).collect();
        let counted = batch.iter().flat_map(|window| {
            let rows = window.info.counted.iter().enumerate();
            rows.map(
                |(row, counted)| match (counted, row < window.info.n_start) {
                    (false, _) => Counting::No,
                    (true, false) => Counting::Yes,
                    (true, true) => Counting::AtStart,
                },
            )
        });
        let mut on_device = BatchRows::new(&self.gpu, &lengths, &counted.collect::<Vec<_>>())?;
        let drawn = rows.drawn(context);
        let mut on_device = OnBatch {
            gpu: &self.gpu,
            layers: &mut self.layers,
            blocks,
            batch: &mut on_device,
            rows: &rows,
            drawn: &drawn,
            context,
        };
        let ids: Vec<&[u32]> = batch.iter().map(|window| window.ids.as_slice()).collect();
        let last = on_device.layers.len().saturating_sub(1);
        let walk = Walk::new(model).stop_after(last);
        walk.visit(&[Entry::Ids(&ids)], &mut on_device)?;
        self.n_windows += batch.len();
        self.n_tokens += rows.n_rows as u64;
        Ok(())
    }

    /// Whether the statistics are so old that too many positions are drawn.
    pub(super) fn is_stale(&self) -> bool {
        self.n_tokens >= self.take_at
    }

    /// Adds the statistics on the device to the blocks.
    pub(super) fn settle(&mut self, blocks: &mut [Vec<Block>]) -> Result<(), ScanError> {
        for (state, blocks) in self.layers.iter_mut().zip(blocks) {
            let Some(state) = state else {
                continue;
            };
            let counted = state.take().map_err(ModelError::from)?;
            blocks.par_iter_mut().enumerate().for_each(|(at, block)| {
                for lane in 0..block.n_neurons() {
                    let neuron = at * BLOCK + lane;
                    let histogram = counted.histogram.chunks_exact(counted.d);
                    block.add(
                        lane,
                        &tally(&counted, neuron),
                        histogram.map(|bin| bin[neuron]),
                    );
                }
            });
        }
        self.take_at = self.n_tokens + self.n_tokens / 8;
        Ok(())
    }
}

/// Number of tokens in a batch that fits into the device's memory beside the model, `missing` bytes of which are still to be
/// loaded.
#[cfg(feature = "cuda")]
pub(super) fn batch_tokens(
    gpu: &Gpu,
    model: &Model,
    kind: MlpKind,
    options: &StatsOptions,
    missing: usize,
) -> Result<usize, ScanError> {
    let free = gpu.free_memory().map_err(ModelError::from)?;
    let free = free.saturating_sub(missing);
    // a fifth is left over for what cuBLAS wants, and for pieces between others
    let own = (free * 4 / 5).saturating_sub(bytes(model, kind, options, 0));
    let per_row = bytes(model, kind, options, 1) - bytes(model, kind, options, 0);
    Ok((own / per_row).clamp(FEWEST_TOKENS, MOST_TOKENS))
}

/// Bytes that statistics and a batch of `n_rows` rows take on the device.
#[cfg(feature = "cuda")]
pub(super) fn bytes(model: &Model, kind: MlpKind, options: &StatsOptions, n_rows: usize) -> usize {
    let config = model.config();
    let state = config.n_layers * LayerState::bytes(config.d_mlp);
    let of_statistics = LayerState::bytes_per_row(config.d_mlp, options.lists(kind).len());
    let per_row = model.bytes_per_row() + of_statistics;
    RESERVED + state + model.bytes_of_scores() + n_rows * per_row
}

/// Runs a batch through the first blocks of the model and waits until it is done.
pub(super) fn forward_alone(
    model: &Model,
    batch: &[BatchWindow],
    n_blocks: usize,
) -> Result<(), ScanError> {
    let ids: Vec<&[u32]> = batch.iter().map(|window| window.ids.as_slice()).collect();
    let walk = Walk::new(model).stop_after(n_blocks.saturating_sub(1));
    walk.visit(&[Entry::Ids(&ids)], &mut Alone)?;
    let waited = model.compute().device().synchronize();
    Ok(waited.map_err(ModelError::from)?)
}

/// Computes `hook_post` of every layer, and reads nothing.
struct Alone;

impl Visitor for Alone {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        let products = hooks.products()?;
        let post = products.iter().map(MlpProducts::post);
        hooks.write(post.collect::<Result<_, _>>()?)
    }
}

/// A batch during a walk.
struct OnBatch<'a, 'c> {
    gpu: &'a Gpu,
    layers: &'a mut [Option<LayerState>],
    blocks: &'a mut [Vec<Block>],
    batch: &'a mut BatchRows,
    rows: &'a BatchIndex<'a>,
    /// Positions to be kept, each with its rank.
    drawn: &'a [(Place, u32)],
    context: &'a ScanContext<'c>,
}

impl Visitor for OnBatch<'_, '_> {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        let layer = hooks.layer();
        let (Some(state), blocks) = (&mut self.layers[layer], &mut self.blocks[layer]) else {
            return hooks.pass();
        };
        let products = hooks.products()?;
        let [products] = products.as_slice() else {
            return Err(candle_core::Error::msg("a batch is one entry").into());
        };
        let values = hooks_of(products);
        let (post, candidates) = state.observe(values, self.batch, &thresholds(blocks))?;
        // the device goes on while the host makes its lists
        let written = hooks.write(vec![post])?;
        let activations = LayerOnDevice {
            gpu: self.gpu,
            hooks: values,
            rows: self.rows,
            context: self.context,
        };
        activations.list(blocks, candidates)?;
        for drawn in self.drawn.chunks(DRAWN) {
            activations.draw(blocks, drawn)?;
        }
        Ok(written)
    }
}

/// A layer's activations while they are on the device.
struct LayerOnDevice<'a> {
    gpu: &'a Gpu,
    hooks: HookTensors<'a>,
    rows: &'a BatchIndex<'a>,
    context: &'a ScanContext<'a>,
}

impl LayerOnDevice<'_> {
    /// Offers the peaks that beat the lists.
    fn list(
        &self,
        blocks: &mut [Block],
        candidates: Vec<PeakCandidate>,
    ) -> candle_core::Result<()> {
        let (rows, options) = (self.rows, self.context.options);
        let Some(lists) = blocks
            .first()
            .map(|block| block.lists().collect::<Vec<_>>())
        else {
            return Ok(());
        };
        let peaks = rows.best(candidates);
        for peaks in peaks.chunks(self.at_once()) {
            let wanted = |peak: &Peak| {
                let (place, neuron) = (peak.place, peak.neuron);
                let quantities = quantities_of(lists[peak.list], options);
                quantities.flat_map(move |quantity| rows.around(place, quantity, neuron, options))
            };
            let fetched = Fetched::of(self.gpu, self.hooks, peaks, wanted)?;
            let neuron = |peak: &Peak| peak.neuron;
            in_blocks(blocks, &fetched, neuron, |block, lane, peak, values| {
                let around = rows.at(peak.place, values, options);
                block.offer(peak.list, lane, &around, rows.context(peak.place));
            });
        }
        Ok(())
    }

    /// Keeps positions, each with its rank, for the neurons that may want them.
    fn draw(&self, blocks: &mut [Block], drawn: &[(Place, u32)]) -> candle_core::Result<()> {
        let (rows, context) = (self.rows, self.context);
        let at: Vec<u32> = drawn.iter().map(|&(place, _)| rows.row(place)).collect();
        let values = self.gpu.ranked_rows(self.hooks, &at)?;
        let d = values.len() / at.len().max(1);
        let of_block = |(at, block): (usize, &Block)| {
            let mut wanted = Vec::new();
            for lane in 0..block.n_neurons() {
                for (row, &(place, rank)) in drawn.iter().enumerate() {
                    let value = values[row * d + at * BLOCK + lane];
                    if value.is_finite() && block.wants(lane, rank, value, context) {
                        wanted.push((at * BLOCK + lane, place, rank));
                    }
                }
            }
            wanted
        };
        let samples: Vec<(usize, Place, u32)> = blocks
            .par_iter()
            .enumerate()
            .flat_map_iter(of_block)
            .collect();
        for samples in samples.chunks(self.at_once()) {
            let wanted = |&(neuron, place, _): &(usize, Place, u32)| {
                rows.around(place, Quantity::Ranked, neuron, context.options)
            };
            let fetched = Fetched::of(self.gpu, self.hooks, samples, wanted)?;
            let neuron = |sample: &(usize, Place, u32)| sample.0;
            in_blocks(blocks, &fetched, neuron, |block, lane, sample, values| {
                let around = rows.at(sample.1, values, context.options);
                block.draw(lane, sample.2, &around, context);
            });
        }
        Ok(())
    }

    /// Number of positions whose surroundings are fetched together.
    fn at_once(&self) -> usize {
        let options = self.context.options;
        let window = options.window_before as usize + options.window_after as usize + 1;
        let lists = ListKind::ALL.map(|list| quantities_of(list, options).count());
        let n_quantities = lists.into_iter().max().unwrap_or(1);
        (FETCHED / (n_quantities * window)).max(1)
    }
}

/// What was counted of one neuron.
fn tally(counted: &Counted, neuron: usize) -> Tally {
    let d = counted.d;
    let count = |at: usize| counted.counts[at * d + neuron];
    let sum = |at: usize| counted.sums[at * d + neuron];
    let extreme = |at: usize| counted.extremes[at * d + neuron];
    Tally {
        count: count(0),
        powers: std::array::from_fn(sum),
        min: -extreme(1),
        max: extreme(0),
        sums: std::array::from_fn(|at| sum(4 + at)),
        n_firing: count(1),
        n_above_tau: count(2),
        not_finite: count(3),
        special: moments(&counted.special, d, neuron),
        starts: moments(&counted.starts, d, neuron),
        cases: std::array::from_fn(|case| CaseStats {
            count: u64::from(count(4 + case)),
            sums: std::array::from_fn(|q| sum(4 + N_SUMS + 4 * case + q)),
            extremes: std::array::from_fn(|q| extreme(2 + 4 * case + q)),
        }),
    }
}

fn moments(counted: &RowsCounted, d: usize, neuron: usize) -> Moments {
    Moments {
        count: u64::from(counted.counts[neuron]),
        sums: Some(std::array::from_fn(|at| counted.sums[at * d + neuron])),
        min: -counted.extremes[d + neuron],
        max: counted.extremes[neuron],
    }
}

fn hooks_of(products: &MlpProducts) -> HookTensors<'_> {
    HookTensors {
        pre: &products.pre,
        pre_linear: products.pre_linear.as_ref(),
        act_fn: match products.act_fn {
            Activation::Silu => ActFn::Silu,
            Activation::Gelu => ActFn::Gelu,
            Activation::GeluTanh => ActFn::GeluTanh,
            Activation::Relu => ActFn::Relu,
            Activation::SoluLn => unreachable!("SoLU neurons are observed on the host"),
        },
    }
}

/// The scores to beat, `[list, d_mlp]`.
fn thresholds(blocks: &[Block]) -> Vec<f32> {
    let n_lists = blocks.first().map_or(0, |block| block.lists().len());
    let of_block = |list: usize, block: &Block| -> Vec<f32> {
        (0..block.n_neurons())
            .map(|lane| block.threshold(list, lane))
            .collect()
    };
    let all = (0..n_lists).flat_map(|list| blocks.iter().map(move |block| (list, block)));
    all.flat_map(|(list, block)| of_block(list, block))
        .collect()
}

/// A row: its window in the batch, and its place in it.
type Place = (usize, usize);

/// The best peak of a document.
#[derive(Clone, Copy, Debug)]
struct Peak {
    neuron: usize,
    list: usize,
    place: Place,
}

/// The windows and documents of a batch, by row.
struct BatchIndex<'a> {
    batch: &'a [BatchWindow],
    /// First row of each window.
    starts: Vec<usize>,
    /// The windows of each window's document.
    documents: Vec<Range<usize>>,
    n_rows: usize,
}

impl<'a> BatchIndex<'a> {
    fn of(batch: &'a [BatchWindow]) -> Self {
        let (mut starts, mut n_rows) = (Vec::with_capacity(batch.len()), 0);
        for window in batch {
            starts.push(n_rows);
            n_rows += window.ids.len();
        }
        let mut documents = Vec::with_capacity(batch.len());
        for windows in batch.chunk_by(|a, b| a.info.doc == b.info.doc) {
            let first = documents.len();
            documents.resize(first + windows.len(), first..first + windows.len());
        }
        Self {
            batch,
            starts,
            documents,
            n_rows,
        }
    }

    fn place(&self, row: usize) -> Place {
        let window = self.starts.partition_point(|&start| start <= row) - 1;
        (window, row - self.starts[window])
    }

    fn row(&self, (window, at): Place) -> u32 {
        (self.starts[window] + at) as u32
    }

    fn pos(&self, (window, at): Place) -> u32 {
        let info = &self.batch[window].info;
        info.start.0 + (at - info.skip) as u32
    }

    fn context(&self, (window, at): Place) -> u64 {
        self.batch[window].info.contexts[at]
    }

    /// The best peak of each document, list and neuron, the first of equals; sorted by neuron.
    fn best(&self, mut candidates: Vec<PeakCandidate>) -> Vec<Peak> {
        candidates.par_sort_unstable_by_key(|peak| (peak.neuron, peak.list, peak.row));
        let with_place: Vec<(PeakCandidate, Place)> = candidates
            .par_iter()
            .map(|peak| (*peak, self.place(peak.row as usize)))
            .collect();
        let same = |a: &(PeakCandidate, Place), b: &(PeakCandidate, Place)| {
            let doc = |place: Place| self.documents[place.0].start;
            (a.0.neuron, a.0.list, doc(a.1)) == (b.0.neuron, b.0.list, doc(b.1))
        };
        let best = |peaks: &[(PeakCandidate, Place)]| {
            let first = peaks[0];
            let (best, place) = peaks.iter().fold(first, |best, peak| {
                if peak.0.score > best.0.score {
                    *peak
                } else {
                    best
                }
            });
            Peak {
                neuron: best.neuron as usize,
                list: best.list as usize,
                place,
            }
        };
        with_place.chunk_by(same).map(best).collect()
    }

    /// The positions that can be drawn, with their ranks.
    fn drawn(&self, context: &ScanContext<'_>) -> Vec<(Place, u32)> {
        let mut drawn = Vec::new();
        for (window, BatchWindow { info, .. }) in self.batch.iter().enumerate() {
            for &(_, Pos(pos), rank) in context.plan.of_document(info.doc) {
                if (info.start.0..info.end()).contains(&pos) {
                    drawn.push(((window, (pos - info.start.0) as usize + info.skip), rank));
                }
            }
        }
        drawn
    }

    /// The positions around a place.
    fn positions(&self, place: Place, options: &StatsOptions) -> Range<u32> {
        let (pos, document) = (self.pos(place), self.documents[place.0].clone());
        let end = self.batch[document.end - 1].info.end();
        pos.saturating_sub(options.window_before)..(pos + options.window_after + 1).min(end)
    }

    /// The rows with the values around a place, window by window, without the BOS in front of each.
    fn around(
        &self,
        place: Place,
        quantity: Quantity,
        neuron: usize,
        options: &StatsOptions,
    ) -> impl Iterator<Item = Wanted> + '_ {
        let positions = self.positions(place, options);
        self.documents[place.0].clone().filter_map(move |window| {
            let info = &self.batch[window].info;
            let from = positions.start.max(info.start.0);
            let until = positions.end.min(info.end());
            (from < until).then(|| Wanted {
                neuron: neuron as u32,
                quantity: quantity as u32,
                first_row: self.row((window, (from - info.start.0) as usize + info.skip)),
                n_rows: until - from,
            })
        })
    }

    /// A place with the values around it, and after them those of the hooks, if they were fetched.
    fn at<'v>(
        &self,
        place: Place,
        values: &'v [f32],
        options: &StatsOptions,
    ) -> PositionWindow<'v> {
        let positions = self.positions(place, options);
        let (values, hooks) = values.split_at(positions.len());
        let hook = |at: usize| &hooks[at * values.len()..(at + 1) * values.len()];
        PositionWindow {
            doc: self.batch[place.0].info.doc,
            pos: Pos(self.pos(place)),
            start: positions.start,
            values,
            hooks: (!hooks.is_empty()).then(|| std::array::from_fn(hook)),
        }
    }
}

/// Items sorted by neuron, each with its fetched values.
struct Fetched<'a, T> {
    items: &'a [T],
    /// Index of the first value of each item, then the number of values.
    starts: Vec<usize>,
    values: Vec<f32>,
}

impl<'a, T> Fetched<'a, T> {
    fn of<W: Iterator<Item = Wanted>>(
        gpu: &Gpu,
        hooks: HookTensors<'_>,
        items: &'a [T],
        wanted: impl Fn(&T) -> W,
    ) -> candle_core::Result<Self> {
        let (mut all, mut starts, mut n) = (Vec::new(), vec![0], 0);
        for item in items {
            for wanted in wanted(item) {
                n += wanted.n_rows as usize;
                all.push(wanted);
            }
            starts.push(n);
        }
        Ok(Self {
            items,
            starts,
            values: gpu.gather(hooks, &all)?,
        })
    }
}

/// Calls `give` with every item and the block of its neuron, for several blocks in parallel.
fn in_blocks<T: Sync>(
    blocks: &mut [Block],
    fetched: &Fetched<'_, T>,
    neuron: impl Fn(&T) -> usize + Sync,
    give: impl Fn(&mut Block, usize, &T, &[f32]) + Sync,
) {
    blocks.par_iter_mut().enumerate().for_each(|(at, block)| {
        let first = |block: usize| {
            fetched
                .items
                .partition_point(|item| neuron(item) < block * BLOCK)
        };
        for i in first(at)..first(at + 1) {
            let (item, values) = (
                &fetched.items[i],
                &fetched.values[fetched.starts[i]..fetched.starts[i + 1]],
            );
            give(block, neuron(item) % BLOCK, item, values);
        }
    });
}

/// Whether a batch has whole documents only.
pub(super) fn has_whole_documents(batch: &[BatchWindow]) -> bool {
    let (Some(first), Some(last)) = (batch.first(), batch.last()) else {
        return true;
    };
    let begins = first.info.start == Pos(0);
    begins && last.info.ends_document
}
