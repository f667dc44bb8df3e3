//! Long texts, encoded window by window.
//!
//! The tokenizers crate takes over 100 bytes of memory for each byte of text, so a long text goes through its normalizer
//! and its pre-tokenizer in windows that overlap. Each window goes on where the one before it ended, at a border between
//! pre-tokens, and begins a little before that. The two must agree on all that lies around the border, so what the
//! beginning and the end of a window do to a text (a space in front, spaces that run on) never reaches the tokens.
//!
//! A pre-token of over 64 kB is cut. Where no token of the vocabulary spans two neighbouring characters, a cut between
//! them changes nothing: neither a merge nor a piece of a unigram model can cross it. Only cuts elsewhere are counted.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use tokenizers::models::ModelWrapper;
use tokenizers::tokenizer::normalizer;
use tokenizers::{
    Model, NormalizedString, OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer,
};

use crate::ids::TokenId;

use super::error::TokenizerError;

/// Borders that are tried, from the last one of a window backwards, until the next window agrees on one.
const TRIES: usize = 8;

/// Lengths in bytes of text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    /// The longest pre-token that stays whole.
    pub(super) pre_token: usize,
    /// Text before the beginning and after the end of a window that it includes at least.
    pub(super) context: usize,
}

impl Sizes {
    /// A window; what is left of it between its contexts is longer than a pre-token.
    fn window(self) -> usize {
        2 * self.pre_token + 4 * self.context
    }
}

/// The tokens of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Their ids.
    pub tokens: Vec<TokenId>,
    /// Places at which a pre-token of over 64 kB was cut, so its tokens may differ from those of the uncut one.
    pub n_cuts: u64,
    /// Bytes of the text that each token stands for, without spaces at its ends where the tokenizer leaves them out; only if
    /// they were asked for.
    pub places: Vec<Range<usize>>,
}

/// Pairs of characters that some token spans.
#[derive(Clone, Debug)]
pub(super) struct Spans {
    pairs: HashSet<(char, char)>,
    characters: HashSet<char>,
    byte_fallback: bool,
}

impl Spans {
    /// `None` for a model whose tokens depend on where a word begins or ends.
    pub(super) fn of(model: &ModelWrapper) -> Option<Self> {
        let byte_fallback = match model {
            ModelWrapper::BPE(bpe) => {
                let is_set = |affix: &Option<String>| affix.as_ref().is_some_and(|a| !a.is_empty());
                if is_set(&bpe.continuing_subword_prefix) || is_set(&bpe.end_of_word_suffix) {
                    return None;
                }
                bpe.byte_fallback
            }
            ModelWrapper::Unigram(unigram) => unigram.byte_fallback(),
            ModelWrapper::WordPiece(_) | ModelWrapper::WordLevel(_) => return None,
        };
        let vocab = model.get_vocab();
        let has_byte = |byte: u8| vocab.contains_key(&format!("<0x{byte:02X}>"));
        let byte_fallback = byte_fallback && (0..=255).all(has_byte);
        let (mut pairs, mut characters) = (HashSet::new(), HashSet::new());
        for token in vocab.keys() {
            let mut last = None;
            for c in token.chars() {
                last.map(|last| pairs.insert((last, c)));
                last = Some(c);
            }
            if let Some(c) = last.filter(|c| c.len_utf8() == token.len()) {
                characters.insert(c);
            }
        }
        Some(Self {
            pairs,
            characters,
            byte_fallback,
        })
    }

    /// Whether a token may lie across the border of two characters.
    fn cross(&self, before: char, after: char) -> bool {
        // a unigram model may have a token of characters that have none themselves
        if self.pairs.contains(&(before, after)) {
            return true;
        }
        // a character without a token becomes bytes such as `<0xE7>`, or is fused with its neighbours
        let known = |c: char, instead: char| match self.characters.contains(&c) {
            true => Some(c),
            false => self.byte_fallback.then_some(instead),
        };
        match (known(before, '>'), known(after, '<')) {
            (Some(before), Some(after)) => self.pairs.contains(&(before, after)),
            _ => true,
        }
    }
}

/// Encodes long texts.
pub(super) struct Encoder<'a> {
    pub(super) inner: &'a tokenizers::Tokenizer,
    pub(super) spans: Option<&'a Spans>,
    pub(super) sizes: Sizes,
    /// Whether the places of tokens are wanted.
    pub(super) with_places: bool,
}

