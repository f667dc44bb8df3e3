//! Scans: in parts and batches, interrupted, of any size.

mod interrupted;
mod parts;
mod scale;
