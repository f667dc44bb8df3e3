//! Columns: a name and a type, and how they are written from rows and read into them.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::builder::{ListBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float32Type, Float64Type, Int8Type, UInt8Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, ListArray, PrimitiveArray, StringArray, StructArray,
    UInt32Array, new_null_array,
};
use arrow_buffer::{ArrowNativeType, OffsetBuffer};
use arrow_schema::{DataType, Field, Fields};

use super::{Row, type_name};
use crate::ids::{NeuronId, TokenId};

/// A number that a column can hold.
pub trait Number: ArrowNativeType {
    /// How Arrow names it.
    type Arrow: ArrowPrimitiveType<Native = Self>;
}

macro_rules! numbers {
    ($($number:ty: $arrow:ty),*) => {
        $(impl Number for $number {
            type Arrow = $arrow;
        })*
    };
}

numbers!(u8: UInt8Type, i8: Int8Type, u32: UInt32Type, u64: UInt64Type, f32: Float32Type, f64: Float64Type);

/// What the values of a list belong to: a neuron or a token.
pub trait Key: Copy + 'static {
    /// Names of the numbers that make it up, at most two.
    const NAMES: &'static [&'static str];

    /// Its numbers.
    fn numbers(self) -> [u32; 2];

    /// The key that has these numbers.
    fn from_numbers(numbers: [u32; 2]) -> Self;
}

impl Key for TokenId {
    const NAMES: &'static [&'static str] = &["token"];

    fn numbers(self) -> [u32; 2] {
        [self.0, 0]
    }

    fn from_numbers([token, _]: [u32; 2]) -> Self {
        Self(token)
    }
}

impl Key for NeuronId {
    const NAMES: &'static [&'static str] = &["layer", "neuron"];

    fn numbers(self) -> [u32; 2] {
        [self.layer, self.neuron]
    }

    fn from_numbers([layer, neuron]: [u32; 2]) -> Self {
        Self { layer, neuron }
    }
}

/// The version that the first tables came with.
pub const FIRST: &str = "0.1";

type Write<R> = Box<dyn Fn(&[R]) -> ArrayRef + Send + Sync>;
type Read<R> = Box<dyn Fn(&ArrayRef, &mut [R]) -> Result<(), String> + Send + Sync>;

/// Whether a row may be without a value of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// Every row has a value.
    Required,
    /// Every file has the column; a value may be null.
    Nullable,
    /// A file may lack the column, and a value may be null; the text says what holds then.
    Optional(&'static str),
}

/// A column of a table whose rows are `R`s.
pub struct Column<R> {
    name: String,
    data_type: DataType,
    presence: Presence,
    /// The version of the program that it came with.
    since: &'static str,
    about: Cow<'static, str>,
    write: Write<R>,
    read: Read<R>,
}

impl<R: Row> Column<R> {
    fn new(
        name: impl Into<String>,
        data_type: DataType,
        write: impl Fn(&[R]) -> ArrayRef + Send + Sync + 'static,
        read: impl Fn(&ArrayRef, &mut [R]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            data_type,
            presence: Presence::Required,
            since: FIRST,
            about: "".into(),
            write: Box::new(write),
            read: Box::new(read),
        }
    }

    /// A column of numbers. What is null is not set.
    pub fn number<T: Number>(
        name: impl Into<String>,
        get: impl Fn(&R) -> T + Send + Sync + 'static,
        set: impl Fn(&mut R, T) + Send + Sync + 'static,
    ) -> Self {
        let write = move |rows: &[R]| -> ArrayRef {
            let values = rows.iter().map(&get);
            Arc::new(PrimitiveArray::<T::Arrow>::from_iter_values(values))
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let values = values.as_primitive::<T::Arrow>().iter();
            let known = rows.iter_mut().zip(values);
            known.for_each(|(row, value)| value.into_iter().for_each(|value| set(row, value)));
            Ok(())
        };
        Self::new(name, T::Arrow::DATA_TYPE, write, read)
    }

