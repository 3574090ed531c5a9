//! The interface of the kernels: the inner loops that the integer engine calls, and how the best ones are chosen.

use super::{
    portable,
    tile::{Rows, Scores, Tile},
};
use crate::{
    int8::{
        layer_norm::Norm,
        linear::{Linear, Row},
        requantize::{Scale, Whole},
        softmax::ExpTable,
    },
    network::Network,
};
use core::ops::Range;

/// The inner loops, for tiles of `TILE` tokens whose activations are widened to `W`, and for scores of `SCORED` tokens at the
/// same time. NUMERICS.md says what they compute; `tokens` is how many rows of a tile count, at least one.
///
/// Kernels for a processor implement what they do better than the portable functions, which do everything else.
pub trait KernelsFor<W, const TILE: usize, const SCORED: usize>: Copy {
    /// The name that logs and reports show.
    fn name(self) -> &'static str {
        "portable"
    }

    /// LayerNorm of one row.
    #[inline(always)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        portable::layer_norm(x, norm, out);
    }

    /// Makes the rows of `x`, a multiple of 4 wide, ready for [`linear`](Self::linear), [`add_linear`](Self::add_linear) and
    /// [`scores`](Self::scores).
    #[inline(always)]
    fn widen(self, _x: &mut Tile<'_, W>, _tokens: usize) {}

    /// A linear layer whose results are activations: `out` has a row for each token.
    #[inline(always)]
    fn linear<R: Row>(self, x: &Tile<'_, W>, tokens: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        portable::linear::<R, _, _, Whole, TILE>(x, tokens, layer, out);
    }

    /// A linear layer whose results are added to the residual stream: `out` has a row for each token.
    #[inline(always)]
    fn add_linear<R: Row>(self, x: &Tile<'_, W>, tokens: usize, layer: Linear<'_, R>, out: &mut [i16]) {
        portable::linear::<R, _, _, Whole, TILE>(x, tokens, layer, out);
    }

    /// The scores of one head for every key, of at most `SCORED` tokens, the first of which is a multiple of that.
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

    /// Turns the scores of one token and head into probabilities.
    #[inline(always)]
    fn softmax(self, scores: &mut [i32], scale: Scale, table: &ExpTable) {
        portable::softmax(scores, scale, table);
    }

    /// The weighted sums of one head's values, for the same tokens as in [`scores`](Self::scores).
    #[inline(never)]
    fn context<N: Network>(
        self,
        probabilities: &Scores<N, SCORED>,
        tokens: Range<usize>,
        head: usize,
        values: &Rows<N>,
        scale: Scale,
        out: &mut Tile<'_, W>,
    ) {
        portable::context::<N, _, Whole, SCORED>(probabilities, tokens, head, values, scale, out);
    }
}

/// Evaluates an expression with a processor's kernels, where every such processor has all that they need.
#[cfg(not(kernels = "x86_64"))] // which looks for some of them when it runs
macro_rules! always_best {
    ($kernels:ident => $then:expr) => {{
        let $kernels = $crate::int8::kernels::Best;
        $then
    }};
}
#[cfg(not(kernels = "x86_64"))]
pub(crate) use always_best;
