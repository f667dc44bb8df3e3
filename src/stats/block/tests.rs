//! Blocks against the definitions, and parts against the whole.

use std::ops::Range;

use super::*;
use crate::ids::{DocId, Pos, TokenId};
use crate::lanes::Isa;
use crate::stats::examples::{Example, ListKind};
use crate::stats::hash;
use crate::stats::samples::{Sample, SamplePlan};
use crate::stats::signs::SignCase;
use crate::stats::starts::START_POSITIONS;
use crate::stats::window::Window;
use proptest::prelude::*;

const N: usize = 3;
const CONTEXT: u32 = 5;

/// One document's activations: for each position `[pre, pre_linear, act, post]` of each neuron.
type Document = Vec<[[f32; 4]; N]>;

struct TestWindow {
    info: WindowInfo,
    columns: [Vec<f32>; 4],
}

/// Cuts documents into windows of `CONTEXT` rows, each after one special row.
fn windows(documents: &[Document]) -> Vec<TestWindow> {
    let mut out = Vec::new();
    for (doc, document) in documents.iter().enumerate() {
        for (at, rows) in document.chunks(CONTEXT as usize).enumerate() {
            let start = at as u32 * CONTEXT;
            let special = [[9.0; 4]; N];
            let all: Vec<_> = std::iter::once(&special).chain(rows).collect();
            out.push(TestWindow {
                info: WindowInfo {
                    doc: DocId(doc as u32),
                    start: Pos(start),
                    skip: 1,
                    n_start: 4.min(all.len()),
                    counted: (0..all.len()).map(|row| row > 0).collect(),
                    contexts: (0..all.len())
                        .map(|row| context(doc, start + row as u32 - u32::from(row > 0)))
                        .collect(),
                    ends_document: start as usize + rows.len() == document.len(),
                },
                columns: std::array::from_fn(|q| {
                    all.iter()
                        .flat_map(|row| row.iter().map(move |v| v[q]))
                        .collect()
                }),
            });
        }
    }
    out
}

fn context(doc: usize, pos: u32) -> u64 {
    hash::context(&[TokenId(doc as u32 % 4), TokenId(pos % 3)])
}

/// Some columns of windows, as a block wants them.
fn panels(batch: &[TestWindow], neurons: Range<usize>) -> Vec<[Vec<f32>; 4]> {
    let panel = |window: &TestWindow| {
        window.columns.each_ref().map(|values| {
            let rows = values.chunks_exact(N);
            rows.flat_map(|row| {
                let mut lanes = [0.0; WIDTH];
                lanes[..neurons.len()].copy_from_slice(&row[neurons.clone()]);
                lanes
            })
            .collect()
        })
    };
    batch.iter().map(panel).collect()
}

fn scan(
    windows: &[TestWindow],
    batch: usize,
    options: &StatsOptions,
    plan: &SamplePlan,
    n_total: u64,
) -> Vec<Neuron> {
    scan_on(Isa::best(), windows, batch, options, plan, n_total)
}

fn scan_on(
    isa: Isa,
    windows: &[TestWindow],
    batch: usize,
    options: &StatsOptions,
    plan: &SamplePlan,
    n_total: u64,
) -> Vec<Neuron> {
    let mut out = Vec::new();
    for neurons in [0..2, 2..N] {
        let mut block = Block::new(neurons.len(), MlpKind::Gated, options);
        for batch in windows.chunks(batch) {
            let infos: Vec<_> = batch.iter().map(|w| w.info.clone()).collect();
            let panels = panels(batch, neurons.clone());
            let rows = panels
                .iter()
                .map(|[pre, pre_linear, act, ranked]| WindowRows {
                    pre,
                    ranked,
                    post: None,
                    gated: Some(GatedRows { pre_linear, act }),
                });
            let rows: Vec<_> = rows.collect();
            let batch = LayerBatch {
                windows: &infos,
                rows: &rows,
            };
            let context = ScanContext {
                options,
                plan,
                n_total,
                isa,
            };
            block.observe(&batch, &context);
        }
        out.extend(block.harvest());
    }
    out
}

