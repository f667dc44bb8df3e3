//! The pages of models, layers and neurons, and what their templates are given.

pub(super) mod classes;
pub(super) mod figures;
pub(super) mod layer;
pub(super) mod model;
pub(super) mod neuron;
mod plot;
pub(super) mod sides;
mod spread;
mod terms;
pub(super) mod views;
