//! Linear layers with rows of 8-bit weights, sums of 32 bits, and one rounding per output.

use core::marker::PhantomData;

/// A linear layer, borrowed from the file: `y[j] = requantize(bias[j] + sum over k of x[k] * weight[j][k], scale[j])`.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a, R> {
    /// The weights: one row of `R::LEN` for each output, one after the other.
    pub weight: &'a [i8],
    /// The bias of each output, which is added to its sum of products.
    pub bias: &'a [i32],
    /// The multiplier of the [`Scale`](super::requantize::Scale) of each output.
    pub multiplier: &'a [u16],
    /// The shift of the [`Scale`](super::requantize::Scale) of each output.
    pub shift: &'a [u8],
    /// The type of a row of weights: an array of `i8`, whose length is a multiple of 4.
    pub row: PhantomData<R>,
}

/// Returns the sum of `x[k] * y[k]` over all `k`.
#[inline(always)]
pub fn dot(x: &[i8], y: &[i8]) -> i32 {
    x.iter().zip(y).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}
