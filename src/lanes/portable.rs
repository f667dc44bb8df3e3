//! Lanes of any CPU: arrays, which the compiler makes of what registers there are.

use super::{LANES, Lanes};

/// Lanes of any CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    /// `other` where the mask says so, else `self`.
    #[inline(always)]
    fn pick(self, mask: [bool; LANES], other: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if mask[i] { other.0[i] } else { self.0[i] }
        }))
    }
}

impl Lanes for Portable {
    const TILE: (usize, usize) = (4, 1);

    #[inline(always)]
    fn splat(x: f32) -> Self {
        Self([x; LANES])
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> Self {
        // SAFETY: the caller's
        Self(unsafe { from.cast::<[f32; LANES]>().read_unaligned() })
    }

    #[inline(always)]
    unsafe fn store(self, to: *mut f32) {
        // SAFETY: the caller's
        unsafe { to.cast::<[f32; LANES]>().write_unaligned(self.0) }
    }

    #[inline(always)]
    unsafe fn load_pairs(from: *const u32) -> (Self, Self) {
        // SAFETY: the caller's
        let words = unsafe { from.cast::<[u32; LANES]>().read_unaligned() };
        (
            Self(words.map(|word| f32::from_bits(word << 16))),
            Self(words.map(|word| f32::from_bits(word & 0xffff_0000))),
        )
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        self.zip(other, |a, b| a / b)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        // without the instruction, rounding once would be a call into libm
        let fused = cfg!(any(target_feature = "fma", target_arch = "aarch64"));
        Self(std::array::from_fn(|i| match fused {
            true => self.0[i].mul_add(factor.0[i], sum.0[i]),
            false => self.0[i] * factor.0[i] + sum.0[i],
        }))
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, |a, b| if a > b { a } else { b })
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, |a, b| if a < b { a } else { b })
    }

    #[inline(always)]
    fn round(self) -> Self {
        // a number so large leaves no room for a fraction; there is no function to call
        const SHIFT: f32 = 12_582_912.0; // 1.5 · 2²³
        Self(self.0.map(|x| (x + SHIFT) - SHIFT))
    }

    #[inline(always)]
    fn exp2_of_whole(self) -> Self {
        // the conversion saturates, and so is defined for NaN as well
        Self(
            self.0
                .map(|x| f32::from_bits((((x as i32).wrapping_add(127)) << 23) as u32)),
        )
    }

    #[inline(always)]
    fn select_less(self, bound: Self, below: Self, other: Self) -> Self {
        Self(std::array::from_fn(|i| {
            if self.0[i] < bound.0[i] {
                below.0[i]
            } else {
                other.0[i]
            }
        }))
    }

    type Mask = [bool; LANES];

    #[inline(always)]
    fn less(self, other: Self) -> Self::Mask {
        std::array::from_fn(|i| self.0[i] < other.0[i])
    }

    #[inline(always)]
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        std::array::from_fn(|i| a[i] & b[i])
    }

    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        mask.iter().fold(false, |any, &lane| any | lane)
    }

    #[inline(always)]
    fn add_where(self, mask: Self::Mask, other: Self) -> Self {
        self.pick(mask, self.add(other))
    }

    #[inline(always)]
    fn max_where(self, mask: Self::Mask, other: Self) -> Self {
        self.pick(mask, self.max(other))
    }

    #[inline(always)]
    fn min_where(self, mask: Self::Mask, other: Self) -> Self {
        self.pick(mask, self.min(other))
    }

    type Wide = [f64; LANES];

    #[inline(always)]
    fn widen(self) -> Self::Wide {
        self.0.map(f64::from)
    }

    #[inline(always)]
    unsafe fn load_wide(from: *const f64) -> Self::Wide {
        // SAFETY: the caller's
        unsafe { from.cast::<Self::Wide>().read_unaligned() }
    }

    #[inline(always)]
    unsafe fn store_wide(wide: Self::Wide, to: *mut f64) {
        // SAFETY: the caller's
        unsafe { to.cast::<Self::Wide>().write_unaligned(wide) }
    }

    #[inline(always)]
    fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn mul_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| a[i] * b[i])
    }

    #[inline(always)]
    fn add_wide_where(a: Self::Wide, mask: Self::Mask, b: Self::Wide) -> Self::Wide {
        std::array::from_fn(|i| if mask[i] { a[i] + b[i] } else { a[i] })
    }
}
