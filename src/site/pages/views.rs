//! What templates are given of each kind of page: plain data, with numbers already in words. docs/theme.md describes it.

use serde::Serialize;

use crate::atlas::facts::{Fact, MAX, MIN, RANKED, SCANNED, Unit};
use crate::atlas::{Moments, Summary};

use super::classes::Tag;
use super::figures::{CountRow, FigureView};
use super::sides::{LineView, line};
use super::terms::Terms;
use crate::site::content::{Explanation, Page};
use crate::site::data::Population;
use crate::site::text::format::{count, number, percent};
use crate::site::view::Common;

/// `hook_post` of a SoLU neuron, in words.
pub(crate) fn hook_post_words(post: &Moments) -> Option<String> {
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
pub(crate) struct HomeView<'a> {
    #[serde(flatten)]
    pub(crate) common: Common,
    /// `content/index.md`
    pub(crate) introduction: Option<&'a Page>,
}

/// A page of Markdown.
#[derive(Serialize)]
pub(crate) struct PageView<'a> {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) page: &'a Page,
}

/// A model's page.
#[derive(Serialize)]
pub(crate) struct ModelPageView<'a> {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) layers: Vec<LayerRow>,
    pub(crate) top: Vec<TopRow>,
    /// How many neurons fire where windows start, if that is known.
    pub(crate) at_starts: Option<usize>,
    pub(crate) notes: Vec<NoteRow>,
    /// How activations spread in each layer.
    pub(crate) spread: Vec<FigureView>,
    /// What the weights of all layers say.
    pub(crate) figures: Vec<FigureView>,
    /// What classes and roles are, if the weights were analysed.
    pub(crate) terms: Option<Terms>,
    /// Keys of the facts of a scan, `dead` and `rare` included, that are unknown of every neuron.
    pub(crate) missing: &'a [&'static str],
}

/// The page on which tokens are searched.
#[derive(Serialize)]
pub(crate) struct TokensPageView {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) n_tokens: String,
}

/// A layer on its model's page.
#[derive(Serialize)]
pub(crate) struct LayerRow {
    pub(crate) layer: u32,
    pub(crate) median_kurtosis: String,
    pub(crate) median_frequency: String,
    pub(crate) dead: String,
    pub(crate) rare: String,
    pub(crate) at_starts: String,
    /// The first neuron by the first measure, and the address of its page, from the model's.
    pub(crate) best: Option<u32>,
    pub(crate) best_page: Option<String>,
    pub(crate) plot: String,
}

/// A neuron in a ranking.
#[derive(Serialize)]
pub(crate) struct TopRow {
    /// Address of its page, from the model's.
    pub(crate) page: String,
    pub(crate) layer: u32,
    pub(crate) neuron: u32,
    pub(crate) value: String,
    /// The line about the side on which it mostly speaks.
    pub(crate) line: Option<String>,
}

/// A note on its model's page.
#[derive(Serialize)]
pub(crate) struct NoteRow {
    /// Address of the neuron's page, from the model's.
    pub(crate) page: String,
    pub(crate) layer: u32,
    pub(crate) neuron: u32,
    pub(crate) title: String,
    pub(crate) author: Option<String>,
}

/// A layer's page.
#[derive(Serialize)]
pub(crate) struct LayerPageView {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) layer: u32,
    pub(crate) previous: Option<u32>,
    pub(crate) next: Option<u32>,
    pub(crate) rows: Vec<RankRow>,
    pub(crate) n_rows: usize,
    pub(crate) plot: String,
    pub(crate) cells: String,
    /// The pages with the lines of all its neurons, if these are packed.
    pub(crate) lists: Vec<ListLink>,
    /// How many neurons are dead, are rare, and fire where windows start (on the dominant side; on either), if that is known.
    pub(crate) dead: Option<usize>,
    pub(crate) rare: Option<usize>,
    pub(crate) at_starts: Option<usize>,
    pub(crate) at_starts_either: Option<usize>,
    /// Input-output classes and roles of its neurons; empty if the weights were not analysed.
    pub(crate) classes: Vec<CountRow>,
    pub(crate) roles: Vec<CountRow>,
}

