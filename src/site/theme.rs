//! Templates and assets: the built-in theme, and a project's own files over it.
//!
//! A project's `theme/templates/neuron.html` takes the place of the built-in one, which it can extend as
//! `neuroscope/neuron.html`; built-in templates that extend `base.html` then extend the project's `base.html`.
//!
//! A file of its assets takes the place of the built-in one at the same path. An asset's name gets a hash of its bytes,
//! so that browsers may keep it for good; templates look its address up, `{{ root }}{{ assets["neuron/page.js"] }}`,
//! and those of the scripts that a script imports, `imports["neuron/page.js"]`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use serde::Serialize;
use serde_json::json;
use tera::{Context, Tera, Value};

use crate::atlas::facts::{Fact, Unit, facts};
use crate::mark;

use super::assets::{Assets, FOLDER as ASSETS};
use super::content::walk;
use super::error::SiteError;
use crate::site::view::SiteView;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/theme");

const PREFIX: &str = "neuroscope/";

/// The asset that is made of the catalogue of facts.
const FACTS: &str = "read/facts.js";

/// A theme, loaded.
pub(super) struct Theme {
    tera: Tera,
    /// Bytes by address.
    assets: BTreeMap<String, Vec<u8>>,
    /// What templates are given of each model, made once.
    models: HashMap<String, Value>,
    warnings: Vec<String>,
}

impl Theme {
    /// The built-in theme with the files of a project's theme folder over it.
    pub(super) fn load(folder: Option<&Path>) -> Result<Self, SiteError> {
        let mut templates: Vec<(String, String)> = Vec::new();
        let mut assets = BTreeMap::new();
        for (name, bytes) in built_in(&BUILT_IN) {
            if let Some(name) = name.strip_prefix("templates/") {
                templates.push((
                    format!("{PREFIX}{name}"),
                    String::from_utf8_lossy(bytes).into_owned(),
                ));
            } else if let Some(name) = name.strip_prefix(ASSETS) {
                let bytes = match name.ends_with(".js") {
                    true => without_comments(&String::from_utf8_lossy(bytes)).into_bytes(),
                    false => bytes.to_vec(),
                };
                assets.insert(name.to_owned(), bytes);
            }
        }
        assets.insert(FACTS.to_owned(), facts_script().into_bytes());
        let own = match folder {
            Some(folder) if folder.is_dir() => files(folder)?,
            _ => Vec::new(),
        };
        let mut added = BTreeSet::new();
        for (name, bytes) in own {
            if let Some(template) = name.strip_prefix("templates/") {
                let text = String::from_utf8(bytes).map_err(|error| SiteError::Template {
                    template: name.clone(),
                    reason: error.to_string(),
                })?;
                // nothing may stand before the type of a document
                let text = mark::text_without(&text);
                templates.push((template.to_owned(), text.to_owned()));
            } else if let Some(name) = name.strip_prefix(ASSETS)
                && assets.insert(name.to_owned(), bytes).is_none()
            {
                added.insert(name.to_owned());
            }
        }
        let assets = Assets::new(assets)?;
        let warnings = warnings(&assets, &added, &templates);
        let mut tera = Tera::new();
        let error = |error: tera::Error| SiteError::Template {
            template: "(all)".into(),
            reason: reasons(&error),
        };
        tera.set_fallback_prefixes([PREFIX]).map_err(error)?;
        tera.autoescape_on(["html", "xml"]);
        tera.add_raw_templates(templates).map_err(error)?;
        tera.global_context().insert("assets", &assets.addresses);
        tera.global_context().insert("imports", &assets.imports);
        Ok(Self {
            models: HashMap::new(),
            tera,
            assets: assets.files,
            warnings,
        })
    }

    /// Takes what templates are given of a site.
    pub(super) fn show(&mut self, site: &SiteView) {
        self.tera.global_context().insert("site", site);
        let models = site.models.iter();
        let models = models.map(|model| (model.name.clone(), Value::from_serializable(model)));
        self.models = models.collect();
    }

    /// A page, of a model or of none.
    pub(super) fn render(
        &self,
        template: &str,
        model: Option<&str>,
        view: &impl Serialize,
    ) -> Result<Vec<u8>, SiteError> {
        let error = |error: tera::Error| SiteError::Template {
            template: template.to_owned(),
            reason: reasons(&error),
        };
        let mut context = Context::from_serialize(view).map_err(error)?;
        if let Some(model) = model.and_then(|model| self.models.get(model)) {
            context.insert_value("model", model.clone());
        }
        let mut out = Vec::with_capacity(64 * 1024);
        self.tera
            .render_to(template, &context, &mut out)
            .map_err(error)?;
        Ok(out)
    }

