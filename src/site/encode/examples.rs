//! A neuron's examples as its record has them: each once, as columns, and the lists that name their rows.
//!
//! They are by far the largest part of a page, so they are written straight into JSON, from token texts that were
//! escaped once; nothing parses them again on the way.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::atlas::{Example, QUANTITIES, Window};

use crate::site::data::{ExampleTokens, List, Reach};
use crate::site::source::Source;
use crate::site::text::format::round;
use crate::site::text::texts::{TokenTexts, json_string};

/// Adds the lists as JSON: rows of the examples, and duplicates where there are any.
pub(super) fn push_lists(json: &mut Vec<u8>, lists: &[List<'_>]) {
    for (at, list) in lists.iter().enumerate() {
        json.push(if at > 0 { b',' } else { b'{' });
        json.push(b'"');
        json.extend_from_slice(list.name.as_bytes());
        json.extend_from_slice(b"\":{\"rows\":");
        push_integers(json, &list.rows);
        if list.duplicates.iter().any(|&n| n > 0) {
            json.extend_from_slice(b",\"duplicates\":");
            push_integers(json, &list.duplicates);
        }
        json.push(b'}');
    }
    json.extend_from_slice(if lists.is_empty() { b"{}" } else { b"}" });
}

/// Adds the examples as JSON, column by column.
pub(super) fn push_columns(
    json: &mut Vec<u8>,
    rows: &[ExampleTokens<'_>],
    source: &Source,
    texts: &TokenTexts<'_>,
) {
    let of = |get: &dyn Fn(&ExampleTokens<'_>) -> usize| -> Vec<usize> {
        rows.iter().map(get).collect()
    };
    let floats = |get: &dyn Fn(&Example) -> Option<f32>| -> Vec<f32> {
        rows.iter().filter_map(|row| get(row.example)).collect()
    };
    let mut sources: Vec<&str> = Vec::new();
    let mut source_of = |row: &ExampleTokens<'_>| {
        let name = source.source_of(row.example.doc)?;
        let known = sources.iter().position(|of| *of == name);
        Some(known.unwrap_or_else(|| {
            sources.push(name);
            sources.len() - 1
        }))
    };
    let places: Option<Vec<usize>> = rows.iter().map(&mut source_of).collect();
    json.push(b'{');
    if places.is_some() {
        let sources: Vec<String> = sources.into_iter().map(json_string).collect();
        let sources = format!("\"sources\":[{}],", sources.join(","));
        json.extend_from_slice(sources.as_bytes());
    }
    json.extend_from_slice(b"\"doc\":");
    push_integers(json, &of(&|row| row.example.doc.0 as usize));
    if let Some(places) = places {
        push_column(json, "source", &places);
    }
    push_column(json, "start", &of(&|row| row.example.window.start as usize));
    push_column(json, "peak", &of(&|row| row.peak()));
    push_floats(json, "value", &floats(&|example| Some(example.value)));
    let posts = floats(&|example| example.post);
    // hook_post stands beside the ranking hook of SoLU neurons only, and where every example has one
    if !posts.is_empty() && posts.len() == rows.len() {
        push_floats(json, "hook_post", &posts);
    }
    // to a step of a 127th, six digits are more than enough
    let scales = rows.iter().map(|row| row.example.window.scale.into());
    let scales: Vec<f64> = scales.filter_map(round).collect();
    push_floats(json, "scale", &scales);

    let mut lengths = Vec::with_capacity(rows.len() * 72);
    let mut bytes = String::new();
    json.extend_from_slice(b",\"text\":[");
    for (at, row) in rows.iter().enumerate() {
        let quote: &[u8] = if at > 0 { b",\"" } else { b"\"" };
        json.extend_from_slice(quote);
        lengths.extend_from_slice(quote);
        if let Some(encoded) = texts.push(&row.tokens, json, &mut lengths) {
            let comma = if bytes.is_empty() { "" } else { "," };
            let _ = write!(bytes, "{comma}\"{at}\":\"{encoded}\"");
        }
        json.push(b'"');
        lengths.push(b'"');
    }
    json.extend_from_slice(b"],\"lengths\":[");
    json.extend_from_slice(&lengths);
    json.extend_from_slice(b"],\"values\":[");
    for (at, row) in rows.iter().enumerate() {
        json.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
        push_steps(json, &row.example.window);
        json.push(b'"');
    }
    json.push(b']');
    push_hooks(json, rows);
    if !bytes.is_empty() {
        json.extend_from_slice(format!(",\"bytes\":{{{bytes}}}").as_bytes());
    }
    push_largest(json, "largest", rows.iter().map(|row| Some(row.reach)));
    let mut comma = ",\"context_starts\":{";
    for (at, row) in rows.iter().enumerate() {
        let starts = source.context_starts(&row.example.window);
        if !starts.is_empty() {
            json.extend_from_slice(format!("{comma}\"{at}\":").as_bytes());
            push_integers(json, &starts);
            comma = ",";
        }
    }
    if comma == "," {
        json.push(b'}');
    }
    push_turns(json, rows);
    json.push(b'}');
}

/// Adds, by row, where the role of tokens changes, and the roles.
fn push_turns(json: &mut Vec<u8>, rows: &[ExampleTokens<'_>]) {
    let of = |column: &dyn Fn(&ExampleTokens<'_>) -> serde_json::Value| {
        let rows = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| !row.turns.is_empty());
        let columns = rows.map(|(at, row)| (at.to_string(), column(row)));
        columns.collect::<serde_json::Map<_, _>>()
    };
    let turns = of(&|row| row.turns.iter().map(|(at, _)| *at).collect());
    let roles = of(&|row| row.turns.iter().map(|(_, role)| role.as_str()).collect());
    for (name, column) in [("turns", turns), ("roles", roles)] {
        if !column.is_empty() {
            push_name(json, name);
            json.extend_from_slice(serde_json::Value::Object(column).to_string().as_bytes());
        }
    }
}

/// Adds two columns for each of the hooks beside the values, if any example has them; null where one has not.
fn push_hooks<'a>(json: &mut Vec<u8>, rows: &[ExampleTokens<'a>]) {
    if rows.iter().all(|row| row.hooks.is_none()) {
        return;
    }
    let mut buffer = zmij::Buffer::new();
    for (at, name) in QUANTITIES.into_iter().take(3).enumerate() {
        let window = |row: &ExampleTokens<'a>| Some(&row.hooks.as_ref()?.0[at]);
        push_name(json, &format!("{name}_scale"));
        push_all(json, rows, |json, row| {
            let scale = window(row).and_then(|window| round(window.scale.into()));
            let scale = scale.map_or("null", |scale| buffer.format_finite(scale));
            json.extend_from_slice(scale.as_bytes());
        });
        push_name(json, name);
        push_all(json, rows, |json, row| match window(row) {
            Some(window) => {
                json.push(b'"');
                push_steps(json, window);
                json.push(b'"');
            }
            None => json.extend_from_slice(b"null"),
        });
        let reaches = rows.iter().map(|row| Some(row.hooks.as_ref()?.1[at]));
        push_largest(json, &format!("{name}_largest"), reaches);
    }
}

