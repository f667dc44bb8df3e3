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

use super::display::{calm, escape, visible};
use super::format::{number, round};
use super::texts::{TokenTexts, json_string};
use crate::site::error::SiteError;

/// The examples of one neuron with their tokens.
pub(in crate::site) struct Examples<'a> {
    /// Each example once, whatever lists have it.
    pub(in crate::site) rows: Vec<ExampleTokens<'a>>,
    /// The lists, in the order of the atlas.
    pub(in crate::site) lists: Vec<List<'a>>,
}

/// An example and the tokens of its window.
pub(in crate::site) struct ExampleTokens<'a> {
    pub(in crate::site) example: &'a Example,
    pub(in crate::site) tokens: Vec<TokenId>,
}

/// A list of examples.
pub(in crate::site) struct List<'a> {
    pub(in crate::site) name: &'a str,
    /// Its examples, best first.
    pub(in crate::site) rows: Vec<usize>,
    /// How many further documents peak on the same context as each.
    duplicates: Vec<usize>,
}

impl ExampleTokens<'_> {
    /// Index of the peak within the window.
    pub(in crate::site) fn peak(&self) -> usize {
        (self.example.pos.0 - self.example.window.start) as usize
    }
}

impl<'a> Examples<'a> {
    /// Reads the text of a neuron's examples.
    pub(in crate::site) fn read(
        neuron: &'a AtlasNeuron,
        corpus: &Corpus<'_>,
    ) -> Result<Self, SiteError> {
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
    pub(in crate::site) fn of(&self, list: &str) -> impl Iterator<Item = &ExampleTokens<'a>> {
        let list = self.lists.iter().find(|of| of.name == list);
        let rows = list.map_or(&[][..], |list| &list.rows);
        rows.iter().map(|&row| &self.rows[row])
    }

