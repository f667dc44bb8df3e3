//! The shortest lines on all neurons of a model, in a few files: for lists of neurons from anywhere in it.

use serde_json::json;

use super::lines::first;
use crate::ids::NeuronId;
use crate::site::address;
use crate::site::error::SiteError;
use crate::site::part::ModelPart;

/// Most files of a model, so that all of them are loaded in as many requests.
const MOST_FILES: usize = 4;
/// Neurons of a file, unless there would be too many files.
const PER_FILE: usize = 16_384;
/// Characters of a line.
const CHARACTERS: usize = 60;

const SCHEMA: &str = "neuroscope/short-lines/v1";

/// Neurons whose short lines are in one file.
pub(crate) fn short_lines_per_file(part: &ModelPart<'_>) -> usize {
    part.n_neurons().div_ceil(MOST_FILES).max(PER_FILE)
}

/// Writes them.
pub(crate) fn write(part: &ModelPart<'_>) -> Result<(), SiteError> {
    let d_mlp = part.scan().model.d_mlp;
    let mut lines: Vec<Option<String>> = vec![None; part.n_neurons()];
    for layer in part.scan().layers() {
        for summary in part.source.atlas.summaries(layer)? {
            let (layer, neuron) = (summary.layer, summary.neuron);
            let said = part.documentation(NeuronId { layer, neuron });
            let said = said.title();
            let line = said.or_else(|| summary.line().map(beginning));
            lines[(layer * d_mlp + neuron) as usize] =
                line.map(|line| first(line, CHARACTERS).to_owned());
        }
    }
    let per_file = short_lines_per_file(part);
    for (file, lines) in lines.chunks(per_file).enumerate() {
        let value = json!({"schema": SCHEMA, "first": file * per_file, "lines": lines});
        let name = address::short_lines(file);
        part.write_json(&name, format!("{value}\n").as_bytes())?;
    }
    Ok(())
}

/// What an automatic line begins with: the tokens of the peaks, if it has them.
fn beginning(line: &str) -> &str {
    let part = line.split(" · ").next().unwrap_or(line);
    part.strip_prefix("peaks on: ").unwrap_or(part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_begins_with_its_peaks() {
        let line = "peaks on: at ×17, others ×3 · followed by: all ×12 · promotes: begin";
        assert_eq!(beginning(line), "at ×17, others ×3");
        assert_eq!(
            beginning("promotes: begin, start"),
            "promotes: begin, start"
        );
    }
}
