//! Prints the ten neurons of highest kurtosis in an atlas, each with the text of its first example; the peak is in «».
//!
//! ```sh
//! cargo run --release -- build    # scans the embedded demo model into data/demo
//! cargo run --example read_atlas -- data/demo
//! ```

use std::env;
use std::error::Error;
use std::path::Path;

use neuroscope::atlas::facts::KURTOSIS;
use neuroscope::atlas::{Atlas, open_corpus};

/// Neurons printed.
const N_NEURONS: u32 = 10;

/// Unpacked tokens kept in memory.
const CACHE_TOKENS: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let data = env::args().nth(1).ok_or("usage: read_atlas DATA")?;
    let atlas = Atlas::open(&Path::new(&data).join("atlas"))?;
    let scan = &atlas.manifest().scan;
    let corpus = open_corpus(&Path::new(&data).join("corpus"), scan, CACHE_TOKENS)?;
    let vocabulary = corpus.tokenizer.vocabulary();

    let mut best = Vec::new();
    for layer in 0..scan.model.n_layers {
        for summary in atlas.summaries(layer)? {
            let rank = summary.ranks(&KURTOSIS).in_model;
            best.extend(rank.filter(|rank| *rank <= N_NEURONS).zip(Some(summary)));
        }
    }
    best.sort_by_key(|(rank, _)| *rank);

    for (rank, summary) in best {
        let neuron = atlas.layer(summary.layer)?.nth(summary.neuron as usize);
        let neuron = neuron.ok_or("the layer ends before the neuron")??;
        println!(
            "{rank:2}. {}  kurtosis {:.1}  max {:.3}",
            neuron.id,
            summary.value(&KURTOSIS).unwrap_or_default(),
            neuron.stats.moments.max
        );
        let Some(row) = neuron.examples.iter().find(|row| row.list == "top") else {
            continue;
        };
        let (doc, window) = (row.example.doc, &row.example.window);
        let positions = window.start..window.start + window.steps.len() as u32;
        let read = |tokens| corpus.store.tokens(doc, tokens);
        let tokens = atlas.windowing().tokens(positions.clone(), read)?;
        let mut text = String::new();
        for (pos, token) in positions.zip(tokens) {
            let token = vocabulary.text(token);
            match pos == row.example.pos.0 {
                true => text += &format!("«{token}»"),
                false => text += &token,
            }
        }
        println!("    {}", text.replace('\n', "↵"));
    }
    Ok(())
}
