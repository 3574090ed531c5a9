//! Linear layers: rows of 8-bit weights, 32-bit sums, one rounding.

use crate::{network::Network, shape::Array};
use core::marker::PhantomData;

/// A row of weights: an array of `i8`, or a [`PatchRow`].
pub trait Row {
    /// How many there are, a multiple of 4.
    const LEN: usize;
}

impl<A: Array<i8>> Row for A {
    const LEN: usize = A::LEN;
}

/// A row of the patch projection: one weight per pixel, and zeros up to a multiple of 4.
#[derive(Clone, Copy, Debug)]
pub struct PatchRow<N>(PhantomData<N>);

impl<N: Network> Row for PatchRow<N> {
    const LEN: usize = (N::PATCH * N::PATCH).next_multiple_of(4);
}

/// A linear layer, borrowed from the file: `y[j] = requantize(bias[j] + sum over k of x[k] * weight[j][k], scale[j])`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a, R> {
    /// One row after the other, one for each output.
    pub weight: &'a [i8],
    /// Added to the sums of products.
    pub bias: &'a [i32],
    /// With the shifts, what the sums are requantized by.
    pub multiplier: &'a [u16],
    /// With the multipliers, what the sums are requantized by.
    pub shift: &'a [u8],
    /// The type of a row.
    pub row: PhantomData<R>,
}

/// The sum of the products.
#[inline(always)]
pub fn dot(x: &[i8], y: &[i8]) -> i32 {
    x.iter().zip(y).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}
