//! Manifests: what a folder of files is, where it came from, and the checksums of its files.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::corpus::Subset;
use crate::ids::{Layers, MOST_LAYERS, MOST_VOCAB, MOST_WIDTH, NeuronId, TokenId};
use crate::stats::samples::{BANDS, FIRST_BANDS};
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
    /// SHA-256 of the weights' files, by name; empty if they are not known, as in an atlas that was imported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub weights_sha256: BTreeMap<String, String>,
    /// SHA-256 of `config.json`, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_sha256: Option<String>,
    /// SHA-256 of `tokenizer.json`, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer_sha256: Option<String>,
}

/// The beginning of a hash, as errors show it.
pub fn short_hash(hash: &str) -> String {
    hash.chars().take(6).collect()
}

/// What errors say in place of a hash.
const NOT_KNOWN: &str = "not known";

/// Hashes of one kind of file with the files' names; none if they are not known.
type Hashes<'a> = (&'static str, Vec<(&'a str, &'a str)>);

fn only<'a>(kind: &'static str, hash: Option<&'a str>) -> Hashes<'a> {
    (kind, hash.map(|hash| ("", hash)).into_iter().collect())
}

fn of_weights(files: &BTreeMap<String, String>) -> Hashes<'_> {
    let files = files.iter().map(|(name, hash)| (&name[..], &hash[..]));
    ("weights", files.collect())
}

/// The first kind of file that is another one: what, its hashes in the one, in the other; in short. Where they are not known
/// it counts as another one.
fn first_difference<const N: usize>(
    own: [Hashes<'_>; N],
    others: [Hashes<'_>; N],
) -> Option<(&'static str, String, String)> {
    let short = |hashes: &[(&str, &str)]| match hashes {
        [] => NOT_KNOWN.to_owned(),
        some => {
            let hashes = some.iter().map(|(_, hash)| short_hash(hash));
            hashes.collect::<Vec<_>>().join(" ")
        }
    };
    let mut pairs = own.into_iter().zip(others);
    let differ = |((_, own), (_, other)): &(Hashes<'_>, Hashes<'_>)| own.is_empty() || own != other;
    let ((what, own), (_, other)) = pairs.find(differ)?;
    Some((what, short(&own), short(&other)))
}

impl ModelInfo {
    fn hashes(&self) -> [Hashes<'_>; 3] {
        [
            of_weights(&self.weights_sha256),
            only("config", self.config_sha256.as_deref()),
            only("tokenizer", self.tokenizer_sha256.as_deref()),
        ]
    }

    /// The first kind of file of which no hash is known, so that no model can be told to be this one.
    pub fn unknown(&self) -> Option<&'static str> {
        let mut hashes = self.hashes().into_iter();
        let (what, _) = hashes.find(|(_, hashes)| hashes.is_empty())?;
        Some(what)
    }

    /// The first kind of file that is another one, or not known to be the same: what, its hash here, the other's; in short.
    pub fn difference(&self, other: &ModelHashes) -> Option<(&'static str, String, String)> {
        let others = [
            of_weights(&other.weights),
            only("config", Some(&other.config)),
            only("tokenizer", Some(&other.tokenizer)),
        ];
        first_difference(self.hashes(), others)
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

/// A split of a data set on the Hub.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSetInfo {
    /// Its name.
    pub id: String,
    /// The commit of its files.
    pub revision: String,
    /// Its config, if it has configs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<String>,
    /// Its split.
    pub split: String,
    /// Whether its files, and the commit, are those of the Hub's conversion to Parquet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub converted: bool,
}

impl DataSetInfo {
    /// Whether another one is the same split, at this or another commit.
    pub fn is_same_split(&self, other: &Self) -> bool {
        let split = |info: &Self| (info.id.clone(), info.config.clone(), info.split.clone());
        split(self) == split(other)
    }
}

/// How the conversations of a corpus became text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChatInfo {
    /// SHA-256 of the chat template.
    pub template_sha256: String,
    /// The special tokens that it sees, by their names.
    pub special_tokens: BTreeMap<String, String>,
    /// The day that it shows, if it shows one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The BOS that was taken from the beginning of the texts, since windows begin with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bos: Option<u32>,
    /// The roles of the tokens, in the order of their numbers from 1.
    pub roles: Vec<String>,
}

/// A tokenized corpus. Of one that was scanned everything is known; an atlas that was imported may know its name only.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CorpusInfo {
    /// Its name.
    pub name: String,
    /// SHA-256 of all documents' texts, sources, licences and names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Number of documents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_documents: Option<u64>,
    /// Number of tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_tokens: Option<u64>,
    /// How much of it was taken.
    #[serde(default, skip_serializing_if = "Subset::is_whole")]
    pub subset: Subset,
    /// Texts that were skipped: lines and files that cannot be read, and texts with a token that has no embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_skipped: Option<u64>,
    /// Places at which a word of over 64 kB was cut, so its tokens may differ from those of the uncut one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub n_cuts: u64,
    /// Where its documents come from; empty if that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sources: Vec<SourceInfo>,
    /// The data sets of the Hub that it is of, besides other files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_sets: Vec<DataSetInfo>,
    /// How its conversations became text; absent if it has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chat: Option<ChatInfo>,
}

