//! The record of a neuron: what its page embeds, and what notebooks read. Its schema is `schema/neuron.v1.json`.
//!
//! The examples are by far the largest part, so they are written straight into JSON, from token texts that were
//! escaped once; nothing parses them again on the way to the page. Every `<`, `>` and `&` is written as an escape,
//! so that the record can stand inside a `<script>` element as it is.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::atlas::{
    Atlas, AtlasNeuron, Example, Measure, Moments, NeuronStats, QUANTITIES, Regions, ScanIdentity,
    SignCase, WeightsInfo, Window, histogram,
};
use crate::ids::{DocId, Pos, TokenId};
use crate::tokens::store::TokenStore;
use crate::tokens::{Vocabulary, Windowing};

use super::display::{escape, visible};
use super::error::SiteError;
use super::format::round;
use super::weights::{ReadsRecord, WeightsRecord};

/// The JSON Schema of the record.
pub const NEURON_SCHEMA_JSON: &str = include_str!("../../schema/neuron.v1.json");

const SCHEMA: &str = "neuroscope/neuron/v1";
const QUANTILES: [&str; 9] = [
    "0.001", "0.01", "0.1", "0.25", "0.5", "0.75", "0.9", "0.99", "0.999",
];

/// A neuron's record, ready for its page.
pub struct Record {
    /// As JSON that can stand in HTML.
    pub json: String,
    /// Edges and counts of the histogram.
    pub(super) histogram: HistogramRecord,
    /// The lists of examples with their lengths, in the order of the page.
    pub(super) lists: Vec<(String, usize)>,
    /// The list of the stronger side: `top`, or `bottom` where the smallest value is larger in magnitude.
    pub(super) main_list: &'static str,
    /// That list as plain HTML, for readers without JavaScript.
    pub(super) main_html: String,
}

#[derive(Serialize)]
struct RecordJson<'a> {
    schema: &'static str,
    model: &'a str,
    layer: u32,
    neuron: u32,
    hook: String,
    stats: StatsRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signs: Option<BTreeMap<&'static str, SignRecord>>,
    examples: &'a RawValue,
    logits: Option<ReadsRecord>,
    weights: Option<WeightsRecord>,
    interest: BTreeMap<&'static str, InterestRecord>,
}

#[derive(Serialize)]
struct StatsRecord<'a> {
    count: u64,
    not_finite: u64,
    mean: Option<f64>,
    variance: Option<f64>,
    skewness: Option<f64>,
    kurtosis: Option<f64>,
    min: Option<f32>,
    max: Option<f32>,
    frequency: Option<f64>,
    frequency_abs: FrequencyRecord,
    dead: bool,
    rare: bool,
    special: SummaryRecord,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_post: Option<SummaryRecord>,
    quantiles: BTreeMap<&'static str, Option<f64>>,
    histogram: &'a HistogramRecord,
}

#[derive(Serialize)]
struct FrequencyRecord {
    tau: f32,
    value: Option<f64>,
}

/// A few numbers of a hook that is not ranked, or of positions that are not counted.
#[derive(Serialize)]
struct SummaryRecord {
    count: u64,
    mean: Option<f64>,
    min: Option<f32>,
    max: Option<f32>,
}

impl SummaryRecord {
    fn of(moments: &Moments) -> Self {
        let some = moments.count > 0;
        Self {
            count: moments.count,
            mean: moments.mean().and_then(round),
            min: some.then_some(moments.min),
            max: some.then_some(moments.max),
        }
    }
}

/// Counts between edges.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct HistogramRecord {
    /// Ascending, one more than counts.
    pub(super) edges: Vec<f64>,
    /// Number of values in each bin.
    pub(super) counts: Vec<u64>,
}

/// Statistics of one sign case.
#[derive(Serialize)]
pub(super) struct SignRecord {
    pub(super) frequency: Option<f64>,
    #[serde(flatten)]
    pub(super) quantities: BTreeMap<&'static str, ExtremeRecord>,
}

/// Mean and value of largest magnitude.
#[derive(Serialize)]
pub(super) struct ExtremeRecord {
    pub(super) mean: Option<f64>,
    pub(super) extreme: Option<f64>,
}

