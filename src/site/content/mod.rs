//! Words of the project: pages, notes on neurons, explanations, and other files.
//!
//! The folder may hold links, which are followed. What it holds is read in bounded time: files of a bounded size, nested
//! to a bounded depth.

mod front_matter;
mod markdown;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::error::ContentError;
use super::text::display::calm;
use crate::files::read_at_most;
use crate::ids::NeuronId;
use crate::mark;
use crate::site::address;
use front_matter::{FrontMatter, Wrong};
use markdown::{Place, Rendered, Target, Targets, is_markdown};

pub(super) use markdown::is_relative;

/// What is odd about the content, and does not stop a build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Warning {
    #[error("`{file}`: the front matter's `{}` is unknown{}", key.escape_debug(), near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default())]
    Key {
        file: String,
        key: String,
        near: Option<&'static str>,
    },
    #[error("`{file}`: the link to `{}` leads to no file of the content", link.escape_debug())]
    Link { file: String, link: String },
    #[error("`{file}`: the picture `{}` is not on the site, and is not loaded from elsewhere", url.escape_debug())]
    Picture { file: String, url: String },
    #[error("`{0}` is neither a file nor a folder, and is left out")]
    Special(String),
}

/// Folder of explanations.
const EXPLANATIONS: &str = "explanations";
/// Folder of notes.
const NOTES: &str = "notes";
/// Files that a content folder may hold.
const MOST_FILES: usize = 1_000_000;
/// Bytes of the longest line of a file of explanations.
const LONGEST_LINE: u64 = 1_000_000;

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
    /// The file.
    #[serde(skip)]
    pub(super) path: PathBuf,
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
    pub(super) warnings: Vec<Warning>,
}

impl Content {
    /// The neurons of a model of which something is said.
    pub(super) fn documented(&self, model: &str) -> BTreeSet<NeuronId> {
        let keys = self.notes.keys().chain(self.explanations.keys());
        let own = keys.filter(|(of, _)| of == model);
        own.map(|(_, id)| *id).collect()
    }
}

/// What a Markdown file is for.
enum Use {
    Index,
    Footer,
    Note(String, NeuronId),
    Page,
}

/// A Markdown file of the folder.
struct Found {
    path: PathBuf,
    /// Its path in the folder, with `/` between folders.
    file: String,
    /// `file` without its ending.
    slug: String,
    is: Use,
}

impl Found {
    fn new(path: &Path, file: String) -> Result<Self, ContentError> {
        let slug = Path::new(&file)
            .with_extension("")
            .to_string_lossy()
            .into_owned();
        let is = match slug.split('/').collect::<Vec<_>>()[..] {
            ["index"] => Use::Index,
            ["footer"] => Use::Footer,
            [NOTES, model, layer, neuron] => match (layer.parse(), neuron.parse()) {
                (Ok(layer), Ok(neuron)) => Use::Note(model.to_owned(), NeuronId { layer, neuron }),
                _ => return Err(ContentError::NoteName(path.to_owned())),
            },
            [NOTES, ..] => return Err(ContentError::NoteName(path.to_owned())),
            _ => Use::Page,
        };
        let path = path.to_owned();
        Ok(Self {
            path,
            file,
            slug,
            is,
        })
    }

    /// The page that shows it; what is on every page has none.
    fn target(&self) -> Option<Target> {
        let (address, of_neuron) = match &self.is {
            Use::Footer => return None,
            Use::Note(model, id) => (address::neuron(model, *id), true),
            Use::Index | Use::Page => (address::content_page(&self.slug), false),
        };
        Some(Target { address, of_neuron })
    }
}

impl Content {
    /// Reads a content folder; one that is not there is empty.
    pub(super) fn read(folder: &Path, raw_html: bool) -> Result<Self, ContentError> {
        let mut content = Self::default();
        if !folder.is_dir() {
            return Ok(content);
        }
        let mut texts = Vec::new();
        for (n, entry) in walk(folder).enumerate() {
            let entry = entry.map_err(|(path, source)| ContentError::Io { path, source })?;
            if n >= MOST_FILES {
                return Err(ContentError::TooMany(folder.to_owned()));
            }
            if entry.file_type().is_dir() {
                continue;
            }
            let path = entry.path();
            let file = inner_name(path, folder)?;
            if !entry.file_type().is_file() {
                content.warnings.push(Warning::Special(file));
                continue;
            }
            match explained_model(&file) {
                Some(model) => content.read_explanations(path, model)?,
                None if is_markdown(path) => texts.push(Found::new(path, file)?),
                None => {
                    content.files.insert(file, path.to_owned());
                }
            }
        }
        check_places(&texts)?;
        let targets = texts
            .iter()
            .filter_map(|text| Some((text.file.clone(), text.target()?)));
        let targets: Targets = targets.collect();
        for text in texts {
            let page = content.read_page(&text, &targets, raw_html)?;
            match text.is {
                Use::Index => content.index = Some(page),
                Use::Footer => content.footer = Some(page.html),
                Use::Note(model, id) => {
                    content.notes.insert((model, id), page);
                }
                Use::Page => content.pages.push(page),
            }
        }
        Ok(content)
    }

