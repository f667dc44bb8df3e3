//! Runs batches on the model's device.

#[cfg(any(feature = "cuda", test))]
use crate::gpu::Gpu;
use crate::model::Model;
use crate::stats::block::{Block, LayerBatch, ScanContext};
use crate::stats::{MlpKind, StatsOptions};

use super::batch::BatchWindow;
#[cfg(any(feature = "cuda", test))]
use super::device::{self, OnDevice, has_whole_documents};
use super::error::ScanError;
use super::forward::{BLOCK, forward};
use super::job::Prepared;

/// Tokens of a batch on a CPU, and of a batch whose activations all come to the host.
const BATCH_TOKENS: usize = 8192;

/// Tokens of a batch: on a GPU, as many as fit into its memory beside the model, `missing` bytes of which are still to be loaded.
pub(super) fn batch_tokens(
    model: &Model,
    kind: MlpKind,
    options: &StatsOptions,
    missing: usize,
) -> Result<usize, ScanError> {
    #[cfg(feature = "cuda")]
    if let Some(gpu) = Gpu::of(model.compute().device()) {
        return device::batch_tokens(&gpu, model, kind, options, missing);
    }
    let _ = (model, kind, options, missing);
    Ok(BATCH_TOKENS)
}

/// Bytes that statistics and a batch of `n_rows` rows take on a GPU; 0 on a CPU.
pub(super) fn bytes_on_gpu(
    model: &Model,
    kind: MlpKind,
    options: &StatsOptions,
    n_rows: usize,
) -> usize {
    #[cfg(feature = "cuda")]
    if let Some(_gpu) = Gpu::of(model.compute().device()) {
        return device::bytes(model, kind, options, n_rows);
    }
    let _ = (model, kind, options, n_rows);
    0
}

/// A model, with the place where its neurons are observed: the host, or a GPU.
pub(super) struct Engine<'a> {
    model: &'a Model,
    context: ScanContext<'a>,
    /// Number of blocks up to the last one that is scanned.
    n_blocks: usize,
    #[cfg(any(feature = "cuda", test))]
    device: Option<OnDevice>,
}

impl<'a> Engine<'a> {
    pub(super) fn new(model: &'a Model, prepared: &'a Prepared<'_>) -> Result<Self, ScanError> {
        #[cfg(feature = "cuda")]
        if let Some(gpu) = Gpu::of(model.compute().device()) {
            return Self::on(gpu, model, prepared);
        }
        Ok(Self {
            model,
            context: prepared.context(),
            n_blocks: prepared.n_blocks(),
            #[cfg(any(feature = "cuda", test))]
            device: None,
        })
    }

    /// Observes with a GPU's kernels.
    #[cfg(any(feature = "cuda", test))]
    pub(super) fn on(
        gpu: Gpu,
        model: &'a Model,
        prepared: &'a Prepared<'_>,
    ) -> Result<Self, ScanError> {
        let context = prepared.context();
        Ok(Self {
            model,
            context,
            n_blocks: prepared.n_blocks(),
            device: OnDevice::new(gpu, model, prepared.identity, context.options)?,
        })
    }

    /// Adds a batch to the blocks of every layer; statistics on a GPU are added by [`settle`](Self::settle).
    pub(super) fn scan(
        &mut self,
        batch: &[BatchWindow],
        layers: &mut [Vec<Block>],
    ) -> Result<(), ScanError> {
        let context = &self.context;
        #[cfg(any(feature = "cuda", test))]
        if let Some(device) = &mut self.device
            && has_whole_documents(batch)
        {
            device.observe(self.model, batch, layers, context)?;
            return match device.is_stale() {
                true => device.settle(layers),
                false => Ok(()),
            };
        }
        let observe = |block: &mut Block, values: &LayerBatch<'_>| block.observe(values, context);
        // a batch for a GPU has more activations than a host may have room for
        let mut rest = batch;
        while !rest.is_empty() {
            let mut n_rows = 0;
            let more = rest.iter().take_while(|window| {
                let more = n_rows < BATCH_TOKENS;
                n_rows += window.ids.len();
                more || self.model.compute().device().is_cpu()
            });
            let (own, after) = rest.split_at(more.count());
            // of layers that are tried out, the last is a whole one too
            let is_whole = layers.len() == self.n_blocks;
            forward(self.model, own, layers, is_whole, &observe)?;
            rest = after;
        }
        Ok(())
    }

    /// Runs a batch through the model without observing it.
    pub(super) fn forward(&self, batch: &[BatchWindow]) -> Result<(), ScanError> {
        #[cfg(any(feature = "cuda", test))]
        if self.device.is_some() {
            return device::forward_alone(self.model, batch, self.n_blocks);
        }
        let n_panels = self.model.config().d_mlp.div_ceil(BLOCK);
        let mut nobody = vec![vec![(); n_panels]; self.n_blocks];
        forward(self.model, batch, &mut nobody, true, &|(), _| {})
    }

    /// Adds the statistics on a GPU to the blocks.
    pub(super) fn settle(&mut self, layers: &mut [Vec<Block>]) -> Result<(), ScanError> {
        #[cfg(any(feature = "cuda", test))]
        if let Some(device) = &mut self.device {
            return device.settle(layers);
        }
        let _ = layers;
        Ok(())
    }
}
