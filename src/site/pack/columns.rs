//! Records by column: the same field of all records of a file stands together, which compresses well, and is described once.
//!
//! [`Column`] is a serializer. Each value that is serialised into it becomes its next row, and its fields the next rows of
//! columns of their own. docs/format.md describes the bytes; `theme/assets/read/pack.js` reads them.

use std::collections::HashMap;
use std::fmt::Display;

use serde::ser::{self, Impossible, Serialize, Serializer};

/// The name of a newtype around a number of which the upper three bytes of an `f32` are kept.
pub(crate) const SHORT: &str = "neuroscope::Short";
/// The name of a newtype around a number from −1 to 1 of which four decimals are kept.
pub(crate) const COSINE: &str = "neuroscope::Cosine";

/// The name of a newtype around a count that is kept to within 5 per cent, or one.
pub(crate) const COARSE: &str = "neuroscope::Coarse";

/// Steps of a coarse count from one to two.
const STEPS_OF_OCTAVE: f64 = 8.0;
/// Steps of a cosine from 0 to 1.
const COSINE_STEPS: f64 = 10_000.0;

/// What is known of a row.
const ABSENT: u8 = 0;
const NULL: u8 = 1;
const THERE: u8 = 2;

/// Set in the kind of a column if a state is given for each row.
const HAS_STATES: u8 = 0x80;

/// Magnitudes between which an `f32` holds six digits.
const SIX_DIGITS: std::ops::Range<f64> = 1e-30..1e30;

/// Bytes from which on a column is not written again.
const WORTH_NAMING: usize = 8;

/// The columns of a file that may be named, with their numbers.
#[derive(Default)]
pub(crate) struct Written(HashMap<Vec<u8>, usize>);

/// A column of rows of one kind.
#[derive(Debug, Default)]
pub(crate) struct Column {
    states: Vec<u8>,
    values: Values,
    /// The newtype around its numbers, if there is one.
    newtype: &'static str,
}

/// The values of the rows that are there.
#[derive(Debug, Default)]
enum Values {
    #[default]
    None,
    Flags(Vec<u8>),
    Integers(Vec<i64>),
    /// With six digits.
    Rounded(Vec<f64>),
    Singles(Vec<f32>),
    /// With the upper three bytes of an `f32`.
    Shorts(Vec<f32>),
    Cosines(Vec<i16>),
    Coarse(Vec<u8>),
    Texts(Texts),
    Objects(Vec<(String, Column)>),
    Lists(Vec<usize>, Box<Column>),
    Tuples(Vec<Column>),
    Bytes(Vec<usize>, Vec<u8>),
}

/// Texts, each once.
#[derive(Debug, Default)]
struct Texts {
    places: HashMap<String, usize>,
    distinct: Vec<String>,
    rows: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &str) {
        let place = match self.places.get(text) {
            Some(&place) => place,
            None => {
                self.places.insert(text.to_owned(), self.distinct.len());
                self.distinct.push(text.to_owned());
                self.distinct.len() - 1
            }
        };
        self.rows.push(place);
    }
}

/// What cannot be put into a column.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ColumnError {
    /// Rows of one column are of different kinds.
    #[error("rows of a column are of different kinds")]
    Mixed,
    /// A kind of value that no record has.
    #[error("{0} cannot be put into a column")]
    Unknown(&'static str),
    /// What a record says while it is serialised.
    #[error("{0}")]
    Record(String),
}

impl ser::Error for ColumnError {
    fn custom<T: Display>(message: T) -> Self {
        Self::Record(message.to_string())
    }
}

impl Column {
    /// Adds a record as the next row.
    pub(crate) fn push(&mut self, record: &impl Serialize) -> Result<(), ColumnError> {
        record.serialize(self)
    }

    /// Number of its rows.
    pub(crate) fn len(&self) -> usize {
        self.states.len()
    }

    fn push_state(&mut self, state: u8) {
        self.states.push(state);
    }

    /// A column whose rows so far were all absent.
    fn after(n: usize) -> Self {
        Self {
            states: vec![ABSENT; n],
            ..Self::default()
        }
    }

    /// Number of the rows that are there.
    fn n_there(&self) -> usize {
        self.states.iter().filter(|state| **state == THERE).count()
    }

