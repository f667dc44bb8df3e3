//! Atlases on disk: their versions, what they may lack, what belongs to them, and what the weights say.

mod format;
mod identity;
mod lacking;
mod weights;
