//! Lanes of AVX-512 and AVX2.

use std::arch::x86_64::*;

use super::Lanes;

/// One register of AVX-512.
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512);

// SAFETY, here and below: lanes of an instruction set exist only in kernels that `Isa::run` calls, which has
// detected it.
#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx512 {
    const TILE: (usize, usize) = (14, 2);

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

    type Mask = __mmask16;

    #[inline(always)]
    fn less(self, other: Self) -> Self::Mask {
        unsafe { _mm512_cmp_ps_mask::<_CMP_LT_OQ>(self.0, other.0) }
    }

    #[inline(always)]
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        a & b
    }

    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        mask != 0
    }

    #[inline(always)]
    fn add_where(self, mask: Self::Mask, other: Self) -> Self {
        unsafe { Self(_mm512_mask_add_ps(self.0, mask, self.0, other.0)) }
    }

    #[inline(always)]
    fn max_where(self, mask: Self::Mask, other: Self) -> Self {
        unsafe { Self(_mm512_mask_max_ps(self.0, mask, self.0, other.0)) }
    }

    #[inline(always)]
    fn min_where(self, mask: Self::Mask, other: Self) -> Self {
        unsafe { Self(_mm512_mask_min_ps(self.0, mask, self.0, other.0)) }
    }

    type Wide = (__m512d, __m512d);

    #[inline(always)]
    fn widen(self) -> Self::Wide {
        unsafe {
            (
                _mm512_cvtps_pd(_mm512_castps512_ps256(self.0)),
                _mm512_cvtps_pd(_mm512_extractf32x8_ps::<1>(self.0)),
            )
        }
    }

    #[inline(always)]
    unsafe fn load_wide(from: *const f64) -> Self::Wide {
        unsafe { (_mm512_loadu_pd(from), _mm512_loadu_pd(from.add(8))) }
    }

    #[inline(always)]
    unsafe fn store_wide(wide: Self::Wide, to: *mut f64) {
        unsafe {
            _mm512_storeu_pd(to, wide.0);
            _mm512_storeu_pd(to.add(8), wide.1);
        }
    }

    #[inline(always)]
    fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        unsafe { (_mm512_add_pd(a.0, b.0), _mm512_add_pd(a.1, b.1)) }
    }

    #[inline(always)]
    fn mul_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        unsafe { (_mm512_mul_pd(a.0, b.0), _mm512_mul_pd(a.1, b.1)) }
    }

    #[inline(always)]
    fn add_wide_where(a: Self::Wide, mask: Self::Mask, b: Self::Wide) -> Self::Wide {
        unsafe {
            (
                _mm512_mask_add_pd(a.0, mask as __mmask8, a.0, b.0),
                _mm512_mask_add_pd(a.1, (mask >> 8) as __mmask8, a.1, b.1),
            )
        }
    }
}

/// Two registers of AVX2, with fused multiply-add.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256, __m256);

impl Avx2 {
    /// `other` where the mask says so, else `self`.
    #[inline(always)]
    fn pick(self, mask: (__m256, __m256), other: Self) -> Self {
        // SAFETY: as below
        unsafe {
            Self(
                _mm256_blendv_ps(self.0, other.0, mask.0),
                _mm256_blendv_ps(self.1, other.1, mask.1),
            )
        }
    }
}

/// All quarters through one function.
macro_rules! quarters {
    ($f:ident, $a:ident, $b:ident) => {
        unsafe {
            [
                $f($a[0], $b[0]),
                $f($a[1], $b[1]),
                $f($a[2], $b[2]),
                $f($a[3], $b[3]),
            ]
        }
    };
}

/// The second where a mask of f32 says so, else the first.
macro_rules! blend {
    ($a:expr, $b:expr, $mask:expr) => {
        _mm256_blendv_pd(
            $a,
            $b,
            _mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm_castps_si128($mask))),
        )
    };
}

/// Both registers through one function. A closure would not be compiled for AVX2.
macro_rules! both {
    ($f:ident, $($x:expr),*) => { unsafe { Avx2($f($($x.0),*), $f($($x.1),*)) } };
}

