//! Weights that PyTorch pickled. The reader knows tensors and the containers around them; nothing is executed.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use candle_core::Tensor;
use candle_core::pickle::PthTensors;

use crate::model::ModelError;
use crate::model::weights::{TensorFile, TensorInfo};

/// Under what key a training script may keep the weights.
const KEYS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

pub(super) struct PickleFile {
    name: String,
    tensors: PthTensors,
    len: u64,
}

impl PickleFile {
    pub(super) fn open(name: &str, path: &Path) -> Result<Self, ModelError> {
        let len = fs::metadata(path).map_or(0, |metadata| metadata.len());
        let read = |key| guarded(name, || PthTensors::new(path, key));
        let mut tensors = read(None)?;
        for key in KEYS {
            if tensors.tensor_infos().is_empty()
                && let Ok(inside) = read(Some(key))
            {
                tensors = inside;
            }
        }
        Ok(Self {
            name: name.to_owned(),
            tensors,
            len,
        })
    }
}

fn unreadable(file: &str, reason: impl ToString) -> ModelError {
    ModelError::Weights {
        file: file.to_owned(),
        format: "PyTorch (1.6 or later)",
        reason: reason.to_string(),
    }
}

/// The reader panics on some pickles that are no state dictionaries; here that is an error as well.
fn guarded<T>(file: &str, read: impl FnOnce() -> candle_core::Result<T>) -> Result<T, ModelError> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(unreadable(file, error)),
        Err(_) => Err(unreadable(file, "it is not a dictionary of tensors")),
    }
}

impl TensorFile for PickleFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        let infos = self.tensors.tensor_infos().iter();
        let info = infos.map(|(name, info)| TensorInfo {
            name: name.clone(),
            shape: info.layout.dims().to_vec(),
            dtype: info.dtype.as_str().to_uppercase(),
        });
        info.collect()
    }

    fn load(&self, tensor: &str) -> Result<Tensor, ModelError> {
        let info = self.tensors.tensor_infos().get(tensor);
        // compressed or not, a value takes some room in the file: a claim beyond that would only take memory
        let n_values = info.and_then(|info| {
            let dims = info.layout.dims().iter();
            dims.copied().try_fold(1usize, usize::checked_mul)
        });
        if n_values.is_none_or(|n| n as u64 / 1024 > self.len) {
            let reason = format!("tensor `{tensor}` claims more values than the file can hold");
            return Err(unreadable(&self.name, reason));
        }
        let loaded = guarded(&self.name, || self.tensors.get(tensor))?;
        loaded.ok_or_else(|| unreadable(&self.name, format!("tensor `{tensor}` is missing")))
    }
}
