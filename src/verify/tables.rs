//! Whether the tables of an atlas agree with each other, with the corpus and with the parts.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::Path;

use rayon::prelude::*;

use super::examples::{Ground, GroundText, wrong_examples};
use super::manifests::Manifests;
use super::stats::wrong_stats;
use super::{Findings, TOKEN_ROWS, VerifyError};
use crate::atlas::{
    Atlas, AtlasError, LayerSummaries, LineWriter, NeuronWeights, Part, PeakIndex, Rules,
    ScannedCorpus, Summary, TokenBatches, different_summaries, different_tokens, layer_file,
    measure, merge_layer, peaks_of, rank, wrong_firing, wrong_info, wrong_neighbours, wrong_tokens,
    wrong_weights,
};
use crate::ids::{NeuronId, TokenId};
use crate::scan::Positions;
use crate::shard::{
    ExampleRow, LayerReader, ScanIdentity, WEIGHTS_FILE, different_examples, different_stats,
    examples_file, stats_file,
};
use crate::stats::neuron::NeuronStats;
use crate::stats::samples::band_name;
use crate::tokens::Vocabulary;

const NEURONS: &str = "atlas/neurons.parquet";
pub(super) const TOKENS: &str = "atlas/tokens.parquet";

/// What a layer's tables say that others must agree with.
struct LayerFacts {
    findings: Findings,
    summaries: Vec<Summary>,
    /// Tokens that the largest and the smallest examples of each neuron peak on.
    peaks: Vec<[Vec<TokenId>; 2]>,
}

/// Checks all tables; returns the number of neurons.
pub(super) fn check(
    atlas: &Atlas,
    manifests: &Manifests,
    corpus: Option<&ScannedCorpus>,
    findings: &mut Findings,
) -> Result<u64, VerifyError> {
    let scan = &atlas.manifest().scan;
    let (options, windowing) = (&scan.policy.stats, atlas.windowing());
    let vocabulary = corpus.map(|corpus| corpus.tokenizer.vocabulary());
    let counted_roles = corpus.and_then(|corpus| corpus.counted_roles);
    let text = corpus.map(|corpus| (&corpus.store, corpus.tokenizer.vocabulary()));
    let positions = text.map(|(store, vocabulary)| {
        let positions = Positions::new(store, vocabulary, &windowing, counted_roles, options)?;
        Ok::<_, VerifyError>((positions, vocabulary))
    });
    let positions = positions.transpose()?;
    let ground = |documents: Range<u32>, is_merged| -> Result<Ground<'_>, VerifyError> {
        let text = positions.as_ref().map(|(positions, vocabulary)| {
            Ok::<_, VerifyError>(GroundText {
                positions,
                vocabulary,
                counts: positions.counts(documents.clone())?,
                documents,
            })
        });
        Ok(Ground {
            text: text.transpose()?,
            options,
            kind: scan.kind(),
            is_imported: scan.corpus.sha256.is_none(),
            is_merged,
        })
    };
    let n_documents = text.map_or(0, |(store, _)| store.n_documents() as u32);
    let whole = ground(0..n_documents, true)?;
    if let (Some(found), Some(text)) = (scan.policy.n_counted, &whole.text)
        && found != text.counts.n_counted
    {
        let n_counted = text.counts.n_counted;
        let what = format!("`n_counted` is {found}; the corpus has {n_counted}");
        findings.add("atlas/manifest.json", what);
    }
    for (path, part) in &manifests.parts {
        let [first, end] = part.documents;
        let ground = ground(first..end, false)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let layers = scan.layers().into_par_iter();
        let found =
            layers.map(|layer| part_layer(path, &format!("parts/{name}"), layer, scan, &ground));
        for found in found.collect::<Result<Vec<_>, _>>()? {
            findings.append(found);
        }
    }
    let layers = scan.layers().into_par_iter();
    let absent = atlas.absent_from_summaries()?;
    let lines =
        text.map(|(store, vocabulary)| LineWriter::new(store, vocabulary, windowing.clone()));
    let lines = lines.transpose()?;
    let has_lines = !absent.iter().any(|column| column == "line_positive");
    let lines = lines.as_ref().filter(|_| has_lines);
    let facts = layers.map(|layer| atlas_layer(atlas, &manifests.parts, layer, &whole, lines));
    let facts = facts.collect::<Result<Vec<_>, _>>()?;
    let (mut summaries, mut index) = (
        Vec::new(),
        PeakIndex::new(scan.model.d_vocab as usize, scan.model.d_mlp),
    );
    for (layer, facts) in scan.layers().into_iter().zip(facts) {
        findings.append(facts.findings);
        summaries.push(facts.summaries);
        for (neuron, peaks) in (0..).zip(facts.peaks) {
            for (end, tokens) in peaks.into_iter().enumerate() {
                index.add(NeuronId { layer, neuron }, end, tokens);
            }
        }
    }
    let text = vocabulary.map(|vocabulary| (vocabulary, &index));
    let weights = weights(atlas, &summaries, text, findings)?;
    let n_neurons = summaries.iter().map(|rows| rows.len() as u64).sum();
    if lines.is_none() {
        // what is not written again is taken for right
        for (layer, rows) in scan.layers().into_iter().zip(&mut summaries) {
            for (row, own) in rows.iter_mut().zip(atlas.summaries(layer)?) {
                row.lines = own.lines;
            }
        }
    }
    check_summaries(atlas, summaries, weights.as_deref(), findings)?;
    Ok(n_neurons)
}

