//! Whether examples of a neuron can be: lists against extremes and the histogram, windows against their peaks and each other,
//! places against the corpus.

use std::ops::Range;

use crate::ids::{DocId, Pos};
use crate::scan::{Counts, Positions};
use crate::shard::{ExampleRow, SAMPLE_LIST};
use crate::stats::examples::{ListKind, TopList};
use crate::stats::histogram::bin;
use crate::stats::neuron::NeuronStats;
use crate::stats::samples::{BANDS, FIRST_BANDS, RANDOM, band_name};
use crate::stats::signs::{QUANTITIES, SignCase};
use crate::stats::window::Window;
use crate::stats::{MlpKind, StatsOptions};
use crate::tokens::Vocabulary;
use crate::tokens::store::StoreError;

/// By how much a product may differ from that of its factors, relative to it, beside what eight bits leave open.
const PRODUCT: f32 = 1e-3;

/// What examples are compared with.
pub(super) struct Ground<'a> {
    /// The text that was scanned, if it is there.
    pub(super) text: Option<GroundText<'a>>,
    pub(super) options: &'a StatsOptions,
    pub(super) kind: MlpKind,
    /// Whether the atlas was imported: then it may lack lists.
    pub(super) is_imported: bool,
    /// Whether samples have become bands and the random list.
    pub(super) is_merged: bool,
}

/// The text of an atlas or a part.
pub(super) struct GroundText<'a> {
    pub(super) positions: &'a Positions<'a>,
    pub(super) vocabulary: &'a Vocabulary,
    /// The documents that were scanned, and what they have.
    pub(super) documents: Range<u32>,
    pub(super) counts: Counts,
}

/// What is wrong with the examples of a neuron.
pub(super) fn wrong_examples(
    stats: &NeuronStats,
    rows: &[ExampleRow],
    ground: &Ground<'_>,
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let listed = ground.options.lists(ground.kind);
    for of_list in rows.chunk_by(|a, b| a.list == b.list) {
        let name = of_list[0].list.as_str();
        let place =
            |row: &ExampleRow, what: String| format!("list `{name}`, rank {}: {what}", row.rank);
        for row in of_list {
            let reasons = wrong_row(row, stats, ground)?;
            wrong.extend(reasons.into_iter().map(|what| place(row, what)));
        }
        match ListKind::from_name(name) {
            Some(kind) => {
                let k = listed.iter().find(|(listed, _)| *listed == kind);
                let k = k.map_or(0, |(_, k)| *k);
                let reasons = wrong_list(kind, k, of_list, stats, ground);
                wrong.extend(
                    reasons
                        .into_iter()
                        .map(|what| format!("list `{name}`: {what}")),
                );
            }
            None => wrong.extend(wrong_draws(name, of_list, stats, ground)),
        }
    }
    let has = |name: &str| rows.iter().any(|row| row.list == name);
    for (kind, k) in listed.into_iter().filter(|_| !ground.is_imported) {
        let expected = match kind {
            ListKind::Case(case) => stats
                .cases
                .as_ref()
                .is_some_and(|c| c[case as usize].count > 0),
            _ => stats.moments.count > 0,
        };
        if k > 0 && expected && !has(kind.name()) {
            wrong.push(format!("list `{}` is missing", kind.name()));
        }
    }
    let drawn = stats.not_finite == Some(0) && ground.options.random > 0 && stats.moments.count > 0;
    if ground.is_merged && drawn && !has(RANDOM) && !ground.is_imported {
        wrong.push(format!("list `{RANDOM}` is missing"));
    }
    wrong.extend(contradictions(rows));
    Ok(wrong)
}

/// Whether a list is of the hook that is ranked.
pub(super) fn is_ranked(list: &str) -> bool {
    !matches!(
        ListKind::from_name(list),
        Some(
            ListKind::PreTop
                | ListKind::PreBottom
                | ListKind::PreLinearTop
                | ListKind::PreLinearBottom
        )
    )
}

