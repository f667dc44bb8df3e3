//! Operands of products, packed into the order in which kernels read them.
//!
//! Weights `[n_out, n_in]` lie in bands of 32 outputs: `[n_out / 32][n_in][32]`, a word being an f32, or a pair of bf16 of
//! neighbouring inputs. Rows lie in tiles, `[block][tile][words of the block][row of the tile]`, so that a kernel reads both from
//! end to end; for AMX `[row of the tile][words]` within 32 inputs. A block is a stretch of inputs: all of them, or one panel
//! of neurons where an MLP writes its activations straight into tiles.

use std::ops::Range;

use super::words::{Words, pair, rounded};
use crate::lanes::{Isa, Kernel, Lanes};

/// Outputs of a band of weights.
pub(crate) const BAND: usize = 32;

/// Neurons of a panel, which an MLP computes at one go; inputs of a block of its activations.
pub(crate) const PANEL: usize = 64;

/// Rows that are multiplied with one band after another: they stay in the second-level cache.
pub(crate) const GROUP_ROWS: usize = 128;

/// Most rows of a tile.
const MOST_ROWS: usize = 32;

/// Type of the operands of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operands {
    F32,
    Bf16,
}

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    /// Rows and weights f32.
    Plain,
    /// Weights in pairs of bf16, widened in registers; rows f32, rounded to bf16.
    Widened,
    /// Both in pairs.
    #[cfg(target_arch = "x86_64")]
    Dot,
    /// Both in pairs, in tiles of AMX.
    #[cfg(target_arch = "x86_64")]
    Amx,
}

impl Method {
    fn of(isa: Isa, operands: Operands) -> Self {
        match (operands, isa) {
            (Operands::F32, _) => Self::Plain,
            #[cfg(target_arch = "x86_64")]
            (Operands::Bf16, Isa::Amx) => Self::Amx,
            #[cfg(target_arch = "x86_64")]
            (Operands::Bf16, Isa::Avx512Bf16) => Self::Dot,
            (Operands::Bf16, _) => Self::Widened,
        }
    }

    /// Rows of a tile.
    fn height(self, isa: Isa) -> usize {
        match (self, isa) {
            #[cfg(target_arch = "x86_64")]
            (Self::Amx, _) => 32,
            (_, Isa::Avx512 | Isa::Avx512Bf16 | Isa::Amx) => 14,
            (_, Isa::Avx2) => 6,
            (_, Isa::Portable) => 4,
        }
    }

    /// The number of inputs is rounded up to a multiple of this.
    pub(super) fn step(self) -> usize {
        match self {
            Self::Plain => 1,
            Self::Widened => 2,
            #[cfg(target_arch = "x86_64")]
            Self::Dot => 2,
            #[cfg(target_arch = "x86_64")]
            Self::Amx => 32,
        }
    }

    /// Inputs in a word of rows.
    pub(super) fn per_row_word(self) -> usize {
        match self {
            Self::Plain | Self::Widened => 1,
            #[cfg(target_arch = "x86_64")]
            Self::Dot | Self::Amx => 2,
        }
    }

    /// Inputs in a word of weights.
    fn per_weight_word(self) -> usize {
        match self {
            Self::Plain => 1,
            _ => 2,
        }
    }
}

/// Packed weights.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(super) isa: Isa,
    pub(super) method: Method,
    pub(super) n_out: usize,
    n_in: usize,
    /// `n_in`, rounded up.
    pub(super) depth: usize,
    words: Words,
}

impl Packed {
    /// Packs `[n_out, n_in]`, of which `value(out, in)` are the values. The inputs are padded to a multiple of `multiple`.
    pub(crate) fn new(
        isa: Isa,
        operands: Operands,
        (n_out, n_in): (usize, usize),
        multiple: usize,
        value: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let mut packed = Self::empty(isa, operands);
        packed.pack(n_out, n_in, multiple, value);
        packed
    }

    /// Memory for weights of any shape.
    pub(super) fn empty(isa: Isa, operands: Operands) -> Self {
        Self {
            isa,
            method: Method::of(isa, operands),
            n_out: 0,
            n_in: 0,
            depth: 0,
            words: Words::default(),
        }
    }

