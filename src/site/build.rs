//! Builds the site: reads atlases, renders page by page, hands bytes to the output.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::Serialize;

use crate::atlas::Atlas;
use crate::ids::{ModelName, NeuronId};

use super::address;
use super::api;
use super::content::{Content, Page, Warning, is_relative};
use super::error::SiteError;
use super::hosts::size_words;
use super::inputs::Inputs;
use super::layout::{self, LayoutReport};
use super::made::{self, Made};
use super::model;
use super::options::{SiteOptions, with_scheme};
use super::output::{self, Before, Output, OutputReport};
use super::pack::Packing;
use super::pages::views::{HomeView, PageView};
use super::part::ModelPart;
use super::sitemap;
use super::source::Source;
use super::text::display::lone_token;
use super::text::fold::address_key;
use super::text::texts::TokenTexts;
use super::theme::Theme;
use super::writer::Site;
use crate::site::view::{Link, ModelView, SiteView};

/// Folders at the site's root that are of no model.
const RESERVED: [&str; 2] = ["api", "assets"];
/// Pages at the site's root that every site has.
const OWN_PAGES: [&str; 3] = [address::HOME, address::COMPARE, address::NOT_FOUND];
/// Folders of a project that no site may be in.
const SOURCES: [&str; 3] = ["content", "data", "theme"];
/// What tells search engines where to look.
const ROBOTS: &str = "robots.txt";
/// The project's logo, as content may have it.
const LOGOS: [&str; 2] = ["logo.svg", "logo.png"];

/// What was built.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// Models with their numbers of neurons.
    pub models: Vec<(String, u64)>,
    /// Neurons of all models.
    pub n_neurons: u64,
    /// How each model's neurons are stored.
    pub layouts: Vec<LayoutReport>,
    /// Notes on neurons that no atlas has.
    pub stray_notes: Vec<String>,
    /// Files with explanations of neurons that no atlas has, and of how many.
    pub stray_explanations: BTreeMap<String, usize>,
    /// What is odd about options and content.
    pub warnings: Vec<String>,
    /// The files.
    #[serde(flatten)]
    pub output: OutputReport,
}

/// Finds what can be known to be wrong before any work: options, the folder, content, theme, names. [`build`] does so
/// as well.
pub fn check(inputs: &Inputs<'_>, out: &Path) -> Result<(), SiteError> {
    read(inputs, out).map(drop)
}

/// Reads what the project has of its own, if a site can be built of it there.
fn read(inputs: &Inputs<'_>, out: &Path) -> Result<(Content, Theme), SiteError> {
    inputs.options.check()?;
    let own = SOURCES.map(|name| inputs.project.join(name));
    let mut sources: Vec<&Path> = own.iter().map(PathBuf::as_path).collect();
    sources.extend(inputs.data.iter().map(PathBuf::as_path));
    sources.extend(inputs.content.into_iter().chain(inputs.theme));
    output::check_place(out, inputs.project, &sources)?;
    drop(output::lock(out)?);
    let content = match inputs.content {
        Some(folder) => Content::read(folder, inputs.options.raw_html)?,
        None => Content::default(),
    };
    check_addresses(&content)?;
    let name = |data: &PathBuf| -> Result<_, SiteError> {
        let manifest = Atlas::read_manifest(&data.join("atlas"))?;
        Ok(ModelName::new(&manifest.scan.model.name)?)
    };
    let names = inputs
        .data
        .iter()
        .map(name)
        .collect::<Result<Vec<_>, _>>()?;
    check_names(&names, &content)?;
    Ok((content, Theme::load(inputs.theme)?))
}

