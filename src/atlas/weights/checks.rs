//! What the tables of weights and tokens say of each other and of themselves: each number that follows from others is
//! compared with what follows.

use std::collections::HashMap;

use super::classes::Region;
use super::pairs::Relation;
use super::roles::{Evidence, share_below};
use super::tokens::{FIRING, FIRING_BY_V};
use super::vocabulary::{Histogram, Shape, Sides};
use super::{NeuronWeights, TOP_NEURONS, TOP_TOKENS, TokenNeurons, WeightsInfo};
use crate::atlas::sides::Orientation;
use crate::ids::{NeuronId, TokenId};
use crate::shard::ScanIdentity;

/// Relative difference allowed between two computations of one number that both round to f32.
const ROUNDING: f64 = 2e-3;

/// What is wrong with the weights of a layer's neurons by themselves.
pub(crate) fn wrong_weights(
    info: &WeightsInfo,
    scan: &ScanIdentity,
    layer: u32,
    rows: &[NeuronWeights],
) -> Vec<String> {
    let norms: Vec<f64> = rows.iter().map(|row| row.norms.out.into()).collect();
    let variances = rows
        .iter()
        .map(|row| row.v.variance.unwrap_or(f64::INFINITY));
    let norm_ranks = share_below(&norms);
    let variance_ranks = share_below(&variances.collect::<Vec<_>>());
    let n_tokens = most_frequent(rows.iter().map(|row| total(&row.histogram)));
    let mut wrong = Vec::new();
    for (neuron, row) in (0..).zip(rows) {
        let id = NeuronId { layer, neuron };
        let evidence = Evidence {
            v: row.v,
            can_partition: info.can_partition(scan.model.d_model),
            null_share: row.null_share,
            late: layer + info.late_layers >= scan.model.n_layers,
            norm_rank: norm_ranks[neuron as usize],
            variance_rank: variance_ranks[neuron as usize],
        };
        let role = info.options.roles.role(&evidence);
        if role != row.role {
            wrong.push(format!(
                "neuron {id}: `role` is {:?}; its numbers give {role:?}",
                row.role
            ));
        }
        let place = |reason| format!("neuron {id}: {reason}");
        wrong.extend(wrong_row(info, scan, layer, row).into_iter().map(place));
        wrong.extend(wrong_logits(row, scan.model.d_vocab).map(place));
        match total(&row.histogram) {
            0 if row.v.variance.is_none() => {}
            found if found == n_tokens => {
                wrong.extend(wrong_shape(&row.histogram, &row.v).map(place));
            }
            found => wrong.push(place(format!(
                "`v_counts` add up to {found}; expected {n_tokens}"
            ))),
        }
    }
    wrong
}

fn total(histogram: &Histogram) -> u64 {
    histogram.counts.iter().map(|n| u64::from(*n)).sum()
}

fn most_frequent(values: impl Iterator<Item = u64>) -> u64 {
    let mut seen: HashMap<u64, u64> = HashMap::new();
    values
        .filter(|n| *n > 0)
        .for_each(|n| *seen.entry(n).or_default() += 1);
    let most = seen.into_iter().max_by_key(|(n, times)| (*times, *n));
    most.map_or(0, |(n, _)| n)
}

