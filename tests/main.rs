//! The integration tests: one binary, a module per subject.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod api;
mod bad_input;
mod builds;
mod candle_models;
mod checkpoints;
mod cli;
mod conformance;
mod content;
mod docs;
mod format;
mod hub;
mod identity;
mod interrupted;
mod lacking;
mod pipeline;
mod project;
mod records;
mod scale;
mod serve;
mod smollm2;
mod support;
mod texts;
mod verify;
mod walk;
mod weights;
