//! Which packed neurons have pages of their own.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which packed neurons have a page of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PagesFor {
    /// Those with a note.
    pub notes: bool,
    /// So many of each model, the first of its ranking.
    pub top: u32,
}

impl FromStr for PagesFor {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut which = Self {
            notes: false,
            top: 0,
        };
        for word in text.split(',').map(str::trim) {
            match (word, word.strip_prefix("top:").map(str::parse)) {
                ("notes", _) => which.notes = true,
                ("none" | "", _) => {}
                (_, Some(Ok(top))) => which.top = top,
                _ => {
                    return Err(format!(
                        "`{word}` names no neurons: write `notes`, `top:100`, both with a comma, or `none`"
                    ));
                }
            }
        }
        Ok(which)
    }
}

impl Display for PagesFor {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self.top, self.notes) {
            (0, false) => write!(f, "none"),
            (0, true) => write!(f, "notes"),
            (top, false) => write!(f, "top:{top}"),
            (top, true) => write!(f, "top:{top},notes"),
        }
    }
}

impl From<PagesFor> for String {
    fn from(which: PagesFor) -> Self {
        which.to_string()
    }
}

impl TryFrom<String> for PagesFor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for text in ["none", "notes", "top:3", "top:100,notes"] {
            let which: PagesFor = text.parse().unwrap();
            assert_eq!(which.to_string(), text);
        }
        let both = PagesFor {
            notes: true,
            top: 5,
        };
        assert_eq!("notes, top:5".parse(), Ok(both));
        for text in ["all", "top", "top:", "top:-1", "notes;top:3"] {
            assert!(text.parse::<PagesFor>().is_err(), "{text}");
        }
    }
}
