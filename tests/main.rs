//! The integration tests: one binary, a folder per subject.
#![allow(unreachable_pub, clippy::unwrap_used)]

mod atlas;
mod cli;
mod conformance;
mod corpus;
mod docs;
mod model;
mod scan;
mod site;
mod support;
mod text;
mod verify;
mod walk;
