//! The token index as files that a page searches without a server; described in docs/format.md.

use rayon::prelude::*;
use serde::Serialize;
use serde_json::json;

use crate::atlas::{AtlasError, Peaks, TokenBatches, TokenRow};
use crate::ids::NeuronId;

use crate::site::error::SiteError;
use crate::site::pack::Short;
use crate::site::part::ModelPart;
use crate::site::text::format::round;
use crate::site::text::texts::json;

/// Tokens whose neurons are in one file of a site of pages. Of packed ones so many are read at a time.
pub(crate) const TOKENS_PER_FILE: usize = 128;

/// Bytes of a packed file, and of a token in it by measurement; more where there would be too many files.
const FILE_BYTES: usize = 50_000;
const TOKEN_BYTES: usize = 175;
const MOST_FILES: usize = 920;

/// Tokens whose texts are in one file, and most of these files.
const NAMES_PER_FILE: usize = 2048;
const MOST_NAMES: usize = 64;

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

/// The tokens of one file after the other.
struct Files {
    batches: TokenBatches,
    have_firing: bool,
    /// Bytes of a file; without them it has a batch.
    bytes: Option<usize>,
    waiting: Vec<TokenRow>,
}

impl Files {
    fn read_next(&mut self) -> Result<Option<Vec<TokenRow>>, AtlasError> {
        let Some(bytes) = self.bytes else {
            return self.batches.next().transpose();
        };
        loop {
            let mut sum = 0;
            let last = self.waiting.iter().position(|row| {
                sum += bytes_of(row, self.have_firing);
                sum >= bytes
            });
            if let Some(last) = last {
                let rest = self.waiting.split_off(last + 1);
                return Ok(Some(std::mem::replace(&mut self.waiting, rest)));
            }
            match self.batches.next().transpose()? {
                Some(rows) => self.waiting.extend(rows),
                None => {
                    let last = std::mem::take(&mut self.waiting);
                    return Ok((!last.is_empty()).then_some(last));
                }
            }
        }
    }
}

impl Iterator for Files {
    type Item = Result<Vec<TokenRow>, AtlasError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read_next().transpose()
    }
}

/// About how many bytes a token takes in a packed file.
fn bytes_of(row: &TokenRow, have_firing: bool) -> usize {
    let of = &row.neurons;
    // those by sign are left out where those by what neurons do are there
    let lists = match have_firing {
        true => [&of.firing, &of.firing_by_v],
        false => [&of.by_logit, &of.by_v],
    };
    let values: usize = lists.into_iter().flatten().map(Vec::len).sum();
    let peaks: usize = of.peaks.iter().map(|peaks| peaks.neurons.len()).sum();
    4 * values + 5 * peaks / 2 + 2 * row.text.len() / 3
}

/// Writes the files, and answers the number of tokens.
pub(crate) fn write(part: &ModelPart<'_>, batches: TokenBatches) -> Result<usize, SiteError> {
    let scan = &part.source.atlas.manifest().scan;
    let model = &scan.model;
    let have_firing = batches.have_firing();
    let have_signed = !have_firing || part.packing.is_none();
    let write = |file: &str, bytes: Vec<u8>| part.write_json(&format!("tokens/{file}"), &bytes);
    let many = (model.d_vocab as usize * TOKEN_BYTES).div_ceil(MOST_FILES);
    let mut files = Files {
        batches,
        have_firing,
        bytes: part.packing.map(|_| FILE_BYTES.max(many)),
        waiting: Vec::new(),
    };
    let mut texts: Vec<String> = Vec::new();
    let mut firsts: Vec<usize> = Vec::new();
    loop {
        let some = files
            .by_ref()
            .take(BATCHES)
            .collect::<Result<Vec<_>, _>>()?;
        if some.is_empty() {
            break;
        }
        some.par_iter().try_for_each(|rows| {
            let first = rows.first().map_or(0, |row| row.token.0 as usize);
            let tokens = tokens(first, rows, model.d_mlp, have_firing, have_signed);
            part.write_record(&format!("tokens/{first:06}"), &tokens)
        })?;
        for rows in some {
            firsts.push(texts.len());
            texts.extend(rows.into_iter().map(|row| row.text));
        }
    }
    let (names_files, names) = names(&texts);
    for (at, names) in names_files.iter().enumerate() {
        write(&format!("names-{at}.json"), json(names)?)?;
    }
    let (which, files) = match part.packing {
        None => ("tokens_per_file", TOKENS_PER_FILE.into()),
        Some(_) => ("firsts", serde_json::Value::from(firsts)),
    };
    let index = json!({
        "schema": "neuroscope/tokens/v1",
        "model": model.name,
        "n_layers": model.n_layers,
        "d_mlp": model.d_mlp,
        "n_tokens": texts.len(),
        "top_k": scan.policy.stats.top_k,
        which: files,
        "names": names,
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
    let per_file = NAMES_PER_FILE.max(texts.len().div_ceil(MOST_NAMES));
    let files = order.chunks(per_file).map(|chunk| {
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
    use crate::ids::TokenId;
    use crate::site::pack::{BuildId, Effort, PackFile};

    #[test]
    fn the_bytes_of_tokens_are_about_those_of_their_file() {
        let mut seed = 1u32;
        let mut list = || -> Vec<(NeuronId, f32)> {
            let neuron = |_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let (layer, neuron) = (seed >> 28, seed >> 8 & 2047);
                (NeuronId { layer, neuron }, (seed >> 4) as f32 / 3e7)
            };
            (0..10).map(neuron).collect()
        };
        let mut rows: Vec<TokenRow> = Vec::new();
        for token in 0..300 {
            let mut row = TokenRow {
                token: TokenId(token),
                text: format!("token{token}"),
                ..TokenRow::default()
            };
            let of = &mut row.neurons;
            for lists in [
                &mut of.by_logit,
                &mut of.by_v,
                &mut of.firing,
                &mut of.firing_by_v,
            ] {
                *lists = [list(), list()];
            }
            rows.push(row);
        }
        for have_firing in [true, false] {
            let mut file = PackFile::default();
            let record = tokens(0, &rows, 2048, have_firing, !have_firing);
            file.push(&record).unwrap();
            let bytes = file.finish(BuildId::NONE, Effort::Usual).unwrap().len();
            let expected: usize = rows.iter().map(|row| bytes_of(row, have_firing)).sum();
            let share = bytes as f64 / expected as f64;
            assert!((0.8..1.2).contains(&share), "{bytes} {expected}");
        }
    }

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
