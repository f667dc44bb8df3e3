//! How a site is built.

mod pages_for;
mod size;

use std::borrow::Cow;

use ammonia::Url;
use serde::{Deserialize, Serialize};

use super::content::is_relative;
use super::error::SiteError;
use super::text::display::is_bidi;

pub use pages_for::PagesFor;
pub use size::Size;

/// Characters of the longest title.
const LONGEST_TITLE: usize = 200;
/// Schemes that links of the menu may have.
const SCHEMES: [&str; 3] = ["http", "https", "mailto"];

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
    /// How neurons are stored.
    #[cfg_attr(feature = "cli", arg(long, value_enum, value_name = "LAYOUT"))]
    pub layout: LayoutOption,
    /// Largest size of the site, such as `1GB`; `0` for no limit. It decides on the layout `auto`, and on how many examples and bits packed neurons have.
    #[cfg_attr(feature = "cli", arg(long, value_name = "BYTES"))]
    pub budget: Size,
    /// Packed neurons that have a page of their own as well: `notes` for those with a note, `top:N` for the first N of the model.
    #[cfg_attr(feature = "cli", arg(long, value_name = "WHICH"))]
    pub pages_for: PagesFor,
    /// Whether HTML in Markdown is passed on as it is; otherwise it is sanitised.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub raw_html: bool,
    /// Whether each neuron's record is also written as a file of its own, `<neuron>.json`.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub neuron_json: bool,
    /// Whether each neuron has a card, `<neuron>/card.html`: a small page without scripts, for frames of other pages. By default, neurons have cards only where each has a page.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub cards: Option<bool>,
    /// Whether each neuron is also written as DeepDecipher's clients read it, `/api/<model>/all/<layer>/<neuron>`.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub deepdecipher: bool,
}

/// How a site stores neurons.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum LayoutOption {
    /// A page for each, if that fits the budget.
    #[default]
    Auto,
    /// A page for each.
    Pages,
    /// Many to a file; one page for each layer shows any of them.
    Packed,
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
            layout: LayoutOption::default(),
            budget: Size(1_000_000_000),
            pages_for: PagesFor {
                notes: true,
                top: 100,
            },
            raw_html: false,
            neuron_json: false,
            cards: None,
            deepdecipher: false,
        }
    }
}

impl SiteOptions {
    /// Finds values with which no site can be built.
    pub fn check(&self) -> Result<(), SiteError> {
        let bad = |option, value: &str, reason: &str, instead: &str| {
            Err(SiteError::BadOption {
                option,
                value: value.to_owned(),
                reason: reason.to_owned(),
                instead: instead.to_owned().into(),
            })
        };
        let is_line = |text: &str| {
            let n = text.chars().count();
            !text.trim().is_empty()
                && n <= LONGEST_TITLE
                && !text.chars().any(|c| c.is_control() || is_bidi(c))
        };
        let line = "write one line of at most 200 characters, without control characters";
        if !is_line(&self.title) {
            return bad("title", &self.title, "is not a line of text", line);
        }
        if !is_language(&self.language) {
            let instead = "write a code of BCP 47, such as `en` or `pt-BR`";
            return bad(
                "language",
                &self.language,
                "is not the code of a language",
                instead,
            );
        }
        for MenuLink { label, href } in &self.menu {
            if !is_line(label) {
                return bad("menu label", label, "is not a line of text", line);
            }
            if !is_menu_address(href) {
                let instead = "write an address on the site, such as `demo/explore.html`, or one that begins with `https://`, `http://` or `mailto:`";
                return bad(
                    "menu href",
                    href,
                    "is not an address that a menu may have",
                    instead,
                );
            }
        }
        self.base_url.as_deref().map_or(Ok(()), check_base_url)
    }

    /// Whether the neurons of a model have cards.
    pub(super) fn has_cards(&self, is_packed: bool) -> bool {
        self.cards.unwrap_or(!is_packed)
    }