/// A stretch of text, split into pre-tokens.
struct Window {
    /// Its range in the text.
    range: Range<usize>,
    splits: PreTokenizedString,
    /// Ends of pieces that end inside a pre-token, and whether the cut changes nothing.
    cuts: HashMap<usize, bool>,
}

/// A pre-token, or a piece of one.
#[derive(PartialEq, Eq)]
struct Piece<'a> {
    /// Its range in the text.
    range: Range<usize>,
    text: &'a str,
    /// Its id, if it is an added token.
    id: Option<u32>,
}

/// Where a window ends and the next one goes on.
struct Border {
    at: usize,
    /// Whether it lies inside a pre-token.
    inside: bool,
}

impl Encoder<'_> {
    /// The tokens of a text.
    pub(super) fn encode(&self, text: &str) -> Result<Encoded, TokenizerError> {
        let mut encoded = Encoded::default();
        let start = Border {
            at: 0,
            inside: false,
        };
        let (mut from, mut window) = (0, self.window(text, 0, &start)?);
        while window.range.end < text.len() {
            let (border, next) = self.next(text, from, &window, &mut encoded)?;
            self.push(&window, from..border, &mut encoded)?;
            (from, window) = (border, next);
        }
        self.push(&window, from..text.len(), &mut encoded)?;
        Ok(encoded)
    }

    /// Finds where a window ends, and reads the next one.
    fn next(
        &self,
        text: &str,
        from: usize,
        window: &Window,
        encoded: &mut Encoded,
    ) -> Result<(usize, Window), TokenizerError> {
        let pieces = window.pieces();
        let borders = window.borders(&pieces, from);
        let last = window.range.end - self.sizes.context;
        let mut reach = last;
        for _ in 0..TRIES {
            let n = borders.partition_point(|&at| at <= reach);
            let Some(&at) = n.checked_sub(1).and_then(|n| borders.get(n)) else {
                break;
            };
            let inside = window.cuts.contains_key(&at);
            let next = self.next_window(text, &pieces, Border { at, inside })?;
            if window.agrees(&next, at, self.sizes.context) {
                return Ok((at, next));
            }
            reach = at.saturating_sub(self.sizes.context);
        }
        // the splitting depends on what is far away
        let n = borders.partition_point(|&at| at <= last);
        let at = match n.checked_sub(1) {
            Some(n) => borders[n],
            None => {
                // a piece that begins before the place is pushed whole
                let place = text.ceil_char_boundary(last.max(from + 1));
                pieces.iter().fold(place, |at, piece| match &piece.range {
                    range if range.start < at => at.max(range.end),
                    _ => at,
                })
            }
        };
        // a cut that changes something is counted with its piece
        if window.cuts.get(&at) != Some(&false) {
            encoded.n_cuts += 1;
        }
        let next = self.next_window(text, &pieces, Border { at, inside: true })?;
        Ok((at, next))
    }

    /// Reads the window that goes on at a border. It begins with a pre-token where it can.
    fn next_window(
        &self,
        text: &str,
        pieces: &[Piece<'_>],
        border: Border,
    ) -> Result<Window, TokenizerError> {
        let latest = border.at.saturating_sub(self.sizes.context);
        let n = pieces.partition_point(|piece| piece.range.start <= latest);
        let start = n.checked_sub(1).map(|n| pieces[n].range.start);
        let start = start.filter(|start| start + self.sizes.context >= latest);
        let start = start.unwrap_or_else(|| text.floor_char_boundary(latest));
        self.window(text, start, &border)
    }

    fn window(&self, text: &str, start: usize, border: &Border) -> Result<Window, TokenizerError> {
        let error = |error: tokenizers::Error| TokenizerError::Encode(error.to_string());
        let end = text.floor_char_boundary((start + self.sizes.window()).min(text.len()));
        let added = self.inner.get_added_vocabulary();
        let mut splits =
            added.extract_and_normalize(self.inner.get_normalizer(), &text[start..end]);
        if let Some(pre_tokenizer) = self.inner.get_pre_tokenizer() {
            pre_tokenizer.pre_tokenize(&mut splits).map_err(error)?;
        }
        let mut cuts = HashMap::new();
        let cut = |_, split: NormalizedString| Ok(self.cut(split, start, border, &mut cuts));
        splits.split(cut).map_err(error)?;
        Ok(Window {
            range: start..end,
            splits,
            cuts,
        })
    }

    /// Cuts a pre-token of a window that begins at `base`: at a border inside it, and where it is too long.
    fn cut(
        &self,
        split: NormalizedString,
        base: usize,
        border: &Border,
        cuts: &mut HashMap<usize, bool>,
    ) -> Vec<NormalizedString> {
        let (start, end) = split.offsets_original();
        let straddles = border.inside && base + start < border.at && border.at < base + end;
        if !straddles && end - start <= self.sizes.pre_token {
            return vec![split];
        }
        let mut ends: Vec<usize> = split.get().char_indices().map(|(at, _)| at).collect();
        ends.push(split.len());
        let mut pieces = Vec::new();
        let mut at = 0; // index of the end of the last piece
        if straddles {
            at = index_within(&split, &ends, 0, border.at - base - start);
            pieces.extend(split.slice(normalizer::Range::Normalized(0..ends[at])));
        }
        loop {
            let rest = original(&split, ends[at]..split.len());
            if rest.len() <= self.sizes.pre_token {
                pieces.extend(split.slice(normalizer::Range::Normalized(ends[at]..split.len())));
                return pieces;
            }
            let most = index_within(&split, &ends, at + 1, rest.start + self.sizes.pre_token);
            let (next, is_exact) = self.place(&split, &ends, at, most);
            let piece = split.slice(normalizer::Range::Normalized(ends[at]..ends[next]));
            pieces.extend(piece);
            if next + 1 == ends.len() {
                return pieces;
            }
            cuts.insert(
                base + start + original(&split, ends[at]..ends[next]).end,
                is_exact,
            );
            at = next;
        }
    }

    /// The last place up to `most` at which a piece that begins at `at` can be cut, and whether the cut changes nothing.
    fn place(
        &self,
        split: &NormalizedString,
        ends: &[usize],
        at: usize,
        most: usize,
    ) -> (usize, bool) {
        // what became several characters stays together
        let parts = |i: usize| {
            i + 1 == ends.len()
                || original(split, 0..ends[i]).end <= original(split, ends[i]..split.len()).start
        };
        let character = |i: usize| split.get()[ends[i]..].chars().next();
        let is_exact = |i: &usize| {
            let pair = character(*i - 1).zip(character(*i));
            parts(*i)
                && matches!((pair, self.spans), (Some((a, b)), Some(spans)) if !spans.cross(a, b))
        };
        let places = || (at + 1..=most).rev();
        match (
            places().find(is_exact),
            places().find(|&i| parts(i)),
            most + 1..ends.len(),
        ) {
            (Some(exact), _, _) => (exact, true),
            (None, Some(place), _) => (place, false),
            (None, None, mut later) => (later.find(|&i| parts(i)).unwrap_or(ends.len() - 1), false),
        }
    }

    /// Adds the tokens of a window's pieces that begin in `range`.
    fn push(
        &self,
        window: &Window,
        range: Range<usize>,
        encoded: &mut Encoded,
    ) -> Result<(), TokenizerError> {
        let is_last = window.range.end == range.end;
        let begins_here = |piece: &Piece<'_>| {
            piece.range.start >= range.start && (piece.range.start < range.end || is_last)
        };
        if self.with_places {
            let places = self.places(window, begins_here)?;
            encoded.places.extend(places);
        }
        for piece in window.pieces() {
            match (begins_here(&piece), piece.id) {
                (false, _) => continue,
                (true, Some(id)) => encoded.tokens.push(TokenId(id)),
                (true, None) => {
                    let tokens = self.inner.get_model().tokenize(piece.text);
                    let tokens =
                        tokens.map_err(|error| TokenizerError::Encode(error.to_string()))?;
                    encoded
                        .tokens
                        .extend(tokens.iter().map(|token| TokenId(token.id)));
                }
            }
            if window.cuts.get(&piece.range.end) == Some(&false) {
                encoded.n_cuts += 1;
            }
        }
        Ok(())
    }
}

