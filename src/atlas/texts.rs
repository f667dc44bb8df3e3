//! The texts of examples, in place of a corpus that is not there.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::ids::TokenId;
use crate::shard::{ExampleRow, TextReader, examples_file};
use crate::tokens::Vocabulary;

use super::error::AtlasError;
use super::read::Atlas;

/// Most different texts of tokens, and most bytes of them.
const MOST_TEXTS: usize = 1 << 22;
const MOST_BYTES: usize = 256 << 20;

/// Rows of the token index that are read at one go.
const TOKEN_ROWS: usize = 4096;

/// Ids for the tokens of an atlas's examples, by their texts. In an atlas whose weights were analysed, the ids of the model's own
/// tokens are the model's.
pub struct ExampleTexts {
    vocabulary: Vocabulary,
    ids: HashMap<Box<str>, TokenId>,
    n_of_model: u32,
}

impl ExampleTexts {
    /// Reads the texts of an atlas, all of whose examples must have them. What is kept in memory is each different one, once.
    pub fn read(atlas: &Atlas) -> Result<Self, AtlasError> {
        let found = Mutex::new(Found::default());
        let layers = atlas.manifest().scan.layers();
        layers
            .into_par_iter()
            .try_for_each(|layer| add_layer(atlas, layer, &found))?;
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut texts: Vec<Box<str>> = Vec::new();
        for batch in atlas.tokens(TOKEN_ROWS)?.into_iter().flatten() {
            texts.extend(batch?.into_iter().map(|row| row.text.into_boxed_str()));
        }
        let n_of_model = texts.len();
        let of_model: HashSet<&str> = texts.iter().map(|text| &text[..]).collect();
        let mut others = Vec::from_iter(found.texts);
        others.retain(|text| !of_model.contains(&text[..]));
        others.sort_unstable();
        texts.append(&mut others);
        let vocabulary = Vocabulary::from_texts(&texts);
        let mut ids = HashMap::with_capacity(texts.len());
        for (id, text) in (0..).map(TokenId).zip(texts) {
            // some of the model's tokens have one text
            ids.entry(text).or_insert(id);
        }
        Ok(Self {
            vocabulary,
            ids,
            n_of_model: n_of_model as u32,
        })
    }

    /// The texts by their ids.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// Whether an id of the model's is one of these as well.
    pub fn knows(&self, token: TokenId) -> bool {
        token.0 < self.n_of_model
    }

    /// The tokens of an example; `None` if it is not one of those that were read.
    pub fn tokens(&self, row: &ExampleRow) -> Option<Vec<TokenId>> {
        let texts = row.tokens.as_ref()?.iter();
        texts.map(|text| self.ids.get(&text[..]).copied()).collect()
    }
}

/// Different texts.
#[derive(Default)]
struct Found {
    texts: HashSet<Box<str>>,
    n_bytes: usize,
}

/// Adds the texts of a layer's examples.
fn add_layer(atlas: &Atlas, layer: u32, found: &Mutex<Found>) -> Result<(), AtlasError> {
    let path = || atlas.folder().join(examples_file(layer));
    let reader = TextReader::open(atlas.folder(), layer)?;
    if reader.is_empty() {
        return Err(AtlasError::NoTexts(path()));
    }
    for rows in reader {
        let texts: HashSet<String> = rows?.into_iter().flatten().collect();
        let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
        for text in texts {
            if !found.texts.contains(&text[..]) {
                found.n_bytes += text.len();
                found.texts.insert(text.into_boxed_str());
            }
        }
        if found.texts.len() > MOST_TEXTS || found.n_bytes > MOST_BYTES {
            let reason = format!(
                "its examples have over {MOST_TEXTS} different texts of tokens, or over {MOST_BYTES} bytes of them"
            );
            return Err(AtlasError::Rows {
                path: path(),
                reason,
            });
        }
    }
    Ok(())
}