impl CorpusInfo {
    /// Fails unless all is known that is known of every corpus that was tokenized here.
    fn check_known(&self) -> Result<(), String> {
        let known = [
            ("sha256", self.sha256.is_some()),
            ("n_documents", self.n_documents.is_some()),
            ("n_tokens", self.n_tokens.is_some()),
            ("n_skipped", self.n_skipped.is_some()),
        ];
        match known.iter().find(|(_, is_known)| !is_known) {
            Some((key, _)) => Err(format!("its corpus has no `{key}`")),
            None => Ok(()),
        }
    }
}

/// A text that stands before every window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Prefix {
    /// The text.
    pub text: String,
    /// Its tokens.
    pub ids: Vec<u32>,
}

/// What was counted, and how (DEFINITIONS 2 to 4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The hook that statistics and rankings are of.
    pub hook: String,
    /// Type of weights and activations.
    pub dtype: String,
    /// The layers that were scanned, in order, if these are not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layers: Option<Layers>,
    /// Whether gated neurons have the signs that make cos(w_gate, w_in) positive.
    #[serde(default, skip_serializing_if = "is_false")]
    pub refactor_glu: bool,
    /// Tokens of a full window, the BOS included.
    pub n_ctx: u32,
    /// Token put in front of every window.
    pub bos: Option<u32>,
    /// What stands before every window, after the BOS, and is not counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<Prefix>,
    /// Whether BOS, other special tokens and position 0 are counted.
    pub count_special: bool,
    /// Positions after the first of every window that are not counted, nor the first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skip_start: u32,
    /// Roles whose tokens are counted, and no others; empty if all tokens are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub count_roles: Vec<String>,
    /// Bands of the population of which examples were drawn, by share of values below.
    #[serde(default = "first_bands")]
    pub bands: Vec<(f64, f64)>,
    /// Counted positions of the whole corpus; an atlas that was imported may not know it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_counted: Option<u64>,
    /// How neurons are summarised.
    pub stats: StatsOptions,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn first_bands() -> Vec<(f64, f64)> {
    FIRST_BANDS.to_vec()
}

impl Policy {
    /// Whether examples were drawn of all the bands of now; a version before 0.3 drew of others.
    pub fn has_all_bands(&self) -> bool {
        self.bands != FIRST_BANDS
    }

    /// The bands of which a merge draws examples, from the lowest: those of now of which enough positions were kept. A version
    /// before 0.3 kept only those of the upper half for certain.
    pub fn drawn_bands(&self) -> impl Iterator<Item = (f64, f64)> {
        let drawn = |band: &(f64, f64)| self.bands.contains(band);
        BANDS.into_iter().filter(drawn)
    }

    /// The tokens before every window, after the BOS.
    pub fn prefix_ids(&self) -> Vec<TokenId> {
        let ids = self.prefix.iter().flat_map(|prefix| &prefix.ids);
        ids.copied().map(TokenId).collect()
    }

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
    /// The layers that were scanned, in order: of all others nothing is there.
    pub fn layers(&self) -> Vec<u32> {
        match &self.policy.layers {
            Some(layers) => layers.iter().collect(),
            None => (0..self.model.n_layers).collect(),
        }
    }

