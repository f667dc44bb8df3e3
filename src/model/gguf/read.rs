//! The layout of a GGUF file: metadata, and where the tensors lie. Nothing that a file claims is believed: what does not
//! fit the file, or is more than any model needs, is an error before memory is taken for it.

use std::collections::{BTreeMap, HashMap};

use super::bad;
use super::types::TensorType;
use crate::model::error::ModelError;

type Result<T> = std::result::Result<T, ModelError>;

/// Metadata and the lists of tensors of all files together; a vocabulary of 262,144 tokens takes 10 MB.
const MOST_HEADER_BYTES: usize = 256 << 20;

/// Elements of all arrays of the metadata of all files together.
const MOST_ELEMENTS: usize = 1 << 21;

const MOST_KEYS: u64 = 1 << 16;
const MOST_TENSORS: u64 = 1 << 16;
const MOST_DIMS: u32 = 4;
const MOST_NAME: usize = 256;

/// Where the file does not say, and the largest that is read.
const ALIGNMENT: u64 = 32;
const MOST_ALIGNMENT: u64 = 1 << 20;

/// A value of the metadata.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Value {
    /// A whole number.
    Integer(i128),
    /// A number; one that was stored as f32 has the digits that it was written with.
    Float(f64),
    /// A switch.
    Bool(bool),
    /// A text.
    Text(String),
    /// A list of values of one kind, none of them a list.
    Array(Vec<Value>),
}

impl Value {
    /// The whole number.
    pub fn as_integer(&self) -> Option<i128> {
        match self {
            Self::Integer(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, if it was stored as one with a fraction.
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// The switch.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(flag) => Some(*flag),
            _ => None,
        }
    }

    /// The text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The list.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Self::Array(values) => Some(values),
            _ => None,
        }
    }
}

/// What a tensor is and where it lies.
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    pub(super) kind: TensorType,
    /// The file that it is in.
    pub(super) part: usize,
    pub(super) start: usize,
    pub(super) len: usize,
}

/// One file.
pub(super) struct Part {
    pub(super) metadata: HashMap<String, Value>,
    pub(super) tensors: BTreeMap<String, Entry>,
}

/// What may still be read of the headers of a model's files.
pub(super) struct Budget {
    bytes: usize,
    elements: usize,
    tensors: u64,
}

impl Budget {
    pub(super) const WHOLE: Self = Self {
        bytes: MOST_HEADER_BYTES,
        elements: MOST_ELEMENTS,
        tensors: MOST_TENSORS,
    };
}

/// The header's bytes, and how far they are read.
struct Header<'a> {
    bytes: &'a [u8],
    at: usize,
    version: u32,
    budget: &'a mut Budget,
}

