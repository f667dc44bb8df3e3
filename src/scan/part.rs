//! One part of a scan, from token windows to tables.
//!
//! The windows of a batch go through the attention of a layer side by side, some at a time; then through its MLP, panels of
//! neurons side by side, each of which is updated from the values that were just computed; then the next layer. What a row
//! becomes does not depend on the rows beside it, so no split of the corpus changes its activations.

use std::ops::Range;
use std::path::Path;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use parking_lot::RwLockReadGuard;
use rayon::prelude::*;

use crate::ids::DocId;
use crate::model::{
    Attended, MlpActivations, MlpInput, MlpOutput, Model, ModelError, Neurons, PanelOutput,
    PanelValues, Stream,
};
use crate::shard::{Folder, LayerWriter, Manifest, PartInfo, PartManifest, ScanIdentity, rows_of};
use crate::stats::block::{Block, GatedRows, LayerBatch, ScanContext, WindowInfo, WindowRows};
use crate::stats::samples::SamplePlan;
use crate::tokens::store::TokenStore;
use crate::tokens::{Vocabulary, Windowing};

use super::Progress;
use super::batch::{BatchWindow, Rows};
use super::error::ScanError;

/// Neurons whose state is updated together: a panel.
const BLOCK: usize = Neurons::PANEL;

/// What the parts of a scan have in common.
#[derive(Clone, Copy)]
pub struct Job<'a> {
    /// The model.
    pub model: &'a Model,
    /// The corpus.
    pub store: &'a TokenStore,
    /// Its tokens.
    pub vocabulary: &'a Vocabulary,
    /// How it is cut.
    pub windowing: Windowing,
    /// Tokens in a batch.
    pub batch_tokens: usize,
}

impl Job<'_> {
    fn rows(&self, context_tokens: usize) -> Rows<'_> {
        Rows {
            store: self.store,
            vocabulary: self.vocabulary,
            windowing: self.windowing,
            context_tokens,
        }
    }

    /// Counted positions of the whole corpus.
    pub fn n_counted(&self) -> Result<u64, ScanError> {
        let n_documents = self.store.n_documents();
        match self.rows(0).n_counted(0..n_documents as u32)? {
            0 => Err(ScanError::NothingCounted { n_documents }),
            n => Ok(n),
        }
    }

    /// The documents of a part: those that begin in the part's share of all tokens.
    fn documents(&self, part: PartInfo) -> Range<u32> {
        let total = self.store.n_tokens();
        let first = |index: u32| {
            let share = u128::from(total) * u128::from(index) / u128::from(part.of);
            let (mut low, mut high) = (0, self.store.n_documents() as u32);
            while low < high {
                let middle = low + (high - low) / 2;
                match u128::from(self.store.range(DocId(middle)).start) < share {
                    true => low = middle + 1,
                    false => high = middle,
                }
            }
            low
        };
        first(part.index)..if part.index + 1 == part.of {
            self.store.n_documents() as u32
        } else {
            first(part.index + 1)
        }
    }

    /// Tokens that a part will put through the model, BOS included.
    pub fn n_rows(&self, part: PartInfo) -> u64 {
        let documents = self.documents(part).map(DocId);
        let windows = documents.map(|doc| {
            (
                self.store.len(doc),
                self.windowing.windows(self.store.len(doc)).len(),
            )
        });
        windows
            .map(|(tokens, windows)| {
                (tokens + windows * usize::from(self.windowing.bos.is_some())) as u64
            })
            .sum()
    }
}