impl Encoder<'_> {
    /// The places of the tokens of some pieces of a window.
    fn places(
        &self,
        window: &Window,
        is_wanted: impl Fn(&Piece<'_>) -> bool,
    ) -> Result<Vec<Range<usize>>, TokenizerError> {
        let error = |error: tokenizers::Error| TokenizerError::Encode(error.to_string());
        let mut splits = window.splits.clone();
        let model = self.inner.get_model();
        splits
            .tokenize(|text| model.tokenize(text.get()))
            .map_err(error)?;
        let tokens = splits.get_splits(OffsetReferential::Original, OffsetType::Byte);
        let n_tokens = tokens
            .iter()
            .map(|(_, _, tokens)| tokens.as_ref().map_or(0, Vec::len));
        let wanted: Vec<bool> = (window.pieces().iter().zip(n_tokens))
            .flat_map(|(piece, n)| vec![is_wanted(piece); n])
            .collect();
        let encoding = splits
            .into_encoding(None, 0, OffsetType::Byte)
            .and_then(|encoding| self.inner.post_process(encoding, None, false))
            .map_err(error)?;
        let start = window.range.start;
        let places = encoding.get_offsets().iter().zip(wanted);
        let places = places.filter(|(_, is_wanted)| *is_wanted);
        Ok(places
            .map(|((from, to), _)| start + from..start + to)
            .collect())
    }
}

