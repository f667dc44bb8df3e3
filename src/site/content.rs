//! Markdown of the project: pages, and notes on neurons.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, html};
use serde::{Deserialize, Serialize};

use crate::ids::NeuronId;

/// What can be wrong with the content.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// A file cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Front matter is not TOML between two lines of `+++`, or has unknown keys.
    #[error("`{path}`: front matter: {reason}")]
    FrontMatter {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A line is not an explanation of a neuron.
    #[error("`{path}` line {line}: {reason}")]
    Explanation {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A note is not named after a neuron.
    #[error("`{0}` is not a note on a neuron: expected `notes/<model>/<layer>/<neuron>.md`")]
    NoteName(PathBuf),
}

/// Folder of explanations.
const EXPLANATIONS: &str = "explanations";

/// Front matter: TOML between two lines of `+++`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct FrontMatter {
    pub(super) title: Option<String>,
    pub(super) description: Option<String>,
    pub(super) author: Option<String>,
    pub(super) date: Option<String>,
    /// Place in the menu; without one, a page is not in it.
    pub(super) menu: Option<i32>,
}

/// One Markdown file.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Page {
    /// Address without `.html`, such as `about`.
    pub(super) slug: String,
    /// Title of the front matter, else the first heading, else the address.
    pub(super) title: String,
    /// Title of the front matter, where the text has no heading of its own.
    pub(super) heading: Option<String>,
    pub(super) description: Option<String>,
    pub(super) author: Option<String>,
    pub(super) date: Option<String>,
    pub(super) menu: Option<i32>,
    /// The text in HTML.
    pub(super) html: String,
    /// Its words, without any markup.
    #[serde(skip)]
    pub(super) plain: String,
}

/// What somebody or something says that a neuron does: a line of `explanations/<model>.jsonl`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Explanation {
    #[serde(skip_serializing)]
    layer: u32,
    #[serde(skip_serializing)]
    neuron: u32,
    /// What it says.
    pub(super) text: String,
    /// Who or what says it: a person, or a model's name.
    pub(super) author: Option<String>,
    /// How it was found.
    pub(super) method: Option<String>,
    /// How well it predicts the activations.
    pub(super) score: Option<f64>,
    /// What the score is, such as `simulation, Pearson`.
    pub(super) score_kind: Option<String>,
    /// Where more is said.
    pub(super) url: Option<String>,
}

/// All that a project says in words of its own.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// `index.md`, the introduction of the front page.
    pub(super) index: Option<Page>,
    /// The other pages, by address.
    pub(super) pages: Vec<Page>,
    /// Notes, by model and neuron.
    pub(super) notes: BTreeMap<(String, NeuronId), Page>,
    /// `footer.md`, which stands at the foot of every page.
    pub(super) footer: Option<Page>,
    /// Other files, by address: pictures, and `logo.svg` or `logo.png`.
    pub(super) files: BTreeMap<String, PathBuf>,
    /// Explanations, by model and neuron.
    pub(super) explanations: BTreeMap<(String, NeuronId), Vec<Explanation>>,
}

impl Content {
    /// Reads a content folder; one that is not there is empty.
    pub(super) fn read(folder: &Path, raw_html: bool) -> Result<Self, ContentError> {
        let mut content = Self::default();
        if !folder.is_dir() {
            return Ok(content);
        }
        for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.map_err(|error| ContentError::Io {
                path: error.path().unwrap_or(folder).to_owned(),
                source: error.into(),
            })?;
            let path = entry.path();
            if !entry.file_type().is_file() {
                continue;
            }
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            let inner = path.strip_prefix(folder).unwrap_or(path).with_extension("");
            let parts = inner.iter().map(|part| part.to_string_lossy().into_owned());
            let parts: Vec<String> = parts.collect();
            match (path.extension().and_then(|of| of.to_str()), &parts[..]) {
                (Some("jsonl"), [folder, model]) if folder == EXPLANATIONS => {
                    content.read_explanations(path, model)?;
                    continue;
                }
                (Some("md"), _) => {}
                _ => {
                    let name = inner_name(path, folder);
                    content.files.insert(name, path.to_owned());
                    continue;
                }
            }
            let page = read_page(path, parts.join("/"), raw_html)?;
            match parts.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["index"] => content.index = Some(page),
                ["footer"] => content.footer = Some(page),
                ["notes", model, layer, neuron] => match (layer.parse(), neuron.parse()) {
                    (Ok(layer), Ok(neuron)) => {
                        content
                            .notes
                            .insert((model.to_owned(), NeuronId { layer, neuron }), page);
                    }
                    _ => return Err(ContentError::NoteName(path.to_owned())),
                },
                ["notes", ..] => return Err(ContentError::NoteName(path.to_owned())),
                _ => content.pages.push(page),
            }
        }
        Ok(content)
    }

    fn read_explanations(&mut self, path: &Path, model: &str) -> Result<(), ContentError> {
        for (at, line) in read(path)?.lines().enumerate() {
            if line.trim().is_empty() {
                continue;
            }
            let bad = |reason: String| ContentError::Explanation {
                path: path.to_owned(),
                line: at + 1,
                reason,
            };
            let mut one: Explanation =
                serde_json::from_str(line).map_err(|error| bad(error.to_string()))?;
            let is_link = |url: &str| url.starts_with("https://") || url.starts_with("http://");
            if one.url.as_deref().is_some_and(|url| !is_link(url)) {
                return Err(bad("`url` is not an address of http or https".into()));
            }
            one.score = one.score.filter(|score| score.is_finite());
            let id = NeuronId {
                layer: one.layer,
                neuron: one.neuron,
            };
            let of = (model.to_owned(), id);
            self.explanations.entry(of).or_default().push(one);
        }
        Ok(())
    }
}

