//! Activation functions, lane by lane.
//!
//! Each is written so that it loses no digits where its value is small; that is where the textbook forms, `1 + tanh` and
//! `1 + erf`, cancel.

use crate::lanes::{Isa, Kernel, LANES, Lanes, lanes_at, map_lanes};
use crate::model::config::Activation;

/// eˣ: x = n·ln 2 + r with |r| ≤ ln 2 / 2, eʳ by its series to r⁷ in the order of Horner. Within 2 ulp; 0 below -87.
#[inline(always)]
pub(super) fn exp<L: Lanes>(x: L) -> L {
    const LN_2_HIGH: f32 = 0.693_359_4; // so short that n times it is exact
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    let bounded = L::splat(88.0).min(L::splat(-87.0).max(x));
    let n = bounded.mul(L::splat(std::f32::consts::LOG2_E)).round();
    let r = n.mul_add(L::splat(-LN_2_HIGH), bounded);
    let r = n.mul_add(L::splat(-LN_2_LOW), r);
    let mut sum = L::splat(1.0 / 5040.0);
    for coefficient in [
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        sum = sum.mul_add(r, L::splat(coefficient));
    }
    let y = sum.mul(n.exp2_of_whole());
    x.select_less(L::splat(-87.0), L::splat(0.0), y)
}

/// x / (1 + e⁻ˣ)
#[inline(always)]
fn silu<L: Lanes>(x: L) -> L {
    x.div(L::splat(1.0).add(exp(L::splat(0.0).sub(x))))
}

/// x / (1 + e⁻²ᵘ), u = √(2/π)·(x + 0.044715·x³), which is x/2·(1 + tanh u).
#[inline(always)]
fn gelu_tanh<L: Lanes>(x: L) -> L {
    const TWICE: f32 = -2.0 * 0.797_884_6;
    let cubic = x.mul(x).mul_add(L::splat(0.044_715), L::splat(1.0));
    let u = x.mul(cubic).mul(L::splat(TWICE));
    x.div(L::splat(1.0).add(exp(u)))
}

/// x/2 · erfc(-x/√2). erfc(z) = t·exp(-z² + P(t)), t = 1/(1 + z/2), for z ≥ 0: Press et al., Numerical Recipes, 6.2, whose
/// polynomial is within 1.2·10⁻⁷ of the whole value everywhere.
#[inline(always)]
fn gelu<L: Lanes>(x: L) -> L {
    const P: [f32; 10] = [
        0.170_872_77,
        -0.822_152_23,
        1.488_515_9,
        -1.135_204,
        0.278_868_07,
        -0.186_288_06,
        0.096_784_18,
        0.374_091_96,
        1.000_023_7,
        -1.265_512_2,
    ];
    let zero = L::splat(0.0);
    let z = x.mul(L::splat(std::f32::consts::FRAC_1_SQRT_2));
    let magnitude = z.select_less(zero, zero.sub(z), z);
    let t = L::splat(1.0).div(magnitude.mul_add(L::splat(0.5), L::splat(1.0)));
    let mut sum = L::splat(P[0]);
    for coefficient in &P[1..] {
        sum = sum.mul_add(t, L::splat(*coefficient));
    }
    let minus_square = zero.sub(magnitude).mul_add(magnitude, sum);
    let upper = t.mul(exp(minus_square)); // erfc(|z|)
    let share = z.select_less(zero, upper, L::splat(2.0).sub(upper));
    x.mul(L::splat(0.5)).mul(share)
}

#[inline(always)]
fn apply<L: Lanes>(act_fn: Activation, x: L) -> L {
    match act_fn {
        Activation::Silu => silu(x),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => gelu_tanh(x),
        Activation::Relu => L::splat(0.0).max(x),
        // over all neurons of a position, and so not lane by lane
        Activation::SoluLn => x,
    }
}

struct Activate<'a> {
    act_fn: Activation,
    pre: &'a [f32],
    act: &'a mut [f32],
    gated: Option<(&'a [f32], &'a mut [f32])>,
}

impl Kernel for Activate<'_> {
    type Output = ();

    #[inline(always)]
    fn run<L: Lanes>(self) {
        assert_eq!(self.act.len(), self.pre.len());
        let Some((input, post)) = self.gated else {
            self.act.copy_from_slice(self.pre);
            return map_lanes!(L, self.act, |_, x| apply(self.act_fn, x));
        };
        assert!(input.len() == self.pre.len() && post.len() == input.len());
        self.act.copy_from_slice(self.pre);
        map_lanes!(L, self.act, |at, x| {
            let y = apply(self.act_fn, x);
            let n = LANES.min(post.len() - at);
            let product = y.mul(lanes_at(input, at, 0.0));
            if n == LANES {
                // SAFETY: sixteen values follow
                unsafe { product.store(post.as_mut_ptr().add(at)) };
            } else {
                post[at..].copy_from_slice(&product.to_array()[..n]);
            }
            y
        });
    }
}

/// `act_fn(pre)`
pub(crate) fn activate(isa: Isa, act_fn: Activation, pre: &[f32], act: &mut [f32]) {
    isa.run(Activate {
        act_fn,
        pre,
        act,
        gated: None,
    });
}

/// `act_fn(pre)` and `act_fn(pre) · input`
pub(crate) fn gated(
    isa: Isa,
    act_fn: Activation,
    (pre, input): (&[f32], &[f32]),
    act: &mut [f32],
    post: &mut [f32],
) {
    isa.run(Activate {
        act_fn,
        pre,
        act,
        gated: Some((input, post)),
    });
}
