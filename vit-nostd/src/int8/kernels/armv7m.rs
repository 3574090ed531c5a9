//! Sums of products for Cortex-M without the DSP extension (M3): two channels and two tokens side by side, 4 loads and 4
//! multiplications for 4 products. In Rust, the compiler takes the four sums one after the other, and lays all that it has
//! fetched for the first one on the stack for the next.

use super::{offset_of_row, MAX_ROW};
use crate::int8::linear::Row;
use core::arch::naked_asm;

/// Whether the offsets reach: a row further on is one in an instruction, and four products are one round.
pub const fn fits<R: Row>() -> bool {
    R::LEN <= MAX_ROW && R::LEN.is_multiple_of(4) && R::LEN > 0
}

/// The sums of products of two rows of weights with those of two tokens; nothing, if there are less than two, or
/// the rows do not fit.
#[inline(always)]
pub fn dots<R: Row>(x: &[i8], weights: &[i8]) -> Option<[[i32; 2]; 2]> {
    if !fits::<R>() {
        return None;
    }
    let (x, weights) = (x.get(..2 * R::LEN)?, weights.get(..2 * R::LEN)?);
    let mut sums = [[0; 2]; 2];
    // SAFETY: two rows each, whose length fits, as was just seen.
    unsafe { multiply::<R>(x.as_ptr(), weights.as_ptr(), &mut sums) };
    Some(sums)
}

#[unsafe(naked)]
unsafe extern "C" fn multiply<R: Row>(x: *const i8, weights: *const i8, sums: &mut [[i32; 2]; 2]) {
    naked_asm!(
        "push {{r4-r9, lr}}",
        "addw lr, r1, #{row}",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "1:",
        ".rept 4",
        "ldrsb r9, [r1], #1",
        "ldrsb r12, [r1, #{row} - 1]",
        "ldrsb r3, [r0], #1",
        "ldrsb r8, [r0, #{row} - 1]",
        "mla r4, r9, r3, r4",
        "mla r5, r9, r8, r5",
        "mla r6, r12, r3, r6",
        "mla r7, r12, r8, r7",
        ".endr",
        "cmp r1, lr",
        "bne 1b",
        "stm r2, {{r4-r7}}",
        "pop {{r4-r9, pc}}",
        row = const offset_of_row(R::LEN),
    )
}
