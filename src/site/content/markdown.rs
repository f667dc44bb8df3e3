//! From Markdown to HTML that loads nothing from elsewhere, in bounded time.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use ammonia::Url;
use percent_encoding::percent_decode_str;
use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};

use super::Warning;
use crate::site::address::encoded;
use crate::site::text::display::without_turns;

/// Bytes of the longest file.
pub(super) const LONGEST: usize = 1_000_000;
/// How deep lists, quotes and emphasis may be nested.
const DEEPEST: usize = 100;
/// Tags of HTML in one file, where they are sanitised.
const MOST_TAGS: usize = 10_000;

/// Stands for the way to the site's root in the footer, which is on pages of every folder.
pub(super) const ROOT: &str = "__root__/";

/// What the ids of sanitised text begin with.
const ID_PREFIX: &str = "text-";

/// Where the project's Markdown is on the site, by path in the content folder.
pub(super) type Targets = HashMap<String, Target>;

/// The page that shows a Markdown file.
pub(super) struct Target {
    pub(super) address: String,
    /// Whether it is about a neuron, and has more than the text.
    pub(super) of_neuron: bool,
}

/// One Markdown file's place.
pub(super) struct Place<'a> {
    /// Its path in the content folder, with `/` between folders.
    pub(super) file: &'a str,
    /// Address of the page that shows it, none for what is on every page.
    pub(super) address: Option<&'a str>,
    pub(super) targets: &'a Targets,
    /// Whether HTML and pictures are passed on as they are.
    pub(super) raw_html: bool,
}

/// A text, rendered.
pub(super) struct Rendered {
    pub(super) html: String,
    /// Its words, without any markup.
    pub(super) plain: String,
    pub(super) warnings: Vec<Warning>,
}

/// Renders a text, or says why that would take too long.
pub(super) fn render(markdown: &str, place: &Place<'_>) -> Result<Rendered, &'static str> {
    check_containers(markdown)?;
    let mut page = Page {
        place,
        links: 0,
        pictures: Vec::new(),
        warnings: Vec::new(),
    };
    let (mut events, mut plain) = (Vec::new(), String::new());
    let (mut depth, mut n_tags) = (0, 0);
    for event in Parser::new_ext(markdown, options()) {
        match &event {
            Event::Start(_) => depth += 1,
            Event::End(_) => depth -= 1,
            Event::Html(html) | Event::InlineHtml(html) => n_tags += html.matches('<').count(),
            _ => {}
        }
        if depth > DEEPEST {
            return Err("is nested deeper than 100 lists, quotes or emphases");
        }
        if n_tags > MOST_TAGS && !place.raw_html {
            return Err("has more than 10,000 tags of HTML");
        }
        match &event {
            Event::Text(text) | Event::Code(text) => plain.push_str(text),
            Event::SoftBreak | Event::HardBreak | Event::End(_) => plain.push(' '),
            _ => {}
        }
        page.push(event, &mut events);
    }
    let mut html = String::new();
    html::push_html(&mut html, events.into_iter());
    if !place.raw_html {
        html = page.sanitise(html);
    }
    Ok(Rendered {
        html,
        plain: without_turns(&plain).into_owned(),
        warnings: page.warnings,
    })
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_HEADING_ATTRIBUTES
}

/// Refuses lines that begin with too many quotes and lists: the parser looks at all that are open, line by line.
fn check_containers(markdown: &str) -> Result<(), &'static str> {
    for line in markdown.lines() {
        let (mut rest, mut depth) = (line.trim_start(), 0);
        while let Some(inner) = inside(rest) {
            (rest, depth) = (inner.trim_start(), depth + 1);
            if depth > DEEPEST {
                return Err("begins a line with more than 100 quotes or lists");
            }
        }
    }
    Ok(())
}

/// What follows the mark of a quote or of an item of a list.
fn inside(line: &str) -> Option<&str> {
    if let Some(rest) = line.strip_prefix('>') {
        return Some(rest);
    }
    let number = line.bytes().take_while(u8::is_ascii_digit).count();
    let mark = line[number..].chars().next()?;
    let marks = if number > 0 { ".)" } else { "-+*" };
    let rest = line[number..].strip_prefix(|c| marks.contains(c))?;
    let ends = rest.starts_with([' ', '\t']) && mark.is_ascii();
    ends.then_some(rest)
}

