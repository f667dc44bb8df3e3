//! How much of a corpus is taken, and in which order: functions of the documents and the options alone.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::Document;

/// The part of a corpus that is scanned. Documents are drawn first, then put into an order, then taken until there are enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct Subset {
    /// Stop before the document that would exceed N tokens, such as 20M
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<Count>,
    /// Take a share of the documents, such as 1% or 0.01, drawn by a hash of each
    #[cfg_attr(feature = "cli", arg(long, value_name = "SHARE"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample: Option<Share>,
    /// Seed of `--sample`
    #[cfg_attr(feature = "cli", arg(long, value_name = "SEED"))]
    #[serde(skip_serializing_if = "is_zero")]
    pub sample_seed: u64,
    /// Shuffle the documents with this seed, before `--max-tokens` applies
    #[cfg_attr(feature = "cli", arg(long, value_name = "SEED"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shuffle: Option<u64>,
}

fn is_zero(seed: &u64) -> bool {
    *seed == 0
}

impl Subset {
    /// Whether it is the whole corpus, in its own order.
    pub fn is_whole(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a document is drawn.
    pub(super) fn draws(&self, document: &Document) -> bool {
        let share = match self.sample {
            Some(Share(share)) if share < 1.0 => share,
            _ => return true,
        };
        // the product is below 2^64, so it is not cut off
        let most = (share * 2f64.powi(64)) as u64;
        key(SAMPLE, self.sample_seed, document) < most
    }

    /// The place of a document in a random order, if the order is to be random.
    pub(super) fn place(&self, document: &Document) -> Option<u64> {
        Some(key(SHUFFLE, self.shuffle?, document))
    }
}

/// What a hash is for: what is drawn does not depend on the order, even where both have one seed.
const SAMPLE: u64 = 0;
const SHUFFLE: u64 = 1;

/// A hash of a document: the same wherever it stands.
fn key(purpose: u64, seed: u64, document: &Document) -> u64 {
    let content = document.content.bytes();
    let [source, license, id] =
        [&document.source, &document.license, &document.id].map(|field| field.as_bytes());
    let mut hash = XxHash3_128::with_seed(seed);
    hash.write(&purpose.to_le_bytes());
    for field in [&*content, source, license, id] {
        hash.write(&(field.len() as u64).to_le_bytes());
        hash.write(field);
    }
    hash.finish_128() as u64
}

impl Display for Subset {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if let Some(share) = self.sample {
            words.push(format!("{share} sample with seed {}", self.sample_seed));
        }
        if let Some(seed) = self.shuffle {
            words.push(format!("shuffled with seed {seed}"));
        }
        if let Some(most) = self.max_tokens {
            words.push(format!("limited to {most} tokens"));
        }
        f.write_str(&words.join(", "))
    }
}

/// A number of things, as people write it: `20M`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "u64", try_from = "Written")]
pub struct Count(pub u64);

/// Units of counts, the largest first.
const UNITS: [(char, u64); 4] = [
    ('T', 1_000_000_000_000),
    ('B', 1_000_000_000),
    ('M', 1_000_000),
    ('K', 1_000),
];

/// A number in a project file.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Integer(u64),
    Number(f64),
    Text(String),
}

impl Written {
    fn text(self) -> String {
        match self {
            Self::Integer(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text,
        }
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!("`{text}` is not a number from 1 to 10^15, such as `20M`, `1.5B` or `500000`")
        };
        let plain = text.trim().replace('_', "");
        let last = plain.chars().next_back().unwrap_or_default();
        let unit = (UNITS.into_iter()).find(|(name, _)| name.eq_ignore_ascii_case(&last));
        let (number, unit) = match unit {
            Some((_, unit)) => (&plain[..plain.len() - 1], unit),
            None => (plain.as_str(), 1),
        };
        if let Ok(number) = number.parse::<u64>() {
            let number = number.checked_mul(unit).filter(|number| *number > 0);
            return number.map(Self).ok_or_else(wrong);
        }
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let number = number * unit as f64;
        // not of NaN
        match (1.0..=1e15).contains(&number) {
            true => Ok(Self(number.round() as u64)),
            false => Err(wrong()),
        }
    }
}