impl Window {
    fn pieces(&self) -> Vec<Piece<'_>> {
        let splits = self
            .splits
            .get_splits(OffsetReferential::Original, OffsetType::Byte);
        let splits = splits.into_iter();
        splits
            .map(|(text, (start, end), tokens)| Piece {
                range: self.range.start + start..self.range.start + end,
                text,
                id: tokens.as_ref().and_then(|tokens| Some(tokens.first()?.id)),
            })
            .collect()
    }

    /// The borders between pieces after `from`.
    fn borders(&self, pieces: &[Piece<'_>], from: usize) -> Vec<usize> {
        let pairs = pieces.windows(2).filter(|pair| {
            let (piece, next) = (&pair[0].range, &pair[1].range);
            from < piece.end && !piece.is_empty() && piece.end <= next.start
        });
        pairs.map(|pair| pair[0].range.end).collect()
    }

    /// Whether the next window splits what lies around a border in the same way.
    fn agrees(&self, next: &Self, border: usize, context: usize) -> bool {
        let around = border.saturating_sub(context / 2)..border + context / 2;
        let (ours, theirs) = (self.pieces(), next.pieces());
        let is_near =
            |piece: &&Piece<'_>| around.start <= piece.range.start && piece.range.end <= around.end;
        let crosses = |piece: &Piece<'_>| piece.range.start < border && border < piece.range.end;
        !theirs.iter().any(crosses)
            && ours
                .iter()
                .filter(is_near)
                .eq(theirs.iter().filter(is_near))
    }
}

/// The range of a part of a pre-token in the text, counted from the beginning of the pre-token.
fn original(split: &NormalizedString, range: Range<usize>) -> Range<usize> {
    match range.is_empty() {
        true if range.start == 0 => 0..0,
        true => split.len_original()..split.len_original(),
        false => {
            let converted = split.convert_offsets(normalizer::Range::Normalized(range));
            converted.unwrap_or_default()
        }
    }
}