struct Page<'p, 'a> {
    place: &'p Place<'a>,
    /// Links that are open, which must not hold others.
    links: usize,
    /// Pictures that are open, and what became of each.
    pictures: Vec<Picture>,
    warnings: Vec<Warning>,
}

#[derive(Clone, Copy, PartialEq)]
enum Picture {
    Shown,
    Linked,
    /// Only its text is left.
    Text,
}

impl Page<'_, '_> {
    /// Passes an event on: links to Markdown lead to its page, pictures of other hosts become links.
    fn push<'e>(&mut self, mut event: Event<'e>, events: &mut Vec<Event<'e>>) {
        match &mut event {
            Event::Start(Tag::Link { dest_url, .. }) => {
                self.links += 1;
                *dest_url = self.leads_to(dest_url.clone());
            }
            Event::End(TagEnd::Link) => self.links -= 1,
            Event::Start(Tag::Image {
                dest_url,
                title,
                id,
                link_type,
            }) if !self.place.raw_html => {
                let picture = match elsewhere(dest_url) {
                    None => Picture::Shown,
                    Some(Elsewhere::Web) if self.links == 0 => Picture::Linked,
                    Some(_) => Picture::Text,
                };
                self.pictures.push(picture);
                if picture != Picture::Shown {
                    self.warn_of_picture(dest_url);
                }
                match picture {
                    Picture::Shown => *dest_url = self.leads_to(dest_url.clone()),
                    Picture::Text => return,
                    Picture::Linked => {
                        let (dest_url, title) = (dest_url.clone(), title.clone());
                        let (id, link_type) = (id.clone(), *link_type);
                        self.links += 1;
                        event = Event::Start(Tag::Link {
                            link_type,
                            dest_url,
                            title,
                            id,
                        });
                    }
                }
            }
            Event::Start(Tag::Image { dest_url, .. }) => {
                *dest_url = self.leads_to(dest_url.clone())
            }
            Event::End(TagEnd::Image) if !self.place.raw_html => match self.pictures.pop() {
                Some(Picture::Linked) => {
                    self.links -= 1;
                    if let Some(Event::Start(Tag::Link { dest_url, .. })) = events.last() {
                        let address = Event::Text(dest_url.clone()); // a picture without a text
                        events.push(address);
                    }
                    event = Event::End(TagEnd::Link);
                }
                Some(Picture::Text) => return,
                _ => {}
            },
            _ => {}
        }
        events.push(event);
    }

    fn warn_of_picture(&mut self, url: &str) {
        self.warnings.push(Warning::Picture {
            file: self.place.file.to_owned(),
            url: url.to_owned(),
        });
    }

    /// Where a link leads on the site: one to a Markdown file, to its page.
    fn leads_to<'e>(&mut self, url: CowStr<'e>) -> CowStr<'e> {
        if !is_relative(&url) {
            return url;
        }
        let (path, rest) = url.split_at(url.find(['?', '#']).unwrap_or(url.len()));
        let decoded = percent_decode_str(path).decode_utf8_lossy();
        let target = joined(self.place.file, &decoded);
        let target = target.and_then(|target| self.place.targets.get(&target));
        let Some(target) = target.filter(|_| is_markdown(Path::new(&*decoded))) else {
            if is_markdown(Path::new(&*decoded)) {
                self.warnings.push(Warning::Link {
                    file: self.place.file.to_owned(),
                    link: url.to_string(),
                });
            }
            return match self.place.address {
                Some(_) => url,
                None => format!("{ROOT}{url}").into(),
            };
        };
        let way = match self.place.address {
            Some(from) => relative(from, &target.address),
            None => format!("{ROOT}{}", encoded(&target.address)),
        };
        match rest.strip_prefix('#') {
            // ids of the text have a prefix on its page
            Some(id) if !id.is_empty() && !target.of_neuron && !self.place.raw_html => {
                let id = id.strip_prefix(ID_PREFIX).unwrap_or(id);
                format!("{way}#{ID_PREFIX}{id}").into()
            }
            _ => format!("{way}{rest}").into(),
        }
    }

    /// HTML in which nothing that is not plain formatting survives, and nothing is loaded from other hosts.
    fn sanitise(&mut self, html: String) -> String {
        let ids = html.split(" id=\"").skip(1);
        let ids: HashSet<String> = ids
            .filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()))
            .collect();
        let left_out = Arc::new(Mutex::new(Vec::new()));
        let note = left_out.clone();
        let clean = ammonia::Builder::default()
            .url_relative(ammonia::UrlRelative::PassThrough)
            .add_generic_attributes(["id"])
            // an id must not be one of the page's own, which scripts look for
            .id_prefix(Some(ID_PREFIX))
            .attribute_filter(move |element, attribute, value| {
                if element == "img" && attribute == "src" && elsewhere(value).is_some() {
                    let mut note = note.lock().unwrap_or_else(PoisonError::into_inner);
                    note.push(value.to_owned());
                    return None;
                }
                match value.strip_prefix('#') {
                    Some(id) if attribute == "href" && ids.contains(id) => {
                        Some(format!("#{ID_PREFIX}{id}").into())
                    }
                    _ => Some(value.into()),
                }
            })
            .add_tag_attributes("code", ["class"])
            .link_rel(Some("noopener"))
            .clean(&html)
            .to_string();
        let left_out =
            std::mem::take(&mut *left_out.lock().unwrap_or_else(PoisonError::into_inner));
        for url in &left_out {
            self.warn_of_picture(url);
        }
        without_turns(&clean).into_owned()
    }
}