    /// The largest magnitude of all values around the peaks.
    pub(in crate::site) fn largest(&self) -> f32 {
        let largest = |row: &ExampleTokens<'_>| {
            let Window { scale, steps, .. } = &row.example.window;
            let finite = steps.iter().filter(|step| **step != Window::NOT_FINITE);
            let most = finite.map(|step| step.unsigned_abs()).max();
            f32::from(most.unwrap_or(0)) * scale
        };
        self.rows.iter().map(largest).fold(0.0, f32::max)
    }

    /// Adds the lists as JSON: rows of the examples, and duplicates where there are any.
    pub(in crate::site) fn push_lists(&self, json: &mut Vec<u8>) {
        for (at, list) in self.lists.iter().enumerate() {
            json.push(if at > 0 { b',' } else { b'{' });
            json.push(b'"');
            json.extend_from_slice(list.name.as_bytes());
            json.extend_from_slice(b"\":{\"rows\":");
            push_integers(json, &list.rows);
            if list.duplicates.iter().any(|&n| n > 0) {
                json.extend_from_slice(b",\"duplicates\":");
                push_integers(json, &list.duplicates);
            }
            json.push(b'}');
        }
        json.extend_from_slice(if self.lists.is_empty() { b"{}" } else { b"}" });
    }

    /// Adds the examples as JSON, column by column.
    pub(in crate::site) fn push_columns(&self, json: &mut Vec<u8>, corpus: &Corpus<'_>) {
        let of = |get: &dyn Fn(&ExampleTokens<'_>) -> usize| -> Vec<usize> {
            self.rows.iter().map(get).collect()
        };
        let floats = |get: &dyn Fn(&Example) -> Option<f32>| -> Vec<f32> {
            self.rows
                .iter()
                .filter_map(|row| get(row.example))
                .collect()
        };
        let mut sources: Vec<&str> = Vec::new();
        let mut source = |row: &ExampleTokens<'_>| {
            let name = corpus.store.source(row.example.doc);
            let known = sources.iter().position(|of| *of == name);
            known.unwrap_or_else(|| {
                sources.push(name);
                sources.len() - 1
            })
        };
        let source: Vec<usize> = self.rows.iter().map(&mut source).collect();
        let sources: Vec<String> = sources.into_iter().map(json_string).collect();
        json.extend_from_slice(b"{\"sources\":[");
        json.extend_from_slice(sources.join(",").as_bytes());
        json.push(b']');
        push_column(json, "doc", &of(&|row| row.example.doc.0 as usize));
        push_column(json, "source", &source);
        push_column(json, "start", &of(&|row| row.example.window.start as usize));
        push_column(json, "peak", &of(&|row| row.peak()));
        push_floats(json, "value", &floats(&|example| Some(example.value)));
        let posts = floats(&|example| example.post);
        // hook_post stands beside the ranking hook of SoLU neurons only, and where every example has one
        if !posts.is_empty() && posts.len() == self.rows.len() {
            push_floats(json, "hook_post", &posts);
        }
        // to a step of a 127th, six digits are more than enough
        let scales = self.rows.iter().map(|row| row.example.window.scale.into());
        let scales: Vec<f64> = scales.filter_map(round).collect();
        push_floats(json, "scale", &scales);

        let mut lengths = Vec::with_capacity(self.rows.len() * 72);
        let mut bytes = String::new();
        json.extend_from_slice(b",\"text\":[");
        for (at, row) in self.rows.iter().enumerate() {
            let quote: &[u8] = if at > 0 { b",\"" } else { b"\"" };
            json.extend_from_slice(quote);
            lengths.extend_from_slice(quote);
            if let Some(encoded) = corpus.texts.push(&row.tokens, json, &mut lengths) {
                let comma = if bytes.is_empty() { "" } else { "," };
                let _ = write!(bytes, "{comma}\"{at}\":\"{encoded}\"");
            }
            json.push(b'"');
            lengths.push(b'"');
        }
        json.extend_from_slice(b"],\"lengths\":[");
        json.extend_from_slice(&lengths);
        json.extend_from_slice(b"],\"values\":[");
        for (at, row) in self.rows.iter().enumerate() {
            json.extend_from_slice(if at > 0 { b",\"" } else { b"\"" });
            push_steps(json, &row.example.window);
            json.push(b'"');
        }
        json.push(b']');
        if !bytes.is_empty() {
            json.extend_from_slice(format!(",\"bytes\":{{{bytes}}}").as_bytes());
        }
        let mut comma = ",\"context_starts\":{";
        for (at, row) in self.rows.iter().enumerate() {
            let starts = corpus.begins(&row.example.window);
            if !starts.is_empty() {
                json.extend_from_slice(format!("{comma}\"{at}\":").as_bytes());
                push_integers(json, &starts);
                comma = ",";
            }
        }
        json.extend_from_slice(if comma == "," { b"}}" } else { b"}" });
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

fn push_name(json: &mut Vec<u8>, name: &str) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
}

fn push_column(json: &mut Vec<u8>, name: &str, values: &[usize]) {
    push_name(json, name);
    push_integers(json, values);
}

fn push_floats(json: &mut Vec<u8>, name: &str, values: &[impl zmij::Float + Copy]) {
    push_name(json, name);
    let mut buffer = zmij::Buffer::new();
    push_all(json, values, |json, &value| {
        json.extend_from_slice(buffer.format_finite(value).as_bytes());
    });
}

fn push_integers(json: &mut Vec<u8>, values: &[usize]) {
    let mut buffer = itoa::Buffer::new();
    push_all(json, values, |json, &value| {
        json.extend_from_slice(buffer.format(value).as_bytes());
    });
}

fn push_all<T>(json: &mut Vec<u8>, values: &[T], mut push: impl FnMut(&mut Vec<u8>, &T)) {
    json.push(b'[');
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        push(json, value);
    }
    json.push(b']');
}

/// A window's steps as bytes, in base64.
fn push_steps(json: &mut Vec<u8>, window: &Window) {
    let bytes: Vec<u8> = window.steps.iter().map(|&step| step as u8).collect();
    let start = json.len();
    json.resize(start + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD.encode_slice(&bytes, &mut json[start..]);
    json.truncate(start + written.unwrap_or_default());
}

/// The corpus that a model was scanned on, with the texts of its tokens.
pub(in crate::site) struct Corpus<'a> {
    pub(in crate::site) store: &'a TokenStore,
    pub(in crate::site) texts: TokenTexts<'a>,
    pub(in crate::site) windowing: Windowing,
}

