//! The types that GGUF stores tensors in, and their values in f32.
//!
//! Candle widens most; IQ4_NL and IQ4_XS, which it does not know, are widened here as ggml does it.

use candle_core::quantized::GgmlDType;
use candle_core::quantized::ggml_file::qtensor_from_ggml;
use candle_core::{DType, Device, Tensor};
use half::f16;

use crate::model::error::ModelError;

/// The sixteen values that four bits stand for in IQ4_NL and IQ4_XS.
const IQ4_VALUES: [i8; 16] = [
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113,
];

/// How a type is read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Widening {
    Plain(DType),
    Candle(GgmlDType),
    Iq4Nl,
    Iq4Xs,
}

/// A type that is read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TensorType {
    name: &'static str,
    /// Values of a block.
    block: usize,
    /// Bytes of a block.
    bytes: usize,
    widening: Widening,
}

const fn of(name: &'static str, block: usize, bytes: usize, widening: Widening) -> TensorType {
    TensorType {
        name,
        block,
        bytes,
        widening,
    }
}

/// By ggml's number.
const READ: [(u32, TensorType); 16] = [
    (0, of("F32", 1, 4, Widening::Plain(DType::F32))),
    (1, of("F16", 1, 2, Widening::Plain(DType::F16))),
    (30, of("BF16", 1, 2, Widening::Plain(DType::BF16))),
    (28, of("F64", 1, 8, Widening::Plain(DType::F64))),
    (2, of("Q4_0", 32, 18, Widening::Candle(GgmlDType::Q4_0))),
    (3, of("Q4_1", 32, 20, Widening::Candle(GgmlDType::Q4_1))),
    (6, of("Q5_0", 32, 22, Widening::Candle(GgmlDType::Q5_0))),
    (7, of("Q5_1", 32, 24, Widening::Candle(GgmlDType::Q5_1))),
    (8, of("Q8_0", 32, 34, Widening::Candle(GgmlDType::Q8_0))),
    (10, of("Q2_K", 256, 84, Widening::Candle(GgmlDType::Q2K))),
    (11, of("Q3_K", 256, 110, Widening::Candle(GgmlDType::Q3K))),
    (12, of("Q4_K", 256, 144, Widening::Candle(GgmlDType::Q4K))),
    (13, of("Q5_K", 256, 176, Widening::Candle(GgmlDType::Q5K))),
    (14, of("Q6_K", 256, 210, Widening::Candle(GgmlDType::Q6K))),
    (20, of("IQ4_NL", 32, 18, Widening::Iq4Nl)),
    (23, of("IQ4_XS", 256, 136, Widening::Iq4Xs)),
];

/// Types that are not read, by ggml's number.
const NOT_READ: [(u32, &str); 26] = [
    (4, "Q4_2"),
    (5, "Q4_3"),
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
    (39, "MXFP4"),
    (40, "NVFP4"),
    (41, "Q1_0"),
];

impl TensorType {
    /// The type of a number; if it is not read, what it is called.
    pub(super) fn of(code: u32) -> Result<Self, String> {
        if let Some((_, found)) = READ.iter().find(|(other, _)| *other == code) {
            return Ok(*found);
        }
        let known = NOT_READ.iter().find(|(other, _)| *other == code);
        Err(known.map_or_else(|| format!("number {code}"), |(_, name)| (*name).to_owned()))
    }

    /// The types that are read.
    pub(super) fn names() -> String {
        READ.map(|(_, found)| found.name).join(", ")
    }

    pub(super) fn block(self) -> usize {
        self.block
    }

    /// What manifests call it.
    pub(super) fn label(self) -> String {
        match self.widening {
            Widening::Candle(kind) => format!("{kind:?}"),
            _ => self.name.to_owned(),
        }
    }

    /// Length of so many values.
    pub(super) fn n_bytes(self, n_values: usize) -> Option<usize> {
        (n_values / self.block).checked_mul(self.bytes)
    }

    /// The values of a tensor: those of a plain type as they are, others in f32.
    pub(super) fn tensor(self, bytes: &[u8], shape: &[usize]) -> Result<Tensor, ModelError> {
        let device = Device::Cpu;
        let widened = |block: fn(&[u8], &mut Vec<f32>)| {
            let mut values = Vec::with_capacity(bytes.len() / self.bytes * self.block);
            for bytes in bytes.chunks_exact(self.bytes) {
                block(bytes, &mut values);
            }
            Tensor::from_vec(values, shape, &device)
        };
        Ok(match self.widening {
            Widening::Plain(dtype) => Tensor::from_raw_buffer(bytes, dtype, shape, &device)?,
            Widening::Candle(kind) => {
                // a copy of its own, since candle reads it in units of two bytes
                let bytes = bytes.to_vec();
                qtensor_from_ggml(kind, &bytes, shape.to_vec(), &device)?.dequantize(&device)?
            }
            Widening::Iq4Nl => widened(iq4_nl)?,
            Widening::Iq4Xs => widened(iq4_xs)?,
        })
    }
}

fn half(low: u8, high: u8) -> f32 {
    f16::from_le_bytes([low, high]).to_f32()
}

/// Low halves of all bytes, then high halves.
fn iq4(scale: f32, bytes: &[u8], values: &mut Vec<f32>) {
    let value = |bits: u8| scale * f32::from(IQ4_VALUES[usize::from(bits)]);
    values.extend(bytes.iter().map(|byte| value(byte & 15)));
    values.extend(bytes.iter().map(|byte| value(byte >> 4)));
}

/// A scale, then 32 values.
fn iq4_nl(block: &[u8], values: &mut Vec<f32>) {
    iq4(half(block[0], block[1]), &block[2..], values);
}

/// A scale, eight scales of six bits (the upper two of all, then the lower four), then eight times 32 values.
fn iq4_xs(block: &[u8], values: &mut Vec<f32>) {
    let scale = half(block[0], block[1]);
    let upper = u16::from_le_bytes([block[2], block[3]]);
    for (i, bytes) in block[8..].chunks_exact(16).enumerate() {
        let low = block[4 + i / 2] >> (4 * (i % 2)) & 15;
        let high = (upper >> (2 * i) & 3) as u8;
        let own = i32::from(low | high << 4) - 32;
        iq4(scale * own as f32, bytes, values);
    }
}
