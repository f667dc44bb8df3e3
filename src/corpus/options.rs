//! How documents are read.

use serde::{Deserialize, Serialize};

use super::kind::Format;
use super::subset::Subset;

/// How documents are read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::Args))]
#[serde(default, deny_unknown_fields)]
pub struct CorpusOptions {
    /// Field (JSON) or column (tables) that holds the text; `meta.text` is `text` inside `meta`
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub text_field: String,
    /// Field or column that holds the messages of a conversation, instead of a text
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub messages_field: Option<String>,
    /// Field or column that says where a text comes from
    #[cfg_attr(feature = "cli", arg(long, value_name = "NAME"))]
    pub source_field: String,
    /// Format of standard input and of the named files
    #[cfg_attr(feature = "cli", arg(long, value_name = "FORMAT"))]
    pub format: Format,
    /// Whether texts and files that cannot be read are counted and skipped.
    #[cfg_attr(feature = "cli", arg(long, action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL"))]
    pub skip_invalid: bool,
    /// How much is taken.
    #[cfg_attr(feature = "cli", command(flatten))]
    #[serde(skip_serializing_if = "Subset::is_whole")]
    pub subset: Subset,
}

impl Default for CorpusOptions {
    fn default() -> Self {
        Self {
            text_field: "text".into(),
            messages_field: None,
            source_field: SOURCE.into(),
            format: Format::Auto,
            skip_invalid: false,
            subset: Subset::default(),
        }
    }
}

const SOURCE: &str = "source";

impl CorpusOptions {
    /// The field that holds what a document says, and the option that names it.
    pub(super) fn content_field(&self) -> (&str, &'static str) {
        match &self.messages_field {
            Some(field) => (field, "--messages-field"),
            None => (&self.text_field, "--text-field"),
        }
    }

    /// Whether a table without the column of sources was not what was meant.
    pub(super) fn needs_source(&self) -> bool {
        self.source_field != SOURCE
    }
}
