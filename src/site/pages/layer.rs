//! The page and the files of one layer.

use serde::Serialize;

use crate::atlas::Summary;
use crate::atlas::facts::RANKED;
use crate::ids::NeuronId;

use super::figures::LayerFigures;
use super::plot;
use super::sides::line;
use super::views::{LayerPageView, ListLink, ListPageView, ListRow, rank_row};
use crate::site::address;
use crate::site::data::{LayerData, count_known};
use crate::site::encode::indexes::layer_index;
use crate::site::error::SiteError;
use crate::site::part::ModelPart;
use crate::site::section::Section;
use crate::site::text::texts::json;
use crate::site::view::Common;

/// Rows of a layer's table that stand in the page itself; the script loads the others.
const TABLE_ROWS: usize = 50;

/// Writes the layers' pages and indexes, and the pages that explore a layer and draw a neuron from it.
pub(crate) struct LayerPages<'a> {
    part: ModelPart<'a>,
    /// If the weights were analysed.
    figures: &'a [LayerFigures],
}

/// Neurons on a page with their lines.
const LIST_ROWS: usize = 500;

/// A page of a layer that a script fills.
#[derive(Serialize)]
struct EmptyView {
    #[serde(flatten)]
    common: Common,
    layer: u32,
}

impl<'a> LayerPages<'a> {
    pub(crate) fn new(part: ModelPart<'a>, figures: &'a [LayerFigures]) -> Self {
        Self { part, figures }
    }
}

impl Section for LayerPages<'_> {
    fn layer(&self, data: &LayerData<'_>) -> Result<(), SiteError> {
        let (part, layer, summaries) = (&self.part, data.layer, data.summaries);
        let figures = self.figures.get(layer as usize);
        let (site, model) = (part.site, part.model);
        let index = address::layer(&model.name, layer);
        let default = RANKED[0];
        let mut ranked: Vec<&Summary> = summaries.iter().collect();
        ranked.sort_by_key(|s| {
            let rank = s.ranks(default).in_layer;
            (rank.unwrap_or(u32::MAX), s.neuron)
        });
        let values = summaries.iter().filter_map(|s| s.value(default));
        let values: Vec<f64> = values.collect();
        let description = format!(
            "Layer {layer} of {}: its {} neurons, ranked.",
            model.name,
            summaries.len()
        );
        let title = format!("{} · layer {layer}", model.name);
        let page_of = |of: &Summary| {
            part.neuron_link(NeuronId {
                layer,
                neuron: of.neuron,
            })
        };
        let lists = lists(part, data);
        let view = LayerPageView {
            common: site.common(&index, title, description),
            layer,
            previous: layer.checked_sub(1),
            next: (layer + 1 < model.n_layers).then_some(layer + 1),
            rows: ranked
                .iter()
                .filter(|s| s.is_ranked_by(default))
                .take(TABLE_ROWS)
                .map(|s| rank_row(s, page_of(s)))
                .collect(),
            n_rows: summaries.len(),
            plot: plot::distribution(
                &values,
                &format!("Distribution of {} in layer {layer}", default.label),
            ),
            cells: cells(part, data),
            lists: lists.clone(),
            dead: count_known(summaries, |s| s.dead),
            rare: count_known(summaries, |s| s.rare),
            at_starts: count_known(summaries, |s| s.at_starts.map(|of| of.dominant)),
            at_starts_either: count_known(summaries, |s| s.at_starts.map(|of| of.either)),
            classes: figures.map(LayerFigures::class_rows).unwrap_or_default(),
            roles: figures.map(LayerFigures::role_rows).unwrap_or_default(),
        };
        site.page(&index, "layer.html", Some(model), &view)?;
        for at in 0..lists.len() {
            write_list(part, data, &lists, at)?;
        }
        let columns = layer_index(&model.name, data, &ranked);
        part.write_json(&format!("{layer}/index.json"), &json(&columns)?)?;
        let name = &model.name;
        let page = address::of_layer(name, layer, "explore.html");
        let title = format!("Explore layer {layer} of {name}");
        let description = format!("Filter, sort and plot the neurons of layer {layer} of {name}.");
        let common = site.common(&page, title, description);
        let view = EmptyView { common, layer };
        site.page(&page, "explore.html", Some(model), &view)?;
        let page = address::of_layer(name, layer, "random.html");
        let title = format!("Random neuron of layer {layer}");
        let common = site.unlisted(&page, title, String::new());
        let view = EmptyView { common, layer };
        site.page(&page, "random.html", Some(model), &view)
    }
}

