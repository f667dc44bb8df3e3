//! Models with other weights; for unit tests as well.

use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// Changes the shapes and bytes of the tensors of a safetensors file.
pub(crate) fn change_tensors(file: &Path, change: impl Fn(&str, &mut Vec<usize>, &mut Vec<u8>)) {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let changed = tensors.iter().map(|(name, view)| {
        let (mut shape, mut data) = (view.shape().to_vec(), view.data().to_vec());
        change(name, &mut shape, &mut data);
        (name.to_owned(), view.dtype(), shape, data)
    });
    let changed: Vec<_> = changed.collect();
    let views = changed.iter().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
        (name.as_str(), view)
    });
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// Changes the bytes of one tensor of a safetensors file.
pub(crate) fn change_tensor(file: &Path, tensor: &str, change: impl Fn(&mut [u8])) {
    change_tensors(file, |name, _, data| {
        if name == tensor {
            change(data);
        }
    });
}
