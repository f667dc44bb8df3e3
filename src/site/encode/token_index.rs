//! The token index as files that a page searches without a server; described in docs/format.md.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::atlas::{Peaks, TokenBatches, TokenRow};
use crate::ids::NeuronId;

use crate::site::error::SiteError;
use crate::site::pack::Short;
use crate::site::part::ModelPart;
use crate::site::text::format::round;
use crate::site::text::texts::json;

/// Tokens whose neurons are in one file, unless there would be too many files.
const TOKENS_PER_FILE: usize = 128;
/// Most files of a packed model.
const MOST_FILES: usize = 800;

/// Tokens whose texts are in one file.
const NAMES_PER_FILE: usize = 2048;

/// A token with its neurons: pairs of `layer · d_mlp + neuron` and a value.
#[derive(Serialize)]
struct TokenRecord {
    text: String,
    #[serde(flatten)]
    firing: Option<FiringRecord>,
    #[serde(flatten)]
    signed: Option<SignedRecord>,
    peaks_top: Vec<(u32, u32)>,
    n_peaks_top: u32,
    peaks_bottom: Vec<(u32, u32)>,
    n_peaks_bottom: u32,
}

/// The neurons that promote and suppress a token when they fire; not known in atlases of before 0.3.
#[derive(Serialize)]
struct FiringRecord {
    promoted_by: Vec<(u32, Short)>,
    suppressed_by: Vec<(u32, Short)>,
    promoted_by_v: Vec<(u32, Short)>,
    suppressed_by_v: Vec<(u32, Short)>,
}

/// The neurons with the largest and the smallest weights; where the others are known, packed models are without these.
#[derive(Serialize)]
struct SignedRecord {
    promoted_logit: Vec<(u32, Short)>,
    suppressed_logit: Vec<(u32, Short)>,
    promoted_v: Vec<(u32, Short)>,
    suppressed_v: Vec<(u32, Short)>,
}

/// A file of tokens with their neurons.
#[derive(Serialize)]
struct TokensRecord {
    schema: &'static str,
    first: usize,
    tokens: Vec<TokenRecord>,
}

/// Batches that are turned into files at a time.
const BATCHES: usize = 16;

/// Tokens whose neurons are in one file.
pub(crate) fn tokens_per_file(part: &ModelPart<'_>) -> usize {
    let n_tokens = part.source.atlas.manifest().scan.model.d_vocab as usize;
    match part.packing {
        None => TOKENS_PER_FILE,
        Some(_) => TOKENS_PER_FILE.max(n_tokens.div_ceil(MOST_FILES)),
    }
}

/// Writes the files, and answers the number of tokens.
pub(crate) fn write(part: &ModelPart<'_>, mut batches: TokenBatches) -> Result<usize, SiteError> {
    let scan = &part.source.atlas.manifest().scan;
    let (model, per_file) = (&scan.model, tokens_per_file(part));
    let have_firing = batches.have_firing();
    let have_signed = !have_firing || part.packing.is_none();
    let write = |file: &str, bytes: Vec<u8>| part.write_json(&format!("tokens/{file}"), &bytes);
    let mut texts: Vec<String> = Vec::new();
    loop {
        let some = batches
            .by_ref()
            .take(BATCHES)
            .collect::<Result<Vec<_>, _>>()?;
        if some.is_empty() {
            break;
        }
        let first = |at: usize| texts.len() + at * per_file;
        some.par_iter().enumerate().try_for_each(|(at, batch)| {
            let tokens = tokens(first(at), batch, model.d_mlp, have_firing, have_signed);
            part.write_record(&format!("tokens/{:06}", first(at)), &tokens)
        })?;
        texts.extend(some.into_iter().flatten().map(|row| row.text));
    }
    let (files, firsts) = names(&texts);
    for (at, names) in files.iter().enumerate() {
        write(&format!("names-{at}.json"), json(names)?)?;
    }
    let index = json!({
        "schema": "neuroscope/tokens/v1",
        "model": model.name,
        "n_layers": model.n_layers,
        "d_mlp": model.d_mlp,
        "n_tokens": texts.len(),
        "top_k": scan.policy.stats.top_k,
        "tokens_per_file": per_file,
        "names": firsts,
    });
    write("index.json", json(&index)?)?;
    Ok(texts.len())
}

