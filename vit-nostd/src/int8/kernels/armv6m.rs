//! Kernels for the Cortex-M0 and other processors of its architecture, which have few registers and no multiplication
//! with a result of 64 bits.

use super::{
    interface::KernelsFor,
    portable::{self, linear_by, Output, PAIR},
    tile::{Rows, Scores, Tile},
};
use crate::{
    int8::{
        layer_norm::{self, Norm},
        linear::{dot, Linear},
        requantize::{Halves, Scale},
        softmax::{self, ExpTable},
    },
    network::Network,
    shape::Array,
};
use core::{arch::naked_asm, ops::Range};

pub(crate) use super::interface::always_best as with_best;

/// The number of tokens that go through a layer together. There are not enough registers for two.
pub(crate) const TILE: usize = 1;

/// The number of tokens whose scores are held at the same time.
pub(crate) const SCORED: usize = 1;

/// The type that activations are widened to before multiplication. It has size zero: widening does not pay here.
pub(crate) type Wide = [i16; 0];

/// The type that tiles are aligned like: the largest unit that the kernels load at once.
pub(super) type Fetch = u32;

/// The portable kernels, with sums of products in assembly, and with [`Halves`] for requantization: multiplications with
/// 32-bit results, which this processor has an instruction for.
#[derive(Clone, Copy, Debug)]
pub struct Best;

impl KernelsFor<Wide, TILE, SCORED> for Best {
    #[inline(never)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        layer_norm::layer_norm::<Halves>(x, norm, out);
    }

    #[inline(always)]
    fn linear<R: Array<i8>>(self, x: &Tile<'_, Wide>, _: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        linear(x, layer, out);
    }

    #[inline(always)]
    fn add_linear<R: Array<i8>>(self, x: &Tile<'_, Wide>, _: usize, layer: Linear<'_, R>, out: &mut [i16]) {
        linear(x, layer, out);
    }

    #[inline(never)]
    fn scores<N: Network>(
        self,
        query: &Tile<'_, Wide>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<N>,
        out: &mut Scores<N, SCORED>,
    ) {
        let channels = head * N::HEAD_DIM..(head + 1) * N::HEAD_DIM;
        for (token, scores) in tokens.zip(out) {
            let query = query.row(token).get(channels.clone()).unwrap_or_default();
            let (pairs, last) = scores.as_mut().as_chunks_mut::<PAIR>();
            let (keys, last_key) = keys.as_ref().as_chunks::<PAIR>();
            for (scores, [first, second]) in pairs.iter_mut().zip(keys) {
                let [first, second] =
                    [first, second].map(|key| key.as_ref().get(channels.clone()).unwrap_or_default());
                *scores = dots(query, first, second);
            }
            for (score, key) in last.iter_mut().zip(last_key) {
                let key = key.as_ref().get(channels.clone()).unwrap_or_default();
                [*score, _] = dots(query, key, key);
            }
        }
    }

    #[inline(never)]
    fn exponentials(self, scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
        softmax::exponentials::<Halves>(scores, scale, table)
    }

    #[inline(never)]
    fn context<N: Network>(
        self,
        exponentials: &Scores<N, SCORED>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<N>,
        scales: &[Scale; SCORED],
        out: &mut Tile<'_, Wide>,
    ) {
        portable::context::<N, _, Halves, SCORED>(exponentials, tokens, head, values, scales, out);
    }
}

/// Computes a linear layer for one token.
#[inline(never)]
fn linear<R: Array<i8>, O: Output>(x: &Tile<'_, Wide>, layer: Linear<'_, R>, out: &mut [O]) {
    linear_by::<R, O, Halves, TILE>(layer, out, |rows| {
        let (first, second) = (rows.get(..R::LEN)?, rows.get(R::LEN..PAIR * R::LEN)?);
        Some(dots(x.row(0).get(..R::LEN)?, first, second).map(|sum| [sum]))
    });
}

/// Returns the sums of products of `x` with two rows of as many values.
#[inline(always)]
fn dots(x: &[i8], first: &[i8], second: &[i8]) -> [i32; PAIR] {
    let len = x.len();
    if len == 0 || !len.is_multiple_of(4) || first.len() < len || second.len() < len {
        return [dot(x, first), dot(x, second)];
    }
    // SAFETY: all three have `len` values, and `len` is a multiple of 4 and not 0.
    let sums = unsafe { multiply(x.as_ptr(), first.as_ptr(), second.as_ptr(), len) };
    [sums as i32, (sums >> 32) as i32]
}

/// Returns the sum of products of `x` with `first` in the lower 32 bits, and that with `second` in the upper ones.
///
/// Eight instructions compute two products, because a value of `x` is loaded once for both.
///
/// # Safety
/// - All three must point to `len` bytes.
/// - `len` must be a multiple of 4 and not 0.
#[unsafe(naked)]
unsafe extern "C" fn multiply(x: *const i8, first: *const i8, second: *const i8, len: usize) -> u64 {
    naked_asm!(
        "push {{r4-r7, lr}}",
        "movs r4, #0",
        "movs r5, #0",
        "1:",
        ".rept 4",
        "subs r3, #1",
        "ldrsb r6, [r0, r3]",
        "ldrsb r7, [r1, r3]",
        "muls r7, r6, r7",
        "adds r4, r4, r7",
        "ldrsb r7, [r2, r3]",
        "muls r7, r6, r7",
        "adds r5, r5, r7",
        ".endr",
        "cmp r3, #0",
        "bne 1b",
        "movs r0, r4",
        "movs r1, r5",
        "pop {{r4-r7, pc}}",
    )
}
