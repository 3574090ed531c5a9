//! The matrix products `out = left * right` of a network.
//!
//! From naive to fast, where `depth` is the dimension that is summed over:
//!
//! 1. Naive: for each element of the result, there is a loop over `depth`. Every step loads two numbers for one
//!    multiply-add.
//! 2. A tile of the result, up to 6 rows of 2 vectors (8 of 3 where there are 32 registers), stays in registers. A step
//!    of the loop over `depth` loads 2 vectors and 6 numbers for 12 independent vector multiply-adds. (4 rows of 3
//!    vectors would load less, but fill all 16 registers, so that the compiler spills one in every step.)
//! 3. The right matrix is packed ([`Packed`]) into panels as wide as the tile, so that each step reads the next
//!    vectors in memory. At the depths of these networks, a panel stays in the L1 cache while it is multiplied with all
//!    rows of `left`. Weights are packed once per training step. Activations, which are on the right in the gradients
//!    of weights, are packed for each product.
//!
//! The left matrix is read in place, even if it is transposed: a step needs only one number of each of its rows.

use super::memory::Memory;
use pulp::{Arch, Simd};
use std::array;

/// The number of rows of a thread's part is a multiple of this, which is a multiple of the rows of a tile, 6 or 8.
const PART: usize = 24;

/// Returns the number of vectors in a row of a panel: as many as the registers allow.
#[inline(always)]
const fn vectors<S: Simd>() -> usize {
    if S::REGISTER_COUNT >= 32 {
        3
    } else {
        2
    }
}

/// A matrix in memory, or its transpose.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'a> {
    values: &'a [f32],
    /// The distance in `values` from one row to the next. In a transpose, it is the distance of columns.
    stride: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    /// Makes a view of whole rows of `stride` numbers.
    pub(super) const fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride, transposed: false }
    }

    /// Returns the transpose.
    pub(super) const fn transpose(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Returns the view of the rows from `row` on.
    fn skip(self, row: usize) -> Self {
        let first = if self.transposed { row } else { row * self.stride };
        Self { values: &self.values[first..], ..self }
    }
}

/// The way a product is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Output<'a> {
    /// True if the product is added to what is there, false if it replaces it.
    pub add: bool,
    /// A bias that is added to each row of the product.
    pub bias: Option<&'a [f32]>,
}

/// A matrix packed for the right side of a product.
///
/// It consists of panels. A panel has `depth` rows, one after the other, of [`vectors`] vectors each. The rows of the
/// last panel may have fewer vectors, and are padded with zeros.
#[derive(Clone, Debug, Default)]
pub(super) struct Packed {
    panels: Memory,
    depth: usize,
    width: usize,
}

impl Packed {
    /// Packs the `depth x width` matrix `source`. It replaces the matrix that was packed before, and reuses its memory.
    pub(super) fn set(&mut self, source: View<'_>, depth: usize, width: usize) {
        pack(self, source, depth, width);
    }
}

#[pulp::with_simd(pack = Arch::new())]
#[inline(always)]
fn pack_with_simd<S: Simd>(simd: S, to: &mut Packed, source: View<'_>, depth: usize, width: usize) {
    (to.depth, to.width) = (depth, width);
    to.panels.resize(depth * width.next_multiple_of(S::F32_LANES));
    if source.transposed {
        let panel_width = vectors::<S>() * S::F32_LANES;
        let panels = to.panels.chunks_mut(depth * panel_width).zip((0..width).step_by(panel_width));
        for (panel, start) in panels {
            let used = (width - start).min(panel_width);
            let padded = used.next_multiple_of(S::F32_LANES);
            for (index, row) in
                source.values[start * source.stride..].chunks(source.stride).take(used).enumerate()
            {
                let packed = panel[index..].iter_mut().step_by(padded);
                packed.zip(&row[..depth]).for_each(|(packed, &x)| *packed = x);
            }
            panel.chunks_exact_mut(padded).for_each(|packed| packed[used..].fill(0.0));
        }
    } else if vectors::<S>() == 2 {
        pack_rows::<S, 2>(simd, &mut to.panels, source, depth, width);
    } else {
        pack_rows::<S, 3>(simd, &mut to.panels, source, depth, width);
    }
}

