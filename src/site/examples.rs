//! A neuron's examples as its record has them: each once, as columns, and the lists that name their rows.
//!
//! They are by far the largest part of a page, so they are written straight into JSON, from token texts that were
//! escaped once; nothing parses them again on the way.

use std::collections::HashMap;
use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::atlas::{AtlasNeuron, Example, Window};
use crate::ids::{DocId, Pos, TokenId};
use crate::tokens::Windowing;
use crate::tokens::store::TokenStore;

use super::display::{escape, visible};
use super::error::SiteError;
use super::format::number;
use super::texts::{TokenTexts, json_string};

/// The examples of one neuron with their tokens.
pub(super) struct Examples<'a> {
    /// Each example once, whatever lists have it.
    pub(super) rows: Vec<ExampleTokens<'a>>,
    /// The lists, in the order of the atlas.
    pub(super) lists: Vec<List<'a>>,
}

/// An example and the tokens of its window.
pub(super) struct ExampleTokens<'a> {
    pub(super) example: &'a Example,
    pub(super) tokens: Vec<TokenId>,
}

/// A list of examples.
pub(super) struct List<'a> {
    pub(super) name: &'a str,
    /// Its examples, best first.
    pub(super) rows: Vec<usize>,
    /// How many further documents peak on the same context as each.
    duplicates: Vec<usize>,
}

impl ExampleTokens<'_> {
    /// Index of the peak within the window.
    pub(super) fn peak(&self) -> usize {
        (self.example.pos.0 - self.example.window.start) as usize
    }
}

impl<'a> Examples<'a> {
    /// Reads the text of a neuron's examples.
    pub(super) fn read(neuron: &'a AtlasNeuron, corpus: &Corpus<'_>) -> Result<Self, SiteError> {
        let mut rows: Vec<ExampleTokens<'a>> = Vec::with_capacity(neuron.examples.len());
        let mut lists: Vec<List<'a>> = Vec::new();
        let mut known: HashMap<(DocId, Pos), Vec<usize>> = HashMap::new();
        for entry in &neuron.examples {
            let example = &entry.example;
            // lists of other hooks can peak at the same place, with other values
            let same = |row: &&usize| {
                let known = rows[**row].example;
                known.value == example.value
                    && known.post == example.post
                    && known.window == example.window
            };
            let there = known.entry((example.doc, example.pos)).or_default();
            let row = match there.iter().find(same) {
                Some(&row) => row,
                None => {
                    let window = &example.window;
                    let positions = window.start..window.start + window.steps.len() as u32;
                    let tokens = corpus.tokens(example.doc, positions)?;
                    rows.push(ExampleTokens { example, tokens });
                    there.push(rows.len() - 1);
                    rows.len() - 1
                }
            };
            if lists.last().is_none_or(|list| list.name != entry.list) {
                lists.push(List {
                    name: &entry.list,
                    rows: Vec::new(),
                    duplicates: Vec::new(),
                });
            }
            if let Some(list) = lists.last_mut() {
                list.rows.push(row);
                list.duplicates.push(example.duplicates.len());
            }
        }
        Ok(Self { rows, lists })
    }

