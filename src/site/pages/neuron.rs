//! The page of one neuron.

use std::sync::{Mutex, PoisonError};

use crate::atlas::facts::KURTOSIS;
use crate::atlas::{AtlasNeuron, NeuronWeights, Summary};
use crate::ids::NeuronId;

use super::classes::{Tag, tags};
use super::part::ModelPart;
use super::views::{Card, CardView, NeuronPageView, cards, hook_post_words};
use crate::site::address;
use crate::site::content::{Explanation, Page};
use crate::site::data::deepdecipher;
use crate::site::data::explore::{self, Explore, Known};
use crate::site::data::lines::{Lines, line};
use crate::site::data::record::{Population, RecordWriter};
use crate::site::data::words::Words;
use crate::site::error::SiteError;
use crate::site::text::display::lone_token;
use crate::site::text::examples::{ExampleTokens, Examples};
use crate::site::text::format::{count, number};
use crate::site::text::texts::json;
use crate::site::view::Common;

/// Examples that stand on the page as plain HTML.
const PLAIN_EXAMPLES: usize = 3;

/// Examples on a neuron's card, and their tokens before and behind the peak.
const CARD_EXAMPLES: usize = 3;
const CARD_TOKENS: [usize; 2] = [20, 8];

/// What templates are given for the record, which is put in its place when they are done: it is by far the largest
/// part of a page, and no template looks into it.
const RECORD: &str = "\u{1}record\u{1}";

/// Writes the pages of a model's neurons.
pub(in crate::site) struct NeuronPages<'a> {
    part: ModelPart<'a>,
    writer: &'a RecordWriter<'a>,
    lines: Lines,
    words: Words,
    explore: Mutex<Explore>,
}

impl<'a> NeuronPages<'a> {
    pub(in crate::site) fn new(part: ModelPart<'a>, writer: &'a RecordWriter<'a>) -> Self {
        let model = part.model;
        let n_neurons = model.n_layers as usize * model.d_mlp as usize;
        Self {
            part,
            writer,
            lines: Lines::new(n_neurons),
            words: Words::new(&writer.corpus().texts),
            explore: Mutex::new(Explore::new(n_neurons, model.gated, model.analysed)),
        }
    }

    /// What is known of a layer's neurons before their pages are written.
    pub(in crate::site) fn known(
        &self,
        summaries: &[Summary],
        weights: Option<&[NeuronWeights]>,
    ) -> Known {
        let (content, name) = (self.part.site.content, &self.part.model.name);
        Known::of(summaries, weights, |summary| {
            let id = NeuronId {
                layer: summary.layer,
                neuron: summary.neuron,
            };
            let of = (name.clone(), id);
            [
                content.notes.contains_key(&of),
                content.explanations.contains_key(&of),
            ]
        })
    }

    /// Takes that down of the next layer.
    pub(in crate::site) fn add_layer(&mut self, known: Known) {
        let explore = self.explore.get_mut();
        explore
            .unwrap_or_else(PoisonError::into_inner)
            .add_layer(known);
    }

    /// Writes the files in which neurons are searched, when all pages are written.
    pub(in crate::site) fn finish(self) -> Result<(), SiteError> {
        let (site, model) = (self.part.site, self.part.model);
        let name = &model.name;
        let explore = self.explore.into_inner();
        let explore = explore.unwrap_or_else(PoisonError::into_inner);
        let vocabulary = self.writer.corpus().texts.vocabulary();
        let words = self.words;
        let write = |file: &str, bytes: &[u8]| site.write(&address::of_model(name, file), bytes);
        let (explored, searched) = rayon::join(
            || {
                let size = [model.n_layers, model.d_mlp];
                write(explore::FILE, &explore.file(name, size, vocabulary)?)
            },
            || {
                words.files(name, model.d_mlp, |file, json| {
                    write(&file, json.as_bytes())
                })
            },
        );
        explored.and(searched)
    }

