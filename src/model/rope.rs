//! Rotary positions: the angle of every position and frequency.
//!
//! In f32 and in the order of transformers' operations, since at position 8,000 the last bit of a frequency is
//! 5·10⁻⁴ of an angle. Sources: RoFormer (Su et al. 2021), YaRN (Peng et al. 2023), LongRoPE (Ding et al. 2024), Llama 3.1.

use std::f64::consts::TAU;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::rotary_emb;

use super::config::{Rope, RopeScaling};

/// cos and sin of the positions of a window, `[n_ctx, n_dims / 2]`.
#[derive(Clone, Debug)]
struct Table {
    cos: Tensor,
    sin: Tensor,
}

/// The tables of one rotation.
#[derive(Clone, Debug)]
pub(super) struct Rotation {
    n_dims: usize,
    table: Table,
    /// LongRoPE: another table for windows longer than this.
    long: Option<(usize, Table)>,
}

impl Rotation {
    pub(super) fn new(
        rope: &Rope,
        n_dims: usize,
        n_ctx: usize,
        dtype: DType,
        device: &Device,
    ) -> Result<Self> {
        let table = |long: bool| -> Result<Table> {
            let (frequencies, factor) = frequencies(rope, n_dims, long);
            let angle =
                |i: usize| (i / frequencies.len()) as f32 * frequencies[i % frequencies.len()];
            let angles: Vec<f32> = (0..n_ctx * frequencies.len()).map(angle).collect();
            let tensor = |f: &dyn Fn(f32) -> f32| -> Result<Tensor> {
                let values: Vec<f32> = angles.iter().map(|&a| f(a) * factor as f32).collect();
                Tensor::from_vec(values, (n_ctx, frequencies.len()), device)?.to_dtype(dtype)
            };
            Ok(Table {
                cos: tensor(&f32::cos)?,
                sin: tensor(&f32::sin)?,
            })
        };
        let long = match rope.scaling {
            RopeScaling::Long { original, .. } if original < n_ctx => {
                Some((original, table(true)?))
            }
            _ => None,
        };
        Ok(Self {
            n_dims,
            table: table(false)?,
            long,
        })
    }

    /// Whether windows of `n` positions are long ones.
    pub(super) fn is_long(&self, n: usize) -> bool {
        self.long
            .as_ref()
            .is_some_and(|(original, _)| n > *original)
    }

    /// cos and sin of the last `n` positions of a window that begins with `past` others, `[n, n_dims / 2]`.
    pub(super) fn table(&self, past: usize, n: usize) -> Result<(Tensor, Tensor)> {
        let table = match &self.long {
            Some((original, long)) if past + n > *original => long,
            _ => &self.table,
        };
        Ok((table.cos.narrow(0, past, n)?, table.sin.narrow(0, past, n)?))
    }

    /// Rotates queries or keys, `[batch, heads, pos, d_head]`, that come after `past` other positions.
    pub(super) fn rotate(&self, x: &Tensor, past: usize) -> Result<Tensor> {
        // candle's fused rotation leaves no trace for gradients
        let rope = match x.track_op() {
            true => rotary_emb::rope_slow,
            false => rotary_emb::rope,
        };
        let (_, _, n, d_head) = x.dims4()?;
        let (cos, sin) = self.table(past, n)?;
        if self.n_dims == d_head {
            return rope(&x.contiguous()?, &cos, &sin);
        }
        let turned = x.narrow(3, 0, self.n_dims)?.contiguous()?;
        let turned = rope(&turned, &cos, &sin)?;
        let kept = x.narrow(3, self.n_dims, d_head - self.n_dims)?;
        Tensor::cat(&[&turned, &kept.contiguous()?], 3)
    }
}

/// Radians per position of each pair of dimensions, and the factor of cos and sin.
fn frequencies(rope: &Rope, n_dims: usize, long: bool) -> (Vec<f32>, f64) {
    let exponents = (0..n_dims / 2).map(|i| (2 * i) as f32 / n_dims as f32);
    let wavelengths: Vec<f32> = exponents.map(|e| (rope.theta as f32).powf(e)).collect();
    let plain = || wavelengths.iter().map(|w| 1.0 / w);
    match &rope.scaling {
        RopeScaling::Default => (plain().collect(), 1.0),
        RopeScaling::Linear { factor } => (plain().map(|f| f / *factor as f32).collect(), 1.0),
        RopeScaling::Llama3 {
            factor,
            low_freq_factor: low,
            high_freq_factor: high,
            original,
        } => {
            let original = *original as f64;
            let stretch = |frequency: f32| {
                let wavelength = TAU as f32 / frequency;
                if wavelength < (original / high) as f32 {
                    frequency
                } else if wavelength > (original / low) as f32 {
                    frequency / *factor as f32
                } else {
                    let smooth = (original as f32 / wavelength - *low as f32) / (high - low) as f32;
                    (1.0 - smooth) * frequency / *factor as f32 + smooth * frequency
                }
            };
            (plain().map(stretch).collect(), 1.0)
        }
        RopeScaling::Yarn {
            factor,
            beta_fast,
            beta_slow,
            attention_factor,
            truncate,
            original,
        } => {
            // the dimension that turns so often over the original context
            let dimension = |rotations: f64| {
                n_dims as f64 * (*original as f64 / (rotations * TAU)).ln()
                    / (2.0 * rope.theta.ln())
            };
            let (mut first, mut last) = (dimension(*beta_fast), dimension(*beta_slow));
            if *truncate {
                (first, last) = (first.floor(), last.ceil());
            }
            let (first, mut last) = (first.max(0.0), last.min((n_dims - 1) as f64));
            if first == last {
                last += 0.001;
            }
            let blend = |(i, wavelength): (usize, &f32)| {
                let ramp = ((i as f32 - first as f32) / (last - first) as f32).clamp(0.0, 1.0);
                let kept = 1.0 - ramp;
                (1.0 / (*factor as f32 * wavelength)) * (1.0 - kept) + kept / wavelength
            };
            let blended = wavelengths.iter().enumerate().map(blend);
            (blended.collect(), *attention_factor)
        }
        RopeScaling::Long {
            short,
            long: long_factors,
            attention_factor,
            ..
        } => {
            let divisors = if long { long_factors } else { short };
            let divided = wavelengths.iter().zip(divisors);
            let divided = divided.map(|(w, &divisor)| 1.0 / (divisor as f32 * w));
            (divided.collect(), *attention_factor)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn llama3_keeps_short_wavelengths_and_divides_long_ones() {
        let rope = |scaling| Rope {
            theta: 500_000.0,
            scaling,
        };
        let scaling = RopeScaling::Llama3 {
            factor: 8.0,
            low_freq_factor: 1.0,
            high_freq_factor: 4.0,
            original: 8192,
        };
        let (plain, _) = frequencies(&rope(RopeScaling::Default), 128, false);
        let (stretched, _) = frequencies(&rope(scaling), 128, false);
        assert_eq!(plain[..20], stretched[..20]);
        for (a, b) in plain[40..].iter().zip(&stretched[40..]) {
            assert!((a / b - 8.0).abs() < 1e-5, "{a} {b}");
        }
        assert!(plain.iter().zip(&stretched).all(|(a, b)| a >= b));
    }
}
