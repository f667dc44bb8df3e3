//! Templates and assets: the built-in theme, and a project's own files over it.
//!
//! A project's `theme/templates/neuron.html` takes the place of the built-in one, which it can extend as
//! `neuroscope/neuron.html`; built-in templates that extend `base.html` then extend the project's `base.html`.
//!
//! An asset's name gets a hash of its bytes, so that browsers may keep it for good. Assets name each other as
//! `"./tokens.js"`, which is rewritten, and templates look the name up: `{{ root }}{{ assets["neuron.js"] }}`.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tera::{Context, Tera, Value};

use crate::mark;

use super::content::walk;
use super::error::SiteError;
use super::pages::views::SiteView;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/theme");

const PREFIX: &str = "neuroscope/";
const ASSETS: &str = "assets/";

/// A theme, loaded.
pub(super) struct Theme {
    tera: Tera,
    /// Bytes by address.
    assets: BTreeMap<String, Vec<u8>>,
    /// What templates are given of each model, made once.
    models: HashMap<String, Value>,
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
                assets.insert(name.to_owned(), bytes.to_vec());
            }
        }
        let own = match folder {
            Some(folder) if folder.is_dir() => files(folder)?,
            _ => Vec::new(),
        };
        for (name, bytes) in own {
            if let Some(template) = name.strip_prefix("templates/") {
                let text = String::from_utf8(bytes).map_err(|error| SiteError::Template {
                    template: name.clone(),
                    reason: error.to_string(),
                })?;
                // nothing may stand before the type of a document
                let text = mark::text_without(&text);
                templates.push((template.to_owned(), text.to_owned()));
            } else if let Some(name) = name.strip_prefix(ASSETS) {
                assets.insert(name.to_owned(), bytes);
            }
        }
        let mut tera = Tera::new();
        let error = |error: tera::Error| SiteError::Template {
            template: "(all)".into(),
            reason: reasons(&error),
        };
        tera.set_fallback_prefixes([PREFIX]).map_err(error)?;
        tera.autoescape_on(["html", "xml"]);
        tera.add_raw_templates(templates).map_err(error)?;
        let (addresses, assets) = Hashing::of(assets)?;
        tera.global_context().insert("assets", &addresses);
        Ok(Self {
            models: HashMap::new(),
            tera,
            assets,
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

    /// The assets, by address.
    pub(super) fn assets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.assets
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
    }
}

/// Gives assets their addresses, those that others refer to first.
struct Hashing {
    assets: BTreeMap<String, Vec<u8>>,
    addresses: BTreeMap<String, String>,
    hashed: BTreeMap<String, Vec<u8>>,
    /// Assets whose references are being followed.
    open: Vec<String>,
}

type Addresses = BTreeMap<String, String>;

impl Hashing {
    /// Addresses by name, and bytes by address.
    fn of(
        assets: BTreeMap<String, Vec<u8>>,
    ) -> Result<(Addresses, BTreeMap<String, Vec<u8>>), SiteError> {
        let mut hashing = Self {
            assets,
            addresses: BTreeMap::new(),
            hashed: BTreeMap::new(),
            open: Vec::new(),
        };
        let names: Vec<String> = hashing.assets.keys().cloned().collect();
        for name in names {
            hashing.add(&name)?;
        }
        Ok((hashing.addresses, hashing.hashed))
    }

    fn add(&mut self, name: &str) -> Result<(), SiteError> {
        if self.addresses.contains_key(name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(SiteError::AssetCircle(format!("{ASSETS}{name}")));
        }
        let mut bytes = self.assets[name].clone();
        if name.ends_with(".js") || name.ends_with(".css") {
            let mut text = String::from_utf8_lossy(&bytes).into_owned();
            self.open.push(name.to_owned());
            let folder = name.rfind('/').map_or("", |end| &name[..=end]);
            let others: Vec<String> = self.assets.keys().cloned().collect();
            for other in others {
                let Some(inner) = other.strip_prefix(folder) else {
                    continue;
                };
                for (before, after) in [('"', '"'), ('\'', '\''), ('(', ')')] {
                    let reference = format!("{before}./{inner}{after}");
                    if text.contains(&reference) {
                        self.add(&other)?;
                        let address = &self.addresses[&other][ASSETS.len() + folder.len()..];
                        text = text.replace(&reference, &format!("{before}./{address}{after}"));
                    }
                }
            }
            self.open.pop();
            bytes = text.into_bytes();
        }
        let hash = Sha256::digest(&bytes);
        let hash: String = hash
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let address = match name.rsplit_once('.') {
            Some((stem, extension)) => format!("{ASSETS}{stem}.{hash}.{extension}"),
            None => format!("{ASSETS}{name}.{hash}"),
        };
        self.hashed.insert(address.clone(), bytes);
        self.addresses.insert(name.to_owned(), address);
        Ok(())
    }
}

fn reasons(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", reasons(source)),
        None => error.to_string(),
    }
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

    fn assets(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_vec());
        files.iter().map(file).collect()
    }

    #[test]
    fn an_asset_is_found_by_those_that_refer_to_it() {
        let files = [
            (
                "a.js",
                "import { x } from \"./b.js\"; new URL(\"./c.css\", import.meta.url)",
            ),
            ("b.js", "export const x = 1;"),
            ("c.css", "body { background: url(./d.svg) }"),
            ("d.svg", "<svg/>"),
            (
                "deep/e.css",
                "body { background: url(./d.svg) url(./f/g.svg) }",
            ),
            ("deep/f/g.svg", "<svg/>"),
        ];
        let (addresses, bytes) = Hashing::of(assets(&files)).unwrap();
        let text = |name: &str| String::from_utf8_lossy(&bytes[&addresses[name]]).into_owned();
        let file = |name: &str| addresses[name].trim_start_matches(ASSETS).to_owned();
        assert!(text("a.js").contains(&format!("from \"./{}\"", file("b.js"))));
        assert!(text("a.js").contains(&format!("\"./{}\"", file("c.css"))));
        assert!(text("c.css").contains(&format!("url(./{})", file("d.svg"))));
        // what lies in a folder refers to what lies there
        let deep = file("deep/f/g.svg");
        let inner = deep.strip_prefix("deep/").unwrap();
        assert!(text("deep/e.css").contains(&format!("url(./d.svg) url(./{inner})")));
        // another picture makes another style, and that another script
        let mut other = files;
        other[3].1 = "<svg></svg>";
        let (others, _) = Hashing::of(assets(&other)).unwrap();
        let changed = |name: &str| addresses[name] != others[name];
        assert!(changed("d.svg") && changed("c.css") && changed("a.js") && !changed("b.js"));
    }

    #[test]
    fn a_circle_of_references_is_refused() {
        let files = [("a.js", "import \"./b.js\""), ("b.js", "import \"./a.js\"")];
        let error = Hashing::of(assets(&files)).unwrap_err().to_string();
        assert!(error.contains("a.js"), "{error}");
    }
}
