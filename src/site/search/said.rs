//! Which neurons have a word in what was said of them, their notes and explanations: files that a page searches.

use std::collections::{BTreeMap, HashMap};

use serde_json::json;

use super::files::write_files;
use super::units::{LONGEST, words};
use crate::ids::NeuronId;
use crate::site::address;
use crate::site::error::SiteError;
use crate::site::part::{Documentation, ModelPart};
use crate::site::text::texts::json_string;

/// Neurons that are listed of each word.
const MOST: usize = 1000;
const SCHEMA: &str = "neuroscope/said-words/v1";
const FILE_SCHEMA: &str = "neuroscope/said-word-neurons/v1";

/// Writes the words of all that was said of the neurons of a model.
pub(crate) fn write(part: ModelPart<'_>) -> Result<(), SiteError> {
    let mut neurons: HashMap<String, Vec<u32>> = HashMap::new();
    for (NeuronId { layer, neuron }, said) in part.documented() {
        let flat = layer * part.model.d_mlp + neuron;
        for word in words(&text(said)) {
            if word.chars().count() > LONGEST {
                continue;
            }
            let of_word = neurons.entry(word).or_default();
            if of_word.last() != Some(&flat) && of_word.len() < MOST {
                of_word.push(flat);
            }
        }
    }
    let utf16 =
        |(word, of): (String, Vec<u32>)| (word.encode_utf16().collect::<Vec<_>>(), (word, of));
    let sorted: BTreeMap<_, _> = neurons.into_iter().map(utf16).collect();
    let n_words = sorted.len();
    let entries = sorted.into_values().map(|(word, of)| {
        let of: Vec<String> = of.iter().map(u32::to_string).collect();
        let entry = format!("[{},[{}]]", json_string(&word), of.join(","));
        (word, entry)
    });
    let files = write_files(part, FILE_SCHEMA, address::said_words_file, entries)?;
    let index = json!({
        "schema": SCHEMA,
        "model": part.model.name,
        "d_mlp": part.model.d_mlp,
        "n_words": n_words,
        "most": MOST,
        "files": files,
    });
    part.write_json(&address::said_words(), format!("{index}\n").as_bytes())
}

/// The text of all that was said of a neuron.
fn text(said: Documentation<'_>) -> String {
    let note = said
        .note
        .map(|note| format!("{} {}", note.title, note.plain));
    let explanations = said.explanations.iter().map(|one| one.text.clone());
    note.into_iter()
        .chain(explanations)
        .collect::<Vec<_>>()
        .join("\n")
}
