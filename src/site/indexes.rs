//! What a notebook reads of a model and of a layer, without their pages.

use serde::Serialize;

use crate::atlas::{AtlasManifest, Measure, Summary};

use super::error::SiteError;
use super::format::round;
use super::record::safe_in_html;
use super::views::ModelPageView;

/// A value as a file of the site.
pub(super) fn json(value: &impl Serialize) -> Result<Vec<u8>, SiteError> {
    let json = serde_json::to_string(value)
        .map_err(|error| SiteError::io("write", "index.json", error.into()))?;
    Ok((safe_in_html(json) + "\n").into_bytes())
}

/// `/<model>/index.json`
pub(super) fn model_index(manifest: &AtlasManifest, view: &ModelPageView<'_>) -> serde_json::Value {
    let (scan, name) = (&manifest.scan, &manifest.scan.model.name);
    let layers = view.layers.iter().map(|row| {
        serde_json::json!({"layer": row.layer, "n_neurons": scan.model.d_mlp, "dead": row.dead, "rare": row.rare, "index": format!("{}/index.json", row.layer), "page": format!("{}/index.html", row.layer)})
    });
    let top = view.top.iter().map(|row| serde_json::json!({"layer": row.layer, "neuron": row.neuron, "page": format!("{}/{}.html", row.layer, row.neuron)}));
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
        "measures": Measure::ALL.map(|m| serde_json::json!({"name": m.name(), "definition": m.definition()})),
        "layers": layers.collect::<Vec<_>>(),
        "top": {"measure": Measure::ALL[0].name(), "neurons": top.collect::<Vec<_>>()},
        "notes": notes.collect::<Vec<_>>(),
    })
}

/// `/<model>/<layer>/index.json`
pub(super) fn layer_index(
    model: &str,
    layer: u32,
    summaries: &[Summary],
    ranked: &[&Summary],
) -> serde_json::Value {
    let column = |get: &dyn Fn(&Summary) -> Option<f64>| {
        serde_json::json!(
            summaries
                .iter()
                .map(|s| get(s).and_then(round))
                .collect::<Vec<_>>()
        )
    };
    let mut columns = serde_json::Map::new();
    for measure in Measure::ALL {
        columns.insert(measure.name().into(), column(&|s| s.ranked(measure).value));
    }
    columns.insert("min".into(), column(&|s| s.min));
    columns.insert("max".into(), column(&|s| s.max));
    columns.insert("mean".into(), column(&|s| s.mean));
    columns.insert("frequency_abs".into(), column(&|s| s.frequency_abs));
    let flagged = |get: &dyn Fn(&Summary) -> bool| {
        summaries
            .iter()
            .filter(|s| get(s))
            .map(|s| s.neuron)
            .collect::<Vec<_>>()
    };
    serde_json::json!({
        "schema": "neuroscope/layer/v1",
        "model": model,
        "layer": layer,
        "n_neurons": summaries.len(),
        "page": "{neuron}.html",
        "columns": columns,
        "dead": flagged(&|s| s.dead),
        "rare": flagged(&|s| s.rare),
        "ranking": {"measure": Measure::ALL[0].name(), "neurons": ranked.iter().map(|s| s.neuron).collect::<Vec<_>>()},
    })
}
