//! A device, and how its kernels are run.

mod memory;

#[cfg(feature = "cuda")]
use candle_core::CudaDevice;
use candle_core::{CpuStorage, DType, Device, Result, Storage, Tensor};

use super::Causal;
#[cfg(test)]
use super::emulated;
use super::source::defined;
pub(super) use memory::Buffer;
use memory::Plain;
#[cfg(feature = "cuda")]
use memory::address_of;

/// Threads of a group.
const LANES: usize = defined("LANES");

/// A device with our kernels.
#[derive(Clone, Debug)]
pub enum Gpu {
    /// One of NVIDIA's.
    #[cfg(feature = "cuda")]
    Cuda(CudaDevice),
    /// The kernels as C++, on the CPU.
    #[cfg(test)]
    Emulated,
}

/// What a kernel is given: a struct of its source, by value.
#[cfg(feature = "cuda")]
pub(super) trait Arguments: candle_core::cuda_backend::cudarc::driver::DeviceRepr {}
#[cfg(not(feature = "cuda"))]
pub(super) trait Arguments: Copy {}

/// Declares the arguments of a kernel, field by field as in its source.
macro_rules! arguments {
    ($name:ident { $($field:ident: $type:ty),* $(,)? }) => {
        #[repr(C)]
        #[derive(Clone, Copy)]
        struct $name { $($field: $type),* }
        // SAFETY: it is made of plain numbers
        #[cfg(feature = "cuda")]
        unsafe impl candle_core::cuda_backend::cudarc::driver::DeviceRepr for $name {}
        impl crate::gpu::device::Arguments for $name {}
    };
}
pub(super) use arguments;

arguments!(Softmax {
    scores: u64,
    pattern: u64,
    n_rows: u32,
    n_keys: u32,
    n_queries: u32,
    first_query: u32,
    sees: u32,
    scale: f32,
    softcap: f32,
});

impl Gpu {
    /// The kernels of a device, if it has them.
    pub fn of(device: &Device) -> Option<Self> {
        match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Some(Self::Cuda(device.clone())),
            _ => None,
        }
    }

    /// Bytes of the device's memory that nobody has.
    #[cfg(feature = "cuda")]
    pub fn free_memory(&self) -> Result<usize> {
        use candle_core::backend::BackendDevice;
        use candle_core::cuda_backend::WrapErr;
        match self {
            Self::Cuda(device) => {
                device.synchronize()?; // what was freed goes back to the driver then
                Ok(device.cuda_stream().context().mem_get_info().w()?.0)
            }
            #[cfg(test)]
            Self::Emulated => Ok(1 << 30),
        }
    }

    /// Scores → pattern, both `[.., n_keys]`: every row's softmax over the keys that its query sees, 0 elsewhere.
    pub fn causal_softmax(&self, scores: &Tensor, causal: Causal) -> Result<Tensor> {
        let scores = scores.contiguous()?;
        let n_keys = scores.dim(candle_core::D::Minus1)?;
        let n_rows = scores.elem_count() / n_keys.max(1);
        self.output(scores.dims(), scores.dtype(), |pattern| {
            let arguments = Softmax {
                scores: address(&scores)?,
                pattern,
                n_rows: n_rows as u32,
                n_keys: n_keys as u32,
                n_queries: causal.n_queries as u32,
                first_query: causal.first_query as u32,
                sees: causal.sees.min(u32::MAX as usize) as u32,
                scale: causal.scale,
                softcap: causal.softcap.unwrap_or(0.0),
            };
            let kernel = format!("causal_softmax_{}", scores.dtype().as_str());
            self.launch(&kernel, (n_rows, 1), &arguments)
        })
    }

    /// A tensor that `write` fills, given its address.
    pub(super) fn output(
        &self,
        shape: &[usize],
        dtype: DType,
        write: impl FnOnce(u64) -> Result<()>,
    ) -> Result<Tensor> {
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => {
                let out = Tensor::zeros(shape, dtype, &Device::Cuda(device.clone()))?;
                write(address(&out)?)?;
                Ok(out)
            }
            #[cfg(test)]
            Self::Emulated => emulated::output(shape, dtype, write),
        }
    }

    /// Runs a kernel: `width` groups of threads in a row, `height` rows.
    pub(super) fn launch<A: Arguments>(
        &self,
        kernel: &str,
        (width, height): (usize, usize),
        arguments: &A,
    ) -> Result<()> {
        if width == 0 || height == 0 {
            return Ok(());
        }
        let (width, height) = (width as u32, height as u32);
        match self {
            #[cfg(feature = "cuda")]
            Self::Cuda(device) => {
                use candle_core::cuda_backend::WrapErr;
                use candle_core::cuda_backend::cudarc::driver::{LaunchConfig, PushKernelArg};
                const PTX: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.ptx"));
                let function = device.get_or_load_custom_func(kernel, "neuroscope", PTX)?;
                let config = LaunchConfig {
                    grid_dim: (width, height, 1),
                    block_dim: (LANES as u32, 1, 1),
                    shared_mem_bytes: 0,
                };
                let mut launch = function.builder();
                launch.arg(arguments);
                // SAFETY: the arguments are the kernel's, and hold addresses of memory that is as large as it takes it to
                // be and that is freed, if at all, behind it in the same stream
                unsafe { launch.launch(config) }.w()?;
                Ok(())
            }
            #[cfg(test)]
            Self::Emulated => emulated::launch(kernel, (width, height), arguments),
        }
    }

    /// Groups of threads, of which each thread does one of `n`.
    pub(super) fn groups(&self, n: usize) -> usize {
        n.div_ceil(LANES)
    }

    pub(super) fn zeros<T: Plain>(&self, n: usize) -> Result<Buffer<T>> {
        Buffer::zeros(self, n)
    }

    pub(super) fn upload<T: Plain>(&self, values: &[T]) -> Result<Buffer<T>> {
        Buffer::of(self, values)
    }
}

/// Address of the values of a contiguous tensor.
pub(super) fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((first, _)) = layout.contiguous_offsets() else {
        candle_core::bail!("values are not side by side");
    };
    let first = (first * tensor.dtype().size_in_bytes()) as u64;
    let start = match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => values.as_ptr() as u64,
        Storage::Cpu(CpuStorage::BF16(values)) => values.as_ptr() as u64,
        Storage::Cpu(CpuStorage::F16(values)) => values.as_ptr() as u64,
        #[cfg(feature = "cuda")]
        Storage::Cuda(storage) => {
            use candle_core::cuda_backend::CudaStorageSlice as Slice;
            match &storage.slice {
                Slice::F32(values) => address_of(&storage.device, values),
                Slice::BF16(values) => address_of(&storage.device, values),
                Slice::F16(values) => address_of(&storage.device, values),
                _ => candle_core::bail!("no kernel reads {:?}", tensor.dtype()),
            }
        }
        _ => candle_core::bail!("no kernel reads {:?}", tensor.dtype()),
    };
    Ok(start + first)
}
