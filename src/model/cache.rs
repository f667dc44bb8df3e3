//! Keys and values of the positions that a model has read, so that a window can be continued.

use candle_core::{Result, Tensor};

/// Keys and values of the positions of one window, layer by layer. A walk that continues a cache computes only the positions
/// that follow, and adds them to it.
///
/// Clones share their tensors, so a clone costs almost nothing. Every walk that continues a cache copies all keys and values in
/// it: 2 · `n_key_value_heads` · `d_head` numbers for each position and layer.
#[derive(Clone, Debug, Default)]
pub struct KvCache {
    n_positions: usize,
    /// Whether its keys are rotated by the angles of long windows (LongRoPE).
    is_long: bool,
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

    /// Forgets all but the first `n_positions`. The memory of the others is freed by the next walk.
    pub fn trim(&mut self, n_positions: usize) {
        self.n_positions = self.n_positions.min(n_positions);
    }

    /// Number of layers whose keys and values it holds.
    pub(super) fn n_layers(&self) -> usize {
        self.layers.len()
    }

    /// Whether its keys are rotated by the angles of long windows (LongRoPE).
    pub(super) fn is_long(&self) -> bool {
        self.is_long
    }

    pub(super) fn layer(&mut self, layer: usize) -> &mut LayerCache {
        if self.layers.len() <= layer {
            self.layers.resize_with(layer + 1, LayerCache::default);
        }
        &mut self.layers[layer]
    }

    /// Counts the positions that a walk through the first `n_layers` has added. Those of a walk that failed are never counted;
    /// the next walk overwrites them.
    pub(super) fn extend(&mut self, n_layers: usize, n_positions: usize, is_long: bool) {
        self.layers.truncate(n_layers);
        self.n_positions += n_positions;
        self.is_long = is_long;
    }
}

/// Keys and values of one layer; the keys are already rotated.
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
