//! One batch of windows through all layers of a model, shown to whoever looks at its neurons.
//!
//! The windows go through the attention of a layer side by side, some at a time; then through its MLP, panels of neurons
//! side by side, each of which is looked at while its values are in the cache; then the next layer. What a row becomes
//! does not depend on the rows beside it, so no split of the corpus changes its activations.

use std::ops::Range;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use parking_lot::RwLockReadGuard;
use rayon::prelude::*;

use crate::model::{
    Attended, Compute, MlpActivations, MlpInput, MlpOutput, Model, ModelError, Neurons,
    PanelOutput, PanelValues, Stream,
};
use crate::stats::block::{self, GatedRows, LayerBatch, WindowInfo, WindowRows};

use super::batch::BatchWindow;
use super::error::ScanError;

/// Neurons that are looked at together: a panel.
pub(super) const BLOCK: usize = block::WIDTH;

const _: () = assert!(BLOCK == Neurons::PANEL);

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
    let embed = |chunk: &Chunk<'_>| {
        let ids: Vec<&[u32]> = chunk.windows.iter().map(|w| w.ids.as_slice()).collect();
        model.embed(&ids)
    };
    let streams: Result<Vec<Stream>, ModelError> = chunks.par_iter().map(embed).collect();
    let mut streams = streams?;
    let mut groups: Option<Vec<Vec<Group>>> = None;
    let mut outputs: Vec<MlpOutput> = Vec::new();
    for (layer, observers) in layers.iter_mut().enumerate() {
        let attend = |stream: &Stream| model.attend(layer, stream);
        let attended: Result<Vec<Attended>, ModelError> = streams.par_iter().map(attend).collect();
        let run = Layer {
            model,
            layer,
            goes_on: layer + 1 < model.config().n_layers,
            attended: attended?,
        };
        streams = match model.neurons(layer) {
            Some(neurons) => {
                let memory = (&mut groups, &mut outputs);
                run.by_panels(&neurons, &chunks, memory, observers, observe)?
            }
            None => run.by_matrices(&chunks, observers, observe)?,
        };
    }
    Ok(())
}

/// A layer behind its attention.
struct Layer<'m> {
    model: &'m Model,
    layer: usize,
    /// Whether another layer follows.
    goes_on: bool,
    attended: Vec<Attended>,
}

