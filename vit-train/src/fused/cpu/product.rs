//! Matrix products, `out = left * right`, all that a network needs.
//!
//! 1. Naive: for each element of the result a loop over `depth`. Every step loads two numbers for one multiply-add.
//! 2. A tile of the result, up to 6 rows of 2 vectors (8 of 3 where there are 32 registers), stays in registers: a step of
//!    `depth` loads 2 vectors and 6 numbers for 12 vector multiply-adds, and those are independent of each other. (4
//!    rows of 3 vectors would load less, but fill all 16 registers: the compiler then spills one in every step.)
//! 3. The right matrix is packed ([`Packed`]) into panels as wide as the tile, so that each step reads the next
//!    vectors. A panel of the depths here stays in the L1 cache while all rows of `left` pass by. Weights are packed
//!    once per training step, activations (on the right in gradients of weights) when they are needed.
//!
//! The left matrix is read in place, also transposed: a step needs one number of each of its rows.

use pulp::{Arch, Simd};
use std::array;

/// Vectors in a panel: as many as leave registers for a tile's numbers.
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
pub struct View<'a> {
    values: &'a [f32],
    /// From one row to the next, or from one column to the next of the transpose.
    stride: usize,
    /// Of a row, or of a column of the transpose, the first number that counts.
    first: usize,
    transposed: bool,
}

impl<'a> View<'a> {
    /// Whole rows of `stride` numbers.
    pub const fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride, first: 0, transposed: false }
    }

    /// The columns from `first`.
    pub const fn columns(self, first: usize) -> Self {
        assert!(!self.transposed, "columns of rows");
        Self { first, ..self }
    }

    /// The transpose.
    pub const fn transpose(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }
}

/// What becomes of a product.
#[derive(Clone, Copy, Debug, Default)]
pub struct Output<'a> {
    /// It is added to what is there, and does not replace it.
    pub add: bool,
    /// Is added to each row of it.
    pub bias: Option<&'a [f32]>,
}

/// A matrix packed for the right side of a product: panels of [`vectors`] vectors (the last one may have fewer),
/// padded with zeros. A panel is `depth` rows, one behind the other.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    panels: Vec<f32>,
    depth: usize,
    width: usize,
}

impl Packed {
    /// Packs the `depth x width` matrix `source`, into the memory of the one before.
    pub fn set(&mut self, source: View<'_>, depth: usize, width: usize) {
        pack(self, source, depth, width);
    }
}

#[pulp::with_simd(pack = Arch::new())]
#[inline(always)]
fn pack_with_simd<S: Simd>(simd: S, to: &mut Packed, source: View<'_>, depth: usize, width: usize) {
    let lanes = S::F32_LANES;
    (to.depth, to.width) = (depth, width);
    to.panels.resize(depth * width.next_multiple_of(lanes), 0.0);
    let panel_width = vectors::<S>() * lanes;
    if source.transposed {
        for start in (0..width).step_by(panel_width) {
            let used = (width - start).min(panel_width);
            let padded = used.next_multiple_of(lanes);
            let panel = &mut to.panels[depth * start..][..depth * padded];
            for (row, packed) in panel.chunks_exact_mut(padded).enumerate() {
                let column =
                    source.values[start * source.stride + source.first + row..].iter().step_by(source.stride);
                packed[used..].fill(0.0);
                packed[..used].iter_mut().zip(column).for_each(|(packed, &x)| *packed = x);
            }
        }
    } else {
        // Row by row, as the source lies in memory: activations come from far away.
        for row in 0..depth {
            let values = &source.values[row * source.stride + source.first..][..width];
            for (part, start) in values.chunks(panel_width).zip((0..).step_by(panel_width)) {
                let padded = part.len().next_multiple_of(lanes);
                let packed = &mut to.panels[depth * start + row * padded..][..padded];
                let (vectors, rest) = S::as_simd_f32s(part);
                let rest = (!rest.is_empty()).then(|| simd.partial_load_f32s(rest));
                let from = vectors.iter().copied().chain(rest);
                S::as_mut_simd_f32s(packed).0.iter_mut().zip(from).for_each(|(packed, x)| *packed = x);
            }
        }
    }
}

/// `out = left * right` for the first `rows` rows of `left`; a row of `out` begins at a multiple of `stride`.
#[pulp::with_simd(product = Arch::new())]
#[inline(always)]
pub fn product_with_simd<S: Simd>(
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
    /// From the first of them.
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
            // As many rows as there are registers for, or all that are left.
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

    /// `R` rows from `row`; says how many.
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

/// `V` vectors, of which the last may not be full.
#[inline(always)]
fn load<S: Simd, const V: usize>(simd: S, values: &[f32]) -> [S::f32s; V] {
    let (vectors, rest) = S::as_simd_f32s(values);
    array::from_fn(|index| vectors.get(index).copied().unwrap_or_else(|| simd.partial_load_f32s(rest)))
}

/// `R` rows from `row` of `left`, times `panel`, plus `bias`.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    left: View<'_>,
    row: usize,
    panel: &[[S::f32s; V]],
    bias: [S::f32s; V],
) -> [[S::f32s; V]; R] {
    let mut sums = [bias; R];
    // Both loops are written so that the compiler checks the bounds in front of them and needs few registers for
    // addresses: the lengths of a chunk and of a window do not change.
    if left.transposed {
        let first = left.first + row;
        for (right, column) in panel.iter().zip(left.values.chunks_exact(left.stride)) {
            multiply_add(simd, &mut sums, array::from_fn(|i| column[first + i]), right);
        }
    } else {
        // A window reaches from a number of the first row to the one below it in the last row.
        let reach = (R - 1) * left.stride;
        let rows = &left.values[row * left.stride + left.first..][..reach + panel.len()];
        for (right, column) in panel.iter().zip(rows.windows(reach + 1)) {
            multiply_add(simd, &mut sums, array::from_fn(|i| column[i * left.stride]), right);
        }
    }
    sums
}

/// One step of the depth: `sums += column * right`.
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

    /// The sum in f64, which is the textbook's twin of the product.
    fn naive(left: View<'_>, right: View<'_>, row: usize, column: usize, depth: usize) -> f64 {
        let at = |view: View<'_>, i: usize, j: usize| {
            view.values[view.first + if view.transposed { j * view.stride + i } else { i * view.stride + j }]
        };
        (0..depth).map(|k| f64::from(at(left, row, k)) * f64::from(at(right, k, column))).sum()
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
                let view = |values, transposed| View { values, stride: extent, first: 2, transposed };
                let (left, right) = (view(&a, left_transposed), view(&b, right_transposed));
                let biases = numbers(width, 3);
                for (add, bias) in
                    [(false, None), (true, None), (false, Some(&biases[..])), (true, Some(&biases[..]))]
                {
                    on_each_instruction_set!(simd => {
                        let mut packed = Packed::default();
                        pack_with_simd(simd, &mut packed, right, depth, width);
                        let mut out = vec![7.0; rows * extent];
                        product_with_simd(simd, left, &packed, rows, &mut out, extent, Output { add, bias });
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
