//! What a site is built from.

use std::path::{Path, PathBuf};

use super::options::SiteOptions;

/// What a site is built from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The project's folder.
    pub project: &'a Path,
    /// Data folders, each with an `atlas` and a `corpus`.
    pub data: &'a [PathBuf],
    /// The project's theme folder.
    pub theme: Option<&'a Path>,
    /// The project's content folder.
    pub content: Option<&'a Path>,
    /// Options.
    pub options: &'a SiteOptions,
}
