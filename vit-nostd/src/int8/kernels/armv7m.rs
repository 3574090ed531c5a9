//! Kernels for Cortex-M without the DSP extension (M3).
//!
//! Sums of products are in assembly, for two channels and two tokens together: 4 loads and 4 multiplications for 4
//! products. From Rust code, the compiler computes the four sums one after the other, and spills the values that it has
//! loaded for the first sum to the stack.

use super::{
    interface::KernelsFor,
    offset::{offset_of_row, MAX_ROW},
    portable::{self, linear_by, Output, PAIR},
    tile::Tile,
};
use crate::{
    int8::{linear::Linear, requantize::Whole},
    shape::Array,
};
use core::arch::naked_asm;

pub(crate) use super::interface::always_best as with_best;

/// The number of tokens that go through a layer together.
pub(crate) const TILE: usize = 2;

/// The number of tokens whose scores are held at the same time.
pub(crate) const SCORED: usize = 1;

/// The type that activations are widened to before multiplication. It has size zero: widening does not pay here.
pub(crate) type Wide = [i16; 0];

/// The type that tiles are aligned like: the largest unit that the kernels load at once.
pub(super) type Fetch = u32;

/// The portable kernels, with sums of products in assembly.
#[derive(Clone, Copy, Debug)]
pub struct Best;

impl KernelsFor<Wide, TILE, SCORED> for Best {
    #[inline(always)]
    fn linear<R: Array<i8>>(self, x: &Tile<'_, Wide>, tokens: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        linear(x, tokens, layer, out);
    }

    #[inline(always)]
    fn add_linear<R: Array<i8>>(
        self,
        x: &Tile<'_, Wide>,
        tokens: usize,
        layer: Linear<'_, R>,
        out: &mut [i16],
    ) {
        linear(x, tokens, layer, out);
    }
}

#[inline(never)]
fn linear<R: Array<i8>, O: Output>(x: &Tile<'_, Wide>, tokens: usize, layer: Linear<'_, R>, out: &mut [O]) {
    linear_by::<R, O, Whole, TILE>(layer, out, |rows| {
        // A single token goes this way, too: computing a second row costs less than another loop.
        if const { fits::<R>() } {
            dots::<R>(x.rows, rows)
        } else {
            portable::dots::<R, _, TILE>(x, tokens, rows)
        }
    });
}

/// True if [`multiply`] can process rows of type `R`: an offset in an instruction reaches the next row, and a row
/// consists of whole groups of four values.
const fn fits<R: Array<i8>>() -> bool {
    R::LEN <= MAX_ROW && R::LEN.is_multiple_of(4) && R::LEN > 0
}

/// Returns the sums of products of two rows of weights with the rows of two tokens. Returns `None` if there are fewer
/// than two rows, or if [`multiply`] cannot process them.
#[inline(always)]
fn dots<R: Array<i8>>(x: &[i8], weights: &[i8]) -> Option<[[i32; TILE]; PAIR]> {
    if !fits::<R>() {
        return None;
    }
    let (x, weights) = (x.get(..TILE * R::LEN)?, weights.get(..PAIR * R::LEN)?);
    let mut sums = [[0; TILE]; PAIR];
    // SAFETY: `x` and `weights` have two rows of `R::LEN` bytes each. `fits` has checked that `R::LEN` is a multiple of
    // 4, above 0, and at most `MAX_ROW`.
    unsafe { multiply::<R>(x.as_ptr(), weights.as_ptr(), &mut sums) };
    Some(sums)
}

/// Writes the sums of products of two rows of weights with the rows of two tokens to `sums`.
///
/// # Safety
/// - `x` and `weights` must each point to two rows of `R::LEN` bytes.
/// - `R::LEN` must be a multiple of 4, above 0, and at most `MAX_ROW`.
#[unsafe(naked)]
unsafe extern "C" fn multiply<R: Array<i8>>(
    x: *const i8,
    weights: *const i8,
    sums: &mut [[i32; TILE]; PAIR],
) {
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
