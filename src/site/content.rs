//! Markdown of the project: pages, and notes on neurons.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, html};
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
    pub(super) footer: Option<String>,
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
        let walk = walkdir::WalkDir::new(folder).sort_by_file_name();
        for entry in walk.into_iter().filter_entry(|entry| !is_hidden(entry)) {
            let entry = entry.map_err(|error| ContentError::Io {
                path: error.path().unwrap_or(folder).to_owned(),
                source: error.into(),
            })?;
            let path = entry.path();
            if !entry.file_type().is_file() {
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
                ["footer"] => content.footer = Some(read_footer(path, raw_html)?),
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

/// Whether a file or folder below the one that is walked is none of the project's, such as `.git` or `.DS_Store`.
pub(super) fn is_hidden(entry: &walkdir::DirEntry) -> bool {
    entry.depth() > 0 && entry.file_name().to_string_lossy().starts_with('.')
}

/// Whether a link leads to somewhere on the site: it has no scheme, no host, and is not a place on the page.
pub(super) fn is_relative(href: &str) -> bool {
    let first = href.split(['/', '?', '#']).next().unwrap_or_default();
    !href.starts_with(['/', '#', '?']) && !first.contains(':')
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
        html: to_html(Parser::new_ext(markdown, options()), raw_html),
        plain: to_plain(markdown),
    })
}

/// Stands for the way to the site's root in the footer, which is on pages of every folder.
const ROOT: &str = "__root__/";

/// The footer as HTML. Its links are as those of a page at the root.
fn read_footer(path: &Path, raw_html: bool) -> Result<String, ContentError> {
    let text = read(path)?;
    let (_, markdown) = split_front_matter(&text).map_err(|reason| ContentError::FrontMatter {
        path: path.to_owned(),
        reason,
    })?;
    let events = Parser::new_ext(markdown, options()).map(|mut event| {
        if let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = &mut event
            && is_relative(dest_url)
        {
            *dest_url = format!("{ROOT}{dest_url}").into();
        }
        event
    });
    Ok(to_html(events, raw_html))
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
fn to_html<'a>(markdown: impl Iterator<Item = Event<'a>>, raw_html: bool) -> String {
    let mut out = String::new();
    html::push_html(&mut out, markdown);
    if raw_html {
        return out;
    }
    let text = out.clone();
    let has_id = move |id: &str| text.contains(&format!(" id=\"{id}\""));
    ammonia::Builder::default()
        .url_relative(ammonia::UrlRelative::PassThrough)
        .add_generic_attributes(["id"])
        // an id must not be one of the page's own, which scripts look for
        .id_prefix(Some(ID_PREFIX))
        .attribute_filter(move |_, attribute, value| match value.strip_prefix('#') {
            Some(id) if attribute == "href" && has_id(id) => {
                Some(format!("#{ID_PREFIX}{id}").into())
            }
            _ => Some(value.into()),
        })
        .add_tag_attributes("code", ["class"])
        .link_rel(Some("noopener"))
        .clean(&out)
        .to_string()
}

/// What the ids of sanitised text begin with.
const ID_PREFIX: &str = "text-";

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
        let to_html = |text, raw| super::to_html(Parser::new_ext(text, options()), raw);
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
        // ids are the text's own, and links to them go on leading there
        let clean = to_html("## A {#neuron}\n\n[a](#neuron) [3](#example-3)", false);
        assert!(
            clean.contains("id=\"text-neuron\"")
                && clean.contains("href=\"#text-neuron\"")
                && clean.contains("href=\"#example-3\""),
            "{clean}"
        );
    }

    #[test]
    fn links_that_leave_the_folder_are_told_apart() {
        let relative = ["about.html", "a/b.html#c", "../x", "a?b=c:d", ""];
        assert!(relative.into_iter().all(is_relative));
        let others = [
            "https://a.b/c",
            "mailto:a@b.c",
            "//host/x",
            "/x",
            "#x",
            "?q=1",
        ];
        assert!(!others.into_iter().any(is_relative));
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
