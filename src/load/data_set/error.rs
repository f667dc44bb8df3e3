//! What can be wrong with a data set.

use std::borrow::Cow;

use crate::hint::Hint;
use crate::load::LoadError;

/// Names that an error lists, and characters of each that it shows.
const MOST_LISTED: usize = 20;
const MOST_SHOWN: usize = 100;

/// A text of the Hub, as it may be shown.
pub(super) fn shown(text: &str) -> String {
    text.escape_debug().take(MOST_SHOWN).collect()
}

fn listed(names: &[String]) -> String {
    let some = names.iter().take(MOST_LISTED);
    let some: Vec<String> = some.map(|name| format!("`{}`", shown(name))).collect();
    match names.len().saturating_sub(MOST_LISTED) {
        0 => some.join(", "),
        more => format!("{} and {more} more", some.join(", ")),
    }
}

/// What can be wrong with a data set on the Hub.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataSetError {
    /// It is not the name of a data set.
    #[error("`{0}` does not name a data set")]
    Name(String),
    /// The Hub has no such data set.
    #[error("the Hub at {endpoint} has no data set `{id}`")]
    Missing {
        /// Address of the Hub.
        endpoint: String,
        /// The data set.
        id: String,
        /// Whether it has a model of this name.
        is_model: bool,
    },
    /// The data set has no such revision.
    #[error("the data set `{id}` has no revision `{revision}`")]
    NoRevision {
        /// The data set.
        id: String,
        /// The revision.
        revision: String,
    },
    /// The Hub does not let us have the data set.
    #[error("the Hub at {endpoint} denies access to the data set `{id}` (HTTP status {status})")]
    Denied {
        /// Address of the Hub.
        endpoint: String,
        /// The data set.
        id: String,
        /// 401 or 403.
        status: u16,
        /// Whether it has a model of this name.
        is_model: bool,
    },
    /// The data set's card cannot be read.
    #[error("the card (`README.md`) of the data set `{id}` cannot be read: {reason}")]
    Card {
        /// The data set.
        id: String,
        /// Why.
        reason: String,
    },
    /// The data set has no such config.
    #[error("the data set `{id}` has no config `{config}`; its configs are {}", listed(.known))]
    NoConfig {
        /// The data set.
        id: String,
        /// The config.
        config: String,
        /// The ones that the data set has.
        known: Vec<String>,
    },
    /// The data set has several configs, and does not say which one is meant.
    #[error("the data set `{id}` has several configs: {}", listed(.known))]
    ChooseConfig {
        /// The data set.
        id: String,
        /// The configs.
        known: Vec<String>,
    },
    /// The data set has no such split.
    #[error("the data set `{id}` has no split `{split}`; its splits are {}", listed(.known))]
    NoSplit {
        /// The data set.
        id: String,
        /// The split.
        split: String,
        /// The ones that the data set has.
        known: Vec<String>,
    },
    /// The data set has several splits, none of them `train`.
    #[error("the data set `{id}` has no split `train`; its splits are {}", listed(.known))]
    ChooseSplit {
        /// The data set.
        id: String,
        /// The splits.
        known: Vec<String>,
    },
    /// A split has no files, though the card names some.
    #[error("the split `{split}` of the data set `{id}` is empty: no file matches `{pattern}`")]
    Empty {
        /// The data set.
        id: String,
        /// The split.
        split: String,
        /// The pattern or path of the card.
        pattern: String,
    },
    /// None of its files is read.
    #[error("the data set `{id}` has no files that can be read{found}")]
    NotRead {
        /// The data set.
        id: String,
        /// What it has in place of them.
        found: String,
    },
    /// A file is not the one that the Hub describes.
    #[error("`{file}` has {found} bytes; expected {expected}")]
    Length {
        /// The file.
        file: String,
        /// Its length on the Hub.
        expected: u64,
        /// Its length in the cache.
        found: u64,
    },
    /// A file cannot be fetched or read.
    #[error(transparent)]
    Load(#[from] LoadError),
}

const IS_MODEL: &str = "there is a model of this name: `--corpus` takes the name of a data set, `--model` that of a model";

impl Hint for DataSetError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Name(_) => {
                "write `hf:OWNER/NAME`, with `@REVISION` after it if you want another one than `main`"
            }
            Self::Missing { is_model: true, .. } | Self::Denied { is_model: true, .. } => IS_MODEL,
            Self::Missing { .. } => "check its spelling; a path begins without `hf:`",
            Self::NoRevision { .. } => "a revision is a branch, a tag or a commit of 40 digits",
            Self::Denied { endpoint, id, .. } => {
                return Some(Cow::from(format!(
                    "check the name: the Hub answers the same for a data set that does not exist. If it is gated, accept its terms at {endpoint}/datasets/{id}; if it is gated or private, give your token in `HF_TOKEN` or with `hf auth login`"
                )));
            }
            Self::Card { .. } => "choose another revision with `@REVISION`",
            Self::NoConfig { .. } | Self::ChooseConfig { .. } => "choose one with `--config NAME`",
            Self::NoSplit { .. } | Self::ChooseSplit { .. } => "choose one with `--split NAME`",
            Self::Empty { .. } => "choose another one with `--split NAME`",
            Self::NotRead { .. } => {
                "`--help` lists the kinds of files that are read; the Hub's conversion to Parquet was looked for as well"
            }
            Self::Length { .. } => "remove the file from the cache, and run the command again",
            Self::Load(_) => return None,
        };
        Some(Cow::from(hint))
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Load(error) => Some(error),
            _ => None,
        }
    }
}
