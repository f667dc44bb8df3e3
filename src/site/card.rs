//! A neuron's card: its page in little, without scripts, for frames of other pages.

use serde::Serialize;

use crate::site::view::Common;

use super::address;
use super::data::NeuronData;
use super::error::SiteError;
use super::excerpts::push_heat_map;
use super::pages::classes::{Tag, tags};
use super::pages::neuron::{description, promoted, title};
use super::pages::views::{Card, cards};
use super::part::ModelPart;
use super::section::Section;
use super::text::format::number;

/// Examples on a card, and their tokens before and after the peak.
const EXAMPLES: usize = 3;
const TOKENS: [usize; 2] = [20, 8];
/// Tokens that the neuron promotes, on a card.
const PROMOTED: usize = 5;
/// The statistics on a card.
const STATISTICS: [&str; 4] = ["max", "min", "frequency", "kurtosis"];

/// A neuron's card.
#[derive(Serialize)]
struct CardView<'a> {
    #[serde(flatten)]
    common: Common,
    layer: u32,
    neuron: u32,
    /// A few statistics.
    cards: Vec<Card>,
    tags: Vec<Tag>,
    /// The tokens that it promotes most.
    promoted: Vec<String>,
    /// Its first examples as heat maps, items of an `<ol>`.
    examples: &'a str,
}

/// Writes a card for every neuron.
pub(super) struct Cards<'a>(pub(super) ModelPart<'a>);

impl Section for Cards<'_> {
    fn neuron(&self, data: &NeuronData<'_>) -> Result<(), SiteError> {
        let part = &self.0;
        let (site, id) = (part.site, data.id());
        let name = address::card(&part.model.name, id);
        let max = data.examples.largest();
        let mut examples = String::with_capacity(4 * 1024);
        for row in data.main().take(EXAMPLES) {
            let value = number(Some(row.example.value.into()));
            examples += &format!("<li><span class=\"value\">{value}</span>");
            push_heat_map(&mut examples, part.texts, row, TOKENS, max);
            examples += "</li>\n";
        }
        let mut cards = cards(&data.neuron.summary, &data.layer.population);
        cards.retain(|card| STATISTICS.contains(&card.id));
        let page = address::neuron(&part.model.name, id);
        let common = Common {
            // search engines are to show the page instead
            canonical: site.canonical(&page),
            ..site.unlisted(&name, title(part, id), description(part, data))
        };
        let view = CardView {
            common,
            layer: id.layer,
            neuron: id.neuron,
            cards,
            tags: data.neuron.weights.as_ref().map(tags).unwrap_or_default(),
            promoted: promoted(part, data, PROMOTED),
            examples: &examples,
        };
        site.page(&name, "card.html", Some(part.model), &view)
    }
}