/// Scans one part of the corpus and writes it to the folder `target`. `progress` is told the tokens done.
pub fn scan_part(
    job: &Job<'_>,
    identity: &ScanIdentity,
    part: PartInfo,
    target: &Path,
    progress: Progress<'_>,
) -> Result<PartManifest, ScanError> {
    if part.index >= part.of {
        return Err(ScanError::NoSuchPart {
            index: part.index,
            of: part.of,
        });
    }
    let n_rows = job.n_rows(part);
    if n_rows > Block::MAX_POSITIONS {
        return Err(ScanError::PartTooLarge {
            part: part.index,
            found: n_rows,
            most: Block::MAX_POSITIONS,
        });
    }
    let folder = Folder::create(target)?; // before the work, so that a folder that cannot be written shows at once
    let config = job.model.config();
    let options = &identity.policy.stats;
    let rows = job.rows(options.context_tokens);
    let documents = job.documents(part);
    let lengths = (0..job.store.n_documents() as u32).map(|doc| rows.n_positions(DocId(doc)));
    let plan = SamplePlan::new(
        options.seed,
        options.samples().most_tries(),
        lengths,
        |doc, pos| rows.is_counted(doc, pos),
    )?;
    let context = ScanContext {
        options,
        plan: &plan,
        n_total: identity.policy.n_counted,
    };

    let blocks = |_| -> Vec<Block> {
        let first = (0..config.d_mlp).step_by(BLOCK);
        first
            .map(|first| {
                Block::new(
                    first,
                    BLOCK.min(config.d_mlp - first),
                    identity.kind(),
                    options,
                )
            })
            .collect()
    };
    let mut layers: Vec<Vec<Block>> = (0..config.n_layers).map(blocks).collect();
    let mut done = 0;
    for batch in rows.batches(documents.clone(), job.batch_tokens) {
        let batch = batch?;
        scan_batch(job.model, &batch, &mut layers, &context)?;
        done += batch
            .iter()
            .map(|window| window.ids.len() as u64)
            .sum::<u64>();
        if !progress(done) {
            return Err(ScanError::Interrupted);
        }
    }

    let mut names = Vec::new();
    for (layer, blocks) in (0..).zip(layers) {
        let mut writer = LayerWriter::create(folder.path(), layer, identity.kind())?;
        for (neuron, mut found) in (0..).zip(blocks.into_iter().flat_map(Block::harvest)) {
            found
                .samples
                .prune(&found.stats.histogram, options.samples(), context.n_total);
            writer.push(neuron, found.stats.clone(), rows_of(&found))?;
        }
        names.extend(writer.finish()?);
    }
    let manifest = PartManifest {
        schema: PartManifest::SCHEMA.into(),
        neuroscope: env!("CARGO_PKG_VERSION").into(),
        scan: identity.clone(),
        part,
        documents: [documents.start, documents.end],
        device: "cpu".into(),
        files: folder.entries(names)?,
    };
    folder.finish(&manifest)?;
    Ok(manifest)
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

fn scan_batch(
    model: &Model,
    batch: &[BatchWindow],
    layers: &mut [Vec<Block>],
    context: &ScanContext<'_>,
) -> Result<(), ScanError> {
    let n_rows: usize = batch.iter().map(|window| window.ids.len()).sum();
    let chunks = Chunk::cut(batch, chunk_rows(n_rows));
    let embed = |chunk: &Chunk<'_>| {
        let ids: Vec<&[u32]> = chunk.windows.iter().map(|w| w.ids.as_slice()).collect();
        model.embed(&ids)
    };
    let streams: Result<Vec<Stream>, ModelError> = chunks.par_iter().map(embed).collect();
    let mut streams = streams?;
    let n_layers = layers.len();
    let mut groups: Option<Vec<Vec<Group>>> = None;
    for (layer, blocks) in layers.iter_mut().enumerate() {
        let go_on = layer + 1 < n_layers;
        let attend = |stream: &Stream| model.attend(layer, stream);
        let attended: Result<Vec<Attended>, ModelError> = streams.par_iter().map(attend).collect();
        let attended = attended?;
        streams = match model.neurons(layer) {
            Some(neurons) => {
                let inputs = attended.par_iter().map(|a| neurons.input(a));
                let inputs = inputs.collect::<Result<Vec<MlpInput>, ModelError>>()?;
                let groups = groups.get_or_insert_with(|| groups_of(&chunks, &inputs));
                let mut outputs = match go_on {
                    true => {
                        let d_mlp = model.config().d_mlp;
                        inputs.iter().map(|input| input.output(d_mlp)).collect()
                    }
                    false => Vec::new(),
                };
                observe_panels(&neurons, &inputs, &mut outputs, groups, blocks, context)?;
                let write = |(attended, output)| model.write_panels(layer, attended, output);
                let both = attended.into_par_iter().zip(outputs);
                both.map(write).collect::<Result<_, ModelError>>()?
            }
            None => {
                let compute = |attended: &Attended| model.activations(layer, attended);
                let found: Result<Vec<_>, ModelError> = attended.par_iter().map(compute).collect();
                let found = found?;
                observe_matrices(&chunks, &found, model.config().d_mlp, blocks, context)?;
                let write = |(attended, found): (Attended, MlpActivations)| {
                    model.write(layer, attended, &found.post)
                };
                match go_on {
                    true => {
                        let both = attended.into_par_iter().zip(found);
                        both.map(write).collect::<Result<_, ModelError>>()?
                    }
                    false => Vec::new(),
                }
            }
        };
    }
    Ok(())
}

