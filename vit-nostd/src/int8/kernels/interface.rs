//! The interface of the kernels, which are the inner loops that the integer engine calls, and the choice of the best
//! ones.

use super::{
    portable,
    tile::{Rows, Scores, Tile},
};
use crate::{
    int8::{
        layer_norm::Norm,
        linear::Linear,
        requantize::{Scale, Whole},
        softmax::ExpTable,
    },
    network::Network,
    shape::Array,
};
use core::ops::Range;

/// The inner loops, for tiles of `TILE` tokens whose activations are widened to `W`, and for scores of `SCORED` tokens
/// at the same time.
///
/// NUMERICS.md defines what the functions compute. Their argument `tokens` is the number, or the range, of the tile's
/// rows that hold tokens; there is at least one.
///
/// The portable functions are the defaults. Kernels for a processor override those that they can do better.
pub trait KernelsFor<W, const TILE: usize, const SCORED: usize>: Copy {
    /// Returns the name of the kernels for logs and reports.
    fn name(self) -> &'static str {
        "portable"
    }

    /// Computes the LayerNorm of one row.
    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        portable::layer_norm(x, norm, out);
    }

    /// Prepares the rows of `x` for [`linear`](Self::linear), [`add_linear`](Self::add_linear) and
    /// [`scores`](Self::scores), by widening their values. The length of a row is a multiple of 4.
    #[inline(always)]
    fn widen(self, _x: &mut Tile<'_, W>, _tokens: usize) {}

    /// Computes a linear layer whose results are activations. `out` has a row for each token.
    #[inline(always)]
    fn linear<R: Array<i8>>(self, x: &Tile<'_, W>, tokens: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        portable::linear::<R, _, _, Whole, TILE>(x, tokens, layer, out);
    }

    /// Computes a linear layer and adds its results to the residual stream in `out`, which has a row for each token.
    #[inline(always)]
    fn add_linear<R: Array<i8>>(self, x: &Tile<'_, W>, tokens: usize, layer: Linear<'_, R>, out: &mut [i16]) {
        portable::linear::<R, _, _, Whole, TILE>(x, tokens, layer, out);
    }

    /// Computes the scores of one head for every key, for a range of at most `SCORED` tokens. The start of the range is
    /// a multiple of `SCORED`.
    #[inline(always)]
    fn scores<N: Network>(
        self,
        query: &Tile<'_, W>,
        tokens: Range<usize>,
        head: usize,
        keys: &Rows<N>,
        out: &mut Scores<N, SCORED>,
    ) {
        portable::scores::<N, _, SCORED>(query, tokens, head, keys, out);
    }

    /// Turns the scores of one token and head into exponentials, and returns their sum.
    #[inline(always)]
    fn exponentials(self, scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
        portable::exponentials(scores, scale, table)
    }

    /// Computes the weighted sums of one head's values, for the same tokens as [`scores`](Self::scores), and requantizes
    /// them with the scale of each token.
    #[inline(never)]
    fn context<N: Network>(
        self,
        exponentials: &Scores<N, SCORED>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<N>,
        scales: &[Scale; SCORED],
        out: &mut Tile<'_, W>,
    ) {
        portable::context::<N, _, Whole, SCORED>(exponentials, tokens, head, values, scales, out);
    }
}

/// Evaluates an expression with [`Best`](super::Best) as the kernels, on processors where they need no check at run
/// time.
#[cfg(not(kernels = "x86_64"))] // x86-64 detects extensions at run time.
macro_rules! always_best {
    ($kernels:ident => $then:expr) => {{
        let $kernels = $crate::int8::kernels::Best;
        $then
    }};
}
#[cfg(not(kernels = "x86_64"))]
pub(crate) use always_best;