    /// `base_url` with its scheme, and a slash at the end.
    pub(super) fn base_url(&self) -> Option<String> {
        let url = self.base_url.as_deref().map(with_scheme);
        url.map(|url| format!("{}/", url.trim_end_matches('/')))
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

/// Whether a code has the form of BCP 47.
fn is_language(code: &str) -> bool {
    let (first, rest) = code.split_once('-').unwrap_or((code, "x"));
    let is_part = |part: &str| {
        (1..=8).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
    };
    (2..=8).contains(&first.len())
        && first.bytes().all(|c| c.is_ascii_alphabetic())
        && rest.split('-').all(is_part)
}

/// Whether an address may be in the menu: on the site, or of a scheme that runs nothing.
fn is_menu_address(href: &str) -> bool {
    let is_odd = |c: char| c.is_whitespace() || c.is_control() || is_bidi(c) || c == '\\';
    if href.is_empty() || href.contains(is_odd) {
        return false;
    }
    match is_relative(href) || href.starts_with(['/', '#', '?']) {
        true => !href.starts_with("//"),
        false => Url::parse(href).is_ok_and(|url| SCHEMES.contains(&url.scheme())),
    }
}

/// An address with `https://` in front, where it begins with a host instead of a scheme.
pub(super) fn with_scheme(given: &str) -> Cow<'_, str> {
    let rest = given.strip_prefix("//").unwrap_or(given);
    let full = format!("https://{rest}");
    let is_host = rest.starts_with(char::is_alphanumeric) && !rest.contains("://");
    let url = is_host.then(|| Url::parse(&full).ok()).flatten();
    let is_named = |host: &str| host.contains('.') || host == "localhost";
    match url.is_some_and(|url| url.host_str().is_some_and(is_named)) {
        true => full.into(),
        false => given.into(),
    }
}

/// Refuses an address that is not that of a folder of a website, written out; the hint has it as it should be.
fn check_base_url(given: &str) -> Result<(), SiteError> {
    let full = with_scheme(given);
    let is_web = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let parsed = Url::parse(&full).ok().filter(is_web);
    let reason = match &parsed {
        None if !full.contains("://") => "has no scheme",
        None => "is not an address of http or https",
        Some(url) if !url.username().is_empty() || url.password().is_some() => {
            "has the name of a user in it"
        }
        Some(url) if url.query().is_some() => "has a query",
        Some(url) if url.fragment().is_some() => "has a fragment",
        Some(url) if url.path().ends_with(".html") => "is the address of a page",
        Some(url) if url.as_str().trim_end_matches('/') != full.trim_end_matches('/') => {
            "is not written as browsers write it"
        }
        Some(_) => return Ok(()),
    };
    let meant = parsed.and_then(|mut url| {
        url.set_query(None);
        url.set_fragment(None);
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        let path = match url.path().rsplit_once('/') {
            Some((folder, page)) if page.ends_with(".html") => folder.to_owned(),
            _ => url.path().trim_end_matches('/').to_owned(),
        };
        url.set_path(&format!("{path}/"));
        Some(url)
    });
    let instead = match meant {
        Some(url) => format!("write `{url}`"),
        None => {
            "write the address of the site's folder, such as `https://example.org/atlas/`".into()
        }
    };
    Err(SiteError::BadOption {
        option: "base URL",
        value: given.to_owned(),
        reason: reason.to_owned(),
        instead: instead.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hint::Hint;

    #[test]
    fn a_base_url_is_written_out() {
        for fine in [
            "https://example.org",
            "https://example.org/",
            "https://example.org/a/b",
            "http://127.0.0.1/atlas/",
            "http://localhost:8000/",
            "https://user.github.io/Repo_1//",
            "https://xn--exmple-cua.org/%C3%A4/",
            "example.org/atlas",
            "example.org:8080/x",
            "//example.org/x/",
            "localhost:8000",
        ] {
            assert!(check_base_url(fine).is_ok(), "{fine}");
        }
        for (given, reason, instead) in [
            ("/atlas", "no scheme", "such as"),
            ("", "no scheme", "such as"),
            ("atlas", "no scheme", "such as"),
            ("javascript:alert(1)", "no scheme", "such as"),
            ("ftp://example.org/", "http or https", "such as"),
            ("file:///srv/site", "http or https", "such as"),
            ("https://", "http or https", "such as"),
            ("https://exa mple.org/", "http or https", "such as"),
            (
                "https://me:secret@example.org/",
                "user",
                "`https://example.org/`",
            ),
            (
                "https://example.org/?a=b",
                "query",
                "`https://example.org/`",
            ),
            (
                "https://example.org/a#b",
                "fragment",
                "`https://example.org/a/`",
            ),
            (
                "https://example.org/a/index.html",
                "page",
                "`https://example.org/a/`",
            ),
            ("HTTPS://Example.org/", "browsers", "`https://example.org/`"),
            (
                "https://example.org/a b",
                "browsers",
                "`https://example.org/a%20b/`",
            ),
            (
                " https://example.org/",
                "browsers",
                "`https://example.org/`",
            ),
            (
                "https://example.org/\n",
                "browsers",
                "`https://example.org/`",
            ),
            (
                "https:\\\\example.org",
                "browsers",
                "`https://example.org/`",
            ),
            (
                "https://ex\u{e4}mple.org/\u{e4}",
                "browsers",
                "`https://xn--exmple-cua.org/%C3%A4/`",
            ),
            (
                "https://example.org/\"><script>",
                "browsers",
                "%22%3E%3Cscript%3E/`",
            ),
        ] {
            let error = check_base_url(given).unwrap_err();
            let (said, hint) = (error.to_string(), error.hint().unwrap());
            assert!(
                said.contains(reason) && hint.contains(instead),
                "{given}: {said}; {hint}"
            );
        }
    }

    #[test]
    fn what_is_on_every_page_is_checked() {
        let check = |change: fn(&mut SiteOptions)| {
            let mut options = SiteOptions::default();
            change(&mut options);
            options.check().map_err(|error| error.to_string())
        };
        assert_eq!(check(|_| ()), Ok(()));
        assert_eq!(
            check(|options| options.language = "zh-Hant-TW".into()),
            Ok(())
        );
        for language in ["", "e", "english language", "en_US", "en-", "\"><b>"] {
            let options = SiteOptions {
                language: language.into(),
                ..Default::default()
            };
            assert!(options.check().is_err(), "{language}");
        }
        for title in ["", " ", "a\nb", "a\u{202e}b", &"a".repeat(201)] {
            let options = SiteOptions {
                title: title.into(),
                ..Default::default()
            };
            assert!(options.check().is_err(), "{title}");
        }
        for href in [
            "demo/explore.html",
            "../x",
            "/x",
            "#top",
            "https://example.org/",
            "mailto:a@b.c",
        ] {
            assert!(is_menu_address(href), "{href}");
        }
        for href in [
            "",
            "javascript:alert(1)",
            "JavaScript:x",
            " javascript:x",
            "java\tscript:x",
            "\u{1}javascript:x",
            "data:text/html,x",
            "vbscript:x",
            "//other.host/x",
            "/\\other.host",
            "https:",
            "a b",
        ] {
            assert!(!is_menu_address(href), "{href}");
        }
    }

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
        assert_eq!(path(Some("example.org/atlas")), "/atlas/");
    }
}
