//! Builds the site: reads atlases, renders page by page, hands bytes to the output.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::atlas::{Atlas, Regions};
use crate::ids::TokenId;
use crate::tokens::Tokenizer;
use crate::tokens::store::TokenStore;

use super::api;
use super::content::{Content, Page};
use super::error::SiteError;
use super::model::ModelPages;
use super::options::SiteOptions;
use super::output::{Output, OutputReport};
use super::sitemap;
use super::theme::Theme;
use super::views::{Common, HomeView, Link, ModelView, PageView, SiteView};

/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;
/// Names of folders at the site's root.
const RESERVED: [&str; 2] = ["api", "assets"];
/// The project's logo, as content may have it.
const LOGOS: [&str; 2] = ["logo.svg", "logo.png"];

/// What a site is built from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Data folders, each with an `atlas` and a `corpus`.
    pub data: &'a [PathBuf],
    /// The project's theme folder.
    pub theme: Option<&'a Path>,
    /// The project's content folder.
    pub content: Option<&'a Path>,
    /// Options.
    pub options: &'a SiteOptions,
}

/// What was built.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// Models with their numbers of neurons.
    pub models: Vec<(String, u64)>,
    /// Pages of neurons.
    pub n_neurons: u64,
    /// Notes on neurons that no atlas has.
    pub stray_notes: Vec<String>,
    /// The files.
    #[serde(flatten)]
    pub output: OutputReport,
}

/// One atlas with its corpus.
pub(super) struct Source {
    pub(super) atlas: Atlas,
    pub(super) store: TokenStore,
    pub(super) tokenizer: Tokenizer,
}

impl Source {
    fn open(data: &Path) -> Result<Self, SiteError> {
        let atlas = Atlas::open(&data.join("atlas"))?;
        let corpus = data.join("corpus");
        let store = TokenStore::open(&corpus, CACHE_TOKENS)?;
        let path = corpus.join("tokenizer.json");
        let json = std::fs::read(&path).map_err(|source| SiteError::io("read", &path, source))?;
        let tokenizer = Tokenizer::from_json(&json, None)
            .map_err(|source| SiteError::Tokenizer { path, source })?;
        Ok(Self {
            atlas,
            store,
            tokenizer,
        })
    }

    fn name(&self) -> &str {
        &self.atlas.manifest().scan.model.name
    }

    /// What chance explains of a layer's cosines.
    pub(super) fn regions(&self, layer: u32) -> Option<&Regions> {
        self.atlas.weights_info()?.layers.get(layer as usize)
    }
}

/// Builds a site into `out`. `progress` is told the neurons done.
pub fn build(
    inputs: &Inputs<'_>,
    out: &Path,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Result<BuildReport, SiteError> {
    let sources = inputs
        .data
        .iter()
        .map(|data| Source::open(data))
        .collect::<Result<Vec<_>, _>>()?;
    check_names(&sources)?;
    let content = match inputs.content {
        Some(folder) => Content::read(folder, inputs.options.raw_html)?,
        None => Content::default(),
    };
    let output = Output::open(out)?;
    let site = site_view(inputs.options, &content, &sources);
    let theme = Theme::load(inputs.theme, &site)?;
    let build = Build {
        options: inputs.options,
        theme: &theme,
        content: &content,
        output: &output,
        site: &site,
        done: AtomicU64::new(0),
        progress,
    };

    build.site_pages()?;
    api::write(&build, sources.iter().map(|source| &source.atlas))?;
    let mut models = Vec::new();
    for (source, model) in sources.iter().zip(&site.models) {
        ModelPages::new(&build, source, model).write()?;
        let info = &source.atlas.manifest().scan.model;
        models.push((
            info.name.clone(),
            u64::from(info.n_layers) * u64::from(info.d_mlp),
        ));
    }
    build.sitemap(&sources)?;
    let written = content.notes.keys().chain(content.explanations.keys());
    let stray = written.filter(|(model, id)| {
        let known = |source: &&Source| source.name() == model;
        sources.iter().find(known).is_none_or(|source| {
            let info = &source.atlas.manifest().scan.model;
            id.layer >= info.n_layers || id.neuron >= info.d_mlp
        })
    });
    let stray_notes = stray
        .map(|(model, id)| format!("notes/{model}/{}/{}.md", id.layer, id.neuron))
        .collect();
    let n_neurons = models.iter().map(|(_, n)| n).sum();
    Ok(BuildReport {
        models,
        n_neurons,
        stray_notes,
        output: output.finish()?,
    })
}

fn check_names(sources: &[Source]) -> Result<(), SiteError> {
    for (at, source) in sources.iter().enumerate() {
        let name = source.name();
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if name.is_empty()
            || name.starts_with('.')
            || !name.chars().all(plain)
            || RESERVED.contains(&name)
        {
            return Err(SiteError::BadName(name.to_owned()));
        }
        if sources[..at].iter().any(|other| other.name() == name) {
            return Err(SiteError::SameName(name.to_owned()));
        }
    }
    Ok(())
}

fn site_view(options: &SiteOptions, content: &Content, sources: &[Source]) -> SiteView {
    let mut pages: Vec<&Page> = content
        .pages
        .iter()
        .filter(|page| page.menu.is_some())
        .collect();
    pages.sort_by_key(|page| page.menu);
    let pages = pages.iter().map(|page| Link {
        href: format!("{}.html", page.slug),
        label: page.title.clone(),
        external: false,
    });
    let links = options.menu.iter().map(|link| Link {
        href: link.href.clone(),
        label: link.label.clone(),
        external: link.href.contains("://"),
    });
    let logo = LOGOS
        .into_iter()
        .find(|logo| content.files.contains_key(*logo));
    let model = |source: &Source| {
        let manifest = source.atlas.manifest();
        let bos = manifest
            .scan
            .policy
            .bos
            .map(|id| source.tokenizer.vocabulary().text(TokenId(id)).into_owned());
        ModelView::new(&source.atlas, bos)
    };
    SiteView {
        title: options.title.clone(),
        language: options.language.clone(),
        version: env!("CARGO_PKG_VERSION"),
        menu: pages.chain(links).collect(),
        logo,
        footer: content.footer.as_ref().map(|page| page.html.clone()),
        models: sources.iter().map(model).collect(),
    }
}

/// A site being built.
pub(super) struct Build<'a> {
    pub(super) options: &'a SiteOptions,
    pub(super) content: &'a Content,
    theme: &'a Theme,
    output: &'a Output,
    site: &'a SiteView,
    done: AtomicU64,
    progress: &'a (dyn Fn(u64) -> bool + Sync),
}

