//! What templates are given: plain data, with numbers already in words. Documented in docs/theme.md.

use serde::Serialize;

use crate::atlas::facts::{Fact, MAX, MIN, RANKED, RARE_ONE_IN, SCANNED, Unit, facts};
use crate::atlas::{Atlas, ModelInfo, Moments, Summary};

use super::classes::Tag;
use super::figures::{CountRow, FigureView};
use super::terms::Terms;
use crate::site::content::{Explanation, Page};
use crate::site::data::record::Population;
use crate::site::text::display::calm;
use crate::site::text::format::{count, human, number, percent};

/// What every page has, beside the site, its assets and the page's model.
#[derive(Clone, Serialize)]
pub(in crate::site) struct Common {
    /// Relative path to the site's root: empty, or `../` some times.
    pub(in crate::site) root: String,
    /// Title of the page.
    pub(in crate::site) title: String,
    /// One sentence about the page.
    pub(in crate::site) description: String,
    /// Full address of the page, if the site's is known.
    pub(in crate::site) canonical: Option<String>,
}

/// The site.
#[derive(Serialize)]
pub(in crate::site) struct SiteView {
    pub(in crate::site) title: String,
    pub(in crate::site) language: String,
    pub(in crate::site) version: &'static str,
    pub(in crate::site) menu: Vec<Link>,
    /// Address of the logo.
    pub(in crate::site) logo: Option<&'static str>,
    /// The project's own words at the foot of every page, in HTML.
    pub(in crate::site) footer: Option<String>,
    pub(in crate::site) models: Vec<ModelView>,
}

/// A link of the menu.
#[derive(Clone, Serialize)]
pub(in crate::site) struct Link {
    /// Relative to the root, unless it is a full address.
    pub(in crate::site) href: String,
    pub(in crate::site) label: String,
    /// Whether it leads to another site.
    pub(in crate::site) external: bool,
}

/// A model, in words.
#[derive(Clone, Serialize)]
pub(in crate::site) struct ModelView {
    pub(in crate::site) name: String,
    pub(in crate::site) mlp: String,
    pub(in crate::site) family: String,
    pub(in crate::site) gated: bool,
    /// Whether its weights were analysed.
    pub(in crate::site) analysed: bool,
    pub(in crate::site) hook: String,
    pub(in crate::site) corpus: String,
    pub(in crate::site) n_layers: u32,
    pub(in crate::site) d_mlp: u32,
    pub(in crate::site) d_model: u32,
    pub(in crate::site) n_neurons: String,
    pub(in crate::site) n_parameters: String,
    pub(in crate::site) n_counted: String,
    pub(in crate::site) n_documents: String,
    pub(in crate::site) n_ctx: u32,
    pub(in crate::site) bos: Option<String>,
    pub(in crate::site) count_special: bool,
    pub(in crate::site) tau: String,
    /// One token of so many: a neuron that is active at fewer is rare.
    pub(in crate::site) rare_one_in: String,
    pub(in crate::site) window_before: u32,
    pub(in crate::site) window_after: u32,
    pub(in crate::site) context_tokens: usize,
    pub(in crate::site) dtype: String,
    /// Where the weights come from: a commit of the Hub, types of a quantised file.
    pub(in crate::site) weights: Vec<String>,
    pub(in crate::site) refactor_glu: bool,
    pub(in crate::site) seed: u64,
    pub(in crate::site) weights_sha256: String,
    pub(in crate::site) corpus_sha256: String,
    pub(in crate::site) neuroscope: String,
    pub(in crate::site) sources: Vec<SourceView>,
    /// The facts by which neurons are ranked.
    pub(in crate::site) measures: Vec<FactView>,
    /// The facts without a rank.
    pub(in crate::site) statistics: Vec<FactView>,
}

#[derive(Clone, Serialize)]
pub(in crate::site) struct SourceView {
    pub(in crate::site) source: String,
    pub(in crate::site) license: String,
    pub(in crate::site) n_documents: String,
    pub(in crate::site) n_tokens: String,
}

/// A fact of the catalogue.
#[derive(Clone, Serialize)]
pub(in crate::site) struct FactView {
    pub(in crate::site) name: &'static str,
    pub(in crate::site) label: &'static str,
    pub(in crate::site) definition: &'static str,
}