impl Layer<'_> {
    /// Computes panels of neurons side by side; each is looked at while its values are in the cache. What `outputs` hold from
    /// the layer before is memory to be used again.
    fn by_panels<B: Send>(
        self,
        neurons: &Neurons<'_>,
        chunks: &[Chunk<'_>],
        (groups, outputs): (&mut Option<Vec<Vec<Group>>>, &mut Vec<MlpOutput>),
        observers: &mut [B],
        observe: &(impl Fn(&mut B, &LayerBatch<'_>) + Sync),
    ) -> Result<Vec<Stream>, ScanError> {
        let inputs = self.attended.par_iter().map(|a| neurons.input(a));
        let inputs = inputs.collect::<Result<Vec<MlpInput>, ModelError>>()?;
        let groups = groups.get_or_insert_with(|| groups_of(chunks, &inputs));
        match self.goes_on {
            true => {
                outputs.resize_with(inputs.len(), MlpOutput::default);
                for (output, input) in outputs.iter_mut().zip(&inputs) {
                    output.make_room(input, self.model.config().d_mlp);
                }
            }
            false => outputs.clear(),
        }
        // of each panel, the part of every chunk's output
        let parts: Vec<Vec<PanelOutput<'_>>> = {
            let mut chunks: Vec<_> = outputs.iter_mut().map(MlpOutput::panels).collect();
            let of_panel = |_| chunks.iter_mut().filter_map(Iterator::next).collect();
            (0..observers.len()).map(of_panel).collect()
        };
        let panels = observers.par_iter_mut().zip(parts).enumerate();
        panels.try_for_each_init(
            PanelValues::default,
            |values, (panel, (observer, mut parts))| {
                for (chunk, (input, groups)) in inputs.iter().zip(&*groups).enumerate() {
                    for group in groups {
                        neurons.compute(panel, input, group.tiles.clone(), values)?;
                        let rows = group.rows.iter();
                        let rows: Vec<_> = rows.map(|r| panel_rows(values, neurons, r)).collect();
                        let batch = LayerBatch {
                            windows: &group.infos,
                            rows: &rows,
                        };
                        observe(observer, &batch);
                        if let Some(part) = parts.get_mut(chunk) {
                            part.keep(group.tiles.clone(), values);
                        }
                    }
                }
                Ok::<(), ModelError>(())
            },
        )?;
        let write = |(attended, output)| self.model.write_panels(self.layer, attended, output);
        let both = self.attended.into_par_iter().zip(&*outputs);
        Ok(both.map(write).collect::<Result<_, ModelError>>()?)
    }

    /// Computes whole matrices of activations, and looks at them then.
    fn by_matrices<B: Send>(
        self,
        chunks: &[Chunk<'_>],
        observers: &mut [B],
        observe: &(impl Fn(&mut B, &LayerBatch<'_>) + Sync),
    ) -> Result<Vec<Stream>, ScanError> {
        let compute = |attended: &Attended| self.model.activations(self.layer, attended);
        let found = self.attended.par_iter().map(compute);
        let found = found.collect::<Result<Vec<MlpActivations>, ModelError>>()?;
        let d_mlp = self.model.config().d_mlp;
        let host = found.iter().map(HostActivations::of);
        let host = host.collect::<Result<Vec<_>, _>>();
        let host = host.map_err(ModelError::from)?;
        let guards: Vec<_> = host.iter().map(HostActivations::read).collect();
        let mut pieces = Vec::new();
        for (chunk, guards) in chunks.iter().zip(&guards) {
            let matrices = guards.rows().map_err(ModelError::from)?;
            for (window, &start) in chunk.windows.iter().zip(&chunk.starts) {
                for first in (0..window.ids.len()).step_by(PIECE_ROWS) {
                    let rows = first..(first + PIECE_ROWS).min(window.ids.len());
                    let info = window.info.piece(rows.clone());
                    pieces.push((info, matrices, start + rows.start..start + rows.end));
                }
            }
        }
        let observers = observers.par_iter_mut().enumerate();
        observers.for_each(|(at, observer)| {
            let columns = at * BLOCK..d_mlp.min((at + 1) * BLOCK);
            for (info, matrices, rows) in &pieces {
                let panel = Panel::of(matrices, rows.clone(), columns.clone(), d_mlp);
                let batch = LayerBatch {
                    windows: std::slice::from_ref(info),
                    rows: &[panel.rows()],
                };
                observe(observer, &batch);
            }
        });
        if !self.goes_on {
            return Ok(Vec::new());
        }
        let write = |(attended, found): (Attended, &MlpActivations)| {
            self.model.write(self.layer, attended, &found.post)
        };
        let both = self.attended.into_par_iter().zip(&found);
        Ok(both.map(write).collect::<Result<_, ModelError>>()?)
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

/// What a group of tiles is: windows, and their rows within the group.
struct Group {
    tiles: Range<usize>,
    infos: Vec<WindowInfo>,
    rows: Vec<Range<usize>>,
}

/// Rows of a chunk: enough for the products to be fast, few enough that every thread gets some.
pub(super) fn chunk_rows(n_rows: usize) -> usize {
    (n_rows / (2 * rayon::current_num_threads())).clamp(126, 1024)
}

/// What the tiles of the chunks are; the same in every layer.
fn groups_of(chunks: &[Chunk<'_>], inputs: &[MlpInput]) -> Vec<Vec<Group>> {
    let groups = |(chunk, input): (&Chunk<'_>, &MlpInput)| -> Vec<Group> {
        let group = |(tiles, rows): (Range<usize>, Range<usize>)| {
            let first = rows.start;
            let pieces = chunk.pieces(rows).into_iter();
            let pieces = pieces.map(|(info, rows)| (info, rows.start - first..rows.end - first));
            let (infos, rows) = pieces.unzip();
            Group { tiles, infos, rows }
        };
        input.groups().map(group).collect()
    };
    chunks.iter().zip(inputs).map(groups).collect()
}

fn panel_rows<'a>(
    values: &'a PanelValues,
    neurons: &Neurons<'_>,
    rows: &Range<usize>,
) -> WindowRows<'a> {
    let rows = rows.start * Neurons::PANEL..rows.end * Neurons::PANEL;
    WindowRows {
        pre: &values.pre()[rows.clone()],
        ranked: &values.post()[rows.clone()],
        post: None,
        gated: neurons.is_gated().then(|| GatedRows {
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
