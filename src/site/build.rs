//! Builds the site: reads atlases, renders page by page, hands bytes to the output.
//!
//! Neurons are read and rendered some at a time, so memory does not grow with the model but for one line per neuron
//! of the layer at hand and one hash per file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use crate::atlas::{Atlas, AtlasNeuron, Measure, NeuronWeights, Regions, Summary, quantile};
use crate::ids::{NeuronId, TokenId};
use crate::tokens::Tokenizer;
use crate::tokens::store::TokenStore;

use super::content::{Content, Page};
use super::documents;
use super::error::SiteError;
use super::figures::{LayerFigures, figures};
use super::format::{count, number, percent};
use super::indexes::{json, layer_index, model_index};
use super::options::SiteOptions;
use super::output::{Output, OutputReport};
use super::plot;
use super::record::{NEURON_SCHEMA_JSON, Population, RecordWriter};
use super::sitemap;
use super::theme::Theme;
use super::views::{
    Common, HomeView, LayerPageView, LayerRow, Link, ListView, ModelPageView, ModelView,
    NeuronPageView, NoteRow, PageView, SiteView, TokensPageView, TopRow, cards, hook_post_words,
    rank_row, sign_rows,
};
use super::weights::WeightsView;
use super::{terms::Terms, token_index};

/// Neurons that are read and rendered at a time.
const CHUNK: usize = 256;
/// Rows of a layer's table that stand in the page itself; the script loads the others.
const TABLE_ROWS: usize = 50;
/// Neurons named on a model's page.
const TOP_NEURONS: usize = 20;
/// Unpacked tokens kept in memory: a corpus of this size is read once.
const CACHE_TOKENS: usize = 64 << 20;
/// Names of folders at the site's root.
const RESERVED: [&str; 2] = ["assets", "schema"];

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
struct Source {
    atlas: Atlas,
    store: TokenStore,
    tokenizer: Tokenizer,
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
    fn regions(&self, layer: u32) -> Option<&Regions> {
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
    let theme = Theme::load(inputs.theme)?;
    let content = match inputs.content {
        Some(folder) => Content::read(folder, inputs.options.raw_html)?,
        None => Content::default(),
    };
    let output = Output::open(out)?;
    let site = site_view(inputs.options, &content, &sources);
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
    let mut models = Vec::new();
    for (source, model) in sources.iter().zip(&site.models) {
        build.model(source, model)?;
        let info = &source.atlas.manifest().scan.model;
        models.push((
            info.name.clone(),
            u64::from(info.n_layers) * u64::from(info.d_mlp),
        ));
    }
    build.sitemap(&sources)?;
    let stray = content.notes.keys().filter(|(model, id)| {
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
    let link = |page: &&Page| Link {
        href: format!("{}.html", page.slug),
        label: page.title.clone(),
    };
    let model = |source: &Source| {
        let manifest = source.atlas.manifest();
        let bos = manifest
            .scan
            .policy
            .bos
            .map(|id| source.tokenizer.vocabulary().text(TokenId(id)).into_owned());
        ModelView::new(&manifest.scan, &manifest.neuroscope, bos)
    };
    SiteView {
        title: options.title.clone(),
        language: options.language.clone(),
        version: env!("CARGO_PKG_VERSION"),
        menu: pages.iter().map(link).collect(),
        models: sources.iter().map(model).collect(),
    }
}

struct Build<'a> {
    options: &'a SiteOptions,
    theme: &'a Theme,
    content: &'a Content,
    output: &'a Output,
    site: &'a SiteView,
    done: AtomicU64,
    progress: &'a (dyn Fn(u64) -> bool + Sync),
}

impl<'a> Build<'a> {
    /// What every page has; `name` is the page's file, with `/` between folders.
    fn common(
        &self,
        name: &str,
        title: String,
        description: String,
        model: Option<&'a ModelView>,
    ) -> Common<'a> {
        let canonical = self
            .options
            .base_url()
            .map(|base| base + name.strip_suffix("index.html").unwrap_or(name));
        Common {
            site: self.site,
            root: "../".repeat(name.matches('/').count()),
            title,
            description,
            canonical,
            model,
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), SiteError> {
        self.output.write(name, bytes)
    }

    fn page(&self, name: &str, template: &str, view: &impl Serialize) -> Result<(), SiteError> {
        self.write(name, &self.theme.render(template, view)?)
    }

    fn site_pages(&self) -> Result<(), SiteError> {
        for (name, bytes) in self.theme.assets() {
            self.write(name, bytes)?;
        }
        self.write("schema/neuron.v1.json", NEURON_SCHEMA_JSON.as_bytes())?;
        self.write(".nojekyll", b"")?;
        let description = "Every MLP neuron of a language model, with its statistics and the text that excites it most and least.";
        let common = self.common(
            "index.html",
            self.site.title.clone(),
            description.into(),
            None,
        );
        self.page(
            "index.html",
            "home.html",
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
                None,
            );
            self.page(&name, "page.html", &PageView { common, page })?;
        }
        // served in the place of any address, so its links cannot be relative to its own
        let mut common = self.common(
            "404.html",
            "Not found".into(),
            "There is no such page.".into(),
            None,
        );
        (common.root, common.canonical) = (self.options.base_path(), None);
        self.page("404.html", "404.html", &common)
    }

    fn model(&self, source: &Source, model: &'a ModelView) -> Result<(), SiteError> {
        let manifest = source.atlas.manifest();
        let name = &model.name;
        let writer = RecordWriter::new(&source.atlas, &source.store, source.tokenizer.vocabulary());

        let mut in_model = [0; Measure::ALL.len()];
        let mut of_weights = Vec::new();
        let mut layers = Vec::new();
        let mut top = Vec::new();
        for layer in 0..model.n_layers {
            let summaries = source.atlas.summaries(layer)?;
            for (total, n) in in_model.iter_mut().zip(with_value(&summaries)) {
                *total += n;
            }
            layers.push(layer_row(layer, &summaries));
            if let Some(weights) = source.atlas.weights(layer)? {
                of_weights.push(LayerFigures::new(&weights, source.regions(layer)));
            }
            let best = summaries
                .iter()
                .filter_map(|s| Some((s.ranked(Measure::ALL[0]).rank_in_model?, s)));
            top.extend(
                best.filter(|(rank, _)| *rank as usize <= TOP_NEURONS)
                    .map(|(rank, s)| {
                        (
                            rank,
                            TopRow {
                                layer: s.layer,
                                neuron: s.neuron,
                                value: number(s.ranked(Measure::ALL[0]).value),
                            },
                        )
                    }),
            );
        }
        top.sort_by_key(|(rank, _)| *rank);
        let notes = self
            .content
            .notes
            .iter()
            .filter(|((of, _), _)| of == name)
            .map(|((_, id), page)| NoteRow {
                layer: id.layer,
                neuron: id.neuron,
                title: page.title.clone(),
                author: page.author.clone(),
            });

        let figures = figures(&of_weights)?;
        for (file, bytes) in figures.files {
            self.write(&format!("{name}/{file}"), &bytes)?;
        }
        let terms = source
            .atlas
            .weights_info()
            .map(|info| Terms::new(info, model.gated, model.d_model));
        let index = format!("{name}/index.html");
        let description = format!(
            "{name}: {} neurons of {} layers, {} tokens of {}.",
            model.n_neurons, model.n_layers, model.n_counted, model.corpus
        );
        let view = ModelPageView {
            common: self.common(&index, name.clone(), description, Some(model)),
            layers,
            top: top.into_iter().map(|(_, row)| row).collect(),
            notes: notes.collect(),
            figures: figures.views,
            terms,
        };
        self.page(&index, "model.html", &view)?;
        self.tokens(source, model)?;
        self.write(
            &format!("{name}/index.json"),
            &json(&model_index(manifest, &view))?,
        )?;
        self.write(&format!("{name}/manifest.json"), &json(manifest)?)?;
        self.page(
            &format!("{name}/model.html"),
            "redirect.html",
            &self.common(
                &format!("{name}/model.html"),
                name.clone(),
                String::new(),
                Some(model),
            ),
        )?;
        let random = format!("{name}/random.html");
        self.page(
            &random,
            "random.html",
            &self.common(&random, "Random neuron".into(), String::new(), Some(model)),
        )?;

        let starts = documents::starts(&writer);
        self.write(
            &format!("{name}/docs/index.json"),
            &documents::index(&writer, &starts),
        )?;
        (0..starts.len()).into_par_iter().try_for_each(|at| {
            let end = starts
                .get(at + 1)
                .copied()
                .unwrap_or(source.store.n_documents() as u32);
            self.write(
                &format!("{name}/docs/{}", documents::file_name(starts[at])),
                &documents::file(&writer, starts[at], end)?,
            )
        })?;

        for layer in 0..model.n_layers {
            let summaries = source.atlas.summaries(layer)?;
            let weights = source.atlas.weights(layer)?;
            let of_weights = of_weights.get(layer as usize);
            self.layer(
                source,
                model,
                layer,
                (&summaries, weights.as_deref(), of_weights),
            )?;
            let population = Population {
                layer: with_value(&summaries),
                model: in_model,
            };
            let mut neurons = source.atlas.layer(layer)?;
            loop {
                let chunk = neurons
                    .by_ref()
                    .take(CHUNK)
                    .collect::<Result<Vec<_>, _>>()?;
                if chunk.is_empty() {
                    break;
                }
                chunk.par_iter().try_for_each(|neuron| {
                    self.neuron(source, &writer, model, neuron, &population)
                })?;
            }
        }
        Ok(())
    }

    /// The page on which tokens are searched, and its files, if the weights were analysed.
    fn tokens(&self, source: &Source, model: &'a ModelView) -> Result<(), SiteError> {
        let Some(batches) = source.atlas.tokens(token_index::TOKENS_PER_FILE)? else {
            return Ok(());
        };
        let (name, scan) = (&model.name, &source.atlas.manifest().scan);
        let n_tokens = token_index::write(scan, batches, &|file, value| {
            self.write(&format!("{name}/tokens/{file}"), &json(value)?)
        })?;
        let page = format!("{name}/tokens.html");
        let description =
            format!("Which neurons of {name} promote, suppress and answer to a token.");
        let view = TokensPageView {
            common: self.common(&page, format!("{name} · tokens"), description, Some(model)),
            n_tokens: count(n_tokens as u64),
        };
        self.page(&page, "tokens.html", &view)
    }

    fn layer(
        &self,
        source: &Source,
        model: &'a ModelView,
        layer: u32,
        (summaries, weights, figures): (
            &[Summary],
            Option<&[NeuronWeights]>,
            Option<&LayerFigures>,
        ),
    ) -> Result<(), SiteError> {
        let name = format!("{}/{layer}", model.name);
        let index = format!("{name}/index.html");
        let default = Measure::ALL[0];
        let mut ranked: Vec<&Summary> = summaries.iter().collect();
        ranked.sort_by_key(|s| {
            (
                s.ranked(default).rank_in_layer.unwrap_or(u32::MAX),
                s.neuron,
            )
        });
        let values: Vec<f64> = summaries
            .iter()
            .filter_map(|s| s.ranked(default).value)
            .collect();
        let description = format!(
            "Layer {layer} of {}: its {} neurons, ranked.",
            model.name,
            summaries.len()
        );
        let view = LayerPageView {
            common: self.common(
                &index,
                format!("{} · layer {layer}", model.name),
                description,
                Some(model),
            ),
            layer,
            previous: layer.checked_sub(1),
            next: (layer + 1 < model.n_layers).then_some(layer + 1),
            rows: ranked
                .iter()
                .take(TABLE_ROWS)
                .map(|s| rank_row(s))
                .collect(),
            n_rows: summaries.len(),
            plot: plot::distribution(
                &values,
                &format!("Distribution of {} in layer {layer}", default.label()),
            ),
            cells: cells(summaries),
            dead: summaries.iter().filter(|s| s.dead).count(),
            rare: summaries.iter().filter(|s| s.rare).count(),
            classes: figures.map(LayerFigures::class_rows).unwrap_or_default(),
            roles: figures.map(LayerFigures::role_rows).unwrap_or_default(),
        };
        self.page(&index, "layer.html", &view)?;
        let weights = weights.zip(source.regions(layer));
        self.write(
            &format!("{name}/index.json"),
            &json(&layer_index(
                &model.name,
                layer,
                summaries,
                &ranked,
                weights,
            ))?,
        )?;
        let random = format!("{name}/random.html");
        #[derive(Serialize)]
        struct RandomView<'a> {
            #[serde(flatten)]
            common: Common<'a>,
            layer: u32,
        }
        let common = self.common(
            &random,
            format!("Random neuron of layer {layer}"),
            String::new(),
            Some(model),
        );
        self.page(&random, "random.html", &RandomView { common, layer })
    }

