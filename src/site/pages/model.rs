//! The pages and files of one model.
//!
//! Neurons are read and rendered some at a time, so memory does not grow with the model but for one line per neuron
//! of the layer at hand and one hash per file.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::atlas::facts::{FREQUENCY, Fact, KURTOSIS, N_RANKED, RANKED, facts};
use crate::atlas::{Summary, quantile};

use super::figures::{FigureView, LayerFigures, Tables, weight_figures};
use super::indexes::model_index;
use super::layer::Layer;
use super::neuron::NeuronPages;
use super::part::ModelPart;
use super::plot;
use super::spread::{self, LayerSpread};
use super::terms::Terms;
use super::views::{LayerRow, ModelPageView, NoteRow, TokensPageView, TopRow};
use crate::site::address;
use crate::site::data::documents;
use crate::site::data::explore::Known;
use crate::site::data::record::{Population, RecordWriter, with_value};
use crate::site::data::token_index;
use crate::site::error::SiteError;
use crate::site::text::format::{count, number, percent};
use crate::site::text::texts::json;

/// Neurons that are read at a time.
const CHUNK: usize = 32;
/// Neurons named on a model's page.
const TOP_NEURONS: usize = 20;

/// What is known of a layer before its neurons' pages are written.
struct Overview {
    with_value: [u32; N_RANKED],
    /// The facts of a scan that some neuron has.
    found: Vec<&'static str>,
    row: LayerRow,
    spread: LayerSpread,
    /// If the weights were analysed.
    figures: Option<LayerFigures>,
    /// Neurons that are among the first of the model, with their ranks.
    top: Vec<(u32, TopRow)>,
    known: Known,
}

