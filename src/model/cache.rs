//! Keys and values of what a model has read, so that what follows can be read by itself.

use candle_core::{Result, Tensor};

/// Keys and values of the positions of one window, layer by layer. A walk that continues a cache reads only what follows these
/// positions, and adds its own.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    n_positions: usize,
    /// Whether the angles of its keys are those of long windows (LongRoPE).
    pub(super) is_long: bool,
    layers: Vec<LayerCache>,
}

impl KvCache {
    /// An empty cache.
    pub fn new() -> Self {
        Self::default()
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.n_positions
    }

    /// Whether it has no positions.
    pub fn is_empty(&self) -> bool {
        self.n_positions == 0
    }

    /// Forgets all but the first `n_positions`.
    pub fn trim(&mut self, n_positions: usize) {
        self.n_positions = self.n_positions.min(n_positions);
    }

    /// Number of layers whose keys and values it holds.
    pub(super) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, LayerCache::default);
        }
        &mut self.layers[layer]
    }

    /// Counts the positions that a walk through the first `n_layers` has added. Those of a walk that failed are never counted;
    /// the next walk overwrites them.
    pub(super) fn extend(&mut self, n_layers: usize, n_positions: usize) {
        self.layers.truncate(n_layers);
        self.n_positions += n_positions;
    }
}

/// Keys and values of one layer, positions already in the keys.
#[derive(Clone, Debug, Default)]
pub(super) struct LayerCache(Option<(Tensor, Tensor)>);

impl LayerCache {
    /// Appends keys and values after the first `past` positions, along dimension `dim`, and returns all of them. They are kept
    /// without their gradients.
    pub(super) fn append(
        &mut self,
        past: usize,
        (keys, values): (Tensor, Tensor),
        dim: usize,
    ) -> Result<(Tensor, Tensor)> {
        let both = match (&self.0, past) {
            (_, 0) => (keys, values),
            (Some((old_keys, old_values)), _) => {
                let after = |old: &Tensor, new: &Tensor| {
                    Tensor::cat(&[&old.narrow(dim, 0, past)?, new], dim)?.contiguous()
                };
                (after(old_keys, &keys)?, after(old_values, &values)?)
            }
            (None, _) => candle_core::bail!("no keys are kept of this layer"),
        };
        self.0 = Some((both.0.detach(), both.1.detach()));
        Ok(both)
    }
}
