//! Softmax in integers.

use super::requantize::{requantize, Product, Scale};
use core::num::NonZeroU32;

/// Entry `i` is the exponential of `-i` steps; entry 0 is [`EXP_ONE`].
pub type ExpTable = [u16; 256];

/// What stands for 1 in an [`ExpTable`].
pub const EXP_ONE: u16 = 32767;

/// A probability of 1, before it is clamped to 255.
const SHIFT: u8 = 22;

/// The largest probability.
pub const MAX_PROBABILITY: i32 = 255;

/// Turns `scores` into probabilities of 0 to 255 in place; see NUMERICS.md.
#[inline(always)]
pub fn softmax<P: Product>(scores: &mut [i32], scale: Scale, table: &ExpTable) {
    let max = scores.iter().copied().fold(i32::MIN, i32::max);
    let mut sum = 0;
    for score in scores.iter_mut() {
        *score = i32::from(weight::<P>(max - *score, scale, table));
        sum += *score as u32;
    }
    let scale = normalization(sum);
    // That a weight has 16 bits makes the product one of 32.
    scores.iter_mut().for_each(|score| *score = probability::<P>(*score as u16, scale));
}

/// The exponential of a score that is `below` the largest one.
#[inline(always)]
pub fn weight<P: Product>(below: i32, scale: Scale, table: &ExpTable) -> u16 {
    table[usize::from(requantize::<P>(below, scale).clamp(0, 255) as u8)]
}

/// What makes probabilities of weights with this sum.
#[inline(always)]
pub fn normalization(sum: u32) -> Scale {
    let quotient = NonZeroU32::new(sum).map_or(0, |sum| (1 << 30) / sum);
    Scale { multiplier: quotient.min(u32::from(Scale::MAX_MULTIPLIER)) as u16, shift: SHIFT }
}

/// The share of a weight, 0 to 255.
#[inline(always)]
pub fn probability<P: Product>(weight: u16, normalization: Scale) -> i32 {
    requantize::<P>(i32::from(weight), normalization).min(MAX_PROBABILITY)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::requantize::Whole;

    /// Steps of 1/16.
    fn table() -> ExpTable {
        core::array::from_fn(|i| (f64::from(EXP_ONE) * (-(i as f64) / 16.0).exp()).round() as u16)
    }

    #[test]
    fn probabilities_by_hand() {
        let scale = Scale { multiplier: 16384, shift: 17 }; // 8 scores a step, 128 scores a unit
        let mut scores = [1000];
        softmax::<Whole>(&mut scores, scale, &table());
        assert_eq!(scores, [255], "256 is clamped");
        let mut scores = [7, 7];
        softmax::<Whole>(&mut scores, scale, &table());
        assert_eq!(scores, [128, 128]);
        let mut scores = [0, 128, -100_000];
        softmax::<Whole>(&mut scores, scale, &table());
        assert_eq!(scores, [69, 187, 0]); // 256 / (1 + e) = 68.8
    }
}