    /// Packs other weights into the same memory.
    #[inline(always)]
    pub(super) fn pack(
        &mut self,
        n_out: usize,
        n_in: usize,
        multiple: usize,
        value: impl Fn(usize, usize) -> f32,
    ) {
        let depth = n_in.next_multiple_of(self.method.step().max(multiple));
        (self.n_out, self.n_in, self.depth) = (n_out, n_in, depth);
        let per_word = self.method.per_weight_word();
        let band_words = depth / per_word * BAND;
        self.words.resize(n_out.div_ceil(BAND) * band_words);
        let bands = self.words.as_mut_slice().chunks_exact_mut(band_words);
        for (band, words) in bands.enumerate() {
            let first = band * BAND;
            let n = (n_out - first).min(BAND);
            for (at, line) in words.chunks_exact_mut(BAND).enumerate() {
                let inside = |input: usize, out: usize| match input < n_in && out < n {
                    true => value(first + out, input),
                    false => 0.0,
                };
                match per_word {
                    1 if at < n_in && n == BAND => {
                        for (out, word) in line.iter_mut().enumerate() {
                            *word = value(first + out, at).to_bits();
                        }
                    }
                    1 => {
                        for (out, word) in line.iter_mut().enumerate() {
                            *word = inside(at, out).to_bits();
                        }
                    }
                    _ if 2 * at + 1 < n_in && n == BAND => {
                        for (out, word) in line.iter_mut().enumerate() {
                            let value = |input| value(first + out, input);
                            *word = pair(value(2 * at), value(2 * at + 1));
                        }
                    }
                    _ => {
                        for (out, word) in line.iter_mut().enumerate() {
                            *word = pair(inside(2 * at, out), inside(2 * at + 1, out));
                        }
                    }
                }
            }
        }
    }

    /// Number of outputs.
    pub(crate) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Rows to be multiplied with these weights, or with others of the same inputs.
    pub(crate) fn rows(&self) -> PackedRows {
        PackedRows {
            method: self.method,
            isa: self.isa,
            height: self.method.height(self.isa),
            n_rows: 0,
            depth: 0,
            block: 1,
            words: Words::default(),
        }
    }

    /// Groups of tiles of `n_rows` rows that are multiplied together, each with its rows.
    pub(crate) fn groups(
        &self,
        n_rows: usize,
    ) -> impl Iterator<Item = (Range<usize>, Range<usize>)> {
        let rows = PackedRows {
            n_rows,
            ..self.rows()
        };
        rows.groups()
            .map(move |tiles| (tiles.clone(), rows.rows_of(&tiles)))
    }

    /// Words of a band from an input on.
    pub(super) fn band(&self, band: usize, from: usize) -> &[u32] {
        let per_word = self.method.per_weight_word();
        let words = self.depth / per_word * BAND;
        &self.words.as_slice()[band * words + from / per_word * BAND..(band + 1) * words]
    }
}

/// Rows, packed for products.
#[derive(Clone, Debug)]
pub(crate) struct PackedRows {
    pub(super) isa: Isa,
    pub(super) method: Method,
    pub(super) height: usize,
    pub(super) n_rows: usize,
    /// Inputs, rounded up.
    pub(super) depth: usize,
    /// Inputs of a block.
    pub(super) block: usize,
    pub(super) words: Words,
}

impl PackedRows {
    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    pub(crate) fn n_rows(&self) -> usize {
        self.n_rows
    }

    /// Number of tiles.
    pub(super) fn n_tiles(&self) -> usize {
        self.n_rows.div_ceil(self.height)
    }

    /// Rows of a tile.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// All tiles, in groups that are multiplied with one band after another.
    pub(crate) fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, step) = (self.n_tiles(), (GROUP_ROWS / self.height).max(1));
        (0..n)
            .step_by(step)
            .map(move |first| first..(first + step).min(n))
    }

    /// Other rows, for products with the same kind of weights.
    pub(crate) fn alike(&self) -> Self {
        Self {
            n_rows: 0,
            words: Words::default(),
            ..*self
        }
    }

    /// The rows of some tiles.
    pub(crate) fn rows_of(&self, tiles: &Range<usize>) -> Range<usize> {
        tiles.start * self.height..(tiles.end * self.height).min(self.n_rows)
    }

    pub(super) fn tile_words(&self) -> usize {
        self.height * self.block / self.method.per_row_word()
    }

    /// Packs `n_rows` rows of `n_in` values, of which `row(i)` is the i-th.
    pub(crate) fn pack_rows<'a>(
        &mut self,
        n_rows: usize,
        n_in: usize,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        struct Pack<'p, F>(&'p mut PackedRows, usize, usize, F);
        impl<'a, F: Fn(usize) -> &'a [f32]> Kernel for Pack<'_, F> {
            type Output = ();

            #[inline(always)]
            fn run<L: Lanes>(self) {
                self.0.pack(self.1, self.2, 1, self.3);
            }
        }
        self.isa.run(Pack(self, n_rows, n_in, row));
    }

    /// Packs `n_rows` rows of `n_in` values, of which `row(i)` is the i-th.
    #[inline(always)]
    pub(super) fn pack<'a>(
        &mut self,
        n_rows: usize,
        n_in: usize,
        multiple: usize,
        row: impl Fn(usize) -> &'a [f32],
    ) {
        self.n_rows = n_rows;
        self.depth = n_in.next_multiple_of(self.method.step().max(multiple));
        self.block = self.depth;
        let tile_words = self.tile_words();
        self.words.resize(self.n_tiles() * tile_words);
        let (method, height, block) = (self.method, self.height, self.block);
        let tiles = self.words.as_mut_slice().chunks_exact_mut(tile_words);
        for (tile, words) in tiles.enumerate() {
            let first = tile * height;
            let n = height.min(n_rows - first);
            let rows: [&[f32]; MOST_ROWS] = std::array::from_fn(|i| match i < n {
                true => &row(first + i)[..n_in],
                false => &[],
            });
            pack_tile(method, height, n_in, block, &rows[..n], words);
        }
    }

    /// Makes room for activations of neurons, block by block of [`PANEL`].
    pub(crate) fn in_blocks(&mut self, n_rows: usize, n_in: usize) {
        self.n_rows = n_rows;
        self.depth = n_in.next_multiple_of(PANEL);
        self.block = PANEL;
        let len = self.n_tiles() * self.tile_words() * (self.depth / PANEL);
        self.words.resize(len);
    }

    /// The blocks, to be written side by side.
    pub(crate) fn blocks(&mut self) -> impl Iterator<Item = PanelRows<'_>> {
        let (isa, method, height) = (self.isa, self.method, self.height);
        let tile_words = self.tile_words();
        let block_words = self.n_tiles() * tile_words;
        let blocks = self
            .words
            .as_mut_slice()
            .chunks_exact_mut(block_words.max(1));
        blocks.map(move |words| PanelRows {
            isa,
            method,
            height,
            tile_words,
            words,
        })
    }
}

