//! Products of rows with packed weights.
//!
//! Weights `[n_out, n_in]` lie in panels of 32 outputs: `[n_out / 32][n_in][32]`, a word being an f32, or a pair of bf16 of
//! neighbouring inputs. Rows lie in tiles, `[block][tile][words of the block][row of the tile]`, so that a kernel reads both from
//! end to end; for AMX `[row of the tile][words]` within 32 inputs. A block is a stretch of inputs: all of them, or one panel
//! of neurons where an MLP writes its activations straight into tiles.
//!
//! Every element is one chain of multiply-adds over its inputs, in stretches of [`STRETCH`], whatever the tile is.

use std::ops::Range;

use super::Operands;
use super::words::{Words, bf16, pair, rounded};
use crate::lanes::{Isa, Kernel, LANES, Lanes};

/// Outputs of a panel of weights.
pub(in crate::model) const WIDTH: usize = 32;

/// Neurons that an MLP computes at one go, and inputs of a block of its activations.
pub(in crate::model) const PANEL: usize = 64;

/// Inputs that are summed before the sum is added to what is there.
const STRETCH: usize = 768;

/// Rows that are multiplied with a panel before the next panel is begun: they stay in the second-level cache.
pub(in crate::model) const GROUP_ROWS: usize = 128;

/// Most rows of a tile.
const MOST_ROWS: usize = 32;

