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
