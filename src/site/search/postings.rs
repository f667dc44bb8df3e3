//! Which neurons have a word, and how.

use std::collections::BinaryHeap;
use std::fmt::Write;

use crate::site::text::texts::json_string;

/// Neurons that are kept of each word.
pub(super) const MOST: usize = 100;

/// How a neuron has a word. The best are the least.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Posting {
    /// How many of its examples do not fire on it, counted from the most possible.
    silent: u8,
    /// How many of its examples do not have it, counted likewise.
    without: u8,
    pub(super) flat: u32,
    /// The first example that fires on it, or else has it: its rank in `top`, or below zero in `bottom`.
    pub(super) first: i16,
}

impl Posting {
    pub(super) fn new(flat: u32, fires: u8, holds: u8, first: i16) -> Self {
        Self {
            silent: u8::MAX - fires,
            without: u8::MAX - holds,
            flat,
            first,
        }
    }

    pub(super) fn fires(&self) -> u8 {
        u8::MAX - self.silent
    }

    pub(super) fn holds(&self) -> u8 {
        u8::MAX - self.without
    }
}

/// A word with its neurons.
#[derive(Default)]
pub(super) struct Word {
    pub(super) text: String,
    n_neurons: u32,
    /// The best, the worst of them on top.
    best: BinaryHeap<Posting>,
    /// That one, if there are as many as are kept: most postings are worse and go no further.
    worst: Option<Posting>,
}

impl Word {
    pub(super) fn new(text: String) -> Self {
        Self {
            text,
            ..Self::default()
        }
    }

    /// Adds a neuron whose examples have the word.
    pub(super) fn add(&mut self, posting: Posting) {
        self.n_neurons += 1;
        if self.worst.is_some_and(|worst| posting > worst) {
            return;
        }
        self.best.push(posting);
        if self.best.len() > MOST {
            self.best.pop();
        }
        let worst = self.best.peek().copied();
        self.worst = worst.filter(|_| self.best.len() == MOST);
    }

    /// JSON: the word, how many neurons have it, and the best of them.
    pub(super) fn json(&self) -> String {
        let mut best: Vec<&Posting> = self.best.iter().collect();
        best.sort_unstable();
        let mut json = format!("[{},{},[", json_string(&self.text), self.n_neurons);
        for (at, posting) in best.into_iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            let (flat, fires, holds) = (posting.flat, posting.fires(), posting.holds());
            let _ = write!(json, "{comma}{flat},{fires},{holds},{}", posting.first);
        }
        json.push_str("]]");
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_postings_are_kept() {
        let mut all: Vec<Posting> = (0..300)
            .map(|flat| Posting::new(flat, (flat % 7) as u8, (flat % 11) as u8, 1))
            .collect();
        let mut heap = BinaryHeap::new();
        for posting in &all {
            heap.push(*posting);
            if heap.len() > 9 {
                heap.pop();
            }
        }
        all.sort_by_key(|p| (std::cmp::Reverse((p.fires(), p.holds())), p.flat));
        assert_eq!(heap.into_sorted_vec(), all[..9]);
    }
}
