//! How fast a scan is beside the bare forward pass, side by side on the same windows.

use std::time::Instant;

use crate::shard::ScanIdentity;
use crate::stats::block::{Block, LayerBatch};

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

/// Runs batches of a corpus without statistics and with them, round by round. Every round has other text, so what is timed is
/// a scan as it comes along; the first one only warms up.
pub fn bench(
    job: &Job<'_>,
    identity: &ScanIdentity,
    n_tokens: u64,
    n_rounds: usize,
) -> Result<Vec<Round>, ScanError> {
    let prepared = Prepared::new(job, identity)?;
    let context = prepared.context();
    let mut blocks = prepared.blocks();
    let mut nobody: Vec<Vec<()>> = blocks.iter().map(|layer| vec![(); layer.len()]).collect();
    let documents = 0..job.store.n_documents() as u32;
    let mut batches = prepared.rows.batches(documents, job.batch_tokens);
    let mut rounds = Vec::new();
    for round in 0..=n_rounds {
        let (mut own, mut n) = (Vec::new(), 0);
        while n < n_tokens {
            let Some(batch) = batches.next().transpose()? else {
                return Ok(rounds);
            };
            n += batch
                .iter()
                .map(|window| window.ids.len() as u64)
                .sum::<u64>();
            own.push(batch);
        }
        let start = Instant::now();
        for batch in &own {
            forward(job.model, batch, &mut nobody, &|(), _| {})?;
        }
        let forward_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for batch in &own {
            let observe =
                |block: &mut Block, values: &LayerBatch<'_>| block.observe(values, &context);
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
