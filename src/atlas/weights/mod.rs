//! What the weights say about neurons, without any text (DEFINITIONS 6 to 8).
//!
//! Nothing of the size neurons × vocabulary or neurons² is ever held: products are looked at some thousand at a time, while
//! they are in the cache ([`vocabulary`], [`pairs`]). In memory are, beside the checkpoint's own pages, lists of 0.9 kB for
//! each neuron and 1 kB for each token, and first at most 2 GiB of packed layers (or one) with the weights of another layer
//! twice, then the packed unembedding with either itself three times more, while it is packed, or the packed embedding and the weights of as many
//! layers as fit into 1 GiB (or one).

mod bench;
mod best;
mod checks;
mod chunks;
mod classes;
mod directions;
mod null_space;
mod pairs;
mod reads;
mod roles;
mod sample;
pub(super) mod table;
pub(super) mod tokens;
mod vocabulary;
mod work;

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use bench::{WeightsRound, bench_weights};
pub(crate) use checks::{wrong_firing, wrong_info, wrong_neighbours, wrong_tokens, wrong_weights};
pub use classes::{ALIGNED, Class, Classed, Cosines, Region};
pub use pairs::Relation;
pub use reads::Reads;
pub use roles::{Role, RoleThresholds};
pub(crate) use sample::{WeightsSample, different_from_model};
pub(crate) use table::different_weights;
pub(super) use table::{read_layer, write_layer};
pub(crate) use tokens::{PeakIndex, different_tokens};
pub use tokens::{Peaks, TokenBatches, TokenIndex, TokenNeurons, TokenRow};
pub(super) use tokens::{TOKENS_FILE, read as read_tokens};
pub use vocabulary::{BINS, Histogram, Shape};
pub use work::{weights, work};

use super::error::AtlasError;
use crate::files::read_at_most;
use crate::ids::{NeuronId, TokenId};
use crate::shard::{AtlasManifest, ScanIdentity, ShardError, WEIGHTS_FILE};
use crate::stats::OptionError;

/// Tokens kept at each end of a neuron's logit weights.
pub(super) const TOP_TOKENS: usize = 20;

/// Neurons kept of a token, and of each relation of a neuron.
const TOP_NEURONS: usize = 10;

/// Most bytes of `weights.json`, which has some hundred for each layer.
const MOST_INFO_BYTES: u64 = 16 << 20;

/// How weights are analysed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct AnalysisOptions {
    /// From where on neurons have a role.
    #[cfg_attr(feature = "cli", command(flatten))]
    pub roles: RoleThresholds,
    /// Seed of the pairs that chance is estimated from.
    #[cfg_attr(feature = "cli", arg(long, value_name = "N"))]
    pub seed: u64,
}

impl AnalysisOptions {
    /// Whether the options make sense.
    pub fn check(&self) -> Result<(), OptionError> {
        self.roles.check()
    }
}

/// The lengths of a neuron's weights.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Norms {
    /// ‖w_in‖
    pub input: f32,
    /// ‖w_gate‖, if gated.
    pub gate: Option<f32>,
    /// ‖w_out‖
    pub out: f32,
}

/// What the weights say about a neuron.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NeuronWeights {
    /// Lengths.
    pub norms: Norms,
    /// Cosines between them.
    pub cosines: Cosines,
    /// The input-output class; `None` where a weight has no direction.
    pub class: Option<Classed>,
    /// What it does to the logits, if that is known.
    pub role: Option<Role>,
    /// ρ, the share of `w_out` that the unembedding hardly reads.
    pub null_share: Option<f32>,
    /// Shape of the logit weights.
    pub logits: Shape,
    /// Shape of v, the cosines of `w_out` with the columns of `W_U`.
    pub v: Shape,
    /// Histogram of v.
    pub histogram: Histogram,
    /// Tokens with the largest logit weights, descending.
    pub top: Vec<(TokenId, f32)>,
    /// Tokens with the smallest logit weights, ascending.
    pub bottom: Vec<(TokenId, f32)>,
    /// Tokens by `W_E·w_in`, in early layers.
    pub reads_in: Reads<(TokenId, f32)>,
    /// Tokens by `W_E·w_gate`, in early layers of gated models.
    pub reads_gate: Reads<(TokenId, f32)>,
    /// Neurons of each [`Relation`], by the size of the cosine.
    pub neighbours: [Vec<(NeuronId, f32)>; Relation::ALL.len()],
}

