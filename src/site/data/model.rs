use std::collections::BTreeSet;

use crate::atlas::facts::{FREQUENCY, Fact, KURTOSIS, N_RANKED, RANKED, facts};
use crate::atlas::{Summary, quantile};
use crate::ids::NeuronId;

use super::layer::n_ranked;

/// Neurons that are named on a model's page.
const TOP_NEURONS: usize = 20;
/// What is known of each neuron besides facts, with how to get it.
type Flag = (&'static str, fn(&Summary) -> Option<bool>);
const FLAGS: [Flag; 3] = [
    ("dead", |s| s.dead),
    ("rare", |s| s.rare),
    ("at_starts", |s| s.at_starts.map(|of| of.dominant)),
];

/// A model, as far as its layers tell before their neurons are read.
pub(crate) struct ModelData {
    pub(crate) layers: Vec<LayerOverview>,
    /// The neurons that are first by the first measure.
    pub(crate) top: Vec<TopNeuron>,
    /// Keys of the flags and of the facts of a scan that are unknown of every neuron.
    pub(crate) missing: Vec<&'static str>,
    /// How many neurons have a value of each measure.
    pub(crate) population: [u32; N_RANKED],
}

/// A neuron that is among the first of a model.
pub(crate) struct TopNeuron {
    pub(crate) id: NeuronId,
    pub(crate) value: Option<f64>,
    /// The line about the side on which it mostly speaks.
    pub(crate) line: Option<String>,
}

/// A layer, in a few numbers.
pub(crate) struct LayerOverview {
    pub(crate) layer: u32,
    pub(crate) median_kurtosis: Option<f64>,
    pub(crate) median_frequency: Option<f64>,
    /// How many neurons are dead, are rare, and fire where windows start, if that is known.
    pub(crate) dead: Option<usize>,
    pub(crate) rare: Option<usize>,
    pub(crate) at_starts: Option<usize>,
    /// The first neuron by the first measure.
    pub(crate) best: Option<u32>,
    n_ranked: [u32; N_RANKED],
    /// Keys of flags and facts of a scan that are known of some neuron.
    known: BTreeSet<&'static str>,
    /// Neurons that are among the first of the model, with their ranks.
    top: Vec<(u32, TopNeuron)>,
}

impl ModelData {
    pub(crate) fn new(mut layers: Vec<LayerOverview>) -> Self {
        let mut population = [0; N_RANKED];
        let (mut top, mut known) = (Vec::new(), BTreeSet::new());
        for layer in &mut layers {
            for (total, n) in population.iter_mut().zip(layer.n_ranked) {
                *total += n;
            }
            top.append(&mut layer.top);
            known.append(&mut layer.known);
        }
        top.sort_by_key(|(rank, _)| *rank);
        let all = FLAGS.map(|(key, _)| key).into_iter();
        let all = all.chain(scanned_facts().map(|fact| fact.key));
        Self {
            layers,
            top: top.into_iter().map(|(_, neuron)| neuron).collect(),
            missing: all.filter(|key| !known.contains(key)).collect(),
            population,
        }
    }
}

impl LayerOverview {
    pub(crate) fn new(layer: u32, summaries: &[Summary]) -> Self {
        let median = |fact: &Fact| {
            let values = summaries.iter().filter_map(|s| s.value(fact));
            let mut values: Vec<f64> = values.collect();
            values.sort_unstable_by(f64::total_cmp);
            quantile(&values, 0.5)
        };
        let flags = FLAGS.into_iter();
        let flags = flags.filter(|(_, get)| summaries.iter().any(|s| get(s).is_some()));
        let known = scanned_facts();
        let known = known.filter(|fact| summaries.iter().any(|s| s.value(fact).is_some()));
        Self {
            layer,
            median_kurtosis: median(&KURTOSIS),
            median_frequency: median(&FREQUENCY),
            dead: count_known(summaries, |s| s.dead),
            rare: count_known(summaries, |s| s.rare),
            at_starts: count_known(summaries, |s| s.at_starts.map(|of| of.dominant)),
            best: summaries
                .iter()
                .find(|s| s.ranks(RANKED[0]).in_layer == Some(1))
                .map(|s| s.neuron),
            n_ranked: n_ranked(summaries),
            known: flags
                .map(|(key, _)| key)
                .chain(known.map(|fact| fact.key))
                .collect(),
            top: summaries.iter().filter_map(first_in_model).collect(),
        }
    }
}

/// How many neurons are what `get` says; `None` if it is unknown of all of them.
pub(crate) fn count_known(
    summaries: &[Summary],
    get: impl Fn(&Summary) -> Option<bool>,
) -> Option<usize> {
    let known: Vec<bool> = summaries.iter().filter_map(get).collect();
    (!known.is_empty()).then(|| known.into_iter().filter(|is| *is).count())
}

/// A neuron with its rank in the model, if it is among the first.
fn first_in_model(summary: &Summary) -> Option<(u32, TopNeuron)> {
    let id = NeuronId {
        layer: summary.layer,
        neuron: summary.neuron,
    };
    let rank = summary.ranks(RANKED[0]).in_model;
    let rank = rank.filter(|&rank| rank as usize <= TOP_NEURONS)?;
    let neuron = TopNeuron {
        id,
        value: summary.value(RANKED[0]),
        line: summary.line().map(str::to_owned),
    };
    Some((rank, neuron))
}

/// The facts that a scan gives.
fn scanned_facts() -> impl Iterator<Item = &'static Fact> {
    facts().filter(|fact| fact.is_scanned())
}
