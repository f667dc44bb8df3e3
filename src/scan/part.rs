//! One part of a scan, from token windows to tables.
//!
//! The windows of a batch go through a layer side by side; then the layer's neurons are updated from them, blocks of
//! neurons side by side; then the next layer. A window is computed alone, whatever its batch, so its activations
//! depend on nothing but the window, and no split of the corpus changes them.

use std::ops::Range;
use std::path::Path;

use candle_core::{CpuStorage, DType, Storage, Tensor};
use parking_lot::RwLockReadGuard;
use rayon::prelude::*;

use crate::ids::DocId;
use crate::model::{MlpActivations, Model, ModelError};
use crate::shard::{Folder, LayerWriter, Manifest, PartInfo, PartManifest, ScanIdentity, rows_of};
use crate::stats::block::{Block, GatedRows, LayerBatch, ScanContext, WindowInfo, WindowRows};
use crate::stats::samples::SamplePlan;
use crate::tokens::store::TokenStore;
use crate::tokens::{Vocabulary, Windowing};

use super::Progress;
use super::batch::{BatchWindow, Rows};
use super::error::ScanError;

/// Neurons whose state is updated together: wide enough for vector instructions, small enough for the cache.
const BLOCK: usize = 64;

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

fn scan_batch(
    model: &Model,
    batch: &[BatchWindow],
    layers: &mut [Vec<Block>],
    context: &ScanContext<'_>,
) -> Result<(), ScanError> {
    let infos: Vec<WindowInfo> = batch.iter().map(|window| window.info.clone()).collect();
    let embed = |window: &BatchWindow| model.embed(&[&window.ids]);
    let mut streams = batch
        .par_iter()
        .map(embed)
        .collect::<Result<Vec<Tensor>, ModelError>>()?;
    let n_layers = layers.len();
    for (layer, blocks) in layers.iter_mut().enumerate() {
        let go_on = layer + 1 < n_layers;
        let step = |x: &Tensor| model.block(layer, x, go_on);
        let found = streams
            .par_iter()
            .map(step)
            .collect::<Result<Vec<_>, ModelError>>()?;
        let (activations, next): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        let host = activations
            .iter()
            .map(HostActivations::of)
            .collect::<Result<Vec<_>, _>>()
            .map_err(ModelError::from)?;
        let guards: Vec<_> = host.iter().map(HostActivations::read).collect();
        let rows = guards
            .iter()
            .map(HostGuards::rows)
            .collect::<Result<Vec<_>, _>>()
            .map_err(ModelError::from)?;
        let layer_batch = LayerBatch {
            windows: &infos,
            rows: &rows,
            d_mlp: model.config().d_mlp,
        };
        blocks
            .par_iter_mut()
            .for_each(|block| block.observe(&layer_batch, context));
        streams = next.into_iter().flatten().collect();
    }
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
