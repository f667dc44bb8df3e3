//! Hashes of words, which follow from those of their pieces.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A polynomial of characters modulo 2⁶¹ − 1, so that the hash of a word follows from those of its pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct WordHash {
    pub(super) value: u64,
    pub(super) n_chars: u32,
}

const MODULUS: u64 = (1 << 61) - 1;
const BASE: u64 = 0x0f1e_57a3_9c2b_4d61;

/// A product modulo 2⁶¹ − 1, of which 2⁶¹ is 1.
const fn times(a: u64, b: u64) -> u64 {
    let product = a as u128 * b as u128;
    reduced((product as u64 & MODULUS) + (product >> 61) as u64)
}

/// A number below twice the modulus, modulo it.
const fn reduced(value: u64) -> u64 {
    match value >= MODULUS {
        true => value - MODULUS,
        false => value,
    }
}

/// The base to the power of the lengths that most words have.
static POWERS: [u64; 64] = {
    let mut powers = [1; 64];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = times(powers[n - 1], BASE);
        n += 1;
    }
    powers
};

fn power(n_chars: u32) -> u64 {
    let known = POWERS.get(n_chars as usize).copied();
    known.unwrap_or_else(|| (0..n_chars).fold(1, |power, _| times(power, BASE)))
}

impl WordHash {
    pub(super) const EMPTY: Self = Self {
        value: 0,
        n_chars: 0,
    };

    pub(super) fn of(word: &str) -> Self {
        word.chars().fold(Self::EMPTY, |hash, c| {
            hash.then(Self {
                value: u64::from(c) + 1,
                n_chars: 1,
            })
        })
    }

    pub(super) fn then(self, next: Self) -> Self {
        Self {
            value: reduced(times(self.value, power(next.n_chars)) + next.value),
            n_chars: self.n_chars + next.n_chars,
        }
    }
}

/// Hashes that are hashes already.
#[derive(Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        // the table looks at the highest bits, which 61 bits leave empty
        self.0 = value << 3;
    }
}

pub(super) type ByHash<T> = HashMap<u64, T, BuildHasherDefault<AsItIs>>;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_hash_of_a_word_follows_from_its_pieces(word in "[a-z0-9]{0,90}", at in 0usize..90) {
            let at = at.min(word.len());
            let (left, right) = word.split_at(at);
            let whole = WordHash::of(&word);
            prop_assert_eq!(WordHash::of(left).then(WordHash::of(right)), whole);
        }
    }
}
