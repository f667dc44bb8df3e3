//! What templates are given of each kind of page: plain data, with numbers already in words. docs/theme.md describes it.

use serde::Serialize;

use crate::atlas::facts::{Fact, MAX, MIN, RANKED, SCANNED, Unit};
use crate::atlas::{Moments, Summary};

use super::classes::Tag;
use super::figures::{CountRow, FigureView};
use super::terms::Terms;
use crate::site::content::{Explanation, Page};
use crate::site::data::record::Population;
use crate::site::text::format::{count, number, percent};
use crate::site::view::Common;

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
