//! The program's own behaviour: its options, and its errors.

mod bad_input;
mod options;
