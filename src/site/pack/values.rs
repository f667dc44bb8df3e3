//! Values that packed files store differently from JSON: with fewer digits, or as bytes. In JSON they are what they stand for.

use serde::{Serialize, Serializer};

/// The name of a newtype around a number of which the upper three bytes of an `f32` are kept.
pub(crate) const SHORT: &str = "neuroscope::Short";
/// The name of a newtype around a number from −1 to 1 of which four decimals are kept.
pub(crate) const COSINE: &str = "neuroscope::Cosine";
/// The name of a newtype around a count that is kept to within 5 per cent, or one.
pub(crate) const COARSE: &str = "neuroscope::Coarse";

/// A number of which packed files keep the upper three bytes of an `f32` (off by 2 · 10⁻⁵ of it at most), JSON six digits.
#[derive(Clone, Copy)]
pub(crate) struct Short(pub(in crate::site) f64);

impl Serialize for Short {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(SHORT, &self.0)
    }
}

/// A cosine of which packed files keep four decimals, JSON what it has.
#[derive(Clone, Copy)]
pub(crate) struct Cosine(pub(in crate::site) f64);

impl Serialize for Cosine {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(COSINE, &self.0)
    }
}

/// Counts, which packed files may keep to within 5 per cent, or one.
pub(crate) struct Counts<'a, T> {
    pub(crate) counts: &'a [T],
    pub(crate) are_exact: bool,
}

struct Coarse(u64);

impl Serialize for Coarse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_newtype_struct(COARSE, &self.0)
    }
}

impl<T: Serialize + Copy + Into<u64>> Serialize for Counts<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.are_exact {
            true => serializer.collect_seq(self.counts),
            false => serializer.collect_seq(self.counts.iter().map(|n| Coarse((*n).into()))),
        }
    }
}

/// Bytes that are no list of numbers.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl Serialize for Bytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}
