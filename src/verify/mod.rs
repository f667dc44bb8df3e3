//! Whether an atlas is what it says: its files and manifests, every table against itself and the others, the parts merged
//! once more, and, with the model, examples of some neurons computed again, or everything.

mod again;
mod corpus;
mod examples;
mod full;
mod manifests;
mod stats;
mod tables;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::atlas::{Atlas, AtlasError, ExampleTexts, check_model, find_parts, open_corpus};
use crate::gpu::DeviceName;
use crate::hint::Hint;
use crate::ids::NeuronId;
use crate::load::{LoadError, ModelFiles};
use crate::model::{Config, ModelError};
use crate::scan::{Checked, Progress, ScanDtype, ScanError, ScanOptions, Setup};
use crate::shard::{DataManifest, MANIFEST, ScanIdentity, ShardError, differences, read_manifest};
use crate::stats::OptionError;
use crate::tokens::BosPolicy;
use crate::tokens::store::StoreError;
pub use full::TOLERANCE;
use manifests::Manifests;

/// Unpacked tokens kept in memory.
const CACHE_TOKENS: usize = 64 << 20;

/// Rows of the token index that are read at one go.
const TOKEN_ROWS: usize = 4096;

/// Most findings that are listed.
const MOST_FINDINGS: usize = 100;

/// What is to be computed again.
#[derive(Clone, Copy, Debug)]
pub struct VerifyOptions {
    /// Neurons, drawn at random.
    pub neurons: usize,
    /// Examples of each of their lists.
    pub examples: usize,
    /// By how much a value may differ, relative to the neuron's largest.
    pub tolerance: f64,
    /// Seed of the draw.
    pub seed: u64,
    /// Whether everything is computed again, and not only the examples of some neurons.
    pub full: bool,
    /// Where.
    pub device: DeviceName,
}

impl VerifyOptions {
    /// Whether the options make sense.
    pub fn check(&self) -> Result<(), OptionError> {
        OptionError::range("tolerance", self.tolerance, 0.0..=1.0)
    }
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file or folder, in the data folder.
    pub file: String,
    /// What is wrong with it.
    pub what: String,
}

/// What is wrong: the first findings, and how many there are.
#[derive(Debug, Default)]
struct Findings {
    told: Vec<Finding>,
    n: usize,
}

impl Findings {
    fn add(&mut self, file: impl Into<String>, what: impl Into<String>) {
        self.n += 1;
        if self.told.len() < MOST_FINDINGS {
            self.told.push(Finding {
                file: file.into(),
                what: what.into(),
            });
        }
    }

    fn all<T: ToString>(&mut self, file: &str, what: impl IntoIterator<Item = T>) {
        what.into_iter()
            .for_each(|what| self.add(file, what.to_string()));
    }

    fn append(&mut self, other: Self) {
        self.n += other.n;
        let room = MOST_FINDINGS - self.told.len();
        self.told.extend(other.told.into_iter().take(room));
    }
}

/// What was found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct VerifyReport {
    /// Files whose length and SHA-256 are right.
    pub n_files: usize,
    /// Parts that are there.
    pub n_parts: usize,
    /// Whether the corpus is there; what depends on it was not checked if not.
    pub has_corpus: bool,
    /// Neurons whose rows were read.
    pub n_neurons: u64,
    /// What is wrong, the first hundred.
    pub wrong: Vec<Finding>,
    /// How much is wrong.
    pub n_wrong: usize,
    /// What was computed again, if there was a model to do it.
    pub recomputed: Option<Recomputed>,
    /// How the whole scan was compared, if it was done again.
    pub full: Option<Full>,
}

/// How well examples are reproduced.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Recomputed {
    /// Neurons.
    pub neurons: Vec<NeuronId>,
    /// Examples.
    pub n_examples: usize,
    /// Values at peaks and around them.
    pub n_values: usize,
    /// Largest difference of a value at a peak, relative to the neuron's largest magnitude.
    pub peak_error: f64,
    /// The error of values around peaks, beyond the half step that eight bits allow.
    pub window_error: f64,
    /// Examples that are off by more than the tolerance.
    pub off: Vec<String>,
}

