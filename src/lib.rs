//! neuroscope
pub mod ids;
pub mod model;
pub mod stats;