impl NeuronWeights {
    /// Makes it what a version before 0.3 wrote: partition neurons however near to chance the threshold is, and a norm after the
    /// MLP folded into `w_out` everywhere. Where such a norm changes neighbours, they are taken from `found`.
    pub(crate) fn make_first(&mut self, info: &WeightsInfo, found: &Self) {
        if self.cosines.in_written.is_some() {
            for relation in [Relation::OutOutLayer, Relation::OutOutOthers] {
                let at = relation as usize;
                self.neighbours[at].clone_from(&found.neighbours[at]);
            }
        }
        self.cosines.fold_norm();
        self.class = self.cosines.class(self.norms.gate.is_some());
        let is_free = self.role.is_none_or(|role| role == Role::Entropy);
        let variance = self.v.variance.unwrap_or(0.0);
        if is_free && variance > info.options.roles.variance {
            self.role = Some(Role::Partition);
        }
    }
}

/// What holds for all neurons of a model, or of a layer: `weights.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightsInfo {
    /// [`WeightsInfo::SCHEMA`]
    pub schema: String,
    /// Version of neuroscope that wrote it.
    pub neuroscope: String,
    /// How they were analysed.
    pub options: AnalysisOptions,
    /// Directions of the bottom of W_U's left singular space, to which ρ refers.
    pub null_dim: Option<usize>,
    /// Number of layers, from the first, whose neurons' tokens read are given.
    pub early_layers: u32,
    /// Number of layers, from the last, whose neurons may regulate entropy.
    pub late_layers: u32,
    /// Whether the model has a norm after the MLP. It is folded into w_out for logit weights, roles and composition, and left out
    /// for classes and neighbours by w_out. `None` if the atlas was analysed before 0.3, when it was folded in everywhere.
    #[serde(default)]
    pub norm_after_mlp: Option<bool>,
    /// Layer by layer, what chance explains.
    pub layers: Vec<Regions>,
}

/// What chance explains of a layer's cosines.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Regions {
    /// Layer.
    pub layer: u32,
    /// Band of cos(w_in, w_out).
    pub in_out: Option<Region>,
    /// Band of cos(w_gate, w_out).
    pub gate_out: Option<Region>,
    /// Band of cos(w_gate, w_in).
    pub gate_in: Option<Region>,
}

impl WeightsInfo {
    /// Name and version of the schema.
    pub const SCHEMA: &'static str = "neuroscope/weights/v1";

    /// Whether neurons were told to partition; before 0.3 they were, however near to chance the threshold is.
    pub fn can_partition(&self, d_model: u32) -> bool {
        self.norm_after_mlp.is_none() || self.options.roles.can_partition(d_model)
    }

    /// Fails if it is not of a scan.
    fn check(&self, scan: &ScanIdentity) -> Result<(), String> {
        let (layers, n_layers) = (self.layers.iter().map(|of| of.layer), scan.model.n_layers);
        if !layers.eq(scan.layers()) {
            return Err("`layers` are not those that were scanned, in order".into());
        }
        let most = self.early_layers.max(self.late_layers);
        match most <= n_layers {
            true => Ok(()),
            false => Err(format!(
                "{most} of {n_layers} layers cannot be early or late"
            )),
        }
    }
}

/// Reads what holds for the weights of an atlas, if they were analysed; by an earlier version is as if not.
pub(super) fn read_info(
    folder: &Path,
    manifest: &AtlasManifest,
) -> Result<Option<WeightsInfo>, AtlasError> {
    if !manifest.has_weights() {
        return Ok(None);
    }
    let path = folder.join(WEIGHTS_FILE);
    let bytes = read_at_most(&path, MOST_INFO_BYTES)
        .map_err(|source| ShardError::io("read", &path, source))?;
    let bad = |reason: String| ShardError::Manifest {
        path: path.clone(),
        reason,
    };
    let info: WeightsInfo =
        serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
    match info.schema == WeightsInfo::SCHEMA {
        true => match info.check(&manifest.scan) {
            Ok(()) => Ok(Some(info)),
            Err(reason) => Err(bad(reason).into()),
        },
        false => Err(AtlasError::Shard(ShardError::Schema {
            path,
            found: info.schema,
            expected: WeightsInfo::SCHEMA.into(),
        })),
    }
}

/// Name of a layer's table.
pub(crate) fn layer_file(layer: u32) -> String {
    format!("layer-{layer:03}.weights.parquet")
}