/// Rows of a chunk: enough for the products to be fast, few enough that every thread gets some.
fn chunk_rows(n_rows: usize) -> usize {
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

/// Computes panels of neurons side by side; each is looked at while its values are in the cache.
fn observe_panels(
    neurons: &Neurons<'_>,
    inputs: &[MlpInput],
    outputs: &mut [MlpOutput],
    groups: &[Vec<Group>],
    blocks: &mut [Block],
    context: &ScanContext<'_>,
) -> Result<(), ScanError> {
    // of each panel, the part of every chunk's output
    let mut parts: Vec<_> = outputs.iter_mut().map(MlpOutput::panels).collect();
    let parts: Vec<Vec<_>> = (0..blocks.len())
        .map(|_| parts.iter_mut().filter_map(Iterator::next).collect())
        .collect();
    let panels = blocks.par_iter_mut().zip(parts).enumerate();
    let observe =
        |values: &mut PanelValues,
         (panel, (block, mut parts)): (usize, (&mut Block, Vec<PanelOutput<'_>>))| {
            for (chunk, (input, groups)) in inputs.iter().zip(groups).enumerate() {
                for group in groups {
                    neurons.compute(panel, input, group.tiles.clone(), values)?;
                    let rows = group
                        .rows
                        .iter()
                        .map(|rows| panel_rows(values, neurons, rows));
                    let rows: Vec<_> = rows.collect();
                    let batch = LayerBatch {
                        windows: &group.infos,
                        rows: &rows,
                        stride: Neurons::PANEL,
                        first: panel * Neurons::PANEL,
                    };
                    block.observe(&batch, context);
                    if let Some(part) = parts.get_mut(chunk) {
                        part.keep(group.tiles.clone(), values);
                    }
                }
            }
            Ok(())
        };
    panels.try_for_each_init(PanelValues::default, observe)
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

/// Looks at activations that were computed whole.
fn observe_matrices(
    chunks: &[Chunk<'_>],
    found: &[MlpActivations],
    d_mlp: usize,
    blocks: &mut [Block],
    context: &ScanContext<'_>,
) -> Result<(), ScanError> {
    let host = found.iter().map(HostActivations::of);
    let host = host
        .collect::<Result<Vec<_>, _>>()
        .map_err(ModelError::from)?;
    let guards: Vec<_> = host.iter().map(HostActivations::read).collect();
    let (mut infos, mut rows) = (Vec::new(), Vec::new());
    for (chunk, guards) in chunks.iter().zip(&guards) {
        let all = guards.rows().map_err(ModelError::from)?;
        for (window, &start) in chunk.windows.iter().zip(&chunk.starts) {
            infos.push(window.info.clone());
            rows.push(all.part(start * d_mlp..(start + window.ids.len()) * d_mlp));
        }
    }
    let layer_batch = LayerBatch {
        windows: &infos,
        rows: &rows,
        stride: d_mlp,
        first: 0,
    };
    let observe = |block: &mut Block| block.observe(&layer_batch, context);
    blocks.par_iter_mut().for_each(observe);
    Ok(())
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
