//! What the weights say of a neuron, as its record and its page have it.

use serde::Serialize;
use std::collections::BTreeMap;

use crate::atlas::{
    Class, Classed, Cosines, Histogram, NeuronWeights, Region, Regions, Relation, Role, Shape,
    WeightsInfo,
};
use crate::ids::{NeuronId, TokenId};
use crate::tokens::Vocabulary;

use super::display::lone_token;
use super::format::{number, round};
use super::plot;

/// What a record says of the weights.
#[derive(Serialize)]
pub(super) struct WeightsRecord {
    class: Option<ClassRecord>,
    role: Option<&'static str>,
    cosines: BTreeMap<&'static str, CosineRecord>,
    norms: BTreeMap<&'static str, f64>,
    null_share: Option<f64>,
    logits: ShapeRecord,
    v: VRecord,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    reads: BTreeMap<&'static str, ReadsRecord>,
    neighbours: BTreeMap<&'static str, Vec<(u32, u32, f64)>>,
}

#[derive(Serialize)]
struct ClassRecord {
    name: &'static str,
    typical: bool,
}

#[derive(Serialize)]
struct CosineRecord {
    value: Option<f64>,
    /// What chance explains.
    null: Option<[f64; 2]>,
    outside: Option<bool>,
}

#[derive(Serialize)]
struct ShapeRecord {
    variance: Option<f64>,
    skewness: Option<f64>,
    kurtosis: Option<f64>,
}

#[derive(Serialize)]
struct VRecord {
    mean: Option<f64>,
    #[serde(flatten)]
    shape: ShapeRecord,
    histogram: Option<BinsRecord>,
}

#[derive(Serialize)]
struct BinsRecord {
    low: f32,
    step: f32,
    counts: Vec<u32>,
}

/// A token with its value.
#[derive(Serialize)]
pub(super) struct TokenRecord {
    token: String,
    id: u32,
    value: Option<f64>,
}

/// The tokens at both ends.
#[derive(Serialize)]
pub(super) struct ReadsRecord {
    top: Vec<TokenRecord>,
    bottom: Vec<TokenRecord>,
}

/// Tokens with their values.
pub(super) fn token_records(
    tokens: &[(TokenId, f32)],
    vocabulary: &Vocabulary,
) -> Vec<TokenRecord> {
    let record = |&(token, value): &(TokenId, f32)| TokenRecord {
        token: vocabulary.text(token).into_owned(),
        id: token.0,
        value: round(value.into()),
    };
    tokens.iter().map(record).collect()
}

impl ReadsRecord {
    /// From lists of the largest and the smallest.
    pub(super) fn new(
        top: &[(TokenId, f32)],
        bottom: &[(TokenId, f32)],
        vocabulary: &Vocabulary,
    ) -> Self {
        Self {
            top: token_records(top, vocabulary),
            bottom: token_records(bottom, vocabulary),
        }
    }
}

impl ShapeRecord {
    fn of(shape: &Shape) -> Self {
        Self {
            variance: shape.variance.and_then(round),
            skewness: shape.skewness.and_then(round),
            kurtosis: shape.kurtosis.and_then(round),
        }
    }
}

/// The cosines that a neuron has, by name, with what chance explains of each.
fn cosines(
    cosines: &Cosines,
    regions: Option<&Regions>,
    gated: bool,
) -> Vec<(&'static str, Option<f32>, Option<Region>)> {
    let of = |get: fn(&Regions) -> Option<Region>| regions.and_then(get);
    let mut all = vec![("in_out", cosines.in_out, of(|r| r.in_out))];
    if gated {
        all.push(("gate_out", cosines.gate_out, of(|r| r.gate_out)));
        all.push(("gate_in", cosines.gate_in, of(|r| r.gate_in)));
    }
    all
}