/// Checks a layer of a part by itself.
fn part_layer(
    path: &Path,
    place: &str,
    layer: u32,
    scan: &ScanIdentity,
    ground: &Ground<'_>,
) -> Result<Findings, VerifyError> {
    let mut findings = Findings::default();
    let names = [stats_file(layer), examples_file(layer)].map(|name| format!("{place}/{name}"));
    for row in LayerReader::of(path, layer, scan)? {
        let (neuron, stats, examples) = row?;
        check_neuron(
            NeuronId { layer, neuron },
            (&stats, &examples),
            (scan, ground),
            &names,
            &mut findings,
        )?;
    }
    Ok(findings)
}

fn check_neuron(
    id: NeuronId,
    (stats, examples): (&NeuronStats, &[ExampleRow]),
    (scan, ground): (&ScanIdentity, &Ground<'_>),
    names: &[String; 2],
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let place = |what: String| format!("neuron {id}: {what}");
    let counts = ground.text.as_ref().map(|text| &text.counts);
    let wrong = wrong_stats(stats, scan, counts);
    findings.all(&names[0], wrong.into_iter().map(place));
    let wrong = wrong_examples(stats, examples, ground)?;
    findings.all(&names[1], wrong.into_iter().map(place));
    Ok(())
}

/// Checks a layer of the atlas by itself, and against the parts.
fn atlas_layer(
    atlas: &Atlas,
    parts: &[Part],
    layer: u32,
    ground: &Ground<'_>,
    lines: Option<&LineWriter<'_>>,
) -> Result<LayerFacts, VerifyError> {
    let scan = &atlas.manifest().scan;
    let names = [stats_file(layer), examples_file(layer)].map(|name| format!("atlas/{name}"));
    let mut facts = LayerFacts {
        findings: Findings::default(),
        summaries: Vec::new(),
        peaks: Vec::new(),
    };
    let mut summaries = LayerSummaries::new(match atlas.has_sides()? {
        true => Rules::Sides,
        false => Rules::First,
    });
    let windowing = atlas.windowing();
    let weights = atlas.weights(layer)?;
    for row in LayerReader::of(atlas.folder(), layer, scan)? {
        let (neuron, stats, examples) = row?;
        let id = NeuronId { layer, neuron };
        let both = (scan, ground);
        check_neuron(id, (&stats, &examples), both, &names, &mut facts.findings)?;
        let of_sides = peaks_of(&examples, &windowing);
        summaries.push(layer, neuron, &stats, &of_sides);
        if let Some(lines) = lines {
            let weights = weights.as_ref().and_then(|of| of.get(neuron as usize));
            summaries.add_lines(lines, &of_sides, weights)?;
        }
        let mut peaks = [Vec::new(), Vec::new()];
        for row in &examples {
            let end = match row.list.as_str() {
                "top" => 0,
                "bottom" => 1,
                _ => continue,
            };
            let (doc, pos) = (row.example.doc, row.example.pos);
            if let Some(GroundText { positions, .. }) = &ground.text
                && pos.0 < positions.n_positions(doc)
            {
                peaks[end].extend(positions.token(doc, pos)?);
            }
        }
        facts.peaks.push(peaks);
    }
    facts.summaries = summaries.finish();
    if !parts.is_empty() {
        compare_layer(atlas, parts, layer, &names, &mut facts.findings)?;
    }
    Ok(facts)
}

/// Merges the parts of a layer once more, and compares the result with the atlas; returns how many neurons differ.
pub(super) fn compare_layer(
    atlas: &Atlas,
    parts: &[Part],
    layer: u32,
    names: &[String; 2],
    findings: &mut Findings,
) -> Result<u64, AtlasError> {
    let scan = &atlas.manifest().scan;
    let mut n_different = 0;
    let mut rows = LayerReader::of(atlas.folder(), layer, scan)?;
    let absent = rows.absent();
    if !absent.is_empty() {
        // a merge knows what all its parts know
        let mut known = absent.clone();
        for (part, _) in parts {
            let of_part = LayerReader::of(part, layer, scan)?.absent();
            known.retain(|column| !of_part.contains(column));
        }
        let lacks = |column| format!("it lacks `{column}`, which its parts have");
        findings.all(&names[0], known.iter().map(lacks));
    }
    let drawn: Vec<_> = scan.policy.drawn_bands().collect();
    let bands = scan.policy.bands.iter();
    let forgotten = bands.filter(|band| !drawn.contains(band));
    let forgotten: Vec<String> = forgotten.map(|band| band_name(*band)).collect();
    merge_layer(parts, scan, layer, |neuron, stats, examples| {
        let Some((_, own_stats, mut own_examples)) = rows.next().transpose()? else {
            return Ok(()); // the reader has ended with an error
        };
        // a merge of before 0.3 drew from a band that is no longer drawn from
        own_examples.retain(|row| !forgotten.contains(&row.list));
        let id = NeuronId { layer, neuron };
        let merged = (&stats, &examples[..]);
        let own = (&own_stats, &own_examples[..]);
        let place = (names, &absent[..]);
        n_different += u64::from(!compare_neuron(id, scan, merged, own, place, findings));
        Ok(())
    })?;
    Ok(n_different)
}

/// Compares what is expected of a neuron with what is there, but for columns that are absent; returns whether it is the same.
pub(super) fn compare_neuron(
    id: NeuronId,
    scan: &ScanIdentity,
    (stats, examples): (&NeuronStats, &[ExampleRow]),
    (own_stats, own_examples): (&NeuronStats, &[ExampleRow]),
    (names, absent): (&[String; 2], &[String]),
    findings: &mut Findings,
) -> bool {
    // texts stand for the corpus, with which they are compared if it is there
    let known = |mut columns: Vec<String>| {
        columns.retain(|column| !absent.contains(column) && column != "tokens");
        columns
    };
    let mut is_same = true;
    if stats != own_stats {
        let columns = known(different_stats(scan.kind(), stats, own_stats));
        if !columns.is_empty() {
            is_same = false;
            let columns = quoted(&columns);
            findings.add(
                &names[0],
                format!("neuron {id}: {columns} differ from what was computed"),
            );
        }
    }
    if examples.len() != own_examples.len() {
        let (found, expected) = (own_examples.len(), examples.len());
        let what = format!("neuron {id} has {found} examples; expected {expected}");
        findings.add(&names[1], what);
        return false;
    }
    for (row, own) in examples.iter().zip(own_examples) {
        if row != own {
            let columns = known(different_examples(scan.kind(), row, own));
            if columns.is_empty() {
                continue;
            }
            is_same = false;
            let columns = quoted(&columns);
            let (list, rank) = (&own.list, own.rank);
            let what = format!(
                "neuron {id}: list `{list}`, rank {rank}: {columns} differ from what was computed"
            );
            findings.add(&names[1], what);
        }
    }
    is_same
}

/// Names in backticks.
pub(super) fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}

