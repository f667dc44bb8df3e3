//! The pages of models, layers and neurons, and what their templates are given.

pub(in crate::site) mod classes;
pub(in crate::site) mod figures;
pub(in crate::site) mod indexes;
pub(in crate::site) mod layer;
pub(in crate::site) mod model;
pub(in crate::site) mod neuron;
pub(in crate::site) mod part;
pub(in crate::site) mod plot;
pub(in crate::site) mod spread;
pub(in crate::site) mod terms;
pub(in crate::site) mod views;
