//! Operations on rows: normalisation, GELU with dropout, products with masks, sums of columns.
//!
//! From naive to fast:
//!
//! 1. Naive: there is a loop over the elements for each step of a formula.
//! 2. A vector at a time ([`vectors`](super::vectors)): all steps of a formula are done while the row is in the L1
//!    cache. Functions for which processors have no instructions are polynomials ([`math`](super::math)).

use super::{
    math,
    vectors::{sum, update},
};
use pulp::{Arch, Simd};
use vit_nostd::float::LAYER_NORM_EPSILON;

/// The number of vectors of sums that are computed at a time, so that an addition does not wait for the one before.
const BLOCK: usize = 6;

/// Scales each row of `x`, which has `width` elements, to mean 0 and variance 1. Stores the rows in `normed` and their
/// factors in `scales`.
#[pulp::with_simd(normalize = Arch::new())]
#[inline(always)]
pub(crate) fn normalize_with_simd<S: Simd>(
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

/// Computes the gradient through [`normalize`], `scale * (d - mean(d) - normed * mean(d * normed))`, and adds it to
/// `d_x` or stores it there.
#[pulp::with_simd(normalize_backward = Arch::new())]
#[inline(always)]
pub(crate) fn normalize_backward_with_simd<S: Simd>(
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

/// Sets `y = gelu(x) * mask` and `slope = gelu'(x) * mask`, where `x` is the content that `slope` had before.
#[pulp::with_simd(gelu_dropout = Arch::new())]
#[inline(always)]
pub(crate) fn gelu_dropout_with_simd<S: Simd>(simd: S, slope: &mut [f32], mask: &[f32], y: &mut [f32]) {
    let ((slopes, slope), (masks, mask), (ys, y)) =
        (S::as_mut_simd_f32s(slope), S::as_simd_f32s(mask), S::as_mut_simd_f32s(y));
    let ((slopes, odd_slope), (masks, odd_mask), (ys, odd_y)) =
        (slopes.as_chunks_mut::<2>(), masks.as_chunks::<2>(), ys.as_chunks_mut::<2>());
    for ((slopes, &masks), ys) in slopes.iter_mut().zip(masks).zip(ys) {
        [*ys, *slopes] = masked_gelu(simd, *slopes, masks);
    }
    for ((slope, &mask), y) in odd_slope.iter_mut().zip(odd_mask).zip(odd_y) {
        [[*y], [*slope]] = masked_gelu(simd, [*slope], [mask]);
    }
    if !y.is_empty() {
        let (x, mask) = (simd.partial_load_f32s(slope), simd.partial_load_f32s(mask));
        let [[value], [derivative]] = masked_gelu(simd, [x], [mask]);
        simd.partial_store_f32s(y, value);
        simd.partial_store_f32s(slope, derivative);
    }
}

// This is not a closure, because a closure of this size would not be inlined, and so not use the instruction set.
#[inline(always)]
fn masked_gelu<S: Simd, const N: usize>(simd: S, x: [S::f32s; N], mask: [S::f32s; N]) -> [[S::f32s; N]; 2] {
    let mut results = math::gelu(simd, x);
    for result in &mut results {
        result.iter_mut().zip(mask).for_each(|(x, mask)| *x = simd.mul_f32s(*x, mask));
    }
    results
}

/// Sets `y *= x`.
#[pulp::with_simd(multiply = Arch::new())]
#[inline(always)]
pub(crate) fn multiply_with_simd<S: Simd>(simd: S, y: &mut [f32], x: &[f32]) {
    update(simd, y, [x], |y, [x]| simd.mul_f32s(y, x));
}

/// Sets `y = x * mask`.
#[pulp::with_simd(masked = Arch::new())]
#[inline(always)]
pub(crate) fn masked_with_simd<S: Simd>(simd: S, y: &mut [f32], x: &[f32], mask: &[f32]) {
    update(simd, y, [x, mask], |_, [x, mask]| simd.mul_f32s(x, mask));
}

/// Sets `y += x * mask`.
#[pulp::with_simd(add_masked = Arch::new())]
#[inline(always)]
pub(crate) fn add_masked_with_simd<S: Simd>(simd: S, y: &mut [f32], x: &[f32], mask: &[f32]) {
    update(simd, y, [x, mask], |y, [x, mask]| simd.mul_add_e_f32s(x, mask, y));
}

/// Adds the rows of `x`, which begin at multiples of `stride`, to `sums`.
#[pulp::with_simd(add_rows = Arch::new())]
#[inline(always)]
pub(crate) fn add_rows_with_simd<S: Simd>(simd: S, sums: &mut [f32], x: &[f32], stride: usize) {
    let (blocks, _) = S::as_mut_simd_f32s(sums).0.as_chunks_mut::<BLOCK>();
    let done = blocks.len() * BLOCK * S::F32_LANES;
    for (index, block) in blocks.iter_mut().enumerate() {
        // These stay in registers from the first row to the last.
        let mut totals = *block;
        for row in x[index * BLOCK * S::F32_LANES..].chunks(stride) {
            let row = &S::as_simd_f32s(row).0[..BLOCK];
            totals.iter_mut().zip(row).for_each(|(total, &x)| *total = simd.add_f32s(*total, x));
        }
        *block = totals;
    }
    let sums = &mut sums[done..];
    let rows = if sums.is_empty() { &[] } else { &x[done..] };
    for row in rows.chunks(stride) {
        update(simd, sums, [&row[..sums.len()]], |sum, [x]| simd.add_f32s(sum, x));
    }
}

/// Folds a LayerNorm's `scale` and `shift` into the `outputs x inputs` weights and the biases of the layer after it.
/// The formulas are those of [`fold`](mod@crate::fused::fold).
#[pulp::with_simd(fold = Arch::new())]
#[inline(always)]
pub(crate) fn fold_with_simd<S: Simd>(
    simd: S,
    scale: &[f32],
    shift: &[f32],
    weights: &mut [f32],
    biases: &mut [f32],
) {
    for (weights, bias) in weights.chunks_exact_mut(scale.len()).zip(biases) {
        *bias += sum(simd, [weights, shift], |[w, c]| simd.mul_f32s(w, c));
        update(simd, weights, [scale], |w, [g]| simd.mul_f32s(w, g));
    }
}

/// Turns the gradients of folded weights into those of unfolded weights, and computes the gradients of the LayerNorm's
/// scale and shift.
#[pulp::with_simd(unfold = Arch::new())]
#[inline(always)]
pub(crate) fn unfold_with_simd<S: Simd>(
    simd: S,
    [scale, shift, weights]: [&[f32]; 3],
    d_biases: &[f32],
    d_weights: &mut [f32],
    [d_scale, d_shift]: [&mut [f32]; 2],
) {
    d_scale.fill(0.0);
    d_shift.fill(0.0);
    let rows = weights.chunks_exact(scale.len()).zip(d_weights.chunks_exact_mut(scale.len()));
    for ((w, d_w), &d_b) in rows.zip(d_biases) {
        let d_b = simd.splat_f32s(d_b);
        update(simd, d_scale, [d_w, w], |sum, [d, w]| simd.mul_add_e_f32s(d, w, sum));
        update(simd, d_shift, [w], |sum, [w]| simd.mul_add_e_f32s(d_b, w, sum));
        update(simd, d_w, [scale, shift], |d, [g, c]| simd.mul_add_e_f32s(d, g, simd.mul_f32s(d_b, c)));
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // the tests compare with the standard library's f64
mod tests {
    use super::*;
    use crate::fused::{cpu::on_each_instruction_set, tests::numbers};

    /// Widths below and above that of a vector, some of which are not multiples of it.
    const WIDTHS: [usize; 8] = [1, 3, 8, 17, 48, 50, 96, 120];
    const ROWS: usize = 3;

    #[track_caller]
    fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
        assert_eq!(found.len(), expected.len());
        for (index, (&found, expected)) in found.iter().zip(expected).enumerate() {
            let error = (f64::from(found) - expected).abs();
            assert!(error <= tolerance * (1.0 + expected.abs()), "{what} {index}: {found}, not {expected}");
        }
    }

    fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
        let len = values.len() as f64;
        values.sum::<f64>() / len
    }

    /// Returns the row scaled to mean 0 and variance 1, and the factor, by the textbook's formula.
    fn normalized(row: &[f32]) -> (Vec<f64>, f64) {
        let mu = mean(row.iter().map(|&x| f64::from(x)));
        let variance = mean(row.iter().map(|&x| (f64::from(x) - mu).powi(2)));
        let scale = 1.0 / (variance + 1e-6).sqrt();
        (row.iter().map(|&x| (f64::from(x) - mu) * scale).collect(), scale)
    }

    #[test]
    fn rows_are_normalized() {
        for width in WIDTHS {
            let mut x = numbers(ROWS * width, 1);
            x[width..2 * width].fill(1e4); // no variance
            x[2 * width..].iter_mut().for_each(|x| *x = 1e3 + 100.0 * *x); // far from zero
            let expected: Vec<_> = x.chunks(width).map(normalized).collect();
            on_each_instruction_set!(simd => {
                let (mut normed, mut scales) = (vec![7.0; ROWS * width], vec![7.0; ROWS]);
                normalize_with_simd(simd, &x, width, &mut normed, &mut scales);
                for ((normed, scale), (values, factor)) in normed.chunks(width).zip(scales).zip(&expected) {
                    assert_close(normed, values, 3e-5, &format!("width {width}, value"));
                    assert_close(&[scale / *factor as f32], &[1.0], 3e-5, &format!("width {width}, scale"));
                }
            });
        }
    }

    /// Compares with the gradient of `sum of d * normalize(x)` by finite differences in f64.
    #[test]
    fn gradients_go_back_through_the_normalization() {
        for width in WIDTHS.into_iter().filter(|&width| width > 1) {
            let (x, d) = (numbers(width, 2), numbers(width, 3));
            let (normed, scale) = normalized(&x);
            let product = |x: &[f64]| -> f64 {
                let mu = mean(x.iter().copied());
                let variance = mean(x.iter().map(|x| (x - mu).powi(2)));
                let normed = x.iter().map(|x| (x - mu) / (variance + 1e-6).sqrt());
                normed.zip(&d).map(|(x, &d)| x * f64::from(d)).sum()
            };
            let slope = |at: usize| {
                let moved = |by: f64| {
                    let mut x: Vec<f64> = x.iter().map(|&x| x.into()).collect();
                    x[at] += by;
                    product(&x)
                };
                (moved(1e-5) - moved(-1e-5)) / 2e-5
            };
            let slopes: Vec<f64> = (0..width).map(slope).collect();
            let added: Vec<f64> = slopes.iter().map(|slope| slope + 0.5).collect();
            let normed: Vec<f32> = normed.iter().map(|&x| x as f32).collect();
            on_each_instruction_set!(simd => {
                for (add, expected) in [(false, &slopes), (true, &added)] {
                    let mut d_x = vec![0.5; width];
                    normalize_backward_with_simd(simd, &normed, &[scale as f32], &d, width, &mut d_x, add);
                    assert_close(&d_x, expected, 2e-5, &format!("width {width}, add {add}"));
                }
            });
        }
    }

    #[test]
    fn gelu_is_dropped_with_its_derivative() {
        let normal = |x: f64| 0.5 * libm::erfc(-x / 2f64.sqrt());
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        for width in WIDTHS {
            let x: Vec<f32> = numbers(width, 4).iter().map(|x| 6.0 * x).collect();
            let mask: Vec<f32> = (0..width).map(|at| [0.0, 1.25, 2.0][at % 3]).collect();
            let all = || x.iter().zip(&mask).map(|(&x, &mask)| (f64::from(x), f64::from(mask)));
            let values: Vec<f64> = all().map(|(x, mask)| mask * x * normal(x)).collect();
            let slopes: Vec<f64> = all().map(|(x, mask)| mask * (normal(x) + x * density(x))).collect();
            on_each_instruction_set!(simd => {
                let (mut slope, mut y) = (x.clone(), vec![7.0; width]);
                gelu_dropout_with_simd(simd, &mut slope, &mask, &mut y);
                assert_close(&y, &values, 2e-6, "value");
                assert_close(&slope, &slopes, 3e-6, "slope");
            });
        }
    }

    /// Compares with the formulas of [`fold`](mod@crate::fused::fold), for a layer with 3 outputs.
    #[test]
    fn a_layer_norm_is_folded_and_its_gradients_unfolded() {
        for width in WIDTHS {
            let [scale, shift, weights, biases] =
                [(width, 1), (width, 2), (ROWS * width, 3), (ROWS, 4)].map(|(len, seed)| numbers(len, seed));
            let [d_weights, d_biases] = [(ROWS * width, 5), (ROWS, 6)].map(|(len, seed)| numbers(len, seed));
            let at = |values: &[f32], index: usize| f64::from(values[index]);
            let columns = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                (0..width).map(|j| (0..ROWS).map(|i| f(i, j)).sum()).collect()
            };
            let all = |f: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
                (0..ROWS * width).map(|index| f(index / width, index % width)).collect()
            };
            let w = |i: usize, j: usize| at(&weights, i * width + j);
            let d_w = |i: usize, j: usize| at(&d_weights, i * width + j);
            let folded = all(&|i, j| w(i, j) * at(&scale, j));
            let folded_biases: Vec<f64> = (0..ROWS)
                .map(|i| at(&biases, i) + (0..width).map(|j| w(i, j) * at(&shift, j)).sum::<f64>())
                .collect();
            let unfolded = all(&|i, j| d_w(i, j) * at(&scale, j) + at(&d_biases, i) * at(&shift, j));
            let d_scales = columns(&|i, j| d_w(i, j) * w(i, j));
            let d_shifts = columns(&|i, j| at(&d_biases, i) * w(i, j));
            on_each_instruction_set!(simd => {
                let (mut found, mut found_biases) = (weights.clone(), biases.clone());
                fold_with_simd(simd, &scale, &shift, &mut found, &mut found_biases);
                assert_close(&found, &folded, 1e-6, "weights");
                assert_close(&found_biases, &folded_biases, 1e-5, "biases");
                let (mut found, mut d_scale, mut d_shift) =
                    (d_weights.clone(), vec![7.0; width], vec![7.0; width]);
                let sums = [&mut d_scale[..], &mut d_shift];
                unfold_with_simd(simd, [&scale, &shift, &weights], &d_biases, &mut found, sums);
                assert_close(&found, &unfolded, 1e-6, "gradients of weights");
                assert_close(&d_scale, &d_scales, 1e-6, "gradients of the scale");
                assert_close(&d_shift, &d_shifts, 1e-6, "gradients of the shift");
            });
        }
    }

    #[test]
    fn sums_and_products_of_rows() {
        for width in WIDTHS {
            let [y, x, mask] = [5, 6, 7].map(|seed| numbers(width, seed));
            let rows = numbers(4 * width + 6, 8);
            let f64s = |at: usize| [&y, &x, &mask].map(|values| f64::from(values[at]));
            let expected =
                |f: &dyn Fn([f64; 3]) -> f64| -> Vec<f64> { (0..width).map(|at| f(f64s(at))).collect() };
            let sums = (0..width).map(|at| {
                f64::from(y[at]) + (0..4).map(|row| f64::from(rows[row * (width + 2) + at])).sum::<f64>()
            });
            let sums: Vec<f64> = sums.collect();
            on_each_instruction_set!(simd => {
                let check = |work: &dyn Fn(&mut [f32]), expected: &[f64], what: &str| {
                    let mut out = y.clone();
                    work(&mut out);
                    assert_close(&out, expected, 1e-6, what);
                };
                check(&|y| multiply_with_simd(simd, y, &x), &expected(&|[y, x, _]| y * x), "multiply");
                check(&|y| masked_with_simd(simd, y, &x, &mask), &expected(&|[_, x, mask]| x * mask), "masked");
                let add = expected(&|[y, x, mask]| y + x * mask);
                check(&|y| add_masked_with_simd(simd, y, &x, &mask), &add, "add_masked");
                check(&|y| add_rows_with_simd(simd, y, &rows, width + 2), &sums, "add_rows");
            });
        }
    }
}
