//! The exponential function, GELU and the square root.
//!
//! `exp` and `gelu` consist of `+ - * min max` and an exponent shift only, so that they vectorise, give the same bits
//! on every machine, and can be evaluated by any other program that has IEEE 754 single precision.
//!
//! No operation here is a fused multiply-add, and none may be contracted into one. Equal bits are promised for numbers
//! only: the bits of a NaN differ between processors.

// The constants have the fewest digits that give exactly the intended f32.
#![allow(clippy::excessive_precision)]

use core::{f32::consts::LOG2_E, fmt::Debug};

/// The functions of the float engine that have several implementations. The square root is always [`sqrt`].
///
/// An implementation is a type parameter, as in [`Model<N, M>`](super::Model), and never a value. It must give the same
/// bits on every machine and must not panic for any number.
pub trait Math: Copy + Debug + Send + Sync + 'static {
    /// Returns `e^x` for `x <= 0`, the only arguments that occur in the softmax.
    fn exp(x: f32) -> f32;
    /// Returns the Gaussian error linear unit of `x`.
    fn gelu(x: f32) -> f32;
}

/// The default functions, [`exp`] and [`gelu`] of this module: polynomials as accurate as single precision allows.
/// `vit-train verify` compares the engine with dfdx by them.
#[derive(Clone, Copy, Debug)]
pub enum Polynomial {}

impl Math for Polynomial {
    #[inline(always)]
    fn exp(x: f32) -> f32 {
        exp(x)
    }

    #[inline(always)]
    fn gelu(x: f32) -> f32 {
        gelu(x)
    }
}

/// The number 1.5 * 2^23. Adding it to `x` and subtracting it again rounds `x` to the nearest integer (ties to even),
/// if
/// |x| < 2^22.
pub const ROUND: f32 = 12_582_912.0;
/// The higher part of ln 2, with so few bits that its product with an exponent is exact.
pub const LN_2_HIGH: f32 = 0.693_359_4;
/// The lower part of ln 2: `LN_2_HIGH + LN_2_LOW` is ln 2.
pub const LN_2_LOW: f32 = -2.121_944_4e-4;
/// The coefficients, lowest degree first, of a minimax polynomial for `(e^r - 1 - r) / r^2` on |r| <= ln 2 / 2. It
/// contributes at most 3.1e-9 to the relative error of [`exp`].
pub const EXP: [f32; 5] = [0.499_999_94, 0.166_665_21, 0.041_668_39, 0.008_368_717, 0.001_381_459_9];
/// The lower end of the range of [`exp`]: a little below it, `e^x` is less than 2^-126, the least normal number.
const EXP_MIN: f32 = -87.0;
/// The upper end of the range of [`exp`].
const EXP_MAX: f32 = 88.0;

/// Returns `e^x`, with a relative error of at most 1.5e-7, for -87 <= x <= 88. Outside this range, it returns the value
/// at the nearer end.
///
/// ```text
/// x = -87 if x < -87, 88 if x > 88, else x
/// t = x * LOG2_E + ROUND;  n = t - ROUND                   n: the nearest integer to x / ln 2
/// r = (x - n * LN_2_HIGH) - n * LN_2_LOW
/// p = (((EXP4 * r + EXP3) * r + EXP2) * r + EXP1) * r + EXP0
/// e^x = ((p * (r * r) + r) + 1) * 2^n
/// ```
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = x.clamp(EXP_MIN, EXP_MAX);
    let t = x * LOG2_E + ROUND;
    let n = t - ROUND;
    let r = (x - n * LN_2_HIGH) - n * LN_2_LOW;
    let p = polynomial(&EXP, r);
    // The low bits of `t` hold `n` in two's complement. 127 is the exponent's bias.
    let power_of_two = f32::from_bits(t.to_bits().wrapping_add(127) << 23);
    ((p * (r * r) + r) + 1.0) * power_of_two
}

