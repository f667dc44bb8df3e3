//! The site being written: from data to bytes to files.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::Serialize;

use super::address;
use super::content::Content;
use super::error::SiteError;
use super::options::SiteOptions;
use super::output::Output;
use super::theme::Theme;
use crate::site::view::{Common, ModelView, SiteView};

/// A site being written.
pub(super) struct Site<'a> {
    pub(super) options: &'a SiteOptions,
    pub(super) content: &'a Content,
    pub(super) theme: &'a Theme,
    pub(super) output: &'a Output,
    /// What templates are given of the site.
    pub(super) view: &'a SiteView,
    /// The addresses of pages that are listed for search engines.
    pub(super) listed: Mutex<Vec<String>>,
    /// Neurons whose pages are done.
    pub(super) done: AtomicU64,
    pub(super) progress: &'a (dyn Fn(u64) -> bool + Sync),
}

impl Site<'_> {
    /// What every page has; `name` is the page's address. The page is listed for search engines.
    pub(super) fn common(&self, name: &str, title: String, description: String) -> Common {
        let listed = self.listed.lock();
        listed
            .unwrap_or_else(PoisonError::into_inner)
            .push(name.to_owned());
        self.unlisted(name, title, description)
    }

    /// What a page has that nobody is to find by searching: it leads elsewhere, or is no page of its own.
    pub(super) fn unlisted(&self, name: &str, title: String, description: String) -> Common {
        Common {
            root: address::root_from(name),
            title,
            description,
            canonical: self.canonical(name),
        }
    }

    /// Full address of a page, if the site's is known.
    pub(super) fn canonical(&self, name: &str) -> Option<String> {
        let base = self.options.base_url();
        base.map(|base| base + &address::announced(name))
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

    /// Says that some more neurons are done.
    pub(super) fn count_neurons(&self, n: usize) -> Result<(), SiteError> {
        let n = n as u64;
        match (self.progress)(self.done.fetch_add(n, Ordering::Relaxed) + n) {
            true => Ok(()),
            false => Err(SiteError::Interrupted),
        }
    }
}