impl WeightsRecord {
    pub(super) fn new(
        of: &NeuronWeights,
        regions: Option<&Regions>,
        vocabulary: &Vocabulary,
    ) -> Self {
        let gated = of.norms.gate.is_some();
        let cosine = |(name, value, region): (_, Option<f32>, Option<Region>)| {
            let both = value.zip(region);
            let record = CosineRecord {
                value: value.and_then(|value| round(value.into())),
                null: region.map(|r| [r.low, r.high].map(|x| round(x.into()).unwrap_or_default())),
                outside: both.map(|(value, region)| region.is_outside(value)),
            };
            (name, record)
        };
        let norms = [
            ("in", Some(of.norms.input)),
            ("gate", of.norms.gate),
            ("out", Some(of.norms.out)),
        ];
        let norms = norms.into_iter();
        let norms = norms.filter_map(|(name, norm)| Some((name, round(norm?.into())?)));
        let reads = [("in", &of.reads_in), ("gate", &of.reads_gate)];
        let reads = reads.into_iter().filter(|(_, reads)| !reads.top.is_empty());
        let reads = reads.map(|(name, reads)| {
            let record = ReadsRecord::new(&reads.top, &reads.bottom, vocabulary);
            (name, record)
        });
        let neighbours = relations(of).map(|(relation, list)| {
            let triple = |(id, cosine): &(NeuronId, f32)| {
                let cosine = round((*cosine).into()).unwrap_or_default();
                (id.layer, id.neuron, cosine)
            };
            (relation.name(), list.iter().map(triple).collect())
        });
        Self {
            class: of.class.map(|Classed { class, typical }| ClassRecord {
                name: class.name(),
                typical,
            }),
            role: of.role.map(Role::name),
            cosines: cosines(&of.cosines, regions, gated)
                .into_iter()
                .map(cosine)
                .collect(),
            norms: norms.collect(),
            null_share: of.null_share.and_then(|share| round(share.into())),
            logits: ShapeRecord::of(&of.logits),
            v: VRecord {
                mean: of.v.mean.and_then(round),
                shape: ShapeRecord::of(&of.v),
                histogram: (!of.histogram.counts.is_empty()).then(|| BinsRecord {
                    low: of.histogram.low,
                    step: of.histogram.step,
                    counts: of.histogram.counts.clone(),
                }),
            },
            reads: reads.collect(),
            neighbours: neighbours.collect(),
        }
    }
}

/// The relations that a neuron of this model can have, with its neurons.
fn relations(of: &NeuronWeights) -> impl Iterator<Item = (Relation, &[(NeuronId, f32)])> {
    let gated = of.norms.gate.is_some();
    let all = Relation::ALL.into_iter().zip(&of.neighbours);
    let of_gate = |relation| matches!(relation, Relation::UpstreamGate | Relation::DownstreamGate);
    all.filter(move |(relation, _)| gated || !of_gate(*relation))
        .map(|(relation, list)| (relation, list.as_slice()))
}

/// What a neuron's page says of its weights.
#[derive(Serialize)]
pub(super) struct WeightsView {
    /// Tags with links to their definitions.
    pub(super) tags: Vec<Tag>,
    /// The cosines with what chance explains, as SVG.
    pub(super) cosines: String,
    /// v, as SVG.
    pub(super) histogram: String,
    /// Numbers with their names.
    pub(super) facts: Vec<Fact>,
    /// Tokens with the largest logit weights, and the smallest, in HTML.
    pub(super) promoted: String,
    pub(super) suppressed: String,
    /// Tokens that the neuron reads, in early layers.
    pub(super) reads: Vec<ListOf>,
    /// Its neighbours.
    pub(super) neighbours: Vec<ListOf>,
}

/// A class or a role.
#[derive(Serialize)]
pub(super) struct Tag {
    pub(super) label: String,
    /// Id of its definition on the model's page.
    pub(super) id: String,
}

/// A number with its name.
#[derive(Serialize)]
pub(super) struct Fact {
    pub(super) label: &'static str,
    pub(super) value: String,
    pub(super) definition: &'static str,
}

