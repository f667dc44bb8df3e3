//! Manifests: what a folder of files is, where it came from, and the checksums of its files.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::{MOST_LAYERS, MOST_VOCAB, MOST_WIDTH};
use crate::stats::{MlpKind, StatsOptions};

use super::difference::{Difference, differences};
use super::error::ShardError;
use super::files::{FileEntry, MANIFEST};
use super::{examples_file, stats_file};
use crate::files::{ModelHashes, is_plain_name, read_at_most};

/// Name of the file of an atlas that says how its weights were analysed.
pub const WEIGHTS_FILE: &str = "weights.json";

/// Name of the tokenizer's file in the folder of a corpus.
pub const TOKENIZER_FILE: &str = "tokenizer.json";

/// Largest manifest in bytes; the longest ones name each file of a corpus.
const MOST_BYTES: u64 = 1 << 28;

/// A model as far as an atlas needs to know it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInfo {
    /// Name in URLs and records.
    pub name: String,
    /// What it was read from: `demo`, the name of a folder, a file or a repository.
    pub source: String,
    /// The commit of the repository, if it comes from the Hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// `model_type`.
    pub family: String,
    /// Kind of MLP, such as `SwiGLU`.
    pub mlp: String,
    /// Whether the MLP is gated.
    pub gated: bool,
    /// Number of blocks.
    pub n_layers: u32,
    /// Width of the residual stream.
    pub d_model: u32,
    /// Neurons of a layer.
    pub d_mlp: u32,
    /// Rows of the embedding.
    pub d_vocab: u32,
    /// Number of parameters.
    pub n_parameters: u64,
    /// Types that the weights are stored in, such as `BF16` or `Q4K`, the most frequent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stored_as: Vec<String>,
    /// SHA-256 of the weights' files, by name.
    pub weights_sha256: BTreeMap<String, String>,
    /// SHA-256 of `config.json`.
    pub config_sha256: String,
    /// SHA-256 of `tokenizer.json`.
    pub tokenizer_sha256: String,
}

/// The beginning of a hash, as errors show it.
pub fn short_hash(hash: &str) -> String {
    hash.chars().take(6).collect()
}

impl ModelInfo {
    /// The hashes of its files.
    fn hashes(&self) -> ModelHashes {
        ModelHashes {
            weights: self.weights_sha256.clone(),
            config: self.config_sha256.clone(),
            tokenizer: self.tokenizer_sha256.clone(),
        }
    }

    /// The first kind of file that is another one: what, its hash here, the other's; in short.
    pub fn difference(&self, other: &ModelHashes) -> Option<(&'static str, String, String)> {
        let all = |hashes: &BTreeMap<String, String>| {
            let hashes = hashes.values().map(|hash| short_hash(hash));
            hashes.collect::<Vec<_>>().join(" ")
        };
        if self.weights_sha256 != other.weights {
            return Some(("weights", all(&self.weights_sha256), all(&other.weights)));
        }
        let pairs = [
            ("config", &self.config_sha256, &other.config),
            ("tokenizer", &self.tokenizer_sha256, &other.tokenizer),
        ];
        let mut different = pairs.into_iter().filter(|(_, own, other)| own != other);
        let (what, own, other) = different.next()?;
        Some((what, short_hash(own), short_hash(other)))
    }
}

/// A source of a corpus and how much it gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SourceInfo {
    /// Its name in the documents.
    pub source: String,
    /// Its licence in the documents.
    pub license: String,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens.
    pub n_tokens: u64,
}

/// A tokenized corpus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CorpusInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of all documents' texts, sources, licences and names.
    pub sha256: String,
    /// Number of documents.
    pub n_documents: u64,
    /// Number of tokens.
    pub n_tokens: u64,
    /// Texts that were skipped: lines and files that cannot be read, and texts with a token that has no embedding.
    pub n_skipped: u64,
    /// Places at which a word of over 64 kB was cut, so its tokens may differ from those of the uncut one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_cuts: u64,
    /// Where its documents come from.
    pub sources: Vec<SourceInfo>,
}

