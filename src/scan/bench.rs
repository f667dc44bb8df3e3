//! Times a scan and the forward pass alone, in turns on the same windows.

use std::collections::VecDeque;
use std::time::Instant;

use crate::ids::{DocId, Pos, TokenId};
use crate::shard::ScanIdentity;
use crate::tokens::Window;

use super::batch::{BatchWindow, Rows};
use super::engine::Engine;
use super::error::ScanError;
use super::job::{Job, Prepared};

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

/// Amounts of text to measure with.
#[derive(Clone, Copy, Debug)]
pub struct BenchOptions {
    /// Tokens of a round.
    pub tokens: u64,
    /// Rounds, after one to warm up.
    pub rounds: usize,
    /// Tokens that are scanned before the first round.
    pub after: u64,
}

/// Runs batches of text without statistics and with them, round by round. The corpus is cut into full windows, each of which
/// counts as a document, so that times depend on the length of windows and on nothing else in the corpus. Every round has new
/// text, as in a scan; the first one only warms up. At the beginning of a scan nearly every document beats the lists, so later
/// rounds cost less. `turn` is called before every round with the rounds done, so that other programs can be measured in turns;
/// it returns whether to go on.
pub fn bench(
    job: &Job<'_>,
    identity: &ScanIdentity,
    options: BenchOptions,
    mut turn: impl FnMut(&[Round]) -> bool,
) -> Result<Vec<Round>, ScanError> {
    let prepared = Prepared::new(job, identity)?;
    let mut blocks = prepared.blocks();
    let mut engine = Engine::new(job.model, &prepared)?;
    let mut windows = FullWindows::new(job, prepared.rows);
    let mut rounds = Vec::new();
    let mut n_before = 0;
    while n_before < options.after {
        let batch = windows.next_batch(job.batch_tokens as u64)?;
        if batch.is_empty() {
            return Ok(rounds);
        }
        n_before += n_tokens(&batch);
        engine.scan(&batch, &mut blocks)?;
    }
    for round in 0..=options.rounds {
        let (mut own, mut n) = (Vec::new(), 0);
        while n < options.tokens {
            let batch = windows.next_batch((options.tokens - n).min(job.batch_tokens as u64))?;
            if batch.is_empty() {
                return Ok(rounds);
            }
            n += n_tokens(&batch);
            own.push(batch);
        }
        if round > 0 && !turn(&rounds) {
            return Err(ScanError::Interrupted);
        }
        let start = Instant::now();
        for batch in &own {
            engine.forward(batch)?;
        }
        let forward_s = start.elapsed().as_secs_f64();
        let start = Instant::now();
        for batch in &own {
            engine.scan(batch, &mut blocks)?;
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

/// The tokens of a corpus, cut into full windows.
struct FullWindows<'a> {
    rows: Rows<'a>,
    window: Window,
    n_documents: u32,
    next_document: u32,
    waiting: VecDeque<TokenId>,
    n_windows: u32,
}

impl<'a> FullWindows<'a> {
    fn new(job: &Job<'a>, rows: Rows<'a>) -> Self {
        Self {
            rows,
            window: Window {
                tokens: 0..job.windowing.capacity(),
                start: Pos(0),
                skip: job.windowing.skip(),
            },
            n_documents: job.store.n_documents() as u32,
            next_document: 0,
            waiting: VecDeque::new(),
            n_windows: 0,
        }
    }

    /// Windows with at least `n_wanted` tokens, or the rest.
    fn next_batch(&mut self, n_wanted: u64) -> Result<Vec<BatchWindow>, ScanError> {
        let mut batch = Vec::new();
        while n_tokens(&batch) < n_wanted {
            while self.waiting.len() < self.window.tokens.len() {
                if self.next_document == self.n_documents {
                    return Ok(batch);
                }
                let doc = DocId(self.next_document);
                let store = self.rows.store;
                self.waiting.extend(store.tokens(doc, 0..store.len(doc))?);
                self.next_document += 1;
            }
            let own = self.waiting.drain(self.window.tokens.clone()).collect();
            let doc = DocId(self.n_windows);
            batch.push(self.rows.window_of(doc, &self.window, own, &[], true));
            self.n_windows += 1;
        }
        Ok(batch)
    }
}

fn n_tokens(batch: &[BatchWindow]) -> u64 {
    batch.iter().map(|window| window.ids.len() as u64).sum()
}
