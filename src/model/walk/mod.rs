//! The only loop over a model's layers.
//!
//! ```text
//! Entry ──► Stream ──► layer 0 ──► Stream ──► layer 1 ──► … ──► Stream ──► Model::final_hidden ──► Model::logits
//! ids or               hooks                  hooks
//! embeddings           └── Visitor::hooks reads or replaces them; Visitor::residual likewise the streams between layers
//! ```
//!
//! A [`Walk`] holds the settings: the model, the last layer, the cache to continue, the threads to run on. A [`Visitor`] gets
//! the [`LayerHooks`] of each layer before `W_out` and decides how they are computed: panel by panel on the CPU's kernels, which
//! never keeps the activations of a whole layer as they are; or as tensors, on any device. It then passes on the values that
//! `W_out` multiplies: that is how neurons are ablated and steered.
//!
//! **Threads.** A walk starts none. It hands its work to an [`Executor`]: [`Serial`] where there is one thread, as in a browser;
//! callers with more threads bring their own. Several entries go through a layer together: first their attention, in parallel;
//! then panels of neurons, in parallel, each over the rows of all entries, while its weights are in the CPU's cache. A visitor
//! gives every panel a state of its own, so nothing is locked. This order within a layer is what makes a scan fast, and it is why
//! the walk calls its visitors and is not an iterator that they drive.
//!
//! **Gradients.** What candle tracks (a `Var`, and everything computed from it) stays tracked up to the logits, whether it came in
//! as embeddings, as a residual stream or as a `hook_post`. Candle's fused operations silently cut its graph, so they are used
//! only on tensors that are not tracked. The CPU's kernels have no gradients and refuse tracked tensors, so the model has to be
//! loaded on [`Compute::Tensors`](super::Compute::Tensors).
//!
//! **Weights.** Blocks that the model holds are used in place. Others are loaded from a checkpoint, if the walk is given one, and
//! dropped before the next layer.

mod executor;
mod layer;

use std::borrow::Cow;
use std::iter;

pub use executor::{Executor, Serial};
pub use layer::{LayerHooks, LayerPanels, PanelPlace, Written};

use super::block::{Attended, Block};
use super::cache::{KvCache, LayerCache};
use super::decoder::Model;
use super::error::ModelError;
use super::stream::{Entry, Stream};
use super::weights::Checkpoint;

/// Reads or replaces the values of a walk.
pub trait Visitor {
    /// Error of the visitor, or of the walk.
    type Error: From<ModelError>;

    /// Called before a layer with the residual streams, one for each entry.
    fn residual(&mut self, layer: usize, streams: &mut [Stream]) -> Result<(), Self::Error> {
        let _ = (layer, streams);
        Ok(())
    }

    /// Called with the hooks of a layer's MLP. Only the methods of [`LayerHooks`] return what it has to return.
    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, Self::Error>;
}

/// A visitor that reads nothing and changes nothing.
impl Visitor for () {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        hooks.pass()
    }
}

/// Leads windows of text through the layers of a model.
pub struct Walk<'w, E = Serial> {
    model: &'w Model,
    checkpoint: Option<&'w Checkpoint<'w>>,
    /// The last layer.
    last: usize,
    cancelled: Option<&'w dyn Fn() -> bool>,
    cache: Option<&'w mut KvCache>,
    executor: E,
}

impl<'w> Walk<'w> {
    /// A walk through all layers, on one thread.
    pub fn new(model: &'w Model) -> Self {
        Self {
            model,
            checkpoint: None,
            last: model.config().n_layers.saturating_sub(1),
            cancelled: None,
            cache: None,
            executor: Serial,
        }
    }
}