impl ModelPart<'_> {
    /// Writes everything of the model.
    pub(in crate::site) fn write(&self) -> Result<(), SiteError> {
        let (site, source, model) = (self.site, self.source, self.model);
        let name = &model.name;
        let writer = RecordWriter::new(&source.atlas, &source.store, source.tokenizer.vocabulary());
        let mut pages = NeuronPages::new(*self, &writer);
        let first = (0..model.n_layers).into_par_iter();
        let first = first.map(|layer| self.overview(layer, &pages));
        let first = first.collect::<Result<Vec<_>, SiteError>>()?;
        let mut in_model = [0; N_RANKED];
        let mut found = BTreeSet::new();
        let (mut of_weights, mut spreads) = (Vec::new(), Vec::new());
        let (mut layers, mut top) = (Vec::new(), Vec::new());
        for layer in first {
            for (total, n) in in_model.iter_mut().zip(layer.with_value) {
                *total += n;
            }
            found.extend(layer.found);
            layers.push(layer.row);
            spreads.push(layer.spread);
            of_weights.extend(layer.figures);
            top.extend(layer.top);
            pages.add_layer(layer.known);
        }
        top.sort_by_key(|(rank, _)| *rank);
        let top = top.into_iter().map(|(_, row)| row).collect();
        let mut tables = Tables::default();
        let spread = spread::figures(&spreads, &mut tables)?;
        let figures = weight_figures(&of_weights, &mut tables)?;
        for (file, bytes) in tables.0 {
            site.write(&address::of_model(name, &file), &bytes)?;
        }
        let missing = scanned_facts().filter(|fact| !found.contains(fact.key));
        let missing = missing.map(|fact| fact.key).collect();
        self.index(layers, top, spread, figures, missing)?;
        self.tokens()?;
        let manifest = source.atlas.manifest();
        site.write(&address::of_model(name, "manifest.json"), &json(manifest)?)?;
        let explored = format!("Filter, sort and plot the neurons of {name} by any number.");
        let searched =
            format!("Search the neurons of {name} by tokens, words, notes and explanations.");
        for (file, template, title) in [
            ("model.html", "redirect.html", name.clone()),
            ("random.html", "random.html", "Random neuron".into()),
        ] {
            let page = address::of_model(name, file);
            let common = site.unlisted(&page, title, String::new());
            site.page(&page, template, Some(model), &common)?;
        }
        for (file, title, description) in [
            ("explore.html", format!("Explore {name}"), explored),
            ("search.html", format!("Search {name}"), searched),
        ] {
            let page = address::of_model(name, file);
            let common = site.common(&page, title, description);
            site.page(&page, file, Some(model), &common)?;
        }
        self.documents(&writer)?;

        // files of one folder are made one after the other, so layers go side by side
        (0..model.n_layers).into_par_iter().try_for_each(|layer| {
            self.layer(layer, in_model, of_weights.get(layer as usize), &pages)
        })?;
        pages.finish()
    }

    /// What the model's own page and files need of a layer.
    fn overview(&self, layer: u32, pages: &NeuronPages<'_>) -> Result<Overview, SiteError> {
        let source = self.source;
        let summaries = source.atlas.summaries(layer)?;
        let weights = source.atlas.weights(layer)?;
        let weights = weights.as_deref();
        Ok(Overview {
            with_value: with_value(&summaries),
            found: scanned_facts()
                .filter(|fact| summaries.iter().any(|s| s.value(fact).is_some()))
                .map(|fact| fact.key)
                .collect(),
            row: layer_row(layer, &summaries),
            spread: LayerSpread::new(&summaries),
            figures: weights.map(|weights| LayerFigures::new(weights, source.regions(layer))),
            top: summaries.iter().filter_map(first_in_model).collect(),
            known: pages.known(&summaries, weights),
        })
    }

    /// A layer's page and the pages of its neurons.
    fn layer(
        &self,
        layer: u32,
        in_model: [u32; N_RANKED],
        figures: Option<&LayerFigures>,
        pages: &NeuronPages<'_>,
    ) -> Result<(), SiteError> {
        let atlas = &self.source.atlas;
        let summaries = atlas.summaries(layer)?;
        let weights = atlas.weights(layer)?;
        let of_layer = Layer {
            part: *self,
            layer,
            summaries: &summaries,
            weights: weights.as_deref(),
            figures,
        };
        of_layer.write()?;
        let population = Population {
            layer: with_value(&summaries),
            model: in_model,
        };
        drop(weights);
        let neurons = Mutex::new(atlas.layer(layer)?);
        let next = || {
            let mut neurons = neurons.lock().unwrap_or_else(PoisonError::into_inner);
            let chunk: Vec<_> = neurons.by_ref().take(CHUNK).collect();
            (!chunk.is_empty()).then_some(chunk)
        };
        // whoever has nothing else to do reads the next ones, while others render theirs
        let worker = |_| -> Result<(), SiteError> {
            while let Some(chunk) = next() {
                for neuron in chunk {
                    pages.write(&neuron?, &population)?;
                }
            }
            Ok(())
        };
        (0..rayon::current_num_threads())
            .into_par_iter()
            .with_max_len(1)
            .try_for_each(worker)
    }

    /// The model's page and its index.
    fn index(
        &self,
        layers: Vec<LayerRow>,
        top: Vec<TopRow>,
        spread: Vec<FigureView>,
        figures: Vec<FigureView>,
        missing: Vec<&'static str>,
    ) -> Result<(), SiteError> {
        let (site, source, model) = (self.site, self.source, self.model);
        let name = &model.name;
        let notes = site.content.notes.iter();
        let notes = notes
            .filter(|((of, _), _)| of == name)
            .map(|((_, id), page)| NoteRow {
                layer: id.layer,
                neuron: id.neuron,
                title: page.title.clone(),
                author: page.author.clone(),
            });
        let info = source.atlas.weights_info();
        let terms = info.map(|info| Terms::new(info, model.gated, model.d_model));
        let index = address::model(name);
        let description = format!(
            "{name}: {} neurons of {} layers, {} tokens of {}.",
            model.n_neurons, model.n_layers, model.n_counted, model.corpus
        );
        let view = ModelPageView {
            common: site.common(&index, name.clone(), description),
            layers,
            top,
            notes: notes.collect(),
            spread,
            figures,
            terms,
            missing,
        };
        site.page(&index, "model.html", Some(model), &view)?;
        let manifest = source.atlas.manifest();
        site.write(
            &address::of_model(name, "index.json"),
            &json(&model_index(
                manifest,
                &view,
                [&model.measures, &model.statistics],
                site.options.neuron_json,
            ))?,
        )
    }

    /// The page on which tokens are searched, and its files, if the weights were analysed.
    fn tokens(&self) -> Result<(), SiteError> {
        let (site, atlas) = (self.site, &self.source.atlas);
        let Some(batches) = atlas.tokens(token_index::TOKENS_PER_FILE)? else {
            return Ok(());
        };
        let (name, scan) = (&self.model.name, &atlas.manifest().scan);
        let n_tokens = token_index::write(scan, batches, &|file, bytes| {
            let file = format!("tokens/{file}");
            site.write(&address::of_model(name, &file), &bytes)
        })?;
        let page = address::of_model(name, "tokens.html");
        let description =
            format!("Which neurons of {name} promote, suppress and answer to a token.");
        let view = TokensPageView {
            common: site.common(&page, format!("{name} · tokens"), description),
            n_tokens: count(n_tokens as u64),
        };
        site.page(&page, "tokens.html", Some(self.model), &view)
    }

    /// The documents of the corpus.
    fn documents(&self, writer: &RecordWriter<'_>) -> Result<(), SiteError> {
        let (site, name, corpus) = (self.site, &self.model.name, writer.corpus());
        let starts = documents::starts(corpus);
        site.write(
            &address::of_model(name, "docs/index.json"),
            &documents::index(corpus, &starts),
        )?;
        let n_documents = self.source.store.n_documents() as u32;
        (0..starts.len()).into_par_iter().try_for_each(|at| {
            let end = starts.get(at + 1).copied().unwrap_or(n_documents);
            let file = format!("docs/{}", documents::file_name(starts[at]));
            let bytes = documents::file(corpus, starts[at], end)?;
            site.write(&address::of_model(name, &file), &bytes)
        })
    }
}