/// A list in HTML.
#[derive(Serialize)]
pub(super) struct ListOf {
    pub(super) title: &'static str,
    pub(super) hint: &'static str,
    /// Items of an `<ol>`.
    pub(super) html: String,
}

/// A class in words.
pub(super) fn class_label(class: Class, typical: bool) -> String {
    match typical {
        true => class.name().to_owned(),
        false => format!("atypical {}", class.name()),
    }
}

/// Id of a class's definition, and of its colour.
pub(super) fn class_id(class: Class) -> String {
    format!("class-{}", class.name().replace(' ', "-"))
}

/// Id of a role's definition.
pub(super) fn role_id(role: Role) -> String {
    format!("role-{}", role.name())
}

impl WeightsView {
    pub(super) fn new(
        of: &NeuronWeights,
        layer: u32,
        info: Option<&WeightsInfo>,
        vocabulary: &Vocabulary,
    ) -> Self {
        let gated = of.norms.gate.is_some();
        let atypical = of.class.filter(|of| !of.typical).map(|_| Tag {
            label: "atypical".to_owned(),
            id: "typical".to_owned(),
        });
        let class = of.class.map(|of| Tag {
            label: of.class.name().to_owned(),
            id: class_id(of.class),
        });
        let role = of.role.map(|role| Tag {
            label: format!("{} neuron", role.name()),
            id: role_id(role),
        });
        let regions = info.and_then(|info| info.layers.get(layer as usize));
        let rows = cosines(&of.cosines, regions, gated).into_iter();
        let rows = rows.map(|(name, value, region)| plot::CosineRow {
            label: match name {
                "in_out" => "in · out",
                "gate_out" => "gate · out",
                _ => "gate · in",
            },
            value: value.map(f64::from),
            null: region.map(|r| [r.low.into(), r.high.into()]),
        });
        let rows: Vec<_> = rows.collect();
        let reads = [
            (
                &of.reads_in,
                ["Along w_in", "Against w_in"],
                ["Largest W_E·w_in", "Smallest W_E·w_in"],
            ),
            (
                &of.reads_gate,
                ["Along w_gate", "Against w_gate"],
                ["Largest W_E·w_gate", "Smallest W_E·w_gate"],
            ),
        ];
        let reads = reads
            .into_iter()
            .filter(|(reads, ..)| !reads.top.is_empty());
        let reads = reads.flat_map(|(reads, titles, hints)| {
            let list = |end: usize, tokens: &[(TokenId, f32)]| ListOf {
                title: titles[end],
                hint: hints[end],
                html: tokens_html(tokens, vocabulary),
            };
            [list(0, &reads.top), list(1, &reads.bottom)]
        });
        let neighbours = relations(of).map(|(relation, list)| {
            let (title, hint) = relation_words(relation);
            ListOf {
                title,
                hint,
                html: neurons_html(list, layer),
            }
        });
        Self {
            tags: atypical.into_iter().chain(class).chain(role).collect(),
            cosines: plot::cosines(&rows, &cosine_words(&rows)),
            histogram: histogram_svg(&of.histogram),
            facts: facts(of),
            promoted: tokens_html(&of.top, vocabulary),
            suppressed: tokens_html(&of.bottom, vocabulary),
            reads: reads.collect(),
            neighbours: neighbours.collect(),
        }
    }
}

/// The cosines for those who do not see the figure.
fn cosine_words(rows: &[plot::CosineRow]) -> String {
    let words = rows.iter().map(|row| {
        let chance = row.value.zip(row.null).map(|(value, [low, high])| {
            match (low..=high).contains(&value) {
                true => ", within chance",
                false => ", outside chance",
            }
        });
        let value = number(row.value);
        format!("{} {value}{}", row.label, chance.unwrap_or_default())
    });
    let words: Vec<String> = words.collect();
    format!("Cosines between the neuron's weights: {}", words.join("; "))
}