/// The definitions, one neuron at a time over whole documents.
fn reference(
    documents: &[Document],
    neuron: usize,
    options: &StatsOptions,
    plan: &SamplePlan,
) -> Neuron {
    let mut out = Neuron::new(options, MlpKind::Gated);
    let n_total: usize = documents.iter().map(Vec::len).sum();
    let mut best_samples = Vec::new();
    for (doc, document) in documents.iter().enumerate() {
        for _ in document.chunks(CONTEXT as usize) {
            out.stats.special.as_mut().unwrap().push(9.0);
        }
        let window = |quantity: usize, pos: usize| {
            let from = pos.saturating_sub(options.window_before as usize);
            let until = (pos + options.window_after as usize + 1).min(document.len());
            let values: Vec<f32> = document[from..until]
                .iter()
                .map(|row| row[neuron][quantity])
                .collect();
            Window::new(from as u32, &values)
        };
        let mut peaks: Vec<Option<(f32, usize)>> = vec![None; out.lists.len()];
        for (pos, row) in document.iter().enumerate() {
            let [pre, input, act, post] = row[neuron];
            if ![pre, input, act, post].iter().all(|v| v.is_finite()) {
                *out.stats.not_finite.as_mut().unwrap() += 1;
                continue;
            }
            out.stats.moments.push(post);
            let starts = out.stats.starts.as_mut().unwrap();
            // the row before the first is special, and the first of the window
            match pos % (CONTEXT as usize) < START_POSITIONS {
                true => starts.moments.push(post),
                false => {
                    starts.elsewhere_min = starts.elsewhere_min.min(post);
                    starts.elsewhere_max = starts.elsewhere_max.max(post);
                }
            }
            *out.stats.sums[0].as_mut().unwrap() += f64::from(post.abs());
            out.stats.histogram.as_mut().unwrap().push(post);
            *out.stats.n_firing.as_mut().unwrap() += u64::from(pre > 0.0);
            *out.stats.n_above_tau.as_mut().unwrap() += u64::from(post.abs() > options.tau);
            let case = SignCase::of(pre, input);
            if let Some(case) = case {
                out.stats.cases.as_mut().unwrap()[case as usize].push([pre, act, input, post]);
            }
            for (list, peak) in out.lists.iter().zip(&mut peaks) {
                let value = [post, pre, input][quantity_of(list.kind()) as usize];
                let listed = !matches!(list.kind(), ListKind::Case(listed) if Some(listed) != case);
                let score = list.kind().score(value);
                if listed && peak.is_none_or(|(best, _)| score > list.kind().score(best)) {
                    *peak = Some((value, pos));
                }
            }
            let drawn = plan
                .of_document(DocId(doc as u32))
                .iter()
                .find(|p| p.1.0 == pos as u32);
            if let Some(&(doc, pos, rank)) = drawn {
                let window = window(3, pos.0 as usize);
                best_samples.push(Sample {
                    rank,
                    doc,
                    pos,
                    value: post,
                    post: None,
                    window,
                });
            }
        }
        for (list, peak) in out.lists.iter_mut().zip(peaks) {
            if let Some((value, pos)) = peak {
                let keeps_hooks = options.keep_hooks && matches!(list.kind(), ListKind::Case(_));
                let hooks = || Box::new([0, 2, 1].map(|quantity| window(quantity, pos)));
                list.insert(Example {
                    hooks: keeps_hooks.then(hooks),
                    value,
                    post: None,
                    doc: DocId(doc as u32),
                    pos: Pos(pos as u32),
                    context: context(doc, pos as u32),
                    window: window([3, 0, 1][quantity_of(list.kind()) as usize], pos),
                    duplicates: Vec::new(),
                });
            }
        }
    }
    out.samples = Samples::new(best_samples);
    out.prune(options, n_total as u64);
    out
}

/// `[pre, pre_linear, act, post]`, where act has the sign of pre, as of any activation function.
fn activations() -> impl Strategy<Value = [f32; 4]> {
    (value(), value(), value(), value()).prop_map(|(pre, input, act, post)| {
        let act = if pre > 0.0 { act.abs() } else { -act.abs() };
        let act = if pre == 0.0 { 0.0 } else { act };
        let same = (act < 0.0) == (input < 0.0);
        let post = if same { post.abs() } else { -post.abs() };
        let post = if act * input == 0.0 { 0.0 } else { post };
        [pre, input, act, post]
    })
}

