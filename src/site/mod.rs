//! Atlases to a static website: plain data (views) → theme → bytes → files.
//!
//! [`build`] goes through the models; `text` turns tokens, numbers and examples into what people and programs read,
//! `data` makes the files that programs read and pages load, `pages` what templates are given. Rendering returns
//! bytes and `output` alone writes; the site never sees a model, and what it shows of a neuron is the record that its
//! page embeds.

mod address;
mod api;
mod assets;
mod build;
mod content;
mod data;
mod error;
mod options;
mod output;
mod pages;
mod sitemap;
mod source;
mod text;
mod theme;
mod view;
mod writer;

pub use api::schema;
pub use build::{BuildReport, Inputs, build, check};
pub use error::{ContentError, SiteError};
pub use options::SiteOptions;
pub use output::OutputReport;