    /// The examples of a list.
    pub(super) fn of(&self, list: &str) -> impl Iterator<Item = &ExampleTokens<'a>> {
        let list = self.lists.iter().find(|of| of.name == list);
        let rows = list.map_or(&[][..], |list| &list.rows);
        rows.iter().map(|&row| &self.rows[row])
    }

    /// The largest magnitude of all values around the peaks.
    pub(super) fn largest(&self) -> f32 {
        let windows = self.rows.iter().map(|row| &row.example.window);
        let values = windows.flat_map(|window| window.values().flatten());
        values.fold(0.0, |max, value| max.max(value.abs()))
    }

    /// The lists as JSON: rows of the examples, and duplicates where there are any.
    pub(super) fn lists_json(&self) -> String {
        let mut json = String::from("{");
        for (at, list) in self.lists.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(json, "{comma}\"{}\":{{\"rows\":", list.name);
            push_integers(&mut json, &list.rows);
            if list.duplicates.iter().any(|&n| n > 0) {
                json.push_str(",\"duplicates\":");
                push_integers(&mut json, &list.duplicates);
            }
            json.push('}');
        }
        json.push('}');
        json
    }

    /// The examples as JSON, column by column.
    pub(super) fn columns_json(&self, corpus: &Corpus<'_>) -> String {
        let mut sources: Vec<&str> = Vec::new();
        let [
            mut doc,
            mut source,
            mut start,
            mut peak,
            mut value,
            mut post,
            mut scale,
        ] = std::array::from_fn(|_| Column::with_capacity(1024));
        let mut text = String::with_capacity(self.rows.len() * 320);
        let mut lengths = String::with_capacity(self.rows.len() * 72);
        let mut values = String::with_capacity(self.rows.len() * 96);
        let (mut bytes, mut begins) = (String::new(), String::new());
        for (at, row) in self.rows.iter().enumerate() {
            let (example, window) = (row.example, &row.example.window);
            let name = corpus.store.info(example.doc).source;
            let known = sources.iter().position(|of| *of == name);
            let of = known.unwrap_or_else(|| {
                sources.push(name);
                sources.len() - 1
            });
            doc.push(example.doc.0);
            source.push(of);
            start.push(window.start);
            peak.push(row.peak());
            value.push(example.value);
            scale.push(window.scale);
            if let Some(value) = example.post {
                post.push(value);
            }
            let comma = if at > 0 { "," } else { "" };
            for column in [&mut text, &mut lengths, &mut values] {
                column.push_str(comma);
                column.push('"');
            }
            if let Some(encoded) = corpus.texts.push(&row.tokens, &mut text, &mut lengths) {
                let comma = if bytes.is_empty() { "" } else { "," };
                let _ = write!(bytes, "{comma}\"{at}\":\"{encoded}\"");
            }
            push_steps(&mut values, window);
            for column in [&mut text, &mut lengths, &mut values] {
                column.push('"');
            }
            let starts = corpus.begins(window);
            if !starts.is_empty() {
                let comma = if begins.is_empty() { "" } else { "," };
                let _ = write!(begins, "{comma}\"{at}\":");
                push_integers(&mut begins, &starts);
            }
        }
        let sources: Vec<String> = sources.into_iter().map(json_string).collect();
        let mut json = String::with_capacity(text.len() + lengths.len() + values.len() + 8 * 1024);
        let _ = write!(json, "{{\"sources\":[{}]", sources.join(","));
        let numbers = [
            ("doc", doc),
            ("source", source),
            ("start", start),
            ("peak", peak),
            ("value", value),
            ("hook_post", post),
            ("scale", scale),
        ];
        for (name, Column(column)) in numbers {
            // hook_post stands beside the ranking hook of SoLU neurons only
            if name != "hook_post" || !column.is_empty() {
                let _ = write!(json, ",\"{name}\":[{column}]");
            }
        }
        for (name, column) in [("text", text), ("lengths", lengths), ("values", values)] {
            let _ = write!(json, ",\"{name}\":[{column}]");
        }
        for (name, map) in [("bytes", bytes), ("context_starts", begins)] {
            if !map.is_empty() {
                let _ = write!(json, ",\"{name}\":{{{map}}}");
            }
        }
        json.push('}');
        json
    }
}

/// Class of a value's colour on a scale that is symmetric around 0: `p8` is +max, `n8` is −max. The same as in
/// tokens.js.
fn shade(value: f32, max: f32) -> String {
    let level = match max > 0.0 {
        true => ((8.0 * value.abs() / max).round() as u8).min(8),
        false => 0,
    };
    match level {
        0 => String::new(),
        level => format!("{}{level}", if value < 0.0 { 'n' } else { 'p' }),
    }
}

/// Numbers with commas between them.
struct Column(String);

impl Column {
    fn with_capacity(bytes: usize) -> Self {
        Self(String::with_capacity(bytes))
    }

    fn push(&mut self, value: impl std::fmt::Display) {
        let comma = if self.0.is_empty() { "" } else { "," };
        let _ = write!(self.0, "{comma}{value}");
    }
}

fn push_integers(out: &mut String, values: &[usize]) {
    let mut column = Column(String::with_capacity(values.len() * 4));
    values.iter().for_each(|value| column.push(value));
    out.push('[');
    out.push_str(&column.0);
    out.push(']');
}

/// A window's steps as bytes, in base64.
fn push_steps(out: &mut String, window: &Window) {
    let bytes: Vec<u8> = window.steps.iter().map(|&step| step as u8).collect();
    STANDARD.encode_string(bytes, out);
}

/// The corpus that a model was scanned on, with the texts of its tokens.
pub(super) struct Corpus<'a> {
    pub(super) store: &'a TokenStore,
    pub(super) texts: TokenTexts<'a>,
    pub(super) windowing: Windowing,
}