fn value() -> impl Strategy<Value = f32> {
    prop_oneof![8 => (-40i8..40).prop_map(|v| f32::from(v) / 8.0), 1 => Just(0.0f32), 1 => Just(f32::NAN), 1 => Just(f32::INFINITY)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn any_batches_equal_the_definitions(
        documents in prop::collection::vec(prop::collection::vec(prop::array::uniform3(activations()), 1..23), 1..14),
        batch in 1usize..9,
        seed in 0u64..4,
        keep_hooks in any::<bool>(),
        rank_pre in any::<bool>(),
    ) {
        let options = StatsOptions {
            top_k: 3, case_k: 2, per_band: 2, random: 3, window_before: 6, window_after: 3, rank_pre, keep_hooks, seed,
            ..Default::default()
        };
        let plan = SamplePlan::new(seed, options.samples().most_tries(), documents.iter().map(|d| d.len() as u32), |_, _| {
            Ok::<_, std::convert::Infallible>(true)
        }).unwrap();
        let n_total = documents.iter().map(Vec::len).sum::<usize>() as u64;
        for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
            let found = scan_on(isa, &windows(&documents), batch, &options, &plan, n_total);
            for (neuron, mut found) in found.into_iter().enumerate() {
                let expected = reference(&documents, neuron, &options, &plan);
                found.prune(&options, n_total);
                prop_assert_eq!(&found.stats, &expected.stats);
                prop_assert_eq!(&found.lists, &expected.lists);
                prop_assert_eq!(found.samples.kept(), expected.samples.kept());
            }
        }
    }

    #[test]
    fn parts_merge_to_the_whole(
        documents in prop::collection::vec(prop::collection::vec(prop::array::uniform3(activations()), 1..12), 2..14),
        cut in 1usize..13,
        keep_hooks in any::<bool>(),
    ) {
        let options = StatsOptions { top_k: 3, case_k: 2, per_band: 2, random: 3, window_before: 6, window_after: 3, keep_hooks, ..Default::default() };
        let cut = cut.min(documents.len() - 1);
        let plan = SamplePlan::new(0, options.samples().most_tries(), documents.iter().map(|d| d.len() as u32), |_, _| {
            Ok::<_, std::convert::Infallible>(true)
        }).unwrap();
        let n_total = documents.iter().map(Vec::len).sum::<usize>() as u64;
        let all = windows(&documents);
        let at = all.iter().position(|w| w.info.doc.0 as usize == cut).unwrap();
        let whole = scan(&all, 4, &options, &plan, n_total);
        for (a_first, (first, second)) in [(true, (&all[..at], &all[at..])), (false, (&all[at..], &all[..at]))] {
            let (first, second) = (scan(first, 3, &options, &plan, n_total), scan(second, 2, &options, &plan, n_total));
            for ((mut merged, more), whole) in first.into_iter().zip(second).zip(&whole) {
                merged.merge(more, &options, n_total);
                let mut whole = whole.clone();
                whole.prune(&options, n_total);
                prop_assert_eq!(&merged.lists, &whole.lists, "a first: {}", a_first);
                prop_assert_eq!(&merged.stats.histogram, &whole.stats.histogram);
                prop_assert_eq!(merged.stats.moments.count, whole.stats.moments.count);
                let sums = [&merged, &whole].map(|neuron| neuron.stats.moments.sums.unwrap());
                for (a, b) in sums[0].into_iter().zip(sums[1]) {
                    prop_assert!((a - b).abs() <= 1e-9 * b.abs().max(1.0));
                }
                for band in crate::stats::samples::BANDS {
                    let ranks = |n: &Neuron| n.samples.band(n.stats.histogram.as_ref().unwrap(), band, options.samples()).iter().map(|s| s.rank).collect::<Vec<_>>();
                    prop_assert_eq!(ranks(&merged), ranks(&whole));
                }
            }
        }
    }
}
