//! The record of a neuron: what its page embeds, and what notebooks read. Its schema is `schema/neuron.json`.
//!
//! Every `<`, `>` and `&` is written as an escape, so that the record can stand inside a `<script>` element as it is.

use serde::Serialize;

use crate::atlas::facts::{FIRST, FREQUENCY, FREQUENCY_ABS, RANKED, SCANNED};
use crate::atlas::histogram::Histogram;
use crate::atlas::{AtlasNeuron, Fact, Moments, NeuronStats, Side, SignCase, Summary};

use super::examples::{push_columns, push_lists};
use super::fields::{Detail, Fields};
use super::weights::{TokenLists, WeightsRecord};
use crate::site::data::{NeuronData, Population};
use crate::site::pack::Counts;
use crate::site::source::Source;
use crate::site::text::format::round;
use crate::site::text::texts::{TokenTexts, safe_in_html};

const SCHEMA: &str = "neuroscope/neuron/v1";
const QUANTILES: [&str; 9] = [
    "0.001", "0.01", "0.1", "0.25", "0.5", "0.75", "0.9", "0.99", "0.999",
];

#[derive(Serialize)]
pub(crate) struct RecordHead<'a> {
    schema: &'static str,
    model: &'a str,
    layer: u32,
    neuron: u32,
    hook: String,
    side: Option<SideRecord>,
    at_starts: Option<bool>,
    at_starts_either: Option<bool>,
    lines: Option<Fields<Option<&'a str>>>,
    scale_max: f32,
    stats: StatsRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signs: Option<Fields<SignRecord>>,
    logits: Option<TokenLists<'a>>,
    weights: Option<WeightsRecord<'a>>,
    interest: Fields<InterestRecord>,
}

/// The side that dominates.
#[derive(Serialize)]
struct SideRecord {
    name: &'static str,
    /// The other side's size as a share of its own.
    balance: f32,
    /// Whether both are shown alike.
    both: bool,
}

impl SideRecord {
    fn of(summary: &Summary) -> Option<Self> {
        summary.orientation.map(|of| Self {
            name: of.side.name(),
            balance: of.balance,
            both: of.is_balanced(),
        })
    }
}

/// The line about each side, if there are any.
fn lines(summary: &Summary) -> Option<Fields<Option<&str>>> {
    let lines = Side::ALL.map(|side| (side.name(), summary.line_of(side)));
    let has_any = lines.iter().any(|(_, line)| line.is_some());
    has_any.then(|| Fields(lines.into()))
}

#[derive(Serialize)]
struct StatsRecord<'a> {
    count: u64,
    not_finite: Option<u64>,
    mean: Option<f64>,
    variance: Option<f64>,
    skewness: Option<f64>,
    kurtosis: Option<f64>,
    min: Option<f32>,
    max: Option<f32>,
    frequency: Option<f64>,
    frequency_abs: FrequencyRecord,
    dead: Option<bool>,
    rare: Option<bool>,
    /// Facts that the first version of the record did not have.
    #[serde(flatten)]
    later: Fields<Option<f64>>,
    special: Option<SummaryRecord>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hook_post: Option<SummaryRecord>,
    quantiles: Fields<Option<f64>>,
    histogram: Option<HistogramRecord<'a>>,
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

/// Counts of the bins from the first that has any to the last; docs/format.md says where each begins.
#[derive(Serialize)]
struct HistogramRecord<'a> {
    first_bin: usize,
    counts: Counts<'a, u64>,
}

impl<'a> HistogramRecord<'a> {
    fn of(histogram: &'a Histogram, are_exact: bool) -> Self {
        let counts = histogram.counts();
        let first_bin = counts.iter().position(|&n| n > 0).unwrap_or(0);
        let end = counts.iter().rposition(|&n| n > 0).map_or(0, |at| at + 1);
        Self {
            first_bin,
            counts: Counts {
                counts: counts.get(first_bin..end).unwrap_or_default(),
                are_exact,
            },
        }
    }
}

/// Statistics of one sign case.
#[derive(Serialize)]
struct SignRecord {
    frequency: Option<f64>,
    gate: ExtremeRecord,
    act: ExtremeRecord,
    #[serde(rename = "in")]
    input: ExtremeRecord,
    post: ExtremeRecord,
}

/// Mean and value of largest magnitude.
#[derive(Serialize)]
struct ExtremeRecord {
    mean: Option<f64>,
    extreme: Option<f64>,
}

#[derive(Serialize)]
struct InterestRecord {
    value: Option<f64>,
    rank_in_layer: Option<u32>,
    rank_in_model: Option<u32>,
    n_in_layer: u32,
    n_in_model: u32,
}

/// Writes the records of a model's neurons.
pub(crate) struct RecordWriter<'a> {
    source: &'a Source,
    texts: &'a TokenTexts<'a>,
}

impl<'a> RecordWriter<'a> {
    pub(crate) fn new(source: &'a Source, texts: &'a TokenTexts<'a>) -> Self {
        Self { source, texts }
    }