    /// Adds the bytes of the column. One that is the same as an earlier one of the file is named by that one's number.
    pub(crate) fn write(&self, out: &mut Vec<u8>, written: &mut Written) {
        let at = out.len();
        self.write_whole(out, written);
        let is_leaf = !matches!(
            self.values,
            Values::Objects(_) | Values::Lists(..) | Values::Tuples(_)
        );
        if is_leaf && out.len() - at >= WORTH_NAMING {
            let number = written.0.len();
            match written.0.get(&out[at..]) {
                Some(&same) => {
                    out.truncate(at);
                    out.push(13);
                    push_length(out, same);
                }
                None => {
                    written.0.insert(out[at..].to_vec(), number);
                }
            }
        }
    }

    fn write_whole(&self, out: &mut Vec<u8>, written: &mut Written) {
        let at = out.len();
        let all_there = self.states.iter().all(|state| *state == THERE);
        out.push(0);
        if !all_there {
            out.extend_from_slice(&self.states);
        }
        let kind = match &self.values {
            Values::None => 0,
            Values::Flags(flags) => {
                out.extend_from_slice(flags);
                1
            }
            Values::Integers(numbers) => {
                for &n in numbers {
                    push_signed(out, n);
                }
                2
            }
            Values::Rounded(numbers) if numbers.iter().all(|&n| fits_single(n)) => {
                let singles = numbers.iter().map(|&n| (n as f32).to_le_bytes());
                push_planes::<4>(out, singles);
                3
            }
            Values::Rounded(numbers) => {
                push_planes::<8>(out, numbers.iter().map(|n| n.to_le_bytes()));
                4
            }
            Values::Singles(numbers) => {
                push_planes::<4>(out, numbers.iter().map(|n| n.to_le_bytes()));
                5
            }
            Values::Shorts(numbers) => {
                let upper = |n: &f32| {
                    let [_, low, middle, high] = shortened(*n).to_le_bytes();
                    [low, middle, high]
                };
                push_planes::<3>(out, numbers.iter().map(upper));
                6
            }
            Values::Cosines(numbers) => {
                push_planes::<2>(out, numbers.iter().map(|n| n.to_le_bytes()));
                12
            }
            Values::Coarse(codes) => {
                out.extend_from_slice(codes);
                14
            }
            Values::Texts(texts) => {
                push_length(out, texts.distinct.len());
                for text in &texts.distinct {
                    push_length(out, text.len());
                }
                for text in &texts.distinct {
                    out.extend_from_slice(text.as_bytes());
                }
                for &row in &texts.rows {
                    push_length(out, row);
                }
                7
            }
            Values::Objects(fields) => {
                push_length(out, fields.len());
                for (name, column) in fields {
                    push_length(out, name.len());
                    out.extend_from_slice(name.as_bytes());
                    column.write(out, written);
                }
                8
            }
            Values::Lists(lengths, elements) => {
                lengths.iter().for_each(|&n| push_length(out, n));
                elements.write(out, written);
                9
            }
            Values::Tuples(columns) => {
                push_length(out, columns.len());
                columns.iter().for_each(|column| column.write(out, written));
                10
            }
            Values::Bytes(lengths, bytes) => {
                lengths.iter().for_each(|&n| push_length(out, n));
                out.extend_from_slice(bytes);
                11
            }
        };
        out[at] = kind | if all_there { 0 } else { HAS_STATES };
    }
}

/// Whether a number of six digits is the nearest to that of an `f32`.
fn fits_single(n: f64) -> bool {
    n == 0.0 || SIX_DIGITS.contains(&n.abs())
}

/// A count as its logarithm in steps; none as 0.
fn coarse(n: u64) -> u8 {
    match n {
        0 => 0,
        n => ((n as f64).log2() * STEPS_OF_OCTAVE).round().min(254.0) as u8 + 1,
    }
}

/// A number rounded to the upper three bytes of an `f32`.
fn shortened(n: f32) -> f32 {
    let bits = n.to_bits();
    // to the nearest; a carry into the exponent is right, and infinity is further than any number of a record
    f32::from_bits(bits.saturating_add(0x80) & 0xffff_ff00)
}

