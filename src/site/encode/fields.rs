//! Values by name, in an order; and how much of them a record has.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

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