fn wrong_row(
    info: &WeightsInfo,
    scan: &ScanIdentity,
    layer: u32,
    of: &NeuronWeights,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let gated = scan.model.gated;
    let class = of.cosines.class(gated);
    if class != of.class {
        wrong.push(format!(
            "`class` is {:?}; its cosines give {class:?}",
            of.class
        ));
    }
    let cosines = [
        ("cos_in_out", of.cosines.in_out, true),
        ("cos_gate_out", of.cosines.gate_out, gated),
        ("cos_gate_in", of.cosines.gate_in, gated),
    ];
    let is_normed = info.norm_after_mlp == Some(true);
    let written = [
        ("cos_in_written", of.cosines.in_written, is_normed),
        (
            "cos_gate_written",
            of.cosines.gate_written,
            is_normed && gated,
        ),
    ];
    for (name, cosine, may_be) in cosines.into_iter().chain(written) {
        if cosine.is_some_and(|cosine| cosine.abs() > 1.0 || !may_be) {
            wrong.push(format!("`{name}` is {cosine:?}"));
        }
    }
    if let [Some(a), Some(b), Some(c)] = cosines.map(|(_, cosine, _)| cosine.map(f64::from)) {
        // three directions cannot lie to each other as they like
        if 1.0 + 2.0 * a * b * c - a * a - b * b - c * c < -1e-5 {
            wrong.push("no three directions have the cosines of weights".into());
        }
        if scan.policy.refactor_glu && c < 0.0 {
            wrong.push(format!(
                "`cos_gate_in` is {c}, although signs were turned so that it is not negative"
            ));
        }
    }
    if of.norms.gate.is_some() != gated {
        wrong.push(format!("`norm_gate` is {:?}", of.norms.gate));
    }
    for (name, norm) in [
        ("norm_in", Some(of.norms.input)),
        ("norm_gate", of.norms.gate),
        ("norm_out", Some(of.norms.out)),
    ] {
        if norm.is_some_and(|norm| norm < 0.0) {
            wrong.push(format!("`{name}` is {norm:?}"));
        }
    }
    let share = of.null_share;
    if share.is_some_and(|share| !(-1e-3..=1.001).contains(&share)) {
        wrong.push(format!("`null_share` is {share:?}"));
    }
    if of.norms.out > 0.0 && share.is_some() != info.null_dim.is_some() {
        wrong.push(format!(
            "`null_share` is {share:?}; the dimension is {:?}",
            info.null_dim
        ));
    }
    let early = layer < info.early_layers;
    let lists = [
        ("top", &of.top, false, true),
        ("bottom", &of.bottom, true, true),
        ("read_in_top", &of.reads_in.top, false, early),
        ("read_in_bottom", &of.reads_in.bottom, true, early),
        ("read_gate_top", &of.reads_gate.top, false, early && gated),
        (
            "read_gate_bottom",
            &of.reads_gate.bottom,
            true,
            early && gated,
        ),
    ];
    let n = TOP_TOKENS.min(scan.model.d_vocab as usize);
    for (name, list, ascending, may_be) in lists {
        if !list.is_empty() && !may_be {
            wrong.push(format!("`{name}` has {} tokens; expected none", list.len()));
        } else if !list.is_empty() && list.len() != n {
            wrong.push(format!("`{name}` has {} tokens; expected {n}", list.len()));
        }
        wrong.extend(out_of_order(name, list, ascending));
    }
    wrong
}

/// Lists have the best first, ties by id, and each entry once.
fn out_of_order<I: Copy + Ord>(name: &str, list: &[(I, f32)], ascending: bool) -> Option<String> {
    let ordered = list.windows(2).all(|pair| {
        let ((a, x), (b, y)) = (pair[0], pair[1]);
        let (x, y) = if ascending { (y, x) } else { (x, y) };
        x > y || (x == y && a < b)
    });
    let mut ids: Vec<I> = list.iter().map(|entry| entry.0).collect();
    ids.sort_unstable();
    let unique = ids.windows(2).all(|pair| pair[0] != pair[1]);
    (!ordered || !unique).then(|| format!("`{name}` is not in order"))
}

/// Whether the moments of all logit weights fit those that are listed. The unembedding is centred over the vocabulary, so
/// that their mean is 0.
fn wrong_logits(of: &NeuronWeights, d_vocab: u32) -> Option<String> {
    let Shape {
        variance,
        skewness,
        kurtosis,
        ..
    } = of.logits;
    let (variance, kurtosis, skewness) = (variance?, kurtosis?, skewness?);
    if kurtosis < skewness * skewness + 1.0 - 1e-3 * kurtosis {
        return Some("`logit_kurtosis` and `logit_skewness` do not fit each other".into());
    }
    let n = f64::from(d_vocab);
    let mut listed: Vec<(TokenId, f32)> = of.top.iter().chain(&of.bottom).copied().collect();
    listed.sort_by_key(|entry| entry.0);
    listed.dedup_by_key(|entry| entry.0);
    let sum = |power: i32| -> f64 {
        let values = listed.iter().map(|(_, value)| f64::from(*value));
        values.map(|value| value.powi(power)).sum()
    };
    let rest = n - listed.len() as f64;
    let last = of.top.last().map_or(0.0, |entry| f64::from(entry.1).abs());
    let last = last.max(
        of.bottom
            .last()
            .map_or(0.0, |entry| f64::from(entry.1).abs()),
    );
    let totals = [
        variance,
        skewness * variance.powf(1.5),
        kurtosis * variance * variance,
    ];
    let [second, third, fourth] = totals.map(|moment| moment * n);
    let (rest2, rest3, rest4) = (second - sum(2), third - sum(3), fourth - sum(4));
    let slack = |whole: f64| whole.abs() * ROUNDING + f64::MIN_POSITIVE;
    let fits = rest2 >= -slack(second)
        && rest2 <= rest * last * last + slack(second)
        && rest3.abs() <= last * rest2.max(0.0) + slack(fourth.abs().powf(0.75) * n.powf(0.25))
        && rest4 <= last * last * rest2.max(0.0) + slack(fourth)
        && (rest < 1.0 || rest4 >= rest2 * rest2 / rest - slack(fourth));
    (!fits).then(|| "the moments of its logit weights do not fit `top` and `bottom`".into())
}