/// Adds a number of seven bits a byte, the lowest first; the top bit says that there is more.
pub(crate) fn push_length(out: &mut Vec<u8>, n: usize) {
    push_unsigned(out, n as u64);
}

fn push_unsigned(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// The same of a number with a sign, which is its lowest bit.
fn push_signed(out: &mut Vec<u8>, n: i64) {
    push_unsigned(out, (n << 1 ^ n >> 63) as u64);
}

/// Adds numbers byte by byte: the lowest of each, then the next of each.
fn push_planes<const N: usize>(out: &mut Vec<u8>, numbers: impl Iterator<Item = [u8; N]> + Clone) {
    for plane in 0..N {
        out.extend(numbers.clone().map(|bytes| bytes[plane]));
    }
}

/// Makes a method that adds a value to a column, whose first one it may be.
macro_rules! push {
    ($self:ident, $kind:ident, $value:expr) => {{
        if let Values::None = $self.values {
            $self.values = Values::$kind(Default::default());
        }
        match &mut $self.values {
            Values::$kind(values) => values.push($value),
            _ => return Err(ColumnError::Mixed),
        }
        $self.push_state(THERE);
        Ok(())
    }};
}

impl<'a> Serializer for &'a mut Column {
    type Ok = ();
    type Error = ColumnError;
    type SerializeSeq = Elements<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Impossible<(), ColumnError>;
    type SerializeTupleVariant = Impossible<(), ColumnError>;
    type SerializeMap = FieldsOf<'a>;
    type SerializeStruct = FieldsOf<'a>;
    type SerializeStructVariant = Impossible<(), ColumnError>;

    fn serialize_bool(self, v: bool) -> Result<(), ColumnError> {
        push!(self, Flags, u8::from(v))
    }

    fn serialize_i8(self, v: i8) -> Result<(), ColumnError> {
        self.serialize_i64(v.into())
    }

    fn serialize_i16(self, v: i16) -> Result<(), ColumnError> {
        self.serialize_i64(v.into())
    }

    fn serialize_i32(self, v: i32) -> Result<(), ColumnError> {
        self.serialize_i64(v.into())
    }

    fn serialize_i64(self, v: i64) -> Result<(), ColumnError> {
        push!(self, Integers, v)
    }

    fn serialize_u8(self, v: u8) -> Result<(), ColumnError> {
        self.serialize_i64(v.into())
    }

    fn serialize_u16(self, v: u16) -> Result<(), ColumnError> {
        self.serialize_i64(v.into())
    }

    fn serialize_u32(self, v: u32) -> Result<(), ColumnError> {
        self.serialize_i64(v.into())
    }

    fn serialize_u64(self, v: u64) -> Result<(), ColumnError> {
        if self.newtype == COARSE {
            return push!(self, Coarse, coarse(v));
        }
        let v = i64::try_from(v).map_err(|_| ColumnError::Unknown("a number above 2⁶³"))?;
        self.serialize_i64(v)
    }

    fn serialize_f32(self, v: f32) -> Result<(), ColumnError> {
        match v.is_finite() {
            false => self.serialize_none(),
            true => push!(self, Singles, v),
        }
    }

    fn serialize_f64(self, v: f64) -> Result<(), ColumnError> {
        match self.newtype {
            _ if !v.is_finite() => self.serialize_none(),
            SHORT => push!(self, Shorts, v as f32),
            COSINE => push!(
                self,
                Cosines,
                (v.clamp(-1.0, 1.0) * COSINE_STEPS).round() as i16
            ),
            _ => push!(self, Rounded, v),
        }
    }

    fn serialize_char(self, v: char) -> Result<(), ColumnError> {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, v: &str) -> Result<(), ColumnError> {
        push!(self, Texts, v)
    }

    fn serialize_bytes(self, v: &[u8]) -> Result<(), ColumnError> {
        if let Values::None = self.values {
            self.values = Values::Bytes(Vec::new(), Vec::new());
        }
        match &mut self.values {
            Values::Bytes(lengths, bytes) => {
                lengths.push(v.len());
                bytes.extend_from_slice(v);
            }
            _ => return Err(ColumnError::Mixed),
        }
        self.push_state(THERE);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), ColumnError> {
        self.push_state(NULL);
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), ColumnError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), ColumnError> {
        self.serialize_none()
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), ColumnError> {
        self.serialize_none()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), ColumnError> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ColumnError> {
        self.newtype = name;
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), ColumnError> {
        Err(ColumnError::Unknown("a variant"))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Elements<'a>, ColumnError> {
        if let Values::None = self.values {
            self.values = Values::Lists(Vec::new(), Box::default());
        }
        self.push_state(THERE);
        match &mut self.values {
            Values::Lists(lengths, elements) => Ok(Elements {
                before: elements.len(),
                lengths,
                elements,
            }),
            _ => Err(ColumnError::Mixed),
        }
    }

    fn serialize_tuple(self, n: usize) -> Result<Parts<'a>, ColumnError> {
        if let Values::None = self.values {
            self.values = Values::Tuples((0..n).map(|_| Column::default()).collect());
        }
        self.push_state(THERE);
        match &mut self.values {
            Values::Tuples(columns) if columns.len() == n => Ok(Parts(columns.iter_mut())),
            _ => Err(ColumnError::Mixed),
        }
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, ColumnError> {
        Err(ColumnError::Unknown("a tuple with a name"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, ColumnError> {
        Err(ColumnError::Unknown("a variant"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<FieldsOf<'a>, ColumnError> {
        if let Values::None = self.values {
            self.values = Values::Objects(Vec::new());
        }
        let row = self.n_there();
        self.push_state(THERE);
        match &mut self.values {
            Values::Objects(fields) => Ok(FieldsOf {
                fields,
                row,
                next: 0,
                name: String::new(),
            }),
            _ => Err(ColumnError::Mixed),
        }
    }

    fn serialize_struct(
        self,
        _: &'static str,
        n: usize,
    ) -> Result<Self::SerializeStruct, ColumnError> {
        self.serialize_map(Some(n))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, ColumnError> {
        Err(ColumnError::Unknown("a variant"))
    }
}

/// Takes the elements of a list.
pub(crate) struct Elements<'a> {
    lengths: &'a mut Vec<usize>,
    elements: &'a mut Column,
    before: usize,
}

impl ser::SerializeSeq for Elements<'_> {
    type Ok = ();
    type Error = ColumnError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ColumnError> {
        value.serialize(&mut *self.elements)
    }

    fn end(self) -> Result<(), ColumnError> {
        self.lengths.push(self.elements.len() - self.before);
        Ok(())
    }
}

/// Takes the elements of a tuple.
pub(crate) struct Parts<'a>(std::slice::IterMut<'a, Column>);

impl ser::SerializeTuple for Parts<'_> {
    type Ok = ();
    type Error = ColumnError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ColumnError> {
        value.serialize(self.0.next().ok_or(ColumnError::Mixed)?)
    }

    fn end(self) -> Result<(), ColumnError> {
        Ok(())
    }
}

/// Takes the fields of an object.
pub(crate) struct FieldsOf<'a> {
    fields: &'a mut Vec<(String, Column)>,
    /// How many objects were before it.
    row: usize,
    /// Where the next field probably is.
    next: usize,
    name: String,
}

impl FieldsOf<'_> {
    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), ColumnError> {
        let is_next = self.fields.get(self.next).is_some_and(|(of, _)| of == name);
        let known = match is_next {
            true => Some(self.next),
            false => self.fields.iter().position(|(of, _)| of == name),
        };
        // a new field stands behind the one before it, so that fields stay in their order
        let at = known.unwrap_or_else(|| {
            let column = Column::after(self.row);
            self.fields.insert(self.next, (name.to_owned(), column));
            self.next
        });
        self.next = at + 1;
        value.serialize(&mut self.fields[at].1)
    }

    fn end(self) {
        let rows = self.row + 1;
        for (_, column) in self.fields.iter_mut() {
            while column.len() < rows {
                column.push_state(ABSENT);
            }
        }
    }
}

