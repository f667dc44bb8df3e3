//! Identifiers as newtypes, so that a document is never taken for a position.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::hint::Hint;

mod layers;

pub use layers::Layers;

/// Most layers of a model. A larger number in a file is damage: no model is near these limits.
pub const MOST_LAYERS: u32 = 1 << 12;
/// Most neurons of a layer, and largest width of a residual stream.
pub const MOST_WIDTH: u32 = 1 << 20;
/// Most tokens of a vocabulary.
pub const MOST_VOCAB: u32 = 1 << 22;

/// A neuron of a model, written `layer.neuron`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NeuronId {
    /// Layer, from 0.
    pub layer: u32,
    /// Index within the layer's `d_mlp` neurons, from 0.
    pub neuron: u32,
}

impl fmt::Display for NeuronId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.layer, self.neuron)
    }
}

/// A document's index in its corpus, from 0, in the corpus's stable order.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DocId(pub u32);

/// A token's id in its tokenizer's vocabulary.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct TokenId(pub u32);

/// The role of the message that a token is of: its number among the roles of a corpus, from 1.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RoleId(pub u8);

impl RoleId {
    /// What is of no message.
    pub const NONE: Self = Self(0);
}

/// A token's position in its document, from 0.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Pos(pub u32);

/// A model's name, which is also a folder of the site and of `data/`: letters, digits, `-`, `_` and `.` in ASCII, so
/// that no file system and no address reads it otherwise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ModelName(String);

/// A name that a model cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` cannot be a model's name: {reason}", name.escape_debug())]
pub struct ModelNameError {
    /// The name.
    pub name: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Hint for ModelNameError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        Some("choose another with `--name`, of letters, digits, `-`, `_` and `.`".into())
    }
}

impl ModelName {
    /// Bytes of the longest name: a file's name may have 255, and some are a model's name with more around it.
    pub const LONGEST: usize = 200;

    /// Folders at the site's root that are not models.
    const FOLDERS: [&str; 2] = ["api", "assets"];
    /// How names of files end that are at the site's root.
    const FILES: [&str; 3] = [".html", ".txt", ".xml"];

    /// Takes a name that a model can have.
    pub fn new(name: &str) -> Result<Self, ModelNameError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let lower = name.to_ascii_lowercase();
        let reason = if name.is_empty() {
            "it is empty"
        } else if name.len() > Self::LONGEST {
            "it is longer than 200 characters"
        } else if !name.chars().all(plain) {
            "only letters, digits, `-`, `_` and `.` can stand in it"
        } else if name.starts_with(['.', '-']) {
            "it begins with a dot or a dash"
        } else if name.ends_with('.') {
            "it ends with a dot, which Windows leaves out"
        } else if is_device(&lower) {
            "Windows has a device of that name"
        } else if Self::FOLDERS.contains(&lower.as_str()) {
            "a folder of the site has that name"
        } else if Self::FILES.iter().any(|end| lower.ends_with(end)) {
            "it looks like one of the site's files"
        } else {
            return Ok(Self(name.to_owned()));
        };
        Err(ModelNameError {
            name: name.to_owned(),
            reason,
        })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether two names are one folder where the case of letters does not count, as on macOS and Windows.
    pub fn is_same_folder(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a name in small letters is a device of Windows, whatever it ends with.
fn is_device(lower: &str) -> bool {
    let stem = lower.split('.').next().unwrap_or_default();
    let numbered = stem
        .strip_prefix("com")
        .or_else(|| stem.strip_prefix("lpt"));
    matches!(stem, "con" | "prn" | "aux" | "nul")
        || numbered.is_some_and(|n| n.len() == 1 && n.bytes().all(|c| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_one_folder_everywhere_are_taken() {
        for name in [
            "gpt2",
            "SmolLM2-135M",
            "solu-1l_512.v2",
            "con1",
            "nullable",
            "a".repeat(200).as_str(),
        ] {
            assert_eq!(
                ModelName::new(name).map(|name| name.to_string()),
                Ok(name.to_owned())
            );
        }
        let [a, b, c] = ["GPT2", "gpt2", "gpt3"].map(|name| ModelName::new(name).unwrap());
        assert!(a.is_same_folder(&b) && !a.is_same_folder(&c));
    }

    #[test]
    fn other_names_are_refused_with_the_reason() {
        for (name, reason) in [
            ("", "empty"),
            ("a/b", "only letters"),
            ("../outside", "only letters"),
            ("..", "begins with a dot"),
            (".git", "begins with a dot"),
            ("-rf", "begins with a dot or a dash"),
            ("a b", "only letters"),
            ("a\nb", "only letters"),
            ("a\\b", "only letters"),
            ("C:", "only letters"),
            ("caf\u{e9}", "only letters"),
            ("gpt2.", "ends with a dot"),
            ("gpt2 ", "only letters"),
            ("NUL", "Windows"),
            ("con.bin", "Windows"),
            ("Com7", "Windows"),
            ("API", "folder of the site"),
            ("assets", "folder of the site"),
            ("index.html", "files"),
            ("Sitemap.XML", "files"),
            ("a".repeat(201).as_str(), "longer"),
        ] {
            let error = ModelName::new(name).unwrap_err().to_string();
            assert!(
                error.contains(reason) && !error.contains('\n'),
                "{name}: {error}"
            );
        }
    }
}