/// Packs panels of `V` vectors in the order in which the source is in memory, row by row, because activations may have
/// left the caches.
#[inline(always)]
fn pack_rows<S: Simd, const V: usize>(
    simd: S,
    panels: &mut [f32],
    source: View<'_>,
    depth: usize,
    width: usize,
) {
    let whole = width / (V * S::F32_LANES) * V;
    let (panels, last) = S::as_mut_simd_f32s(panels).0.split_at_mut(whole * depth);
    let panels = panels.as_chunks_mut::<V>().0;
    let last_width = last.len() / depth;
    for row in 0..depth {
        let (values, rest) = S::as_simd_f32s(&source.values[row * source.stride..][..width]);
        let (parts, values) = values.as_chunks::<V>();
        panels.chunks_exact_mut(depth).zip(parts).for_each(|(panel, part)| panel[row] = *part);
        let last = &mut last[row * last_width..][..last_width];
        last.iter_mut().zip(values).for_each(|(packed, &x)| *packed = x);
        if let Some(padded) = last.get_mut(values.len()) {
            *padded = simd.partial_load_f32s(rest);
        }
    }
}

/// Sets `out = left * right` for the first `rows` rows of `left`. Rows of `out` begin at multiples of `stride`.
///
/// Up to `threads` threads take a part of the rows each, if they have nothing else to do. Their number does not change
/// a bit of the result.
pub(super) fn product(
    left: View<'_>,
    right: &Packed,
    rows: usize,
    out: &mut [f32],
    stride: usize,
    output: Output<'_>,
    threads: usize,
) {
    let (first, second) = (threads.div_ceil(2), threads / 2);
    let middle = (rows * first).div_ceil(threads.max(1)).next_multiple_of(PART);
    if second == 0 || middle >= rows {
        return product_of_rows(left, right, rows, out, stride, output);
    }
    let (above, below) = out.split_at_mut(middle * stride);
    rayon::join(
        || product(left, right, middle, above, stride, output, first),
        || product(left.skip(middle), right, rows - middle, below, stride, output, second),
    );
}

/// Does the work of [`product`] on this thread.
#[pulp::with_simd(product_of_rows = Arch::new())]
#[inline(always)]
fn product_of_rows_with_simd<S: Simd>(
    simd: S,
    left: View<'_>,
    right: &Packed,
    rows: usize,
    out: &mut [f32],
    stride: usize,
    output: Output<'_>,
) {
    let lanes = S::F32_LANES;
    for start in (0..right.width).step_by(vectors::<S>() * lanes) {
        let width = (right.width - start).min(vectors::<S>() * lanes);
        let vectors = width.div_ceil(lanes);
        let panel = &right.panels[right.depth * start..][..right.depth * vectors * lanes];
        let panel = S::as_simd_f32s(panel).0;
        let bias = output.bias.map(|bias| &bias[start..start + width]);
        let columns = Columns { out: &mut out[start..], stride, width, bias, add: output.add };
        match vectors {
            1 => columns.fill::<S, 1>(simd, left, rows, panel),
            2 => columns.fill::<S, 2>(simd, left, rows, panel),
            _ => columns.fill::<S, 3>(simd, left, rows, panel),
        }
    }
}

/// The columns of the result that belong to a panel.
struct Columns<'a> {
    /// The result from the first of these columns on.
    out: &'a mut [f32],
    stride: usize,
    width: usize,
    bias: Option<&'a [f32]>,
    add: bool,
}

