//! Takes values into columns.

use std::fmt::Display;

use serde::ser::{self, Impossible, Serialize, Serializer};
use serde_json::Value;

use super::{ABSENT, COSINE_STEPS, Column, NULL, THERE, Values, coarse};
use crate::site::pack::values::{COARSE, COSINE, SHORT};

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
        let row = self.n_there;
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
        match key.serialize(serde_json::value::Serializer) {
            Ok(Value::String(name)) => self.name = name,
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
