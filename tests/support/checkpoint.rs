//! Checkpoints made for a test: tensors under other names, PyTorch's archives, headers of GGUF files.

use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::{change_json, copy, model};

/// A tensor outside of a file.
#[derive(Clone)]
pub struct Stored {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Stored {
    /// A tensor of zeros.
    pub fn zeros(name: &str, dtype: Dtype, shape: &[usize]) -> Self {
        let n_values: usize = shape.iter().product();
        Self {
            name: name.to_owned(),
            dtype,
            shape: shape.to_vec(),
            bytes: vec![0; n_values * dtype.bitsize() / 8],
        }
    }
}

/// A copy of a fixture that a test may change.
pub fn copy_of(name: &str, folder: &Path) -> PathBuf {
    let to = folder.join(name);
    copy(&model(name), &to);
    to
}

/// Changes the config of a model.
pub fn change_config(folder: &Path, change: impl FnOnce(&mut Value)) {
    change_json(&folder.join("config.json"), change);
}

/// The tensors of a safetensors file.
pub fn tensors(file: &Path) -> Vec<Stored> {
    let bytes = fs::read(file).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let stored = tensors.iter().map(|(name, view)| Stored {
        name: name.to_owned(),
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    });
    stored.collect()
}

pub fn write_safetensors(file: &Path, tensors: &[Stored]) {
    let views = tensors.iter().map(|tensor| {
        let view = TensorView::new(tensor.dtype, tensor.shape.clone(), &tensor.bytes);
        (tensor.name.as_str(), view.unwrap())
    });
    fs::write(file, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A zip archive of entries that are stored as they are.
pub fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in entries {
        out.start_file(name, stored).unwrap();
        out.write_all(bytes).unwrap();
    }
    out.finish().unwrap().into_inner()
}

/// A file of PyTorch with this pickle and nothing else.
pub fn pickled(pickle: Vec<u8>) -> Vec<u8> {
    archive(&[("archive/data.pkl".to_owned(), pickle)])
}

fn pickled_text(text: &str) -> Vec<u8> {
    let len = text.len() as u32;
    [b"X", &len.to_le_bytes()[..], text.as_bytes()].concat()
}

fn pickled_sizes(sizes: &[usize]) -> Vec<u8> {
    let mut out = b"(".to_vec();
    for size in sizes {
        out.push(b'J');
        out.extend((*size as i32).to_le_bytes());
    }
    out.push(b't');
    out
}

/// What `torch.save` makes of a dictionary of tensors in f32. One without bytes shares those of the first.
pub fn pytorch(tensors: &[Stored]) -> Vec<u8> {
    let mut pickle = b"\x80\x02}(".to_vec();
    let mut entries = Vec::new();
    for (key, tensor) in tensors.iter().enumerate() {
        assert_eq!(tensor.dtype, Dtype::F32);
        let key = if tensor.bytes.is_empty() { 0 } else { key }.to_string();
        let strides = (0..tensor.shape.len()).map(|i| tensor.shape[i + 1..].iter().product());
        let strides: Vec<usize> = strides.collect();
        pickle.extend(pickled_text(&tensor.name));
        pickle.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        pickle.extend(pickled_text("storage"));
        pickle.extend(b"ctorch\nFloatStorage\n");
        pickle.extend(pickled_text(&key));
        pickle.extend(pickled_text("cpu"));
        pickle.push(b'J');
        pickle.extend((tensor.bytes.len() as i32 / 4).to_le_bytes());
        pickle.extend(b"tQK\0");
        pickle.extend(pickled_sizes(&tensor.shape));
        pickle.extend(pickled_sizes(&strides));
        pickle.extend(b"\x89ccollections\nOrderedDict\n)RtR");
        if !tensor.bytes.is_empty() {
            entries.push((format!("archive/data/{key}"), tensor.bytes.clone()));
        }
    }
    pickle.extend(b"u.");
    entries.insert(0, ("archive/data.pkl".to_owned(), pickle));
    archive(&entries)
}

/// A GGUF file of version 3: keys with their values in the file's encoding, and tensors with sizes, type and offset.
#[derive(Default)]
pub struct GgufHeader {
    pub keys: Vec<(&'static str, u32, Vec<u8>)>,
    pub tensors: Vec<(&'static str, Vec<u64>, u32, u64)>,
}

pub fn gguf_text(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

impl GgufHeader {
    /// The file, with so many bytes of zeros for its tensors.
    pub fn file(&self, n_bytes: usize) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.keys.len() as u64 + 1).to_le_bytes());
        out.extend(gguf_text("general.architecture"));
        out.extend(8u32.to_le_bytes());
        out.extend(gguf_text("llama"));
        for (key, kind, value) in &self.keys {
            out.extend(gguf_text(key));
            out.extend(kind.to_le_bytes());
            out.extend(value);
        }
        for (name, sizes, kind, offset) in &self.tensors {
            out.extend(gguf_text(name));
            out.extend((sizes.len() as u32).to_le_bytes());
            out.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
            out.extend(kind.to_le_bytes());
            out.extend(offset.to_le_bytes());
        }
        out.resize(out.len().next_multiple_of(32) + n_bytes, 0);
        out
    }
}
