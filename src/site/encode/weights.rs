//! What the weights say of a neuron, as its record has it.

use std::borrow::Cow;

use serde::Serialize;

use crate::atlas::{Classed, Cosines, NeuronWeights, Region, Regions, Relation, Role, Shape};
use crate::ids::{NeuronId, TokenId};
use crate::tokens::Vocabulary;

use super::fields::{Detail, Fields};
use crate::site::pack::{Cosine, Counts, Short};
use crate::site::text::format::round;

/// What a record says of the weights.
#[derive(Serialize)]
pub(crate) struct WeightsRecord<'a> {
    class: Option<ClassRecord>,
    role: Option<&'static str>,
    cosines: Fields<CosineRecord>,
    norms: Fields<f64>,
    null_share: Option<f64>,
    logits: ShapeRecord,
    v: VRecord<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<Fields<TokenLists<'a>>>,
    neighbours: Fields<Vec<(u32, u32, Cosine)>>,
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
struct VRecord<'a> {
    mean: Option<f64>,
    #[serde(flatten)]
    shape: ShapeRecord,
    histogram: Option<BinsRecord<'a>>,
}

#[derive(Serialize)]
struct BinsRecord<'a> {
    low: f32,
    step: f32,
    counts: Counts<'a, u32>,
}

/// Tokens with their values, column by column.
#[derive(Serialize)]
struct TokenColumns<'a> {
    token: Vec<Cow<'a, str>>,
    id: Vec<u32>,
    value: Vec<Option<Short>>,
}

/// The tokens at both ends.
#[derive(Serialize)]
pub(crate) struct TokenLists<'a> {
    top: TokenColumns<'a>,
    bottom: TokenColumns<'a>,
}

impl<'a> TokenColumns<'a> {
    fn of(tokens: &[(TokenId, f32)], vocabulary: &'a Vocabulary) -> Self {
        let text = |(id, _): &(TokenId, f32)| vocabulary.text(*id);
        Self {
            token: tokens.iter().map(text).collect(),
            id: tokens.iter().map(|(id, _)| id.0).collect(),
            value: tokens
                .iter()
                .map(|(_, value)| round((*value).into()).map(Short))
                .collect(),
        }
    }
}

/// The first `n` of a list.
fn first<T>(list: &[T], n: usize) -> &[T] {
    &list[..list.len().min(n)]
}

impl<'a> TokenLists<'a> {
    /// From lists of the largest and the smallest, `n` of each at most.
    pub(crate) fn new(
        top: &[(TokenId, f32)],
        bottom: &[(TokenId, f32)],
        n: usize,
        vocabulary: &'a Vocabulary,
    ) -> Self {
        Self {
            top: TokenColumns::of(first(top, n), vocabulary),
            bottom: TokenColumns::of(first(bottom, n), vocabulary),
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
    let written = [
        ("in_written", cosines.in_written),
        ("gate_written", cosines.gate_written),
    ];
    let written = written.into_iter().filter(|(_, value)| value.is_some());
    all.extend(written.map(|(name, value)| (name, value, None)));
    all
}

impl<'a> WeightsRecord<'a> {
    pub(crate) fn new(
        of: &'a NeuronWeights,
        regions: Option<&Regions>,
        vocabulary: &'a Vocabulary,
        detail: Detail,
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
            let record = TokenLists::new(&reads.top, &reads.bottom, detail.n_tokens, vocabulary);
            (name, record)
        });
        let reads: Vec<_> = reads.collect();
        let neighbours = relations(of).map(|(relation, list)| {
            let triple = |(id, cosine): &(NeuronId, f32)| {
                let cosine = (f64::from(*cosine) * 1e5).round() / 1e5;
                (id.layer, id.neuron, Cosine(cosine))
            };
            let list = first(list, detail.n_neighbours);
            (relation.name(), list.iter().map(triple).collect())
        });
        Self {
            class: of.class.map(|Classed { class, typical }| ClassRecord {
                name: class.name(),
                typical,
            }),
            role: of.role.map(Role::name),
            cosines: Fields(
                cosines(&of.cosines, regions, gated)
                    .into_iter()
                    .map(cosine)
                    .collect(),
            ),
            norms: Fields(norms.collect()),
            null_share: of.null_share.and_then(|share| round(share.into())),
            logits: ShapeRecord::of(&of.logits),
            v: VRecord {
                mean: of.v.mean.and_then(round),
                shape: ShapeRecord::of(&of.v),
                histogram: (!of.histogram.counts.is_empty()).then(|| BinsRecord {
                    low: of.histogram.low,
                    step: of.histogram.step,
                    counts: Counts {
                        counts: &of.histogram.counts,
                        are_exact: detail.exact_counts,
                    },
                }),
            },
            reads: (!reads.is_empty()).then_some(Fields(reads)),
            neighbours: Fields(neighbours.collect()),
        }
    }
}

/// The relations that a neuron of this model can have, with its neurons. Older atlases do not say who is alike.
fn relations(of: &NeuronWeights) -> impl Iterator<Item = (Relation, &[(NeuronId, f32)])> {
    let gated = of.norms.gate.is_some();
    let all = Relation::ALL.into_iter().zip(&of.neighbours);
    let of_gate = |relation| matches!(relation, Relation::UpstreamGate | Relation::DownstreamGate);
    let is_unknown = |relation, list: &Vec<_>| relation == Relation::Alike && list.is_empty();
    all.filter(move |(relation, list)| !is_unknown(*relation, list))
        .filter(move |(relation, _)| gated || !of_gate(*relation))
        .map(|(relation, list)| (relation, list.as_slice()))
}
