//! What is done row by row: normalisation, GELU, sums of columns.
//!
//! 1. Naive: a loop over the elements for each step of a formula.
//! 2. A vector at a time ([`vectors`](super::vectors)), all steps of a formula while the row is in the L1 cache, and
//!    polynomials ([`math`](super::math)) for what processors do not compute.

use super::{
    math,
    vectors::{sum, update},
};
use pulp::{Arch, Simd};
use vit_nostd::float::LAYER_NORM_EPSILON;

/// Each row of `x`, `width` wide, with mean 0 and variance 1, and what it was multiplied with.
#[pulp::with_simd(normalize = Arch::new())]
#[inline(always)]
pub fn normalize_with_simd<S: Simd>(
    simd: S,
    x: &[f32],
    width: usize,
    normed: &mut [f32],
    scales: &mut [f32],
) {
    let rows = x.chunks_exact(width).zip(normed.chunks_exact_mut(width)).zip(scales);
    for ((x, normed), scale) in rows {
        let mean = simd.splat_f32s(sum(simd, [x], |[x]| x) / width as f32);
        update(simd, normed, [x], |_, [x]| simd.sub_f32s(x, mean));
        let variance = sum(simd, [normed], |[x]| simd.mul_f32s(x, x)) / width as f32;
        *scale = 1.0 / (variance + LAYER_NORM_EPSILON).sqrt();
        let factor = simd.splat_f32s(*scale);
        update(simd, normed, [], |x, []| simd.mul_f32s(x, factor));
    }
}

/// Adds to `d_x`, or stores there, `scale * (d - mean(d) - normed * mean(d * normed))`, the gradient through
/// [`normalize`].
#[pulp::with_simd(normalize_backward = Arch::new())]
#[inline(always)]
pub fn normalize_backward_with_simd<S: Simd>(
    simd: S,
    normed: &[f32],
    scales: &[f32],
    d_normed: &[f32],
    width: usize,
    d_x: &mut [f32],
    add: bool,
) {
    let rows = normed.chunks_exact(width).zip(d_normed.chunks_exact(width)).zip(d_x.chunks_exact_mut(width));
    for (((normed, d), d_x), &scale) in rows.zip(scales) {
        let by_width = scale / width as f32;
        let mean = simd.splat_f32s(-by_width * sum(simd, [d], |[d]| d));
        let slope = simd.splat_f32s(-by_width * sum(simd, [d, normed], |[d, x]| simd.mul_f32s(d, x)));
        let keep = simd.splat_f32s(if add { 1.0 } else { 0.0 });
        let scale = simd.splat_f32s(scale);
        update(simd, d_x, [d, normed], |d_x, [d, x]| {
            let d = simd.mul_add_e_f32s(d, scale, simd.mul_add_e_f32s(x, slope, mean));
            simd.mul_add_e_f32s(d_x, keep, d)
        });
    }
}

/// `y = gelu(x) * mask` and `slope = gelu'(x) * mask`, where `slope` holds x before.
#[pulp::with_simd(gelu_dropout = Arch::new())]
#[inline(always)]
pub fn gelu_dropout_with_simd<S: Simd>(simd: S, slope: &mut [f32], mask: &[f32], y: &mut [f32]) {
    let ((slopes, slope), (masks, mask), (ys, y)) =
        (S::as_mut_simd_f32s(slope), S::as_simd_f32s(mask), S::as_mut_simd_f32s(y));
    for ((slope, &mask), y) in slopes.iter_mut().zip(masks).zip(ys) {
        (*y, *slope) = masked_gelu(simd, *slope, mask);
    }
    if !y.is_empty() {
        let (x, mask) = (simd.partial_load_f32s(slope), simd.partial_load_f32s(mask));
        let (value, derivative) = masked_gelu(simd, x, mask);
        simd.partial_store_f32s(y, value);
        simd.partial_store_f32s(slope, derivative);
    }
}

// Not a closure: one as large as this would not be inlined, and would lose the instruction set.
#[inline(always)]
fn masked_gelu<S: Simd>(simd: S, x: S::f32s, mask: S::f32s) -> (S::f32s, S::f32s) {
    let (value, slope) = math::gelu(simd, x);
    (simd.mul_f32s(value, mask), simd.mul_f32s(slope, mask))
}

/// `y *= x`.
#[pulp::with_simd(multiply = Arch::new())]
#[inline(always)]
pub fn multiply_with_simd<S: Simd>(simd: S, y: &mut [f32], x: &[f32]) {
    update(simd, y, [x], |y, [x]| simd.mul_f32s(y, x));
}

/// `y = x * mask`.
#[pulp::with_simd(masked = Arch::new())]
#[inline(always)]
pub fn masked_with_simd<S: Simd>(simd: S, y: &mut [f32], x: &[f32], mask: &[f32]) {
    update(simd, y, [x, mask], |_, [x, mask]| simd.mul_f32s(x, mask));
}

/// `y += x * mask`.
#[pulp::with_simd(add_masked = Arch::new())]
#[inline(always)]
pub fn add_masked_with_simd<S: Simd>(simd: S, y: &mut [f32], x: &[f32], mask: &[f32]) {
    update(simd, y, [x, mask], |y, [x, mask]| simd.mul_add_e_f32s(x, mask, y));
}

/// `sums += ` the pieces of `x`, each as long as `sums`.
#[pulp::with_simd(add_pieces = Arch::new())]
#[inline(always)]
pub fn add_pieces_with_simd<S: Simd>(simd: S, sums: &mut [f32], x: &[f32]) {
    for piece in x.chunks_exact(sums.len()) {
        update(simd, sums, [piece], |sum, [x]| simd.add_f32s(sum, x));
    }
}