/// What was counted, and how (DEFINITIONS 2 to 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The hook that statistics and rankings are of.
    pub hook: String,
    /// Type of weights and activations.
    pub dtype: String,
    /// Whether gated neurons have the signs that make cos(w_gate, w_in) positive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refactor_glu: bool,
    /// Tokens of a full window, the BOS included.
    pub n_ctx: u32,
    /// Token put in front of every window.
    pub bos: Option<u32>,
    /// Whether BOS, other special tokens and position 0 are counted.
    pub count_special: bool,
    /// Counted positions of the whole corpus.
    pub n_counted: u64,
    /// How neurons are summarised.
    pub stats: StatsOptions,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Policy {
    /// The hook's name in a layer, such as `blocks.3.mlp.hook_post`.
    pub fn hook_in(&self, layer: u32) -> String {
        format!("blocks.{layer}.mlp.{}", self.hook)
    }
}

/// All that must agree between the parts of one scan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScanIdentity {
    /// The model.
    pub model: ModelInfo,
    /// The corpus.
    pub corpus: CorpusInfo,
    /// What was counted.
    pub policy: Policy,
}

impl ScanIdentity {
    /// Names of the tables that every part of the scan has, and the atlas as well.
    pub fn tables(&self) -> impl Iterator<Item = String> + use<> {
        (0..self.model.n_layers).flat_map(|layer| [stats_file(layer), examples_file(layer)])
    }

    /// Whether a scan can be so: sizes that no model has are refused before anything is done with them.
    fn check(&self) -> Result<(), String> {
        let model = &self.model;
        for (name, found, most) in [
            ("n_layers", model.n_layers, MOST_LAYERS),
            ("d_model", model.d_model, MOST_WIDTH),
            ("d_mlp", model.d_mlp, MOST_WIDTH),
            ("d_vocab", model.d_vocab, MOST_VOCAB),
            ("n_ctx", self.policy.n_ctx, u32::MAX / 2),
        ] {
            if !(1..=most).contains(&found) {
                return Err(format!("`{name}` is {found}; expected 1 to {most}"));
            }
        }
        if self.corpus.n_documents > u64::from(u32::MAX) {
            let found = self.corpus.n_documents;
            return Err(format!(
                "`n_documents` is {found}; expected at most {}",
                u32::MAX
            ));
        }
        let stats = self.policy.stats.check();
        stats.map_err(|error| error.to_string())
    }

    /// What the model's MLPs have.
    pub fn kind(&self) -> MlpKind {
        match (self.model.gated, self.policy.hook.as_str()) {
            (true, _) => MlpKind::Gated,
            (false, "hook_mid") => MlpKind::Solu,
            (false, _) => MlpKind::Plain,
        }
    }

    /// The first thing in which two scans differ: what, as in `self`, as in `other`. Names, and where things were
    /// read from, may differ.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let files = self.model.difference(&other.model.hashes());
        if files.is_some() {
            return files;
        }
        let (own, others) = (&self.corpus.sha256, &other.corpus.sha256);
        if own != others {
            return Some(("corpus", short_hash(own), short_hash(others)));
        }
        let first = |what, different: Vec<Difference>| {
            let Difference {
                path,
                expected,
                found,
            } = different.into_iter().next()?;
            Some((
                what,
                format!("{path} {expected}"),
                format!("{path} {found}"),
            ))
        };
        let but = ["name", "source", "revision", "stored_as"];
        first("policy", differences(&self.policy, &other.policy, &[]))
            .or_else(|| first("model", differences(&self.model, &other.model, &but)))
    }
}

/// Which part of a scan, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartInfo {
    /// Index of the part.
    pub index: u32,
    /// Number of parts.
    pub of: u32,
}

/// Manifest of a part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PartManifest {
    /// [`PartManifest::SCHEMA`]
    pub schema: String,
    /// Version of neuroscope that wrote it.
    pub neuroscope: String,
    /// What was scanned.
    pub scan: ScanIdentity,
    /// Which part of it.
    pub part: PartInfo,
    /// First document of the part, and the one after its last.
    pub documents: [u32; 2],
    /// Where it ran.
    pub device: String,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// Manifest of an atlas.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AtlasManifest {
    /// [`AtlasManifest::SCHEMA`]
    pub schema: String,
    /// Version of neuroscope that wrote it.
    pub neuroscope: String,
    /// What was scanned.
    pub scan: ScanIdentity,
    /// Number of parts that were merged.
    pub n_parts: u32,
    /// The files.
    pub files: Vec<FileEntry>,
}

impl AtlasManifest {
    /// Whether it says what the weights of its model say.
    pub fn has_weights(&self) -> bool {
        self.files.iter().any(|file| file.name == WEIGHTS_FILE)
    }
}

