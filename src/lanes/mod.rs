//! Sixteen f32 side by side, on every instruction set the same: one AVX-512 register, two of AVX2, or an array.
//!
//! A kernel is written once for any [`Lanes`] and compiled for each instruction set; which one runs is decided when the program
//! starts ([`Isa::best`]). In a kernel, loops go over numbers and macros stand for functions that would take a closure: an
//! iterator over vectors or a closure is a function of its own, which is not compiled for the instruction set.
//!
//! What is computed lane by lane is the same to the last bit wherever the CPU has fused multiply-add, so an atlas does
//! not depend on the width of the registers that it was made with.

mod isa;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use isa::Isa;

/// Number of lanes.
pub(crate) const LANES: usize = 16;

/// Sixteen f32.
pub(crate) trait Lanes: Copy {
    /// Rows and vectors of a tile of products whose sums fit into the registers.
    const TILE: (usize, usize);

    /// Sixteen times the same.
    fn splat(x: f32) -> Self;

    /// # Safety
    /// Sixteen values can be read.
    unsafe fn load(from: *const f32) -> Self;

    /// # Safety
    /// Sixteen values can be written.
    unsafe fn store(self, to: *mut f32);

    /// From sixteen pairs of bf16: the first of each pair, and the second.
    ///
    /// # Safety
    /// Sixteen pairs can be read.
    unsafe fn load_pairs(from: *const u32) -> (Self, Self);

    fn add(self, other: Self) -> Self;
    fn sub(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn div(self, other: Self) -> Self;

    /// `self · factor + sum`, rounded once where the CPU can.
    fn mul_add(self, factor: Self, sum: Self) -> Self;

    /// `other` where either is NaN.
    fn max(self, other: Self) -> Self;

    /// `other` where either is NaN.
    fn min(self, other: Self) -> Self;

    /// To the nearest whole number, ties to even.
    fn round(self) -> Self;

    /// 2 to the power of a whole number from -126 to 127.
    fn exp2_of_whole(self) -> Self;

    /// `below` where `self < bound`, else `other`.
    fn select_less(self, bound: Self, below: Self, other: Self) -> Self;

    /// Which lanes.
    type Mask: Copy;

    /// Where `self < other`; not where either is NaN.
    fn less(self, other: Self) -> Self::Mask;

    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask;

    /// Whether any lane is set.
    #[cfg_attr(not(feature = "atlas"), allow(dead_code))] // only weights are looked at so
    fn any(mask: Self::Mask) -> bool;

    /// `self + other` where the mask says so, else `self`.
    fn add_where(self, mask: Self::Mask, other: Self) -> Self;

    /// [`Lanes::max`] where the mask says so, else `self`.
    fn max_where(self, mask: Self::Mask, other: Self) -> Self;

    /// [`Lanes::min`] where the mask says so, else `self`.
    fn min_where(self, mask: Self::Mask, other: Self) -> Self;

    /// Sixteen f64.
    type Wide: Copy;

    fn widen(self) -> Self::Wide;

    /// # Safety
    /// Sixteen values can be read.
    unsafe fn load_wide(from: *const f64) -> Self::Wide;

    /// # Safety
    /// Sixteen values can be written.
    unsafe fn store_wide(wide: Self::Wide, to: *mut f64);

    fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide;
    fn mul_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide;

    /// `a + b` where the mask says so, else `a`.
    fn add_wide_where(a: Self::Wide, mask: Self::Mask, b: Self::Wide) -> Self::Wide;

    #[inline(always)]
    fn to_array(self) -> [f32; LANES] {
        let mut array = [0.0; LANES];
        // SAFETY: the array has sixteen values
        unsafe { self.store(array.as_mut_ptr()) };
        array
    }

    /// Sum of the lanes, in an order that does not depend on the instruction set.
    #[inline(always)]
    fn sum(self) -> f32 {
        let mut x = self.to_array();
        for half in [8, 4, 2, 1] {
            for i in 0..half {
                x[i] += x[i + half];
            }
        }
        x[0]
    }

    /// Largest lane.
    #[inline(always)]
    fn largest(self) -> f32 {
        let array = self.to_array();
        array
            .iter()
            .fold(array[0], |a, &b| if a > b { a } else { b })
    }
}

/// Goes through values by sixteen; the last ones are filled up with `$pad`. A function that takes a closure would not be
/// compiled for the instruction set that it is used on.
macro_rules! for_lanes {
    ($lanes:ident, $values:expr, $pad:expr, |$at:pat_param, $x:ident| $body:expr) => {{
        let values: &[f32] = $values;
        let whole = values.len() / LANES * LANES;
        let mut at = 0;
        while at < values.len() {
            let $x = if at < whole {
                // SAFETY: sixteen values follow
                unsafe { $lanes::load(values.as_ptr().add(at)) }
            } else {
                lanes_at::<$lanes>(values, at, $pad)
            };
            let $at = at;
            $body;
            at += LANES;
        }
    }};
}
pub(crate) use for_lanes;

/// Replaces values, sixteen at a time.
macro_rules! map_lanes {
    ($lanes:ident, $values:expr, |$at:pat_param, $x:ident| $body:expr) => {{
        let values: &mut [f32] = $values;
        let whole = values.len() / LANES * LANES;
        let mut at = 0;
        while at < values.len() {
            let $at = at;
            if at < whole {
                let to = values.as_mut_ptr().wrapping_add(at);
                // SAFETY: sixteen values follow
                let $x = unsafe { $lanes::load(to) };
                let y: $lanes = $body;
                // SAFETY: as above
                unsafe { y.store(to) };
            } else {
                let $x = lanes_at::<$lanes>(values, at, 0.0);
                let y: $lanes = $body;
                let n = values.len() - at;
                values[at..].copy_from_slice(&y.to_array()[..n]);
            }
            at += LANES;
        }
    }};
}
pub(crate) use map_lanes;

/// Sixteen values from a place on; where there are fewer, `pad` stands for those that are missing.
#[inline(always)]
pub(crate) fn lanes_at<L: Lanes>(values: &[f32], at: usize, pad: f32) -> L {
    if at + LANES <= values.len() {
        // SAFETY: sixteen values follow
        return unsafe { L::load(values.as_ptr().add(at)) };
    }
    let mut last = [pad; LANES];
    last[..values.len() - at].copy_from_slice(&values[at..]);
    // SAFETY: the array has sixteen values
    unsafe { L::load(last.as_ptr()) }
}

/// Something that runs on any lanes; see [`Isa::run`].
pub(crate) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`, so that they are compiled for the instruction set that calls them.
    fn run<L: Lanes>(self) -> Self::Output;
}
