//! Weights that PyTorch saved: a zip archive with a pickled dictionary of tensors and their bytes beside it.
//!
//! Nothing in the pickle is executed, and what it costs to read is bounded by its length, which is bounded as well.

mod archive;
mod machine;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Tensor};

use crate::model::ModelError;
use crate::model::weights::{TensorFile, TensorInfo};

use archive::Archive;
use machine::{Id, Object, Objects};

/// Under what key a training script may keep the weights.
const KEYS: [&str; 3] = ["state_dict", "model", "model_state_dict"];

/// What the pickle is called, after the name of the archive's folder.
const PICKLE: &str = "data.pkl";

const MOST_DIMS: usize = 8;

/// How many times as long as the file all tensors together may be, since tied ones share their bytes.
const MOST_SHARING: u64 = 8;

/// Bytes of a tensor's name, and of the number that its storage is called by.
const MOST_NAME: usize = 1024;
const MOST_KEY: usize = 64;

const PICKLE_BEGIN: u8 = 0x80;

/// How a file of before 1.6 begins: a pickle of this number.
const OLD_MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// Where a tar archive, which is older still, says that it is one.
const TAR_MAGIC: (usize, &[u8]) = (257, b"ustar");

/// Any reason.
type Cause = Box<dyn std::error::Error + Send + Sync>;

/// A tensor: a view of a storage, in values.
#[derive(Clone, Debug)]
struct View {
    shape: Vec<usize>,
    strides: Vec<usize>,
    offset: usize,
    kind: Kind,
    /// What its storage is called.
    key: String,
}

/// A type of values, by what PyTorch calls it.
#[derive(Clone, Copy, Debug)]
struct Kind {
    name: &'static str,
    bytes: usize,
    /// Where it can be loaded.
    dtype: Option<DType>,
}

pub(super) struct PickleFile {
    name: String,
    archive: Mutex<Archive>,
    /// What stands before the name of a storage in the archive.
    data: String,
    tensors: BTreeMap<String, View>,
}

impl PickleFile {
    pub(super) fn open(name: &str, path: &Path) -> Result<Self, ModelError> {
        let unreadable = |cause: Cause| unreadable(name, &cause);
        let mut file = File::open(path).map_err(|error| unreadable(error.into()))?;
        let mut begin = Vec::new();
        let first = file.by_ref().take(512).read_to_end(&mut begin);
        first.map_err(|error| unreadable(error.into()))?;
        if is_old(&begin) {
            return Err(ModelError::OldPytorch {
                file: name.to_owned(),
            });
        }
        if begin.first() == Some(&PICKLE_BEGIN) {
            return Err(unreadable(
                "it is a bare pickle, which `torch.save` does not write".into(),
            ));
        }
        let mut archive = Archive::open(file).map_err(unreadable)?;
        let (data, tensors) = index(&mut archive).map_err(unreadable)?;
        Ok(Self {
            name: name.to_owned(),
            archive: Mutex::new(archive),
            data,
            tensors,
        })
    }

    fn read(&self, view: &View) -> Result<Tensor, Cause> {
        let dtype = view.kind.dtype.ok_or("its type is not read")?;
        let (first, n) = view.range().ok_or("its size is not possible")?;
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = format!("{}{}", self.data, view.key);
        let bytes = archive.read(&entry, first as u64, n as u64)?;
        drop(archive);
        let bytes = match view.is_contiguous() {
            true => bytes,
            false => view.gather(&bytes),
        };
        Ok(Tensor::from_raw_buffer(
            &bytes,
            dtype,
            &view.shape,
            &Device::Cpu,
        )?)
    }
}

fn unreadable(file: &str, cause: &Cause) -> ModelError {
    ModelError::Weights {
        file: file.to_owned(),
        format: "PyTorch (1.6 or later)",
        reason: cause.to_string(),
    }
}

/// Whether a file is of before 1.6, by its first bytes.
fn is_old(begin: &[u8]) -> bool {
    let pickled = begin.first() == Some(&PICKLE_BEGIN);
    let magic = begin.windows(OLD_MAGIC.len()).take(16);
    let (at, tar) = TAR_MAGIC;
    (pickled && magic.into_iter().any(|bytes| bytes == OLD_MAGIC))
        || begin.get(at..).is_some_and(|rest| rest.starts_with(tar))
}

