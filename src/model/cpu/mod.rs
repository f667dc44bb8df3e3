//! The operations of a forward pass on a CPU, single-threaded, on plain slices.
//!
//! A product packs its rows into tiles that one loop reads from end to end; weights are packed once, at load. Everything
//! else is written once for sixteen lanes ([`lanes::Lanes`]) and compiled for each instruction set; which one runs is
//! decided when the program starts ([`Isa::best`]). In bf16 the operands of products are bf16 and everything else is f32:
//! by `tdpbf16ps` (AMX) or `vdpbf16ps` (AVX-512) where the CPU has them, else widened in registers.
//!
//! No result depends on what else is computed beside it: a row is the same whichever rows it is packed with.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod elementwise;
mod lanes;
mod matmul;
mod words;

pub(super) use activation::{activate, gated};
pub(super) use attention::{AttentionShape, attend};
pub(super) use elementwise::{layer_norm, rms_norm, rotate};
pub(super) use matmul::{
    GROUP_ROWS, PANEL, Packed, PackedRows, PanelRows, linear, multiply_neurons,
};

use lanes::{Kernel, Portable};

/// Instruction sets that kernels are written for, from the least to the most able.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isa {
    /// What every CPU of the architecture has.
    Portable,
    /// AVX2 and fused multiply-add.
    Avx2,
    /// AVX-512 F, VL, BW and DQ.
    Avx512,
    /// AVX-512 with products of bf16.
    Avx512Bf16,
    /// Tiles of bf16 (AMX), beside AVX-512.
    Amx,
}

impl Isa {
    /// Every one, from the least to the most able.
    pub const ALL: [Self; 5] = [
        Self::Portable,
        Self::Avx2,
        Self::Avx512,
        Self::Avx512Bf16,
        Self::Amx,
    ];

    /// Name in manifests and benchmarks.
    pub fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
            Self::Avx512Bf16 => "avx512-bf16",
            Self::Amx => "amx",
        }
    }

    /// Whether this CPU has it.
    pub fn is_available(self) -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            let avx512 = || {
                is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512vl")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
            };
            match self {
                Self::Portable => true,
                Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
                Self::Avx512 => avx512(),
                Self::Avx512Bf16 => avx512() && is_x86_feature_detected!("avx512bf16"),
                Self::Amx => Self::Avx512Bf16.is_available() && amx::is_available(),
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            self == Self::Portable
        }
    }

    /// The most able that this CPU has.
    pub fn best() -> Self {
        let available = Self::ALL.into_iter().rev().find(|isa| isa.is_available());
        available.unwrap_or(Self::Portable)
    }

    /// Runs a kernel on this instruction set, or on the next that the CPU has.
    #[inline]
    fn run<K: Kernel>(self, kernel: K) -> K::Output {
        #[cfg(target_arch = "x86_64")]
        {
            #[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx2,fma")]
            fn avx512<K: Kernel>(kernel: K) -> K::Output {
                kernel.run::<lanes::Avx512>()
            }
            #[target_feature(enable = "avx2,fma")]
            fn avx2<K: Kernel>(kernel: K) -> K::Output {
                kernel.run::<lanes::Avx2>()
            }
            if self >= Self::Avx512 && Self::Avx512.is_available() {
                // SAFETY: just detected
                return unsafe { avx512(kernel) };
            }
            if self >= Self::Avx2 && Self::Avx2.is_available() {
                // SAFETY: just detected
                return unsafe { avx2(kernel) };
            }
        }
        kernel.run::<Portable>()
    }
}

/// What enters a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operands {
    F32,
    Bf16,
}
