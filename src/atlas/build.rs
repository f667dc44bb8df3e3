//! Merges parts, layer by layer and neuron by neuron, so that memory does not grow with the model or the parts.

use std::fs;
use std::path::{Path, PathBuf};

use crate::shard::{
    AtlasManifest, ExampleRow, Folder, LayerReader, LayerWriter, Lock, Manifest, PartManifest,
    Policy, ScanIdentity, ShardError, neuron_from_rows, read_manifest, require_files, rows_of,
    verify_files,
};
use crate::stats::examples::Example;
use crate::stats::neuron::{Neuron, NeuronStats};
use crate::stats::samples::{RANDOM, Sample, band_name};

use super::corpus::ScannedCorpus;
use super::error::AtlasError;
use super::line::LineWriter;
use super::neurons::{self, LayerSummaries, NEURONS_FILE, Rules};
use super::read::windowing;
use super::sides::peaks_of;

/// A part with its folder.
pub type Part = (PathBuf, PartManifest);

/// Takes the lock of an atlas, and removes what killed processes left.
pub(super) fn lock(atlas: &Path) -> Result<Lock, AtlasError> {
    let Some(lock) = Lock::try_take(atlas)? else {
        return Err(AtlasError::InWork(atlas.to_owned()));
    };
    if lock.is_held() {
        Folder::remove_unfinished(atlas)?;
    }
    Ok(lock)
}

/// Merges the parts of a scan, as [`find_parts`] finds them, to the atlas folder `target`. With the corpus at
/// hand, neurons get their lines. `progress` is called with the layers done.
pub fn build(
    parts: &[Part],
    corpus: Option<&ScannedCorpus>,
    target: &Path,
    progress: &dyn Fn(u32) -> bool,
) -> Result<AtlasManifest, AtlasError> {
    let Some((_, first)) = parts.first() else {
        return Err(AtlasError::NoParts(target.to_owned()));
    };
    let lock = lock(target)?;
    if let Ok(old) = read_manifest::<AtlasManifest>(target)
        && old.scan.corpus.sha256.is_none()
    {
        return Err(AtlasError::Imported(target.to_owned()));
    }
    let scan = first.scan.clone();
    let folder = Folder::create(target)?;
    let windowing = windowing(&scan.policy);
    let lines =
        corpus.map(|of| LineWriter::new(&of.store, of.tokenizer.vocabulary(), windowing.clone()));
    let lines = lines.transpose()?;
    let mut names = Vec::new();
    let mut summaries = Vec::new();
    for layer in scan.layers() {
        if !progress(layer) {
            return Err(AtlasError::Interrupted);
        }
        let mut writer = LayerWriter::create(folder.path(), layer, scan.kind())?;
        let mut of_layer = LayerSummaries::new(Rules::Sides);
        merge_layer(parts, &scan, layer, |neuron, stats, examples| {
            let peaks = peaks_of(&examples, &windowing);
            of_layer.push(layer, neuron, &stats, &peaks);
            if let Some(lines) = &lines {
                of_layer.add_lines(lines, &peaks, None)?;
            }
            Ok(writer.push(neuron, stats, examples)?)
        })?;
        names.extend(writer.finish()?);
        summaries.push(of_layer.finish());
    }
    neurons::rank(&mut summaries);
    neurons::write(&folder.path().join(NEURONS_FILE), &summaries)?;
    names.push(NEURONS_FILE.into());

    let manifest = AtlasManifest {
        schema: AtlasManifest::SCHEMA.into(),
        neuroscope: env!("CARGO_PKG_VERSION").into(),
        n_parts: parts.len() as u32,
        scan,
        files: folder.entries(names)?,
    };
    folder.finish(&manifest)?;
    drop(lock);
    Ok(manifest)
}

