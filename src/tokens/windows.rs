//! Cuts documents into windows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ids::{Pos, TokenId};

/// How documents become windows: consecutive stretches, each after a BOS where the model uses one.
///
/// Positions are those of the document's own tokens, so the BOS has none. When special positions are counted
/// (`bos_in_document`), each BOS takes a position, as if the document had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windowing {
    /// Tokens of a full window, the BOS included.
    pub n_ctx: usize,
    /// Put in front of every window.
    pub bos: Option<TokenId>,
    /// Whether the BOS takes a position in the document.
    pub bos_in_document: bool,
    /// Rows after the first of each window that do not count; if there are any, neither does the first.
    #[serde(default)]
    pub skip_start: usize,
}

/// One window of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// The document's own tokens in it, as indices into the document.
    pub tokens: Range<usize>,
    /// Position of the first row after the skipped ones.
    pub start: Pos,
    /// Rows in front that have no position.
    pub skip: usize,
}

impl Windowing {
    /// The document's own tokens of a full window; at least 1.
    fn capacity(&self) -> usize {
        (self.n_ctx - usize::from(self.bos.is_some())).max(1)
    }

    /// Whether the BOS takes a position.
    fn counts_bos(&self) -> bool {
        self.bos.is_some() && self.bos_in_document
    }

    /// The windows of a document of `n_tokens` tokens.
    pub fn windows(&self, n_tokens: usize) -> impl ExactSizeIterator<Item = Window> + use<> {
        let (capacity, counts_bos, has_bos) =
            (self.capacity(), self.counts_bos(), self.bos.is_some());
        (0..n_tokens.div_ceil(capacity)).map(move |i| Window {
            tokens: i * capacity..((i + 1) * capacity).min(n_tokens),
            start: Pos((i * (capacity + usize::from(counts_bos))) as u32),
            skip: usize::from(has_bos && !counts_bos),
        })
    }

    /// Rows that a document of `n_tokens` tokens puts through the model, BOS included.
    pub fn n_rows(&self, n_tokens: usize) -> usize {
        n_tokens + self.windows(n_tokens).len() * usize::from(self.bos.is_some())
    }

    /// Number of positions of a document of `n_tokens` tokens.
    pub fn n_positions(&self, n_tokens: usize) -> usize {
        n_tokens
            + if self.counts_bos() {
                n_tokens.div_ceil(self.capacity())
            } else {
                0
            }
    }

    /// Index of the document's token at a position; `None` where a BOS stands there.
    pub fn token_at(&self, pos: Pos) -> Option<usize> {
        let pos = pos.0 as usize;
        if !self.counts_bos() {
            return Some(pos);
        }
        let length = self.capacity() + 1;
        (pos % length)
            .checked_sub(1)
            .map(|offset| pos / length * self.capacity() + offset)
    }

    /// Index of the window that a position lies in.
    pub fn window_of(&self, pos: Pos) -> usize {
        pos.0 as usize / (self.capacity() + usize::from(self.counts_bos()))
    }

    /// The tokens at some positions: the document's own, which `read` returns for a range of indices, and BOS tokens between
    /// them.
    pub fn tokens<E>(
        &self,
        positions: Range<u32>,
        mut read: impl FnMut(Range<usize>) -> Result<Vec<TokenId>, E>,
    ) -> Result<Vec<TokenId>, E> {
        let ends = positions.clone().next().zip(positions.clone().next_back());
        if let Some((first, last)) = ends
            && let (Some(from), Some(to)) = (self.token_at(Pos(first)), self.token_at(Pos(last)))
            && to - from == (last - first) as usize
        {
            return read(from..to + 1); // no BOS among them, as nearly always
        }
        let indices: Vec<_> = positions.map(|pos| self.token_at(Pos(pos))).collect();
        let first = indices.iter().flatten().next().copied().unwrap_or(0);
        let last = indices
            .iter()
            .flatten()
            .next_back()
            .map_or(first, |last| last + 1);
        let ids = read(first..last)?;
        let bos = self.bos.unwrap_or_default();
        Ok(indices
            .into_iter()
            .map(|index| index.map_or(bos, |index| ids[index - first]))
            .collect())
    }

    /// Row of a document's own token in its window.
    pub fn row_of(&self, token: usize) -> usize {
        token % self.capacity() + usize::from(self.bos.is_some())
    }

    /// Whether a row of a window counts (DEFINITIONS 2), whose token may be special.
    pub fn counts(&self, row: usize, special: bool) -> bool {
        let is_skipped = self.skip_start > 0 && row <= self.skip_start;
        !is_skipped && (self.bos_in_document || !(row == 0 || special))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOS: TokenId = TokenId(999);

    proptest! {
        #[test]
        fn windows_hold_every_token_once(n_tokens in 0usize..40, n_ctx in 2usize..9, bos in any::<bool>(), counted in any::<bool>()) {
            let windowing = Windowing { n_ctx, bos: bos.then_some(BOS), bos_in_document: counted, skip_start: 0 };
            let document: Vec<_> = (0..n_tokens as u32).map(TokenId).collect();
            let mut rows = Vec::new(); // (position, token) of every row that has a position
            for window in windowing.windows(n_tokens) {
                let ids: Vec<_> = windowing.bos.into_iter().chain(document[window.tokens.clone()].iter().copied()).collect();
                prop_assert!(ids.len() <= n_ctx);
                rows.extend(ids[window.skip..].iter().zip(window.start.0..).map(|(&id, pos)| (pos, id)));
            }
            let n_positions = windowing.n_positions(n_tokens) as u32;
            prop_assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), (0..n_positions).collect::<Vec<_>>());
            let own: Vec<_> = rows.iter().map(|row| row.1).filter(|&id| id != BOS).collect();
            prop_assert_eq!(&own, &document);
            let tokens = windowing.tokens(0..n_positions, |range| Ok::<_, ()>(document[range].to_vec())).unwrap();
            prop_assert_eq!(tokens, rows.into_iter().map(|row| row.1).collect::<Vec<_>>());
        }
    }
}