impl<'a> Header<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8]> {
        let n = usize::try_from(n).unwrap_or(usize::MAX);
        let end = self.at.saturating_add(n);
        let left = self.budget.bytes.checked_sub(n);
        self.budget.bytes = left.ok_or_else(|| {
            bad(format!(
                "its metadata is longer than {MOST_HEADER_BYTES} bytes"
            ))
        })?;
        let taken = self.bytes.get(self.at..end);
        let taken = taken.ok_or_else(|| bad("it ends in the middle of its metadata"))?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A count or a length, which the first version stored in four bytes.
    fn length(&mut self) -> Result<u64> {
        match self.version {
            1 => Ok(self.u32()?.into()),
            _ => self.u64(),
        }
    }

    fn count(&mut self, what: &str, most: u64) -> Result<u64> {
        match self.length()? {
            n if n <= most => Ok(n),
            n => Err(bad(format!(
                "it claims {n} {what}; at most {most} are read"
            ))),
        }
    }

    /// Some writers end their texts with a zero, and some cut them in the middle of a character.
    fn text(&mut self) -> Result<String> {
        let length = self.length()?;
        let text = String::from_utf8_lossy(self.take(length)?);
        Ok(text.trim_end_matches('\0').to_owned())
    }

    fn value(&mut self, kind: u32) -> Result<Value> {
        Ok(match kind {
            0 => Value::Integer(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Integer(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Integer(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Integer(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Integer(self.u32()?.into()),
            5 => Value::Integer(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(written(f32::from_le_bytes(self.array()?))),
            7 => match self.array()? {
                [0] => Value::Bool(false),
                [1] => Value::Bool(true),
                [byte] => return Err(bad(format!("its metadata has a switch that is {byte}"))),
            },
            8 => Value::Text(self.text()?),
            9 => self.list()?,
            10 => Value::Integer(self.u64()?.into()),
            11 => Value::Integer(i64::from_le_bytes(self.array()?).into()),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => {
                return Err(bad(format!(
                    "its metadata has a value of unknown type {kind}"
                )));
            }
        })
    }

    fn list(&mut self) -> Result<Value> {
        let kind = self.u32()?;
        if kind == 9 {
            return Err(bad("its metadata has an array of arrays"));
        }
        let n = self.count("elements of an array", self.budget.elements as u64)?;
        self.budget.elements -= n as usize;
        let values = (0..n).map(|_| self.value(kind));
        Ok(Value::Array(values.collect::<Result<_>>()?))
    }
}

/// A number in the digits that were rounded to f32.
fn written(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(x.into())
}

impl Part {
    /// Reads the header of one file and checks that its tensors lie in it. `part` is its place among the files.
    pub(super) fn read(bytes: &[u8], part: usize, budget: &mut Budget) -> Result<Self> {
        let mut header = Header {
            bytes,
            at: 0,
            version: 0,
            budget,
        };
        if header.array()? != *b"GGUF" {
            return Err(bad("it does not begin with `GGUF`"));
        }
        header.version = header.u32()?;
        match header.version {
            1..=3 => (),
            version if (1..=3).contains(&version.swap_bytes()) => {
                return Err(bad("it is big-endian"));
            }
            version => return Err(bad(format!("its version is {version}; 1 to 3 are read"))),
        }
        let n_tensors = header.count("tensors", header.budget.tensors)?;
        header.budget.tensors -= n_tensors;
        let n_keys = header.count("keys", MOST_KEYS)?;
        let mut metadata = HashMap::new();
        for _ in 0..n_keys {
            let key = header.text()?;
            let kind = header.u32()?;
            let value = header.value(kind)?;
            if metadata.insert(key.clone(), value).is_some() {
                return Err(bad(format!("it has the key `{key}` twice")));
            }
        }
        let mut tensors = BTreeMap::new();
        for _ in 0..n_tensors {
            let name = header.text()?;
            let entry = header.tensor(&name, part)?;
            if tensors.insert(name.clone(), entry).is_some() {
                return Err(bad(format!("it has the tensor `{name}` twice")));
            }
        }
        let alignment = match metadata.get("general.alignment") {
            None => ALIGNMENT,
            Some(value) => {
                let n = value.as_integer().and_then(|n| u64::try_from(n).ok());
                let n = n.filter(|n| n.is_power_of_two() && *n <= MOST_ALIGNMENT);
                n.ok_or_else(|| {
                    bad(format!(
                        "its `general.alignment` is not a power of two of at most {MOST_ALIGNMENT}"
                    ))
                })?
            }
        };
        let mut found = Self { metadata, tensors };
        found.place(header.at, alignment, bytes.len())?;
        Ok(found)
    }

    /// Makes offsets places in the file: each in it, aligned, and none in another.
    fn place(&mut self, end_of_header: usize, alignment: u64, file_len: usize) -> Result<()> {
        let begin = end_of_header.next_multiple_of(alignment as usize);
        let mut places = Vec::with_capacity(self.tensors.len());
        for (name, entry) in &mut self.tensors {
            if !(entry.start as u64).is_multiple_of(alignment) {
                return Err(bad(format!("tensor `{name}` is not aligned")));
            }
            entry.start = entry.start.saturating_add(begin);
            let end = entry.start.saturating_add(entry.len);
            if end > file_len {
                return Err(bad(format!(
                    "tensor `{name}` ends at byte {end}, but the file at {file_len}; it may be cut off"
                )));
            }
            places.push((entry.start, end, name));
        }
        places.sort();
        let overlap = places.windows(2).find(|pair| pair[0].1 > pair[1].0);
        match overlap {
            Some([(_, _, a), (_, _, b)]) => Err(bad(format!("tensors `{a}` and `{b}` overlap"))),
            _ => Ok(()),
        }
    }
}

impl Header<'_> {
    /// What the list of tensors says of one; its start is counted from the first.
    fn tensor(&mut self, name: &str, part: usize) -> Result<Entry> {
        if name.len() > MOST_NAME {
            return Err(bad(format!(
                "the name of a tensor is longer than {MOST_NAME} bytes"
            )));
        }
        let n_dims = self.u32()?;
        if n_dims > MOST_DIMS {
            return Err(bad(format!(
                "tensor `{name}` has {n_dims} dimensions; at most {MOST_DIMS} are read"
            )));
        }
        let too_large = || bad(format!("tensor `{name}` is longer than the file"));
        let mut shape = Vec::new();
        for _ in 0..n_dims {
            shape.push(usize::try_from(self.length()?).map_err(|_| too_large())?);
        }
        shape.reverse();
        let code = self.u32()?;
        let start = usize::try_from(self.u64()?).map_err(|_| too_large())?;
        let kind = TensorType::of(code).map_err(|found| ModelError::GgufType {
            tensor: name.to_owned(),
            found,
            read: TensorType::names(),
        })?;
        let n_values = shape.iter().copied().try_fold(1usize, usize::checked_mul);
        let len = n_values
            .and_then(|n| kind.n_bytes(n))
            .ok_or_else(too_large)?;
        let row = shape.last().copied().unwrap_or(1);
        if !row.is_multiple_of(kind.block()) {
            return Err(bad(format!(
                "tensor `{name}` has rows of {row} values, which do not fill blocks of {}",
                kind.block()
            )));
        }
        Ok(Entry {
            shape,
            kind,
            part,
            start,
            len,
        })
    }
}
