//! Where models come from, and whether they compute what they should beyond the fixtures of `conformance`.

mod candle_models;
mod checkpoints;
mod hub;
mod refused;
mod smollm2;
