//! What templates are given: plain data, with numbers already in words. Documented in docs/theme.md.

use serde::Serialize;

use crate::atlas::{AtlasNeuron, Measure, ModelInfo, Moments, ScanIdentity, Summary};

use super::content::Page;
use super::figures::{CountRow, FigureView};
use super::format::{count, human, number, percent};
use super::record::{Population, sign_records};
use super::terms::Terms;
use super::weights::WeightsView;

/// What every page has.
#[derive(Clone, Serialize)]
pub(super) struct Common<'a> {
    pub(super) site: &'a SiteView,
    /// Relative path to the site's root: empty, or `../` some times.
    pub(super) root: String,
    /// Title of the page.
    pub(super) title: String,
    /// One sentence about the page.
    pub(super) description: String,
    /// Full address of the page, if the site's is known.
    pub(super) canonical: Option<String>,
    /// The model that the page is about.
    pub(super) model: Option<&'a ModelView>,
}

/// The site.
#[derive(Serialize)]
pub(super) struct SiteView {
    pub(super) title: String,
    pub(super) language: String,
    pub(super) version: &'static str,
    pub(super) menu: Vec<Link>,
    pub(super) models: Vec<ModelView>,
}

/// A link relative to the root.
#[derive(Clone, Serialize)]
pub(super) struct Link {
    pub(super) href: String,
    pub(super) label: String,
}

/// A model, in words.
#[derive(Clone, Serialize)]
pub(super) struct ModelView {
    pub(super) name: String,
    pub(super) mlp: String,
    pub(super) family: String,
    pub(super) gated: bool,
    pub(super) hook: String,
    pub(super) corpus: String,
    pub(super) n_layers: u32,
    pub(super) d_mlp: u32,
    pub(super) d_model: u32,
    pub(super) n_neurons: String,
    pub(super) n_parameters: String,
    pub(super) n_counted: String,
    pub(super) n_documents: String,
    pub(super) n_ctx: u32,
    pub(super) bos: Option<String>,
    pub(super) count_special: bool,
    pub(super) tau: String,
    pub(super) window_before: u32,
    pub(super) window_after: u32,
    pub(super) context_tokens: usize,
    pub(super) dtype: String,
    /// Where the weights come from: a commit of the Hub, types of a quantised file.
    pub(super) weights: Vec<String>,
    pub(super) refactor_glu: bool,
    pub(super) seed: u64,
    pub(super) weights_sha256: String,
    pub(super) corpus_sha256: String,
    pub(super) neuroscope: String,
    pub(super) sources: Vec<SourceView>,
    pub(super) measures: Vec<MeasureView>,
}

#[derive(Clone, Serialize)]
pub(super) struct SourceView {
    pub(super) source: String,
    pub(super) license: String,
    pub(super) n_documents: String,
    pub(super) n_tokens: String,
}

#[derive(Clone, Serialize)]
pub(super) struct MeasureView {
    pub(super) name: &'static str,
    pub(super) label: &'static str,
    pub(super) definition: &'static str,
}

/// `hook_post` of a SoLU neuron, in words.
pub(super) fn hook_post_words(post: &Moments) -> Option<String> {
    let of = |value: f32| number(Some(f64::from(value)));
    (post.count > 0).then(|| {
        let mean = number(post.mean());
        format!(
            "hook_post: max {}, min {}, mean {mean}",
            of(post.max),
            of(post.min)
        )
    })
}

/// What is to be said of the weights' origin.
fn weights_notes(model: &ModelInfo) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(revision) = &model.revision {
        let commit: String = revision.chars().take(12).collect();
        notes.push(format!("from {} at commit {commit}", model.source));
    }
    // GGUF's own types; what plain files hold is a float or a whole number
    let quantised = |kind: &&String| kind.starts_with('Q');
    if model.stored_as.iter().any(|kind| quantised(&kind)) {
        notes.push(format!(
            "stored as {}, dequantised",
            model.stored_as.join(", ")
        ));
    }
    notes
}