impl<'w, E: Executor> Walk<'w, E> {
    /// Runs on the threads of `executor`.
    pub fn with_executor<F: Executor>(self, executor: F) -> Walk<'w, F> {
        Walk {
            model: self.model,
            checkpoint: self.checkpoint,
            last: self.last,
            cancelled: self.cancelled,
            cache: self.cache,
            executor,
        }
    }

    /// Stops after `layer`, counted from 0; a number past the last layer means the last layer. Of several calls, the lowest
    /// layer counts.
    pub fn stop_after(self, layer: usize) -> Self {
        let last = self.last.min(layer);
        Self { last, ..self }
    }

    /// Loads the layers that the model does not hold, one at a time.
    pub fn load_from(self, checkpoint: &'w Checkpoint<'w>) -> Self {
        let checkpoint = Some(checkpoint);
        Self { checkpoint, ..self }
    }

    /// Calls `cancelled` before every layer, and fails with [`ModelError::Cancelled`] once it returns true.
    pub fn cancel_if(self, cancelled: &'w dyn Fn() -> bool) -> Self {
        let cancelled = Some(cancelled);
        Self { cancelled, ..self }
    }

    /// Continues after the positions of a cache, and adds the new positions to it. There must be one entry with one window; the
    /// cache must be of this model, filled by walks that went at least as far.
    pub fn continuing(self, cache: &'w mut KvCache) -> Self {
        let cache = Some(cache);
        Self { cache, ..self }
    }

    /// Walks up to the hooks of the last layer; what it would write is not computed.
    pub fn visit<V: Visitor>(self, entries: &[Entry<'_>], visitor: &mut V) -> Result<(), V::Error> {
        self.lead(entries, visitor, false).map(drop)
    }

    /// Walks through the last layer; returns the residual streams after it, one for each entry.
    pub fn through<V: Visitor>(
        self,
        entries: &[Entry<'_>],
        visitor: &mut V,
    ) -> Result<Vec<Stream>, V::Error> {
        self.lead(entries, visitor, true)
    }

    fn lead<V: Visitor>(
        mut self,
        entries: &[Entry<'_>],
        visitor: &mut V,
        writes_last: bool,
    ) -> Result<Vec<Stream>, V::Error> {
        let (model, executor) = (self.model, &self.executor);
        let past = self.cache.as_ref().map_or(0, |cache| cache.len());
        let enter = |_: &mut (), entry: &Entry<'_>| model.enter(entry, past);
        let mut streams = executor.map(entries.iter().collect(), || (), enter)?;
        let n_new: usize = streams.iter().map(|stream| stream.windows.n_rows()).sum();
        if let Some(cache) = &self.cache {
            check_cache(model, cache, &streams, self.last)?;
        }
        let mut outputs = Vec::new();
        for layer in 0..=self.last {
            if self.cancelled.is_some_and(|cancelled| cancelled()) {
                return Err(ModelError::Cancelled { layer }.into());
            }
            visitor.residual(layer, &mut streams)?;
            let block = self.block(layer)?;
            let cache = self.cache.as_mut().map(|cache| cache.layer(layer));
            let caches = iter::once(cache).chain(iter::repeat_with(|| None));
            let attend = |_: &mut (), (stream, cache): (Stream, Option<&mut LayerCache>)| {
                model.attend(&block, stream, cache)
            };
            let both = streams.into_iter().zip(caches).collect();
            let attended: Vec<Attended> = self.executor.map(both, || (), attend)?;
            let hooks = LayerHooks {
                ops: model.ops(),
                block: &block,
                layer,
                d_mlp: model.config().d_mlp,
                goes_on: writes_last || layer < self.last,
                attended,
                outputs: &mut outputs,
                executor: &self.executor,
            };
            streams = visitor.hooks(hooks)?.0;
        }
        if let Some(cache) = self.cache {
            cache.extend(self.last + 1, n_new, model.is_long(past + n_new));
        }
        Ok(streams)
    }

    /// A block that the model holds, or one that is loaded now.
    fn block(&self, layer: usize) -> Result<Cow<'w, Block>, ModelError> {
        match (self.model.block(layer), self.checkpoint) {
            (Some(block), _) => Ok(Cow::Borrowed(block)),
            (None, Some(checkpoint)) => Ok(Cow::Owned(self.model.load_block(layer, checkpoint)?)),
            (None, None) => Err(ModelError::NotLoaded { layer }),
        }
    }
}

/// Fails unless the positions of a cache can be continued with these streams.
fn check_cache(
    model: &Model,
    cache: &KvCache,
    streams: &[Stream],
    last: usize,
) -> Result<(), ModelError> {
    let windows = streams.iter().flat_map(|stream| &*stream.windows.lengths);
    let lengths: Vec<usize> = windows.copied().collect();
    let (&[n_new], [_]) = (lengths.as_slice(), streams) else {
        let found = lengths.len();
        return Err(ModelError::OneWindow { found });
    };
    if cache.is_empty() {
        return Ok(());
    }
    let n_positions = cache.len() + n_new;
    if model.is_long(n_positions) != cache.is_long() {
        return Err(ModelError::OtherAngles { n_positions });
    }
    if cache.n_layers() <= last {
        return Err(ModelError::FewerLayers {
            found: cache.n_layers(),
            expected: last + 1,
        });
    }
    Ok(())
}