impl ser::SerializeStruct for FieldsOf<'_> {
    type Ok = ();
    type Error = ColumnError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), ColumnError> {
        self.field(name, value)
    }

    fn end(self) -> Result<(), ColumnError> {
        FieldsOf::end(self);
        Ok(())
    }
}

impl ser::SerializeMap for FieldsOf<'_> {
    type Ok = ();
    type Error = ColumnError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), ColumnError> {
        let mut keys = Column::default();
        keys.push(&key)?;
        match keys.values {
            Values::Texts(mut texts) => self.name = texts.distinct.pop().unwrap_or_default(),
            _ => return Err(ColumnError::Unknown("a key that is not a text")),
        }
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), ColumnError> {
        let name = std::mem::take(&mut self.name);
        self.field(&name, value)
    }

    fn end(self) -> Result<(), ColumnError> {
        FieldsOf::end(self);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    struct Record<'a> {
        n: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        note: Option<&'a str>,
        mean: Option<f64>,
        values: Vec<f32>,
        ends: (bool, i8),
    }

    /// The bytes of records by column.
    fn bytes<T: Serialize>(records: &[T]) -> Vec<u8> {
        let mut column = Column::default();
        for record in records {
            column.push(record).unwrap();
        }
        let mut out = Vec::new();
        column.write(&mut out, &mut Written::default());
        out
    }

    #[test]
    fn records_are_written_as_the_format_says() {
        let records = [
            Record {
                n: 300,
                note: None,
                mean: Some(1.0),
                values: vec![0.5],
                ends: (true, -1),
            },
            Record {
                n: 1,
                note: Some("é"),
                mean: None,
                values: vec![],
                ends: (false, 1),
            },
        ];
        #[rustfmt::skip]
        let expected = [
            8, 5,                                               // objects of five fields, in the order of the record
            1, b'n', 2, 0xd8, 0x04, 0x02,                       // 600 and 2: twice the numbers
            4, b'n', b'o', b't', b'e', 0x87, 0, 2, 1, 2, 0xc3, 0xa9, 0, // absent in the first
            4, b'm', b'e', b'a', b'n', 0x83, 2, 1, 0, 0, 0x80, 0x3f, // null in the second
            6, b'v', b'a', b'l', b'u', b'e', b's', 9, 1, 0, 5, 0, 0, 0, 0x3f,
            4, b'e', b'n', b'd', b's', 10, 2, 1, 1, 0, 2, 1, 2,
        ];
        assert_eq!(bytes(&records), expected);
    }

    #[test]
    fn columns_that_are_the_same_are_written_once() {
        #[derive(Serialize)]
        struct Twice {
            a: f64,
            b: f64,
            c: bool,
        }
        let record = |a| Twice { a, b: a, c: true };
        let all = bytes(&[1.5, 2.5].map(record));
        // kind 3 with two numbers takes nine bytes, and is named by its number
        let expected = [&[1, b'b', 13, 0][..], &[1, b'c', 1, 1, 1]].concat();
        assert!(all.ends_with(&expected), "{all:?}");
    }

    #[test]
    fn numbers_keep_what_their_kind_says() {
        let kind = |n: f64| bytes(&[n])[0];
        assert_eq!([0.0, 1e-29, -123_456.0].map(kind), [3; 3]);
        assert_eq!([1e-40, 1e40].map(kind), [4; 2]);
        assert_eq!(kind(f64::NAN), HAS_STATES);
        for n in [1.0f32, -0.123_456, 3.0e-7, 65_535.9] {
            let error = (shortened(n) - n).abs() / n.abs();
            assert!(error <= 1.0 / 65_536.0, "{n}: {error}");
            assert_eq!(shortened(n).to_bits() & 0xff, 0);
        }
        assert_eq!([0, 1, 2, 3, u64::MAX].map(coarse), [0, 1, 9, 14, 255]);
        for n in 1..100_000u64 {
            let kept = (f64::from(coarse(n) - 1) / STEPS_OF_OCTAVE).exp2().round();
            let error = (kept - n as f64).abs();
            assert!(error <= (0.05 * n as f64).max(1.0), "{n}: {kept}");
        }
    }

    #[test]
    fn rows_of_one_column_are_of_one_kind() {
        let mut column = Column::default();
        column.push(&1u8).unwrap();
        assert!(column.push(&"one").is_err());
        assert!(Column::default().push(&u64::MAX).is_err());
    }
}