/// Builds a site into `out`. `progress` is called with the neurons done.
pub fn build(
    inputs: &Inputs<'_>,
    out: &Path,
    progress: &(dyn Fn(u64) -> bool + Sync),
) -> Result<BuildReport, SiteError> {
    let (content, mut theme) = read(inputs, out)?;
    let sources = inputs
        .data
        .iter()
        .map(|data| Source::open(data))
        .collect::<Result<Vec<_>, _>>()?;
    let texts: Vec<TokenTexts<'_>> = sources
        .iter()
        .map(|source| TokenTexts::new(source.vocabulary()))
        .collect();
    let before = Before::read(out)?;
    let hash = made::hash_of(inputs, &content)?;
    let last = Made::of(before.made(), inputs, &hash, &content);
    // the files of the models, if nothing has happened to them
    let kept = last.and_then(|made| {
        let names = sources.iter().map(Source::name).collect::<Vec<_>>();
        let is_meant = |file: &str| {
            names.iter().any(|name| address::is_of_model(name, file)) && !address::is_of_said(file)
        };
        let files = before.unchanged(out, is_meant)?;
        Some((made, files))
    });
    let (packings, layouts) = match &kept {
        Some((made, _)) => made.layouts(&sources, inputs, &content)?,
        None => layout::choose(&sources, &texts, &content, inputs.options)?,
    };
    let output = Output::open(out, &OWN_PAGES, before)?;
    let view = site_view(inputs.options, &content, &sources, &packings);
    theme.show(&view);
    let site = Site {
        options: inputs.options,
        theme: &theme,
        content: &content,
        output: &output,
        view: &view,
        listed: Mutex::default(),
        done: AtomicU64::new(0),
        progress,
    };

    site.own_pages()?;
    api::write(&site, sources.iter().map(|source| &source.atlas))?;
    let mut models = Vec::new();
    let texts = texts.iter().zip(&packings);
    for ((source, view), (texts, packing)) in sources.iter().zip(&view.models).zip(texts) {
        let part = ModelPart {
            site: &site,
            source,
            model: view,
            texts,
            packing: packing.as_ref(),
        };
        match &kept {
            Some((made, _)) => {
                model::rewrite(&part, &made.changed(source.name(), &content))?;
            }
            None => model::write(&part)?,
        }
        models.push((source.name().to_owned(), part.scan().n_neurons()));
    }
    let mut listed =
        std::mem::take(&mut *site.listed.lock().unwrap_or_else(PoisonError::into_inner));
    if let Some((made, files)) = kept {
        let is_kept = |page: &String| {
            sources
                .iter()
                .any(|source| address::is_of_model(source.name(), page))
        };
        listed.extend(made.listed.into_iter().filter(is_kept));
        output.keep(files)?;
    }
    listed.par_sort_by(|a, b| address::order(a, b));
    listed.dedup();
    site.sitemap(&listed)?;
    let made = Made::new(hash, &content, &layouts, &packings, listed);
    let is_stray = |(model, id): &&(String, NeuronId)| {
        let known = |source: &&Source| source.name() == model;
        let source = sources.iter().find(known);
        source.is_none_or(|source| !source.atlas.manifest().scan.has(*id))
    };
    let stray_notes = content.notes.keys().filter(is_stray);
    let stray_notes =
        stray_notes.map(|(model, id)| format!("notes/{model}/{}/{}.md", id.layer, id.neuron));
    let mut stray_explanations = BTreeMap::new();
    for (model, _) in content.explanations.keys().filter(is_stray) {
        let file = format!("explanations/{model}.jsonl");
        *stray_explanations.entry(file).or_default() += 1;
    }
    let mut warnings: Vec<String> = content.warnings.iter().map(Warning::to_string).collect();
    warnings.extend_from_slice(theme.warnings());
    if let Some(given) = &inputs.options.base_url
        && let full = with_scheme(given)
        && full != *given
    {
        warnings.push(format!(
            "the base URL `{given}` has no scheme, and is taken as `{full}`"
        ));
    }
    let n_neurons = models.iter().map(|(_, n)| n).sum();
    let output = output.finish(Some(made.as_json()))?;
    let budget = inputs.options.budget;
    if budget.0 > 0 && output.bytes > budget.0 {
        warnings.push(format!(
            "the site takes {}, and its budget is {budget}",
            size_words(output.bytes)
        ));
    }
    Ok(BuildReport {
        models,
        n_neurons,
        layouts,
        stray_notes: stray_notes.collect(),
        stray_explanations,
        warnings,
        output,
    })
}

/// Refuses models whose folders would be one, somebody else's, or none.
fn check_names(names: &[ModelName], content: &Content) -> Result<(), SiteError> {
    for (at, name) in names.iter().enumerate() {
        if let Some(other) = names[..at].iter().find(|other| other.is_same_folder(name)) {
            return Err(SiteError::SameName(other.clone(), name.clone()));
        }
    }
    for (address, path) in addresses(content) {
        let folder = address.split('/').next().unwrap_or_default();
        let is_taken = |name: &ModelName| address_key(folder) == address_key(name.as_str());
        if names.iter().any(is_taken) {
            return Err(SiteError::BadFolder(path.to_owned()));
        }
    }
    Ok(())
}

/// The addresses that the content takes, each with its file.
fn addresses(content: &Content) -> impl Iterator<Item = (String, &Path)> {
    let pages = content.pages.iter();
    let pages = pages.map(|page| (address::content_page(&page.slug), page.path.as_path()));
    let files = content.files.iter();
    pages.chain(files.map(|(name, path)| (name.clone(), path.as_path())))
}

