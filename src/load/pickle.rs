//! Weights that PyTorch saved: a zip archive with a pickled dictionary of tensors and their bytes beside it.
//!
//! Candle's unpickler knows tensors and the containers around them, and executes nothing. The archive is read here and
//! not by candle, which prints a line for every tensor of a type that it does not know: masks of truth values, say,
//! which no model needs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use candle_core::pickle::{self, Object, Stack};
use candle_core::{Device, Tensor};
use zip::ZipArchive;

use crate::model::ModelError;
use crate::model::weights::{TensorFile, TensorInfo};

/// Under what key a training script may keep the weights.
const KEYS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// What the pickle is called, behind the name of the archive's folder.
const PICKLE: &str = "data.pkl";

pub(super) struct PickleFile {
    name: String,
    path: PathBuf,
    tensors: BTreeMap<String, pickle::TensorInfo>,
}

/// Any reason.
type Cause = Box<dyn std::error::Error + Send + Sync>;

impl PickleFile {
    pub(super) fn open(name: &str, path: &Path) -> Result<Self, ModelError> {
        Ok(Self {
            name: name.to_owned(),
            path: path.to_owned(),
            tensors: guarded(name, || index(path))?,
        })
    }
}

/// The unpickler panics on some pickles that are no state dictionaries; here that is an error as well.
fn guarded<T>(file: &str, read: impl FnOnce() -> Result<T, Cause>) -> Result<T, ModelError> {
    let unreadable = |reason: String| ModelError::Weights {
        file: file.to_owned(),
        format: "PyTorch (1.6 or later)",
        reason,
    };
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(unreadable(error.to_string())),
        Err(_) => Err(unreadable("it is not a dictionary of tensors".to_owned())),
    }
}

fn archive(path: &Path) -> Result<ZipArchive<BufReader<File>>, Cause> {
    Ok(ZipArchive::new(BufReader::new(File::open(path)?))?)
}

/// What and where the tensors are.
fn index(path: &Path) -> Result<BTreeMap<String, pickle::TensorInfo>, Cause> {
    let mut archive = archive(path)?;
    let names: Vec<String> = archive
        .file_names()
        .map(|name| name.map(|name| name.into_owned()))
        .collect::<Result<_, _>>()?;
    let found = names.iter().find(|name| name.ends_with(PICKLE));
    let found = found.ok_or("there is no pickle in it")?;
    // tensors lie in `data/` beside `data.pkl`
    let folder = PathBuf::from(found.trim_end_matches(".pkl"));
    let mut stack = Stack::empty();
    stack.read_loop(&mut BufReader::new(archive.by_name(found)?))?;
    let object = stack.finalize()?;
    let mut tensors = tensors_of(&object, &folder);
    if let (true, Object::Dict(pairs)) = (tensors.is_empty(), &object) {
        let inside = pairs.iter().find(|(key, _)| match key {
            Object::Unicode(key) => KEYS.contains(&key.as_str()),
            _ => false,
        });
        if let Some((_, inside)) = inside {
            tensors = tensors_of(inside, &folder);
        }
    }
    match tensors.is_empty() {
        true => Err("it is not a dictionary of tensors".into()),
        false => Ok(tensors),
    }
}

/// The tensors of a dictionary whose type is known.
fn tensors_of(object: &Object, folder: &Path) -> BTreeMap<String, pickle::TensorInfo> {
    let Object::Dict(pairs) = object else {
        return BTreeMap::new();
    };
    let infos = pairs.iter().filter_map(|(name, value)| {
        let info = value.clone().into_tensor_info(name.clone(), folder);
        info.ok().flatten()
    });
    infos.map(|info| (info.name.clone(), info)).collect()
}

fn read(path: &Path, info: &pickle::TensorInfo) -> Result<Tensor, Cause> {
    let mut archive = archive(path)?;
    let mut file = archive.by_name(&info.path)?;
    let dims = info.layout.dims();
    let n_bytes = dims
        .iter()
        .copied()
        .try_fold(info.dtype.size_in_bytes(), usize::checked_mul);
    let start = info.layout.start_offset() as u64;
    let fits = |n: &usize| {
        start
            .checked_add(*n as u64)
            .is_some_and(|end| end <= file.size())
    };
    let n_bytes = n_bytes
        .filter(fits)
        .ok_or("it claims more values than it has")?;
    std::io::copy(&mut file.by_ref().take(start), &mut std::io::sink())?;
    let mut bytes = vec![0; n_bytes];
    file.read_exact(&mut bytes)?;
    if info.layout.is_contiguous() {
        return Ok(Tensor::from_raw_buffer(
            &bytes,
            info.dtype,
            dims,
            &Device::Cpu,
        )?);
    }
    if !info.layout.is_fortran_contiguous() {
        return Err("it is a part of a larger tensor; save it with `.contiguous()`".into());
    }
    let reversed: Vec<usize> = dims.iter().rev().copied().collect();
    let tensor = Tensor::from_raw_buffer(&bytes, info.dtype, &reversed, &Device::Cpu)?;
    let back: Vec<usize> = (0..dims.len()).rev().collect();
    Ok(tensor.permute(back)?.contiguous()?)
}

impl TensorFile for PickleFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        let info = |info: &pickle::TensorInfo| TensorInfo {
            name: info.name.clone(),
            shape: info.layout.dims().to_vec(),
            dtype: info.dtype.as_str().to_uppercase(),
        };
        self.tensors.values().map(info).collect()
    }

    fn load(&self, tensor: &str) -> Result<Tensor, ModelError> {
        let info = self.tensors.get(tensor);
        let read = || match info {
            Some(info) => {
                read(&self.path, info).map_err(|cause| format!("tensor `{tensor}`: {cause}").into())
            }
            None => Err(format!("tensor `{tensor}` is missing").into()),
        };
        guarded(&self.name, read)
    }
}