/// Checks what the weights of all neurons say, if they were analysed, and returns it. What tokens are called and which examples
/// peak on them is compared with the text, if it is there.
fn weights(
    atlas: &Atlas,
    summaries: &[Vec<Summary>],
    text: Option<(&Vocabulary, &PeakIndex)>,
    findings: &mut Findings,
) -> Result<Option<Vec<Vec<NeuronWeights>>>, VerifyError> {
    let Some(info) = atlas.weights_info() else {
        return Ok(None);
    };
    let scan = &atlas.manifest().scan;
    let file = format!("atlas/{WEIGHTS_FILE}");
    findings.all(&file, wrong_info(info, scan));
    findings.all(
        &file,
        info.options.check().err().map(|error| error.to_string()),
    );
    let file = |layer: u32| format!("atlas/{}", layer_file(layer));
    let layers = scan.layers().into_par_iter();
    let read = layers.map(|layer| {
        let rows = atlas.weights(layer)?.unwrap_or_default();
        let wrong = wrong_weights(info, scan, layer, &rows);
        Ok((rows, wrong))
    });
    let mut all = Vec::new();
    for (layer, (rows, wrong)) in scan
        .layers()
        .into_iter()
        .zip(read.collect::<Result<Vec<_>, AtlasError>>()?)
    {
        findings.all(&file(layer), wrong);
        // the layers before that were not scanned
        all.resize_with(layer as usize, Vec::new);
        all.push(rows);
    }
    for (id, what) in wrong_neighbours(&all, scan.model.gated) {
        findings.add(file(id.layer), format!("neuron {id}: {what}"));
    }
    let mut tokens = Vec::new();
    let batches = atlas.tokens(TOKEN_ROWS)?;
    let have_firing = batches.as_ref().is_some_and(TokenBatches::have_firing);
    for batch in batches.into_iter().flatten() {
        for found in batch? {
            let id = found.token;
            let mut expected = found.clone();
            if let Some((vocabulary, index)) = text {
                expected.text = vocabulary.text(id).into_owned();
                expected.neurons.peaks = index.of(id);
            }
            if expected != found {
                let columns = quoted(&different_tokens(&expected, &found));
                findings.add(
                    TOKENS,
                    format!("token {}: {columns} differ from what was computed", id.0),
                );
            }
            tokens.push(found.neurons);
        }
    }
    findings.all(TOKENS, wrong_tokens(&all, &tokens));
    let d_mlp = scan.model.d_mlp as usize;
    let mut orientations = vec![None; scan.model.n_layers as usize * d_mlp];
    for row in summaries.iter().flatten() {
        orientations[row.layer as usize * d_mlp + row.neuron as usize] = row.orientation;
    }
    if have_firing {
        findings.all(TOKENS, wrong_firing(&all, &tokens, &orientations));
    } else if orientations.iter().any(Option::is_some) {
        findings.add(
            TOKENS,
            "it lacks `promoted_by`, which the other tables give",
        );
    }
    Ok(Some(all))
}

