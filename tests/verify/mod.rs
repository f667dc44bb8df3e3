//! What `verify` finds, and what it does not accuse.

mod changes;
