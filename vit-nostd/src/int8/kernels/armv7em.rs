//! Kernels for Cortex-M with the DSP extension: two products in one instruction (`SMLAD`).
//!
//! Most of the time goes into sums of products. The inner loop loads four weights of each of two channels in two words,
//! and widens them into four registers (`SXTB16`: bytes 0 and 2, bytes 1 and 3). It multiplies them by four activations
//! of each of three tokens, which were widened in the same way beforehand. That is 12 `SMLAD` for 24 products, and 9
//! instructions for loads and widening. All 14 registers are in use, and nothing is spilled in the loop:
//!
//! ```text
//! r0      pointer to the activations: for each group of four, for each token, a word of (0, 2) and a word of (1, 3)
//! r1      pointer to the weights of the first channel; those of the second one are a row further on
//! r2 r3   two words of activations
//! r4-r6   sums of the first channel         r7-r9   sums of the second channel
//! r10 r11 weights of the first channel      r12 r14 weights of the second channel
//! ```

use super::{
    interface::KernelsFor,
    offset::{offset_of_row, MAX_ROW},
    portable,
    tile::{Rows, Scores, Tile},
};
use crate::{
    int8::{linear::Linear, requantize::Whole},
    network::Network,
    shape::{Array, Vector},
};
use core::{
    arch::{asm, naked_asm},
    ops::Range,
};

pub(crate) use super::interface::always_best as with_best;

/// The number of tokens that go through a layer together.
pub(crate) const TILE: usize = 3;

/// The number of tokens whose scores are held at the same time: a whole tile, so that each key is loaded once per tile.
pub(crate) const SCORED: usize = TILE;

/// The type that activations are widened to before multiplication.
pub(crate) type Wide = i16;

/// The type that tiles are aligned like: the largest unit that the kernels load at once.
pub(super) type Fetch = u32;

/// Kernels for Cortex-M with the DSP extension.
#[derive(Clone, Copy, Debug)]
pub struct Best;

/// The number of output channels that are computed together.
const PAIR: usize = 2;

impl KernelsFor<Wide, TILE, SCORED> for Best {
    fn name(self) -> &'static str {
        "DSP"
    }

    #[inline(never)]
    fn widen(self, x: &mut Tile<'_, Wide>, tokens: usize) {
        let Tile { rows, wide, width } = x;
        let groups = *width / 4;
        let (mut words, _) = rows.as_chunks::<4>();
        for token in 0..tokens {
            let (row, rest) = words.split_at_checked(groups).unwrap_or_default();
            words = rest;
            let wide: &mut [[i16; 4]] = wide.as_chunks_mut().0;
            for (wide, &word) in wide.iter_mut().skip(token).step_by(tokens).zip(row) {
                let word: u32 = bytemuck::cast(word);
                *wide = bytemuck::cast([spread(word), spread(word.rotate_right(8))]);
            }
        }
    }

    #[inline(always)]
    fn linear<R: Array<i8>>(self, x: &Tile<'_, Wide>, tokens: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        if const { R::LEN <= MAX_ROW } {
            linear(x, tokens, layer, out);
        } else {
            portable::linear::<R, _, _, Whole, TILE>(x, tokens, layer, out);
        }
    }

    #[inline(always)]
    fn add_linear<R: Array<i8>>(
        self,
        x: &Tile<'_, Wide>,
        tokens: usize,
        layer: Linear<'_, R>,
        out: &mut [i16],
    ) {
        if const { R::LEN <= MAX_ROW } {
            linear(x, tokens, layer, out);
        } else {
            portable::linear::<R, _, _, Whole, TILE>(x, tokens, layer, out);
        }
    }

    #[inline(always)]
    fn scores<N: Network>(
        self,
        query: &Tile<'_, Wide>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<N>,
        out: &mut Scores<N, SCORED>,
    ) {
        // A row of keys has EMBED bytes, at most 256, which is always within the reach of the offset.
        if const { N::HEAD_DIM.is_multiple_of(4) && N::TOKENS >= PAIR } {
            scores::<N>(query, tokens, head, keys, out);
        } else {
            portable::scores::<N, _, SCORED>(query, tokens, head, keys, out);
        }
    }
}

