//! Scans: what they store, in parts and batches, interrupted, of any size.

mod interrupted;
mod parts;
mod plan;
mod prefix;
mod scale;
mod starts;
mod subset;
mod values;
