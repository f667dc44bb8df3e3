//! Arrays of numbers in a device's memory.

#[cfg(feature = "cuda")]
use candle_core::CudaDevice;
use candle_core::Result;
#[cfg(feature = "cuda")]
use candle_core::cuda_backend::cudarc::driver::{
    CudaSlice, DevicePtr, DeviceRepr, ValidAsZeroBits,
};

use super::Gpu;

/// A number.
#[cfg(feature = "cuda")]
pub(crate) trait Plain: Copy + Default + DeviceRepr + ValidAsZeroBits + 'static {}
#[cfg(not(feature = "cuda"))]
pub(crate) trait Plain: Copy + Default {}

impl Plain for u8 {}
impl Plain for u32 {}
impl Plain for f32 {}
impl Plain for f64 {}

#[derive(Debug)]
enum Memory<T> {
    #[cfg(feature = "cuda")]
    Cuda(CudaDevice, CudaSlice<T>),
    #[cfg(test)]
    Host(Vec<T>),
}

/// An array. Kernels change it through its address.
#[derive(Debug)]
pub(crate) struct Buffer<T>(Memory<T>);

impl<T: Plain> Buffer<T> {
    pub(crate) fn zeros(gpu: &Gpu, n: usize) -> Result<Self> {
        Ok(Self(match gpu {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(device) => Memory::Cuda(device.clone(), device.alloc_zeros(n.max(1))?),
            #[cfg(test)]
            Gpu::Emulated => Memory::Host(vec![T::default(); n.max(1)]),
        }))
    }

    pub(crate) fn of(gpu: &Gpu, values: &[T]) -> Result<Self> {
        if values.is_empty() {
            return Self::zeros(gpu, 0);
        }
        Ok(Self(match gpu {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(device) => Memory::Cuda(device.clone(), device.clone_htod(values)?),
            #[cfg(test)]
            Gpu::Emulated => Memory::Host(values.to_vec()),
        }))
    }

    pub(crate) fn address(&mut self) -> u64 {
        match &mut self.0 {
            #[cfg(feature = "cuda")]
            Memory::Cuda(device, slice) => address_of(device, slice),
            #[cfg(test)]
            Memory::Host(values) => values.as_mut_ptr() as u64,
        }
    }

    /// The first `n` values, once all that is under way is done.
    pub(crate) fn download(&self, n: usize) -> Result<Vec<T>> {
        match &self.0 {
            _ if n == 0 => Ok(Vec::new()),
            #[cfg(feature = "cuda")]
            Memory::Cuda(device, slice) => {
                use candle_core::backend::BackendDevice;
                let values = device.clone_dtoh(&slice.slice(..n))?;
                device.synchronize()?; // a copy to ordinary memory need not have ended
                Ok(values)
            }
            #[cfg(test)]
            Memory::Host(values) => Ok(values[..n].to_vec()),
        }
    }
}

/// Address of an array.
#[cfg(feature = "cuda")]
pub(crate) fn address_of<T>(device: &CudaDevice, slice: &CudaSlice<T>) -> u64 {
    let stream = device.cuda_stream();
    let (address, _in_use) = slice.device_ptr(&stream);
    address
}
