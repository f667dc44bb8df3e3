//! A neuron's card: its page in little, without scripts, for frames of other pages.

use serde::Serialize;

use crate::site::view::Common;

use super::address;
use super::data::NeuronData;
use super::error::SiteError;
use super::excerpts::push_heat_map;
use super::pages::classes::{Tag, tags};
use super::pages::neuron::{description, title};
use super::pages::sides::{LineView, Promotes, lines, promotes};
use super::pages::views::{Card, cards};
use super::part::ModelPart;
use super::section::Section;
use super::text::format::number;

/// Examples on a card of one side and of each of two, and their tokens before and after the peak.
const EXAMPLES: [usize; 2] = [3, 2];
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
    /// Address of the neuron's page.
    page: String,
    layer: u32,
    neuron: u32,
    /// A few statistics.
    cards: Vec<Card>,
    tags: Vec<Tag>,
    /// A line about each side on which it speaks.
    lines: Vec<LineView>,
    /// The tokens that it promotes most, for each of these sides.
    promotes: Vec<Promotes>,
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
        let max = data.examples.scale_max;
        let sides = data.sides();
        let n = EXAMPLES[usize::from(sides.len() > 1)];
        let rows = sides.iter().flat_map(|side| data.of_side(*side).take(n));
        let mut examples = String::with_capacity(4 * 1024);
        for row in rows {
            let value = number(Some(row.example.value.into()));
            examples += &format!("<li><span class=\"value\">{value}</span>");
            push_heat_map(&mut examples, part.texts, row, TOKENS, max);
            examples += "</li>\n";
        }
        let mut cards = cards(&data.neuron.summary, &data.layer.population);
        cards.retain(|card| STATISTICS.contains(&card.id));
        let page = part.neuron_link(id);
        let name_of_page = address::neuron(&part.model.name, id);
        let common = Common {
            // search engines are to show the page instead
            canonical: part
                .has_page(id)
                .then(|| site.canonical(&name_of_page))
                .flatten(),
            ..site.unlisted(&name, title(part, id), description(part, data))
        };
        let view = CardView {
            common,
            page: address::from_card(&page),
            layer: id.layer,
            neuron: id.neuron,
            cards,
            tags: tags(&data.neuron.summary, data.neuron.weights.as_ref()),
            lines: lines(data),
            promotes: promotes(part, data, PROMOTED),
            examples: &examples,
        };
        site.page(&name, "card.html", Some(part.model), &view)
    }
}
