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
    #[error("{reason}{}", at(*line))]
    Syntax {
        /// Its line, from 1.
        line: Option<usize>,
        /// Why.
        reason: String,
    },
    /// The template refuses the conversation.
    #[error("the chat template refuses this conversation: {0}")]
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
        "cannot tell where message {message} (`{role}`) begins, because the chat template is not prefix-stable"
    )]
    NotPrefixStable {
        /// The message, from 1.
        message: usize,
        /// Its role.
        role: String,
    },
    /// The text changes when what stands in `{% generation %}` is marked.
    #[error(
        "the chat template changes the text inside `{{% generation %}}`, so its place cannot be told"
    )]
    Generation,
    /// It was told to stop.
    #[error("interrupted")]
    Interrupted,
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
                "copy the template, put `{% generation %}` around what the model writes, and choose the copy with `--chat-template`; or count and skip such conversations with `--skip-invalid`"
            }
            Self::Interrupted => return None,
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
