//! The k best examples of a neuron, one per document, near-duplicates collapsed (DEFINITIONS 4).

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use crate::ids::{DocId, Pos};

use super::signs::SignCase;
use super::window::Window;

/// One peak of one document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The ranked value at the peak, exact.
    pub value: f32,
    /// `hook_post` at the peak, where that is not the ranking hook; SoLU neurons only.
    pub post: Option<f32>,
    /// Document of the peak.
    pub doc: DocId,
    /// Position of the peak.
    pub pos: Pos,
    /// Hash of the tokens up to and including the peak; equal in near-duplicates.
    pub context: u64,
    /// Values around the peak.
    pub window: Window,
    /// Values of the hooks beside it, where they are kept.
    pub hooks: Option<Box<Hooks>>,
    /// Scores of the other documents with the same context, descending, the best [`TopList::MAX_DUPLICATES`] only.
    pub duplicates: Vec<f32>,
}

/// The windows of gate, act(gate) and in around a peak of a gated neuron, in the order of
/// [`QUANTITIES`](super::signs::QUANTITIES).
pub type Hooks = [Window; 3];

/// What a list ranks, and by what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ListKind {
    /// Most positive values of the ranking hook.
    Top,
    /// Most negative values of the ranking hook.
    Bottom,
    /// Largest magnitudes of the ranking hook within a sign case.
    Case(SignCase),
    /// Most positive values of `hook_pre` (the gate).
    PreTop,
    /// Most negative values of `hook_pre`.
    PreBottom,
    /// Most positive values of `hook_pre_linear` (the linear input of a gated neuron).
    PreLinearTop,
    /// Most negative values of `hook_pre_linear`.
    PreLinearBottom,
}

impl ListKind {
    /// Every kind.
    pub const ALL: [Self; 10] = [
        Self::Top,
        Self::Bottom,
        Self::Case(SignCase::PosPos),
        Self::Case(SignCase::PosNeg),
        Self::Case(SignCase::NegPos),
        Self::Case(SignCase::NegNeg),
        Self::PreTop,
        Self::PreBottom,
        Self::PreLinearTop,
        Self::PreLinearBottom,
    ];

    /// Name in records and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Top => "top",
            Self::Bottom => "bottom",
            Self::Case(case) => case.name(),
            Self::PreTop => "pre_top",
            Self::PreBottom => "pre_bottom",
            Self::PreLinearTop => "pre_linear_top",
            Self::PreLinearBottom => "pre_linear_bottom",
        }
    }

    /// The kind of a name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The number by which the list is ordered, descending, for a ranked value.
    #[inline(always)]
    pub fn score(self, value: f32) -> f32 {
        // adding 0 turns -0.0 into 0.0, so that the two tie
        0.0 + match self {
            Self::Top | Self::PreTop | Self::PreLinearTop => value,
            Self::Bottom | Self::PreBottom | Self::PreLinearBottom => -value,
            Self::Case(_) => value.abs(),
        }
    }
}

/// The best `k` contexts, each with its best example: score descending, then document, then position. Merging the
/// lists of any parts gives the list of the whole.
///
/// A context's `duplicates` are the other documents that peak on it with a score above the last entry's. Those at
/// or below it are not known to every part, and so are not counted anywhere.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TopList {
    kind: ListKind,
    k: usize,
    entries: Vec<Example>,
}

impl TopList {
    /// Most duplicates that an entry counts.
    pub const MAX_DUPLICATES: usize = 255;

    /// An empty list of at most `k` entries.
    pub fn new(kind: ListKind, k: usize) -> Self {
        Self {
            kind,
            k,
            entries: Vec::new(),
        }
    }