/// Refuses content that would be at one address with something else.
fn check_addresses(content: &Content) -> Result<(), SiteError> {
    let own = OWN_PAGES.map(|page| (page.to_owned(), page.to_owned()));
    let mut taken = BTreeMap::from(own);
    for (address, path) in addresses(content) {
        if !output::is_inner(&address) {
            return Err(SiteError::BadAddress(address));
        }
        let key = address_key(&address);
        let folder = key.split('/').next().unwrap_or_default();
        if RESERVED.contains(&folder) {
            return Err(SiteError::BadFolder(path.to_owned()));
        }
        match taken.insert(key, address.clone()) {
            None => {}
            Some(other) if other == address => return Err(SiteError::Twice(address)),
            Some(other) => return Err(SiteError::Alike(other, address)),
        }
    }
    Ok(())
}

fn site_view(
    options: &SiteOptions,
    content: &Content,
    sources: &[Source],
    packings: &[Option<Packing>],
) -> SiteView {
    let mut pages: Vec<&Page> = content
        .pages
        .iter()
        .filter(|page| page.menu.is_some())
        .collect();
    pages.sort_by_key(|page| page.menu);
    let pages = pages.iter().map(|page| Link {
        href: address::encoded(&address::content_page(&page.slug)),
        label: page.title.clone(),
        external: false,
    });
    let links = options.menu.iter().map(|link| Link {
        href: link.href.clone(),
        label: link.label.clone(),
        external: !is_relative(&link.href),
    });
    let logo = LOGOS
        .into_iter()
        .find(|logo| content.files.contains_key(*logo));
    let model = |(source, packing): (&Source, &Option<Packing>)| {
        let bos = source.bos().map(|text| lone_token(&text));
        ModelView::new(source, bos, packing.as_ref())
    };
    SiteView {
        title: options.title.clone(),
        language: options.language.clone(),
        version: env!("CARGO_PKG_VERSION"),
        menu: pages.chain(links).collect(),
        logo,
        footer: content.footer.clone(),
        models: sources.iter().zip(packings).map(model).collect(),
    }
}

impl Site<'_> {
    /// The pages that are about no model, and the files that all pages need.
    fn own_pages(&self) -> Result<(), SiteError> {
        for (name, bytes) in self.theme.assets() {
            self.write(name, bytes)?;
        }
        for (name, path) in &self.content.files {
            let bytes = fs::read(path).map_err(|source| SiteError::io("read", path, source))?;
            self.write(name, &bytes)?;
        }
        self.write(".nojekyll", b"")?;
        let description = "Every MLP neuron of a language model, with its statistics and the text on which it is most positive and most negative.";
        let common = self.common(address::HOME, self.view.title.clone(), description.into());
        self.page(
            address::HOME,
            "home.html",
            None,
            &HomeView {
                common,
                introduction: self.content.index.as_ref(),
            },
        )?;
        for page in &self.content.pages {
            let name = address::content_page(&page.slug);
            let common = self.common(
                &name,
                page.title.clone(),
                page.description.clone().unwrap_or_default(),
            );
            self.page(&name, "page.html", None, &PageView { common, page })?;
        }
        let description = "Two neurons side by side, of one model or of two.";
        let compare = self.common(
            address::COMPARE,
            "Compare neurons".into(),
            description.into(),
        );
        self.page(address::COMPARE, "compare.html", None, &compare)?;
        // served in the place of any address, so its links cannot be relative to its own
        let mut common = self.unlisted(
            address::NOT_FOUND,
            "Not found".into(),
            "There is no such page.".into(),
        );
        (common.root, common.canonical) = (self.options.base_path(), None);
        self.page(address::NOT_FOUND, "404.html", None, &common)
    }

    /// The sitemap and what points to it; both need the site's full address.
    fn sitemap(&self, listed: &[String]) -> Result<(), SiteError> {
        let Some(base) = self.options.base_url() else {
            return Ok(());
        };
        let names: Vec<String> = listed.iter().map(|page| address::announced(page)).collect();
        for (name, xml) in sitemap::files(&base, &names) {
            self.write(&name, xml.as_bytes())?;
        }
        if self.content.files.contains_key(ROBOTS) {
            return Ok(()); // the project's own
        }
        self.write(
            ROBOTS,
            format!("User-agent: *\nAllow: /\nSitemap: {base}sitemap.xml\n").as_bytes(),
        )
    }
}
