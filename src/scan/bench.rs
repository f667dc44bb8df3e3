//! How fast a scan is beside the bare forward pass, side by side on the same windows.

use std::time::Instant;

use crate::shard::ScanIdentity;
use crate::stats::block::{Block, LayerBatch};

use super::batch::{BatchWindow, Cursor};
use super::error::ScanError;
use super::forward::forward;
use super::part::{Job, Prepared};

/// One round: the same windows with and without statistics.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Round {
    /// Tokens that went through the model, BOS included.
    pub n_tokens: u64,
    /// Seconds of the forward pass alone.
    pub forward_s: f64,
    /// Seconds of the forward pass with all statistics and examples.
    pub scan_s: f64,
}

/// What is to be measured.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Tokens of a round.
    pub tokens: u64,
    /// Rounds, after one to warm up.
    pub rounds: usize,
    /// Tokens that are scanned before the first round.
    pub after: u64,
}

/// Runs batches of a corpus without statistics and with them, round by round. Every round has other text, so what is timed is
/// a scan as it comes along; the first one only warms up. At the beginning of a scan nearly every document beats the lists, so
/// a round costs less the later it comes.
pub fn bench(
    job: &Job<'_>,
    identity: &ScanIdentity,
    options: BenchOptions,
) -> Result<Vec<Round>, ScanError> {
    let prepared = Prepared::new(job, identity)?;
    let context = prepared.context();
    let mut blocks = prepared.blocks();
    let mut nobody: Vec<Vec<()>> = blocks.iter().map(|layer| vec![(); layer.len()]).collect();
    let documents = 0..job.store.n_documents() as u32;
    let mut batches = prepared
        .rows
        .batches(Cursor::new(documents), job.batch_tokens);
    let mut rounds = Vec::new();
    let observe = |block: &mut Block, values: &LayerBatch<'_>| block.observe(values, &context);
    let mut n_before = 0;
    while n_before < options.after
        && let Some(batch) = batches.next().transpose()?
    {
        n_before += n_tokens(&batch);
        forward(job.model, &batch, &mut blocks, &observe)?;
    }
    for round in 0..=options.rounds {
        let (mut own, mut n) = (Vec::new(), 0);
        while n < options.tokens {
            let Some(batch) = batches.next().transpose()? else {
                return Ok(rounds);
            };
            n += n_tokens(&batch);
            own.push(batch);
        }
        let start = Instant::now();
        for batch in &own {
            forward(job.model, batch, &mut nobody, &|(), _| {})?;
        }
        let forward_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for batch in &own {
            forward(job.model, batch, &mut blocks, &observe)?;
        }
        let scan_s = start.elapsed().as_secs_f64();
        if round > 0 {
            rounds.push(Round {
                n_tokens: n,
                forward_s,
                scan_s,
            });
        }
    }
    Ok(rounds)
}

fn n_tokens(batch: &[BatchWindow]) -> u64 {
    batch.iter().map(|window| window.ids.len() as u64).sum()
}