/// `hook_post` of a SoLU neuron, in words.
pub(in crate::site) fn hook_post_words(post: &Moments) -> Option<String> {
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
        notes.push(format!(
            "from {} at commit {}",
            calm(&model.source),
            calm(&commit)
        ));
    }
    // GGUF's own types; what plain files hold is a float or a whole number
    let quantised = |kind: &&String| kind.starts_with('Q') || kind.starts_with("IQ");
    if model.stored_as.iter().any(|kind| quantised(&kind)) {
        notes.push(format!(
            "stored as {}, dequantised",
            model.stored_as.join(", ")
        ));
    }
    notes
}

impl ModelView {
    pub(in crate::site) fn new(atlas: &Atlas, bos: Option<String>) -> Self {
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
            corpus: calm(&scan.corpus.name).into_owned(),
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
            rare_one_in: count(RARE_ONE_IN),
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
                    source: calm(&source.source).into_owned(),
                    license: calm(&source.license).into_owned(),
                    n_documents: count(source.n_documents),
                    n_tokens: count(source.n_tokens),
                })
                .collect(),
            measures: RANKED.map(FactView::of).to_vec(),
            statistics: facts()
                .filter(|fact| !fact.is_ranked())
                .filter(|fact| fact.is_of(model.gated, atlas.weights_info().is_some()))
                .map(FactView::of)
                .collect(),
        }
    }
}

impl FactView {
    fn of(fact: &Fact) -> Self {
        Self {
            name: fact.key,
            label: fact.label,
            definition: fact.definition,
        }
    }
}

/// The front page.
#[derive(Serialize)]
pub(in crate::site) struct HomeView<'a> {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    /// `content/index.md`
    pub(in crate::site) introduction: Option<&'a Page>,
}

/// A page of Markdown.
#[derive(Serialize)]
pub(in crate::site) struct PageView<'a> {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    pub(in crate::site) page: &'a Page,
}

/// A model's page.
#[derive(Serialize)]
pub(in crate::site) struct ModelPageView {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    pub(in crate::site) layers: Vec<LayerRow>,
    pub(in crate::site) top: Vec<TopRow>,
    pub(in crate::site) notes: Vec<NoteRow>,
    /// How activations spread in each layer.
    pub(in crate::site) spread: Vec<FigureView>,
    /// What the weights of all layers say.
    pub(in crate::site) figures: Vec<FigureView>,
    /// What classes and roles are, if the weights were analysed.
    pub(in crate::site) terms: Option<Terms>,
    /// Keys of the facts that a scan gives but no neuron of this atlas has.
    pub(in crate::site) missing: Vec<&'static str>,
}

/// The page on which tokens are searched.
#[derive(Serialize)]
pub(in crate::site) struct TokensPageView {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    pub(in crate::site) n_tokens: String,
}

/// A layer on its model's page.
#[derive(Serialize)]
pub(in crate::site) struct LayerRow {
    pub(in crate::site) layer: u32,
    pub(in crate::site) median_kurtosis: String,
    pub(in crate::site) median_frequency: String,
    pub(in crate::site) dead: usize,
    pub(in crate::site) rare: usize,
    pub(in crate::site) best: Option<u32>,
    pub(in crate::site) plot: String,
}

/// A neuron in a ranking.
#[derive(Serialize)]
pub(in crate::site) struct TopRow {
    pub(in crate::site) layer: u32,
    pub(in crate::site) neuron: u32,
    pub(in crate::site) value: String,
}

/// A note on its model's page.
#[derive(Serialize)]
pub(in crate::site) struct NoteRow {
    pub(in crate::site) layer: u32,
    pub(in crate::site) neuron: u32,
    pub(in crate::site) title: String,
    pub(in crate::site) author: Option<String>,
}

/// A layer's page.
#[derive(Serialize)]
pub(in crate::site) struct LayerPageView {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    pub(in crate::site) layer: u32,
    pub(in crate::site) previous: Option<u32>,
    pub(in crate::site) next: Option<u32>,
    pub(in crate::site) rows: Vec<RankRow>,
    pub(in crate::site) n_rows: usize,
    pub(in crate::site) plot: String,
    pub(in crate::site) cells: String,
    pub(in crate::site) dead: usize,
    pub(in crate::site) rare: usize,
    /// Input-output classes and roles of its neurons; empty if the weights were not analysed.
    pub(in crate::site) classes: Vec<CountRow>,
    pub(in crate::site) roles: Vec<CountRow>,
}

