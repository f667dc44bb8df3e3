//! Atlases to a static website: data → bytes → files.
//!
//! [`build`] goes through the models. `data` is what is shown of each layer and neuron; `model` shows it to the sections:
//! the `layout`, which holds the neurons, the pages of layers, cards, `search`, `explore`. Sections turn it into bytes with
//! `encode`, which programs read, packed by `pack` where files are to be few, and with `pages`, from the theme's templates; `text` puts tokens and numbers into
//! words. `address` says where every file is, and `output` alone writes. `hosts` knows
//! what hosts take, and `publish` puts a built folder on a branch. The site never sees a model, and what it shows of a
//! neuron is the record that its page embeds.

mod address;
mod api;
mod assets;
mod build;
mod card;
mod content;
mod data;
mod deepdecipher;
mod encode;
mod error;
mod excerpts;
mod explore;
pub mod hosts;
mod inputs;
mod layout;
mod made;
mod model;
mod options;
mod output;
mod pack;
mod pages;
mod part;
pub mod publish;
mod search;
mod section;
mod sitemap;
mod source;
mod text;
mod theme;
mod view;
mod writer;

pub use api::schema;
pub use build::{BuildReport, build, check};
pub use error::{ContentError, SiteError};
pub use inputs::Inputs;
pub use layout::LayoutReport;
pub use options::{PagesFor, SiteOptions, Size};
pub use output::{BuiltSite, OutputReport};