/// The parts in a folder, complete, undamaged, of one scan, by one version, and in order.
pub fn find_parts(folder: &Path) -> Result<Vec<Part>, AtlasError> {
    let io = |source| ShardError::io("read", folder, source);
    let mut parts: Vec<Part> = Vec::new();
    if folder.is_dir() {
        let mut paths = fs::read_dir(folder)
            .map_err(io)?
            .map(|entry| entry.map(|e| e.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(io)?;
        paths.sort();
        let named = |path: &PathBuf| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("part-"))
        };
        for path in paths.into_iter().filter(named) {
            let manifest: PartManifest = read_manifest(&path)?;
            parts.push((path, manifest));
        }
    }
    let Some((_, first)) = parts.first() else {
        return Err(AtlasError::NoParts(folder.to_owned()));
    };
    let (scan, of) = (first.scan.clone(), first.part.of);
    for (path, part) in &parts {
        if let Some((what, expected, found)) = scan.difference(&part.scan) {
            return Err(AtlasError::Differs {
                path: path.clone(),
                what,
                expected,
                found,
            });
        }
        if part.neuroscope != first.neuroscope {
            return Err(AtlasError::Differs {
                path: path.clone(),
                what: "versions of neuroscope",
                expected: first.neuroscope.clone(),
                found: part.neuroscope.clone(),
            });
        }
        if part.part.of != of {
            let (expected, found) = (format!("{of} parts"), format!("{} parts", part.part.of));
            return Err(AtlasError::Differs {
                path: path.clone(),
                what: "splits",
                expected,
                found,
            });
        }
    }
    parts.sort_by_key(|(_, manifest)| manifest.part);
    for pair in parts.windows(2) {
        if pair[0].1.part == pair[1].1.part {
            let (path, other, index) = (pair[1].0.clone(), pair[0].0.clone(), pair[0].1.part.index);
            return Err(AtlasError::Doubled {
                path,
                other,
                index,
                of,
            });
        }
    }
    if let Some(index) = (0..of).find(|&index| {
        parts
            .get(index as usize)
            .is_none_or(|(_, part)| part.part.index != index)
    }) {
        return Err(AtlasError::MissingPart {
            path: folder.to_owned(),
            index,
            of,
        });
    }
    // each begins where the one before ends, and together they are the whole corpus
    let mut next = 0;
    for (path, manifest) in &parts {
        let [start, end] = manifest.documents;
        let is_last = manifest.part.index + 1 == of;
        let complete = !is_last || Some(u64::from(end)) == scan.corpus.n_documents;
        if start != next || end < start || !complete {
            return Err(AtlasError::Rows {
                path: path.clone(),
                reason: format!(
                    "it has documents {start} to {end}, where document {next} comes next of {}",
                    scan.corpus.n_documents.unwrap_or_default()
                ),
            });
        }
        next = end;
        require_files(path, &manifest.files, scan.tables())?;
        verify_files(path, &manifest.files)?;
    }
    Ok(parts)
}

/// Merges the neurons of a layer, and calls `each` with what the atlas says of them, in order.
pub fn merge_layer(
    parts: &[Part],
    scan: &ScanIdentity,
    layer: u32,
    mut each: impl FnMut(u32, NeuronStats, Vec<ExampleRow>) -> Result<(), AtlasError>,
) -> Result<(), AtlasError> {
    let (options, kind) = (&scan.policy.stats, scan.kind());
    // every part says it
    let n_counted = scan.policy.n_counted.unwrap_or_default();
    let readers = parts
        .iter()
        .map(|(path, _)| LayerReader::of(path, layer, scan));
    let mut readers = readers.collect::<Result<Vec<_>, _>>()?;
    for neuron in 0..scan.model.d_mlp {
        let mut merged = Neuron::new(options, kind);
        for (reader, (path, _)) in readers.iter_mut().zip(parts) {
            let rows = |reason: String| AtlasError::Rows {
                path: path.clone(),
                reason,
            };
            let (_, stats, examples) = reader
                .next()
                .transpose()?
                .ok_or_else(|| rows(format!("neuron {layer}.{neuron} is missing")))?;
            let part = neuron_from_rows(stats, examples, options, kind)
                .map_err(|reason| rows(format!("neuron {layer}.{neuron}: {reason}")))?;
            merged.merge(part, options, n_counted);
        }
        let rows = final_rows(&merged, &scan.policy);
        each(neuron, merged.stats, rows)?;
    }
    // what follows the last neuron is an error
    readers
        .iter_mut()
        .try_for_each(|reader| reader.next().map_or(Ok(()), |next| next.map(|_| ())))?;
    Ok(())
}

/// A neuron's lists as the site shows them: the samples become bands and the random list.
fn final_rows(neuron: &Neuron, policy: &Policy) -> Vec<ExampleRow> {
    let options = &policy.stats;
    let mut rows = rows_of(&Neuron {
        samples: Default::default(),
        ..neuron.clone()
    });
    let mut add = |list: &str, samples: Vec<&Sample>| {
        for (rank, sample) in (0..).zip(samples) {
            let Sample {
                doc,
                pos,
                value,
                post,
                window,
                ..
            } = sample.clone();
            let example = Example {
                value,
                post,
                doc,
                pos,
                context: 0,
                window,
                hooks: None,
                duplicates: Vec::new(),
            };
            rows.push(ExampleRow {
                list: list.to_owned(),
                rank,
                example,
                knows_context: true,
                tokens: None,
            });
        }
    };
    if let Some(histogram) = &neuron.stats.histogram {
        let bands: Vec<_> = policy.drawn_bands().collect();
        for band in bands.into_iter().rev() {
            let samples = neuron.samples.band(histogram, band, options.samples());
            add(&band_name(band), samples);
        }
    }
    add(RANDOM, neuron.samples.random(options.samples()));
    rows
}
