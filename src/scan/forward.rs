//! Runs one batch of windows through all layers of a model, and shows the neurons' activations to observers.
//!
//! The windows go through a layer in chunks, which are the entries of one walk. On the CPU's kernels, neurons are observed panel
//! by panel; otherwise whole matrices of activations are brought to the host. A row's results do not depend on the rows beside
//! it, so no split of the corpus changes its activations.

use std::convert::Infallible;
use std::ops::{Deref, Range};

use candle_core::{CpuStorage, DType, Storage, Tensor};
use parking_lot::{MappedRwLockReadGuard, RwLockReadGuard};
use rayon::prelude::*;

use crate::model::walk::{Executor, LayerHooks, LayerPanels, Visitor, Walk, Written};
use crate::model::{Compute, Entry, MlpActivations, Model, ModelError, PANEL_NEURONS, PanelValues};
use crate::stats::block::{self, GatedRows, LayerBatch, WindowInfo, WindowRows};

use super::batch::BatchWindow;
use super::error::ScanError;

/// Neurons that are observed together: a panel.
pub(super) const BLOCK: usize = block::WIDTH;

const _: () = assert!(BLOCK == PANEL_NEURONS);

/// Runs tasks in parallel, on the threads of rayon's pool.
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

/// Runs a batch through the first layers of the model. `layers` holds, for each of them, one observer for every [`BLOCK`] neurons,
/// to which `observe` shows their activations; a layer without observers is passed. `is_whole` says whether nothing comes after
/// the last one, so that what it would write is not computed.
pub(super) fn forward<B: Send>(
    model: &Model,
    batch: &[BatchWindow],
    layers: &mut [Vec<B>],
    is_whole: bool,
    observe: &(impl Fn(&mut B, &LayerBatch<'_>) + Sync),
) -> Result<(), ScanError> {
    let n_rows: usize = batch.iter().map(|window| window.ids.len()).sum();
    let chunks = match model.compute() {
        Compute::Kernels(_) => Chunk::cut(batch, chunk_rows(n_rows)),
        // a device runs in parallel by itself
        Compute::Tensors(_) => Chunk::cut(batch, n_rows),
    };
    let windows: Vec<Vec<&[u32]>> = chunks.iter().map(Chunk::ids).collect();
    let entries: Vec<Entry<'_>> = windows.iter().map(|ids| Entry::Ids(ids)).collect();
    let Some(last) = layers.len().checked_sub(1) else {
        return Ok(());
    };
    let walk = Walk::new(model).with_executor(Rayon).stop_after(last);
    let mut observers = Observers {
        model,
        chunks: &chunks,
        layers,
        observe,
        groups: None,
    };
    match is_whole {
        true => walk.visit(&entries, &mut observers),
        false => walk.through(&entries, &mut observers).map(drop),
    }
}

/// The observers of a model's neurons, as a visitor of the walk.
struct Observers<'a, B, F> {
    model: &'a Model,
    chunks: &'a [Chunk<'a>],
    layers: &'a mut [Vec<B>],
    observe: &'a F,
    /// The windows of each group of rows; the same in every layer.
    groups: Option<Vec<Vec<Group>>>,
}

impl<B: Send, F: Fn(&mut B, &LayerBatch<'_>) + Sync> Visitor for Observers<'_, B, F> {
    type Error = ScanError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ScanError> {
        if self.layers[hooks.layer()].is_empty() {
            return Ok(hooks.pass()?);
        }
        match hooks.in_panels() {
            Ok(panels) => Ok(self.by_panels(panels)?),
            Err(hooks) => Ok(self.by_matrices(hooks)?),
        }
    }
}

impl<B: Send, F: Fn(&mut B, &LayerBatch<'_>) + Sync> Observers<'_, B, F> {
    /// Observes panels while their values are in the CPU's cache.
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

    /// Observes whole matrices of activations.
    fn by_matrices(&mut self, hooks: LayerHooks<'_, impl Executor>) -> Result<Written, ModelError> {
        let activations = hooks.activations()?;
        let d_mlp = self.model.config().d_mlp;
        let host = activations.iter().map(Observed::on_host);
        let host = host.collect::<Result<Vec<_>, _>>()?;
        let matrices = host.iter().map(|host| host.map(values));
        let matrices = matrices.collect::<Result<Vec<_>, _>>()?;
        let mut pieces = Vec::new();
        for (chunk, matrices) in self.chunks.iter().zip(&matrices) {
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
                let panel = matrices.panel(rows.clone(), columns.clone(), d_mlp);
                let batch = LayerBatch {
                    windows: std::slice::from_ref(info),
                    rows: &[panel.rows()],
                };
                (self.observe)(observer, &batch);
            }
        });
        drop(pieces);
        drop(matrices);
        hooks.write_activations(activations)
    }
}

