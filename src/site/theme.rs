//! Templates and assets: the built-in theme, and a project's own files over it.
//!
//! A project's `theme/templates/neuron.html` takes the place of the built-in one, which it can extend as
//! `neuroscope/neuron.html`; built-in templates that extend `base.html` then extend the project's `base.html`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use serde::Serialize;
use tera::{Context, Tera};

use super::error::SiteError;

static BUILT_IN: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/theme");

const PREFIX: &str = "neuroscope/";

/// A theme, loaded.
pub(super) struct Theme {
    tera: Tera,
    assets: BTreeMap<String, Vec<u8>>,
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
            } else if name.starts_with("assets/") {
                assets.insert(name, bytes.to_vec());
            }
        }
        let own = match folder {
            Some(folder) if folder.is_dir() => files(folder)?,
            _ => Vec::new(),
        };
        for (name, bytes) in own {
            if let Some(template) = name.strip_prefix("templates/") {
                let text = String::from_utf8(bytes);
                let bad = |error: std::string::FromUtf8Error| SiteError::Template {
                    template: name.clone(),
                    reason: error.to_string(),
                };
                templates.push((template.to_owned(), text.map_err(bad)?));
            } else if name.starts_with("assets/") {
                assets.insert(name, bytes);
            }
        }
        let mut tera = Tera::new();
        let error = |error: tera::Error| SiteError::Template {
            template: "(all)".into(),
            reason: error.to_string(),
        };
        tera.set_fallback_prefixes([PREFIX]).map_err(error)?;
        tera.autoescape_on(["html", "xml"]);
        tera.add_raw_templates(templates).map_err(error)?;
        Ok(Self { tera, assets })
    }

    /// A page.
    pub(super) fn render(
        &self,
        template: &str,
        view: &impl Serialize,
    ) -> Result<Vec<u8>, SiteError> {
        let error = |error: tera::Error| SiteError::Template {
            template: template.to_owned(),
            reason: reasons(&error),
        };
        let context = Context::from_serialize(view).map_err(error)?;
        let mut out = Vec::with_capacity(16 * 1024);
        self.tera
            .render_to(template, &context, &mut out)
            .map_err(error)?;
        Ok(out)
    }

    /// The assets, by name.
    pub(super) fn assets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.assets
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
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
    for entry in walkdir::WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
    {
        let entry = entry.map_err(|error| {
            SiteError::io(
                "read",
                error.path().unwrap_or(folder).to_owned(),
                error.into(),
            )
        })?;
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