/// Whether a file is Markdown, by its name.
pub(super) fn is_markdown(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ["md", "markdown"]
        .iter()
        .any(|markdown| ending.eq_ignore_ascii_case(markdown))
}

/// Whether a link leads to somewhere on the site: it has no scheme, no host, and is not a place on the page.
pub(crate) fn is_relative(href: &str) -> bool {
    let first = href.split(['/', '?', '#']).next().unwrap_or_default();
    !href.starts_with(['/', '#', '?']) && !first.contains(':')
}

enum Elsewhere {
    Web,
    /// Not a page, such as `data:`.
    Other,
}

/// Whether browsers look for an address on another host than the page's, whichever that is.
fn elsewhere(url: &str) -> Option<Elsewhere> {
    let mut other = None;
    for scheme in ["http", "https"] {
        let here = Url::parse(&format!("{scheme}://here.invalid/a/")).ok()?;
        match here.join(url) {
            Ok(found) if found.origin() == here.origin() => {}
            Ok(found) if matches!(found.scheme(), "http" | "https") => return Some(Elsewhere::Web),
            _ => other = Some(Elsewhere::Other),
        }
    }
    other
}

/// Where a relative path leads from a file, both in the content folder.
fn joined(file: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The way from one page of the site to another.
fn relative(from: &str, to: &str) -> String {
    let folder = |address: &str| address.rfind('/').map_or(0, |at| at + 1);
    let same = from[..folder(from)]
        .split_inclusive('/')
        .zip(to[..folder(to)].split_inclusive('/'));
    let same: usize = same.take_while(|(a, b)| a == b).map(|(a, _)| a.len()).sum();
    format!(
        "{}{}",
        "../".repeat(from[same..].matches('/').count()),
        encoded(&to[same..])
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(address: &str, of_neuron: bool) -> Target {
        Target {
            address: address.into(),
            of_neuron,
        }
    }

    fn rendered(file: &str, address: Option<&str>, markdown: &str, raw_html: bool) -> Rendered {
        let targets = Targets::from([
            ("index.md".into(), target("index.html", false)),
            ("about us.md".into(), target("about us.html", false)),
            ("guide/start.md".into(), target("guide/start.html", false)),
            ("guide/end.markdown".into(), target("guide/end.html", false)),
            ("notes/m/0/1.md".into(), target("m/0/1.html", true)),
        ]);
        let place = Place {
            file,
            address,
            targets: &targets,
            raw_html,
        };
        render(markdown, &place).unwrap()
    }

    fn html(markdown: &str) -> String {
        rendered("about us.md", Some("about us.html"), markdown, false).html
    }

    #[test]
    fn html_is_sanitised_unless_allowed() {
        let text = "a <script>alert(1)</script><b onclick=\"x()\" style=\"background:url(https://a.b/x)\">b</b> [l](javascript:x) ![i](x.png)";
        let clean = html(text);
        assert!(
            !clean.contains("script") && !clean.contains("onclick") && !clean.contains("style"),
            "{clean}"
        );
        assert!(
            clean.contains("<b>b</b>") && clean.contains("src=\"x.png\""),
            "{clean}"
        );
        assert!(
            rendered("a.md", Some("a.html"), text, true)
                .html
                .contains("<script>")
        );
        // ids are the text's own, and links to them go on leading there
        let clean = html("## A {#neuron}\n\n[a](#neuron) [3](#example-3)");
        assert!(
            clean.contains("id=\"text-neuron\"")
                && clean.contains("href=\"#text-neuron\"")
                && clean.contains("href=\"#example-3\""),
            "{clean}"
        );
    }

    #[test]
    fn nothing_is_loaded_from_other_hosts() {
        for (markdown, expected) in [
            (
                "![a picture](https://a.b/x.png)",
                "<p><a href=\"https://a.b/x.png\" rel=\"noopener\">a picture</a></p>",
            ),
            (
                "![](//a.b/x.png)",
                "<p><a href=\"//a.b/x.png\" rel=\"noopener\">//a.b/x.png</a></p>",
            ),
            (
                "[![badge](https://a.b/x.svg)](https://c.d/)",
                "<p><a href=\"https://c.d/\" rel=\"noopener\">badge</a></p>",
            ),
            ("![x](data:image/png;base64,AA==)", "<p>x</p>"),
            (
                "![x](/\\\\a.b/x.png)",
                "<p><a href=\"/%5Ca.b/x.png\" rel=\"noopener\">x</a></p>",
            ),
            (
                "![x](http:x.png)",
                "<p><a href=\"http:x.png\" rel=\"noopener\">x</a></p>",
            ),
            (
                "<img src=\"https://a.b/x.png\" srcset=\"https://a.b/y.png 2x\" alt=\"x\">",
                "<img alt=\"x\">",
            ),
            ("<img src=\" \thttps://a.b/x.png\">", "<img>"),
            (
                "<picture><source srcset=\"https://a.b/x\"></picture>",
                "<p></p>",
            ),
            ("<svg><image href=\"https://a.b/x\"/></svg>", "<p></p>"),
            (
                "<video poster=\"https://a.b/x\" src=\"https://a.b/y\"></video>",
                "<p></p>",
            ),
            (
                "![x](x.png) ![y](../y.png) ![z](/z.png)",
                "<p><img src=\"x.png\" alt=\"x\"> <img src=\"../y.png\" alt=\"y\"> <img src=\"/z.png\" alt=\"z\"></p>",
            ),
        ] {
            assert_eq!(html(markdown).trim(), expected, "{markdown}");
        }
        let warnings = rendered(
            "a.md",
            Some("a.html"),
            "![x](https://a.b/x) <img src=\"//a.b/y\">",
            false,
        )
        .warnings;
        assert_eq!(warnings.len(), 2);
    }

    #[test]
    fn links_between_markdown_files_lead_to_their_pages() {
        let link = |file: &str, address: Option<&str>, href: &str| {
            let Rendered { html, warnings, .. } =
                rendered(file, address, &format!("[a](<{href}>)"), false);
            let (_, rest) = html.split_once("href=\"").unwrap();
            (rest.split('"').next().unwrap().to_owned(), warnings.len())
        };
        for (href, leads) in [
            ("guide/start.md", "guide/start.html"),
            ("./guide/../guide/start.md#one", "guide/start.html#text-one"),
            ("guide/start.md?x=y", "guide/start.html?x=y"),
            ("guide/end.markdown", "guide/end.html"),
            ("about%20us.md", "about%20us.html"),
            ("about us.md", "about%20us.html"),
            ("notes/m/0/1.md#example-2", "m/0/1.html#example-2"),
            ("index.md", "index.html"),
        ] {
            assert_eq!(
                link("about us.md", Some("about us.html"), href),
                (leads.into(), 0),
                "{href}"
            );
        }
        assert_eq!(
            link("guide/start.md", Some("guide/start.html"), "../index.md").0,
            "../index.html"
        );
        assert_eq!(
            link("guide/start.md", Some("guide/start.html"), "end.markdown").0,
            "end.html"
        );
        assert_eq!(
            link(
                "notes/m/0/1.md",
                Some("m/0/1.html"),
                "../../../guide/start.md"
            )
            .0,
            "../../guide/start.html"
        );
        assert_eq!(
            link("footer.md", None, "guide/start.md").0,
            "__root__/guide/start.html"
        );
        assert_eq!(link("footer.md", None, "x.html").0, "__root__/x.html");
        // others stay as they are; what leads nowhere is named
        for (href, warnings) in [
            ("https://example.org/x.md", 0),
            ("//example.org/x.md", 0),
            ("/x.md", 0),
            ("#x.md", 0),
            ("missing.md", 1),
            ("../guide/start.md", 1),
            ("Guide/start.md", 1),
            ("x.mdx", 0),
            ("m/0/1.html", 0),
        ] {
            assert_eq!(
                link("about us.md", Some("about us.html"), href),
                (href.into(), warnings),
                "{href}"
            );
        }
    }

    #[test]
    fn no_text_turns_the_direction_of_others() {
        let clean = html("a \u{202e}b &#x2067;c d\u{200f}");
        assert_eq!(clean.trim(), "<p>a b c d\u{200f}</p>");
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

    /// Each of these would take minutes, or all memory, if it took more than its share.
    #[test]
    fn no_text_takes_long() {
        let n = LONGEST;
        let targets = Targets::new();
        let place = Place {
            file: "a.md",
            address: Some("a.html"),
            targets: &targets,
            raw_html: false,
        };
        for (what, text) in hostile(n) {
            let started = std::time::Instant::now();
            let _ = render(&text, &place);
            assert!(started.elapsed().as_secs() < 60, "{what}");
        }
    }

    fn hostile(n: usize) -> Vec<(String, String)> {
        let repeated = [
            ">",
            "> ",
            "[",
            "![",
            "](",
            "[a](",
            "[a][",
            "*",
            "_",
            "*a",
            "**a _b ",
            "*a_ ",
            "(",
            ")",
            "`",
            "``` ",
            "a`",
            "~~",
            "~a",
            "\\",
            "<",
            "<a ",
            "<b>",
            "<div>",
            "<div><p>",
            "</p>",
            "<!--",
            "<?",
            "<![CDATA[",
            "&",
            "&amp;",
            "&#x202e;",
            "- ",
            "-\n",
            "* * ",
            "1. ",
            "- a\n\n",
            ">\n",
            "> a\n\n",
            "|",
            "|a",
            "a|\n",
            "|-",
            "#",
            "# ",
            "# a {#b}\n",
            "\n",
            "\t",
            "    a\n",
            "\0",
            "\u{202e}",
            "[^a]",
            "[^a]: b\n",
            "[a]: b\n",
            "[a]\n",
            "![[]()",
            "[[]()",
            "<a@b.c>",
            "<http://a>",
            "é",
            "a*b_c`d[e](f)",
            "\"",
            "'",
            "http://a.b/ ",
            "<math><mi>",
            "<svg>",
            "<b><i>",
        ];
        let mut all: Vec<(String, String)> = repeated
            .iter()
            .map(|one| ((*one).escape_debug().to_string(), one.repeat(n / one.len())))
            .collect();
        let lines =
            |count: usize, line: fn(usize) -> String| (0..count).map(line).collect::<String>();
        all.push((
            "stairs of lists".into(),
            lines(700, |i| format!("{}- a\n", "  ".repeat(i))),
        ));
        all.push((
            "a deep list and empty lines".into(),
            format!("{}a\n{}", "- ".repeat(90), "\n".repeat(n)),
        ));
        all.push((
            "different ids".into(),
            lines(n / 20, |i| format!("# a {{#a{i}}}\n")),
        ));
        all.push((
            "links to different ids".into(),
            lines(n / 20, |i| format!("[a](#a{i})\n")),
        ));
        all.push((
            "different references".into(),
            lines(n / 30, |i| format!("[a{i}]: b\n\n[a{i}]\n")),
        ));
        all.push((
            "different footnotes".into(),
            lines(n / 30, |i| format!("[^a{i}]: b\n\n[^a{i}]\n")),
        ));
        all.push((
            "one long reference".into(),
            format!("[{}]: b\n\n{}", "a".repeat(n / 2), "[a]".repeat(n / 6)),
        ));
        all.push((
            "a wide table".into(),
            format!(
                "|{}\n|{}\n{}",
                "a|".repeat(n / 4),
                "-|".repeat(n / 4),
                "|\n".repeat(n / 8)
            ),
        ));
        all.push((
            "open brackets before links".into(),
            format!("{}{}", "[".repeat(n / 2), "](a)".repeat(n / 8)),
        ));
        all.push((
            "backticks of all lengths".into(),
            lines(1000, |i| format!("{} ", "`".repeat(i))),
        ));
        all
    }
}
