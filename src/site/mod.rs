//! Atlases to a static website: plain data (views) → theme → bytes → files.
//!
//! Rendering returns bytes and [`output`] alone writes; the site never sees a model, and what it shows of a neuron is
//! the record that its page embeds.

mod build;
mod content;
mod display;
mod documents;
mod error;
mod figures;
mod format;
mod indexes;
mod options;
mod output;
mod plot;
mod record;
mod sitemap;
mod terms;
mod theme;
mod token_index;
mod views;
mod weights;

pub use build::{BuildReport, Inputs, build};
pub use content::ContentError;
pub use error::SiteError;
pub use options::SiteOptions;
pub use output::OutputReport;
pub use record::{NEURON_SCHEMA_JSON, RecordWriter};
