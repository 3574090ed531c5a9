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

/// The largest number of channels. Up to it, `factor(width) * (width * x - sum)` fits in an `i32` for every value `x` of
/// a row.
pub const MAX_WIDTH: usize = 256;

/// Returns the factor by which the distances from the mean of a row of `width` values are multiplied, so that they use
/// as many bits of an `i32` as possible.
pub const fn factor(width: usize) -> i32 {
    if width <= 128 {
        1 << 8
    } else {
        1 << 7
    }
}

/// Normalises a row of at most [`MAX_WIDTH`] values, as NUMERICS.md defines it.
#[inline(always)]
pub fn layer_norm<P: Product>(x: &[i16], norm: Norm, out: &mut [i8]) {
    let (width, factor) = (x.len() as i32, factor(x.len()));
    let sum: i32 = x.iter().map(|&x| i32::from(x)).sum();
    let square: u64 = x.iter().map(|&x| u64::from((i32::from(x) * i32::from(x)).unsigned_abs())).sum();
    let scale = scale(width, sum, square, norm);
    for (y, &x) in out.iter_mut().zip(x) {
        *y = sat8(requantize::<P>(factor * (width * i32::from(x) - sum), scale));
    }
}

/// Returns the scale of a row of `width` values with this sum and this sum of squares. The normalised value of `x` is
/// `factor(width) * (width * x - sum)`, requantized by this scale.
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
    use crate::int8::{
        kernels::{with_best, Kernels, Portable},
        requantize::{Halves, Whole},
    };

    const NORM: Norm = Norm { epsilon: 1 << 10, numerator: 1 << 40, shift: 43 }; // 2^(43 - 40 - 8) = 1/32

    #[test]
    fn normalises() {
        // The mean is 0 and the standard deviation is 1000: the normalised values are 0, 1.22 and -1.22. One unit is 32
        // steps.
        let x = [0, 1225, -1225, 0, 1225, -1225];
        let mut y = [0; 6];
        normalise(&x, NORM, &mut y);
        assert_eq!(y, [0, 39, -39, 0, 39, -39]);
        // Neither an offset nor a factor changes the result.
        normalise(&x.map(|x| 10 * x + 5000), NORM, &mut y);
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
        for width in [1, 2, 127, 128, 129, 130, 192, 255, 256] {
            let mut y = [1; MAX_WIDTH];
            for constant in [i16::MIN, 0, i16::MAX] {
                normalise(&[constant; MAX_WIDTH][..width], NORM, &mut y[..width]);
                assert!(y[..width].iter().all(|&y| y == 0), "{width} times {constant}");
            }
            // One value is as far from all others as possible, and a half of the values from the other half.
            for (one, others) in [(i16::MAX, i16::MIN), (i16::MIN, i16::MAX)] {
                for ones in [1, width / 2] {
                    let mut x = [others; MAX_WIDTH];
                    x[..ones].fill(one);
                    for epsilon in [Norm::MIN_EPSILON, Norm::MAX_EPSILON - 1] {
                        for shift in [*Norm::SHIFT.start(), 43, *Norm::SHIFT.end()] {
                            normalise(&x[..width], Norm { epsilon, shift, ..NORM }, &mut y[..width]);
                        }
                    }
                }
            }
        }
        let mut y = [0; MAX_WIDTH];
        let mut x = [i16::MIN; MAX_WIDTH];
        x[5] = i16::MAX;
        normalise(&x[..128], NORM, &mut y[..128]);
        assert_eq!((y[5], y[6]), (127, -3)); // in steps of 1/32, sqrt(127) is 361, which saturates; -1/sqrt(127) is -2.8
        normalise(&x, Norm { shift: 42, ..NORM }, &mut y);
        assert_eq!((y[5], y[6]), (127, -2)); // in the same steps, 1/sqrt(255) is 2.004
    }

    #[test]
    fn distances_use_most_bits_but_not_all() {
        for width in 1..=MAX_WIDTH as i64 {
            let factor = i64::from(factor(width as usize));
            assert_eq!(factor, if width <= 128 { 256 } else { 128 });
            assert!(factor * (width - 1) * 65535 <= i32::MAX.into(), "{width}");
        }
        // The number of channels is a multiple of 4. The next ones after 128 and 256 need a smaller factor.
        assert!(256 * (132 - 1) * 65535 > i64::from(i32::MAX));
        assert!(128 * (260 - 1) * 65535 > i64::from(i32::MAX));
    }

    #[test]
    fn is_close_to_floating_point() {
        let mut state = 1u32;
        for case in 0..4000 {
            let width = if case < 2000 { 96 } else { 129 + case % 128 };
            let mut x = [0i16; MAX_WIDTH];
            let x = &mut x[..width];
            let spread = 1 << (state % 16);
            for x in &mut *x {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *x = ((state >> 16) as i32 % spread - spread / 2) as i16;
            }
            let mut y = [0; MAX_WIDTH];
            let y = &mut y[..width];
            let shift = if width <= 128 { 43 } else { 42 };
            normalise(x, Norm { shift, ..NORM }, y);
            let width = width as f64;
            let mean = x.iter().map(|&x| f64::from(x)).sum::<f64>() / width;
            let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / width;
            let deviation = (variance + 1024.0 / (width * width)).sqrt();
            for (&x, &y) in x.iter().zip(&*y) {
                let exact = (32.0 * (f64::from(x) - mean) / deviation).clamp(-128.0, 127.0);
                assert!((exact - f64::from(y)).abs() <= 0.52, "{exact} {y} of {width}");
            }
        }
    }

    /// Every width, with random constants: the fast kernels, which [`normalise`] compares, have other code for the last
    /// values of a row.
    #[test]
    fn all_kernels_give_the_same_bits() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 16
        };
        for case in 0..20 * MAX_WIDTH {
            let width = 1 + case % MAX_WIDTH;
            let bits = next() % 17;
            let mut x = [0; MAX_WIDTH];
            x[..width].fill_with(|| (next() as i16 as i32 >> (16 - bits)) as i16);
            let norm = Norm {
                epsilon: 1 << 10 << (next() % 34),
                numerator: (1 << 39) + next() % (1 << 39),
                shift: 37 + (next() % 10) as u32,
            };
            assert!(norm.is_valid());
            normalise(&x[..width], norm, &mut [0; MAX_WIDTH][..width]);
        }
    }

    /// Normalises a row as NUMERICS.md says, in 128 bits, and asserts that the functions here and all kernels of this
    /// processor do the same.
    fn normalise(x: &[i16], norm: Norm, out: &mut [i8]) {
        let wide = |x: &i16| i128::from(*x);
        let (width, sum) = (x.len() as i128, x.iter().map(wide).sum::<i128>());
        let v =
            width * x.iter().map(|x| wide(x) * wide(x)).sum::<i128>() - sum * sum + i128::from(norm.epsilon);
        let e = (0..).take_while(|e| v << (2 * e) < 1 << 52).last().unwrap();
        let r = (i128::from(norm.numerator) / (v << (2 * e)).isqrt()).min(32767);
        let shift = norm.shift - e;
        assert!((17..=46).contains(&shift));
        for (out, value) in out.iter_mut().zip(x) {
            let distance = i128::from(factor(x.len())) * (width * wide(value) - sum);
            *out = ((distance * r + (1 << (shift - 1))) >> shift).clamp(-128, 127) as i8;
        }

        let mut of_kernel = [0; MAX_WIDTH];
        let of_kernel = &mut of_kernel[..x.len()];
        for product in [layer_norm::<Whole>, layer_norm::<Halves>] {
            of_kernel.fill(1);
            product(x, norm, of_kernel);
            assert_eq!(of_kernel, out, "{x:?} {norm:?}");
        }
        fn of<K: Kernels>(kernels: K, x: &[i16], norm: Norm, out: &mut [i8]) {
            kernels.layer_norm(x, norm, out);
        }
        of_kernel.fill(1);
        of(Portable, x, norm, of_kernel);
        assert_eq!(of_kernel, out, "portable: {x:?} {norm:?}");
        of_kernel.fill(1);
        with_best!(kernels => {
            of(kernels, x, norm, of_kernel);
            assert_eq!(of_kernel, out, "the best: {x:?} {norm:?}");
        });
    }
}
