//! What a reader can do about an error, found along its causes.

use std::borrow::Cow;
use std::error::Error;

/// An error that may know what can be done about it.
pub trait Hint: Error {
    /// What the reader can do about this error, apart from what the error inside says.
    fn own_hint(&self) -> Option<Cow<'static, str>>;

    /// The error that this one shows as its own, if it may have a hint.
    fn inner(&self) -> Option<&dyn Hint> {
        None
    }

    /// The first hint, from outside in.
    fn hint(&self) -> Option<Cow<'static, str>> {
        self.own_hint().or_else(|| self.inner()?.hint())
    }
}
