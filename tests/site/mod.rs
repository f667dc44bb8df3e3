//! The website: its pages, its data, what a project adds to it, how it is built, served and published.

mod api;
mod builds;
mod content;
mod imported;
mod packed;
mod project;
mod publish;
mod records;
mod serve;
mod unscanned;
