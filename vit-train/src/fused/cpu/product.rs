//! Matrix products, `out = left * right`, all that a network needs.
//!
//! 1. Naive: for each element of the result a loop over `depth`. Every step loads two numbers for one multiply-add.
//! 2. A tile of the result, 6 rows of 2 vectors (8 of 3 where there are 32 registers), stays in registers: a step of
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
    transposed: bool,
}

impl<'a> View<'a> {
    /// Rows that begin at multiples of `stride`.
    pub const fn rows(values: &'a [f32], stride: usize) -> Self {
        Self { values, stride, transposed: false }
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
    /// One of these rows is added to each row of it, one after the other and again from the first.
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
fn pack_with_simd<S: Simd>(_simd: S, to: &mut Packed, source: View<'_>, depth: usize, width: usize) {
    let lanes = S::F32_LANES;
    (to.depth, to.width) = (depth, width);
    to.panels.resize(depth * width.next_multiple_of(lanes), 0.0);
    for start in (0..width).step_by(vectors::<S>() * lanes) {
        let used = (width - start).min(vectors::<S>() * lanes);
        let padded = used.next_multiple_of(lanes);
        let panel = &mut to.panels[depth * start..][..depth * padded];
        for (row, packed) in panel.chunks_exact_mut(padded).enumerate() {
            let (packed, padding) = packed.split_at_mut(used);
            padding.fill(0.0);
            if source.transposed {
                let column = source.values[start * source.stride + row..].iter().step_by(source.stride);
                packed.iter_mut().zip(column).for_each(|(packed, &x)| *packed = x);
            } else {
                packed.copy_from_slice(&source.values[row * source.stride + start..][..used]);
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
        let out = Columns { out, stride, start, width, all: right.width, output };
        match vectors {
            1 => out.fill::<S, 1>(simd, left, rows, panel),
            2 => out.fill::<S, 2>(simd, left, rows, panel),
            _ => out.fill::<S, 3>(simd, left, rows, panel),
        }
    }
}

/// The columns `start .. start + width`, out of `all`, of the result.
struct Columns<'a> {
    out: &'a mut [f32],
    stride: usize,
    start: usize,
    width: usize,
    all: usize,
    output: Output<'a>,
}

impl Columns<'_> {
    #[inline(always)]
    fn fill<S: Simd, const V: usize>(mut self, simd: S, left: View<'_>, rows: usize, panel: &[S::f32s]) {
        let panel = panel.as_chunks::<V>().0;
        let mut row = 0;
        if S::REGISTER_COUNT >= 32 {
            while row + 8 <= rows {
                self.store(simd, row, tile::<S, 8, V>(simd, left, row, panel));
                row += 8;
            }
        } else {
            while row + 6 <= rows {
                self.store(simd, row, tile::<S, 6, V>(simd, left, row, panel));
                row += 6;
            }
        }
        while row + 4 <= rows {
            self.store(simd, row, tile::<S, 4, V>(simd, left, row, panel));
            row += 4;
        }
        while row < rows {
            self.store(simd, row, tile::<S, 1, V>(simd, left, row, panel));
            row += 1;
        }
    }

    #[inline(always)]
    fn store<S: Simd, const R: usize, const V: usize>(
        &mut self,
        simd: S,
        row: usize,
        sums: [[S::f32s; V]; R],
    ) {
        for (row, mut sums) in (row..).zip(sums) {
            if let Some(bias) = self.output.bias {
                let first = if bias.len() == self.all { 0 } else { row * self.all % bias.len() };
                add(simd, &mut sums, &bias[first + self.start..][..self.width]);
            }
            let out = &mut self.out[row * self.stride + self.start..][..self.width];
            if self.output.add {
                add(simd, &mut sums, out);
            }
            let (vectors, rest) = S::as_mut_simd_f32s(out);
            for (index, sum) in sums.into_iter().enumerate() {
                match vectors.get_mut(index) {
                    Some(out) => *out = sum,
                    None => simd.partial_store_f32s(rest, sum),
                }
            }
        }
    }
}

/// `sums += values`, of which the last vector may not be full.
#[inline(always)]
fn add<S: Simd, const V: usize>(simd: S, sums: &mut [S::f32s; V], values: &[f32]) {
    let (vectors, rest) = S::as_simd_f32s(values);
    for (index, sum) in sums.iter_mut().enumerate() {
        let value = vectors.get(index).copied().unwrap_or_else(|| simd.partial_load_f32s(rest));
        *sum = simd.add_f32s(*sum, value);
    }
}

/// `R` rows from `row` of `left`, times `panel`.
#[inline(always)]
fn tile<S: Simd, const R: usize, const V: usize>(
    simd: S,
    left: View<'_>,
    row: usize,
    panel: &[[S::f32s; V]],
) -> [[S::f32s; V]; R] {
    let mut sums = [[simd.splat_f32s(0.0); V]; R];
    if left.transposed {
        for (right, column) in panel.iter().zip(left.values.chunks(left.stride)) {
            let column = &column[row..row + R];
            for i in 0..R {
                let x = simd.splat_f32s(column[i]);
                for v in 0..V {
                    sums[i][v] = simd.mul_add_e_f32s(x, right[v], sums[i][v]);
                }
            }
        }
    } else {
        // Slices of one length: the bounds are checked here and not in the loop.
        let rows: [&[f32]; R] = array::from_fn(|i| &left.values[(row + i) * left.stride..][..panel.len()]);
        for (step, right) in panel.iter().enumerate() {
            for i in 0..R {
                let x = simd.splat_f32s(rows[i][step]);
                for v in 0..V {
                    sums[i][v] = simd.mul_add_e_f32s(x, right[v], sums[i][v]);
                }
            }
        }
    }
    sums
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
            view.values[if view.transposed { j * view.stride + i } else { i * view.stride + j }]
        };
        (0..depth).map(|k| f64::from(at(left, row, k)) * f64::from(at(right, k, column))).sum()
    }

    #[test]
    fn products_of_all_kinds_are_those_of_the_textbook() {
        for (rows, depth, width) in
            [(1, 1, 1), (17, 24, 17), (9, 49, 96), (13, 17, 40), (4, 96, 10), (23, 7, 53)]
        {
            for (left_transposed, right_transposed) in
                [(false, false), (false, true), (true, false), (true, true)]
            {
                let extent = rows.max(depth).max(width) + 3;
                let (a, b) = (numbers(extent * extent, 1), numbers(extent * extent, 2));
                let view = |values, transposed| View { values, stride: extent, transposed };
                let (left, right) = (view(&a, left_transposed), view(&b, right_transposed));
                let biases = numbers(3 * width, 3);
                for (add, bias) in
                    [(false, None), (true, None), (false, Some(&biases[..])), (true, Some(&biases[..width]))]
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
                                expected += bias.map_or(0.0, |b| f64::from(b[(row * width + column) % b.len()]));
                            }
                            assert!((f64::from(found) - expected).abs() < 1e-5, "{found} {expected}");
                        }
                    });
                }
            }
        }
    }
}