impl ModelView {
    pub(super) fn new(scan: &ScanIdentity, neuroscope: &str, bos: Option<String>) -> Self {
        let (model, policy) = (&scan.model, &scan.policy);
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        Self {
            name: model.name.clone(),
            mlp: model.mlp.clone(),
            family: model.family.clone(),
            gated: model.gated,
            hook: policy.hook.clone(),
            corpus: scan.corpus.name.clone(),
            n_layers: model.n_layers,
            d_mlp: model.d_mlp,
            d_model: model.d_model,
            n_neurons: count(u64::from(model.n_layers) * u64::from(model.d_mlp)),
            n_parameters: human(model.n_parameters),
            n_counted: count(policy.n_counted),
            n_documents: count(scan.corpus.n_documents),
            n_ctx: policy.n_ctx,
            bos,
            count_special: policy.count_special,
            tau: number(Some(f64::from(policy.stats.tau))),
            window_before: policy.stats.window_before,
            window_after: policy.stats.window_after,
            context_tokens: policy.stats.context_tokens,
            dtype: policy.dtype.clone(),
            weights: weights_notes(model),
            refactor_glu: policy.refactor_glu,
            seed: policy.stats.seed,
            weights_sha256: model
                .weights_sha256
                .values()
                .map(|hash| short(hash))
                .collect::<Vec<_>>()
                .join(" "),
            corpus_sha256: short(&scan.corpus.sha256),
            neuroscope: neuroscope.to_owned(),
            sources: scan
                .corpus
                .sources
                .iter()
                .map(|source| SourceView {
                    source: source.source.clone(),
                    license: source.license.clone(),
                    n_documents: count(source.n_documents),
                    n_tokens: count(source.n_tokens),
                })
                .collect(),
            measures: Measure::ALL.map(MeasureView::of).to_vec(),
        }
    }
}

impl MeasureView {
    fn of(measure: Measure) -> Self {
        Self {
            name: measure.name(),
            label: measure.label(),
            definition: measure.definition(),
        }
    }
}

/// The front page.
#[derive(Serialize)]
pub(super) struct HomeView<'a> {
    #[serde(flatten)]
    pub(super) common: Common<'a>,
    /// `content/index.md`
    pub(super) introduction: Option<&'a Page>,
}

/// A page of Markdown.
#[derive(Serialize)]
pub(super) struct PageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common<'a>,
    pub(super) page: &'a Page,
}

/// A model's page.
#[derive(Serialize)]
pub(super) struct ModelPageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common<'a>,
    pub(super) layers: Vec<LayerRow>,
    pub(super) top: Vec<TopRow>,
    pub(super) notes: Vec<NoteRow>,
    /// What the weights of all layers say.
    pub(super) figures: Vec<FigureView>,
    /// What classes and roles are, if the weights were analysed.
    pub(super) terms: Option<Terms>,
}

/// The page on which tokens are searched.
#[derive(Serialize)]
pub(super) struct TokensPageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common<'a>,
    pub(super) n_tokens: String,
}

/// A layer on its model's page.
#[derive(Serialize)]
pub(super) struct LayerRow {
    pub(super) layer: u32,
    pub(super) median_kurtosis: String,
    pub(super) median_frequency: String,
    pub(super) dead: usize,
    pub(super) rare: usize,
    pub(super) best: Option<u32>,
    pub(super) plot: String,
}

/// A neuron in a ranking.
#[derive(Serialize)]
pub(super) struct TopRow {
    pub(super) layer: u32,
    pub(super) neuron: u32,
    pub(super) value: String,
}

/// A note on its model's page.
#[derive(Serialize)]
pub(super) struct NoteRow {
    pub(super) layer: u32,
    pub(super) neuron: u32,
    pub(super) title: String,
    pub(super) author: Option<String>,
}

