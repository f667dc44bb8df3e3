//! What templates are given: plain data, with numbers already in words. Documented in docs/theme.md.

use serde::Serialize;

use crate::atlas::{Atlas, Measure, ModelInfo, Moments, Summary};

use super::columns::{Column, columns};
use super::content::{Explanation, Page};
use super::figures::{CountRow, FigureView};
use super::format::{count, human, number, percent};
use super::record::Population;
use super::terms::Terms;
use super::weights::Tag;

/// What every page has, beside the site, its assets and the page's model.
#[derive(Clone, Serialize)]
pub(super) struct Common {
    /// Relative path to the site's root: empty, or `../` some times.
    pub(super) root: String,
    /// Title of the page.
    pub(super) title: String,
    /// One sentence about the page.
    pub(super) description: String,
    /// Full address of the page, if the site's is known.
    pub(super) canonical: Option<String>,
}

/// The site.
#[derive(Serialize)]
pub(super) struct SiteView {
    pub(super) title: String,
    pub(super) language: String,
    pub(super) version: &'static str,
    pub(super) menu: Vec<Link>,
    /// Address of the logo.
    pub(super) logo: Option<&'static str>,
    /// The project's own words at the foot of every page, in HTML.
    pub(super) footer: Option<String>,
    pub(super) models: Vec<ModelView>,
}

/// A link of the menu.
#[derive(Clone, Serialize)]
pub(super) struct Link {
    /// Relative to the root, unless it is a full address.
    pub(super) href: String,
    pub(super) label: String,
    /// Whether it leads to another site.
    pub(super) external: bool,
}

/// A model, in words.
#[derive(Clone, Serialize)]
pub(super) struct ModelView {
    pub(super) name: String,
    pub(super) mlp: String,
    pub(super) family: String,
    pub(super) gated: bool,
    /// Whether its weights were analysed.
    pub(super) analysed: bool,
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
    /// Measures of interest, by which neurons are ranked.
    pub(super) measures: Vec<MeasureView>,
    /// The statistics that have no rank.
    pub(super) statistics: Vec<MeasureView>,
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
    pub(super) definition: String,
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
    pub(super) fn new(atlas: &Atlas, bos: Option<String>) -> Self {
        let manifest = atlas.manifest();
        let (scan, neuroscope) = (&manifest.scan, &manifest.neuroscope);
        let (model, policy) = (&scan.model, &scan.policy);
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        Self {
            name: model.name.clone(),
            mlp: model.mlp.clone(),
            family: model.family.clone(),
            gated: model.gated,
            analysed: atlas.weights_info().is_some(),
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
            neuroscope: neuroscope.clone(),
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
            statistics: statistics(model.gated, atlas.weights_info().is_some()),
        }
    }
}

/// The numbers that have no rank, with their definitions, as far as neurons of the model have them.
fn statistics(gated: bool, analysed: bool) -> Vec<MeasureView> {
    let unranked = columns().into_iter().filter(|column| !column.is_ranked());
    let known = unranked.filter(|column| {
        column.is_scanned() || analysed && (gated || !column.name.contains("gate"))
    });
    let view = |column: Column| MeasureView {
        name: column.name,
        label: column.label,
        definition: column.definition.to_owned(),
    };
    known.map(view).collect()
}

impl MeasureView {
    fn of(measure: Measure) -> Self {
        Self {
            name: measure.name(),
            label: measure.label(),
            definition: measure.definition().to_owned(),
        }
    }
}

/// The front page.
#[derive(Serialize)]
pub(super) struct HomeView<'a> {
    #[serde(flatten)]
    pub(super) common: Common,
    /// `content/index.md`
    pub(super) introduction: Option<&'a Page>,
}

/// A page of Markdown.
#[derive(Serialize)]
pub(super) struct PageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) page: &'a Page,
}

/// A model's page.
#[derive(Serialize)]
pub(super) struct ModelPageView {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) layers: Vec<LayerRow>,
    pub(super) top: Vec<TopRow>,
    pub(super) notes: Vec<NoteRow>,
    /// How activations spread in each layer.
    pub(super) spread: Vec<FigureView>,
    /// What the weights of all layers say.
    pub(super) figures: Vec<FigureView>,
    /// What classes and roles are, if the weights were analysed.
    pub(super) terms: Option<Terms>,
}