/// The coefficients, lowest degree first, of a polynomial for -ln P(-a) on 0 <= a <= 6, where P is the distribution
/// function of the standard normal distribution. The fit was weighted by its effect on [`gelu`], to whose error it
/// contributes at most 1e-8.
pub const NEG_LN_TAIL: [f32; 9] = [
    0.693_147_12,
    0.797_888_9,
    0.318_271_55,
    0.036_466_964,
    -0.005_008_063_7,
    1.794_753_8e-4,
    9.437_907e-5,
    -2.004_592_4e-5,
    1.362_721e-6,
];
const TAIL_MAX: f32 = 6.0;

/// Returns the Gaussian error linear unit in its exact (erf) form, `x * P(x)`, where P is the distribution function of
/// the standard normal distribution. The absolute error is at most 3e-7 for |x| <= 8, and at most 1.5e-7 times |x|
/// beyond.
///
/// ```text
/// a = min(|x|, 6)
/// q = Horner(NEG_LN_TAIL, a)
/// gelu(x) = (x if x > 0, else 0) - a * exp(0 - q)
/// ```
///
/// Because `P(x) = 1 - P(-x)`, the formula holds for both signs. It has no branch and no cancellation.
#[inline(always)]
pub fn gelu(x: f32) -> f32 {
    let a = x.abs().min(TAIL_MAX);
    // `max` would not do: for x = -0 it may return either zero, depending on how it is compiled.
    let positive = if x > 0.0 { x } else { 0.0 };
    positive - a * exp(0.0 - polynomial(&NEG_LN_TAIL, a))
}

/// Evaluates a polynomial, given by its coefficients with the lowest degree first, by Horner's scheme: one
/// multiplication and one addition per step.
#[inline(always)]
fn polynomial<const N: usize>(coefficients: &[f32; N], x: f32) -> f32 {
    let mut coefficients = coefficients.iter().rev();
    let highest = coefficients.next().copied().unwrap_or_default();
    coefficients.fold(highest, |sum, &coefficient| sum * x + coefficient)
}

/// Returns the square root, correctly rounded.
#[inline(always)]
pub fn sqrt(x: f32) -> f32 {
    libm::sqrtf(x)
}

#[cfg(test)]
// The tests compare with the standard library's f64.
#[allow(clippy::disallowed_methods)]
pub(super) mod tests {
    use super::*;

    /// Yields every 97th f32 between `from` and `to`, which have the same sign, with |from| < |to|.
    pub(crate) fn floats(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (from.to_bits()..=to.to_bits()).step_by(97).map(f32::from_bits)
    }

    /// Returns `x * P(x)`, computed with libm's f64 erfc, which is independent of everything in this module.
    pub(crate) fn exact_gelu(x: f32) -> f64 {
        f64::from(x) * 0.5 * libm::erfc(-f64::from(x) / 2f64.sqrt())
    }

    #[test]
    fn exp_is_within_its_bound() {
        let worst = floats(-1e-10, -87.0)
            .chain(floats(1e-10, 88.0))
            .map(|x| (f64::from(exp(x)) / f64::from(x).exp() - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst <= 1.5e-7, "{worst:e}");
        assert!(worst >= 1e-8, "{worst:e}: suspiciously small, the test seems to compare nothing");
        assert_eq!((exp(0.0), exp(-0.0)), (1.0, 1.0));
        assert_eq!((exp(f32::NEG_INFINITY), exp(f32::INFINITY)), (exp(-87.0), exp(88.0)));
    }

    #[test]
    fn gelu_is_within_its_bound() {
        let worst = floats(-1e-10, -8.0)
            .chain(floats(1e-10, 8.0))
            .map(|x| (f64::from(gelu(x)) - exact_gelu(x)).abs())
            .fold(0.0, f64::max);
        assert!(worst <= 3e-7, "{worst:e}");
        assert!(worst >= 1e-8, "{worst:e}: suspiciously small, the test seems to compare nothing");
        let worst = floats(-8.0, -1e30)
            .chain(floats(8.0, 1e30))
            .map(|x| (f64::from(gelu(x)) - exact_gelu(x)).abs() / f64::from(x).abs())
            .fold(0.0, f64::max);
        assert!(worst <= 1.5e-7, "{worst:e}");
    }

    #[test]
    fn sqrt_is_the_exact_one() {
        assert!(floats(0.0, 1e30).all(|x| sqrt(x) == f64::from(x).sqrt() as f32));
    }
}