    /// A column of numbers that may be null.
    pub fn optional<T: Number>(
        name: impl Into<String>,
        get: impl Fn(&R) -> Option<T> + Send + Sync + 'static,
        set: impl Fn(&mut R, Option<T>) + Send + Sync + 'static,
    ) -> Self {
        let write = move |rows: &[R]| -> ArrayRef {
            Arc::new(PrimitiveArray::<T::Arrow>::from_iter(rows.iter().map(&get)))
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let values = values.as_primitive::<T::Arrow>().iter();
            rows.iter_mut()
                .zip(values)
                .for_each(|(row, value)| set(row, value));
            Ok(())
        };
        Self::new(name, T::Arrow::DATA_TYPE, write, read).nullable()
    }

    /// A column of truth values that may be null.
    pub fn flag(
        name: &str,
        get: impl Fn(&R) -> Option<bool> + Send + Sync + 'static,
        set: impl Fn(&mut R, Option<bool>) + Send + Sync + 'static,
    ) -> Self {
        let write = move |rows: &[R]| -> ArrayRef {
            Arc::new(rows.iter().map(&get).collect::<BooleanArray>())
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let values = values.as_boolean().iter();
            rows.iter_mut()
                .zip(values)
                .for_each(|(row, value)| set(row, value));
            Ok(())
        };
        Self::new(name, DataType::Boolean, write, read).nullable()
    }

    /// A column of texts that may be null. An error of `set` is reported with the row's place.
    pub fn text(
        name: &str,
        get: impl Fn(&R) -> Option<&str> + Send + Sync + 'static,
        set: impl Fn(&mut R, Option<&str>) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let write = move |rows: &[R]| -> ArrayRef {
            Arc::new(rows.iter().map(&get).collect::<StringArray>())
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let values = values.as_string::<i32>().iter();
            rows.iter_mut()
                .zip(values)
                .try_for_each(|(row, value)| set(row, value).map_err(|reason| at(row, reason)))
        };
        Self::new(name, DataType::Utf8, write, read).nullable()
    }

    /// A column of lists of numbers. A list that is null is not set.
    pub fn list<T: Number>(
        name: &str,
        get: impl Fn(&R) -> Option<Cow<'_, [T]>> + Send + Sync + 'static,
        set: impl Fn(&mut R, &[T]) -> Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        let item = Arc::new(Field::new("item", T::Arrow::DATA_TYPE, false));
        let data_type = DataType::List(item.clone());
        let write = move |rows: &[R]| -> ArrayRef {
            let values = PrimitiveBuilder::<T::Arrow>::new();
            let mut lists = ListBuilder::new(values).with_field(item.clone());
            for row in rows {
                let list = get(row);
                lists
                    .values()
                    .append_slice(list.as_deref().unwrap_or_default());
                lists.append(list.is_some());
            }
            Arc::new(lists.finish())
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let lists = values.as_list::<i32>();
            let values = lists.values().as_primitive::<T::Arrow>().values();
            let rows = rows.iter_mut().enumerate();
            let mut rows = rows.filter(|(n, _)| lists.is_valid(*n));
            rows.try_for_each(|(n, row)| {
                let [from, until] = [n, n + 1].map(|n| lists.value_offsets()[n] as usize);
                set(row, &values[from..until]).map_err(|reason| at(row, reason))
            })
        };
        Self::new(name, data_type, write, read)
    }