/// Whether the moments of v are those of its histogram, as far as bins tell.
fn wrong_shape(histogram: &Histogram, v: &Shape) -> Option<String> {
    let step = f64::from(histogram.step);
    if step <= 0.0 {
        return Some(format!("`v_step` is {step}"));
    }
    let edge = f64::from(histogram.low) / step;
    if (edge - edge.round()).abs() > 1e-3 {
        return Some("no bin of `v_counts` begins at 0".into());
    }
    let bins = (0..).zip(&histogram.counts).filter(|(_, n)| **n > 0);
    let bins = bins.map(|(at, n): (u32, _)| {
        let middle = f64::from(histogram.low) + (f64::from(at) + 0.5) * step;
        (middle, f64::from(*n))
    });
    let bins: Vec<(f64, f64)> = bins.collect();
    let n: f64 = bins.iter().map(|bin| bin.1).sum();
    let mean = bins.iter().map(|(x, n)| x * n).sum::<f64>() / n;
    let central = |order: i32| {
        let powers = bins.iter().map(|(x, n)| n * (x - mean).powi(order));
        powers.sum::<f64>() / n
    };
    let size = |order: i32| {
        let powers = bins
            .iter()
            .map(|(x, n)| n * ((x - mean).abs() + step / 2.0).powi(order));
        powers.sum::<f64>() / n
    };
    // values lie anywhere in their bins: on average in the middle, unless many are equal
    let place = |order: i32| {
        let sizes = bins
            .iter()
            .map(|(x, n)| (((x - mean).abs() + step / 2.0).powi(order - 1), n));
        let mut shares: Vec<f64> = sizes.clone().map(|(size, n)| size * n).collect();
        shares.sort_by(|a, b| b.total_cmp(a));
        let equal = shares.iter().take(3).sum::<f64>() * step / 2.0;
        let spread = sizes.map(|(size, n)| size * size * n).sum::<f64>().sqrt() * step / 3.46;
        f64::from(order) * (equal + 8.0 * spread) / n
    };
    let width = |order: i32| f64::from(order * (order - 1)) * size(order - 2) * step * step / 16.0;
    let off = |order: i32| place(order) + 1e-3 * size(order);
    let variance = v.variance?;
    let skewness = v.skewness.map(|skewness| skewness * variance.powf(1.5));
    let kurtosis = v.kurtosis.map(|kurtosis| kurtosis * variance * variance);
    let about = off(1);
    for (name, found, expected, tolerance) in [
        ("v_mean", v.mean, mean, about),
        ("v_variance", Some(variance), central(2), off(2) + width(2)),
        (
            "v_skewness",
            skewness,
            central(3),
            off(3) + width(3) + 3.0 * size(2) * about,
        ),
        (
            "v_kurtosis",
            kurtosis,
            central(4),
            off(4) + width(4) + 4.0 * size(3) * about,
        ),
    ] {
        if found.is_some_and(|found| (found - expected).abs() > tolerance) {
            return Some(format!("`{name}` does not fit `v_counts`"));
        }
    }
    None
}

