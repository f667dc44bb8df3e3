//! The operations of a forward pass, each on tensors of any device and by the CPU's own kernels.
//!
//! All values are in rows: `[rows, d]`, the windows of a batch one after the other ([`Windows`](super::windows::Windows)). On
//! kernels, rows are f32 whatever the model's type; for a bf16 model they are rounded when they are packed for a product.

use std::sync::Arc;

use candle_core::{CpuStorage, DType, Device, DeviceLocation, Error, Result, Storage, Tensor};

use super::config::{Activation, NormKind};
use super::cpu::{self, Operands, Packed, PackedRows};
use super::norm::Norm;
use crate::lanes::Isa;

/// What a forward pass runs on.
#[derive(Clone, Debug)]
pub enum Compute {
    /// The CPU's own kernels.
    Kernels(Isa),
    /// Tensors on a device, by candle.
    Tensors(Device),
}

impl Compute {
    /// The fastest on a device.
    pub fn on(device: &Device) -> Self {
        match device {
            Device::Cpu => Self::Kernels(Isa::best()),
            device => Self::Tensors(device.clone()),
        }
    }

    /// The device, and of a CPU the instruction set of its kernels.
    pub fn name(&self) -> String {
        match self {
            Self::Kernels(isa) => format!("cpu ({})", isa.name()),
            Self::Tensors(Device::Cpu) => "cpu (tensors)".into(),
            Self::Tensors(device) => match device.location() {
                DeviceLocation::Cuda { gpu_id } => format!("cuda:{gpu_id}"),
                other => format!("{other:?}").to_lowercase(),
            },
        }
    }

    /// Where tensors lie.
    pub fn device(&self) -> &Device {
        match self {
            Self::Kernels(_) => &Device::Cpu,
            Self::Tensors(device) => device,
        }
    }
}

/// A matrix `[out, in]`.
#[derive(Clone, Debug)]
pub(super) enum Matrix {
    Tensor(Tensor),
    Packed(Arc<Packed>),
}

impl Matrix {
    /// The matrix as it was loaded.
    pub(super) fn tensor(&self) -> Result<&Tensor> {
        match self {
            Self::Tensor(tensor) => Ok(tensor),
            Self::Packed(_) => candle_core::bail!("these weights are packed"),
        }
    }

    /// The matrix as it is multiplied by kernels.
    pub(super) fn packed(&self) -> Option<&Packed> {
        match self {
            Self::Tensor(_) => None,
            Self::Packed(packed) => Some(packed),
        }
    }
}

/// `x·Wᵀ + b`.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) weight: Matrix,
    pub(super) bias: Option<Tensor>, // [out]
}

impl Linear {
    pub(super) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self {
            weight: Matrix::Tensor(weight),
            bias,
        }
    }
}

/// Rows, ready to be multiplied.
pub(super) enum Operand {
    Tensor(Tensor),
    Packed(PackedRows),
}

/// The implementation of the operations, and the model's type.
#[derive(Clone, Debug)]
pub(super) struct Ops {
    pub(super) compute: Compute,
    pub(super) dtype: DType,
}

impl Ops {
    /// Type of rows.
    pub(super) fn row_dtype(&self) -> DType {
        match self.compute {
            Compute::Kernels(_) => DType::F32,
            Compute::Tensors(_) => self.dtype,
        }
    }

    pub(super) fn operands(&self) -> Operands {
        match self.dtype {
            DType::BF16 => Operands::Bf16,
            _ => Operands::F32,
        }
    }

    /// Prepares weights for products. The number of inputs is padded to a multiple of `multiple`.
    pub(super) fn prepare(&self, linear: Linear, multiple: usize) -> Result<Linear> {
        let Compute::Kernels(isa) = self.compute else {
            return Ok(linear);
        };
        let weight = linear.weight.tensor()?;
        let (n_out, n_in) = weight.dims2()?;
        let weight = weight.to_dtype(DType::F32)?.contiguous()?;
        let packed = on_host(&weight, |w| {
            let value = |out: usize, input: usize| w[out * n_in + input];
            Packed::new(isa, self.operands(), (n_out, n_in), multiple, value)
        })?;
        let bias = linear.bias.map(|bias| bias.to_dtype(DType::F32));
        Ok(Linear {
            weight: Matrix::Packed(Arc::new(packed)),
            bias: bias.transpose()?,
        })
    }

    /// Prepares rows for products with `like`, and with other weights that have as many inputs.
    pub(super) fn operand(&self, x: &Tensor, like: &Linear) -> Result<Operand> {
        match &like.weight {
            Matrix::Tensor(weight) => Ok(Operand::Tensor(x.to_dtype(weight.dtype())?)),
            Matrix::Packed(packed) => {
                let x = x.to_dtype(DType::F32)?.contiguous()?;
                Ok(Operand::Packed(pack(&x, packed)?))
            }
        }
    }

    /// `[rows, in]` → `[rows, out]`
    pub(super) fn linear(&self, x: &Operand, linear: &Linear) -> Result<Tensor> {
        match (x, &linear.weight) {
            (Operand::Tensor(x), Matrix::Tensor(weight)) => {
                let y = x.matmul(&weight.t()?)?;
                match &linear.bias {
                    Some(bias) => y.broadcast_add(bias),
                    None => Ok(y),
                }
            }
            (Operand::Packed(rows), _) => self.linear_packed(rows, linear),
            _ => candle_core::bail!("rows and weights are prepared in different ways"),
        }
    }