    /// Where a layer stands among those that were scanned.
    pub fn layer_index(&self, layer: u32) -> Option<usize> {
        match &self.policy.layers {
            Some(layers) => layers.index(layer),
            None => (layer < self.model.n_layers).then_some(layer as usize),
        }
    }

    /// Whether a neuron was scanned.
    pub fn has(&self, id: NeuronId) -> bool {
        self.layer_index(id.layer).is_some() && id.neuron < self.model.d_mlp
    }

    /// Number of neurons that were scanned.
    pub fn n_neurons(&self) -> u64 {
        let n_layers = match &self.policy.layers {
            Some(layers) => layers.n() as u64,
            None => u64::from(self.model.n_layers),
        };
        n_layers * u64::from(self.model.d_mlp)
    }

    /// Names of the tables that every part of the scan has, and the atlas as well.
    pub fn tables(&self) -> impl Iterator<Item = String> + use<> {
        let layers = self.layers().into_iter();
        layers.flat_map(|layer| [stats_file(layer), examples_file(layer)])
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
        if let Some(layers) = &self.policy.layers
            && layers.last() >= model.n_layers
        {
            return Err(format!(
                "`layers` is {layers}; expected some of 0 to {}",
                model.n_layers - 1
            ));
        }
        if let Some(found) = self.corpus.n_documents
            && found > u64::from(u32::MAX)
        {
            return Err(format!(
                "`n_documents` is {found}; expected at most {}",
                u32::MAX
            ));
        }
        let stats = self.policy.stats.check();
        stats.map_err(|error| error.to_string())
    }

    /// The hashes of all that was scanned.
    fn hashes(&self) -> [Hashes<'_>; 4] {
        let [weights, config, tokenizer] = self.model.hashes();
        let corpus = only("corpus", self.corpus.sha256.as_deref());
        [weights, config, tokenizer, corpus]
    }

    /// Fails unless everything is known by which parts are recognised as those of one scan.
    fn check_known(&self) -> Result<(), String> {
        if let Some(what) = self.model.unknown() {
            return Err(format!("it has no `{what}_sha256`"));
        }
        self.corpus.check_known()?;
        match self.policy.n_counted {
            Some(_) => Ok(()),
            None => Err("it has no `n_counted`".into()),
        }
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
    /// read from, may differ. What is not known in one is never the same as in the other.
    pub fn difference(&self, other: &Self) -> Option<(&'static str, String, String)> {
        let files = first_difference(self.hashes(), other.hashes());
        if files.is_some() {
            return files;
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
        let chat = |scan: &Self| json!({"chat": &scan.corpus.chat});
        first("chat template", differences(&chat(self), &chat(other), &[]))
            // how many positions were counted follows from the rest
            .or_else(|| {
                first(
                    "policy",
                    differences(&self.policy, &other.policy, &["n_counted"]),
                )
            })
            .or_else(|| first("policy", differences(&self.policy, &other.policy, &[])))
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

    /// What is wrong with what it says by itself.
    fn check(&self) -> Result<(), String>;
}

impl Manifest for PartManifest {
    const SCHEMA: &'static str = "neuroscope/part/v1";

    fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn check(&self) -> Result<(), String> {
        self.scan.check()?;
        self.scan.check_known()
    }
}

impl Manifest for AtlasManifest {
    const SCHEMA: &'static str = "neuroscope/atlas/v1";

    fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn check(&self) -> Result<(), String> {
        self.scan.check()
    }
}

impl Manifest for DataManifest {
    const SCHEMA: &'static str = "neuroscope/data/v1";

    fn files(&self) -> &[FileEntry] {
        &[]
    }

    fn check(&self) -> Result<(), String> {
        self.scan.check()
    }
}

impl Manifest for CorpusManifest {
    const SCHEMA: &'static str = "neuroscope/corpus/v1";

    fn files(&self) -> &[FileEntry] {
        &self.files
    }

    fn check(&self) -> Result<(), String> {
        self.corpus.check_known()
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
    manifest.check().map_err(bad)?;
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
