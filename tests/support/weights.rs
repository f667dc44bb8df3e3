//! Models with other weights; for unit tests as well.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// Changes the bytes of one tensor of a safetensors file.
pub(crate) fn change_tensor(file: &Path, tensor: &str, change: impl Fn(&mut [u8])) {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let changed = tensors.iter().map(|(name, view)| {
        let mut data = view.data().to_vec();
        if name == tensor {
            change(&mut data);
        }
        (name.to_owned(), view.dtype(), view.shape().to_vec(), data)
    });
    let changed: Vec<_> = changed.collect();
    let views = changed.iter().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}
