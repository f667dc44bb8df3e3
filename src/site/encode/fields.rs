//! What records are made of beside numbers and texts.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use crate::site::pack::{COARSE, COSINE, SHORT};

/// Values by name, in this order.
pub(crate) struct Fields<T>(pub(in crate::site) Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Fields<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Fields", self.0.len())?;
        for (name, value) in &self.0 {
            fields.serialize_field(name, value)?;
        }
        fields.end()
    }
}

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

/// How much of a neuron a record has, beside its examples.
#[derive(Clone, Copy)]
pub(crate) struct Detail {
    /// Most tokens and neighbours of a list.
    pub(crate) n_tokens: usize,
    pub(crate) n_neighbours: usize,
    /// Whether the counts of histograms are exact.
    pub(crate) exact_counts: bool,
}

impl Detail {
    /// All.
    pub(crate) const WHOLE: Self = Self {
        n_tokens: usize::MAX,
        n_neighbours: usize::MAX,
        exact_counts: true,
    };
}
