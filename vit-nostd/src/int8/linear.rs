//! Linear layers: rows of 8-bit weights, 32-bit sums, one rounding.

use super::requantize::{requantize, Scale};

/// The tensors of a linear layer behind the weights: as many of each as there are outputs.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// Added to the sum of products.
    pub bias: &'a [i32],
    /// With the shift, what the sum is requantized by.
    pub multiplier: &'a [u16],
    /// With the multiplier, what the sum is requantized by.
    pub shift: &'a [u8],
}

/// The outputs of the layer for `x`, each `requantize(bias[j] + sum over k of x[k] * rows[j][k])`.
#[inline]
pub fn linear<'a>(
    x: &'a [i8],
    rows: impl Iterator<Item = &'a [i8]> + 'a,
    outputs: Outputs<'a>,
) -> impl Iterator<Item = i32> + 'a {
    let scales = outputs.multiplier.iter().zip(outputs.shift);
    rows.zip(outputs.bias).zip(scales).map(|((row, &bias), (&multiplier, &shift))| {
        requantize(bias + dot(x, row), Scale { multiplier, shift })
    })
}

/// The sum of the products.
#[inline]
pub fn dot(x: &[i8], y: &[i8]) -> i32 {
    x.iter().zip(y).map(|(&x, &y)| i32::from(x) * i32::from(y)).sum()
}
