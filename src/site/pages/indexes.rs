//! What a notebook reads of a model and of a layer, without their pages.

use std::collections::BTreeSet;

use crate::atlas::facts::{RANKED, facts};
use crate::atlas::{AtlasManifest, Class, NeuronWeights, Regions, Role, Summary};

use super::views::ModelPageView;
use crate::site::data::explore;
use crate::site::data::lines;
use crate::site::text::format::round;
use crate::site::view::FactView;

/// `/<model>/index.json`
pub(in crate::site) fn model_index(
    manifest: &AtlasManifest,
    view: &ModelPageView,
    facts: [&[FactView]; 2],
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
        "statistics": facts[1],
        "missing": view.missing,
        "measures": facts[0],
        "layers": layers.collect::<Vec<_>>(),
        "top": {"measure": RANKED[0].key, "neurons": top.collect::<Vec<_>>()},
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
    for fact in facts() {
        let values = summaries.iter().enumerate().map(|(at, summary)| {
            let weights = weights.map(|(weights, _)| &weights[at]);
            summary.fact(fact, weights).and_then(round)
        });
        let values: Vec<_> = values.collect();
        if fact.is_ranked() || fact.is_scanned() || values.iter().any(Option::is_some) {
            named.insert(fact.key.into(), serde_json::json!(values));
        }
    }
    let ranks = RANKED.map(|fact| {
        let ranks = summaries.iter().map(|s| s.ranks(fact).in_layer);
        (
            fact.key.to_owned(),
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
        "dead": flagged(&|s| s.dead == Some(true)),
        "rare": flagged(&|s| s.rare == Some(true)),
        "ranking": {"measure": RANKED[0].key, "neurons": ranked.iter().map(|s| s.neuron).collect::<Vec<_>>()},
    })
}
