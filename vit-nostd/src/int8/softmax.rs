//! Softmax in integers.

use super::requantize::{requantize, Product, Scale};
use core::num::NonZeroU32;

/// A table of the exponential function: entry `i` is `e^-x` in units of 1 / [`EXP_ONE`], where `x` is `i` steps of the
/// score. Entry 0 is [`EXP_ONE`]; no entry is above it.
pub type ExpTable = [u16; 256];

/// The number that stands for 1 in an [`ExpTable`].
pub const EXP_ONE: u16 = 32767;

/// The shift of the scale that turns weights into probabilities: a share of 1 becomes 2^30 / 2^22 = 256 before it is
/// clamped to [`MAX_PROBABILITY`].
const SHIFT: u8 = 22;

/// The largest probability, in units of 1/256.
pub const MAX_PROBABILITY: i32 = 255;

/// Turns `scores` into probabilities of 0 to [`MAX_PROBABILITY`] in place, as NUMERICS.md defines it. `scale` turns
/// differences of scores into steps of `table`.
#[inline(always)]
pub fn softmax<P: Product>(scores: &mut [i32], scale: Scale, table: &ExpTable) {
    let max = scores.iter().copied().fold(i32::MIN, i32::max);
    let mut sum = 0;
    for score in scores.iter_mut() {
        *score = i32::from(weight::<P>(max - *score, scale, table));
        sum += *score as u32;
    }
    let scale = normalization(sum);
    // The cast to 16 bits loses nothing, and tells the compiler that the product fits 32 bits.
    scores.iter_mut().for_each(|score| *score = probability::<P>(*score as u16, scale));
}

/// Returns the exponential, from `table`, of a score that is less than the largest one by `below`.
#[inline(always)]
pub fn weight<P: Product>(below: i32, scale: Scale, table: &ExpTable) -> u16 {
    table[usize::from(requantize::<P>(below, scale).clamp(0, 255) as u8)]
}

/// Returns the scale that turns weights with this sum into probabilities.
#[inline(always)]
pub fn normalization(sum: u32) -> Scale {
    let quotient = NonZeroU32::new(sum).map_or(0, |sum| (1 << 30) / sum);
    Scale { multiplier: quotient.min(u32::from(Scale::MAX_MULTIPLIER)) as u16, shift: SHIFT }
}

/// Returns the probability, from 0 to [`MAX_PROBABILITY`], of a token with this weight.
#[inline(always)]
pub fn probability<P: Product>(weight: u16, normalization: Scale) -> i32 {
    requantize::<P>(i32::from(weight), normalization).min(MAX_PROBABILITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::requantize::Whole;

    /// Returns a table with steps of 1/16.
    fn table() -> ExpTable {
        core::array::from_fn(|i| (f64::from(EXP_ONE) * (-(i as f64) / 16.0).exp()).round() as u16)
    }

    #[test]
    fn probabilities_by_hand() {
        let scale = Scale { multiplier: 16384, shift: 17 }; // a step is a difference of 8, a unit is one of 128
        let mut scores = [1000];
        softmax::<Whole>(&mut scores, scale, &table());
        assert_eq!(scores, [255], "256 must be clamped");
        let mut scores = [7, 7];
        softmax::<Whole>(&mut scores, scale, &table());
        assert_eq!(scores, [128, 128]);
        let mut scores = [0, 128, -100_000];
        softmax::<Whole>(&mut scores, scale, &table());
        assert_eq!(scores, [69, 187, 0]); // 256 / (1 + e) = 68.8
    }
}
