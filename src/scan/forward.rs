//! One batch of windows through all layers of a model, shown to whoever looks at its neurons.
//!
//! The windows go through a layer in chunks, which are the entries of one walk. On the CPU's kernels its neurons are looked at
//! panel by panel; otherwise whole matrices of activations are brought to the host. What a row becomes does not depend on the
//! rows beside it, so no split of the corpus changes its activations.

use std::ops::Range;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use parking_lot::RwLockReadGuard;
use rayon::prelude::*;

use crate::model::walk::{Executor, LayerHooks, LayerPanels, Visitor, Walk, Written};
use crate::model::{Compute, Entry, MlpActivations, Model, ModelError, PANEL_NEURONS, PanelValues};
use crate::stats::block::{self, GatedRows, LayerBatch, WindowInfo, WindowRows};

use super::batch::BatchWindow;
use super::error::ScanError;

/// Neurons that are looked at together: a panel.
pub(super) const BLOCK: usize = block::WIDTH;

const _: () = assert!(BLOCK == PANEL_NEURONS);

/// Side by side, on the threads of rayon's pool.
#[derive(Clone, Copy)]
struct Rayon;

impl Executor for Rayon {
    fn map<T: Send, S, R: Send, E: Send>(
        &self,
        items: Vec<T>,
        scratch: impl Fn() -> S + Send + Sync,
        task: impl Fn(&mut S, T) -> Result<R, E> + Send + Sync,
    ) -> Result<Vec<R>, E> {
        items.into_par_iter().map_init(scratch, task).collect()
    }
}

/// Runs a batch through the model. `layers` holds, for each layer, one observer for every [`BLOCK`] neurons, to which
/// `observe` shows what they did.
pub(super) fn forward<B: Send>(
    model: &Model,
    batch: &[BatchWindow],
    layers: &mut [Vec<B>],
    observe: &(impl Fn(&mut B, &LayerBatch<'_>) + Sync),
) -> Result<(), ScanError> {
    let n_rows: usize = batch.iter().map(|window| window.ids.len()).sum();
    let chunks = match model.compute() {
        Compute::Kernels(_) => Chunk::cut(batch, chunk_rows(n_rows)),
        // a device goes side by side by itself
        Compute::Tensors(_) => Chunk::cut(batch, n_rows),
    };
    let windows: Vec<Vec<&[u32]>> = chunks.iter().map(Chunk::ids).collect();
    let entries: Vec<Entry<'_>> = windows.iter().map(|ids| Entry::Ids(ids)).collect();
    let Some(last) = layers.len().checked_sub(1) else {
        return Ok(());
    };
    let walk = Walk::new(model).by(Rayon).stop_after(last);
    let is_whole = layers.len() == model.config().n_layers;
    let mut observers = Observers {
        model,
        chunks: &chunks,
        layers,
        observe,
        groups: None,
    };
    match is_whole {
        true => walk.visit(&entries, &mut observers),
        // of layers that are tried out, the last is a whole one too
        false => walk.through(&entries, &mut observers).map(drop),
    }
}

/// Those who look at the neurons of a model.
struct Observers<'a, B, F> {
    model: &'a Model,
    chunks: &'a [Chunk<'a>],
    layers: &'a mut [Vec<B>],
    observe: &'a F,
    /// What the rows are that are visited together; the same in every layer.
    groups: Option<Vec<Vec<Group>>>,
}

