//! One line per neuron: its first example around the peak, what was said of it, and what can be said without a model.
//! Lists of neurons show them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::atlas::ScanIdentity;
use crate::site::data::NeuronData;
use crate::site::error::SiteError;
use crate::site::excerpts::around_peak;
use crate::site::part::ModelPart;
use crate::site::section::Section;
use crate::site::text::texts::json_string;

/// Neurons in one file, and in one of a packed model.
const PER_FILE: usize = 32;
const PER_PACKED_FILE: usize = 1024;
/// Characters of a line before the peak, and behind it.
const BEFORE: usize = 44;
const AFTER: usize = 24;
/// Characters of what was said.
const SAID: usize = 200;

const SCHEMA: &str = "neuroscope/lines/v1";

/// Writes the lines of a model's neurons, each file with the last of its own.
pub(crate) struct Lines<'a> {
    part: ModelPart<'a>,
    scan: &'a ScanIdentity,
    open: OpenFiles,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(part: ModelPart<'a>) -> Self {
        Self {
            part,
            open: OpenFiles::new(part.n_neurons(), lines_per_file(&part)),
            scan: part.scan(),
        }
    }
}

impl Section for Lines<'_> {
    fn neuron(&self, data: &NeuronData<'_>) -> Result<(), SiteError> {
        let said = data.documentation.title();
        let line = data.main().next().map_or("null".to_owned(), |row| {
            let [before, at, after] = &around_peak(self.part.texts, row);
            let automatic = data.neuron.summary.line();
            line(row.example.value, [before, at, after], [said, automatic])
        });
        let d_mlp = self.scan.model.d_mlp as usize;
        let is_scanned = |flat: usize| self.scan.layer_index((flat / d_mlp) as u32).is_some();
        match self.open.put(data.flat as usize, line, is_scanned) {
            Some((file, json)) => self.part.write_json(&file, json.as_bytes()),
            None => Ok(()),
        }
    }
}

/// Neurons whose lines are in one file.
pub(crate) fn lines_per_file(part: &ModelPart<'_>) -> usize {
    match part.packing {
        None => PER_FILE,
        Some(_) => PER_PACKED_FILE,
    }
}

/// Lines of files that are not complete yet.
struct OpenFiles {
    n_neurons: usize,
    per_file: usize,
    lines: Mutex<HashMap<usize, Vec<Option<String>>>>,
}

impl OpenFiles {
    fn new(n_neurons: usize, per_file: usize) -> Self {
        Self {
            n_neurons,
            per_file,
            lines: Mutex::default(),
        }
    }

    /// Takes a neuron's line. The name and the text of its file, if that was the last of it; those that are not to come have none.
    fn put(
        &self,
        flat: usize,
        line: String,
        comes: impl Fn(usize) -> bool,
    ) -> Option<(String, String)> {
        let first = flat / self.per_file * self.per_file;
        let n = self.per_file.min(self.n_neurons - first);
        let mut open = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = open.entry(first).or_insert_with(|| {
            let none = |flat| (!comes(flat)).then(|| "null".to_owned());
            (first..first + n).map(none).collect()
        });
        lines[flat - first] = Some(line);
        if lines.iter().any(Option::is_none) {
            return None;
        }
        let lines: Vec<String> = open.remove(&first)?.into_iter().flatten().collect();
        let lines = lines.join(",");
        let json = format!("{{\"schema\":\"{SCHEMA}\",\"first\":{first},\"lines\":[{lines}]}}\n");
        Some((format!("lines/{first:07}.json"), json))
    }
}

/// A line: the value at the peak, the text before it, at it and after it, what was said of the neuron, and what was made of its
/// examples and weights. What is not there at the end is left out.
fn line(value: f32, [before, at, after]: [&str; 3], about: [Option<&str>; 2]) -> String {
    let start = before.char_indices().rev().nth(BEFORE - 1);
    let before = &before[start.map_or(0, |(at, _)| at)..];
    let texts = [before, at, first(after, AFTER)].map(json_string).join(",");
    let about = match about.map(|text| text.map(|text| json_string(first(text, SAID)))) {
        [None, None] => String::new(),
        [Some(said), None] => format!(",{said}"),
        [said, Some(automatic)] => {
            format!(",{},{automatic}", said.as_deref().unwrap_or("null"))
        }
    };
    format!("[{value},{texts}{about}]")
}

/// The beginning of a text.
pub(super) fn first(text: &str, n: usize) -> &str {
    let end = text.char_indices().nth(n);
    &text[..end.map_or(text.len(), |(at, _)| at)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_done_with_its_last_neuron() {
        let lines = OpenFiles::new(130, PER_FILE);
        assert_eq!(lines.put(129, "null".into(), |_| true), None);
        let (name, json) = lines.put(128, "[1]".into(), |_| true).unwrap();
        assert_eq!(name, "lines/0000128.json");
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["lines"], serde_json::json!([[1], null]));
        // a layer that was not scanned ends in the file
        let (_, json) = lines.put(96, "[2]".into(), |flat| flat < 97).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(
            json["lines"].as_array().unwrap()[..2],
            [serde_json::json!([2]), serde_json::Value::Null]
        );
        assert_eq!(json["lines"].as_array().unwrap().len(), 32);
    }

    #[test]
    fn a_line_is_cut_at_characters() {
        let text = "ä".repeat(100);
        let about = |about| line(1.5, [&text, "<b>", &text], about);
        let said = about([Some("a note"), None]);
        let line: (f32, String, String, String, String) = serde_json::from_str(&said).unwrap();
        assert_eq!(
            (line.1.chars().count(), line.3.chars().count()),
            (BEFORE, AFTER)
        );
        assert_eq!((line.2.as_str(), line.4.as_str()), ("<b>", "a note"));
        let [neither, automatic] = [[None, None], [None, Some("peaks")]].map(about);
        let parsed = |line: &str| serde_json::from_str::<Vec<serde_json::Value>>(line).unwrap();
        assert_eq!(parsed(&neither).len(), 4);
        assert_eq!(
            parsed(&automatic)[4..],
            [serde_json::Value::Null, "peaks".into()]
        );
    }
}