/// A layer that was not scanned.
#[derive(Serialize)]
struct UnscannedView {
    #[serde(flatten)]
    common: Common,
    layer: u32,
    previous: Option<u32>,
    next: Option<u32>,
    scanned: Vec<u32>,
}

/// Writes the pages of the layers that were not scanned, which say so.
pub(crate) fn write_unscanned(part: &ModelPart<'_>) -> Result<(), SiteError> {
    let (site, model, scanned) = (part.site, part.model, part.scan().layers());
    for layer in (0..model.n_layers).filter(|layer| !scanned.contains(layer)) {
        let page = address::layer(&model.name, layer);
        let title = format!("{} · layer {layer}", model.name);
        let view = UnscannedView {
            common: site.unlisted(&page, title, String::new()),
            layer,
            previous: layer.checked_sub(1),
            next: (layer + 1 < model.n_layers).then_some(layer + 1),
            scanned: scanned.clone(),
        };
        site.page(&page, "unscanned.html", Some(model), &view)?;
    }
    Ok(())
}

/// The pages with the lines of a packed layer.
fn lists(part: &ModelPart<'_>, data: &LayerData<'_>) -> Vec<ListLink> {
    if part.packing.is_none() {
        return Vec::new();
    }
    let n = data.summaries.len();
    let firsts = (0..n).step_by(LIST_ROWS);
    let link = |first: usize| ListLink {
        page: address::list_file(first as u32),
        first: first as u32,
        last: (n.min(first + LIST_ROWS) - 1) as u32,
    };
    firsts.map(link).collect()
}

/// Writes one of the pages with the lines of a packed layer: what crawlers and readers without scripts find of its neurons.
fn write_list(
    part: &ModelPart<'_>,
    data: &LayerData<'_>,
    lists: &[ListLink],
    at: usize,
) -> Result<(), SiteError> {
    let (model, layer) = (part.model, data.layer);
    let ListLink { page, first, last } = &lists[at];
    let name = address::of_layer(&model.name, layer, page);
    let title = format!("{} {layer}.{first}–{layer}.{last}", model.name);
    let description = format!(
        "What neurons {first} to {last} of layer {layer} of {} do.",
        model.name
    );
    let rows = data.summaries[*first as usize..=*last as usize].iter();
    let row = |of: &Summary| {
        let neuron = of.neuron;
        ListRow {
            page: part.neuron_link(NeuronId { layer, neuron }),
            neuron,
            line: line(of),
        }
    };
    let page_of = |list: &ListLink| list.page.clone();
    let view = ListPageView {
        common: part.site.common(&name, title, description),
        layer,
        first: *first,
        last: *last,
        previous: at.checked_sub(1).map(|at| page_of(&lists[at])),
        next: lists.get(at + 1).map(page_of),
        rows: rows.map(row).collect(),
    };
    part.site.page(&name, "list.html", Some(model), &view)
}

/// All neurons of a layer as a grid of links, shaded by the default measure's rank. Where they are packed, a script makes the links.
fn cells(part: &ModelPart<'_>, data: &LayerData<'_>) -> String {
    const SHADES: u32 = 9;
    if part.packing.is_some() {
        return String::new();
    }
    let (summaries, n) = (data.summaries, data.population.layer[0].max(1));
    let mut out = String::with_capacity(summaries.len() * 48);
    for s in summaries {
        let shade = s
            .ranks(RANKED[0])
            .in_layer
            .map_or(0, |rank| SHADES - (rank - 1) * SHADES / n);
        let state = if s.dead == Some(true) { " dead" } else { "" };
        out.push_str(&format!(
            "<a class=\"s{shade}{state}\" href=\"{}\">{}</a>\n",
            address::neuron_file(s.neuron),
            s.neuron
        ));
    }
    out
}