/// Where the storages are, and the tensors in them.
fn index(archive: &mut Archive) -> Result<(String, BTreeMap<String, View>), Cause> {
    let is_pickle = |name: &&str| {
        let folder = name.strip_suffix(PICKLE);
        folder.is_some_and(|folder| folder.is_empty() || folder.ends_with('/'))
    };
    let found: Vec<String> = archive
        .names()
        .filter(is_pickle)
        .map(str::to_owned)
        .collect();
    let [pickle] = found.as_slice() else {
        return Err(format!("it has {} entries `{PICKLE}`; expected one", found.len()).into());
    };
    // what belongs to the pickle lies beside it
    let folder = pickle.strip_suffix(PICKLE).unwrap_or_default();
    let order = format!("{folder}byteorder");
    if let Some(len) = archive.len_of(&order)
        && archive.read(&order, 0, len.min(16))? != b"little"
    {
        return Err("it was saved on a big-endian machine".into());
    }
    let len = archive.len_of(pickle).unwrap_or(0);
    if len > machine::MOST_BYTES {
        let most = machine::MOST_BYTES;
        return Err(format!("its pickle has {len} bytes; at most {most} are read").into());
    }
    let objects = machine::read(&archive.read(pickle, 0, len)?)?;
    let data = format!("{folder}data/");
    let mut tensors = tensors_of(&objects, objects.whole)?;
    if let (true, Object::Dict(pairs)) = (tensors.is_empty(), objects.get(objects.whole)) {
        let named = |key: &Id| objects.text(*key).is_some_and(|key| KEYS.contains(&key));
        if let Some((_, inside)) = pairs.iter().rfind(|(key, _)| named(key)) {
            tensors = tensors_of(&objects, *inside)?;
        }
    }
    let mut claimed = 0u64;
    for (name, view) in &tensors {
        let end = view.range().and_then(|(first, n)| first.checked_add(n));
        let stored = archive.len_of(&format!("{data}{}", view.key));
        let fits = end
            .zip(stored)
            .is_some_and(|(end, stored)| end as u64 <= stored);
        if !fits {
            return Err(format!("tensor `{name}` claims more values than its storage has").into());
        }
        claimed = claimed.saturating_add(view.range().map_or(0, |(_, n)| n as u64));
    }
    let most = archive.len().saturating_mul(MOST_SHARING);
    if claimed > most {
        return Err(format!("its tensors share so much that they are {claimed} bytes; at most {most} are read of a file of this length").into());
    }
    match tensors.is_empty() {
        true => Err("it is not a dictionary of tensors".into()),
        false => Ok((data, tensors)),
    }
}

/// The tensors of a dictionary. Masks of truth values, which no model needs, are left out.
fn tensors_of(objects: &Objects, id: Id) -> Result<BTreeMap<String, View>, Cause> {
    let Object::Dict(pairs) = objects.get(id) else {
        return Ok(BTreeMap::new());
    };
    let mut tensors = BTreeMap::new();
    for (key, value) in pairs {
        let (Some(name), Some((function, arguments))) =
            (objects.text(*key), rebuilt(objects, *value))
        else {
            continue;
        };
        if name.len() > MOST_NAME {
            return Err(format!("the name of a tensor is longer than {MOST_NAME} bytes").into());
        }
        let view = view(objects, function, arguments);
        let view = view.map_err(|reason| format!("tensor `{name}`: {reason}"))?;
        match view.kind.name {
            "BOOL" => tensors.remove(name),
            _ => tensors.insert(name.to_owned(), view),
        };
    }
    Ok(tensors)
}

/// The function that makes a tensor, and its arguments, without the parameter or the subclass around it.
fn rebuilt(objects: &Objects, id: Id) -> Option<(&str, &[Id])> {
    let call = |id: Id| match objects.get(id) {
        Object::Call(called, arguments) => {
            Some((objects.global(*called)?, objects.tuple(*arguments)?))
        }
        _ => None,
    };
    let (function, arguments) = call(id)?;
    let inside = match function {
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            call(*arguments.first()?)?
        }
        "torch._tensor._rebuild_from_type_v2" => (
            objects.global(*arguments.first()?)?,
            objects.tuple(*arguments.get(2)?)?,
        ),
        _ => (function, arguments),
    };
    let makes_tensors = inside.0.starts_with("torch._utils._rebuild_");
    makes_tensors.then_some(inside)
}

/// A tensor from the arguments of the function that makes it.
fn view(objects: &Objects, function: &str, arguments: &[Id]) -> Result<View, &'static str> {
    let wide = match function {
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => false,
        "torch._utils._rebuild_tensor_v3" => true,
        "torch._utils._rebuild_qtensor" => {
            return Err("it is quantised by PyTorch, which is not read");
        }
        _ => return Err("it is sparse or of a class of its own, which is not read"),
    };
    let unexpected = "it is described in a way that is not known";
    let (Some([storage, offset, size, stride]), others) = (
        arguments.first_chunk::<4>(),
        arguments.get(4..).unwrap_or(&[]),
    ) else {
        return Err(unexpected);
    };
    let storage = match objects.get(*storage) {
        Object::Persistent(id) => objects.tuple(*id),
        _ => None,
    };
    let Some([_, class, key, ..]) = storage else {
        return Err(unexpected);
    };
    let kind = match (wide, others) {
        (false, _) => objects.global(*class),
        (true, [_, _, dtype, ..]) => objects.global(*dtype),
        (true, _) => None,
    };
    let kind = Kind::of(kind.ok_or(unexpected)?).ok_or("its type is not known")?;
    let sizes = |id: Id| -> Option<Vec<usize>> {
        let items = objects.tuple(id).filter(|items| items.len() <= MOST_DIMS)?;
        items.iter().map(|id| objects.size(*id)).collect()
    };
    let (shape, strides) = (sizes(*size), sizes(*stride));
    let (Some(shape), Some(strides), Some(offset), Some(key)) = (
        shape,
        strides,
        objects.size(*offset),
        objects.text(*key).filter(|key| key.len() <= MOST_KEY),
    ) else {
        return Err(unexpected);
    };
    if shape.len() != strides.len() {
        return Err(unexpected);
    }
    Ok(View {
        shape,
        strides,
        offset,
        kind,
        key: key.to_owned(),
    })
}