/// Compares the table of all neurons with what the others give.
fn check_summaries(
    atlas: &Atlas,
    mut expected: Vec<Vec<Summary>>,
    weights: Option<&[Vec<NeuronWeights>]>,
    findings: &mut Findings,
) -> Result<(), VerifyError> {
    let mut found = Vec::new();
    let layers = atlas.manifest().scan.layers();
    for (layer, rows) in layers.into_iter().zip(&mut expected) {
        let own = atlas.summaries(layer)?;
        match weights {
            Some(weights) => measure(rows, &weights[layer as usize]),
            // an analysis by an early version is not read, but what it measured is there
            None => {
                for (row, own) in rows.iter_mut().zip(&own) {
                    row.keep_weights_of(own);
                }
            }
        }
        found.push(own);
    }
    rank(&mut expected);
    let absent = atlas.absent_from_summaries()?;
    let mut lacking = BTreeSet::new();
    for (expected, found) in expected.iter().flatten().zip(found.iter().flatten()) {
        if expected == found {
            continue;
        }
        let columns = different_summaries(expected, found).into_iter();
        let (unknown, columns): (Vec<_>, Vec<_>) = columns.partition(|one| absent.contains(one));
        lacking.extend(unknown);
        if !columns.is_empty() {
            let (layer, neuron) = (found.layer, found.neuron);
            let columns = quoted(&columns);
            findings.add(
                NEURONS,
                format!("neuron {layer}.{neuron}: {columns} differ from what was computed"),
            );
        }
    }
    let lacks = |column| format!("it lacks `{column}`, which the other tables give");
    findings.all(NEURONS, lacking.into_iter().map(lacks));
    Ok(())
}
