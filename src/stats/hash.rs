//! Stable hashes: the same on every machine and in every version, because atlases depend on them.

use crate::ids::{DocId, Pos, TokenId};

/// SplitMix64's finaliser (Steele, Lea and Flood 2014): a bijection of `u64` that mixes all bits.
fn mix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash by which positions are drawn at random.
pub fn position(seed: u64, doc: DocId, pos: Pos) -> u64 {
    mix(mix(seed) ^ (u64::from(doc.0) << 32 | u64::from(pos.0)))
}

/// The hash of a peak's context, by which near-duplicates are found.
pub fn context(tokens: &[TokenId]) -> u64 {
    tokens.iter().fold(mix(tokens.len() as u64), |hash, token| {
        mix(hash ^ u64::from(token.0))
    })
}