impl<B: Send, F: Fn(&mut B, &LayerBatch<'_>) + Sync> Visitor for Observers<'_, B, F> {
    type Error = ScanError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ScanError> {
        match hooks.in_panels() {
            Ok(panels) => Ok(self.by_panels(panels)?),
            Err(hooks) => Ok(self.by_matrices(hooks)?),
        }
    }
}

impl<B: Send, F: Fn(&mut B, &LayerBatch<'_>) + Sync> Observers<'_, B, F> {
    /// Looks at panels while their values are in the cache.
    fn by_panels(&mut self, panels: LayerPanels<'_, impl Executor>) -> Result<Written, ModelError> {
        let chunks = self.chunks;
        let groups = &*(self.groups).get_or_insert_with(|| groups_of(chunks, panels.groups()));
        let is_gated = self.model.config().gated;
        let observers = &mut self.layers[panels.layer()];
        panels.each(observers, |observer, place, values| {
            let group = &groups[place.entry][place.group];
            let rows = group.rows.iter();
            let rows: Vec<_> = rows.map(|r| panel_rows(values, is_gated, r)).collect();
            let batch = LayerBatch {
                windows: &group.infos,
                rows: &rows,
            };
            (self.observe)(observer, &batch);
        })
    }

    /// Looks at whole matrices of activations.
    fn by_matrices(&mut self, hooks: LayerHooks<'_, impl Executor>) -> Result<Written, ModelError> {
        let found = hooks.activations()?;
        let d_mlp = self.model.config().d_mlp;
        let host = found.iter().map(HostActivations::of);
        let host = host.collect::<Result<Vec<_>, _>>()?;
        let guards: Vec<_> = host.iter().map(HostActivations::read).collect();
        let mut pieces = Vec::new();
        for (chunk, guards) in self.chunks.iter().zip(&guards) {
            let matrices = guards.rows()?;
            for (window, &start) in chunk.windows.iter().zip(&chunk.starts) {
                for first in (0..window.ids.len()).step_by(PIECE_ROWS) {
                    let rows = first..(first + PIECE_ROWS).min(window.ids.len());
                    let info = window.info.piece(rows.clone());
                    pieces.push((info, matrices, start + rows.start..start + rows.end));
                }
            }
        }
        let observers = self.layers[hooks.layer()].par_iter_mut().enumerate();
        observers.for_each(|(at, observer)| {
            let columns = at * BLOCK..d_mlp.min((at + 1) * BLOCK);
            for (info, matrices, rows) in &pieces {
                let panel = Panel::of(matrices, rows.clone(), columns.clone(), d_mlp);
                let batch = LayerBatch {
                    windows: std::slice::from_ref(info),
                    rows: &[panel.rows()],
                };
                (self.observe)(observer, &batch);
            }
        });
        drop(pieces);
        drop(guards);
        hooks.write(found.into_iter().map(|found| found.post).collect())
    }
}

/// Windows that go through the first half of a block together, on one thread.
struct Chunk<'a> {
    windows: &'a [BatchWindow],
    /// First row of each window.
    starts: Vec<usize>,
}

impl<'a> Chunk<'a> {
    /// Cuts a batch into chunks of at least so many rows, but for the last.
    fn cut(mut windows: &'a [BatchWindow], n_rows: usize) -> Vec<Self> {
        let mut chunks = Vec::new();
        while !windows.is_empty() {
            let (mut starts, mut end) = (Vec::new(), 0);
            for window in windows {
                if end >= n_rows {
                    break;
                }
                starts.push(end);
                end += window.ids.len();
            }
            let (own, rest) = windows.split_at(starts.len());
            windows = rest;
            chunks.push(Self {
                windows: own,
                starts,
            });
        }
        chunks
    }

    fn ids(&self) -> Vec<&[u32]> {
        let windows = self.windows.iter();
        windows.map(|window| window.ids.as_slice()).collect()
    }

    /// What some of its rows are: pieces of windows, each with its rows in the chunk.
    fn pieces(&self, rows: Range<usize>) -> Vec<(WindowInfo, Range<usize>)> {
        let windows = self.windows.iter().zip(&self.starts);
        let pieces = windows.filter_map(|(window, &start)| {
            let from = rows.start.max(start);
            let until = rows.end.min(start + window.ids.len());
            (from < until).then(|| (window.info.piece(from - start..until - start), from..until))
        });
        pieces.collect()
    }
}

/// Rows that are visited together: windows, and their rows within the group.
struct Group {
    infos: Vec<WindowInfo>,
    rows: Vec<Range<usize>>,
}

/// Rows of a chunk: enough for the products to be fast, few enough that every thread gets some.
pub(super) fn chunk_rows(n_rows: usize) -> usize {
    (n_rows / (2 * rayon::current_num_threads())).clamp(126, 1024)
}

/// What the rows of the chunks are that are visited together.
fn groups_of(chunks: &[Chunk<'_>], groups: Vec<Vec<Range<usize>>>) -> Vec<Vec<Group>> {
    let of_chunk = |(chunk, groups): (&Chunk<'_>, Vec<Range<usize>>)| {
        let group = |rows: Range<usize>| {
            let first = rows.start;
            let pieces = chunk.pieces(rows).into_iter();
            let pieces = pieces.map(|(info, rows)| (info, rows.start - first..rows.end - first));
            let (infos, rows) = pieces.unzip();
            Group { infos, rows }
        };
        groups.into_iter().map(group).collect()
    };
    chunks.iter().zip(groups).map(of_chunk).collect()
}

fn panel_rows<'a>(values: &'a PanelValues, is_gated: bool, rows: &Range<usize>) -> WindowRows<'a> {
    let rows = rows.start * BLOCK..rows.end * BLOCK;
    WindowRows {
        pre: &values.pre()[rows.clone()],
        ranked: &values.post()[rows.clone()],
        post: None,
        gated: is_gated.then(|| GatedRows {
            pre_linear: &values.pre_linear()[rows.clone()],
            act: &values.act()[rows],
        }),
    }
}

