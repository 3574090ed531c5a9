//! Softmax in integers.
//!
//! A token's share of the attention is its exponential divided by the sum of all. The shares are never computed: the
//! values are weighted with the exponentials, and requantizing the sums with [`row_scale`] divides them. The
//! exponentials have 15 bits for up to 512 tokens, so that a share is as precise with many tokens as with a few.

use super::requantize::{requantize, Product, Scale};

/// A table of the exponential function: entry `i` is `e^(-i * step)` in units of 1 / [`one`]. Whoever writes the model
/// file chooses `step`. Entry 0 is [`one`]; no entry is above it.
pub type ExpTable = [u16; 256];

/// The bound that no sum of exponentials reaches. A weighted sum of values, which have 8 bits, stays below 2^31.
const SUM_BOUND: u32 = 1 << 24;

/// Returns the number that stands for 1 in the [`ExpTable`] of a network with `tokens` tokens: the largest one of at
/// most 15 bits with which no sum of exponentials reaches 2^24.
pub const fn one(tokens: usize) -> u16 {
    const LARGEST: usize = (1 << 15) - 1;
    match (SUM_BOUND as usize - 1).checked_div(tokens) {
        Some(most) if most < LARGEST => most as u16,
        _ => LARGEST as u16,
    }
}

/// Turns `scores` into exponentials in place, relative to the largest score, as NUMERICS.md defines it, and returns
/// their sum. `scale` turns differences of scores into steps of `table`.
#[inline(always)]
pub fn exponentials<P: Product>(scores: &mut [i32], scale: Scale, table: &ExpTable) -> u32 {
    let max = scores.iter().copied().fold(i32::MIN, i32::max);
    let mut sum = 0;
    for score in scores.iter_mut() {
        *score = i32::from(exponential::<P>(max - *score, scale, table));
        sum += *score as u32;
    }
    sum
}

/// Returns the exponential, from `table`, of a score that is less than the largest one by `below`.
#[inline(always)]
pub fn exponential<P: Product>(below: i32, scale: Scale, table: &ExpTable) -> u16 {
    table[usize::from(requantize::<P>(below, scale).clamp(0, 255) as u8)]
}

/// The largest shift of a `context_scale`, with which the shift of a row's scale is at most [`Scale::MAX_SHIFT`].
pub const MAX_CONTEXT_SHIFT: u8 = Scale::MAX_SHIFT - 15;

/// Returns `context * 256 / sum`, the scale of a sum of values that are weighted with exponentials which add up to
/// `sum`. `context` is the scale for weights that add up to 256.
///
/// `sum` is at least 2^8 and below 2^24, and the shift of `context` at most [`MAX_CONTEXT_SHIFT`].
#[inline(always)]
pub fn row_scale(context: Scale, sum: u32) -> Scale {
    // The sum is shifted so that its highest bit is bit 15. The two `|` change nothing, because the sum is not 0. They
    // tell the compiler that the divisor is not 0, so that the division contains no panic.
    let bits = 32 - (sum | 1).leading_zeros();
    let normal = if bits > 16 { sum >> (bits - 16) } else { sum << (16 - bits) };
    let multiplier = (u32::from(context.multiplier) << 15) / (normal | 1 << 15);
    Scale { multiplier: multiplier as u16, shift: (u32::from(context.shift) + bits - 9) as u8 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::requantize::Whole;

    const ONE: u16 = one(3);

    /// Returns a table with steps of 1/16.
    fn table() -> ExpTable {
        core::array::from_fn(|i| (f64::from(ONE) * (-(i as f64) / 16.0).exp()).round() as u16)
    }

    #[test]
    fn exponentials_by_hand() {
        let scale = Scale { multiplier: 16384, shift: 17 }; // a difference of 8 is one step of the table
        let mut scores = [1000];
        assert_eq!(exponentials::<Whole>(&mut scores, scale, &table()), 32767);
        let mut scores = [7, 7];
        assert_eq!(exponentials::<Whole>(&mut scores, scale, &table()), 65534);
        assert_eq!(scores, [32767, 32767]);
        let mut scores = [0, 128, -100_000];
        assert_eq!(exponentials::<Whole>(&mut scores, scale, &table()), 44821);
        assert_eq!(scores, [12054, 32767, 0]); // 32767 / e = 12054.3
    }

    #[test]
    fn one_leaves_room_for_all_tokens() {
        assert_eq!([1, 2, 512, 513, 1024, 65_535].map(one), [32767, 32767, 32767, 32704, 16383, 256]);
        for tokens in 1..=65_535 {
            assert!(tokens * usize::from(one(tokens)) < 1 << 24, "{tokens}");
        }
    }

    /// Whatever the sum is, the scale is valid, and it is `context * 256 / sum` up to rounding.
    #[test]
    fn rows_are_divided_by_their_sum() {
        let mut sums: Vec<u32> =
            (8..24).flat_map(|bits| [1 << bits, (1 << bits) + 1, (2 << bits) - 1]).collect();
        sums.extend((256..1 << 24).step_by(99_991));
        for sum in sums {
            for multiplier in [0, 1, 16384, 23170, 32767] {
                for shift in [Scale::MIN_SHIFT, 22, MAX_CONTEXT_SHIFT] {
                    let row = row_scale(Scale { multiplier, shift }, sum);
                    assert!(row.is_valid(), "{sum} {row:?}");
                    let real = |scale: Scale| f64::from(scale.multiplier) / 2f64.powi(scale.shift.into());
                    let exact = real(Scale { multiplier, shift }) * 256.0 / f64::from(sum);
                    // The multiplier is rounded down, and so was the sum.
                    let unit = 2f64.powi(-i32::from(row.shift));
                    let found = real(row);
                    assert!(
                        found > exact - unit && found <= exact * (1.0 + 2f64.powi(-15)),
                        "{sum} {multiplier}"
                    );
                }
            }
        }
    }
}
