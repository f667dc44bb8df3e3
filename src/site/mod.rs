//! Atlases to a static website: plain data (views) → theme → bytes → files.
//!
//! Rendering returns bytes and [`output`] alone writes; the site never sees a model, and what it shows of a neuron is
//! the record that its page embeds.

mod api;
mod build;
mod columns;
mod content;
mod deepdecipher;
mod display;
mod documents;
mod error;
mod examples;
mod explore;
mod figures;
mod format;
mod indexes;
mod layer;
mod lines;
mod model;
mod neuron;
mod options;
mod output;
mod plot;
mod record;
mod sitemap;
mod spread;
mod terms;
mod texts;
mod theme;
mod token_index;
mod views;
mod weights;
mod words;

pub use api::schema;
pub use build::{BuildReport, Inputs, build};
pub use content::ContentError;
pub use error::SiteError;
pub use options::SiteOptions;
pub use output::OutputReport;
