//! The windows of a batch, and buckets of windows of similar length.

use std::collections::BTreeMap;
use std::sync::Arc;

use candle_core::{Device, Result, Tensor};

/// The windows of a batch, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Windows {
    /// Length of each; none is empty.
    pub(super) lengths: Arc<[usize]>,
    /// Number of positions before each of them, in a cache.
    pub(super) past: usize,
    /// Buckets for attention on tensors; the kernels take one window after the other.
    pub(super) buckets: Option<Arc<Buckets>>,
}

/// Windows whose attention is computed together: rows of a batch, `[n, length]`.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// Number of windows.
    pub(super) n: usize,
    /// Rows of each, the last of which may be repeated.
    pub(super) length: usize,
    rows: Rows,
}

#[derive(Clone, Debug)]
enum Rows {
    /// Consecutive rows, the first of which is this one.
    From(usize),
    /// Any rows, `[n * length]`.
    Chosen(Tensor),
}

/// Buckets that hold every window of a batch.
#[derive(Clone, Debug)]
pub(super) struct Buckets {
    buckets: Vec<Bucket>,
    /// Place of each row of the batch among the rows of all buckets; `None` if no row moves.
    order: Option<Tensor>, // [rows]
}

/// Windows can share a bucket if their lengths, rounded up to a multiple of this, are equal.
const STEP: usize = 64;

impl Windows {
    /// Windows of these lengths; those without a row are left out.
    pub(super) fn new(lengths: &[usize], past: usize) -> Self {
        Self {
            lengths: lengths.iter().copied().filter(|n| *n > 0).collect(),
            past,
            buckets: None,
        }
    }

    pub(super) fn n_rows(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Position of every row, counted from the first of the past.
    pub(super) fn positions(&self) -> Vec<u32> {
        let positions = |&n: &usize| self.past as u32..(self.past + n) as u32;
        self.lengths.iter().flat_map(positions).collect()
    }

    /// Sorts them into buckets of at most `most_rows` rows, but at least one window. Windows whose lengths are of different
    /// `kind` never share a bucket.
    pub(super) fn in_buckets(
        self,
        most_rows: usize,
        device: &Device,
        kind: impl Fn(usize) -> bool,
    ) -> Result<Self> {
        let buckets = Some(Arc::new(self.buckets(most_rows, device, kind)?));
        Ok(Self { buckets, ..self })
    }

    fn buckets(
        &self,
        most_rows: usize,
        device: &Device,
        kind: impl Fn(usize) -> bool,
    ) -> Result<Buckets> {
        let mut starts = Vec::with_capacity(self.lengths.len());
        let mut end = 0;
        for &length in &*self.lengths {
            starts.push(end);
            end += length;
        }
        let mut alike: BTreeMap<(bool, usize), Vec<usize>> = BTreeMap::new();
        for (window, length) in self.lengths.iter().enumerate() {
            let key = (kind(*length), length.div_ceil(STEP));
            alike.entry(key).or_default().push(window);
        }
        let (mut buckets, mut order, mut n_before) = (Vec::new(), vec![0u32; end], 0);
        for windows in alike.values() {
            let longest =
                |windows: &[usize]| windows.iter().map(|&w| self.lengths[w]).max().unwrap_or(0);
            for windows in windows.chunks((most_rows / longest(windows).max(1)).max(1)) {
                let length = longest(windows);
                let mut rows = Vec::with_capacity(windows.len() * length);
                for &window in windows {
                    let (start, own) = (starts[window], self.lengths[window]);
                    for at in 0..length {
                        if at < own {
                            order[start + at] = (n_before + rows.len()) as u32;
                        }
                        // a repeated row comes after all rows of its window, so no query sees it
                        rows.push((start + at.min(own - 1)) as u32);
                    }
                }
                n_before += rows.len();
                let first = rows[0];
                let rows = match rows.iter().zip(first..).all(|(row, at)| *row == at) {
                    true => Rows::From(first as usize),
                    false => Rows::Chosen(Tensor::new(rows, device)?),
                };
                buckets.push(Bucket {
                    n: windows.len(),
                    length,
                    rows,
                });
            }
        }
        let in_order = n_before == end && order.iter().zip(0..).all(|(place, at)| *place == at);
        Ok(Buckets {
            buckets,
            order: (!in_order)
                .then(|| Tensor::new(order, device))
                .transpose()?,
        })
    }
}

impl Bucket {
    /// Picks its rows from those of the batch: `[rows, ..]` → `[n * length, ..]`
    pub(super) fn of(&self, x: &Tensor) -> Result<Tensor> {
        match &self.rows {
            Rows::From(first) => x.narrow(0, *first, self.n * self.length),
            Rows::Chosen(rows) => x.index_select(rows, 0),
        }
    }
}

impl Buckets {
    /// Calls `of` for every bucket, and puts the rows back in the order of the batch: `[n * length, d]` → `[rows, d]`
    pub(super) fn each(&self, of: impl FnMut(&Bucket) -> Result<Tensor>) -> Result<Tensor> {
        let done = self.buckets.iter().map(of).collect::<Result<Vec<_>>>()?;
        let y = match done.as_slice() {
            [one] => one.clone(),
            _ => Tensor::cat(&done, 0)?,
        };
        match &self.order {
            Some(order) => y.index_select(order, 0),
            None => Ok(y),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_row_comes_back_to_its_place(
            lengths in prop::collection::vec(1usize..200, 1..12),
            most_rows in 1usize..600,
        ) {
            let windows = Windows::new(&lengths, 0);
            let n: usize = lengths.iter().sum();
            let x = Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape((n, 1)).unwrap();
            let buckets = windows.buckets(most_rows, &Device::Cpu, |n| n > 50).unwrap();
            let y = buckets.each(|bucket| {
                let rows = bucket.of(&x)?;
                assert_eq!(rows.dims(), [bucket.n * bucket.length, 1]);
                assert!(bucket.n == 1 || bucket.n * bucket.length <= most_rows.max(STEP));
                // a window begins where it began, and goes on without a gap
                for window in rows.flatten_all()?.to_vec1::<f32>()?.chunks(bucket.length) {
                    assert!(window.windows(2).all(|w| w[1] == w[0] + 1.0 || w[1] == w[0]));
                }
                Ok(rows)
            });
            prop_assert_eq!(y.unwrap().to_vec2::<f32>().unwrap(), x.to_vec2::<f32>().unwrap());
        }
    }
}