/// Adds by row what is reached at counted positions, where a value at another one is larger.
fn push_largest(json: &mut Vec<u8>, name: &str, reaches: impl Iterator<Item = Option<Reach>>) {
    let exceeded = (0..).zip(reaches).filter_map(|(at, reach): (usize, _)| {
        let largest = reach?.exceeded()?;
        Some(format!("\"{at}\":{largest}"))
    });
    let exceeded: Vec<String> = exceeded.collect();
    if !exceeded.is_empty() {
        json.extend_from_slice(format!(",\"{name}\":{{{}}}", exceeded.join(",")).as_bytes());
    }
}

fn push_name(json: &mut Vec<u8>, name: &str) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
}

pub(super) fn push_column(json: &mut Vec<u8>, name: &str, values: &[usize]) {
    push_name(json, name);
    push_integers(json, values);
}

fn push_floats(json: &mut Vec<u8>, name: &str, values: &[impl zmij::Float + Copy]) {
    push_name(json, name);
    let mut buffer = zmij::Buffer::new();
    push_all(json, values, |json, &value| {
        json.extend_from_slice(buffer.format_finite(value).as_bytes());
    });
}

fn push_integers(json: &mut Vec<u8>, values: &[usize]) {
    let mut buffer = itoa::Buffer::new();
    push_all(json, values, |json, &value| {
        json.extend_from_slice(buffer.format(value).as_bytes());
    });
}

fn push_all<T>(json: &mut Vec<u8>, values: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    json.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        push(json, value);
    }
    json.push(b']');
}

/// A window's steps as bytes, in base64.
fn push_steps(json: &mut Vec<u8>, window: &Window) {
    let bytes: Vec<u8> = window.steps.iter().map(|&step| step as u8).collect();
    let start = json.len();
    json.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(&bytes, &mut json[start..]);
    json.truncate(start + written.unwrap_or_default());
}
