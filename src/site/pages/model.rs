//! The pages of a model that are about no single layer, with the files beside them.

use std::collections::BTreeSet;

use crate::atlas::Summary;
use crate::atlas::facts::{Fact, KURTOSIS};
use crate::ids::NeuronId;

use super::figures::{LayerFigures, Tables, weight_figures};
use super::plot;
use super::spread::{self, LayerSpread};
use super::terms::Terms;
use super::views::{LayerRow, ModelPageView, NoteRow, TokensPageView, TopRow};
use crate::site::address;
use crate::site::data::{LayerOverview, ModelData, TopNeuron};
use crate::site::encode::indexes::model_index;
use crate::site::encode::token_index;
use crate::site::error::SiteError;
use crate::site::part::ModelPart;
use crate::site::text::display::plain;
use crate::site::text::format::{count, number, percent};
use crate::site::text::texts::json;

/// What the model's page draws of a layer.
pub(crate) struct LayerDrawing {
    plot: String,
    spread: LayerSpread,
}

impl LayerDrawing {
    pub(crate) fn new(layer: u32, summaries: &[Summary]) -> Self {
        let values =
            |fact: &Fact| -> Vec<f64> { summaries.iter().filter_map(|s| s.value(fact)).collect() };
        let title = format!("Distribution of kurtosis in layer {layer}");
        Self {
            plot: plot::distribution(&values(&KURTOSIS), &title),
            spread: LayerSpread::new(summaries),
        }
    }
}

/// Writes the pages on which a model's neurons and tokens are explored, searched and drawn.
pub(crate) fn write_others(part: &ModelPart<'_>) -> Result<(), SiteError> {
    tokens(part)?;
    let (site, model) = (part.site, part.model);
    let name = &model.name;
    let manifest = part.source.atlas.manifest();
    site.write(&address::of_model(name, "manifest.json"), &json(manifest)?)?;
    for (file, template, title) in [
        ("model.html", "redirect.html", name.clone()),
        ("random.html", "random.html", "Random neuron".into()),
    ] {
        let page = address::of_model(name, file);
        let common = site.unlisted(&page, title, String::new());
        site.page(&page, template, Some(model), &common)?;
    }
    let explored = format!("Filter, sort and plot the neurons of {name} by any number.");
    let searched =
        format!("Search the neurons of {name} by tokens, words, notes and explanations.");
    for (file, title, description) in [
        ("explore.html", format!("Explore {name}"), explored),
        ("search.html", format!("Search {name}"), searched),
    ] {
        let page = address::of_model(name, file);
        let common = site.common(&page, title, description);
        site.page(&page, file, Some(model), &common)?;
    }
    Ok(())
}

/// Writes a model's page and its index. `figures` are those of the weights, if they were analysed.
pub(crate) fn write(
    part: &ModelPart<'_>,
    data: &ModelData,
    drawings: Vec<LayerDrawing>,
    figures: &[LayerFigures],
) -> Result<(), SiteError> {
    let (site, model) = (part.site, part.model);
    let name = &model.name;
    let (mut plots, mut spreads) = (Vec::new(), Vec::new());
    for (of, drawing) in data.layers.iter().zip(drawings) {
        // the layers before that were not scanned
        spreads.resize_with(of.layer as usize, LayerSpread::default);
        spreads.push(drawing.spread);
        plots.push(drawing.plot);
    }
    let mut tables = Tables::default();
    let spread = spread::figures(&spreads, &mut tables)?;
    let figures = weight_figures(figures, &mut tables)?;
    for (file, bytes) in tables.0 {
        site.write(&address::of_model(name, &file), &bytes)?;
    }
    let page_of = |id: NeuronId| format!("{}/{}", id.layer, part.neuron_link(id));
    let notes = part.notes().map(|(id, note)| NoteRow {
        page: page_of(id),
        layer: id.layer,
        neuron: id.neuron,
        title: note.title.clone(),
        author: note.author.clone(),
    });
    let top = |of: &TopNeuron| TopRow {
        page: page_of(of.id),
        layer: of.id.layer,
        neuron: of.id.neuron,
        value: number(of.value),
        line: of.line.as_deref().map(plain),
    };
    let at_starts = data.layers.iter().filter_map(|layer| layer.at_starts);
    let info = part.source.atlas.weights_info();
    let page = address::model(name);
    let counted = model.n_counted.as_ref();
    let counted = counted.map_or_else(String::new, |n| format!("{n} tokens of "));
    let description = format!(
        "{name}: {} neurons of {} layers, {counted}{}.",
        model.n_neurons, model.n_layers, model.corpus
    );
    let view = ModelPageView {
        common: site.common(&page, name.clone(), description),
        layers: data
            .layers
            .iter()
            .zip(plots)
            .map(|row| layer_row(row, page_of))
            .collect(),
        top: data.top.iter().map(top).collect(),
        at_starts: model.sided.then(|| at_starts.sum()),
        notes: notes.collect(),
        spread,
        figures,
        terms: info.map(|info| Terms::new(info, model.gated, model.d_model)),
        missing: &data.missing,
    };
    site.page(&page, "model.html", Some(model), &view)?;
    let figures = view.spread.iter().chain(&view.figures);
    let figures: BTreeSet<&str> = figures.map(|figure| figure.json.as_str()).collect();
    site.write(
        &address::of_model(name, "index.json"),
        &json(&model_index(part, data, &figures))?,
    )
}

fn layer_row(
    (of, plot): (&LayerOverview, String),
    page_of: impl Fn(NeuronId) -> String,
) -> LayerRow {
    let known = |n: Option<usize>| n.map_or_else(|| number(None), |n| count(n as u64));
    LayerRow {
        layer: of.layer,
        median_kurtosis: number(of.median_kurtosis),
        median_frequency: percent(of.median_frequency),
        dead: known(of.dead),
        rare: known(of.rare),
        at_starts: known(of.at_starts),
        best: of.best,
        best_page: of.best.map(|neuron| {
            let layer = of.layer;
            page_of(NeuronId { layer, neuron })
        }),
        plot,
    }
}

/// The page on which tokens are searched, and its files, if the weights were analysed.
fn tokens(part: &ModelPart<'_>) -> Result<(), SiteError> {
    let (site, atlas, name) = (part.site, &part.source.atlas, &part.model.name);
    let Some(batches) = atlas.tokens(token_index::TOKENS_PER_FILE)? else {
        return Ok(());
    };
    let n_tokens = token_index::write(part, batches)?;
    let page = address::of_model(name, "tokens.html");
    let description = format!("Which neurons of {name} promote, suppress and answer to a token.");
    let view = TokensPageView {
        common: site.common(&page, format!("{name} · tokens"), description),
        n_tokens: count(n_tokens as u64),
    };
    site.page(&page, "tokens.html", Some(part.model), &view)
}