/// A file's path within a folder, with `/` between its parts.
fn inner_name(path: &Path, folder: &Path) -> String {
    let inner = path.strip_prefix(folder).unwrap_or(path);
    let parts = inner.iter().map(|part| part.to_string_lossy());
    parts.collect::<Vec<_>>().join("/")
}

fn read(path: &Path) -> Result<String, ContentError> {
    fs::read_to_string(path).map_err(|source| ContentError::Io {
        path: path.to_owned(),
        source,
    })
}

fn read_page(path: &Path, slug: String, raw_html: bool) -> Result<Page, ContentError> {
    let text = read(path)?;
    let (front, markdown) =
        split_front_matter(&text).map_err(|reason| ContentError::FrontMatter {
            path: path.to_owned(),
            reason,
        })?;
    let FrontMatter {
        title,
        description,
        author,
        date,
        menu,
    } = front;
    let own_heading = first_heading(markdown);
    let heading = title.clone().filter(|_| own_heading.is_none());
    let title = title.or(own_heading).unwrap_or_else(|| slug.clone());
    Ok(Page {
        slug,
        title,
        heading,
        description,
        author,
        date,
        menu,
        html: to_html(markdown, raw_html),
        plain: to_plain(markdown),
    })
}

fn split_front_matter(text: &str) -> Result<(FrontMatter, &str), String> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let Some(rest) = text
        .strip_prefix("+++\n")
        .or_else(|| text.strip_prefix("+++\r\n"))
    else {
        return Ok((FrontMatter::default(), text));
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == "+++" {
            let front = toml::from_str(&rest[..at])
                .map_err(|error| error.to_string().trim_end().to_owned())?;
            return Ok((front, &rest[at + line.len()..]));
        }
        at += line.len();
    }
    Err("it does not end: a second line of `+++` is missing".into())
}

fn first_heading(markdown: &str) -> Option<String> {
    markdown
        .lines()
        .find_map(|line| line.strip_prefix("# "))
        .map(|title| title.trim().to_owned())
}

/// The text of Markdown.
fn to_plain(markdown: &str) -> String {
    let mut plain = String::new();
    for event in Parser::new_ext(markdown, options()) {
        match event {
            Event::Text(text) | Event::Code(text) => plain.push_str(&text),
            Event::SoftBreak | Event::HardBreak | Event::End(_) => plain.push(' '),
            _ => {}
        }
    }
    plain
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_HEADING_ATTRIBUTES
}

/// Markdown to HTML; unless `raw_html`, nothing that is not plain formatting survives.
fn to_html(markdown: &str, raw_html: bool) -> String {
    let mut out = String::new();
    html::push_html(&mut out, Parser::new_ext(markdown, options()));
    match raw_html {
        true => out,
        false => ammonia::Builder::default()
            .url_relative(ammonia::UrlRelative::PassThrough)
            .add_generic_attributes(["id"])
            .add_tag_attributes("code", ["class"])
            .link_rel(Some("noopener"))
            .clean(&out)
            .to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_and_pages_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("index.md", "# Hello\n\ntext");
        write(
            "about.md",
            "+++\ntitle = \"About us\"\nmenu = 1\n+++\n*words*",
        );
        write("notes/demo/2/17.md", "Fires on **May**.");
        let content = Content::read(dir.path(), false).unwrap();
        assert_eq!(content.index.unwrap().title, "Hello");
        assert_eq!(
            (content.pages[0].title.as_str(), content.pages[0].menu),
            ("About us", Some(1))
        );
        assert_eq!(content.pages[0].html.trim(), "<p><em>words</em></p>");
        assert!(content.notes.contains_key(&(
            "demo".into(),
            NeuronId {
                layer: 2,
                neuron: 17
            }
        )));

        write("notes/demo/two.md", "x");
        assert!(
            Content::read(dir.path(), false)
                .unwrap_err()
                .to_string()
                .contains("two.md")
        );
    }

    #[test]
    fn html_in_markdown_is_sanitised_unless_allowed() {
        let text =
            "a <script>alert(1)</script><b onclick=\"x()\">b</b> [l](javascript:x) ![i](x.png)";
        let clean = to_html(text, false);
        assert!(
            !clean.contains("script") && !clean.contains("onclick"),
            "{clean}"
        );
        assert!(
            clean.contains("<b>b</b>") && clean.contains("src=\"x.png\""),
            "{clean}"
        );
        assert!(to_html(text, true).contains("<script>"));
    }

    #[test]
    fn front_matter_errors_say_why() {
        assert!(
            split_front_matter("+++\ntitle = 1\n+++\n")
                .unwrap_err()
                .contains("string")
        );
        assert!(
            split_front_matter("+++\ntitel = \"x\"\n+++\n")
                .unwrap_err()
                .contains("unknown field")
        );
        assert!(
            split_front_matter("+++\ntitle = \"x\"\n")
                .unwrap_err()
                .contains("does not end")
        );
    }
}
