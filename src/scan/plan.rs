//! What a scan will take, before it is begun: memory, disk and time.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::model::{Compute, Config};
use crate::shard::{CorpusManifest, PartInfo};
use crate::stats::block::Block;

use super::batch::Cursor;
use super::engine::{self, Engine};
use super::error::ScanError;
use super::forward::chunk_rows;
use super::job::Prepared;
use super::setup::{Checked, Setup};

/// Blocks of the model that are run to see how long one takes.
const TRIED_BLOCKS: usize = 3;

/// Tokens that they are run over, after a batch to warm up.
const TRIED_TOKENS: u64 = 8192;

/// What a layer's tables take while they are written: mostly the buffers of the compressor, whatever their size.
const TABLES: u64 = 25_000_000;

/// What a scan will take. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct Plan {
    /// Tokens of the part that go through the model, BOS and prefix included.
    pub n_tokens: u64,
    /// Parameters of the model.
    pub n_parameters: u64,
    /// Neurons.
    pub n_neurons: u64,
    /// What it runs on.
    pub runs_on: String,
    /// The largest amount of memory that it will have.
    pub memory: Memory,
    /// What it will write.
    pub disk: Disk,
    /// Tokens per second, as measured on the first blocks.
    pub tokens_per_s: f64,
    /// Seconds of the scan, without tokenizing and merging.
    pub seconds: f64,
}

/// Memory of a scan.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Memory {
    /// The program, the tokenizer and the corpus' index.
    pub program: u64,
    /// The weights as they are multiplied, and the embedding.
    pub weights: u64,
    /// What is kept of the neurons.
    pub state: u64,
    /// One batch on its way through a layer; 0 on a GPU.
    pub batch: u64,
    /// The tables of a layer, while they are written at the end.
    pub tables: u64,
    /// All together that is not on a GPU.
    pub total: u64,
    /// What is on a GPU: weights, statistics and a batch; 0 on a CPU.
    pub on_gpu: u64,
}

/// Disk of a scan.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Disk {
    /// The tokenized corpus, which is there already.
    pub corpus: u64,
    /// The part.
    pub part: u64,
    /// Its checkpoints, of which two stand side by side for a moment. They go when the part is done.
    pub checkpoints: u64,
    /// The atlas, once all parts are merged, without what the weights say.
    pub atlas: u64,
}

/// Plans the scan of a part.
pub fn plan(
    name: &str,
    checked: Checked<'_>,
    corpus: &CorpusManifest,
    corpus_folder: &Path,
    part: PartInfo,
) -> Result<Plan, ScanError> {
    let dtype = checked.dtype();
    let n_blocks = checked.n_blocks();
    let tried = TRIED_BLOCKS.min(n_blocks);
    let setup = Setup::with_blocks(tried, name, checked, corpus, corpus_folder)?;
    let (job, identity) = (setup.job(), setup.identity());
    let program = resident_memory().unwrap_or(0);
    let (config, model) = (job.model.config(), &identity.model);
    let prepared = Prepared::new(&job, identity)?;
    let (n_tokens, documents) = (job.n_rows(part), job.documents(part));
    let n_documents = documents.len();
    let seconds_per_token = try_out(&job, &prepared, tried)?;
    let n_neurons = identity.n_neurons();
    let stats = &identity.policy.stats;
    let share = n_tokens as f64 / job.n_rows(PartInfo { index: 0, of: 1 }).max(1) as f64;
    let expected = Block::expect(identity.kind(), stats, n_documents, share);
    let word = match (job.model.compute(), dtype.candle().size_in_bytes()) {
        (Compute::Kernels(_), 2) if dtype == super::ScanDtype::F16 => 4,
        (_, bytes) => bytes as u64,
    };
    let embedding = (config.d_vocab * config.d_embed * dtype.candle().size_in_bytes()) as u64;
    let in_blocks = model
        .n_parameters
        .saturating_sub((config.d_vocab * config.d_embed) as u64);
    let in_blocks = in_blocks * n_blocks as u64 / config.n_layers as u64;
    let weights = in_blocks * word;
    let n_rows = n_tokens.min(job.batch_tokens as u64);
    let on_gpu = engine::bytes_on_gpu(job.model, identity.kind(), stats, n_rows as usize) as u64;
    let mut memory = Memory {
        // what is loaded to try it out is counted with the weights
        program: program.saturating_sub(embedding + weights * tried as u64 / n_blocks as u64),
        weights: weights + embedding,
        state: n_neurons * expected.memory,
        batch: match on_gpu {
            0 => batch_memory(config, n_rows, word),
            _ => 0,
        },
        tables: TABLES,
        total: 0,
        on_gpu: 0,
    };
    memory.total = memory.program + memory.state + memory.tables;
    match on_gpu {
        0 => memory.total += memory.weights + memory.batch,
        _ => memory.on_gpu = memory.weights + on_gpu,
    }
    Ok(Plan {
        n_tokens,
        n_parameters: model.n_parameters,
        n_neurons,
        runs_on: setup.runs_on(),
        memory,
        disk: Disk {
            corpus: corpus.files.iter().map(|file| file.bytes).sum(),
            part: n_neurons * expected.part_disk,
            checkpoints: 2 * n_neurons * expected.checkpoint_disk,
            atlas: n_neurons * expected.atlas_disk,
        },
        tokens_per_s: 1.0 / seconds_per_token,
        seconds: n_tokens as f64 * seconds_per_token,
    })
}

/// Seconds of a token, from the first blocks alone.
fn try_out(
    job: &super::Job<'_>,
    prepared: &Prepared<'_>,
    n_tried: usize,
) -> Result<f64, ScanError> {
    let mut blocks = prepared.blocks();
    blocks.truncate(n_tried);
    let mut engine = Engine::new(job.model, prepared)?;
    let documents = 0..job.store.n_documents() as u32;
    let (mut n, mut seconds) = (0, 0.0);
    for (at, batch) in prepared
        .rows
        .batches(Cursor::new(documents), job.batch_tokens)
        .enumerate()
    {
        let batch = batch?;
        let start = Instant::now();
        engine.scan(&batch, &mut blocks)?;
        // a corpus of one batch is its own warming up
        if at == 1 {
            (n, seconds) = (0, 0.0);
        }
        seconds += start.elapsed().as_secs_f64();
        n += batch
            .iter()
            .map(|window| window.ids.len() as u64)
            .sum::<u64>();
        if at > 0 && n >= TRIED_TOKENS {
            break;
        }
    }
    Ok(seconds / n.max(1) as f64 * prepared.n_blocks() as f64 / n_tried.max(1) as f64)
}

/// Rows of a batch between the operations of a layer, on the CPU's kernels.
fn batch_memory(config: &Config, n_rows: u64, word: u64) -> u64 {
    let d_model = config.d_model as u64;
    // the stream, what the MLP reads, the same packed, and the stream after
    let rows = n_rows * d_model * (3 * 4 + word);
    let hidden = n_rows * config.d_mlp as u64 * word;
    // of the chunks in work: normed, packed, queries, keys, values, twice, and the output
    let a = &config.attention;
    let heads = (a.n_heads + 2 * a.n_key_value_heads) as u64 * a.d_head as u64;
    let n_in_work = rayon::current_num_threads() as u64 * chunk_rows(n_rows as usize) as u64;
    rows + hidden + n_in_work.min(n_rows) * 4 * (3 * d_model + 2 * heads)
}

/// Memory of this process that is not swapped out, where the system tells.
pub fn resident_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes * 1024)
}
