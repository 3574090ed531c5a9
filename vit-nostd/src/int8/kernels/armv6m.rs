//! Kernels for the Cortex-M0 and other processors of its architecture, which have few registers and no multiplication
//! with a result of 64 bits.

use super::{
    interface::KernelsFor,
    portable,
    tile::{Rows, Scores, Tile},
};
use crate::{
    int8::{
        layer_norm::{self, Norm},
        linear::Linear,
        requantize::{Halves, Scale},
        softmax::{self, ExpTable},
    },
    network::Network,
    shape::Array,
};
use core::ops::Range;

pub(crate) use super::interface::always_best as with_best;

/// The number of tokens that go through a layer together. There are not enough registers for two.
pub(crate) const TILE: usize = 1;

/// The number of tokens whose scores are held at the same time.
pub(crate) const SCORED: usize = 1;

/// The type that activations are widened to before multiplication. It has size zero: widening does not pay here.
pub(crate) type Wide = [i16; 0];

/// The type that tiles are aligned like: the largest unit that the kernels load at once.
pub(super) type Fetch = u32;

/// The portable kernels, with [`Halves`] for the products: multiplications with 32-bit results, which this processor
/// has an instruction for.
#[derive(Clone, Copy, Debug)]
pub struct Best;

impl KernelsFor<Wide, TILE, SCORED> for Best {
    #[inline(never)]
    fn layer_norm(self, x: &[i16], norm: Norm, out: &mut [i8]) {
        layer_norm::layer_norm::<Halves>(x, norm, out);
    }

    #[inline(always)]
    fn linear<R: Array<i8>>(self, x: &Tile<'_, Wide>, tokens: usize, layer: Linear<'_, R>, out: &mut [i8]) {
        portable::linear::<R, _, _, Halves, TILE>(x, tokens, layer, out);
    }

    #[inline(always)]
    fn add_linear<R: Array<i8>>(
        self,
        x: &Tile<'_, Wide>,
        tokens: usize,
        layer: Linear<'_, R>,
        out: &mut [i16],
    ) {
        portable::linear::<R, _, _, Halves, TILE>(x, tokens, layer, out);
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
