//! The page of one neuron.

use crate::atlas::Side;
use crate::atlas::facts::KURTOSIS;
use crate::ids::NeuronId;

use super::classes::tags;
use super::sides::{lines, promotes};
use super::views::{NeuronPageView, PlainList, cards, hook_post_words};
use crate::site::address;
use crate::site::data::NeuronData;
use crate::site::error::SiteError;
use crate::site::excerpts::push_example;
use crate::site::pack::PackingInfo;
use crate::site::part::ModelPart;
use crate::site::text::display::lone_token;
use crate::site::text::format::{count, number};
use crate::site::text::texts::safe_in_html;
use crate::site::view::Common;

/// Examples of a side that stand on the page as plain HTML.
const PLAIN_EXAMPLES: usize = 3;

/// What templates are given for the record, which is put in its place when they are done: it is by far the largest
/// part of a page, and no template looks into it.
const RECORD: &str = "\u{1}record\u{1}";

/// Writes a neuron's page.
pub(crate) fn write(
    part: &ModelPart<'_>,
    data: &NeuronData<'_>,
    record: &[u8],
) -> Result<(), SiteError> {
    let name = address::neuron(&part.model.name, data.id());
    part.site.write(&name, &render(part, data, record)?)
}

/// A neuron's page with its record.
fn render(
    part: &ModelPart<'_>,
    data: &NeuronData<'_>,
    record: &[u8],
) -> Result<Vec<u8>, SiteError> {
    let (site, model) = (part.site, part.model);
    let (neuron, id) = (data.neuron, data.id());
    let name = address::neuron(&model.name, id);
    let view = NeuronPageView {
        common: site.common(&name, title(part, id), description(part, data)),
        layer: id.layer,
        neuron: Some(id.neuron),
        hook: part.source.atlas.manifest().scan.policy.hook_in(id.layer),
        previous: before(part, id),
        next: after(part, id),
        cards: cards(&neuron.summary, &data.layer.population),
        tags: tags(&neuron.summary, neuron.weights.as_ref()),
        lines: lines(data),
        analysed: neuron.weights.is_some(),
        dead: neuron.summary.dead == Some(true),
        rare: neuron.summary.rare == Some(true),
        not_finite: match neuron.stats.not_finite.unwrap_or_default() {
            0 => String::new(),
            n => count(n),
        },
        hook_post: neuron.stats.post.as_ref().and_then(hook_post_words),
        lists: data
            .sides()
            .into_iter()
            .map(|side| plain_list(part, data, side))
            .collect(),
        note: data.documentation.note,
        explanations: data.documentation.explanations,
        record: RECORD,
        packing: String::new(),
        has_said: false,
    };
    let page = site.render("neuron.html", Some(model), &view)?;
    Ok(with_record(&page, record))
}

/// The page that shows any neuron of a layer of a packed model; a script fills it.
pub(crate) fn render_shown(
    part: &ModelPart<'_>,
    layer: u32,
    packing: &PackingInfo,
    has_said: bool,
) -> Result<Vec<u8>, SiteError> {
    let (site, model) = (part.site, part.model);
    let name = address::shown(&model.name, layer);
    let title = format!("{} · layer {layer}", model.name);
    let description = format!("Any neuron of layer {layer} of {}.", model.name);
    let view = NeuronPageView {
        common: Common {
            // it is the page of many neurons, each at an address of its own
            canonical: None,
            ..site.unlisted(&name, title, description)
        },
        layer,
        hook: part.source.atlas.manifest().scan.policy.hook_in(layer),
        analysed: model.analysed,
        packing: safe_in_html(serde_json::to_string(packing).unwrap_or_default()),
        has_said,
        ..NeuronPageView::default()
    };
    site.render("neuron.html", Some(model), &view)
}

/// The first examples of a side as plain HTML.
fn plain_list(part: &ModelPart<'_>, data: &NeuronData<'_>, side: Side) -> PlainList {
    let name = side.list().name();
    // the examples of the side that dominates have the shorter addresses
    let id = if side == data.side() { "example" } else { name };
    let mut html = String::with_capacity(8 * 1024);
    for (n, row) in (1..).zip(data.of_side(side).take(PLAIN_EXAMPLES)) {
        let source = part.source.source_of(row.example.doc);
        push_example(&mut html, part.texts, source, row, &format!("{id}-{n}"));
    }
    PlainList {
        name,
        title: match side {
            Side::Positive => "Most positive activations",
            Side::Negative => "Most negative activations",
        },
        html,
    }
}

/// The title of a neuron's page.
pub(crate) fn title(part: &ModelPart<'_>, NeuronId { layer, neuron }: NeuronId) -> String {
    format!("{} {layer}.{neuron}", part.model.name)
}

/// A neuron in one sentence.
pub(crate) fn description(part: &ModelPart<'_>, data: &NeuronData<'_>) -> String {
    let NeuronId { layer, neuron } = data.id();
    let token = |id| lone_token(&part.texts.vocabulary().text(id));
    let mut words = format!("Neuron {neuron} of layer {layer} of {}", part.model.name);
    if let Some(row) = data.main().next() {
        let value = number(Some(row.example.value.into()));
        words += &format!(": {value} on “{}”", token(row.tokens[row.peak()]));
    }
    let lines = lines(data);
    for line in &lines {
        words += &format!("; automatic ({}): {}", line.side, line.text);
    }
    if lines.is_empty() {
        for promotes in promotes(part, data, 3) {
            let tokens = promotes.tokens.join("”, “");
            words += &format!(", promotes {} “{tokens}”", promotes.when);
        }
    }
    let summary = &data.neuron.summary;
    if let Some(rank) = summary.ranks(&KURTOSIS).in_layer {
        let kurtosis = number(summary.value(&KURTOSIS));
        words += &format!("; kurtosis {kurtosis}, #{rank} in its layer");
    }
    words + "."
}

/// Address of the neuron before another, relative to that one's page.
fn before(part: &ModelPart<'_>, NeuronId { layer, neuron }: NeuronId) -> Option<String> {
    match neuron.checked_sub(1) {
        Some(neuron) => Some(part.neuron_link(NeuronId { layer, neuron })),
        None => {
            let neuron = part.model.d_mlp - 1;
            let mut layers = part.scan().layers().into_iter().rev();
            let layer = layers.find(|other| *other < layer)?;
            Some(part.link_to_other_layer(NeuronId { layer, neuron }))
        }
    }
}

/// Address of the neuron after another, relative to that one's page.
fn after(part: &ModelPart<'_>, NeuronId { layer, neuron }: NeuronId) -> Option<String> {
    match neuron + 1 < part.model.d_mlp {
        true => {
            let neuron = neuron + 1;
            Some(part.neuron_link(NeuronId { layer, neuron }))
        }
        false => {
            let layers = part.scan().layers();
            let layer = layers.into_iter().find(|other| *other > layer)?;
            Some(part.link_to_other_layer(NeuronId { layer, neuron: 0 }))
        }
    }
}

/// A page with the record wherever its template wants it.
fn with_record(page: &[u8], record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + record.len());
    let mut rest = page;
    while let Some(at) = rest.iter().position(|&byte| byte == RECORD.as_bytes()[0]) {
        let (before, found) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match found.strip_prefix(RECORD.as_bytes()) {
            Some(rest) => {
                out.extend_from_slice(record);
                rest
            }
            None => {
                out.push(found[0]);
                &found[1..]
            }
        };
    }
    out.extend_from_slice(rest);
    out
}