impl Build<'_> {
    /// What every page has; `name` is the page's file, with `/` between folders.
    pub(super) fn common(&self, name: &str, title: String, description: String) -> Common {
        let canonical = self
            .options
            .base_url()
            .map(|base| base + name.strip_suffix("index.html").unwrap_or(name));
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

    fn site_pages(&self) -> Result<(), SiteError> {
        for (name, bytes) in self.theme.assets() {
            self.write(name, bytes)?;
        }
        for (name, path) in &self.content.files {
            let folder = name.split('/').next().unwrap_or_default();
            let taken = self.site.models.iter().any(|model| model.name == folder);
            if taken || RESERVED.contains(&folder) {
                return Err(SiteError::BadFolder(path.clone()));
            }
            let bytes = fs::read(path).map_err(|source| SiteError::io("read", path, source))?;
            self.write(name, &bytes)?;
        }
        self.write(".nojekyll", b"")?;
        let description = "Every MLP neuron of a language model, with its statistics and the text that excites it most and least.";
        let common = self.common("index.html", self.site.title.clone(), description.into());
        self.page(
            "index.html",
            "home.html",
            None,
            &HomeView {
                common,
                introduction: self.content.index.as_ref(),
            },
        )?;
        for page in &self.content.pages {
            let name = format!("{}.html", page.slug);
            let common = self.common(
                &name,
                page.title.clone(),
                page.description.clone().unwrap_or_default(),
            );
            self.page(&name, "page.html", None, &PageView { common, page })?;
        }
        let compare = self.common("compare.html", "Compare neurons".into(), String::new());
        self.page("compare.html", "compare.html", None, &compare)?;
        // served in the place of any address, so its links cannot be relative to its own
        let mut common = self.common(
            "404.html",
            "Not found".into(),
            "There is no such page.".into(),
        );
        (common.root, common.canonical) = (self.options.base_path(), None);
        self.page("404.html", "404.html", None, &common)
    }

    /// The sitemap and what points to it; both need the site's full address.
    fn sitemap(&self, sources: &[Source]) -> Result<(), SiteError> {
        let Some(base) = self.options.base_url() else {
            return Ok(());
        };
        let mut names = vec![String::new()];
        names.extend(
            self.content
                .pages
                .iter()
                .map(|page| format!("{}.html", page.slug)),
        );
        for source in sources {
            let info = &source.atlas.manifest().scan.model;
            names.push(format!("{}/", info.name));
            names.push(format!("{}/explore.html", info.name));
            if source.atlas.weights_info().is_some() {
                names.push(format!("{}/tokens.html", info.name));
            }
            for layer in 0..info.n_layers {
                names.push(format!("{}/{layer}/", info.name));
                names.extend(
                    (0..info.d_mlp).map(|neuron| format!("{}/{layer}/{neuron}.html", info.name)),
                );
            }
        }
        for (name, xml) in sitemap::files(&base, &names) {
            self.write(&name, xml.as_bytes())?;
        }
        self.write(
            "robots.txt",
            format!("User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n").as_bytes(),
        )
    }
}