/// What a relation is for the other neuron.
fn reverse(relation: Relation) -> Relation {
    match relation {
        Relation::UpstreamIn => Relation::DownstreamIn,
        Relation::DownstreamIn => Relation::UpstreamIn,
        Relation::UpstreamGate => Relation::DownstreamGate,
        Relation::DownstreamGate => Relation::UpstreamGate,
        same => same,
    }
}

fn can_be(relation: Relation, own: NeuronId, other: NeuronId, gated: bool) -> bool {
    match relation {
        Relation::Alike => own != other,
        Relation::InInLayer | Relation::OutOutLayer => own.layer == other.layer && own != other,
        Relation::InInOthers | Relation::OutOutOthers => own.layer != other.layer,
        Relation::UpstreamIn => other.layer < own.layer,
        Relation::DownstreamIn => other.layer > own.layer,
        Relation::UpstreamGate => gated && other.layer < own.layer,
        Relation::DownstreamGate => gated && other.layer > own.layer,
    }
}

/// Neurons in which the lists of neighbours contradict each other, and how: whoever is another's neighbour has it as one, or
/// ten that are closer.
pub(crate) fn wrong_neighbours(all: &[Vec<NeuronWeights>], gated: bool) -> Vec<(NeuronId, String)> {
    let mut wrong = Vec::new();
    for (layer, rows) in (0..).zip(all) {
        for (neuron, row) in (0..).zip(rows) {
            let own = NeuronId { layer, neuron };
            for relation in Relation::ALL {
                let list = &row.neighbours[relation as usize];
                let sizes: Vec<(NeuronId, f32)> =
                    list.iter().map(|(id, x)| (*id, x.abs())).collect();
                let mut reasons = Vec::from_iter(out_of_order(relation.name(), &sizes, false));
                for &(other, cosine) in list {
                    let is_opposite = relation == Relation::Alike && cosine < 0.0;
                    if is_opposite || !can_be(relation, own, other, gated) {
                        reasons.push(format!("`{}` has neuron {other}", relation.name()));
                        continue;
                    }
                    let theirs = &all[other.layer as usize][other.neuron as usize];
                    let theirs = &theirs.neighbours[reverse(relation) as usize];
                    if !agrees(theirs, own, cosine, f32::abs, TOP_NEURONS) {
                        reasons.push(format!(
                            "`{}` contradicts that of neuron {other}",
                            relation.name()
                        ));
                    }
                }
                wrong.extend(reasons.into_iter().map(|reason| (own, reason)));
            }
        }
    }
    wrong
}

/// Whether a list of the `most` best has an entry with this value, or only better ones.
fn agrees<I: PartialEq>(
    list: &[(I, f32)],
    id: I,
    value: f32,
    score: impl Fn(f32) -> f32,
    most: usize,
) -> bool {
    let slack = 1e-6 * value.abs();
    match list.iter().find(|entry| entry.0 == id) {
        Some((_, found)) => (found - value).abs() <= slack,
        None => {
            let last = list.last().filter(|_| list.len() >= most);
            last.is_some_and(|last| score(value) <= score(last.1) + slack)
        }
    }
}