/// How a scan and an analysis that were done again were compared.
#[derive(Clone, Debug, Serialize)]
pub struct Full {
    /// Whether bit for bit: what is the same model, text, version and device gives the same bits.
    pub exact: bool,
    /// Why not, if not.
    pub because: Option<String>,
}

/// What can go wrong while verifying.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// Files are wrong.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// The atlas is wrong.
    #[error(transparent)]
    Atlas(#[from] AtlasError),
    /// The corpus is wrong.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The model cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The model cannot compute.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The scan cannot be done again.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// An option makes no sense.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// Nothing can be scanned again without the text.
    #[error("nothing can be scanned again: `{0}` is not there")]
    NoCorpus(PathBuf),
    /// The folder holds something that is not of the scan.
    #[error("`{path}` is from a different {what} (expected {expected}, found {found})")]
    Other {
        /// Where.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// As in the atlas.
        expected: String,
        /// As found.
        found: String,
    },
}

impl VerifyError {
    /// Whether a file is missing, or not the one that its manifest names.
    fn is_damage(&self) -> bool {
        use ShardError::{Checksum, Missing};
        let (Self::Shard(error) | Self::Atlas(AtlasError::Shard(error))) = self else {
            return false;
        };
        matches!(error, Checksum { .. } | Missing { .. })
    }
}

impl Hint for VerifyError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint: Option<&'static str> = match self {
            Self::Other { .. } => Some("merge the parts again, or copy the folder again"),
            Self::NoCorpus(_) => Some("leave `--full` out to check all else"),
            _ => None,
        };
        hint.map(Cow::from)
    }

    fn inner(&self) -> Option<&dyn Hint> {
        match self {
            Self::Shard(error) => Some(error),
            Self::Atlas(error) => Some(error),
            Self::Load(error) => Some(error),
            Self::Model(error) => Some(error),
            Self::Scan(error) => Some(error),
            _ => None,
        }
    }
}

/// Checks a data folder: every file against its manifest, the manifests and tables against each other, the parts against the
/// atlas; then, with the model, computes examples again, or everything. `progress` is called with the tokens done of the latter.
pub fn verify(
    data: &Path,
    model: Option<&ModelFiles>,
    options: &VerifyOptions,
    progress: Progress<'_>,
) -> Result<VerifyReport, VerifyError> {
    options.check()?;
    match compare(data, model, options, progress) {
        // the first of the damaged files is known; the others are as well worth telling
        Err(error) if error.is_damage() => {
            let (n_files, findings) = manifests::damage(data);
            match findings.n {
                0 => Err(error),
                n_wrong => Ok(VerifyReport {
                    n_files,
                    n_wrong,
                    wrong: findings.told,
                    ..Default::default()
                }),
            }
        }
        compared => compared,
    }
}

