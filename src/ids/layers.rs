//! Layers as people write them: `0-5,28`.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::MOST_LAYERS;

/// Some layers of a model, at least one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Written")]
pub struct Layers(BTreeSet<u32>);

/// Layers in a project file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(u32),
    Some(Vec<u32>),
    Text(String),
}

impl Layers {
    /// These layers, unless there are none.
    pub fn new(layers: impl IntoIterator<Item = u32>) -> Option<Self> {
        let layers = BTreeSet::from_iter(layers);
        (!layers.is_empty()).then_some(Self(layers))
    }

    /// The layers, in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        self.0.iter().copied()
    }

    /// Their number.
    pub fn n(&self) -> usize {
        self.0.len()
    }

    /// Where a layer stands among them.
    pub fn index(&self, layer: u32) -> Option<usize> {
        let is_one = self.0.contains(&layer);
        is_one.then(|| self.0.range(..layer).count())
    }

    /// The last of them.
    pub fn last(&self) -> u32 {
        self.0.last().copied().unwrap_or_default()
    }
}

impl FromStr for Layers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a list of layers, such as `0-5,28`");
        let number = |text: &str| -> Result<u32, String> {
            let layer = text.trim().parse().ok();
            layer.filter(|layer| *layer < MOST_LAYERS).ok_or_else(wrong)
        };
        let mut layers = BTreeSet::new();
        for piece in text.split(',') {
            let (first, last) = match piece.split_once('-') {
                Some((first, last)) => (number(first)?, number(last)?),
                None => (number(piece)?, number(piece)?),
            };
            if first > last {
                return Err(format!(
                    "`{piece}` is not a range of layers: the first must not be after the last"
                ));
            }
            layers.extend(first..=last);
        }
        Ok(Self(layers))
    }
}

impl TryFrom<Written> for Layers {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let layers = match written {
            Written::One(layer) => Self::new([layer]),
            Written::Some(layers) => Self::new(layers),
            Written::Text(text) => return text.parse(),
        };
        layers.ok_or_else(|| "`layers` is empty: leave it out for all layers".into())
    }
}

impl From<Layers> for String {
    fn from(layers: Layers) -> Self {
        layers.to_string()
    }
}

impl Display for Layers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut layers = self.iter().peekable();
        let mut comma = "";
        while let Some(first) = layers.next() {
            let mut last = first;
            while let Some(next) = layers.next_if_eq(&(last + 1)) {
                last = next;
            }
            match last == first {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_are_read_as_they_are_written() {
        for (text, expected) in [
            ("3", Some("3")),
            ("0-5,28", Some("0-5,28")),
            ("28, 0-2, 1-5", Some("0-5,28")),
            ("5,4,3", Some("3-5")),
            ("", None),
            ("5-3", None),
            ("-1", None),
            ("1-", None),
            ("1,,2", None),
            ("a", None),
            ("0-4294967295", None),
        ] {
            let found = text.parse::<Layers>().ok().map(|layers| layers.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
        for (json, expected) in [("7", "7"), ("[2, 0, 1]", "0-2"), ("\"1-2\"", "1-2")] {
            let layers: Layers = serde_json::from_str(json).unwrap();
            assert_eq!(layers.to_string(), expected);
        }
        assert!(serde_json::from_str::<Layers>("[]").is_err());
    }
}
