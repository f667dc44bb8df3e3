//! The site being written: from data to bytes to files.

use std::sync::atomic::{AtomicU64, Ordering};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::content::Content;
use super::error::SiteError;
use super::options::SiteOptions;
use super::output::Output;
use super::pages::views::{Common, ModelView, SiteView};
use super::theme::Theme;

/// A site being written.
pub(super) struct Site<'a> {
    pub(super) options: &'a SiteOptions,
    pub(super) content: &'a Content,
    pub(super) theme: &'a Theme,
    pub(super) output: &'a Output,
    /// What templates are given of the site.
    pub(super) view: &'a SiteView,
    /// Neurons whose pages are done.
    pub(super) done: AtomicU64,
    pub(super) progress: &'a (dyn Fn(u64) -> bool + Sync),
}

impl Site<'_> {
    /// What every page has; `name` is the page's file, with `/` between folders.
    pub(super) fn common(&self, name: &str, title: String, description: String) -> Common {
        let canonical = self
            .options
            .base_url()
            .map(|base| base + &encoded(name.strip_suffix("index.html").unwrap_or(name)));
        Common {
            root: "../".repeat(name.matches('/').count()),
            title,
            description,
            canonical,
        }
    }

    /// Makes a file hold some bytes.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SiteError> {
        self.output.write(name, bytes)
    }

    /// Renders a page, of a model or of none, and makes its file hold it.
    pub(super) fn page(
        &self,
        name: &str,
        template: &str,
        model: Option<&ModelView>,
        view: &impl Serialize,
    ) -> Result<(), SiteError> {
        self.write(name, &self.render(template, model, view)?)
    }

    /// Renders a page, of a model or of none.
    pub(super) fn render(
        &self,
        template: &str,
        model: Option<&ModelView>,
        view: &impl Serialize,
    ) -> Result<Vec<u8>, SiteError> {
        let model = model.map(|model| model.name.as_str());
        self.theme.render(template, model, view)
    }

    /// Says that the page of one more neuron is done.
    pub(super) fn count_neuron(&self) -> Result<(), SiteError> {
        match (self.progress)(self.done.fetch_add(1, Ordering::Relaxed) + 1) {
            true => Ok(()),
            false => Err(SiteError::Interrupted),
        }
    }
}

/// What addresses do not have as it is; a slash stands between folders.
const NOT_IN_PATHS: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// A file's name as a part of an address.
pub(super) fn encoded(name: &str) -> String {
    utf8_percent_encode(name, NOT_IN_PATHS).to_string()
}