/// What the token index and the lists of the neurons say differently, and what contradicts itself in the index. Tokens are
/// in order, from 0.
pub(crate) fn wrong_tokens(all: &[Vec<NeuronWeights>], tokens: &[TokenNeurons]) -> Vec<String> {
    let mut wrong = Vec::new();
    let of = |id: NeuronId| &all[id.layer as usize][id.neuron as usize];
    let ends = [
        (
            0,
            f32::from as fn(f32) -> f32,
            ["promoted_logit", "promoted_v"],
        ),
        (1, |x: f32| -x, ["suppressed_logit", "suppressed_v"]),
    ];
    let lists = |row: &'_ NeuronWeights, end: usize| match end {
        0 => row.top.clone(),
        _ => row.bottom.clone(),
    };
    for (layer, rows) in (0..).zip(all) {
        for (neuron, row) in (0..).zip(rows) {
            let id = NeuronId { layer, neuron };
            for (end, score, _) in ends {
                for (token, value) in lists(row, end) {
                    let theirs = &tokens[token.0 as usize].by_logit[end];
                    if !agrees(theirs, id, value, score, TOP_NEURONS) {
                        wrong.push(format!(
                            "token {}: its neurons contradict the tokens of neuron {id}",
                            token.0
                        ));
                    }
                }
            }
        }
    }
    let mut lengths = Vec::new();
    for (token, row) in (0..).map(TokenId).zip(tokens) {
        for (end, score, names) in ends {
            let (by_logit, by_v) = (&row.by_logit[end], &row.by_v[end]);
            for (name, list) in names.into_iter().zip([by_logit, by_v]) {
                wrong.extend(
                    out_of_order(name, list, end == 1)
                        .map(|reason| format!("token {}: {reason}", token.0)),
                );
            }
            for &(id, value) in by_logit {
                if !agrees(&lists(of(id), end), token, value, score, TOP_TOKENS) {
                    wrong.push(format!(
                        "token {}: `{}` contradicts the tokens of neuron {id}",
                        token.0, names[0]
                    ));
                }
            }
            for &(id, value) in by_v {
                let Histogram { low, step, counts } = &of(id).histogram;
                let high = low + step * counts.len() as f32;
                let slack = 1e-3 * step;
                if !(low - slack..=high + slack).contains(&value) {
                    wrong.push(format!(
                        "token {}: `{}` has a value that is not in the histogram of neuron {id}",
                        token.0, names[1]
                    ));
                }
            }
            let norm = |id: NeuronId| f64::from(of(id).norms.out);
            let logit = |id: NeuronId| {
                let listed = lists(of(id), end).into_iter();
                let mut listed = listed.filter(|entry| entry.0 == token);
                listed.next().map(|entry| entry.1)
            };
            lengths.extend(length(by_logit, by_v, score, norm, logit).map(|range| (token, range)));
        }
    }
    // a logit weight is v times both lengths, where all lengths are of the same folded weights
    let is_wrong = |(_, (low, high)): &&(TokenId, (f64, f64))| *low > *high * (1.0 + ROUNDING);
    if lengths.iter().filter(is_wrong).count() * 2 < lengths.len() {
        let contradicts = lengths.iter().filter(is_wrong);
        wrong.extend(contradicts.map(|(token, _)| {
            format!(
                "token {}: logit weights, cosines and lengths do not fit each other",
                token.0
            )
        }));
    }
    wrong
}

/// What is wrong with the neurons that promote and suppress tokens when they fire, by the sides of all neurons, the tokens of
/// neurons and the lists by sign. Tokens are in order, from 0.
pub(crate) fn wrong_firing(
    all: &[Vec<NeuronWeights>],
    tokens: &[TokenNeurons],
    orientations: &[Option<Orientation>],
) -> Vec<String> {
    let d_mlp = all.iter().map(Vec::len).max().unwrap_or(0);
    let sides = |id: NeuronId| {
        let flat = id.layer as usize * d_mlp + id.neuron as usize;
        Sides::new(orientations.get(flat).copied().flatten())
    };
    let mut wrong = Vec::new();
    for (layer, rows) in (0..).zip(all) {
        for (neuron, row) in (0..).zip(rows) {
            let id = NeuronId { layer, neuron };
            for &(token, value) in row.top.iter().chain(&row.bottom) {
                let lists = &tokens[token.0 as usize].firing;
                for end in (0..2).filter(|end| value != 0.0 && sides(id).act(*end, value)) {
                    if !agrees(&lists[end], id, value, f32::abs, TOP_NEURONS) {
                        wrong.push(format!(
                            "token {}: `{}` contradicts the tokens of neuron {id}",
                            token.0, FIRING[end]
                        ));
                    }
                }
            }
        }
    }
    let listed = |id: NeuronId, value: f32| {
        let row = &all[id.layer as usize][id.neuron as usize];
        if value > 0.0 { &row.top } else { &row.bottom }
    };
    for (token, row) in (0..).map(TokenId).zip(tokens) {
        let measures = [
            (FIRING, &row.firing, &row.by_logit),
            (FIRING_BY_V, &row.firing_by_v, &row.by_v),
        ];
        for (names, firing, signed) in measures {
            for (end, name) in names.into_iter().enumerate() {
                let sizes: Vec<(NeuronId, f32)> =
                    firing[end].iter().map(|(id, x)| (*id, x.abs())).collect();
                let mut reasons = Vec::from_iter(out_of_order(name, &sizes, false));
                for &(id, value) in &firing[end] {
                    let by_sign = &signed[usize::from(value < 0.0)];
                    if value == 0.0 || !sides(id).act(end, value) {
                        reasons.push(format!("`{name}` has neuron {id}, but not by its side"));
                    } else if !agrees(by_sign, id, value, f32::abs, TOP_NEURONS) {
                        reasons.push(format!("`{name}` contradicts the lists by sign"));
                    } else if names == FIRING
                        && !agrees(listed(id, value), token, value, f32::abs, TOP_TOKENS)
                    {
                        reasons.push(format!("`{name}` contradicts the tokens of neuron {id}"));
                    }
                }
                for &(id, value) in signed.iter().flatten() {
                    let acts = value != 0.0 && sides(id).act(end, value);
                    if acts && !agrees(&firing[end], id, value, f32::abs, TOP_NEURONS) {
                        reasons.push(format!("`{name}` contradicts the lists by sign"));
                    }
                }
                let place = |reason| format!("token {}: {reason}", token.0);
                wrong.extend(reasons.into_iter().map(place));
            }
        }
    }
    wrong
}