/// The neurons of some tokens, the first of which has the id `first`.
fn tokens(
    first: usize,
    tokens: &[TokenRow],
    d_mlp: u32,
    have_firing: bool,
    have_signed: bool,
) -> TokensRecord {
    let flat = |list: &[(NeuronId, f32)]| {
        let pair = |(id, value): &(NeuronId, f32)| {
            let value = round(f64::from(*value)).unwrap_or_default();
            (id.layer * d_mlp + id.neuron, Short(value))
        };
        list.iter().map(pair).collect::<Vec<_>>()
    };
    let counts = |peaks: &Peaks| {
        let pair = |(id, n): &(NeuronId, f32)| (id.layer * d_mlp + id.neuron, *n as u32);
        peaks.neurons.iter().map(pair).collect()
    };
    let record = |row: &TokenRow| {
        let token = &row.neurons;
        let firing = have_firing.then(|| {
            let [promoted_by, suppressed_by] = [0, 1].map(|end| flat(&token.firing[end]));
            let [promoted_by_v, suppressed_by_v] = [0, 1].map(|end| flat(&token.firing_by_v[end]));
            FiringRecord {
                promoted_by,
                suppressed_by,
                promoted_by_v,
                suppressed_by_v,
            }
        });
        let signed = have_signed.then(|| {
            let [promoted_logit, suppressed_logit] = [0, 1].map(|end| flat(&token.by_logit[end]));
            let [promoted_v, suppressed_v] = [0, 1].map(|end| flat(&token.by_v[end]));
            SignedRecord {
                promoted_logit,
                suppressed_logit,
                promoted_v,
                suppressed_v,
            }
        });
        let [top, bottom]: [&Peaks; 2] = [&token.peaks[0], &token.peaks[1]];
        TokenRecord {
            text: row.text.clone(),
            firing,
            signed,
            peaks_top: counts(top),
            n_peaks_top: top.n_neurons,
            peaks_bottom: counts(bottom),
            n_peaks_bottom: bottom.n_neurons,
        }
    };
    TokensRecord {
        schema: "neuroscope/token-neurons/v1",
        first,
        tokens: tokens.iter().map(record).collect(),
    }
}

/// What a text is sorted and searched by: without the spaces before it, in small letters. The same in tokensearch.js.
fn key(text: &str) -> Vec<u16> {
    let inner = text.trim_start_matches(' ');
    let inner = if inner.is_empty() { text } else { inner };
    inner.to_lowercase().encode_utf16().collect()
}

/// The files of texts, sorted by key, and the smallest key of each.
fn names(texts: &[String]) -> (Vec<serde_json::Value>, Vec<String>) {
    let mut order: Vec<(Vec<u16>, usize)> =
        (0..texts.len()).map(|id| (key(&texts[id]), id)).collect();
    order.sort();
    let files = order.chunks(NAMES_PER_FILE).map(|chunk| {
        let tokens: Vec<_> = chunk.iter().map(|(_, id)| (id, &texts[*id])).collect();
        let first = chunk.first().map(|(key, _)| String::from_utf16_lossy(key));
        let names = json!({"schema": "neuroscope/token-names/v1", "tokens": tokens});
        (names, first.unwrap_or_default())
    });
    files.unzip()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_as_javascript_compares_them() {
        let texts = ["\u{ffe6}", "😀", " B", "a", "  ", "b"].map(str::to_owned);
        let (files, firsts) = names(&texts);
        let ids = files[0]["tokens"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|pair| pair[0].as_u64().unwrap()).collect();
        // the surrogates of 😀 come before U+FFE6
        assert_eq!(ids, [4, 3, 2, 5, 1, 0]);
        assert_eq!(firsts, ["  "]);
    }
}