fn wrong_row(
    row: &ExampleRow,
    stats: &NeuronStats,
    ground: &Ground<'_>,
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let (example, window) = (&row.example, &row.example.window);
    let Pos(pos) = example.pos;
    if let Some(text) = &ground.text {
        wrong.extend(wrong_place(row, text, ground.options)?);
    }
    if window.steps[(pos - window.start) as usize] != Window::step(example.value, window.scale) {
        wrong.push("`value` is not that of `steps` and `scale`".into());
    }
    if let Some(largest) = wrong_largest(window) {
        wrong.push(format!("the largest of `steps` is {largest}"));
    }
    wrong.extend(wrong_hooks(row, ground));
    if is_ranked(&row.list) {
        let value = example.value;
        if value > stats.moments.max || value < stats.moments.min {
            wrong.push(format!("`value` is {value}, beyond `min` and `max`"));
        } else if let Some(histogram) = &stats.histogram
            && histogram.counts()[usize::from(bin(value))] == 0
        {
            wrong.push(format!("`value` is {value}, where the histogram is empty"));
        }
    }
    if let (Some(post), Some(value)) = (&stats.post, example.post)
        && (value > post.max || value < post.min)
    {
        wrong.push(format!(
            "`post` is {value}, beyond `post_min` and `post_max`"
        ));
    }
    let is_listed = ListKind::from_name(&row.list).is_some();
    let has_context = example.context != 0 || !example.duplicates.is_empty();
    if row.knows_context && !is_listed && has_context {
        wrong.push("`context` and `duplicates` are not empty".into());
    }
    Ok(wrong)
}

/// What is wrong with the place of an example in the corpus, and with its text.
fn wrong_place(
    row: &ExampleRow,
    text: &GroundText<'_>,
    options: &StatsOptions,
) -> Result<Vec<String>, StoreError> {
    let mut wrong = Vec::new();
    let (example, window, positions) = (&row.example, &row.example.window, text.positions);
    let Pos(pos) = example.pos;
    if !text.documents.contains(&example.doc.0) {
        wrong.push(format!("`doc` is {}", example.doc.0));
        return Ok(wrong);
    }
    let n_positions = positions.n_positions(example.doc);
    if pos >= n_positions {
        wrong.push(format!(
            "`pos` is {pos}; document {} has {n_positions} positions",
            example.doc.0
        ));
        return Ok(wrong);
    }
    let start = pos.saturating_sub(options.window_before);
    let end = n_positions.min(pos + 1 + options.window_after);
    if window.start != start || window.start + window.steps.len() as u32 != end {
        wrong.push(format!(
            "its values are from position `start` = {} on, {} of them; expected {start} to {end}",
            window.start,
            window.steps.len()
        ));
    }
    if !positions.is_counted(example.doc, example.pos)? {
        wrong.push(format!("`pos` {pos} does not count"));
    }
    for (pos, own) in (window.start..end).zip(row.tokens.iter().flatten()) {
        let token = positions.token(example.doc, Pos(pos))?;
        if token.is_none_or(|token| text.vocabulary.text(token) != *own) {
            wrong.push(format!("`tokens` has another text for position {pos}"));
            break;
        }
    }
    let is_listed = row.knows_context && ListKind::from_name(&row.list).is_some();
    if is_listed && positions.context(example.doc, example.pos)? != example.context {
        wrong.push("`context` is not that of the tokens before `pos`".into());
    }
    Ok(wrong)
}

/// The largest of a window's steps, if it is not the one that makes its scale.
fn wrong_largest(window: &Window) -> Option<u8> {
    let finite = window.steps.iter();
    let finite = finite.filter(|step| **step != Window::NOT_FINITE);
    let largest = finite.map(|step| step.unsigned_abs()).max().unwrap_or(0);
    let expected = if window.scale > 0.0 { 127 } else { 0 };
    // the smallest numbers cannot be divided
    (largest != expected && window.scale > f32::MIN_POSITIVE).then_some(largest)
}

/// By how much a value may differ from the one that a window of this scale has, in eight bits.
fn half_step(scale: f32) -> f32 {
    scale * 0.505
}