/// The least and the largest length that a token's column of the unembedding can have, by its lists.
fn length(
    by_logit: &[(NeuronId, f32)],
    by_v: &[(NeuronId, f32)],
    score: impl Fn(f32) -> f32,
    norm: impl Fn(NeuronId) -> f64,
    logit: impl Fn(NeuronId) -> Option<f32>,
) -> Option<(f64, f64)> {
    let (mut low, mut high) = (0f64, f64::INFINITY);
    let last = |list: &[(NeuronId, f32)]| {
        let last = list.last().filter(|_| list.len() >= TOP_NEURONS);
        last.map(|entry| f64::from(score(entry.1)))
    };
    let (last_logit, last_v) = (last(by_logit), last(by_v));
    for &(id, value) in by_logit {
        let value = f64::from(score(value));
        let v = by_v.iter().find(|entry| entry.0 == id);
        let v = v.map(|entry| f64::from(score(entry.1)));
        // values that are not listed are at most the last one that is
        let least = v.or(last_v).filter(|v| *v > 1e-4 && norm(id) > 0.0);
        if let Some(least) = least.filter(|_| value > 0.0) {
            let length = value / (least * norm(id));
            low = low.max(length);
            if v.is_some() {
                high = high.min(length);
            }
        }
    }
    for &(id, v) in by_v {
        let v = f64::from(score(v));
        let known = logit(id).map(|value| f64::from(score(value)));
        let most = known.or(last_logit).filter(|most| *most > 0.0);
        if by_logit.iter().any(|entry| entry.0 == id) || v <= 1e-4 || norm(id) <= 0.0 {
            continue;
        }
        if let Some(most) = most {
            high = high.min(most / (v * norm(id)));
            if known.is_some() {
                low = low.max(most / (v * norm(id)));
            }
        }
    }
    (low > 0.0 && high.is_finite()).then_some((low, high))
}

/// What is wrong with a layer's own numbers.
pub(crate) fn wrong_info(info: &WeightsInfo, scan: &ScanIdentity) -> Vec<String> {
    let mut wrong = Vec::new();
    let n_layers = f64::from(scan.model.n_layers);
    let early = super::work::early_layers(scan.model.n_layers as usize) as u32;
    let late = (n_layers * info.options.roles.late_layers).ceil() as u32;
    for (name, found, expected) in [
        ("early_layers", info.early_layers, early),
        ("late_layers", info.late_layers, late),
    ] {
        if found != expected {
            wrong.push(format!("`{name}` is {found}; expected {expected}"));
        }
    }
    for of in &info.layers {
        let cosines = [
            ("in_out", of.in_out, true),
            ("gate_out", of.gate_out, scan.model.gated),
            ("gate_in", of.gate_in, scan.model.gated),
        ];
        for (name, region, may_be) in cosines {
            let fits = |Region { low, high }: Region| {
                let symmetric = name != "gate_in" || low == -high;
                may_be && -1.0 <= low && low <= high && high <= 1.0 && symmetric
            };
            if !region.is_none_or(fits) {
                wrong.push(format!("`{name}` of layer {} is {region:?}", of.layer));
            }
        }
    }
    wrong
}