/// Rows of a matrix that are looked at together.
const PIECE_ROWS: usize = 128;

/// Some columns of activations that were computed whole, each `[rows, BLOCK]`.
struct Panel {
    pre: Vec<f32>,
    ranked: Vec<f32>,
    post: Option<Vec<f32>>,
    gated: Option<(Vec<f32>, Vec<f32>)>,
}

impl Panel {
    fn of(all: &WindowRows<'_>, rows: Range<usize>, columns: Range<usize>, d_mlp: usize) -> Self {
        let part = |matrix: &[f32]| {
            let mut panel = vec![0.0; rows.len() * BLOCK];
            for (row, to) in rows.clone().zip(panel.chunks_exact_mut(BLOCK)) {
                let from = &matrix[row * d_mlp..(row + 1) * d_mlp][columns.clone()];
                to[..from.len()].copy_from_slice(from);
            }
            panel
        };
        Self {
            pre: part(all.pre),
            ranked: part(all.ranked),
            post: all.post.map(part),
            gated: (all.gated).map(|gated| (part(gated.pre_linear), part(gated.act))),
        }
    }

    fn rows(&self) -> WindowRows<'_> {
        WindowRows {
            pre: &self.pre,
            ranked: &self.ranked,
            post: self.post.as_deref(),
            gated: (self.gated.as_ref()).map(|(pre_linear, act)| GatedRows { pre_linear, act }),
        }
    }
}

/// Activations as contiguous f32 in the host's memory; on a CPU in f32 these are the tensors themselves.
struct HostActivations {
    pre: Tensor,
    ranked: Tensor,
    post: Option<Tensor>,
    gated: Option<(Tensor, Tensor)>,
}

impl HostActivations {
    fn of(activations: &MlpActivations) -> candle_core::Result<Self> {
        let host = |tensor: &Tensor| {
            tensor
                .to_device(&candle_core::Device::Cpu)?
                .to_dtype(DType::F32)?
                .contiguous()
        };
        let gated = match (&activations.pre_linear, &activations.act) {
            (Some(pre_linear), Some(act)) => Some((host(pre_linear)?, host(act)?)),
            _ => None,
        };
        let post = host(&activations.post)?;
        let (ranked, post) = match &activations.mid {
            Some(mid) => (host(mid)?, Some(post)),
            None => (post, None),
        };
        Ok(Self {
            pre: host(&activations.pre)?,
            ranked,
            post,
            gated,
        })
    }

    fn read(&self) -> HostGuards<'_> {
        let gated = self
            .gated
            .as_ref()
            .map(|(pre_linear, act)| (Guard::of(pre_linear), Guard::of(act)));
        HostGuards {
            pre: Guard::of(&self.pre),
            ranked: Guard::of(&self.ranked),
            post: self.post.as_ref().map(Guard::of),
            gated,
        }
    }
}

struct HostGuards<'a> {
    pre: Guard<'a>,
    ranked: Guard<'a>,
    post: Option<Guard<'a>>,
    gated: Option<(Guard<'a>, Guard<'a>)>,
}

impl HostGuards<'_> {
    fn rows(&self) -> candle_core::Result<WindowRows<'_>> {
        let gated = match &self.gated {
            Some((pre_linear, act)) => Some(GatedRows {
                pre_linear: pre_linear.values()?,
                act: act.values()?,
            }),
            None => None,
        };
        Ok(WindowRows {
            pre: self.pre.values()?,
            ranked: self.ranked.values()?,
            post: self.post.as_ref().map(Guard::values).transpose()?,
            gated,
        })
    }
}

/// Read access to a tensor's values.
struct Guard<'a> {
    storage: RwLockReadGuard<'a, Storage>,
    offset: usize,
    len: usize,
}

impl<'a> Guard<'a> {
    fn of(tensor: &'a Tensor) -> Self {
        let (storage, layout) = tensor.storage_and_layout();
        Self {
            storage,
            offset: layout.start_offset(),
            len: tensor.elem_count(),
        }
    }

    fn values(&self) -> candle_core::Result<&[f32]> {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => {
                Ok(&values[self.offset..self.offset + self.len])
            }
            _ => candle_core::bail!("activations are not in the host's memory"),
        }
    }
}