    /// Writes a neuron's page, and its record if that is asked for.
    pub(in crate::site) fn write(
        &self,
        neuron: &AtlasNeuron,
        population: &Population,
    ) -> Result<(), SiteError> {
        let (site, model, corpus) = (self.part.site, self.part.model, self.writer.corpus());
        let NeuronId {
            layer,
            neuron: index,
        } = neuron.id;
        let scan = &self.part.source.atlas.manifest().scan;
        let examples = Examples::read(neuron, corpus)?;
        let record = self.writer.record(neuron, &examples, population);
        let moments = &neuron.stats.moments;
        let (main_list, main_title) = match moments.count > 0 && -moments.min > moments.max {
            true => ("bottom", "Most negative activations"),
            false => ("top", "Most positive activations"),
        };
        let mut main_html = String::with_capacity(8 * 1024);
        for (n, row) in (1..).zip(examples.of(main_list).take(PLAIN_EXAMPLES)) {
            corpus.example_html(&mut main_html, row, n);
        }
        let of = (model.name.clone(), neuron.id);
        let note = site.content.notes.get(&of);
        let explanations = site.content.explanations.get(&of);
        let explanations = explanations.map(Vec::as_slice).unwrap_or_default();
        self.search(neuron, &examples, main_list, (note, explanations))?;
        let name = address::neuron(&model.name, neuron.id);
        let description = self.description(neuron, examples.of(main_list).next());
        let title = format!("{} {layer}.{index}", model.name);
        let common = site.common(&name, title, description);
        let not_finite = neuron.stats.not_finite.unwrap_or_default();
        let tags = neuron.weights.as_ref().map(tags).unwrap_or_default();
        let cards = cards(&neuron.summary, population);
        if site.options.cards {
            self.card(neuron, &common, (&cards, &tags), (&examples, main_list))?;
        }
        let view = NeuronPageView {
            common,
            layer,
            neuron: index,
            hook: scan.policy.hook_in(layer),
            previous: self.before(neuron.id),
            next: self.after(neuron.id),
            cards,
            tags,
            analysed: neuron.weights.is_some(),
            dead: neuron.summary.dead == Some(true),
            rare: neuron.summary.rare == Some(true),
            not_finite: match not_finite {
                0 => String::new(),
                n => count(n),
            },
            hook_post: neuron.stats.post.as_ref().and_then(hook_post_words),
            main_list,
            main_title,
            main_html: &main_html,
            note,
            explanations,
            record: RECORD,
        };
        let page = site.render("neuron.html", Some(model), &view)?;
        site.write(&name, &with_record(&page, &record))?;
        if site.options.neuron_json {
            let name = address::record(&model.name, neuron.id);
            site.write(&name, &record)?;
        }
        if site.options.deepdecipher {
            let shape = deepdecipher::neuron(scan, neuron, &examples, corpus);
            site.write(&deepdecipher::address(scan, neuron), &json(&shape)?)?;
        }
        site.count_neuron()
    }

    /// A neuron in one sentence.
    fn description(&self, neuron: &AtlasNeuron, main: Option<&ExampleTokens<'_>>) -> String {
        let token = |id| lone_token(&self.writer.corpus().texts.vocabulary().text(id));
        let mut words = format!(
            "Neuron {} of layer {} of {}",
            neuron.id.neuron, neuron.id.layer, self.part.model.name
        );
        if let Some(row) = main {
            let value = number(Some(row.example.value.into()));
            words += &format!(": {value} on “{}”", token(row.tokens[row.peak()]));
        }
        let promoted = self.promoted(neuron, 3);
        if !promoted.is_empty() {
            words += &format!(", promotes when positive “{}”", promoted.join("”, “"));
        }
        if let Some(rank) = neuron.summary.ranks(&KURTOSIS).in_layer {
            let kurtosis = number(neuron.summary.value(&KURTOSIS));
            words += &format!("; kurtosis {kurtosis}, #{rank} in its layer");
        }
        words + "."
    }

    /// The tokens that a neuron promotes most.
    fn promoted(&self, neuron: &AtlasNeuron, n: usize) -> Vec<String> {
        let vocabulary = self.writer.corpus().texts.vocabulary();
        let promoted = neuron.weights.iter().flat_map(|weights| &weights.top);
        let tokens = promoted
            .take(n)
            .map(|(id, _)| lone_token(&vocabulary.text(*id)));
        tokens.collect()
    }

