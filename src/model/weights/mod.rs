//! Checkpoints: their tensor names, translated here and nowhere else, with every shape checked.

mod analysis;
mod loader;
mod names;
mod safetensors;
mod stored;
mod transformer_lens;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};

use super::config::Config;
use super::error::ModelError;

pub use analysis::{Analysis, MlpWeights};
pub(super) use loader::Loader;
pub use safetensors::SafetensorsFile;

/// A tensor in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorInfo {
    /// Its name in the checkpoint.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The type that it is stored in, such as `BF16` or `Q4K`.
    pub dtype: String,
}

/// A file of tensors.
pub trait TensorFile: Send + Sync {
    /// Its name, for messages.
    fn name(&self) -> &str;

    /// Its tensors.
    fn tensors(&self) -> Vec<TensorInfo>;

    /// A tensor in main memory, in the type that it is stored in, or f32 if it is quantised.
    fn load(&self, tensor: &str) -> Result<Tensor, ModelError>;
}

/// The tensors of one or more files, still in them.
pub struct Checkpoint<'a> {
    files: Vec<Box<dyn TensorFile + 'a>>,
    /// By name, without what compiling put into it: the file that each tensor is in, and what it is called there.
    index: HashMap<String, (usize, TensorInfo)>,
    /// What all names begin with, up to a dot: part of the family's names, or what was put around the model.
    shared: String,
}

impl<'a> Checkpoint<'a> {
    /// Indexes the tensors of some files. Fails if two files have the same tensor, or if they hold something else than
    /// the weights of a model: quantised ones, or an adapter's.
    pub fn new(files: Vec<Box<dyn TensorFile + 'a>>) -> Result<Self, ModelError> {
        let mut index: HashMap<String, (usize, TensorInfo)> = HashMap::new();
        for (at, file) in files.iter().enumerate() {
            for info in file.tensors() {
                let name = info.name.clone();
                if let Some((other, _)) = index.insert(name.clone(), (at, info)) {
                    return Err(ModelError::TensorTwice {
                        name,
                        files: [other, at].map(|at| files[at].name().to_owned()),
                    });
                }
            }
        }
        stored::check(index.values().map(|(_, info)| info))?;
        let index = names::uncompiled(index);
        let shared = names::shared_prefix(index.keys());
        Ok(Self {
            files,
            index,
            shared,
        })
    }

    /// Fails unless the checkpoint holds just the tensors that a model of this config has, each in its shape. Answers
    /// how many parameters are stored in which type.
    pub fn check(&self, config: &Config) -> Result<BTreeMap<String, u64>, ModelError> {
        let loader = Loader::checking(self, config);
        loader.embedding()?;
        for layer in 0..config.n_layers {
            loader.block(layer)?;
        }
        loader.final_norm()?;
        loader.unembedding(None)?;
        let wrapper = loader.wrapper().len();
        let used = loader.used();
        let idle = |name: &&String| {
            !used.contains(*name) && !names::is_idle(config, name.get(wrapper..).unwrap_or(name))
        };
        let extra: BTreeSet<&String> = self.index.keys().filter(idle).collect();
        if let Some(first) = extra.first() {
            return Err(ModelError::ExtraTensors {
                first: (*first).clone(),
                others: extra.len() - 1,
                family: config.family.name(),
            });
        }
        let mut stored = BTreeMap::new();
        for (_, info) in used.iter().filter_map(|name| self.index.get(name)) {
            let n_values = info.shape.iter().product::<usize>() as u64;
            *stored.entry(info.dtype.clone()).or_default() += n_values;
        }
        Ok(stored)
    }

    pub(super) fn loader<'c>(
        &'c self,
        config: &'c Config,
        dtype: DType,
        device: &Device,
    ) -> Loader<'c> {
        Loader::new(self, config, dtype, device)
    }

    /// The weights that write to and read from the residual stream, for what they say without any text. In f32.
    pub fn analysis<'c>(&'c self, config: &'c Config, device: &Device) -> Analysis<'c> {
        Analysis::new(self.loader(config, DType::F32, device))
    }

    fn contains(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    fn shape(&self, name: &str) -> Option<&[usize]> {
        self.index.get(name).map(|(_, info)| info.shape.as_slice())
    }

    /// Fails unless a tensor is there and has the expected shape.
    fn check_tensor(&self, name: &str, shape: &[(&str, usize)]) -> Result<(), ModelError> {
        let Some((_, info)) = self.index.get(name) else {
            let files: Vec<&str> = self.files.iter().map(|file| file.name()).collect();
            return Err(ModelError::MissingTensor {
                name: name.to_owned(),
                file: files.join("`, `"),
            });
        };
        stored::check_type(info)?;
        let found = &info.shape;
        if !found.iter().eq(shape.iter().map(|(_, size)| size)) {
            let expected: Vec<_> = shape.iter().map(|(d, n)| format!("{d} = {n}")).collect();
            return Err(ModelError::Shape {
                name: name.to_owned(),
                found: found.clone(),
                expected: format!("[{}]", expected.join(", ")),
            });
        }
        Ok(())
    }

    /// A tensor of the expected shape, all values finite, in main memory and the file's own type.
    fn tensor(&self, name: &str, shape: &[(&str, usize)]) -> Result<Tensor, ModelError> {
        self.check_tensor(name, shape)?;
        let (file, info) = &self.index[name];
        let tensor = self.files[*file].load(&info.name)?;
        match n_not_finite(&tensor)? {
            0 => Ok(tensor),
            count => Err(ModelError::NotFinite {
                name: name.to_owned(),
                count,
            }),
        }
    }
}

/// How many values are NaN or infinite.
fn n_not_finite(tensor: &Tensor) -> Result<usize, ModelError> {
    let (storage, _) = tensor.storage_and_layout();
    let Storage::Cpu(storage) = &*storage else {
        return Ok(0);
    };
    fn count<T>(values: &[T], is_finite: impl Fn(&T) -> bool) -> usize {
        values.iter().filter(|value| !is_finite(value)).count()
    }
    Ok(match storage {
        CpuStorage::F32(values) => count(values, |v| v.is_finite()),
        CpuStorage::F64(values) => count(values, |v| v.is_finite()),
        CpuStorage::F16(values) => count(values, |v| v.is_finite()),
        CpuStorage::BF16(values) => count(values, |v| v.is_finite()),
        _ => 0,
    })
}