    /// A column of lists of texts. A list that is null is not set.
    pub fn texts(
        name: &str,
        get: impl Fn(&R) -> Option<&[String]> + Send + Sync + 'static,
        set: impl Fn(&mut R, Vec<String>) + Send + Sync + 'static,
    ) -> Self {
        let item = Arc::new(Field::new("item", DataType::Utf8, false));
        let data_type = DataType::List(item.clone());
        let write = move |rows: &[R]| -> ArrayRef {
            let mut lists = ListBuilder::new(StringBuilder::new()).with_field(item.clone());
            for row in rows {
                let list = get(row);
                for text in list.unwrap_or_default() {
                    lists.values().append_value(text);
                }
                lists.append(list.is_some());
            }
            Arc::new(lists.finish())
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let lists = values.as_list::<i32>();
            let texts = lists.values().as_string::<i32>();
            let rows = rows.iter_mut().enumerate();
            for (n, row) in rows.filter(|(n, _)| lists.is_valid(*n)) {
                let [from, until] = [n, n + 1].map(|n| lists.value_offsets()[n] as usize);
                let list = (from..until).map(|at| texts.value(at).to_owned());
                set(row, list.collect());
            }
            Ok(())
        };
        Self::new(name, data_type, write, read)
    }

    /// A column of lists of neurons or tokens, each with a value.
    pub fn keyed<K: Key>(
        name: &str,
        get: impl Fn(&R) -> &Vec<(K, f32)> + Send + Sync + 'static,
        set: impl Fn(&mut R, Vec<(K, f32)>) + Send + Sync + 'static,
    ) -> Self {
        let keys = K::NAMES
            .iter()
            .map(|name| Field::new(*name, DataType::UInt32, false));
        let fields: Fields = keys
            .chain([Field::new("value", DataType::Float32, false)])
            .collect();
        let item = Arc::new(Field::new("item", DataType::Struct(fields.clone()), false));
        let data_type = DataType::List(item.clone());
        let write = move |rows: &[R]| -> ArrayRef {
            let items = || rows.iter().flat_map(|row| get(row).iter());
            let key = |at: usize| -> ArrayRef {
                let numbers = items().map(|(key, _)| key.numbers()[at]);
                Arc::new(UInt32Array::from_iter_values(numbers))
            };
            let mut columns: Vec<ArrayRef> = (0..K::NAMES.len()).map(key).collect();
            let values = items().map(|(_, value)| *value);
            columns.push(Arc::new(PrimitiveArray::<Float32Type>::from_iter_values(
                values,
            )));
            let offsets = OffsetBuffer::from_lengths(rows.iter().map(|row| get(row).len()));
            let items = Arc::new(StructArray::new(fields.clone(), columns, None));
            Arc::new(ListArray::new(item.clone(), offsets, items, None))
        };
        let read = move |values: &ArrayRef, rows: &mut [R]| {
            let lists = values.as_list::<i32>();
            let items = lists.values().as_struct();
            // the type was compared: the numbers of the key, then the value
            let keys = items.columns().iter().take(K::NAMES.len());
            let keys: Vec<_> = keys
                .map(|column| column.as_primitive::<UInt32Type>())
                .collect();
            let values = items.column(K::NAMES.len()).as_primitive::<Float32Type>();
            let rows = rows.iter_mut().enumerate();
            for (n, row) in rows.filter(|(n, _)| lists.is_valid(*n)) {
                let [from, until] = [n, n + 1].map(|n| lists.value_offsets()[n] as usize);
                let item = |i: usize| {
                    let number = |at: usize| keys.get(at).map_or(0, |keys| keys.value(i));
                    (K::from_numbers([number(0), number(1)]), values.value(i))
                };
                set(row, (from..until).map(item).collect());
            }
            Ok(())
        };
        Self::new(name, data_type, write, read)
    }

    fn may_be_null(&self) -> bool {
        self.presence != Presence::Required
    }

    fn nullable(self) -> Self {
        Self {
            presence: Presence::Nullable,
            ..self
        }
    }

    /// Makes the column one that is never null.
    pub fn required(self) -> Self {
        Self {
            presence: Presence::Required,
            ..self
        }
    }