/// Some neurons of a layer, one after the other.
#[derive(Clone, Serialize)]
pub(crate) struct ListLink {
    /// Address of their page, from the layer's.
    pub(crate) page: String,
    pub(crate) first: u32,
    pub(crate) last: u32,
}

/// The page with the lines of some neurons of a packed layer.
#[derive(Serialize)]
pub(crate) struct ListPageView {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) layer: u32,
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// Addresses of the lists before and after it.
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) rows: Vec<ListRow>,
}

/// A neuron with its line.
#[derive(Serialize)]
pub(crate) struct ListRow {
    pub(crate) page: String,
    pub(crate) neuron: u32,
    pub(crate) line: Option<String>,
}

/// A neuron in its layer's table.
#[derive(Serialize)]
pub(crate) struct RankRow {
    /// Address of its page, from the layer's.
    pub(crate) page: String,
    pub(crate) neuron: u32,
    pub(crate) values: Vec<String>,
    pub(crate) min: String,
    pub(crate) max: String,
    /// The line about the side on which it mostly speaks.
    pub(crate) line: Option<String>,
}

/// Examples as plain HTML.
#[derive(Serialize)]
pub(crate) struct PlainList {
    /// `top` or `bottom`
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// The first of them, items of an `<ol>`.
    pub(crate) html: String,
}

/// A neuron's page.
#[derive(Default, Serialize)]
pub(crate) struct NeuronPageView<'a> {
    #[serde(flatten)]
    pub(crate) common: Common,
    pub(crate) layer: u32,
    /// None on the page that shows any neuron of a layer.
    pub(crate) neuron: Option<u32>,
    pub(crate) hook: String,
    pub(crate) previous: Option<String>,
    pub(crate) next: Option<String>,
    pub(crate) cards: Vec<Card>,
    /// Whether it fires where windows start; class and role, if the weights were analysed.
    pub(crate) tags: Vec<Tag>,
    /// A line about each side on which it speaks.
    pub(crate) lines: Vec<LineView>,
    /// Whether the weights were analysed.
    pub(crate) analysed: bool,
    pub(crate) dead: bool,
    pub(crate) rare: bool,
    pub(crate) not_finite: String,
    /// `hook_post` in words, where it stands beside the ranking hook.
    pub(crate) hook_post: Option<String>,
    /// The examples of each side on which it speaks, the dominant side first.
    pub(crate) lists: Vec<PlainList>,
    pub(crate) note: Option<&'a Page>,
    pub(crate) explanations: &'a [Explanation],
    /// What stands for the record, which can be in a `<script>` element.
    pub(crate) record: &'static str,
    /// How the neurons are packed, as JSON, on the page that shows any of a layer; empty on a neuron's own.
    pub(crate) packing: String,
    /// Whether something was said of any neuron that the page shows.
    pub(crate) has_said: bool,
}

/// One statistic.
#[derive(Serialize)]
pub(crate) struct Card {
    /// Id of its definition on the model's page.
    pub(crate) id: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: String,
    /// Place in the layer's ranking, such as `#3 of 640`.
    pub(crate) in_layer: Option<String>,
    /// Place in the model's ranking.
    pub(crate) in_model: Option<String>,
}

/// The cards of a neuron.
pub(crate) fn cards(summary: &Summary, population: &Population) -> Vec<Card> {
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

/// A neuron's row in its layer's table, with the address of its page, in the order of [`RANKED`].
pub(crate) fn rank_row(summary: &Summary, page: String) -> RankRow {
    RankRow {
        page,
        neuron: summary.neuron,
        values: RANKED
            .map(|fact| in_words(fact, summary.value(fact)))
            .to_vec(),
        min: number(summary.value(&MIN)),
        max: number(summary.value(&MAX)),
        line: line(summary),
    }
}
