//! This crate's kernels for a CUDA device: causal softmax, with a portable twin here, and the statistics of neurons, whose twin is
//! [`crate::stats::block::Block`].
//!
//! `kernels.cu` is compiled when the crate is built with the feature `cuda`. In unit tests the same source is compiled as C++
//! and runs on tensors in the host's memory, so that the code around it can be tested without a GPU.

mod causal;
mod choice;
#[cfg(any(feature = "cuda", test))]
mod device;
#[cfg(test)]
mod emulated;
#[cfg(any(feature = "cuda", test))]
mod neurons;
#[cfg(any(feature = "cuda", test))]
mod source;

pub use causal::{Causal, causal_softmax};
pub use choice::{DeviceError, DeviceName};
#[cfg(any(feature = "cuda", test))]
pub use device::Gpu;
#[cfg(any(feature = "cuda", test))]
pub use neurons::{
    ActFn, BatchRows, Counted, Counting, FURTHER, HookTensors, LayerState, PeakCandidate,
    RowsCounted, Wanted,
};
