//! Scans: what they store, in parts and batches, interrupted, of any size.

mod chat;
mod interrupted;
mod layers;
mod parts;
mod plan;
mod prefix;
mod scale;
mod starts;
mod subset;
mod values;
