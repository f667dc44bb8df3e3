//! Which module may import which, as the table in `src/lib.rs` says.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The rows of the table in the documentation of the crate: module → what it may import besides `ids`.
fn table(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let text = fs::read_to_string(root.join("src/lib.rs")).unwrap();
    let rows = text
        .lines()
        .filter_map(|line| line.strip_prefix("//! | [`"));
    let row = |row: &str| {
        let (module, rest) = row.split_once("`]").unwrap();
        let imports = rest
            .trim_end_matches(" |")
            .rsplit('|')
            .next()
            .unwrap()
            .trim();
        let imports = imports.split(", ").filter(|name| *name != "nothing");
        (module.to_owned(), imports.map(str::to_owned).collect())
    };
    rows.map(row).collect()
}

/// The modules that a file names after `crate::`.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap());
    let code = code.collect::<Vec<_>>().join("\n");
    let after = code
        .match_indices("crate::")
        .map(|(at, matched)| &code[at + matched.len()..]);
    after
        .map(|rest| {
            rest.chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect()
        })
        .collect()
}

fn sources(folder: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for entry in walkdir::WalkDir::new(folder) {
        let entry = entry.unwrap();
        if entry
            .path()
            .extension()
            .is_some_and(|extension| extension == "rs")
        {
            out.push(fs::read_to_string(entry.path()).unwrap());
        }
    }
    out
}

#[test]
fn modules_import_what_the_table_allows() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = table(root);
    let declared: BTreeSet<String> = fs::read_to_string(root.join("src/lib.rs"))
        .unwrap()
        .lines()
        .filter_map(|line| {
            Some(
                line.strip_prefix("pub mod ")?
                    .trim_end_matches(';')
                    .to_owned(),
            )
        })
        .collect();
    assert_eq!(
        declared,
        table.keys().cloned().collect(),
        "every module has a row, and every row a module"
    );
    for (module, allowed) in &table {
        let files = match root.join("src").join(module) {
            folder if folder.is_dir() => sources(&folder),
            _ => vec![
                fs::read_to_string(root.join("src").join(module).with_extension("rs")).unwrap(),
            ],
        };
        for name in files.iter().flat_map(|text| imports(text)) {
            let fine = name == *module || name == "ids" || allowed.contains(&name);
            assert!(
                fine,
                "`{module}` imports `{name}`, which the table in src/lib.rs does not allow"
            );
        }
    }
}

/// The modules of the crate, by the names that lead to them, with their code: without comments and unit tests.
fn modules(root: &Path) -> BTreeMap<Vec<String>, String> {
    let mut modules = BTreeMap::new();
    for entry in walkdir::WalkDir::new(root.join("src")) {
        let path = entry.unwrap().into_path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let inside = path
            .strip_prefix(root.join("src"))
            .unwrap()
            .with_extension("");
        let mut names: Vec<String> = inside
            .iter()
            .map(|name| name.to_str().unwrap().to_owned())
            .collect();
        if names.last().is_some_and(|name| name == "mod") {
            names.pop();
        }
        let is_whole = names
            .iter()
            .any(|name| ["lib", "main", "tests"].contains(&name.as_str()));
        if !is_whole {
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            let code = text.lines().map(|line| line.split("//").next().unwrap());
            modules.insert(names, code.collect::<Vec<_>>().join("\n"));
        }
    }
    modules
}

/// The paths that code names: those after `use` one by one, and others.
fn paths(code: &str) -> Vec<Vec<String>> {
    fn expand(path: &str, out: &mut Vec<Vec<String>>) {
        let Some((head, rest)) = path.split_once('{') else {
            let path = path.split(" as ").next().unwrap();
            out.push(
                path.split("::")
                    .map(|name| name.trim().to_owned())
                    .collect(),
            );
            return;
        };
        let (mut depth, mut first) = (0, 0);
        for (at, c) in rest.char_indices() {
            match c {
                '{' => depth += 1,
                ',' | '}' if depth == 0 => {
                    let item = rest[first..at].trim();
                    if !item.is_empty() {
                        expand(&format!("{head}{item}"), out);
                    }
                    first = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                '}' => depth -= 1,
                _ => {}
            }
        }
    }
    let mut out = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            let before = code[..at].trim_end();
            if code[..at].ends_with("::") {
                continue; // a part of a longer path
            }
            let is_use = before.ends_with("use");
            let ends = |c: char| {
                if is_use {
                    c == ';'
                } else {
                    !(c.is_alphanumeric() || c == '_' || c == ':')
                }
            };
            let rest = &code[at..];
            expand(&rest[..rest.find(ends).unwrap_or(rest.len())], &mut out);
        }
    }
    out
}

/// Where a path leads from a module: the deepest module that it names.
fn target(
    modules: &BTreeMap<Vec<String>, String>,
    from: &[String],
    path: &[String],
) -> Vec<String> {
    let mut at = from.to_vec();
    for name in path {
        match name.as_str() {
            "crate" => at.clear(),
            "super" => {
                at.pop();
            }
            name => {
                at.push(name.to_owned());
                if !modules.contains_key(&at) {
                    at.pop();
                    break;
                }
            }
        }
    }
    at
}

/// Modules of one folder use each other in one direction only.
#[test]
fn no_modules_go_round_in_circles() {
    let modules = modules(Path::new(env!("CARGO_MANIFEST_DIR")));
    assert!(modules.len() > 150);
    // folder → module → the modules beside it that it uses
    let mut uses: BTreeMap<Vec<String>, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, code) in &modules {
        for path in paths(code) {
            let to = target(&modules, from, &path);
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(own), Some(other)) = (from.get(shared), to.get(shared)) {
                let folder = uses.entry(from[..shared].to_vec()).or_default();
                folder.entry(own.clone()).or_default().insert(other.clone());
            }
        }
    }
    for (folder, uses) in &mut uses {
        // what uses nothing that is left is left out, until nothing is left
        loop {
            let left: BTreeSet<String> = uses.keys().cloned().collect();
            let is_used_up = |uses: &BTreeSet<String>| uses.is_disjoint(&left);
            let done: Vec<String> = uses
                .iter()
                .filter(|(_, uses)| is_used_up(uses))
                .map(|(name, _)| name.clone())
                .collect();
            if done.is_empty() {
                break;
            }
            done.iter().for_each(|name| {
                uses.remove(name);
            });
        }
        assert!(
            uses.is_empty(),
            "in `{}` these lead to themselves: {uses:?}",
            folder.join("::")
        );
    }
}

#[test]
fn only_the_program_knows_the_command_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let main = fs::read_to_string(root.join("src/main.rs")).unwrap();
    assert!(main.lines().count() < 60 && main.contains("mod cli;"));
    assert!(
        !fs::read_to_string(root.join("src/lib.rs"))
            .unwrap()
            .contains("mod cli")
    );
}

#[test]
fn the_check_sees_imports() {
    let text =
        "use crate::stats::hash; // crate::site\nlet x = crate::model::Config;\n//! crate::atlas";
    assert_eq!(
        imports(text),
        BTreeSet::from(["stats".to_owned(), "model".to_owned()])
    );
}

#[test]
fn the_check_sees_paths() {
    let code = "use super::{a::{B, c}, d as e};\nlet x = crate::f::G::new();\npub(in crate::h) use self::i::J;";
    let found: Vec<String> = paths(code).iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "crate::f::G::new",
            "crate::h",
            "super::a::B",
            "super::a::c",
            "super::d"
        ]
    );
}
