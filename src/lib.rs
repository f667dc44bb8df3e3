//! A browsable atlas of every MLP neuron of a language model.
//!
//! ```text
//! corpus ──► model ──► scan ──► shard ──► atlas ──► site
//! text to    weights,  running  Parquet   parts     pages, JSON,
//! token      forward,  per-     on disk,  merged,   from theme/
//! windows    hooks     neuron   one per   ranked    and content/
//!                      state    part
//! ```
//!
//! | module | holds | imports |
//! |---|---|---|
//! | [`ids`] | newtypes, names, and the largest sizes of a model | hint |
//! | [`files`] | names, bounds, links and hashes of files | nothing |
//! | [`mark`] | the byte-order mark before a text | nothing |
//! | [`guard`] | panics of other crates, as errors | nothing |
//! | [`hint`] | what a reader can do about an error | nothing |
//! | [`lanes`] | vectors of sixteen numbers, on any instruction set | nothing |
//! | [`gpu`] | kernels of a CUDA device, and their portable twins | hint |
//! | [`corpus`] | files → documents, in a stable order | hint, files, guard, mark |
//! | [`stats`] | what is kept of a neuron: update and merge | lanes |
//! | [`model`] | config, weights, hooks, the walk through the layers; bytes, not paths | hint, lanes, gpu, mark |
//! | [`tokens`] | tokenizer, windows, the token store | hint, corpus, files, guard, mark |
//! | [`demo`] | the embedded model and corpus | corpus |
//! | [`load`] | where models and data sets come from | hint, files, mark, model, corpus, tokens, demo |
//! | [`shard`] | the files of a scan | hint, files, guard, corpus, stats |
//! | [`scan`] | drives batches through a model into statistics | hint, files, lanes, gpu, corpus, tokens, model, stats, shard, load, mark |
//! | [`atlas`] | parts merged and ranked; what the weights say | hint, files, lanes, shard, stats, tokens, model |
//! | [`site`] | views → theme → pages → files | hint, files, mark, atlas, tokens |
//! | [`verify`] | whether an atlas is what it says | hint, files, lanes, gpu, atlas, scan, shard, stats, tokens, model, load |
//! | [`serve`] | preview server for a built site | hint |
//! | [`config`] | the project file, each stage's own options | files, mark, atlas, corpus, scan, site |
//!
//! The table is checked by `tests/architecture.rs`; every module may import [`ids`]. What holds everywhere:
//!
//! - A later stage is never called by an earlier one; the site is built without the model.
//! - The same inputs give the same bytes.
//! - The way a corpus is split into parts never changes the atlas.
//! - `model`, `stats` and the in-memory part of `tokens` do without files and threads: they are all that is left
//!   without the feature `atlas`.

#[cfg(feature = "atlas")]
pub mod atlas;
#[cfg(feature = "atlas")]
pub mod config;
#[cfg(feature = "atlas")]
pub mod corpus;
#[cfg(feature = "demo")]
pub mod demo;
#[cfg(feature = "atlas")]
pub mod files;
pub mod gpu;
pub mod guard;
pub mod hint;
pub mod ids;
pub mod lanes;
#[cfg(feature = "atlas")]
pub mod load;
pub mod mark;
pub mod model;
#[cfg(feature = "atlas")]
pub mod scan;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "atlas")]
pub mod shard;
#[cfg(feature = "atlas")]
pub mod site;
pub mod stats;
pub mod tokens;
#[cfg(feature = "atlas")]
pub mod verify;