#[derive(Serialize)]
struct InterestRecord {
    value: Option<f64>,
    rank_in_layer: Option<u32>,
    rank_in_model: Option<u32>,
    percentile_in_layer: Option<f64>,
    percentile_in_model: Option<f64>,
}

/// How many neurons of the layer and of the model have a value, by measure.
#[derive(Clone, Copy, Debug)]
pub struct Population {
    /// Of the layer.
    pub layer: [u32; Measure::ALL.len()],
    /// Of the model.
    pub model: [u32; Measure::ALL.len()],
}

/// The examples as JSON, the lists with their lengths, and one list as HTML.
struct Examples {
    json: String,
    lists: Vec<(String, usize)>,
    html: String,
}

/// Writes the records of a model's neurons.
pub struct RecordWriter<'a> {
    scan: &'a ScanIdentity,
    store: &'a TokenStore,
    vocabulary: &'a Vocabulary,
    info: Option<&'a WeightsInfo>,
    windowing: Windowing,
    token_json: Vec<Box<str>>,
}

impl<'a> RecordWriter<'a> {
    /// For the neurons of one atlas and the corpus it was scanned on.
    pub fn new(atlas: &'a Atlas, store: &'a TokenStore, vocabulary: &'a Vocabulary) -> Self {
        let scan = &atlas.manifest().scan;
        let windowing = atlas.windowing();
        let token_json = (0..vocabulary.len() as u32)
            .map(|id| json_string(&vocabulary.text(TokenId(id))).into());
        Self {
            scan,
            store,
            vocabulary,
            info: atlas.weights_info(),
            windowing,
            token_json: token_json.collect(),
        }
    }

    /// The corpus.
    pub(super) fn store(&self) -> &TokenStore {
        self.store
    }

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

    /// A neuron's record.
    pub fn record(
        &self,
        neuron: &AtlasNeuron,
        population: &Population,
    ) -> Result<Record, SiteError> {
        let moments = &neuron.stats.moments;
        let main_list = if moments.count > 0 && -moments.min > moments.max {
            "bottom"
        } else {
            "top"
        };
        let Examples {
            json: examples,
            lists,
            html: main_html,
        } = self.examples(neuron, main_list)?;
        let examples = RawValue::from_string(examples).unwrap_or_default();
        let stats = &neuron.stats;
        let histogram = histogram_record(stats);
        let weights = neuron.weights.as_ref();
        let json = RecordJson {
            schema: SCHEMA,
            model: &self.scan.model.name,
            layer: neuron.id.layer,
            neuron: neuron.id.neuron,
            hook: self.scan.policy.hook_in(neuron.id.layer),
            stats: self.stats(neuron, &histogram),
            signs: sign_records(stats),
            examples: &examples,
            logits: weights.map(|w| ReadsRecord::new(&w.top, &w.bottom, self.vocabulary)),
            weights: weights
                .map(|w| WeightsRecord::new(w, self.regions(neuron.id.layer), self.vocabulary)),
            interest: interest(neuron, population),
        };
        let json = serde_json::to_string(&json).unwrap_or_default();
        Ok(Record {
            json: safe_in_html(json),
            histogram,
            lists,
            main_list,
            main_html,
        })
    }