impl Columns<'_> {
    #[inline(always)]
    fn fill<S: Simd, const V: usize>(mut self, simd: S, left: View<'_>, rows: usize, panel: &[S::f32s]) {
        let panel = panel.as_chunks::<V>().0;
        let zero = [simd.splat_f32s(0.0); V];
        let bias = self.bias.map_or(zero, |bias| load(simd, bias));
        let mut row = 0;
        while row < rows {
            // A tile has as many rows as there are registers for, or all that are left.
            row += match rows - row {
                1 => self.tile::<S, 1, V>(simd, left, row, panel, bias),
                2 => self.tile::<S, 2, V>(simd, left, row, panel, bias),
                3 => self.tile::<S, 3, V>(simd, left, row, panel, bias),
                4 => self.tile::<S, 4, V>(simd, left, row, panel, bias),
                5 => self.tile::<S, 5, V>(simd, left, row, panel, bias),
                6 | 7 => self.tile::<S, 6, V>(simd, left, row, panel, bias),
                _ if S::REGISTER_COUNT < 32 => self.tile::<S, 6, V>(simd, left, row, panel, bias),
                _ => self.tile::<S, 8, V>(simd, left, row, panel, bias),
            };
        }
    }

    /// Computes and stores `R` rows from `row` on. Returns `R`.
    #[inline(always)]
    fn tile<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        left: View<'_>,
        row: usize,
        panel: &[[S::f32s; V]],
        bias: [S::f32s; V],
    ) -> usize {
        let sums = tile::<S, R, V>(simd, left, row, panel, bias);
        let whole = V * S::F32_LANES;
        if self.width == whole {
            // Constant bounds matter here: with an iterator, the compiler moves the sums from registers to the stack.
            #[allow(clippy::needless_range_loop)]
            for index in 0..R {
                let out = S::as_mut_simd_f32s(&mut self.out[(row + index) * self.stride..][..whole]).0;
                for vector in 0..V {
                    let sum = sums[index][vector];
                    out[vector] = if self.add { simd.add_f32s(sum, out[vector]) } else { sum };
                }
            }
            return R;
        }
        for (out, sums) in self.out[row * self.stride..].chunks_mut(self.stride).zip(sums) {
            let out = &mut out[..self.width];
            let before = if self.add { load(simd, out) } else { [simd.splat_f32s(0.0); V] };
            let (vectors, rest) = S::as_mut_simd_f32s(out);
            for (index, (sum, before)) in sums.into_iter().zip(before).enumerate() {
                let sum = simd.add_f32s(sum, before);
                match vectors.get_mut(index) {
                    Some(out) => *out = sum,
                    None => simd.partial_store_f32s(rest, sum),
                }
            }
        }
        R
    }
}

/// Loads `V` vectors. If there are fewer values, the missing ones are zero.
#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, values: &[f32]) -> [S::f32s; V] {
    let (vectors, rest) = S::as_simd_f32s(values);
    array::from_fn(|index| vectors.get(index).copied().unwrap_or_else(|| simd.partial_load_f32s(rest)))
}

/// Returns `R` rows of `left`, from `row` on, times `panel`, plus `bias`.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    left: View<'_>,
    row: usize,
    panel: &[[S::f32s; V]],
    bias: [S::f32s; V],
) -> [[S::f32s; V]; R] {
    // Each of the two calls is inlined, so that one of the strides is a constant.
    if left.transposed {
        multiply(simd, &left.values[row..], [1, left.stride], panel, bias)
    } else {
        multiply(simd, &left.values[row * left.stride..], [left.stride, 1], panel, bias)
    }
}

/// Returns `left * panel + bias`. In `left`, the distance of rows is `strides[0]`, and that of columns is `strides[1]`.
#[inline(always)]
fn multiply<S: Simd, const R: usize, const V: usize>(
    simd: S,
    left: &[f32],
    strides: [usize; 2],
    panel: &[[S::f32s; V]],
    bias: [S::f32s; V],
) -> [[S::f32s; V]; R] {
    let mut sums = [bias; R];
    let Some(last_column) = panel.len().checked_sub(1) else { return sums };
    let last_row = strides[0].saturating_mul(R - 1);
    assert!(
        last_row.saturating_add(strides[1].saturating_mul(last_column)) < left.len(),
        "the left matrix is too small"
    );
    let column = |index: usize| {
        // A step takes 22 instructions for 12 vector multiply-adds; with bounds checks here, it would take 26 to 43.
        // SAFETY: `row` is below `R`, and all calls below pass an `index` below `panel.len()`. The offset is therefore
        // at most the one that the assertion above found to be in `left`.
        array::from_fn(|row| unsafe { *left.as_ptr().add(row * strides[0] + index * strides[1]) })
    };
    // The loop is unrolled four times, because its counter and addresses take a fifth of the work of a single step.
    let (turns, rest) = panel.as_chunks::<4>();
    for (turn, right) in turns.iter().enumerate() {
        for (step, right) in right.iter().enumerate() {
            multiply_add(simd, &mut sums, column(4 * turn + step), right);
        }
    }
    for (index, right) in rest.iter().enumerate() {
        multiply_add(simd, &mut sums, column(4 * turns.len() + index), right);
    }
    sums
}