    /// What its author should look at.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The assets, by address.
    pub(super) fn assets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.assets
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

/// What a theme seems to have got wrong. `added` are the assets that take the place of no built-in one.
fn warnings(
    assets: &Assets,
    added: &BTreeSet<String>,
    templates: &[(String, String)],
) -> Vec<String> {
    let is_named = |name: &String| {
        let quoted = ['"', '\''].map(|quote| format!("{quote}{name}{quote}"));
        let names = |(_, text): &(String, String)| quoted.iter().any(|name| text.contains(name));
        templates.iter().any(names)
    };
    let is_idle = |name: &&String| !assets.referred.contains(*name) && !is_named(name);
    let idle = added.iter().filter(is_idle).map(|name| {
        format!("`{ASSETS}{name}` of the theme takes the place of no built-in file, and nothing refers to it")
    });
    let missing = assets.missing.iter().map(|(name, path)| {
        format!("`{ASSETS}{name}` of the theme imports `{path}`, which is not there")
    });
    idle.chain(missing).collect()
}

fn reasons(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", reasons(source)),
        None => error.to_string(),
    }
}

/// A script without its comments that stand on lines of their own, and without indentation: no reader of a page has to
/// load them. The built-in scripts have no text of several lines, which would change.
fn without_comments(script: &str) -> String {
    let mut out = String::with_capacity(script.len());
    let mut is_open = false;
    for line in script.lines().map(str::trim_start) {
        let is_comment = is_open || line.starts_with("//") || line.starts_with("/*");
        is_open = (is_open || line.starts_with("/*")) && !line.ends_with("*/");
        if !is_comment && !line.is_empty() {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

/// The catalogue of facts as a script.
fn facts_script() -> String {
    let fact = |fact: &Fact| {
        let Fact {
            key,
            label,
            definition,
            group,
            unit,
            ..
        } = fact;
        let mut described = json!({"key": key, "label": label, "definition": definition, "group": group.name(), "ranked": fact.is_ranked()});
        if *unit == Unit::Share {
            described["unit"] = "share".into();
        }
        if let Some(flag) = fact.unranked() {
            described["unranked"] = flag.into();
        }
        described
    };
    let facts: Vec<_> = facts().map(fact).collect();
    format!("export const FACTS = {};\n", json!(facts))
}

fn built_in<'d>(folder: &'d Dir<'d>) -> Vec<(String, &'d [u8])> {
    let own = folder.files().map(|file| {
        (
            file.path().to_string_lossy().replace('\\', "/"),
            file.contents(),
        )
    });
    own.chain(folder.dirs().flat_map(built_in)).collect()
}

fn files(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, SiteError> {
    let mut out = Vec::new();
    for entry in walk(folder) {
        let entry = entry.map_err(|(path, source)| SiteError::io("read", path, source))?;
        if entry.file_type().is_file() {
            let path = entry.path();
            let name = path
                .strip_prefix(folder)
                .unwrap_or(path)
                .iter()
                .map(|part| part.to_string_lossy())
                .collect::<Vec<_>>()
                .join("/");
            out.push((
                name,
                fs::read(path).map_err(|source| SiteError::io("read", path, source))?,
            ));
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_scripts_are_left_out() {
        let script = "// One.\n\n/** Two, */\nconst a = \"//\"; // three\n/**\n * four\n */\nfunction f() {\n  // five\n  return `/*`;\n}\n";
        assert_eq!(
            without_comments(script),
            "const a = \"//\"; // three\nfunction f() {\nreturn `/*`;\n}\n"
        );
        // nothing that scripts say is on several lines, or beside the end of a comment
        for (name, bytes) in built_in(&BUILT_IN) {
            let script = String::from_utf8_lossy(bytes);
            if name.ends_with(".js") {
                for line in script.lines() {
                    let backticks = line.matches('`').count();
                    assert!(backticks.is_multiple_of(2), "{name}: {line}");
                    let ends = line.find("*/").map(|at| at + "*/".len());
                    let is_whole = ends.is_none_or(|end| end == line.len());
                    assert!(is_whole, "{name}: {line}");
                }
            }
        }
    }

    #[test]
    fn every_built_in_asset_is_referred_to() {
        let (templates, assets): (Vec<_>, Vec<_>) = built_in(&BUILT_IN)
            .into_iter()
            .partition(|(name, _)| name.starts_with("templates/"));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let templates: Vec<_> = templates
            .into_iter()
            .map(|(name, bytes)| (name, text(bytes)))
            .collect();
        let name = |name: String| name.strip_prefix(ASSETS).map(str::to_owned);
        let mut assets: BTreeMap<_, _> = assets
            .into_iter()
            .filter_map(|(path, bytes)| Some((name(path)?, bytes.to_vec())))
            .collect();
        assets.insert(FACTS.to_owned(), facts_script().into_bytes());
        let names: BTreeSet<_> = assets.keys().cloned().collect();
        assert!(names.len() > 30);
        let assets = Assets::new(assets).unwrap();
        assert_eq!(warnings(&assets, &names, &templates), [""; 0]);
    }
}