#[allow(clippy::undocumented_unsafe_blocks)]
impl Lanes for Avx2 {
    const TILE: (usize, usize) = (6, 1);

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
            let (first, second) = (
                _mm256_loadu_si256(from.cast()),
                _mm256_loadu_si256(from.add(8).cast()),
            );
            let high = _mm256_set1_epi32(0xffff_0000u32 as i32);
            (
                Self(
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(first)),
                    _mm256_castsi256_ps(_mm256_slli_epi32::<16>(second)),
                ),
                Self(
                    _mm256_castsi256_ps(_mm256_and_si256(first, high)),
                    _mm256_castsi256_ps(_mm256_and_si256(second, high)),
                ),
            )
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        both!(_mm256_add_ps, self, other)
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        both!(_mm256_sub_ps, self, other)
    }

    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        both!(_mm256_mul_ps, self, other)
    }

    #[inline(always)]
    fn div(self, other: Self) -> Self {
        both!(_mm256_div_ps, self, other)
    }

    #[inline(always)]
    fn mul_add(self, factor: Self, sum: Self) -> Self {
        both!(_mm256_fmadd_ps, self, factor, sum)
    }

    #[inline(always)]
    fn max(self, other: Self) -> Self {
        both!(_mm256_max_ps, self, other)
    }

    #[inline(always)]
    fn min(self, other: Self) -> Self {
        both!(_mm256_min_ps, self, other)
    }

    #[inline(always)]
    fn round(self) -> Self {
        const MODE: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
        unsafe {
            Self(
                _mm256_round_ps::<MODE>(self.0),
                _mm256_round_ps::<MODE>(self.1),
            )
        }
    }

    #[inline(always)]
    fn exp2_of_whole(self) -> Self {
        unsafe {
            let bias = _mm256_set1_epi32(127);
            let first = _mm256_add_epi32(_mm256_cvtps_epi32(self.0), bias);
            let second = _mm256_add_epi32(_mm256_cvtps_epi32(self.1), bias);
            Self(
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(first)),
                _mm256_castsi256_ps(_mm256_slli_epi32::<23>(second)),
            )
        }
    }

    #[inline(always)]
    fn select_less(self, bound: Self, below: Self, other: Self) -> Self {
        unsafe {
            let first = _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, bound.0);
            let second = _mm256_cmp_ps::<_CMP_LT_OQ>(self.1, bound.1);
            Self(
                _mm256_blendv_ps(other.0, below.0, first),
                _mm256_blendv_ps(other.1, below.1, second),
            )
        }
    }

    type Mask = (__m256, __m256);

    #[inline(always)]
    fn less(self, other: Self) -> Self::Mask {
        unsafe {
            (
                _mm256_cmp_ps::<_CMP_LT_OQ>(self.0, other.0),
                _mm256_cmp_ps::<_CMP_LT_OQ>(self.1, other.1),
            )
        }
    }

    #[inline(always)]
    fn both(a: Self::Mask, b: Self::Mask) -> Self::Mask {
        unsafe { (_mm256_and_ps(a.0, b.0), _mm256_and_ps(a.1, b.1)) }
    }

    #[inline(always)]
    fn any(mask: Self::Mask) -> bool {
        unsafe { _mm256_movemask_ps(_mm256_or_ps(mask.0, mask.1)) != 0 }
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

    type Wide = [__m256d; 4];

    #[inline(always)]
    fn widen(self) -> Self::Wide {
        unsafe {
            [
                _mm256_cvtps_pd(_mm256_castps256_ps128(self.0)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.0)),
                _mm256_cvtps_pd(_mm256_castps256_ps128(self.1)),
                _mm256_cvtps_pd(_mm256_extractf128_ps::<1>(self.1)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn load_wide(from: *const f64) -> Self::Wide {
        unsafe {
            [
                _mm256_loadu_pd(from),
                _mm256_loadu_pd(from.add(4)),
                _mm256_loadu_pd(from.add(8)),
                _mm256_loadu_pd(from.add(12)),
            ]
        }
    }

    #[inline(always)]
    unsafe fn store_wide(wide: Self::Wide, to: *mut f64) {
        unsafe {
            _mm256_storeu_pd(to, wide[0]);
            _mm256_storeu_pd(to.add(4), wide[1]);
            _mm256_storeu_pd(to.add(8), wide[2]);
            _mm256_storeu_pd(to.add(12), wide[3]);
        }
    }

    #[inline(always)]
    fn add_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        quarters!(_mm256_add_pd, a, b)
    }

    #[inline(always)]
    fn mul_wide(a: Self::Wide, b: Self::Wide) -> Self::Wide {
        quarters!(_mm256_mul_pd, a, b)
    }

    #[inline(always)]
    fn add_wide_where(a: Self::Wide, mask: Self::Mask, b: Self::Wide) -> Self::Wide {
        // a comparison leaves all bits of a lane the same, so widening its sign is widening the mask
        let sum = Self::add_wide(a, b);
        unsafe {
            let quarters = [
                _mm256_castps256_ps128(mask.0),
                _mm256_extractf128_ps::<1>(mask.0),
                _mm256_castps256_ps128(mask.1),
                _mm256_extractf128_ps::<1>(mask.1),
            ];
            [
                blend!(a[0], sum[0], quarters[0]),
                blend!(a[1], sum[1], quarters[1]),
                blend!(a[2], sum[2], quarters[2]),
                blend!(a[3], sum[3], quarters[3]),
            ]
        }
    }
}
