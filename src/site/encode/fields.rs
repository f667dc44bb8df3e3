//! Values by name, in an order.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Values by name, in this order.
pub(crate) struct Fields<T>(pub(in crate::site) Vec<(&'static str, T)>);

impl<T: Serialize> Serialize for Fields<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
