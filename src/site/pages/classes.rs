//! Input-output classes, roles and what else a neuron is called, and where that is defined.

use serde::Serialize;

use crate::atlas::{Class, NeuronWeights, Role, Summary};

/// What a neuron is called.
#[derive(Serialize)]
pub(crate) struct Tag {
    pub(crate) label: String,
    /// Id of its definition on the model's page.
    pub(crate) id: String,
}

/// A class in words.
pub(crate) fn class_label(class: Class, typical: bool) -> String {
    match typical {
        true => class.name().to_owned(),
        false => format!("atypical {}", class.name()),
    }
}

/// Id of a class's definition, and of its colour.
pub(crate) fn class_id(class: Class) -> String {
    format!("class-{}", class.name().replace(' ', "-"))
}

/// Id of a role's definition.
pub(crate) fn role_id(role: Role) -> String {
    format!("role-{}", role.name())
}

/// What a neuron is called: by where it fires, and by its weights.
pub(crate) fn tags(summary: &Summary, weights: Option<&NeuronWeights>) -> Vec<Tag> {
    let starts = starts_label(summary).map(|label| Tag {
        label: label.to_owned(),
        id: "at_starts".to_owned(),
    });
    let weights = weights.into_iter().flat_map(tags_of_weights);
    starts.into_iter().chain(weights).collect()
}

/// What is said of a neuron that fires where windows start.
fn starts_label(summary: &Summary) -> Option<&'static str> {
    let at_starts = summary.at_starts?;
    match (at_starts.dominant, at_starts.either) {
        (true, _) => Some("fires at starts"),
        (false, true) => Some("weaker side fires at starts"),
        (false, false) => None,
    }
}

fn tags_of_weights(of: &NeuronWeights) -> impl Iterator<Item = Tag> {
    let atypical = of.class.filter(|of| !of.typical).map(|_| Tag {
        label: "atypical".to_owned(),
        id: "typical".to_owned(),
    });
    let class = of.class.map(|of| Tag {
        label: of.class.name().to_owned(),
        id: class_id(of.class),
    });
    let role = of.role.map(|role| Tag {
        label: format!("{} neuron", role.name()),
        id: role_id(role),
    });
    atypical.into_iter().chain(class).chain(role)
}
