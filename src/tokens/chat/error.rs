//! Errors of chat templates.

use std::borrow::Cow;
use std::error::Error as _;
use std::fmt;

use crate::hint::Hint;

/// What can be wrong with a chat template, or with a conversation for it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChatError {
    /// The template is not one.
    #[error("the chat template does not parse{}: {reason}", at(*line))]
    Syntax {
        /// Its line, from 1.
        line: Option<usize>,
        /// Why.
        reason: String,
    },
    /// The template refuses the conversation.
    #[error("the chat template refuses it: {0}")]
    Raised(String),
    /// The template fails on the conversation.
    #[error("the chat template fails{}: {reason}", at(*line))]
    Render {
        /// Its line, from 1.
        line: Option<usize>,
        /// Why.
        reason: String,
    },
    /// What comes before a message depends on what comes after, so its part of the text cannot be told.
    #[error(
        "the chat template is not prefix-stable: where message {message} (`{role}`) begins cannot be told"
    )]
    NotPrefixStable {
        /// The message, from 1.
        message: usize,
        /// Its role.
        role: String,
    },
    /// The text changes when what stands in `{% generation %}` is marked.
    #[error(
        "the chat template changes what stands in `{{% generation %}}`, so its place in the text cannot be told"
    )]
    Generation,
    /// The conversation has more roles than can be numbered.
    #[error("the corpus has more than 255 roles; the last one is `{0}`")]
    TooManyRoles(String),
}

fn at(line: Option<usize>) -> String {
    line.map(|line| format!(" (line {line})"))
        .unwrap_or_default()
}

impl Hint for ChatError {
    fn own_hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Syntax { .. } => "choose another template with `--chat-template`",
            Self::Raised(_) | Self::Render { .. } => {
                "choose another template with `--chat-template`, or count and skip such conversations with `--skip-invalid`"
            }
            Self::NotPrefixStable { .. } | Self::Generation => {
                "mark what the model writes with `{% generation %}` and print every message in the same way in a copy of the template, and choose it with `--chat-template`; or count and skip such conversations with `--skip-invalid`"
            }
            Self::TooManyRoles(_) => "check that `role` says who speaks",
        };
        Some(hint.into())
    }
}

/// What a template says when it refuses a conversation.
#[derive(Debug)]
pub(super) struct Raised(pub(super) String);

impl fmt::Display for Raised {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Raised {}

impl Raised {
    /// The message, if an error is that of `raise_exception`.
    pub(super) fn of(error: &minijinja::Error) -> Option<&str> {
        let mut source = error.source();
        while let Some(error) = source {
            if let Some(raised) = error.downcast_ref::<Self>() {
                return Some(&raised.0);
            }
            source = error.source();
        }
        None
    }
}
