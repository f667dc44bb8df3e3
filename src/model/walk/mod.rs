//! The only loop over a model's layers.
//!
//! ```text
//! Entry ──► Stream ──► layer 0 ──► Stream ──► layer 1 ──► … ──► Stream ──► Model::final_hidden ──► Model::logits
//! ids or               hooks                  hooks
//! embeddings           └── Visitor::hooks reads or replaces them; Visitor::residual likewise the streams between layers
//! ```
//!
//! A [`Walk`] says what is walked: which model, up to which layer, continuing which cache, on whose threads. A [`Visitor`] is
//! handed the [`LayerHooks`] of each layer before `W_out` and decides how they are computed: panel by panel on the CPU's
//! kernels, where the activations of a whole layer are never held as such; or as tensors, on any device. It has to go on from
//! them, and what it goes on with is what `W_out` multiplies: that is how neurons are ablated and steered.
//!
//! **Threads.** A walk starts none. It hands its work to an [`Executor`]: [`Serial`] where there is one thread, as in a browser;
//! callers with more threads bring their own. Several entries go through a layer together: first their attention, side by side;
//! then panels of neurons, side by side, each over the rows of all entries, because its weights are in the cache by
//! then. A visitor gives every panel a state of its own, so nothing is locked. This order within a layer is what makes a scan fast,
//! and it is the reason why the walk calls its visitors and is not an iterator that they drive.
//!
//! **Gradients.** What candle tracks (a `Var`, and all that is computed from it) stays tracked to the logits, whether it came in
//! as embeddings, as a residual stream or as a `hook_post`. Candle's fused operations cut its graph without a word; they are used
//! only on tensors that are not tracked. The CPU's kernels have no gradients and refuse tracked tensors, so the model has to be
//! loaded on [`Compute::Tensors`](super::Compute::Tensors).
//!
//! **Weights.** Blocks that the model holds are used where they are. Others are loaded from a checkpoint, if the walk is given one,
//! and dropped before the next.

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

/// Reads or replaces what a walk computes.
pub trait Visitor {
    /// What can go wrong.
    type Error: From<ModelError>;

    /// Called before a layer with the residual streams, one for each entry.
    fn residual(&mut self, layer: usize, streams: &mut [Stream]) -> Result<(), Self::Error> {
        let _ = (layer, streams);
        Ok(())
    }

    /// Called with the hooks of a layer's MLP, to go on from.
    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, Self::Error>;
}

/// Looks at nothing.
impl Visitor for () {
    type Error = ModelError;

    fn hooks<E: Executor>(&mut self, hooks: LayerHooks<'_, E>) -> Result<Written, ModelError> {
        hooks.pass()
    }
}

/// A way through the layers of a model.
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
    /// Through all layers, on one thread.
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
    /// With another executor.
    pub fn by<F: Executor>(self, executor: F) -> Walk<'w, F> {
        Walk {
            model: self.model,
            checkpoint: self.checkpoint,
            last: self.last,
            cancelled: self.cancelled,
            cache: self.cache,
            executor,
        }
    }

    /// Up to a layer and no further.
    pub fn stop_after(self, layer: usize) -> Self {
        let last = self.last.min(layer);
        Self { last, ..self }
    }

    /// Loads the layers that the model does not hold, one at a time.
    pub fn load_from(self, checkpoint: &'w Checkpoint<'w>) -> Self {
        let checkpoint = Some(checkpoint);
        Self { checkpoint, ..self }
    }

    /// Asks before every layer, and ends with [`ModelError::Cancelled`] if the answer is yes.
    pub fn cancel_if(self, cancelled: &'w dyn Fn() -> bool) -> Self {
        let cancelled = Some(cancelled);
        Self { cancelled, ..self }
    }

    /// Continues after the positions of a cache, and adds its own to it. There must be one entry of one window; the cache must be
    /// the same model's, filled by walks that went at least as far.
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
        let n_new = streams.iter().map(|stream| stream.windows.n_rows()).sum();
        if let Some(cache) = &mut self.cache {
            check_cache(model, cache, &streams, self.last, n_new)?;
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
            cache.extend(self.last + 1, n_new);
        }
        Ok(streams)
    }

    /// A block that the model holds, or one loaded for the moment.
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
    cache: &mut KvCache,
    streams: &[Stream],
    last: usize,
    n_new: usize,
) -> Result<(), ModelError> {
    let windows = streams.iter().map(|stream| stream.windows.lengths.len());
    let n_windows = windows.sum();
    if n_windows != 1 || streams.len() != 1 {
        return Err(ModelError::OneWindow { found: n_windows });
    }
    let n_positions = cache.len() + n_new;
    let is_long = model.is_long(n_positions);
    if cache.is_empty() {
        cache.is_long = is_long;
    }
    if is_long != cache.is_long {
        return Err(ModelError::OtherAngles { n_positions });
    }
    if !cache.is_empty() && cache.n_layers() <= last {
        return Err(ModelError::FewerLayers {
            found: cache.n_layers(),
            expected: last + 1,
        });
    }
    Ok(())
}
