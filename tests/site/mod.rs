//! The website: its pages, its data, what a project adds to it, how it is built and served.

mod api;
mod builds;
mod content;
mod imported;
mod project;
mod records;
mod serve;
