//! For many things at once, the few of largest score.

use parking_lot::Mutex;

/// The `k` ids with the largest scores for each of some things, ties by id.
#[derive(Clone, Debug)]
pub(super) struct Best {
    k: usize,
    /// What every score must exceed.
    least: f32,
    /// `[n, k]` of [`key`], best first; 0 where there are fewer.
    keys: Vec<u64>,
    /// What scores must exceed to change anything, `[n]`.
    bounds: Vec<f32>,
}

/// A number that is larger where the score is, or where the score is the same and the id smaller.
fn key(score: f32, id: u32) -> u64 {
    // one zero, not two
    let bits = (score + 0.0).to_bits();
    let ordered = match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    };
    u64::from(ordered) << 32 | u64::from(!id)
}

fn score_of(key: u64) -> f32 {
    let ordered = (key >> 32) as u32;
    f32::from_bits(match ordered >> 31 {
        1 => ordered & !(1 << 31),
        _ => !ordered,
    })
}

impl Best {
    pub(super) fn new(n: usize, k: usize) -> Self {
        Self {
            k,
            least: f32::NEG_INFINITY,
            keys: vec![0; n * k],
            bounds: vec![f32::NEG_INFINITY; n],
        }
    }

    /// For `n` things, but none beyond the first `some` of them ever has anything.
    pub(super) fn of_some(n: usize, some: usize, k: usize) -> Self {
        let mut best = Self::new(n, k);
        best.bounds[some..].fill(f32::INFINITY);
        best
    }

    /// The same, but only for scores that exceed `least`.
    pub(super) fn above(mut self, least: f32) -> Self {
        self.least = least;
        let bounds = self.bounds.iter_mut();
        bounds.for_each(|bound| *bound = bound.max(least));
        self
    }

    /// What a score must exceed to change anything, thing by thing.
    pub(super) fn bounds(&self) -> &[f32] {
        &self.bounds
    }

    /// Offers an id to a thing. A score that is not finite is not taken.
    #[inline(always)]
    pub(super) fn offer(&mut self, thing: usize, id: u32, score: f32) {
        if score > self.bounds[thing] {
            self.insert(thing, id, score);
        }
    }

    fn insert(&mut self, thing: usize, id: u32, score: f32) {
        if !score.is_finite() {
            return;
        }
        let keys = &mut self.keys[thing * self.k..(thing + 1) * self.k];
        let key = key(score, id);
        // without a branch: what is not better makes room
        let mut above = u64::MAX;
        for place in keys.iter_mut() {
            let old = *place;
            *place = old.max(above.min(key));
            above = old;
        }
        // what equals the last may come before it
        self.bounds[thing] = match keys[self.k - 1] {
            0 => self.least,
            last => score_of(last).next_down().max(self.least),
        };
    }

    /// What a thing has, best first.
    pub(super) fn of(&self, thing: usize) -> impl Iterator<Item = (u32, f32)> + '_ {
        let keys = &self.keys[thing * self.k..(thing + 1) * self.k];
        let known = keys.iter().take_while(|key| **key > 0);
        known.map(|&key| (!(key as u32), score_of(key)))
    }
}

/// [`Best`] for very many things, some of which several threads may have at a time. What is found does not depend on the
/// order of the offers.
#[derive(Debug)]
pub(super) struct Shared<T> {
    step: usize,
    parts: Vec<Mutex<T>>,
}

impl<T> Shared<T> {
    /// For `n` things, `step` of them together.
    pub(super) fn new(n: usize, step: usize, part: impl Fn(usize) -> T) -> Self {
        let parts = (0..n).step_by(step);
        let parts = parts.map(|first| Mutex::new(part(step.min(n - first))));
        Self {
            step,
            parts: parts.collect(),
        }
    }

    /// The part that begins with a thing.
    pub(super) fn part(&self, first: usize) -> &Mutex<T> {
        &self.parts[first / self.step]
    }

    /// What one thing has, of which [`Shared::part`]'s place of it is given to `get`.
    pub(super) fn of<R>(&self, thing: usize, get: impl Fn(&T, usize) -> R) -> R {
        get(&self.parts[thing / self.step].lock(), thing % self.step)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_sorting_everything(offers in prop::collection::vec((0usize..3, -4i8..4), 0..60), k in 1usize..5, turn in 0usize..60) {
            let mut offers: Vec<_> = (0u32..).zip(&offers).map(|(id, &(thing, score))| (thing, id, f32::from(score))).collect();
            let n = offers.len();
            offers.rotate_left(turn.min(n));
            let mut best = Best::new(3, k);
            for &(thing, id, score) in &offers {
                prop_assert!(score > best.bounds()[thing] || best.of(thing).all(|(_, other)| other > score));
                best.offer(thing, id, score);
            }
            for thing in 0..3 {
                let own = offers.iter().filter(|offer| offer.0 == thing);
                let mut own: Vec<_> = own.map(|&(_, id, score)| (id, score)).collect();
                own.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                own.truncate(k);
                prop_assert_eq!(best.of(thing).collect::<Vec<_>>(), own);
            }
        }
    }

    proptest! {
        #[test]
        fn keys_are_in_the_order_of_scores_and_ids(a in (any::<f32>(), any::<u32>()), b in (any::<f32>(), any::<u32>()), same in any::<bool>()) {
            let b = if same { (a.0, b.1) } else { b };
            prop_assume!(!a.0.is_nan() && !b.0.is_nan());
            let order = a.0.partial_cmp(&b.0).unwrap().then(b.1.cmp(&a.1));
            prop_assert_eq!(key(a.0, a.1).cmp(&key(b.0, b.1)), order);
            prop_assert_eq!((score_of(key(a.0, a.1)), key(a.0, a.1) > 0), (a.0, true));
        }
    }

    #[test]
    fn what_does_not_exceed_the_least_is_not_taken() {
        let mut best = Best::of_some(2, 1, 2).above(0.0);
        for (id, score) in [(7, 0.0), (8, 1.0), (9, -0.0), (10, -1.0)] {
            best.offer(0, id, score);
            best.offer(1, id, score);
        }
        assert_eq!(best.of(0).collect::<Vec<_>>(), [(8, 1.0)]);
        assert_eq!(best.of(1).count(), 0);
    }

    #[test]
    fn what_is_not_finite_is_not_taken() {
        let mut best = Best::new(1, 2);
        for score in [f32::NAN, f32::NEG_INFINITY, f32::INFINITY] {
            best.offer(0, 4, score);
        }
        best.offer(0, 5, -1.0);
        assert_eq!(best.of(0).collect::<Vec<_>>(), [(5, -1.0)]);
    }
}
