//! Sixteen f32 side by side, on every instruction set the same: one AVX-512 register, two of AVX2, or an array.
//!
//! What is computed lane by lane is the same to the last bit wherever the CPU has fused multiply-add, so an atlas does
//! not depend on the width of the registers that it was made with.

use super::matmul::{Tile, multiply};

/// Number of lanes.
pub(super) const LANES: usize = 16;

/// Sixteen f32.
pub(super) trait Lanes: Copy {
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

    /// Multiplies one tile; `pairs` says what the words of its weights are.
    ///
    /// # Safety
    /// As for [`multiply`].
    unsafe fn multiply(tile: &Tile, pairs: bool);

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

/// Something that runs on any lanes; see [`super::Isa::run`].
pub(super) trait Kernel {
    type Output;

    /// Implementations are `#[inline(always)]`, so that they are compiled for the instruction set that calls them.
    fn run<L: Lanes>(self) -> Self::Output;
}

/// Lanes of any CPU.
#[derive(Clone, Copy)]
pub(super) struct Portable([f32; LANES]);

impl Portable {
    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f32, f32) -> f32) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }
}

impl Lanes for Portable {
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

    #[inline(always)]
    unsafe fn multiply(tile: &Tile, pairs: bool) {
        // SAFETY: the caller's
        unsafe { tile.halves(|half| multiply::<Self, 4, 1>(half, pairs)) }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86::{Avx2, Avx512};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{Lanes, Tile, multiply};

    /// One register of AVX-512.
    #[derive(Clone, Copy)]
    pub(in crate::model::cpu) struct Avx512(__m512);

    // SAFETY, here and below: lanes of an instruction set exist only in kernels that `Isa::run` calls, which has
    // detected it.
    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Lanes for Avx512 {
        #[inline(always)]
        fn splat(x: f32) -> Self {
            unsafe { Self(_mm512_set1_ps(x)) }
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm512_loadu_ps(from)) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe { _mm512_storeu_ps(to, self.0) }
        }

        #[inline(always)]
        unsafe fn load_pairs(from: *const u32) -> (Self, Self) {
            unsafe {
                let words = _mm512_loadu_si512(from.cast());
                let high = _mm512_set1_epi32(0xffff_0000u32 as i32);
                (
                    Self(_mm512_castsi512_ps(_mm512_slli_epi32::<16>(words))),
                    Self(_mm512_castsi512_ps(_mm512_and_si512(words, high))),
                )
            }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            unsafe { Self(_mm512_add_ps(self.0, other.0)) }
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            unsafe { Self(_mm512_sub_ps(self.0, other.0)) }
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            unsafe { Self(_mm512_mul_ps(self.0, other.0)) }
        }

        #[inline(always)]
        fn div(self, other: Self) -> Self {
            unsafe { Self(_mm512_div_ps(self.0, other.0)) }
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, sum: Self) -> Self {
            unsafe { Self(_mm512_fmadd_ps(self.0, factor.0, sum.0)) }
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            unsafe { Self(_mm512_max_ps(self.0, other.0)) }
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            unsafe { Self(_mm512_min_ps(self.0, other.0)) }
        }

        #[inline(always)]
        fn round(self) -> Self {
            unsafe { Self(_mm512_roundscale_ps::<_MM_FROUND_TO_NEAREST_INT>(self.0)) }
        }

        #[inline(always)]
        fn exp2_of_whole(self) -> Self {
            unsafe {
                let exponent = _mm512_add_epi32(_mm512_cvtps_epi32(self.0), _mm512_set1_epi32(127));
                Self(_mm512_castsi512_ps(_mm512_slli_epi32::<23>(exponent)))
            }
        }

        #[inline(always)]
        fn select_less(self, bound: Self, below: Self, other: Self) -> Self {
            unsafe {
                let less = _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, bound.0);
                Self(_mm512_mask_blend_ps(less, other.0, below.0))
            }
        }