    /// Writes a neuron's card; it is the page, `of_page`, in little, so search engines are to show that one.
    fn card(
        &self,
        neuron: &AtlasNeuron,
        of_page: &Common,
        (cards, tags): (&[Card], &[Tag]),
        (examples, main_list): (&Examples<'_>, &str),
    ) -> Result<(), SiteError> {
        let (site, model, corpus) = (self.part.site, self.part.model, self.writer.corpus());
        let promoted = self.promoted(neuron, 5);
        let name = address::card(&model.name, neuron.id);
        let NeuronId { layer, neuron } = neuron.id;
        let max = examples.largest();
        let mut html = String::with_capacity(4 * 1024);
        for row in examples.of(main_list).take(CARD_EXAMPLES) {
            let value = number(Some(row.example.value.into()));
            html += &format!("<li><span class=\"value\">{value}</span>");
            corpus.heat_html(&mut html, row, CARD_TOKENS, max);
            html += "</li>\n";
        }
        let shown = ["max", "min", "frequency", "kurtosis"];
        let cards: Vec<&Card> = cards
            .iter()
            .filter(|card| shown.contains(&card.id))
            .collect();
        let view = CardView {
            common: Common {
                root: format!("../{}", of_page.root),
                ..of_page.clone()
            },
            layer,
            neuron,
            cards: &cards,
            tags,
            promoted: &promoted,
            examples: &html,
        };
        site.page(&name, "card.html", Some(model), &view)
    }

    /// Takes down how a neuron can be found.
    fn search(
        &self,
        neuron: &AtlasNeuron,
        examples: &Examples<'_>,
        main_list: &str,
        (note, explanations): (Option<&Page>, &[Explanation]),
    ) -> Result<(), SiteError> {
        let (model, corpus) = (self.part.model, self.writer.corpus());
        let flat = neuron.id.layer * model.d_mlp + neuron.id.neuron;
        let main = examples.of(main_list).next();
        let said = note.map(|note| note.title.as_str());
        let said = said.or_else(|| explanations.first().map(|one| one.text.as_str()));
        let line = main.map_or("null".to_owned(), |row| {
            let [before, at, after] = &corpus.around_peak(row);
            line(row.example.value, [before, at, after], said)
        });
        if let Some((file, json)) = self.lines.put(flat as usize, line) {
            let file = address::of_model(&model.name, &file);
            self.part.site.write(&file, json.as_bytes())?;
        }
        self.words.add_examples(flat, examples, &corpus.texts);
        if let Some(note) = note {
            self.words
                .add_said(flat, &format!("{} {}", note.title, note.plain));
        }
        for one in explanations {
            self.words.add_said(flat, &one.text);
        }
        let peak = main.map(|row| row.tokens[row.peak()]);
        let mut explore = self.explore.lock().unwrap_or_else(PoisonError::into_inner);
        explore.add_neuron(flat as usize, neuron, peak);
        Ok(())
    }

    /// Address of the neuron before another, relative to that one's page.
    fn before(&self, NeuronId { layer, neuron }: NeuronId) -> Option<String> {
        match neuron.checked_sub(1) {
            Some(before) => Some(address::neuron_file(before)),
            None => {
                let neuron = self.part.model.d_mlp - 1;
                let layer = layer.checked_sub(1)?;
                Some(address::in_other_layer(NeuronId { layer, neuron }))
            }
        }
    }

    /// Address of the neuron after another, relative to that one's page.
    fn after(&self, NeuronId { layer, neuron }: NeuronId) -> Option<String> {
        let model = self.part.model;
        match neuron + 1 < model.d_mlp {
            true => Some(address::neuron_file(neuron + 1)),
            false => (layer + 1 < model.n_layers).then(|| {
                let (layer, neuron) = (layer + 1, 0);
                address::in_other_layer(NeuronId { layer, neuron })
            }),
        }
    }
}

/// A page with the record wherever its template wants it.
fn with_record(page: &[u8], record: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(page.len() + record.len());
    let mut rest = page;
    while let Some(at) = rest.iter().position(|&byte| byte == RECORD.as_bytes()[0]) {
        let (before, found) = rest.split_at(at);
        out.extend_from_slice(before);
        rest = match found.strip_prefix(RECORD.as_bytes()) {
            Some(rest) => {
                out.extend_from_slice(record);
                rest
            }
            None => {
                out.push(found[0]);
                &found[1..]
            }
        };
    }
    out.extend_from_slice(rest);
    out
}
