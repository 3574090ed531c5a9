//! Kernels for Cortex-M with the DSP extension: two products in one instruction (`SMLAD`).
//!
//! The time goes into sums of products. Four weights of each of two channels are fetched in two words and spread over four
//! registers (`SXTB16`: bytes 0 and 2, bytes 1 and 3) and meet four activations of each of three tokens, which were spread
//! in the same way beforehand: 12 `SMLAD` for 24 products, and 9 instructions to fetch and to spread. All 14 registers are
//! in use, and nothing is spilled in the loop:
//!
//! ```text
//! r0      activations: for each four, for each token, a word of (0, 2) and a word of (1, 3)
//! r1      weights of the first channel; those of the second one are a row further on
//! r2 r3   two words of activations
//! r4-r6   sums of the first channel         r7-r9   sums of the second channel
//! r10 r11 weights of the first channel      r12 r14 weights of the second channel
//! ```

use super::{portable::Portable, Kernels, Rows, Scores, Tile, TILE};
use crate::{
    int8::{
        layer_norm::Norm,
        linear::{Linear, Output, Row},
        requantize::{requantize, Scale},
        softmax::ExpTable,
    },
    shape::Shape,
};
use core::arch::{asm, naked_asm};

/// Kernels for Cortex-M with the DSP extension.
#[derive(Clone, Copy, Debug)]
pub struct Dsp;

/// Channels side by side.
const PAIR: usize = 2;

/// Sums of the channels side by side with all tokens of a tile.
type Sums = [[i32; TILE]; PAIR];

impl Kernels for Dsp {
    const NAME: &'static str = "DSP";

    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        Portable.layer_norm(x, norm, out);
    }

    #[inline(never)]
    fn widen(self, x: &mut Tile<'_>, tokens: usize) {
        let Tile { rows, wide, width } = x;
        for (token, row) in rows.chunks_exact((*width).max(1)).enumerate().take(tokens) {
            let wide: &mut [[i16; 4]] = bytemuck::cast_slice_mut(wide);
            let groups = wide.iter_mut().skip(token).step_by(tokens);
            let (words, _) = row.as_chunks::<4>();
            for (wide, word) in groups.zip(words) {
                let word = u32::from_le_bytes(bytemuck::cast(*word));
                *wide = bytemuck::cast([spread(word), spread(word.rotate_right(8))]);
            }
        }
    }

    #[inline(always)]
    fn linear<R: Row, O: Output>(self, x: &Tile<'_>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
        if R::LEN <= MAX_STRIDE {
            linear(x, tokens, layer, out);
        } else {
            Portable.linear(x, tokens, layer, out);
        }
    }

    #[inline(always)]
    fn scores<S: Shape>(self, query: &Tile<'_>, tokens: usize, head: usize, keys: &Rows<S>, out: &mut Scores<S>) {
        if S::EMBED <= MAX_STRIDE && S::HEAD_DIM.is_multiple_of(4) && S::TOKENS >= PAIR {
            scores::<S>(query, tokens, head, keys, out);
        } else {
            Portable.scores::<S>(query, tokens, head, keys, out);
        }
    }

    #[inline(always)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        Portable.softmax(scores, scale, table);
    }

    #[inline(always)]
    fn context<S: Shape>(
        self,
        probabilities: &Scores<S>,
        tokens: usize,
        head: usize,
        values: &Rows<S>,
        scale: Scale,
        out: &mut Tile<'_>,
    ) {
        Portable.context::<S>(probabilities, tokens, head, values, scale, out);
    }
}

/// Bytes 0 and 2 of a word, widened to 16 bits each.
#[inline(always)]
fn spread(word: u32) -> u32 {
    let wide;
    // SAFETY: computes one register from another.
    unsafe { asm!("sxtb16 {}, {}", out(reg) wide, in(reg) word, options(pure, nomem, nostack, preserves_flags)) };
    wide
}

#[inline(never)]
fn linear<R: Row, O: Output>(x: &Tile<'_>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
    let outputs = layer.bias.len();
    let (biases, _) = layer.bias.as_chunks::<PAIR>();
    let (multipliers, _) = layer.multiplier.as_chunks::<PAIR>();
    let (shifts, _) = layer.shift.as_chunks::<PAIR>();
    let rows = layer.weight.chunks_exact(PAIR * R::LEN);
    let multiply = multiply::<R>(tokens);
    let mut first = 0;
    for ((rows, biases), (multipliers, shifts)) in rows.zip(biases).zip(multipliers.iter().zip(shifts)) {
        let mut sums = biases.map(|bias| [bias; TILE]);
        // SAFETY: `rows` are two rows of weights, and the tile was widened to as many groups of four for each token.
        unsafe { multiply(x.wide.as_ptr(), rows.as_ptr(), R::LEN / 4, &mut sums) };
        for channel in 0..PAIR {
            let scale = Scale { multiplier: multipliers[channel], shift: shifts[channel] };
            let mut at = first + channel;
            for &sum in &sums[channel] {
                if let Some(out) = out.get_mut(at) {
                    out.put(requantize(sum, scale));
                }
                at += outputs;
            }
        }
        first += PAIR;
    }
}