    /// A neuron's record without its examples.
    pub(crate) fn head<'d>(&'d self, data: &'d NeuronData<'_>, detail: Detail) -> RecordHead<'d> {
        let (neuron, examples) = (data.neuron, &data.examples);
        let scan = &self.source.atlas.manifest().scan;
        let vocabulary = self.texts.vocabulary();
        let weights = neuron.weights.as_ref();
        RecordHead {
            schema: SCHEMA,
            model: &scan.model.name,
            layer: neuron.id.layer,
            neuron: neuron.id.neuron,
            hook: scan.policy.hook_in(neuron.id.layer),
            side: SideRecord::of(&neuron.summary),
            at_starts: neuron.summary.at_starts.map(|of| of.dominant),
            at_starts_either: neuron.summary.at_starts.map(|of| of.either),
            lines: lines(&neuron.summary),
            scale_max: examples.scale_max,
            stats: stats_record(neuron, scan.policy.stats.tau, detail),
            signs: sign_records(&neuron.stats),
            logits: weights
                .map(|w| TokenLists::new(&w.top, &w.bottom, detail.n_tokens, vocabulary)),
            weights: weights.map(|w| {
                let regions = data.layer.regions;
                WeightsRecord::new(w, regions, vocabulary, detail)
            }),
            interest: interest(neuron, &data.layer.population),
        }
    }

    /// A neuron's record as JSON that can stand in HTML.
    pub(crate) fn record(&self, data: &NeuronData<'_>) -> Vec<u8> {
        let examples = &data.examples;
        let head = self.head(data, Detail::WHOLE);
        let head = safe_in_html(serde_json::to_string(&head).unwrap_or_default());
        let mut json = Vec::with_capacity(head.len() + examples.rows.len() * 512);
        // the examples are JSON already: they take the place of the brace at the end
        json.extend_from_slice(head.strip_suffix('}').unwrap_or(&head).as_bytes());
        json.extend_from_slice(b",\"lists\":");
        push_lists(&mut json, &examples.lists);
        json.extend_from_slice(b",\"examples\":");
        push_columns(&mut json, &examples.rows, self.source, self.texts);
        json.push(b'}');
        json
    }
}

fn stats_record(neuron: &AtlasNeuron, tau: f32, detail: Detail) -> StatsRecord<'_> {
    let (stats, summary) = (&neuron.stats, &neuron.summary);
    let moments = &stats.moments;
    let value = |value: Option<f64>| value.and_then(round);
    let quantile = |name: &'static str| {
        let q = name.parse().unwrap_or(0.5);
        (name, value(stats.quantile(q)))
    };
    let later = SCANNED.into_iter().filter(|fact| fact.since != FIRST);
    StatsRecord {
        count: moments.count,
        not_finite: stats.not_finite,
        mean: value(moments.mean()),
        variance: value(moments.variance()),
        skewness: value(moments.skewness()),
        kurtosis: value(moments.kurtosis()),
        min: (moments.count > 0).then_some(moments.min),
        max: (moments.count > 0).then_some(moments.max),
        frequency: value(summary.value(&FREQUENCY)),
        frequency_abs: FrequencyRecord {
            tau,
            value: value(summary.value(&FREQUENCY_ABS)),
        },
        dead: summary.dead,
        rare: summary.rare,
        later: Fields(
            later
                .map(|fact| (fact.key, value(summary.value(fact))))
                .collect(),
        ),
        special: stats.special.as_ref().map(SummaryRecord::of),
        hook_post: stats.post.as_ref().map(SummaryRecord::of),
        quantiles: Fields(QUANTILES.map(quantile).to_vec()),
        histogram: stats
            .histogram
            .as_ref()
            .map(|of| HistogramRecord::of(of, detail.exact_counts)),
    }
}

/// The sign cases of a gated neuron.
fn sign_records(stats: &NeuronStats) -> Option<Fields<SignRecord>> {
    let cases = stats.cases.as_ref()?;
    let record = |case: SignCase| {
        let found = &cases[case as usize];
        let n = found.count as f64;
        let some = found.count > 0;
        let quantity = |at: usize| ExtremeRecord {
            mean: some.then(|| round(found.sums[at] / n)).flatten(),
            extreme: some.then(|| round(f64::from(found.extremes[at]))).flatten(),
        };
        let [gate, act, input, post] = std::array::from_fn(quantity);
        let total = stats.moments.count;
        let record = SignRecord {
            frequency: (total > 0).then(|| round(n / total as f64)).flatten(),
            gate,
            act,
            input,
            post,
        };
        (case.name(), record)
    };
    Some(Fields(SignCase::ALL.map(record).into()))
}

fn interest(neuron: &AtlasNeuron, population: &Population) -> Fields<InterestRecord> {
    let record = |(at, fact): (usize, &&'static Fact)| {
        let ranks = neuron.summary.ranks(fact);
        let record = InterestRecord {
            value: neuron.summary.value(fact).and_then(round),
            rank_in_layer: ranks.in_layer,
            rank_in_model: ranks.in_model,
            n_in_layer: population.layer[at],
            n_in_model: population.model[at],
        };
        (fact.key, record)
    };
    Fields(RANKED.iter().enumerate().map(record).collect())
}