/// Manifest of a tokenized corpus.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CorpusManifest {
    /// [`CorpusManifest::SCHEMA`]
    pub schema: String,
    /// Version of neuroscope that wrote it.
    pub neuroscope: String,
    /// The corpus.
    pub corpus: CorpusInfo,
    /// SHA-256 of the tokenizer.
    pub tokenizer_sha256: String,
    /// The files that were read, by which a corpus is known again without tokenizing it.
    pub inputs: Vec<FileEntry>,
    /// How they were read.
    pub options: serde_json::Value,
    /// Files of the folders that were left out: how many by their ending, or by another reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub left_out: BTreeMap<String, u64>,
    /// The files.
    pub files: Vec<FileEntry>,
}

/// Manifest of a data folder: a scan that was merged.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataManifest {
    /// [`DataManifest::SCHEMA`]
    pub schema: String,
    /// Version of neuroscope that wrote it.
    pub neuroscope: String,
    /// What was scanned.
    pub scan: ScanIdentity,
    /// Number of parts.
    pub n_parts: u32,
}

/// A manifest that knows its schema.
pub trait Manifest: DeserializeOwned + Serialize {
    /// Name and version of the schema.
    const SCHEMA: &'static str;

    /// The files of its folder.
    fn files(&self) -> &[FileEntry];

    /// The scan that it is of, if it is of one.
    fn scan(&self) -> Option<&ScanIdentity>;
}

impl Manifest for PartManifest {
    const SCHEMA: &'static str = "neuroscope/part/v1";

    fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn scan(&self) -> Option<&ScanIdentity> {
        Some(&self.scan)
    }
}

impl Manifest for AtlasManifest {
    const SCHEMA: &'static str = "neuroscope/atlas/v1";

    fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn scan(&self) -> Option<&ScanIdentity> {
        Some(&self.scan)
    }
}

impl Manifest for DataManifest {
    const SCHEMA: &'static str = "neuroscope/data/v1";

    fn files(&self) -> &[FileEntry] {
        &[]
    }

    fn scan(&self) -> Option<&ScanIdentity> {
        Some(&self.scan)
    }
}

impl Manifest for CorpusManifest {
    const SCHEMA: &'static str = "neuroscope/corpus/v1";

    fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn scan(&self) -> Option<&ScanIdentity> {
        None
    }
}

/// Reads the manifest of a folder. What it says is checked as far as it can be by itself: names of files are plain and
/// different, and sizes are those of a model.
pub fn read_manifest<M: Manifest>(folder: &Path) -> Result<M, ShardError> {
    let path = folder.join(MANIFEST);
    let bytes =
        read_at_most(&path, MOST_BYTES).map_err(|source| ShardError::io("read", &path, source))?;
    let bad = |reason: String| ShardError::Manifest {
        path: path.clone(),
        reason,
    };
    let value: serde_json::Value =
        serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    match value.get("schema").and_then(|schema| schema.as_str()) {
        Some(schema) if schema == M::SCHEMA => {}
        Some(found) => {
            return Err(ShardError::Schema {
                path,
                found: found.to_owned(),
                expected: M::SCHEMA.to_owned(),
            });
        }
        None => return Err(bad("it has no `schema`".into())),
    }
    let manifest: M = serde_json::from_value(value).map_err(|error| bad(error.to_string()))?;
    check_files(manifest.files()).map_err(bad)?;
    manifest
        .scan()
        .map_or(Ok(()), ScanIdentity::check)
        .map_err(bad)?;
    Ok(manifest)
}

/// Whether files are inside their folder, each once.
fn check_files(files: &[FileEntry]) -> Result<(), String> {
    let mut known = HashSet::new();
    for FileEntry { name, .. } in files {
        if !is_plain_name(name) || name == MANIFEST {
            return Err(format!("`{name}` is not the name of a file in its folder"));
        }
        if !known.insert(name) {
            return Err(format!("it names `{name}` twice"));
        }
    }
    Ok(())
}

/// Checks that a manifest names all of some files of its folder.
pub fn require_files(
    folder: &Path,
    files: &[FileEntry],
    names: impl IntoIterator<Item = String>,
) -> Result<(), ShardError> {
    let known: HashSet<&str> = files.iter().map(|file| file.name.as_str()).collect();
    match names
        .into_iter()
        .find(|name| !known.contains(name.as_str()))
    {
        Some(name) => Err(ShardError::Unlisted {
            path: folder.join(name),
        }),
        None => Ok(()),
    }
}
