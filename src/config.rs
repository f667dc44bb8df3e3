//! `neuroscope.toml`, the project file: one table per stage, each that stage's own options.

use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::atlas::AnalysisOptions;
use crate::corpus::CorpusOptions;
use crate::files::read_at_most;
use crate::mark;
use crate::scan::{ChatOptions, ScanOptions};
use crate::site::SiteOptions;
use crate::site::publish::PublishOptions;

/// Name of the project file.
pub const FILE: &str = "neuroscope.toml";

/// Longest project file in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// A project: a folder with an optional `neuroscope.toml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Project {
    /// How a corpus is read.
    pub corpus: CorpusOptions,
    /// How its conversations become text.
    pub chat: ChatOptions,
    /// How it is scanned.
    pub scan: ScanOptions,
    /// How weights are analysed.
    pub weights: AnalysisOptions,
    /// How the site is built.
    pub site: SiteOptions,
    /// Where it is published.
    pub publish: PublishOptions,
}

/// What can be wrong with a project file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// It cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not TOML, or has keys that mean nothing.
    #[error("`{path}`: {reason}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        reason: String,
    },
}

impl Project {
    /// Reads the project file of a folder; without one, everything is as by default.
    pub fn read(folder: &Path) -> Result<Self, ConfigError> {
        let path = folder.join(FILE);
        let read = read_at_most(&path, MOST_BYTES).and_then(|bytes| {
            String::from_utf8(bytes)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
        });
        match read {
            Ok(text) => {
                toml::from_str(mark::text_without(&text)).map_err(|error| ConfigError::Syntax {
                    path,
                    reason: error.to_string().trim_end().to_owned(),
                })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(source) => Err(ConfigError::Io { path, source }),
        }
    }
}