impl Kind {
    /// By the class of a storage, or by a type of tensors.
    fn of(name: &str) -> Option<Self> {
        let kind = |name, bytes, dtype| Some(Self { name, bytes, dtype });
        match name.strip_prefix("torch.")? {
            "FloatStorage" | "float32" => kind("F32", 4, Some(DType::F32)),
            "DoubleStorage" | "float64" => kind("F64", 8, Some(DType::F64)),
            "HalfStorage" | "float16" => kind("F16", 2, Some(DType::F16)),
            "BFloat16Storage" | "bfloat16" => kind("BF16", 2, Some(DType::BF16)),
            "BoolStorage" | "bool" => kind("BOOL", 1, None),
            "ByteStorage" | "uint8" => kind("U8", 1, None),
            "CharStorage" | "int8" => kind("I8", 1, None),
            "ShortStorage" | "int16" => kind("I16", 2, None),
            "IntStorage" | "int32" => kind("I32", 4, None),
            "LongStorage" | "int64" => kind("I64", 8, None),
            "uint16" => kind("U16", 2, None),
            "uint32" => kind("U32", 4, None),
            "uint64" => kind("U64", 8, None),
            "float8_e4m3fn" => kind("F8_E4M3", 1, None),
            "float8_e5m2" => kind("F8_E5M2", 1, None),
            "ComplexFloatStorage" | "complex64" => kind("C64", 8, None),
            _ => None,
        }
    }
}

impl View {
    fn n_values(&self) -> Option<usize> {
        self.shape.iter().copied().try_fold(1, usize::checked_mul)
    }

    /// First byte and number of bytes of its storage, which has no fewer values than the tensor.
    fn range(&self) -> Option<(usize, usize)> {
        let n_values = self.n_values()?;
        let steps = self.shape.iter().zip(&self.strides);
        let last = steps.map(|(n, stride)| n.saturating_sub(1).checked_mul(*stride));
        let last = last.reduce(|a, b| a?.checked_add(b?)).unwrap_or(Some(0))?;
        let n = if n_values == 0 {
            0
        } else {
            last.checked_add(1)?
        };
        let fits = n_values <= n;
        let bytes = |n: usize| n.checked_mul(self.kind.bytes);
        fits.then_some((bytes(self.offset)?, bytes(n)?))
    }

    fn is_contiguous(&self) -> bool {
        let mut expected = 1;
        self.shape.contains(&0)
            || self
                .shape
                .iter()
                .zip(&self.strides)
                .rev()
                .all(|(n, stride)| {
                    let right = *n == 1 || *stride == expected;
                    expected *= n;
                    right
                })
    }

    /// The values in their order, from the bytes of [`Self::range`].
    fn gather(&self, bytes: &[u8]) -> Vec<u8> {
        let n_values = self.n_values().unwrap_or(0);
        let mut out = Vec::with_capacity(n_values * self.kind.bytes);
        let mut at = vec![0; self.shape.len()];
        for _ in 0..n_values {
            let place: usize = at
                .iter()
                .zip(&self.strides)
                .map(|(i, stride)| i * stride)
                .sum();
            let first = place * self.kind.bytes;
            out.extend_from_slice(&bytes[first..first + self.kind.bytes]);
            for (i, n) in at.iter_mut().zip(&self.shape).rev() {
                *i += 1;
                if *i < *n {
                    break;
                }
                *i = 0;
            }
        }
        out
    }
}

impl TensorFile for PickleFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn tensors(&self) -> Vec<TensorInfo> {
        let info = |(name, view): (&String, &View)| TensorInfo {
            name: name.clone(),
            shape: view.shape.clone(),
            dtype: view.kind.name.to_owned(),
        };
        self.tensors.iter().map(info).collect()
    }

    fn load(&self, tensor: &str) -> Result<Tensor, ModelError> {
        let read = match self.tensors.get(tensor) {
            Some(view) => self.read(view),
            None => Err("it is missing".into()),
        };
        let named = |cause: Cause| format!("tensor `{tensor}`: {cause}").into();
        read.map_err(|cause| unreadable(&self.name, &named(cause)))
    }
}