/// The last index, `first` at least, of an end up to which a pre-token was at most `len` bytes of text.
fn index_within(split: &NormalizedString, ends: &[usize], first: usize, len: usize) -> usize {
    let within = ends.partition_point(|&end| original(split, 0..end).end <= len);
    within.saturating_sub(1).max(first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    /// So short that a text of some kilobytes takes many windows.
    const SHORT: Sizes = Sizes {
        pre_token: 256,
        context: 64,
    };

    fn read(tokenizer: Value) -> tokenizers::Tokenizer {
        serde_json::from_value(tokenizer).unwrap()
    }

    fn parts(normalizer: Value, pre_tokenizer: Value, model: Value) -> tokenizers::Tokenizer {
        let added = |id: u32, content: &str, normalized: bool| json!({"id": id, "content": content, "single_word": false, "lstrip": !normalized, "rstrip": false, "normalized": normalized, "special": !normalized});
        read(json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": normalizer,
            "pre_tokenizer": pre_tokenizer, "post_processor": null, "decoder": null, "model": model,
            "added_tokens": [added(900, "<end of text>", false), added(901, "the net", true)],
        }))
    }

    fn fixture(change: impl Fn(&mut Value)) -> tokenizers::Tokenizer {
        let path = format!(
            "{}/tests/conformance/gpt2/tokenizer.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut json = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        change(&mut json);
        read(json)
    }

    /// Letters, the space of SentencePiece and some merges of two; with bytes for what has no token.
    fn sentence_piece() -> Value {
        let mut tokens: Vec<String> = ["<unk>", "\n", "▁", "漢", "字", "é", ".", "0", "1"]
            .map(str::to_owned)
            .into();
        tokens.extend(('a'..='z').map(String::from));
        tokens.extend((0..=255).map(|byte| format!("<0x{byte:02X}>")));
        let merges = [
            ["▁", "t"],
            ["h", "e"],
            ["▁t", "he"],
            ["▁", "▁"],
            ["▁▁", "▁▁"],
            ["a", "a"],
            ["aa", "aa"],
            ["漢", "字"],
            ["i", "n"],
            ["n", "e"],
        ];
        tokens.extend(merges.iter().map(|pair| pair.concat()));
        let vocab: serde_json::Map<String, Value> = (0u32..)
            .zip(tokens)
            .map(|(id, token)| (token, id.into()))
            .collect();
        json!({"type": "BPE", "dropout": null, "unk_token": "<unk>", "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": true, "ignore_merges": false, "vocab": vocab, "merges": merges})
    }

    fn unigram() -> Value {
        let mut vocab: Vec<(String, f64)> = vec![("<unk>".into(), 0.0), ("▁".into(), -2.0)];
        vocab.extend(('a'..='z').map(|c| (c.to_string(), -4.0 - f64::from(c as u32) / 100.0)));
        let words = [
            "▁the", "▁n", "et", "aa", "aaa", "漢", "字", "漢字", "in", "ing",
        ];
        vocab.extend(
            words
                .iter()
                .zip(1..)
                .map(|(word, i)| (word.to_string(), -3.0 - f64::from(i) / 7.0)),
        );
        json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": false})
    }

    fn word_piece() -> Value {
        let mut tokens: Vec<String> = vec!["[UNK]".into(), "the".into(), "##ing".into()];
        tokens.extend(('a'..='z').flat_map(|c| [c.to_string(), format!("##{c}")]));
        tokens.extend(["漢", "字", ".", "0", "##0", "'"].map(str::to_owned));
        let vocab: serde_json::Map<String, Value> = (0u32..)
            .zip(tokens)
            .map(|(id, token)| (token, id.into()))
            .collect();
        json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocab})
    }

    fn all() -> Vec<(&'static str, tokenizers::Tokenizer)> {
        let byte_level = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
        let split = |pattern: &str| json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": false});
        let modern = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
        let sequence = |steps: Value| json!({"type": "Sequence", "pretokenizers": steps});
        let replace = json!({"type": "Replace", "pattern": {"String": " "}, "content": "▁"});
        let prepend = json!({"type": "Prepend", "prepend": "▁"});
        let metaspace = |scheme: &str, split: bool| json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split});
        let bert = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true});
        vec![
            ("byte-level", fixture(|_| ())),
            (
                "byte-level with a space in front",
                fixture(|json| json["pre_tokenizer"]["add_prefix_space"] = true.into()),
            ),
            (
                "numbers of three digits, composed",
                fixture(|json| {
                    json["pre_tokenizer"] = sequence(json!([split(modern), byte_level]));
                    json["normalizer"] = json!({"type": "NFC"});
                }),
            ),
            (
                "single digits",
                fixture(|json| {
                    let digits = json!({"type": "Digits", "individual_digits": true});
                    json["pre_tokenizer"] =
                        sequence(json!([digits, json["pre_tokenizer"].clone()]));
                }),
            ),
            (
                "no pre-tokenizer",
                parts(
                    json!({"type": "Sequence", "normalizers": [prepend, replace]}),
                    Value::Null,
                    sentence_piece(),
                ),
            ),
            (
                "Metaspace that does not split",
                parts(Value::Null, metaspace("first", false), sentence_piece()),
            ),
            (
                "Gemma",
                parts(
                    replace.clone(),
                    json!({"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false}),
                    sentence_piece(),
                ),
            ),
            (
                "unigram",
                parts(
                    json!({"type": "NFKC"}),
                    metaspace("always", true),
                    unigram(),
                ),
            ),
            (
                "words of BERT",
                parts(bert, json!({"type": "BertPreTokenizer"}), word_piece()),
            ),
        ]
    }

    fn encode(inner: &tokenizers::Tokenizer, text: &str) -> Encoded {
        let spans = Spans::of(inner.get_model());
        let encoder = Encoder {
            inner,
            spans: spans.as_ref(),
            sizes: SHORT,
            with_places: true,
        };
        encoder.encode(text).unwrap()
    }

    fn places(inner: &tokenizers::Tokenizer, text: &str) -> Vec<Range<usize>> {
        let encoding = inner.encode(text, false).unwrap();
        let offsets = encoding.get_offsets().iter();
        offsets.map(|&(start, end)| start..end).collect()
    }

    fn whole(inner: &tokenizers::Tokenizer, text: &str) -> Vec<TokenId> {
        let ids = inner.encode_fast(text, false).unwrap();
        ids.get_ids().iter().map(|&id| TokenId(id)).collect()
    }

    #[test]
    fn a_long_text_has_the_tokens_of_the_whole() {
        let prose = "The net doesn't see  12345 naïve 漢字 the netted\n\n\t a<end of text> e\u{301}ing ﬁ½ …  ";
        let code = "fn main() {\n        let x = 10000000;\n    }\n\n\n\t\treturn  \r\n";
        let digits = "1234567890".repeat(20) + " ";
        for (name, inner) in all() {
            for piece in [prose, code, &digits] {
                let text = piece.repeat(6000 / piece.len());
                let encoded = encode(&inner, &text);
                assert_eq!(encoded.tokens, whole(&inner, &text), "{name}: {piece}");
                assert_eq!(encoded.places, places(&inner, &text), "{name}: {piece}");
                assert_eq!(encoded.n_cuts, 0, "{name}: {piece}");
            }
        }
    }

    #[test]
    fn a_word_without_end_is_cut_and_counted_where_no_cut_is_exact() {
        for (name, inner) in all() {
            for (letter, text) in [
                ("a", "the ".to_owned() + &"a".repeat(5000) + " net"),
                ("漢字", "漢字".repeat(1000)),
                (" ", " ".repeat(5000) + "e"),
            ] {
                let encoded = encode(&inner, &text);
                let (found, expected) = (encoded.tokens, whole(&inner, &text));
                match encoded.n_cuts {
                    0 => assert_eq!(found, expected, "{name}: {letter}"),
                    n => assert!(n <= text.len() as u64 / 200, "{name}: {letter}: {n} cuts"),
                }
            }
            let again = encode(&inner, &"a".repeat(5000));
            assert_eq!(again, encode(&inner, &"a".repeat(5000)));
        }
        // in this vocabulary no token spans `z` and another letter
        let (_, inner) = all().swap_remove(4);
        let text = "zq".repeat(3000);
        let encoded = encode(&inner, &text);
        assert_eq!((encoded.n_cuts, encoded.tokens), (0, whole(&inner, &text)));
        // and `aa` lies across each place at which this word could be cut
        let cut = encode(&inner, &"a".repeat(3000));
        assert_eq!(cut.n_cuts, 3000 / 256);
    }

    #[test]
    fn a_token_spans_characters_without_tokens_where_others_become_bytes() {
        let mut vocab: Vec<(String, f64)> = vec![("<unk>".into(), 0.0), ("漢字".into(), -3.0)];
        vocab.extend((0..=255).map(|byte| (format!("<0x{byte:02X}>"), -9.0)));
        let model = json!({"type": "Unigram", "unk_id": 0, "vocab": vocab, "byte_fallback": true});
        let inner = parts(Value::Null, Value::Null, model);
        let spans = Spans::of(inner.get_model()).unwrap();
        assert!(spans.cross('漢', '字') && !spans.cross('字', '漢'));
        for text in ["漢字".repeat(1000), "a".to_owned() + &"漢字".repeat(1000)] {
            let encoded = encode(&inner, &text);
            assert_eq!((encoded.n_cuts, encoded.tokens), (0, whole(&inner, &text)));
        }
    }

    proptest! {
        #[test]
        fn any_long_text_has_the_tokens_of_the_whole(
            pieces in prop::collection::vec("[a-z]{1,9}| {1,40}|\n{1,3} ?|[0-9]{1,40}|['’.,é“日漢字]{1,5}| the net|<end of text>|[a-z]{1,4}\u{301}|\\PC{1,6}|  \r\n\t", 100..700),
            which in 0usize..9,
        ) {
            let (name, inner) = all().swap_remove(which);
            let text = pieces.concat();
            let encoded = encode(&inner, &text);
            prop_assert_eq!(encoded.n_cuts, 0, "{}", name);
            prop_assert_eq!(encoded.tokens, whole(&inner, &text), "{}", name);
        }
    }
}