/// Gate, act(gate) and in stand beside the ranked values of sign cases if the scan keeps them, and make them up.
fn wrong_hooks(row: &ExampleRow, ground: &Ground<'_>) -> Option<String> {
    let (example, list) = (&row.example, ListKind::from_name(&row.list));
    let case = match list {
        Some(ListKind::Case(case)) if ground.options.keep_hooks => Some(case),
        _ => None,
    };
    let (case, [gate, act, input]) = match (case, example.hooks.as_deref()) {
        (None, None) => return None,
        (None, Some(_)) => return Some("it has values of hooks that the scan did not keep".into()),
        (Some(_), None) => return Some("the values of gate, act and in are missing".into()),
        (Some(case), Some(hooks)) => (case, hooks),
    };
    for (name, hook) in QUANTITIES.into_iter().zip([gate, act, input]) {
        if let Some(largest) = wrong_largest(hook) {
            return Some(format!("the largest of `{name}_steps` is {largest}"));
        }
    }
    let at = (example.pos.0 - example.window.start) as usize;
    let is_positive = [
        matches!(case, SignCase::PosPos | SignCase::PosNeg),
        matches!(case, SignCase::PosPos | SignCase::NegPos),
    ];
    for (hook, is_positive) in [gate, input].into_iter().zip(is_positive) {
        // what is rounded to 0 has no sign
        if hook.steps[at] != 0 && (hook.steps[at] > 0) != is_positive {
            return Some("gate and in have other signs at its peak".into());
        }
    }
    let halves = [&example.window, gate, act, input].map(|window| half_step(window.scale));
    let [ranked_half, gate_half, act_half, in_half] = halves;
    let ranked = example.window.values().enumerate();
    let ranked = ranked.map(|(i, value)| match i == at {
        true => (Some(example.value), 0.0),
        false => (value, ranked_half),
    });
    let hooks = gate.values().zip(act.values()).zip(input.values());
    for (pos, ((ranked, half), ((gate, act), input))) in
        (example.window.start..).zip(ranked.zip(hooks))
    {
        let fits = match (ranked, act, input) {
            (Some(ranked), Some(act), Some(input)) => {
                let slack = half + act.abs() * in_half + input.abs() * act_half;
                let slack = slack + act_half * in_half + ranked.abs() * PRODUCT + f32::MIN_POSITIVE;
                (ranked - act * input).abs() <= slack
            }
            // the product may be too large for a number
            (ranked, ..) => ranked.is_none(),
        };
        if !fits {
            return Some(format!("at position {pos} its value is not act(gate) · in"));
        }
        if let (Some(gate), Some(act)) = (gate, act)
            && (act.abs() > gate.abs() + act_half + gate_half || act * gate < 0.0)
        {
            return Some(format!("act is not that of gate at position {pos}"));
        }
    }
    None
}

