//! Input-output classes and roles in words, and where they are defined.

use serde::Serialize;

use crate::atlas::{Class, NeuronWeights, Role};

/// A class or a role.
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

/// What a neuron is by its weights, each a link to its definition.
pub(crate) fn tags(of: &NeuronWeights) -> Vec<Tag> {
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
    atypical.into_iter().chain(class).chain(role).collect()
}
