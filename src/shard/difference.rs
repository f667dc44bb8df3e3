//! How two values differ, field by field.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// Most characters of a value that are shown.
const MOST_SHOWN: usize = 80;

/// A field that two values have differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path to the field, such as `policy.stats.tau`.
    pub path: String,
    /// Its value in the first, as JSON and cut if it is long.
    pub expected: String,
    /// Its value in the second.
    pub found: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            expected,
            found,
        } = self;
        write!(f, "`{path}` is {found}; expected {expected}")
    }
}

/// Lists the fields that two values have differently. The fields at the paths `but` are not compared.
pub fn differences<T: Serialize>(expected: &T, found: &T, but: &[&str]) -> Vec<Difference> {
    let mut out = Vec::new();
    let json = |value: &T| serde_json::to_value(value).unwrap_or_default();
    compare("", &json(expected), &json(found), but, &mut out);
    out
}

fn compare(path: &str, expected: &Value, found: &Value, but: &[&str], out: &mut Vec<Difference>) {
    if expected == found || but.contains(&path) {
        return;
    }
    if let (Value::Object(a), Value::Object(b)) = (expected, found) {
        let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
        for key in keys {
            let path = match path {
                "" => key.clone(),
                path => format!("{path}.{key}"),
            };
            let of = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            compare(&path, &of(a), &of(b), but, out);
        }
        return;
    }
    out.push(Difference {
        path: path.to_owned(),
        expected: short(expected),
        found: short(found),
    });
}

/// A value in a line.
fn short(value: &Value) -> String {
    if value.is_null() {
        return "none".into();
    }
    let text = value.to_string();
    match text.char_indices().nth(MOST_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