/// Does one step of the loop over the depth: `sums += column * right`.
#[inline(always)]
fn multiply_add<S: Simd, const R: usize, const V: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; R],
    column: [f32; R],
    right: &[S::f32s; V],
) {
    for (sums, x) in sums.iter_mut().zip(column) {
        let x = simd.splat_f32s(x);
        for (sum, &right) in sums.iter_mut().zip(right) {
            *sum = simd.mul_add_e_f32s(x, right, *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fused::cpu::on_each_instruction_set;

    fn numbers(len: usize, seed: u32) -> Vec<f32> {
        (0..len as u32).map(|i| ((i.wrapping_mul(747_796_405) ^ seed) % 2001) as f32 / 1000.0 - 1.0).collect()
    }

    /// Returns one element of the product by the textbook's formula, in f64.
    fn naive(left: View<'_>, right: View<'_>, row: usize, column: usize, depth: usize) -> f64 {
        let at = |view: View<'_>, i: usize, j: usize| {
            view.values[if view.transposed { j * view.stride + i } else { i * view.stride + j }]
        };
        (0..depth).map(|k| f64::from(at(left, row, k)) * f64::from(at(right, k, column))).sum()
    }

    /// The loop reads the left matrix without bounds checks. The last number that it reads may be the last of the
    /// matrix, but a matrix that is shorter by one must be refused.
    #[test]
    fn left_matrix_ends_with_its_last_number() {
        let (rows, depth) = (7, 9);
        let values = numbers(rows * depth, 1);
        let mut right = Packed::default();
        right.set(View::rows(&values, 1), depth, 1);
        for left in [View::rows(&values, depth), View::rows(&values, rows).transpose()] {
            let multiply = |left: View<'_>| {
                let mut out = vec![0.0; rows];
                product(left, &right, rows, &mut out, 1, Output::default(), 1);
                out
            };
            let expected: Vec<f64> =
                (0..rows).map(|row| naive(left, View::rows(&values, 1), row, 0, depth)).collect();
            for (found, expected) in multiply(left).into_iter().zip(expected) {
                assert!((f64::from(found) - expected).abs() < 1e-5, "{found} {expected}");
            }
            let short = View { values: &values[..values.len() - 1], ..left };
            let panic = std::panic::catch_unwind(|| multiply(short)).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"the left matrix is too small"));
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (depth, width) = (9, 40);
        for rows in [1, 24, 25, 49, 100] {
            let (values, right) = (numbers(rows * depth, 1), numbers(depth * width, 2));
            let mut packed = Packed::default();
            packed.set(View::rows(&right, width), depth, width);
            for left in [View::rows(&values, depth), View::rows(&values, rows).transpose()] {
                let multiply = |threads| {
                    let mut out = vec![f32::NAN; rows * width];
                    product(left, &packed, rows, &mut out, width, Output::default(), threads);
                    out
                };
                let expected = multiply(1);
                for threads in [0, 2, 3, 16] {
                    assert_eq!(multiply(threads), expected, "{rows} rows on {threads} threads");
                }
            }
        }
    }

    #[test]
    fn products_of_all_kinds_are_those_of_the_textbook() {
        for (rows, depth, width) in
            [(1, 1, 1), (17, 24, 17), (9, 49, 96), (13, 17, 40), (4, 96, 10), (23, 7, 53), (20, 3, 24)]
        {
            for (left_transposed, right_transposed) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let extent = rows.max(depth).max(width) + 3;
                let (a, b) = (numbers(extent * extent, 1), numbers(extent * extent, 2));
                let view = |values, transposed| View { values, stride: extent, transposed };
                let (left, right) = (view(&a, left_transposed), view(&b, right_transposed));
                let biases = numbers(width, 3);
                for (add, bias) in
                    [(false, None), (true, None), (false, Some(&biases[..])), (true, Some(&biases[..]))]
                {
                    on_each_instruction_set!(simd => {
                        let mut packed = Packed::default();
                        pack_with_simd(simd, &mut packed, right, depth, width);
                        let mut out = vec![7.0; rows * extent];
                        product_of_rows_with_simd(simd, left, &packed, rows, &mut out, extent, Output { add, bias });
                        for (index, &found) in out.iter().enumerate() {
                            let (row, column) = (index / extent, index % extent);
                            let mut expected = 7.0;
                            if column < width {
                                expected = naive(left, right, row, column, depth);
                                expected += if add { 7.0 } else { 0.0 };
                                expected += bias.map_or(0.0, |bias| f64::from(bias[column]));
                            }
                            assert!((f64::from(found) - expected).abs() < 1e-6 * (10.0 + expected.abs()), "{found} {expected}");
                        }
                    });
                }
            }
        }
    }
}
