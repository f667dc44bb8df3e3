//! Kernels of our own on a CUDA device, and the portable twins of those that have one here: causal softmax, and everything that is
//! read from the activations of neurons, whose twin is [`crate::stats::block::Block`].
//!
//! `kernels.cu` is compiled when the crate is built with the feature `cuda`. In unit tests the same source is compiled as C++
//! and run in the host's memory, over tensors of the CPU, so that what is around it can be tested where there is no GPU.

mod causal;
mod choice;
#[cfg(any(feature = "cuda", test))]
mod device;
#[cfg(test)]
mod emulated;
#[cfg(any(feature = "cuda", test))]
mod neurons;

pub use causal::{Causal, causal_softmax};
pub use choice::{DeviceError, DeviceName};
#[cfg(any(feature = "cuda", test))]
pub use device::Gpu;
#[cfg(any(feature = "cuda", test))]
pub use neurons::{BatchRows, Counted, FURTHER, HookTensors, LayerState, PeakCandidate, Wanted};