/// Expands to a directive that tells the assembler that the DSP extension is available. The targets of ARMv8-M need it,
/// because they are also for chips without the extension.
#[cfg(armv8m)]
macro_rules! dsp {
    () => {
        ".cpu cortex-m33"
    };
}
#[cfg(not(armv8m))]
macro_rules! dsp {
    () => {
        ""
    };
}

/// Returns bytes 0 and 2 of a word, widened to 16 bits each.
#[inline(always)]
fn spread(word: u32) -> u32 {
    let wide;
    // SAFETY: the instruction computes one register from another and touches no memory. This module is compiled only
    // for processors with the DSP extension, which the instruction belongs to.
    unsafe {
        asm!(
            dsp!(),
            "sxtb16 {}, {}",
            out(reg) wide,
            in(reg) word,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    wide
}

/// The arguments of a linear layer's kernel. The kernel's assembly depends on the order of the fields.
#[derive(Debug)]
#[repr(C)]
pub(super) struct Arguments<O> {
    x: *const i16,
    weights: *const i8,
    weights_end: *const i8,
    bias: *const i32,
    multiplier: *const u16,
    shift: *const u8,
    out: *mut O,
    /// The distance from the outputs of one token to those of the next, in bytes.
    stride: usize,
}

#[inline(never)]
fn linear<R: Array<i8>, O: Results>(x: &Tile<'_, Wide>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
    let outputs = layer.bias.len();
    let tokens = tokens.min(TILE);
    let fits = R::LEN.is_multiple_of(4)
        && outputs.is_multiple_of(PAIR)
        && layer.weight.len() >= outputs * R::LEN
        && layer.multiplier.len() >= outputs
        && layer.shift.len() >= outputs
        && x.wide.len() >= tokens * R::LEN
        && out.len() >= tokens * outputs;
    if !fits || outputs == 0 {
        return;
    }
    let weights = layer.weight.as_ptr_range();
    let arguments = Arguments {
        x: x.wide.as_ptr(),
        weights: weights.start,
        weights_end: weights.end,
        bias: layer.bias.as_ptr(),
        multiplier: layer.multiplier.as_ptr(),
        shift: layer.shift.as_ptr(),
        out: out.as_mut_ptr(),
        stride: outputs * size_of::<O>(),
    };
    // SAFETY: the conditions of `Results` hold:
    // - `fits` ensures that there are `outputs` rows of weights and as many multipliers and shifts, `R::LEN`
    //   activations of each token, and room for `outputs` results of each token; `outputs` is the number of biases.
    // - `fits` ensures that `R::LEN` is a multiple of 4 and `outputs` an even number. Neither is 0: `outputs` was
    //   checked, and no length of a network is 0. Both callers ensure that `R::LEN` is at most `MAX_ROW`.
    // - The activations are aligned to 4 bytes, because the memory of a tile is. No other load needs an alignment.
    unsafe {
        match tokens {
            1 => O::linear_1::<R>(&arguments),
            2 => O::linear_2::<R>(&arguments),
            _ => O::linear_3::<R>(&arguments),
        }
    }
}

#[inline(never)]
fn scores<N: Network>(
    query: &Tile<'_, Wide>,
    tokens: Range<usize>,
    head: usize,
    keys: &Rows<N>,
    out: &mut Scores<N, SCORED>,
) {
    // SCORED is TILE: the range contains all tokens of the tile.
    let tokens = tokens.end.min(TILE);
    let keys = bytemuck::cast_slice::<_, i8>(keys.as_ref());
    let multiply = match tokens {
        1 => multiply_1::<Vector<N::Embed, i8>>,
        2 => multiply_2::<Vector<N::Embed, i8>>,
        _ => multiply_3::<Vector<N::Embed, i8>>,
    };
    let Some(query) = query.wide.get(head * N::HEAD_DIM * tokens..(head + 1) * N::HEAD_DIM * tokens) else {
        return;
    };
    let mut key = 0;
    while key < N::TOKENS {
        // If a single key would be left over, this takes the last two.
        key = key.min(N::TOKENS - PAIR);
        let begin = key * N::EMBED + head * N::HEAD_DIM;
        let Some(rows) = keys.get(begin..begin + N::EMBED + N::HEAD_DIM) else { return };
        let mut sums = [[0; TILE]; PAIR];
        // SAFETY: the conditions of `multiply!` hold:
        // - `rows` begins with the head's `N::HEAD_DIM` channels of one key, and ends after those of the next key,
        //   which are a row of `N::EMBED` bytes further on.
        // - `query` has `N::HEAD_DIM` widened values of each token. It is aligned to 4 bytes, because its tile is and
        //   the caller ensures that `N::HEAD_DIM` is a multiple of 4.
        // - A row has at most 256 bytes, which is less than `MAX_ROW`.
        unsafe { multiply(query.as_ptr(), rows.as_ptr(), N::HEAD_DIM / 4, &mut sums) };
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

/// The kernels of the linear layers for one type of results.
///
/// # Safety
/// A caller of the functions must make sure of all of this:
/// - `weights` points to rows of `R::LEN` bytes that end at `weights_end`. Their number is even and at least two.
/// - `bias`, `multiplier` and `shift` point to a value for each row.
/// - `x` points to `R::LEN` widened activations of each token of the tile, and is aligned to 4 bytes.
/// - `out` points to a result for each row and each token, and `stride` is the number of bytes from one token's results
///   to those of the next.
/// - `R::LEN` is a multiple of 4, above 0, and at most `MAX_ROW`.
#[allow(clippy::missing_safety_doc)] // The trait says it once for its three functions.
pub(super) trait Results: Sized {
    /// Computes the layer for a tile of one token.
    unsafe extern "C" fn linear_1<R: Array<i8>>(arguments: &Arguments<Self>);
    /// Computes the layer for a tile of two tokens.
    unsafe extern "C" fn linear_2<R: Array<i8>>(arguments: &Arguments<Self>);
    /// Computes the layer for a tile of three tokens.
    unsafe extern "C" fn linear_3<R: Array<i8>>(arguments: &Arguments<Self>);
}

/// Surrounds assembly with the definitions of two assembler macros: `group` adds the products of a group of four
/// activations, and `token`, which it uses, does so for the two sums of one token. `$stride` is the length of a row of
/// weights in bytes, and `$token` the registers of a token's two sums.
macro_rules! with_group {
    ($stride:expr, [$($token:literal)*] $($code:tt)*) => {
        naked_asm!(
            dsp!(),
            ".macro token first, second",
            "ldrd r2, r3, [r0], #8",
            "smlad \\first, r2, r10, \\first",
            "smlad \\second, r2, r12, \\second",
            "smlad \\first, r3, r11, \\first",
            "smlad \\second, r3, lr, \\second",
            ".endm",
            ".macro group",
            "ldr r10, [r1], #4",
            "ldr r12, [r1, #{stride} - 4]",
            "sxtb16 r11, r10, ror #8",
            "sxtb16 r10, r10",
            "sxtb16 lr, r12, ror #8",
            "sxtb16 r12, r12",
            $(concat!("token ", $token),)*
            ".endm",
            $($code)*
            ".purgem group",
            ".purgem token",
            stride = const offset_of_row($stride),
        )
    };
}

/// Defines a kernel, given its name, the registers of each token's sums, the instructions that store the results of the
/// first and of the second channel, the size of a result in bytes, and the instructions that store one result.
///
/// The kernel has an assembler macro `put` that requantizes and stores one result. It takes the sum in `\sum`, the
/// multiplier in the half of r12 that `\half` names (`b` or `t`), and the shift, less 17, in `\shift`. The instructions
/// in `$put` then have twice the result, plus the bit that rounds it, in `\sum`. They store the result at `\place`, and
/// may overwrite r3.
macro_rules! linear {
    ($name:ident, [$($token:literal)*], $first:literal, $second:literal, $size:literal, [$($put:literal)*]) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name<R: Array<i8>>(_: &Arguments<Self>) {
            with_group!(R::LEN, [$($token)*]
                ".macro put sum, half, shift, place:vararg",
                // floor(a * m / 2^16), then floor(that / 2^(s-17)). Adding 1 and halving, which follows, rounds.
                "smulw\\half \\sum, \\sum, r12",
                "asr \\sum, \\sum, \\shift",
                "add \\sum, #1",
                $($put,)*
                ".endm",

                // The stack holds: x, end of the main loop, end of the weights, bias, multiplier, shift, out, stride.
                "push {{r4-r11, lr}}",
                "ldm r0, {{r1-r8}}",
                "push {{r1-r8}}",
                "mov r1, r2",

                "1:",
                "ldr r2, [sp, #12]",
                "ldr r4, [r2], #4",
                "ldr r7, [r2], #4",
                "str r2, [sp, #12]",
                "mov r5, r4",
                "mov r6, r4",
                "mov r8, r7",
                "mov r9, r7",
                "ldr r0, [sp]",
                ".if {stride} >= 16",
                "addw r2, r1, #({stride} & ~15)",
                "str r2, [sp, #4]",
                "2:",
                "group",
                "group",
                "group",
                "group",
                "ldr r2, [sp, #4]",
                "cmp r1, r2",
                "bne 2b",
                ".endif",
                ".rept ({stride} & 15) / 4",
                "group",
                ".endr",

                "ldrd r10, r11, [sp, #16]",
                "ldr r12, [r10], #4",
                "ldrh lr, [r11], #2",
                "strd r10, r11, [sp, #16]",
                "ldrd r2, r11, [sp, #24]",
                "uxtb r10, lr",
                "sub r10, #17",
                "lsr lr, lr, #8",
                "sub lr, #17",
                $first,
                concat!("add r2, #", $size),
                $second,
                concat!("add r2, #", $size),
                "str r2, [sp, #24]",
                "addw r1, r1, #{stride}",
                "ldr r2, [sp, #8]",
                "cmp r1, r2",
                "bne 1b",
                "add sp, #32",
                "pop {{r4-r11, pc}}",
                ".purgem put",
            )
        }
    };
}

macro_rules! results {
    ($type:ty, $size:literal, $put:tt) => {
        impl Results for $type {
            linear!(linear_1, ["r4, r7"], "put r4, b, r10, [r2]", "put r7, t, lr, [r2]", $size, $put);
            linear!(
                linear_2,
                ["r4, r7" "r5, r8"],
                "put r4, b, r10, [r2]\nput r5, b, r10, [r2, r11]",
                "put r7, t, lr, [r2]\nput r8, t, lr, [r2, r11]",
                $size,
                $put
            );
            linear!(
                linear_3,
                ["r4, r7" "r5, r8" "r6, r9"],
                "put r4, b, r10, [r2]\nput r5, b, r10, [r2, r11]\nput r6, b, r10, [r2, r11, lsl #1]",
                "put r7, t, lr, [r2]\nput r8, t, lr, [r2, r11]\nput r9, t, lr, [r2, r11, lsl #1]",
                $size,
                $put
            );
        }
    };
}
results!(i8, "1", ["ssat \\sum, #8, \\sum, asr #1" "strb \\sum, \\place"]);
results!(i16, "2", [
    "ldrsh r3, \\place"
    "add r3, r3, \\sum, asr #1"
    "ssat r3, #16, r3"
    "strh r3, \\place"
]);

/// Defines a function that adds to `sums` the products of two rows of weights with `groups` groups of four activations
/// of each token.
///
/// # Safety
/// A caller of the function must make sure of all of this:
/// - `weights` points to `4 * groups` bytes of the first row, and `R::LEN` bytes further on there are as many of the
///   second.
/// - `x` points to `4 * groups` widened activations of each token, and is aligned to 4 bytes.
/// - `R::LEN` is at most `MAX_ROW`.
macro_rules! multiply {
    ($name:ident, [$($token:literal)*]) => {
        #[unsafe(naked)]
        unsafe extern "C" fn $name<R: Array<i8>>(
            x: *const i16,
            weights: *const i8,
            groups: usize,
            sums: &mut [[i32; TILE]; PAIR],
        ) {
            with_group!(R::LEN, [$($token)*]
                // The stack holds: the end of the weights, the pointer to the sums.
                "push {{r3-r11, lr}}",
                "ldm r3, {{r4-r9}}",
                "add r2, r1, r2, lsl #2",
                "push {{r2}}",
                "cmp r1, r2",
                "beq 2f",
                "1:",
                "group",
                "ldr r2, [sp]",
                "cmp r1, r2",
                "bne 1b",
                "2:",
                "ldr r0, [sp, #4]",
                "stm r0, {{r4-r9}}",
                "add sp, #8",
                "pop {{r4-r11, pc}}",
            )
        }
    };
}
multiply!(multiply_1, ["r4, r7"]);
multiply!(multiply_2, ["r4, r7" "r5, r8"]);
multiply!(multiply_3, ["r4, r7" "r5, r8" "r6, r9"]);