/// A layer's page.
#[derive(Serialize)]
pub(super) struct LayerPageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common<'a>,
    pub(super) layer: u32,
    pub(super) previous: Option<u32>,
    pub(super) next: Option<u32>,
    pub(super) rows: Vec<RankRow>,
    pub(super) n_rows: usize,
    pub(super) plot: String,
    pub(super) cells: String,
    pub(super) dead: usize,
    pub(super) rare: usize,
    /// Input-output classes and roles of its neurons; empty if the weights were not analysed.
    pub(super) classes: Vec<CountRow>,
    pub(super) roles: Vec<CountRow>,
}

/// A neuron in its layer's table.
#[derive(Serialize)]
pub(super) struct RankRow {
    pub(super) neuron: u32,
    pub(super) values: Vec<String>,
    pub(super) min: String,
    pub(super) max: String,
}

/// A neuron's page, without the record.
#[derive(Serialize)]
pub(super) struct NeuronPageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common<'a>,
    pub(super) layer: u32,
    pub(super) neuron: u32,
    pub(super) hook: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) cards: Vec<Card>,
    pub(super) signs: Vec<SignRow>,
    /// If the weights were analysed.
    pub(super) weights: Option<WeightsView>,
    pub(super) dead: bool,
    pub(super) rare: bool,
    pub(super) not_finite: String,
    /// `hook_post` in words, where it stands beside the ranking hook.
    pub(super) hook_post: Option<String>,
    pub(super) histogram: String,
    pub(super) lists: Vec<ListView>,
    /// Name of the list of the stronger side.
    pub(super) main_list: &'static str,
    /// Its examples as plain HTML.
    pub(super) main_html: &'a str,
    pub(super) note: Option<&'a Page>,
    /// The record, ready to stand in a `<script>` element.
    pub(super) record: &'a str,
}

/// One statistic with its definition.
#[derive(Serialize)]
pub(super) struct Card {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// Place in the layer's ranking, such as `#3 of 640`.
    pub(super) in_layer: Option<String>,
    /// Place in the model's ranking.
    pub(super) in_model: Option<String>,
    pub(super) definition: String,
}

/// A sign case.
#[derive(Serialize)]
pub(super) struct SignRow {
    pub(super) name: &'static str,
    pub(super) frequency: String,
    /// Mean and extreme of gate, act, in, post.
    pub(super) quantities: Vec<[String; 2]>,
}

/// A list of examples.
#[derive(Serialize)]
pub(super) struct ListView {
    /// Name in the record.
    pub(super) name: String,
    /// Id of its section.
    pub(super) id: String,
    pub(super) title: String,
    pub(super) explanation: String,
    pub(super) n: usize,
    /// Whether it is of a sign case.
    pub(super) is_case: bool,
}

impl ListView {
    pub(super) fn new(name: &str, n: usize, model: &ModelView) -> Self {
        let (title, explanation) = match name {
            "top" => (
                "Largest activations".into(),
                "The largest values, one per document.".into(),
            ),
            "bottom" => (
                "Smallest activations".into(),
                "The smallest values, one per document.".into(),
            ),
            "random" => (
                "Random positions".into(),
                "Drawn from all counted positions, for how the neuron mostly behaves.".into(),
            ),
            "pre_top" | "pre_bottom" | "pre_linear_top" | "pre_linear_bottom" => {
                let (hook, end) = name.rsplit_once('_').unwrap_or((name, ""));
                let size = if end == "top" { "Largest" } else { "Smallest" };
                (
                    format!("{size} hook_{hook}"),
                    "Values are those of this hook.".into(),
                )
            }
            name => {
                match (name.strip_prefix("band_"), name.split_once("_in")) {
                    (Some(band), _) => {
                        let ends: Vec<f64> =
                            band.split('_').filter_map(|end| end.parse().ok()).collect();
                        let text = ends.iter().map(|end| {
                            number(Some(end * 100.0))
                                .trim_end_matches('0')
                                .trim_end_matches('.')
                                .to_owned()
                        });
                        let text = text
                            .map(|end| if end.is_empty() { "0".into() } else { end })
                            .collect::<Vec<_>>()
                            .join("–");
                        (format!("Population band {text} %"), "Drawn at random from the positions whose activation ranks in this band.".into())
                    }
                    (None, Some((gate, input))) => {
                        let sign = |text: &str| {
                            if text.ends_with('+') {
                                "positive"
                            } else {
                                "negative"
                            }
                        };
                        (
                            format!("Gate {}, in {}", sign(gate), sign(input)),
                            format!(
                                "The largest |{}| among positions with these signs, one per document.",
                                model.hook
                            ),
                        )
                    }
                    _ => (name.to_owned(), String::new()),
                }
            }
        };
        let id = name
            .replace('+', "p")
            .replace("gate-", "gaten")
            .replace("in-", "inn")
            .replace('.', "-");
        Self {
            name: name.to_owned(),
            id,
            title,
            explanation,
            n,
            is_case: name.starts_with("gate"),
        }
    }
}

