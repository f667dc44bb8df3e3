//! Cuts documents into windows.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::ids::{Pos, TokenId};

/// How documents become windows: consecutive stretches, each after a BOS where the model uses one, and after a prefix if
/// there is one.
///
/// Positions are those of the document's own tokens, so the BOS and the prefix have none. When special positions are counted
/// (`bos_in_document`), each BOS takes a position, as if the document had it, unless a prefix follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Windowing {
    /// Tokens of a full window, the BOS included.
    pub n_ctx: usize,
    /// Put in front of every window.
    pub bos: Option<TokenId>,
    /// What stands in front of every window, after the BOS. Its rows never count.
    #[serde(default)]
    pub prefix: Vec<TokenId>,
    /// Whether special tokens and the first position count, and the BOS takes a position in the document.
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
    /// The tokens in front of the document's own in every window: the BOS and the prefix.
    pub fn front(&self) -> impl ExactSizeIterator<Item = TokenId> {
        let bos = usize::from(self.bos.is_some());
        (0..self.n_front()).map(move |row| match row.checked_sub(bos) {
            Some(at) => self.prefix[at],
            None => self.bos.unwrap_or_default(),
        })
    }

    /// How many tokens [`front`](Self::front) has.
    pub fn n_front(&self) -> usize {
        usize::from(self.bos.is_some()) + self.prefix.len()
    }

    /// The document's own tokens of a full window; at least 1.
    pub fn capacity(&self) -> usize {
        self.n_ctx.saturating_sub(self.n_front()).max(1)
    }

    /// Whether the BOS takes a position.
    fn counts_bos(&self) -> bool {
        self.bos.is_some() && self.bos_in_document && self.prefix.is_empty()
    }

    /// Rows in front of each window that have no position.
    pub fn skip(&self) -> usize {
        match self.counts_bos() {
            true => 0,
            false => self.n_front(),
        }
    }

    /// The windows of a document of `n_tokens` tokens.
    pub fn windows(&self, n_tokens: usize) -> impl ExactSizeIterator<Item = Window> + use<> {
        let (capacity, counts_bos, skip) = (self.capacity(), self.counts_bos(), self.skip());
        (0..n_tokens.div_ceil(capacity)).map(move |i| Window {
            tokens: i * capacity..((i + 1) * capacity).min(n_tokens),
            start: Pos((i * (capacity + usize::from(counts_bos))) as u32),
            skip,
        })
    }

    /// Rows that a document of `n_tokens` tokens puts through the model, BOS and prefix included.
    pub fn n_rows(&self, n_tokens: usize) -> usize {
        n_tokens + self.windows(n_tokens).len() * self.n_front()
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
        read: impl FnMut(Range<usize>) -> Result<Vec<TokenId>, E>,
    ) -> Result<Vec<TokenId>, E> {
        self.at(positions, self.bos.unwrap_or_default(), read)
    }

    /// What is known of each of some positions: of the document's own tokens what `read` returns for a range of indices, and
    /// `of_bos` where a BOS stands between them.
    pub fn at<T: Copy, E>(
        &self,
        positions: Range<u32>,
        of_bos: T,
        mut read: impl FnMut(Range<usize>) -> Result<Vec<T>, E>,
    ) -> Result<Vec<T>, E> {
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
        let own = read(first..last)?;
        Ok(indices
            .into_iter()
            .map(|index| index.map_or(of_bos, |index| own[index - first]))
            .collect())
    }

    /// Row of a document's own token in its window.
    pub fn row_of(&self, token: usize) -> usize {
        token % self.capacity() + self.n_front()
    }

    /// Whether a row of a window counts (DEFINITIONS 2), whose token may be special.
    pub fn counts(&self, row: usize, special: bool) -> bool {
        let is_prefix = !self.prefix.is_empty() && row < self.n_front();
        let is_skipped = is_prefix || (self.skip_start > 0 && row <= self.skip_start);
        !is_skipped && (self.bos_in_document || !(row == 0 || special))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOS: TokenId = TokenId(999);
    const PREFIX: TokenId = TokenId(998);

    proptest! {
        #[test]
        fn windows_hold_every_token_once(
            n_tokens in 0usize..40,
            n_own in 1usize..9,
            bos in any::<bool>(),
            n_prefix in 0usize..3,
            counted in any::<bool>(),
        ) {
            let prefix = vec![PREFIX; n_prefix];
            let n_ctx = n_own + n_prefix + usize::from(bos);
            let windowing = Windowing { n_ctx, bos: bos.then_some(BOS), prefix, bos_in_document: counted, skip_start: 0 };
            let document: Vec<_> = (0..n_tokens as u32).map(TokenId).collect();
            let mut rows = Vec::new(); // (position, token) of every row that has a position
            let mut n_rows = 0;
            for window in windowing.windows(n_tokens) {
                let ids: Vec<_> = windowing.front().chain(document[window.tokens.clone()].iter().copied()).collect();
                prop_assert!(ids.len() <= n_ctx);
                for (row, &id) in ids.iter().enumerate() {
                    prop_assert!(id != PREFIX || !windowing.counts(row, false));
                    prop_assert!(id == PREFIX || id == BOS || row == 0 || windowing.counts(row, false));
                }
                n_rows += ids.len();
                rows.extend(ids[window.skip..].iter().zip(window.start.0..).map(|(&id, pos)| (pos, id)));
            }
            prop_assert_eq!(n_rows, windowing.n_rows(n_tokens));
            let n_positions = windowing.n_positions(n_tokens) as u32;
            prop_assert_eq!(rows.iter().map(|row| row.0).collect::<Vec<_>>(), (0..n_positions).collect::<Vec<_>>());
            let own: Vec<_> = rows.iter().map(|row| row.1).filter(|&id| id != BOS).collect();
            prop_assert_eq!(&own, &document);
            let tokens = windowing.tokens(0..n_positions, |range| Ok::<_, ()>(document[range].to_vec())).unwrap();
            prop_assert_eq!(tokens, rows.into_iter().map(|row| row.1).collect::<Vec<_>>());
        }
    }
}
