//! Norms and rotations, row by row.

use crate::lanes::{Isa, Kernel, LANES, Lanes, for_lanes, lanes_at, map_lanes};

struct NormRows<'a> {
    x: &'a mut [f32],
    /// One weight for all rows, or one after the other.
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    d: usize,
    eps: f32,
    centred: bool,
}

impl Kernel for NormRows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let d = self.d;
        let weights = self.weights.chunks_exact(d).cycle();
        for (row, weight) in self.x.chunks_exact_mut(d).zip(weights) {
            if self.centred {
                let mut sum = L::splat(0.0);
                for_lanes!(L, row, 0.0, |_, x| sum = sum.add(x));
                let mean = L::splat(sum.sum() / d as f32);
                map_lanes!(L, row, |_, x| x.sub(mean));
            }
            let mut squares = L::splat(0.0);
            for_lanes!(L, row, 0.0, |_, x| squares = x.mul_add(x, squares));
            let scale = L::splat(1.0 / (squares.sum() / d as f32 + self.eps).sqrt());
            map_lanes!(L, row, |at, x| {
                let y = x.mul(scale).mul(lanes_at(weight, at, 0.0));
                match self.bias {
                    Some(bias) => y.add(lanes_at(bias, at, 0.0)),
                    None => y,
                }
            });
        }
    }
}

/// RMSNorm of rows of `d` values in place; the weights of several kinds of rows, which then take turns, follow one another.
pub(crate) fn rms_norm(isa: Isa, x: &mut [f32], weights: &[f32], d: usize, eps: f32) {
    isa.run(NormRows {
        x,
        weights,
        bias: None,
        d,
        eps,
        centred: false,
    });
}

/// LayerNorm, likewise.
pub(crate) fn layer_norm(
    isa: Isa,
    x: &mut [f32],
    weights: &[f32],
    bias: Option<&[f32]>,
    d: usize,
    eps: f32,
) {
    isa.run(NormRows {
        x,
        weights,
        bias,
        d,
        eps,
        centred: true,
    });
}

struct Rotate<'a> {
    x: &'a mut [f32],
    cos: &'a [f32],
    sin: &'a [f32],
    n_heads: usize,
    d_head: usize,
}

impl Kernel for Rotate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let half = self.cos.len() / (self.x.len() / (self.n_heads * self.d_head)).max(1);
        let angles = self.cos.chunks_exact(half).zip(self.sin.chunks_exact(half));
        let rows = self.x.chunks_exact_mut(self.n_heads * self.d_head);
        for (row, (cos, sin)) in rows.zip(angles) {
            for head in row.chunks_exact_mut(self.d_head) {
                let (first, second) = head.split_at_mut(half);
                map_lanes!(L, first, |at, a| {
                    let (cos, sin) = (lanes_at::<L>(cos, at, 0.0), lanes_at::<L>(sin, at, 0.0));
                    let n = LANES.min(half - at);
                    let b: L = lanes_at(&second[..half], at, 0.0);
                    let turned = b.mul(cos).add(a.mul(sin)).to_array();
                    second[at..at + n].copy_from_slice(&turned[..n]);
                    a.mul(cos).sub(b.mul(sin))
                });
            }
        }
    }
}

/// Rotates the heads of rows `[pos, n_heads, d_head]` in place, first half of the rotated dimensions against the second, by
/// `cos` and `sin`, `[pos, n_dims / 2]`.
pub(crate) fn rotate(
    isa: Isa,
    x: &mut [f32],
    (cos, sin): (&[f32], &[f32]),
    n_heads: usize,
    d_head: usize,
) {
    if !cos.is_empty() {
        isa.run(Rotate {
            x,
            cos,
            sin,
            n_heads,
            d_head,
        });
    }
}

struct Add<'a>(&'a mut [f32], &'a [f32]);

impl Kernel for Add<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        let Self(to, from) = self;
        map_lanes!(L, to, |at, x| x.add(lanes_at(from, at, 0.0)));
    }
}

/// Adds values, in turns where they are fewer.
pub(crate) fn add(isa: Isa, to: &mut [f32], from: &[f32]) {
    for to in to.chunks_mut(from.len().max(1)) {
        isa.run(Add(to, from));
    }
}