/// How a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
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

    /// What the number of inputs is rounded up to.
    fn step(self) -> usize {
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
    fn per_row_word(self) -> usize {
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
pub(in crate::model) struct Packed {
    isa: Isa,
    method: Method,
    n_out: usize,
    n_in: usize,
    /// `n_in`, rounded up.
    depth: usize,
    words: Words,
}

impl Packed {
    /// Packs `[n_out, n_in]`, of which `value(out, in)` are the values. The inputs are padded to a multiple of `multiple`.
    pub(in crate::model) fn new(
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

    /// Weights of a shape that is not yet known.
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
        let panel_words = depth / per_word * WIDTH;
        self.words.resize(n_out.div_ceil(WIDTH) * panel_words);
        let panels = self.words.as_mut_slice().chunks_exact_mut(panel_words);
        for (panel, words) in panels.enumerate() {
            let first = panel * WIDTH;
            let n = (n_out - first).min(WIDTH);
            for (at, line) in words.chunks_exact_mut(WIDTH).enumerate() {
                let inside = |input: usize, out: usize| match input < n_in && out < n {
                    true => value(first + out, input),
                    false => 0.0,
                };
                match per_word {
                    1 if at < n_in && n == WIDTH => {
                        for (out, word) in line.iter_mut().enumerate() {
                            *word = value(first + out, at).to_bits();
                        }
                    }
                    1 => {
                        for (out, word) in line.iter_mut().enumerate() {
                            *word = inside(at, out).to_bits();
                        }
                    }
                    _ if 2 * at + 1 < n_in && n == WIDTH => {
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
    pub(in crate::model) fn n_out(&self) -> usize {
        self.n_out
    }

    /// Rows to be multiplied with these weights, or with others of the same inputs.
    pub(in crate::model) fn rows(&self) -> PackedRows {
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

    /// Words of a panel from an input on.
    fn panel(&self, panel: usize, from: usize) -> &[u32] {
        let per_word = self.method.per_weight_word();
        let words = self.depth / per_word * WIDTH;
        &self.words.as_slice()[panel * words + from / per_word * WIDTH..(panel + 1) * words]
    }
}

/// Rows, packed for products.
#[derive(Clone, Debug)]
pub(in crate::model) struct PackedRows {
    isa: Isa,
    method: Method,
    height: usize,
    n_rows: usize,
    /// Inputs, rounded up.
    depth: usize,
    /// Inputs of a block.
    block: usize,
    words: Words,
}

impl PackedRows {
    pub(in crate::model) fn isa(&self) -> Isa {
        self.isa
    }

    pub(in crate::model) fn n_rows(&self) -> usize {
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

    /// Tiles that are multiplied with one panel after another: all, some at a time.
    pub(in crate::model) fn groups(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (n, step) = (self.n_tiles(), (GROUP_ROWS / self.height).max(1));
        (0..n)
            .step_by(step)
            .map(move |first| first..(first + step).min(n))
    }

    /// Other rows, for products with the same kind of weights.
    pub(in crate::model) fn alike(&self) -> Self {
        Self {
            n_rows: 0,
            words: Words::default(),
            ..*self
        }
    }

    /// The rows of some tiles.
    pub(in crate::model) fn rows_of(&self, tiles: &Range<usize>) -> Range<usize> {
        tiles.start * self.height..(tiles.end * self.height).min(self.n_rows)
    }

    fn tile_words(&self) -> usize {
        self.height * self.block / self.method.per_row_word()
    }

    /// Packs `n_rows` rows of `n_in` values, of which `row(i)` is the i-th.
    pub(in crate::model) fn pack_rows<'a>(
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
    pub(in crate::model) fn in_blocks(&mut self, n_rows: usize, n_in: usize) {
        self.n_rows = n_rows;
        self.depth = n_in.next_multiple_of(PANEL);
        self.block = PANEL;
        let len = self.n_tiles() * self.tile_words() * (self.depth / PANEL);
        self.words.resize(len);
    }

    /// The blocks, to be written side by side.
    pub(in crate::model) fn blocks(&mut self) -> impl Iterator<Item = PanelRows<'_>> {
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
pub(in crate::model) struct PanelRows<'a> {
    isa: Isa,
    method: Method,
    height: usize,
    tile_words: usize,
    words: &'a mut [u32],
}

impl PanelRows<'_> {
    /// Packs some tiles from rows of [`PANEL`] values.
    pub(in crate::model) fn pack(&mut self, tiles: Range<usize>, values: &[f32]) {
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

#[inline(always)]
fn pair_at(row: &[f32], at: usize, n_in: usize) -> u32 {
    match 2 * at + 1 < n_in {
        true => pair(row[2 * at], row[2 * at + 1]),
        false if 2 * at < n_in => bf16(row[2 * at]),
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

/// One tile of a product: what is multiplied, and where the sum goes.
pub(super) struct Tile {
    /// Words of the tile's rows in the first block.
    pub(super) rows: *const u32,
    /// Words from a block to the next.
    pub(super) next_block: usize,
    pub(super) n_blocks: usize,
    /// Inputs of a block.
    pub(super) block: usize,
    pub(super) weights: *const u32,
    pub(super) out: *mut f32,
    /// Values from a row of `out` to the next.
    pub(super) stride: usize,
    /// Whether the sum is added to what is there.
    pub(super) add: bool,
}

impl Tile {
    /// The sixteen outputs from `first` on.
    ///
    /// # Safety
    /// The tile has them.
    #[inline(always)]
    unsafe fn half(&self, first: usize) -> Self {
        // SAFETY: the caller's
        let (weights, out) = unsafe { (self.weights.add(first), self.out.add(first)) };
        Self {
            weights,
            out,
            ..*self
        }
    }
}

/// A tile of `HEIGHT` rows and `16 · VECTORS` outputs, all sums in registers.
///
/// Loops are over numbers: an iterator over vectors is a function that is not compiled for their instruction set.
///
/// # Safety
/// What the tile points to is as long as it says; `pairs` says what the words of the weights are.
#[allow(clippy::needless_range_loop)]
#[inline(always)]
pub(super) unsafe fn multiply<L: Lanes, const HEIGHT: usize, const VECTORS: usize>(
    tile: &Tile,
    pairs: bool,
) {
    // SAFETY: the caller's
    unsafe {
        let zero = L::splat(0.0);
        let mut sums = [[zero; VECTORS]; HEIGHT];
        let mut weights = tile.weights;
        for block in 0..tile.n_blocks {
            let mut rows = tile.rows.add(block * tile.next_block).cast::<f32>();
            if pairs {
                for _ in 0..tile.block / 2 {
                    let mut lanes = [(zero, zero); VECTORS];
                    for v in 0..VECTORS {
                        lanes[v] = L::load_pairs(weights.add(v * LANES));
                    }
                    for i in 0..HEIGHT {
                        let first = L::splat(*rows.add(i));
                        let second = L::splat(*rows.add(HEIGHT + i));
                        for v in 0..VECTORS {
                            sums[i][v] = first.mul_add(lanes[v].0, sums[i][v]);
                            sums[i][v] = second.mul_add(lanes[v].1, sums[i][v]);
                        }
                    }
                    rows = rows.add(2 * HEIGHT);
                    weights = weights.add(WIDTH);
                }
            } else {
                for _ in 0..tile.block {
                    let mut lanes = [zero; VECTORS];
                    for v in 0..VECTORS {
                        lanes[v] = L::load(weights.add(v * LANES).cast());
                    }
                    for i in 0..HEIGHT {
                        let x = L::splat(*rows.add(i));
                        for v in 0..VECTORS {
                            sums[i][v] = x.mul_add(lanes[v], sums[i][v]);
                        }
                    }
                    rows = rows.add(HEIGHT);
                    weights = weights.add(WIDTH);
                }
            }
        }
        for i in 0..HEIGHT {
            for v in 0..VECTORS {
                let out = tile.out.add(i * tile.stride + v * LANES);
                if tile.add {
                    L::load(out).add(sums[i][v]).store(out);
                } else {
                    sums[i][v].store(out);
                }
            }
        }
    }
}

/// The same with `vdpbf16ps`.
///
/// # Safety
/// As for [`multiply`].
#[cfg(target_arch = "x86_64")]
#[allow(clippy::needless_range_loop)]
#[inline]
#[target_feature(enable = "avx512f,avx512vl,avx512bw,avx512dq,avx512bf16")]
unsafe fn multiply_dot(tile: &Tile) {
    use std::arch::x86_64::*;
    use std::mem::transmute;
    const HEIGHT: usize = 14;
    // SAFETY: the caller's; vectors of the same size are what they are read as
    unsafe {
        let mut sums = [[_mm512_setzero_ps(); 2]; HEIGHT];
        let mut weights = tile.weights;
        for block in 0..tile.n_blocks {
            let mut rows = tile.rows.add(block * tile.next_block).cast::<i32>();
            for _ in 0..tile.block / 2 {
                let low = transmute::<__m512i, __m512bh>(_mm512_loadu_si512(weights.cast()));
                let high = _mm512_loadu_si512(weights.add(LANES).cast());
                let high = transmute::<__m512i, __m512bh>(high);
                for i in 0..HEIGHT {
                    let x = transmute::<__m512i, __m512bh>(_mm512_set1_epi32(*rows.add(i)));
                    sums[i][0] = _mm512_dpbf16_ps(sums[i][0], x, low);
                    sums[i][1] = _mm512_dpbf16_ps(sums[i][1], x, high);
                }
                rows = rows.add(HEIGHT);
                weights = weights.add(WIDTH);
            }
        }
        for i in 0..HEIGHT {
            for v in 0..2 {
                let out = tile.out.add(i * tile.stride + v * LANES);
                let sum = match tile.add {
                    true => _mm512_add_ps(_mm512_loadu_ps(out), sums[i][v]),
                    false => sums[i][v],
                };
                _mm512_storeu_ps(out, sum);
            }
        }
    }
}

/// Where a product goes.
#[derive(Clone, Copy)]
pub(super) struct Target {
    /// The first output of the first row.
    pub(super) out: *mut f32,
    /// Values from a row to the next.
    pub(super) stride: usize,
    /// Whether the product is added to what is there.
    pub(super) add: bool,
}

/// Some tiles times one panel of weights, from the weights' input `from` on.
///
/// # Safety
/// Whole tiles of [`WIDTH`] outputs can be written to the target; with `add`, they are values already.
pub(super) unsafe fn multiply_panel(
    rows: &PackedRows,
    tiles: Range<usize>,
    (weights, panel, from): (&Packed, usize, usize),
    target: Target,
) {
    assert_eq!((rows.method, rows.isa), (weights.method, weights.isa));
    assert!(from + rows.depth <= weights.depth);
    assert!(tiles.end <= rows.n_tiles() && panel * WIDTH < weights.n_out);
    let n_blocks = rows.depth / rows.block.max(1);
    // a stretch is some blocks, or some inputs of the only block
    let (blocks_at_once, inputs_at_once) = match n_blocks {
        1 => (1, rows.depth.div_ceil(rows.depth.div_ceil(STRETCH).max(1))),
        _ => (STRETCH / rows.block, rows.block),
    };
    let inputs_at_once = inputs_at_once.next_multiple_of(rows.method.step());
    let per_row_word = rows.method.per_row_word();
    let (words, tile_words) = (rows.words.as_slice(), rows.tile_words());
    let mut add = target.add;
    for first_block in (0..n_blocks).step_by(blocks_at_once) {
        for first_input in (0..rows.block).step_by(inputs_at_once) {
            let input = from + first_block * rows.block + first_input;
            let weight_words = weights.panel(panel, input);
            for (at, tile) in tiles.clone().enumerate() {
                let start = (first_block * rows.n_tiles() + tile) * tile_words;
                let task = Tile {
                    rows: words[start + first_input * rows.height / per_row_word..].as_ptr(),
                    next_block: rows.n_tiles() * tile_words,
                    n_blocks: blocks_at_once.min(n_blocks - first_block),
                    block: inputs_at_once.min(rows.block - first_input),
                    weights: weight_words.as_ptr(),
                    // SAFETY: the caller's: there are whole tiles
                    out: unsafe { target.out.add(at * rows.height * target.stride) },
                    stride: target.stride,
                    add,
                };
                // SAFETY: rows and weights have the inputs that were asserted
                unsafe { multiply_tile(rows.isa, rows.method, &task) };
            }
            add = true;
        }
    }
}

/// # Safety
/// As for [`multiply`].
#[inline(always)]
unsafe fn multiply_tile(isa: Isa, method: Method, tile: &Tile) {
    struct Multiply<'t>(&'t Tile, bool);
    impl Kernel for Multiply<'_> {
        type Output = ();

        #[inline(always)]
        fn run<L: Lanes>(self) {
            // SAFETY: the caller's
            unsafe {
                match L::TILE {
                    (14, 2) => multiply::<L, 14, 2>(self.0, self.1),
                    (6, 1) => {
                        multiply::<L, 6, 1>(&self.0.half(0), self.1);
                        multiply::<L, 6, 1>(&self.0.half(LANES), self.1);
                    }
                    _ => {
                        multiply::<L, 4, 1>(&self.0.half(0), self.1);
                        multiply::<L, 4, 1>(&self.0.half(LANES), self.1);
                    }
                }
            }
        }
    }
    match method {
        Method::Plain => isa.run(Multiply(tile, false)),
        Method::Widened => isa.run(Multiply(tile, true)),
        // SAFETY: the method is chosen only where the CPU has it
        #[cfg(target_arch = "x86_64")]
        Method::Dot => unsafe { multiply_dot(tile) },
        // SAFETY: likewise
        #[cfg(target_arch = "x86_64")]
        Method::Amx => unsafe { super::amx::multiply(tile) },
    }
}

/// Some tiles times the weights of a panel of neurons: whole tiles of rows of [`PANEL`], zero where there is no neuron.
pub(in crate::model) fn multiply_neurons(
    rows: &PackedRows,
    tiles: Range<usize>,
    weights: &Packed,
    neurons: usize,
    out: &mut [f32],
) {
    let n_rows = tiles.len() * rows.height;
    assert!(out.len() >= n_rows * PANEL);
    for half in 0..PANEL / WIDTH {
        let panel = neurons * PANEL / WIDTH + half;
        if panel * WIDTH >= weights.n_out {
            for row in out.chunks_exact_mut(PANEL).take(n_rows) {
                row[half * WIDTH..].fill(0.0);
            }
            break;
        }
        let target = Target {
            out: out[half * WIDTH..].as_mut_ptr(),
            stride: PANEL,
            add: false,
        };
        // SAFETY: there is room for whole tiles
        unsafe { multiply_panel(rows, tiles.clone(), (weights, panel, 0), target) };
    }
}

/// Rows times all weights: `[n_rows, n_out]`.
pub(in crate::model) fn linear(rows: &PackedRows, weights: &Packed) -> Vec<f32> {
    let (n_out, height) = (weights.n_out, rows.height);
    // tiles are written whole
    let len = rows.n_tiles() * height * n_out;
    let mut out: Vec<f32> = Vec::with_capacity(len);
    let mut edge = [0f32; GROUP_ROWS * WIDTH];
    for tiles in rows.groups() {
        let first = tiles.start * height * n_out;
        for panel in 0..n_out.div_ceil(WIDTH) {
            let n = WIDTH.min(n_out - panel * WIDTH);
            // SAFETY: `out` and `edge` have room for whole tiles; of the last panel only outputs that exist are copied
            unsafe {
                let to = out.as_mut_ptr().add(first + panel * WIDTH);
                let target = match n == WIDTH {
                    true => Target {
                        out: to,
                        stride: n_out,
                        add: false,
                    },
                    false => Target {
                        out: edge.as_mut_ptr(),
                        stride: WIDTH,
                        add: false,
                    },
                };
                multiply_panel(rows, tiles.clone(), (weights, panel, 0), target);
                if n == WIDTH {
                    continue;
                }
                for row in 0..tiles.len() * height {
                    let from = edge.as_ptr().add(row * WIDTH);
                    std::ptr::copy_nonoverlapping(from, to.add(row * n_out), n);
                }
            }
        }
    }
    // SAFETY: every row of every tile has been written in every panel
    unsafe { out.set_len(rows.n_rows * n_out) };
    out
}
