//! The operations of a forward pass on a CPU, single-threaded, on plain slices.
//!
//! A product packs its rows into tiles that one loop reads from end to end; weights are packed once, at load. Everything
//! else is written once for sixteen lanes ([`crate::lanes`]). In bf16 the operands of products are bf16 and everything else is f32:
//! by `tdpbf16ps` (AMX) or `vdpbf16ps` (AVX-512) where the CPU has them, else widened in registers.
//!
//! No result depends on what else is computed beside it: a row is the same whichever rows it is packed with.

mod activation;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod elementwise;
mod matmul;
mod packing;
mod tile;
mod words;

pub(super) use activation::{activate, gated};
pub(super) use attention::{AttentionShape, attend};
pub(super) use elementwise::{add, layer_norm, rms_norm, rotate};
pub(super) use matmul::{linear, multiply_neurons};
pub(super) use packing::{GROUP_ROWS, Operands, PANEL, Packed, PackedRows, PanelRows};

#[cfg(all(test, target_arch = "x86_64", target_os = "linux"))]
mod emulated_amx;
#[cfg(test)]
mod tests;
