//! The assets of a theme: what each refers to, and its address, which holds a hash of its bytes.
//!
//! Scripts and styles name others by relative paths that begin with `./` or `../`, in quotes or in `url(…)`. Their
//! addresses take the place of these paths.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use sha2::{Digest, Sha256};

use super::error::SiteError;

/// The folder of assets, of a theme and of a site.
pub(super) const FOLDER: &str = "assets/";

/// Assets that have their addresses.
#[derive(Default)]
pub(super) struct Assets {
    /// Addresses by name.
    pub(super) addresses: BTreeMap<String, String>,
    /// Bytes by address.
    pub(super) files: BTreeMap<String, Vec<u8>>,
    /// For each script the addresses of those that it imports, itself or by way of others, the nearest first.
    pub(super) imports: BTreeMap<String, Vec<String>>,
    /// Names that other assets refer to.
    pub(super) referred: BTreeSet<String>,
    /// Names of scripts, each with a path that it imports and that leads to no asset.
    pub(super) missing: Vec<(String, String)>,
}

impl Assets {
    /// Gives assets, bytes by name, their addresses.
    pub(super) fn new(files: BTreeMap<String, Vec<u8>>) -> Result<Self, SiteError> {
        let mut hashing = Hashing {
            files: &files,
            open: Vec::new(),
            imports: BTreeMap::new(),
            assets: Self::default(),
        };
        for name in files.keys() {
            hashing.add(name)?;
        }
        let Hashing {
            imports,
            mut assets,
            ..
        } = hashing;
        for name in imports.keys() {
            let all = all_imports(&imports, name).into_iter();
            let all = all.map(|name| assets.addresses[name].clone()).collect();
            assets.imports.insert(name.clone(), all);
        }
        Ok(assets)
    }
}

/// What a script imports, itself or by way of others, breadth first.
fn all_imports<'i>(imports: &'i BTreeMap<String, Vec<String>>, name: &str) -> Vec<&'i str> {
    let mut all: Vec<&str> = Vec::new();
    let direct = |name: &str| imports.get(name).into_iter().flatten();
    let mut next: Vec<&str> = direct(name).map(String::as_str).collect();
    while !next.is_empty() {
        let mut further = Vec::new();
        for name in next {
            if !all.contains(&name) {
                all.push(name);
                further.extend(direct(name).map(String::as_str));
            }
        }
        next = further;
    }
    all
}

/// Gives assets their addresses, those that others refer to first.
struct Hashing<'f> {
    files: &'f BTreeMap<String, Vec<u8>>,
    /// Assets whose references are being followed.
    open: Vec<String>,
    /// Names that each script imports itself.
    imports: BTreeMap<String, Vec<String>>,
    assets: Assets,
}

impl Hashing<'_> {
    fn add(&mut self, name: &str) -> Result<(), SiteError> {
        if self.assets.addresses.contains_key(name) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == name) {
            return Err(SiteError::AssetCircle(format!("{FOLDER}{name}")));
        }
        let mut bytes = self.files[name].clone();
        if name.ends_with(".js") || name.ends_with(".css") {
            self.open.push(name.to_owned());
            bytes = self.readdressed(name, &String::from_utf8_lossy(&bytes))?;
            self.open.pop();
        }
        let hash = Sha256::digest(&bytes);
        let hash: String = hash
            .iter()
            .take(4)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let address = match name.rsplit_once('.') {
            Some((stem, extension)) => format!("{FOLDER}{stem}.{hash}.{extension}"),
            None => format!("{FOLDER}{name}.{hash}"),
        };
        self.assets.files.insert(address.clone(), bytes);
        self.assets.addresses.insert(name.to_owned(), address);
        Ok(())
    }

    /// The text of a script or a style with addresses in the place of paths.
    fn readdressed(&mut self, name: &str, text: &str) -> Result<Vec<u8>, SiteError> {
        let is_script = name.ends_with(".js");
        let mut imports = Vec::new();
        let mut out = String::with_capacity(text.len());
        let mut written = 0;
        for Reference { path, is_import } in references(text) {
            let is_import = is_import && is_script;
            let written_path = &text[path.clone()];
            let other = resolved(name, written_path).filter(|other| self.files.contains_key(other));
            let Some(other) = other else {
                if is_import {
                    let missing = (name.to_owned(), written_path.to_owned());
                    self.assets.missing.push(missing);
                }
                continue;
            };
            self.add(&other)?;
            out.push_str(&text[written..path.start]);
            out.push_str(&relative(
                name,
                &self.assets.addresses[&other][FOLDER.len()..],
            ));
            written = path.end;
            self.assets.referred.insert(other.clone());
            if is_import {
                imports.push(other);
            }
        }
        out.push_str(&text[written..]);
        if is_script {
            self.imports.insert(name.to_owned(), imports);
        }
        Ok(out.into_bytes())
    }
}

/// A path in a text that may name an asset.
struct Reference {
    path: Range<usize>,
    /// Whether what it names is loaded before the script runs: `import … from "…"`, not `import("…")`.
    is_import: bool,
}