    fn stats<'h>(&self, neuron: &AtlasNeuron, histogram: &'h HistogramRecord) -> StatsRecord<'h> {
        let (stats, summary) = (&neuron.stats, &neuron.summary);
        let moments = &stats.moments;
        let value = |value: Option<f64>| value.and_then(round);
        let quantile = |name: &'static str| {
            let q = name.parse().unwrap_or(0.5);
            (
                name,
                value(stats.histogram.quantile(q, moments.min, moments.max)),
            )
        };
        StatsRecord {
            count: moments.count,
            not_finite: stats.not_finite,
            mean: value(moments.mean()),
            variance: value(moments.variance()),
            skewness: value(moments.skewness()),
            kurtosis: value(moments.kurtosis()),
            min: (moments.count > 0).then_some(moments.min),
            max: (moments.count > 0).then_some(moments.max),
            frequency: value(summary.ranked(Measure::Frequency).value),
            frequency_abs: FrequencyRecord {
                tau: self.scan.policy.stats.tau,
                value: value(summary.frequency_abs),
            },
            dead: summary.dead,
            rare: summary.rare,
            special: SummaryRecord::of(&stats.special),
            hook_post: stats.post.as_ref().map(SummaryRecord::of),
            quantiles: QUANTILES.into_iter().map(quantile).collect(),
            histogram,
        }
    }

    /// What chance explains of a layer's cosines.
    fn regions(&self, layer: u32) -> Option<&Regions> {
        self.info?.layers.get(layer as usize)
    }

    fn examples(&self, neuron: &AtlasNeuron, main_list: &str) -> Result<Examples, SiteError> {
        let mut json = String::with_capacity(160 * 1024);
        let mut html = String::new();
        let mut lists: Vec<(String, usize)> = Vec::new();
        json.push('{');
        for row in &neuron.examples {
            match lists.last_mut() {
                Some((list, n)) if *list == row.list => {
                    *n += 1;
                    json.push(',');
                }
                _ => {
                    json.push_str(if lists.is_empty() { "\"" } else { "],\"" });
                    json.push_str(&row.list);
                    json.push_str("\":[");
                    lists.push((row.list.clone(), 1));
                }
            }
            let window = &row.example.window;
            let tokens = self.tokens(
                row.example.doc,
                window.start..window.start + window.steps.len() as u32,
            )?;
            let peak = (row.example.pos.0 - window.start) as usize;
            self.example_json(&mut json, &row.example, &tokens, peak);
            if row.list == main_list {
                self.example_html(&mut html, &row.example, &tokens, peak);
            }
        }
        json.push_str(if lists.is_empty() { "}" } else { "]}" });
        Ok(Examples { json, lists, html })
    }

    fn example_json(&self, out: &mut String, example: &Example, tokens: &[TokenId], peak: usize) {
        let window = &example.window;
        out.push_str("{\"doc\":");
        push_integer(out, u64::from(example.doc.0));
        out.push_str(",\"source\":");
        out.push_str(&json_string(self.store.info(example.doc).source));
        out.push_str(",\"start\":");
        push_integer(out, u64::from(window.start));
        out.push_str(",\"peak\":");
        push_integer(out, peak as u64);
        out.push_str(",\"value\":");
        out.push_str(&example.value.to_string());
        if let Some(post) = example.post {
            out.push_str(",\"hook_post\":");
            out.push_str(&post.to_string());
        }
        out.push_str(",\"duplicates\":");
        push_integer(out, example.duplicates.len() as u64);
        self.tokens_json(out, tokens);
        out.push_str(",\"values\":[");
        push_values(out, window, peak, example.value);
        out.push(']');
        let starts = (1..tokens.len()).filter(|at| self.begins_window(window.start + *at as u32));
        let starts: Vec<String> = starts.map(|at| at.to_string()).collect();
        if !starts.is_empty() {
            out.push_str(&format!(",\"context_starts\":[{}]", starts.join(",")));
        }
        out.push('}');
    }

    /// A document as JSON, its tokens as in examples.
    pub(super) fn document_json(&self, out: &mut String, doc: DocId) -> Result<(), SiteError> {
        let info = self.store.info(doc);
        let [id, source, license] = [info.id, info.source, info.license].map(json_string);
        out.push_str(&format!(
            "{{\"doc\":{},\"id\":{id},\"source\":{source},\"license\":{license}",
            doc.0
        ));
        self.tokens_json(out, &self.tokens(doc, 0..self.n_positions(doc))?);
        out.push('}');
        Ok(())
    }

    /// The fields `tokens`, `ids` and, where a token is a piece of a character, `bytes`.
    fn tokens_json(&self, out: &mut String, tokens: &[TokenId]) {
        out.push_str(",\"tokens\":[");
        for (at, token) in tokens.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            match self.token_json.get(token.0 as usize) {
                Some(json) => out.push_str(json),
                None => out.push_str(&json_string(&self.vocabulary.text(*token))),
            }
        }
        out.push_str("],\"ids\":[");
        for (at, token) in tokens.iter().enumerate() {
            if at > 0 {
                out.push(',');
            }
            push_integer(out, u64::from(token.0));
        }
        out.push(']');
        let partial = tokens
            .iter()
            .enumerate()
            .filter(|(_, token)| self.vocabulary.is_partial(**token));
        let partial: Vec<_> = partial
            .filter_map(|(at, token)| Some((at, self.vocabulary.bytes(*token)?)))
            .collect();
        if !partial.is_empty() {
            let hex = |bytes: &[u8]| {
                bytes
                    .iter()
                    .map(|byte| format!("{byte:02x}"))
                    .collect::<String>()
            };
            let pairs: Vec<String> = partial
                .iter()
                .map(|(at, bytes)| format!("\"{at}\":\"{}\"", hex(bytes)))
                .collect();
            out.push_str(&format!(",\"bytes\":{{{}}}", pairs.join(",")));
        }
    }

    /// Whether the model saw nothing of the document before this position.
    fn begins_window(&self, pos: u32) -> bool {
        pos == 0 || self.windowing.window_of(Pos(pos - 1)) != self.windowing.window_of(Pos(pos))
    }

    fn example_html(&self, out: &mut String, example: &Example, tokens: &[TokenId], peak: usize) {
        let text = |tokens: &[TokenId]| {
            let mut bytes = Vec::new();
            for token in tokens {
                bytes.extend_from_slice(self.vocabulary.bytes(*token).unwrap_or_default());
            }
            let mut html = String::new();
            visible(&String::from_utf8_lossy(&bytes), &mut html);
            html
        };
        // a character that is cut by the peak goes with it whole
        let partial = |at: usize| {
            tokens
                .get(at)
                .is_some_and(|token| self.vocabulary.is_partial(*token))
        };
        let (mut from, mut until) = (peak, peak + 1);
        while from > 0 && partial(from) && partial(from - 1) {
            from -= 1;
        }
        while until < tokens.len() && partial(until - 1) && partial(until) {
            until += 1;
        }
        out.push_str("<li><span class=\"value\">");
        out.push_str(&super::format::number(Some(f64::from(example.value))));
        out.push_str("</span> <span class=\"source\">");
        out.push_str(&escape(self.store.info(example.doc).source));
        out.push_str("</span> <bdi class=\"text\">");
        out.push_str(&text(&tokens[..from]));
        out.push_str("<mark>");
        out.push_str(&text(&tokens[from..until]));
        out.push_str("</mark>");
        out.push_str(&text(&tokens[until..]));
        out.push_str("</bdi></li>\n");
    }
}