    fn neuron(
        &self,
        source: &Source,
        writer: &RecordWriter<'_>,
        model: &'a ModelView,
        neuron: &AtlasNeuron,
        population: &Population,
    ) -> Result<(), SiteError> {
        let NeuronId {
            layer,
            neuron: index,
        } = neuron.id;
        let scan = &source.atlas.manifest().scan;
        let record = writer.record(neuron, population)?;
        let name = format!("{}/{layer}/{index}.html", model.name);
        let vocabulary = source.tokenizer.vocabulary();
        let info = source.atlas.weights_info();
        let weights = neuron.weights.as_ref();
        let weights = weights.map(|of| WeightsView::new(of, layer, info, vocabulary));
        let at = |id: Option<(u32, u32)>| {
            id.map(|(to, index)| {
                if to == layer {
                    format!("{index}.html")
                } else {
                    format!("../{to}/{index}.html")
                }
            })
        };
        let previous = index
            .checked_sub(1)
            .map(|index| (layer, index))
            .or_else(|| Some((layer.checked_sub(1)?, model.d_mlp - 1)));
        let next = if index + 1 < model.d_mlp {
            Some((layer, index + 1))
        } else {
            (layer + 1 < model.n_layers).then_some((layer + 1, 0))
        };
        let order = |list: &str| match list {
            list if list == record.main_list => 0,
            "top" | "bottom" => 1,
            band if band.starts_with("band_") => 2,
            "random" => 3,
            case if case.starts_with("gate") => 4,
            _ => 5,
        };
        let mut lists: Vec<ListView> = record
            .lists
            .iter()
            .map(|(list, n)| ListView::new(list, *n, model))
            .collect();
        lists.sort_by_key(|list| order(&list.name));
        let description = format!(
            "Neuron {index} of layer {layer} of {}: statistics, and the text that excites it most and least.",
            model.name
        );
        let view = NeuronPageView {
            common: self.common(
                &name,
                format!("{} {layer}.{index}", model.name),
                description,
                Some(model),
            ),
            layer,
            neuron: index,
            hook: scan.policy.hook_in(layer),
            previous: at(previous),
            next: at(next),
            cards: cards(neuron, scan, population),
            signs: sign_rows(neuron),
            weights,
            dead: neuron.summary.dead,
            rare: neuron.summary.rare,
            not_finite: if neuron.stats.not_finite > 0 {
                count(neuron.stats.not_finite)
            } else {
                String::new()
            },
            hook_post: neuron.stats.post.as_ref().and_then(hook_post_words),
            histogram: plot::log_histogram(
                &record.histogram.edges,
                &record.histogram.counts,
                "Histogram of activations",
            ),
            lists,
            main_list: record.main_list,
            main_html: &record.main_html,
            note: self.content.notes.get(&(model.name.clone(), neuron.id)),
            record: &record.json,
        };
        self.page(&name, "neuron.html", &view)?;
        if self.options.neuron_json {
            self.write(
                &format!("{}/{layer}/{index}.json", model.name),
                record.json.as_bytes(),
            )?;
        }
        match (self.progress)(self.done.fetch_add(1, Ordering::Relaxed) + 1) {
            true => Ok(()),
            false => Err(SiteError::Interrupted),
        }
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

/// How many neurons have a value of each measure.
fn with_value(summaries: &[Summary]) -> [u32; Measure::ALL.len()] {
    Measure::ALL.map(|measure| {
        summaries
            .iter()
            .filter(|s| s.ranked(measure).value.is_some())
            .count() as u32
    })
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5)
}

fn layer_row(layer: u32, summaries: &[Summary]) -> LayerRow {
    let values = |measure: Measure| {
        summaries
            .iter()
            .filter_map(|s| s.ranked(measure).value)
            .collect::<Vec<_>>()
    };
    let kurtosis = values(Measure::Kurtosis);
    LayerRow {
        layer,
        plot: plot::distribution(
            &kurtosis,
            &format!("Distribution of kurtosis in layer {layer}"),
        ),
        median_kurtosis: number(median(kurtosis)),
        median_frequency: percent(median(values(Measure::Frequency))),
        dead: summaries.iter().filter(|s| s.dead).count(),
        rare: summaries.iter().filter(|s| s.rare).count(),
        best: summaries
            .iter()
            .find(|s| s.ranked(Measure::ALL[0]).rank_in_layer == Some(1))
            .map(|s| s.neuron),
    }
}

/// All neurons of a layer as a grid of links, shaded by the default measure's rank.
fn cells(summaries: &[Summary]) -> String {
    const SHADES: u32 = 9;
    let n = with_value(summaries)[0].max(1);
    let mut out = String::with_capacity(summaries.len() * 48);
    for s in summaries {
        let shade = s
            .ranked(Measure::ALL[0])
            .rank_in_layer
            .map_or(0, |rank| SHADES - (rank - 1) * SHADES / n);
        let state = if s.dead { " dead" } else { "" };
        out.push_str(&format!(
            "<a class=\"s{shade}{state}\" href=\"{0}.html\">{0}</a>\n",
            s.neuron
        ));
    }
    out
}
