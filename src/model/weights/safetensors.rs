//! Tensors in safetensors files.

use candle_core::safetensors::Load;
use candle_core::{Device, Tensor};
use safetensors::{SafeTensorError, SafeTensors};

use super::{TensorFile, TensorInfo};
use crate::model::error::ModelError;

/// A safetensors file in memory.
pub struct SafetensorsFile<'a> {
    name: String,
    tensors: SafeTensors<'a>,
}

impl<'a> SafetensorsFile<'a> {
    /// Reads the header.
    pub fn new(name: String, bytes: &'a [u8]) -> Result<Self, ModelError> {
        match SafeTensors::deserialize(bytes) {
            Ok(tensors) => Ok(Self { name, tensors }),
            Err(error) => Err(unreadable(name, &error)),
        }
    }
}

fn unreadable(file: String, error: &SafeTensorError) -> ModelError {
    ModelError::Weights {
        file,
        format: "safetensors",
        reason: error.to_string(),
    }
}

impl TensorFile for SafetensorsFile<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        let tensors = self.tensors.iter().map(|(name, tensor)| TensorInfo {
            name: name.to_owned(),
            shape: tensor.shape().to_vec(),
            dtype: tensor.dtype().to_string(),
        });
        tensors.collect()
    }

    fn load(&self, tensor: &str) -> Result<Tensor, ModelError> {
        let view = self.tensors.tensor(tensor);
        let view = view.map_err(|error| unreadable(self.name.clone(), &error))?;
        Ok(view.load(&Device::Cpu)?)
    }
}