/// The activations of one panel of neurons, to be written tile by tile.
pub(crate) struct PanelRows<'a> {
    isa: Isa,
    method: Method,
    height: usize,
    tile_words: usize,
    words: &'a mut [u32],
}

impl PanelRows<'_> {
    /// Packs some tiles from rows of [`PANEL`] values.
    pub(crate) fn pack(&mut self, tiles: Range<usize>, values: &[f32]) {
        struct Pack<'p, 'a>(&'p mut PanelRows<'a>, Range<usize>, &'p [f32]);
        impl Kernel for Pack<'_, '_> {
            type Output = ();

            #[inline(always)]
            fn run<L: Lanes>(self) {
                let Self(to, tiles, values) = self;
                let words = &mut to.words[tiles.start * to.tile_words..tiles.end * to.tile_words];
                let values = values.chunks(to.height * PANEL);
                for (words, values) in words.chunks_exact_mut(to.tile_words).zip(values) {
                    let mut rows: [&[f32]; MOST_ROWS] = [&[]; MOST_ROWS];
                    let n = values.len() / PANEL;
                    for (row, values) in rows.iter_mut().zip(values.chunks_exact(PANEL)) {
                        *row = values;
                    }
                    pack_tile(to.method, to.height, PANEL, PANEL, &rows[..n], words);
                }
            }
        }
        self.isa.run(Pack(self, tiles, values));
    }
}

/// Packs one tile of at most `height` rows of `n_in` values into words for `block` inputs.
#[inline(always)]
fn pack_tile(
    method: Method,
    height: usize,
    n_in: usize,
    block: usize,
    rows: &[&[f32]],
    words: &mut [u32],
) {
    match method {
        Method::Plain => interleave(height, block, rows, words, |row, at| match at < n_in {
            true => row[at].to_bits(),
            false => 0,
        }),
        Method::Widened => interleave(height, block, rows, words, |row, at| match at < n_in {
            true => rounded(row[at]).to_bits(),
            false => 0,
        }),
        #[cfg(target_arch = "x86_64")]
        Method::Dot => interleave(height, block / 2, rows, words, |row, at| {
            pair_at(row, at, n_in)
        }),
        #[cfg(target_arch = "x86_64")]
        Method::Amx => {
            // 32 inputs at a time, the sixteen words of a row side by side
            for (at, stretch) in words.chunks_exact_mut(height * 16).enumerate() {
                for (i, line) in stretch.chunks_exact_mut(16).enumerate() {
                    match rows.get(i) {
                        Some(row) => {
                            for (word, to) in line.iter_mut().enumerate() {
                                *to = pair_at(row, at * 16 + word, n_in);
                            }
                        }
                        None => line.fill(0),
                    }
                }
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn pair_at(row: &[f32], at: usize, n_in: usize) -> u32 {
    match 2 * at + 1 < n_in {
        true => pair(row[2 * at], row[2 * at + 1]),
        false if 2 * at < n_in => pair(row[2 * at], 0.0),
        false => 0,
    }
}

#[inline(always)]
fn interleave(
    height: usize,
    n_words: usize,
    rows: &[&[f32]],
    words: &mut [u32],
    word: impl Fn(&[f32], usize) -> u32,
) {
    // one row after the other would write to another cache line each time
    const STRIP: usize = 16;
    for first in (0..n_words).step_by(STRIP) {
        let n = STRIP.min(n_words - first);
        let strip = &mut words[first * height..(first + n) * height];
        for i in 0..height {
            match rows.get(i) {
                Some(row) => {
                    for (at, to) in strip.iter_mut().skip(i).step_by(height).enumerate() {
                        *to = word(row, first + at);
                    }
                }
                None => strip
                    .iter_mut()
                    .skip(i)
                    .step_by(height)
                    .for_each(|to| *to = 0),
            }
        }
    }
}
