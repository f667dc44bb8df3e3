//! Every reader of files that others may have made, given damaged ones: no panic, no hang, no more memory than the bound
//! that docs/limits.md states. Each reader gets a few inputs; `tests/fuzz/run` gives it thousands.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod attack;
mod files;
mod hub;
mod models;
mod mutate;
#[allow(dead_code)]
#[path = "../support/mod.rs"]
mod support;
mod texts;