/// A neuron's rank in the model and its row, if it is among the first.
fn first_in_model(summary: &Summary) -> Option<(u32, TopRow)> {
    let ranks = summary.ranks(RANKED[0]);
    let rank = ranks
        .in_model
        .filter(|&rank| rank as usize <= TOP_NEURONS)?;
    let row = TopRow {
        layer: summary.layer,
        neuron: summary.neuron,
        value: number(summary.value(RANKED[0])),
    };
    Some((rank, row))
}

/// The facts that a scan gives.
fn scanned_facts() -> impl Iterator<Item = &'static Fact> {
    facts().filter(|fact| fact.is_scanned())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5)
}

fn layer_row(layer: u32, summaries: &[Summary]) -> LayerRow {
    let values = |fact: &Fact| {
        let values = summaries.iter().filter_map(|s| s.value(fact));
        values.collect::<Vec<_>>()
    };
    let kurtosis = values(&KURTOSIS);
    LayerRow {
        layer,
        plot: plot::distribution(
            &kurtosis,
            &format!("Distribution of kurtosis in layer {layer}"),
        ),
        median_kurtosis: number(median(kurtosis)),
        median_frequency: percent(median(values(&FREQUENCY))),
        dead: summaries.iter().filter(|s| s.dead == Some(true)).count(),
        rare: summaries.iter().filter(|s| s.rare == Some(true)).count(),
        best: summaries
            .iter()
            .find(|s| s.ranks(RANKED[0]).in_layer == Some(1))
            .map(|s| s.neuron),
    }
}