    /// Packed rows, `[rows, in]` → `[rows, out]`
    pub(super) fn linear_packed(&self, rows: &PackedRows, linear: &Linear) -> Result<Tensor> {
        let Matrix::Packed(weight) = &linear.weight else {
            candle_core::bail!("rows and weights are prepared in different ways");
        };
        let mut y = cpu::linear(rows, weight);
        if let Some(bias) = &linear.bias {
            on_host(bias, |bias| cpu::add(rows.isa(), &mut y, bias))?;
        }
        Tensor::from_vec(y, (rows.n_rows(), weight.n_out()), &Device::Cpu)
    }

    /// `x + y`; fails if their shapes differ.
    pub(super) fn add(&self, x: &Tensor, y: &Tensor) -> Result<Tensor> {
        let Compute::Kernels(isa) = self.compute else {
            return x + y;
        };
        if x.shape() != y.shape() {
            return Err(Error::ShapeMismatchBinaryOp {
                lhs: x.shape().clone(),
                rhs: y.shape().clone(),
                op: "add",
            });
        }
        let mut sum = to_vec(x)?;
        on_host(y, |y| cpu::add(isa, &mut sum, y))?;
        Tensor::from_vec(sum, x.dims(), &Device::Cpu)
    }

    /// `[rows, in]` → `[rows, out]`, for rows that are multiplied only once.
    pub(super) fn project(&self, x: &Tensor, linear: &Linear) -> Result<Tensor> {
        self.linear(&self.operand(x, linear)?, linear)
    }

    /// Normalises rows whose last dimension is the norm's, or `[rows, heads, d]` with weights for each head.
    pub(super) fn norm(&self, norm: &Norm, x: &Tensor) -> Result<Tensor> {
        let Compute::Kernels(isa) = self.compute else {
            return norm.forward(x);
        };
        let d = x.dim(candle_core::D::Minus1)?;
        let mut y = to_vec(x)?;
        let eps = norm.eps as f32;
        on_host(&norm.weight, |weight| match norm.kind {
            NormKind::Rms => {
                cpu::rms_norm(isa, &mut y, weight, d, eps);
                Ok(())
            }
            NormKind::Layer => {
                let mut run = |bias: Option<&[f32]>| {
                    cpu::layer_norm(isa, &mut y, weight, bias, d, eps);
                };
                match &norm.bias {
                    Some(bias) => on_host(bias, |bias| run(Some(bias))),
                    None => {
                        run(None);
                        Ok(())
                    }
                }
            }
        })??;
        Tensor::from_vec(y, x.dims(), &Device::Cpu)
    }

    /// `act_fn(x)`
    pub(super) fn activate(&self, act_fn: Activation, x: &Tensor) -> Result<Tensor> {
        match (&self.compute, act_fn) {
            (_, Activation::SoluLn) | (Compute::Tensors(_), _) => act_fn.forward(x),
            (Compute::Kernels(isa), _) => {
                let mut y = vec![0.0; x.elem_count()];
                on_host(x, |x| cpu::activate(*isa, act_fn, x, &mut y))?;
                Tensor::from_vec(y, x.dims(), &Device::Cpu)
            }
        }
    }
}

/// Packs rows for products with some weights.
pub(super) fn pack(x: &Tensor, weights: &Packed) -> Result<PackedRows> {
    let (n_rows, n_in) = x.dims2()?;
    let mut rows = weights.rows();
    on_host(x, |x| {
        rows.pack_rows(n_rows, n_in, |row| &x[row * n_in..(row + 1) * n_in]);
    })?;
    Ok(rows)
}

/// Calls `read` with the values of a contiguous f32 tensor in the host's memory.
pub(super) fn on_host<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    if tensor.track_op() {
        candle_core::bail!(
            "there are no gradients on the CPU's kernels; load the model on tensors"
        );
    }
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((first, end))) => {
            Ok(read(&values[first..end]))
        }
        _ => candle_core::bail!("values are not side by side in the host's memory"),
    }
}

/// A copy of the values of an f32 tensor in the host's memory.
pub(super) fn to_vec(tensor: &Tensor) -> Result<Vec<f32>> {
    on_host(&tensor.contiguous()?, <[f32]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_tensors_of_one_shape_are_added() {
        for compute in [
            Compute::Kernels(Isa::Portable),
            Compute::Tensors(Device::Cpu),
        ] {
            let ops = Ops {
                compute,
                dtype: DType::F32,
            };
            let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
            let sum = ops.add(&ones(&[2, 3]), &ones(&[2, 3])).unwrap();
            assert_eq!(sum.to_vec2::<f32>().unwrap(), [[2.0; 3]; 2]);
            for other in [&[3][..], &[1, 3], &[3, 2], &[2, 1], &[4, 3]] {
                let sum = ops.add(&ones(&[2, 3]), &ones(other));
                assert!(sum.is_err(), "{other:?} on {:?}", ops.compute);
            }
        }
    }
}