fn histogram_record(stats: &NeuronStats) -> HistogramRecord {
    let bins: Vec<_> = stats.histogram.bins().collect();
    let (Some(&(first, _)), Some(&(last, _))) = (bins.first(), bins.last()) else {
        return HistogramRecord::default();
    };
    let counts = &stats.histogram.counts()[usize::from(first)..=usize::from(last)];
    let edge = |bin: usize| histogram::edges(bin).0;
    let mut edges: Vec<f64> = (usize::from(first)..=usize::from(last) + 1)
        .map(|bin| {
            if bin < histogram::BINS {
                edge(bin)
            } else {
                f64::INFINITY
            }
        })
        .collect();
    // the outermost bins are open; what was found closes them
    let (low, high) = (f64::from(stats.moments.min), f64::from(stats.moments.max));
    let n = edges.len();
    if !edges[0].is_finite() {
        edges[0] = low;
    }
    if !edges[n - 1].is_finite() {
        edges[n - 1] = high.max(edges[n - 2]);
    }
    HistogramRecord {
        edges: edges
            .into_iter()
            .map(|edge| round(edge).unwrap_or(0.0))
            .collect(),
        counts: counts.to_vec(),
    }
}

/// The sign cases of a gated neuron.
pub(super) fn sign_records(stats: &NeuronStats) -> Option<BTreeMap<&'static str, SignRecord>> {
    let cases = stats.cases.as_ref()?;
    let record = |case: SignCase| {
        let found = &cases[case as usize];
        let n = found.count as f64;
        let some = found.count > 0;
        let quantity = |at: usize| ExtremeRecord {
            mean: some.then(|| round(found.sums[at] / n)).flatten(),
            extreme: some.then(|| round(f64::from(found.extremes[at]))).flatten(),
        };
        let quantities = QUANTITIES
            .iter()
            .enumerate()
            .map(|(at, name)| (*name, quantity(at)))
            .collect();
        let frequency = (stats.moments.count > 0)
            .then(|| round(n / stats.moments.count as f64))
            .flatten();
        (
            case.name(),
            SignRecord {
                frequency,
                quantities,
            },
        )
    };
    Some(SignCase::ALL.into_iter().map(record).collect())
}

