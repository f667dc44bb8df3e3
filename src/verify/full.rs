//! The whole scan and the whole analysis, done again and compared field by field.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rayon::prelude::*;

use super::manifests::Manifests;
use super::tables::{TOKENS, compare_layer, compare_neuron, quoted};
use super::{Findings, Full, TOKEN_ROWS, VerifyError};
use crate::atlas::{
    Atlas, AtlasError, ExampleRow, NeuronWeights, Part, Relation, TokenBatches, TokenNeurons,
    TokenRow, different_tokens, different_weights, find_parts, layer_file, merge_layer, weights,
};
use crate::ids::{NeuronId, TokenId};
use crate::load::ModelFiles;
use crate::model::Config;
use crate::scan::{self, Progress, Setup, Watch};
use crate::shard::{
    Folder, LayerReader, Lock, PartInfo, SAMPLE_LIST, ShardError, WEIGHTS_FILE, differences,
    examples_file, part_folder, stats_file,
};
use crate::stats::neuron::NeuronStats;
use crate::stats::sums::SUMS;
use crate::tokens::Tokenizer;

/// By how much numbers may differ where another device, version or way of rounding made them: of sums, as a share of the
/// largest that they could be; of values, of the neuron's largest; of counts, of all positions.
pub const TOLERANCE: f64 = 0.02;

/// The folder of what is scanned again is a temporary one of this name, and the lock in it as well.
const NAME: &str = "verify";

/// Removes what was left by a process that was killed. One that is still at work has a lock in its folder.
fn remove_left(data: &Path) -> Result<(), ShardError> {
    for folder in Folder::unfinished(&data.join(NAME)) {
        let lock = Lock::try_take(&folder.join(NAME))?;
        if lock.is_some_and(|lock| lock.is_held()) {
            fs::remove_dir_all(&folder)
                .map_err(|source| ShardError::io("remove", &folder, source))?;
        }
    }
    Ok(())
}

/// What is done again.
pub(super) struct FullCheck<'a> {
    pub(super) atlas: &'a Atlas,
    pub(super) manifests: &'a Manifests,
    pub(super) files: &'a ModelFiles,
    pub(super) config: &'a Config,
    pub(super) setup: &'a Setup,
    pub(super) tokenizer: &'a Tokenizer,
}

/// Scans and analyses again. What is written meanwhile is beside the atlas, and goes at the end.
pub(super) fn check(
    again: &FullCheck<'_>,
    data: &Path,
    findings: &mut Findings,
    progress: Progress<'_>,
) -> Result<Full, VerifyError> {
    let mut because = again.differs();
    remove_left(data)?;
    let folder = Folder::create(&data.join(NAME))?;
    let _lock = Lock::try_take(&folder.path().join(NAME))?;
    let parts = again.scan(folder.path(), progress)?;
    if because.is_none() {
        let (exact, n_different) = again.layers(|layer, own| again.compare(&parts, layer, own))?;
        // a change here or there is one thing, another way of rounding everywhere another
        match again.manifests.parts.is_empty()
            && n_different.iter().sum::<u64>() * 2 > again.n_neurons()
        {
            true => because = Some("most neurons are rounded differently".into()),
            false => findings.append(exact),
        }
    }
    if because.is_some() {
        let roughly = again.layers(|layer, own| again.compare_roughly(&parts, layer, own))?;
        findings.append(roughly.0);
    }
    again.compare_parts(&parts, findings);
    again.compare_weights(because.is_none(), findings)?;
    Ok(Full {
        exact: because.is_none(),
        because,
    })
}

