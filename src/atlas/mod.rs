//! Parts of a scan, merged and ranked, with what the weights say: what a site is built from.

mod activity;
mod analyze;
mod build;
mod corpus;
mod error;
pub mod facts;
mod interest;
mod line;
mod neurons;
mod read;
mod sides;
mod texts;
mod weights;

pub use analyze::{ScannedModel, analyze, check_model};
pub use build::{Part, build, find_parts, merge_layer};
pub use corpus::{ScannedCorpus, check_corpus, open_corpus};
pub use error::AtlasError;
pub use facts::Fact;
pub use interest::Ranks;
pub(crate) use line::LineWriter;
pub use neurons::Summary;
pub(crate) use neurons::{LayerSummaries, Rules, different_summaries, measure, rank};
pub use read::{Atlas, AtlasNeuron, LayerNeurons, atlas_files};
pub(crate) use sides::peaks_of;
pub use sides::{FiresAtStarts, Orientation, Side};
pub use texts::ExampleTexts;
pub use weights::{
    ALIGNED, AnalysisOptions, BINS, Class, Classed, Cosines, Histogram, NeuronWeights, Norms,
    Peaks, Reads, Region, Regions, Relation, Role, RoleThresholds, Shape, TokenBatches, TokenIndex,
    TokenNeurons, TokenRow, WeightsInfo, WeightsRound, bench_weights, weights, work,
};
pub(crate) use weights::{
    PeakIndex, WeightsSample, different_from_model, different_tokens, different_weights,
    layer_file, wrong_firing, wrong_info, wrong_neighbours, wrong_tokens, wrong_weights,
};

/// The columns of the tables of weights, tokens and neurons, as lines of Markdown.
pub fn columns() -> [Vec<String>; 3] {
    [
        weights::table::weights_table().lines(),
        weights::tokens::tokens_table().lines(),
        neurons::neurons_table().lines(),
    ]
}

pub use crate::shard::{
    AtlasManifest, DataSetInfo, ExampleRow, ModelInfo, Policy, ScanIdentity, TOKENIZER_FILE,
};
pub use crate::stats::examples::{Example, Hooks};
pub use crate::stats::histogram;
pub use crate::stats::moments::Moments;
pub use crate::stats::neuron::NeuronStats;
pub use crate::stats::quantile::quantile;
pub use crate::stats::samples::BANDS;
pub use crate::stats::signs::{QUANTITIES, SignCase};
pub use crate::stats::window::Window;
