//! What a notebook reads of a model and of a layer, without their pages.

use std::collections::BTreeSet;

use crate::atlas::{AtlasManifest, Class, Measure, NeuronWeights, Regions, Role, Summary};

use super::views::{MeasureView, ModelPageView};
use crate::site::data::columns::columns;
use crate::site::data::explore;
use crate::site::data::lines;
use crate::site::text::format::round;

/// `/<model>/index.json`
pub(in crate::site) fn model_index(
    manifest: &AtlasManifest,
    view: &ModelPageView,
    statistics: &[MeasureView],
    neuron_json: bool,
) -> serde_json::Value {
    let (scan, name) = (&manifest.scan, &manifest.scan.model.name);
    let layers = view.layers.iter().map(|row| {
        serde_json::json!({"layer": row.layer, "n_neurons": scan.model.d_mlp, "dead": row.dead, "rare": row.rare, "index": format!("{}/index.json", row.layer), "page": format!("{}/index.html", row.layer)})
    });
    let top = view.top.iter().map(|row| serde_json::json!({"layer": row.layer, "neuron": row.neuron, "page": format!("{}/{}.html", row.layer, row.neuron)}));
    let figures: BTreeSet<&str> = view
        .spread
        .iter()
        .chain(&view.figures)
        .map(|figure| figure.json.as_str())
        .collect();
    let notes = view.notes.iter().map(
        |row| serde_json::json!({"layer": row.layer, "neuron": row.neuron, "title": row.title}),
    );
    serde_json::json!({
        "schema": "neuroscope/model/v1",
        "model": name,
        "family": scan.model.family,
        "mlp": scan.model.mlp,
        "hook": scan.policy.hook,
        "n_layers": scan.model.n_layers,
        "d_mlp": scan.model.d_mlp,
        "d_model": scan.model.d_model,
        "n_neurons": u64::from(scan.model.n_layers) * u64::from(scan.model.d_mlp),
        "n_parameters": scan.model.n_parameters,
        "corpus": scan.corpus.name,
        "n_documents": scan.corpus.n_documents,
        "n_counted": scan.policy.n_counted,
        "manifest": "manifest.json",
        "documents": "docs/index.json",
        "tokens": view.terms.as_ref().map(|_| "tokens/index.json"),
        "figures": figures,
        "explore": explore::FILE,
        "words": "words/index.json",
        "lines": "lines/",
        "lines_per_file": lines::PER_FILE,
        "neuron": "{layer}/{neuron}.html",
        "neuron_json": neuron_json,
        "statistics": statistics,
        "measures": Measure::ALL.map(|m| serde_json::json!({"name": m.name(), "label": m.label(), "definition": m.definition()})),
        "layers": layers.collect::<Vec<_>>(),
        "top": {"measure": Measure::ALL[0].name(), "neurons": top.collect::<Vec<_>>()},
        "notes": notes.collect::<Vec<_>>(),
    })
}

/// `/<model>/<layer>/index.json`
pub(in crate::site) fn layer_index(
    model: &str,
    layer: u32,
    summaries: &[Summary],
    ranked: &[&Summary],
    weights: Option<(&[NeuronWeights], &Regions)>,
) -> serde_json::Value {
    let mut named = serde_json::Map::new();
    for column in columns() {
        let values = summaries.iter().enumerate().map(|(at, summary)| {
            let weights = weights.map(|(weights, _)| &weights[at]);
            column.of(summary, weights).and_then(round)
        });
        let values: Vec<_> = values.collect();
        if column.is_ranked() || column.is_scanned() || values.iter().any(Option::is_some) {
            named.insert(column.name.into(), serde_json::json!(values));
        }
    }
    let ranks = Measure::ALL.map(|measure| {
        let ranks = summaries.iter().map(|s| s.ranked(measure).rank_in_layer);
        (
            measure.name().to_owned(),
            serde_json::json!(ranks.collect::<Vec<_>>()),
        )
    });
    let flagged = |get: &dyn Fn(&Summary) -> bool| {
        summaries
            .iter()
            .filter(|s| get(s))
            .map(|s| s.neuron)
            .collect::<Vec<_>>()
    };
    let weights = weights.map(|(weights, regions)| {
        let class = |of: &NeuronWeights| of.class.map(|of| of.class as usize);
        let atypical = weights.iter().enumerate();
        let atypical = atypical.filter(|(_, of)| of.class.is_some_and(|of| !of.typical));
        serde_json::json!({
            "classes": Class::ALL.map(Class::name),
            "class": weights.iter().map(class).collect::<Vec<_>>(),
            "atypical": atypical.map(|(neuron, _)| neuron).collect::<Vec<_>>(),
            "roles": Role::ALL.map(Role::name),
            "role": weights.iter().map(|of| of.role.map(|role| role as usize)).collect::<Vec<_>>(),
            "null": regions,
        })
    });
    serde_json::json!({
        "schema": "neuroscope/layer/v1",
        "model": model,
        "layer": layer,
        "n_neurons": summaries.len(),
        "page": "{neuron}.html",
        "columns": named,
        "ranks": serde_json::Map::from_iter(ranks),
        "weights": weights,
        "dead": flagged(&|s| s.dead),
        "rare": flagged(&|s| s.rare),
        "ranking": {"measure": Measure::ALL[0].name(), "neurons": ranked.iter().map(|s| s.neuron).collect::<Vec<_>>()},
    })
}