/// The relative paths in a text that stand in quotes or parentheses, up to a `?` or `#`.
fn references(text: &str) -> impl Iterator<Item = Reference> {
    text.match_indices(['"', '\'', '('])
        .filter_map(|(at, open)| {
            let start = at + open.len();
            let inner = &text[start..];
            if !inner.starts_with("./") && !inner.starts_with("../") {
                return None;
            }
            let close = if open == "(" { ")" } else { open };
            let (inner, _) = inner.split_once(close)?;
            let len = inner.find(['?', '#', '\n']).unwrap_or(inner.len());
            let before = text[..at].trim_end();
            let is_import = open != "("
                && ["from", "import"].iter().any(|word| {
                    let before = before.strip_suffix(word);
                    before.is_some_and(|text| !text.ends_with(|c: char| c.is_alphanumeric()))
                });
            let path = start..start + inner[..len].trim_end().len();
            Some(Reference { path, is_import })
        })
}

/// The name that a path of an asset leads to; none if it leads out of the assets.
fn resolved(from: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The path from an asset to another, which begins with `./` or `../`.
fn relative(from: &str, to: &str) -> String {
    let shared = from.split_inclusive('/').zip(to.split_inclusive('/'));
    let shared = shared.take_while(|(a, b)| a == b && a.ends_with('/'));
    let shared: usize = shared.map(|(part, _)| part.len()).sum();
    let up = match from[shared..].matches('/').count() {
        0 => "./".to_owned(),
        n => "../".repeat(n),
    };
    format!("{up}{}", &to[shared..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assets(files: &[(&str, &str)]) -> Result<Assets, SiteError> {
        let file = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_vec());
        Assets::new(files.iter().map(file).collect())
    }

    fn text(assets: &Assets, name: &str) -> String {
        String::from_utf8_lossy(&assets.files[&assets.addresses[name]]).into_owned()
    }

    #[test]
    fn an_asset_is_found_by_those_that_refer_to_it() {
        let files = [
            (
                "a.js",
                "import { x } from \"./b.js\"; new URL(\"./c.css\", import.meta.url)",
            ),
            ("b.js", "export const x = 1;"),
            ("c.css", "body { background: url(./d.svg#dot) }"),
            ("d.svg", "<svg/>"),
            (
                "deep/e.css",
                "@import '../c.css'; body { background: url(./d.svg) url(./f/g.svg) url(\"../d.svg?x\") url(../../d.svg) }",
            ),
            ("deep/f/g.svg", "<svg/>"),
            ("deep/f/h.js", "import('../../a.js'); './../i.js'"),
            ("deep/i.js", ""),
        ];
        let all = assets(&files).unwrap();
        let file = |name: &str| all.addresses[name].trim_start_matches(FOLDER).to_owned();
        let [b, c, d] = ["b.js", "c.css", "d.svg"].map(file);
        assert_eq!(
            text(&all, "a.js"),
            format!("import {{ x }} from \"./{b}\"; new URL(\"./{c}\", import.meta.url)")
        );
        assert_eq!(
            text(&all, "c.css"),
            format!("body {{ background: url(./{d}#dot) }}")
        );
        let deep = file("deep/f/g.svg");
        let inner = deep.strip_prefix("deep/").unwrap();
        // what lies in a folder refers to what lies there, unless it climbs; what climbs too far names nothing
        assert_eq!(
            text(&all, "deep/e.css"),
            format!(
                "@import '../{c}'; body {{ background: url(./d.svg) url(./{inner}) url(\"../{d}?x\") url(../../d.svg) }}"
            )
        );
        let i = file("deep/i.js");
        let i = i.strip_prefix("deep/").unwrap();
        assert_eq!(
            text(&all, "deep/f/h.js"),
            format!("import('../../{}'); '../{i}'", file("a.js"))
        );
        // another picture makes another style, and that another script
        let mut other = files;
        other[3].1 = "<svg></svg>";
        let other = assets(&other).unwrap();
        let changed = |name: &str| all.addresses[name] != other.addresses[name];
        for name in ["d.svg", "c.css", "a.js", "deep/e.css", "deep/f/h.js"] {
            assert!(changed(name), "{name}");
        }
        assert!(!changed("b.js") && !changed("deep/i.js"));
    }

    #[test]
    fn imports_are_followed() {
        let all = assets(&[
            (
                "page/a.js",
                "import { x } from \"../b.js\";\nexport * from './c.js'\nimport(\"../lazy.js\"); say(\"../said.js\")",
            ),
            ("b.js", "import{\n  y\n}from\"./page/d.js\""),
            (
                "page/c.js",
                "import './d.js'; import \"./gone.js\"; const infrom = \"./gone.js\"",
            ),
            ("page/d.js", ""),
            ("lazy.js", "import \"./b.js\""),
            ("said.js", ""),
        ])
        .unwrap();
        let names = |name: &str| -> Vec<&str> {
            let address = |address: &String| {
                let named = all.addresses.iter().find(|(_, own)| *own == address);
                named.unwrap().0.as_str()
            };
            all.imports[name].iter().map(address).collect()
        };
        assert_eq!(names("page/a.js"), ["b.js", "page/c.js", "page/d.js"]);
        assert_eq!(names("lazy.js"), ["b.js", "page/d.js"]);
        assert!(names("page/d.js").is_empty());
        assert_eq!(all.missing, [("page/c.js".into(), "./gone.js".into())]);
        assert!(all.referred.contains("said.js") && !all.referred.contains("page/a.js"));
    }

    #[test]
    fn a_circle_of_references_is_refused() {
        let files = [
            ("a.js", "import \"./b/b.js\""),
            ("b/b.js", "import \"../a.js\""),
        ];
        let error = assets(&files).err().unwrap().to_string();
        assert!(error.contains("a.js"), "{error}");
    }
}
