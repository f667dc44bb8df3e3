//! The program's own behaviour: its options, and what it describes.

mod describe;
mod options;