        #[inline(always)]
        unsafe fn multiply(tile: &Tile, pairs: bool) {
            unsafe { multiply::<Self, 14, 2>(tile, pairs) }
        }
    }

    /// Two registers of AVX2, with fused multiply-add.
    #[derive(Clone, Copy)]
    pub(in crate::model::cpu) struct Avx2(__m256, __m256);

    impl Avx2 {
        #[inline(always)]
        fn both(self, other: Self, f: impl Fn(__m256, __m256) -> __m256) -> Self {
            Self(f(self.0, other.0), f(self.1, other.1))
        }
    }

    #[allow(clippy::undocumented_unsafe_blocks)]
    impl Lanes for Avx2 {
        #[inline(always)]
        fn splat(x: f32) -> Self {
            let half = unsafe { _mm256_set1_ps(x) };
            Self(half, half)
        }

        #[inline(always)]
        unsafe fn load(from: *const f32) -> Self {
            unsafe { Self(_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))) }
        }

        #[inline(always)]
        unsafe fn store(self, to: *mut f32) {
            unsafe {
                _mm256_storeu_ps(to, self.0);
                _mm256_storeu_ps(to.add(8), self.1);
            }
        }

        #[inline(always)]
        unsafe fn load_pairs(from: *const u32) -> (Self, Self) {
            unsafe {
                let words = [
                    _mm256_loadu_si256(from.cast()),
                    _mm256_loadu_si256(from.add(8).cast()),
                ];
                let high = _mm256_set1_epi32(0xffff_0000u32 as i32);
                let first = words.map(|w| _mm256_castsi256_ps(_mm256_slli_epi32::<16>(w)));
                let second = words.map(|w| _mm256_castsi256_ps(_mm256_and_si256(w, high)));
                (Self(first[0], first[1]), Self(second[0], second[1]))
            }
        }

        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self.both(other, |a, b| unsafe { _mm256_add_ps(a, b) })
        }

        #[inline(always)]
        fn sub(self, other: Self) -> Self {
            self.both(other, |a, b| unsafe { _mm256_sub_ps(a, b) })
        }

        #[inline(always)]
        fn mul(self, other: Self) -> Self {
            self.both(other, |a, b| unsafe { _mm256_mul_ps(a, b) })
        }

        #[inline(always)]
        fn div(self, other: Self) -> Self {
            self.both(other, |a, b| unsafe { _mm256_div_ps(a, b) })
        }

        #[inline(always)]
        fn mul_add(self, factor: Self, sum: Self) -> Self {
            unsafe {
                Self(
                    _mm256_fmadd_ps(self.0, factor.0, sum.0),
                    _mm256_fmadd_ps(self.1, factor.1, sum.1),
                )
            }
        }

        #[inline(always)]
        fn max(self, other: Self) -> Self {
            self.both(other, |a, b| unsafe { _mm256_max_ps(a, b) })
        }

        #[inline(always)]
        fn min(self, other: Self) -> Self {
            self.both(other, |a, b| unsafe { _mm256_min_ps(a, b) })
        }

        #[inline(always)]
        fn round(self) -> Self {
            let round = |x| unsafe {
                _mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x)
            };
            Self(round(self.0), round(self.1))
        }

        #[inline(always)]
        fn exp2_of_whole(self) -> Self {
            let power = |x| unsafe {
                let exponent = _mm256_add_epi32(_mm256_cvtps_epi32(x), _mm256_set1_epi32(127));
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(exponent))
            };
            Self(power(self.0), power(self.1))
        }

        #[inline(always)]
        fn select_less(self, bound: Self, below: Self, other: Self) -> Self {
            let select = |x, bound, below, other| unsafe {
                _mm256_blendv_ps(other, below, _mm256_cmp_ps::<_CMP_LT_OQ>(x, bound))
            };
            Self(
                select(self.0, bound.0, below.0, other.0),
                select(self.1, bound.1, below.1, other.1),
            )
        }

        #[inline(always)]
        unsafe fn multiply(tile: &Tile, pairs: bool) {
            unsafe { tile.halves(|half| multiply::<Self, 6, 1>(half, pairs)) }
        }
    }
}
