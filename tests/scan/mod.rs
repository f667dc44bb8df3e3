//! Scans: what they store, in parts and batches, interrupted, of any size.

mod chat;
mod interrupted;
mod parts;
mod plan;
mod scale;
mod starts;
mod values;
