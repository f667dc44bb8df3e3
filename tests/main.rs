//! The integration tests: one binary, a module per subject.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod api;
mod bad_input;
mod candle_models;
mod cli;
mod conformance;
mod format;
mod hub;
mod identity;
mod interrupted;
mod pipeline;
mod project;
mod records;
mod scale;
mod smollm2;
mod support;
mod verify;
mod weights;
