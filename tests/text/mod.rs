//! Texts as people have them, and the corpora made of them.

mod corpora;