fn compare(
    data: &Path,
    model: Option<&ModelFiles>,
    options: &VerifyOptions,
    progress: Progress<'_>,
) -> Result<VerifyReport, VerifyError> {
    let atlas = Atlas::open(&data.join("atlas"))?;
    let manifest = atlas.manifest().clone();
    let scan = &manifest.scan;
    let same = |path: PathBuf, found: &ScanIdentity| match scan.difference(found) {
        Some((what, expected, found)) => Err(VerifyError::Other {
            path,
            what,
            expected,
            found,
        }),
        None => Ok(()),
    };
    let summary: DataManifest = read_manifest(data)?;
    // where not all is known, only the whole can tell
    if summary.scan != *scan {
        same(data.join(MANIFEST), &summary.scan)?;
    }
    let parts = match data.join("parts").is_dir() {
        true => find_parts(&data.join("parts"))?,
        false => Vec::new(),
    };
    for (path, part) in &parts {
        same(path.join(MANIFEST), &part.scan)?;
    }
    let corpus_folder = data.join("corpus");
    let corpus = match corpus_folder.is_dir() {
        true => Some(open_corpus(&corpus_folder, scan, CACHE_TOKENS)?),
        // then the examples must have their text
        false => ExampleTexts::read(&atlas).map(|_| None)?,
    };
    let manifests = Manifests {
        corpus: corpus.as_ref().map(|corpus| corpus.manifest.clone()),
        atlas: manifest.clone(),
        data: summary,
        parts,
    };
    let parts = manifests.parts.iter().map(|(_, part)| part.files.len());
    let of_corpus = manifests.corpus.iter().map(|corpus| corpus.files.len());
    let mut report = VerifyReport {
        n_files: manifest.files.len() + of_corpus.chain(parts).sum::<usize>(),
        n_parts: manifests.parts.len(),
        has_corpus: corpus.is_some(),
        ..Default::default()
    };

    let mut findings = Findings::default();
    let store = corpus.as_ref().map(|corpus| &corpus.store);
    manifests::check(data, &manifests, store, &mut findings)?;
    manifests::versions(&manifests, &mut findings);
    if let Some(corpus) = &corpus {
        corpus::check(corpus, &mut findings)?;
    }
    report.n_neurons = tables::check(&atlas, &manifests, corpus.as_ref(), &mut findings)?;

    if let Some(files) = model {
        check_model(scan, &files.hashes()?)?;
        // the weights are looked at as they were scanned, but in all their context
        let config = Config {
            refactor_glu: scan.policy.refactor_glu,
            ..files.config()?
        };
        if !options.full {
            again::weights(&atlas, (files, &config), options, &mut findings)?;
        }
        if let Some(corpus) = &corpus {
            let scan_options = scan_options(scan, options.device);
            let checked = Checked::new(files, &scan_options)?;
            let setup = Setup::new(&scan.model.name, checked, &corpus.manifest, &corpus_folder)?;
            let mut but = vec![
                "model.source",
                "model.revision",
                "corpus.name",
                "corpus.data_sets",
            ];
            if !scan.policy.has_all_bands() {
                but.push("policy.bands");
            }
            let different = differences(setup.identity(), scan, &but);
            findings.all("atlas/manifest.json", different);
            let recomputed = again::recompute(&atlas, setup.job().model, &corpus.store, options)?;
            report.recomputed = Some(recomputed);
            if options.full {
                let again = full::FullCheck {
                    atlas: &atlas,
                    manifests: &manifests,
                    files,
                    config: &config,
                    setup: &setup,
                    tokenizer: &corpus.tokenizer,
                };
                report.full = Some(full::check(&again, data, &mut findings, progress)?);
            }
        } else if options.full {
            return Err(VerifyError::NoCorpus(corpus_folder));
        }
    }
    (report.wrong, report.n_wrong) = (findings.told, findings.n);
    Ok(report)
}

/// The options that a scan had.
fn scan_options(scan: &ScanIdentity, device: DeviceName) -> ScanOptions {
    let policy = &scan.policy;
    ScanOptions {
        n_ctx: Some(policy.n_ctx),
        layers: policy.layers.clone(),
        dtype: ScanDtype::from_name(&policy.dtype).unwrap_or_default(),
        refactor_glu: policy.refactor_glu,
        bos: match policy.bos {
            Some(_) => BosPolicy::Always,
            None => BosPolicy::Never,
        },
        prefix: policy.prefix.as_ref().map(|prefix| prefix.text.clone()),
        count_special: policy.count_special,
        skip_start: policy.skip_start,
        count_roles: policy.count_roles.clone(),
        device,
        batch_tokens: None,
        stats: policy.stats.clone(),
    }
}

impl VerifyReport {
    /// Whether nothing is wrong.
    pub fn is_right(&self) -> bool {
        let off = self
            .recomputed
            .as_ref()
            .is_some_and(|again| !again.off.is_empty());
        self.n_wrong == 0 && !off
    }
}
