//! Numbers of bytes as people write them.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "Written")]
pub struct Size(pub u64);

/// A size in a project file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Bytes(u64),
    Text(String),
}

/// Units of sizes, the largest first.
const UNITS: [(&str, u64); 4] = [
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not a size: write it as `1GB`, `500MB` or `0`");
        let text = text.trim();
        let upper = text.to_ascii_uppercase();
        let unit = UNITS
            .into_iter()
            .find(|(name, _)| upper.ends_with(&name.to_ascii_uppercase()));
        let (number, unit) = match unit {
            Some((name, unit)) => (&text[..text.len() - name.len()], unit),
            None => (text, 1),
        };
        let number: f64 = number.trim().parse().map_err(|_| wrong())?;
        let bytes = number * unit as f64;
        // not of NaN
        match (0.0..=1e18).contains(&bytes) {
            true => Ok(Self(bytes.round() as u64)),
            false => Err(wrong()),
        }
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let fits = |(_, unit): &(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*unit);
        match UNITS.into_iter().find(fits) {
            Some((name, unit)) => write!(f, "{}{name}", self.0 / unit),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<Size> for String {
    fn from(size: Size) -> Self {
        size.to_string()
    }
}

impl TryFrom<Written> for Size {
    type Error = String;

    fn try_from(size: Written) -> Result<Self, String> {
        match size {
            Written::Bytes(bytes) => Ok(Self(bytes)),
            Written::Text(text) => text.parse(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_they_are_written() {
        let cases = [
            ("1GB", Some(1_000_000_000)),
            ("1.5 gb", Some(1_500_000_000)),
            ("500MB", Some(500_000_000)),
            ("12kB", Some(12_000)),
            ("7B", Some(7)),
            (" 1234 ", Some(1234)),
            ("0", Some(0)),
            ("", None),
            ("GB", None),
            ("-1GB", None),
            ("nan", None),
            ("inf", None),
            ("1TB", None),
            ("a lot", None),
        ];
        for (text, bytes) in cases {
            assert_eq!(
                text.parse::<Size>().ok().map(|size| size.0),
                bytes,
                "{text}"
            );
        }
        let numbers = [
            ("0", 0),
            ("\"0\"", 0),
            ("1000", 1000),
            ("\"2MB\"", 2_000_000),
        ];
        for (json, bytes) in numbers {
            assert_eq!(serde_json::from_str::<Size>(json).unwrap(), Size(bytes));
        }
        for text in ["1GB", "500MB", "12kB", "1234B", "0"] {
            let size: Size = text.parse().unwrap();
            assert_eq!(size.to_string(), text);
        }
    }
}