impl FullCheck<'_> {
    fn n_neurons(&self) -> u64 {
        self.atlas.manifest().scan.n_neurons()
    }

    /// Compares all layers side by side; returns what each comparison does.
    fn layers<T: Send>(
        &self,
        compare: impl Fn(u32, &mut Findings) -> Result<T, VerifyError> + Sync,
    ) -> Result<(Findings, Vec<T>), VerifyError> {
        let layers = self.atlas.manifest().scan.layers().into_par_iter();
        let found = layers.map(|layer| {
            let mut findings = Findings::default();
            let compared = compare(layer, &mut findings)?;
            Ok((findings, compared))
        });
        let mut all = (Findings::default(), Vec::new());
        for (found, compared) in found.collect::<Result<Vec<_>, VerifyError>>()? {
            all.0.append(found);
            all.1.push(compared);
        }
        Ok(all)
    }

    /// Why not the same bits can be expected.
    fn differs(&self) -> Option<String> {
        let (own, here) = (env!("CARGO_PKG_VERSION"), self.setup.runs_on());
        let manifest = self.atlas.manifest();
        let parts = self
            .manifests
            .parts
            .iter()
            .map(|(_, part)| &part.neuroscope);
        let mut versions = parts.chain([&manifest.neuroscope]);
        if let Some(other) = versions.find(|version| *version != own) {
            return Some(format!("it is by version {other}"));
        }
        let mut devices = self.manifests.parts.iter().map(|(_, part)| &part.device);
        let other = devices.find(|device| **device != here)?;
        Some(format!("it was scanned on `{other}`; this is `{here}`"))
    }

    /// The parts, as they were.
    fn scan(&self, folder: &Path, progress: Progress<'_>) -> Result<Vec<Part>, VerifyError> {
        let of = self.atlas.manifest().n_parts.max(1);
        let (job, identity) = (self.setup.job(), self.setup.identity());
        let mut done = 0;
        for part in (0..of).map(|index| PartInfo { index, of }) {
            let before = done;
            let watch = Watch {
                begin: &|_| {},
                progress: &|n| progress(before + n),
                note: &|_| {},
                checkpoint_every: Duration::MAX,
                restart: false,
            };
            let target: PathBuf = folder.join("parts").join(part_folder(part));
            scan::scan_part(&job, identity, part, &target, &watch)?;
            done += job.n_rows(part);
        }
        Ok(find_parts(&folder.join("parts"))?)
    }

    /// Compares a layer of the atlas, and of the parts that are there, bit for bit.
    fn compare(
        &self,
        parts: &[Part],
        layer: u32,
        findings: &mut Findings,
    ) -> Result<u64, VerifyError> {
        let names = |place: &str| {
            [stats_file(layer), examples_file(layer)].map(|name| format!("{place}/{name}"))
        };
        let n_different = compare_layer(self.atlas, parts, layer, &names("atlas"), findings)?;
        let scan = &self.atlas.manifest().scan;
        for ((path, _), (own, part)) in parts.iter().zip(&self.manifests.parts) {
            let place = format!("parts/{}", part_folder(part.part).display());
            let expected = LayerReader::of(path, layer, scan)?;
            let found = LayerReader::of(own, layer, scan)?;
            let (names, absent) = (names(&place), found.absent());
            for (expected, found) in expected.zip(found) {
                let ((neuron, stats, mut rows), (_, own_stats, mut own_rows)) = (expected?, found?);
                if !scan.policy.has_all_bands() {
                    // more positions are kept for the bands of now
                    rows.retain(|row| row.list != SAMPLE_LIST);
                    own_rows.retain(|row| row.list != SAMPLE_LIST);
                }
                let id = NeuronId { layer, neuron };
                let both = ((&stats, &rows[..]), (&own_stats, &own_rows[..]));
                compare_neuron(id, scan, both.0, both.1, (&names, &absent), findings);
            }
        }
        Ok(n_different)
    }

    /// The manifests of the parts.
    fn compare_parts(&self, parts: &[Part], findings: &mut Findings) {
        for ((_, expected), (_, found)) in parts.iter().zip(&self.manifests.parts) {
            let file = format!("parts/{}/manifest.json", part_folder(found.part).display());
            let but = ["scan", "files", "neuroscope", "device"];
            findings.all(&file, differences(expected, found, &but));
        }
    }

    /// Compares a layer of the atlas as far as another device or version leaves it alike.
    fn compare_roughly(
        &self,
        parts: &[Part],
        layer: u32,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let scan = &self.atlas.manifest().scan;
        let mut rows = LayerReader::of(self.atlas.folder(), layer, scan)?;
        let names = [stats_file(layer), examples_file(layer)].map(|name| format!("atlas/{name}"));
        merge_layer(parts, scan, layer, |neuron, stats, examples| {
            let Some((_, own, own_examples)) = rows.next().transpose()? else {
                return Ok(());
            };
            let place = |what: &str| format!("neuron {layer}.{neuron}: `{what}` is far off");
            findings.all(&names[0], far_off(&stats, &own).into_iter().map(place));
            let largest = stats.moments.largest().max(own.moments.largest());
            for row in &own_examples {
                let same = |other: &&ExampleRow| (&other.list, other.rank) == (&row.list, row.rank);
                let is_top = matches!(row.list.as_str(), "top" | "bottom");
                let Some(other) = examples.iter().find(same).filter(|_| is_top) else {
                    continue;
                };
                let difference = f64::from((row.example.value - other.example.value).abs());
                if difference > TOLERANCE * largest {
                    findings.add(&names[1], place(&format!("{} {}", row.list, row.rank)));
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    /// Compares what the weights say.
    fn compare_weights(&self, exact: bool, findings: &mut Findings) -> Result<(), VerifyError> {
        let Some(info) = self.atlas.weights_info() else {
            return Ok(());
        };
        let checkpoint = self.files.checkpoint()?;
        let (mut wrong, mut roughly) = (Findings::default(), Findings::default());
        let mut n_different = 0;
        let each = |layer: u32, rows: Vec<NeuronWeights>| {
            let own = self.atlas.weights(layer)?.unwrap_or_default();
            let file = format!("atlas/{}", layer_file(layer));
            let alike = Relation::Alike as usize;
            // it was analysed by a version that did not say who is alike
            let lacks_alike = own.iter().all(|row| row.neighbours[alike].is_empty());
            for (neuron, (mut expected, found)) in (0..).zip(rows.into_iter().zip(&own)) {
                let id = NeuronId { layer, neuron };
                expected.logits.mean = None; // it is 0, and not stored
                if info.norm_after_mlp.is_none() {
                    expected.make_first(info, found);
                }
                if lacks_alike {
                    expected.neighbours[alike].clear();
                }
                if expected != *found {
                    n_different += 1;
                    let columns = quoted(&different_weights(&expected, found));
                    wrong.add(
                        &file,
                        format!("neuron {id}: {columns} differ from what was computed"),
                    );
                }
                if !is_near(&expected, found) {
                    let what = format!("neuron {id}: its lengths or cosines are far off");
                    roughly.add(&file, what);
                }
            }
            Ok::<(), AtlasError>(())
        };
        let orientations = self.atlas.orientations()?;
        let (config, options) = (self.config, &info.options);
        let (expected, index) = weights(
            config,
            &checkpoint,
            &self.atlas.manifest().scan.layers(),
            options,
            &orientations,
            &|_| true,
            each,
        )?;
        if !exact || n_different * 2 > self.n_neurons() {
            findings.append(roughly);
            return Ok(());
        }
        findings.append(wrong);
        let mut but = vec!["neuroscope"];
        if info.norm_after_mlp.is_none() {
            but.push("norm_after_mlp");
            but.extend((expected.norm_after_mlp == Some(true)).then_some("layers"));
        }
        let different = differences(&expected, info, &but);
        findings.all(&format!("atlas/{WEIGHTS_FILE}"), different);
        self.compare_tokens(|token| index.of(token), findings)
    }

    /// Compares the token index. On what neurons peak has been compared with the examples.
    fn compare_tokens(
        &self,
        expected: impl Fn(TokenId) -> TokenNeurons,
        findings: &mut Findings,
    ) -> Result<(), VerifyError> {
        let batches = self.atlas.tokens(TOKEN_ROWS)?;
        let have_firing = batches.as_ref().is_some_and(TokenBatches::have_firing);
        for batch in batches.into_iter().flatten() {
            for found in batch? {
                let token = found.token;
                let mut neurons = expected(token);
                neurons.peaks = found.neurons.peaks.clone();
                if !have_firing {
                    neurons.forget_firing();
                }
                let row = TokenRow {
                    token,
                    text: self.tokenizer.vocabulary().text(token).into_owned(),
                    neurons,
                };
                if row != found {
                    let columns = quoted(&different_tokens(&row, &found));
                    let what =
                        format!("token {}: {columns} differ from what was computed", token.0);
                    findings.add(TOKENS, what);
                }
            }
        }
        Ok(())
    }
}

/// Statistics that differ by more than the tolerance.
fn far_off(a: &NeuronStats, b: &NeuronStats) -> Vec<&'static str> {
    let n = (a.moments.count.max(b.moments.count)).max(1) as f64;
    let largest = a.moments.largest().max(b.moments.largest());
    let far = |x: f64, y: f64, most: f64| (x - y).abs() > TOLERANCE * most;
    let counts = |x: Option<u64>, y: Option<u64>| match (x, y) {
        (Some(x), Some(y)) => far(x as f64, y as f64, n),
        _ => false,
    };
    let mut out = Vec::new();
    let (p, q) = (&a.moments, &b.moments);
    if let (Some(p), Some(q)) = (p.sums, q.sums) {
        let sums = ["sum1", "sum2", "sum3", "sum4"].into_iter().enumerate();
        out.extend(sums.filter_map(|(at, name)| {
            let most = (n * p[1].max(q[1])).sqrt() * largest.powi(at as i32);
            far(p[at], q[at], most).then_some(name)
        }));
    }
    for ((sum, x), y) in SUMS.iter().zip(a.sums).zip(b.sums) {
        let is_far = x
            .zip(y)
            .is_some_and(|(x, y)| far(x, y, x.abs().max(y.abs())));
        out.extend(is_far.then_some(sum.column));
    }
    for (name, is_far) in [
        ("count", counts(Some(p.count), Some(q.count))),
        ("max", far(p.max.into(), q.max.into(), largest)),
        ("min", far(p.min.into(), q.min.into(), largest)),
        ("not_finite", counts(a.not_finite, b.not_finite)),
        ("firing", counts(a.n_firing, b.n_firing)),
        ("above_tau", counts(a.n_above_tau, b.n_above_tau)),
    ] {
        out.extend(is_far.then_some(name));
    }
    out
}

/// Whether lengths and cosines are near each other.
fn is_near(a: &NeuronWeights, b: &NeuronWeights) -> bool {
    let near = |x: Option<f32>, y: Option<f32>, most: f32| match (x, y) {
        (Some(x), Some(y)) => f64::from((x - y).abs()) <= TOLERANCE * f64::from(most),
        (None, None) => true,
        _ => false,
    };
    let lengths = [
        (Some(a.norms.input), Some(b.norms.input)),
        (a.norms.gate, b.norms.gate),
        (Some(a.norms.out), Some(b.norms.out)),
    ];
    let cosines = [
        (a.cosines.in_out, b.cosines.in_out),
        (a.cosines.gate_out, b.cosines.gate_out),
        (a.cosines.gate_in, b.cosines.gate_in),
    ];
    let length = |(x, y): (Option<f32>, Option<f32>)| near(x, y, x.unwrap_or_default());
    lengths.into_iter().all(length) && cosines.into_iter().all(|(x, y)| near(x, y, 1.0))
}
