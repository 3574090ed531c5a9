//! LayerNorm in integers.

use super::requantize::{requantize, sat8, Product, Scale};
use core::num::NonZeroU32;

/// The constants of one LayerNorm, as they stand in the file: epsilon (low half, high half), numerator (low, high),
/// shift.
pub type NormTensor = [u32; 5];

/// The constants of one LayerNorm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// Added to D^2 times the variance.
    pub epsilon: u64,
    /// Divided by the square root.
    pub numerator: u64,
    /// With the numerator, the scale of the result.
    pub shift: u32,
}

impl Norm {
    /// Below it, the shift could become too small.
    pub const MIN_EPSILON: u64 = 1 << 10;
    /// Keeps the variance within what an f64 holds exactly.
    pub const MAX_EPSILON: u64 = 1 << 44;
    /// Bounds of the numerator, so that the multiplier uses its 15 bits.
    pub const NUMERATOR: core::ops::RangeInclusive<u64> = 1 << 39..=1 << 40;
    /// Bounds of the shift, so that with every variance it is one of a [`Scale`].
    pub const SHIFT: core::ops::RangeInclusive<u32> = 37..=46;

    /// Reads the constants.
    pub fn from_tensor(
        &[epsilon_low, epsilon_high, numerator_low, numerator_high, shift]: &NormTensor,
    ) -> Self {
        let join = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
        Self {
            epsilon: join(epsilon_low, epsilon_high),
            numerator: join(numerator_low, numerator_high),
            shift,
        }
    }

    /// The constants as they stand in the file.
    pub fn to_tensor(self) -> NormTensor {
        let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
        [low(self.epsilon), high(self.epsilon), low(self.numerator), high(self.numerator), self.shift]
    }

    /// Whether all constants are within their bounds.
    pub fn is_valid(self) -> bool {
        (Self::MIN_EPSILON..Self::MAX_EPSILON).contains(&self.epsilon)
            && Self::NUMERATOR.contains(&self.numerator)
            && Self::SHIFT.contains(&self.shift)
    }
}

/// The most channels of a row, so that 256 times the distance from the mean, times the channels, fits 32 bits.
pub const MAX_WIDTH: usize = 128;

/// Normalises a row of at most [`MAX_WIDTH`] values; see NUMERICS.md.
#[inline(always)]
pub fn layer_norm<P: Product>(x: &[i16], norm: Norm, out: &mut [i8]) {
    let width = x.len() as i32;
    let sum: i32 = x.iter().map(|&x| i32::from(x)).sum();
    let square: u64 = x.iter().map(|&x| u64::from((i32::from(x) * i32::from(x)).unsigned_abs())).sum();
    let scale = scale(width, sum, square, norm);
    for (y, &x) in out.iter_mut().zip(x) {
        *y = sat8(requantize::<P>(256 * (width * i32::from(x) - sum), scale));
    }
}

/// What a value's distance from the mean, times 256 and the width, is requantized by; of a row with this sum and this
/// sum of squares.
#[inline(always)]
pub fn scale(width: i32, sum: i32, square: u64, norm: Norm) -> Scale {
    // Not negative: it is D^2 times the variance.
    let variance =
        (width as u64 * square).wrapping_sub((i64::from(sum) * i64::from(sum)) as u64) + norm.epsilon;

    // The largest e with variance * 4^e < 2^52.
    let e = (variance.leading_zeros() - 12) / 2;
    let quotient = divide(norm.numerator, root(variance << (2 * e)));
    Scale { multiplier: quotient.min(u32::from(Scale::MAX_MULTIPLIER)) as u16, shift: (norm.shift - e) as u8 }
}

/// The square root, rounded down, of 2^50 <= `n` < 2^52: that of the higher 32 bits, and 10 more bits by a division
/// (Zimmermann's "Karatsuba square root"), so that 32 bits suffice.
#[inline(always)]
fn root(n: u64) -> u32 {
    const BITS: u32 = 10;
    const DIGIT: u32 = (1 << BITS) - 1;
    let high = (n >> (2 * BITS)) as u32;
    let first = high.isqrt(); // at least 2^15
    let rest = (high - first * first) << BITS | (n >> BITS) as u32 & DIGIT;
    let Some(twice) = NonZeroU32::new(2 * first) else { return 0 };
    let (second, rest) = (rest / twice, rest % twice);
    let root = (first << BITS) + second;
    // It is too large by 1 if its square is above n.
    root - u32::from((rest << BITS | n as u32 & DIGIT) < second * second)
}