/// The page on which tokens are searched.
#[derive(Serialize)]
pub(super) struct TokensPageView {
    #[serde(flatten)]
    pub(super) common: Common,
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
pub(super) struct LayerPageView {
    #[serde(flatten)]
    pub(super) common: Common,
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

/// A neuron's page.
#[derive(Serialize)]
pub(super) struct NeuronPageView<'a> {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) layer: u32,
    pub(super) neuron: u32,
    pub(super) hook: String,
    pub(super) previous: Option<String>,
    pub(super) next: Option<String>,
    pub(super) cards: Vec<Card>,
    /// Class and role; empty if the weights were not analysed.
    pub(super) tags: Vec<Tag>,
    /// Whether the weights were analysed.
    pub(super) analysed: bool,
    pub(super) dead: bool,
    pub(super) rare: bool,
    pub(super) not_finite: String,
    /// `hook_post` in words, where it stands beside the ranking hook.
    pub(super) hook_post: Option<String>,
    /// The list of the stronger side: `top` or `bottom`.
    pub(super) main_list: &'static str,
    pub(super) main_title: &'static str,
    /// Its first examples as plain HTML.
    pub(super) main_html: &'a str,
    pub(super) note: Option<&'a Page>,
    pub(super) explanations: &'a [Explanation],
    /// What stands for the record, which can be in a `<script>` element.
    pub(super) record: &'static str,
}

/// A neuron's card.
#[derive(Serialize)]
pub(super) struct CardView<'a> {
    #[serde(flatten)]
    pub(super) common: Common,
    pub(super) layer: u32,
    pub(super) neuron: u32,
    /// A few statistics.
    pub(super) cards: &'a [&'a Card],
    pub(super) tags: &'a [Tag],
    /// Tokens that it promotes most.
    pub(super) promoted: &'a [String],
    /// Its first examples as heat maps, items of an `<ol>`.
    pub(super) examples: &'a str,
}

/// One statistic.
#[derive(Serialize)]
pub(super) struct Card {
    /// Id of its definition on the model's page.
    pub(super) id: &'static str,
    pub(super) label: &'static str,
    pub(super) value: String,
    /// Place in the layer's ranking, such as `#3 of 640`.
    pub(super) in_layer: Option<String>,
    /// Place in the model's ranking.
    pub(super) in_model: Option<String>,
}

/// The cards of a neuron.
pub(super) fn cards(summary: &Summary, population: &Population) -> Vec<Card> {
    let plain = |id, label, value| Card {
        id,
        label,
        value,
        in_layer: None,
        in_model: None,
    };
    let ranked = |measure: Measure| {
        let ranked = summary.ranked(measure);
        let [n_layer, n_model] = [population.layer, population.model].map(|n| n[measure as usize]);
        let place = |rank: Option<u32>, n: u32| {
            rank.map(|rank| format!("#{} of {}", count(rank.into()), count(n.into())))
        };
        Card {
            id: measure.name(),
            label: measure.label(),
            value: measure_value(measure, ranked.value),
            in_layer: place(ranked.rank_in_layer, n_layer),
            in_model: place(ranked.rank_in_model, n_model),
        }
    };
    let mut cards = vec![
        plain("max", "Max", number(summary.max)),
        plain("min", "Min", number(summary.min)),
        plain("mean", "Mean", number(summary.mean)),
        plain("frequency_abs", "Active", percent(summary.frequency_abs)),
    ];
    cards.extend(Measure::ALL.map(ranked));
    cards
}

/// A measure's value in words.
fn measure_value(measure: Measure, value: Option<f64>) -> String {
    match measure {
        Measure::Frequency => percent(value),
        _ => number(value),
    }
}

/// A neuron's row in its layer's table, in the order of [`Measure::ALL`].
pub(super) fn rank_row(summary: &Summary) -> RankRow {
    let value = |measure: Measure| measure_value(measure, summary.ranked(measure).value);
    RankRow {
        neuron: summary.neuron,
        values: Measure::ALL.map(value).to_vec(),
        min: number(summary.min),
        max: number(summary.max),
    }
}
