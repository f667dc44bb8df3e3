use super::super::examples::{Example, Hooks, TopList};
use super::super::histogram::BINS;
use super::super::moments::Moments;
use super::super::samples::{BANDS, Sample, Samples};
use super::super::signs::CaseStats;
use super::super::sums::N_SUMS;
use super::super::{MlpKind, StatsOptions};
use super::Block;
use super::document::Pending;

/// What is expected of a neuron once a scan is under way, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// In memory.
    pub memory: u64,
    /// In the tables of a part, compressed.
    pub part_disk: u64,
    /// In a checkpoint, compressed.
    pub checkpoint_disk: u64,
    /// In the tables of an atlas, compressed, without its weights.
    pub atlas_disk: u64,
}

impl Block {
    /// What a neuron will take in a part that has so many documents, and this share of the corpus: lists are full as far as
    /// there are documents.
    pub fn expect(
        kind: MlpKind,
        options: &StatsOptions,
        n_documents: usize,
        share: f64,
    ) -> Expected {
        /// What the allocator adds to a piece of memory.
        const OVERHEAD: usize = 16;
        let window = (options.window_before + options.window_after + 1) as usize;
        let lists = options.lists(kind);
        let n_listed: usize = lists.iter().map(|(_, k)| (*k).min(n_documents)).sum();
        let with_hooks = lists.iter().filter(|(list, _)| options.keeps_hooks(*list));
        let n_with_hooks: usize = with_hooks.map(|(_, k)| (*k).min(n_documents)).sum();
        let n_shown = options.random + BANDS.len() * options.per_band;
        let n_kept = options.samples().expected(share).ceil() as usize;
        let lane =
            BINS * 4 + (4 + N_SUMS) * 8 + 5 * 4 + 2 * size_of::<Moments>() + size_of::<Samples>();
        let cases = match kind {
            MlpKind::Gated => 4 * size_of::<CaseStats>(),
            MlpKind::Solu => size_of::<Moments>(),
            MlpKind::Plain => 0,
        };
        let per_list = size_of::<TopList>() + 3 * 4 + size_of::<Option<Pending>>();
        let example = size_of::<Example>() + window + OVERHEAD;
        let sample = size_of::<Sample>() + window + OVERHEAD;
        let hooks = size_of::<Hooks>() + OVERHEAD + 3 * (window + OVERHEAD);
        // vectors grow by doubling, samples until they are pruned
        let memory = lane
            + cases
            + lists.len() * per_list
            + n_listed * example * 5 / 4
            + n_with_hooks * hooks
            + n_kept * sample * 5 / 4;
        // as measured on a scan of a gated model: a step compresses to two thirds of a byte, the rest of a row to 17
        let row = 17 + window * 2 / 3;
        let stats = 700;
        // gate, act and in hardly compress, since they are rarely near 0
        let hooks = n_with_hooks * 3 * (window * 9 / 10 + 3);
        let hooks_saved = n_with_hooks * 3 * (window + 5);
        Expected {
            memory: memory as u64,
            part_disk: (stats + hooks + (n_listed + n_kept) * row) as u64,
            checkpoint_disk: (stats + hooks_saved + (n_listed + n_kept) * (row + 10)) as u64,
            atlas_disk: (stats + hooks + (n_listed + n_shown) * (row - 8)) as u64,
        }
    }
}