fn histogram_svg(histogram: &Histogram) -> String {
    let Histogram { low, step, counts } = histogram;
    match counts.is_empty() {
        true => String::new(),
        false => plot::histogram((*low).into(), (*step).into(), counts, "Histogram of v"),
    }
}

fn facts(of: &NeuronWeights) -> Vec<Fact> {
    let fact = |label, value: Option<f64>, definition| Fact {
        label,
        value: number(value),
        definition,
    };
    let wide = |value: Option<f32>| value.map(f64::from);
    let mut facts = vec![
        fact(
            "kurtosis of v",
            of.v.kurtosis,
            "Non-excess; large where the neuron writes to few tokens.",
        ),
        fact(
            "skewness of v",
            of.v.skewness,
            "Positive where those tokens are promoted, negative where they are suppressed.",
        ),
        fact(
            "variance of v",
            of.v.variance,
            "Large where the neuron promotes one part of the vocabulary and suppresses the other.",
        ),
        fact(
            "ρ",
            wide(of.null_share),
            "Share of w_out's length that lies in the bottom of W_U's singular space, which hardly reaches the logits.",
        ),
        fact(
            "‖w_out‖",
            Some(of.norms.out.into()),
            "Length of the output weights.",
        ),
        fact(
            "‖w_in‖",
            Some(of.norms.input.into()),
            "Length of the input weights, the norm in front folded in.",
        ),
    ];
    if let Some(gate) = of.norms.gate {
        facts.push(fact(
            "‖w_gate‖",
            Some(gate.into()),
            "Length of the gate's weights, the norm in front folded in.",
        ));
    }
    facts
}

fn relation_words(relation: Relation) -> (&'static str, &'static str) {
    match relation {
        Relation::InInLayer => ("Reads alike, this layer", "cos(w_in, w_in)"),
        Relation::InInOthers => ("Reads alike, other layers", "cos(w_in, w_in)"),
        Relation::OutOutLayer => ("Writes alike, this layer", "cos(w_out, w_out)"),
        Relation::OutOutOthers => ("Writes alike, other layers", "cos(w_out, w_out)"),
        Relation::UpstreamIn => (
            "Upstream, into w_in",
            "cos(their w_out, this w_in), earlier layers",
        ),
        Relation::UpstreamGate => (
            "Upstream, into w_gate",
            "cos(their w_out, this w_gate), earlier layers",
        ),
        Relation::DownstreamIn => (
            "Downstream, into w_in",
            "cos(this w_out, their w_in), later layers",
        ),
        Relation::DownstreamGate => (
            "Downstream, into w_gate",
            "cos(this w_out, their w_gate), later layers",
        ),
    }
}

/// Tokens with their values, each a link to its page.
fn tokens_html(tokens: &[(TokenId, f32)], vocabulary: &Vocabulary) -> String {
    let mut html = String::with_capacity(tokens.len() * 112);
    for (id, value) in tokens {
        let token = lone_token(&vocabulary.text(*id));
        html.push_str(&format!(
            "<li><a class=\"token\" href=\"../tokens.html#{}\">{token}</a> <span class=\"num\">{}</span></li>",
            id.0,
            signed(*value)
        ));
    }
    html
}

/// A number with its sign, also where it is positive.
fn signed(value: f32) -> String {
    let plus = if value > 0.0 { "+" } else { "" };
    format!("{plus}{}", number(Some(value.into())))
}

/// Neurons with their cosines, each a link to its page from one of a layer.
fn neurons_html(neurons: &[(NeuronId, f32)], layer: u32) -> String {
    let mut html = String::with_capacity(neurons.len() * 80);
    for (id, cosine) in neurons {
        let folder = match id.layer == layer {
            true => String::new(),
            false => format!("../{}/", id.layer),
        };
        html.push_str(&format!(
            "<li><a href=\"{folder}{}.html\">{id}</a> <span class=\"num\">{}</span></li>",
            id.neuron,
            signed(*cosine)
        ));
    }
    html
}