/// The cards of a neuron.
pub(super) fn cards(
    neuron: &AtlasNeuron,
    scan: &ScanIdentity,
    population: &Population,
) -> Vec<Card> {
    let (stats, summary) = (&neuron.stats, &neuron.summary);
    let moments = &stats.moments;
    let n = count(moments.count);
    let tau = number(Some(f64::from(scan.policy.stats.tau)));
    let hook = &scan.policy.hook;
    let plain = |label, value, definition: String| Card {
        label,
        value,
        in_layer: None,
        in_model: None,
        definition,
    };
    let ranked = |measure: Measure| {
        let ranked = summary.ranked(measure);
        let [n_layer, n_model] = [population.layer, population.model].map(|n| n[measure as usize]);
        let place = |rank: Option<u32>, n: u32| {
            rank.map(|rank| format!("#{} of {}", count(rank.into()), count(n.into())))
        };
        let [in_layer, in_model] = [
            place(ranked.rank_in_layer, n_layer),
            place(ranked.rank_in_model, n_model),
        ];
        let value = match measure {
            Measure::Frequency => percent(ranked.value),
            _ => number(ranked.value),
        };
        Card {
            label: measure.label(),
            value,
            in_layer,
            in_model,
            definition: measure.definition().to_owned(),
        }
    };
    let mut cards = vec![
        plain(
            "Max",
            number(summary.max),
            format!("Largest {hook} over {n} counted tokens."),
        ),
        plain(
            "Min",
            number(summary.min),
            format!("Smallest {hook} over {n} counted tokens."),
        ),
        plain(
            "Mean",
            number(summary.mean),
            format!("Mean {hook} over {n} counted tokens."),
        ),
        plain(
            "Active",
            percent(summary.frequency_abs),
            format!("Share of counted tokens with |hook_post| > τ = {tau}."),
        ),
    ];
    cards.extend(Measure::ALL.map(ranked));
    cards
}

/// The sign-case table of a gated neuron.
pub(super) fn sign_rows(neuron: &AtlasNeuron) -> Vec<SignRow> {
    let records = sign_records(&neuron.stats).unwrap_or_default();
    let row = |(name, record): (&'static str, super::record::SignRecord)| SignRow {
        name,
        frequency: percent(record.frequency),
        quantities: crate::atlas::QUANTITIES
            .iter()
            .map(|quantity| {
                let found = record.quantities.get(quantity);
                [
                    number(found.and_then(|f| f.mean)),
                    number(found.and_then(|f| f.extreme)),
                ]
            })
            .collect(),
    };
    records.into_iter().map(row).collect()
}

/// A neuron's row in its layer's table, in the order of [`Measure::ALL`].
pub(super) fn rank_row(summary: &Summary) -> RankRow {
    let value = |measure: Measure| match measure {
        Measure::Frequency => percent(summary.ranked(measure).value),
        _ => number(summary.ranked(measure).value),
    };
    RankRow {
        neuron: summary.neuron,
        values: Measure::ALL.map(value).to_vec(),
        min: number(summary.min),
        max: number(summary.max),
    }
}
