//! AMX for CPUs that have none, so that its kernels are tested on every x86-64 machine with Linux: the instructions are
//! carried out when the CPU refuses them (Intel SDM, volume 2, and "Programming with Intel AMX").

use std::cell::RefCell;
use std::sync::Once;

use crate::lanes::Isa;

/// Eight tiles of 16 rows of 64 bytes.
struct Tiles([[[u8; 64]; 16]; 8]);

thread_local! {
    static TILES: RefCell<Tiles> = const { RefCell::new(Tiles([[[0; 64]; 16]; 8])) };
}

/// Lets the instructions through, if the CPU does not know them.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if Isa::Amx.is_available() {
            return;
        }
        // SAFETY: the handler changes the state of tiles and the instruction pointer only
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handle as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            assert_eq!(
                libc::sigaction(libc::SIGILL, &action, std::ptr::null_mut()),
                0
            );
        }
    });
}

/// Numbers of the registers in a signal's context, in the order of instructions.
const REGISTERS: [i32; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

extern "C" fn handle(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel's context, and an instruction that the CPU has just read
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let registers = &mut context.uc_mcontext.gregs;
        let code = registers[libc::REG_RIP as usize] as *const u8;
        let Some(len) = step(code, registers) else {
            let message = b"an instruction that is not emulated\n";
            libc::write(2, message.as_ptr().cast(), message.len());
            libc::abort();
        };
        registers[libc::REG_RIP as usize] += len;
    }
}

/// Carries out one instruction; answers its length.
unsafe fn step(code: *const u8, registers: &[i64; 23]) -> Option<i64> {
    // SAFETY: the caller's
    unsafe {
        let byte = |at: usize| *code.add(at);
        // a VEX prefix of three bytes, map 0F38
        if byte(0) != 0xc4 || byte(1) & 0x1f != 2 {
            return None;
        }
        let extend = |bit: u8| if byte(1) & bit == 0 { 8 } else { 0 };
        let (index_high, base_high) = (extend(0x40), extend(0x20));
        let (prefix, source) = (byte(2) & 3, usize::from(!byte(2) >> 3 & 15));
        let (opcode, modrm) = (byte(3), byte(4));
        let (mode, reg, rm) = (
            modrm >> 6,
            usize::from(modrm >> 3 & 7),
            usize::from(modrm & 7),
        );
        let register = |number: usize| registers[REGISTERS[number] as usize];
        let mut len = 5;
        let (mut address, mut stride) = (0, 0);
        if mode != 3 {
            let mut base = rm;
            if rm == 4 {
                let sib = byte(5);
                len += 1;
                base = usize::from(sib & 7);
                let index = usize::from(sib >> 3 & 7) + index_high;
                stride = if index == 4 {
                    0
                } else {
                    register(index) << (sib >> 6)
                };
            }
            if mode == 0 && base == 5 {
                return None;
            }
            address = register(base + base_high);
            match mode {
                1 => {
                    address += i64::from(byte(len) as i8);
                    len += 1;
                }
                2 => {
                    address += i64::from(code.add(len).cast::<i32>().read_unaligned());
                    len += 4;
                }
                _ => {}
            }
        }
        let row = |at: usize| (address + at as i64 * stride) as *mut [u8; 64];
        TILES.with_borrow_mut(|Tiles(tiles)| {
            match (prefix, opcode) {
                (0, 0x49) => {
                    let config = std::slice::from_raw_parts(address as *const u8, 64);
                    let all = |bytes: &[u8], value| bytes.iter().all(|byte| *byte == value);
                    let widths = config[16..32].chunks_exact(2).all(|width| width == [64, 0]);
                    // this emulation knows tiles of full size only
                    if config[0] != 1 || !widths || !all(&config[48..56], 16) {
                        return None;
                    }
                }
                (3, 0x49) if mode == 3 => tiles[reg] = [[0; 64]; 16],
                (3, 0x4b) => {
                    for (at, to) in tiles[reg].iter_mut().enumerate() {
                        *to = row(at).read_unaligned();
                    }
                }
                (2, 0x4b) => {
                    for (at, from) in tiles[reg].iter().enumerate() {
                        row(at).write_unaligned(*from);
                    }
                }
                (2, 0x5c) if mode == 3 => {
                    let (a, b) = (tiles[rm], tiles[source]);
                    multiply(&mut tiles[reg], &a, &b);
                }
                _ => return None,
            }
            Some(len as i64)
        })
    }
}

fn multiply(sums: &mut [[u8; 64]; 16], a: &[[u8; 64]; 16], b: &[[u8; 64]; 16]) {
    let bf16 = |row: &[u8; 64], at: usize| {
        f32::from_bits(u32::from(u16::from_le_bytes([row[2 * at], row[2 * at + 1]])) << 16)
    };
    for (sums, a) in sums.iter_mut().zip(a) {
        for (column, sum) in sums.chunks_exact_mut(4).enumerate() {
            let mut x = f32::from_le_bytes([sum[0], sum[1], sum[2], sum[3]]);
            for (pair, b) in b.iter().enumerate() {
                x += bf16(a, 2 * pair) * bf16(b, 2 * column);
                x += bf16(a, 2 * pair + 1) * bf16(b, 2 * column + 1);
            }
            sum.copy_from_slice(&x.to_le_bytes());
        }
    }
}
