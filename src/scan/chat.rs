//! How conversations become text, and which of their tokens are counted.

use std::fs;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::load::ModelFiles;
use crate::mark;
use crate::tokens::chat::{ChatTemplate, Day};
use crate::tokens::store::{RoleSet, TokenStore};

use super::error::ScanError;

/// How conversations become text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct ChatOptions {
    /// Chat template for conversations [default: the model's own]
    #[cfg_attr(feature = "cli", arg(long, value_name = "FILE"))]
    pub chat_template: Option<PathBuf>,
    /// Date that the chat template prints, such as 2026-02-03 [default: today, in UTC]
    #[cfg_attr(feature = "cli", arg(long, value_name = "DAY"))]
    pub chat_day: Option<Day>,
}

impl ChatOptions {
    /// The template for the conversations of a model.
    pub fn template(&self, files: &ModelFiles) -> Result<ChatTemplate, ScanError> {
        let (origin, source) = match &self.chat_template {
            Some(path) => {
                let source =
                    fs::read_to_string(path).map_err(|source| ScanError::ReadTemplate {
                        path: path.clone(),
                        source,
                    })?;
                let source = mark::text_without(&source).to_owned();
                (path.display().to_string(), source)
            }
            None => {
                let none = || ScanError::NoChatTemplate(format!("model `{}`", files.origin()));
                let source = files.chat_template().ok_or_else(none)?;
                (files.origin().to_owned(), source.to_owned())
            }
        };
        let template = ChatTemplate::new(&source, files.special_tokens().clone(), self.chat_day);
        template.map_err(|source| ScanError::ChatTemplate { origin, source })
    }
}

/// The roles whose tokens are counted; `None` where all tokens are.
pub(super) fn counted_roles(
    store: &TokenStore,
    names: &[String],
) -> Result<Option<RoleSet>, ScanError> {
    if names.is_empty() {
        return Ok(None);
    }
    if !store.has_roles() {
        return Err(ScanError::NoRoles);
    }
    match store.role_set(names) {
        Ok(roles) => Ok(Some(roles)),
        Err(role) => {
            let known: Vec<_> = (store.role_names().iter())
                .map(|name| format!("`{name}`"))
                .collect();
            Err(ScanError::UnknownRole {
                role,
                known: known.join(", "),
            })
        }
    }
}
