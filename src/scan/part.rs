//! One part of a scan, from token windows to tables.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::shard::{
    Folder, LayerWriter, Lock, Manifest, PartInfo, PartManifest, ScanIdentity, read_manifest,
    rows_of,
};
use crate::stats::block::Block;

use super::Progress;
use super::batch::Cursor;
use super::checkpoint::{self, Header, Unusable};
use super::engine::Engine;
use super::error::ScanError;
use super::job::{Job, Prepared};

/// How a part is watched while it is scanned.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Is called with the tokens that an earlier run has done.
    pub begin: &'a (dyn Fn(u64) + Sync),
    /// Is called with the tokens done.
    pub progress: Progress<'a>,
    /// Is called with messages that are not errors.
    pub note: &'a (dyn Fn(&str) + Sync),
    /// Time between two checkpoints.
    pub checkpoint_every: Duration,
    /// Whether to begin from the start, whatever an earlier run left.
    pub restart: bool,
}

/// The parts beside `target`, sorted by name.
fn others(target: &Path) -> Vec<PathBuf> {
    let entries = target.parent().map(std::fs::read_dir);
    let entries = entries.into_iter().flatten().flatten().flatten();
    let is_other = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        path != target && name.starts_with("part-")
    };
    let mut others: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_other).collect();
    others.sort();
    others
}

/// Fails if a part beside `target` belongs to another number of parts, since the two could not be merged.
pub fn check_split(target: &Path, part: PartInfo) -> Result<(), ScanError> {
    let own = format!("-of-{:05}", part.of);
    let is_other = |path: &PathBuf| !path.to_string_lossy().ends_with(&own);
    match others(target).into_iter().find(is_other) {
        Some(path) => Err(ScanError::OtherSplit { path, of: part.of }),
        None => Ok(()),
    }
}

/// Fails if a part beside `target` was scanned otherwise than this one is to be, since the two could not be merged.
fn check_others(target: &Path, identity: &ScanIdentity) -> Result<(), ScanError> {
    for path in others(target) {
        let Ok(known) = read_manifest::<PartManifest>(&path) else {
            continue;
        };
        if let Some((what, found, expected)) = known.scan.difference(identity) {
            return Err(ScanError::OtherPart {
                path,
                what,
                expected,
                found,
            });
        }
    }
    Ok(())
}

/// Scans one part of the corpus and writes it to the folder `target`. Continues where an earlier run stopped.
pub fn scan_part(
    job: &Job<'_>,
    identity: &ScanIdentity,
    part: PartInfo,
    target: &Path,
    watch: &Watch<'_>,
) -> Result<PartManifest, ScanError> {
    if part.index >= part.of {
        return Err(ScanError::NoSuchPart {
            index: part.index,
            of: part.of,
        });
    }
    let n_rows = job.n_rows(part);
    if n_rows > Block::MAX_POSITIONS {
        return Err(ScanError::PartTooLarge {
            part: part.index,
            found: n_rows,
            most: Block::MAX_POSITIONS,
        });
    }
    check_split(target, part)?;
    check_others(target, identity)?;
    let Some(lock) = Lock::try_take(target)? else {
        return Err(ScanError::InWork {
            path: target.to_owned(),
        });
    };
    if lock.is_held() {
        Folder::remove_unfinished(target)?;
    }
    let folder = Folder::create(target)?; // before the work, so that a folder that cannot be written shows at once
    let prepared = Prepared::new(job, identity)?;
    let context = prepared.context();
    let documents = job.documents(part);
    let mut layers = prepared.blocks();
    let checkpoint = checkpoint::path_of(target);
    let mut header = Header {
        neuroscope: env!("CARGO_PKG_VERSION").into(),
        scan: identity.clone(),
        part,
        batch_tokens: job.batch_tokens,
        done: 0,
        cursor: Cursor::new(documents.clone()),
    };
    let place = |found: &Header| match found.done <= n_rows {
        true => prepared.rows.place(&found.cursor, &documents),
        false => None,
    };
    if watch.restart {
        checkpoint::remove(&checkpoint)?;
    }
    match checkpoint::read(&checkpoint, &header, &mut layers, place) {
        Ok(Some(found)) => {
            (watch.note)(&format!("scan: going on after {} tokens", found.done));
            (watch.begin)(found.done);
            header = found;
        }
        Ok(None) => {}
        Err(Unusable::OtherVersion(found)) => {
            return Err(ScanError::OtherVersion {
                path: checkpoint,
                found,
            });
        }
        Err(Unusable::OtherScan {
            what,
            found,
            expected,
        }) => {
            return Err(ScanError::OtherCheckpoint {
                path: checkpoint,
                what,
                found,
                expected,
            });
        }
        Err(Unusable::Wrong(error)) => {
            (watch.note)(&format!("warning: {error}; beginning again"));
            layers = prepared.blocks();
        }
    }
    let mut engine = Engine::new(job.model, &prepared)?;
    let mut batches = (prepared.rows).batches(header.cursor.clone(), header.batch_tokens);
    let mut last = Instant::now();
    while let Some(batch) = batches.next() {
        let batch = batch?;
        engine.scan(&batch, &mut layers)?;
        header.done += batch.iter().map(|w| w.ids.len() as u64).sum::<u64>();
        let go_on = (watch.progress)(header.done);
        if !go_on || last.elapsed() >= watch.checkpoint_every {
            header.cursor = batches.cursor().clone();
            engine.settle(&mut layers)?;
            let written = checkpoint::write(&checkpoint, &header, &layers);
            last = Instant::now();
            match written {
                Err(error) if !go_on => return Err(error.into()),
                // the scan itself may still end well
                Err(error) => (watch.note)(&format!("warning: no checkpoint: {error}")),
                Ok(()) => {}
            }
        }
        if !go_on {
            return Err(ScanError::Interrupted);
        }
    }

    engine.settle(&mut layers)?;

    let mut names = Vec::new();
    let layers = layers.into_iter().filter(|blocks| !blocks.is_empty());
    for (layer, blocks) in identity.layers().into_iter().zip(layers) {
        let mut writer = LayerWriter::create(folder.path(), layer, identity.kind())?;
        for (neuron, mut found) in (0..).zip(blocks.into_iter().flat_map(Block::harvest)) {
            found.prune(context.options, context.n_total);
            writer.push(neuron, found.stats.clone(), rows_of(&found))?;
        }
        names.extend(writer.finish()?);
    }
    let manifest = PartManifest {
        schema: PartManifest::SCHEMA.into(),
        neuroscope: env!("CARGO_PKG_VERSION").into(),
        scan: identity.clone(),
        part,
        documents: [documents.start, documents.end],
        device: job.model.compute().name(),
        files: folder.entries(names)?,
    };
    folder.finish(&manifest)?;
    checkpoint::remove(&checkpoint)?;
    Ok(manifest)
}