    fn read_page(
        &mut self,
        found: &Found,
        targets: &Targets,
        raw_html: bool,
    ) -> Result<Page, ContentError> {
        let Found {
            path, file, slug, ..
        } = found;
        let text = read_text(path)?;
        let (front, unknown, markdown) = front_matter::split(&text).map_err(|wrong| {
            let path = path.clone();
            match wrong {
                Wrong::Toml(reason) => ContentError::FrontMatter { path, reason },
                Wrong::Yaml(toml) => ContentError::Yaml { path, toml },
            }
        })?;
        for key in unknown {
            let (file, near) = (file.clone(), front_matter::near(&key));
            self.warnings.push(Warning::Key { file, key, near });
        }
        let place = Place {
            file,
            address: targets.get(file).map(|target| target.address.as_str()),
            targets,
            raw_html,
        };
        let Rendered {
            html,
            plain,
            warnings,
        } = markdown::render(markdown, &place).map_err(|reason| {
            let path = path.clone();
            ContentError::Unbounded { path, reason }
        })?;
        self.warnings.extend(warnings);
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
        let calm = |text: String| calm(&text).into_owned();
        Ok(Page {
            slug: slug.clone(),
            title: calm(title),
            heading: heading.map(calm),
            description: description.map(calm),
            author: author.map(calm),
            date: date.map(|date| calm(date.into())),
            menu,
            html,
            plain,
            path: path.clone(),
        })
    }

    fn read_explanations(&mut self, path: &Path, model: &str) -> Result<(), ContentError> {
        let io = |source| ContentError::Io {
            path: path.to_owned(),
            source,
        };
        let mut reader = BufReader::new(File::open(path).map_err(io)?);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let mut line = reader.by_ref().take(LONGEST_LINE + 1);
            if line.read_until(b'\n', &mut bytes).map_err(io)? == 0 {
                break;
            }
            let line = match number {
                1 => mark::without(&bytes),
                _ => &bytes,
            };
            if line.trim_ascii().is_empty() {
                continue;
            }
            let bad = |reason: String| ContentError::Explanation {
                path: path.to_owned(),
                line: number,
                reason,
            };
            if bytes.len() as u64 > LONGEST_LINE {
                return Err(bad("it is longer than 1,000,000 bytes".into()));
            }
            let mut one: Explanation =
                serde_json::from_slice(line).map_err(|error| bad(error.to_string()))?;
            let is_link = |url: &str| url.starts_with("https://") || url.starts_with("http://");
            if one.url.as_deref().is_some_and(|url| !is_link(url)) {
                return Err(bad("`url` is not an address of http or https".into()));
            }
            one.score = one.score.filter(|score| score.is_finite());
            one.text = calm(&one.text).into_owned();
            for words in [&mut one.author, &mut one.method, &mut one.score_kind] {
                *words = words.as_deref().map(|words| calm(words).into_owned());
            }
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

/// The model that a file explains neurons of, by its path in the folder.
fn explained_model(file: &str) -> Option<&str> {
    let name = file.strip_prefix(EXPLANATIONS)?.strip_prefix('/')?;
    let (model, ending) = name.rsplit_once('.')?;
    (ending.eq_ignore_ascii_case("jsonl") && !model.contains('/')).then_some(model)
}

/// Refuses two files for one place, such as `notes/m/0/1.md` and `notes/m/0/01.markdown`.
fn check_places(texts: &[Found]) -> Result<(), ContentError> {
    let mut taken: HashMap<String, &Path> = HashMap::new();
    for text in texts {
        let address = text.target().map(|target| target.address);
        let place = address.unwrap_or_else(|| text.slug.clone());
        if let Some(other) = taken.insert(place, &text.path) {
            return Err(ContentError::Twice(other.to_owned(), text.path.clone()));
        }
    }
    Ok(())
}

/// The files and folders in a folder of the project's, in order, through links; without those that are none of the
/// project's, such as `.git` or `.DS_Store`.
pub(super) fn walk(
    folder: &Path,
) -> impl Iterator<Item = Result<walkdir::DirEntry, (PathBuf, io::Error)>> {
    let is_hidden = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with('.')
    };
    let walk = walkdir::WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name();
    let walk = walk
        .into_iter()
        .filter_entry(move |entry| entry.depth() == 0 || !is_hidden(entry.path()));
    walk.filter_map(move |entry| match entry {
        Ok(entry) => Some(Ok(entry)),
        // editors leave hidden links that lead nowhere
        Err(error) if error.depth() > 0 && error.path().is_some_and(is_hidden) => None,
        Err(error) => Some(Err((
            error.path().unwrap_or(Path::new("")).to_owned(),
            error.into(),
        ))),
    })
}

/// A file's path within a folder, with `/` between its parts.
fn inner_name(path: &Path, folder: &Path) -> Result<String, ContentError> {
    let inner = path.strip_prefix(folder).unwrap_or(path);
    let parts = inner.iter().map(|part| part.to_str());
    let parts = parts.collect::<Option<Vec<_>>>();
    Ok(parts
        .ok_or_else(|| ContentError::Name(path.to_owned()))?
        .join("/"))
}

/// A text of bounded length.
fn read_text(path: &Path) -> Result<String, ContentError> {
    let io = |source| ContentError::Io {
        path: path.to_owned(),
        source,
    };
    let bytes = read_at_most(path, markdown::LONGEST as u64).map_err(|source| {
        if source.kind() != io::ErrorKind::FileTooLarge {
            return io(source);
        }
        let (path, reason) = (path.to_owned(), "is longer than 1,000,000 bytes");
        ContentError::Unbounded { path, reason }
    })?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|error| io(io::Error::new(io::ErrorKind::InvalidData, error)))?;
    Ok(mark::text_without(&text).to_owned())
}

fn first_heading(markdown: &str) -> Option<String> {
    markdown
        .lines()
        .find_map(|line| line.strip_prefix("# "))
        .map(|title| title.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

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
}
