//! What a notebook reads of a model and of a layer, without their pages.

use std::collections::BTreeSet;

use crate::atlas::facts::{RANKED, facts};
use crate::atlas::{Class, NeuronWeights, Role, Summary};
use crate::ids::NeuronId;

use crate::site::data::{LayerData, ModelData};
use crate::site::explore;
use crate::site::part::ModelPart;
use crate::site::search;
use crate::site::text::format::round;

/// `/<model>/index.json`; `figures` are the names of the files with what the figures show.
pub(crate) fn model_index(
    part: &ModelPart<'_>,
    data: &ModelData,
    figures: &BTreeSet<&str>,
) -> serde_json::Value {
    let (scan, model) = (&part.source.atlas.manifest().scan, part.model);
    let name = &model.name;
    let layers = data.layers.iter().map(|of| {
        let layer = of.layer;
        serde_json::json!({"layer": layer, "n_neurons": scan.model.d_mlp, "dead": of.dead, "rare": of.rare, "at_starts": of.at_starts, "index": format!("{layer}/index.json"), "page": format!("{layer}/index.html")})
    });
    let top = data.top.iter().map(|of| {
        let NeuronId { layer, neuron } = of.id;
        serde_json::json!({"layer": layer, "neuron": neuron, "page": format!("{layer}/{}", part.neuron_link(of.id)), "line": of.line})
    });
    let notes = part.notes().map(
        |(id, note)| serde_json::json!({"layer": id.layer, "neuron": id.neuron, "title": note.title}),
    );
    let mut index = serde_json::json!({
        "schema": "neuroscope/model/v1",
        "model": name,
        "family": scan.model.family,
        "mlp": scan.model.mlp,
        "hook": scan.policy.hook,
        "n_layers": scan.model.n_layers,
        "d_mlp": scan.model.d_mlp,
        "d_model": scan.model.d_model,
        "n_neurons": scan.n_neurons(),
        "n_parameters": scan.model.n_parameters,
        "corpus": scan.corpus.name,
        "n_documents": scan.corpus.n_documents,
        "n_counted": scan.policy.n_counted,
        "manifest": "manifest.json",
        "documents": (model.has_documents && model.packing.is_none()).then_some("docs/index.json"),
        "tokens": model.analysed.then_some("tokens/index.json"),
        "figures": figures,
        "explore": explore::first_file(part),
        "words": "words/index.json",
        "lines": "lines/",
        "lines_per_file": search::lines_per_file(part),
        "short_lines_per_file": search::short_lines::short_lines_per_file(part),
        "neuron": match model.packing {
            None => "{layer}/{neuron}.html",
            Some(_) => "{layer}/neuron.html?n={neuron}",
        },
        "neuron_json": part.site.options.neuron_json,
        "statistics": model.statistics,
        "missing": data.missing,
        "measures": model.measures,
        "layers": layers.collect::<Vec<_>>(),
        "top": {"measure": RANKED[0].key, "neurons": top.collect::<Vec<_>>()},
        "notes": notes.collect::<Vec<_>>(),
    });
    if let Some(packing) = &model.packing {
        index["packing"] = serde_json::json!(packing);
    }
    index
}

/// `/<model>/<layer>/index.json`
pub(crate) fn layer_index(
    model: &str,
    layer: &LayerData<'_>,
    ranked: &[&Summary],
) -> serde_json::Value {
    let summaries = layer.summaries;
    let weights = layer.weights.zip(layer.regions);
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
    // what is unknown of every neuron is null, not empty
    let flagged = |get: &dyn Fn(&Summary) -> Option<bool>| {
        let is_known = summaries.iter().any(|s| get(s).is_some());
        let flagged = summaries.iter().filter(|s| get(s) == Some(true));
        is_known.then(|| flagged.map(|s| s.neuron).collect::<Vec<_>>())
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
        "layer": layer.layer,
        "n_neurons": summaries.len(),
        "page": "{neuron}.html",
        "columns": named,
        "ranks": serde_json::Map::from_iter(ranks),
        "weights": weights,
        "dead": flagged(&|s| s.dead),
        "rare": flagged(&|s| s.rare),
        "at_starts": flagged(&|s| s.at_starts.map(|of| of.dominant)),
        "at_starts_either": flagged(&|s| s.at_starts.map(|of| of.either)),
        "sides": summaries.iter().map(|s| s.orientation.map(|of| of.side.name())).collect::<Vec<_>>(),
        "lines": summaries.iter().map(Summary::line).collect::<Vec<_>>(),
        "ranking": {"measure": RANKED[0].key, "neurons": ranked.iter().map(|s| s.neuron).collect::<Vec<_>>()},
    })
}
