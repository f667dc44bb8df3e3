//! Products with AMX: tiles of 16 rows of 64 bytes, `tdpbf16ps`.
//!
//! Rust has no stable functions for these instructions, so they stand here as assembly. The tile registers belong to this
//! file alone: each thread sets their shape once.

use std::arch::asm;
use std::cell::Cell;

use super::packing::BAND;
use super::tile::Tile;

/// Shape of the tile registers (Intel SDM, "TILECFG"): palette 1, eight tiles of 16 rows of 64 bytes.
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes_per_row: [u16; 16],
    rows: [u8; 16],
}

static CONFIG: Config = Config {
    palette: 1,
    start_row: 0,
    reserved: [0; 14],
    bytes_per_row: [64, 64, 64, 64, 64, 64, 64, 64, 0, 0, 0, 0, 0, 0, 0, 0],
    rows: [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 0, 0, 0, 0, 0, 0],
};

thread_local! {
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// A tile of 32 rows and 32 outputs.
///
/// # Safety
/// The CPU has AMX; otherwise as for [`super::tile::multiply`].
pub(super) unsafe fn multiply(tile: &Tile) {
    let mut sums = Sums([0.0; 32 * BAND]);
    // SAFETY: the caller's; the assembly reads the tile's rows and weights, and writes `sums`
    unsafe {
        if !CONFIGURED.replace(true) {
            asm!("ldtilecfg [{}]", in(reg) &raw const CONFIG, options(nostack, readonly));
        }
        asm!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            options(nomem, nostack)
        );
        let mut weights = tile.weights;
        for block in 0..tile.n_blocks {
            let rows = tile.rows.add(block * tile.next_block);
            asm!(
                "2:",
                "tileloadd tmm4, [{rows} + {row_stride}]",
                "tileloadd tmm6, [{weights} + {weight_stride}]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                "tileloadd tmm7, [{weights} + {weight_stride} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tileloadd tmm5, [{rows} + {row_stride} + 1024]",
                "tdpbf16ps tmm2, tmm5, tmm6",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "add {rows}, 2048",
                "add {weights}, 2048",
                "dec {n}",
                "jnz 2b",
                rows = inout(reg) rows => _,
                weights = inout(reg) weights,
                n = inout(reg) tile.block / 32 => _,
                row_stride = in(reg) 64usize,
                weight_stride = in(reg) 128usize,
                options(nostack, readonly),
            );
        }
        asm!(
            "tilestored [{sums} + {stride}], tmm0",
            "tilestored [{sums} + {stride} + 64], tmm1",
            "tilestored [{sums} + {stride} + 2048], tmm2",
            "tilestored [{sums} + {stride} + 2112], tmm3",
            sums = in(reg) sums.0.as_mut_ptr(),
            stride = in(reg) 128usize,
            options(nostack),
        );
        for (row, sums) in sums.0.chunks_exact(BAND).enumerate() {
            let out = tile.out.add(row * tile.stride);
            match tile.add {
                true => {
                    let out = std::slice::from_raw_parts_mut(out, BAND);
                    out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum);
                }
                false => std::ptr::copy_nonoverlapping(sums.as_ptr(), out, BAND),
            }
        }
    }
}

#[repr(C, align(64))]
struct Sums([f32; 32 * BAND]);