fn wrong_list(
    kind: ListKind,
    k: usize,
    rows: &[ExampleRow],
    stats: &NeuronStats,
    ground: &Ground<'_>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    if rows.len() > k {
        wrong.push(format!(
            "it has {} examples; expected at most {k}",
            rows.len()
        ));
    }
    let place = |row: &ExampleRow| {
        let example = &row.example;
        (-kind.score(example.value), example.doc, example.pos)
    };
    if !rows.is_sorted_by(|a, b| place(a) < place(b)) {
        wrong.push("it is not in order".into());
    }
    let mut docs: Vec<DocId> = rows.iter().map(|row| row.example.doc).collect();
    let mut contexts: Vec<u64> = rows.iter().map(|row| row.example.context).collect();
    docs.sort_unstable();
    contexts.sort_unstable();
    if docs.windows(2).any(|pair| pair[0] == pair[1]) {
        wrong.push("a document is in it twice".into());
    }
    let known = rows.iter().all(|row| row.knows_context);
    if known && contexts.windows(2).any(|pair| pair[0] == pair[1]) {
        wrong.push("a context is in it twice".into());
    }
    let best = rows[0].example.value;
    let cases = stats.cases.as_ref();
    let expected = match kind {
        ListKind::Top => Some(stats.moments.max),
        ListKind::Bottom => Some(stats.moments.min),
        ListKind::Case(case) => cases.map(|cases| cases[case as usize].extremes[3].abs()),
        _ => None,
    };
    let found = match kind {
        ListKind::Case(_) => best.abs(),
        _ => best,
    };
    if expected.is_some_and(|expected| expected != found) {
        wrong.push(format!(
            "its first value is {best}; the statistics have {expected:?}"
        ));
    }
    wrong.extend(wrong_gate(kind, best, stats));
    let last = kind.score(rows[rows.len() - 1].example.value);
    let (mut n, mut is_cut) = (0, false);
    for (rank, row) in rows.iter().enumerate() {
        let duplicates = &row.example.duplicates;
        let own = kind.score(row.example.value);
        let fits = duplicates.is_sorted_by(|a, b| a >= b)
            && duplicates.first().is_none_or(|first| *first <= own)
            && (rows.len() < k || duplicates.last().is_none_or(|least| *least > last));
        if !fits {
            wrong.push(format!("rank {rank}: `duplicates` are not in order"));
        }
        n += 1 + duplicates.len() as u64;
        is_cut |= duplicates.len() >= TopList::MAX_DUPLICATES;
    }
    // with room for more, every document is in it
    let of_all = matches!(kind, ListKind::Top | ListKind::Bottom) && stats.not_finite == Some(0);
    let n_documents = ground.text.as_ref().map(|text| text.counts.n_documents);
    if let Some(n_documents) = n_documents
        && (of_all && known && rows.len() < k && !is_cut && n != n_documents)
    {
        wrong.push(format!(
            "it has room for more, and {n} of {n_documents} documents"
        ));
    }
    if let (ListKind::Top | ListKind::Bottom, Some(histogram)) = (kind, &stats.histogram) {
        let beyond = |value: f32| {
            let at = usize::from(bin(value));
            let counts = histogram.counts();
            let counts = if kind == ListKind::Top {
                &counts[at..]
            } else {
                &counts[..=at]
            };
            counts.iter().sum::<u64>()
        };
        let above = (1..).zip(rows);
        for (rank, row) in above {
            if beyond(row.example.value) < rank {
                wrong.push(format!("the histogram has fewer than {rank} such values"));
                break;
            }
        }
    }
    wrong
}

/// Where the gate is ranked, its extremes stand in the sign cases as well.
fn wrong_gate(kind: ListKind, best: f32, stats: &NeuronStats) -> Option<String> {
    let cases = stats.cases.as_ref()?;
    let (quantity, own) = match kind {
        ListKind::PreTop => (0, [SignCase::PosPos, SignCase::PosNeg]),
        ListKind::PreBottom => (0, [SignCase::NegPos, SignCase::NegNeg]),
        ListKind::PreLinearTop => (2, [SignCase::PosPos, SignCase::NegPos]),
        ListKind::PreLinearBottom => (2, [SignCase::PosNeg, SignCase::NegNeg]),
        _ => return None,
    };
    let extremes = own.map(|case| kind.score(cases[case as usize].extremes[quantity]));
    let extreme = extremes[0].max(extremes[1]);
    let complete = cases.iter().map(|case| case.count).sum::<u64>() == stats.moments.count;
    let found = kind.score(best);
    let differs = found < extreme || (complete && found != extreme);
    (extreme > 0.0 && differs)
        .then(|| format!("its first value is {best}; sign cases have {extreme}"))
}

