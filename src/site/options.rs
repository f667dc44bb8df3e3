//! How a site is built.

use serde::{Deserialize, Serialize};

/// How a site is built.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct SiteOptions {
    /// Title of the site.
    #[cfg_attr(feature = "cli", arg(long))]
    pub title: String,
    /// Further links of the menu, `[[site.menu]]` with `label` and `href`.
    #[cfg_attr(feature = "cli", arg(skip))]
    pub menu: Vec<MenuLink>,
    /// Where the site will be, such as `https://example.org/atlas/`: for the sitemap and the not-found page.
    #[cfg_attr(feature = "cli", arg(long, value_name = "URL"))]
    pub base_url: Option<String>,
    /// Language of the site's texts.
    #[cfg_attr(feature = "cli", arg(long, value_name = "CODE"))]
    pub language: String,
    /// Whether HTML in Markdown is passed on as it is; otherwise it is sanitised.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub raw_html: bool,
    /// Whether each neuron's record is also written as a file of its own, `<neuron>.json`.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub neuron_json: bool,
    /// Whether each neuron has a card, `<neuron>/card.html`: a small page without scripts, for frames of other pages.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub cards: bool,
    /// Whether each neuron is also written as DeepDecipher's clients read it, `/api/<model>/all/<layer>/<neuron>`.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub deepdecipher: bool,
}

/// A link of the menu.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MenuLink {
    /// What it says.
    pub label: String,
    /// Where it leads: an address on the site, such as `demo/explore.html`, or a full one.
    pub href: String,
}

impl Default for SiteOptions {
    fn default() -> Self {
        Self {
            title: "neuroscope".into(),
            menu: Vec::new(),
            base_url: None,
            language: "en".into(),
            raw_html: false,
            neuron_json: false,
            cards: true,
            deepdecipher: false,
        }
    }
}

impl SiteOptions {
    /// `base_url` with a slash at the end.
    pub(super) fn base_url(&self) -> Option<String> {
        self.base_url
            .as_ref()
            .map(|url| format!("{}/", url.trim_end_matches('/')))
    }

    /// The path of `base_url`, `/` without one.
    pub(super) fn base_path(&self) -> String {
        let url = self.base_url().unwrap_or_default();
        let after_scheme = url.split_once("://").map_or(url.as_str(), |(_, rest)| rest);
        after_scheme
            .find('/')
            .map_or("/", |at| &after_scheme[at..])
            .to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_path_is_the_path_of_the_base_url() {
        let path = |url: Option<&str>| {
            SiteOptions {
                base_url: url.map(str::to_owned),
                ..Default::default()
            }
            .base_path()
        };
        assert_eq!(path(None), "/");
        assert_eq!(path(Some("https://example.org")), "/");
        assert_eq!(path(Some("https://example.org/atlas")), "/atlas/");
        assert_eq!(path(Some("https://example.org/a/b/")), "/a/b/");
    }
}