/// Windows whose attention is computed together, on one thread.
struct Chunk<'a> {
    windows: &'a [BatchWindow],
    /// First row of each window.
    starts: Vec<usize>,
}

impl<'a> Chunk<'a> {
    /// Cuts a batch into chunks of at least `n_rows` rows; the last may have fewer.
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

    /// The pieces of windows in some of its rows, each with its rows in the chunk.
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

/// Rows of a chunk: enough for products to be fast, few enough that every thread gets some.
pub(super) fn chunk_rows(n_rows: usize) -> usize {
    (n_rows / (2 * rayon::current_num_threads())).clamp(126, 1024)
}

/// The windows of the groups of rows of each chunk.
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

/// Rows of a matrix that are observed together.
const PIECE_ROWS: usize = 128;

/// The hooks that are observed: matrices of activations in some form.
struct Observed<T> {
    pre: T,
    ranked: T,
    post: Option<T>,
    gated: Option<(T, T)>,
}

impl Observed<Tensor> {
    /// Brings activations to the host's memory as contiguous f32; on a CPU in f32 these are the tensors themselves.
    fn on_host(activations: &MlpActivations) -> candle_core::Result<Self> {
        let host = |tensor: &Tensor| {
            let tensor = tensor.to_device(&candle_core::Device::Cpu)?;
            tensor.to_dtype(DType::F32)?.contiguous()
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
}

impl<T> Observed<T> {
    /// Converts each matrix.
    fn map<'s, U, E>(&'s self, to: impl Fn(&'s T) -> Result<U, E>) -> Result<Observed<U>, E> {
        let gated = match &self.gated {
            Some((pre_linear, act)) => Some((to(pre_linear)?, to(act)?)),
            None => None,
        };
        Ok(Observed {
            pre: to(&self.pre)?,
            ranked: to(&self.ranked)?,
            post: self.post.as_ref().map(&to).transpose()?,
            gated,
        })
    }
}

impl<T: Deref<Target = [f32]>> Observed<T> {
    /// Copies some rows and columns of each matrix, `[rows, d_mlp]` → `[rows, BLOCK]`.
    fn panel(&self, rows: Range<usize>, columns: Range<usize>, d_mlp: usize) -> Observed<Vec<f32>> {
        let copy = |matrix: &T| {
            let mut panel = vec![0.0; rows.len() * BLOCK];
            for (row, to) in rows.clone().zip(panel.chunks_exact_mut(BLOCK)) {
                let from = &matrix[row * d_mlp..(row + 1) * d_mlp][columns.clone()];
                to[..from.len()].copy_from_slice(from);
            }
            Ok::<_, Infallible>(panel)
        };
        let Ok(panel) = self.map(copy);
        panel
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

/// The values of a contiguous f32 tensor in the host's memory.
fn values(tensor: &Tensor) -> candle_core::Result<MappedRwLockReadGuard<'_, [f32]>> {
    let (storage, layout) = tensor.storage_and_layout();
    let (first, n) = (layout.start_offset(), tensor.elem_count());
    let values = RwLockReadGuard::try_map(storage, |storage| match storage {
        Storage::Cpu(CpuStorage::F32(values)) => values.get(first..first + n),
        _ => None,
    });
    values.map_err(|_| candle_core::Error::msg("activations are not in the host's memory"))
}