    /// Says that files before this version of the program do not have the column; `without` is what holds for those.
    pub fn since(self, version: &'static str, without: &'static str) -> Self {
        Self {
            since: version,
            presence: Presence::Optional(without),
            ..self
        }
    }

    /// Says that a table that was not scanned may lack the column; `without` is what holds then.
    pub fn may_lack(self, without: &'static str) -> Self {
        Self {
            presence: Presence::Optional(without),
            ..self
        }
    }

    /// Says what the column holds, for docs/format.md.
    pub fn about(self, about: impl Into<Cow<'static, str>>) -> Self {
        Self {
            about: about.into(),
            ..self
        }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its field in a schema.
    pub(super) fn field(&self) -> Field {
        Field::new(&self.name, self.data_type.clone(), self.may_be_null())
    }

    /// Its line in a table of docs/format.md.
    pub fn line(&self) -> String {
        let mut about = self.about.trim_end_matches('.').to_owned();
        match self.presence {
            Presence::Optional(without) if self.since != FIRST => {
                about += &format!("; since {}, {without} in older files", self.since);
            }
            Presence::Optional(without) => about += &format!("; {without} where it is absent"),
            Presence::Required | Presence::Nullable => {}
        }
        let null = if self.may_be_null() { " or null" } else { "" };
        let type_name = type_name(&self.data_type);
        format!("| `{}` | {type_name}{null} | {about} |", self.name)
    }

    pub(super) fn write(&self, rows: &[R]) -> ArrayRef {
        (self.write)(rows)
    }

    /// Reads values into rows.
    pub(super) fn read(&self, values: &ArrayRef, rows: &mut [R]) -> Result<(), String> {
        self.check_type(values.data_type())?;
        if !self.may_be_null() && values.null_count() > 0 || has_null_items(values) {
            return Err(format!("`{}` is null where it must not be", self.name));
        }
        (self.read)(values, rows)
    }

    /// Leaves rows without a value: an absent column says as much as one of nulls.
    pub(super) fn read_absent(&self, rows: &mut [R]) -> Result<(), String> {
        self.check_absent()?;
        (self.read)(&new_null_array(&self.data_type, rows.len()), rows)
    }

    pub(super) fn check_type(&self, found: &DataType) -> Result<(), String> {
        match is_same_type(found, &self.data_type) {
            true => Ok(()),
            false => Err(format!(
                "column `{}` is {}; expected {}",
                self.name,
                type_name(found),
                type_name(&self.data_type)
            )),
        }
    }

    pub(super) fn check_absent(&self) -> Result<(), String> {
        match self.presence {
            Presence::Optional(_) => Ok(()),
            Presence::Required | Presence::Nullable => {
                Err(format!("column `{}` is missing", self.name))
            }
        }
    }
}

/// Whether two types hold the same values, whatever other programs call the items of a list, and whether these may be null.
fn is_same_type(a: &DataType, b: &DataType) -> bool {
    match (a, b) {
        (DataType::List(a), DataType::List(b)) => is_same_type(a.data_type(), b.data_type()),
        (DataType::Struct(a), DataType::Struct(b)) => {
            let is_same = |(a, b): (&Arc<Field>, &Arc<Field>)| {
                a.name() == b.name() && is_same_type(a.data_type(), b.data_type())
            };
            a.len() == b.len() && a.iter().zip(b).all(is_same)
        }
        (a, b) => a == b,
    }
}

/// A reason with the row that it is about.
fn at<R: Row>(row: &R, reason: String) -> String {
    format!("{}: {reason}", row.place())
}

/// Whether something in a list is null, which has no meaning in any table.
fn has_null_items(values: &ArrayRef) -> bool {
    let Some(lists) = values.as_list_opt::<i32>() else {
        return false;
    };
    let items = lists.values();
    let of_struct = items.as_struct_opt();
    let mut columns = of_struct.into_iter().flat_map(|items| items.columns());
    items.null_count() > 0 || columns.any(|column| column.null_count() > 0)
}
