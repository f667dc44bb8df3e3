//! What programs read of the site: its description (OpenAPI, JSON Schemas), its models, where bins begin and end.

use include_dir::{Dir, include_dir};
use serde_json::{Value, json};

use crate::atlas::{Atlas, histogram};

use super::address;
use super::error::SiteError;
use super::text::texts::json as json_file;
use super::writer::Site;

static SCHEMAS: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/schema");

/// The document that describes the others.
const OPENAPI: &str = "openapi.json";

/// A JSON Schema of the site's files by its name, such as `neuron.json`; `openapi.json` is the description of all.
pub fn schema(name: &str) -> Option<&'static str> {
    SCHEMAS.get_file(name)?.contents_utf8()
}

/// Writes what describes the site, and what holds for all its models.
pub(super) fn write<'a>(
    site: &Site<'_>,
    atlases: impl Iterator<Item = &'a Atlas>,
) -> Result<(), SiteError> {
    for file in SCHEMAS.files() {
        let name = file.path().to_string_lossy();
        let folder = if name == OPENAPI { "" } else { "schema/" };
        site.write(&format!("api/v1/{folder}{name}"), file.contents())?;
    }
    let models: Vec<Value> = atlases.map(model).collect();
    let models = json!({"schema": "neuroscope/models/v1", "models": models});
    site.write("api/v1/models.json", &json_file(&models)?)?;
    let edges = (0..histogram::BINS).map(|bin| histogram::edges(bin).0);
    let edges = edges.chain([histogram::edges(histogram::BINS - 1).1]);
    let edges: Vec<Option<f64>> = edges.map(|edge| edge.is_finite().then_some(edge)).collect();
    let edges = json!({"schema": "neuroscope/histogram/v1", "edges": edges});
    site.write("api/v1/histogram.json", &json_file(&edges)?)
}

fn model(atlas: &Atlas) -> Value {
    let scan = &atlas.manifest().scan;
    let (model, policy) = (&scan.model, &scan.policy);
    json!({
        "name": model.name,
        "family": model.family,
        "mlp": model.mlp,
        "hook": policy.hook,
        "n_layers": model.n_layers,
        "d_mlp": model.d_mlp,
        "d_model": model.d_model,
        "n_neurons": scan.n_neurons(),
        "n_parameters": model.n_parameters,
        "corpus": scan.corpus.name,
        "n_counted": policy.n_counted,
        "analysed": atlas.weights_info().is_some(),
        "index": address::of_model(&model.name, "index.json"),
    })
}
