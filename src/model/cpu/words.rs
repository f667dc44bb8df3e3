//! Memory of packed operands: 32-bit words, aligned to a cache line.

/// A cache line.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
struct Line([u32; 16]);

/// Words that are an f32 each, or a pair of bf16, the first in the low half.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    lines: Vec<Line>,
    len: usize,
}

impl Words {
    /// Makes room for at least so many; what they are is not said.
    pub(super) fn resize(&mut self, len: usize) {
        if self.lines.len() * 16 < len {
            self.lines.resize(len.div_ceil(16), Line([0; 16]));
        }
        self.len = len;
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        // SAFETY: a line is sixteen words without padding, and there are at least `len`
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u32] {
        // SAFETY: as above
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}

/// The bf16 nearest to an f32, ties to even; NaN stays NaN.
#[inline(always)]
fn bf16(x: f32) -> u32 {
    let bits = x.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    match x.is_nan() {
        true => bits >> 16 | 0x40,
        false => rounded,
    }
}

/// A pair of bf16.
#[inline(always)]
pub(super) fn pair(first: f32, second: f32) -> u32 {
    bf16(first) | bf16(second) << 16
}

/// An f32 rounded to bf16.
#[inline(always)]
pub(super) fn rounded(x: f32) -> f32 {
    f32::from_bits(bf16(x) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_as_the_half_crate_does() {
        let mut bits = 1u32;
        for _ in 0..100_000 {
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = f32::from_bits(bits);
            let expected = half::bf16::from_f32(x);
            match x.is_nan() {
                true => assert!(half::bf16::from_bits(bf16(x) as u16).is_nan()),
                false => assert_eq!(bf16(x), u32::from(expected.to_bits()), "{x:e}"),
            }
        }
        assert_eq!(bf16(f32::MAX), u32::from(half::bf16::INFINITY.to_bits()));
    }
}