impl TryFrom<Written> for Count {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        written.text().parse()
    }
}

impl From<Count> for u64 {
    fn from(count: Count) -> Self {
        count.0
    }
}

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A share above 0 and up to 1, as people write it: `1%` or `0.01`.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(into = "f64", try_from = "Written")]
pub struct Share(pub f64);

impl FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("`{text}` is not a share above 0 and up to 1, such as `1%` or `0.01`");
        let (number, unit) = match text.trim().strip_suffix('%') {
            Some(number) => (number.trim_end(), 100.0),
            None => (text.trim(), 1.0),
        };
        let number: f64 = number.parse().map_err(|_| wrong())?;
        let share = number / unit;
        match share > 0.0 && share <= 1.0 {
            true => Ok(Self(share)),
            false => Err(wrong()),
        }
    }
}

impl TryFrom<Written> for Share {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        written.text().parse()
    }
}

impl From<Share> for f64 {
    fn from(share: Share) -> Self {
        share.0
    }
}

impl Display for Share {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // 12 digits hide that 0.07 × 100 is not 7
        let percent = (self.0 * 100.0 * 1e10).round() / 1e10;
        write!(f, "{percent} %")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::Content;

    fn document(n: usize) -> Document {
        Document {
            content: Content::Text(format!("text {n}")),
            source: String::new(),
            license: String::new(),
            id: n.to_string(),
        }
    }

    #[test]
    fn a_sample_has_its_share_and_grows_with_it() {
        let drawn = |share: f64, seed: u64| -> Vec<usize> {
            let subset = Subset {
                sample: Some(Share(share)),
                sample_seed: seed,
                ..Subset::default()
            };
            let drawn = (0..20_000).filter(|n| subset.draws(&document(*n)));
            drawn.collect()
        };
        for share in [0.01, 0.1, 0.5, 1.0] {
            let n = drawn(share, 7).len() as f64;
            let (mean, deviation) = (20_000.0 * share, (20_000.0 * share * (1.0 - share)).sqrt());
            assert!((n - mean).abs() <= 4.0 * deviation, "{n} of {share}");
        }
        let (small, large, other) = (drawn(0.1, 7), drawn(0.2, 7), drawn(0.1, 8));
        assert!(small.iter().all(|n| large.contains(n)));
        let n_both = small.iter().filter(|n| other.contains(n)).count();
        assert!((100..300).contains(&n_both), "{n_both}");
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, expected) in [
            ("20M", Some(20_000_000)),
            ("1.5b", Some(1_500_000_000)),
            ("500_000", Some(500_000)),
            ("12k", Some(12_000)),
            ("0", None),
            ("-1", None),
            ("M", None),
            ("", None),
            ("1e6", Some(1_000_000)),
            ("nan", None),
            ("99999999999999999999", None),
            ("20MB", None),
        ] {
            assert_eq!(text.parse::<Count>().ok(), expected.map(Count), "{text}");
        }
        for (text, expected) in [
            ("1%", Some(0.01)),
            ("0.5 %", Some(0.005)),
            ("100%", Some(1.0)),
            ("0.25", Some(0.25)),
            ("1", Some(1.0)),
            ("0", None),
            ("101%", None),
            ("-1%", None),
            ("nan", None),
            ("%", None),
        ] {
            assert_eq!(text.parse::<Share>().ok(), expected.map(Share), "{text}");
        }
        let subset: Subset =
            serde_json::from_str(r#"{"max_tokens": "20M", "sample": 0.07, "shuffle": 3}"#).unwrap();
        let words = "7 % sample with seed 0, shuffled with seed 3, limited to 20,000,000 tokens";
        assert_eq!(subset.to_string(), words);
        let again = serde_json::from_value(serde_json::to_value(&subset).unwrap());
        assert_eq!(again.ok(), Some(subset));
    }
}