impl Corpus<'_> {
    /// Tokens at some positions of a document, those BOS that have positions included.
    pub(in crate::site) fn tokens(
        &self,
        doc: DocId,
        positions: std::ops::Range<u32>,
    ) -> Result<Vec<TokenId>, SiteError> {
        Ok(self
            .windowing
            .tokens(positions, |range| self.store.tokens(doc, range))?)
    }

    /// Number of positions of a document.
    pub(in crate::site) fn n_positions(&self, doc: DocId) -> u32 {
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

    /// Adds a document as JSON, its tokens as those of examples, with their ids.
    pub(in crate::site) fn push_document(
        &self,
        json: &mut Vec<u8>,
        doc: DocId,
    ) -> Result<(), SiteError> {
        let info = self.store.info(doc);
        let [id, source, license] = [info.id, info.source, info.license].map(json_string);
        let tokens = self.tokens(doc, 0..self.n_positions(doc))?;
        let head = format!(
            "{{\"doc\":{},\"id\":{id},\"source\":{source},\"license\":{license},\"text\":\"",
            doc.0
        );
        json.extend_from_slice(head.as_bytes());
        let mut lengths = Vec::with_capacity(tokens.len());
        let bytes = self.texts.push(&tokens, json, &mut lengths);
        json.extend_from_slice(b"\",\"lengths\":\"");
        json.extend_from_slice(&lengths);
        json.push(b'"');
        if let Some(bytes) = bytes {
            json.extend_from_slice(format!(",\"bytes\":\"{bytes}\"").as_bytes());
        }
        let ids: Vec<usize> = tokens.iter().map(|token| token.0 as usize).collect();
        push_column(json, "ids", &ids);
        json.push(b'}');
        Ok(())
    }

    /// The text before the peak of an example, at it, and after it. A character that is cut by the peak goes with it
    /// whole.
    pub(in crate::site) fn around_peak(&self, row: &ExampleTokens<'_>) -> [String; 3] {
        let tokens = &row.tokens;
        let partial = |at: usize| {
            let token = tokens.get(at);
            token.is_some_and(|token| self.texts.is_partial(*token))
        };
        let peak = row.peak();
        let mut from = peak;
        while from > 0 && partial(from) && partial(from - 1) {
            from -= 1;
        }
        // from there on character by character, to the one that the peak is in
        let (mut until, mut character) = (from, Vec::new());
        loop {
            character.extend(self.texts.bytes(&tokens[until..=until]));
            until += 1;
            let goes_on = until < tokens.len()
                && partial(until - 1)
                && partial(until)
                && ends_inside(&character);
            match (goes_on, until > peak) {
                (true, _) => {}
                (false, true) => break,
                (false, false) => {
                    from = until;
                    character.clear();
                }
            }
        }
        [&tokens[..from], &tokens[from..until], &tokens[until..]]
            .map(|tokens| String::from_utf8_lossy(&self.texts.bytes(tokens)).into_owned())
    }

    /// The tokens around an example's peak as a heat map, whose colours reach `max`. Tokens that share a character
    /// stand together.
    pub(in crate::site) fn heat_html(
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
                && ends_inside(&run);
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
    pub(in crate::site) fn example_html(
        &self,
        out: &mut String,
        row: &ExampleTokens<'_>,
        number_in_list: usize,
    ) {
        let [before, at, after] = self.around_peak(row);
        let source = escape(&calm(self.store.source(row.example.doc)));
        let value = number(Some(f64::from(row.example.value)));
        let _ = write!(
            out,
            "<li id=\"example-{number_in_list}\"><span class=\"value\">{value}</span> <span class=\"source\">{source}</span> <bdi class=\"text\">"
        );
        visible(&before, out);
        out.push_str(match row.example.value < 0.0 {
            true => "<mark class=\"n4\">",
            false => "<mark>",
        });
        visible(&at, out);
        out.push_str("</mark>");
        visible(&after, out);
        out.push_str("</bdi></li>\n");
    }
}

/// Whether a text ends inside a character, of which the rest may follow.
fn ends_inside(text: &[u8]) -> bool {
    let rest = text.utf8_chunks().last().map(|chunk| chunk.invalid());
    rest.is_some_and(|rest| {
        std::str::from_utf8(rest).is_err_and(|error| error.error_len().is_none())
    })
}