fn interest(
    neuron: &AtlasNeuron,
    population: &Population,
) -> BTreeMap<&'static str, InterestRecord> {
    let percentile = |rank: Option<u32>, n: u32| {
        rank.map(|rank| 100.0 * f64::from(n.saturating_sub(rank)) / f64::from(n.max(1)))
    };
    let record = |measure: Measure| {
        let ranked = neuron.summary.ranked(measure);
        let record = InterestRecord {
            value: ranked.value.and_then(round),
            rank_in_layer: ranked.rank_in_layer,
            rank_in_model: ranked.rank_in_model,
            percentile_in_layer: percentile(
                ranked.rank_in_layer,
                population.layer[measure as usize],
            )
            .and_then(round),
            percentile_in_model: percentile(
                ranked.rank_in_model,
                population.model[measure as usize],
            )
            .and_then(round),
        };
        (measure.name(), record)
    };
    Measure::ALL.into_iter().map(record).collect()
}

/// A JSON string that can stand in HTML.
fn json_string(text: &str) -> String {
    safe_in_html(serde_json::to_string(text).unwrap_or_default())
}

/// Writes what HTML or JavaScript could take for markup as escapes; in JSON these occur in strings only.
pub(super) fn safe_in_html(json: String) -> String {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return json;
    }
    let mut out = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

fn push_integer(out: &mut String, mut value: u64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

/// A window's values with as many decimals as a step of its scale is worth; the peak is exact.
fn push_values(out: &mut String, window: &Window, peak: usize, exact: f32) {
    let scale = f64::from(window.scale);
    let decimals = if scale > 0.0 {
        (1.0 - scale.log10()).ceil().clamp(0.0, 12.0) as usize
    } else {
        0
    };
    let shift = 10f64.powi(decimals as i32);
    for (at, &step) in window.steps.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        match step {
            _ if at == peak => out.push_str(&exact.to_string()),
            Window::NOT_FINITE => out.push_str("null"),
            step => push_fixed(
                out,
                (f64::from(step) * scale * shift).round() as i64,
                decimals,
            ),
        }
    }
}

/// An integer divided by a power of ten, without zeros at the end.
fn push_fixed(out: &mut String, mut value: i64, mut decimals: usize) {
    while decimals > 0 && value % 10 == 0 {
        (value, decimals) = (value / 10, decimals - 1);
    }
    if value < 0 {
        out.push('-');
    }
    let magnitude = value.unsigned_abs();
    let unit = 10u64.pow(decimals as u32);
    push_integer(out, magnitude / unit);
    if decimals > 0 {
        out.push('.');
        let fraction = magnitude % unit;
        let n_digits = fraction
            .checked_ilog10()
            .map_or(1, |digits| digits as usize + 1);
        out.extend(std::iter::repeat_n('0', decimals - n_digits));
        push_integer(out, fraction);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn decimals_are_written_as_json_has_them() {
        let text = |value, decimals| {
            let mut out = String::new();
            push_fixed(&mut out, value, decimals);
            out
        };
        assert_eq!(
            [
                text(-105, 2),
                text(7, 3),
                text(0, 4),
                text(1200, 2),
                text(-3, 0)
            ],
            ["-1.05", "0.007", "0", "12", "-3"]
        );
    }

    #[test]
    fn strings_cannot_end_a_script() {
        assert_eq!(
            json_string("</script>&\u{2028}\""),
            r#""\u003c/script\u003e\u0026\u2028\"""#
        );
    }

    proptest! {
        #[test]
        fn values_survive_to_within_a_step(values in prop::collection::vec(-1e5f32..1e5, 1..61), small in 0u32..8) {
            let values: Vec<f32> = values.iter().map(|v| v / 10f32.powi(small as i32 * 2)).collect();
            let window = Window::new(0, &values);
            let mut json = String::from("[");
            push_values(&mut json, &window, 0, values[0]);
            json.push(']');
            let parsed: Vec<f64> = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(parsed[0] as f32, values[0]);
            for (found, exact) in parsed.iter().zip(&values) {
                prop_assert!((found - f64::from(*exact)).abs() <= f64::from(window.scale) * 0.56 + 1e-12);
            }
        }

        #[test]
        fn any_string_survives(text in any::<String>()) {
            let json = json_string(&text);
            prop_assert!(!json.contains('<'));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}
