//! The exponential function and GELU on vectors.
//!
//! They are the polynomials of [`vit_nostd::float::math`], with fused multiply-adds where the processor has them.
//! Inference must give the same bits on every processor; training need not.
//!
//! Each step of a polynomial depends on the one before. The functions therefore take several vectors at a time, whose
//! steps are interleaved: this keeps a processor busy whose reorder window is too small to reach the next vector.

use pulp::Simd;
use std::f32::consts::LOG2_E;
use vit_nostd::float::math::{EXP, LN_2_HIGH, LN_2_LOW, NEG_LN_TAIL, ROUND};

/// Returns `e^x`, with `x` clamped to -87 <= x <= 88. The relative error is at most 2e-7.
#[inline(always)]
pub(super) fn exp<S: Simd, const N: usize>(simd: S, mut x: [S::f32s; N]) -> [S::f32s; N] {
    let splat = |x| simd.splat_f32s(x);
    let (mut t, mut r) = (x, x);
    for ((x, t), r) in x.iter_mut().zip(&mut t).zip(&mut r) {
        *x = simd.min_f32s(simd.max_f32s(*x, splat(-87.0)), splat(88.0));
        *t = simd.mul_add_e_f32s(*x, splat(LOG2_E), splat(ROUND));
        let n = simd.sub_f32s(*t, splat(ROUND));
        *r = simd.mul_add_e_f32s(n, splat(-LN_2_HIGH), *x);
        *r = simd.mul_add_e_f32s(n, splat(-LN_2_LOW), *r);
    }
    let mut p = polynomial(simd, EXP, r);
    for ((p, t), r) in p.iter_mut().zip(t).zip(r) {
        *p = simd.add_f32s(simd.mul_add_e_f32s(*p, simd.mul_f32s(r, r), r), splat(1.0));
        // The low bits of `t` hold n, in two's complement; 127 is the exponent's bias.
        let exponent = simd.add_u32s(simd.transmute_u32s_f32s(t), simd.splat_u32s(127));
        let power_of_two = simd.wrapping_dyn_shl_u32s(exponent, simd.splat_u32s(23));
        *p = simd.mul_f32s(*p, simd.transmute_f32s_u32s(power_of_two));
    }
    p
}

/// Returns the exact (erf) Gaussian error linear unit and its derivative.
///
/// The absolute error of the value is at most 4e-7 for |x| <= 8, and at most 2e-7 |x| beyond that. The absolute error
/// of the derivative is at most 1e-6.
///
/// With `a = min(|x|, 6)` and `P(-a) = exp(-q(a))`, the value is `max(x, 0) - a P(-a)`. Its derivative for x < 0 is
/// `u = P(-a) (1 - a q'(a))`, and for x > 0 it is `1 - u`. One exponential is enough for both.
#[inline(always)]
pub(super) fn gelu<S: Simd, const N: usize>(simd: S, x: [S::f32s; N]) -> [[S::f32s; N]; 2] {
    let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
    let mut a = x;
    a.iter_mut().for_each(|a| *a = simd.min_f32s(simd.abs_f32s(*a), simd.splat_f32s(6.0)));
    let mut q = polynomial(simd, NEG_LN_TAIL, a);
    let dq = polynomial(simd, NEG_LN_TAIL_SLOPE, a);
    q.iter_mut().for_each(|q| *q = simd.neg_f32s(*q));
    let tail = exp(simd, q);
    let (mut value, mut slope) = (x, x);
    for i in 0..N {
        let a_tail = simd.mul_f32s(a[i], tail[i]);
        value[i] = simd.sub_f32s(simd.max_f32s(x[i], zero), a_tail);
        let u = simd.sub_f32s(tail[i], simd.mul_f32s(a_tail, dq[i]));
        slope[i] = simd.select_f32s(simd.greater_than_f32s(x[i], zero), simd.sub_f32s(one, u), u);
    }
    [value, slope]
}

/// The derivative of the polynomial [`NEG_LN_TAIL`].
const NEG_LN_TAIL_SLOPE: [f32; NEG_LN_TAIL.len() - 1] = {
    let mut slope = [0.0; NEG_LN_TAIL.len() - 1];
    let mut degree = 1;
    while degree < NEG_LN_TAIL.len() {
        slope[degree - 1] = degree as f32 * NEG_LN_TAIL[degree];
        degree += 1;
    }
    slope
};

/// Evaluates the polynomial with these coefficients, lowest degree first. Its even and its odd part are evaluated by
/// Horner's scheme separately, so that they do not depend on each other.
#[inline(always)]
fn polynomial<S: Simd, const LEN: usize, const N: usize>(
    simd: S,
    coefficients: [f32; LEN],
    x: [S::f32s; N],
) -> [S::f32s; N] {
    let mut square = x;
    square.iter_mut().for_each(|x| *x = simd.mul_f32s(*x, *x));
    let mut parts = [[simd.splat_f32s(0.0); N]; 2];
    for degree in (0..LEN).rev() {
        let coefficient = simd.splat_f32s(coefficients[degree]);
        for (part, &square) in parts[degree % 2].iter_mut().zip(&square) {
            *part =
                if degree + 2 < LEN { simd.mul_add_e_f32s(*part, square, coefficient) } else { coefficient };
        }
    }
    let [mut even, odd] = parts;
    for ((even, odd), x) in even.iter_mut().zip(odd).zip(x) {
        *even = simd.mul_add_e_f32s(odd, x, *even);
    }
    even
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the tests compare with the standard library's f64
mod tests {
    use super::*;
    use crate::fused::cpu::on_each_instruction_set;

    /// Returns every 997th f32 between `from` and `to` (same sign, |from| < |to|).
    fn floats(from: f32, to: f32) -> impl Iterator<Item = f32> {
        (from.to_bits()..=to.to_bits()).step_by(997).map(f32::from_bits)
    }

    fn first<V: bytemuck::Pod>(vector: V) -> f64 {
        f64::from(bytemuck::cast_slice::<V, f32>(&[vector])[0])
    }

    #[test]
    fn exp_is_within_its_bound() {
        on_each_instruction_set!(simd => {
            let exp = |x: f32| first(exp(simd, [simd.splat_f32s(x)]));
            let all = floats(-1e-10, -87.0).chain(floats(1e-10, 88.0));
            let worst = all.map(|x| (exp(x) / f64::from(x).exp() - 1.0).abs()).fold(0.0, f64::max);
            assert!(worst <= 2e-7, "{worst:e}");
            assert!(worst >= 1e-8, "{worst:e}: the error is implausibly small");
            assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
        });
    }

    #[test]
    fn gelu_and_its_derivative_are_within_their_bounds() {
        // libm's f64 erfc is independent of the polynomial.
        let normal = |x: f64| 0.5 * libm::erfc(-x / 2f64.sqrt());
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        on_each_instruction_set!(simd => {
            let (mut value, mut beyond, mut slope) = (0f64, 0f64, 0f64);
            for x in floats(-1e-10, -1e10).chain(floats(1e-10, 1e10)) {
                let [found, found_slope] = gelu(simd, [simd.splat_f32s(x)]);
                let x = f64::from(x);
                let error = (first(found) - x * normal(x)).abs();
                if x.abs() <= 8.0 { value = value.max(error) } else { beyond = beyond.max(error / x.abs()) };
                slope = slope.max((first(found_slope) - normal(x) - x * density(x)).abs());
            }
            assert!(value <= 4e-7 && beyond <= 2e-7 && slope <= 1e-6, "{value:e} {beyond:e} {slope:e}");
        });
    }
}
