//! Values of Arrow arrays: as text, as names, as JSON.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ListArray};
use arrow_schema::{DataType, TimeUnit};
use serde_json::{Map, Value};

/// A value of an array, which is not null.
#[derive(Clone, Copy)]
pub(super) struct Cell<'a> {
    array: &'a dyn Array,
    at: usize,
}

impl<'a> Cell<'a> {
    /// A value of an array, unless it is null.
    pub(super) fn new(array: &'a dyn Array, at: usize) -> Option<Self> {
        (!array.is_null(at)).then_some(Self { array, at })
    }

    /// What a path leads to, by names inside structs and by numbers inside lists.
    pub(super) fn inside(self, path: &[String]) -> Option<Self> {
        let Some((step, rest)) = path.split_first() else {
            return Some(self);
        };
        let next = match self.array.data_type() {
            DataType::Struct(_) => {
                let column = self.array.as_struct().column_by_name(step)?;
                Self::new(column, self.at)?
            }
            DataType::List(_) => {
                let list: &ListArray = self.array.as_list();
                let index: usize = step.parse().ok()?;
                self.elements(list).nth(index)??
            }
            _ => return None,
        };
        next.inside(rest)
    }

    fn elements(self, list: &'a ListArray) -> impl Iterator<Item = Option<Self>> {
        let offsets = list.value_offsets();
        let range = offsets[self.at] as usize..offsets[self.at + 1] as usize;
        range.map(|at| Self::new(list.values(), at))
    }

    /// The bytes of a string, which need not be UTF-8 where the column does not say so.
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self.array.data_type() {
            DataType::Utf8View => Some(self.array.as_string_view().value(self.at).as_bytes()),
            DataType::BinaryView => Some(self.array.as_binary_view().value(self.at)),
            _ => None,
        }
    }

    /// What names a document: a string, or a number.
    pub(super) fn name(self) -> Option<String> {
        if let Some(bytes) = self.bytes() {
            return Some(String::from_utf8_lossy(bytes).into_owned());
        }
        match self.json() {
            Ok(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A value that is a number in JSON as well.
    fn number<T: ArrowPrimitiveType<Native: Into<Value>>>(self) -> Value {
        self.array.as_primitive::<T>().value(self.at).into()
    }

    /// The value as JSON. Of structs, fields that are null are left out, and so are those of types that JSON lacks;
    /// a time is the number that stands in the file.
    pub(super) fn json(self) -> Result<Value, String> {
        Ok(match self.array.data_type() {
            DataType::Boolean => self.array.as_boolean().value(self.at).into(),
            DataType::Int8 => self.number::<Int8Type>(),
            DataType::Int16 => self.number::<Int16Type>(),
            DataType::Int32 => self.number::<Int32Type>(),
            DataType::Int64 => self.number::<Int64Type>(),
            DataType::UInt8 => self.number::<UInt8Type>(),
            DataType::UInt16 => self.number::<UInt16Type>(),
            DataType::UInt32 => self.number::<UInt32Type>(),
            DataType::UInt64 => self.number::<UInt64Type>(),
            DataType::Float16 => {
                let value = self.array.as_primitive::<Float16Type>().value(self.at);
                value.to_f32().into()
            }
            DataType::Float32 => self.number::<Float32Type>(),
            DataType::Float64 => self.number::<Float64Type>(),
            DataType::Date32 => self.number::<Date32Type>(),
            DataType::Date64 => self.number::<Date64Type>(),
            DataType::Timestamp(TimeUnit::Second, _) => self.number::<TimestampSecondType>(),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                self.number::<TimestampMillisecondType>()
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                self.number::<TimestampMicrosecondType>()
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                self.number::<TimestampNanosecondType>()
            }
            DataType::Utf8View => self.array.as_string_view().value(self.at).into(),
            DataType::BinaryView => {
                let bytes = self.array.as_binary_view().value(self.at);
                let text = std::str::from_utf8(bytes)
                    .map_err(|error| format!("is not valid UTF-8: byte {}", error.valid_up_to()))?;
                text.into()
            }
            DataType::Struct(fields) => {
                let columns = self.array.as_struct().columns();
                let mut object = Map::new();
                for (field, column) in fields.iter().zip(columns) {
                    let value = match Self::new(column, self.at) {
                        Some(cell) => cell.json()?,
                        None => Value::Null,
                    };
                    if !value.is_null() {
                        object.insert(field.name().clone(), value);
                    }
                }
                Value::Object(object)
            }
            DataType::List(_) => {
                let elements = self.elements(self.array.as_list());
                let value = |cell: Option<Self>| cell.map_or(Ok(Value::Null), Self::json);
                Value::Array(elements.map(value).collect::<Result<_, _>>()?)
            }
            DataType::Map(..) => {
                let map = self.array.as_map();
                let offsets = map.value_offsets();
                let mut object = Map::new();
                for at in offsets[self.at] as usize..offsets[self.at + 1] as usize {
                    let key = Self::new(map.keys(), at).and_then(Self::name);
                    let value = Self::new(map.values(), at).map_or(Ok(Value::Null), Self::json);
                    object.insert(key.unwrap_or_default(), value?);
                }
                Value::Object(object)
            }
            _ => Value::Null,
        })
    }
}