impl Corpus<'_> {
    /// Tokens at some positions of a document, those BOS that have positions included.
    pub(super) fn tokens(
        &self,
        doc: DocId,
        positions: std::ops::Range<u32>,
    ) -> Result<Vec<TokenId>, SiteError> {
        Ok(self
            .windowing
            .tokens(positions, |range| self.store.tokens(doc, range))?)
    }

    /// Number of positions of a document.
    pub(super) fn n_positions(&self, doc: DocId) -> u32 {
        self.windowing.n_positions(self.store.len(doc)) as u32
    }

    /// Where within a window, behind its first token, the model's context begins anew.
    fn begins(&self, window: &Window) -> Vec<usize> {
        let of = |at: u32| self.windowing.window_of(Pos(window.start + at));
        let n = window.steps.len() as u32;
        if n == 0 || of(0) == of(n - 1) {
            return Vec::new();
        }
        (1..n)
            .filter(|&at| of(at - 1) != of(at))
            .map(|at| at as usize)
            .collect()
    }

    /// A document as JSON, its tokens as those of examples, with their ids.
    pub(super) fn document_json(&self, out: &mut String, doc: DocId) -> Result<(), SiteError> {
        let info = self.store.info(doc);
        let [id, source, license] = [info.id, info.source, info.license].map(json_string);
        let tokens = self.tokens(doc, 0..self.n_positions(doc))?;
        let (mut text, mut lengths) = (String::new(), String::new());
        let bytes = self.texts.push(&tokens, &mut text, &mut lengths);
        let _ = write!(
            out,
            "{{\"doc\":{},\"id\":{id},\"source\":{source},\"license\":{license},\"text\":\"{text}\",\"lengths\":\"{lengths}\"",
            doc.0
        );
        if let Some(bytes) = bytes {
            let _ = write!(out, ",\"bytes\":\"{bytes}\"");
        }
        let ids: Vec<usize> = tokens.iter().map(|token| token.0 as usize).collect();
        out.push_str(",\"ids\":");
        push_integers(out, &ids);
        out.push('}');
        Ok(())
    }

    /// The text before the peak of an example, at it, and after it. A character that is cut by the peak goes with it
    /// whole.
    pub(super) fn around_peak(&self, row: &ExampleTokens<'_>) -> [String; 3] {
        let tokens = &row.tokens;
        let partial = |at: usize| {
            let token = tokens.get(at);
            token.is_some_and(|token| self.texts.is_partial(*token))
        };
        let peak = row.peak();
        let (mut from, mut until) = (peak, peak + 1);
        while from > 0 && partial(from) && partial(from - 1) {
            from -= 1;
        }
        while until < tokens.len() && partial(until - 1) && partial(until) {
            until += 1;
        }
        [&tokens[..from], &tokens[from..until], &tokens[until..]]
            .map(|tokens| String::from_utf8_lossy(&self.texts.bytes(tokens)).into_owned())
    }

    /// The tokens around an example's peak as a heat map, whose colours reach `max`. Tokens that share a character
    /// stand together.
    pub(super) fn heat_html(
        &self,
        out: &mut String,
        row: &ExampleTokens<'_>,
        [before, after]: [usize; 2],
        max: f32,
    ) {
        let (peak, window) = (row.peak(), &row.example.window);
        let tokens = peak.saturating_sub(before)..(peak + after + 1).min(row.tokens.len());
        let (mut run, mut strongest) = (Vec::new(), 0i8);
        for at in tokens.clone() {
            let step = window.steps[at];
            if step != Window::NOT_FINITE && step.unsigned_abs() > strongest.unsigned_abs() {
                strongest = step;
            }
            run.extend(self.texts.bytes(&[row.tokens[at]]));
            let goes_on = at + 1 < tokens.end
                && self.texts.is_partial(row.tokens[at])
                && self.texts.is_partial(row.tokens[at + 1])
                && std::str::from_utf8(&run).is_err();
            if goes_on {
                continue;
            }
            let value = f32::from(strongest) * window.scale;
            let shade = shade(value, max);
            let _ = match shade.is_empty() {
                true => write!(out, "<span>"),
                false => write!(out, "<span class=\"{shade}\">"),
            };
            visible(&String::from_utf8_lossy(&run), out);
            out.push_str("</span>");
            run.clear();
            strongest = 0;
        }
    }

    /// An example as plain HTML, for readers without JavaScript.
    pub(super) fn example_html(
        &self,
        out: &mut String,
        row: &ExampleTokens<'_>,
        number_in_list: usize,
    ) {
        let [before, at, after] = self.around_peak(row);
        let source = escape(self.store.info(row.example.doc).source);
        let value = number(Some(f64::from(row.example.value)));
        let _ = write!(
            out,
            "<li id=\"example-{number_in_list}\"><span class=\"value\">{value}</span> <span class=\"source\">{source}</span> <bdi class=\"text\">"
        );
        visible(&before, out);
        out.push_str("<mark>");
        visible(&at, out);
        out.push_str("</mark>");
        visible(&after, out);
        out.push_str("</bdi></li>\n");
    }
}