/// Samples, bands and the random list: positions that can be drawn, in the order of their hashes.
fn wrong_draws(
    name: &str,
    rows: &[ExampleRow],
    stats: &NeuronStats,
    ground: &Ground<'_>,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let wanted = ground.options.samples();
    let plan = ground.text.as_ref().map(|text| &text.positions.plan);
    let ranks = plan.map(|plan| {
        let rank = |row: &ExampleRow| plan.rank(row.example.doc, row.example.pos);
        rows.iter().map(rank).collect::<Vec<Option<u32>>>()
    });
    let mut bands = BANDS.into_iter().chain(FIRST_BANDS);
    let band = bands.find(|band| band_name(*band) == name);
    let (most_tries, most) = match (name, band) {
        (SAMPLE_LIST, _) => (wanted.most_tries(), usize::MAX),
        (_, Some(band)) => (wanted.tries(band), wanted.per_band),
        _ => (wanted.random, wanted.random),
    };
    if (name == SAMPLE_LIST) == ground.is_merged {
        wrong.push(format!("list `{name}` is not of such a table"));
    }
    let drawn = |rank: &Option<u32>| rank.is_some_and(|rank| (rank as usize) < most_tries);
    let are_drawn =
        |ranks: &Vec<Option<u32>>| ranks.iter().all(drawn) && ranks.is_sorted_by(|a, b| a < b);
    if rows.len() > most || !ranks.as_ref().is_none_or(are_drawn) {
        wrong.push(format!(
            "list `{name}`: its positions are not those that were drawn"
        ));
    }
    match (name, band) {
        (SAMPLE_LIST, _) => {
            let own = rows.iter().map(|row| Some(row.rank));
            if ranks.is_some_and(|ranks| !own.eq(ranks)) {
                wrong.push(format!("list `{name}`: `rank` is not that of the draw"));
            }
        }
        (_, Some((low, high))) => {
            let inside = |row: &ExampleRow| {
                let histogram = stats.histogram.as_ref();
                let middle = histogram.map(|of| of.middle(bin(row.example.value)));
                middle.is_none_or(|middle| low <= middle && middle < high)
            };
            if !rows.iter().all(inside) {
                wrong.push(format!("list `{name}`: a value is not in the band"));
            }
        }
        _ => {
            let expected = plan.map_or(rows.len(), |plan| most.min(plan.len()));
            if stats.not_finite == Some(0) && rows.len() != expected {
                wrong.push(format!(
                    "list `{name}` has {} examples; expected {expected}",
                    rows.len()
                ));
            }
        }
    }
    wrong
}

/// Whether two windows have different values where they overlap.
fn contradict(x: &Window, y: &Window) -> bool {
    let slack = half_step(x.scale) + half_step(y.scale);
    let offset = (y.start.max(x.start) - x.start) as usize;
    let skip = (x.start.max(y.start) - y.start) as usize;
    let mut both = x.values().skip(offset).zip(y.values().skip(skip));
    both.any(|both| match both {
        (Some(a), Some(b)) => (a - b).abs() > slack,
        (a, b) => a.is_some() != b.is_some(),
    })
}

/// Where windows overlap, they have the same values.
fn contradictions(rows: &[ExampleRow]) -> Option<String> {
    let ranked = rows.iter().filter(|row| is_ranked(&row.list));
    let mut ranked: Vec<&ExampleRow> = ranked.collect();
    ranked.sort_by_key(|row| (row.example.doc, row.example.pos));
    let differ = |a: &ExampleRow, b: &ExampleRow| -> bool {
        let (x, y) = (&a.example, &b.example);
        if x.pos == y.pos {
            return x.value != y.value || x.post != y.post || x.window != y.window;
        }
        let hooks = x.hooks.iter().flat_map(|hooks| hooks.iter());
        let hooks = hooks.zip(y.hooks.iter().flat_map(|hooks| hooks.iter()));
        let mut pairs = std::iter::once((&x.window, &y.window)).chain(hooks);
        pairs.any(|(x, y)| contradict(x, y))
    };
    // the next two are enough to see one that differs from all
    for (at, a) in ranked.iter().enumerate() {
        for b in ranked[at + 1..].iter().take(2) {
            if a.example.doc == b.example.doc && differ(a, b) {
                return Some(format!(
                    "lists `{}`, rank {}, and `{}`, rank {}, have different values at the same positions",
                    a.list, a.rank, b.list, b.rank
                ));
            }
        }
    }
    None
}