/// `numerator / denominator`, rounded down, for `numerator` < 2^41 and 2^25 <= `denominator` < 2^26: by hand, 32, 6 and 3
/// bits of the numerator at a time, so that 32 bits suffice.
#[inline(always)]
fn divide(numerator: u64, denominator: u32) -> u32 {
    let Some(denominator) = NonZeroU32::new(denominator) else { return 0 };
    let high = (numerator >> 9) as u32;
    let middle = (high % denominator) << 6 | (numerator >> 3) as u32 & 63;
    let low = (middle % denominator) << 3 | numerator as u32 & 7;
    (high / denominator) << 9 | (middle / denominator) << 3 | (low / denominator)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::int8::requantize::Whole;

    const NORM: Norm = Norm { epsilon: 1 << 10, numerator: 1 << 40, shift: 43 }; // 2^(43 - 40 - 8) = 1/32

    #[test]
    fn normalises() {
        // Mean 0, standard deviation 1000: the values are 0, 1.22, -1.22, 32 steps a unit.
        let x = [0, 1225, -1225, 0, 1225, -1225];
        let mut y = [0; 6];
        layer_norm::<Whole>(&x, NORM, &mut y);
        assert_eq!(y, [0, 39, -39, 0, 39, -39]);
        // Offset and size do not matter.
        layer_norm::<Whole>(&x.map(|x| 10 * x + 5000), NORM, &mut y);
        assert_eq!(y, [0, 39, -39, 0, 39, -39]);
    }

    #[test]
    fn roots_and_quotients_are_exact() {
        let mut state = 1u64;
        for case in 0..1_000_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let any = state >> 12; // below 2^52
            let square = (1 << 25 | any >> 27) * (1 << 25 | any >> 27);
            let n = [1 << 50 | any, 1 << 51 | any, square, square - 1, square + 1][case % 5]
                .clamp(1 << 50, (1 << 52) - 1);
            assert_eq!(u64::from(root(n)), n.isqrt(), "{n}");
            let (numerator, denominator) = ((1 << 40) - (any >> 13), 1 << 25 | any >> 27);
            assert_eq!(u64::from(divide(numerator, denominator as u32)), numerator / denominator);
        }
        assert_eq!((root(1 << 50), root((1 << 52) - 1)), (1 << 25, (1 << 26) - 1));
        assert_eq!(divide(1 << 40, 1 << 25), 1 << 15);
    }

    #[test]
    fn extremes() {
        let mut y = [1; 128];
        for constant in [i16::MIN, 0, i16::MAX] {
            layer_norm::<Whole>(&[constant; 128], NORM, &mut y);
            assert_eq!(y, [0; 128]);
        }
        let mut x = [i16::MIN; 128];
        x[5] = i16::MAX;
        layer_norm::<Whole>(&x, NORM, &mut y);
        assert_eq!((y[5], y[6]), (127, -3)); // sqrt(127) and -1/sqrt(127) in steps of 1/32
    }

    #[test]
    fn is_close_to_floating_point() {
        let mut state = 1u32;
        for _ in 0..2000 {
            let mut x = [0i16; 96];
            let spread = 1 << (state % 16);
            for x in &mut x {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *x = ((state >> 16) as i32 % spread - spread / 2) as i16;
            }
            let mut y = [0; 96];
            layer_norm::<Whole>(&x, NORM, &mut y);
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / 96.0;
            let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 96.0;
            let deviation = (variance + 1024.0 / (96.0 * 96.0)).sqrt();
            for (&x, &y) in x.iter().zip(&y) {
                let exact = (32.0 * (f64::from(x) - mean) / deviation).clamp(-128.0, 127.0);
                assert!((exact - f64::from(y)).abs() <= 0.52, "{exact} {y}");
            }
        }
    }
}
