//! What programs read of a site: every file is as its schema says, and the description names every file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::support::{Project, examples, files};

fn schema(name: &str) -> Value {
    serde_json::from_str(neuroscope::site::schema(name).unwrap()).unwrap()
}

/// A site of three models with every file that a site can have.
fn whole_site() -> &'static Project {
    Project::shared("every file", |project| {
        project.scan_here("llama", 20, &["--rank-pre"]);
        project.scan_here("gpt2", 20, &[]);
        project.scan_here("solu", 20, &[]);
        project.write("content/notes/llama/0/5.md", "It fires on *text*.");
        project.build(&["--neuron-json", "--deepdecipher"]);
    })
}

fn unpacked(bytes: &[u8]) -> Vec<u8> {
    let mut unpacked = Vec::new();
    let read = flate2::read::GzDecoder::new(bytes).read_to_end(&mut unpacked);
    read.unwrap();
    unpacked
}

/// Checks every file of a site against its schema; answers how many there are of each kind.
pub fn check_schemas(site: &Path) -> BTreeMap<String, usize> {
    let mut validators = BTreeMap::new();
    let mut n = BTreeMap::new();
    for (name, bytes) in files(site) {
        let is_shape = name.starts_with("api/") && name.contains("/all/");
        if name.starts_with("api/v1/schema") || name == "api/v1/openapi.json" {
            continue;
        }
        let value: Value = if name.ends_with(".json.gz") {
            serde_json::from_slice(&unpacked(&bytes)).unwrap()
        } else if name.ends_with(".bin.gz") {
            let unpacked = unpacked(&bytes);
            let length = u32::from_le_bytes(unpacked[..4].try_into().unwrap()) as usize;
            serde_json::from_slice(&unpacked[4..4 + length]).unwrap()
        } else if name.ends_with(".json") && !name.starts_with('.') || is_shape {
            serde_json::from_slice(&bytes).unwrap()
        } else {
            continue;
        };
        let kind = match value["schema"].as_str() {
            Some(kind) => kind
                .strip_prefix("neuroscope/")
                .unwrap()
                .strip_suffix("/v1")
                .unwrap(),
            None => "deepdecipher",
        };
        assert_eq!(kind == "deepdecipher", is_shape, "{name}");
        let validator = validators.entry(kind.to_owned()).or_insert_with(|| {
            jsonschema::validator_for(&schema(&format!("{kind}.json"))).unwrap()
        });
        let errors = validator.iter_errors(&value).take(5);
        let errors: Vec<String> = errors
            .map(|e| format!("{}: {e}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        *n.entry(kind.to_owned()).or_insert(0) += 1;
    }
    n
}

#[test]
fn every_file_is_as_its_schema_says() {
    let n = check_schemas(&whole_site().site());
    let schemas = files(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")));
    let kinds = schemas
        .iter()
        .filter_map(|(name, _)| name.strip_suffix(".json"));
    // those of packed sites are tested there
    let others = ["explore-index", "openapi", "said", "text"];
    let kinds: BTreeSet<&str> = kinds.filter(|kind| !others.contains(kind)).collect();
    assert!(n.keys().map(String::as_str).eq(kinds), "{n:?}");
}

/// Each file that programs read has a path in the description, and each path a file.
#[test]
fn the_description_names_every_file() {
    let openapi = schema("openapi.json");
    let paths: Vec<(String, regex::Regex)> = openapi["paths"]
        .as_object()
        .unwrap()
        .keys()
        .map(|path| {
            let pattern = regex::Regex::new(r"\\\{[a-z_]+\\\}").unwrap();
            let pattern = pattern
                .replace_all(&regex::escape(path), r"[^/]+")
                .into_owned();
            (
                path.clone(),
                regex::Regex::new(&format!("^{pattern}$")).unwrap(),
            )
        })
        .collect();
    let mut seen = BTreeSet::new();
    for (name, _) in files(&whole_site().site()) {
        let address = format!("/{name}");
        let is_data = [".json", ".csv", ".bin.gz"]
            .iter()
            .any(|end| name.ends_with(end));
        let is_data = is_data || name.contains("/all/");
        let found: Vec<_> = paths
            .iter()
            .filter(|(_, path)| path.is_match(&address))
            .collect();
        seen.extend(found.iter().map(|(path, _)| path.clone()));
        let is_own = name.starts_with('.')
            || name.starts_with("api/v1/schema/")
            || name == "api/v1/openapi.json";
        assert!(
            !is_data || is_own || !found.is_empty(),
            "{name} is not described"
        );
    }
    let missing: Vec<_> = paths
        .iter()
        .filter(|(path, _)| !seen.contains(path))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn deepdeciphers_shape_has_the_largest_activations() {
    let record = whole_site().record("llama/1/5.html");
    let shape = whole_site().json("api/llama/all/1/5");
    assert_eq!(
        (&shape["model"], &shape["layer"], &shape["neuron"]),
        (&"llama".into(), &1.into(), &5.into())
    );
    assert_eq!(shape["metadata"]["data"]["layer_size"], 37);
    let texts = shape["neuroscope"]["data"]["texts"].as_array().unwrap();
    let top = examples(&record, "top");
    assert_eq!(texts.len(), top.len());
    for (text, example) in texts.iter().zip(&top) {
        assert_eq!(text["data_index"], example.doc);
        assert_eq!(text["max_activating_token_index"], example.peak);
        let activations = text["activations"].as_array().unwrap();
        assert_eq!(activations.len(), example.tokens.len());
        for (activation, value) in activations.iter().zip(&example.values) {
            let off = activation.as_f64().unwrap() - value.unwrap();
            assert!(off.abs() <= 1e-5 * value.unwrap().abs());
        }
        assert!(activations.contains(&text["max_activation"]));
    }
}