    /// Whether the list ranks by the same score as another and fits its length.
    pub(super) fn has_limits_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.k == other.k && self.entries.len() <= self.k
    }

    /// What the list ranks.
    pub fn kind(&self) -> ListKind {
        self.kind
    }

    /// The entries, best first.
    pub fn entries(&self) -> &[Example] {
        &self.entries
    }

    /// The score above which a further document matters; `-∞` while the list has room.
    #[inline(always)]
    pub fn threshold(&self) -> f32 {
        match self.entries.last() {
            Some(last) if self.entries.len() >= self.k => self.kind.score(last.value),
            _ if self.k == 0 => f32::INFINITY,
            _ => f32::NEG_INFINITY,
        }
    }

    fn order(&self, a: &Example, b: &Example) -> Ordering {
        self.kind
            .score(b.value)
            .total_cmp(&self.kind.score(a.value))
            .then(a.doc.cmp(&b.doc))
            .then(a.pos.cmp(&b.pos))
    }

    /// Offers the best example of a document that the list has not seen.
    pub fn insert(&mut self, mut example: Example) {
        if self.k == 0 {
            return;
        }
        match self
            .entries
            .iter()
            .position(|entry| entry.context == example.context)
        {
            Some(at) => {
                let entry = &mut self.entries[at];
                let (score, own) = (self.kind.score(example.value), self.kind.score(entry.value));
                let mut duplicates = std::mem::take(&mut entry.duplicates);
                let replaces = self.order(&example, &self.entries[at]) == Ordering::Less;
                let other = if replaces { own } else { score };
                let place = duplicates.partition_point(|known| *known >= other);
                duplicates.insert(place, other);
                if !example.duplicates.is_empty() {
                    duplicates.append(&mut example.duplicates);
                    duplicates.sort_by(|a, b| b.total_cmp(a));
                }
                if replaces {
                    self.entries.remove(at);
                    example.duplicates = duplicates;
                    self.place(example);
                } else {
                    self.entries[at].duplicates = duplicates;
                }
            }
            None => self.place(example),
        }
        self.entries.truncate(self.k);
        self.prune();
    }

    fn place(&mut self, example: Example) {
        let at = self
            .entries
            .partition_point(|entry| self.order(entry, &example) == Ordering::Less);
        self.entries.insert(at, example);
    }

    /// Duplicates are kept in descending order, so what is too many or too small stands at the end.
    fn prune(&mut self) {
        let threshold = self.threshold();
        for entry in &mut self.entries {
            let n = entry.duplicates.partition_point(|score| *score > threshold);
            entry.duplicates.truncate(n.min(Self::MAX_DUPLICATES));
        }
    }

    /// Adds the list of other documents.
    pub fn merge(&mut self, other: Self) {
        for entry in other.entries {
            self.insert(entry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example(value: f32, doc: u32, context: u64) -> Example {
        let window = Window::new(0, &[value]);
        Example {
            value,
            post: None,
            doc: DocId(doc),
            pos: Pos(doc % 3),
            context,
            window,
            hooks: None,
            duplicates: Vec::new(),
        }
    }

    /// The definition, without bounds: sort everything, keep the first of each context, count the rest.
    fn by_sorting(kind: ListKind, k: usize, mut all: Vec<Example>) -> Vec<(u32, usize)> {
        all.sort_by(|a, b| {
            kind.score(b.value)
                .total_cmp(&kind.score(a.value))
                .then(a.doc.cmp(&b.doc))
        });
        let mut contexts = std::collections::HashSet::new();
        let first: Vec<_> = all
            .iter()
            .filter(|e| contexts.insert(e.context))
            .take(k)
            .cloned()
            .collect();
        let threshold = if first.len() < k {
            f32::NEG_INFINITY
        } else {
            kind.score(first[k - 1].value)
        };
        let duplicates = |e: &Example| {
            all.iter()
                .filter(|o| {
                    o.context == e.context && o.doc != e.doc && kind.score(o.value) > threshold
                })
                .count()
        };
        first.iter().map(|e| (e.doc.0, duplicates(e))).collect()
    }

    fn found(list: &TopList) -> Vec<(u32, usize)> {
        list.entries()
            .iter()
            .map(|e| (e.doc.0, e.duplicates.len()))
            .collect()
    }

    proptest! {
        #[test]
        fn equals_sorting_everything_however_it_is_split(
            values in prop::collection::vec((-8i8..8, 0u64..12), 0..80),
            k in 1usize..6,
            cuts in prop::collection::vec(0usize..80, 0..4),
            at_bottom in any::<bool>(),
        ) {
            let kind = if at_bottom { ListKind::Bottom } else { ListKind::Top };
            let all: Vec<_> = values.iter().enumerate()
                .map(|(doc, &(value, context))| example(f32::from(value) / 2.0, doc as u32, context)).collect();
            let expected = by_sorting(kind, k, all.clone());

            let mut cuts: Vec<_> = cuts.into_iter().map(|c| c.min(all.len())).chain([0, all.len()]).collect();
            cuts.sort();
            let parts: Vec<TopList> = cuts.windows(2).map(|w| {
                let mut list = TopList::new(kind, k);
                all[w[0]..w[1]].iter().for_each(|e| list.insert(e.clone()));
                list
            }).collect();
            let merge = |order: &mut dyn Iterator<Item = &TopList>| {
                let mut whole = TopList::new(kind, k);
                order.for_each(|part| whole.merge(part.clone()));
                whole
            };
            prop_assert_eq!(found(&merge(&mut parts.iter())), expected.clone());
            prop_assert_eq!(found(&merge(&mut parts.iter().rev())), expected);
        }
    }

    #[test]
    fn negative_zero_ties_with_zero() {
        let mut list = TopList::new(ListKind::Top, 2);
        list.insert(example(-0.0, 0, 1));
        list.insert(example(0.0, 1, 2));
        assert_eq!(found(&list), [(0, 0), (1, 0)]);
    }

    #[test]
    fn one_context_does_not_fill_the_list() {
        let mut list = TopList::new(ListKind::Top, 3);
        (0..400).for_each(|doc| list.insert(example(5.0 + doc as f32, doc, 7)));
        list.insert(example(1.0, 900, 8));
        assert_eq!(found(&list), [(399, TopList::MAX_DUPLICATES), (900, 0)]);
    }
}
