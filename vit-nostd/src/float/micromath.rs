//! The functions that the feature `micromath` adds.

use super::math::Math;
use micromath::F32;

/// The exponential function of the crate [`micromath`](https://docs.rs/micromath), and a GELU computed from it.
///
/// These functions are less exact than [`Polynomial`](super::math::Polynomial), but also give the same bits on every
/// machine. They are for chips without a floating-point unit, where they take fewer instructions. With a floating-point
/// unit they take more. `benchmarks/record` has the figures, and `vit-train eval --micromath` measures the accuracy of a
/// model with these functions.
///
/// | function | formula | largest error |
/// |---|---|---|
/// | `exp` | `F32(x).exp()` for `-87 <= x <= 0`, 0 below | 0.24 % of the value |
/// | `gelu` | `(x if x > 0, else 0) - (a * e) / (1 + e)`, `a = abs(x)`, `e = exp(a * (-1.595769 - 0.071354814 * (a * a)))` | 5.1e-4 |
///
/// This GELU is the one known as the `tanh` approximation, `x / (1 + exp(-2 * sqrt(2 / pi) * (x + 0.044715 * x^3)))`,
/// rearranged so that the argument of `exp` is never positive.
///
/// No other function of `micromath` is worth its error: its `sqrt` is off by up to 6.1 % and its `invsqrt` by up to 3.5
/// %, and they would save less than 0.5 % of an inference. The crate's trait `F32Ext` must not be used, because in a
/// program with std, std's own methods take precedence over it.
#[derive(Clone, Copy, Debug)]
pub enum Micromath {}

/// The least argument that is passed to `micromath`, whose results are unusable if `e^x` is less than 2^-126 or `x` is
/// NaN. For these arguments, `exp` returns 0.
const EXP_MIN: f32 = -87.0;

impl Math for Micromath {
    #[inline(always)]
    fn exp(x: f32) -> f32 {
        if (EXP_MIN..=0.0).contains(&x) {
            F32(x).exp().0
        } else {
            0.0
        }
    }

    #[inline(always)]
    fn gelu(x: f32) -> f32 {
        let a = x.abs();
        let e = Self::exp(a * (-1.595_769 - 0.071_354_814 * (a * a)));
        let positive = if x > 0.0 { x } else { 0.0 };
        positive - (a * e) / (1.0 + e)
    }
}

#[cfg(test)]
// The tests compare with the standard library's f64.
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::super::math::tests::{exact_gelu, floats};
    use super::*;

    #[test]
    fn exp_is_within_its_bound() {
        let worst = floats(-1e-10, -87.0)
            .map(|x| (f64::from(Micromath::exp(x)) / f64::from(x).exp() - 1.0).abs())
            .fold(0.0, f64::max);
        assert!(worst <= 2.4e-3, "{worst:e}");
        assert!(worst >= 2.3e-3, "{worst:e}: the bound is not what was measured");
        assert_eq!((Micromath::exp(0.0), Micromath::exp(-0.0)), (1.0, 1.0));
        assert_eq!((Micromath::exp(-87.1), Micromath::exp(f32::NEG_INFINITY)), (0.0, 0.0));
    }

    #[test]
    fn gelu_is_within_its_bound() {
        let worst = floats(-1e-10, -1e30)
            .chain(floats(1e-10, 1e30))
            .map(|x| {
                (f64::from(Micromath::gelu(x)) - exact_gelu(x)).abs() / f64::from(x).abs().max(8.0) * 8.0
            })
            .fold(0.0, f64::max);
        assert!(worst <= 5.1e-4, "{worst:e}");
        assert!(worst >= 5.0e-4, "{worst:e}: the bound is not what was measured");
    }

    /// Compares with the formula in f64, but with the same exponential function, whose error is so large that it would
    /// hide a wrong constant.
    #[test]
    fn gelu_is_its_formula() {
        let factor = (8.0 / std::f64::consts::PI).sqrt();
        for x in floats(-1e-3, -8.0).chain(floats(1e-3, 8.0)) {
            let (x64, a) = (f64::from(x), f64::from(x.abs()));
            let e = f64::from(F32((-factor * (a + 0.044_715 * a.powi(3))) as f32).exp().0);
            let expected = x64.max(0.0) - a * e / (1.0 + e);
            let error = (f64::from(Micromath::gelu(x)) - expected).abs();
            assert!(error <= 1e-6, "{x}: {error:e}");
        }
    }

    /// Test builds have overflow checks and debug assertions, and `micromath` contains some of the latter.
    #[test]
    fn no_number_makes_it_panic() {
        for x in [f32::INFINITY, f32::NAN, f32::MAX, 1e20, 100.0, 89.0, 88.0, f32::from_bits(1), 0.0] {
            for x in [x, -x] {
                assert!((0.0..=1.0).contains(&Micromath::exp(x)), "{x}");
                assert!(Micromath::gelu(x).is_finite() || !x.is_finite(), "{x}");
            }
        }
    }

    /// The reason that the engine does not take its square roots from `micromath`.
    #[test]
    fn its_roots_are_too_far_off() {
        let worst = |root: fn(F32) -> F32, power: f64| {
            let error = |x: f32| (f64::from(root(F32(x)).0) / f64::from(x).powf(power) - 1.0).abs();
            floats(1e-6, 1e6).map(error).fold(0.0, f64::max)
        };
        assert!((0.060..0.061).contains(&worst(F32::sqrt, 0.5)));
        assert!((0.034..0.035).contains(&worst(F32::invsqrt, -0.5)));
    }
}