#[inline(never)]
fn scores<S: Shape>(query: &Tile<'_>, tokens: usize, head: usize, keys: &Rows<S>, out: &mut Scores<S>) {
    let keys = bytemuck::cast_slice::<_, i8>(keys.as_ref());
    let groups = S::HEAD_DIM / 4;
    let Some(query) = query.wide.get(head * S::HEAD_DIM * tokens..) else { return };
    let multiply = multiply::<S::Embed<i8>>(tokens);
    let mut key = 0;
    while key < S::TOKENS {
        // The last two, where one would be left over.
        key = key.min(S::TOKENS - PAIR);
        let Some(rows) = keys.get(key * S::EMBED + head * S::HEAD_DIM..) else { return };
        let mut sums = [[0; TILE]; PAIR];
        // SAFETY: two keys begin here, and as much of a widened query.
        unsafe { multiply(query.as_ptr(), rows.as_ptr(), groups, &mut sums) };
        for (offset, sums) in sums.iter().enumerate() {
            for (scores, &sum) in out.iter_mut().zip(sums) {
                if let Some(score) = scores.as_mut().get_mut(key + offset) {
                    *score = sum;
                }
            }
        }
        key += PAIR;
    }
}

/// Adds to `sums` the products of two rows of weights, the second one a stride behind the first, with as many groups of
/// four activations of each token.
///
/// The activations are aligned to 4 bytes.
type Multiply = unsafe extern "C" fn(x: *const i16, weights: *const i8, groups: usize, sums: *mut Sums);

/// The stride is an offset in an instruction.
const MAX_STRIDE: usize = 4095;

/// The kernel for rows of `R` and a tile of so many tokens.
#[inline(always)]
fn multiply<R: Row>(tokens: usize) -> Multiply {
    match tokens {
        1 => multiply_1::<R>,
        2 => multiply_2::<R>,
        _ => multiply_3::<R>,
    }
}

macro_rules! multiply {
    ($name:ident, $($token:literal)*) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name<R: Row>(x: *const i16, weights: *const i8, groups: usize, sums: *mut Sums) {
            naked_asm!(
                // One group of four: weights, and then token after token.
                ".macro group",
                "ldr r10, [r1], #4",
                "ldr r12, [r1, #{stride} - 4]",
                "sxtb16 r11, r10, ror #8",
                "sxtb16 r10, r10",
                "sxtb16 lr, r12, ror #8",
                "sxtb16 r12, r12",
                $($token,)*
                ".endm",
                ".macro token first, second",
                "ldrd r2, r3, [r0], #8",
                "smlad \\first, r2, r10, \\first",
                "smlad \\second, r2, r12, \\second",
                "smlad \\first, r3, r11, \\first",
                "smlad \\second, r3, lr, \\second",
                ".endm",
                // On the stack: the end of all groups, the end of those that four of them make, the sums.
                "push {{r3-r11, lr}}",
                "mov r12, r3",
                "add r3, r1, r2, lsl #2",
                "bic r2, r2, #3",
                "add r2, r1, r2, lsl #2",
                "push {{r2, r3}}",
                "ldm r12, {{r4-r9}}",
                "cmp r1, r2",
                "beq 3f",
                "2:",
                "group",
                "group",
                "group",
                "group",
                "ldr r2, [sp]",
                "cmp r1, r2",
                "bne 2b",
                "3:",
                "ldr r2, [sp, #4]",
                "cmp r1, r2",
                "beq 5f",
                "4:",
                "group",
                "ldr r2, [sp, #4]",
                "cmp r1, r2",
                "bne 4b",
                "5:",
                "ldr r0, [sp, #8]",
                "stm r0, {{r4-r9}}",
                "add sp, #12",
                "pop {{r4-r11, pc}}",
                ".purgem group",
                ".purgem token",
                stride = const R::LEN,
            )
        }
    };
}
multiply!(multiply_1, "token r4, r7");
multiply!(multiply_2, "token r4, r7" "token r5, r8");
multiply!(multiply_3, "token r4, r7" "token r5, r8" "token r6, r9");