/// A neuron in its layer's table.
#[derive(Serialize)]
pub(in crate::site) struct RankRow {
    pub(in crate::site) neuron: u32,
    pub(in crate::site) values: Vec<String>,
    pub(in crate::site) min: String,
    pub(in crate::site) max: String,
}

/// A neuron's page.
#[derive(Serialize)]
pub(in crate::site) struct NeuronPageView<'a> {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    pub(in crate::site) layer: u32,
    pub(in crate::site) neuron: u32,
    pub(in crate::site) hook: String,
    pub(in crate::site) previous: Option<String>,
    pub(in crate::site) next: Option<String>,
    pub(in crate::site) cards: Vec<Card>,
    /// Class and role; empty if the weights were not analysed.
    pub(in crate::site) tags: Vec<Tag>,
    /// Whether the weights were analysed.
    pub(in crate::site) analysed: bool,
    pub(in crate::site) dead: bool,
    pub(in crate::site) rare: bool,
    pub(in crate::site) not_finite: String,
    /// `hook_post` in words, where it stands beside the ranking hook.
    pub(in crate::site) hook_post: Option<String>,
    /// The list of the stronger side: `top` or `bottom`.
    pub(in crate::site) main_list: &'static str,
    pub(in crate::site) main_title: &'static str,
    /// Its first examples as plain HTML.
    pub(in crate::site) main_html: &'a str,
    pub(in crate::site) note: Option<&'a Page>,
    pub(in crate::site) explanations: &'a [Explanation],
    /// What stands for the record, which can be in a `<script>` element.
    pub(in crate::site) record: &'static str,
}

/// A neuron's card.
#[derive(Serialize)]
pub(in crate::site) struct CardView<'a> {
    #[serde(flatten)]
    pub(in crate::site) common: Common,
    pub(in crate::site) layer: u32,
    pub(in crate::site) neuron: u32,
    /// A few statistics.
    pub(in crate::site) cards: &'a [&'a Card],
    pub(in crate::site) tags: &'a [Tag],
    /// Tokens that it promotes most.
    pub(in crate::site) promoted: &'a [String],
    /// Its first examples as heat maps, items of an `<ol>`.
    pub(in crate::site) examples: &'a str,
}

/// One statistic.
#[derive(Serialize)]
pub(in crate::site) struct Card {
    /// Id of its definition on the model's page.
    pub(in crate::site) id: &'static str,
    pub(in crate::site) label: &'static str,
    pub(in crate::site) value: String,
    /// Place in the layer's ranking, such as `#3 of 640`.
    pub(in crate::site) in_layer: Option<String>,
    /// Place in the model's ranking.
    pub(in crate::site) in_model: Option<String>,
}

/// The cards of a neuron.
pub(in crate::site) fn cards(summary: &Summary, population: &Population) -> Vec<Card> {
    let card = |fact: &Fact| {
        let ranks = summary.ranks(fact);
        let at = fact.place_in(&RANKED);
        let place = |rank: Option<u32>, n: &[u32]| {
            let n = n[at?];
            rank.map(|rank| format!("#{} of {}", count(rank.into()), count(n.into())))
        };
        Card {
            id: fact.key,
            label: fact.label,
            value: in_words(fact, summary.value(fact)),
            in_layer: place(ranks.in_layer, &population.layer),
            in_model: place(ranks.in_model, &population.model),
        }
    };
    SCANNED.into_iter().chain(RANKED).map(card).collect()
}

/// A fact's value in words.
fn in_words(fact: &Fact, value: Option<f64>) -> String {
    match fact.unit {
        Unit::Number => number(value),
        Unit::Share => percent(value),
    }
}

/// A neuron's row in its layer's table, in the order of [`RANKED`].
pub(in crate::site) fn rank_row(summary: &Summary) -> RankRow {
    RankRow {
        neuron: summary.neuron,
        values: RANKED
            .map(|fact| in_words(fact, summary.value(fact)))
            .to_vec(),
        min: number(summary.value(&MIN)),
        max: number(summary.value(&MAX)),
    }
}
