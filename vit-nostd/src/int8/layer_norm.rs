//! LayerNorm in integers.

use super::requantize::{requantize, sat8, Product, Scale};
use core::num::NonZeroU32;

/// The constants of one LayerNorm as the file holds them: epsilon (low half, high half), numerator (low half, high
/// half), shift.
pub type NormTensor = [u32; 5];

/// The constants of one LayerNorm of `D` channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Norm {
    /// The number that is added to `D^2` times the variance, from [`Norm::MIN_EPSILON`] to below [`Norm::MAX_EPSILON`].
    pub epsilon: u64,
    /// The number that is divided by the square root of that sum to get the multiplier, within [`Norm::NUMERATOR`].
    pub numerator: u64,
    /// The shift that together with the numerator determines the scale of the result, within [`Norm::SHIFT`].
    pub shift: u32,
}

impl Norm {
    /// The least epsilon. With a smaller one, the shift of a row's [`Scale`] could become too small.
    pub const MIN_EPSILON: u64 = 1 << 10;
    /// The bound that epsilon is below, which keeps `D^2` times the variance plus epsilon below 2^52.
    pub const MAX_EPSILON: u64 = 1 << 44;
    /// The bounds of the numerator, so that the quotient that becomes the multiplier of a row's [`Scale`] is from 2^13
    /// to 2^15. (2^15 is reduced to [`Scale::MAX_MULTIPLIER`].)
    pub const NUMERATOR: core::ops::RangeInclusive<u64> = 1 << 39..=1 << 40;
    /// The bounds of the shift, so that the shift of a row's [`Scale`] is valid for every variance.
    pub const SHIFT: core::ops::RangeInclusive<u32> = 37..=46;

    /// Returns the constants that the tensor of a file holds.
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

    /// Returns the constants as the tensor of a file.
    pub fn to_tensor(self) -> NormTensor {
        let (low, high) = (|x: u64| x as u32, |x: u64| (x >> 32) as u32);
        [low(self.epsilon), high(self.epsilon), low(self.numerator), high(self.numerator), self.shift]
    }

    /// True if all constants are within their bounds.
    pub fn is_valid(self) -> bool {
        (Self::MIN_EPSILON..Self::MAX_EPSILON).contains(&self.epsilon)
            && Self::NUMERATOR.contains(&self.numerator)
            && Self::SHIFT.contains(&self.shift)
    }
}

/// The largest number of channels. Up to it, `256 * (width * x - sum)` fits in an `i32` for every value `x` of a row.
pub const MAX_WIDTH: usize = 128;

/// Normalises a row of at most [`MAX_WIDTH`] values, as NUMERICS.md defines it.
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

/// Returns the scale of a row of `width` values with this sum and this sum of squares. The normalised value of `x` is
/// `256 * (width * x - sum)`, requantized by this scale.
#[inline(always)]
pub fn scale(width: i32, sum: i32, square: u64, norm: Norm) -> Scale {
    // The difference is not negative: it is D^2 times the variance.
    let variance =
        (width as u64 * square).wrapping_sub((i64::from(sum) * i64::from(sum)) as u64) + norm.epsilon;

    // The largest e with variance * 4^e < 2^52.
    let e = (variance.leading_zeros() - 12) / 2;
    let quotient = divide(norm.numerator, root(variance << (2 * e)));
    Scale { multiplier: quotient.min(u32::from(Scale::MAX_MULTIPLIER)) as u16, shift: (norm.shift - e) as u8 }
}

/// Returns the square root of `n`, rounded down, for 2^50 <= `n` < 2^52.
///
/// It takes the square root of the higher 32 bits and finds 10 more bits by a division (Paul Zimmermann, "Karatsuba
/// Square Root", 1999), so that arithmetic of 32 bits suffices.
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
    // The root is too large by 1 if its square is above `n`.
    root - u32::from((rest << BITS | n as u32 & DIGIT) < second * second)
}

/// Returns `numerator / denominator`, rounded down, for `numerator` < 2^41 and 2^25 <= `denominator` < 2^26.
///
/// It is a long division that takes 32, 6 and 3 bits of the numerator at a time, so that arithmetic of 32 bits
/// suffices.
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
        // The mean is 0 and the standard deviation is 1000: the normalised values are 0, 1.22 and -1.22. One unit is 32
        // steps.
        let x = [0, 1225, -1225, 0, 1225, -1225];
        let mut y = [0; 6];
        layer_norm::<Whole>(&x, NORM, &mut y);
        assert_eq!(y, [0, 39, -39, 0, 39, -39]);
        // Neither an offset nor a factor changes the result.
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
        assert_eq!((y[5], y[6]), (127, -3)); // in steps of 1/32, sqrt(127) is 361, which saturates; -1/sqrt(127) is -2.8
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
